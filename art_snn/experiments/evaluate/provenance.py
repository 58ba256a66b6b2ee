"""All that is needed to do an evaluation again."""

import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

import art_snn
from art_snn.experiments.evaluate.settings import Settings
from art_snn.experiments.evaluate.subject import Subject
from art_snn.experiments.evaluation import Provenance
from art_snn.experiments.resume import fingerprint
from art_snn.files import digest
from art_snn.measuring.machine import describe_machine


def provenance(settings: Settings, subject: Subject) -> Provenance:
    """What this process knows of it."""
    classifier, x, y = subject.classifier, subject.x, subject.y
    return Provenance(
        command=typed(),
        versions=versions(),
        commit=commit(),
        seed=settings.seed,
        block=settings.block,
        batch_size=settings.batch_size,
        rules={name: repr(rule) for name, rule in settings.rules.items()},
        weights=fingerprint("weights", classifier, x[:0], y[:0])[:16],
        data=digest("samples", x, y)[:16],
        device=describe_machine("cpu" if classifier.device.type == "cpu" else "gpu"),
        threads=torch.get_num_threads(),
        examined=min(settings.examined, len(x)),
    )


def typed() -> str:
    """The command as it was typed: art-snn, or the script that called this package."""
    program, *arguments = sys.argv
    ours = Path(program).stem == "art-snn" or Path(program).parent == Path(art_snn.__path__[0])
    return shlex.join([*(["art-snn"] if ours else ["python", program]), *arguments])


def versions() -> dict[str, str]:
    """Of what the numbers depend on."""
    return {
        "art_snn": art_snn.__version__,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "adversarial-robustness-toolbox": version("adversarial-robustness-toolbox"),
    }


def commit() -> str:
    """Of the folder that the command was typed in; "" where it is under no version control."""
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["git", "-C", str(Path.cwd()), "rev-parse", "HEAD"]
        found = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True)
        return found.stdout.strip()
    return ""
