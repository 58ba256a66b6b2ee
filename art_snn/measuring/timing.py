"""Median times of operations that take turns."""

import statistics
import time
from collections.abc import Callable

import torch
from tqdm.auto import tqdm

from art_snn.checks import require_count


def medians(
    operations: dict[str, Callable[[], object]], repeats: int, device: str = "cpu"
) -> dict[str, float]:
    """Median seconds of each operation over `repeats` rounds, one after the other in turn.

    Turns keep a slow spell of the machine from falling on one operation alone. One round runs
    beforehand and is not counted. A ValueError is raised for repeats < 1."""
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
    if device == "gpu":
        torch.cuda.synchronize()
