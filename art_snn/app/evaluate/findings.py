"""Findings about the network, about its gradients, and about what the attacks achieved."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy import ndarray

from art_snn import zoo
from art_snn.app.architecture import ZOO
from art_snn.app.evaluate.blocks import Store
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluation.record import Trial
from art_snn.app.evaluation.verdict import count_words, describe_budgets
from art_snn.app.results import booleans
from art_snn.attacks import SHIFT, Outcome, Stage, attack_errors
from art_snn.checks import ArgumentError
from art_snn.findings import (
    OTHER_RULES,
    Finding,
    Remedy,
    Subject,
    examine,
    examine_attack,
    examine_outcome,
    examine_strength,
)
from art_snn.findings.examination import odd_budget, without_answer
from art_snn.findings.finding import BY_CHANCE, SEARCH, advise, exceeds, list_samples
from art_snn.gradients import Gradient, spell
from art_snn.seeding import fix_seed
from art_snn.zoo.entry import ZooEntry


def collect_findings(
    target: Target, store: Store, attacked: Sequence[Trial], trials: Sequence[Trial]
) -> Iterator[Finding]:
    """All findings of an evaluation, in the order of reading.

    :param attacked: the trials without the exact search; trials: with it."""
    for place, _ in enumerate(list_examinations(target)):
        yield from store.read(f"findings-{place}", list[Finding])
    stages = [stage for _, plan in target.plans for stage in plan.stages]
    yield from judge_trials(attacked, {stage.id for stage in stages if stage.searches})
    yield from judge_target(target, trials)
    yield from _judge_decisions(target.measure.id, trials)


def list_examinations(target: Target) -> Mapping[str, Callable[[], list[Finding]]]:
    """Examinations before the attacks, by what they are about, in the order of reading."""
    settings = target.settings
    if not settings.examined:
        return {}
    # What is broken at the smallest budget is broken at every budget.
    eps = min(target.budgets)
    singles = [*target.plan_singles(eps)]
    stage = singles[0].stages[0]
    # The rules of the attack; one that takes no gradient has none.
    rules = target.rules if stage.by_gradients else {}
    looked = [*rules]
    if target.deciding is not None:
        # Those of the plan with which it attacks every sample; it begins with the first.
        stages = target.select_stages(target.deciding).stages
        rules = {
            spell(one.rule): one.rule for one in stages if one.rule and one.within is None
        }
        looked = [*rules][:1]

    arguments: dict[str, Any] = {
        "x": target.x[: settings.examined],
        "y": target.y[: settings.examined],
        "norm": target.measure,
        "eps": eps,
        "batch_size": settings.batch_size,
        "seed": settings.seed,
    }

    several = [*rules.values()] or [target.classifier.model.rule]
    parts = {"network": partial(_examine_network, target, several, arguments)}
    for name in looked:
        parts[f"{name} gradients"] = partial(
            _examine_gradients, target, rules[name], arguments
        )
    # An attack is examined where it takes a budget.
    # Without a name it is there for comparison alone.
    named = settings.attack is not None and target.measure != SHIFT
    for plan in singles if named and stage.bounded else ():
        parts[plan.name] = partial(_examine_single, target, plan.stages[0], arguments)
    return parts


def _examine_network(
    target: Target, rules: Sequence[Gradient], arguments: dict[str, Any]
) -> list[Finding]:
    """The findings at the smallest budget, and at every other one whether it fits the range."""
    classifier = target.classifier
    first, *more = rules
    with classifier.model.using(first):
        findings = examine(classifier, rules=more, **arguments)
    subject = Subject(classifier, **arguments)
    others = [odd_budget(replace(subject, eps=eps)) for eps in sorted(target.budgets)[1:]]
    return [*findings, *filter(None, others)]


def _examine_gradients(
    target: Target, rule: Gradient, arguments: dict[str, Any]
) -> list[Finding]:
    """How strong the gradients of a rule are."""
    try:
        with target.classifier.model.using(rule):
            return examine_strength(
                target.classifier, sources=target.sources, **arguments
            )
    except ArgumentError as error:  # Not every sample suits the attack of the norm.
        if error.argument != "x":
            raise
        return [_not_examined(target, error.complaint)]


def _examine_single(
    target: Target, stage: Stage, arguments: dict[str, Any]
) -> list[Finding]:
    """The attack runs once more, and is watched."""
    classifier = target.classifier
    how = [arguments[name] for name in ("norm", "eps", "batch_size", "seed")]
    rule = stage.rule or classifier.model.rule
    with (
        classifier.model.using(rule),
        fix_seed(target.settings.seed),
        attack_errors(stage),
    ):
        return examine_attack(stage.instantiate(classifier, *how), **arguments)


def _not_examined(target: Target, reason: str) -> Finding:
    """The gradients were not examined in the norm of the evaluation."""
    return Finding(
        "not-examined",
        "gradients that were not examined",
        {"samples": 0, "of": len(target.x)},
        "if no sample was examined in the norm of the evaluation (ours)",
        advise(
            "Examine some samples, which suit the attack of that norm: 100 are usual."
        ),
        about="gradients",
        sentence=f"0 of {len(target.x)} samples were examined for gradients that are too weak: "
        f"{reason.rstrip('.')}.",
    )


def _count(which: ndarray) -> int:
    """How many samples these are, bool (N,)."""
    return int(np.count_nonzero(which))


def judge_trials(trials: Sequence[Trial], searches: Collection[str]) -> Iterator[Finding]:
    """Reasons to doubt the attacks that their own results give.

    :param searches: ids of the stages that ask for no gradient."""
    for trial in trials:
        stage = trial.outcome.stage
        unanswered = _count(stage == Outcome.UNANSWERED)
        if unanswered:
            finding = without_answer(unanswered, len(stage))
            yield replace(finding, about=trial.name, eps=trial.eps)
        yield from _judge_searches(trial, searches)
    for name in dict.fromkeys(trial.name for trial in trials):
        same = [trial for trial in trials if trial.name == name]
        same.sort(key=lambda trial: trial.eps)
        # Stages suit at every budget, or at none.
        for finding in examine_outcome(same[0].outcome):
            yield replace(finding, about=name)
        yield from _compare_budgets(same)


def _judge_searches(trial: Trial, searches: Collection[str]) -> Iterator[Finding]:
    """A search without gradients broke what the gradients before it left."""
    stage = trial.outcome.stage
    stages = trial.outcome.stages
    others = [one.label for one in stages if one.id not in searches]
    places = [place for place, one in enumerate(stages) if one.id in searches]
    broken = np.isin(stage, places)
    count = _count(broken)
    samples = len(stage)
    if others and exceeds(count, samples):
        yield Finding(
            "search-found-more",
            "a search found more than the gradients",
            {"samples": count, "of": samples},
            f"if it breaks {BY_CHANCE}",
            (OTHER_RULES, SEARCH),
            about=trial.name,
            sentence=f"A search without gradients broke {count} of {samples} samples at eps "
            f"{trial.eps:.4g} that the gradient attacks before it, from {others[0]} on, had "
            f"missed. {list_samples(broken)}",
            eps=trial.eps,
        )


def _compare_budgets(trials: Sequence[Trial]) -> Iterator[Finding]:
    """A larger budget breaks fewer samples than a smaller one, whose ball it holds."""
    for small, large in pairwise(trials):
        fewer = large.robustness.flipped
        more = small.robustness.flipped
        few = _count(fewer)
        many = _count(more)
        if exceeds(many - few, len(more)):
            yield Finding(
                "larger-budget-breaks-less",
                "a larger budget breaks less",
                {
                    "eps": small.eps,
                    "broken": many,
                    "larger eps": large.eps,
                    "broken then": few,
                },
                f"if the difference is {BY_CHANCE}: a larger ball holds the smaller one",
                advise(
                    "The verdict counts what a smaller budget broke. Give the attack more or "
                    "other steps at the larger one."
                ),
                about=large.name,
                sentence=f"Of {len(more)} samples the attack broke {few} at eps {large.eps:.4g}, "
                f"but {many} at eps {small.eps:.4g}, which allows smaller changes only. "
                f"{list_samples(more & ~fewer)}",
                eps=large.eps,
            )


def judge_target(target: Target, trials: Sequence[Trial]) -> Iterator[Finding]:
    """No sample was examined; samples stand that the record of the zoo has broken."""
    if not target.settings.examined:
        yield _not_examined(target, "no samples are to be examined")
    entry = _find_record(target)
    if entry is None:
        return
    norm = target.measure.id
    for eps in target.budgets:
        records = [
            one.standing for one in entry.standard if one.norm == norm and one.eps <= eps
        ]
        count = min(map(len, (*records, target.x)))

        here = np.logical_and.reduce(
            [
                trial.outcome.stage[:count] == Outcome.STANDING
                for trial in trials
                if trial.eps <= eps
            ]
        )
        there = [booleans(record[:count]) for record in records]
        broken = here & ~np.logical_and.reduce([here, *there])
        if not broken.any():
            continue
        left = _count(here)
        more = _count(broken)
        remedy = "art-snn report --board counts what either broke."
        if target.settings.deciding_plan != "standard":
            remedy = f"Run --plan standard; {remedy}"
        yield Finding(
            "record-broke-more",
            "a record broke more",
            {"left": left, "broken by the record": more, "of": count},
            "if a sample stands that the record of the zoo has broken within the budget (ours)",
            advise(remedy),
            about=f"zoo:{entry.name}",
            sentence=f"Of the first {count} samples this evaluation left {left} "
            f"{describe_budgets(norm, eps)}, and the record of zoo:{entry.name} broke {more} of "
            f"these. {list_samples(broken)}",
            eps=eps,
        )


def _find_record(target: Target) -> ZooEntry | None:
    """The network of the zoo as it is, where the first samples are those of its records."""
    name = target.settings.model or ""
    if not name.startswith(ZOO) or target.subject.architecture.given:
        return None
    entry = zoo.entry(name.removeprefix(ZOO))
    with suppress(FileNotFoundError, ArgumentError):  # Data may be named, and be missing.
        x = zoo.samples(entry.data)[0][: len(target.x)]
        return entry if np.array_equal(x, target.x[: len(x)]) else None
    return None


def _judge_decisions(norm: str, trials: Sequence[Trial]) -> Iterator[Finding]:
    """The search broke samples that the plan had left."""
    for trial in trials:
        broken = trial.decided
        count = _count(broken)
        if not count:
            continue
        left = count + _count(trial.outcome.stage == Outcome.STANDING)
        yield Finding(
            "exact-search-broke-more",
            "the exact search broke more",
            {"left": left, "broken by the search": count, "of": len(broken)},
            "if it breaks a sample that the plan left (ours)",
            (
                OTHER_RULES,
                Remedy("The verdict counts them; more seconds may break open samples."),
            ),
            about=trial.name,
            sentence=f"{trial.name} left {count_words(left, 'sample')} "
            f"{describe_budgets(norm, trial.eps)}, and the exact search broke {count} of these. "
            f"{list_samples(broken)}",
            eps=trial.eps,
        )
