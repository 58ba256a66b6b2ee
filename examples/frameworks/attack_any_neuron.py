"""Attack neurons that no rule knows: STBP exchanges the slope of their spikes.

    python examples/frameworks/attack_any_neuron.py

The networks are Norse's LIFCell and LSNNCell, and adaptive neurons written by hand. Each is
attacked with its own gradient, then with the slopes of two surrogates, then by the plan `fast`.
The neurons need no `register_neuron`: equations that are known are not used, either. The table
shows accuracy in %.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from art.attacks.evasion import ProjectedGradientDescent
from torch import Tensor, nn

from art_snn import PyTorchSpikingClassifier, SpikingNetwork
from art_snn.app.tables import Table, render
from art_snn.attacks import SpikingAutoAttack
from art_snn.data import digits
from art_snn.gradients import STBP, FastSigmoid, Triangle
from art_snn.interop import adapt

try:
    import norse.torch as norse
except ImportError:
    norse = None

EPS = 0.1
STEPS = 12
RULES: dict[str, Any] = {
    "native": "native",
    "triangle": STBP(surrogate=Triangle(width=0.5)),
    "fast sigmoid": STBP(surrogate=FastSigmoid(k=10)),
}
"""The gradients of PGD-20. All but `native` exchange slopes."""


class NorseNetwork(nn.Module):
    """Three layers of a cell of Norse, and potentials as outputs: [N, 1, 8, 8] -> [N, 10]."""

    def __init__(self, cell: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.body = norse.SequentialState(
            nn.Flatten(),
            nn.Linear(64, 100),
            cell(),
            nn.Linear(100, 100),
            cell(),
            nn.Linear(100, 100),
            cell(),
            nn.Linear(100, 10),
            norse.LICell(),
        )

    def forward(self, x: Tensor) -> Tensor:
        state = None
        potentials = []
        for _ in range(STEPS):
            potential, state = self.body(x, state)
            potentials.append(potential)
        return torch.stack(potentials).mean(0)


class Adaptive(nn.Module):
    """Neurons whose threshold rises with every spike, on currents [T, N, F]."""

    decay = 0.8
    adaptation = 0.9
    strength = 0.5

    def forward(self, x: Tensor) -> Tensor:
        v = torch.zeros_like(x[0])
        b = torch.zeros_like(x[0])
        spikes = []
        for current in x:
            u = self.decay * v + current
            threshold = 1 + self.strength * b
            spike = self.fire(u - threshold)
            v = u - threshold * spike
            b = self.adaptation * b + spike
            spikes.append(spike)
        return torch.stack(spikes)

    def fire(self, distance: Tensor) -> Tensor:
        """Spikes, with the gradient of a sigmoid: a straight-through sum."""
        hard = (distance >= 0).to(distance)
        soft = torch.sigmoid(4 * distance)
        return (hard - soft).detach() + soft


class HandWritten(nn.Module):
    """Two layers of adaptive neurons: [N, 1, 8, 8] -> [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64, 100), Adaptive(), nn.Linear(100, 100), Adaptive(), nn.Linear(100, 10)
        )

    def forward(self, x: Tensor) -> Tensor:
        steps = x.flatten(1).expand(STEPS, -1, -1)
        return self.layers(steps).mean(0)


NETWORKS: dict[str, Callable[[], nn.Module]] = {"hand-written": HandWritten}
if norse is not None:
    NETWORKS = {
        "Norse LIFCell": lambda: NorseNetwork(norse.LIFCell),
        "Norse LSNNCell": lambda: NorseNetwork(norse.LSNNCell),
        **NETWORKS,
    }


def hand_written() -> SpikingNetwork:
    """An untrained network for the command line: --model attack_any_neuron.py:hand_written."""
    return adapt(HandWritten(), encoder=None)


def norse_lif() -> SpikingNetwork:
    """The same of Norse's LIFCell, whose equations are not used."""
    return adapt(NorseNetwork(norse.LIFCell), encoder=None, equations=False)


def train(build: Callable[[], nn.Module], seed: int, small: bool) -> PyTorchSpikingClassifier:
    """A network that was trained on digits with its own gradient."""
    torch.manual_seed(seed)
    data = digits()
    model = build()
    classifier = PyTorchSpikingClassifier(
        adapt(model, encoder=None, equations=False),
        nn.CrossEntropyLoss(),
        data.input_shape,
        data.classes,
        torch.optim.Adam(model.parameters(), lr=5e-3),
        clip_values=(0, 1),
    )
    count = 256 if small else None
    classifier.fit(
        data.x_train[:count],
        data.y_train[:count],
        batch_size=128,
        nb_epochs=2 if small else 25,
        verbose=False,
    )
    return classifier


def attack(classifier: PyTorchSpikingClassifier, count: int) -> list[float]:
    """Accuracy in % without an attack, under PGD with every gradient, and under the plan `fast`."""
    data = digits()
    x = data.x_test[:count]
    y = data.y_test[:count]

    def accuracy(samples: np.ndarray) -> float:
        return 100 * float((classifier.predict(samples).argmax(1) == y).mean())

    accuracies = [accuracy(x)]
    for rule in RULES.values():
        classifier.set_params(gradient=rule)
        pgd = ProjectedGradientDescent(
            classifier, eps=EPS, eps_step=EPS / 8, max_iter=20, batch_size=200, verbose=False
        )
        accuracies.append(accuracy(pgd.generate(x, y)))
    plan = SpikingAutoAttack(classifier, eps=EPS, plan="fast")
    accuracies.append(accuracy(plan.generate(x, y)))
    return accuracies


def main() -> None:
    parser = argparse.ArgumentParser(description="Attack neurons that no rule knows.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--small", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if norse is None:
        print("Norse is not installed, and its networks are left out: pip install norse")
    count = 8 if chosen.small else 200
    seeds = 1 if chosen.small else chosen.seeds

    rows = []
    for name, build in NETWORKS.items():
        for seed in range(seeds):
            accuracies = attack(train(build, seed, chosen.small), count)
            rows.append([name, str(seed), *(f"{value:.1f}" for value in accuracies)])
    titles = ["network", "seed", "clean", *(f"PGD-20, {name}" for name in RULES), "plan fast"]
    print(render([Table(titles, rows)], "markdown"))


if __name__ == "__main__":
    main()
