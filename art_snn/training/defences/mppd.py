from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torch.nn import Module

from art_snn.checks import require_choice
from art_snn.dynamics import Dynamics
from art_snn.gradients import STBP, NeuronRef
from art_snn.modulation import Gains, Noise
from art_snn.neurons import Neuron
from art_snn.running.context import hook_here
from art_snn.training.defences.base import Learner, Watching, run_watched


@dataclass(frozen=True, kw_only=True)
class MPPD(Watching):
    """MPPD (Ding et al., ICML 2024; its l1 form ICLR 2026): adversarial currents near clean ones.

    clean CE(f(x), y) + (1 - clean) CE(f(x_adv), y) + weight * mean(abs(Y)), or mean(Y^2).
    Y is what the difference of currents adds up to in the last layer of neurons, if none
    fires: Y[t] = decay Y[t-1] + x_clean[t] - x_adv[t]. The clean current is a constant,
    and both are those before learnt gains, which are a module of the model. The mean is
    over steps, samples and neurons. Clean and adversarial samples are two forward passes
    in training mode, in this order.

    The source leaves the published weight open.

    :param kind: l1, of 2026, or l2, of 2024.
    :param weight: of the penalty, above 0.
    :param clean: share of the clean cross entropy, in (0, 1]; the authors' code has
        0.5."""

    kind: Literal["l1", "l2"] = "l1"
    weight: float = 1.0
    clean: float = field(default=0.5, metadata={"up_to": 1})

    def __post_init__(self) -> None:
        require_choice(
            "kind", self.kind, ("l1", "l2"), remedy="l1 is of 2026, l2 of 2024."
        )
        super().__post_init__()

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropies of clean and adversarial samples, and the weighted distance."""
        currents = []
        # A module that changes currents stands right before the last neurons.
        before: Module | None = None
        for module, following in pairwise(learner.network.layers.modules()):
            if isinstance(following, Neuron):
                before = module
        with (
            hook_here(before, lambda _, inputs, __: currents.append(inputs[0]))
            if isinstance(before, Gains | Noise)
            else nullcontext()
        ):
            clean, layers = run_watched(learner, x)
            hard, others = run_watched(learner, adversarial)
        if not currents:
            currents = [layers[-1][1], others[-1][1]]

        # Neurons that never fire add up the difference of the currents.
        difference = currents[0].detach() - currents[1]
        silent = NeuronRef("", Dynamics(layers[-1][0].dynamics.decay, reset="none"))
        _, distance = STBP().fire_watched(silent, difference.to(clean.dtype))
        size = distance.abs() if self.kind == "l1" else distance.square()

        entropy = nn.functional.cross_entropy
        loss = self.weight * size.mean() + self.clean * entropy(clean, y)
        return loss + (1 - self.clean) * entropy(hard, y)
