"""Time and memory of one input gradient of large networks: SpikingJelly's, for images of 224 x 224.

python examples/study/scale.py --output docs/results/scale

The first gradient of a network takes longer than later ones, since art_snn then compares the
network with its own equations. Each network and gradient has processes of its own. Seconds are
those of the processor, so that other processes on the machine matter little.
"""

import argparse
import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from art_snn.app.cost import build_network, draw_samples, make_call, measure_row_peak
from art_snn.app.machine import describe_machine, keep_memory
from art_snn.app.results import write_result
from art_snn.app.settings import Cost
from art_snn.app.tables import Table, render as render_parts
from art_snn.files import write_text
from art_snn.progress import progress_over

FILE = Path(__file__).parents[1] / "frameworks" / "large_networks.py"
NETWORKS = {"SEW-ResNet-18": "sew_resnet18", "Spikformer-Ti": "spikformer_ti"}
"""The functions of that file by the names of their networks."""
GRADIENTS = {"native": "its own", "stbp": "STBP", "rga": "RGA"}


def measure_seconds(settings: Cost, row: str, repeats: int) -> tuple[float, float]:
    """Seconds of the processor for the first gradient, and the median of those for later ones.

    Call it in a fresh process."""
    torch.set_num_threads(1)
    keep_memory()
    x, y = draw_samples(settings, settings.batch_size)
    call = make_call(settings, row, build_network(settings, x, y), x, y)
    seconds = []
    for _ in range(repeats + 1):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    first, *later = seconds
    return first, statistics.median(later)


def measure(settings: Cost, row: str, repeats: int) -> dict[str, float]:
    """Seconds of the first gradient and of later ones, and peak bytes above the loaded model."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        first, later = pool.submit(measure_seconds, settings, row, repeats).result()
    return {"first": first, "later": later, "peak": measure_row_peak(settings, row)}


def render(title: str, content: Mapping[str, Any]) -> str:
    """A row per network and gradient, with ratios to the gradient of the network's own."""
    rows = []
    for name, measured in content["networks"].items():
        own = measured["native"]
        for row, words in GRADIENTS.items():
            one = measured[row]
            rows.append(
                (
                    name,
                    words,
                    f"{one['first']:.1f}",
                    f"{one['later']:.2f}",
                    f"{one['later'] / own['later']:.2f}",
                    f"{one['peak'] / 2**20:,.0f}",
                    f"{one['peak'] / own['peak']:.2f}",
                )
            )
    titles = ("network", "gradient", "first, s", "later, s", "x own", "peak MiB", "x own")
    return render_parts([title, Table(titles, rows, words=2)], "markdown")


def main() -> None:
    parser = argparse.ArgumentParser(description="Gradients of large networks of SpikingJelly.")
    parser.add_argument("--output", type=Path, default=Path("scale"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--small", action="store_true", help="one sample, to see that it works")
    options = parser.parse_args()
    if find_spec("spikingjelly") is None:
        print("This script needs SpikingJelly: pip install spikingjelly")
        return

    torch.set_num_threads(1)
    batch = 1 if options.small else options.batch_size
    repeats = 1 if options.small else options.repeats
    settings = Cost(batch_size=batch, threads=1)
    networks: dict[str, dict[str, Any]] = {name: {} for name in NETWORKS}
    pairs = [(name, row) for name in NETWORKS for row in GRADIENTS]
    for name, row in progress_over(pairs, "Gradients", unit="gradients"):
        one = replace(settings, model=(f"{FILE}:{NETWORKS[name]}",))
        networks[name][row] = measure(one, row, repeats)

    content = {"machine": describe_machine("cpu"), "networks": networks}
    write_result(options.output / "scale.json", content)
    title = (
        f"One input gradient of a batch of {batch} images of 3x224x224, T = 4. Later gradients: "
        f"median of {repeats}. {content['machine']}."
    )
    text = render(title, content)
    write_text(options.output / "scale.md", text)
    print(text)


if __name__ == "__main__":
    main()
