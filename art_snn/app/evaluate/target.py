"""What is evaluated, and what has to fit before anything is computed."""

from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import torch
from art.attacks import EvasionAttack
from art.exceptions import EstimatorError
from torch import Tensor

from art_snn.app.evaluate.adversarials import Submission, read_submission
from art_snn.app.evaluate.attacks import failed, with_rules
from art_snn.app.evaluate.settings import Settings
from art_snn.app.resume import fingerprint
from art_snn.app.trained import Trained
from art_snn.attacks import Plan, Stage
from art_snn.attacks.outcome import Candidates
from art_snn.attacks.persample import PerSampleAttack
from art_snn.attacks.plan import StageSelection, select_stages
from art_snn.attacks.randomness import random
from art_snn.checkpoint import CheckpointError
from art_snn.checks import ArgumentError, invalid, require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset
from art_snn.gradients import Native
from art_snn.metrics import certify
from art_snn.network import SpikingNetwork
from art_snn.seeding import seeded
from art_snn.team import Team

SOME = 8
"""Samples that show whether a network draws at random."""


@dataclass(frozen=True)
class Target:
    """A network, the samples that it is attacked on, and the networks to transfer from."""

    settings: Settings
    classifier: PyTorchSpikingClassifier
    x: np.ndarray
    y: np.ndarray
    sources: tuple[PyTorchSpikingClassifier, ...] = ()
    dataset: str = ""
    submissions: tuple[Submission, ...] = ()

    @classmethod
    def obtain(cls, settings: Settings, data: Dataset, team: Team) -> "Target":
        """The networks with their weights; where these must be trained, one process does it."""
        x, y = data.x_test[: settings.samples], data.y_test[: settings.samples]
        classifier = settings.network.classifier(data, settings.device, settings.seed)
        read = partial(read_submission, settings=settings, classifier=classifier, x=x)
        submissions = team.on_leader(lambda: tuple(map(read, settings.adversarials)))
        _obtain(classifier.model, settings, settings.network, data, team)
        sources = []
        try:
            for trained in settings.source_networks():
                sources.append(trained.classifier(data, settings.device, settings.seed))
                _obtain(sources[-1].model, settings, trained, data, team)
        except CheckpointError as error:
            raise CheckpointError("sources", error.complaint) from error
        for one in (classifier, *sources) if settings.attack_dtype else ():
            one.attack_dtype = settings.attack_dtype
        return cls(settings, classifier, x, y, tuple(sources), data.name, submissions).with_rules()

    def with_rules(self) -> "Target":
        """The same with rules for the attack: what was asked for, or one that suits the network."""
        settings = self.settings
        if settings.rules is not None:
            return self
        (plan,) = with_rules(settings.attack_plan(settings.budgets[0]), settings.attack_rules)
        rules = {"native": Native()} if self.select_stages(plan).native else settings.attack_rules
        return replace(self, settings=replace(settings, rules=rules))

    @property
    def plans(self) -> list[tuple[float, Plan]]:
        """What is run, budget by budget."""
        return [(eps, plan) for eps in self.settings.budgets for plan in self.settings.plans(eps)]

    @property
    def slices(self) -> list[slice]:
        """The samples of each block."""
        count, block = len(self.x), self.settings.block
        return [slice(start, min(start + block, count)) for start in range(0, count, block)]

    @cached_property
    def key(self) -> str:
        """Fingerprint of all that the numbers depend on."""
        sources = [fingerprint("source", one, self.x[:0], self.y[:0]) for one in self.sources]
        # Another kind of device rounds otherwise.
        content = [self.settings.identity, self.classifier.device.type, sources]
        # So do stages with the network's own gradient in the place of others.
        plans = map(self.select_stages, self.settings.plans(self.settings.budgets[0]))
        content += [str(stage) for plan in plans if plan.native for stage in plan.stages]
        content += [submission.digest for submission in self.submissions]
        return fingerprint(tuple(content), self.classifier, self.x, self.y)

    def candidates(self, plan: Plan, eps: float) -> list[Candidates]:
        """The adversarials of others that come before a plan at a budget, of all samples."""
        submissions = self.submissions if plan.name == self.settings.deciding_plan else ()
        return [submission.within(eps) for submission in submissions]

    @cached_property
    def random(self) -> bool:
        """Whether predictions of the first samples differ from draw to draw."""
        x, y, predictions = self.x[:SOME], self.y[:SOME], []
        for seed in (0, 1):
            with seeded(seed):
                predictions.append(self.classifier.predict(x, batch_size=SOME))
        return random(predictions, y)

    def select_stages(self, plan: Plan) -> StageSelection:
        """The stages of a plan that run on the network."""
        some = torch.as_tensor(self.x, device="cpu")
        return select_stages(plan, self.classifier, self.settings.measure, some)

    def check(self) -> None:
        """Complain about what cannot be run on this network."""
        settings = self.settings
        for plan in settings.plans(settings.budgets[0]):
            chosen, decides = self.select_stages(plan), plan.name == settings.deciding_plan
            reasons = [one.reason for one in (*chosen.skipped, *chosen.native)]
            argument = "plan" if decides else "attack" if plan.stages[0].rule is None else "rules"
            remedy = "Choose another, or another norm; art-snn inspect lists the rules that apply."
            if chosen.native:
                remedy = "Take --rules native: the network has its own gradient."
            expected = f"one that suits the network and the norm {settings.norm}"
            fits = bool(chosen.stages) and (decides or not chosen.native)
            require(fits, argument, expected, f"{plan.name} ({''.join(reasons[:1])})", remedy)
        self._check_attack()
        if settings.certify:
            try:
                certify(self.classifier, self.x, self.y, selection=1, draws=1)
            except ArgumentError as error:
                raise ArgumentError("certify", error.complaint) from error

    def _check_attack(self) -> None:
        """Complain about an attack that cannot be made, whatever weights the network has, about
        its options, and about samples that it refuses."""
        plan = self.settings.attack_plan(self.settings.budgets[0])
        kind = plan.stages[0].attack
        try:
            plans = with_rules(plan, self.settings.attack_rules)
            attacks = [build_attack(self, plan.stages[0]) for plan in plans]
        except Exception as error:
            # What constructors of ART's raise for an estimator is a TypeError of its own.
            if isinstance(error, EstimatorError) or not isinstance(error, TypeError | ValueError):
                raise failed(kind, error) from error
            expected = f"settings that {kind.__name__} takes"
            got = f"{self.settings.attack_options or 'none'} ({str(error).rstrip('.')})"
            remedy = "Its documentation lists them."
            raise invalid("attack_options", expected, got, remedy) from error
        for attack in attacks:
            if isinstance(attack, PerSampleAttack):
                # Those on event frames refuse samples of other values.
                attack._samples(self.x)


def _obtain(
    network: SpikingNetwork, settings: Settings, trained: Trained, data: Dataset, team: Team
) -> None:
    """Give a network the weights that the leading process has trained or loaded."""

    def weights() -> dict[str, Tensor]:
        trained.obtain(network, data, settings.output, settings.seed)
        return {name: tensor.cpu() for name, tensor in network.state_dict().items()}

    network.load_state_dict(team.on_leader(weights))
    network.eval()


def build_attack(target: Target, stage: Stage) -> EvasionAttack:
    """The attack of a stage at the first budget: ART's own without what a plan adds to it."""
    settings = target.settings
    how = (settings.measure, settings.budgets[0], settings.batch_size, settings.seed)
    return stage.attack(target.classifier, **stage.settings(*how))
