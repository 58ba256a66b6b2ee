"""Titles of pictures."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from art_snn.app.tables import SERIES, write_title


def lab(colour: str) -> np.ndarray:
    """A colour in CIELAB, in which distances are those of the eye."""
    red_green_blue = np.array(to_rgb(colour))
    linear = np.where(
        red_green_blue <= 0.04045, red_green_blue / 12.92, ((red_green_blue + 0.055) / 1.055) ** 2.4
    )
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.array(matrix) @ linear / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours_of_lines_differ_to_the_eye():
    colours = list(map(lab, SERIES))
    assert min(np.linalg.norm(a - b) for a, b in combinations(colours, 2)) > 30


def test_what_users_write_is_no_formula():
    figure = Figure(figsize=(5, 3))
    write_title(figure, "costs $5_{")
    figure.canvas.draw()
    drawn = [artist for artist in figure.findobj(Text) if artist.get_text() == "costs $5_{"]
    assert [artist.get_parse_math() for artist in drawn] == [False]


@pytest.mark.parametrize("width", [5, 7, 9])
@pytest.mark.parametrize("word", ["RGA(beta=2.0, gamma=0.2), ", "somewhere/"])
@pytest.mark.parametrize("fontsize", ["medium", "small"])
def test_no_title_leaves_the_picture(width, word, fontsize):
    figure = Figure(figsize=(width, 3))
    write_title(figure, "short", 40 * word, fontsize=fontsize)
    figure.canvas.draw()
    (title,) = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text())
    box = title.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.width
    assert title.get_text().splitlines()[0] == "short"
    assert "".join(title.get_text().split()) == "short" + "".join((40 * word).split())


def test_a_picture_grows_by_the_lines_that_its_title_is_folded_into():
    short, long = Figure(figsize=(5, 1), layout="constrained"), Figure(figsize=(5, 1))
    write_title(short, "short", "name")
    write_title(long, "short", 40 * "somewhere/")
    lines = next(iter(long.findobj(Text))).get_text().count("\n")
    assert short.get_figheight() == 1
    assert long.get_figheight() == pytest.approx(1 + 0.2 * (lines - 1))
