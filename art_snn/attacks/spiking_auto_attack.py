"""SpikingAutoAttack: attacks and rules by a plan, until one breaks a sample."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy import ndarray
from torch import Tensor

from art_snn.attacks.measures import Norm, require_measure, rounding_of
from art_snn.attacks.outcome import Outcome, StageRecord
from art_snn.attacks.persample import (
    BestMargin,
    BestPoints,
    CountedAttack,
    PerSampleAttack,
)
from art_snn.attacks.plans import resolve_plan
from art_snn.attacks.queries import (
    DRAWS_TO_AVERAGE,
    DRAWS_TO_DECIDE,
    DRAWS_TO_EXAMINE,
    Queries,
    Votes,
    attacking,
    count_votes,
    draw_decisions,
)
from art_snn.attacks.stages import (
    Candidates,
    Plan,
    Stage,
    StageSelection,
    require_sources,
    select_stages,
)
from art_snn.checks import quote, require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.classifier.inputs import as_array, as_tensor
from art_snn.gradients import EOT, Gradient
from art_snn.randomness import is_random, predict_by_draws
from art_snn.seeding import fix_seed, random_state, restore_random_state

_KEPT = (*Outcome.COLUMNS, "adversarials")
"""Arrays of an outcome with which an attack goes on."""


class _Step(NamedTuple):
    """A stage on the network under attack, or on a source.

    :param rule: of the gradients; None: the network's own."""

    stage: Stage
    record: StageRecord
    attack: PerSampleAttack
    rule: Gradient | None


@dataclass(eq=False)
class _BlockAttack:
    """The attack on one block of samples, which adversarials replace.

    :param outcome: of the attack.
    :param queries: about all samples.
    :param samples: all N of them; `classes` has theirs.
    :param first: row of the first sample of the block.
    :param reached: by the samples of the block."""

    attack: "SpikingAutoAttack"
    outcome: Outcome
    queries: Queries
    samples: Tensor
    classes: Tensor
    first: int
    reached: BestMargin

    def find_correct(self, rows: Tensor) -> Tensor:
        """Predict samples [n].

        :return: rows [m] of those that are classified correctly."""
        votes = self._vote(self.samples[rows], rows)

        # The first height is how far the true class is ahead of the mean logit.
        true = votes.logits.gather(1, self.classes[rows, None])[:, 0]
        heights = (true - votes.logits.mean(1)).to(self.reached.heights)
        self.reached.heights[rows - self.first] = heights

        # A sample without an answer stays as it is: nothing attacks it.
        index = as_array(rows)
        answered = as_array(votes.answered)
        stage = np.where(as_array(votes.most), Outcome.WRONG, Outcome.STANDING)
        self.outcome.votes[index] = as_array(votes.wrong)
        self.outcome.stage[index[answered]] = stage[answered]

        left = self.select_standing(rows)
        self.queries.finish(len(rows) - len(left))
        return left

    def select_standing(self, rows: Tensor) -> Tensor:
        """Rows [m] of the samples [n] that nothing has broken."""
        stands = self.outcome.stage[as_array(rows)] == Outcome.STANDING
        return rows[torch.as_tensor(stands, device=rows.device)]

    def run_stage(self, number: int, step: _Step, rows: Tensor) -> None:
        """Let a stage attack samples [n], and replace those that it breaks.

        What a stage has found before an exception counts, too.

        :param number: index of the stage in the outcome."""
        estimator = step.attack.estimator
        transfer = step.stage.transfer
        # Margins of another network say nothing about this one.
        reached = None if transfer else self.reached.select(rows - self.first)

        best = BestPoints(self.samples[rows], reached, step.stage.warm)
        draws = DRAWS_TO_AVERAGE if self.outcome.draws > 1 else 1
        queries = self.queries.select(
            rows, estimator=estimator, reports=False, draws=draws
        )
        try:
            with attacking(estimator, step.attack.radius):
                step.attack.craft(queries, best, self.classes[rows])
        finally:
            # On a source, no stage knows whether this network is fooled.
            claimed = best.broken | transfer
            self._take(number, rows[claimed], best.samples[claimed])

    def submit(self, number: int, candidates: Candidates, rows: Tensor) -> None:
        """Replace samples [n] by candidates that break them."""
        present = torch.as_tensor(candidates.present, device=rows.device)
        points = as_tensor(candidates.points)
        tried = rows[present[rows]]
        self._take(number, tried, points[tried.cpu()].to(self.samples))

    def _take(self, number: int, rows: Tensor, adversarial: Tensor) -> None:
        """Replace samples by points [m], if these break them and are within the budget."""
        if not len(rows):
            return
        low, high = self.attack.clip_range(adversarial)
        adversarial = adversarial.clamp(low, high)

        measure = require_measure(self.attack.norm)
        distance = measure.distances(self.samples[rows], adversarial, low)
        fits = distance <= self.attack.eps + rounding_of(adversarial)

        # Most predictions must be wrong.
        votes = self._vote(adversarial, rows)
        broken = fits & as_array(votes.most)

        which = as_tensor(broken)
        taken = rows[which]
        self.samples[taken] = adversarial[which]

        index = as_array(taken)
        self.outcome.adversarials[index] = as_array(self.samples[taken])
        self.outcome.stage[index] = number
        self.outcome.distance[index] = distance[broken]
        self.outcome.votes[index] = as_array(votes.wrong)[broken]
        self.queries.finish(len(index))

    def _vote(self, x: Tensor, rows: Tensor) -> Votes:
        """Predict points [n], once or, if the network is random, from several fresh seeds."""
        predict = partial(self.queries.logits, x, rows)
        predictions = draw_decisions(predict, self.attack.seed, self.outcome.draws)
        return count_votes(predictions, self.classes[rows])


@dataclass(eq=False, repr=False)
class SpikingAutoAttack(CountedAttack):
    """Attacks every sample with one stage of a plan after another, until one breaks it.

    There is nothing to tune: rules, losses and steps are a fixed grid. A sample that
    nothing breaks is returned as it is.

    Every adversarial is predicted once more before it counts, and its budget is measured.
    A network is random where predictions of the same samples differ in five evaluations:
    EOT then averages its gradients, and most of eleven predictions from fresh seeds must
    be wrong.

    After :meth:`generate`, and after an interruption of it, the attribute `outcome` is an
    :class:`~art_snn.attacks.Outcome`: which stage broke which sample, in how many passes.

    A stage whose rule does not suit the network runs under the network's own gradient,
    `Native`, which networks of other frameworks have. Repeats, and stages that nothing
    suits, are left out.

    :param estimator: a classifier around a spiking network.
    :param norm: numpy.inf, "inf" or 2; of event frames 0, the number of values that
        change, or "shift", how many time steps a spike is moved.
    :param eps: budget in that norm, in the unit of the samples.
    :param plan: "standard", "fast", "ensemble-19", or a :class:`~art_snn.attacks.Plan` of
        yours.
    :param sources: other classifiers of the same samples, on which adversarials are
        crafted that may carry over; with norm inf or 2. A plan by name transfers nothing
        without them.
    :param candidates: adversarials that were made elsewhere, which are tried before the
        plan.
    :param seed: of all that is drawn.
    :param on_stage: called after every stage of a block with its record, the number of
        samples it attacked, and the number in the block that nothing has broken yet.
        There :meth:`standing` says how far the plan is.
    :param resume: what it said of the same samples: where to go on, with the same
        results.
    :raises ValueError: for a setting out of its range. The other parameters are those of
        :class:`CountedAttack`."""

    _estimator_requirements = (PyTorchSpikingClassifier,)

    norm: Norm = np.inf
    eps: float = 8 / 255
    plan: str | Plan = "standard"
    sources: Sequence[PyTorchClassifier] = ()
    batch_size: int = 32
    seed: int = 0
    verbose: bool = True
    on_stage: Callable[[StageRecord, int, int], None] | None = None
    candidates: Sequence[Candidates] = ()
    resume: Mapping[str, ndarray] | None = None

    outcome: Outcome | None = field(init=False, default=None)
    _running: tuple[_BlockAttack, int] | None = field(init=False, default=None)

    def generate(self, x: Any, y: Any = None) -> Any:
        self.outcome = None
        with fix_seed(self.seed):
            return super().generate(x, y)

    def standing(self) -> dict[str, ndarray]:
        """How far the plan is, within `on_stage`: what `resume` takes for the same samples."""
        assert self._running is not None, "ask within on_stage"
        run, done = self._running
        arrays = {
            "place": np.array([run.first, done]),
            "random": np.array(random_state()),
        }
        for name in _KEPT:
            arrays[name] = getattr(run.outcome, name).copy()
        for name in BestMargin.COLUMNS:
            arrays[name] = as_array(getattr(run.reached, name)).copy()
        return arrays

    def _prepare(self, samples: Tensor, classes: Tensor) -> None:
        counts = [len(one.points) for one in self.candidates]
        require(
            {*counts} <= {len(samples)},
            "candidates",
            f"as many points as samples, {len(samples)}",
            ", ".join(map(str, counts)),
            "Give a point for each sample, and say which of them are present.",
        )

        random = self._is_random(samples, classes)
        plan = resolve_plan(self.plan, self.norm, self.sources)
        selection = select_stages(
            plan, self.estimator, self.norm, samples[: self.batch_size]
        )
        self._steps = self._build_steps(selection, random)
        skipped = list(selection.skipped)
        for stage in selection.stages:
            if stage.transfer and not self.sources:
                why = "no networks to transfer from (sources) were given"
                skipped.append(stage.record("skipped", reason=why))

        # Attacks on event frames refuse samples of other values.
        for step in self._steps:
            if not step.stage.transfer:
                step.attack._samples(samples)

        records = [one.record for one in self.candidates]
        records += [step.record for step in self._steps]
        self.outcome = Outcome(
            stages=tuple(records),
            skipped=tuple(skipped),
            draws=DRAWS_TO_DECIDE if random else 1,
            adversarials=as_array(samples).copy(),
            stage=np.full(len(samples), Outcome.UNANSWERED),
            forwards=self.forwards,
            backwards=self.backwards,
            distance=np.zeros(len(samples)),
            votes=np.zeros(len(samples), dtype=np.int64),
        )
        if self.resume is not None:
            before = self.resume["adversarials"]
            require(
                before.shape == samples.shape,
                "resume",
                f"one of samples {(*samples.shape,)}",
                f"one of {before.shape}",
                "Or None, to begin with the first stage.",
            )
            for name in _KEPT:
                getattr(self.outcome, name)[:] = self.resume[name]
            samples[:] = as_tensor(before)

    def _is_random(self, samples: Tensor, classes: Tensor) -> bool:
        """True if predictions of the first batch differ from draw to draw."""
        batch = as_array(samples[: self.batch_size])
        self.forwards[: len(batch)] += DRAWS_TO_EXAMINE
        if not len(batch):
            return False
        predict = partial(self.estimator.predict, batch, batch_size=self.batch_size)
        predictions = predict_by_draws(predict, self.seed, DRAWS_TO_EXAMINE)
        return is_random(predictions, as_array(classes[: len(batch)]))

    def _build_steps(self, plan: StageSelection, random: bool) -> list[_Step]:
        """The stages that run; one that transfers runs on every source."""
        steps = []
        earlier = list[tuple[Stage, int]]()
        for stage, record in zip(plan.stages, plan.records, strict=True):
            # Gradients of a random network are averaged over draws.
            rule = stage.rule
            if random and not stage.transfer:
                rule = rule or self.estimator.model.rule
                if not isinstance(rule, EOT):
                    rule = EOT(rule, samples=DRAWS_TO_AVERAGE)

            estimators = self.sources if stage.transfer else [self.estimator]
            for place, source in enumerate(estimators):
                step = record
                if stage.transfer:
                    step = replace(
                        record,
                        id=f"{stage.id}-source-{place}",
                        label=f"{stage.label} on source {place}",
                        description=f"{stage} on source {place}",
                    )
                # The same stage again, such as on other samples, draws from another seed.
                kind = (replace(stage, within=None), id(source))
                seed = stage.seed(self.seed, earlier.count(kind))
                earlier.append(kind)
                attack = stage.build(source, self.norm, self.eps, self.batch_size, seed)
                steps.append(_Step(stage, step, attack, rule))
        return steps

    def _attack(
        self, queries: Queries, samples: Tensor, classes: Tensor, rows: Tensor
    ) -> None:
        assert self.outcome is not None
        reached = BestMargin(samples[rows])
        run = _BlockAttack(
            self, self.outcome, queries, samples, classes, int(rows[0]), reached
        )
        first, done = (-1, 0) if self.resume is None else map(int, self.resume["place"])
        if run.first < first:
            # The interrupted attack was done with this block.
            return

        if run.first == first and self.resume is not None:
            for name in BestMargin.COLUMNS:
                kept = getattr(run.reached, name)
                kept[:] = as_tensor(self.resume[name])
            restore_random_state(str(self.resume["random"]))
            left = run.select_standing(rows)
        else:
            done = 0
            left = run.find_correct(rows)
            for number, candidates in enumerate(self.candidates):
                run.submit(number, candidates, left)
                left = run.select_standing(left)

        for number, step in enumerate(self._steps, len(self.candidates)):
            # Expensive stages attack only samples close to the boundary.
            within = step.stage.within
            near = left
            if within is not None:
                near = left[run.reached.near(left - run.first, within)]
            if number < done or not len(near):
                continue

            place = f"{number + 1}/{len(run.outcome.stages)}"
            queries.progress.describe(f"{place} {step.record.label}")

            # Stages split their samples themselves, each for its own rule.
            network = step.attack.estimator.model
            with network.using(step.rule) if step.rule else nullcontext():
                for part in torch.split(near, step.attack._block_size(samples)):
                    run.run_stage(number, step, part)
            left = run.select_standing(left)

            if self.on_stage is not None:
                self._running = (run, number + 1)
                self.on_stage(step.record, len(near), len(left))
                self._running = None

    def _check_params(self) -> None:
        super()._check_params()
        measure = require_measure(self.norm)
        self.norm = measure.norm
        self.eps = measure.require_budget(self.eps)
        resolve_plan(self.plan, self.norm)
        self.sources = require_sources(self.sources, self.estimator)
        require(
            not (self.sources and measure.counted),
            "sources",
            "none with that norm",
            f"{len(self.sources)}",
            "Leave them out, or attack in the maximum norm or the Euclidean one.",
        )
        require(
            isinstance(self.candidates, Sequence)
            and all(isinstance(one, Candidates) for one in self.candidates),
            "candidates",
            "a list of Candidates",
            quote(self.candidates),
            "Wrap arrays: Candidates(name, points, present).",
        )
