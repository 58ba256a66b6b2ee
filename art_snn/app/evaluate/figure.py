from matplotlib.figure import Figure

from art_snn.app.colours import titled
from art_snn.app.evaluate.result import Evaluated
from art_snn.app.report.figures import accuracy_figure


def draw(result: Evaluated) -> Figure:
    """Accuracy against the budget, as a file of its own."""
    figure = accuracy_figure(result.evaluation, width=6.5)
    titled(figure, result.evaluation.name, result.evaluation.title)
    return figure
