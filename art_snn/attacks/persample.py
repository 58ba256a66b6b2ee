"""The base of our attacks: each sample is attacked for itself; what is reached, what remains."""

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field, fields
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from art.attacks import EvasionAttack
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.measures import ROUNDING, Measure
from art_snn.attacks.queries import Queries, attacking, predict
from art_snn.checks import invalid, require, require_count, require_seed
from art_snn.classifier.inputs import as_array, as_tensor, check_samples, class_indices
from art_snn.gradients.shared import align
from art_snn.layers import dtype_of
from art_snn.network import SpikingNetwork
from art_snn.progress import Progress

_SINGLE = 4  # Bytes of a number in single precision.


class BestPoints:
    """Of every sample the first point that is broken; until then the one of the highest value.

    `samples` are those points, with the `values` [n] of what the attack raises; at first
    the samples themselves, below any other point.

    :param x: samples ``[n, *shape]``.
    :param reached: where margins were largest in a plan so far; None outside of one.
    :param warm: whether the attack begins there, where it can."""

    def __init__(
        self, x: Tensor, reached: "BestMargin | None" = None, warm: bool = False
    ) -> None:
        self.samples = x.clone()
        self.values = x.new_full((len(x),), -torch.inf)
        self.broken = torch.zeros_like(self.values, dtype=torch.bool)
        self.reached = reached
        self.warm = warm

    def take(self, rows: Tensor, points: Tensor, values: Tensor, broken: Tensor) -> None:
        """Take in points ``[m, *shape]`` of samples [m] that were not broken before."""
        better = broken | (values > self.values[rows])
        _put(self.samples, rows, points, better)
        _put(self.values, rows, values, better)
        self.broken[rows] |= broken

    def start(self, rows: Tensor, cold: Tensor) -> Tensor:
        """Where to begin with samples [m]: where margins were largest, or at the cold starts."""
        if self.reached is None or not self.warm:
            return cold
        places = self.reached.rows[rows]
        asked = self.reached.margins[places].isfinite()
        return torch.where(align(asked, cold), self.reached.points[places], cold)


class BestMargin:
    """The `points` of samples x with the largest margin that attacks have reached.

    `margins` are those there [n], in the same unit for all attacks, -inf where nothing
    was asked for; `heights` say how far the true class's logit is above the mean of all,
    at x [n]. `rows` are the samples that :meth:`take` is told of."""

    COLUMNS = ("points", "heights", "margins")

    def __init__(self, x: Tensor) -> None:
        self.points = x.clone()
        self.margins = x.new_full((len(x),), -torch.inf)
        self.heights = x.new_zeros(len(x))
        self.rows = torch.arange(len(x), device=x.device)

    def select(self, rows: Tensor) -> "BestMargin":
        """The same for some samples, there rows 0 to m - 1, which are kept here."""
        some = copy.copy(self)
        some.rows = self.rows[rows]
        return some

    def near(self, rows: Tensor, share: float) -> Tensor:
        """Which of rows [m] lack at most that share of their height, or were never queried [m]."""
        margins = self.margins[rows]
        return (margins >= -share * self.heights[rows]) | ~margins.isfinite()

    def take(self, rows: Tensor, points: Tensor, margins: Tensor) -> None:
        """Take in points ``[m, *shape]`` of some samples, with the margins [m] there."""
        places = self.rows[rows]
        larger = margins > self.margins[places]
        _put(self.points, places, points, larger)
        _put(self.margins, places, margins, larger)


def _put(kept: Tensor, rows: Tensor, others: Tensor, which: Tensor) -> None:
    """Replace rows [m] of what is kept where a mask [m] says so, without a wait for the device."""
    kept[rows] = torch.where(align(which, others), others.to(kept), kept[rows])


class ActiveRows(NamedTuple):
    """Rows of samples [n] on the device, and on the CPU, where they are counted without a wait."""

    rows: Tensor
    here: Tensor

    def select(self, stay: Tensor, *others: Any) -> tuple[Any, ...]:
        """Those that a mask [n] on the CPU names, and the same rows of what belongs to them.

        :param others: tensors [n, ...], or what takes rows by a method `select`."""
        if stay.all():
            return self, *others
        which = stay.nonzero()[:, 0].to(self.rows.device)
        selected = (
            o[which] if isinstance(o, Tensor) else o.select(which) for o in others
        )
        return ActiveRows(self.rows[which], self.here[stay]), *selected


class _Settings:
    """The names of the settings that the constructor of an attack takes, as ART lists them."""

    def __get__(self, attack: object, kind: type) -> list[str]:
        return [one.name for one in fields(kind) if one.init]


@dataclass(eq=False, repr=False)
class CountedAttack(EvasionAttack):  # type: ignore[misc]  # ART has no types.
    """An attack on every sample for itself.

    After :meth:`generate` the attributes `forwards` and `backwards`, int [N], count the
    passes of every sample. The settings of an attack are fields of a dataclass.

    :param estimator: a classifier of torch's. A spiking network is differentiated by its rule.
    :param targeted: whether y are targets.
    :param batch_size: samples per pass.
    :param verbose: show progress."""

    attack_params = _Settings()
    _estimator_requirements = (PyTorchClassifier,)
    bytes_at_once = 2**26
    """Bytes of samples that are attacked at a time."""
    needs_range = ""
    """What clip_values must say, where the attack needs them."""

    estimator: InitVar[PyTorchClassifier] = field()
    targeted = False
    batch_size = 32
    seed = 0
    verbose = False

    def __post_init__(self, estimator: PyTorchClassifier) -> None:
        super().__init__(estimator=estimator)
        self.forwards = self.backwards = np.zeros(0, dtype=np.int64)
        self._check_params()

    def generate(self, x: Any, y: Any = None) -> Any:
        """Adversarial samples.

        :param x: samples ``(N, *input_shape)``, numpy or torch, within the clip range.
        :param y: true classes, or targets of a targeted attack: indices (N,) or scores
            (N, K), such as one-hot; None: the predictions, for an untargeted attack.
        :return: samples of x's shape, library and dtype; whole numbers and half precision
            become single. A sample that is broken already, or whose logits are NaN, stays
            as it is.
        :raises TypeError: when x or y is no array of real numbers.
        :raises ValueError: when a shape, a label or a value does not fit."""
        samples = self._samples(x)
        classes = self._classes(samples, y)
        with Progress(
            type(self).__name__, len(x), unit="samples", verbose=self.verbose, even=False
        ) as progress:
            queries = Queries(self.estimator, len(samples), self.batch_size, progress)
            self.forwards = queries.forwards.numpy()
            self.backwards = queries.backwards.numpy()
            self._prepare(samples, classes)
            blocks: Sequence[Tensor] = ()
            if len(samples):
                blocks = torch.split(queries.rows, self._block_size(samples))
            for block in blocks:
                before = progress.done
                self._attack(queries, samples, classes, block.to(samples.device))
                progress.update(before + len(block) - progress.done)
        # In x's library and dtype, but for those whose rounding would leave the budget.
        if isinstance(x, Tensor):
            precise = x.is_floating_point() and x.element_size() >= _SINGLE
            return samples.to(x.device, x.dtype if precise else samples.dtype)
        precise = x.dtype.kind == "f" and x.dtype.itemsize >= _SINGLE
        return as_array(samples).astype(x.dtype if precise else np.float32)

    def _prepare(self, samples: Tensor, classes: Tensor) -> None:
        """Called before the first of the samples ``[N, *input_shape]`` is attacked."""

    def succeeded(self, logits: Tensor, classes: Tensor) -> Tensor:
        """True for samples [n] that are broken: misclassified, or classified as the target."""
        same = logits.argmax(1) == classes
        return (same if self.targeted else ~same) & ~logits.isnan().any(1)

    @abstractmethod
    def _attack(
        self, queries: Queries, samples: Tensor, classes: Tensor, rows: Tensor
    ) -> None:
        """Replace samples rows [n] by adversarials; the queries are about all samples."""

    def _block_size(self, x: Tensor) -> int:
        """The number of samples of the size of x's that are attacked at a time."""
        return max(self.batch_size, self.bytes_at_once // max(1, x[0].nbytes))

    def _samples(self, x: Any) -> Tensor:
        """The samples on the device of the classifier, in its precision at least.

        A spiking network takes any precision, and gets single at least."""
        checked = as_tensor(check_samples(x, self.estimator.input_shape))
        dtype = torch.promote_types(checked.dtype, dtype_of(self.estimator.model))
        if isinstance(self.estimator.model, SpikingNetwork):
            dtype = torch.promote_types(dtype, torch.float32)
        samples = checked.detach().to(self.estimator.device, dtype, copy=True)
        if self.estimator.clip_values is None:
            require(
                not self.needs_range,
                "x",
                "samples of a known range",
                "a classifier without clip_values",
                f"Tell the classifier by clip_values {self.needs_range}.",
            )
            return samples
        low, high = self.clip_range(samples)
        slack = ROUNDING * (high - low)
        if not ((samples >= low - slack) & (samples <= high + slack)).all():
            raise invalid(
                "x",
                f"values within clip_values, {self.estimator.clip_values}",
                f"values from {samples.min():g} to {samples.max():g}",
                "Scale the samples, or tell the classifier their range by clip_values.",
            )
        return samples.clamp(low, high)

    def clip_range(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Lowest and highest values, which broadcast to samples; infinite where none are known."""
        values = self.estimator.clip_values
        low, high = (-np.inf, np.inf) if values is None else values
        # Numbers are filled in on the device, and not sent to it.
        ends = (as_tensor(end).to(like.dtype) for end in (low, high))
        return tuple(  # type: ignore[return-value]  # There are two ends.
            end.to(like.device) if end.ndim else like.new_full((), end.item())
            for end in ends
        )

    def _classes(self, samples: Tensor, y: Any) -> Tensor:
        """True classes or targets [N]."""
        if y is None:
            require(
                not self.targeted,
                "y",
                "target classes",
                "None",
                "A targeted attack takes the target classes as y.",
            )
            if not len(samples):  # ART's classifiers do not predict those.
                return samples.new_empty(0, dtype=torch.int64)
            return self._predict(samples).argmax(1)
        labels = y if isinstance(y, Tensor) else np.asanyarray(y)
        indices = class_indices(labels, len(samples), self.estimator.nb_classes)
        return torch.as_tensor(indices, device=samples.device)

    def _predict(self, samples: Tensor) -> Tensor:
        """Scores [N, K] of the classes."""
        return predict(self.estimator, samples, self.batch_size)

    def _check_params(self) -> None:
        super()._check_params()
        require_count("batch_size", self.batch_size, remedy="Batches of 32 are usual.")
        require_seed("seed", self.seed)
        for one in fields(self):
            if isinstance(one.default, bool):
                value = getattr(self, one.name)
                require(
                    isinstance(value, bool),
                    one.name,
                    "True or False",
                    repr(value),
                    "Use a bool.",
                )


class PerSampleAttack(CountedAttack):
    """An attack that leaves alone what is misclassified already, and stops where it succeeds."""

    radius: ClassVar[Any] = None
    """The largest change of a value that the attack makes; None where any may be made."""
    by_gradients = True
    """True where it asks the classifier for gradients."""

    @classmethod
    def budget(cls, measure: Measure, eps: float) -> dict[str, Any] | None:
        """The settings by which it takes a budget of that measure; None where it knows none.

        Attacks take `norm` and `eps`, unless they say otherwise, and know no event frames."""
        return None if measure.counted else {"norm": measure.norm, "eps": eps}

    @abstractmethod
    def craft(self, queries: Queries, best: BestPoints, classes: Tensor) -> None:
        """Replace the samples by adversarials, those that are neither broken nor left alone.

        :param queries: about the samples, which are rows 0 to n - 1.
        :param best: the samples ``[n, *input_shape]``, and what takes in better ones."""

    def _block_size(self, x: Tensor) -> int:
        """One batch where the rule remembers it.

        Otherwise more, so that batches remain full when samples leave."""
        network = self.estimator.model
        remembers = isinstance(network, SpikingNetwork) and network.rule.remembers
        return self.batch_size if remembers else super()._block_size(x)

    def _attack(
        self, queries: Queries, samples: Tensor, classes: Tensor, rows: Tensor
    ) -> None:
        logits = queries.logits(samples[rows], rows)
        left = ~(self.succeeded(logits, classes[rows]) | logits.isnan().any(1))
        queries.finish(int((~left).sum()))
        rows = rows[left]
        if len(rows):
            best = BestPoints(samples[rows])
            with attacking(self.estimator, self.radius):
                self.craft(queries.select(rows), best, classes[rows])
            samples[rows] = best.samples
