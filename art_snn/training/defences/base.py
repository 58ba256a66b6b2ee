from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from art_snn.checks import invalid, require, require_number, set_fields
from art_snn.dynamics import operand
from art_snn.engine.body import readout_dtype
from art_snn.gradients.base import Firing, NeuronRef
from art_snn.gradients.temporal import TemporalGradient
from art_snn.layers import device_of
from art_snn.network import SpikingNetwork
from art_snn.training.recipe import Recipe, autocast


@dataclass(frozen=True)
class Learner:
    """Forward passes of a network with its training gradient, in the precision of a recipe.

    :param progress: share of the steps of the training up to the end of this one, in (0,
        1]."""

    network: SpikingNetwork
    train_dtype: str | None = None
    progress: float = 1.0

    @property
    def device(self) -> torch.device:
        """The device of the network."""
        return device_of(self.network)

    def __call__(self, x: Tensor) -> Tensor:
        """Samples [N, ...] on any device -> logits [N, K], of single precision at least."""
        with autocast(self.train_dtype, self.device):
            logits: Tensor = self.network(x.to(self.device))
        return logits.to(readout_dtype(logits))

    def at_input(self, x: Tensor) -> Tensor:
        """The same for samples that require a gradient: one graph of the training gradient alone.

        Samples and weights both take a gradient in it."""
        with self.network.using(self.network.training_gradient):
            return self(x)


class Defence(ABC):
    """A use of adversarial samples in a step of training.

    It is a frozen dataclass. Its repr shows whether a file belongs to the same run."""

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
        """The recipe, fitted to this defence.

        :raises ValueError: when the recipe asks for something that the defence rules out."""
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
        """Change the weights after a step.

        :param share: of all steps of the training, this one included.
        :raises ValueError: when the weights cannot be changed so."""
        return

    def after_training(self, network: SpikingNetwork, x: Tensor) -> None:
        """Change the network, in evaluation mode, after the last step on samples x [N, ...]."""
        return


class Weighted(Defence):
    """A defence whose numbers are above 0.

    Metadata of a field are its other limits, by the keywords of
    :func:`~art_snn.checks.require_number`."""

    def __post_init__(self) -> None:
        settings: Any = self
        for one in fields(settings):
            if not isinstance(one.default, float):
                continue
            limits: Any = one.metadata or {"within": (1e-6, 1e6)}
            number = require_number(
                one.name,
                getattr(self, one.name),
                above=0,
                **limits,
                remedy=f"{one.default:g} is usual; adversarial training alone is AT.",
            )
            set_fields(self, **{one.name: number})


@dataclass(frozen=True, kw_only=True)
class AT(Defence):
    """Adversarial training alone (Madry et al., ICLR 2018): CE(f(x_adv), y)."""

    def loss(self, learner: Learner, x: Tensor, adversarial: Tensor, y: Tensor) -> Tensor:
        """Mean cross entropy of the adversarial samples."""
        return nn.functional.cross_entropy(learner(adversarial), y)


def require_temporal(network: SpikingNetwork) -> TemporalGradient:
    """The training gradient of a network; ValueError where it is no temporal rule."""
    rule = network.training_gradient
    if not isinstance(rule, TemporalGradient):
        raise invalid(
            "training_gradient",
            "a temporal rule for a defence that differentiates potentials or bounds",
            repr(rule),
            "Set network.training_gradient to STBP().",
        )
    return rule


NeuronTrace = tuple[NeuronRef, Tensor, Tensor, Tensor]
"""Neurons in a pass: dynamics; current, spikes, before their height, and potentials,
before the reset, [T, N, ...]. The spikes follow from the potentials bit for bit."""


class Watching(Weighted):
    """A defence whose loss depends on currents, potentials or spikes of the neurons."""

    entropy_alone: ClassVar[bool] = False

    def check(self, network: SpikingNetwork) -> None:
        """Refuse a network whose neurons do not fire for all steps at once by a temporal rule."""
        require_temporal(network)
        objection = network.body.bounds_objection()
        require(
            objection is None,
            "network",
            f"neurons that get all time steps in one call for {type(self).__name__}",
            objection,
            "Take another defence.",
        )


def run_watched(learner: Learner, x: Tensor) -> tuple[Tensor, list[NeuronTrace]]:
    """Logits [N, K] of samples [N, ...], and the layers of neurons in the order of their calls.

    All have the training gradient, which is a temporal rule."""
    twin = learner.network.with_gradient(learner.network.gradient)
    layers = list[NeuronTrace]()
    run = twin.body.run
    rule = require_temporal(twin)

    def run_through(encoded: Tensor, _: Firing) -> Tensor:
        layers.clear()  # Those of a pass that has verified an adapted network.

        def fire(site: NeuronRef, current: Tensor) -> Tensor:
            spikes, potential = rule.fire_watched(site, current)
            layers.append((site, current, spikes, potential))
            return spikes

        return run(encoded, fire)

    # The modules are shared, and have no hook that would outlive an error.
    vars(twin.body)["run"] = run_through
    return Learner(twin, learner.train_dtype)(x), layers


def gaps(layers: list[NeuronTrace]) -> list[Tensor]:
    """u - threshold [T, N, ...] of every layer, in single precision at least."""
    wide = [(site, u.to(readout_dtype(u))) for site, *_, u in layers]
    return [u - operand(site.dynamics.threshold, u) for site, u in wide]
