"""Shares of samples with their intervals."""

from dataclasses import dataclass

from scipy.stats import binomtest

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Share:
    """The share of `count` in `total` samples, with its 95 % Wilson interval."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """count / total; NaN when there is nothing to count."""
        return self.count / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the Wilson score interval at 95 %; (0, 1) when there is nothing to count."""
        if not self.total:
            return 0.0, 1.0
        bounds = binomtest(self.count, self.total).proportion_ci(CONFIDENCE, method="wilson")
        return float(bounds.low), float(bounds.high)

    def as_dict(self) -> dict[str, float | int | None]:
        """For JSON: count, total, value (None when there is nothing to count), low, high."""
        low, high = self.interval
        value = self.value if self.total else None
        counts: dict[str, float | int | None] = {"count": self.count, "total": self.total}
        return counts | {"value": value, "low": low, "high": high}

    def __str__(self) -> str:
        if not self.total:
            return "none to count"
        low, high = self.interval
        return f"{100 * self.value:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"
