"""What the drawings show."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from art_snn.evaluation import Robustness
from art_snn.plotting import accuracy_against_eps, image_row


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
