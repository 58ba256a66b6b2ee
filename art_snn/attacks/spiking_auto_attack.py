"""SpikingAutoAttack: attacks and rules by a plan, of which a sample gets the first that works."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.best import Reached
from art_snn.attacks.distances import FLIPS, require_budget, require_measure
from art_snn.attacks.outcome import Outcome
from art_snn.attacks.persample import CountedAttack
from art_snn.attacks.plan import Plan, Stage, require_sources
from art_snn.attacks.plans import planned
from art_snn.attacks.queries import Queries
from art_snn.attacks.randomness import EVALUATIONS, random
from art_snn.attacks.run import GRADIENTS, Run, Step
from art_snn.attacks.suited import Suited, suited
from art_snn.checks import require, require_seed
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.gradients import EOT, Gradient
from art_snn.seeding import seeded

DRAWS = 11
"""Fresh predictions of a random network, of which most decide."""


class SpikingAutoAttack(CountedAttack):
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

    A stage whose rule does not suit the network runs under the network's own gradient, `Native`,
    which networks of other frameworks have. Repeats, and stages that nothing suits, are left out.
    The outcome names them.

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
        *(name for name in CountedAttack.attack_params if name != "targeted"),
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

    def generate(self, x: Any, y: Any = None, **kwargs: Any) -> Any:
        self.outcome = None
        with seeded(self.seed):
            return super().generate(x, y, **kwargs)

    def _begun(self, found: Tensor, classes: Tensor) -> None:
        random = self._random(found, classes)
        plan = suited(planned(self.plan, self.norm), self.estimator, self.norm, found)
        self._steps = self._chosen(plan, random)
        attacks = [step.attack for step in self._steps if not step.transfer]
        # Those on event frames refuse samples of other values.
        for attack in {type(attack)._samples: attack for attack in attacks}.values():
            attack._samples(found)
        samples = len(found)
        self.outcome = Outcome(
            stages=tuple(step.words for step in self._steps),
            skipped=plan.skipped,
            native=plan.native,
            gradients=plan.gradients,
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

    def _chosen(self, plan: Suited, random: bool) -> list[Step]:
        """The stages that run, on every source where they transfer."""
        steps: list[Step] = []
        for stage in plan.stages:
            if stage.transfer and not self.sources:
                plan.skipped[str(stage)] = "no sources were handed in"
            rule = self._averaged(stage) if random else stage.rule
            for place, source in enumerate(self.sources if stage.transfer else (self.estimator,)):
                words = f"{stage} on source {place}" if stage.transfer else str(stage)
                again = sum(step.words == words for step in steps)
                budget = (self.norm, self.eps, self.batch_size)
                attack = stage.built(source, *budget, stage.seed(self.seed, again))
                how = (stage.transfer, stage.warm, stage.within)
                steps.append(Step(words, attack, rule, *how))
        return steps

    def _averaged(self, stage: Stage) -> Gradient | None:
        """The rule of a stage on a random network."""
        if stage.transfer:
            return None
        rule = stage.rule or self.estimator.model.rule
        return rule if isinstance(rule, EOT) else EOT(rule, samples=GRADIENTS)

    def _finished(self, number: int, reached: int, left: int) -> None:
        """What is done when a stage has been through some samples.

        :param number: of the stage.
        :param reached: how many samples it attacked.
        :param left: how many of them stand."""

    def _attack(
        self, queries: Queries, found: Tensor, classes: Tensor, mask: Tensor | None, rows: Tensor
    ) -> None:
        assert self.outcome is not None
        budget = (self.norm, self.eps, self.seed)
        far, first = Reached.none(found[rows]), int(rows[0])
        run = Run(self, *budget, self.outcome, queries, found, classes, mask, first, far)
        left = run.correct(rows)
        for number, step in enumerate(self._steps):
            if not len(left):
                return
            near = run.near(left, step.within)
            if not len(near):
                continue
            began = time.perf_counter()
            if queries.bar is not None:
                told = f"SpikingAutoAttack, stage {number + 1} of {len(self._steps)}"
                queries.bar.set_description(told, refresh=False)
            try:
                with step.by():
                    for part in torch.split(near, step.attack._together(found)):
                        run.stage(number, step, part)
            finally:
                self.outcome.seconds[number] += time.perf_counter() - began
            left = run.standing(left)
            self._finished(number, len(near), len(left))

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
        require_seed("seed", self.seed)
