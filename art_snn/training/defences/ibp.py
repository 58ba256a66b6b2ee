from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import update_bn

from art_snn.bounds import METHODS, Bounding, check_bounded
from art_snn.bounds.firing import BoundingMethod
from art_snn.checks import ArgumentError, invalid, require_choice, set_fields
from art_snn.data.dataset import check_values
from art_snn.layers import device_of, dtype_of
from art_snn.network import SpikingNetwork
from art_snn.running.context import keep_modes
from art_snn.training.defences.base import Learner, Weighted, require_temporal


@dataclass(frozen=True, kw_only=True)
class IBP(Weighted):
    """Certified training (Gowal et al., ICCV 2019; of spikes Liang et al., NeurIPS 2022).

    (1 - k w) CE(f(x), y) + k w CE(worst logits, y). The worst logits are minus the lower
    bounds of z_y - z_j within the budget k eps. k rises from 0 to 1 over the first steps,
    and w is `bound_weight`. Nothing is attacked: eps is that of the attack, which does
    not run.

    The bounds are those of the network in evaluation mode and in its own precision, but
    batch norms have the statistics of the samples of the step. Running ones lag behind the
    weights, and have no gradient. The bounds are differentiated by the training gradient, a
    temporal rule such as STBP. At the end of the training the statistics are computed again,
    from all samples without augmentation.

    Validation counts certified samples, and only once k is 1: no earlier epoch can be the
    best.

    :param method: counts or s-ibp, which bounds the spikes.
    :param ramp: share of the steps over which budget and weight rise from 0, in (0, 1].
    :param bound_weight: weight w of the worst logits after that, in (0, 1]."""

    method: Literal["counts", "s-ibp"] = "counts"
    ramp: float = field(default=0.6, metadata={"up_to": 1})
    bound_weight: float = field(default=0.5, metadata={"up_to": 1})
    eps: float | None = field(default=None, init=False, repr=False)
    value_range: tuple[float, float] | None = field(default=None, init=False, repr=False)
    attacks: ClassVar[bool] = False
    entropy_alone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require_choice("method", self.method, METHODS, remedy="counts is never looser.")
        super().__post_init__()

    def with_budget(self, eps: float, value_range: tuple[float, float]) -> "IBP":
        """This defence, for that budget and samples of that range."""
        bound = replace(self)
        set_fields(bound, eps=eps, value_range=value_range)
        return bound

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network without bounds, or whose training gradient has none for them."""
        require_temporal(network)
        try:
            check_bounded(network)
        except ArgumentError as error:
            raise ArgumentError(
                "defence", f"IBP needs bounds: {error.complaint}"
            ) from error

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Cross entropy of the samples and of their worst logits."""
        network = learner.network
        statistics: dict[Any, Any] = {}

        def note(norm: Any, inputs: tuple[Tensor]) -> None:
            wide = inputs[0].to(norm.running_var.dtype)
            axes = (0, *range(2, wide.ndim))
            # Twice as fast as torch.var_mean.
            mean = wide.mean(axes, keepdim=True)
            variance = (wide - mean).square().mean(axes)
            statistics[norm] = mean.flatten(), variance

        with ExitStack() as stack:
            for part in network.modules():
                if isinstance(part, _BatchNorm) and part.training:
                    stack.callback(part.register_forward_pre_hook(note).remove)
            entropy = nn.functional.cross_entropy(learner(x), y)

        rule = require_temporal(network)
        k = min(1.0, learner.progress / self.ramp)
        bounding = self._bounding(network, METHODS[self.method](rule.firing()), k)
        samples = self._check_samples(learner, x)
        with keep_modes(network, False), ExitStack() as stack:
            _swap(statistics)
            stack.callback(_swap, statistics)
            margins = bounding.margins(samples, y, differentiable=True)

        # The worst logits are minus the lower bounds of the margins.
        worst = nn.functional.cross_entropy(-margins, y)
        weight = k * self.bound_weight
        return (1 - weight) * entropy + weight * worst

    def correct(self, learner: Learner, x: Tensor, y: Tensor) -> Tensor:
        """Samples that are certified within the whole budget, bool [N]."""
        bounding = self._bounding(learner.network, METHODS[self.method](), 1.0)
        return bounding.margin(self._check_samples(learner, x), y) > 0

    def rates(self, progress: float) -> bool:
        """True once the budget is whole."""
        return progress >= self.ramp

    @torch.no_grad()
    def after_training(self, network: SpikingNetwork, x: Tensor) -> None:
        """Give batch norms the mean statistics of batches of up to 250 samples x."""
        batches = x.tensor_split(len(x) // 250 + 1)
        update_bn(batches, network, device_of(network))

    def _bounding(
        self, network: SpikingNetwork, method: BoundingMethod, share: float
    ) -> Bounding:
        """Bounds within that share of the budget."""
        if self.eps is None:
            raise invalid(
                "defence",
                "IBP with a budget",
                "one without",
                "AdversarialTraining(eps=0.05, defence=IBP()) gives it one.",
            )
        return Bounding(network, method, share * self.eps, limits=self.value_range)

    def _check_samples(self, learner: Learner, x: Tensor) -> Tensor:
        """Samples on the device and in the precision of the network; refused out of the range."""
        check_values("x", x.detach().cpu().numpy(), self.value_range)
        return x.to(learner.device, dtype_of(learner.network))


def _swap(statistics: dict[Any, Any]) -> None:
    """Give batch norms these means and variances, and keep the running ones in their place."""
    for norm, (mean, variance) in statistics.items():
        statistics[norm] = norm.running_mean, norm.running_var
        norm.running_mean, norm.running_var = mean, variance
