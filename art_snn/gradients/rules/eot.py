"""EOT: expectation over what a network draws at random."""

from dataclasses import KW_ONLY, dataclass

import torch
from torch import Tensor

from art_snn.checks import require_count
from art_snn.gradients.base import Body, Composite, Gradient

MOST_DRAWS = 10_000
"""The largest number of draws."""


@dataclass(frozen=True)
class EOT(Composite):
    """Expectation over transformation (Athalye et al., ICML 2018) around any rule.

    Logits and their Jacobians are averaged over draws of whatever is random: an encoder,
    or dropout in training mode. A draw is a pass of the inner rule; one that remembers,
    such as ASSG, goes on from draw to draw. The graphs of all draws are kept until the
    backward pass.

    Predictions need no gradient and are single draws: judge success over several of them.

    :param rule: rule of every draw.
    :param samples: number of draws, 10,000 at most.
    :raises TypeError, ValueError: when `rule` is no rule, or for another number."""

    rule: Gradient
    _: KW_ONLY
    samples: int = 10
    exact_logits = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count(
            "samples", self.samples, up_to=MOST_DRAWS, remedy="Ten draws are usual."
        )

    @property
    def passes(self) -> int:
        return self.samples * self.rule.passes

    @property
    def plain_passes(self) -> int:
        return self.samples * self.rule.plain_passes

    def logits(self, body: Body, x: Tensor) -> Tensor:
        draws = [self.rule.logits(body, x) for _ in range(self.samples)]
        return torch.stack(draws).mean(0)
