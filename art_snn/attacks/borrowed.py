"""ART's own attacks as part of a plan: they generate, and results are projected and predicted."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from art.attacks import EvasionAttack
from art.attacks.evasion import SquareAttack
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from art_snn.attacks.balls import Ball
from art_snn.attacks.persample import Best, PerSampleAttack
from art_snn.attacks.queries import Queries, margin
from art_snn.passes import watched
from art_snn.seeding import seeded

KEPT = 4
"""Calls whose predictions are kept; SquareAttack makes three in an iteration."""

FIRST = 0.8
"""Share of a sample that the first squares of SquareAttack fill."""


class Borrowed(PerSampleAttack):
    """An attack of ART's under the rules of ours.

    Its results are projected to the ball before they count. One seed serves all samples, and they
    share the passes that it makes.

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
        estimator = caching_copy(queries)
        if issubclass(self.kind, SquareAttack):
            estimator._input_shape = image_shape(estimator.input_shape)
        attack = self.kind(estimator, **self.options)
        quiet = np.errstate(divide="ignore", invalid="ignore")
        samples = x.cpu().numpy().reshape(len(x), *estimator.input_shape)
        with quiet, seeded(self.seed), counting(queries, len(x)):
            array = attack.generate(samples, classes.cpu().numpy())
        points = torch.as_tensor(array, device=x.device).to(x).view_as(x)
        points = ball.project(torch.where(points.isfinite(), points, x))
        rows = torch.arange(len(x), device="cpu")
        logits = queries.logits(points, rows)
        values, broken = margin(logits, classes), self.succeeded(logits, classes)
        best.take(rows.to(x.device), points, values, broken)


@contextmanager
def counting(queries: Queries, samples: int) -> Iterator[None]:
    """A block whose passes through the network count for so many samples in equal shares."""
    place = 0

    def count(inputs: Tensor, logits: Tensor) -> None:
        nonlocal place
        queries.count_pass((place + torch.arange(len(inputs), device="cpu")) % samples, logits)
        place += len(inputs)

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


def caching_copy(queries: Queries) -> PyTorchClassifier:
    """A copy of the classifier, of the same network, that keeps its last predictions.

    Those of samples that are not finite are NaN: SquareAttack asks for such, dividing by 0."""
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
            rows[new] = queries.predict(x[new].reshape(-1, *estimator.input_shape))
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
