"""Raw events of an event camera: make recordings, write a file, train and attack a network on it.

    python examples/raw_events.py

A dot moves to the left or to the right, and its edges cause events. The network shall tell which.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from art_snn.attacks import SparseDynamicAttack
from art_snn.classifier import wrap
from art_snn.data import Source
from art_snn.encoders import Frames
from art_snn.models import cnn4
from art_snn.training import Recipe, train

SIDE = 16
MILLISECONDS = 80


def record(moves_right: bool, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """Events of one recording: columns, rows, polarities and times in microseconds."""
    times = np.sort(draw.uniform(0, 1000 * MILLISECONDS, 300))
    way = times / times[-1] if moves_right else 1 - times / times[-1]
    brighter = draw.integers(0, 2, len(times))
    # The front of the dot becomes brighter, the back of it darker.
    ahead = 2 * brighter - 1 if moves_right else 1 - 2 * brighter
    x = 3 + way * (SIDE - 7) + 1.5 * ahead + draw.normal(0, 0.5, len(times))
    y = draw.integers(2, SIDE - 2) + draw.normal(0, 1.0, len(times))
    place = {"x": x.clip(0, SIDE - 1), "y": y.clip(0, SIDE - 1)}
    columns = place | {"p": brighter, "t": times}
    return {name: column.astype(np.int64) for name, column in columns.items()}


def write(path: Path, count: int) -> None:
    """Write a file of so many recordings, half of each class."""
    draw = np.random.default_rng(0)
    labels = np.arange(count) % 2
    recordings = [record(bool(label), draw) for label in labels]
    columns = {
        name: np.concatenate([one[name] for one in recordings]) for name in ("x", "y", "p", "t")
    }
    lengths = [len(one["x"]) for one in recordings]
    np.savez(path, **columns, recording=np.repeat(np.arange(count), lengths), label=labels)


def main() -> None:
    parser = argparse.ArgumentParser(description="Raw events.")
    parser.add_argument("--small", action="store_true")
    small = parser.parse_args().small
    with TemporaryDirectory() as folder:
        path = Path(folder) / "raw.npz"
        write(path, 20 if small else 200)
        counts = Source(data=str(path), image_size=SIDE, frames=8, bins="time").load()
    # Attacks on single events need frames of 0 and 1.
    parts = {name: np.minimum(getattr(counts, name), 1) for name in ("x_train", "x_test")}
    data = replace(counts, **parts, value_range=(0, 1))
    print(f"{data.x_train.shape[0]} recordings to train, frames {data.input_shape}")
    print(f"A frame lasts {data.milliseconds:.0f} ms.")

    network = cnn4(in_channels=2, image_size=SIDE, classes=2, encoder=Frames(), steps=8)
    train(network, data.x_train, data.y_train, Recipe.short(epochs=1 if small else 8))
    classifier = wrap(network, data.input_shape, data.classes, data.value_range, "cpu")
    logits = classifier.predict(data.x_test)
    print(f"clean accuracy {(logits.argmax(1) == data.y_test).mean():.2f}")

    attack = SparseDynamicAttack(classifier, eps=20, verbose=False)
    logits = classifier.predict(attack.generate(data.x_test, data.y_test))
    print(f"after 20 flipped values {(logits.argmax(1) == data.y_test).mean():.2f}")


if __name__ == "__main__":
    main()
