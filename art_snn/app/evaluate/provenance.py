"""All that is needed to reproduce an evaluation."""

import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch

import art_snn
from art_snn.app.evaluate.target import Target
from art_snn.app.report.evaluation import Provenance
from art_snn.app.resume import fingerprint
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.encoders import encoding
from art_snn.files import digest
from art_snn.measuring.machine import describe_machine, device_type

PACKAGES = ("torch", "numpy", "scipy", "adversarial-robustness-toolbox")
"""Distributions that all numbers depend on."""
FRAMEWORKS = ("torchvision", "spikingjelly", "snntorch", "norse", "sinabs")
"""Distributions, each with a module of the same name, that classes of a network may come from."""


def collect_provenance(target: Target, seconds: float) -> Provenance:
    """The provenance of an evaluation whose parts took that many seconds."""
    settings, classifier, x, y = target.settings, target.classifier, target.x, target.y
    return Provenance(
        command=typed_command(),
        versions=versions(classifier, *target.sources),
        commit=commit(),
        seed=settings.seed,
        block=settings.block,
        batch_size=settings.batch_size,
        rules={name: repr(rule) for name, rule in settings.attack_rules.items()},
        weights=weights(classifier),
        data=digest("samples", x, y)[:16],
        device=describe_machine(device_type(classifier.device)),
        threads=torch.get_num_threads(),
        examined=min(settings.examined, len(x)),
        sources=tuple(map(weights, target.sources)),
        seconds=round(seconds, 1),
        steps=classifier.model.time_steps(),
        encoder=encoding(classifier.model.encoder),
        shape=tuple(x.shape[1:]),
        dataset=target.dataset,
        parameters=sum(weight.numel() for weight in classifier.model.parameters()),
        training=settings.training_words,
        attack_dtype=settings.attack_dtype,
    )


def weights(classifier: PyTorchSpikingClassifier) -> str:
    """Digest of a network's form and weights."""
    nothing = np.zeros((0, *classifier.input_shape), np.float32), np.zeros(0, np.int64)
    return fingerprint("weights", classifier, *nothing)[:16]


def typed_command() -> str:
    """The command as it was typed: art-snn, or the script that called this package."""
    program, *arguments = sys.argv
    package = Path(program).stem == "art-snn" or Path(program).parent == Path(art_snn.__path__[0])
    return shlex.join([*(["art-snn"] if package else ["python", program]), *arguments])


def versions(*classifiers: PyTorchSpikingClassifier) -> dict[str, str]:
    """Versions of all that the numbers depend on, and of the frameworks of the networks."""
    bases = {"art_snn": art_snn.__version__, "Python": platform.python_version()}
    kinds = {type(module) for one in classifiers for module in one.model.modules()}
    used = {base.__module__.partition(".")[0] for kind in kinds for base in kind.__mro__}
    names = (*PACKAGES, *(name for name in FRAMEWORKS if name in used))
    return bases | {name: _version(name) for name in names}


def _version(name: str) -> str:
    """Version of a distribution; one that is used from its sources has none."""
    with suppress(PackageNotFoundError):
        return version(name)
    return "not installed"


def commit() -> str:
    """The commit of the working folder; "" where it is under no version control."""
    with suppress(OSError, subprocess.SubprocessError):
        words = ["git", "-C", str(Path.cwd()), "rev-parse", "HEAD"]
        git = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True)
        return git.stdout.strip()
    return ""
