"""Train a network by the published recipe, plainly or adversarially, and say how good it is."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from torch import nn

from art_snn import checkpoint
from art_snn.checks import invalid, require_number
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset
from art_snn.evaluation.hardening import AdversarialTraining
from art_snn.evaluation.metrics import Share
from art_snn.evaluation.record import write
from art_snn.evaluation.subject import Subject
from art_snn.inputs import check_device_type
from art_snn.plotting import training_curves
from art_snn.training import Epoch, Recipe, Validation, best, train

MIRRORLESS = ("digits", "mnist", "svhn", "nmnist", "dvs128-gesture")
"""Numerals, which a mirror turns into nothing that is read, and gestures of a left or right arm."""


def mirrored(data: Dataset) -> bool:
    """Whether a mirrored sample still is one of its class, so that the recipe may flip it."""
    # A size or a subset stands behind the name.
    return data.name.split(" ")[0] not in MIRRORLESS


@dataclass(frozen=True, kw_only=True)
class Fitting:
    """What is trained, and how.

    :param subject: the network; its epochs and seed give way to those of the recipe.
    :param recipe: see :class:`art_snn.training.Recipe`.
    :param adversary: for adversarial training; None trains on the samples themselves.
    :param validation: share of the training samples that choose the best epoch, in (0, 0.9].
    :raises ValueError: for another share.
    """

    subject: Subject = field(default_factory=Subject)
    recipe: Recipe = field(default_factory=Recipe)
    adversary: AdversarialTraining | None = None
    validation: float = 0.1

    def __post_init__(self) -> None:
        share = require_number(
            "validation",
            self.validation,
            above=0,
            up_to=0.9,
            remedy="The best epoch is never chosen by test samples; 0.1 is usual.",
        )
        object.__setattr__(self, "validation", share)
        subject = replace(self.subject, epochs=self.recipe.epochs, seed=self.recipe.seed)
        object.__setattr__(self, "subject", subject)

    def check(self, data: Dataset) -> None:
        """Refuse samples that these settings do not suit.

        :raises ValueError: when the recipe or the subject does not suit them, or adversarial
            samples would lie in another range than theirs.
        """
        self.recipe.check_samples(data.input_shape)
        self.subject.on(data)
        if self.adversary is None:
            return
        limits = data.clip_values("adversarial training")
        if self.adversary.value_range != limits:
            raise invalid(
                "value_range",
                expected=f"{limits}, which is that of {data.name}",
                got=f"{self.adversary.value_range} for the adversary",
                remedy="Give AdversarialTraining the value_range of the data.",
            )

    def notes(self, data: Dataset) -> dict[str, Any]:
        """What the checkpoint says beside the weights."""
        return {
            "subject": asdict(self.subject),
            "data": data.name,
            "recipe": asdict(self.recipe),
            "adversary": "" if self.adversary is None else repr(self.adversary),
            "validation": self.validation,
        }


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    :param history: epoch by epoch.
    :param test: test samples that the network classifies correctly, looked at once, at the end.
    """

    history: tuple[Epoch, ...]
    test: Share

    @property
    def best(self) -> Epoch | None:
        """The epoch whose weights were kept."""
        return best(self.history)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "test_accuracy": self.test.as_dict(),
            "best_epoch": None if self.best is None else self.best.number,
            "history": [asdict(epoch) for epoch in self.history],
        }


def run(fitting: Fitting, data: Dataset, output: Path, device_type: str = "gpu") -> Fitted:
    """Train; write network.pt, training.json and training.png.

    A run that was interrupted goes on after its last whole epoch, from training.pt, which is
    kept: a finished run is loaded from it.

    :param fitting: network, recipe and adversary.
    :param data: its training samples are split into training and validation samples.
    :param output: folder, made when missing.
    :param device_type: "gpu" or "cpu", as in ART.
    :raises CheckpointError: when the folder holds a run of other settings.
    :raises ValueError: as :meth:`Fitting.check`, when the rule of the adversary does not apply to
        the network, or the folder holds a network that no run of this kind has left; before
        anything is written.
    """
    check_device_type(device_type)
    fitting.check(data)
    fitting = replace(fitting, subject=fitting.subject.on(data))
    split = data.held_out(fitting.validation, fitting.recipe.seed, "validation")
    classifier = PyTorchSpikingClassifier(
        fitting.subject.build(data),
        nn.CrossEntropyLoss(),
        input_shape=data.input_shape,
        nb_classes=data.classes,
        clip_values=data.value_range,
        device_type=device_type,
    )
    network = classifier.model
    if fitting.adversary is not None:
        fitting.adversary.check(network)
    _refuse_foreign(output)
    output.mkdir(parents=True, exist_ok=True)
    history = train(
        network,
        split.x_train,
        split.y_train,
        fitting.recipe,
        resume=output / "training.pt",
        validation=Validation(split.x_test, split.y_test),
        adversary=fitting.adversary,
    )
    predictions = classifier.predict(data.x_test, fitting.recipe.batch_size).argmax(1)
    correct = Share(int((predictions == data.y_test).sum()), len(data.y_test))
    fitted = Fitted(tuple(history), correct)
    checkpoint.save(
        network, output / "network.pt", **fitting.notes(data), test_accuracy=correct.value
    )
    content = fitting.notes(data) | fitted.as_dict()
    write(output / "training.json", content)
    draw(fitting, data, fitted).savefig(output / "training.png", dpi=150)
    return fitted


def _refuse_foreign(output: Path) -> None:
    """Keep the network of art-snn compare, or one without its state, from being written over."""
    if (output / "network.pt").exists() and not (output / "training.pt").exists():
        raise invalid(
            "output",
            expected="a folder without a network, or with the whole of this run",
            got=f"{output} with a network.pt and no training.pt",
            remedy="Choose another folder, or delete network.pt.",
        )


def draw(fitting: Fitting, data: Dataset, fitted: Fitted) -> Figure:
    """Loss and validation accuracy against the epoch."""
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    training_curves(figure.subplots(), fitted.history)
    kind = "" if fitting.adversary is None else f"\nagainst {fitting.adversary.words()}"
    figure.suptitle(f"{fitting.subject.words()} on {data.name}{kind}", fontsize="small")
    return figure


def report(fitting: Fitting, fitted: Fitted) -> str:
    """The outcome in words."""
    chosen = fitted.best
    lines = []
    if chosen is not None and chosen.validation is not None:
        under = "" if fitting.adversary is None else f" under {fitting.adversary.words()}"
        lines.append(
            f"Best epoch {chosen.number} of {len(fitted.history)}: "
            f"{100 * chosen.validation:.1f} % of the validation samples{under}."
        )
    lines.append(f"Test accuracy: {fitted.test} of {fitted.test.total} samples.")
    return "\n".join(lines)
