"""Recording the pairs of one layer in networks of several decays, against their curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from art_snn.checks import invalid, require_count, require_whole
from art_snn.curves import Pairs, curves_of, find_layer, record
from art_snn.curves.static import Curve
from art_snn.data import Dataset
from art_snn.evaluation.deviations import Panel, panel
from art_snn.evaluation.subject import Subject, of_checkpoint
from art_snn.gradients import RGA
from art_snn.network import SpikingNetwork


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is recorded, and which polyline it is held against.

    :param layer: name of a layer of neurons, or its index among them; 1 is the second.
    :param pairs: number of pairs of mean current and mean rate.
    :param batch_size: samples per pass.
    :param seed: of the drawn places, >= 0.
    :param rule: gives beta and gamma of the polyline.
    :raises ValueError: for a count below 1 or a seed below 0.
    """

    layer: int | str = 1
    pairs: int = 8000
    batch_size: int = 64
    seed: int = 0
    rule: RGA = field(default_factory=RGA)

    def __post_init__(self) -> None:
        for name in ("pairs", "batch_size"):
            count = require_count(name, getattr(self, name), remedy="Use a whole number from 1.")
            object.__setattr__(self, name, count)
        object.__setattr__(self, "seed", require_whole("seed", self.seed, remedy="Use 0."))

    def curves(self, subject: Subject) -> dict[str, Curve]:
        """The curves that hold for the subject's neurons, by name."""
        return curves_of(subject.decay, subject.threshold, self.rule)

    def check(self, subject: Subject, network: SpikingNetwork) -> None:
        """Refuse a network that cannot be recorded so, before it is trained.

        :raises ValueError: for another reset than hard, or when layer, beta or gamma does not fit.
        """
        if subject.reset != "hard":
            raise invalid(
                "reset",
                expected="'hard'",
                got=repr(subject.reset),
                remedy="The static curve is that of neurons with a hard reset.",
            )
        find_layer(network, self.layer)
        self.rule.corners(subject.decay, subject.threshold)


@dataclass(frozen=True)
class Recording:
    """One network with the pairs recorded from it and how far they lie from the curves."""

    subject: Subject
    pairs: Pairs
    panel: Panel

    @classmethod
    def of(
        cls, settings: Settings, subject: Subject, network: SpikingNetwork, samples: Dataset
    ) -> Recording:
        """Record the network on the test samples.

        :param network: the subject's, trained.
        :raises ValueError: when there is no such layer, or beta or gamma does not fit.
        """
        pairs = record(
            network,
            samples.x_test,
            settings.layer,
            pairs=settings.pairs,
            batch_size=settings.batch_size,
            seed=settings.seed,
        )
        title = f"{subject.words()} on {samples.name}"
        return cls(subject, pairs, panel(title, subject.decay, pairs, settings.curves(subject)))


def label(decay: float) -> str:
    """The decay as files are named after it: 1, 0.5, no digit lost."""
    return repr(float(decay)).removesuffix(".0")


def subjects_of(
    decays: Sequence[float | None], checkpoints: Sequence[Path] = (), **options: Any
) -> list[Subject]:
    """Subjects that differ in their decay.

    :param decays: one per subject; None is that of its checkpoint.
    :param checkpoints: one per subject, whose notes give what is not told; or none at all.
    :param options: fields of :class:`Subject`, the same for all; None is not told.
    :raises FileNotFoundError: when there is no such checkpoint.
    :raises ValueError: when the numbers differ, two decays are equal, or an option is refused.
    """
    if checkpoints and len(checkpoints) != len(decays):
        raise invalid(
            "checkpoint",
            expected=f"one file per decay, {len(decays)} in all",
            got=str(len(checkpoints)),
            remedy="Give them in the order of the decays, or none to train networks here.",
        )
    paths: Sequence[Path | None] = checkpoints or [None] * len(decays)
    subjects = [
        of_checkpoint(path, decay=decay, **options)
        for path, decay in zip(paths, decays, strict=True)
    ]
    labels = [label(subject.decay) for subject in subjects]
    if not labels or len(set(labels)) < len(labels):
        raise invalid(
            "decay",
            expected="one or more different ones",
            got=", ".join(labels) or "none",
            remedy="One network of every decay is recorded.",
        )
    return subjects
