"""Attacks by text such as "pgd(max_iter=20)", and adversarial samples in batches."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
from art.attacks import EvasionAttack, evasion
from numpy import ndarray

from art_snn.attacks.auto_pgd import AutoPGD
from art_snn.attacks.measures import Norm, require_measure
from art_snn.attacks.persample import PerSampleAttack
from art_snn.attacks.pgd import STEP, STEPS
from art_snn.attacks.queries import attacking
from art_snn.attacks.sparse_dynamic import SparseDynamicAttack
from art_snn.attacks.spike_retiming import SpikeRetiming
from art_snn.attacks.square_search import SquareSearch
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
from art_snn.attacks.stages import Stage
from art_snn.checks import SEEDS, cuts_gradients, invalid, quote, require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.gradients import Gradient, parse_call
from art_snn.progress import Progress
from art_snn.seeding import fix_seed

RUN = {"norm", "eps", "batch_size", "verbose", "targeted", "seed"}
"""Settings of attacks that are given apart from their options, next to those of a budget."""
OURS = (AutoPGD, SparseDynamicAttack, SpikeRetiming, SquareSearch, StableAdaptivePGD)

_TEN_STEPS = {"max_iter": 10, "eps_step": 1 / 4}
SHORT_NAMES = {
    "fgsm": Stage(evasion.FastGradientMethod),
    "pgd": Stage(evasion.ProjectedGradientDescent, None, _TEN_STEPS),
    "pgd-7": Stage(
        evasion.ProjectedGradientDescent, None, {"max_iter": STEPS, "eps_step": STEP}
    ),
    "mim": Stage(evasion.MomentumIterativeMethod, None, _TEN_STEPS),
    "apgd": Stage(
        evasion.AutoProjectedGradientDescent,
        None,
        {
            "max_iter": 10,
            "eps_step": 2,
            "nb_random_init": 1,
            "loss_type": "cross_entropy",
        },
    ),
    "sa-pgd": Stage(StableAdaptivePGD, None, {"max_iter": 10}),
}
"""The attacks with short names; each `eps_step` is in budgets.

pgd has no random start, pgd-7 is that of papers."""


def parse_stage(text: str | None, norm: Norm, eps: float) -> Stage:
    """The attack of a text such as "pgd", "pgd(max_iter=20)" or "SquareAttack(max_iter=1000)".

    Without a text it is the one that papers report: pgd-7, or that of the norm of event
    frames. A name is one of :data:`SHORT_NAMES`, or a class of art.attacks.evasion or
    art_snn.attacks; the options replace its own. pgd and mim take 10 steps of eps / 4,
    pgd-7 takes 7 of 2.55/8 eps.

    :param norm: numpy.inf or 2; of event frames 0 or "shift".
    :param eps: budget in that norm, on which the steps of short names depend.
    :return: the stage, without a rule.
    :raises ValueError: for another text, an unknown name or option, an attack without a
        budget in that norm, or a budget that is none."""
    measure = require_measure(norm)
    eps = measure.require_budget(eps)
    if text is None:
        text = measure.attack
    require(
        isinstance(text, str),
        "attack",
        "a text",
        quote(text),
        'For instance "pgd", or "SquareAttack(max_iter=1000)".',
    )
    name, given = parse_call(text, "attack")
    stage = SHORT_NAMES.get(name.lower()) or Stage(_find_attack(name))
    budget = stage.budget(measure, eps)
    if budget is None:
        raise invalid(
            "attack",
            f"an attack in the norm {measure.id}",
            quote(name),
            "Of event frames there are SparseDynamicAttack in 0 and SpikeRetiming in both.",
        )

    allowed = sorted(stage.taken - RUN - budget.keys())
    odd = [option for option in given if option not in allowed]
    require(
        not odd,
        "attack",
        f"options of {name}: {', '.join(allowed) or 'none'}",
        ", ".join(odd),
        "The budget, the batches and the seed are given apart from the attack.",
    )

    options = dict(stage.options)
    if "eps_step" in options:
        options["eps_step"] *= eps
    options |= {option: _read_literal(value) for option, value in given.items()}
    return replace(stage, options=options)


def _find_attack(name: str) -> Any:
    """The class of attacks, ours or ART's, that has the name."""
    ours = {kind.__name__: kind for kind in OURS}
    kind: Any = ours.get(name, getattr(evasion, name, None))
    remedy = (
        f"Or one of {', '.join(SHORT_NAMES)}. Classes are those of art.attacks.evasion "
        f"and {', '.join(ours)}."
    )
    fits = isinstance(kind, type) and issubclass(kind, EvasionAttack)
    require(fits, "attack", "the class of an evasion attack", quote(name), remedy)
    return kind


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
        raise _make_error(stage, error) from error


def _make_error(stage: Stage, error: Exception) -> ValueError:
    return invalid(
        "attack",
        "an attack that runs on this network and its samples",
        f"{stage}, which fails ({type(error).__name__}: {error}".rstrip(".") + ")",
        "Choose another one, or other options of it.",
    )


def check_stage(
    stage: Stage, classifier: PyTorchSpikingClassifier, x: Any, *, norm: Norm, eps: float
) -> None:
    """Raise a ValueError for an attack that cannot be built, or whose samples x do not suit it."""
    try:
        attack = stage.instantiate(classifier, norm, eps, max(1, len(x)), 0)
    except Exception as error:
        raise _make_error(stage, error) from error
    if isinstance(attack, PerSampleAttack):
        # Those on event frames refuse samples of other values.
        attack._samples(x)


def batches(samples: int, size: int, seed: int, progress_label: str) -> Iterator[slice]:
    """Slices of the samples, each with the random state of the seed and its position."""
    with Progress(progress_label, samples, unit="samples", leave=False) as progress:
        for start in range(0, samples, size):
            batch = slice(start, min(start + size, samples))
            with fix_seed(seed + start):
                yield batch
            progress.update(batch.stop - start)


def predict_logits(
    classifier: PyTorchSpikingClassifier, x: ndarray, batch_size: int, seed: int
) -> ndarray:
    """Logits (N, K), drawn from the seed where the network is random.

    :raises ValueError: when a sample holds NaN or infinity."""
    require(
        np.isfinite(x).all(),
        "x",
        "finite samples",
        "NaN or infinity",
        "No number that rests on such samples can be believed.",
    )
    with fix_seed(seed):
        return classifier.predict(x, batch_size=batch_size)


def craft_batch(
    stage: Stage,
    classifier: PyTorchSpikingClassifier,
    x: ndarray,
    y: ndarray,
    *,
    norm: Norm,
    eps: float,
) -> ndarray:
    """Adversarial samples of one batch ``(N, *input_shape)`` with labels (N,).

    The network's rule gives the gradients. Rules such as ASSG remember nothing before the batch,
    and nothing after it. Results of attacks of ART's that take no budget are projected."""
    seed = 0
    if "seed" in stage.taken:
        # As ART's attacks draw, from numpy's global state; numbers above 2**31 on any system.
        seed = int(np.random.randint(SEEDS, dtype=np.uint32))  # noqa: NPY002
    make = stage.instantiate if stage.bounded else stage.build
    radius = None if require_measure(norm).counted else eps
    with attacking(classifier, radius):
        attack = make(classifier, norm, eps, max(1, len(x)), seed)
        return attack.generate(x, y)  # type: ignore[no-any-return]  # ART has no types.


def craft(
    stage: Stage,
    rule: Gradient,
    classifier: PyTorchSpikingClassifier,
    x: ndarray,
    y: ndarray,
    *,
    norm: Norm,
    eps: float,
    batch_size: int,
    seed: int,
    progress_label: str,
) -> ndarray:
    """Adversarial samples of x ``(N, *input_shape)``, class indices y (N,), crafted with the rule.

    The network keeps its own rule; a stage's own rule comes first. Every batch has the
    random state of the seed and its position.

    :param eps: budget in the norm, in the unit of the samples."""
    adversarial = np.empty_like(x)
    with classifier.model.using(stage.rule or rule):
        for batch in batches(len(x), batch_size, seed, progress_label):
            adversarial[batch] = craft_batch(
                stage, classifier, x[batch], y[batch], norm=norm, eps=eps
            )
    return adversarial
