"""Figures: the numbers behind their lines, and the same element every time."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from art_snn.experiments.colours import DARK, LIGHT, ROLES
from art_snn.experiments.evaluation import ReportItem
from art_snn.experiments.evaluation.drawings import (
    draw_accuracy,
    draw_queries,
    draw_side_by_side,
    draw_stages,
)
from art_snn.experiments.evaluation.figures import (
    MOST_POINTS,
    accuracy_figure,
    broken_figure,
    course,
    queries_figure,
)
from tests.evaluations import RISES, evaluation, large, small, trial

EPS = 8 / 255


def test_success_rises_with_the_queries_that_broken_samples_took():
    # Of four right samples three are broken, after 4, 4 and 10 queries; the fifth was wrong.
    passes = {"forwards": np.array([2, 2, 5, 8, 1]), "backwards": np.array([2, 2, 5, 8, 0])}
    queries, success = course(trial("a", EPS, (0, 0, 0, -1, -2), **passes))
    assert queries.tolist() == [0, 4, 10, 16]
    assert success.tolist() == [0, 50, 75, 75]


def test_of_a_long_course_the_points_that_are_kept_are_exact():
    queries, success = course(trial("a", EPS, [0] * 1000))
    assert len(queries) <= MOST_POINTS
    # Row n takes 2 n + 2 queries, so that after those n + 1 of 1000 samples are broken.
    assert np.allclose(success, 100 * (queries / 2) / 1000)
    assert queries[-1] == 2000


def test_lines_show_the_clean_accuracy_every_budget_and_the_union():
    (ax,) = accuracy_figure(large(100)).axes
    names = [container.get_label() for container in ax.containers]
    assert names == ["standard", "PGD-7 by stbp", "PGD-7 by rga", "union of all"]
    x, y = ax.containers[0].lines[0].get_data()
    trials = [one for one in large(100).trials if one.name == "standard"]
    expected = [100 * one.robustness.robust_accuracy.value for one in trials]
    assert np.allclose(x, [0, 2, 4, 8])
    assert np.allclose(y[1:], expected)
    assert ax.get_ylabel() == "accuracy at most [%]"
    assert ax.get_xlabel() == "eps in the maximum norm [1/255]"


def test_with_one_budget_there_are_bars_for_the_attacks_and_the_union():
    (ax,) = accuracy_figure(small()).axes
    assert [bar.get_width() for bar in ax.patches] == [50, 50, 25]
    assert ax.get_xlabel() == "accuracy [%]"
    names = [text.get_text().partition(":")[0] for text in ax.texts]
    assert names == ["standard", "PGD-7 by stbp", "union of all"]
    # An open finding makes them upper bounds.
    (ax,) = accuracy_figure(small(findings=(RISES,))).axes
    assert ax.get_xlabel() == "accuracy at most [%]"


def test_each_stage_has_a_bar_and_the_numbers_in_words():
    (ax,) = broken_figure(small().trials[0]).axes
    assert [bar.get_width() for bar in ax.patches] == [0, 1]
    assert ax.texts[1].get_text().startswith("1: AutoPGD(max_iter=20) by RGA(")
    (drawing,) = draw_stages(small(), "a")
    assert drawing.words == "Of 4 samples 1 were not correct before, 1 were broken, and 2 survive."
    assert "RGA(beta=2.0, gamma=0.2) 1.</desc>" in drawing.element


def test_lines_of_success_go_on_to_the_end_of_the_longest():
    short = trial("short", EPS, (0,), forwards=np.array([2]), backwards=np.array([1]))
    long = trial("long", EPS, (-1,), forwards=np.array([60]), backwards=np.array([40]))
    (ax,) = queries_figure([short, long]).axes
    assert [line.get_xdata()[-1] for line in ax.lines] == [100, 100]
    assert [line.get_ydata()[-1] for line in ax.lines] == [100, 0]


@pytest.mark.parametrize("names", [1, 6, 14])
def test_as_many_attacks_as_there_are_fit_below_the_figure_and_differ(names):
    trials = [trial(f"attack {place}", EPS, (0, -1)) for place in range(names)]
    (ax,) = queries_figure(trials).axes
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.lines}
    assert len(looks) == names


def test_an_element_is_whole_named_and_has_words():
    drawing = draw_accuracy(small(), "here")
    root = ElementTree.fromstring(drawing.element)
    texts = {child.tag.rpartition("}")[2]: child.text for child in root}
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "here-title here-words"
    assert texts["title"] == drawing.title
    assert "together leave 25.0 % [4.6, 69.9] at eps 8/255 in the maximum norm" in texts["desc"]
    names = [child.get("id") for child in root.iter() if child.get("id")]
    assert len(names) == len(set(names))
    assert all(name.startswith("here-") for name in names)
    used = re.findall(r"(?:url\(|href=\")#([\w-]+)", drawing.element)
    assert used
    assert set(used) <= set(names)


def test_letters_stay_letters_and_colours_follow_the_ground():
    element = draw_accuracy(large(50), "a").element
    assert ">union of all</text>" in element
    assert "var(--series-0)" in element
    assert "var(--ink)" in element
    assert not [colour for colour in ROLES if colour in element]
    assert set(re.findall(r"var\(--([\w-]+)\)", element)) <= set(LIGHT)
    assert set(LIGHT) == set(DARK)


@pytest.mark.parametrize("name", ["<b>&\"'", "$a_{", "x" * 300, "\\frac", "%"])
def test_names_of_any_letters_are_drawn_as_they_are(name):
    one = trial(name, EPS, (0, -1, 1), ("first", name))
    result = evaluation(one, trial("other", EPS, (0, -1, -1)), trial(name, 2 * EPS, (0, 0, 0)))
    for drawing in (draw_accuracy(result, "a"), draw_queries(result, "b")):
        ElementTree.fromstring(drawing.element)
    (stages,) = draw_stages(evaluation(one), "c")
    ElementTree.fromstring(stages.element)
    assert "<b>" not in stages.element


def test_results_of_different_norms_share_no_figure():
    one, other = ReportItem("a", small()), ReportItem("b", small(norm="2"))
    assert draw_side_by_side([one, other], "a") is None
    drawing = draw_side_by_side([one, one], "a")
    assert drawing is not None
    assert "1: vgg5 on digits 25.0 %" not in drawing.element
    assert "result 1 25.0 % [4.6, 69.9] at eps 8/255" in drawing.element
