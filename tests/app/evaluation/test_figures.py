"""Figures of lines and bars: the numbers behind them."""

from dataclasses import replace

import numpy as np
import pytest

from art_snn.app.report.figures import accuracy_figure, queries_figure, sizes_figure
from tests.evaluations import GAP, RISES, evaluation, large, proven, small, trial

EPS = 8 / 255


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


def test_the_union_is_a_broad_light_band_behind_the_attack_that_alone_makes_it():
    (ax,) = accuracy_figure(large(100)).axes
    lines = {one.get_label(): one.lines[0] for one in ax.containers}
    plan, union = lines["standard"], lines["union of all"]
    assert np.array_equal(plan.get_ydata(), union.get_ydata())
    assert union.get_linewidth() > 2 * plan.get_linewidth()
    assert union.get_alpha() < 0.5
    assert union.get_zorder() < plan.get_zorder()


def test_with_one_budget_there_are_bars_for_the_attacks_and_the_union():
    (ax,) = accuracy_figure(small()).axes
    assert [bar.get_width() for bar in ax.patches] == [50, 50, 25]
    assert ax.get_xlabel() == "accuracy [%]"
    names = [text.get_text().partition(":")[0] for text in ax.texts]
    assert names == ["standard", "PGD-7 by stbp", "union of all"]
    # An open finding makes them upper bounds.
    (ax,) = accuracy_figure(small(findings=(RISES,))).axes
    assert ax.get_xlabel() == "accuracy at most [%]"


def test_what_is_certified_is_drawn_below_what_attacks_leave():
    result = large(100)
    margins = [np.where(result.trials[2].outcome.stage == -1, size, -1) for size in (1, 1, -1)]
    bounds = [proven(*m, eps=eps) for m, eps in zip(margins, result.budgets, strict=True)]
    (ax,) = accuracy_figure(replace(result, bounds=tuple(bounds))).axes
    lines = {one.get_label(): one.lines[0].get_ydata() for one in ax.containers}
    assert lines["certified"][0] == lines["union of all"][0]
    assert (lines["certified"] <= lines["union of all"]).all()
    assert lines["certified"][1] == lines["union of all"][3] > 0
    assert lines["certified"][3] == 0
    names = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert names == list(lines)
    assert ax.get_ylabel() == "accuracy, of attacks at most [%]"
    (ax,) = accuracy_figure(small(bounds=GAP)).axes
    assert [bar.get_width() for bar in ax.patches] == [50, 50, 25, 0]
    assert ax.texts[-1].get_text().startswith("certified: at least 0.0 %")


def test_lines_of_success_go_on_to_the_end_of_the_longest():
    short = trial("short", EPS, (0,), forwards=np.array([2]), backwards=np.array([1]))
    long = trial("long", EPS, (-1,), forwards=np.array([60]), backwards=np.array([40]))
    (ax,) = queries_figure([short, long]).axes
    assert [line.get_xdata()[-1] for line in ax.lines] == [100, 100]
    assert [line.get_ydata()[-1] for line in ax.lines] == [100, 0]


def test_the_smallest_change_of_each_sample_counts_and_the_budgets_are_marked():
    weak = trial("a", 2 / 255, (0, -1, -1, -2), distance=np.array([1, 0, 0, 0]) / 255)
    strong = trial("a", 4 / 255, (0, 0, -1, -2), distance=np.array([4, 3, 0, 0]) / 255)
    (ax,) = sizes_figure(evaluation(weak, strong)).axes
    (line, *marks) = ax.lines
    x, y = line.get_data()
    assert np.allclose(x, [0, 1, 3, 4, 4])
    assert np.allclose(y, [0, 100 / 3, 200 / 3, 200 / 3, 200 / 3])
    assert np.allclose([mark.get_xdata()[0] for mark in marks], [2, 4])
    assert ax.get_xlabel() == "size of the change in the maximum norm [1/255]"


@pytest.mark.parametrize(
    ("norm", "words"), [("0", "changed values"), ("shift", "spikes moved by steps")]
)
def test_sizes_of_events_are_counted(norm, words):
    one = trial("a", 3, (0, -1), distance=np.array([2.0, 0.0]))
    (ax,) = sizes_figure(evaluation(one, norm=norm)).axes
    assert ax.get_xlabel() == words
    assert ax.lines[0].get_xdata().tolist() == [0, 2, 3, 3]


@pytest.mark.parametrize("names", [1, 6, 14])
def test_as_many_attacks_as_there_are_fit_below_the_figure_and_differ(names):
    trials = [trial(f"attack {place}", EPS, (0, -1)) for place in range(names)]
    (ax,) = queries_figure(trials).axes
    looks = {(line.get_color(), line.get_linestyle()) for line in ax.lines}
    assert len(looks) == names
