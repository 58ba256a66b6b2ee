from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from art_snn.experiments.train.figure import framed, training_curves

if TYPE_CHECKING:
    from art_snn.experiments.train.result import Fitted


def draw(fitted: "Fitted") -> Figure:
    """Loss, and validation accuracy under attack, against the epoch."""
    figure, ax = framed(fitted.title, f"against {fitted.against}")
    training_curves(ax, fitted.history, "accuracy under attack [%]")
    return figure
