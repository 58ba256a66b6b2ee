"""One page that shows everything: it loads nothing, and can be read without its one script."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from art_snn.app.evaluation import figures, tables
from art_snn.app.evaluation.record import ReportItem
from art_snn.app.evaluation.verdict import (
    CERTIFIED,
    UNION,
    count_words,
    describe_verdicts,
    make_cards,
    verdicts,
)

PAGE = "report.html"
_HERE = Path(__file__).parent
_SHARE = re.compile(r"((?:at most |at least |exactly )?[\d.]+ % )(\[[^]]+\])")


def render_page(items: Sequence[ReportItem]) -> str:
    """One evaluation, or several side by side, as one page of HTML."""
    views = [
        {"id": f"r{number}", "label": label, "item": item, **_describe_item(item)}
        for number, (label, item) in enumerate(tables.label_items(items), 1)
    ]
    several = {}
    if len(items) > 1:
        title, _, table, *compared = tables.compare_parts(items)
        drawing = figures.draw_side_by_side(items)
        several = {
            "title": title,
            "verdicts": table,
            "pairs": compared,
            "drawing": drawing,
        }
    return render_template(
        "report.html.j2",
        views=views,
        several=several,
        most=tables.MOST_SAMPLES,
        find_terms=_find_terms,
    )


def _find_terms(page: str) -> list[tuple[str, str]]:
    """The terms of the glossary that occur in the text of a page, with what they mean."""
    text = Markup(str(page).replace("<", " <")).striptags()
    terms = json.loads((_HERE / "glossary.json").read_text(encoding="utf-8"))
    return [
        (term, words)
        for term, form, words in terms
        if re.search(rf"(?<!\w)(?:{form})(?!\w)", text, re.IGNORECASE)
    ]


def _describe_item(item: ReportItem) -> Mapping[str, Any]:
    """All that the page shows of one evaluation."""
    evaluation = item.evaluation
    results = verdicts(evaluation)
    decisive, others = make_cards(evaluation)
    view: dict[str, Any] = {
        "tables": tables.evaluation_tables(evaluation),
        "verdict": describe_verdicts(results),
        "open": decisive or any(verdict.open for verdict in results),
        "cards": decisive,
        "others": others,
        "steps": list(dict.fromkeys(card["remedies"][0] for card in decisive)),
        "remarks": tables.remarks(evaluation),
        "accuracy": figures.draw_accuracy(evaluation),
        "classes": figures.draw_classes(evaluation),
        "operations": figures.draw_operations(evaluation),
        "legend": item.objection,
        "examples": [],
        "spikes": None,
    }
    if item.examples is not None:
        drawn = figures.draw_examples(evaluation, item.examples)
        view["legend"], view["examples"] = drawn
        view["spikes"] = figures.draw_spikes(item.examples)
    return view


def render_template(name: str, **content: object) -> str:
    """A template of this folder with its content, which is text and never markup."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": _mark_share, "count_words": count_words}
    environment.globals["summing"] = (UNION, CERTIFIED)
    return environment.get_template(name).render(**content)


def _mark_share(text: str) -> Markup:
    """The content of a cell, in which an interval stays with its share, and is set apart."""
    share = r'<span class="share">\1<small>\2</small></span>'
    return Markup(_SHARE.sub(share, str(escape(text))).replace(" %", "\u00a0%"))
