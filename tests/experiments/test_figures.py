"""What the drawings show."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from art_snn.metrics import Robustness
from art_snn.evaluation.comparison import Comparison, Row
from art_snn.plotting import accuracy_against_eps, image_row, success_bars, time_bars

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"
COLOURS = {
    "stbp": BLUE,
    "pdsg-per-sample": BLUE,
    "assg": BLUE,
    "rga": ORANGE,
    "hart": ORANGE,
    "static": ORANGE,
    "bptr": ORANGE,
    "rga-32-steps": GREY,
    "mean-rga-stbp": GREY,
    "of my own": GREY,
}


def test_a_curve_shows_robust_accuracy_from_budget_zero_on():
    correct = np.array([True, True, True, False])
    outcomes = [Robustness(correct, np.array([True, kept, False, False])) for kept in (True, False)]
    ax = accuracy_against_eps(Figure().subplots(), [0.1, 0.2], {("FGSM", "rga"): outcomes})
    (line,) = ax.lines
    assert list(line.get_xdata()) == [0, 0.1, 0.2]
    assert list(line.get_ydata()) == [75, 50, 25]
    assert line.get_label() == "FGSM by RGA"


@pytest.mark.parametrize("channels", [1, 3])
def test_images_stand_side_by_side(channels):
    images = np.zeros((4, channels, 5, 6))
    images[2] = 1
    ax = image_row(Figure().subplots(), images, label="originals")
    shown = ax.images[0].get_array()
    assert shown.shape[:2] == (5, 4 * 7 - 1)
    assert ax.get_ylabel() == "originals"
    assert float(np.ma.filled(shown[0, 2 * 7], np.nan).mean()) == 1


def test_differences_are_coloured_around_zero():
    images = np.array([-0.2, 0.1]).reshape(2, 1, 1, 1)
    image = image_row(Figure().subplots(), images, label="difference", signed=True).images[0]
    assert image.get_clim() == (-0.2, 0.2)


def comparison(*names: str, objections: tuple[str, ...] = (), wrong: int = 2) -> Comparison:
    """Ten samples, the first `wrong` misclassified; rule i flips the i-th after them alone."""
    place = np.arange(10)
    rows = {name: Row("", objection="not here") for name in objections}
    for i, name in enumerate(names):
        rows[name] = Row("", Robustness(place >= wrong, place != wrong + i))
    seconds = {name: 0.5 * (i + 1) for i, name in enumerate(names)}
    return Comparison("", {}, "", "", inference=0.25, seconds=seconds, rows=rows)


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
