"""Adversarial training through ART: an attack of ART crafts, by any rule; a defence trains."""

from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor

from art_snn.attacks import Attack
from art_snn.checks import require_number, set_fields, shown
from art_snn.classifier import wrapped
from art_snn.data.samples import check_values, checked_range
from art_snn.gradients import RGA, Gradient, resolve
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept
from art_snn.training.defences import AT, Defence
from art_snn.training.samples import Craft


@dataclass(frozen=True, kw_only=True, repr=False)
class AdversarialTraining:
    """Adversarial training (Madry et al., ICLR 2018), for :func:`art_snn.training.train`.

    Every step trains on adversarial samples that the attack crafts from the samples of the step and
    the network as it is, in evaluation mode, on the true labels; validation is under the same
    attack, of the same share. That is the algorithm of ART's AdversarialTrainer; running it here
    gives it the augmentation, the schedule and the resumption of plain training. A defence adds to
    the loss or to the step. ART's other trainers (AWP, ...) run on
    :class:`~art_snn.PyTorchSpikingClassifier` directly.

    :param attack: in the maximum norm.
    :param rule: gradient that the attack uses, an instance or a name of GRADIENTS; weights are
        trained by the training gradient.
    :param share: share of the samples of every step that are attacked, in (0, 1].
    :param value_range: lowest and highest value of a sample, ART's clip_values.
    :param defence: what a step does with the samples; by default it trains on them and no more.
    :raises TypeError: when `rule` or `defence` is none.
    :raises ValueError: for a share outside its range, an unknown rule, or a range that is none."""

    attack: Attack = field(default_factory=Attack)
    rule: Gradient | str = field(default_factory=RGA)
    share: float = 1.0
    value_range: tuple[float, float] = (0.0, 1.0)
    defence: Defence = field(default_factory=AT)

    def __post_init__(self) -> None:
        share = require_number(
            "share", self.share, above=0, up_to=1, remedy="1 trains on adversarial samples only."
        )
        limits = checked_range(self.value_range)
        if not isinstance(self.defence, Defence):
            got = f"got {shown(self.defence)}. Give an instance, for example TRADES(beta=6)."
            raise TypeError(f"defence: expected a defence such as AT(), {got}")
        set_fields(self, share=share, rule=resolve(self.rule, "rule"), value_range=limits)

    def __repr__(self) -> str:
        """The fields, a defence where one was chosen; runs that are taken up are told by it."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        if self.defence == AT():
            del told["defence"]
        return f"AdversarialTraining({', '.join(f'{k}={v!r}' for k, v in told.items())})"

    def words(self) -> str:
        """Attack and rule."""
        return f"{self.attack} by {self.rule!r}"

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network to which the rule does not apply.

        :raises ValueError: with the reason, and the rules that do apply."""
        with network.using(self.rule):
            pass

    def against(self, network: SpikingNetwork, shape: tuple[int, ...], classes: int) -> Craft:
        """What crafts against the network as it is at every call, and leaves it so.

        :param shape: of one sample.
        :param classes: number of classes K.
        :raises ValueError: when the rule does not apply to the network; and at a call, for samples
            outside the value range."""
        self.check(network)
        device = next(network.parameters()).device
        with modes_kept(network):
            device_type = "cpu" if device.type == "cpu" else "gpu"
            classifier = wrapped(network, shape, classes, self.value_range, device_type)

        def craft(x: Tensor, y: Tensor) -> Tensor:
            # Bytes would round what the attack adds.
            samples = x.float().cpu().numpy().copy()
            check_values("x", samples, self.value_range)
            chosen = np.arange(len(samples))
            if self.share < 1:
                count = int(np.ceil(self.share * len(samples)))
                chosen = np.random.choice(chosen, count, replace=False)  # noqa: NPY002
            with network.using(self.rule):
                labels = y.cpu().numpy()[chosen]
                samples[chosen] = self.attack.craft(classifier, samples[chosen], labels)
            return torch.as_tensor(samples, device=x.device)

        return craft
