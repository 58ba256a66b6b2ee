"""Titles of pictures."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from art_snn.app.colours import titled


def test_what_users_write_is_no_formula():
    figure = Figure(figsize=(5, 3))
    titled(figure, "costs $5_{")
    figure.canvas.draw()
    drawn = [artist for artist in figure.findobj(Text) if artist.get_text() == "costs $5_{"]
    assert [artist.get_parse_math() for artist in drawn] == [False]


@pytest.mark.parametrize("width", [5, 7, 9])
@pytest.mark.parametrize("word", ["RGA(beta=2.0, gamma=0.2), ", "somewhere/"])
@pytest.mark.parametrize("fontsize", ["medium", "small"])
def test_no_title_leaves_the_picture(width, word, fontsize):
    figure = Figure(figsize=(width, 3))
    titled(figure, "short", 40 * word, fontsize=fontsize)
    figure.canvas.draw()
    (title,) = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text())
    box = title.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert title.get_text().splitlines()[0] == "short"
    assert "".join(title.get_text().split()) == "short" + "".join((40 * word).split())


def test_a_picture_grows_by_the_lines_that_its_title_is_folded_into():
    short, long = Figure(figsize=(5, 1), layout="constrained"), Figure(figsize=(5, 1))
    titled(short, "short", "name")
    titled(long, "short", 40 * "somewhere/")
    lines = next(iter(long.findobj(Text))).get_text().count("\n")
    assert short.get_figheight() == 1
    assert long.get_figheight() == pytest.approx(1 + 0.2 * (lines - 1))
