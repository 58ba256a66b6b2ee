from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from art_snn.checks import require_choice, require_number
from art_snn.dynamics import Dynamics
from art_snn.gradients import STBP, NeuronRef
from art_snn.modulation import Gains, Noise
from art_snn.neurons import Neuron
from art_snn.running.context import hook_here
from art_snn.training.defences.base import Learner
from art_snn.training.defences.potentials import Watching, run_watched


@dataclass(frozen=True, kw_only=True)
class MPPD(Watching):
    """MPPD (Ding et al., ICML 2024; its l1 form ICLR 2026): adversarial currents near clean ones.

    clean CE(f(x), y) + (1 - clean) CE(f(x_adv), y) + weight * mean(abs(Y)), or mean(Y^2). Y is what
    the difference of currents adds up to in the last layer of neurons, if none fires:
    Y[t] = decay Y[t-1] + x_clean[t] - x_adv[t]. The clean current is a constant, and both are those
    before learnt gains, which are a module of the model. The mean is over steps, samples and
    neurons. Clean and adversarial samples are two forward passes in training mode, in this order.

    The source leaves the published weight open.

    :param kind: l1, of 2026, or l2, of 2024.
    :param weight: of the penalty, above 0.
    :param clean: share of the clean cross entropy, in (0, 1]; the authors' code has 0.5."""

    kind: Literal["l1", "l2"] = "l1"
    weight: float = 1.0
    clean: float = 0.5

    def __post_init__(self) -> None:
        require_choice("kind", self.kind, ("l1", "l2"), remedy="l1 is of 2026, l2 of 2024.")
        require_number("clean", self.clean, above=0, up_to=1, remedy="The authors' code has 0.5.")
        super().__post_init__()

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropies of clean and adversarial samples, and the weighted distance."""
        modules, entered = [*learner.network.layers.modules()], list[Tensor]()
        last = max((i for i, one in enumerate(modules) if isinstance(one, Neuron)), default=0)
        # What changes currents stands right before the neurons.
        gains = isinstance(modules[last - 1], Gains | Noise)
        watch = hook_here(modules[last - 1], lambda _, currents, __: entered.append(currents[0]))
        with watch if gains else nullcontext():
            (clean, layers), (hard, others) = (run_watched(learner, z) for z in (x, adversarial))
        before, after = entered or (layers[-1][1], others[-1][1])
        silent = NeuronRef("", Dynamics(layers[-1][0].dynamics.decay, reset="none"))
        _, y_t = STBP().fire_watched(silent, (before.detach() - after).to(clean.dtype))
        size = (y_t.abs() if self.kind == "l1" else y_t.square()).mean()
        entropies = (nn.functional.cross_entropy(z, y) for z in (clean, hard))
        terms = zip((self.clean, 1 - self.clean), entropies, strict=True)
        return sum((k * entropy for k, entropy in terms), self.weight * size)
