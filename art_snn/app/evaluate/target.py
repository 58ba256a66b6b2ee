"""The network under evaluation, the attacks that run on it, and whether they suit each other."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy import ndarray

from art_snn.app.evaluate.settings import Evaluate
from art_snn.app.evaluation.adversarials import Submission
from art_snn.app.evaluation.record import Bounds
from art_snn.app.network import ResolvedNetwork, resolve_network
from art_snn.app.results import fingerprint
from art_snn.app.settings import Inspect
from art_snn.attacks import Plan, check_stage, parse_stage, require_measure, resolve_plan
from art_snn.attacks.stages import StageSelection, select_stages
from art_snn.bounds import certify_bounds, decide_bounds
from art_snn.checkpoint import CheckpointError
from art_snn.checks import ArgumentError, require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset
from art_snn.distributed import ProcessGroup
from art_snn.encoders import draws
from art_snn.files import digest
from art_snn.gradients import STBP, Gradient, choose_rule, parse_rules, spell
from art_snn.layers import dtype_of
from art_snn.metrics import certify
from art_snn.zoo.entry import ZooEntry

_TOGETHER = 32_000
"""Draws of a block of certificates, a minute of a small network: their samples are independent."""


class Target:
    """A network, the samples that it is attacked on, and all attacks that were asked for.

    :param settings: with norm and budgets, nothing left open but the rules.
    :param sources: networks to transfer from."""

    def __init__(
        self,
        settings: Evaluate,
        subject: ResolvedNetwork,
        data: Dataset,
        classifier: PyTorchSpikingClassifier,
        sources: Sequence[PyTorchSpikingClassifier] = (),
    ) -> None:
        assert settings.eps is not None
        self.settings = settings
        self.subject = subject
        self.data = data
        self.classifier = classifier
        self.sources = sources
        self.submissions: list[Submission] = []
        """Adversarials that were made elsewhere."""
        self.x = data.x_test[: settings.samples]
        self.y = data.y_test[: settings.samples]
        """The samples x under attack ``(N, *shape)``, and their classes y (N,)."""
        self.measure = require_measure(settings.norm)
        """The norm as attacks know it."""
        self.budgets = settings.eps
        """The budgets, in the order in which they were given."""
        self.smoothed = settings.bounds and draws(classifier.model.encoder)
        """True where bounds are asked for, and the encoder draws, which certifies the network."""
        self.bounded = self.budgets if settings.bounds and not self.smoothed else ()
        """The budgets where bounds are asked for, and the network draws nothing."""
        self.searched = () if settings.decide is None else self.budgets
        """The budgets at which an exact search is asked for."""
        count = len(self.x)
        self.slices = cut_blocks(count, max(settings.block, settings.batch_size))
        """The samples of each block."""
        most = max(1, _TOGETHER // settings.draws)
        self.certificate_slices = cut_blocks(count, most) if self.smoothed else []
        """The samples of each block of certificates, which may be small; none without them."""

        name = settings.deciding_plan
        self.deciding = resolve_plan(name, self.measure, sources) if name else None
        """The plan that decides; None where an attack alone was asked for."""
        self.rules = self._choose_rules()
        """The rules of the single attack, by their names."""
        self.plans = [
            (eps, plan)
            for eps in self.budgets
            for plan in (*self.plan_singles(eps), self.deciding)
            if plan is not None
        ]
        """All plans with their budgets: the attack with each rule first, the plan that
        decides last, budget by budget."""

    @classmethod
    def resolve(cls, settings: Evaluate, group: ProcessGroup) -> "Target":
        """The networks with their weights, the data and the adversarials that settings name.

        :raises FileNotFoundError: when data or weights are not there.
        :raises CheckpointError: when weights do not fit.
        :raises ArgumentError: when settings, network and data do not suit each other."""
        subject = group.leader_first(partial(resolve_network, settings))
        settings = _settle_budgets(settings, subject.entry)
        data = group.leader_first(subject.load_data)
        how = (data, settings.device, settings.seed)
        classifier = group.leader_first(partial(subject.classifier, *how))
        try:
            others = [
                replace(subject, checkpoint=path, entry=None) for path in settings.sources
            ]
            sources = [
                group.leader_first(partial(one.classifier, *how)) for one in others
            ]
        except CheckpointError as error:
            raise CheckpointError("sources", error.complaint) from error

        target = cls(settings, subject, data, classifier, sources)
        against = (classifier, target.x, target.measure.id, max(target.budgets))
        target.submissions = group.on_leader(
            lambda: [Submission.read(file, *against) for file in settings.adversarials]
        )
        return target

    def _choose_rules(self) -> Mapping[str, Gradient]:
        """The rules that were asked for; else of a named attack the best, of another STBP."""
        settings = self.settings
        if settings.rules is not None:
            return parse_rules(settings.rules)
        batch = self.x[: settings.batch_size]
        refused = self.classifier.model.body.objection(STBP(), batch)
        return parse_rules(self.best_rule if settings.attack or refused else "stbp")

    @cached_property
    def best_rule(self) -> str:
        """The rule to attack with, by as many samples as art-snn inspect tries.

        Attacks that move spikes have no use for rate rules: there the equations decide."""
        network = self.classifier.model
        if self.measure.counted:
            return spell(choose_rule(network))
        device = self.classifier.device
        number = min(self.settings.batch_size, Inspect.batch_size)
        few = (one[:number] for one in (self.x, self.y))
        x, y = (torch.as_tensor(one, device=device) for one in few)
        return spell(choose_rule(network, x.to(dtype_of(network)), y))

    def plan_singles(self, eps: float) -> Iterator[Plan]:
        """The single attack with every rule, or as it is where it takes no gradient."""
        stage = parse_stage(self.settings.attack, self.measure, eps)
        name = self.settings.attack or self.measure.attack
        if not stage.by_gradients:
            yield Plan(name, (stage,))
            return
        for rule, gradient in self.rules.items():
            yield Plan(f"{name} by {rule}", (replace(stage, rule=gradient),))

    @property
    def first_plans(self) -> list[Plan]:
        """All plans at the first budget; those at others suit the network as well as these."""
        return [plan for eps, plan in self.plans if eps == self.budgets[0]]

    @cached_property
    def key(self) -> str:
        """Fingerprint of all that the numbers depend on."""
        settings = self.settings
        names = ("norm", "eps", "seed", "block", "batch_size", "examined", "bounds")
        content: list[object] = [getattr(settings, name) for name in names]
        if self.smoothed:
            content.append(settings.draws)

        content += [(plan.name, *map(str, plan.stages)) for _, plan in self.plans]
        # Another kind of device rounds otherwise.
        content += [self.rules, self.classifier.device.type]
        content += [
            fingerprint("source", one, self.x[:0], self.y[:0]) for one in self.sources
        ]

        # So do stages with the network's own gradient instead of others.
        for plan in self.first_plans:
            content += map(str, self.select_stages(plan).stages)

        for submission in self.submissions:
            one = submission.candidates
            content.append(digest(one.name, one.points[one.present], one.present))
        if settings.decide is not None:
            content.append(("decide", settings.decide))
        return fingerprint(tuple(content), self.classifier, self.x, self.y)

    def select_stages(self, plan: Plan) -> StageSelection:
        """The stages of a plan that run on the network."""
        some = torch.as_tensor(self.x[: self.settings.batch_size], device="cpu")
        return select_stages(plan, self.classifier, self.measure, some)

    def bound(self, x: ndarray, y: ndarray, eps: float) -> Bounds:
        """Bounds of samples x ``(N, *shape)`` of classes y at a budget."""
        certificate = certify_bounds(
            self.classifier,
            x,
            y,
            eps,
            norm=self.measure,
            batch_size=self.settings.batch_size,
        )
        return Bounds(eps, certificate.method, certificate.margin)

    def check(self) -> None:
        """Complain about what cannot be run on this network, with these samples.

        Bounds are tried on three of these: the first, and those of lowest and highest value."""
        eps = self.budgets[0]
        require(
            not self.bounded or not self.measure.counted,
            "bounds",
            "the norm inf or 2, or an encoder that draws",
            self.settings.norm,
            "Flips and shifts of spikes have no bounds: leave it out, or take another norm.",
        )
        for plan in self.first_plans:
            self._check_plan(plan)
        for plan in self.plan_singles(eps):
            check_stage(
                plan.stages[0], self.classifier, self.x, norm=self.measure, eps=eps
            )
        if self.settings.bounds:
            self._check_proofs(eps)

    def _check_plan(self, plan: Plan) -> None:
        """Complain about a plan of which no stage runs, or an attack whose rule does not suit."""
        selection = self.select_stages(plan)
        decides = plan is self.deciding
        argument = "attack" if plan.stages[0].rule is None else "rules"
        if decides:
            argument = "plan"

        remedy = (
            "Choose another, or another norm; art-snn inspect lists the rules that apply."
        )
        if selection.native:
            remedy = "Take --rules native: the network has its own gradient."
        reasons = [one.reason for one in (*selection.skipped, *selection.native)]
        require(
            selection.stages and (decides or not selection.native),
            argument,
            f"one that suits the network and the norm {self.settings.norm}",
            f"{plan.name} ({''.join(reasons[:1])})",
            remedy,
        )

    def _check_proofs(self, eps: float) -> None:
        """Complain about what has no bounds, or no exact search where one is asked for."""
        argument = "bounds"
        require(
            not self.smoothed or not self.searched,
            "decide",
            "an encoder that draws nothing",
            self.classifier.model.encoder,
            "Leave it out: --bounds certifies samples by draws where the encoder draws.",
        )

        flat = self.x.reshape(len(self.x), -1)
        rows = np.unique([0, flat.min(1).argmin(), flat.max(1).argmax()])
        try:
            if self.smoothed:
                certify(self.classifier, self.x, self.y, selection=1, draws=1)
            else:
                self.bound(self.x[rows], self.y[rows], eps)
            if self.searched:  # Without a sample it says whether it takes the network.
                argument = "decide"
                decide_bounds(self.classifier, self.x[:0], self.y[:0], eps)
        except ArgumentError as error:
            if not self.smoothed and error.argument != "classifier":
                raise
            raise ArgumentError(argument, error.complaint) from error


def cut_blocks(count: int, most: int) -> list[slice]:
    """Rows of blocks: as few as there can be of at most so many, of about the same size."""
    blocks = -(-count // most)
    edges = [place * count // blocks for place in range(blocks + 1)]
    return [slice(start, end) for start, end in pairwise(edges)]


def _settle_budgets(settings: Evaluate, entry: ZooEntry | None) -> Evaluate:
    """The settings with norm and budgets: as given, of the zoo's record, or the usual ones."""
    records = () if entry is None else entry.standard
    norm: Any = settings.norm or next((one.norm for one in records), "inf")
    measure = require_measure(norm)
    usual = [one.eps for one in records if one.norm == norm]
    budgets = []
    for eps in settings.eps or usual or [measure.usual_budget]:
        whole = measure.counted and float(eps).is_integer()
        budgets.append(measure.require_budget(int(eps) if whole else eps))
    return replace(settings, norm=norm, eps=tuple(budgets))
