"""What one input gradient costs, in time and memory, against inference without a gradient.

The rows are those of table S2 of Bu et al. (CVPR 2023), measured on the user's own machine: plain
inference, the gradient by RGA and by STBP through PyTorchSpikingClassifier, and through ART's stock
PyTorchClassifier around the same network.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import nn
from tqdm.auto import tqdm

from art_snn.checks import invalid, require_count
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.encoders import Frames
from art_snn.evaluation.memory import keep_freed_memory, peak_during
from art_snn.gradients import resolve
from art_snn.models import MODELS
from art_snn.network import SpikingNetwork


@dataclass(frozen=True)
class Workload:
    """The network and batch to measure on.

    :param model: a name of art_snn.models.MODELS.
    :param steps: time steps T.
    :param batch: samples per gradient.
    :param image_size: side of the square input.
    :param channels: input channels.
    :param decay: decay of the neurons.
    :param device: "cpu" or "cuda".
    :param threads: threads of torch on the CPU; None leaves torch's choice.
    :param rules: names of GRADIENTS whose cost is measured.
    :param keep_memory: keep freed memory in the measuring processes, for time and peak alike
        (:func:`art_snn.evaluation.memory.keep_freed_memory`).
    :raises ValueError: for an unknown model, a count below 1, or CUDA where there is none.
    """

    model: str = "vgg11"
    steps: int = 8
    batch: int = 32
    image_size: int = 32
    channels: int = 3
    decay: float = 0.5
    device: str = "cpu"
    threads: int | None = None
    rules: tuple[str, ...] = ("rga", "stbp")
    keep_memory: bool = False

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise invalid(
                "model",
                expected=f"one of {', '.join(MODELS)}",
                got=repr(self.model),
                remedy="Other networks can be timed with art_snn.evaluation.cost.medians.",
            )
        for name in ("steps", "batch", "image_size", "channels"):
            require_count(name, getattr(self, name), remedy="The paper uses T = 8 and batch 32.")
        if self.threads is not None:
            require_count("threads", self.threads, remedy="Leave it out for torch's own choice.")
        for rule in self.rules:
            resolve(rule, "rules")
        if self.device not in ("cpu", "cuda"):
            raise invalid("device", expected="cpu or cuda", got=self.device, remedy="Choose one.")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise invalid(
                "device",
                expected="a device that torch can see",
                got="cuda",
                remedy="Use cpu, or install a CUDA build of torch.",
            )

    def rows(self) -> dict[str, str]:
        """What is measured, and in which words."""
        return {
            "inference": "inference, no gradient",
            **{rule: f"gradient by {rule.upper()}" for rule in self.rules},
            "stock rga": "ART's stock classifier, RGA",
            "stock stbp": "ART's stock classifier, STBP",
        }

    def network(self) -> SpikingNetwork:
        """The network, in evaluation mode."""
        torch.manual_seed(0)
        network = MODELS[self.model](
            steps=self.steps,
            image_size=self.image_size,
            in_channels=self.channels,
            decay=self.decay,
        )
        return network.to(self.device).eval()

    def samples(self, network: SpikingNetwork) -> tuple[np.ndarray, np.ndarray]:
        """Uniform random images (batch, C, H, W) and one-hot labels (batch, 10).

        For a network of event frames they are random frames (batch, T, C, H, W).
        """
        generator = np.random.default_rng(0)
        frames = (self.steps,) if isinstance(network.encoder, Frames) else ()
        shape = (self.batch, *frames, self.channels, self.image_size, self.image_size)
        labels = np.eye(10, dtype=np.float32)[generator.integers(0, 10, self.batch)]
        return generator.random(shape, dtype=np.float32), labels


def operation(row: str, network: SpikingNetwork, workload: Workload) -> Callable[[], object]:
    """The call that a row measures, with samples and classifier made beforehand.

    :param row: a key of :meth:`Workload.rows`.
    """
    x, y = workload.samples(network)
    kind = PyTorchClassifier if row.startswith("stock") else PyTorchSpikingClassifier
    classifier = kind(
        network,
        nn.CrossEntropyLoss(),
        input_shape=x.shape[1:],
        nb_classes=10,
        device_type="cpu" if workload.device == "cpu" else "gpu",
    )
    if row == "inference":
        return lambda: classifier.predict(x, batch_size=len(x))

    def gradient() -> object:
        with network.using(row.split()[-1]):
            return classifier.loss_gradient(x, y)

    return gradient


def medians(
    operations: dict[str, Callable[[], object]], repeats: int, device: str = "cpu"
) -> dict[str, float]:
    """Median seconds of each operation over `repeats` rounds, one after the other in turn.

    Turns keep a slow spell of the machine from falling on one operation alone. One round runs
    beforehand and is not counted.
    """
    require_count("repeats", repeats, remedy="Medians need at least one round, better five.")
    seconds: dict[str, list[float]] = {name: [] for name in operations}
    for round_ in tqdm(range(repeats + 1), desc="Timing rounds"):
        for name, operate in operations.items():
            _synchronise(device)
            start = time.perf_counter()
            operate()
            _synchronise(device)
            if round_ > 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


@dataclass(frozen=True)
class Cost:
    """Median time and peak memory of each row.

    :param workload: what was measured.
    :param machine: processor or card, threads, versions.
    :param repeats: rounds behind each median.
    :param seconds: row -> median seconds.
    :param peak: row -> peak bytes above the loaded model.
    """

    workload: Workload
    machine: str
    repeats: int
    seconds: dict[str, float]
    peak: dict[str, int]

    def ratio(self, row: str) -> float:
        """Time of the row in inferences."""
        return self.seconds[row] / self.seconds["inference"]

    def memory_ratio(self, row: str) -> float:
        """Peak memory over the model, in inferences."""
        return self.peak[row] / self.peak["inference"]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def table(self) -> str:
        """The table to print: time, ratio, memory, ratio."""
        w = self.workload
        lines = [
            f"One input gradient: {w.model}, T = {w.steps}, batch {w.batch}, "
            f"{w.channels}x{w.image_size}x{w.image_size}, decay {w.decay:g}",
            f"{self.machine}; median of {self.repeats} rounds in turn; memory above the model"
            + ("; freed memory kept" if w.keep_memory else ""),
            "",
            f"{'':30}{'seconds':>9}{'x inference':>13}{'peak MiB':>11}{'x inference':>13}",
        ]
        for row, title in self.workload.rows().items():
            lines.append(
                f"{title:30}{self.seconds[row]:9.3f}{self.ratio(row):13.2f}"
                f"{self.peak[row] / 2**20:11.0f}{self.memory_ratio(row):13.2f}"
            )
        lines.append("")
        for rule in w.rules:
            if "stbp" in w.rules and rule != "stbp":
                relative = self.seconds[rule] / self.seconds["stbp"]
                words = f"A gradient by {rule.upper()} takes {relative:.2f} of the time"
                lines.append(f"{words} of one by STBP.")
        return "\n".join(lines)


def measure(workload: Workload, repeats: int = 7) -> Cost:
    """Time every row in turn, then its peak memory: on the CPU in a fresh process for each row.

    With `keep_memory` the setting stays with this process afterwards.

    :raises ValueError: for repeats < 1.
    """
    prepare(workload)
    network = workload.network()
    operations = {row: operation(row, network, workload) for row in workload.rows()}
    seconds = medians(operations, repeats, workload.device)
    del operations, network
    peak = {row: _peak(row, workload) for row in tqdm(workload.rows(), desc="Peak memory")}
    return Cost(workload, describe_machine(workload.device), repeats, seconds, peak)


def prepare(workload: Workload) -> None:
    """Set this process up as the workload asks: threads, and what becomes of freed memory."""
    set_threads(workload.threads)
    if workload.keep_memory:
        keep_freed_memory()


def set_threads(threads: int | None) -> None:
    """Threads of torch in this process; None leaves them.

    :raises ValueError: for a count below 1.
    """
    if threads is not None:
        require_count("threads", threads, remedy="Leave it out for torch's own choice.")
        torch.set_num_threads(threads)


def _peak(row: str, workload: Workload) -> int:
    if workload.device == "cuda":
        return peak_of_row(row, workload)
    command = [sys.executable, "-m", "art_snn.evaluation.cost", row, json.dumps(asdict(workload))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"measuring the memory of {row!r} failed:\n{done.stderr}")
    return int(done.stdout.split()[-1])


def peak_of_row(row: str, workload: Workload) -> int:
    """Peak bytes of one row above the loaded model, in this process."""
    prepare(workload)
    network = workload.network()
    single = Workload(**{**asdict(workload), "batch": 1})
    # One sample first, so that libraries loaded on demand are not counted.
    operation(row, network, single)()
    return peak_during(operation(row, network, workload), workload.device)


def describe_machine(device: str) -> str:
    """Processor or card, threads, and the versions that matter."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    return f"{_processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}"


def _processor() -> str:
    listing = Path("/proc/cpuinfo")
    if listing.exists():
        for line in listing.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.stdout.write(f"{peak_of_row(sys.argv[1], Workload(**json.loads(sys.argv[2])))}\n")
