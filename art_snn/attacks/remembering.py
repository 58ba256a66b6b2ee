"""What a spiking network learns about an attack on it, since rules such as ASSG remember.

Other models remember nothing."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.classifier.inputs import reaches_as_it_is
from art_snn.network import SpikingNetwork


def attacking(estimator: PyTorchClassifier, radius: float | None) -> AbstractContextManager[object]:
    """A block for one batch, in which a network knows how far the attack goes.

    Behind preprocessing a radius has another unit, and the network learns none."""
    if not isinstance(estimator.model, SpikingNetwork):
        return nullcontext()
    return estimator.model.attacking(radius if reaches_as_it_is(estimator) else None)


def forget(model: Any) -> None:
    """Let a network forget an earlier run on the same samples."""
    if isinstance(model, SpikingNetwork):
        model.forget()


def keep(model: Any, samples: Tensor) -> None:
    """Tell a network which samples of the last batch the next one holds, bool [N] on the CPU."""
    if isinstance(model, SpikingNetwork) and not bool(samples.all()):
        model.keep(samples)


def remembers(model: Any) -> bool:
    """Whether the rule takes something from one gradient to the next."""
    return isinstance(model, SpikingNetwork) and model.rule.remembers


def passes(model: Any) -> tuple[int, int]:
    """How often a gradient takes a model forward, and backward."""
    if not isinstance(model, SpikingNetwork):
        return 1, 1
    return model.rule.passes + model.rule.plain_passes, model.rule.passes


def predicts(estimator: PyTorchClassifier) -> bool:
    """Whether the logits in the graph of a gradient are those of a prediction."""
    if estimator.postprocessing_defences:
        return False
    model = estimator.model
    return not isinstance(model, SpikingNetwork) or model.predicts(estimator.device)


def rounds(estimator: PyTorchClassifier) -> bool:
    """Whether the logits of a gradient are those of a prediction but for their precision."""
    return estimator.model.rule.exact_logits and not estimator.postprocessing_defences
