"""Median times in turn, and peak memory, of anything that has rows to measure."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from tqdm.auto import tqdm

from art_snn.checks import require_count
from art_snn.evaluation.cost.machine import set_threads
from art_snn.evaluation.memory import keep_freed_memory, peak_during
from art_snn.network import SpikingNetwork


class Measurable(Protocol):
    """A network under a load whose rows are measured; it can be pickled."""

    @property
    def device(self) -> str:
        """ "cpu" or "cuda"."""

    @property
    def threads(self) -> int | None:
        """Threads of torch on the CPU; None leaves torch's choice."""

    @property
    def keep_memory(self) -> bool:
        """Whether the measuring process keeps freed memory."""

    def network(self) -> SpikingNetwork:
        """The network, in evaluation mode on the device."""

    def operation(self, row: str, network: SpikingNetwork) -> Callable[[], object]:
        """The call that a row measures, with samples and classifier made beforehand."""

    def of(self, samples: int) -> Measurable:
        """The same load with that many samples at most."""


def prepare(load: Measurable) -> None:
    """Set this process up as the load asks: threads, and what becomes of freed memory."""
    set_threads(load.threads)
    if load.keep_memory:
        keep_freed_memory()


def seconds_of(load: Measurable, rows: Iterable[str], repeats: int) -> dict[str, float]:
    """Median seconds of the rows in this process, all in turn (:func:`medians`)."""
    prepare(load)
    network = load.network()
    operations = {row: load.operation(row, network) for row in rows}
    return medians(operations, repeats, load.device)


def peak_of(load: Measurable, row: str) -> int:
    """Peak bytes of one row above the loaded model, in this process."""
    prepare(load)
    network = load.network()
    # One sample first, so that libraries loaded on demand are not counted.
    load.of(1).operation(row, network)()
    return peak_during(load.operation(row, network), load.device)


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


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()
