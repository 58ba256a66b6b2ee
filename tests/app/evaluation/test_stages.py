"""Stages by budget: the same rows, colours and scale in all panels."""

import re
from xml.etree import ElementTree

import pytest
from art_snn.app.evaluation.stages import draw_stages, stage_counts, stages_figure
from matplotlib.colors import to_hex

from art_snn.app.colours import SERIES
from tests.evaluations import STAGES, evaluation, large, small, trial

SQUARE = "SquareSearch(max_iter={})"
NAMES = (*STAGES[:2], SQUARE.format(200), SQUARE.format(600))


def two_budgets():
    """A plan whose third stage breaks one sample at the larger budget alone."""
    trials = trial("plan", 0.1, (0, -1, -1, -2), NAMES), trial("plan", 0.3, (0, 0, 3, -2), NAMES)
    return evaluation(*trials, trial("PGD", 0.1, (0, 0, 0, -2)))


def test_stages_of_the_same_short_name_are_numbered():
    trials = [one for one in two_budgets().trials if one.name == "plan"]
    assert stage_counts(trials) == {
        "AutoPGD HART 0.5": [1, 2],
        "AutoPGD RGA 2 0.2": [0, 0],
        "SquareSearch": [0, 0],
        "SquareSearch (2)": [0, 1],
    }


def test_there_is_a_panel_per_budget_with_the_same_rows_and_words_for_what_is_left_out():
    (drawing,) = draw_stages(two_budgets(), "a")
    panels = re.findall(r"<svg.*?</svg>", drawing.element, re.S)
    titles = [panel.partition('-title">')[2].partition("<")[0] for panel in panels]
    assert titles == ["plan. At eps 0.1: 1 broken, 2 left", "plan. At eps 0.3: 3 broken, 0 left"]
    assert "Broken by stage: AutoPGD HART 0.5 1 and SquareSearch (2) 0.</desc>" in panels[0]
    assert "Broken by stage: AutoPGD HART 0.5 2 and SquareSearch (2) 1.</desc>" in panels[1]
    ticks = [re.findall(r">(\d+)</text>", panel) for panel in panels]
    assert ticks[0] == ticks[1]
    assert "RGA" not in drawing.element
    assert drawing.words.startswith(
        "Samples that were not correct before the attack: 1 of 4. 2 of 4 stages broke nothing at "
        "any budget."
    )


def test_a_bar_has_the_colour_of_its_attack_and_the_scale_of_all_panels():
    counts = {"SquareSearch": 0, "AutoPGD RGA": 1}
    stages = ["AutoPGD HART 0.5", *counts]
    (ax,) = stages_figure(counts, stages, "At eps 1", 10).axes
    assert [bar.get_width() for bar in ax.patches] == [0, 1]
    assert [text.get_text() for text in ax.texts] == ["0: SquareSearch", "1: AutoPGD RGA"]
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [SERIES[1], SERIES[0]]
    assert ax.get_xlim() == (0, 10.4)
    assert ax.get_title(loc="left") == "At eps 1"


def test_more_attacks_than_colours_have_them_again():
    counts = {f"Attack{place}": 1 for place in range(len(SERIES) + 1)}
    (ax,) = stages_figure(counts, list(counts), "", 1).axes
    assert ax.patches[0].get_facecolor() == ax.patches[-1].get_facecolor()


def test_many_stages_at_a_single_budget_are_two_panels_of_one_scale():
    stages = tuple(f"Attack{place}()" for place in range(5))
    (drawing,) = draw_stages(evaluation(trial("plan", 0.1, (0, 1, 2, 3, 4, 4, 4), stages)), "a")
    titles = re.findall(r"<title [^>]*>(.*?)<", drawing.element)
    assert titles == ["plan. At eps 0.1: 7 broken, 0 left", "plan. Later stages"]
    assert "Broken by stage: Attack3 1 and Attack4 3.</desc>" in drawing.element
    ticks = [re.findall(r">(\d+)</text>", panel) for panel in drawing.element.split("<svg ")[1:]]
    assert ticks[0] == ticks[1]


@pytest.mark.parametrize("stage", [(-1, -1), (-2, -2)])
def test_where_no_stage_broke_anything_words_say_so(stage):
    (drawing,) = draw_stages(evaluation(trial("plan", 0.1, stage, NAMES)), "a")
    assert drawing.element == ""
    assert "4 of 4 stages broke nothing" in drawing.words


def test_single_attacks_have_no_stages_to_show():
    assert draw_stages(evaluation(trial("PGD", 0.1, (0, -1))), "a") == []
    assert len(draw_stages(large(20), "a")) == len(draw_stages(small(), "a")) == 1


def test_three_panels_are_narrower_than_two_so_that_they_fit_next_to_one_another():
    (three,), (two,) = draw_stages(large(20), "a"), draw_stages(two_budgets(), "a")
    assert three.element.startswith('<div class="panels three">')
    assert two.element.startswith('<div class="panels">')
    widths = [re.search(r'viewBox="0 0 (\d+)', one.element)[1] for one in (three, two)]
    assert widths == ["216", "259"]


def test_names_of_any_letters_are_drawn_as_they_are():
    for name in ("<b>&\"'", "$a_{", "x" * 300, "\\frac", "%", ""):
        one = evaluation(trial(name or "a", 0.1, (0, -1, 1), ("first", name)))
        (drawing,) = draw_stages(one, "c")
        ElementTree.fromstring(drawing.element)
        assert "<b>" not in drawing.element
