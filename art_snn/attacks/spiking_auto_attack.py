"""SpikingAutoAttack: attacks and rules by a plan, of which a sample gets the first that works."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.best import Best
from art_snn.attacks.borrowed import obstacle
from art_snn.attacks.budget import attacking
from art_snn.attacks.outcome import Outcome
from art_snn.attacks.persample import ROUNDING, PerSampleAttack
from art_snn.attacks.plan import (
    FLIPS,
    Plan,
    Stage,
    distances,
    knows,
    require_budget,
    require_measure,
)
from art_snn.attacks.plans import planned
from art_snn.attacks.queries import Queries
from art_snn.attacks.randomness import EVALUATIONS, random
from art_snn.checks import SEEDS, require, require_seed, shown
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.gradients import EOT, Gradient
from art_snn.interop.verify import SAMPLES as VERIFIED
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept
from art_snn.seeding import seeded

FRESH = 1000
"""From which seed on, after that of the attack, predictions are drawn that decide."""
DRAWS = 11
"""Fresh predictions of a random network, of which most decide."""
GRADIENTS = 10
"""Draws that the gradient of a random network is averaged over, and its logits on the way."""


class SpikingAutoAttack(PerSampleAttack):
    """Attacks every sample by one stage of a plan after another, until one breaks it.

    There is nothing to tune: widths of surrogates, losses and steps are a fixed grid, and every
    sample gets whatever of it breaks it first. What is returned is the first adversarial of a
    sample, or the sample itself where there is none.

    Every adversarial is predicted once more before it counts, and its budget is measured. Networks
    whose predictions of the same samples differ in five evaluations are random: their gradients are
    averaged by EOT, and a sample counts as broken where most of eleven predictions from fresh seeds
    are wrong.

    After :meth:`generate`, and after an interruption of it, the attribute `outcome` tells which
    stage broke which sample, at how many forward and backward passes, with the adversarials
    (:class:`~art_snn.attacks.Outcome`).

    Stages whose rule does not suit the network are left out and named in the outcome.

    :param estimator: a classifier around a spiking network.
    :param norm: numpy.inf, "inf" or 2; of event frames 0, the number of values that change, or
        "shift", how many time steps a spike is moved.
    :param eps: budget in that norm, in the unit of the samples.
    :param plan: "standard", "fast", "ensemble-19", or a :class:`~art_snn.attacks.Plan` of yours.
    :param sources: other classifiers of the same samples, on which adversarials are crafted that
        may carry over; with norm inf or 2.
    :param batch_size: samples per batch.
    :param seed: of all that is drawn.
    :param verbose: show a progress bar.
    :raises ValueError: for a setting out of its range."""

    attack_params = [  # noqa: RUF012
        *(name for name in PerSampleAttack.attack_params if name != "targeted"),
        "norm",
        "eps",
        "plan",
        "sources",
        "seed",
    ]
    _estimator_requirements = (PyTorchSpikingClassifier,)

    def __init__(
        self,
        estimator: PyTorchSpikingClassifier,
        norm: float | str = np.inf,
        eps: float = 8 / 255,
        plan: str | Plan = "standard",
        sources: Sequence[PyTorchClassifier] = (),
        batch_size: int = 32,
        seed: int = 0,
        verbose: bool = True,
    ) -> None:
        super().__init__(estimator, targeted=False, batch_size=batch_size, verbose=verbose)
        self.norm, self.eps, self.plan, self.sources, self.seed = norm, eps, plan, sources, seed
        self.outcome: Outcome | None = None
        self._check_params()

    @property
    def radius(self) -> float | None:
        return self.eps if self.norm == np.inf else None

    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        self.outcome = None
        with seeded(self.seed):
            return super().generate(x, y, **kwargs)

    def _begun(self, found: Tensor, classes: Tensor) -> None:
        random = self._random(found, classes)
        self._steps, skipped = self._chosen(random, found[:VERIFIED])
        samples = len(found)
        self.outcome = Outcome(
            stages=tuple(step.words for step in self._steps),
            skipped=skipped,
            draws=DRAWS if random else 1,
            adversarials=found.cpu().numpy().copy(),
            stage=np.full(samples, Outcome.UNANSWERED),
            forwards=self.forwards,
            backwards=self.backwards,
            distance=np.zeros(samples),
            votes=np.zeros(samples, dtype=np.int64),
            seconds=[0.0] * len(self._steps),
        )

    def _random(self, found: Tensor, classes: Tensor) -> bool:
        """Whether predictions of the first batch differ from draw to draw."""
        some = found[: self.batch_size].cpu().numpy()
        every = []
        for draw in range(EVALUATIONS if len(some) else 0):
            with seeded(self.seed + draw):
                every.append(self.estimator.predict(some, batch_size=self.batch_size))
        self.forwards[: len(some)] += EVALUATIONS
        return bool(every) and random(every, classes[: len(some)].cpu().numpy())

    def _chosen(self, random: bool, some: Tensor) -> tuple[list["_Step"], dict[str, str]]:
        """The stages that suit the network and the samples, and why the others do not."""
        steps: list[_Step] = []
        skipped = {}
        for stage in planned(self.plan, self.norm).stages:
            why = self._unsuited(stage, some)
            if why:
                skipped[str(stage)] = why
                continue
            rule = self._averaged(stage) if random else stage.rule
            for place, source in enumerate(self.sources if stage.transfer else (self.estimator,)):
                words = f"{stage} on source {place}" if stage.transfer else str(stage)
                seed = (self.seed + len(steps)) % (SEEDS + 1)
                attack = stage.built(source, self.norm, self.eps, self.batch_size, seed)
                steps.append(_Step(words, attack, rule, stage.transfer))
        return steps, skipped

    def _averaged(self, stage: Stage) -> Gradient | None:
        """The rule of a stage on a random network."""
        if stage.transfer:
            return None
        rule = stage.rule or self.estimator.model.rule
        return rule if isinstance(rule, EOT) else EOT(rule, samples=GRADIENTS)

    def _unsuited(self, stage: Stage, some: Tensor) -> str:
        """Why a stage is left out, or ""; on some samples a model of others is verified."""
        if not knows(stage.attack, self.norm):
            return f"it knows no budget in the norm {self.norm}"
        if not issubclass(stage.attack, PerSampleAttack):
            why = obstacle(stage.attack, self.estimator, float(self.norm))
            if why:
                return why
        if stage.rule is None:
            return ""
        model: SpikingNetwork = self.estimator.model
        leaf = some.to(model.dtype or some.dtype, copy=True).requires_grad_()
        try:
            with modes_kept(model, False):
                model.check(stage.rule, leaf)
        except ValueError as error:
            return str(error)
        return ""

    def _attack(
        self, queries: Queries, found: Tensor, classes: Tensor, mask: Tensor | None, rows: Tensor
    ) -> None:
        assert self.outcome is not None
        run = _Run(self, self.outcome, queries, found, classes, mask, int(rows[0]))
        left = run.correct(rows)
        for number, step in enumerate(self._steps):
            if not len(left):
                return
            began = time.perf_counter()
            if queries.bar is not None:
                told = f"SpikingAutoAttack, stage {number + 1} of {len(self._steps)}"
                queries.bar.set_description(told, refresh=False)
            try:
                with step.by():
                    for part in torch.split(left, step.attack._together(found)):
                        run.stage(number, step, part)
            finally:
                self.outcome.seconds[number] += time.perf_counter() - began
            left = run.standing(left)

    def craft(self, queries: Queries, best: Best, classes: Tensor, mask: Tensor | None) -> None:
        raise NotImplementedError("The stages craft.")

    def _check_params(self) -> None:
        super()._check_params()
        self.norm = require_measure(self.norm)
        self.eps = require_budget(self.norm, self.eps)
        planned(self.plan, self.norm)
        remedy = "Wrap networks in PyTorchSpikingClassifier, others in PyTorchClassifier."
        fits = isinstance(self.sources, Sequence)
        require(fits, "sources", "a list of classifiers", shown(self.sources), remedy)
        self.sources = tuple(self.sources)
        for source in self.sources:
            fits = isinstance(source, PyTorchClassifier)
            require(fits, "sources", "classifiers of torch's", shown(source), remedy)
            same = source.input_shape == self.estimator.input_shape
            expected = f"classifiers of samples of shape {self.estimator.input_shape}"
            remedy = "Adversarials of other samples are none of these."
            require(same, "sources", expected, f"one of {source.input_shape}", remedy)
            same = source.nb_classes == self.estimator.nb_classes
            expected = f"classifiers of {self.estimator.nb_classes} classes"
            require(same, "sources", expected, f"one of {source.nb_classes}", remedy)
        fits = not self.sources or (isinstance(self.norm, float) and self.norm != FLIPS)
        remedy = "Leave them out, or attack in the maximum norm or the Euclidean one."
        require(fits, "sources", "none with that norm", f"{len(self.sources)}", remedy)
        require_seed("seed", self.seed)


@dataclass(frozen=True)
class _Step:
    """A stage on a classifier; `asked` says that only the end of it is shown to the network."""

    words: str
    attack: PerSampleAttack
    rule: Gradient | None
    transfer: bool

    def by(self) -> AbstractContextManager[object]:
        """A block in which its rule gives the gradients."""
        if self.rule is None:
            return nullcontext()
        network: SpikingNetwork = self.attack.estimator.model
        return network.using(self.rule)


@dataclass(frozen=True)
class _Run:
    """The attack on one block of samples, the first of which is row `first` of all."""

    whole: SpikingAutoAttack
    outcome: Outcome
    queries: Queries
    found: Tensor
    classes: Tensor
    mask: Tensor | None
    first: int

    def correct(self, rows: Tensor) -> Tensor:
        """Which of the samples are classified correctly, [m] of rows [n]."""
        votes, unanswered = self._votes(self.found[rows], rows)
        wrong = self._most(votes)
        index, answered = rows.cpu().numpy(), ~unanswered.cpu().numpy()
        self.outcome.votes[index] = votes.cpu().numpy()
        found = np.where(wrong.cpu().numpy(), Outcome.WRONG, Outcome.STANDING)
        self.outcome.stage[index[answered]] = found[answered]
        left = self.standing(rows)
        self.queries.through(len(rows) - len(left))
        return left

    def standing(self, rows: Tensor) -> Tensor:
        """Which of the samples nothing has broken, [m] of rows [n]."""
        stands = self.outcome.stage[rows.cpu().numpy()] == Outcome.STANDING
        return rows[torch.as_tensor(stands, device=rows.device)]

    def stage(self, number: int, step: _Step, rows: Tensor) -> None:
        """Let a stage attack samples [n], and put what it breaks in their place."""
        estimator = step.attack.estimator
        best = Best.none(self.found[rows])
        changes = {"estimator": estimator, "reports": False}
        changes["draws"] = GRADIENTS if self.outcome.draws > 1 else 1
        queries = self.queries.of(rows - self.first, **changes)
        mask = None if self.mask is None else self.mask[rows]
        try:
            with attacking(estimator, step.attack.radius):
                step.attack.craft(queries, best, self.classes[rows], mask)
        finally:
            claimed = best.broken | step.transfer
            self._take(number, rows[claimed], best.samples[claimed])

    def _take(self, number: int, rows: Tensor, adversarial: Tensor) -> None:
        """Put adversarial samples [m] in the place of samples, where they are such."""
        if not len(rows):
            return
        low, high = self.whole.clip_range(adversarial)
        adversarial = adversarial.clamp(low, high)
        distance = distances(self.whole.norm, self.found[rows], adversarial, low)
        slack = ROUNDING * max(1.0, float(adversarial.abs().max()))
        votes, _ = self._votes(adversarial, rows)
        broken = self._most(votes).cpu().numpy() & (distance <= self.whole.eps + slack)
        taken, index = rows[torch.as_tensor(broken)], rows.cpu().numpy()[broken]
        self.found[taken] = adversarial[torch.as_tensor(broken)]
        self.outcome.adversarials[index] = self.found[taken].cpu().numpy()
        self.outcome.stage[index] = number
        self.outcome.distance[index] = distance[broken]
        self.outcome.votes[index] = votes.cpu().numpy()[broken]
        self.queries.through(len(index))

    def _votes(self, x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """How many predictions of samples [n] are wrong, and whether there are none [n]."""
        votes, unanswered = torch.zeros_like(rows), torch.zeros_like(rows, dtype=torch.bool)
        for draw in range(self.outcome.draws):
            fresh = seeded(self.whole.seed + FRESH + draw)
            with fresh if self.outcome.draws > 1 else nullcontext():
                logits = self.queries.logits(x, rows - self.first)
            votes += self.whole.succeeded(logits, self.classes[rows])
            unanswered |= logits.isnan().any(1)
        return votes, unanswered

    def _most(self, votes: Tensor) -> Tensor:
        """Whether most predictions say so, of votes [n]."""
        return 2 * votes > self.outcome.draws
