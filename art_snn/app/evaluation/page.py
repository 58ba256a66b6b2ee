"""One page that shows everything: it loads nothing, and can be read without its one script."""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any
from urllib.parse import urljoin

from art_snn.app.evaluation import rows
from art_snn.app.evaluation.cards import doubt_words, make_cards
from art_snn.app.evaluation.drawings import draw_sections, draw_side_by_side
from art_snn.app.evaluation.items import ReportItem
from art_snn.app.evaluation.pictures import make_grid
from art_snn.app.evaluation.provenance import digest_rows, setting_rows
from art_snn.app.evaluation.side import labels, paired_table, pairs, verdict_table
from art_snn.app.evaluation.template import environment
from art_snn.app.evaluation.verdict import plain_words, verdicts
from art_snn.app.evaluation.words import capital, spelt

PAGE = "report.html"
MOST_SAMPLES = 1000
"""Rows of the longest table; of more samples the rest is in the JSON."""
MOST_DIFFERING = 500
UNKNOWN = "/OWNER/"
"""Stands in an address that nobody has filled in yet."""


def render_page(items: Sequence[ReportItem]) -> str:
    """One evaluation, or several side by side, as one page of HTML."""
    template = environment().get_template("report.html.j2")
    numbered = enumerate(zip(items, labels(items), strict=True), 1)
    views = [_view(item, label, number) for number, (item, label) in numbered]
    several = _side_by_side(items) if len(items) > 1 else None
    address = documentation()
    return template.render(views=views, several=several, address=address, page_address=page_address)


def _view(item: ReportItem, label: str, number: int) -> Mapping[str, Any]:
    """All that the page shows of one evaluation."""
    evaluation, name = item.evaluation, f"r{number}"
    results, (decisive, others) = verdicts(evaluation), make_cards(evaluation)
    differ, alike = rows.difference_rows(evaluation)
    total = len(evaluation.samples)
    return {
        "id": name,
        "label": label,
        "item": item,
        "evaluation": evaluation,
        "total": total,
        "verdict": plain_words(evaluation, results[-1]),
        "verdicts": rows.verdict_rows(evaluation),
        "open": bool(decisive) or any(verdict.open for verdict in results),
        "cards": decisive,
        "doubt": doubt_words(evaluation, decisive),
        "others": others,
        "attacks": rows.attack_rows(evaluation),
        "remarks": rows.remarks(evaluation),
        "drawings": draw_sections(evaluation, name),
        "stage_table": rows.stage_rows(evaluation),
        "grid": None if item.examples is None else make_grid(evaluation, item.examples),
        "certified_words": rows.certified_words(evaluation),
        "certified": rows.certified_rows(evaluation),
        "differ": differ,
        "alike": alike,
        "samples": rows.sample_rows(evaluation, MOST_SAMPLES),
        "listed": min(total, MOST_SAMPLES),
        "settings": setting_rows(evaluation),
        "digests": digest_rows(evaluation),
    }


def _side_by_side(items: Sequence[ReportItem]) -> Mapping[str, Any]:
    """What the page shows of several evaluations together."""
    return {
        "title": f"{capital(spelt(len(items)))} evaluations side by side",
        "verdicts": verdict_table(items),
        "drawing": draw_side_by_side(items, "sides"),
        "pairs": [(pair, paired_table(pair)) for pair in pairs(items)],
        "most": MOST_DIFFERING,
    }


def documentation() -> str:
    """The address of the documentation, as the installed package states it; "" where unknown."""
    try:
        addresses = metadata("art-snn").get_all("Project-URL") or []
    except PackageNotFoundError:
        return ""
    pairs = dict(address.split(", ", 1) for address in addresses)
    address: str = pairs.get("Documentation", "")
    return "" if UNKNOWN in address else address


def page_address(address: str, page: str) -> str:
    """The address of another page: of a .md file next to a .md file, or else of an .html file."""
    ending = "md" if address.endswith(".md") else "html"
    folder = address if address.endswith((".md", ".html", "/")) else f"{address}/"
    return urljoin(folder, f"{page}.{ending}")
