"""Train a network, plainly, adversarially or certifiably, and say how good it is."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from art_snn import checkpoint
from art_snn.app.architecture import Architecture
from art_snn.app.network import ResolvedNetwork, resolve_network
from art_snn.app.results import Result, as_json, run_folder, weights_digest
from art_snn.app.settings import Train
from art_snn.app.tables import COLOURS, GREY, Part, Table, write_title
from art_snn.checks import ArgumentError, require
from art_snn.classifier import PyTorchSpikingClassifier, wrap
from art_snn.data import Dataset
from art_snn.distributed import TORCHRUN
from art_snn.gradients import parse_rule
from art_snn.metrics import Share
from art_snn.models import DEFAULTS
from art_snn.seeding import fix_seed
from art_snn.training import AdversarialTraining, Epoch, Recipe, best_epoch, train
from art_snn.training.defences import AT, parse_defence
from art_snn.training.recipe import compute_dtype
from art_snn.training.state import describe_stall

_NOTED = ("epochs", "seed", "train_dtype")
"""Settings of the recipe that the checkpoint notes next to those of the network."""
_WEIGHTS, _STATE = "network.safetensors", "training.pt"
"""The file of the weights, and that of an unfinished training."""
_STALLED = 5
"""Exit status of a training in which the network did not learn."""


@dataclass(frozen=True)
class Training(Result):
    """A trained network: its epochs, and the test samples that it classifies correctly at the end.

    The notes are those that the checkpoint has of the weights. `stalled` says that the
    network did not learn, "" that it did."""

    history: tuple[Epoch, ...]
    test: Share
    title: str
    against: str
    recipe: Recipe
    notes: Mapping[str, Any]
    stalled: str
    name: ClassVar[str] = "training"

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights were kept."""
        return best_epoch(self.history)

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return {
            **self.notes,
            "test_accuracy": self.test.as_dict(),
            "best_epoch": self.best and self.best.number,
            "stalled": self.stalled,
            "history": as_json(self.history),
        }

    def parts(self) -> list[Part]:
        """The recipe, the epochs, the best of them and the test accuracy."""
        best = self.best
        rows = []
        for epoch in self.history:
            mark = "best" if epoch is best else ""
            validation = _write_percent(epoch.validation)
            rows.append((epoch.number, f"{epoch.loss:.4f}", validation, mark))

        heading = [str(self.recipe), self.title]
        start = self.notes["start"]
        if start:
            heading.append(f"Starts from {start['file']}, weights {start['weights']}.")
        table = Table(("epoch", "training loss", "validation", ""), rows)
        accuracy = f"Test accuracy: {self.test} of {self.test.total} samples."
        if best is None:
            return [*heading, table, accuracy]
        share = f"{_write_percent(best.validation)} of the validation samples"
        remark = ""
        if self.against:
            share += f" under {self.against}"
            remark = " art-snn evaluate measures robust accuracy on test samples."
        words = f"Best epoch {best.number} of {len(rows)}: {share}.{remark}"
        return [*heading, table, words, accuracy]

    def failures(self) -> Sequence[tuple[int, str]]:
        """Why it counts as one that did not learn, and what to try, with status 5."""
        remedy = "Try another --learning-rate or --optimizer, less augmentation, or --checkpoint."
        return [(_STALLED, f"{self.stalled} {remedy}")] if self.stalled else []

    @property
    def files(self) -> list[str]:
        """Names of the files that are written."""
        return [_WEIGHTS, *super().files]

    def draw(self) -> Figure:
        """Loss and validation accuracy, under attack where there was one, against the epoch."""
        figure = Figure(figsize=(7, 3.4), layout="constrained")
        label = "validation accuracy [%]"
        lines = [self.title]
        if self.against:
            label = "accuracy under attack [%]"
            lines.append(f"against {self.against}")
        write_title(figure, *lines, fontsize="small")

        ax = figure.subplots()
        numbers = [epoch.number for epoch in self.history]
        ax.plot(numbers, [epoch.loss for epoch in self.history], ".-", color=GREY)
        ax.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        ax.grid(alpha=0.3)
        if self.best is not None:
            right = ax.twinx()
            colour = COLOURS["stbp"]
            shares = [100 * (epoch.validation or 0.0) for epoch in self.history]
            right.plot(numbers, shares, ".-", color=colour)
            right.set_ylabel(label, color=colour)
            right.set_ylim(0, 100)
        return figure


def run(settings: Train) -> Training:
    """Train; write network.safetensors, training.json, training.md and training.png.

    An interrupted run goes on after its last whole epoch, from training.pt, which is kept: a
    finished run is loaded from it.

    :raises ArgumentError: before anything is written, for a process that torchrun started."""
    require(
        TORCHRUN not in os.environ,
        "processes",
        "a training in one process",
        f"{os.environ.get('WORLD_SIZE')} that torchrun started",
        "Start art-snn train without torchrun.",
    )
    with run_folder(settings):
        data = _resolve_subject(settings).load_data()
        return train_network(settings, data)


def train_network(settings: Train, data: Dataset) -> Training:
    """Train on any data, as :func:`run` does.

    :param settings: of which the source of the data is not read.
    :param data: its training samples are split into training and validation samples.
    :raises ArgumentError: as :func:`run`, and when rule or defence of the adversary do
        not suit the network or the recipe, or the data have no value range."""
    subject = _prefer_potentials(_resolve_subject(settings), data)
    architecture = subject.settle(data)
    given = {field.name: getattr(settings, field.name) for field in fields(Recipe)}
    given["optimizer"] = settings.optimizer or ("adam" if architecture.is_own else "sgd")
    recipe = Recipe(**given).fit_to(data.input_shape, data.mirrored)
    network = subject.build(data, recipe.seed)
    adversary = _resolve_adversary(settings, data)
    split = data.hold_out(settings.validation, recipe.seed, "validation")
    limits = data.value_range
    classifier = wrap(network, data.input_shape, data.classes, limits, settings.device)
    if adversary is not None:
        # Gradients of weights that are still random say little.
        tried = () if subject.checkpoint is None else (split.x_train, split.y_train)
        adversary = adversary.fit_to(network, *tried)
        recipe = adversary.defence.fit_recipe(recipe)
    weights = settings.output / _WEIGHTS
    state = settings.output / _STATE
    require(
        state.exists() or not weights.exists(),
        "output",
        "a folder without a network, or with the whole of this run",
        f"{settings.output} with a {_WEIGHTS} and no {_STATE}",
        f"Choose another folder, or delete {_WEIGHTS}.",
    )
    with fix_seed(recipe.seed):
        # A prediction complains, if anything does, before the training begins.
        classifier.predict(data.x_test[:1])

    notes = _note_training(settings, subject, data, recipe, adversary, classifier)
    history = train(
        network,
        split.x_train,
        split.y_train,
        recipe,
        resume=state,
        validation=(split.x_test, split.y_test),
        adversary=adversary,
        start=notes["start"]["weights"] if notes["start"] else "",
    )
    title = f"{architecture.describe(network)} on {data.name}"
    result = _judge_training(classifier, data, recipe, adversary, history, notes, title)
    accuracy = result.test.value
    checkpoint.save(network, weights, **notes, test_accuracy=accuracy)
    result.write(settings.output)
    return result


def _note_training(
    settings: Train,
    subject: ResolvedNetwork,
    data: Dataset,
    recipe: Recipe,
    adversary: AdversarialTraining | None,
    classifier: PyTorchSpikingClassifier,
) -> dict[str, Any]:
    """What the checkpoint notes of a training: settings, data, and the weights at its start."""
    words = f"{recipe.epochs} epoch{'' if recipe.epochs == 1 else 's'}"
    if adversary is not None:
        kind = type(adversary.defence).__name__
        words = f"{'adversarial' if kind == 'AT' else kind} training, {words}"
    notes: dict[str, Any] = {
        "subject": subject.settle(data).settings
        | {name: getattr(recipe, name) for name in _NOTED},
        "data": data.name,
        "recipe": asdict(recipe),
        "adversary": repr(adversary) if adversary else "",
        "validation": settings.validation,
        "training": words,
        "start": None,
    }
    if subject.checkpoint is not None:
        file = str(settings.checkpoint or settings.model)
        notes["start"] = {"file": file, "weights": weights_digest(classifier)}
        notes["training"] = f"{subject.training or 'given weights'}, then {words}"
    return notes


def _judge_training(
    classifier: PyTorchSpikingClassifier,
    data: Dataset,
    recipe: Recipe,
    adversary: AdversarialTraining | None,
    history: Sequence[Epoch],
    notes: dict[str, Any],
    title: str,
) -> Training:
    """The result of a training, with the test samples that are classified correctly at its end."""
    logits = classifier.predict(data.x_test, recipe.batch_size)
    if adversary is not None and adversary.defence != AT():
        title += f", hardened by {adversary.defence!r}"
    _, precision = compute_dtype(recipe.train_dtype, classifier.device)
    title += f", trained in {precision}" if precision else ""
    return Training(
        tuple(history),
        Share.of(logits.argmax(1) == data.y_test),
        title,
        adversary.describe() if adversary else "",
        recipe,
        notes,
        describe_stall(history, recipe.epochs, logits.shape[1], adversary),
    )


def _resolve_subject(settings: Train) -> ResolvedNetwork:
    """The network that is trained; its weights are drawn where nothing names any."""
    if settings.model is None and settings.checkpoint is None:
        settings = replace(settings, model=DEFAULTS["model"])
    return resolve_network(settings, drawn=True)


def _prefer_potentials(subject: ResolvedNetwork, data: Dataset) -> ResolvedNetwork:
    """The network read by potentials, where its model returns them with its spikes.

    Rates of spikes lie in [0, 1], where cross entropy hardly falls. A readout that is
    given, noted or set by the function of the user stays."""
    settled = subject.settle(data)
    if not settled.is_own or "readout" in settled.given:
        return subject
    if settled.build_for(data).body.readout == "spikes":
        other = replace(
            subject, architecture=Architecture(**settled.given, readout="potential")
        )
        with suppress(ArgumentError):  # That function adapts its model itself.
            other.architecture.build_for(data)
            return other
    return subject


def _resolve_adversary(settings: Train, data: Dataset) -> AdversarialTraining | None:
    """The attack and the defence of a training; None where neither is asked for.

    :raises ArgumentError: for an unknown attack, rule or defence, and data without a value range.
    """
    if settings.attack is settings.defence is None:
        return None
    rule = settings.attack_rule
    return AdversarialTraining(
        attack=settings.attack or "pgd",
        eps=8 / 255 if settings.eps is None else settings.eps,
        rule=None if rule is None else parse_rule(rule, "attack_rule"),
        share=settings.adversarial_share,
        value_range=data.clip_values("adversarial training"),
        defence=parse_defence("at" if settings.defence is None else settings.defence),
    )


def _write_percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
