"""What tells how to do an evaluation again: command, versions, settings and digests."""

import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import art_snn
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.record import Provenance
from art_snn.app.machine import describe_machine
from art_snn.app.results import weights_digest
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.encoders import describe_encoder
from art_snn.files import digest

_PACKAGES = ("torch", "numpy", "scipy", "adversarial-robustness-toolbox")
"""Distributions that all numbers depend on."""
_FRAMEWORKS = ("torchvision", "spikingjelly", "snntorch", "norse", "sinabs")
"""Distributions, each with a module of the same name, that classes of a network may come from."""


def describe_provenance(target: Target, seconds: float) -> Provenance:
    """All that is needed to reproduce an evaluation.

    :param seconds: that all blocks took together."""
    settings = target.settings
    classifier = target.classifier
    network = classifier.model
    return Provenance(
        command=_quote_command(),
        versions=_list_versions(classifier, *target.sources),
        commit=_find_commit(),
        seed=settings.seed,
        block=max(settings.block, settings.batch_size),
        batch_size=settings.batch_size,
        rules={name: repr(rule) for name, rule in target.rules.items()},
        weights=weights_digest(classifier),
        data=digest("samples", target.x, target.y)[:16],
        device=describe_machine(settings.device),
        threads=torch.get_num_threads(),
        examined=min(settings.examined, len(target.x)),
        sources=tuple(map(weights_digest, target.sources)),
        seconds=round(seconds, 1),
        steps=network.body.steps,
        encoder=describe_encoder(network.encoder),
        shape=target.x.shape[1:],
        dataset=target.data.name,
        parameters=sum(weight.numel() for weight in network.parameters()),
        training=target.subject.training
        if settings.training is None
        else settings.training,
    )


def _quote_command() -> str:
    """The command as it was typed: art-snn, or the script that called this package."""
    program, *arguments = sys.argv
    path = Path(program)
    ours = path.stem == "art-snn" or path.parent == Path(art_snn.__path__[0])
    start = ["art-snn"] if ours else ["python", program]
    return shlex.join([*start, *arguments])


def _list_versions(*classifiers: PyTorchSpikingClassifier) -> dict[str, str]:
    """Versions of all that the numbers depend on, and of the frameworks of the networks."""
    versions = {"art_snn": art_snn.__version__, "Python": platform.python_version()}
    kinds = {type(module) for one in classifiers for module in one.model.modules()}
    used = {base.__module__.partition(".")[0] for kind in kinds for base in kind.__mro__}
    for name in (*_PACKAGES, *(name for name in _FRAMEWORKS if name in used)):
        versions[name] = (
            "not installed"  # One that is used from its sources has no version.
        )
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def _find_commit() -> str:
    """The commit of the working folder; "" where it is under no version control."""
    with suppress(OSError, subprocess.SubprocessError):
        git = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return git.stdout.strip()
    return ""
