"""What the demo's pictures show."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from art_snn.app.demo import ATTACKS, GRADIENTS, Demonstration, Settings
from art_snn.app.demo.figure import accuracy_against_eps, draw_curves, image_row
from art_snn.metrics import Robustness


def test_a_curve_shows_robust_accuracy_from_budget_zero_on():
    correct = np.array([True, True, True, False])
    outcomes = [Robustness(correct, np.array([True, kept, False, False])) for kept in (True, False)]
    ax = accuracy_against_eps(Figure().subplots(), [0.1, 0.2], {("FGSM", "rga"): outcomes})
    (line,) = ax.lines
    assert list(line.get_xdata()) == [0, 0.1, 0.2]
    assert list(line.get_ydata()) == [75, 50, 25]
    assert line.get_label() == "FGSM by RGA"


def test_the_curves_start_at_the_clean_accuracy():
    correct, flips = np.ones(40, dtype=bool), {"rga": 20, "stbp": 10}
    curves = {
        (attack, gradient): [Robustness(correct, np.arange(40) >= flips[gradient])]
        for attack in ATTACKS
        for gradient in GRADIENTS
    }
    outcome = Demonstration(Settings(eps=(0.1,)), accuracy={"plain": 1.0}, curves={"plain": curves})
    axes = draw_curves(outcome).axes
    assert [line.get_ydata()[0] for line in axes[0].lines] == [100.0] * 4
    assert sorted({line.get_ydata()[1] for line in axes[0].lines}) == [50.0, 75.0]


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
