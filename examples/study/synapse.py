"""What a synapse costs: time and memory of VGG-5 without and with one, each next to the other.

python examples/study/synapse.py

Seconds are those of the processor, so that other processes on the machine matter little.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from art_snn import SpikingNetwork
from art_snn.app.cost import INFERENCE, build_network, draw_samples, make_call, measure_row_peak
from art_snn.app.machine import describe_machine, keep_memory
from art_snn.app.settings import Cost
from art_snn.app.tables import Table, render
from art_snn.models import vgg5

ROWS = (INFERENCE, "rga", "stbp")


def synaptic() -> SpikingNetwork:
    """VGG-5 with a synapse, as --model takes it."""
    return vgg5(synapse=0.5)


def measure_seconds(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Medians of the seconds of the processor over rounds of all calls, without the first."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values[1:]) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of VGG-5 with a synapse.")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()

    models = ("vgg5", f"{Path(__file__)}:synaptic")
    batch = 2 if options.small else 32
    settings = [Cost(model=(model,), batch_size=batch, threads=1) for model in models]
    repeats = 1 if options.small else options.repeats

    table = []
    calls = {}
    for row in ROWS:
        for each in settings:
            x, y = draw_samples(each, batch)
            calls[f"{row} {each.model}"] = make_call(each, row, build_network(each, x, y), x, y)
    seconds = [*measure_seconds(calls, repeats).values()]
    for index, row in enumerate(ROWS):
        without, with_one = seconds[2 * index : 2 * index + 2]
        few, many = (measure_row_peak(each, row) / 2**20 for each in settings)
        times = f"{without:.3f}", f"{with_one:.3f}", f"{with_one / without:.2f}"
        peaks = f"{few:.0f}", f"{many:.0f}", f"{many / few:.2f}"
        table.append((row, *times, *peaks))
    titles = ("one", "seconds", "with a synapse", "ratio", "peak MiB", "with a synapse", "ratio")
    print(render([describe_machine("cpu"), Table(titles, table)], "markdown"))


if __name__ == "__main__":
    main()
