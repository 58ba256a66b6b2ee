"""Which stages of a plan run on a network, and by which gradients."""

from dataclasses import dataclass, field, replace

from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.plan import Plan, Stage
from art_snn.gradients import Native

REPEATED = "the same stage already runs"
"""How the reason begins why a stage is skipped that would repeat another one."""


@dataclass
class Suited:
    """What becomes of a plan on a network; stages are told by their words.

    :param running: stages that ask for the network's own gradient, whatever asked for it.
    :param stages: those that run, in order.
    :param skipped: stages that do not run, with the reason.
    :param native: stages that run under the network's own gradient, with the reason why their rule
        does not suit.
    :param gradients: all stages that ask the network for gradients, skipped ones among them."""

    running: set[str]
    stages: list[Stage] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    native: dict[str, str] = field(default_factory=dict)
    gradients: tuple[str, ...] = ()

    def run_natively(self, stage: Stage, why: str) -> None:
        """Let a stage whose rule does not suit run under the network's own gradient, once."""
        other = natively(stage)
        if str(other) in self.running:
            self.skipped[str(stage)] = f"{REPEATED}, {other}. {why}"
            return
        self.running.add(str(other))
        self.stages.append(other)
        self.native[str(stage)] = why


def suited(plan: Plan, estimator: PyTorchClassifier, norm: float | str, some: Tensor) -> Suited:
    """The stages of a plan on a spiking network.

    A stage whose rule does not suit runs under the network's own gradient, where it has one, unless
    the same stage runs under it already. Stages that suit stay as they are.

    :param norm: of the budget.
    :param some: a few samples ``[n, *input_shape]``, on which a model of others is verified."""
    whys = [stage.unsuited(estimator, norm, some) for stage in plan.stages]
    judged = list(zip(plan.stages, whys, strict=True))
    suiting = [stage for stage, why in judged if not why and not stage.transfer]
    rule = estimator.model.rule
    found = Suited({str(natively(s)) for s in suiting if (s.rule or rule) == Native()})
    for stage, why in judged:
        objection = _objection(stage, why, estimator, norm, some) if why else ""
        if objection:
            found.skipped[str(stage)] = objection
        elif why:
            found.run_natively(stage, why)
        else:
            found.stages.append(stage)
    alone = found.native and all(stage.rule in (None, Native()) for stage in suiting)
    first = plan.native if alone else ()
    found.stages[:0] = first
    found.gradients = tuple(str(s) for s in (*first, *plan.stages) if s.by_gradients)
    return found


def _objection(
    stage: Stage, why: str, estimator: PyTorchClassifier, norm: float | str, some: Tensor
) -> str:
    """Why a stage that does not suit does not under the network's own gradient either, or ""."""
    if stage.rule is None:
        return why
    objection = natively(stage).unsuited(estimator, norm, some)
    if not objection or objection == why or estimator.model.objection(Native()) is not None:
        return objection and why
    return f"{why} Nor does the network's own gradient: {objection}"


def natively(stage: Stage) -> Stage:
    """The stage under the network's own gradient."""
    return replace(stage, rule=Native())
