"""What is evaluated, and what has to fit before anything is computed."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from art.attacks import EvasionAttack
from art.exceptions import EstimatorError
from torch import Tensor

from art_snn.attacks import Plan, Stage
from art_snn.attacks.persample import PerSampleAttack
from art_snn.attacks.plan import Suited, suited
from art_snn.checkpoint import CheckpointError
from art_snn.checks import ArgumentError, invalid, require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset
from art_snn.experiments.evaluate.attacks import failed, with_rules
from art_snn.experiments.evaluate.progress import at_terminal
from art_snn.experiments.evaluate.settings import Settings
from art_snn.experiments.resume import fingerprint
from art_snn.experiments.trained import Trained
from art_snn.files import digest
from art_snn.gradients import Native
from art_snn.identity import identity
from art_snn.metrics import certify
from art_snn.team import Team


@dataclass(frozen=True)
class Target:
    """A network with the samples that it is attacked on.

    :param classifier: around the network.
    :param x: samples ``(N, *input_shape)``, with classes y (N,).
    :param sources: networks to transfer from."""

    settings: Settings
    classifier: PyTorchSpikingClassifier
    x: np.ndarray
    y: np.ndarray
    sources: tuple[PyTorchSpikingClassifier, ...] = ()

    @classmethod
    def obtained(cls, settings: Settings, data: Dataset, team: Team) -> "Target":
        """Networks with their weights, which are trained, where they must be, once for all.

        :raises ValueError: before any training, for what :meth:`check_attack` says."""
        x, y = data.x_test[: settings.samples], data.y_test[: settings.samples]
        own = _made(settings, settings.network, data)
        codes = team.gathered(digest(identity(own.model)))
        expected, remedy = "the same code in every process", "Start them all from one state of it."
        team.led(lambda: require(len({*codes}) == 1, "model", expected, "several", remedy))
        team.led(cls(settings, own, x, y).check_attack)
        _obtain(own, settings, settings.network, data, team)
        sources = []
        try:
            for trained in settings.source_networks():
                sources.append(_made(settings, trained, data))
                _obtain(sources[-1], settings, trained, data, team)
        except CheckpointError as error:
            raise CheckpointError("sources", error.complaint) from error
        return cls(settings, own, x, y, tuple(sources)).ruled()

    def ruled(self) -> "Target":
        """The same with rules for the attack: what was asked for, or one that suits the network."""
        chosen = self.settings
        if chosen.rules is not None:
            return self
        (plan,) = with_rules(chosen.beside(chosen.eps[0]), chosen.attack_rules)
        rules = {"native": Native()} if self.suited(plan).native else chosen.attack_rules
        return replace(self, settings=replace(chosen, rules=rules))

    @property
    def plans(self) -> list[tuple[float, Plan]]:
        """What is run, budget by budget."""
        return [(eps, plan) for eps in self.settings.eps for plan in self.settings.plans(eps)]

    @cached_property
    def key(self) -> str:
        """Fingerprint of all that the numbers depend on."""
        sources = [fingerprint("source", one, self.x[:0], self.y[:0]) for one in self.sources]
        # Another kind of device rounds otherwise.
        told = (self.settings.identity, self.classifier.device.type, sources, *self._native())
        return fingerprint(told, self.classifier, self.x, self.y)

    def _native(self) -> tuple[str, ...]:
        """The stages that run under the network's own gradient in the place of others."""
        found = map(self.suited, self.settings.plans(self.settings.eps[0]))
        return tuple(str(stage) for one in found if one.native for stage in one.stages)

    def suited(self, plan: Plan) -> Suited:
        """What becomes of a plan on the network."""
        some = torch.as_tensor(self.x, device="cpu")
        return suited(plan, self.classifier, self.settings.measure, some)

    def check(self) -> None:
        """Complain about what cannot be run on this network.

        :raises ValueError: naming the option."""
        chosen = self.settings
        for plan in chosen.plans(chosen.eps[0]):
            found, decides = self.suited(plan), plan.name == chosen.decides
            whys = [*found.skipped.values(), *found.native.values()]
            by = "" if plan.stages[0].rule is None else "rules"
            argument = "plan" if decides else by or "attack"
            remedy = "Choose another, or another norm; art-snn inspect tells which rules apply."
            if found.native:
                remedy = "Take --rules native: the network has its own gradient."
            expected = f"one that suits the network and the norm {chosen.norm}"
            fits = bool(found.stages) and (decides or not found.native)
            require(fits, argument, expected, f"{plan.name} ({''.join(whys[:1])})", remedy)
        if chosen.certify:
            try:
                certify(self.classifier, self.x, self.y, selection=1, draws=1)
            except ArgumentError as error:
                raise ArgumentError("certify", error.complaint) from error

    def check_attack(self) -> None:
        """Complain about options that the attack refuses, and one that cannot be made, or refuses
        the samples, whatever weights the network has.

        :raises ValueError: naming the option."""
        plan = self.settings.beside(self.settings.eps[0])
        kind = plan.stages[0].attack
        try:
            plans = with_rules(plan, self.settings.attack_rules)
            made = [bare(self, plan.stages[0]) for plan in plans]
        except Exception as error:
            # What constructors of ART's raise for an estimator is a TypeError of its own.
            if isinstance(error, EstimatorError) or not isinstance(error, TypeError | ValueError):
                raise failed(kind, error) from error
            expected = f"settings that {kind.__name__} takes"
            got = f"{self.settings.attack_options or 'none'} ({str(error).rstrip('.')})"
            remedy = "Its documentation tells what there is."
            raise invalid("attack_options", expected, got, remedy) from error
        for one in made:
            if isinstance(one, PerSampleAttack):
                # Those on event frames refuse samples of other values.
                one._samples(self.x)


def _made(settings: Settings, trained: Trained, data: Dataset) -> PyTorchSpikingClassifier:
    """A network before it has its weights."""
    return trained.classifier(data, settings.device, settings.seed)


def _obtain(
    classifier: PyTorchSpikingClassifier,
    settings: Settings,
    trained: Trained,
    data: Dataset,
    team: Team,
) -> None:
    """Give a network the weights that the leading process has trained or loaded."""
    network = classifier.model

    def weights() -> dict[str, Tensor]:
        trained.obtain(network, data, settings.output, settings.seed, at_terminal())
        return {name: tensor.cpu() for name, tensor in network.state_dict().items()}

    network.load_state_dict(team.led(weights))
    network.eval()


def bare(subject: Target, stage: Stage) -> EvasionAttack:
    """The attack of a stage at the first budget: ART's own without what a plan adds to it."""
    chosen = subject.settings
    run = (chosen.measure, chosen.eps[0], chosen.batch_size, chosen.seed)
    return stage.attack(subject.classifier, **stage.settings(*run))
