"""What the drawing of growing costs shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from art_snn.app.scaling import Cell
from art_snn.app.scaling.figure import draw, memory_against_steps, time_against_steps
from tests.app.scaling.standins import MODELS, figures


def test_a_line_per_rule_shows_the_figures_and_where_they_come_from():
    ax = time_against_steps(Figure().subplots(), figures(), "vgg5")
    measured, fitted = ax.lines[::2], ax.lines[1::2]
    labels = [line.get_label() for line in measured]
    assert labels == ["inference", "attack by RGA", "attack by STBP"]
    assert [to_hex(line.get_color()) for line in measured] == ["#000000", "#d55e00", "#0072b2"]
    assert [line.get_color() for line in measured] == [line.get_color() for line in fitted]
    assert [list(line.get_xdata()) for line in measured] == [[2, 4]] * 3
    assert [list(line.get_ydata()) for line in measured] == [[1, 2], [3, 5], [4, 8]]
    assert [list(line.get_xdata()) for line in fitted] == [[0, 4]] * 3
    np.testing.assert_allclose([line.get_ydata() for line in fitted], [[0, 2], [1, 5], [0, 8]])
    assert ax.get_ylabel() == "time [s]"
    assert (ax.get_xlim()[0], ax.get_ylim()[0]) == (0, 0)
    assert list(ax.get_xticks()) == [0, 2, 4]


def test_memory_is_drawn_in_mebibytes():
    ax = memory_against_steps(Figure().subplots(), figures(), "vgg5")
    assert [list(line.get_ydata()) for line in ax.lines[::2]] == [[1, 1], [8, 8], [2, 4]]
    assert ax.get_ylabel() == "peak memory [MiB]"


def test_figures_that_failed_leave_a_gap():
    whole = figures(steps=(2, 4, 8))
    middle = Cell("vgg5", 4, {"rga": 5.0}, {}, {"stbp": "killed"})
    gap = replace(whole, cells=(whole.cells[0], middle, whole.cells[2]))
    shown = {
        line.get_label(): list(line.get_xdata())
        for line in time_against_steps(Figure().subplots(), gap, "vgg5").lines
    }
    assert (shown["attack by RGA"], shown["attack by STBP"]) == ([2, 4, 8], [2, 8])
    empty = replace(figures(), cells=(Cell("vgg5", 2), Cell("vgg5", 4)))
    ax = memory_against_steps(Figure().subplots(), empty, "vgg5")
    assert not any(len(line.get_xdata()) for line in ax.lines)


def test_the_chart_has_a_column_per_model():
    figure = draw(figures(models=MODELS))
    axes = figure.get_axes()
    assert [ax.get_title() for ax in axes] == [*MODELS, "", ""]
    assert [ax.get_ylabel() for ax in axes] == ["time [s]"] * 2 + ["peak memory [MiB]"] * 2
    legend = [text.get_text() for text in axes[0].get_legend().get_texts()]
    assert legend == ["inference", "attack by RGA", "attack by STBP"]
    assert "10 random images of 1x4x4" in figure.get_suptitle()
