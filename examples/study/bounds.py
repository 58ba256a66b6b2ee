"""Certified and attacked accuracy side by side, of four trainings: how wide is what stays unknown?

    python examples/study/bounds.py --data digits --eps 0.05 0.1 --train-eps 0.075 --output bounds

Trains one network plainly, one adversarially, and two within bounds, by both methods. All are
evaluated as by art-snn evaluate --bounds. A run that was interrupted goes on where it stopped.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from setting import ratio

from art_snn.app import evaluate, harden, tables, train
from art_snn.app.attack import Attack
from art_snn.app.colours import GREY, SERIES
from art_snn.app.report.evaluation import Evaluation
from art_snn.app.report.verdict import format_eps, verdicts
from art_snn.app.resume import as_json, structured, write_result
from art_snn.app.trained import Trained
from art_snn.bounds import certify_bounds
from art_snn.data import Source
from art_snn.files import write_text
from art_snn.gradients import parse_rule
from art_snn.metrics import Share
from art_snn.models import Architecture
from art_snn.training import Recipe
from art_snn.training.defences import Strengths

TRAININGS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "at": {"defence": "at"},
    "ibp, s-ibp": {"defence": "ibp", "method": "s-ibp"},
    "ibp, counts": {"defence": "ibp", "method": "counts"},
}
"""What each network is trained by: the defence, and the method of its bounds."""


@dataclass(frozen=True)
class Study:
    """What is trained and evaluated, by the options of the command line."""

    options: argparse.Namespace

    @property
    def common(self) -> dict[str, Any]:
        """Settings that all commands take."""
        options = self.options
        limits = None if options.value_range is None else tuple(options.value_range)
        source = Source(data=options.data, root=options.root, value_range=limits)
        return {"threads": options.threads, "device": options.device, "source": source}

    def train(self, name: str) -> Path:
        """The weights of a network, from its folder or trained now."""
        options, folder = self.options, self.folder(name)
        if (folder / "training.json").exists():
            return folder / "network.safetensors"
        form = {"model": options.model, "width": options.width, "steps": options.steps}
        form = {"model": options.model} if ":" in str(options.model) else form
        recipe = Recipe(
            epochs=options.epochs,
            optimizer="adam",
            learning_rate=options.learning_rate,
            crop_padding=0,
            cutout=0,
            flip=options.flip,
        )
        settings = self.common | {"output": folder, "recipe": recipe}
        settings["architecture"] = Architecture(**form)
        training = dict(TRAININGS[name])
        defence, budget = training.pop("defence", None), options.train_eps
        if defence is None:
            train.run(train.Settings(**settings))
        elif defence == "ibp":
            settings |= {"attack": Attack(eps=budget), "strengths": Strengths(**training)}
            harden.run(harden.Settings(defence=defence, **settings))
        else:
            attack = Attack(name="pgd", eps=budget, eps_step=0.75 * budget, iterations=2)
            settings |= {"attack": attack, "rule": parse_rule("stbp")}
            harden.run(harden.Settings(defence=defence, **settings))
        (folder / "training.pt").unlink()
        return folder / "network.safetensors"

    def evaluate(self, name: str) -> Evaluation:
        """What is certified of it, and what attacks leave."""
        options = self.options
        settings = evaluate.Settings(
            output=self.folder(name) / "evaluation",
            network=self.trained(name),
            norm=options.norm,
            eps=tuple(options.eps),
            plan="fast" if options.small else options.plan,
            samples=options.samples,
            examined=min(options.samples, 100),
            bounds=True,
            **self.common,
        )
        result = evaluate.run(settings)
        assert result is not None
        return result.evaluation

    def steps_alone(self, name: str) -> list[int]:
        """How many of the same samples S-IBP certifies, budget by budget."""
        options, trained = self.options, self.trained(name)
        data = self.common["source"].load()
        classifier = trained.classifier(data, options.device)
        trained.obtain(classifier.model, data, options.output)
        x, y = data.x_test[: options.samples], data.y_test[: options.samples]
        budgets, how = options.eps, (options.norm, "s-ibp")
        certificates = [certify_bounds(classifier, x, y, eps, *how) for eps in budgets]
        return [int(one.certified.sum()) for one in certificates]

    def trained(self, name: str) -> Trained:
        """The network with its weights."""
        checkpoint, model = self.train(name), self.options.model
        if ":" in str(model):
            return Trained(architecture=Architecture(model=model), checkpoint=checkpoint)
        return Trained(checkpoint=checkpoint)

    def folder(self, name: str) -> Path:
        """Where a network is kept."""
        return Path(self.options.output) / name.replace(", ", "-")


def render(title: str, content: Mapping[str, Any]) -> str:
    """A row per network and budget."""
    titles = ("training", "budget", "clean", "certified, S-IBP", "certified, counts")
    rows = []
    for name, evaluation in outcomes(content).items():
        for verdict, steps in zip(verdicts(evaluation), content["steps"][name], strict=True):
            budget = format_eps(verdict.norm, verdict.eps)
            shares = [verdict.outcome.clean_accuracy, Share(steps, len(evaluation.samples))]
            ends = [verdict.certified, verdict.outcome.robust_accuracy]
            rows.append((name, budget, *map(str, [*shares, *ends])))
    table = tables.Table((*titles, "under all attacks"), rows)
    return tables.render([title, table], "markdown")


def draw(ax: Axes, evaluations: Mapping[str, Evaluation]) -> None:
    """Clean, attacked and certified accuracy of every network, budget by budget."""
    labels = []
    for name, evaluation in evaluations.items():
        for verdict in verdicts(evaluation):
            place = len(labels)
            labels.append(f"{name}\n{format_eps(verdict.norm, verdict.eps)}")
            shares = verdict.outcome.clean_accuracy, verdict.outcome.robust_accuracy
            values = [100 * share.value for share in (*shares, verdict.certified or shares[1])]
            colours = (GREY, SERIES[1], SERIES[0])
            names = ("clean", "under all attacks", "certified")
            for value, colour, label in zip(values, colours, names, strict=True):
                ax.bar(place, value, 0.7, color=colour, label=None if place else label)
    ax.set(ylabel="accuracy [%]", ylim=(0, 100), axisbelow=True)
    ax.set_xticks(np.arange(len(labels)), labels, fontsize="small")
    ax.grid(alpha=0.3, axis="y")
    ax.legend(frameon=False, ncols=3, loc="upper right", bbox_to_anchor=(1, 1.12))


def outcomes(content: Mapping[str, Any]) -> dict[str, Evaluation]:
    """What the file holds, by the name of the training."""
    return {name: structured(one, Evaluation) for name, one in content["evaluations"].items()}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Certified and attacked accuracy side by side.")
    add = parser.add_argument
    add("--data", default="digits", help="as in art-snn train")
    add("--root", type=Path, default=Path("data"))
    add("--value-range", type=float, nargs=2, help="of event frames")
    add("--model", default="examples/study/digits_network.py:network", help="as in art-snn train")
    add("--width", type=float, default=0.25)
    add("--steps", type=int, help="time steps T of images")
    add("--epochs", type=int, default=50)
    add("--learning-rate", type=float, default=0.02, help="of Adam")
    add("--train-eps", type=ratio, default=0.075, help="budget in training, in the maximum norm")
    add(
        "--no-flip",
        dest="flip",
        action="store_const",
        const=False,
        help="train on no mirrored samples",
    )
    add("--norm", default="inf", choices=("inf", "2"), help="of the evaluation")
    add("--eps", type=ratio, nargs="+", default=[0.05, 0.1], help="budgets of the evaluation")
    add("--plan", default="standard", choices=("standard", "fast", "ensemble-19"))
    add("--samples", type=int, default=200, help="test samples")
    add("--trainings", nargs="+", default=list(TRAININGS), choices=TRAININGS)
    add("--threads", type=int)
    add("--device", default="gpu", choices=("gpu", "cpu"))
    add("--output", type=Path, default=Path("bounds"))
    add("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        small = {"epochs": 1, "samples": 4, "width": 1 / 16, "trainings": ["plain", "ibp, counts"]}
        vars(options).update(small, output=options.output / "small")
    return options


def main() -> None:
    options = parse()
    study = Study(options)
    evaluations = {name: study.evaluate(name) for name in options.trainings}
    steps = {name: study.steps_alone(name) for name in evaluations}
    first = next(iter(evaluations.values()))
    network = first.title.partition(" on ")[0].rpartition("/")[2]
    training = f"Adam from {options.learning_rate:g} for {options.epochs} epochs"
    budget = f"at and ibp within {format_eps('inf', options.train_eps)}"
    title = f"{network}; {training}, {budget}; {len(first.samples)} test samples."
    content = {
        "evaluations": {name: as_json(one) for name, one in evaluations.items()},
        "steps": steps,
    }
    text = render(title, content)
    write_result(options.output / "bounds.json", content)
    write_text(options.output / "bounds.md", text)
    bars = sum(len(verdicts(one)) for one in evaluations.values())
    figure = Figure(figsize=(max(9, bars), 4), layout="constrained")
    draw(figure.subplots(), evaluations)
    figure.savefig(options.output / "bounds.png", dpi=110)
    print(text)


if __name__ == "__main__":
    main()
