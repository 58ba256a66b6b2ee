"""Robustness under an attack: shares of samples with intervals, and paired differences."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy import ndarray
from scipy.stats import binomtest

from art_snn.checks import require, require_whole

CONFIDENCE = 0.95
SIGNIFICANT = 0.05
"""A p-value of McNemar's test below it tells two attacks apart."""
_SMALLEST = 0.001
"""Smaller p-values are not told apart: some hundred samples do not carry their digits."""


@dataclass(frozen=True)
class Share:
    """The share of `count` in `total` samples, with its 95 % Wilson interval."""

    count: int
    total: int

    def __post_init__(self) -> None:
        remedy = "Count samples: no more of them than there are."
        require_whole("total", self.total, up_to=2**63 - 1, remedy=remedy)
        require_whole("count", self.count, up_to=self.total, remedy=remedy)

    @classmethod
    def of(cls, which: ndarray) -> "Share":
        """The share of these samples, bool (N,), among all."""
        return cls(int(which.sum()), len(which))

    @property
    def value(self) -> float:
        """count / total; NaN when there is nothing to count."""
        return self.count / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the Wilson score interval at 95 %; (0, 1) when there is nothing to count."""
        if not self.total:
            return 0.0, 1.0
        bounds = binomtest(self.count, self.total).proportion_ci(
            CONFIDENCE, method="wilson"
        )
        return float(bounds.low), float(bounds.high)

    @property
    def percent(self) -> str:
        """The share alone, in words."""
        return f"{100 * self.value:.1f} %"

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON: count, total, value (None when there is nothing to count), low, high."""
        low, high = self.interval
        value = self.value if self.total else None
        return vars(self) | {"value": value, "low": low, "high": high}

    def __str__(self) -> str:
        if not self.total:
            return "none to count"
        low, high = self.interval
        return f"{self.percent} [{100 * low:.1f}, {100 * high:.1f}]"


@dataclass(frozen=True)
class Robustness:
    """Outcome of one attack: clean and adversarial samples classified correctly, bool (N,) each."""

    correct: ndarray
    robust: ndarray

    @property
    def clean_accuracy(self) -> Share:
        """Share of samples classified correctly before the attack."""
        return Share.of(self.correct)

    @property
    def robust_accuracy(self) -> Share:
        """Share of samples classified correctly before and after the attack."""
        return Share.of(self.correct & self.robust)

    @property
    def attack_success(self) -> Share:
        """Conditional attack success: flipped among the correctly classified (RGA, HART)."""
        return Share.of(self.flipped[self.correct])

    @property
    def flipped(self) -> ndarray:
        """Correct before and wrong after the attack, bool (N,)."""
        return self.correct & ~self.robust  # type: ignore[no-any-return]  # numpy gives Any.

    def as_dict(self) -> dict[str, dict[str, float | int | None]]:
        """For JSON: the three shares."""
        names = ("clean_accuracy", "robust_accuracy", "attack_success")
        return {name: getattr(self, name).as_dict() for name in names}


def robustness(clean: ndarray, adversarial: ndarray, labels: ndarray) -> Robustness:
    """Robustness from predictions.

    :param clean, adversarial: logits (N, K) of the clean and of the adversarial samples.
    :param labels: class indices (N,).
    :raises ValueError: when the lengths differ, or a logit is NaN."""
    require(
        len(clean) == len(adversarial) == len(labels),
        "labels",
        "as many labels as clean and as adversarial samples",
        f"{len(labels)} labels, {len(clean)} clean and {len(adversarial)} adversarial",
        "Predict on all adversarial samples, in the order of the labels.",
    )
    for name, logits in (("clean", clean), ("adversarial", adversarial)):
        require(
            not np.isnan(logits).any(),
            name,
            "logits that are numbers",
            "NaN",
            "An attack that gives NaN flips nothing.",
        )
    return Robustness(clean.argmax(1) == labels, adversarial.argmax(1) == labels)


def paired_difference(a: Robustness, b: Robustness) -> tuple[int, int, float]:
    """Samples that attacks a and b do not both flip, with the exact McNemar test.

    :param a, b: two attacks on the same samples of the same network.
    :return: samples that only a flipped, samples that only b flipped, two-sided p-value."""
    only_a = int((a.flipped & ~b.flipped).sum())
    only_b = int((b.flipped & ~a.flipped).sum())
    p = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return only_a, only_b, p


def union(outcomes: Collection[Robustness]) -> Robustness:
    """The outcome of one or more attacks together: a sample is robust where it is under all."""
    first, *_ = outcomes
    return Robustness(
        first.correct, np.logical_and.reduce([one.robust for one in outcomes])
    )


def describe_difference(outcome: Robustness, reference: Robustness) -> str:
    """The strength of an attack next to another, with McNemar's p: "weaker, p = 0.03".

    From p = 0.05 on it is "no difference"."""
    more, fewer, p = paired_difference(outcome, reference)
    strength = "stronger" if more > fewer else "weaker"
    return f"{strength if p < SIGNIFICANT else 'no difference'}, {format_p(p)}"


def format_p(p: float) -> str:
    """A p-value in at most two digits: "p = 0.03"; "p < 0.001" wherever it is smaller."""
    return f"p < {_SMALLEST:g}" if p < _SMALLEST else f"p = {p:.2g}"
