"""An attack on the energy of a spiking network: samples that make its neurons fire."""

import copy
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.auto_pgd import AutoPGD
from art_snn.attacks.persample import Best
from art_snn.attacks.queries import Objective, Queries, margin
from art_snn.checks import require
from art_snn.classifier.inputs import require_network
from art_snn.metrics.energy import count_synapses, metered, synaptic_operations


class OperationsAttack(AutoPGD):
    """Raise the synaptic operations of samples, and leave their class as it is.

    The walk is that of :class:`AutoPGD` along the gradient of
    :func:`~art_snn.metrics.synaptic_operations` by the network's rule. Where a point has another
    class than its sample, the next step raises the logit of that class over the others. A sample is
    returned where it had most operations, of all points that were seen and keep the class.

    :param keep_class: False: any class will do.
    :param num_random_init: runs, each from a random start; 0: one run, from the sample itself.
    :raises ValueError: for a bad setting; in `generate` as
        :func:`~art_snn.metrics.synaptic_operations`. The other parameters are those of
        :class:`IteratedAttack`."""

    def __init__(
        self,
        estimator: PyTorchClassifier,
        norm: float | str = np.inf,
        eps: float = 8 / 255,
        max_iter: int = 100,
        keep_class: bool = True,
        num_random_init: int = 0,
        batch_size: int = 32,
        seed: int = 0,
        verbose: bool = True,
    ) -> None:
        self.keep_class = keep_class
        fixed: Any = {"targeted": False, "batch_size": batch_size, "seed": seed}
        super().__init__(estimator, norm, eps, max_iter, num_random_init, verbose=verbose, **fixed)

    @classmethod
    def budget(cls, norm: float | str, eps: float) -> None:
        """None: plans are of attacks on the class."""

    def generate(self, x: Any, y: Any = None) -> Any:
        """Samples of more operations.

        :param x: samples ``(N, *input_shape)``, numpy or torch, within the clip range.
        :param y: not read: the class that is kept is the predicted one.
        :return: samples of x's shape, library and dtype, as :class:`AutoPGD` returns them."""
        network = require_network("estimator", self.estimator, "Put it into the network.")
        changed, expected = self.estimator.postprocessing_defences, "none"
        require(not changed, "postprocessing_defences", expected, changed, "Leave them out.")
        attack, estimator = copy.copy(self), copy.copy(self.estimator)
        twin = metered(network, count_synapses(network, estimator.input_shape))
        estimator._model = estimator._make_model_wrapper(twin)
        estimator._nb_classes += 1
        attack._estimator = estimator
        adversarials = super(OperationsAttack, attack).generate(x)
        self.forwards, self.backwards = attack.forwards, attack.backwards
        # Rounding of other batches may move a spike.
        clean, attacked = (
            synaptic_operations(self.estimator, part, self.batch_size) for part in (x, adversarials)
        )
        adversarials[attacked < clean] = x[attacked < clean]
        return adversarials

    @property
    def objective(self) -> Objective:
        return self._climb

    def _climb(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Operations; where the class is lost, how far it is from the largest logit."""
        lost = -margin(logits[:, :-1], classes)
        return torch.where(self._keeps(logits, classes), logits[:, -1], lost)

    def _keeps(self, logits: Tensor, classes: Tensor) -> Tensor:
        same = logits[:, :-1].argmax(1) == classes
        return same if self.keep_class else torch.ones_like(same)

    def succeeded(self, logits: Tensor, classes: Tensor) -> Tensor:
        """False: there may always be more."""
        return torch.zeros_like(classes, dtype=torch.bool)

    def craft(self, queries: Queries, best: Best, classes: Tensor) -> None:
        best.values = best.values.double()
        rows = torch.arange(len(classes), device="cpu")
        logits = queries.logits(best.samples, rows)
        self.take(best, rows.to(classes.device), best.samples.clone(), logits, classes)
        super().craft(queries, best, classes)

    def take(
        self, best: Best, rows: Tensor, points: Tensor, logits: Tensor, aims: Tensor
    ) -> tuple[Tensor, Tensor]:
        keeps = self._keeps(logits, aims)
        values = torch.where(keeps, logits[:, -1], -torch.inf).to(best.values)
        broken = torch.zeros_like(keeps)
        best.take(rows, points, values, broken)
        return values, broken

    def _classes(self, samples: Tensor, y: Any) -> Tensor:
        """The predicted classes [N]."""
        if not len(samples):
            return samples.new_empty(0, dtype=torch.int64)
        logits = self.estimator.predict(samples.cpu().numpy(), batch_size=self.batch_size)
        classes = torch.as_tensor(logits, device="cpu")[:, :-1].argmax(1)
        return classes.to(samples.device)
