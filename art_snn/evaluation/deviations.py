"""How far recorded rates lie from rate-current curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from art_snn.checks import invalid
from art_snn.curves import Pairs
from art_snn.curves.static import Curve
from art_snn.evaluation.metrics import Share


@dataclass(frozen=True)
class Deviation:
    """Recorded rate minus the curve's rate at the mean current, over all pairs.

    :param rms: root of the mean square.
    :param mean_absolute: mean of the absolute value.
    :param bias: mean; positive where neurons fire more often than the curve says.
    """

    rms: float
    mean_absolute: float
    bias: float


@dataclass(frozen=True)
class Panel:
    """The pairs of one network and their deviations from every curve.

    :param title: network and data in words.
    :param decay: of its neurons.
    :param layer: name of the recorded layer.
    :param places: pairs of a sample and a neuron that there are.
    :param silent: share of the pairs without any spike.
    :param deviations: curve -> deviation.
    """

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


def deviation(pairs: Pairs, curve: Curve) -> Deviation:
    """How far the pairs lie from the curve.

    :raises ValueError: when there is no pair.
    """
    if not len(pairs.rate):
        raise invalid("pairs", expected="one at least", got="none", remedy="Record some.")
    differences = pairs.rate - curve(pairs.current)
    return Deviation(
        float(np.sqrt(np.square(differences).mean())),
        float(np.abs(differences).mean()),
        float(differences.mean()),
    )


def panel(title: str, decay: float, pairs: Pairs, curves: Mapping[str, Curve]) -> Panel:
    """The pairs against every curve.

    :param title: network and data in words.
    :param decay: of the neurons.
    :param curves: name -> curve, as :func:`art_snn.curves.curves_of` gives them.
    :raises ValueError: when there is no pair.
    """
    found = {name: deviation(pairs, curve) for name, curve in curves.items()}
    silent = Share(int((pairs.rate == 0).sum()), len(pairs.rate))
    return Panel(title, decay, pairs.layer, pairs.places, silent, found)


TITLES = ("curve", "rms", "mean |d|", "mean d", "")


def cells(shown: Panel) -> list[tuple[str, ...]]:
    """The table's cells under :data:`TITLES`, one row per curve; d is recorded minus curve."""
    return [
        (name, f"{d.rms:.4f}", f"{d.mean_absolute:.4f}", f"{d.bias:+.4f}", mark)
        for name, d in shown.deviations.items()
        for mark in ["nearest" if name == shown.nearest else ""]
    ]


def source(shown: Panel) -> str:
    """How many pairs of which layer there are, and how many are silent, in words."""
    return (
        f"{shown.layer}: {shown.silent.total} of {shown.places} pairs of sample and neuron, "
        f"{shown.silent} without a spike"
    )


def table(shown: Panel) -> str:
    """The table of one network as plain text."""
    lines = [shown.title, source(shown), ""]
    for name, *rest, mark in (TITLES, *cells(shown)):
        lines.append(
            (f"{name:16}" + "".join(f"{cell:>10}" for cell in rest) + f"  {mark}").rstrip()
        )
    return "\n".join(lines)


def markdown(shown: Panel) -> str:
    """The table of one network as Markdown."""
    rows = [f"| {' | '.join(row)} |" for row in (TITLES, *cells(shown))]
    rows[0] = rows[0].replace("|d|", r"\|d\|")
    head = [f"{shown.title}. {source(shown)}.", "", rows[0], "|---" * len(TITLES) + "|"]
    return "\n".join([*head, *rows[1:]]) + "\n"
