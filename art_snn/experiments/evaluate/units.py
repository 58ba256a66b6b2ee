"""Everything of an evaluation that one process computes by itself."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from math import inf

import numpy as np

from art_snn.attacks import FLIPS, SHIFT, Plan, SpikingAutoAttack
from art_snn.checks import SEEDS
from art_snn.experiments.evaluate import reservations
from art_snn.experiments.evaluate.attacks import attack_errors
from art_snn.experiments.evaluate.blocks import Computed, Unit
from art_snn.experiments.evaluate.progress import Progress
from art_snn.experiments.evaluate.settings import Settings
from art_snn.experiments.evaluate.subject import Target
from art_snn.experiments.evaluation import Certified, Reservation, Trial
from art_snn.experiments.resume import as_json
from art_snn.metrics import certify
from art_snn.seeding import seeded

ALPHA = 0.001
"""Probability that the certificate of a sample is wrong, at most."""


def examinations(subject: Target) -> list[Unit]:
    """Where findings are looked for, in the order in which they are told."""
    chosen = subject.settings
    count = min(chosen.examined, len(subject.x))
    if not count:
        return []
    looks = {reservations.NETWORK: partial(reservations.of_network, subject, count)}
    by_steps = chosen.measure not in (FLIPS, SHIFT)
    for name, rule in reservations.examined_rules(subject) if by_steps else ():
        look = partial(reservations.of_gradients, subject, count, name, rule)
        looks[f"gradients by {name}"] = look
    for plan in reservations.examined_attacks(subject):
        looks[plan.name] = partial(reservations.of_attack, subject, count, plan)
    return [
        Unit(f"findings-{place}", count, f"Findings about {about}", partial(_examined, look), inf)
        for place, (about, look) in enumerate(looks.items())
    ]


def _examined(look: Callable[[], list[Reservation]], _: Progress) -> Computed:
    return {"reservations": as_json(look())}, {}


def starts(subject: Target) -> range:
    """The first samples of the blocks."""
    return range(0, len(subject.x), subject.settings.block)


def slices(subject: Target) -> Iterator[slice]:
    """The samples of every block."""
    for start in starts(subject):
        yield slice(start, min(start + subject.settings.block, len(subject.x)))


def of_block(place: int, start: int) -> str:
    """Name of the unit of a plan, by its place among all, and a block."""
    return f"attack-{place}-{start}"


def of_certificates(start: int) -> str:
    """Name of the unit of the certificates of a block."""
    return f"certificates-{start}"


def attack_units(subject: Target) -> Iterator[Unit]:
    """Every plan at every budget on every block."""
    for place, (eps, plan) in enumerate(subject.plans):
        for rows in slices(subject):
            words = f"{plan.name}, eps {eps:.4g}, {_samples(rows)}"
            compute = partial(_attacked, subject, eps, plan, rows, clean=place == 0)
            name, length = of_block(place, rows.start), len(plan.stages)
            yield Unit(name, rows.stop - rows.start, words, compute, length)


def certificate_units(subject: Target) -> Iterator[Unit]:
    """The certificates of every block, where they were asked for."""
    for rows in slices(subject) if subject.settings.certify else ():
        words, compute = f"Certificates, {_samples(rows)}", partial(_certified, subject, rows)
        yield Unit(of_certificates(rows.start), rows.stop - rows.start, words, compute)


def _samples(rows: slice) -> str:
    return f"samples {rows.start} to {rows.stop - 1}"


def _certified(subject: Target, rows: slice, _: Progress) -> Computed:
    chosen = subject.settings
    found = certify(
        subject.classifier,
        subject.x[rows],
        subject.y[rows],
        draws=chosen.counted,
        alpha=ALPHA,
        batch_size=chosen.batch_size,
        seed=own_seed(chosen, rows),
    )
    predicted, radius = (tuple(a.tolist()) for a in (found.predicted, found.radius))
    return {"certified": as_json(Certified(chosen.counted, ALPHA, predicted, radius))}, {}


def own_seed(chosen: Settings, rows: slice) -> int:
    """That of a block, which does not depend on the others."""
    start: int = rows.start
    return (chosen.seed + start) % (SEEDS + 1)


def _attacked(
    subject: Target, eps: float, plan: Plan, rows: slice, progress: Progress, clean: bool
) -> Computed:
    """What a plan comes to on a block, which draws from a seed of its own.

    :param clean: whether to tell the predictions of the samples, too: once, not with every plan."""
    chosen, own = subject.settings, own_seed(subject.settings, rows)
    attack = SpikingAutoAttack(
        subject.classifier,
        norm=chosen.measure,
        eps=eps,
        plan=plan,
        sources=subject.sources if any(stage.transfer for stage in plan.stages) else (),
        batch_size=chosen.batch_size,
        seed=own,
        verbose=False,
        on_stage=progress.stage,
    )
    with nullcontext() if plan.name == chosen.decides else attack_errors(plan.stages[0].attack):
        attack.generate(subject.x[rows], subject.y[rows])
    outcome = attack.outcome
    assert outcome is not None
    told = {"trial": as_json(Trial.of(plan.name, eps, outcome)), "seconds": outcome.seconds}
    told |= {"clean": _predicted(subject, rows)} if clean else {}
    return told, {"adversarials": outcome.adversarials}


def _predicted(subject: Target, rows: slice) -> list[int]:
    """Classes of the samples of a block; -1 without a prediction."""
    with seeded(own_seed(subject.settings, rows)):
        batch_size = subject.settings.batch_size
        logits = subject.classifier.predict(subject.x[rows], batch_size=batch_size)
    found: list[int] = np.where(np.isnan(logits).any(1), -1, logits.argmax(1)).tolist()
    return found
