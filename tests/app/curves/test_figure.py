"""What the drawing of rate-current curves shows."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from art_snn import RGA
from art_snn.app.curves.figure import rate_current
from art_snn.curves import Pairs, curves_of

CURVES = curves_of(0.5, 1.0, RGA())


def pairs(current: np.ndarray, rate: np.ndarray) -> Pairs:
    index = np.arange(len(current))
    return Pairs("layers.1", 1000, index, index, current, rate)


@pytest.fixture
def recorded() -> Pairs:
    draw = np.random.default_rng(0)
    return pairs(draw.uniform(-2, 3, 400), draw.integers(0, 9, 400) / 8)


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def words(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_pairs_inside_are_points_and_the_legend_tells_the_share_outside(recorded):
    ax = rate_current(Figure().subplots(), recorded, CURVES, low=-1, high=2.5)
    inside = (recorded.current >= -1) & (recorded.current <= 2.5)
    shown = np.asarray(ax.collections[0].get_offsets())
    assert (shown == np.stack([recorded.current, recorded.rate], 1)[inside]).all()
    assert words(ax)[0] == f"400 recorded pairs ({100 * (1 - inside.mean()):.1f} % outside)"
    assert ax.get_xlim() == (-1, 2.5)
    ax = rate_current(Figure().subplots(), recorded, CURVES, low=-5, high=5)
    assert words(ax)[0] == "400 recorded pairs"


def test_every_curve_is_drawn_where_it_is_and_in_its_own_line(recorded):
    ax = rate_current(Figure().subplots(), recorded, CURVES, low=-1, high=2.5)
    drawn = lines(ax)
    for name, curve in CURVES.items():
        x, y = drawn[name].get_data()
        assert (x[0], x[-1]) == (-1, 2.5)
        assert (y == curve(x)).all()
    assert to_hex(drawn["RGA"].get_color()) == "#d55e00"
    assert drawn["static, smooth"].get_linewidth() < drawn["static"].get_linewidth()
    assert words(ax)[1:] == ["their mean in bins", *CURVES]


def test_the_means_of_bins_are_those_of_a_naive_loop(recorded):
    ax = rate_current(Figure().subplots(), recorded, CURVES, low=-1, high=2.6)
    x, y = lines(ax)["their mean in bins"].get_data()
    expected = []
    for low in -1 + 0.15 * np.arange(24):
        inside = (recorded.current >= low) & (recorded.current < low + 0.15)
        if inside.sum() >= 10:
            expected.append((recorded.current[inside].mean(), recorded.rate[inside].mean()))
    assert 0 < len(expected) < 24
    assert np.allclose(np.stack([x, y], 1), expected)


def test_a_curve_of_one_s_own_is_drawn_too_and_so_is_a_picture_without_pairs_inside():
    figure = Figure()
    ax = figure.subplots()
    outside = pairs(np.full(20, 9.0), np.ones(20))
    rate_current(ax, outside, {"mine": np.zeros_like}, low=0, high=1)
    figure.canvas.draw()
    assert words(ax) == ["20 recorded pairs (100.0 % outside)", "their mean in bins", "mine"]
    assert len(lines(ax)["their mean in bins"].get_xdata()) == 0
