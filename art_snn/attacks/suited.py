"""Which stages of a plan run on a network, and by which gradients."""

from dataclasses import dataclass, replace

from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.plan import Plan, Stage
from art_snn.gradients import Native

REPEATED = "the same stage already runs"
"""How the reason begins why a stage that would repeat another one is skipped."""


@dataclass(frozen=True)
class Suited:
    """The stages of a plan on a network, by their words but for those that run.

    :param stages: those that run, in order.
    :param skipped: stages that do not run, with the reason.
    :param native: stages that run under the network's own gradient, with the reason why their rule
        does not suit.
    :param gradients: all stages that ask the network for gradients, skipped ones among them."""

    stages: list[Stage]
    skipped: dict[str, str]
    native: dict[str, str]
    gradients: tuple[str, ...]


def suited(plan: Plan, estimator: PyTorchClassifier, norm: float | str, some: Tensor) -> Suited:
    """The stages of a plan on a spiking network.

    A stage whose rule does not suit runs under the network's own gradient, where it has one, unless
    the same stage runs under it already. Stages that suit stay as they are.

    :param norm: of the budget.
    :param some: a few samples ``[n, *input_shape]``, on which a model of others is verified."""
    objections = [stage.objection(estimator, norm, some) for stage in plan.stages]
    judged = list(zip(plan.stages, objections, strict=True))
    suiting = [stage for stage, why in judged if why is None and not stage.transfer]
    rule = estimator.model.rule
    running = {str(natively(one)) for one in suiting if (one.rule or rule) == Native()}
    stages: list[Stage] = []
    skipped, native = {}, {}
    for stage, why in judged:
        if why is None:
            stages.append(stage)
        elif (objection := _objection(stage, why, estimator, norm, some)) is not None:
            skipped[str(stage)] = objection
        elif str(other := natively(stage)) in running:
            skipped[str(stage)] = f"{REPEATED}, {other}. {why}"
        else:
            running.add(str(other))
            stages.append(other)
            native[str(stage)] = why
    alone = native and all(stage.rule in (None, Native()) for stage in suiting)
    first = plan.native if alone else ()
    gradients = tuple(str(one) for one in (*first, *plan.stages) if one.by_gradients)
    return Suited([*first, *stages], skipped, native, gradients)


def _objection(
    stage: Stage, why: str, estimator: PyTorchClassifier, norm: float | str, some: Tensor
) -> str | None:
    """Why a stage that does not suit does not under the network's own gradient either, or None."""
    if stage.rule is None:
        return why
    objection = natively(stage).objection(estimator, norm, some)
    if objection in (None, why) or estimator.model.objection(Native()) is not None:
        return objection and why
    return f"{why} Nor does the network's own gradient: {objection}"


def natively(stage: Stage) -> Stage:
    """The stage under the network's own gradient."""
    return replace(stage, rule=Native())
