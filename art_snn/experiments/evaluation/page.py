"""One page that shows everything, by itself: no script, and nothing from elsewhere."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from art_snn.experiments.colours import DARK, LIGHT
from art_snn.experiments.evaluation import rows
from art_snn.experiments.evaluation.drawn import (
    accuracy_drawn,
    queries_drawn,
    sides_drawn,
    stages_drawn,
)
from art_snn.experiments.evaluation.grid import grid
from art_snn.experiments.evaluation.side import paired_table, pairs, verdict_table
from art_snn.experiments.evaluation.verdict import sentence, spelt, verdicts, weighty

if TYPE_CHECKING:
    from art_snn.experiments.evaluation.opened import Opened

HERE = Path(__file__).parent
PAGE = "report.html"
MOST_SAMPLES = 1000
"""Rows of the longest table; of more samples the rest is in the JSON."""
MOST_DIFFERING = 500


def page(every: "Sequence[Opened]") -> str:
    """One evaluation, or several side by side, as one page of HTML.

    :param every: the evaluations; at least one."""
    template = _environment().get_template("report.html.j2")
    views = [_view(one, number) for number, one in enumerate(every, 1)]
    several = _side_by_side(every) if len(every) > 1 else None
    style = Markup((HERE / "report.css").read_text(encoding="utf-8"))
    colours = {"light": LIGHT, "dark": DARK}
    return template.render(style=style, colours=colours, views=views, several=several)


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE),
        # What users write, such as titles and commands, is text and never markup.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _view(one: "Opened", number: int) -> Mapping[str, Any]:
    """All that the page tells about one evaluation."""
    evaluation, name = one.evaluation, f"r{number}"
    found = verdicts(evaluation)
    against = list(weighty(evaluation))
    differ, alike = rows.tests(evaluation)
    total = len(evaluation.samples)
    return {
        "id": name,
        "number": number,
        "file": one.name,
        "title": evaluation.title,
        "total": total,
        "plan": evaluation.plan,
        "verdict": _unbroken(f"{sentence(found)}."),
        "open": found[0].open,
        "examined": evaluation.provenance.examined,
        "findings": against,
        "beside": [finding for finding in evaluation.reservations if finding not in against],
        "attacks": rows.attack_rows(evaluation),
        "remarks": rows.remarks(evaluation),
        "accuracy": accuracy_drawn(evaluation, f"{name}-accuracy"),
        "stages": stages_drawn(evaluation, f"{name}-stages"),
        "stage_table": rows.stages(evaluation),
        "queries": queries_drawn(evaluation, f"{name}-queries"),
        "grid": None if one.examples is None else grid(evaluation, one.examples),
        "lacking": one.lacking,
        "certified_words": rows.certified_words(evaluation),
        "certified": rows.certified(evaluation),
        "differ": differ,
        "alike": alike,
        "samples": rows.samples(evaluation, MOST_SAMPLES),
        "listed": min(total, MOST_SAMPLES),
        "command": evaluation.provenance.command,
        "provenance": rows.provenance_rows(evaluation),
    }


def _unbroken(text: str) -> str:
    """The text with shares and their intervals in one piece each, and budgets with their names."""
    text = re.sub(r"(?<=\d) % \[([\d.]+), ", "\u00a0%\u00a0[\\1,\u00a0", text)
    return re.sub(r"\beps (?=\d)", "eps\u00a0", text)


def _side_by_side(every: "Sequence[Opened]") -> Mapping[str, Any]:
    """What the page tells about several evaluations together."""
    found = pairs(every)
    count = spelt(len(every))
    return {
        "title": f"{count.capitalize()} evaluations side by side",
        "verdicts": verdict_table(every),
        "drawing": sides_drawn(every, "sides"),
        "pairs": [(pair, paired_table(pair)) for pair in found],
        "most": MOST_DIFFERING,
    }
