"""Accuracy by class: counts, bars, and the weakest class in words."""

import numpy as np
import pytest
from art_snn.app.evaluation.classes import (
    MOST_ROWS,
    class_counts,
    classes_figure,
    draw_classes,
    weakest_words,
)

from tests.evaluations import evaluation, small, trial

# Of class 2 three samples, of class 5 two.
LABELS = (2, 5, 2, 5, 2)


def two_budgets(strong=(0, 0, -1, -2, 0), **changes):
    """The smaller budget breaks the first sample, and the fourth was never right."""
    trials = trial("a", 0.1, (0, -1, -1, -2, -1)), trial("a", 0.2, strong)
    return evaluation(*trials, **({"labels": LABELS} | changes))


def test_samples_are_counted_by_class_and_budget():
    assert class_counts(two_budgets()) == {2: [3, 3, 2, 1], 5: [2, 1, 1, 0]}


def test_each_class_has_bars_that_lie_upon_one_another_and_its_counts():
    figure = classes_figure({2: [4, 4, 1], 5: [2, 1, 0]}, ["clean", "at eps 1"], "accuracy [%]")
    (ax,) = figure.axes
    assert [bar.get_width() for bar in ax.patches] == [100, 50, 25, 0]
    assert [text.get_text() for text in ax.texts] == ["4, 1 of 4", "1, 0 of 2"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["2", "5"]
    (legend,) = figure.legends
    shades = [patch.get_alpha() for patch in legend.get_patches()]
    assert shades == sorted(shades)
    assert [text.get_text() for text in legend.get_texts()] == ["clean", "at eps 1"]


def test_of_many_classes_there_are_columns_and_none_for_a_class_without_samples():
    counts = {n: [2, 2, 1] for n in range(MOST_ROWS + 2) if n != 3}
    (ax,) = classes_figure(counts, ["clean", "at eps 1"], "accuracy [%]").axes
    clean, robust = (patch.get_data().values for patch in ax.patches)
    assert np.isnan(clean[3])
    assert np.nanmin(clean) == 100
    assert np.nanmax(robust) == 50
    assert ax.get_xlabel() == "class"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (
            two_budgets(),
            "Class 5 is the weakest at eps 0.2: 0.0 % [0.0, 65.8] of its 2 samples are right.",
        ),
        # At the largest budget that leaves any.
        (
            two_budgets((0, 0, 0, -2, 0)),
            "Class 5 is the weakest at eps 0.1: 50.0 % [9.5, 90.5] of its 2 samples are right.",
        ),
        (
            two_budgets(labels=(1, 2, 3, 4, 5)),
            "Classes 1, 2, 4 and 5 are the weakest at eps 0.2: 0.0 % of the samples of each are "
            "right.",
        ),
        (two_budgets(labels=(7,) * 5), "All samples are of class 7."),
        (
            evaluation(trial("a", 0.1, (-1, -1, -1, -1))),
            "All classes are equally accurate at eps 0.1.",
        ),
        (
            evaluation(trial("a", 0.1, (0, 0, 0, -2))),
            "Class 3 is the weakest without an attack: 0.0 % [0.0, 79.3] of its 1 sample is right.",
        ),
        (
            evaluation(trial("a", 0.1, (-1, *[0] * 8))),
            "8 classes are the weakest at eps 0.1: 0.0 % of the samples of each are right.",
        ),
    ],
    ids=["weakest", "largest-with-any", "several", "one-class", "equal", "all-broken", "many"],
)
def test_the_weakest_class_is_named_at_the_largest_budget_that_leaves_any(result, words):
    assert weakest_words(result) == words


def test_words_give_all_counts_and_at_most_three_budgets_are_drawn():
    budgets = [trial("a", eps, (0, -1)) for eps in (1, 2, 3, 4, 5)]
    drawing = draw_classes(evaluation(*budgets, norm="0"), "a")
    assert drawing.words.endswith(
        "samples without an attack, with 1 changed value, with 3 changed values and with 5 changed "
        "values."
    )
    assert "class 0 1, 0, 0 and 0 of 1; class 1 1, 1, 1 and 1 of 1.</desc>" in drawing.element
    rows = "class 0 0 and 0 of 1; class 1 1 and 0 of 1; class 2 1 and 0 of 1; class 3 1 and 1 of 1."
    assert rows in draw_classes(small(), "a").element
