"""What the pictures of a comparison show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from art_snn.app.compare.figure import draw as drawn, success_bars, time_bars
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from art_snn.app.attack import Attack
from art_snn.app.compare import RULES, Comparison, Row, Settings, compared
from art_snn.gradients import RGA, STBP, Mean, Triangle, engine_of
from art_snn.metrics import Robustness
from tests.outcomes import outcome
from tests.small import classifier, samples

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
COLOURS = dict.fromkeys(("stbp", "pdsg-per-sample", "assg"), BLUE)
COLOURS |= dict.fromkeys(("rga", "hart", "static", "bptr"), ORANGE)
COLOURS |= dict.fromkeys(("rga-32-steps", "mean-rga-stbp", "of my own"), GREY)


def comparison(*names: str, objections: tuple[str, ...] = (), wrong: int = 2) -> Comparison:
    """Ten samples, the first `wrong` misclassified; rule i flips the i-th after them alone."""
    place = np.arange(10)
    rows = {name: Row("", objection="not here") for name in objections}
    for i, name in enumerate(names):
        kind = engine_of(RULES[name]) if name in RULES else ""
        rows[name] = Row("", kind, None, Robustness(place >= wrong, place != wrong + i))
    seconds = {name: 0.5 * (i + 1) for i, name in enumerate(names)}
    return Comparison("", "", "", {}, inference=0.25, seconds=seconds, rows=rows)


def names_beside(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def lengths(ax: Axes) -> list[float]:
    return [bar.get_width() for bar in ax.patches]


def test_every_rule_that_applies_has_one_bar_of_its_success_and_its_cost():
    shown = comparison("stbp", "rga", "hart", objections=("cba",))
    success, time = (draw(Figure().subplots(), shown) for draw in (success_bars, time_bars))
    for ax in (success, time):
        assert names_beside(ax) == ["stbp", "rga", "hart"]
        assert [bar.get_y() + bar.get_height() / 2 for bar in ax.patches] == [0, 1, 2]
        bottom, top = ax.get_ylim()
        assert bottom > 2
        assert top < 0, "the first rule stands at the top"
    assert lengths(success) == [12.5] * 3
    assert lengths(time) == [2, 4, 6]
    assert success.get_xlabel() == "attack success [%]"
    assert time.get_xlabel() == "time of one gradient [inferences]"
    assert success.get_xlim() == (0, 100)


def test_the_intervals_of_success_end_where_wilson_s_do():
    shown = comparison("stbp", "rga")
    ax = success_bars(Figure().subplots(), shown)
    (bars,) = (container for container in ax.containers if isinstance(container, BarContainer))
    segments = bars.errorbar.lines[2][0].get_segments()
    low, high = (100 * end for end in shown.rows["rga"].outcome.attack_success.interval)
    assert low < 12.5 < high
    for place, segment in enumerate(segments):
        assert np.allclose(segment, [[low, place], [high, place]])
    assert len(segments) == 2


@pytest.mark.parametrize("draw", [success_bars, time_bars])
def test_bars_are_blue_for_temporal_orange_for_rate_rules_and_grey_for_others(draw):
    ax = draw(Figure().subplots(), comparison(*list(COLOURS)[:8]))
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == list(COLOURS.values())[:8]
    ax = draw(Figure().subplots(), comparison(*list(COLOURS)[8:]))
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [GREY, GREY]


@pytest.mark.parametrize("draw", [success_bars, time_bars])
def test_rules_under_names_of_one_s_own_have_the_colour_of_their_kind(draw):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    rules = {"the wide one": STBP(surrogate=Triangle(width=2.0)), "rga of mine": RGA(gamma=0.5)}
    rules["both"] = Mean(RGA(), STBP())
    attack = Attack(name="fgsm", eps=0.03)
    settings = Settings(rules=rules, attack=attack, batch_size=10, repeats=1)
    ax = draw(Figure().subplots(), compared(settings, wrapped, x, y))
    assert names_beside(ax) == list(rules)
    assert [to_hex(bar.get_facecolor()) for bar in ax.patches] == [BLUE, ORANGE, GREY]


def test_a_line_marks_the_union_and_another_one_inference():
    shown = comparison("stbp", "rga", "hart")
    ax = success_bars(Figure().subplots(), shown)
    (line,) = (line for line in ax.lines if line.get_linestyle() == ":")
    assert list(line.get_xdata()) == [37.5, 37.5]
    assert [text.get_text().strip() for text in ax.texts] == ["union of all"]
    assert ax.texts[0].get_position()[0] == 37.5
    ax = time_bars(Figure().subplots(), shown)
    assert [list(line.get_xdata()) for line in ax.lines] == [[1, 1]]


def test_a_single_rule_has_no_union():
    ax = success_bars(Figure().subplots(), comparison("rga", objections=("cba",)))
    assert len(ax.texts) == 0
    assert not [line for line in ax.lines if line.get_linestyle() == ":"]
    assert len(ax.patches) == 1


@pytest.mark.parametrize("draw", [success_bars, time_bars])
def test_where_no_rule_applies_there_is_no_bar(draw):
    ax = draw(Figure().subplots(), comparison(objections=("cba",)))
    assert len(ax.patches) == 0


def test_a_network_that_is_always_wrong_has_bars_without_a_length():
    figure = Figure()
    ax = success_bars(figure.subplots(), comparison("stbp", "rga", wrong=10))
    figure.canvas.draw()
    assert np.isnan(lengths(ax)).all()
    assert names_beside(ax) == ["stbp", "rga"]


def test_the_picture_has_both_panels_below_what_was_compared():
    shown = comparison("stbp", "rga", objections=("cba",))
    shown.title, shown.attack = "a network on digits", "PGD, eps 0.1"
    figure = drawn(shown)
    figure.canvas.draw()
    assert [ax.get_xlabel() for ax in figure.axes] == [
        "attack success [%]",
        "time of one gradient [inferences]",
    ]
    assert [len(ax.patches) for ax in figure.axes] == [2, 2]
    assert figure.get_suptitle() == "a network on digits\nPGD, eps 0.1"


def test_a_comparison_without_any_bar_can_be_drawn():
    figure = drawn(comparison(objections=("cba",)))
    figure.canvas.draw()
    assert [len(ax.patches) for ax in figure.axes] == [0, 0]


@pytest.mark.parametrize("flips", [0, 1, 7, 8])
def test_the_words_at_the_line_of_the_union_stay_inside_the_axes(flips):
    figure = Figure(figsize=(9, 2), layout="constrained")
    (ax, _) = figure.subplots(1, 2, width_ratios=(3, 2))
    shown = comparison("stbp", "rga")
    rows = {name: Row("", outcome=outcome(flips)) for name in shown.rows}
    success_bars(ax, replace(shown, rows=rows))
    figure.canvas.draw()
    words, frame = ax.texts[0].get_window_extent(), ax.get_window_extent()
    assert frame.x0 - 1 <= words.x0
    assert words.x1 <= frame.x1 + 1
