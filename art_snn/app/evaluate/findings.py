"""Findings about the network, about its gradients, and about what the attacks achieved."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

from art.attacks.evasion import SquareAttack

from art_snn.app.evaluate.attacks import attack_errors, with_rules
from art_snn.app.evaluate.target import Target, build_attack
from art_snn.app.report.evaluation import Trial
from art_snn.attacks import FLIPS, SHIFT, Outcome, Plan
from art_snn.findings import (
    OTHER_RULES,
    UPPER_BOUND,
    Finding,
    Remedy,
    Subject,
    examine,
    examine_attack,
    examine_outcome,
    examine_strength,
)
from art_snn.findings.predictions import odd_budget, without_answer
from art_snn.findings.strength import BEYOND
from art_snn.gradients import Gradient, short_name
from art_snn.seeding import seeded


def examinations(target: Target) -> Mapping[str, Callable[[], list[Finding]]]:
    """What is examined before the attacks, by what it is about, in the order of reading."""
    settings = target.settings
    if not settings.examined:
        return {}
    parts = {"network": partial(_examine_network, target)}
    by_steps = settings.measure not in (FLIPS, SHIFT)
    for name, rule in examined_rules(target) if by_steps else ():
        parts[f"{name} gradients"] = partial(_examine_gradients, target, rule)
    for plan in examined_attacks(target):
        parts[plan.name] = partial(_examine_attack, target, plan)
    return parts


def _examine_network(target: Target) -> list[Finding]:
    """All of it at the first budget, and at every other one whether it fits the range."""
    model, arguments = target.classifier.model, _arguments(target)
    rule = next((rule for _, rule in examined_rules(target)), model.rule)
    subject = Subject(target.classifier, **arguments)
    others = [odd_budget(replace(subject, eps=eps)) for eps in target.settings.budgets[1:]]
    with model.using(rule):
        findings = examine(target.classifier, **arguments)
    return [*findings, *(finding for finding in others if finding is not None)]


def _examine_gradients(target: Target, rule: Gradient) -> list[Finding]:
    classifier, sources = target.classifier, target.sources
    with classifier.model.using(rule):
        return examine_strength(classifier, sources=sources, **_arguments(target))


def _examine_attack(target: Target, plan: Plan) -> list[Finding]:
    """The attack runs once more, and is watched."""
    (stage,), model, seed = plan.stages, target.classifier.model, target.settings.seed
    with model.using(stage.rule or model.rule), seeded(seed), attack_errors(stage.attack):
        return examine_attack(build_attack(target, stage), **_arguments(target))


def _arguments(target: Target) -> dict[str, Any]:
    """The first samples at the first budget."""
    settings, count = target.settings, target.settings.examined
    samples = {"x": target.x[:count], "y": target.y[:count]}
    budget = {"norm": settings.measure, "eps": settings.budgets[0]}
    return samples | budget | {"batch_size": settings.batch_size, "seed": settings.seed}


def examined_rules(target: Target) -> list[tuple[str, Gradient]]:
    """Rules whose gradients are examined: the first one of the plan, or those of the attack.

    An attack alone that takes no gradient has none."""
    settings = target.settings
    if not settings.deciding_plan:
        (alone,) = settings.attack_plan(settings.budgets[0]).stages
        return list(settings.attack_rules.items()) if alone.by_gradients else []
    stages = target.select_stages(settings.plans(settings.budgets[0])[-1]).stages
    return [(short_name(stage.rule), stage.rule) for stage in stages if stage.rule][:1]


def examined_attacks(target: Target) -> list[Plan]:
    """The attack next to the plan, with each rule, where it takes a budget and the samples."""
    settings = target.settings
    plan = settings.attack_plan(settings.budgets[0])
    (stage,) = plan.stages
    images = target.x.ndim == 4 or not issubclass(stage.attack, SquareAttack)
    fits = settings.measure != SHIFT and stage.kind.bounded and images
    return list(with_rules(plan, settings.attack_rules)) if fits else []


def find_searches(plans: Iterable[Plan]) -> set[str]:
    """The ids of the stages that ask no network for gradients."""
    return {one.id for plan in plans for one in plan.stages if not one.kind.by_gradients}


def trial_findings(trials: Sequence[Trial], searches: Collection[str]) -> Iterator[Finding]:
    """Reasons to doubt the attacks that their own results give.

    :param searches: ids of the stages that ask for no gradient."""
    for trial in trials:
        findings = [*_unanswered(trial), *_searched(trial, searches)]
        yield from (replace(one, about=trial.name, eps=trial.eps) for one in findings)
    for name in dict.fromkeys(trial.name for trial in trials):
        same = sorted((t for t in trials if t.name == name), key=lambda t: t.eps)
        # Stages suit at every budget, or at none.
        findings = [*examine_outcome(same[0].outcome), *_falling(same)]
        yield from (replace(finding, about=name) for finding in findings)


def _unanswered(trial: Trial) -> Iterator[Finding]:
    stage = trial.outcome.stage
    count = int((stage == Outcome.UNANSWERED).sum())
    if count:
        yield without_answer(count, len(stage))


def _searched(trial: Trial, searches: Collection[str]) -> Iterator[Finding]:
    """A search without gradients broke what the gradients before it left."""
    counts = {stage: count for stage, count in trial.outcome.broken_by.items() if stage in searches}
    samples, count = len(trial.outcome.stage), sum(counts.values())
    if len(trial.outcome.stages) > len(counts) and count > BEYOND * samples:
        yield Finding(
            "search-found-more",
            "a search found more than the gradients",
            {"samples": count, "of": samples},
            f"if it breaks more than {BEYOND:g} of all samples (AutoAttack: Croce and Hein, ICML "
            "2020)",
            (OTHER_RULES, UPPER_BOUND),
            sentence=f"A search without gradients broke {count} of {samples} samples at eps "
            f"{trial.eps:.4g} that the gradient attacks before it had missed.",
        )


def _falling(trials: Sequence[Trial]) -> Iterator[Finding]:
    """A larger budget breaks fewer samples than a smaller one, whose ball it holds."""
    for small, large in pairwise(trials):
        fewer, more = (int(t.robustness.flipped.sum()) for t in (large, small))
        if more - fewer > BEYOND * len(small.outcome.stage):
            broke = f"{fewer} at eps {large.eps:.4g}, but {more} at eps {small.eps:.4g}"
            yield Finding(
                "larger-budget-breaks-less",
                "a larger budget breaks less",
                {"eps": small.eps, "broken": more, "larger eps": large.eps, "broken then": fewer},
                f"if the difference is above {BEYOND:g} of all samples (ours): a larger ball holds "
                "the smaller one",
                (
                    Remedy(
                        "The verdict counts what a smaller budget broke. Give the attack more or "
                        "other steps at the larger one."
                    ),
                ),
                sentence=f"Of {len(small.outcome.stage)} samples the attack broke {broke}, which "
                "allows smaller changes only.",
                eps=large.eps,
            )
