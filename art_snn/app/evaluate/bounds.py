"""What bounds prove of samples, and whether a network and its samples have bounds."""

import numpy as np

from art_snn.app.evaluate.settings import BOUNDED, Settings
from art_snn.app.report.evaluation import Bounds
from art_snn.bounds import certify_bounds
from art_snn.checks import ArgumentError
from art_snn.classifier import PyTorchSpikingClassifier


def bounds_of(
    settings: Settings,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    eps: float,
) -> Bounds:
    """What is proven of samples x of classes y at a budget."""
    how, size = (settings.measure, BOUNDED), settings.batch_size
    certificate = certify_bounds(classifier, x, y, eps, *how, batch_size=size)
    return Bounds(eps, BOUNDED, settings.check_bounds, certificate.margin)


def require_bounds(
    settings: Settings, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
) -> None:
    """Complain about a network without bounds, whatever weights it has, and about its samples.

    A few of them are tried: the first, and those of the lowest value, of the highest one, and of
    most values in between."""
    flat = x.reshape(len(x), -1)
    lows, highs = flat.min(1), flat.max(1)
    between = ((flat > lows.min()) & (flat < highs.max())).sum(1)
    rows = np.unique([0, lows.argmin(), highs.argmax(), between.argmax()])
    try:
        bounds_of(settings, classifier, x[rows], y[rows], settings.budgets[0])
    except ArgumentError as error:
        argument = "bounds" if error.argument == "classifier" else error.argument
        raise ArgumentError(argument, error.complaint) from error
