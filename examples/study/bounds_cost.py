"""What a certificate costs, in time and memory of an inference of the same samples.

python examples/study/bounds_cost.py --model vgg5 --width 0.25 --steps 4 --threads 1
"""

import argparse
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from art_snn import PyTorchSpikingClassifier
from art_snn.bounds import certify_bounds
from art_snn.classifier import wrapped
from art_snn.measuring.calls import medians, peak_during
from art_snn.measuring.machine import set_threads
from art_snn.models import MODELS

SIDE, SAMPLES, REPEATS = 32, 32, 9
EPS = 2 / 255


def classifier(model: str, width: float, steps: int) -> PyTorchSpikingClassifier:
    """An untrained network for images."""
    network = MODELS[model](width=width, steps=steps).eval()
    return wrapped(network, (3, SIDE, SIDE), 10, (0.0, 1.0), "cpu")


def operate(name: str, model: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray) -> None:
    """An inference, or a certificate."""
    if name == "inference":
        model.predict(x, batch_size=SAMPLES)
    else:
        certify_bounds(model, x, y, EPS, batch_size=SAMPLES)


def samples() -> tuple[np.ndarray, np.ndarray]:
    """Random images and classes."""
    draws = np.random.default_rng(0)
    x = draws.random((SAMPLES, 3, SIDE, SIDE), dtype=np.float32)
    return x, draws.integers(0, 10, SAMPLES)


def peak(name: str, threads: int, *form: object) -> int:
    """Bytes that one of the two takes, after a first time that loads what is needed."""
    set_threads(threads)
    model, (x, y) = classifier(*form), samples()  # type: ignore[arg-type]
    operate(name, model, x[:1], y[:1])
    return peak_during(lambda: operate(name, model, x, y), "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description="What a certificate costs in inferences.")
    add = parser.add_argument
    add("--model", default="vgg5", choices=MODELS)
    add("--width", type=float, default=0.25)
    add("--steps", type=int, default=4)
    add("--threads", type=int, default=1)
    add("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        vars(options).update(width=1 / 16, steps=2)
    form = (options.model, options.width, options.steps)
    set_threads(options.threads)
    model, (x, y) = classifier(*form), samples()
    names = ("inference", "certificate")
    calls = {name: (lambda name=name: operate(name, model, x, y)) for name in names}
    time = medians(calls, REPEATS)
    memory = {}
    for name in names:
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            memory[name] = fresh.submit(peak, name, options.threads, *form).result()
    ratios = [of["certificate"] / of["inference"] for of in (time, memory)]
    print(f"{' '.join(map(str, form))}: {ratios[0]:.2f} in time, {ratios[1]:.2f} in memory")


if __name__ == "__main__":
    main()
