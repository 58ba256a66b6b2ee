"""Remedies of findings where a plan of attacks decides, which has applied some of them already."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from art_snn.app.evaluate.target import Target
from art_snn.app.report.verdict import join_words
from art_snn.findings import Finding, remedies
from art_snn.findings.predictions import RANDOM
from art_snn.gradients import Native


def without_applied(target: Target, findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings, whose remedies say what the plan has done instead of recommending it."""
    work = _applied(target)
    return tuple(_without(finding, work) for finding in findings)


def _without(finding: Finding, work: Mapping[str, str]) -> Finding:
    remedy = finding.remedy
    applied = [part for part in work if part in remedy]
    if not applied:
        return finding
    for part in applied:
        remedy = remedy.replace(part, "")
    start = f"The plan already {join_words([work[part] for part in applied])}."
    # Plans handle chance: it makes their number no upper bound.
    last = "" if finding.name == RANDOM or remedies.UPPER in remedy else remedies.UPPER
    return replace(finding, remedy=" ".join([start, *remedy.split(), *last.split()]))


def _applied(target: Target) -> dict[str, str]:
    """The remedies that the plan that decides has applied to the network, and what it did."""
    settings = target.settings
    if not settings.decides:
        return {}
    stages = target.suited(settings.plans(settings.budgets[0])[-1]).stages
    rules = {repr(stage.rule) for stage in stages if stage.rule}
    searches = [stage.attack.__name__ for stage in stages if not stage.kind.by_gradients]
    transfers = target.sources and [stage for stage in stages if stage.transfer]
    losses = {stage.options.get("loss_type") for stage in stages}
    work = {
        remedies.OTHER_RULES: "used several gradient rules" if len(rules) > 1 else "",
        remedies.SEARCH: f"ran {searches[-1]}" if searches else "",
        remedies.SOURCES: "attacked the sources" if transfers else "",
        remedies.NATIVE: "used the network's own gradient" if repr(Native()) in rules else "",
        remedies.MARGIN: "attacked the margin of the logits" if "margin" in losses else "",
        remedies.STEPS: "ran further attacks" if len(stages) > 1 else "",
        remedies.DRAWS: "averaged gradients over draws and let a majority decide",
    }
    return {part: words for part, words in work.items() if words}
