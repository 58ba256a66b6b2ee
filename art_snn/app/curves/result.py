from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from art_snn.app.base import Result
from art_snn.app.tables import Part, Table
from art_snn.checks import require
from art_snn.curves import Pairs
from art_snn.curves.static import Curve
from art_snn.dynamics import Dynamics
from art_snn.files import write_arrays
from art_snn.gradients import RGA
from art_snn.metrics import Share


@dataclass(frozen=True)
class Deviation:
    """Recorded rate minus the curve's at the mean current; above 0 where neurons fire more."""

    rms: float
    mean_absolute: float
    bias: float


@dataclass(frozen=True)
class Fit:
    """The pairs of one layer of a network, and curve -> their deviation from it.

    :param places: pairs of a sample and a neuron that there are.
    :param silent: share of the recorded pairs without any spike."""

    title: str
    decay: float
    layer: str
    places: int
    silent: Share
    deviations: dict[str, Deviation]

    @property
    def nearest(self) -> str:
        """The curve of the smallest root mean square; of equal ones the first."""
        return min(self.deviations, key=lambda name: self.deviations[name].rms)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"silent": self.silent.as_dict(), "nearest": self.nearest}

    def source(self) -> str:
        """How many pairs of which layer there are, and how many are silent, in words."""
        return (
            f"{self.layer}: {self.silent.total} of {self.places} pairs of sample and neuron, "
            f"{self.silent} without a spike"
        )

    def table(self) -> Table:
        """One row per curve; d is recorded minus curve."""
        rows = [
            (name, f"{d.rms:.4f}", f"{d.mean_absolute:.4f}", f"{d.bias:+.4f}", mark)
            for name, d in self.deviations.items()
            for mark in ["nearest" if name == self.nearest else ""]
        ]
        return Table(("curve", "rms", "mean |d|", "mean d", ""), rows)


def deviation(pairs: Pairs, curve: Curve) -> Deviation:
    """How far the pairs, of which there is one at least, lie from the curve."""
    require(len(pairs.rate), "pairs", "one at least", "none", "Record some.")
    d = pairs.rate - curve(pairs.current)
    return Deviation(float(np.sqrt((d**2).mean())), float(np.abs(d).mean()), float(d.mean()))


def fit(title: str, decay: float, pairs: Pairs, curves: Mapping[str, Curve]) -> Fit:
    """The pairs against every curve, as :func:`art_snn.curves.curves_of` gives them by name."""
    deviations = {name: deviation(pairs, curve) for name, curve in curves.items()}
    silent = Share(int((pairs.rate == 0).sum()), len(pairs.rate))
    return Fit(title, decay, pairs.layer, pairs.places, silent, deviations)


@dataclass(frozen=True)
class Recording:
    """One network by its name in files and its settings, with the pairs of a layer of neurons."""

    name: str
    subject: Mapping[str, Any]
    dynamics: Dynamics
    pairs: Pairs
    curves: Mapping[str, Curve]
    panel: Fit


@dataclass(frozen=True)
class Curves(Result):
    """What was recorded, network by network, and the rule that gives the polyline."""

    settings: Mapping[str, Any]
    rule: RGA
    recordings: Sequence[Recording]
    name: ClassVar[str] = "curves"

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        panels = [{"subject": r.subject} | r.panel.as_dict() for r in self.recordings]
        return {"settings": self.settings, "panels": panels}

    def parts(self) -> list[Part]:
        """A table per network: d is recorded minus curve."""
        head = f"Curves: static, and the polyline of {self.rule}. d is recorded minus curve."
        panels = [recording.panel for recording in self.recordings]
        return [head, *(part for p in panels for part in ((p.title, p.source()), p.table()))]

    @property
    def files(self) -> list[str]:
        """Names of the files that are written."""
        return [*super().files, "pairs.npz"]

    def write(self, folder: Path, *pictures: Any) -> None:
        """Write all files, and the pairs as arrays."""
        names = ("sample", "neuron", "current", "rate")
        pairs = {f"{r.name}/{n}": getattr(r.pairs, n) for r in self.recordings for n in names}
        write_arrays(folder / "pairs.npz", **pairs)
        super().write(folder, *pictures)
