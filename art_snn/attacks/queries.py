"""What an attack asks of a classifier, and how often for every sample."""

import copy
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor
from tqdm.auto import tqdm

from art_snn.attacks.objectives import Objective
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept


class Queries:
    """Logits and input gradients of a classifier for N samples, in batches.

    A forward pass of a sample counts as one forward, a gradient as one forward and one backward;
    under rules of several passes, such as EOT, as that many, and one forward more under Extended,
    which runs the network itself for its logits alone. Where the logits of a gradient are no
    predictions (half precision, EOT, CBA), the pass that asks for these counts, too.

    :param estimator: any classifier of torch's.
    :param samples: how many there are.
    :param batch_size: most samples of one pass.
    :param bar: is told of every forward.
    :param draws: predictions of a random network that are averaged."""

    def __init__(
        self,
        estimator: PyTorchClassifier,
        samples: int,
        batch_size: int,
        bar: "tqdm[Any] | None" = None,
        draws: int = 1,
    ) -> None:
        self.estimator, self.batch_size, self.bar, self.draws = estimator, batch_size, bar, draws
        self.reports = True
        self.forwards = torch.zeros(samples, dtype=torch.long, device="cpu")
        self.backwards = torch.zeros(samples, dtype=torch.long, device="cpu")
        self.rows = torch.arange(samples, device="cpu")

    def of(self, rows: Tensor, **changes: Any) -> "Queries":
        """What asks for some of the samples [n], there rows 0 to n - 1, and counts here.

        :param changes: attributes that are others there: another `estimator`, `draws`, or
            reports=False, which keeps the bar from being told who is through."""
        inner = copy.copy(self)
        inner.rows = self.rows[rows.cpu()]
        vars(inner).update(changes)
        return inner

    def logits(self, x: Tensor, rows: Tensor) -> Tensor:
        """Predictions [n, K]; NaN where the classifier has no answer.

        :param x: samples ``[n, *input_shape]``.
        :param rows: which samples they are made of [n], one as often as it is asked for."""
        self._forward(rows, self.draws)
        return torch.as_tensor(self.predict(x.cpu().numpy()), device=x.device)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Predictions (n, K), which nobody counts."""
        every = [self.estimator.predict(x, batch_size=self.batch_size) for _ in range(self.draws)]
        found: np.ndarray = np.mean(every, axis=0) if self.draws > 1 else every[0]
        return found

    def gradients(
        self, x: Tensor, classes: Tensor, objective: Objective, rows: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Predictions [n, K] and the gradient of the objective ``[n, *input_shape]``.

        Elements of the gradient that are not finite are 0.

        :param x: samples ``[n, *input_shape]``.
        :param classes: what the objective is told [n].
        :param rows: which samples they are made of [n]."""
        self._forward(rows, self.forwards_each)
        self._count(self.backwards, rows, self.backwards_each)
        parts = (torch.split(tensor, self.batch_size) for tensor in (x, classes))
        found = [
            logits_and_gradient(self.estimator, a, b, objective)
            for a, b in zip(*parts, strict=True)
        ]
        logits, gradient = (torch.cat(every) for every in zip(*found, strict=True))
        if not _predicts(self.estimator):
            logits = self.logits(x, rows)
        return logits, gradient.nan_to_num_(0, 0, 0)

    def ran(self, rows: Tensor, logits: Tensor) -> None:
        """Count a pass that somebody else made, and every backward pass from its logits.

        :param rows: which samples it was made of [n].
        :param logits: what came out [n, K]."""
        backwards = self.backwards_each
        self._forward(rows, self.forwards_each if logits.requires_grad else 1)

        def backward(_: Tensor) -> None:
            self._count(self.backwards, rows, backwards)

        if logits.requires_grad:
            logits.register_hook(backward)  # type: ignore[no-untyped-call]

    @property
    def backwards_each(self) -> int:
        """How often a gradient takes the network backward."""
        model = self.estimator.model
        return model.rule.passes if isinstance(model, SpikingNetwork) else 1

    @property
    def forwards_each(self) -> int:
        """How often a gradient takes it forward."""
        model = self.estimator.model
        plain = model.rule.plain_passes if isinstance(model, SpikingNetwork) else 0
        return self.backwards_each + plain

    def through(self, samples: int) -> None:
        """Tell the bar of samples that the attack has done with."""
        if self.bar is not None and self.reports:
            self.bar.update(samples)

    def _forward(self, rows: Tensor, times: int) -> None:
        self._count(self.forwards, rows, times)
        if self.bar is not None:
            self.bar.set_postfix(forwards=int(self.forwards.sum()), refresh=False)
            self.bar.update(0)

    def _count(self, counter: Tensor, rows: Tensor, times: int) -> None:
        own = self.rows[rows.cpu()]
        counter.index_add_(0, own, torch.full_like(own, times))


def logits_and_gradient(
    estimator: PyTorchClassifier, x: Tensor, classes: Tensor, objective: Objective
) -> tuple[Tensor, Tensor]:
    """Logits of one pass [n, K] and the gradient ``[n, *input_shape]``, as it comes.

    Through what the classifier does to its input, in evaluation mode; weights take none."""
    by_numpy = not estimator.all_framework_preprocessing
    leaf = x
    if by_numpy:
        prepared, _ = estimator._apply_preprocessing(x.cpu().numpy(), y=None, fit=False)
        leaf = torch.as_tensor(prepared, device=x.device)
    leaf = leaf.detach().clone().requires_grad_()
    inputs = leaf
    with modes_kept(estimator.model, False), torch.enable_grad():
        if not by_numpy:
            inputs, _ = estimator._apply_preprocessing(leaf, y=None, fit=False, no_grad=False)
        logits = estimator.model(inputs)
        (gradient,) = torch.autograd.grad(objective(logits, classes).sum(), leaf)
    if by_numpy:
        array = estimator._apply_preprocessing_gradient(x.cpu().numpy(), gradient.cpu().numpy())
        gradient = torch.as_tensor(array, device=x.device).to(x)
    return logits.detach(), gradient


def _predicts(estimator: PyTorchClassifier) -> bool:
    """Whether the logits in the graph of a gradient are those of a prediction."""
    if estimator.postprocessing_defences:
        return False
    model = estimator.model
    return not isinstance(model, SpikingNetwork) or model.predicts(estimator.device)
