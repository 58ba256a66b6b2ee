"""Adversarial training through ART: an attack of ART crafts with any rule; a defence trains."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from art_snn.attacks import Stage, craft_batch, parse_stage
from art_snn.attacks.measures import SIZES, require_measure
from art_snn.checks import quote, require, require_number, set_fields
from art_snn.classifier import wrap
from art_snn.data.dataset import check_values, require_range
from art_snn.gradients import Gradient, choose_rule, parse_rule
from art_snn.layers import device_of
from art_snn.network import SpikingNetwork
from art_snn.running.context import keep_modes
from art_snn.training.defences import AT, Defence

_TRIED = 32
"""Samples on which rules are tried."""
Craft = Callable[[Tensor, Tensor], Tensor]
"""Samples [N, ...] and class indices [N] to adversarial samples [N, ...]."""


@dataclass(frozen=True, kw_only=True)
class AdversarialTraining:
    """Adversarial training (Madry et al., ICLR 2018), for :func:`art_snn.training.train`.

    Before every step the attack crafts from its samples and true labels, against the
    network as it is, in evaluation mode. Validation is under the same attack, of the same
    share. This is the algorithm of ART's AdversarialTrainer, with augmentation, schedule
    and resumption.

    :param attack: a text such as "pgd(max_iter=3)" as
        :func:`~art_snn.attacks.parse_stage` reads it, or a stage.
    :param eps: its budget in the norm, in the unit of the samples; norm: numpy.inf or 2.
    :param rule: gradient that the attack uses, an instance or a name of GRADIENTS;
        weights are trained by the training gradient. None: that which :meth:`fit_to`
        finds without samples.
    :param share: share of the samples of every step that are attacked, in (0, 1].
    :param value_range: lowest and highest value of a sample, ART's clip_values.
    :param defence: what a step does with the samples; by default it trains on them alone.
        IBP takes the budget of the attack alone, which does not run.
    :raises TypeError, ValueError: for what is no rule or defence, another share or a bad
        range."""

    attack: Stage | str = "pgd"
    eps: float = 8 / 255
    norm: float = np.inf
    rule: Gradient | str | None = None
    share: float = 1.0
    value_range: tuple[float, float] = (0.0, 1.0)
    defence: Defence = field(default_factory=AT)

    def __post_init__(self) -> None:
        remedy = "1 trains on adversarial samples only."
        share = require_number("share", self.share, above=0, up_to=1, remedy=remedy)
        limits = require_range(self.value_range)
        measure = require_measure(self.norm, SIZES)
        eps = measure.require_budget(self.eps)
        if not isinstance(self.defence, Defence):
            raise TypeError(
                f"defence: expected a defence such as AT(), got {quote(self.defence)}. "
                "Give an instance, for example TRADES(beta=6)."
            )
        set_fields(
            self,
            share=share,
            value_range=limits,
            norm=measure.norm,
            eps=eps,
            defence=self.defence.with_budget(eps, limits),
            rule=None if self.rule is None else parse_rule(self.rule, "rule"),
        )
        self.stage  # noqa: B018 (Complains about the attack, if anything does.)
        if self.defence.attacks:
            return
        # An attack that does not run has a budget, and no other settings.
        name = type(self.defence).__name__
        for argument, value in {"attack": "pgd", "rule": None, "share": 1.0}.items():
            got = getattr(self, argument)
            require(
                got == value,
                argument,
                f"{value!r} for {name}, which takes eps and runs no attack",
                repr(got),
                "Leave it out.",
            )

    @property
    def stage(self) -> Stage:
        """The attack, with the steps that its budget gives it."""
        if isinstance(self.attack, Stage):
            return self.attack
        return parse_stage(self.attack, self.norm, self.eps)

    def fit_to(self, network: SpikingNetwork, *samples: ndarray) -> "AdversarialTraining":
        """The same with a rule, where it has none: that which the network was given, or
        else that which :func:`~art_snn.gradients.choose_rule` finds.

        :param samples: x [N, ...] and classes y [N], of which the first are tried; or
            nothing."""
        if self.rule is not None or not self.defence.attacks:
            return self
        rule = network.gradient
        if samples and rule == choose_rule(network):
            device = device_of(network)
            x, y = (torch.as_tensor(one[:_TRIED], device=device) for one in samples)
            rule = choose_rule(network, x.float(), y.long())
        return replace(self, rule=rule)

    def __repr__(self) -> str:
        """All settings; of an attack that does not run the budget alone."""
        values = {one.name: repr(getattr(self, one.name)) for one in fields(self)}
        values["attack"] = repr(str(self.attack))
        if not self.defence.attacks:
            for name in ("attack", "rule", "share"):
                del values[name]
        return f"AdversarialTraining({', '.join(f'{k}={v}' for k, v in values.items())})"

    def describe(self) -> str:
        """Attack and rule as text."""
        if not self.defence.attacks:
            return f"any attack within eps {self.eps:.4g}"
        return f"{self.attack}, eps {self.eps:.4g} by {self.rule!r}"

    def against(
        self, network: SpikingNetwork, shape: tuple[int, ...], classes: int
    ) -> Craft:
        """A function that crafts against the network as it is at each call; keeps mode and rule.

        :param shape: of one sample.
        :raises ValueError: for the rule; when called, for samples outside the value
            range."""
        rule: Any = self.fit_to(network).rule
        with network.using(rule), keep_modes(network):
            device = "cpu" if device_of(network).type == "cpu" else "gpu"
            classifier = wrap(network, shape, classes, self.value_range, device)
        stage = self.stage

        def craft(x: Tensor, y: Tensor) -> Tensor:
            # Bytes would round what the attack adds.
            samples = x.float().cpu().numpy().copy()
            check_values("x", samples, self.value_range)
            rows = np.arange(len(samples))
            if self.share < 1:
                count = int(np.ceil(self.share * len(samples)))
                rows = np.random.choice(rows, count, replace=False)  # noqa: NPY002
            labels = y.cpu().numpy()[rows]
            with network.using(rule):
                samples[rows] = craft_batch(
                    stage, classifier, samples[rows], labels, norm=self.norm, eps=self.eps
                )
            return torch.as_tensor(samples, device=x.device)

        return craft
