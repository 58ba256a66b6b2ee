"""Findings with their remedies, and the samples of a classifier that are examined for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal, get_args

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy import ndarray
from scipy.stats import binomtest

from art_snn.attacks.measures import EUCLIDEAN, ROUNDING, Measure, Norm, require_measure
from art_snn.attacks.queries import (
    DRAWS_TO_EXAMINE,
    count_votes,
    cross_entropy,
    logits_and_gradient,
)
from art_snn.checks import (
    ArgumentError,
    cuts_gradients,
    require,
    require_count,
    require_seed,
    set_fields,
)
from art_snn.classifier.inputs import as_array, as_tensor, check_samples, class_indices
from art_snn.gradients import Gradient
from art_snn.metrics import SIGNIFICANT
from art_snn.randomness import is_random, mirror_samples, predict_by_draws

_Severity = Literal["error", "warning", "note"]
SEVERITIES = get_args(_Severity)
"""From the gravest on."""
BEYOND = 0.002
"""The share of all samples by which AutoAttack lets another attack be stronger."""
BY_CHANCE = (
    f"significantly more than {BEYOND:g} of all samples (exact binomial test, p < {SIGNIFICANT:g}; "
    "the share is AutoAttack's: Croce and Hein, ICML 2020)"
)


def exceeds(count: int, of: int) -> bool:
    """True if so many samples are significantly more than 0.002 of all.

    The null hypothesis: each sample is one of them with a probability of 0.002 at most. The exact
    binomial test rejects it at p < 0.05: by 2 of 100 samples, 3 of 200, or 6 of 1,000."""
    return bool(
        binomtest(max(count, 0), of, BEYOND, alternative="greater").pvalue < SIGNIFICANT
    )


def list_samples(which: ndarray) -> str:
    """A sentence with the numbers of some samples, bool (N,), counted from 0: the first five."""
    rows = np.flatnonzero(which).tolist()
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"Sample numbers: {', '.join(map(str, rows[:5]))}{more}."


@dataclass(frozen=True)
class Remedy:
    """A sentence that says what to do."""

    text: str


def advise(*sentences: str) -> tuple[Remedy, ...]:
    """The remedies of a finding, of a sentence each."""
    return tuple(map(Remedy, sentences))


OTHER_RULES = Remedy(
    "Use further gradient rules: art-snn compare finds the strongest, SpikingAutoAttack takes many."
)
SEARCH = Remedy("Also search without gradients: SquareSearch(max_iter=10000).")
UPPER_BOUND = Remedy("Report the number as an upper bound.")


@dataclass(frozen=True)
class Finding:
    """A reason to doubt a measured robustness.

    :param id: of its kind, such as "random-network"; it stays when the words change.
    :param title: a few words.
    :param evidence: what was measured, by name.
    :param limit: when it counts as a finding, and who says so: "if ...".
    :param remedies: what to do about it.
    :param about: "network", "gradients", "plan", or the name of an attack.
    :param sentence: the evidence in words, for people outside of the field.
    :param severity: "error" where predictions, samples or the budget are not what they
        seem, so that the number means nothing until that is fixed; "warning" where the
        true robustness may be lower; "note" where something is worth knowing that changes
        no number.
    :param eps: the budget that it concerns; None for every budget.
    :param broken: numbers of the samples that it saw misclassified within the budget of the
        examination; none of random networks, of which plans count more predictions."""

    id: str
    title: str
    evidence: Mapping[str, float]
    limit: str
    remedies: tuple[Remedy, ...]
    about: str = "network"
    sentence: str = ""
    severity: _Severity = "warning"
    eps: float | None = None
    broken: tuple[int, ...] = ()

    @property
    def remedy(self) -> str:
        """All remedies, in words."""
        return " ".join(one.text for one in self.remedies)

    def __str__(self) -> str:
        numbers = (f"{name} {value:.4g}" for name, value in self.evidence.items())
        sentence = self.sentence or f"Measured: {', '.join(numbers)}."
        title = f"{self.severity.capitalize()}: {self.title} ({self.about})."
        return f"{title} {sentence} {self.remedy}"


@dataclass(frozen=True)
class Subject:
    """A classifier with the samples that its robustness is measured on.

    :param x: samples ``(N, *input_shape)``, with their true classes y (N,).
    :param rules: with which the samples are attacked, next to the present one.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for no sample, another shape, or a bad setting."""

    estimator: PyTorchClassifier
    x: ndarray
    y: ndarray
    eps: float
    norm: Norm = np.inf
    batch_size: int = 32
    seed: int = 0
    rules: tuple[Gradient, ...] = ()

    def __post_init__(self) -> None:
        x = as_array(check_samples(self.x, self.estimator.input_shape))
        require(
            len(x),
            "x",
            "at least one sample",
            "none",
            "Take some of the samples that are attacked.",
        )
        set_fields(
            self,
            x=x if x.dtype.kind == "f" else x.astype(np.float32),
            y=class_indices(self.y, len(x), self.estimator.nb_classes),
            eps=self.measure.require_budget(self.eps),
            batch_size=require_count(
                "batch_size", self.batch_size, remedy="Batches of 32 are usual."
            ),
            seed=require_seed("seed", self.seed),
        )

    @cached_property
    def measure(self) -> Measure:
        """The measure of the norm."""
        return require_measure(self.norm)

    def predict(self, x: ndarray, draws: int) -> list[ndarray]:
        """Predictions (N, K) from so many random states, the first that of the seed."""
        predict = partial(self.estimator.predict, x, batch_size=self.batch_size)
        return predict_by_draws(predict, self.seed, draws)

    def logits(self, x: ndarray) -> ndarray:
        """Predictions (N, K), from the random state of the seed."""
        return self.predict(x, 1)[0]

    @cached_property
    def evaluations(self) -> list[ndarray]:
        """Predictions of the same samples from five random states."""
        return self.predict(self.x, DRAWS_TO_EXAMINE)

    @property
    def clean(self) -> ndarray:
        """Predictions (N, K)."""
        return self.evaluations[0]

    @cached_property
    def random(self) -> bool:
        """True where predictions of the same samples differ from draw to draw."""
        return is_random(self.evaluations, self.y)

    @cached_property
    def again(self) -> tuple[ndarray, ndarray]:
        """Predictions of the same samples from one random state, before and after others."""
        first = self.logits(self.x)
        self.logits(mirror_samples(self.x))
        return first, self.logits(self.x)

    @property
    def stateful(self) -> bool:
        """True where the same samples from the same random state have other predictions."""
        return not np.array_equal(*self.again, equal_nan=True)

    @cached_property
    def answered(self) -> ndarray:
        """Which samples have logits that are numbers, bool (N,)."""
        return ~np.isnan(self.clean).any(1)  # type: ignore[no-any-return]  # numpy gives Any.

    @cached_property
    def correct(self) -> ndarray:
        """Which samples are classified correctly, bool (N,)."""
        return (self.clean.argmax(1) == self.y) & self.answered  # type: ignore[no-any-return]  # numpy gives Any.

    def wrong(self, x: ndarray) -> ndarray:
        """True where what was made of the samples is misclassified, bool (N,).

        Of random networks the majority of five predictions decides."""
        predictions = self.predict(x, DRAWS_TO_EXAMINE if self.random else 1)
        return count_votes(predictions, as_tensor(self.y)).most.numpy()

    def broken(self, which: ndarray) -> tuple[int, ...]:
        """Numbers of these samples, bool (N,), as a finding has them."""
        return () if self.random else tuple(np.flatnonzero(which).tolist())

    def differentiate(self) -> ndarray | ArgumentError | None:
        """Gradients of the loss at the correctly classified samples.

        The network's own complaint where it refuses them, None where autograd has none."""
        x, y = self.x[self.correct], self.y[self.correct]
        batches = [x[:0]]
        try:
            for start in range(0, len(x), self.batch_size):
                rows = slice(start, start + self.batch_size)
                batches.append(self.gradient(x[rows], y[rows]))
        except ArgumentError as error:
            return error
        except RuntimeError as error:
            if cuts_gradients(error):
                return None
            raise
        return np.concatenate(batches)

    gradients = cached_property(differentiate)
    """Those by the present rule."""

    def gradient(self, x: ndarray, y: ndarray) -> ndarray:
        """Gradient of the cross entropy at one batch of samples."""
        samples, classes = (
            torch.as_tensor(a, device=self.estimator.device) for a in (x, y)
        )
        _, gradient = logits_and_gradient(self.estimator, samples, classes, cross_entropy)
        return as_array(gradient)

    @property
    def span(self) -> float:
        """Width of the range of values: of clip_values, or else of the samples."""
        values = self.estimator.clip_values
        low, high = (self.x.min(), self.x.max()) if values is None else values
        return float(np.max(np.subtract(high, low)))

    @property
    def limits(self) -> tuple[ndarray, ndarray]:
        """Lowest and highest values, rounding included; infinite without clip_values."""
        values = self.estimator.clip_values
        slack = ROUNDING * self.span
        low, high = (-np.inf, np.inf) if values is None else values
        return np.asarray(low) - slack, np.asarray(high) + slack

    @property
    def reach(self) -> float:
        """The largest distance of two samples of that range: its width, in norm 2 its diagonal."""
        if self.measure == EUCLIDEAN:
            return self.span * float(np.sqrt(self.x[0].size))
        return self.span
