"""The network under evaluation, the attacks that run on it, and whether they suit each other."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from art_snn import zoo
from art_snn.app.evaluate.adversarials import Submission
from art_snn.app.evaluate.settings import Evaluate
from art_snn.app.network import ResolvedNetwork, resolve_network
from art_snn.app.report.evaluation import Bounds
from art_snn.app.results import fingerprint
from art_snn.attacks import (
    Measure,
    Plan,
    Stage,
    check_stage,
    parse_stage,
    require_measure,
    resolve_plan,
)
from art_snn.attacks.stages import StageSelection, select_stages
from art_snn.bounds import certify_bounds, decide_bounds
from art_snn.checkpoint import CheckpointError
from art_snn.checks import ArgumentError, require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset
from art_snn.encoders import draws
from art_snn.files import digest
from art_snn.gradients import STBP, Gradient, Native, parse_rules
from art_snn.metrics import certify
from art_snn.models.own import ZOO
from art_snn.team import Team
from art_snn.zoo.entry import ZooEntry

_TOGETHER = 32_000
"""Draws of a block of certificates, a minute of a small network: their samples are independent."""
_USUAL_RULES: Mapping[str, Gradient] = MappingProxyType({"stbp": STBP()})


@dataclass(frozen=True)
class Target:
    """A network, the samples that it is attacked on, and the networks to transfer from.

    :param settings: with norm and budgets, nothing left open but the rules.
    :param rules: of the single attack, by their names.
    :param submissions: adversarials that were made elsewhere."""

    settings: Evaluate
    subject: ResolvedNetwork
    data: Dataset
    classifier: PyTorchSpikingClassifier
    rules: Mapping[str, Gradient] = field(default_factory=lambda: _USUAL_RULES)
    sources: tuple[PyTorchSpikingClassifier, ...] = ()
    submissions: tuple[Submission, ...] = ()

    @classmethod
    def resolve(cls, settings: Evaluate, team: Team) -> "Target":
        """The networks with their weights, the data and the adversarials that settings name.

        :raises FileNotFoundError: when data or weights are not there.
        :raises CheckpointError: when weights do not fit.
        :raises ArgumentError: when settings, network and data do not suit each other."""
        subject = team.leader_first(partial(resolve_network, settings))
        records = () if subject.entry is None else subject.entry.standard
        norm: Any = settings.norm or next((one.norm for one in records), "inf")
        measure = require_measure(norm)
        usual = [one.eps for one in records if one.norm == norm]
        usual = usual or [measure.usual_budget]
        counted = measure.counted
        budgets = [
            measure.require_budget(int(eps) if counted and float(eps).is_integer() else eps)
            for eps in settings.eps or usual
        ]
        settings = replace(settings, norm=norm, eps=tuple(budgets))

        data = team.leader_first(subject.load_data)
        how = (data, settings.device, settings.seed)
        classifier = team.leader_first(partial(subject.classifier, *how))
        try:
            others = [replace(subject, checkpoint=path, entry=None) for path in settings.sources]
            networks = [team.leader_first(partial(one.classifier, *how)) for one in others]
        except CheckpointError as error:
            raise CheckpointError("sources", error.complaint) from error
        target = cls(settings, subject, data, classifier, sources=tuple(networks)).with_rules()

        against = (classifier, target.x, norm, max(budgets))
        files = settings.adversarials
        read = team.on_leader(lambda: tuple(Submission.read(file, *against) for file in files))
        return replace(target, submissions=read)

    def with_rules(self) -> "Target":
        """The same with the rules that were asked for, or with one that suits the network."""
        if self.settings.rules is not None:
            return replace(self, rules=parse_rules(self.settings.rules))
        (plan,) = self.single_plans(self.budgets[0])
        native = self.select_stages(plan).native
        return replace(self, rules={"native": Native()} if native else _USUAL_RULES)

    @property
    def x(self) -> np.ndarray:
        """The samples under attack ``(N, *shape)``."""
        return self.data.x_test[: self.settings.samples]

    @property
    def y(self) -> np.ndarray:
        """Their classes (N,)."""
        return self.data.y_test[: self.settings.samples]

    @cached_property
    def measure(self) -> Measure:
        """What the norm means."""
        return require_measure(self.settings.norm)

    @property
    def budgets(self) -> tuple[float, ...]:
        """The budgets, in the order in which they were given."""
        assert self.settings.eps is not None
        return self.settings.eps

    @cached_property
    def recorded(self) -> ZooEntry | None:
        """The network of the zoo as it is, where the first samples are those of its records."""
        name = self.settings.model or ""
        if not name.startswith(ZOO) or self.subject.architecture.given:
            return None
        entry = zoo.entry(name.removeprefix(ZOO))
        with suppress(FileNotFoundError, ArgumentError):  # Data may be named, and be missing.
            x = zoo.samples(entry.data)[0][: len(self.x)]
            return entry if np.array_equal(x, self.x[: len(x)]) else None
        return None

    @cached_property
    def bounded(self) -> tuple[float, ...]:
        """The budgets where bounds are asked for, and the network draws nothing."""
        proven = self.settings.bounds and not draws(self.classifier.model.encoder)
        return self.budgets if proven else ()

    @property
    def smoothed(self) -> bool:
        """True where bounds are asked for, and the encoder draws, which certifies the network."""
        return self.settings.bounds and not self.bounded

    @property
    def searched(self) -> tuple[float, ...]:
        """The budgets at which an exact search is asked for."""
        return () if self.settings.decide is None else self.budgets

    @cached_property
    def slices(self) -> list[slice]:
        """The samples of each block: as few blocks as there can be, of about the same size."""
        count = len(self.x)
        most = max(self.settings.block, self.settings.batch_size)
        blocks = -(-count // most)
        edges = [place * count // blocks for place in range(blocks + 1)]
        return [slice(start, end) for start, end in pairwise(edges)]

    @property
    def certificate_slices(self) -> list[slice]:
        """The samples of each block of certificates, which may be small; none without them."""
        count = len(self.x)
        most = max(1, _TOGETHER // self.settings.draws)
        starts = range(0, count, most) if self.smoothed else ()
        return [slice(start, min(start + most, count)) for start in starts]

    def single_stage(self, eps: float) -> Stage:
        """The attack that runs with each rule, next to the plan or alone."""
        return parse_stage(self.settings.attack, self.measure, eps)

    def single_plans(self, eps: float) -> Iterator[Plan]:
        """The single attack with every rule, or as it is where it takes no gradient."""
        stage = self.single_stage(eps)
        name = self.settings.attack or self.measure.attack
        if not stage.by_gradients:
            yield Plan(name, (stage,))
            return
        for rule, gradient in self.rules.items():
            yield Plan(f"{name} by {rule}", (replace(stage, rule=gradient),))

    @cached_property
    def deciding(self) -> Plan | None:
        """The plan that decides; None where an attack alone was asked for."""
        name = self.settings.deciding_plan
        return resolve_plan(name, self.measure) if name else None

    def plans_at(self, eps: float) -> list[Plan]:
        """All plans at a budget: the attack with each rule first, the plan last."""
        return [*self.single_plans(eps), *filter(None, [self.deciding])]

    @cached_property
    def plans(self) -> list[tuple[float, Plan]]:
        """All plans with their budgets, budget by budget."""
        return [(eps, plan) for eps in self.budgets for plan in self.plans_at(eps)]

    @cached_property
    def key(self) -> str:
        """Fingerprint of all that the numbers depend on."""
        settings = self.settings
        names = ("norm", "eps", "seed", "block", "batch_size", "examined", "bounds")
        content: list[object] = [getattr(settings, name) for name in names]
        content += [settings.draws] if self.smoothed else []
        content += [(plan.name, *map(str, plan.stages)) for _, plan in self.plans]
        # Another kind of device rounds otherwise.
        content += [dict(self.rules), self.classifier.device.type]
        content += [fingerprint("source", one, self.x[:0], self.y[:0]) for one in self.sources]
        # So do stages with the network's own gradient instead of others.
        for plan in self.plans_at(self.budgets[0]):
            selection = self.select_stages(plan)
            content += map(str, selection.stages if selection.native else ())
        for submission in self.submissions:
            one = submission.candidates
            content.append(digest(one.name, one.points[one.present], one.present))
        content += [] if settings.decide is None else [("decide", settings.decide)]
        return fingerprint(tuple(content), self.classifier, self.x, self.y)

    def select_stages(self, plan: Plan) -> StageSelection:
        """The stages of a plan that run on the network."""
        some = torch.as_tensor(self.x, device="cpu")
        return select_stages(plan, self.classifier, self.measure, some)

    def bound(self, x: np.ndarray, y: np.ndarray, eps: float) -> Bounds:
        """Bounds of samples x ``(N, *shape)`` of classes y at a budget."""
        size = self.settings.batch_size
        certificate = certify_bounds(self.classifier, x, y, eps, norm=self.measure, batch_size=size)
        return Bounds(eps, certificate.method, certificate.margin)

    def check(self) -> None:
        """Complain about what cannot be run on this network, with these samples.

        Bounds are tried on three of these: the first, and those of lowest and highest value."""
        settings = self.settings
        eps = self.budgets[0]
        remedy = "Flips and shifts of spikes have no bounds: leave it out, or take another norm."
        expected = "the norm inf or 2, or an encoder that draws"
        fits = not self.bounded or not self.measure.counted
        require(fits, "bounds", expected, settings.norm, remedy)
        for plan in self.plans_at(eps):
            selection = self.select_stages(plan)
            decides = plan.name == settings.deciding_plan
            reasons = [one.reason for one in (*selection.skipped, *selection.native)]
            argument = "attack" if plan.stages[0].rule is None else "rules"
            argument = "plan" if decides else argument
            remedy = "Choose another, or another norm; art-snn inspect lists the rules that apply."
            if selection.native:
                remedy = "Take --rules native: the network has its own gradient."
            expected = f"one that suits the network and the norm {settings.norm}"
            fits = bool(selection.stages) and (decides or not selection.native)
            require(fits, argument, expected, f"{plan.name} ({''.join(reasons[:1])})", remedy)
        for plan in self.single_plans(eps):
            check_stage(plan.stages[0], self.classifier, self.x, norm=self.measure, eps=eps)
        if settings.bounds:
            self._check_proofs(eps)

    def _check_proofs(self, eps: float) -> None:
        """Complain about what has no bounds, or no exact search where one is asked for."""
        argument = "bounds"
        decides = self.settings.decide is not None
        remedy = "Leave it out: --bounds certifies samples by draws where the encoder draws."
        got, expected = f"{self.classifier.model.encoder}", "an encoder that draws nothing"
        require(self.bounded or not decides, "decide", expected, got, remedy)

        flat = self.x.reshape(len(self.x), -1)
        rows = np.unique([0, flat.min(1).argmin(), flat.max(1).argmax()])
        try:
            if self.bounded:
                self.bound(self.x[rows], self.y[rows], eps)
            else:
                certify(self.classifier, self.x, self.y, selection=1, draws=1)
            if decides:  # Without a sample it says whether it takes the network.
                argument = "decide"
                decide_bounds(self.classifier, self.x[:0], self.y[:0], eps)
        except ArgumentError as error:
            about_network = self.smoothed or error.argument == "classifier"
            argument = argument if about_network else error.argument
            raise ArgumentError(argument, error.complaint) from error
