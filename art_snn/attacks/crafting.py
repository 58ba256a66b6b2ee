"""Attacks by text such as "pgd(max_iter=20)", plans by name, and adversarial samples in batches.

The plans are grids of rules and losses, chosen on samples that are not reported."""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from art.attacks import EvasionAttack, evasion
from torch import Tensor

from art_snn.attacks.auto_pgd import AutoPGD, OnwardPGD
from art_snn.attacks.balls import COUNTED, FLIPS, SHIFT, Ball, Norm, require_budget
from art_snn.attacks.iterated import AttackState, IteratedAttack
from art_snn.attacks.persample import PerSampleAttack
from art_snn.attacks.plan import Plan, Stage
from art_snn.attacks.queries import attacking
from art_snn.attacks.sparse_dynamic import SparseDynamicAttack
from art_snn.attacks.spike_retiming import SpikeRetiming
from art_snn.attacks.square_search import SquareSearch
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
from art_snn.checks import SEEDS, cuts_gradients, invalid, require, require_choice, shown
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.gradients import (
    ASSG,
    ENSEMBLE_19,
    HART,
    PDSG,
    RGA,
    STBP,
    Gradient,
    TemporalGradient,
    Triangle,
    parse_call,
    sharpness_of,
)
from art_snn.progress import Progress
from art_snn.seeding import seeded

ITERATIONS = 10
STEPS, STEP = 7, 2.55 / 8
"""Of PGD as Bu et al. (CVPR 2023) run it from their command line, the step in budgets."""
ONE_RUN = {"nb_random_init": 1, "loss_type": "cross_entropy"}
RUN = frozenset({"norm", "eps", "batch_size", "verbose", "targeted", "seed"})
"""Settings of attacks that are given apart from their options, next to those of a budget."""
OURS = (AutoPGD, SparseDynamicAttack, SpikeRetiming, SquareSearch, StableAdaptivePGD)
ATTACKS_ON_FRAMES = {FLIPS: SparseDynamicAttack, SHIFT: SpikeRetiming}
"""The usual attack in each norm of event frames."""


def _steps(
    kind: type[EvasionAttack], iterations: int, step: float, **options: object
) -> Callable[[float], Stage]:
    """An attack of that many steps, of a length in budgets."""
    return lambda eps: Stage(kind, None, {"max_iter": iterations, "eps_step": step * eps} | options)


SHORT_NAMES: Mapping[str, Callable[[float], Stage]] = MappingProxyType(
    {
        "fgsm": lambda _: Stage(evasion.FastGradientMethod),
        "pgd": _steps(evasion.ProjectedGradientDescent, ITERATIONS, 1 / 4),
        "pgd-7": _steps(evasion.ProjectedGradientDescent, STEPS, STEP),
        "mim": _steps(evasion.MomentumIterativeMethod, ITERATIONS, 1 / 4),
        "apgd": _steps(evasion.AutoProjectedGradientDescent, ITERATIONS, 2, **ONE_RUN),
        "sa-pgd": lambda _: Stage(StableAdaptivePGD, None, {"max_iter": ITERATIONS}),
    }
)
"""The attacks with short names, by a budget; pgd has no random start, pgd-7 is that of papers."""


def parse_stage(text: str | None, norm: Norm, eps: float) -> Stage:
    """The attack of a text such as "pgd", "pgd(max_iter=20)" or "SquareAttack(max_iter=1000)".

    Without a text it is the one that papers report: pgd-7, or that of the norm of event frames.
    A name is one of :data:`SHORT_NAMES`, or a class of art.attacks.evasion or art_snn.attacks; the
    options replace its own. pgd and mim take 10 steps of eps / 4, pgd-7 takes 7 of 2.55/8 eps.

    :param norm: numpy.inf or 2; of event frames 0 or "shift".
    :param eps: budget in that norm, on which the steps of short names depend.
    :return: the stage, without a rule.
    :raises ValueError: for another text, an unknown name or option, an attack without a budget in
        that norm, or a budget that is none."""
    eps = require_budget(norm, eps)
    remedy = 'For instance "pgd", or "SquareAttack(max_iter=1000)".'
    if text is None:
        text = ATTACKS_ON_FRAMES[norm].__name__ if norm in COUNTED else "pgd-7"
    require(isinstance(text, str), "attack", "a text", shown(text), remedy)
    name, given = parse_call(text, "attack")
    options = {option: _read_literal(value) for option, value in given.items()}
    if name.lower() in SHORT_NAMES:
        stage = SHORT_NAMES[name.lower()](eps)
    else:
        ours = {kind.__name__: kind for kind in OURS}
        kind: Any = ours.get(name, getattr(evasion, name, None))
        remedy = f"Or one of {', '.join(SHORT_NAMES)}. Classes are those of art.attacks.evasion "
        remedy += f"and {', '.join(ours)}."
        fits = isinstance(kind, type) and issubclass(kind, EvasionAttack)
        require(fits, "attack", "the class of an evasion attack", shown(name), remedy)
        stage = Stage(kind)
    budget = stage.budget(norm, eps)
    remedy = "Of event frames there are SparseDynamicAttack in 0 and SpikeRetiming in both."
    require(budget is not None, "attack", f"an attack in the norm {norm}", shown(name), remedy)
    allowed = sorted(stage.taken - RUN - (budget or {}).keys())
    odd = [option for option in options if option not in allowed]
    expected = f"options of {name}: {', '.join(allowed) or 'none'}"
    remedy = "The budget, the batches and the seed are given apart from the attack."
    require(not odd, "attack", expected, ", ".join(odd), remedy)
    return replace(stage, options={**stage.options, **options})


def _read_literal(value: Any) -> Any:
    """A value as Python reads it, such as a tuple or None; other words remain."""
    with suppress(ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ast.literal_eval(value)
    return value


@contextmanager
def attack_errors(stage: Stage) -> Iterator[None]:
    """A block in which errors of ART's attacks become a ValueError that names the attack.

    Errors of our own attacks pass, and those of a cut gradient."""
    try:
        yield
    except Exception as error:
        if issubclass(stage.attack, PerSampleAttack) or cuts_gradients(error):
            raise
        raise _failed(stage, error) from error


def _failed(stage: Stage, error: Exception) -> ValueError:
    expected = "an attack that runs on this network and its samples"
    got = f"{stage}, which fails ({type(error).__name__}: {error}".rstrip(".") + ")"
    return invalid("attack", expected, got, "Choose another one, or other options of it.")


def check_stage(
    stage: Stage, classifier: PyTorchSpikingClassifier, x: Any, *, norm: Norm, eps: float
) -> None:
    """Raise a ValueError for an attack that cannot be built, or whose samples x do not suit it."""
    try:
        attack = stage.instantiate(classifier, norm, eps, max(1, len(x)), 0)
    except Exception as error:
        raise _failed(stage, error) from error
    if isinstance(attack, PerSampleAttack):
        # Those on event frames refuse samples of other values.
        attack._samples(x)


def batches(samples: int, size: int, seed: int, progress_label: str) -> Iterator[slice]:
    """Slices of the samples, each with the random state of the seed and its position."""
    with Progress(progress_label, samples, unit="samples", leave=False) as progress:
        for start in range(0, samples, size):
            batch = slice(start, min(start + size, samples))
            with seeded(seed + start):
                yield batch
            progress.update(batch.stop - start)


def predict_logits(
    classifier: PyTorchSpikingClassifier, x: np.ndarray, batch_size: int, seed: int
) -> np.ndarray:
    """Logits (N, K), drawn from the seed where the network is random.

    :raises ValueError: when a sample holds NaN or infinity."""
    got, remedy = "NaN or infinity", "No number that rests on such samples can be believed."
    require(np.isfinite(x).all(), "x", "finite samples", got, remedy)
    with seeded(seed):
        logits: np.ndarray = classifier.predict(x, batch_size=batch_size)
    return logits


def craft_batch(
    stage: Stage,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    *,
    norm: Norm,
    eps: float,
) -> np.ndarray:
    """Adversarial samples of one batch ``(N, *input_shape)`` with labels (N,).

    The network's rule gives the gradients. Rules such as ASSG remember nothing before the batch,
    and nothing after it. Results of attacks of ART's that take no budget are projected."""
    seed, radius = 0, None if norm in COUNTED else eps
    if "seed" in stage.taken:
        # As ART's attacks draw, from numpy's global state; numbers above 2**31 on any system.
        seed = int(np.random.randint(SEEDS, dtype=np.uint32))  # noqa: NPY002
    make = stage.instantiate if stage.bounded else stage.build
    with attacking(classifier, radius):
        attack = make(classifier, norm, eps, max(1, len(x)), seed)
        adversarial: np.ndarray = attack.generate(x, y)
    return adversarial


def craft(
    stage: Stage,
    rule: Gradient,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    *,
    norm: Norm,
    eps: float,
    batch_size: int,
    seed: int,
    progress_label: str,
) -> np.ndarray:
    """Adversarial samples of x ``(N, *input_shape)``, class indices y (N,), crafted with the rule.

    The network keeps its own rule; a stage's own rule comes first. Every batch has the random state
    of the seed and its position.

    :param eps: budget in the norm, in the unit of the samples."""
    adversarial = np.empty_like(x)
    with classifier.model.using(stage.rule or rule):
        for batch in batches(len(x), batch_size, seed, progress_label):
            adversarial[batch] = craft_batch(
                stage, classifier, x[batch], y[batch], norm=norm, eps=eps
            )
    return adversarial


DLR = "difference_logits_ratio"
SQUARE_ATTACK = {"share": 0.8, "halving": True, "stripes": True}
"""SquareAttack (Andriushchenko et al., ECCV 2020) as a search of ours, for the control."""
FARTHEST, REACH, FARTHER, FAR, NEAR, NEXT = 0.4, 0.3, 0.2, 0.15, 0.08, 0.04
"""Largest distances from the boundary for stages: the more expensive, the nearer."""


def _stbp(width: float) -> Gradient:
    """STBP with a triangle of that width."""
    return STBP(surrogate=Triangle(width))


def _assg(vanishing: float) -> Gradient:
    """ASSG of that vanishing degree."""
    return ASSG(omega=sharpness_of(vanishing))


class PGD(IteratedAttack):
    """Projected gradient descent, as ART's ProjectedGradientDescent, with steps of 2.55/8 eps.

    From the sample itself or a random start, g the gradient of the cross entropy::

        x[k+1] = project(x[k] + 2.55/8 eps d(g[k]))

    where d is the sign of the gradient, with norm=2 its direction. Unlike ART's it leaves a sample
    at the first adversarial of its path."""

    def walk(self, ball: Ball, start: Tensor) -> AttackState:
        return _Equal(ball, start)


class _Equal(AttackState):
    """The equation of the class."""

    def advance(self, values: Tensor, gradient: Tensor) -> None:
        moved = self.ball.direction(gradient).mul_(STEP * self.ball.eps).add_(self.points)
        # ART clips first; in the Euclidean norm the order matters.
        self.points = self.ball.project(moved.clamp_(self.ball.low, self.ball.high))


def _each(attack: type, rules: Iterable[Gradient], **options: Any) -> tuple[Stage, ...]:
    return tuple(Stage(attack, rule, options) for rule in rules)


PAPERS = Stage(PGD, STBP(), {"max_iter": STEPS, "num_random_init": 0})
"""PGD-7 with STBP, as papers report it: a stage of every plan, so that none breaks less."""
_FLIPS, _SHIFT = (Stage(attack, STBP()) for attack in ATTACKS_ON_FRAMES.values())
"""The same on event frames: what evaluations show next to a plan."""
_RESET, _SPREAD = ASSG(detach_reset=False), PDSG(per_sample=True)

_GRID, _MARGIN = {"max_iter": 20}, {"max_iter": 100, "loss_type": "margin"}
_RATIO = {"max_iter": 40, "loss_type": DLR}
_FEW_SQUARES = {"max_iter": 200, "share": 0.01}
_FAST = (
    Stage(AutoPGD, HART(surrogate=Triangle(0.5)), _GRID),
    Stage(StableAdaptivePGD, _assg(0.95), {"max_iter": 60}, warm=True),
    Stage(AutoPGD, _stbp(0.5), _GRID, warm=True, within=FAR),
    Stage(AutoPGD, _assg(0.95), _RATIO, warm=True, within=FAR),
    Stage(StableAdaptivePGD, _assg(0.85), {"max_iter": 60}, warm=True, within=FARTHER),
    Stage(SquareSearch, None, _FEW_SQUARES, warm=True, within=NEAR),
    Stage(AutoPGD, _assg(0.9), _MARGIN, within=NEAR),
    Stage(SquareSearch, None, _FEW_SQUARES | {"share": 0.05}, warm=True, within=NEAR),
    Stage(OnwardPGD, None, _GRID, transfer=True, within=NEAR),
    PAPERS,
)
"""Most begin where those before came furthest; the costly ones leave out far samples."""
_STANDARD = (
    *_FAST,
    Stage(OnwardPGD, None, _GRID, transfer=True),
    Stage(StableAdaptivePGD, _assg(0.85), {"max_iter": 100}, within=FARTHEST),
    Stage(AutoPGD, _assg(0.9), _MARGIN, within=FARTHEST),
    Stage(AutoPGD, _assg(0.9), {**_MARGIN, "num_random_init": 2}, within=REACH),
    Stage(StableAdaptivePGD, _assg(0.7), {"max_iter": 100}, within=FARTHER),
    Stage(SquareSearch, None, {"max_iter": 600, "share": 0.02}, warm=True, within=NEXT),
    Stage(SquareSearch, None, {"max_iter": 1000, **SQUARE_ATTACK, "racing": True}),
)
"""After those of `fast` stages with new starts, and a search that gives up what is far."""
_FAST_FLIPS = (Stage(SparseDynamicAttack, _stbp(2.0)), _FLIPS)
"""With a wide surrogate the search ends soonest, with the fewest flips."""
_STANDARD_FLIPS = (
    *_FAST_FLIPS,
    *_each(SpikeRetiming, (_RESET, _stbp(2.0))),
    *_each(SparseDynamicAttack, (HART(), _SPREAD, RGA(), _RESET)),
)
"""Retiming is cheap; searches take long where they fail."""
_WIDE = Stage(SpikeRetiming, _stbp(2.0), {"max_iter": 20})
_FAST_SHIFT = (Stage(SpikeRetiming, _RESET), _WIDE, _SHIFT)
"""The first breaks nearly all that any stage does."""
_STANDARD_SHIFT = (
    *_FAST_SHIFT,
    *_each(SpikeRetiming, (_assg(0.85), _SPREAD, _stbp(2.0), _stbp(0.5)), max_iter=100),
    Stage(SpikeRetiming, _RESET, {"max_iter": 100, "eta": 0.1}),
)
"""What is left costs little, so that each rule takes long."""
_ENSEMBLE = (*_each(AutoPGD, ENSEMBLE_19, max_iter=50), PAPERS)
_IN_TIME = [rule for rule in ENSEMBLE_19 if isinstance(rule, TemporalGradient)]

PLANS: Mapping[str, Mapping[Norm, tuple[Stage, ...]]] = MappingProxyType(
    {
        "standard": {
            np.inf: _STANDARD,
            2.0: _STANDARD,
            FLIPS: _STANDARD_FLIPS,
            SHIFT: _STANDARD_SHIFT,
        },
        "fast": {np.inf: _FAST, 2.0: _FAST, FLIPS: _FAST_FLIPS, SHIFT: _FAST_SHIFT},
        "ensemble-19": {
            np.inf: _ENSEMBLE,
            2.0: _ENSEMBLE,
            FLIPS: _each(SparseDynamicAttack, ENSEMBLE_19),
            SHIFT: _each(SpikeRetiming, _IN_TIME),
        },
    }
)
"""Name, then norm."""


def resolve_plan(plan: object, norm: Norm) -> Plan:
    """A plan as it is, or the one of that name for a norm; ValueError for an unknown name."""
    if isinstance(plan, Plan):
        return plan
    require_choice("plan", plan, tuple(PLANS), remedy="Or give a Plan of your own.")
    return Plan(str(plan), PLANS[str(plan)][norm])
