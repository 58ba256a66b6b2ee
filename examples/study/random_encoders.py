"""Networks that are a vote over what their encoder draws: certified and attacked accuracy.

    python examples/study/random_encoders.py --data nmnist-binary.npz --value-range 0 1
    python examples/study/random_encoders.py --data data/eurosat32_10k.npz

Trains a network per encoder, certifies it by draws, and attacks it. On binary event frames Ablation
is measured with several shares; on images Poisson encoding and SQE next to direct encoding, each
trained plainly and adversarially. A run that was interrupted goes on where it stopped.
"""

import argparse
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from setting import ratio

from art_snn import PyTorchSpikingClassifier, checkpoint
from art_snn.app import tables
from art_snn.app.architecture import Architecture
from art_snn.app.cli import run_command
from art_snn.app.evaluation.record import read_evaluation
from art_snn.app.evaluation.verdict import format_eps, verdicts
from art_snn.app.machine import keep_memory
from art_snn.app.network import ResolvedNetwork
from art_snn.app.results import as_json, read_result, write_result
from art_snn.app.tables import GREY, SERIES
from art_snn.attacks import craft, parse_stage
from art_snn.classifier import wrap
from art_snn.data import Dataset, Source
from art_snn.encoders import draws
from art_snn.files import write_arrays, write_text
from art_snn.gradients import EOT, STBP
from art_snn.metrics import Certificate, Share, certify
from art_snn.seeding import fix_seed
from art_snn.training import AdversarialTraining, Recipe, train

CHANGES = {"flips": (1, 2, 4, 8, 13), "removed": (8, 32, 64), "moved": (2, 4, 8)}
RADII = (0, 0.02, 0.05)
KEEPS = (0.02, 0.03, 0.05, 0.1, 0.2)
ENCODERS = ("direct", "poisson", "sqe(levels=2)", "sqe(levels=4)")
EARLIER = {1: 74, 2: 63, 4: 38, 8: 0}
"""Percent certified by bounds of flips, at 86 to 88 % clean, on the same recordings: as the script
bounds.py measured them with networks trained for them, before the package gave them up."""
VOTES = 100
"""Predictions of which most are the clean answer."""


@dataclass(frozen=True)
class Study:
    """What is trained and measured, by the options of the command line."""

    options: argparse.Namespace

    def run(self, command: str, output: Path, **options: object) -> None:
        """Run a command of art-snn; options that are None are left out, "" is a switch."""
        options |= {"threads": self.options.threads, "device": self.options.device}
        words = [command, "--output", str(output)]
        for name, value in options.items():
            words += [f"--{name}", str(value)] if value not in (None, "") else []
            words += [f"--{name}"] if value == "" else []
        status = run_command(words)
        if status:
            raise SystemExit(status)

    def train(self, folder: Path, data: Dataset, epochs: int, hardened: bool, **form: Any) -> None:
        """The weights of a network after the last epoch, unless they are in its folder.

        Single draws of held-out samples would choose an epoch by chance. Next to them lies what
        examples/zoo/add.py reads."""
        file, options = folder / "network.safetensors", self.options
        if file.exists():
            return
        form |= {"width": options.width, "synapse": options.synapse}
        architecture = Architecture(model="vgg5", **form).fit_to(data)
        network = architecture.build_for(data)
        recipe = Recipe(
            optimizer="adam",
            learning_rate=options.learning_rate,
            epochs=epochs,
            crop_padding=options.crop_padding,
            flip=False,
            cutout=0,
        )
        adversary = None
        if hardened:
            limits, attack = (0.0, 1.0), f"pgd(max_iter=2, eps_step={0.75 * options.eps})"
            how: dict[str, Any] = {"attack": attack, "rule": STBP(), "value_range": limits}
            adversary = AdversarialTraining(eps=options.eps, norm=np.inf, **how)
        folder.mkdir(parents=True, exist_ok=True)
        state = folder / "training.pt"
        train(network, data.x_train, data.y_train, recipe, state, adversary=adversary)
        notes = {"subject": architecture.given, "recipe": asdict(recipe)}
        notes |= {"adversary": repr(adversary) if adversary else ""}
        checkpoint.save(network, file, **notes)
        classifier = wrap(network.eval(), data.input_shape, data.classes, data.value_range, "cpu")
        with fix_seed(0):
            test = np.mean(classifier.predict(data.x_test).argmax(1) == data.y_test)
        written = notes | {"test_accuracy": {"value": float(test)}}
        write_result(folder / "training.json", written)
        state.unlink()

    def attack(
        self, folder: Path, data: Mapping[str, object], how: Mapping[str, object]
    ) -> Share | None:
        """What the plan leaves of the first samples; None where it is to attack none."""
        given: dict[str, object] = {"plan": self.options.plan, "samples": self.options.attacked}
        given |= {**data, **how, "checkpoint": folder / "network.safetensors"}
        if not self.options.attacked or self.options.held_out:
            return None
        place = folder / f"evaluation-{self.options.attacked}"
        self.run("evaluate", place, **given)
        evaluation = read_evaluation(place).evaluation
        return verdicts(evaluation)[-1].outcome.robust_accuracy

    def certify(
        self, folder: Path, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
    ) -> Certificate | None:
        """The certificate of all samples, ten at a time; None where the encoder draws nothing."""
        parts: list[Certificate] = []
        how: dict[str, Any] = {"draws": self.options.draws, "batch_size": 64, "verbose": True}
        for start in range(0, len(x), 10) if draws(classifier.model.encoder) else ():
            rows = slice(start, min(start + 10, len(x)))
            file = folder / f"certificate-{rows.start}-{rows.stop}-{self.options.draws}.json"
            if not file.exists():
                part = certify(classifier, x[rows], y[rows], seed=start, **how)
                write_result(file, as_json(part))
            parts.append(read_result(file, Certificate))
        return Certificate.concatenate(parts) if parts else None

    def load(self, source: Source) -> Dataset:
        """All samples, or those for training, of which some take the place of test samples."""
        data, share = source.load(), self.options.held_out
        return data.hold_out(share) if share else data

    def classifier(self, folder: Path, source: Source) -> PyTorchSpikingClassifier:
        """The trained network as ART sees it."""
        subject = ResolvedNetwork(Architecture(), folder / "network.safetensors", source)
        return subject.classifier(source.load(), self.options.device)

    def events(self, source: Source) -> dict[str, Any]:
        """A row for each share that is kept, and for those that are trained twice as long."""
        options, how, rows = self.options, {"norm": 0, "eps": 4}, {}
        trainings = [(str(keep), keep, options.epochs) for keep in options.keep]
        epochs = 2 * options.epochs
        trainings += [(f"{keep}, {epochs} epochs", keep, epochs) for keep in options.longer]
        for name, keep, epochs in trainings:
            place = f"keep-{name}".replace(", ", "-").replace(" ", "-")
            rows[name] = self.row(place, source, how, f"ablation(keep={keep})", epochs=epochs)
        return rows

    def images(self, source: Source) -> dict[str, Any]:
        """A row for each encoder and training."""
        options, rows = self.options, {}
        for encoder in options.encoders:
            for name in (encoder, f"{encoder}, adversarial"):
                place = re.sub("[^a-z0-9]+", "-", name).strip("-")
                form = {"steps": options.steps, "hardened": name != encoder}
                rows[name] = self.row(place, source, {"eps": options.eps}, encoder, **form)
        return rows

    def row(
        self,
        name: str,
        source: Source,
        how: Mapping[str, object],
        encoder: str,
        hardened: bool = False,
        epochs: int | None = None,
        **form: int,
    ) -> dict[str, Any]:
        """What is kept of a network: counts of samples."""
        folder, data = self.options.output / name, self.load(source)
        self.train(folder, data, epochs or self.options.epochs, hardened, encoder=encoder, **form)
        given: dict[str, object] = {"data": source.data}
        if source.value_range is not None:
            given["value-range"] = ",".join(map(str, source.value_range))
        attacked = as_json(self.attack(folder, given, how))
        x, y = data.x_test[: self.options.samples], data.y_test[: self.options.samples]
        file = folder / f"row-{len(x)}-{self.options.draws}.json"
        if not file.exists():
            classifier = self.classifier(folder, source)
            row: dict[str, Any] = {"samples": len(x)}
            for label, votes in (("clean", VOTES), ("single", 1)):
                row[label] = int(right(classifier, x, y, votes).sum())
            row |= certified(self.certify(folder, classifier, x, y))
            row |= {} if data.events else self.pgd(classifier, x, y)
            write_result(file, row)
        return dict(read_result(file)) | {"attacked": attacked}

    def pgd(
        self, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
    ) -> dict[str, int]:
        """What PGD-7 leaves: as papers report it, of one draw, and of a vote with EOT."""
        eps, left = self.options.eps, {}
        for label, rule, votes in (("pgd", STBP(), 1), ("pgd-eot", EOT(STBP()), 11)):
            limits: dict[str, Any] = {"norm": np.inf, "eps": eps, "batch_size": 50, "seed": 0}
            stage = parse_stage("pgd-7", np.inf, eps)
            adversarial = craft(stage, rule, classifier, x, y, progress_label=label, **limits)
            left[label] = int(right(classifier, adversarial, y, votes).sum())
        return left


def right(
    classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray, votes: int
) -> np.ndarray:
    """Which samples most of so many predictions classify correctly, bool [N]."""
    counts = np.zeros((len(x), classifier.nb_classes), dtype=int)
    with fix_seed(1):
        for _ in range(votes):
            counts[np.arange(len(x)), classifier.predict(x, batch_size=64).argmax(1)] += 1
    return np.asarray(counts.argmax(1) == y)


def certified(one: Certificate | None) -> dict[str, Any]:
    """Samples that are certified, by the kind and the size of the change."""
    if one is None:
        return {"radius": {}}
    if "radius" in one.region.changes:
        return {"radius": {str(r): one.certified_accuracy(r).count for r in RADII}}
    accuracy: Any = one.certified_accuracy
    return {
        kind: {str(count): accuracy(**{kind: count}).count for count in counts}
        for kind, counts in CHANGES.items()
    }


def render(title: str, content: Mapping[str, Any]) -> str:
    """Tables with a row for each network, in % of the test samples; the plan where it ran."""
    rows = content["rows"]
    events = all("flips" in row for row in rows.values())
    parts = tabulate_events(rows) if events else [tabulate_images(rows)]
    return tables.render([title, *parts], "markdown")


def tabulate_events(rows: Mapping[str, Any]) -> list[tables.Table]:
    """Accuracy and flips, then events that are removed or moved."""
    # Of all flips added events are the worst, so that both are certified alike.
    flips = [f"{n} flipped or added" for n in CHANGES["flips"]]
    others = [f"{n} {kind}" for kind in ("removed", "moved") for n in CHANGES[kind]]
    first, second = [], []
    for name, row in rows.items():
        plain = shares_of(row, row["single"], row["clean"])
        first.append((name, *plain, *shares_of(row, *row["flips"].values()), left(row)))
        second.append((name, *shares_of(row, *row["removed"].values(), *row["moved"].values())))
    titles = ("keep", "one draw", "clean", *flips, "plan, 4 flips")
    return [without_plan(rows, titles, first), tables.Table(("keep", *others), second)]


def tabulate_images(rows: Mapping[str, Any]) -> tables.Table:
    """Accuracy, what PGD-7 leaves, and what is certified within an l1 radius."""
    attacked = ("one draw", "clean", "PGD-7, one draw", "PGD-7 with EOT, a vote")
    radii = [f"certified, l1 {radius}" for radius in RADII[1:]]
    titles = ("encoder", *attacked, *radii, "plan")
    lines = []
    for name, row in rows.items():
        plain = [row[key] for key in ("single", "clean", "pgd", "pgd-eot")]
        certified = [row["radius"].get(str(radius)) for radius in RADII[1:]]
        lines.append((name, *shares_of(row, *plain, *certified), left(row)))
    return without_plan(rows, titles, lines)


def without_plan(
    rows: Mapping[str, Any], titles: tuple[str, ...], lines: list[tuple[str, ...]]
) -> tables.Table:
    """The table, whose last column is left out where the plan did not run."""
    if any(row["attacked"] for row in rows.values()):
        return tables.Table(titles, lines)
    return tables.Table(titles[:-1], [line[:-1] for line in lines])


def left(row: Mapping[str, Any]) -> str:
    """What the plan left, of how many; nothing where it did not run."""
    one = row["attacked"]
    return "" if one is None else f"{one['count']} of {one['total']}"


def shares_of(row: Mapping[str, Any], *counts: int | None) -> list[str]:
    """Counts of a network's samples in %; nothing where there is none."""
    total = row["samples"]
    return ["" if count is None else Share(count, total).percent for count in counts]


def draw(rows: Mapping[str, Any]) -> Figure:
    """Certified accuracy against flips, with what bounds of flips gave before; or bars of what
    attacks leave of each encoder."""
    events = all("flips" in row for row in rows.values())
    figure = Figure(figsize=(6.5 if events else 10, 4.4), layout="constrained")
    ax = figure.subplots()
    if events:
        for (keep, row), colour in zip(rows.items(), SERIES, strict=False):
            points = {0: row["clean"]} | {int(n): count for n, count in row["flips"].items()}
            shares = [100 * count / row["samples"] for count in points.values()]
            ax.plot([*points], shares, "o-", color=colour, label=f"keep {keep}")
        ax.plot([*EARLIER], [*EARLIER.values()], "s--", color=GREY, label="bounds, given up")
        ax.set(xlabel="flipped events", ylabel="certified accuracy [%]")
    else:
        keys = ("clean", "pgd", "pgd-eot")
        names = ("clean", "PGD-7, one draw", "PGD-7 with EOT, a vote")
        for n, (key, name) in enumerate(zip(keys, names, strict=True)):
            shares = [100 * row[key] / row["samples"] for row in rows.values()]
            places = np.arange(len(rows)) + 0.25 * (n - 1)
            ax.bar(places, shares, 0.25, color=[GREY, *SERIES][n], label=name)
        ax.set_xticks(range(len(rows)), [name.replace(", ", "\n") for name in rows], fontsize=7)
        ax.set_ylabel("accuracy [%]")
    ax.set(ylim=(0, 100), axisbelow=True)
    ax.grid(alpha=0.3, axis="y")
    figure.legend(frameon=False, ncols=3, loc="outside lower center")
    return figure


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Votes over what an encoder draws.")
    add = parser.add_argument
    add("--data", default="digits", help="binary event frames, or images, as in art-snn train")
    add("--value-range", type=float, nargs=2, help="of event frames")
    add("--keep", type=float, nargs="*", default=KEEPS, help="of event frames")
    add("--longer", type=float, nargs="*", default=[], help="of them, in twice as many epochs")
    add("--encoders", nargs="+", default=ENCODERS, help="of images")
    add("--draws", type=int, default=5000, help="that certify a sample")
    add("--width", type=float, default=0.125)
    add("--synapse", type=float, help="factor per step of a synaptic current before every neuron")
    add("--epochs", type=int, default=80)
    add("--learning-rate", type=float, default=0.005, help="of Adam")
    add("--crop-padding", type=int, default=2)
    add("--eps", type=ratio, default=2 / 255, help="budget on images, in the maximum norm")
    add("--steps", type=int, default=4, help="time steps T of images")
    add("--samples", type=int, default=100, help="test samples")
    add("--held-out", type=float, help="share of the training samples that are tested instead")
    add("--attacked", type=int, default=20, help="the first of them, which the plan attacks")
    add("--plan", default="standard", choices=("standard", "fast"))
    add("--threads", type=int)
    add("--device", default="gpu", choices=("gpu", "cpu"))
    add("--output", type=Path, default=Path("results/random-encoders"))
    add("--small", action="store_true")
    options = parser.parse_args()
    if options.small:
        small = {
            "epochs": 1,
            "samples": 3,
            "attacked": 2,
            "width": 1 / 16,
            "draws": 20,
            "plan": "fast",
        }
        small |= {"keep": [0.1], "encoders": ["direct", "sqe(levels=2)"]}
        vars(options).update(small, output=options.output / "small")
    return options


def measure(options: argparse.Namespace) -> None:
    """Write table, figures and picture of one data set."""
    limits = None if options.value_range is None else tuple(options.value_range)
    source, study = Source(data=options.data, value_range=limits), Study(options)
    data = study.load(source)
    rows = study.events(source) if data.events else study.images(source)
    width, epochs = options.width, options.epochs
    title = f"The networks are VGG-5 of width {width:g}, trained for {epochs} epochs. "
    title += f"{options.samples} test samples of {data.name} are certified by {options.draws:,} "
    title += "draws each."
    if options.attacked:
        title += f" The plan {options.plan} attacks the first {options.attacked}."
    if not data.events:
        budget = format_eps("inf", options.eps)
        title += f" Attacks have the budget {budget}, and there are {options.steps} time steps."
    content = {"rows": rows}
    write_result(options.output / "random_encoders.json", content)
    text = render(title, content)
    write_text(options.output / "random_encoders.md", text)
    draw(rows).savefig(options.output / "random_encoders.png", dpi=110)
    print(text)


def main() -> None:
    options = parse()
    keep_memory()  # It halves the time of a certificate.
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    measure(options)
    if options.small:  # Noise stands in for event frames.
        random, y = np.random.default_rng(0), np.arange(40) % 10
        x = random.integers(0, 2, (40, 4, 2, 16, 16), dtype=np.uint8)
        output = options.output.parent / "small-events"
        options.data, options.value_range = str(output / "events.npz"), (0, 1)
        write_arrays(output / "events.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
        options.output = output
        measure(options)


if __name__ == "__main__":
    main()
