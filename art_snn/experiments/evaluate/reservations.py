"""Findings about the network, about its gradients, and about what the attacks came to."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from art.attacks.evasion import SquareAttack

from art_snn.attacks import SHIFT, Outcome, Plan
from art_snn.experiments.evaluate.attacks import attack_errors, with_rules
from art_snn.experiments.evaluate.settings import Settings
from art_snn.experiments.evaluate.subject import Target, bare
from art_snn.experiments.evaluation import Reservation, Trial
from art_snn.findings import Finding, examine, examine_attack, examine_outcome, examine_strength
from art_snn.findings.controls import BEYOND
from art_snn.findings.predictions import without_answer
from art_snn.gradients import Gradient, short_name
from art_snn.seeding import seeded

NETWORK = "network"


def reserved(about: str, findings: Iterable[Finding]) -> list[Reservation]:
    """Findings, and what they are about."""
    return [
        Reservation(about, one.name, dict(one.evidence), one.limit, one.remedy) for one in findings
    ]


def of_network(subject: Target, count: int) -> list[Reservation]:
    """What speaks against any number, before an attack.

    :param count: first samples to look at, as in the other functions."""
    chosen, model = subject.settings, subject.classifier.model
    rule = next((rule for _, rule in examined_rules(subject)), model.rule)
    x, y = subject.x[:count], subject.y[:count]
    with model.using(rule):
        return reserved(NETWORK, examine(subject.classifier, x, y, **_how(chosen)))


def of_gradients(subject: Target, count: int, name: str, rule: Gradient) -> list[Reservation]:
    """What speaks against the gradients of a rule."""
    x, y = subject.x[:count], subject.y[:count]
    with subject.classifier.model.using(rule):
        how = _how(subject.settings) | {"sources": subject.sources}
        return reserved(f"gradients by {name}", examine_strength(subject.classifier, x, y, **how))


def of_attack(subject: Target, count: int, plan: Plan) -> list[Reservation]:
    """What speaks against an attack by its name: it runs once more, and is watched."""
    (stage,), chosen, model = plan.stages, subject.settings, subject.classifier.model
    x, y = subject.x[:count], subject.y[:count]
    with model.using(stage.rule or model.rule), seeded(chosen.seed), attack_errors(stage.attack):
        return reserved(plan.name, examine_attack(bare(subject, stage), x, y, **_how(chosen)))


def examined_rules(subject: Target) -> list[tuple[str, Gradient]]:
    """Rules whose gradients are examined: the first one of the plan, or those of the attack.

    An attack alone that takes no gradient has none."""
    chosen = subject.settings
    if not chosen.decides:
        (alone,) = chosen.beside(chosen.eps[0]).stages
        return list(chosen.attack_rules.items()) if alone.by_gradients else []
    stages = subject.suited(chosen.plans(chosen.eps[0])[-1]).stages
    return [(short_name(stage.rule), stage.rule) for stage in stages if stage.rule][:1]


def examined_attacks(subject: Target) -> list[Plan]:
    """The attack next to the plan, by every rule, where it takes a budget and the samples."""
    chosen = subject.settings
    plan = chosen.beside(chosen.eps[0])
    kind, whole = plan.stages[0].attack, chosen.measure != SHIFT and plan.stages[0].kind.bounded
    images = subject.x.ndim == 4 or not issubclass(kind, SquareAttack)
    return list(with_rules(plan, chosen.attack_rules)) if whole and images else []


def find_searches(plans: Iterable[Plan]) -> set[str]:
    """The stages that ask no network for gradients, in words."""
    return {str(one) for plan in plans for one in plan.stages if not one.kind.by_gradients}


def _how(chosen: Settings) -> dict[str, Any]:
    """Findings are looked for at the first budget."""
    known = {"norm": chosen.measure, "eps": chosen.eps[0]}
    return known | {"batch_size": chosen.batch_size, "seed": chosen.seed}


def of_trials(trials: Iterable[Trial], searches: Collection[str]) -> Iterator[Reservation]:
    """What the attacks themselves speak against.

    :param searches: stages that ask for no gradient, in words."""
    every = list(trials)
    for trial in every:
        yield from _unanswered(trial)
        yield from _searched(trial, searches)
    for name in dict.fromkeys(trial.name for trial in every):
        same = sorted((t for t in every if t.name == name), key=lambda t: t.eps)
        # Stages suit at every budget, or at none.
        yield from reserved(name, examine_outcome(same[0].outcome))
        yield from _falling(same)


def _unanswered(trial: Trial) -> Iterator[Reservation]:
    count = trial.stage.count(Outcome.UNANSWERED)
    if count:
        finding = without_answer(count, len(trial.stage), eps=trial.eps)
        yield from reserved(trial.name, [finding])


def _searched(trial: Trial, searches: Collection[str]) -> Iterator[Reservation]:
    """A search without gradients broke what the gradients before it left."""
    counts = {stage: count for stage, count in trial.outcome.broken_by.items() if stage in searches}
    count, several = sum(counts.values()), len(trial.stages) > len(counts)
    if several and count > BEYOND * len(trial.stage):
        yield Reservation(
            trial.name,
            "a search found more than the gradients",
            {"samples": count, "of": len(trial.stage), "eps": trial.eps},
            f"above {BEYOND:g} of all samples: AutoAttack (Croce and Hein, ICML 2020)",
            "The gradients are masked in part: take other rules, or more steps, and report the "
            "number as an upper bound.",
        )


def _falling(trials: Sequence[Trial]) -> Iterator[Reservation]:
    """A larger budget breaks less than a smaller one, whose ball it holds."""
    for small, large in pairwise(trials):
        fewer, more = (int(t.robustness.flipped.sum()) for t in (large, small))
        if more - fewer > BEYOND * len(small.stage):
            yield Reservation(
                small.name,
                "a larger budget breaks less",
                {"eps": small.eps, "flipped": more, "larger eps": large.eps, "flipped then": fewer},
                f"above {BEYOND:g} of all samples, whose larger balls hold the smaller ones: ours",
                "The attack is too weak at the larger budget: more steps, other steps, or a plan.",
            )
