"""Everything of an evaluation that one process computes by itself."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from art_snn.attacks import FLIPS, SHIFT, Plan
from art_snn.checks import SEEDS
from art_snn.experiments.evaluate import reservations
from art_snn.experiments.evaluate.blocks import Computed, Unit
from art_snn.experiments.evaluate.progress import Progress, ToldAutoAttack
from art_snn.experiments.evaluate.subject import Subject
from art_snn.experiments.evaluation import Reservation, Trial
from art_snn.experiments.resume import plain
from art_snn.seeding import seeded


def examinations(subject: Subject) -> list[Unit]:
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
    if reservations.watchable(subject):
        for plan in chosen.beside(chosen.eps[0]).plans(chosen.rules):
            looks[plan.name] = partial(reservations.of_attack, subject, count, plan)
    return [
        Unit(f"findings-{place}", count, f"Findings about {about}", partial(_examined, look))
        for place, (about, look) in enumerate(looks.items())
    ]


def _examined(look: Callable[[], list[Reservation]], _: Progress) -> Computed:
    return {"reservations": plain(look())}, {}


def starts(subject: Subject) -> range:
    """The first samples of the blocks."""
    return range(0, len(subject.x), subject.settings.block)


def of_block(place: int, start: int) -> str:
    """Name of the unit of a plan, by its place among all, and a block."""
    return f"attack-{place}-{start}"


def attacks(subject: Subject) -> Iterator[Unit]:
    """Every plan at every budget on every block."""
    for place, (eps, plan) in enumerate(subject.plans):
        for start in starts(subject):
            rows = slice(start, min(start + subject.settings.block, len(subject.x)))
            words = f"{plan.name}, eps {eps:.4g}, samples {start} to {rows.stop - 1}"
            compute = partial(_attacked, subject, eps, plan, rows)
            yield Unit(of_block(place, start), rows.stop - start, words, compute)


def _attacked(
    subject: Subject, eps: float, plan: Plan, rows: slice, progress: Progress
) -> Computed:
    """What a plan comes to on a block, which draws from a seed of its own."""
    chosen, x, y = subject.settings, subject.x[rows], subject.y[rows]
    own = (chosen.seed + rows.start) % (SEEDS + 1)
    with seeded(own):
        clean = subject.classifier.predict(x, batch_size=chosen.batch_size)
    attack = ToldAutoAttack(
        subject.classifier,
        norm=chosen.measure,
        eps=eps,
        plan=plan,
        sources=subject.sources if any(stage.transfer for stage in plan.stages) else (),
        batch_size=chosen.batch_size,
        seed=own,
        verbose=False,
    )
    attack.progress = progress
    attack.generate(x, y)
    outcome = attack.outcome
    assert outcome is not None
    predicted = np.where(np.isnan(clean).any(1), -1, clean.argmax(1))
    told = {"trial": plain(Trial.of(plan.name, eps, outcome)), "seconds": outcome.seconds}
    return told | {"clean": predicted.tolist()}, {"adversarials": outcome.adversarials}
