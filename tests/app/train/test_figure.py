"""What the drawing of a training run shows."""

from __future__ import annotations

import pytest
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from art_snn.app.train.figure import training_curves
from art_snn.training import Epoch

RUN = [Epoch(1, 1.5, 0.5), Epoch(2, 1.0, 0.75), Epoch(3, 0.25, 0.75)]


def test_loss_at_the_left_and_validation_accuracy_at_the_right_are_drawn_over_the_epochs():
    figure = Figure()
    left = training_curves(figure.subplots(), RUN)
    _, right = figure.axes
    (loss,) = left.lines
    assert (list(loss.get_xdata()), list(loss.get_ydata())) == ([1, 2, 3], [1.5, 1.0, 0.25])
    assert (left.get_xlabel(), left.get_ylabel()) == ("epoch", "training loss")
    assert left.get_ylim()[0] == 0
    accuracy = right.lines[0]
    assert (list(accuracy.get_xdata()), list(accuracy.get_ydata())) == ([1, 2, 3], [50, 75, 75])
    assert right.get_ylabel() == "validation accuracy [%]"
    assert right.get_ylim() == (0, 100)
    assert loss.get_color() != accuracy.get_color()


def test_a_dot_marks_the_epoch_whose_weights_were_kept():
    figure = Figure()
    training_curves(figure.subplots(), RUN)
    _, dot = figure.axes[1].lines
    assert (list(dot.get_xdata()), list(dot.get_ydata()), dot.get_marker()) == ([2], [75], "o")


def test_without_validation_there_is_no_right_axis():
    figure = Figure()
    training_curves(figure.subplots(), [Epoch(1, 1.5), Epoch(2, 1.0)])
    (left,) = figure.axes
    assert list(left.lines[0].get_ydata()) == [1.5, 1.0]


def test_a_single_epoch_is_seen_and_epochs_are_whole_numbers():
    figure = Figure()
    left = training_curves(figure.subplots(), RUN[:1])
    assert left.lines[0].get_marker() == "o"
    locator = left.xaxis.get_major_locator()
    assert isinstance(locator, MaxNLocator)
    assert all(float(tick).is_integer() for tick in locator.tick_values(1, 3))


def test_no_epoch_is_refused():
    message = r"^history: expected at least one epoch, got none\. Train first\."
    with pytest.raises(ValueError, match=message):
        training_curves(Figure().subplots(), [])
