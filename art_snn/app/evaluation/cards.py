"""Findings as cards of a page: the same one at several budgets is one card."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from art_snn.app.evaluation.evaluation import Evaluation
from art_snn.app.evaluation.verdict import verdicts
from art_snn.app.evaluation.words import capital, count_words, short_budget
from art_snn.findings import Finding


@dataclass(frozen=True)
class Card:
    """One finding at all budgets at which it was made.

    :param place: what it is about, and where: "standard, at eps 0.05 and 0.1".
    :param sentences: what it means; one where it means the same at all budgets.
    :param remedies: what to do.
    :param figures: the budgets in words, and what was measured there.
    :param limits: when it counts as a finding, and who says so."""

    name: str
    severity: str
    place: str
    sentences: tuple[str, ...]
    remedies: tuple[str, ...]
    figures: tuple[tuple[str, str], ...]
    limits: tuple[str, ...]


def make_cards(evaluation: Evaluation) -> tuple[list[Card], list[Card]]:
    """Cards of findings that cast doubt on a number, and of the others; errors come first.

    Warnings cast none on 0 nor on exact numbers, errors do."""
    pairs = [(one, verdict.open) for verdict in verdicts(evaluation) for one in verdict.findings]
    doubts = [finding for finding, is_open in pairs if is_open or finding.severity == "error"]
    groups: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for finding in evaluation.findings:
        groups[finding.id, finding.about].append(finding)
    decisive: list[Card] = []
    others: list[Card] = []
    for group in groups.values():
        cards = decisive if any(finding in doubts for finding in group) else others
        cards.append(_make_card(evaluation.norm, group))
    return sorted(decisive, key=_rank), sorted(others, key=_rank)


def doubt_words(evaluation: Evaluation, decisive: Sequence[Card]) -> str:
    """Which numbers mean nothing or are upper bounds, and why, in a sentence."""
    if any(card.severity == "error" for card in decisive):
        return "Until each error below is mended, the numbers that it concerns mean nothing."
    budgets = [verdict.eps for verdict in verdicts(evaluation) if verdict.open]
    at = short_budget(evaluation.norm, *budgets) if budgets else ""
    bound = f"the robust accuracy {at} is an upper bound"
    if decisive:
        return f"{capital(bound)}: a better attack may break more samples."
    if not evaluation.provenance.examined:
        unknown = "No samples were examined for findings"
        return f"{unknown}, so {bound}." if budgets else f"{unknown}."
    examined = count_words(evaluation.provenance.examined, "examined sample")
    if evaluation.findings:
        return f"No finding on {examined} casts doubt on the verdict."
    return f"No findings on {examined}."


def _make_card(norm: str, group: Sequence[Finding]) -> Card:
    first = group[0]
    severity = "error" if any(one.severity == "error" for one in group) else "warning"
    figures = tuple((_where(norm, [one]), _measured(one)) for one in group)
    remedies = tuple(dict.fromkeys(one.remedy for one in group))
    limits = tuple(dict.fromkeys(one.limit for one in group))
    place = f"{first.about}, {_where(norm, group)}"
    sentences = _sentences(norm, group)
    return Card(capital(first.title), severity, place, sentences, remedies, figures, limits)


def _sentences(norm: str, group: Sequence[Finding]) -> tuple[str, ...]:
    """One sentence where all are the same, or else one for the budgets that share it, by name."""
    alike: dict[str, list[Finding]] = defaultdict(list)
    for finding in group:
        alike[finding.sentence or f"Measured: {_measured(finding)}."].append(finding)
    if len(alike) == 1:
        return tuple(alike)
    places = [_where(norm, some) for some in alike.values()]
    pairs = zip(places, alike, strict=True)
    return tuple(text if place in text else f"{capital(place)}: {text}" for place, text in pairs)


def _where(norm: str, group: Sequence[Finding]) -> str:
    budgets = [finding.eps for finding in group]
    some = sorted({eps for eps in budgets if eps is not None})
    return "at every budget" if None in budgets else short_budget(norm, *some)


def _measured(finding: Finding) -> str:
    return ", ".join(f"{name}\u00a0{value:.4g}" for name, value in finding.evidence.items())


def _rank(card: Card) -> int:
    return ("error", "warning").index(card.severity)
