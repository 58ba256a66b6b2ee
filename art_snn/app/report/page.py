"""One page that shows everything: it loads nothing, and can be read without its one script."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from art_snn.app.report.board import READING, BoardGroup
from art_snn.app.report.evaluation import ReportItem
from art_snn.app.report.figures import draw_charts, draw_examples, draw_side_by_side
from art_snn.app.report.tables import (
    MOST_SAMPLES,
    compare_parts,
    evaluation_tables,
    labels,
    remarks,
)
from art_snn.app.report.verdict import CERTIFIED, UNION, count_words, make_cards, verdicts

PAGE = "report.html"
_SHARE = re.compile(r"([\d.]+ % )(\[[^]]+\])")


def render_page(items: Sequence[ReportItem]) -> str:
    """One evaluation, or several side by side, as one page of HTML."""
    pairs = zip(items, labels(items), strict=True)
    views = [_view(item, label, number) for number, (item, label) in enumerate(pairs, 1)]
    several: dict[str, Any] = {}
    if len(items) > 1:
        title, _, table, *compared = compare_parts(items)
        several |= {"title": title, "verdicts": table, "pairs": compared}
        several["drawing"] = draw_side_by_side(items)
    return _render_template("report.html.j2", views=views, several=several, most=MOST_SAMPLES)


def render_board_page(board: Sequence[BoardGroup], left_out: Sequence[str] = ()) -> str:
    """The table of records; its script sorts the tables, which can be read without."""
    content: dict[str, Any] = {"board": board, "left_out": left_out}
    content |= {"reading": READING, "title": "Robust spiking networks"}
    return _render_template("board.html.j2", **content)


def _view(item: ReportItem, label: str, number: int) -> Mapping[str, Any]:
    """All that the page shows of one evaluation."""
    evaluation = item.evaluation
    results, (decisive, others) = verdicts(evaluation), make_cards(evaluation)
    drawn = None if item.examples is None else draw_examples(evaluation, item.examples)
    legend, examples = drawn or (item.objection, [])
    return {
        "id": f"r{number}",
        "label": label,
        "item": item,
        "evaluation": evaluation,
        "total": len(evaluation.samples),
        "tables": evaluation_tables(evaluation),
        "verdict": results[-1].describe(),
        "open": bool(decisive) or any(verdict.open for verdict in results),
        "cards": decisive,
        "others": others,
        "remarks": remarks(evaluation),
        "charts": draw_charts(evaluation),
        "legend": legend,
        "examples": examples,
        "strips": item.examples is not None and item.examples.x.ndim == 5,
    }


def _render_template(name: str, **content: object) -> str:
    """A template of this folder with its content, which is text and never markup."""
    here = Path(__file__).parent
    how: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "autoescape": True}
    how |= {"undefined": StrictUndefined, "keep_trailing_newline": True}
    environment = Environment(loader=FileSystemLoader(here), **how)
    environment.filters |= {"cell": _mark_share, "count_words": count_words}
    style = Markup((here / "report.css").read_text(encoding="utf-8"))
    environment.globals |= {"style": style, "summing": (UNION, CERTIFIED)}
    return environment.get_template(name).render(**content)


def _mark_share(text: str) -> Markup:
    """The content of a cell, in which an interval stays with its share, and is set apart."""
    share = r'<span class="share">\1<small>\2</small></span>'
    return Markup(re.sub(_SHARE, share, str(escape(text))))
