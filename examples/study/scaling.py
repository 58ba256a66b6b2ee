"""Time and memory of PGD against the time steps, as in table S2, by both gradients.

    python examples/study/scaling.py --output study/scaling

The same as `art-snn scaling`, from Python, with a factor of the models' widths that lets it end on
a desktop computer. A run that was interrupted goes on after its last network.
"""

import argparse
from pathlib import Path

from art_snn.app.scaling import Settings, run

from art_snn.data import Source


def main() -> None:
    parser = argparse.ArgumentParser(description="Time and memory of PGD against the time steps.")
    parser.add_argument("--output", type=Path, default=Path("study/scaling"))
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--small", action="store_true")
    chosen = parser.parse_args()
    settings = Settings(
        output=chosen.output, width=chosen.width, repeats=chosen.repeats, threads=chosen.threads
    )
    if chosen.small:
        settings = Settings(
            output=chosen.output / "small",
            models=("vgg5",),
            steps=(2,),
            width=0.1,
            source=Source(data="random", image_size=8),
            samples=2,
            batch_size=2,
            repeats=1,
        )
    print(run(settings).render())


if __name__ == "__main__":
    main()
