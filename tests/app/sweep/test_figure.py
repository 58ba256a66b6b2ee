"""What the drawing of a sweep shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from art_snn.app.colours import SERIES
from art_snn.app.sweep import Line, Panel, Swept
from art_snn.app.sweep.figure import draw, success_against_value
from tests.outcomes import outcome


def line(default: float = 2.0, **flips: int) -> Line:
    return Line("", default, {float(k[1:]): outcome(count) for k, count in flips.items()})


def panel(**lines: Line) -> Panel:
    named = {name.replace("_", " "): one for name, one in lines.items()}
    return Panel("RGA(beta=2.0)", "beta", "PGD, eps 0.1", named)


TWO = panel(decay_1=line(v3=6, v1=2, v2=4), decay_5=line(v1=8, v2=4))


def curves(ax: Axes) -> list[ErrorbarContainer]:
    return [container for container in ax.containers if isinstance(container, ErrorbarContainer)]


def test_every_network_has_a_line_over_its_values_in_ascending_order():
    ax = success_against_value(Figure().subplots(), TWO)
    first, second = curves(ax)
    assert list(first[0].get_xdata()) == [1, 2, 3]
    assert list(first[0].get_ydata()) == [25, 50, 75]
    assert list(second[0].get_xdata()) == [1, 2]
    assert list(second[0].get_ydata()) == [100, 50]
    assert [curve.get_label() for curve in (first, second)] == ["decay 1", "decay 5"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("beta", "attack success [%]")


def test_bars_and_bands_end_where_wilson_s_intervals_do():
    ax = success_against_value(Figure().subplots(), TWO)
    bars = curves(ax)[0][2][0].get_segments()
    outcomes = TWO.lines["decay 1"].outcomes
    for value, bar in zip((1.0, 2.0, 3.0), bars, strict=True):
        low, high = (100 * end for end in outcomes[value].attack_success.interval)
        assert low < 100 * outcomes[value].attack_success.value < high
        assert np.allclose(bar, [[value, low], [value, high]])
    band, _ = (c for c in ax.collections if c.get_alpha() == 0.12)
    edge = band.get_paths()[0].vertices
    assert {tuple(np.round(p, 6)) for bar in bars for p in bar} <= {
        tuple(np.round(p, 6)) for p in edge
    }


def test_a_ring_marks_the_best_value_and_a_dotted_line_the_default():
    ax = success_against_value(Figure().subplots(), TWO)
    rings = [one for one in ax.lines if one.get_markerfacecolor() == "none"]
    assert [(one.get_xdata()[0], one.get_ydata()[0]) for one in rings] == [(3, 75), (1, 100)]
    dotted = [one for one in ax.lines if one.get_linestyle() == ":"]
    assert [list(one.get_xdata()) for one in dotted] == [[2, 2]]
    assert [(text.get_text(), text.get_position()[0]) for text in ax.texts] == [("default", 2)]


def test_a_single_value_is_drawn_with_its_interval():
    ax = success_against_value(Figure().subplots(), panel(decay_1=line(v1=2)))
    ((bottom, top),) = curves(ax)[0][2][0].get_segments()
    assert bottom[1] < 25 < top[1]


@pytest.mark.parametrize(
    "swept",
    [
        Line("", 2.0, {v: outcome(0, wrong=10) for v in (1.0, 2.0)}),
        Line("", 2.0, {1.0: outcome(0), 2.0: outcome(8), math.inf: outcome(8)}),
    ],
    ids=["always wrong", "infinite value"],
)
def test_a_line_with_gaps_can_be_drawn(swept):
    figure = draw(Swept([panel(decay_1=swept)]))
    figure.canvas.draw()
    assert len(curves(figure.axes[0])) == 1


def test_colours_follow_the_order_unless_they_are_given():
    ax = success_against_value(Figure().subplots(), TWO)
    assert [to_hex(curve[0].get_color()) for curve in curves(ax)] == list(SERIES[:2])
    given = {"decay 1": "#000000", "decay 5": "#ff0000"}
    ax = success_against_value(Figure().subplots(), TWO, given)
    assert [to_hex(curve[0].get_color()) for curve in curves(ax)] == list(given.values())


def test_a_network_has_one_colour_in_all_panels_of_a_figure():
    other = Panel("HART()", "width", "FGSM", {"decay 9": line(v1=2), "decay 5": line(v1=2)})
    figure = draw(Swept([TWO, other]))
    left, right = figure.axes
    colours = {c.get_label(): c[0].get_color() for c in (*curves(left), *curves(right))}
    assert list(colours.values()) == list(SERIES[:3])
    assert curves(right)[1][0].get_color() == curves(left)[1][0].get_color()
    assert [ax.get_ylabel() for ax in (left, right)] == ["attack success [%]", ""]
    assert [ax.get_xlabel() for ax in (left, right)] == ["beta", "width"]
    assert figure.get_suptitle() == "RGA(beta=2.0)\nPGD, eps 0.1\nHART()\nFGSM"
    assert draw(Swept([TWO, TWO])).get_suptitle() == "RGA(beta=2.0)\nPGD, eps 0.1"


def test_the_long_name_of_a_network_stands_in_lines_and_leaves_room_for_the_curves():
    long = f"/{'somewhere/' * 12}mine.py:network"
    figure = draw(Swept([Panel("RGA()", "beta", "FGSM", {long: line(v1=2, v2=3)})] * 2))
    figure.canvas.draw()
    (left, right) = figure.axes
    words = left.get_legend().get_texts()[0].get_text()
    assert words.replace("\n", "") == long
    assert max(map(len, words.splitlines())) <= 32
    assert min(ax.get_window_extent().width for ax in (left, right)) > 200
