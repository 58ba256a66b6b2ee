"""Certified and attacked accuracy side by side, of four trainings: how wide is what stays unknown?

    python examples/study/bounds.py --data digits --eps 0.05 0.1 --train-eps 0.075 \
        --output results/bounds

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

from art_snn.app import tables
from art_snn.app.architecture import Architecture
from art_snn.app.cli import run_command
from art_snn.app.evaluation.record import Evaluation, read_evaluation
from art_snn.app.evaluation.verdict import format_eps, verdicts
from art_snn.app.network import ResolvedNetwork
from art_snn.app.results import as_json, from_json, write_result
from art_snn.app.tables import GREY, SERIES
from art_snn.bounds import certify_bounds
from art_snn.data import NAMES, Source
from art_snn.files import write_text
from art_snn.metrics import Share

TRAININGS: Mapping[str, str | None] = {
    "plain": None,
    "at": "at",
    "ibp, s-ibp": "ibp(method=s-ibp)",
    "ibp, counts": "ibp(method=counts)",
}
"""The defence that each network is trained by."""


@dataclass(frozen=True)
class Study:
    """What is trained and evaluated, by the options of the command line."""

    options: argparse.Namespace

    def run(self, command: str, output: Path, **options: object) -> None:
        """Run a command of art-snn on the data of the study; options that are None are left out."""
        given = vars(self.options)
        options |= {name: given[name] for name in ("data", "threads", "device")}
        if given["value_range"] is not None:
            options["value_range"] = ",".join(map(str, given["value_range"]))
        words = [command, "--output", str(output)]
        for name, value in options.items():
            flag = f"--{'no-' * (value is False)}{name}"
            words += (
                [] if value is None else [flag] if isinstance(value, bool) else [flag, str(value)]
            )
        status = run_command(words)
        if status:
            raise SystemExit(status)

    def train(self, name: str) -> Path:
        """The weights of a network, from its folder or trained now."""
        options, folder = self.options, self.folder(name)
        if (folder / "training.json").exists():
            return folder / "network.safetensors"
        form: dict[str, object] = {"model": options.model}
        if ":" not in str(options.model):
            form |= {"width": options.width, "steps": options.steps}
        own = Path(options.data).name not in NAMES
        flip = True if options.flip is None and own else options.flip
        form |= {"epochs": options.epochs, "optimizer": "adam", "flip": flip}
        form |= {"learning_rate": options.learning_rate, "crop_padding": 0, "cutout": 0}
        defence = TRAININGS[name]
        if defence is not None:
            form |= {"defence": defence, "eps": options.train_eps}
        if defence == "at":
            attack = f"pgd(max_iter=2, eps_step={0.75 * options.train_eps})"
            form |= {"attack": attack, "rule": "stbp"}
        self.run("train", folder, **form)
        (folder / "training.pt").unlink()
        return folder / "network.safetensors"

    def evaluate(self, name: str) -> Evaluation:
        """What is certified of it, and what attacks leave."""
        options, output = self.options, self.folder(name) / "evaluation"
        self.run(
            "evaluate",
            output,
            model=self.own_model,
            checkpoint=self.train(name),
            norm=options.norm,
            eps=",".join(map(str, options.eps)),
            plan="fast" if options.small else options.plan,
            samples=options.samples,
            bounds=True,
        )
        return read_evaluation(output).evaluation

    @property
    def own_model(self) -> str | None:
        """The model, where a function of the user builds it."""
        return self.options.model if ":" in str(self.options.model) else None

    def steps_alone(self, name: str) -> list[int]:
        """How many of the same samples S-IBP certifies, budget by budget."""
        options, limits = self.options, self.options.value_range
        limits = None if limits is None else tuple(limits)
        source = Source(data=options.data, value_range=limits)
        subject = ResolvedNetwork(Architecture(model=self.own_model), self.train(name), source)
        data = subject.load_data()
        classifier = subject.classifier(data, options.device)
        x, y = data.x_test[: options.samples], data.y_test[: options.samples]
        budgets, how = options.eps, (options.norm, "s-ibp")
        certificates = [certify_bounds(classifier, x, y, eps, *how) for eps in budgets]
        return [int(one.certified.sum()) for one in certificates]

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
    return {name: from_json(one, Evaluation) for name, one in content["evaluations"].items()}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Certified and attacked accuracy side by side.")
    add = parser.add_argument
    add("--data", default="digits", help="as in art-snn train")
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
    add("--output", type=Path, default=Path("results/bounds"))
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
