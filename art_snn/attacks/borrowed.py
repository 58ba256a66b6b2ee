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

    Its results are projected to the ball before they count; no prediction is computed twice. One
    seed serves all samples. After an interruption, adversarials count that it asked predictions of.

    :param options: its settings, those of the budget and the batch among them."""

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
        self.kind, self.options = kind, options
        self.norm, self.eps, self.seed = norm, eps, seed

    @property
    def radius(self) -> float:
        return self.eps

    def craft(self, queries: Queries, best: Best, classes: Tensor, mask: Tensor | None) -> None:
        x = best.samples.clone()
        ball = Ball(self.norm, self.eps, x, *self.clip_range(x), mask)
        seen = _Seen(self, classes)
        estimator = caching_copy(queries, seen.take)
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
            points = torch.as_tensor(array, device=x.device).to(x).view_as(x)
            points = ball.project(torch.where(points.isfinite(), points, x))
            logits = queries.logits(points, rows)
        except BaseException:
            seen.put(best, ball)
            raise
        values, broken = margin(logits, classes), self.succeeded(logits, classes)
        best.take(rows.to(x.device), points, values, broken)


@dataclass
class _Seen:
    """The first adversarial of every row that an attack of ART's asked predictions of.

    :param nearest: rows of the passes since the last predictions."""

    attack: PerSampleAttack
    classes: Tensor
    nearest: list[Tensor] = field(default_factory=list)
    samples: dict[int, np.ndarray] = field(default_factory=dict)

    def take(self, samples: np.ndarray, predictions: np.ndarray) -> None:
        """Keep those of the samples [m] that are adversarial by their predictions (m, K)."""
        if not self.nearest:  # Asked for while the attack is built, of no sample.
            return
        rows = torch.cat(self.nearest)[-len(samples) :].to(self.classes.device)
        self.nearest.clear()
        logits = torch.as_tensor(predictions, device=rows.device)
        for place in self.attack.succeeded(logits, self.classes[rows]).nonzero()[:, 0].tolist():
            self.samples.setdefault(int(rows[place]), samples[place])

    def put(self, best: Best, ball: Ball) -> None:
        """Put them into the best points, projected to the ball."""
        for row, sample in self.samples.items():
            best.samples[row] = torch.as_tensor(sample, device=best.samples.device)
            best.broken[row] = True
        best.samples.copy_(ball.project(best.samples))


@contextmanager
def counting(queries: Queries, x: Tensor, nearest: list[Tensor] | None = None) -> Iterator[None]:
    """Whatever runs through the network in the block counts for the nearest of the samples x.

    Distances are those of the network's inputs, after preprocessing.

    :param nearest: takes in the rows [m] of every pass."""
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
    estimator: PyTorchClassifier, on_pass: Callable[[Tensor, Tensor], None]
) -> Iterator[None]:
    """A block that reports every pass of this thread: its input without graph, and its logits."""

    def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | list[Tensor]) -> None:
        on_pass(inputs[0].detach(), output[-1] if isinstance(output, list) else output)

    with ExitStack() as stack:
        stack.enter_context(watched(estimator.model, hook))
        if isinstance(estimator.model, nn.Sequential):
            # ART calls the members of a bare one, and our attacks the whole of it.
            stack.enter_context(watched(estimator._model, hook))
        yield


def caching_copy(
    queries: Queries, on_new: Callable[[np.ndarray, np.ndarray], None] | None = None
) -> PyTorchClassifier:
    """A copy of the classifier, of the same network, that keeps its last predictions.

    Those of samples that are not finite are NaN: SquareAttack asks for such where it divides by 0.

    :param on_new: gets samples that were computed, and their predictions (m, K)."""
    estimator = queries.estimator
    copied = object.__new__(type(estimator))
    vars(copied).update(vars(estimator))
    pages: deque[dict[bytes, np.ndarray]] = deque(maxlen=KEPT)

    def predict(x: np.ndarray, **_: Any) -> np.ndarray:
        keys = [row.tobytes() for row in np.ascontiguousarray(x)]
        rows = np.zeros((len(keys), estimator.nb_classes), dtype=np.float32)
        new = []
        for row, key in enumerate(keys):
            page = next((page for page in pages if key in page), None)
            if page is not None:
                rows[row] = page[key]
            elif np.isfinite(x[row]).all():
                new.append(row)
            else:
                rows[row] = np.nan
        if new:
            samples = x[new].reshape(-1, *estimator.input_shape)
            rows[new] = queries.predict(samples)
            if on_new is not None:
                on_new(samples, rows[new])
        pages.appendleft(dict(zip(keys, rows, strict=True)))
        return rows

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
