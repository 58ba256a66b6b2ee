"""SpikingAutoAttack: attacks and rules by a plan, until one breaks a sample."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.best import Reached
from art_snn.attacks.candidates import CandidateAttack, Candidates, require_candidates
from art_snn.attacks.distances import FLIPS, require_budget, require_measure
from art_snn.attacks.grids import planned
from art_snn.attacks.outcome import Outcome
from art_snn.attacks.plan import Plan, Stage, Suited, require_sources, short_stage, suited
from art_snn.attacks.queries import Queries
from art_snn.attacks.randomness import EVALUATIONS, random
from art_snn.attacks.run import GRADIENTS, Budgeted, Run, Step
from art_snn.checks import require, require_seed, shown
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.gradients import EOT
from art_snn.seeding import seeded

DRAWS = 11
"""Fresh predictions of a random network, of which most decide."""


class SpikingAutoAttack(Budgeted):
    """Attacks every sample with one stage of a plan after another, until one breaks it.

    There is nothing to tune: rules, losses and steps are a fixed grid. A sample that nothing breaks
    is returned as it is.

    Every adversarial is predicted once more before it counts, and its budget is measured. A network
    is random where predictions of the same samples differ in five evaluations: EOT then averages
    its gradients, and most of eleven predictions from fresh seeds must be wrong.

    After :meth:`generate`, and after an interruption of it, the attribute `outcome` is an
    :class:`~art_snn.attacks.Outcome`: which stage broke which sample, in how many passes.

    A stage whose rule does not suit the network runs under the network's own gradient, `Native`,
    which networks of other frameworks have. Repeats, and stages that nothing suits, are left out.

    :param estimator: a classifier around a spiking network.
    :param norm: numpy.inf, "inf" or 2; of event frames 0, the number of values that change, or
        "shift", how many time steps a spike is moved.
    :param eps: budget in that norm, in the unit of the samples.
    :param plan: "standard", "fast", "ensemble-19", or a :class:`~art_snn.attacks.Plan` of yours.
    :param sources: other classifiers of the same samples, on which adversarials are crafted that
        may carry over; with norm inf or 2.
    :param candidates: adversarials that were made elsewhere, which are tried before the plan.
    :param seed: of all that is drawn.
    :param on_stage: called after every stage of a block with its name, the number of samples it
        attacked, and the number in the block that nothing has broken yet.
    :raises ValueError: for a setting out of its range. The other parameters are those of
        :class:`CountedAttack`."""

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
        on_stage: Callable[[str, int, int], None] | None = None,
        candidates: Sequence[Candidates] = (),
    ) -> None:
        super().__init__(estimator, targeted=False, batch_size=batch_size, verbose=verbose)
        self.norm, self.eps, self.plan, self.sources, self.seed = norm, eps, plan, sources, seed
        self.on_stage, self.candidates = on_stage, candidates
        self.outcome: Outcome | None = None
        self._check_params()

    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        self.outcome = None
        with seeded(self.seed):
            return super().generate(x, y, **kwargs)

    def _prepare(self, samples: Tensor, classes: Tensor) -> None:
        random = self._random(samples, classes)
        plan = suited(planned(self.plan, self.norm), self.estimator, self.norm, samples)
        self._steps = [*self._tries(len(samples)), *self._steps_of(plan, random)]
        attacks = [step.attack for step in self._steps if not step.stage.transfer]
        # Those on event frames refuse samples of other values.
        for attack in {type(attack)._samples: attack for attack in attacks}.values():
            attack._samples(samples)
        self.outcome = Outcome(
            stages=tuple(step.words for step in self._steps),
            skipped=plan.skipped,
            native=plan.native,
            gradients=plan.gradients,
            draws=DRAWS if random else 1,
            adversarials=samples.cpu().numpy().copy(),
            stage=np.full(len(samples), Outcome.UNANSWERED),
            forwards=self.forwards,
            backwards=self.backwards,
            distance=np.zeros(len(samples)),
            votes=np.zeros(len(samples), dtype=np.int64),
            seconds=[0.0] * len(self._steps),
        )

    def _random(self, samples: Tensor, classes: Tensor) -> bool:
        """Whether predictions of the first batch differ from draw to draw."""
        batch = samples[: self.batch_size].cpu().numpy()
        predictions = []
        for draw in range(EVALUATIONS if len(batch) else 0):
            with seeded(self.seed + draw):
                predictions.append(self.estimator.predict(batch, batch_size=self.batch_size))
        self.forwards[: len(batch)] += EVALUATIONS
        return bool(predictions) and random(predictions, classes[: len(batch)].cpu().numpy())

    def _tries(self, samples: int) -> list[Step]:
        """The stages that try candidates."""
        counts = [len(one.points) for one in self.candidates]
        remedy = "Give points in the place of all samples, and say for which there is one."
        fits, got = {*counts} <= {samples}, ", ".join(map(str, counts))
        require(fits, "candidates", f"as many points as samples, {samples}", got, remedy)
        attacks = [CandidateAttack(self.estimator, n, self.batch_size) for n in self.candidates]
        stage = Stage(CandidateAttack)
        return [Step(stage, str(attack.candidates), attack, None) for attack in attacks]

    def _steps_of(self, plan: Suited, random: bool) -> list[Step]:
        """The stages that run, on every source where they transfer."""
        steps: list[Step] = []
        for stage in plan.stages:
            if stage.transfer and not self.sources:
                plan.skipped[str(stage)] = "no networks to transfer from (sources) were given"
            rule = stage.rule
            if random and not stage.transfer:
                rule = rule or self.estimator.model.rule
                rule = rule if isinstance(rule, EOT) else EOT(rule, samples=GRADIENTS)
            for place, source in enumerate(self.sources if stage.transfer else (self.estimator,)):
                words = f"{stage} on source {place}" if stage.transfer else str(stage)
                seed = stage.seed(self.seed, again=sum(step.words == words for step in steps))
                attack = stage.build(source, self.norm, self.eps, self.batch_size, seed)
                steps.append(Step(stage, words, attack, rule))
        return steps

    def _attack(
        self, queries: Queries, samples: Tensor, classes: Tensor, mask: Tensor | None, rows: Tensor
    ) -> None:
        assert self.outcome is not None
        run = Run(
            attack=self,
            outcome=self.outcome,
            queries=queries,
            samples=samples,
            classes=classes,
            mask=mask,
            first=int(rows[0]),
            reached=Reached.none(samples[rows]),
        )
        left = run.correct(rows)
        for number, step in enumerate(self._steps):
            near = run.near(left, step.stage.within)
            if not len(near):
                continue
            began = time.perf_counter()
            if queries.progress is not None:
                words = f"{number + 1}/{len(self._steps)} {short_stage(step.words)}"
                queries.progress.describe(words)
            try:
                with step.using_rule():
                    for part in torch.split(near, step.attack._together(samples)):
                        run.run_stage(number, step, part)
            finally:
                self.outcome.seconds[number] += time.perf_counter() - began
            left = run.standing(left)
            if self.on_stage is not None:
                self.on_stage(step.words, len(near), len(left))

    def _together(self, x: Tensor) -> int:
        # Stages split their samples themselves, each for its own rule.
        return self._room(x)

    def _check_params(self) -> None:
        super()._check_params()
        self.norm = require_measure(self.norm)
        self.eps = require_budget(self.norm, self.eps)
        planned(self.plan, self.norm)
        self.sources = require_sources(self.sources, self.estimator)
        fits = not self.sources or (isinstance(self.norm, float) and self.norm != FLIPS)
        remedy = "Leave them out, or attack in the maximum norm or the Euclidean one."
        require(fits, "sources", "none with that norm", f"{len(self.sources)}", remedy)
        self.candidates = require_candidates(self.candidates)
        require_seed("seed", self.seed)
        fits = self.on_stage is None or callable(self.on_stage)
        require(fits, "on_stage", "a function, or None", shown(self.on_stage), "Leave it out.")
