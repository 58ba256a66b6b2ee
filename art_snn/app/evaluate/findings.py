"""Findings about the network, about its gradients, and about what the attacks achieved."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from art_snn.app.evaluate.target import Target
from art_snn.app.report.evaluation import Trial
from art_snn.app.report.verdict import describe_budgets
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
from art_snn.findings.finding import BY_CHANCE, SEARCH, exceeds, list_samples
from art_snn.gradients import Gradient, spell
from art_snn.seeding import seeded


def examinations(target: Target) -> Mapping[str, Callable[[], list[Finding]]]:
    """Examinations before the attacks, by what they are about, in the order of reading."""
    if not target.settings.examined:
        return {}
    settings, classifier = target.settings, target.classifier
    model = classifier.model
    seed, count = settings.seed, settings.examined
    # What is broken there is broken at every budget.
    eps, *larger = sorted(target.budgets)
    single = target.single_stage(eps)
    # Those of the attack; one that takes no gradient has none.
    rules = list(target.rules.items()) if single.by_gradients else []
    looked = rules
    if target.deciding is not None:
        # Those of the plan with which it attacks every sample; it begins with the first.
        stages = target.select_stages(target.deciding).stages
        followed = [one.rule for one in stages if one.rule and one.within is None]
        rules = [(spell(rule), rule) for rule in dict.fromkeys(followed)]
        looked = rules[:1]
    arguments: dict[str, Any] = {
        "x": target.x[:count],
        "y": target.y[:count],
        "norm": target.measure,
        "eps": eps,
        "batch_size": settings.batch_size,
        "seed": seed,
    }

    def examine_network() -> list[Finding]:
        """All of it at the smallest budget, and at every other one whether it fits the range."""
        subject = Subject(classifier, **arguments)
        others = [odd_budget(replace(subject, eps=eps)) for eps in larger]
        first, *more = [rule for _, rule in rules] or [model.rule]
        with model.using(first):
            findings = examine(classifier, rules=more, **arguments)
        return [*findings, *(finding for finding in others if finding is not None)]

    def examine_gradients(rule: Gradient) -> list[Finding]:
        try:
            with model.using(rule):
                return examine_strength(classifier, sources=target.sources, **arguments)
        except ArgumentError as error:  # Not every sample suits the attack of the norm.
            if error.argument != "x":
                raise
            return [_not_examined(target, error.complaint)]

    def examine_single(stage: Stage) -> list[Finding]:
        """The attack runs once more, and is watched."""
        how = (target.measure, eps, settings.batch_size, seed)
        with model.using(stage.rule or model.rule), seeded(seed), attack_errors(stage):
            return examine_attack(stage.instantiate(classifier, *how), **arguments)

    parts = {"network": examine_network}
    for name, rule in looked:
        parts[f"{name} gradients"] = partial(examine_gradients, rule)
    # An attack is examined where it takes a budget.
    fits = target.measure != SHIFT and single.bounded
    for plan in target.single_plans(eps) if fits else ():
        parts[plan.name] = partial(examine_single, *plan.stages)
    return parts


def _not_examined(target: Target, reason: str) -> Finding:
    """The gradients were not examined in the norm of the evaluation."""
    return Finding(
        "not-examined",
        "gradients that were not examined",
        {"samples": 0, "of": len(target.x)},
        "if no sample was examined in the norm of the evaluation (ours)",
        (Remedy("Examine some samples, which suit the attack of that norm: 100 are usual."),),
        about="gradients",
        sentence=f"0 of {len(target.x)} samples were examined for gradients that are too weak: "
        f"{reason.rstrip('.')}.",
    )


def trial_findings(trials: Sequence[Trial], searches: Collection[str]) -> Iterator[Finding]:
    """Reasons to doubt the attacks that their own results give.

    :param searches: ids of the stages that ask for no gradient."""
    for trial in trials:
        unanswered = int((trial.outcome.stage == Outcome.UNANSWERED).sum())
        findings = [without_answer(unanswered, len(trial.outcome.stage))] if unanswered else []
        findings += _searched(trial, searches)
        yield from (replace(one, about=trial.name, eps=trial.eps) for one in findings)
    for name in dict.fromkeys(trial.name for trial in trials):
        same = sorted((t for t in trials if t.name == name), key=lambda t: t.eps)
        # Stages suit at every budget, or at none.
        findings = [*examine_outcome(same[0].outcome), *_falling(same)]
        yield from (replace(finding, about=name) for finding in findings)


def _searched(trial: Trial, searches: Collection[str]) -> Iterator[Finding]:
    """A search without gradients broke what the gradients before it left."""
    stage, stages = trial.outcome.stage, trial.outcome.stages
    others = [one.label for one in stages if one.id not in searches]
    broken = np.isin(stage, [n for n, one in enumerate(stages) if one.id in searches])
    count = int(broken.sum())
    samples = len(stage)
    if others and exceeds(count, samples):
        yield Finding(
            "search-found-more",
            "a search found more than the gradients",
            {"samples": count, "of": samples},
            f"if it breaks {BY_CHANCE}",
            (OTHER_RULES, SEARCH),
            sentence=f"A search without gradients broke {count} of {samples} samples at eps "
            f"{trial.eps:.4g} that the gradient attacks before it, from {others[0]} on, had "
            f"missed. {list_samples(broken)}",
        )


def _falling(trials: Sequence[Trial]) -> Iterator[Finding]:
    """A larger budget breaks fewer samples than a smaller one, whose ball it holds."""
    for small, large in pairwise(trials):
        fewer, more = large.robustness.flipped, small.robustness.flipped
        few, many = int(fewer.sum()), int(more.sum())
        if exceeds(many - few, len(more)):
            broke = f"{few} at eps {large.eps:.4g}, but {many} at eps {small.eps:.4g}"
            evidence = {"eps": small.eps, "broken": many, "larger eps": large.eps}
            yield Finding(
                "larger-budget-breaks-less",
                "a larger budget breaks less",
                evidence | {"broken then": few},
                f"if the difference is {BY_CHANCE}: a larger ball holds the smaller one",
                (
                    Remedy(
                        "The verdict counts what a smaller budget broke. Give the attack more or "
                        "other steps at the larger one."
                    ),
                ),
                sentence=f"Of {len(more)} samples the attack broke {broke}, which allows smaller "
                f"changes only. {list_samples(more & ~fewer)}",
                eps=large.eps,
            )


def target_findings(target: Target, trials: Sequence[Trial]) -> Iterator[Finding]:
    """No sample was examined; samples stand that the record of the zoo has broken."""
    if not target.settings.examined:
        yield _not_examined(target, "no samples are to be examined")
    entry = target.recorded
    norm = str(target.settings.norm)
    if entry is None:
        return
    for eps in target.budgets:
        records = [n.standing for n in entry.standard if n.norm == norm and n.eps <= eps]
        stages = [trial.outcome.stage for trial in trials if trial.eps <= eps]
        count = min(map(len, (*records, target.x)))
        here = np.logical_and.reduce([s[:count] == Outcome.STANDING for s in stages])
        broken = here & np.logical_or.reduce([~here, *(~booleans(r[:count]) for r in records)])
        if broken.any():
            left, more = int(here.sum()), int(broken.sum())
            remedy = "art-snn report --board counts what either broke."
            if target.settings.deciding_plan != "standard":
                remedy = f"Run --plan standard; {remedy}"
            yield Finding(
                "record-broke-more",
                "a record broke more",
                {"left": left, "broken by the record": more, "of": count},
                "if a sample stands that the record of the zoo has broken within the budget (ours)",
                (Remedy(remedy),),
                about=f"zoo:{entry.name}",
                sentence=f"Of the first {count} samples this evaluation left {left} "
                f"{describe_budgets(norm, eps)}, and the record of zoo:{entry.name} broke {more} "
                f"of these. {list_samples(broken)}",
                eps=eps,
            )
