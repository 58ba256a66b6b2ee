"""What a certificate costs, in time and memory of an inference of the same samples.

python examples/study/bounds_cost.py --model vgg5 --width 0.25 --steps 4 --flips 1 2 4 --threads 1

In the maximum norm samples are random images. With --flips they are random event frames, the
network's currents are normalised to them, and the classes are those that it gives: otherwise few
neurons would fire, or no sample would be worth a bound.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import events_network
import numpy as np
import torch
from torch import nn

from art_snn import Frames, PyTorchSpikingClassifier, SpikingNetwork
from art_snn.bounds import certify_bounds
from art_snn.classifier import wrapped
from art_snn.measuring.calls import medians, peak_during
from art_snn.measuring.machine import set_threads
from art_snn.models import MODELS

SIDE, SAMPLES, REPEATS = 32, 32, 9
MIB = 2**20
EPS, EVENTS = 2 / 255, 0.05
NETWORKS = {"linear": events_network.network, "convolutions": events_network.convolutions}
"""Those of event frames alone."""


@dataclass(frozen=True)
class Case:
    """What is certified: an untrained network and random samples.

    :param flips: numbers of flips; none for the maximum norm."""

    model: str
    width: float
    steps: int
    flips: tuple[int, ...] = ()

    def setting(self) -> tuple[PyTorchSpikingClassifier, np.ndarray, np.ndarray]:
        """The classifier, samples and classes."""
        torch.manual_seed(0)
        network, x = (self._of_events if self.flips else self._of_images)()
        model = wrapped(network, x.shape[1:], 10, (0.0, 1.0), "cpu")
        return model, x, model.predict(x, batch_size=SAMPLES).argmax(1)

    def calls(self, count: int = SAMPLES) -> dict[str, Callable[[], object]]:
        """An inference of the first samples, and certificates, by name."""
        model, x, y = self.setting()
        x, y = x[:count], y[:count]
        calls = {"inference": lambda: model.predict(x, batch_size=SAMPLES)}
        for k in self.flips:
            calls[f"{k} flips"] = lambda k=k: certify_bounds(model, x, y, k, 0, batch_size=SAMPLES)
        if not self.flips:
            calls["maximum norm"] = lambda: certify_bounds(model, x, y, EPS, batch_size=SAMPLES)
        return calls

    def _of_images(self) -> tuple[SpikingNetwork, np.ndarray]:
        x = np.random.default_rng(0).random((SAMPLES, 3, SIDE, SIDE), dtype=np.float32)
        return MODELS[self.model](width=self.width, steps=self.steps).eval(), x

    def _of_events(self) -> tuple[SpikingNetwork, np.ndarray]:
        if self.model in NETWORKS:
            network, shape = NETWORKS[self.model](), (10, 2, 34, 34)
        else:
            options = {"width": self.width, "in_channels": 2, "image_size": (SIDE, SIDE)}
            network = MODELS[self.model](encoder=Frames(self.steps), **options)
            shape = (self.steps, 2, SIDE, SIDE)
        x = np.random.default_rng(0).random((SAMPLES, *shape)) < EVENTS
        x = x.astype(np.float32)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            network.train()(torch.as_tensor(x))
        return network.eval(), x


def peak(name: str, threads: int, case: Case) -> int:
    """Bytes that one of the calls takes, after a first time that loads what is needed."""
    set_threads(threads)
    case.calls(1)[name]()
    return peak_during(case.calls()[name], "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description="What a certificate costs in inferences.")
    add = parser.add_argument
    add("--model", default="vgg5", choices=[*MODELS, *NETWORKS], help="the last two with --flips")
    add("--width", type=float, default=0.25)
    add("--steps", type=int, default=4)
    add("--flips", type=int, nargs="*", default=[], help="of event frames, in norm 0")
    add("--threads", type=int, default=1)
    add("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        vars(options).update(width=1 / 16, steps=2)
    if options.model in NETWORKS and not options.flips:
        parser.error(f"--model {options.model} takes event frames: give --flips 1 2 4.")
    set_threads(options.threads)
    form = (options.model, options.width, options.steps)
    cases = [Case(*form)] if options.model in MODELS else []
    cases += [Case(*form, tuple(options.flips))] if options.flips else []
    for case in cases:
        calls = case.calls()
        time = medians(calls, REPEATS)
        memory = {}
        for name in calls:
            with ProcessPoolExecutor(1, get_context("spawn")) as fresh:
                memory[name] = fresh.submit(peak, name, options.threads, case).result()
        for name in list(calls)[1:]:
            words = f"{case.model}, {name}: {time[name] / time['inference']:.2f} in time"
            if memory["inference"] >= MIB:  # Less fits into what the process has.
                words += f", {memory[name] / memory['inference']:.2f} in memory"
            print(words)


if __name__ == "__main__":
    main()
