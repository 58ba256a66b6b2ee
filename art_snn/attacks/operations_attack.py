"""An attack on what spiking networks save: samples that make neurons fire."""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from art_snn.attacks.auto_pgd import OnwardPGD
from art_snn.attacks.persample import BestPoints
from art_snn.attacks.queries import Objective, Queries, margin
from art_snn.checks import require
from art_snn.classifier.inputs import require_network
from art_snn.metrics.energy import add_operations, count_synapses, synaptic_operations


@dataclass(eq=False, repr=False)
class OperationsAttack(OnwardPGD):
    """Raise the synaptic operations of samples, and leave their predicted class as it is.

    The walk is that of :class:`AutoPGD` along the gradient of
    :func:`~art_snn.metrics.synaptic_operations` by the network's rule. From a point of
    another class it goes back: there it raises the lead of the sample's class. It returns
    the point with most operations of all that it saw and may take.

    :param keep_class: False: points of any class may be taken.
    :param num_random_init: runs, each from a random start; 0: one run, from the sample itself.
    :raises ValueError: for a bad setting; in `generate` as `synaptic_operations`. The
        other parameters are those of :class:`IteratedAttack`."""

    num_random_init: int = 0
    targeted: bool = field(init=False, default=False)
    loss_type: str = field(init=False, default="cross_entropy")
    keep_class: bool = True

    def generate(self, x: Any, y: Any = None) -> Any:
        """Samples of more operations, as :class:`AutoPGD` returns them; y is not read."""
        network = require_network("estimator", self.estimator, "Put it into the network.")
        changed = self.estimator.postprocessing_defences
        require(not changed, "estimator", "no postprocessing", changed, "Leave it out.")
        attack, metering = copy.copy(self), copy.copy(self.estimator)
        twin = add_operations(network, count_synapses(network, metering.input_shape))
        metering._model, attack._estimator = metering._make_model_wrapper(twin), metering
        metering._nb_classes += 1
        adversarials = super(OperationsAttack, attack).generate(x)
        self.forwards, self.backwards = attack.forwards, attack.backwards
        # Another batch may round a spike away.
        before, after = (
            synaptic_operations(self.estimator, part) for part in (x, adversarials)
        )
        adversarials[after < before] = x[after < before]
        return adversarials

    @property
    def objective(self) -> Objective:
        """Operations; where the class is lost, how far it is from the largest logit."""
        return lambda logits, classes: torch.where(
            self._may_take(logits, classes),
            logits[:, -1],
            -margin(logits[:, :-1], classes),
        )

    def _may_take(self, logits: Tensor, classes: Tensor) -> Tensor:
        return (logits[:, :-1].argmax(1) == classes) | (not self.keep_class)

    def craft(self, queries: Queries, best: BestPoints, classes: Tensor) -> None:
        best.values = best.values.double()
        rows = torch.arange(len(classes), device=classes.device)
        logits = queries.logits(best.samples, rows)
        self.take(best, rows, best.samples.clone(), logits, classes)
        super().craft(queries, best, classes)

    def take(
        self, best: BestPoints, rows: Tensor, points: Tensor, logits: Tensor, aims: Tensor
    ) -> tuple[Tensor, Tensor]:
        values = logits[:, -1].double().where(self._may_take(logits, aims), -torch.inf)
        broken = self.succeeded(logits, aims)
        best.take(rows, points, values, broken)
        return values, broken

    def _predict(self, samples: Tensor) -> Tensor:
        return super()._predict(samples)[:, :-1]
