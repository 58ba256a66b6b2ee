"""Extended: craft with more time steps than the network runs."""

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from art_snn.checks import require_count
from art_snn.dynamics import MOST_STEPS, Dynamics
from art_snn.gradients.base import Body, Composite, Gradient, simulation, with_memory


@dataclass(frozen=True)
class Extended(Composite):
    """The time-extended enhancement of Bu et al. (CVPR 2023) around any rule.

    The Jacobian is that of the same network run for `steps` time steps. The logits, and
    so the loss, are those of the network's own time steps. The encoder must be able to
    give any number of steps, as Direct and Poisson can.

    :param rule: rule of the longer run.
    :param steps: its time steps, 100,000 at most.
    :raises TypeError, ValueError: when `rule` is no rule, or for another number."""

    rule: Gradient
    _: KW_ONLY
    steps: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("steps", self.steps, up_to=MOST_STEPS, remedy="The default is 32.")

    @property
    def plain_passes(self) -> int:
        return 1 + self.rule.plain_passes

    def objection(self, dynamics: Dynamics, encoder: object = None) -> str | None:
        if encoder is not None and not callable(getattr(encoder, "with_steps", None)):
            return f"{encoder} cannot give another number of time steps"
        if isinstance(dynamics.decay, tuple) and len(dynamics.decay) != self.steps:
            return f"these neurons have decays for {len(dynamics.decay)} steps, not {self.steps}"
        return super().objection(dynamics, encoder)

    def logits(self, body: Body, x: Tensor) -> Tensor:
        longer = body.with_steps(self.steps)
        longer.memory = body.memory.get(self, {})

        with torch.no_grad():
            exact = body.run(body.encode(x), simulation)
        extended = self.rule.logits(longer, x)
        body.execution = longer.execution
        if self.remembers:
            body.memory = with_memory(body.memory, self, longer.memory)
        return exact + (extended - extended.detach())
