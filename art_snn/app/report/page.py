"""One page that shows everything: it loads nothing, and can be read without its one script."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from art_snn.app.report import tables
from art_snn.app.report.evaluation import ReportItem
from art_snn.app.report.figures import (
    Drawing,
    draw_accuracy,
    draw_classes,
    draw_examples,
    draw_side_by_side,
    draw_sizes,
    draw_stages,
)
from art_snn.app.report.verdict import (
    CERTIFIED,
    UNION,
    capital,
    count_words,
    describe_verdict,
    make_cards,
    spell,
    verdicts,
)

PAGE = "report.html"
_SHARE = re.compile("((?:\u2264 )?[\\d.]+\u00a0%\u00a0)(\\[[^]]+\\])")


def render_page(items: Sequence[ReportItem]) -> str:
    """One evaluation, or several side by side, as one page of HTML."""
    labels = tables.labels(items)
    views = [
        _view(item, label, n) for n, (item, label) in enumerate(zip(items, labels, strict=True), 1)
    ]
    several = None
    if len(items) > 1:
        several = {
            "title": f"{capital(spell(len(items)))} evaluations side by side",
            "verdicts": tables.side_table(items),
            "drawing": draw_side_by_side(items),
            "pairs": tables.compare_pairs(items),
        }
    return render_template("report.html.j2", views=views, several=several)


def _view(item: ReportItem, label: str, number: int) -> Mapping[str, Any]:
    """All that the page shows of one evaluation."""
    evaluation = item.evaluation
    results, (decisive, others) = verdicts(evaluation), make_cards(evaluation)
    certificate, drawings = evaluation.certificate, (item.objection, list[Drawing]())
    if item.examples is not None:
        drawings = draw_examples(evaluation, item.examples)
    return {
        "id": f"r{number}",
        "label": label,
        "item": item,
        "evaluation": evaluation,
        "total": len(evaluation.samples),
        "tables": tables.evaluation_tables(evaluation),
        "verdict": describe_verdict(results[-1]),
        "open": bool(decisive) or any(verdict.open for verdict in results),
        "cards": decisive,
        "others": others,
        "remarks": tables.remarks(evaluation),
        "certified": certificate and tables.describe_certificate(certificate),
        "charts": [draw_accuracy(evaluation), draw_sizes(evaluation)],
        "class_chart": draw_classes(evaluation),
        "stages": draw_stages(evaluation),
        "legend": drawings[0],
        "examples": drawings[1],
        "strips": item.examples is not None and item.examples.x.ndim == 5,
    }


def render_template(name: str, **content: object) -> str:
    """A template of this folder with its content, which is text and never markup."""
    here = Path(__file__).parent
    how: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "autoescape": True}
    how |= {"undefined": StrictUndefined, "keep_trailing_newline": True}
    environment = Environment(loader=FileSystemLoader(here), **how)
    environment.filters |= {"unbroken": _unbroken, "cell": _cell}
    environment.filters |= {"capital": capital, "count_words": count_words}
    environment.globals |= {
        "style": Markup((here / "report.css").read_text(encoding="utf-8")),
        "summing": (UNION, CERTIFIED),
        "most": tables.MOST_SAMPLES,
    }
    return environment.get_template(name).render(**content)


def _unbroken(text: str) -> str:
    """The text with shares and their intervals in one piece each, and budgets with their names."""
    text = re.sub(r"(?<=\d) % \[([\d.]+), ", "\u00a0%\u00a0[\\1,\u00a0", text)
    text = re.sub(r"\bp ([<=]) (?=\d)", "p\u00a0\\1\u00a0", text)
    return re.sub(r"\beps (?=\d)", "eps\u00a0", text)


def _cell(text: str) -> Markup:
    """The content of a cell: intervals are set apart, and long names may break at a bracket."""
    markup = re.sub(r"\(\b", "(<wbr>", str(escape(_unbroken(text))))
    return Markup(re.sub(_SHARE, r'<span class="share">\1<small>\2</small></span>', markup))
