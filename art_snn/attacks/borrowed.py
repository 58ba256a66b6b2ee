"""ART's own attacks as part of a plan: what they ask is counted, and nothing is computed twice."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from art.attacks import EvasionAttack
from art.attacks.evasion import SquareAttack
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from art_snn.attacks.balls import Ball
from art_snn.attacks.best import Best
from art_snn.attacks.objectives import margin
from art_snn.attacks.persample import PerSampleAttack
from art_snn.attacks.queries import Queries
from art_snn.passes import watched
from art_snn.seeding import seeded

KEPT = 4
"""Calls whose predictions are kept; SquareAttack makes three in an iteration."""

FIRST = 0.8
"""Share of a sample that the first squares of SquareAttack fill."""


class Borrowed(PerSampleAttack):
    """An attack of ART's under the rules of ours.

    What it finds is brought into the ball, the range and the mask before it counts; it is counted
    how often the network ran for every sample, and a prediction that it asks for again is not
    computed again. It draws from a seed, for all of its samples together. Where it is interrupted,
    whatever adversarial it asked a prediction of is found.

    :param kind: attack of ART's.
    :param options: its settings, those of the budget and the batch among them.
    :param norm: of the budget eps."""

    def __init__(
        self,
        estimator: PyTorchClassifier,
        kind: type[EvasionAttack],
        options: dict[str, Any],
        norm: float,
        eps: float,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__(estimator, targeted=False, batch_size=batch_size, verbose=False)
        self.kind, self.options, self.norm = kind, options, norm
        self.eps, self.seed = eps, seed

    @property
    def radius(self) -> float:
        return self.eps

    def craft(self, queries: Queries, best: Best, classes: Tensor, mask: Tensor | None) -> None:
        x = best.samples.clone()
        ball = Ball(self.norm, self.eps, x, *self.clip_range(x), mask)
        seen = _Seen(self, classes)
        estimator = caching_copy(queries, seen.told)
        if issubclass(self.kind, SquareAttack):
            estimator._input_shape = image_shape(estimator.input_shape)
        attack = self.kind(estimator, **self.options)
        quiet = np.errstate(divide="ignore", invalid="ignore")
        rows = torch.arange(len(x), device="cpu")
        try:
            with quiet, seeded(self.seed), counting(queries, x, seen.nearest):
                array = attack.generate(
                    x.cpu().numpy().reshape(len(x), *estimator.input_shape), classes.cpu().numpy()
                )
            found = torch.as_tensor(array, device=x.device).to(x).view_as(x)
            found = ball.project(torch.where(found.isfinite(), found, x))
            logits = queries.logits(found, rows)
        except BaseException:
            seen.put(best, ball)
            raise
        best.take(
            rows.to(x.device), found, margin(logits, classes), self.succeeded(logits, classes)
        )


@dataclass
class _Seen:
    """The adversarial samples that an attack of ART's asked predictions of.

    :param attack: what says which are adversarial.
    :param classes: of its samples [n].
    :param nearest: rows of the passes since the last predictions.
    :param samples: the first one of every row."""

    attack: PerSampleAttack
    classes: Tensor
    nearest: list[Tensor] = field(default_factory=list)
    samples: dict[int, np.ndarray] = field(default_factory=dict)

    def told(self, samples: np.ndarray, predictions: np.ndarray) -> None:
        """Keep those of the samples [m] that the predictions (m, K) show to be adversarial.

        What an attack asks for while it is built comes of no samples, and shows nothing."""
        if not self.nearest:
            return
        rows = torch.cat(self.nearest)[-len(samples) :].to(self.classes.device)
        self.nearest.clear()
        logits = torch.as_tensor(predictions, device=rows.device)
        for place in self.attack.succeeded(logits, self.classes[rows]).nonzero()[:, 0].tolist():
            self.samples.setdefault(int(rows[place]), samples[place])

    def put(self, best: Best, ball: Ball) -> None:
        """Take them for what was found, brought into the ball."""
        for row, sample in self.samples.items():
            best.samples[row] = torch.as_tensor(sample, device=best.samples.device)
            best.broken[row] = True
        best.samples.copy_(ball.project(best.samples))


@contextmanager
def counting(queries: Queries, x: Tensor, nearest: list[Tensor] | None = None) -> Iterator[None]:
    """Whatever runs through the network in the block counts for the nearest of the samples.

    Nearest as the network is given them, behind what the classifier does to its input; of equal
    samples the first one.

    :param x: samples ``[n, *shape]``, the rows of queries.
    :param nearest: is given the rows [m] of every pass."""
    given, _ = queries.estimator._apply_preprocessing(x.cpu().numpy(), y=None, fit=False)
    centres = torch.as_tensor(given, device=x.device).to(x).flatten(1)

    def count(inputs: Tensor, logits: Tensor) -> None:
        rows = torch.cdist(inputs.flatten(1).to(centres), centres).argmin(1)
        queries.count_pass(rows, logits)
        if nearest is not None:
            nearest.append(rows)

    with watching(queries.estimator, count):
        yield


@contextmanager
def watching(
    estimator: PyTorchClassifier, told: Callable[[Tensor, Tensor], None]
) -> Iterator[None]:
    """Whatever this thread runs through the network in the block is told.

    :param told: is given what the network was given ``[n, *shape]``, apart from the graph, and the
        logits [n, K]."""

    def hook(_: nn.Module, inputs: tuple[Tensor, ...], found: Tensor | list[Tensor]) -> None:
        told(inputs[0].detach(), found[-1] if isinstance(found, list) else found)

    with ExitStack() as stack:
        stack.enter_context(watched(estimator.model, hook))
        if isinstance(estimator.model, nn.Sequential):
            # ART calls the members of a bare one, and our attacks the whole of it.
            stack.enter_context(watched(estimator._model, hook))
        yield


def caching_copy(
    queries: Queries, told: Callable[[np.ndarray, np.ndarray], None] | None = None
) -> PyTorchClassifier:
    """A copy of the classifier, of the same network, that keeps its last predictions.

    Those of samples that are not finite are NaN, which SquareAttack tries where it divides by 0.
    ART's attacks take it for the classifier.

    :param told: is given all samples that were computed ``(m, *input_shape)``, with the predictions
        (m, K)."""
    estimator = queries.estimator
    copied = object.__new__(type(estimator))
    vars(copied).update(vars(estimator))
    pages: deque[dict[bytes, np.ndarray]] = deque(maxlen=KEPT)
    nothing = np.full(estimator.nb_classes, np.nan)

    def predict(x: np.ndarray, **_: Any) -> np.ndarray:
        keys = [row.tobytes() for row in np.ascontiguousarray(x)]
        known = (next((page[key] for page in pages if key in page), None) for key in keys)
        found = {row: one for row, one in enumerate(known) if one is not None}
        new = [row for row in range(len(keys)) if row not in found]
        finite = np.isfinite(x[new]).all(axis=tuple(range(1, x.ndim)))
        found |= {row: nothing for row, answered in zip(new, finite, strict=True) if not answered}
        new = [row for row in new if row not in found]
        if new:
            samples = x[new].reshape(-1, *estimator.input_shape)
            predictions = queries.predict(samples)
            found |= zip(new, predictions, strict=True)
            if told is not None:
                told(samples, predictions)
        pages.appendleft({key: found[row] for row, key in enumerate(keys)})
        answers = np.array([found[row] for row in range(len(keys))], dtype=np.float32)
        return answers.reshape(len(keys), estimator.nb_classes)

    copied.predict = predict
    return copied


def art_objection(
    kind: type[EvasionAttack], estimator: PyTorchClassifier, norm: float
) -> str | None:
    """Why an attack of ART's cannot take the samples of a classifier, or None."""
    shape = estimator.input_shape
    if estimator.clip_values is None:
        return "it needs clip_values"
    if not issubclass(kind, SquareAttack):
        return None
    if len(shape) < 2:
        return f"samples of shape {shape} are no images"
    first, second, third = image_shape(shape)
    height, width = (second, third) if estimator.channels_first else (first, second)
    side = max(round((FIRST * height * width) ** 0.5), 1)
    if norm == 2:
        side = max(side, 3) + (side % 2 == 0)
    # In the Euclidean norm it begins with five by five tiles of two rows and columns at least.
    tiled = norm != 2 or min(height, width) >= max(10, 5 * (height // 5))
    if side < min(height, width) and tiled:
        return None
    return f"its squares do not fit into samples of shape {shape}"


def image_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of samples as images: all axes but the last two are one."""
    return (int(np.prod(shape[:-2])), *shape[-2:])
