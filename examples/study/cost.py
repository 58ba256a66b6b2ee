"""Time and memory of PGD against the time steps, as in table S2, by both gradients.

    python examples/study/cost.py --output study

The same as `art-snn cost --protocol table-s2`, here with a factor of the models' widths that lets
it end on a desktop computer. A run that was interrupted goes on after its last network.
"""

import argparse
from pathlib import Path

from art_snn.evaluation.cost import TableS2
from art_snn.evaluation.cost.growth_table import table
from art_snn.scaling import run


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of PGD against the time steps.")
    parser.add_argument("--output", type=Path, default=Path("study"))
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--small", action="store_true")
    chosen = parser.parse_args()
    if chosen.small:
        protocol = TableS2(
            models=("vgg5",), steps=(2,), batch=2, samples=2, image_size=8, width=0.1, repeats=1
        )
    else:
        protocol = TableS2(width=chosen.width, repeats=chosen.repeats, threads=chosen.threads)
    print(table(run(protocol, chosen.output / ("small-cost" if chosen.small else "cost"))))


if __name__ == "__main__":
    main()
