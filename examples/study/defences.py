"""Defences side by side: what papers report of them, what a plan of attacks leaves, and findings.

    python examples/study/defences.py --data eurosat32_10k.npz --eps 4/255 --output defences

Trains one network plainly and one by every defence of art-snn train, against the same attack, and
evaluates them all as art-snn evaluate does. A run that was interrupted goes on where it stopped.
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
from art_snn.app.cli import run_command
from art_snn.app.colours import GREY, SERIES
from art_snn.app.report.evaluation import Evaluation, read_evaluation
from art_snn.app.report.verdict import verdicts
from art_snn.app.results import as_json, structured, write_result
from art_snn.data import NAMES
from art_snn.files import write_text
from art_snn.training.defences import DEFENCES

PLAIN = "plain"
KINDS = (PLAIN, *(name for name, defence in DEFENCES.items() if defence.attacks))
PAPER, DECIDES = "PGD-7 by stbp", "standard"


@dataclass(frozen=True)
class Study:
    """What is trained and evaluated.

    :param chosen: the options of the command line."""

    chosen: argparse.Namespace

    def run(self, command: str, output: Path, **options: object) -> None:
        """Run a command of art-snn on the data of the study; options that are None are left out."""
        options |= {name: getattr(self.chosen, name) for name in ("data", "threads", "device")}
        words = [command, "--output", str(output)]
        for name, value in options.items():
            flag = f"--{name}"
            words += [] if value is None else [flag] if value is True else [flag, str(value)]
        status = run_command(words)
        if status:
            raise SystemExit(status)

    def train(self, kind: str) -> Path:
        """The weights of a network, from its folder or trained now."""
        chosen, folder = self.chosen, self.chosen.output / kind
        if (folder / "training.json").exists():
            return folder / "network.safetensors"
        names = ("model", "width", "steps", "decay", "epochs", "train_dtype")
        options: dict[str, object] = {name: getattr(chosen, name) for name in names}
        options["flip"] = True if Path(chosen.data).name not in NAMES else None
        if kind != PLAIN:
            attack = f"pgd(max_iter=2, eps_step={0.75 * chosen.train_eps})"
            options |= {"attack": attack, "eps": chosen.train_eps, "rule": "stbp", "defence": kind}
        self.run("train", folder, **options)
        (folder / "training.pt").unlink()
        return folder / "network.safetensors"

    def evaluate(self, kind: str) -> Evaluation:
        """How robust it is."""
        chosen, output = self.chosen, self.chosen.output / kind / "evaluation"
        self.run(
            "evaluate",
            output,
            checkpoint=self.train(kind),
            eps=chosen.eps,
            plan="fast" if chosen.small else DECIDES,
            samples=chosen.samples,
        )
        return read_evaluation(output).evaluation


def row(kind: str, found: Evaluation) -> tuple[str, ...]:
    """What came out of one network."""
    (verdict,) = verdicts(found)
    paper = found.trials[0]
    points = 100 * (paper.robustness.robust_accuracy.value - verdict.robust)
    left = verdict.describe_trial(paper)
    shares = str(verdict.outcome.clean_accuracy), left, verdict.share
    return kind, *shares, f"{points:.1f}", str(len(doubts(found)))


def doubts(found: Evaluation) -> list[str]:
    """Names of the findings that say that it may be less robust still."""
    (verdict,) = verdicts(found)
    return sorted({one.title for one in verdict.findings})


def render(title: str, content: Mapping[str, Any]) -> str:
    """A row per network, and what was found out against its number."""
    titles = ("training", "clean accuracy", "under PGD-7 by STBP", "under all attacks")
    titles += ("difference", "findings")
    every = outcomes(content)
    table = tables.Table(titles, [row(kind, found) for kind, found in every.items()])
    words = {kind: "; ".join(doubts(found)) for kind, found in every.items()}
    notes = [f"{kind}: {names}." for kind, names in words.items() if names]
    return tables.render([title, table, tables.Notes(notes)], "markdown")


def draw(ax: Axes, found: Mapping[str, Evaluation]) -> None:
    """Accuracies of every network, with their intervals."""
    parts: dict[str, list[Any]] = {"clean": [], "PGD-7 by STBP": [], "all attacks": []}
    for evaluation in found.values():
        (verdict,) = verdicts(evaluation)
        shares = verdict.outcome.clean_accuracy, evaluation.trials[0].robustness.robust_accuracy
        for name, share in zip(parts, (*shares, verdict.outcome.robust_accuracy), strict=True):
            parts[name].append(share)
    places = np.arange(len(found))
    for number, (name, shares) in enumerate(parts.items()):
        values = np.array([100 * share.value for share in shares])
        reach = np.abs(100 * np.array([share.interval for share in shares]).T - values)
        colour = (GREY, *SERIES)[number]
        ax.bar(places + 0.27 * (number - 1), values, 0.25, yerr=reach, color=colour, label=name)
    words = "accuracy, under attack at most [%]"
    ax.set(xticks=places, xticklabels=list(found), ylabel=words, ylim=(0, 100), axisbelow=True)
    ax.grid(alpha=0.3, axis="y")
    ax.legend(frameon=False, ncols=3)


def outcomes(content: Mapping[str, Any]) -> dict[str, Evaluation]:
    """What the file holds, by the name of the defence."""
    return {kind: structured(one, Evaluation) for kind, one in content["evaluations"].items()}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Defences side by side.")
    add = parser.add_argument
    add("--data", default="digits", help="as in art-snn train")
    add("--model", default="vgg5")
    add("--width", type=float, default=0.25)
    add("--steps", type=int, default=8)
    add("--decay", type=float, default=0.5)
    add("--epochs", type=int, default=10)
    add("--train-dtype", help="as in art-snn train")
    add("--train-eps", type=ratio, default=4 / 255, help="budget of the attack in training")
    add("--eps", type=ratio, default=4 / 255, help="budget of the evaluation")
    add("--samples", type=int, default=200, help="test samples under attack")
    add("--threads", type=int)
    add("--device", default="gpu", choices=("gpu", "cpu"))
    add("--output", type=Path, default=Path("defences"))
    add("--small", action="store_true")
    chosen = parser.parse_args()
    if chosen.small:
        small = {"width": 1 / 16, "steps": 2, "epochs": 1, "samples": 8}
        vars(chosen).update(small, output=chosen.output / "small")
    return chosen


def main() -> None:
    chosen = parse()
    study = Study(chosen)
    found = {kind: study.evaluate(kind) for kind in KINDS}
    first = next(iter(found.values()))
    title = (
        f"{first.title}; {chosen.epochs} epochs of training, defences against PGD of two steps at "
        f"{chosen.train_eps:.4g} by STBP; {len(first.samples)} test samples at {chosen.eps:.4g} in "
        f"the maximum norm."
    )
    content = {"evaluations": {kind: as_json(one) for kind, one in found.items()}}
    text = render(title, content)
    write_result(chosen.output / "defences.json", content)
    write_text(chosen.output / "defences.md", text)
    figure = Figure(figsize=(8, 4), layout="constrained")
    draw(figure.subplots(), found)
    figure.savefig(chosen.output / "defences.png", dpi=110)
    print(text)


if __name__ == "__main__":
    main()
