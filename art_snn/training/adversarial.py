"""Adversarial training through ART: an attack of ART crafts with any rule; a defence trains."""

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from art_snn.attacks import Attack
from art_snn.checks import require, require_number, set_fields, shown
from art_snn.classifier import wrapped
from art_snn.data.dataset import check_values, checked_range
from art_snn.gradients import RGA, Gradient, resolve
from art_snn.layers import device_of
from art_snn.measuring.machine import device_type
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept
from art_snn.training.defences import AT, Defence
from art_snn.training.samples import Craft


@dataclass(frozen=True, kw_only=True)
class AdversarialTraining:
    """Adversarial training (Madry et al., ICLR 2018), for :func:`art_snn.training.train`.

    Before every step the attack crafts from its samples and true labels, against the network as it
    is, in evaluation mode. Validation is under the same attack, of the same share. This is the
    algorithm of ART's AdversarialTrainer, with augmentation, schedule and resumption.

    :param attack: in the maximum norm.
    :param rule: gradient that the attack uses, an instance or a name of GRADIENTS; weights are
        trained by the training gradient.
    :param share: share of the samples of every step that are attacked, in (0, 1].
    :param value_range: lowest and highest value of a sample, ART's clip_values.
    :param defence: what a step does with the samples; by default it trains on them alone. IBP takes
        the budget of the attack alone, which does not run.
    :raises TypeError, ValueError: for what is no rule or defence, another share or a bad range."""

    attack: Attack = field(default_factory=Attack)
    rule: Gradient | str = field(default_factory=RGA)
    share: float = 1.0
    value_range: tuple[float, float] = (0.0, 1.0)
    defence: Defence = field(default_factory=AT)

    def __post_init__(self) -> None:
        remedy = "1 trains on adversarial samples only."
        share = require_number("share", self.share, above=0, up_to=1, remedy=remedy)
        limits = checked_range(self.value_range)
        if not isinstance(self.defence, Defence):
            got = f"got {shown(self.defence)}. Give an instance, for example TRADES(beta=6)."
            raise TypeError(f"defence: expected a defence such as AT(), {got}")
        set_fields(self, share=share, rule=resolve(self.rule, "rule"), value_range=limits)
        set_fields(self, defence=self.defence.within(self.attack.eps, limits))
        if not self.defence.attacks:
            self._refuse_attack()

    def __repr__(self) -> str:
        """All settings; of an attack that does not run the budget alone."""
        values = {one.name: repr(getattr(self, one.name)) for one in fields(self)}
        if not self.defence.attacks:
            values["attack"] = f"Attack(eps={self.attack.eps!r})"
            del values["rule"], values["share"]
        return f"AdversarialTraining({', '.join(f'{k}={v}' for k, v in values.items())})"

    def _refuse_attack(self) -> None:
        """Refuse settings of an attack that does not run, but for its budget."""
        usual, attack = Attack(eps=self.attack.eps), self.attack
        settings: dict[str, tuple[Any, Any]] = {"attack": (attack.name, usual.name)}
        for name in (one.name for one in fields(attack) if one.name not in ("name", "eps")):
            settings[name] = getattr(attack, name), getattr(usual, name)
        settings |= {"rule": (self.rule, RGA()), "share": (self.share, 1.0)}
        name = type(self.defence).__name__
        for argument, (got, value) in settings.items():
            expected = f"{value!r} for {name}, which takes eps and runs no attack"
            require(got == value, argument, expected, repr(got), "Leave it out.")

    def words(self) -> str:
        """Attack and rule, in words."""
        if not self.defence.attacks:
            return f"any attack within {self.defence.budget()}"
        return f"{self.attack} by {self.rule!r}"

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network to which the rule of an attack that runs does not apply."""
        if self.defence.attacks:
            with network.using(self.rule):
                pass

    def against(self, network: SpikingNetwork, shape: tuple[int, ...], classes: int) -> Craft:
        """What crafts against the network as it is at every call, and leaves it so.

        :param shape: of one sample.
        :raises ValueError: for the rule; when called, for samples outside the value range."""
        self.check(network)
        with modes_kept(network):
            device = device_type(device_of(network))
            classifier = wrapped(network, shape, classes, self.value_range, device)

        def craft(x: Tensor, y: Tensor) -> Tensor:
            # Bytes would round what the attack adds.
            samples = x.float().cpu().numpy().copy()
            check_values("x", samples, self.value_range)
            rows = np.arange(len(samples))
            if self.share < 1:
                count = int(np.ceil(self.share * len(samples)))
                rows = np.random.choice(rows, count, replace=False)  # noqa: NPY002
            with network.using(self.rule):
                labels = y.cpu().numpy()[rows]
                samples[rows] = self.attack.craft(classifier, samples[rows], labels)
            return torch.as_tensor(samples, device=x.device)

        return craft
