"""Which stages of a plan run on a network, and by which gradients."""

from dataclasses import dataclass, field, replace

from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.plan import Plan, Stage
from art_snn.gradients import Native
from art_snn.interop import AdaptedNetwork

REPEATED = "the same stage already runs"
"""How the reason begins why a stage is skipped that would repeat another one."""


@dataclass
class Suited:
    """What becomes of a plan on a network; stages are told by their words.

    :param stages: those that run, in order.
    :param skipped: stages that do not run, with the reason.
    :param native: stages that run under the network's own gradient, with the reason why their rule
        does not suit.
    :param gradients: all stages that ask the network for gradients, skipped ones among them."""

    stages: list[Stage] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    native: dict[str, str] = field(default_factory=dict)
    gradients: tuple[str, ...] = ()


def suited(plan: Plan, estimator: PyTorchClassifier, norm: float | str, some: Tensor) -> Suited:
    """The stages of a plan on a spiking network.

    A stage whose rule does not suit runs under the network's own gradient, where it has one, unless
    the same stage runs under it already. Stages that suit stay as they are.

    :param norm: of the budget.
    :param some: a few samples ``[n, *input_shape]``, on which a model of others is verified."""
    found, network = Suited(), estimator.model
    whys = {id(stage): stage.unsuited(estimator, norm, some) for stage in plan.stages}
    suiting = [stage for stage in plan.stages if not whys[id(stage)] and not stage.transfer]
    running = {str(natively(s)) for s in suiting if (s.rule or network.rule) == Native()}
    for stage in plan.stages:
        words, why = str(stage), whys[id(stage)]
        if not why:
            found.stages.append(stage)
            continue
        other = stage if stage.rule is None else natively(stage)
        objection = other.unsuited(estimator, norm, some)
        if objection:
            foreign = isinstance(network, AdaptedNetwork) and objection != why
            too = f" Nor does the network's own gradient: {objection}" if foreign else ""
            found.skipped[words] = f"{why}{too}"
        elif str(other) in running:
            found.skipped[words] = f"{REPEATED}, {other}. {why}"
        else:
            running.add(str(other))
            found.stages.append(other)
            found.native[words] = why
    alone = found.native and all(stage.rule in (None, Native()) for stage in suiting)
    first = plan.native if alone else ()
    found.stages[:0] = first
    found.gradients = tuple(str(s) for s in (*first, *plan.stages) if s.by_gradients)
    return found


def natively(stage: Stage) -> Stage:
    """The stage under the network's own gradient."""
    return replace(stage, rule=Native())
