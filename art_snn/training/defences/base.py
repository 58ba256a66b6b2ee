from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from art_snn.checks import require_number, set_fields
from art_snn.layers import device_of
from art_snn.network import SpikingNetwork, readout_dtype
from art_snn.team import ALONE, Team
from art_snn.training.recipe import Recipe, autocast


class Learner:
    """Forward passes of a network with its training gradient, in the precision of a recipe.

    :param progress: share of the steps of the training up to the end of this one, in (0,
        1].
    :param team: processes with a share of every batch each."""

    def __init__(
        self,
        network: SpikingNetwork,
        train_dtype: str | None = None,
        progress: float = 1.0,
        team: Team = ALONE,
    ) -> None:
        self.network, self.train_dtype, self.progress = network, train_dtype, progress
        self.device, self.team = device_of(network), team

    def __call__(self, x: Tensor) -> Tensor:
        """Samples [N, ...] on any device -> logits [N, K], of single precision at least."""
        with autocast(self.train_dtype, self.device):
            logits: Tensor = self.network(x.to(self.device))
        return logits.to(readout_dtype(logits))

    def at_input(self, x: Tensor) -> Tensor:
        """The same for samples that require a gradient: one graph of the training gradient alone.

        Samples and weights both take a gradient in it."""
        with self.network.using(self.network.training_gradient), self.network.fixed(False):
            return self(x)


class Defence(ABC):
    """How a step of adversarial training uses what the attack crafted.

    A frozen dataclass, whose repr shows whether a file is of the same run."""

    attacks: ClassVar[bool] = True
    """True if samples are attacked, in steps and in validation; otherwise no attack runs."""
    entropy_alone: ClassVar[bool] = True
    """True if the loss is hardly more than one cross entropy, so that guessing gives ln K."""

    @abstractmethod
    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """The loss that the step minimises, a scalar: a mean over the samples.

        Every forward pass is in training mode, with batch statistics of its own.

        :param x: samples of the step [N, ...], augmented.
        :param adversarial: the same samples after the attack [N, ...]; x where there is
            none.
        :param y: class indices [N], on the learner's device."""

    def with_budget(self, eps: float, value_range: tuple[float, float]) -> "Defence":
        """This defence, for the budget eps of the attack and samples of that range."""
        return self

    def fit_recipe(self, recipe: Recipe) -> Recipe:
        """The recipe fitted to the defence; a ValueError where it asks for what that rules out."""
        return recipe

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network that the defence does not suit, before anything is trained."""
        return

    @torch.no_grad()
    def correct(self, learner: Learner, x: Tensor, y: Tensor) -> Tensor:
        """Samples that count as correct in validation, bool [N]: those classified as y [N].

        :param x: samples [N, ...], attacked where there is an attack. The network is in
            evaluation mode."""
        return learner(x).argmax(1) == y

    def rates(self, progress: float) -> bool:
        """True if validation rates the network after that share of the steps of the training."""
        return True

    def after_step(self, network: SpikingNetwork, share: float = 0.0) -> None:
        """Change the weights after a step, that share of all; a ValueError where that fails."""
        return

    def describe(self) -> str:
        """Name and strength, or "" for adversarial training alone."""
        return ""


class Weighted(Defence):
    """A defence whose numbers are above 0, and which its settings describe."""

    def __post_init__(self) -> None:
        settings: Any = self
        for name in (one.name for one in fields(settings) if isinstance(one.default, float)):
            value, remedy = getattr(self, name), "Adversarial training alone is AT."
            number = require_number(name, value, above=0, within=(1e-6, 1e6), remedy=remedy)
            set_fields(self, **{name: number})

    def describe(self) -> str:
        """Name and settings."""
        settings: Any = self
        values = ((one.name, getattr(self, one.name)) for one in fields(settings))
        words = (f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in values)
        return ", ".join((type(self).__name__, *words))


@dataclass(frozen=True, kw_only=True)
class AT(Defence):
    """Adversarial training alone (Madry et al., ICLR 2018): CE(f(x_adv), y)."""

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Mean cross entropy of the adversarial samples."""
        return nn.functional.cross_entropy(learner(adversarial), y)
