"""Certified training on natural images: spiking networks beside twins of ReLU.

    python examples/study/certified.py --data data/eurosat32_10k.npz \
        --output results/certified-eurosat
    python examples/study/certified.py --data cifar10_first5000.npz --networks t1 t2 relu \
        --eps 2/255 --output results/certified-cifar10

Trains networks of one shape within bounds, for every budget and seed, and certifies test samples
at all budgets. --held-out 0.125 takes training samples in their place, for choices. Next to the
table it writes what accuracy the weight of the bounds costs, and where intervals grow. A run that
was interrupted goes on where it stopped. Runs with other networks, weights or seeds into the same
folder are added to its table. Training mirrors colour images, but neither digits nor events.
Networks are trained in single precision and certified in double precision. There rounding adds
next to nothing to the bounds; in single precision it costs twins with ReLU several points.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from setting import ratio
from torch import nn

from art_snn import LIF, PyTorchSpikingClassifier, SpikingNetwork, checkpoint
from art_snn.app import tables
from art_snn.app.evaluation.verdict import format_eps
from art_snn.app.machine import keep_memory
from art_snn.app.results import as_json, read_result, write_result
from art_snn.app.tables import GREY, SERIES
from art_snn.bounds import METHODS, Bounding, certify_bounds, decide_bounds
from art_snn.bounds.box import Box
from art_snn.checks import require
from art_snn.classifier import wrap
from art_snn.data import Dataset, Source
from art_snn.encoders import Frames
from art_snn.files import write_text
from art_snn.gradients import STBP, Rectangle
from art_snn.metrics import Share
from art_snn.models import shallow
from art_snn.seeding import fix_seed
from art_snn.training import AdversarialTraining, Recipe, train
from art_snn.training.defences import IBP

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "t1": {"steps": 1},
    "t2": {"steps": 2},
    "t4": {"steps": 4},
    "t2-lif": {"steps": 2, "decay": 0.5, "reset": "hard"},
    "t2-rectangle": {"steps": 2, "training_gradient": STBP(surrogate=Rectangle(width=1.0))},
    "frames": {},
    "relu": {"steps": 1},
}
"""Settings of the networks. All are IF neurons with soft reset, but where they say otherwise; the
twin has ReLU in their place. Event frames are the time steps of every network."""
WORDS = {
    "t1": "IF, T = 1",
    "t2": "IF, T = 2",
    "t4": "IF, T = 4",
    "t2-lif": "LIF 0.5, hard reset, T = 2",
    "t2-rectangle": "IF, T = 2, rectangle",
    "frames": "IF, event frames",
    "relu": "ReLU",
}
MEASURED = 200
"""Samples of which the widths of intervals are means."""
GROWN = f"""The next table shows where intervals grow. It has the share of unsure outputs after each
layer, and the mean width of their intervals. The budget is that of the training, and the numbers
are means over the first {MEASURED} samples and all seeds."""


@dataclass(frozen=True)
class Training:
    """One training: a network of NETWORKS, the budget and the weight of the bounds, a seed."""

    network: str
    eps: float
    weight: float
    seed: int

    def __str__(self) -> str:
        return f"{self.network}-{255 * self.eps:g}-{self.weight:g}-{self.seed}"


class Study:
    """Trainings and what is measured of them, by the options of the command line."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        data = Source(data=options.data).load()
        self.data: Dataset = data.hold_out(options.held_out) if options.held_out else data
        self.x = self.data.x_test[: options.samples]
        self.y = self.data.y_test[: options.samples]

    def build(self, training: Training) -> SpikingNetwork:
        """The network before it is trained."""
        options, x = self.options, self.data.x_train
        form = {"decay": 1.0, "reset": "soft"} | dict(NETWORKS[training.network])
        if x.ndim == 5:
            form |= {"steps": x.shape[1], "encoder": Frames()}
        channels = x.ndim - 3
        others = tuple(axis for axis in range(x.ndim) if axis != channels)
        with fix_seed(training.seed):
            network = shallow(
                width=options.width,
                in_channels=x.shape[channels],
                image_size=x.shape[-2:],
                classes=self.data.classes,
                mean=tuple(x.mean(others).tolist()),
                std=tuple(x.std(others).tolist()),
                **form,
            )
        if training.network == "relu":
            assert isinstance(network.layers, nn.Sequential)
            for index, layer in enumerate(network.layers):
                if isinstance(layer, LIF):
                    network.layers[index] = nn.ReLU()
        return network

    def train(self, training: Training) -> tuple[SpikingNetwork, float]:
        """The trained network, and seconds of an epoch; its weights lie in its folder."""
        options = self.options
        folder = options.output / str(training)
        network = self.build(training)
        file = folder / "network.safetensors"
        if file.exists():
            checkpoint.load(network, file)
            return network.eval(), read_result(folder / "training.json")["seconds"]
        defence = IBP(bound_weight=training.weight, ramp=0.4)
        adversary = AdversarialTraining(eps=training.eps, defence=defence)
        recipe = Recipe(
            epochs=options.epochs,
            batch_size=32,
            optimizer="adam",
            learning_rate=options.learning_rate,
            crop_padding=0,
            cutout=0,
            flip=self.data.input_shape[-3] == 3,
            turn="eurosat" in options.data,
            seed=training.seed,
        )
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / "training.pt"
        began = time.process_time()
        epochs = train(
            network, self.data.x_train, self.data.y_train, recipe, state, adversary=adversary
        )
        seconds = (time.process_time() - began) / len(epochs)
        checkpoint.save(network, file, recipe=asdict(recipe), adversary=repr(adversary))
        write_result(folder / "training.json", {"seconds": seconds})
        state.unlink()
        return network.eval(), seconds

    def measure(self, training: Training) -> None:
        """Write what is counted of a network: correct, certified and decided samples, widths."""
        options = self.options
        file = options.output / f"{training}-{len(self.x)}-{options.decided}.json"
        if file.exists():
            return
        network, seconds = self.train(training)
        network.double()
        shape, limits = self.data.input_shape, self.data.value_range
        classifier = wrap(network, shape, self.data.classes, limits, "cpu")
        right = classifier.predict(self.x, batch_size=100).argmax(1) == self.y
        row = {
            **asdict(training),
            "seconds": seconds,
            "samples": len(self.x),
            "clean": int(right.sum()),
            "certified": self.certified(classifier, right),
            "widths": self.widths(classifier, training.eps),
            "decided": self.decided(classifier, training),
        }
        write_result(file, row)

    def certified(self, classifier: PyTorchSpikingClassifier, right: np.ndarray) -> dict[str, int]:
        """Certified samples at every budget, by counts."""
        counts = {}
        for eps in self.options.eps:
            how: dict[str, Any] = {"method": "counts", "batch_size": 50}
            one = certify_bounds(classifier, self.x, self.y, eps, **how)
            assert not (one.certified & ~right).any()
            counts[format_eps("inf", eps)] = int(one.certified.sum())
        return counts

    def decided(self, classifier: PyTorchSpikingClassifier, training: Training) -> dict[str, str]:
        """Both ends of the robust accuracy of the first samples; of twins there is no decision."""
        count, ends = self.options.decided, dict[str, str]()
        if not count:
            return ends
        for eps in self.options.eps:
            budget = format_eps("inf", eps)
            ends[budget] = ""
            if training.network == "relu":
                continue
            x, y, seconds = self.x[:count], self.y[:count], self.options.seconds
            decision = decide_bounds(classifier, x, y, eps, seconds=seconds)
            safe = Share(int(decision.safe.sum()), count)
            standing = Share(int((~decision.broken).sum()), count)
            ends[budget] = f"{safe.percent} to {standing.percent}"
        return ends

    def widths(self, classifier: PyTorchSpikingClassifier, eps: float) -> list[list[float]]:
        """After each layer of neurons, or ReLU: the share of them whose output is unsure, and
        the mean width of intervals, in shares of the mean output."""
        network = classifier.model
        x = torch.as_tensor(self.x[:MEASURED], dtype=torch.float64)
        outputs: list[Box] = []

        def note(*found: Any) -> None:
            outputs.append(found[-1])

        bounding = Bounding(network, METHODS["counts"](), eps, limits=self.data.value_range)
        hooks = [
            layer.register_forward_hook(note)
            for layer in network.layers
            if any(isinstance(part, nn.ReLU) for part in layer.modules())
        ]
        with bounding.evaluating():
            bounding.spread(bounding.enclose(x), observe=note)
        for hook in hooks:
            hook.remove()
        rows = []
        for box in outputs:
            centre, radius = box.centre[-1].detach(), box.radius[-1].detach()
            unsure = float((radius > 1e-6).double().mean())
            rows.append([unsure, float(2 * radius.mean() / centre.abs().mean())])
        return rows


def keep_setting(options: argparse.Namespace) -> None:
    """Note what all runs into a folder share.

    :raises ArgumentError: for the folder of another setting."""
    names = ("data", "epochs", "width", "learning_rate", "held_out", "eps")
    setting = as_json({name: getattr(options, name) for name in names})
    file = options.output / "setting.json"
    if file.exists():
        earlier = {name: read_result(file)[name] for name in names}
        require(setting == earlier, "--output", f"a folder of {setting}", earlier, "Name another.")
    write_result(file, setting)


def kept(options: argparse.Namespace, samples: int) -> list[dict[str, Any]]:
    """Rows of all runs into this folder, in the order of the table."""
    files = options.output.glob(f"*-{samples}-{options.decided}.json")
    rows = [dict(read_result(file)) for file in files]
    names = list(WORDS)
    return sorted(
        rows, key=lambda row: (names.index(row["network"]), row["eps"], row["weight"], row["seed"])
    )


def group(rows: list[dict[str, Any]]) -> dict[tuple[str, float, float], list[dict[str, Any]]]:
    """Rows of all seeds by network, budget and weight."""
    groups: dict[tuple[str, float, float], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["network"], row["eps"], row["weight"]), []).append(row)
    return groups


def spread(values: list[float]) -> str:
    """The mean of several seeds in percent, and the lowest and the highest."""
    mean = sum(values) / len(values)
    words = f"{100 * mean:.1f}"
    return (
        words if len(values) == 1 else f"{words} [{100 * min(values):.1f}, {100 * max(values):.1f}]"
    )


def render(title: str, content: Mapping[str, Any]) -> str:
    """A table with a line for each network, budget and weight; another of where intervals grow."""
    rows = content["rows"]
    budgets = list(rows[0]["certified"])
    lines, grown = [], []
    for (network, eps, weight), several in group(rows).items():
        count = several[0]["samples"]
        values = [spread([row["clean"] / count for row in several])]
        values += [
            spread([row["certified"][budget] / count for row in several]) for budget in budgets
        ]
        seconds = f"{np.mean([row['seconds'] for row in several]):.0f}"
        name = (WORDS[network], format_eps("inf", eps), f"{weight:g}", str(len(several)))
        lines.append((*name, *values, *(several[0]["decided"].values()), seconds))
        for place, numbers in enumerate(np.mean([row["widths"] for row in several], 0), 1):
            unsure, width = numbers
            grown.append((*name[:3], str(place), f"{100 * unsure:.1f}", f"{100 * width:.1f}"))
    titles = ["network", "trained at", "weight", "seeds", "clean"]
    titles += [f"certified, {budget}" for budget in budgets]
    titles += [f"decided, {budget}" for budget in rows[0]["decided"]] + ["CPU s an epoch"]
    where = ("network", "trained at", "weight", "layer", "unsure, %", "width, % of the mean")
    parts = [title, tables.Table(tuple(titles), lines), GROWN, tables.Table(where, grown)]
    return tables.render(parts, "markdown")


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Certified against clean accuracy of all trainings, a panel for each budget.

    Of every network a line goes through the means of its seeds, weight by weight."""
    budgets = list(rows[0]["certified"])
    figure = Figure(figsize=(4 * len(budgets), 4.2), layout="constrained")
    axes = figure.subplots(1, len(budgets), sharex=True, sharey=True, squeeze=False)[0]
    colours = dict(zip(WORDS, [*SERIES, GREY], strict=False))
    for ax, budget in zip(axes, budgets, strict=True):
        labelled = set[str]()
        for row in rows:
            name, count = row["network"], row["samples"]
            ax.plot(
                100 * row["clean"] / count,
                100 * row["certified"][budget] / count,
                "s" if name == "relu" else "o",
                color=colours[name],
                ms=3 + 4 * row["weight"],
                label=None if name in labelled else WORDS[name],
            )
            labelled.add(name)
        for network in labelled:
            means = [
                (
                    np.mean([100 * row["clean"] / row["samples"] for row in several]),
                    np.mean([100 * row["certified"][budget] / row["samples"] for row in several]),
                )
                for (name, *_), several in group(rows).items()
                if name == network
            ]
            ax.plot(*np.transpose(means), color=colours[network], lw=1, alpha=0.6)
        ax.set(title=f"at {budget}", xlabel="clean accuracy [%]", axisbelow=True)
        ax.grid(alpha=0.3)
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("certified accuracy [%]")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=6, loc="outside lower center")
    return figure


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Certified training on natural images.")
    add = parser.add_argument
    add("--data", default="data/eurosat32_10k.npz", help="images, as in art-snn train")
    add("--networks", nargs="+", default=["t1", "t2", "t4", "relu"], choices=NETWORKS)
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--eps", type=ratio, nargs="+", default=[1 / 255, 2 / 255, 4 / 255], help="budgets")
    add("--train-eps", type=ratio, nargs="+", default=[2 / 255], help="budgets in training")
    add("--weights", type=float, nargs="+", default=[0.7], help="of the bounds in the loss")
    add("--epochs", type=int, default=20)
    add("--learning-rate", type=float, default=0.005)
    add("--width", type=float, default=0.5, help="of the layers: 32 filters, 64 hidden neurons")
    add("--samples", type=int, default=1000, help="test samples")
    add("--held-out", type=float, help="share of the training samples that are tested instead")
    add("--decided", type=int, default=0, help="the first of them, which are decided")
    add("--seconds", type=float, default=10.0, help="of a decision")
    add("--threads", type=int, default=1)
    add("--output", type=Path, default=Path("results/certified"))
    add("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        small = {"epochs": 1, "width": 1 / 16, "samples": 4, "decided": 2, "seconds": 0.1}
        small |= {"networks": ["t2", "relu"], "seeds": [0], "data": "digits", "eps": [0.01]}
        vars(options).update(small, output=options.output / "small")
    return options


def main() -> None:
    options = parse()
    keep_memory()
    torch.set_num_threads(options.threads)
    study = Study(options)
    keep_setting(options)
    trainings = [
        Training(network, eps, weight, seed)
        for seed in options.seeds
        for eps in options.train_eps
        for weight in options.weights
        for network in options.networks
    ]
    for training in trainings:
        study.measure(training)
    rows = kept(options, len(study.x))
    title = f"Accuracy in % on {len(study.x)} samples of {study.data.name}, after {options.epochs} "
    title += (
        "epochs of Adam. Several seeds have their mean, and in brackets the lowest and the highest."
    )
    if options.decided:
        title += " Decided: what is safe, and what is not broken, of the first "
        title += f"{options.decided}."
    content = {"rows": rows}
    write_result(options.output / "certified.json", content)
    table = render(title, content)
    write_text(options.output / "certified.md", table)
    draw(rows).savefig(options.output / "certified.png", dpi=110)
    print(table)


if __name__ == "__main__":
    main()
