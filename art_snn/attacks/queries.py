"""Logits and gradients that attacks ask for, counted per sample; their objectives; votes."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import reduce
from typing import Any, NamedTuple

import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn
from torch.nn import Module, functional

from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.classifier.inputs import as_array, as_tensor, lacks_preprocessing
from art_snn.gradients.base import keep_samples
from art_snn.network import SpikingNetwork
from art_snn.progress import Progress
from art_snn.randomness import predict_by_draws
from art_snn.running.context import hook_here, keep_modes

Objective = Callable[[Tensor, Tensor], Tensor]
"""(logits [n, K], classes [n]) -> what an attack raises [n]."""

DRAWS_TO_EXAMINE = 5
"""Predictions that are compared, to see whether a network is random, or of which most
decide about a finding (AutoAttack; Croce and Hein, ICML 2020)."""
DRAWS_TO_DECIDE = 11
"""Fresh predictions of an adversarial, of which most decide."""
DRAWS_TO_AVERAGE = 10
"""Draws that a gradient is averaged over, and the logits on the way."""

_FRESH = 1000
"""The predictions that decide are drawn from seeds that much above that of the attack."""


class Queries:
    """Logits and input gradients of a classifier for N samples, in batches.

    A prediction of a sample counts as one forward, a gradient as one forward and one
    backward. Rules of several passes, such as EOT, count as that many, and Extended as
    one forward more for its logits. Where the logits of a gradient are no predictions
    (EOT, CBA), the pass that asks for these also counts.

    `draws` predictions of a random network are averaged."""

    def __init__(
        self,
        estimator: PyTorchClassifier,
        samples: int,
        batch_size: int,
        progress: Progress,
    ) -> None:
        self.estimator = estimator
        self.batch_size = batch_size
        self.draws = 1
        self.progress = progress
        self.reports = True
        counters = torch.zeros(2, samples, dtype=torch.long, device="cpu")
        self.forwards, self.backwards = counters
        self.rows = torch.arange(samples, device="cpu")

    def select(self, rows: Tensor, **changes: Any) -> "Queries":
        """Queries about samples [n], there rows 0 to n - 1, which count here.

        :param changes: attributes that differ: `estimator`, `draws`, or `reports`,
            whether the progress learns which samples are finished."""
        inner = copy.copy(self)
        inner.rows = self.rows[rows.cpu()]
        vars(inner).update(changes)
        return inner

    def logits(self, x: Tensor, rows: Tensor) -> Tensor:
        """Predictions [n, K] at points of the samples rows [n]; NaN where there is no answer."""
        self._forward(rows, self.draws)
        return self.predict(x)

    def predict(self, x: Tensor) -> Tensor:
        """Predictions [n, K] that are not counted."""
        draws = (predict(self.estimator, x, self.batch_size) for _ in range(self.draws))
        return reduce(torch.add, draws) / self.draws

    def gradients(
        self, x: Tensor, aims: Tensor, objective: Objective, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predictions [n, K] and the gradient of the objective at points of the samples rows [n].

        Elements of the gradient that are not finite are 0."""
        network = self.estimator.model
        forwards, backwards = _passes(network)
        self._forward(rows, forwards)
        self._count(self.backwards, rows, backwards)

        size = self.batch_size
        batches = zip(torch.split(x, size), torch.split(aims, size), strict=True)
        pairs = [logits_and_gradient(self.estimator, a, b, objective) for a, b in batches]
        logits, gradient = (torch.cat(parts) for parts in zip(*pairs, strict=True))

        exact = not isinstance(network, SpikingNetwork) or network.rule.exact_logits
        if not exact or self.estimator.postprocessing_defences:
            logits = self.logits(x, rows)
        return logits, gradient.nan_to_num_(0, 0, 0)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """A block whose passes through the network count for all samples in equal shares."""
        place = 0
        forwards, backwards = _passes(self.estimator.model)

        def count(inputs: Tensor, logits: Tensor) -> None:
            nonlocal place
            rows = (place + torch.arange(len(inputs), device="cpu")) % len(self.rows)
            place += len(inputs)
            self._forward(rows, forwards if logits.requires_grad else 1)

            def backward(_: Tensor) -> None:
                self._count(self.backwards, rows, backwards)

            if logits.requires_grad:
                logits.register_hook(backward)

        with watching(self.estimator, count):
            yield

    def keep(self, samples: Tensor) -> None:
        """Go on with some samples of the last batch, bool [N] on the CPU; the others are finished.

        The network learns which of them the next batch holds."""
        self.finish(int((~samples).sum()))
        network = self.estimator.model
        if isinstance(network, SpikingNetwork) and not samples.all():
            network.body.memory = keep_samples(network.body.memory, samples)

    def finish(self, samples: int) -> None:
        """Show that the attack is done with so many samples."""
        if self.reports:
            self.progress.update(samples)

    def _forward(self, rows: Tensor, times: int) -> None:
        self._count(self.forwards, rows, times)
        if self.progress.shows:
            self.progress.note(f"forwards={self.forwards.sum()}")
            self.progress.update(0)

    def _count(self, counter: Tensor, rows: Tensor, times: int) -> None:
        counted = self.rows[rows.cpu()]
        counter.index_add_(0, counted, torch.full_like(counted, times))


def predict(estimator: PyTorchClassifier, x: Tensor, batch_size: int) -> Tensor:
    """Predictions [n, K], without a way over the CPU where none of them is made by numpy."""
    method = getattr(estimator.predict, "__func__", None)
    by_numpy = (
        estimator.postprocessing_defences or not estimator.all_framework_preprocessing
    )
    if method is PyTorchSpikingClassifier.predict and not by_numpy:
        return estimator._predictions(x, batch_size)  # type: ignore[no-any-return]  # ART has no types.
    logits = estimator.predict(as_array(x), batch_size=batch_size)
    return torch.as_tensor(logits, device=x.device)


def logits_and_gradient(
    estimator: PyTorchClassifier, x: Tensor, classes: Tensor, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Logits of one pass [n, K] and the gradient ``[n, *input_shape]``, as it comes.

    The pass is in evaluation mode, and goes through what the classifier does to its input."""
    by_numpy = not estimator.all_framework_preprocessing
    leaf = x
    if by_numpy:
        prepared, _ = estimator._apply_preprocessing(as_array(x), y=None, fit=False)
        leaf = torch.as_tensor(prepared, device=x.device)

    leaf = leaf.detach().clone().requires_grad_()
    inputs = leaf
    model = estimator.model
    fixed = (
        model.constant_weights() if isinstance(model, SpikingNetwork) else nullcontext()
    )
    with keep_modes(model, False), fixed, torch.enable_grad():
        if not by_numpy:
            inputs, _ = estimator._apply_preprocessing(
                leaf, y=None, fit=False, no_grad=False
            )
        logits = model(inputs)
        (gradient,) = torch.autograd.grad(objective(logits, classes).sum(), leaf)

    if by_numpy:
        array = estimator._apply_preprocessing_gradient(as_array(x), as_array(gradient))
        gradient = torch.as_tensor(array, device=x.device).to(x)
    return logits.detach(), gradient


@contextmanager
def watching(
    estimator: PyTorchClassifier, on_pass: Callable[[Tensor, Tensor], None]
) -> Iterator[None]:
    """A block that reports every pass of this thread: its input without graph, and its logits."""

    def hook(
        _: Module, inputs: tuple[Tensor, ...], output: Tensor | list[Tensor]
    ) -> None:
        on_pass(inputs[0].detach(), output[-1] if isinstance(output, list) else output)

    # ART calls the members of a bare sequence, and our attacks the whole of it.
    bare = isinstance(estimator.model, nn.Sequential)
    with (
        hook_here(estimator.model, hook),
        hook_here(estimator._model, hook) if bare else nullcontext(),
    ):
        yield


def attacking(
    estimator: PyTorchClassifier, radius: float | None
) -> AbstractContextManager[object]:
    """A block for one batch, in which a network knows how far the attack goes.

    After preprocessing a radius has another unit, and the network learns none."""
    if not isinstance(estimator.model, SpikingNetwork):
        return nullcontext()
    return estimator.model.attacking(radius if lacks_preprocessing(estimator) else None)


def _passes(model: Any) -> tuple[int, int]:
    """Forward and backward passes of one gradient."""
    if not isinstance(model, SpikingNetwork):
        return 1, 1
    return model.rule.passes + model.rule.plain_passes, model.rule.passes


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy at the true classes; raising it leads away from them."""
    return functional.cross_entropy(logits, classes, reduction="none")


def margin(logits: Tensor, classes: Tensor) -> Tensor:
    """Best other logit minus that of the true class: above 0 where a sample is misclassified."""
    others = logits.scatter(1, classes[:, None], -torch.inf)
    return others.amax(1) - logits.gather(1, classes[:, None])[:, 0]


class Votes(NamedTuple):
    """Several predictions of n samples.

    :param wrong: how many are misclassifications [n]; a prediction with NaN is none.
    :param most: True where most are wrong [n].
    :param answered: True where no logit was NaN [n].
    :param logits: the last prediction [n, K]."""

    wrong: Tensor
    most: Tensor
    answered: Tensor
    logits: Tensor


def count_votes(predictions: Sequence[Any], classes: Tensor) -> Votes:
    """The votes of one or more predictions of n samples.

    :param predictions: logits [n, K] each, numpy or torch.
    :param classes: the true classes [n]."""
    logits = torch.stack([as_tensor(one) for one in predictions])

    numbers = ~logits.isnan().any(2)
    wrong = ((logits.argmax(2) != classes) & numbers).sum(0)
    return Votes(wrong, 2 * wrong > len(predictions), numbers.all(0), logits[-1])


def draw_decisions(predict: Callable[[], Any], seed: int, draws: int) -> list[Any]:
    """The predictions that decide after an attack of a seed.

    :param predict: gives logits [n, K].
    :param draws: how many; a single one is drawn from no seed."""
    return [predict()] if draws == 1 else predict_by_draws(predict, seed + _FRESH, draws)
