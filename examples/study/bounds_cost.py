"""What a certificate costs, in time and memory of an inference of the same samples.

python examples/study/bounds_cost.py --model vgg5 --width 0.25 --steps 4 --threads 1
python examples/study/bounds_cost.py --zoo

Samples are random images, and their classes are those that the untrained network gives them. With
--zoo: what the usual method certifies of networks of the zoo, next to counts, and its time.
"""

import argparse
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from time import process_time

import numpy as np
import torch

from art_snn import zoo
from art_snn.app.evaluation.verdict import format_eps
from art_snn.app.machine import measure_medians, measure_peak
from art_snn.bounds import certify_bounds
from art_snn.checks import ArgumentError
from art_snn.classifier import wrap
from art_snn.models import MODELS

SIDE, SAMPLES, REPEATS = 32, 32, 9
MIB = 2**20
EPS = 2 / 255


def calls(model: str, width: float, steps: int, count: int = SAMPLES) -> dict[str, Callable]:
    """An inference of the first samples, and a certificate, by name."""
    torch.manual_seed(0)
    x = np.random.default_rng(0).random((SAMPLES, 3, SIDE, SIDE), dtype=np.float32)
    network = MODELS[model](width=width, steps=steps).eval()
    classifier = wrap(network, x.shape[1:], 10, (0.0, 1.0), "cpu")
    y = classifier.predict(x, batch_size=SAMPLES).argmax(1)
    x, y = x[:count], y[:count]
    return {
        "inference": lambda: classifier.predict(x, batch_size=SAMPLES),
        "certificate": lambda: certify_bounds(
            classifier, x, y, EPS, method="counts", batch_size=SAMPLES
        ),
    }


def peak(name: str, threads: int, *form: str | float) -> int:
    """Bytes that one of the calls takes, after a first time that loads what is needed."""
    torch.set_num_threads(threads)
    calls(*form, count=1)[name]()
    return measure_peak(calls(*form)[name], "cpu")


def compare(name: str, count: int) -> None:
    """Print how many samples of a network of the zoo are certified, and ms of each."""
    about, cells = zoo.entry(name), list[str]()
    if about.data not in ("digits", "eurosat"):
        return  # Frames have no trains.
    classifier, (x, y), eps = zoo.classifier(name, "cpu"), zoo.samples(about.data), EPS / 2
    x, y = x[:count], y[:count]
    for method in ("counts", None):
        certify_bounds(classifier, x[:1], y[:1], eps, method=method)
        start = process_time()
        certificate = certify_bounds(classifier, x, y, eps, method=method)
        spent = 1000 * (process_time() - start) / len(x)
        found = certificate.certified.sum()
        cells.append(f"{found} of {len(x)} by {certificate.method} in {spent:.1f} ms")
    print(f"{name}, eps {format_eps('inf', eps)}: {', '.join(cells)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What a certificate costs in inferences.")
    add = parser.add_argument
    add("--model", default="vgg5", choices=MODELS)
    add("--width", type=float, default=0.25)
    add("--steps", type=int, default=4)
    add("--threads", type=int, default=1)
    add("--zoo", action="store_true", help="compare methods on networks of the zoo")
    add("--samples", type=int, default=50, help="of each of them")
    add("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        vars(options).update(width=1 / 16, steps=2)
    torch.set_num_threads(options.threads)
    if options.zoo:
        for name in zoo.names():
            try:
                compare(name, options.samples)
            except ArgumentError as error:  # Gates, draws, and frequencies have no bounds.
                print(f"{name} is left out. {error}", file=sys.stderr)
        return
    form = (options.model, options.width, options.steps)
    time = measure_medians(calls(*form), REPEATS)
    memory = {}
    for name in time:
        with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
            memory[name] = fresh.submit(peak, name, options.threads, *form).result()
    words = f"{options.model}: {time['certificate'] / time['inference']:.2f} in time"
    if memory["inference"] >= MIB:  # Less fits into what the process has.
        words += f", {memory['certificate'] / memory['inference']:.2f} in memory"
    print(words)


if __name__ == "__main__":
    main()
