"""Drawings of a page: the same element every time, and words for those who do not see it."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from art_snn.app.evaluation.drawings import (
    draw_accuracy,
    draw_queries,
    draw_sections,
    draw_side_by_side,
    draw_sizes,
)

from art_snn.app.colours import DARK, LIGHT, ROLES
from art_snn.app.report.evaluation import ReportItem
from tests.evaluations import evaluation, large, small, trial

EPS = 8 / 255


def test_each_section_has_its_figures_with_a_title_and_words_for_all():
    sections = draw_sections(large(40), "r1")
    assert {name: len(drawings) for name, drawings in sections.items()} == {
        "attacks": 4,
        "stages": 1,
    }
    for drawing in (one for drawings in sections.values() for one in drawings):
        described = re.findall(
            r"<title [^>]*>(.+?)</title><desc [^>]*>(.+?)</desc>", drawing.element
        )
        assert len(described) == drawing.element.count("<svg ") > 0
        assert drawing.title


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
    sections = draw_sections(large(50), "a")
    for drawing in (one for drawings in sections.values() for one in drawings):
        element = drawing.element
        assert "var(--series-0)" in element
        assert "var(--ink)" in element
        assert not [colour for colour in ROLES if colour in element]
        assert set(re.findall(r"var\(--([\w-]+)\)", element)) <= set(LIGHT)
    assert ">union of all</text>" in sections["attacks"][0].element
    assert set(LIGHT) == set(DARK)


@pytest.mark.parametrize("name", ["<b>&\"'", "$a_{", "x" * 300, "\\frac", "%"])
def test_names_of_any_letters_are_drawn_as_they_are(name):
    one = trial(name, EPS, (0, -1, 1), ("first", name))
    result = evaluation(one, trial("other", EPS, (0, -1, -1)), trial(name, 2 * EPS, (0, 0, 0)))
    for draw in (draw_accuracy, draw_queries, draw_sizes):
        element = draw(result, "a").element
        ElementTree.fromstring(element)
        assert "<b>" not in element


def test_sizes_have_medians_in_the_unit_of_the_axis():
    sizes = np.array([1, 3, 6, 0]) / 255
    result = evaluation(trial("a", EPS, (0, 0, 0, -1), distance=sizes), trial("b", EPS, [-1] * 4))
    assert draw_sizes(result, "a").words.startswith("Medians: a 3/255. The dotted lines")
    other = evaluation(trial("a", 5, (0, 0, -1), distance=np.array([2.0, 3.0, 0])), norm="0")
    assert draw_sizes(other, "a").words.startswith("Medians: a 2.5. ")
    nothing = evaluation(trial("a", EPS, (-1, -2)))
    assert draw_sizes(nothing, "a").words.startswith("No sample was broken. ")


def test_results_of_different_norms_share_no_figure():
    one, other = ReportItem("a", small()), ReportItem("b", small(norm="2"))
    assert draw_side_by_side([one, other], "a") is None
    drawing = draw_side_by_side([one, one], "a")
    assert drawing is not None
    assert "1: vgg5 on digits 25.0 %" not in drawing.element
    assert "result 1 25.0 % [4.6, 69.9] at eps 8/255" in drawing.element
