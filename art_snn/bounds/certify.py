"""Certificates by bounds: samples whose class no perturbation within a budget changes."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from numpy.typing import NDArray
from torch import Tensor, nn

from art_snn.attacks.distances import FLIPS, SHIFT, require_budget, require_measure
from art_snn.bounds.box import Box, Nonlinear, Spread, Unbounded
from art_snn.bounds.firing import METHODS, Method
from art_snn.bounds.inputs import Limits, perturbed
from art_snn.bounds.margins import margins
from art_snn.bounds.operations import Propagation
from art_snn.bounds.rounding import widening
from art_snn.checks import invalid, require, require_choice, require_count
from art_snn.classifier.inputs import as_array, checked_samples, class_indices, reaches_as_it_is
from art_snn.encoders import Poisson
from art_snn.gradients.fixed import holding
from art_snn.gradients.shared import repeats_one_step
from art_snn.layers import device_of
from art_snn.metrics.shares import Share
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept
from art_snn.progress import Progress
from art_snn.values import least

REMEDY = "docs/bounds.md lists the layers that have bounds; attacks need none."


@dataclass(frozen=True)
class BoundsCertificate:
    """Which samples no perturbation within a budget can break.

    :param eps, norm: the budget.
    :param method: that bounded the spikes.
    :param margin: lower bound of the true class's logit minus the largest other one, anywhere within
        the budget, float (N,)."""

    eps: float
    norm: float
    method: str
    margin: NDArray[np.float64]

    @property
    def certified(self) -> NDArray[np.bool_]:
        """Whether a sample is classified correctly everywhere within the budget, bool (N,)."""
        certified: NDArray[np.bool_] = self.margin > 0
        return certified

    @property
    def certified_accuracy(self) -> Share:
        """The share of those samples: a lower bound of the robust accuracy on all of them."""
        return Share(int(self.certified.sum()), len(self.margin))

    def __str__(self) -> str:
        return f"certified accuracy {self.certified_accuracy} by {self.method}"


def certify_bounds(
    classifier: PyTorchClassifier,
    x: np.ndarray,
    y: np.ndarray,
    eps: float,
    norm: float | str = np.inf,
    method: str = "counts",
    *,
    batch_size: int = 32,
    verbose: bool = False,
) -> BoundsCertificate:
    """Bound what any attack within a budget can do, sample by sample.

    Bounds hold for the network as it is computed, in any order of its sums: rounding is part of
    them. They cost a few forward passes.

    :param classifier: around a :class:`~art_snn.SpikingNetwork` whose encoder draws nothing, of
        convolutions, linear layers, batch norms, pooling, sums, and LIF or IF neurons.
    :param x: samples ``(N, *input_shape)``.
    :param y: true classes, indices (N,) or scores (N, K).
    :param eps: the budget; in norm 0 a number of values.
    :param norm: numpy.inf, 2, or 0 of binary event frames.
    :param method: "counts", or "s-ibp", which is never tighter.
    :param batch_size: samples per pass.
    :param verbose: show progress.
    :raises TypeError: when x or y is no array of real numbers.
    :raises ValueError: for a layer or neuron without bounds, by its name; for preprocessing, half
        precision, samples outside the clip values or other than binary ones in norm 0, or a bad
        setting."""
    network, measure = _network(classifier), require_measure(norm)
    expected, remedy = "numpy.inf, 2 or 0", "Shifts of spikes have no bounds yet."
    require(measure != SHIFT, "norm", expected, repr(norm), remedy)
    assert isinstance(measure, float)
    eps = require_budget(measure, eps)
    require_choice("method", method, METHODS, remedy="counts is never looser.")
    batch_size = require_count("batch_size", batch_size, remedy="Batches of 32 are usual.")
    samples = as_array(checked_samples(x, classifier.input_shape))
    labels = class_indices(y, len(samples), classifier.nb_classes)
    _check_range(classifier, samples, measure)
    with torch.no_grad():
        classifier.predict(samples[:1])  # Adapted networks verify their model, or refuse it.
    bounding = Bounding(network, METHODS[method](), eps, measure, classifier.clip_values)
    device, dtype = device_of(network), network.dtype or torch.get_default_dtype()
    results = [np.zeros(0)]
    with Progress("Bounds", len(samples), unit="samples", verbose=verbose) as progress:
        for start in range(0, len(samples), batch_size):
            rows = slice(start, start + batch_size)
            x_batch = torch.as_tensor(samples[rows], dtype=dtype, device=device)
            y_batch = torch.as_tensor(labels[rows], device=device)
            margin = bounding.margin(x_batch, y_batch)
            results.append(margin.double().cpu().numpy())
            progress.update(len(margin))
    return BoundsCertificate(float(eps), measure, method, np.concatenate(results))


class Bounding:
    """Passes of boxes through a network, as its modules are at present.

    :param limits: lowest and highest values of samples; None for none."""

    def __init__(
        self,
        network: SpikingNetwork,
        method: Method,
        eps: float,
        norm: float = np.inf,
        limits: Limits = None,
    ) -> None:
        self.network, self.method = network, method
        self.eps, self.norm, self.limits = eps, norm, limits
        self.averaged = method.averages and norm == np.inf and _integrates(network)

    def margin(self, x: Tensor, y: Tensor) -> Tensor:
        """The smallest margin [N] of samples [N, ...] of classes y [N]; -inf where there is none."""
        with modes_kept(self.network, False), _graphs(), holding(True):
            # Tensors of inference mode take no part in a graph.
            x, y = (part.clone() if part.is_inference() else part for part in (x, y))
            bounds = self.margins(x, y).detach()
        smallest = bounds.scatter(1, y[:, None], torch.inf).amin(1)
        return smallest.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)

    def margins(self, x: Tensor, y: Tensor, *, differentiable: bool = False) -> Tensor:
        """Lower bounds of z_y - z_j [N, K], 0 for y itself, with their graph if `differentiable`."""
        return margins(self.logits(x), y, differentiable=differentiable)

    def logits(self, x: Tensor) -> Box:
        """The box of the logits [N, K] of samples [N, ...], with the graph of its centres."""
        box = perturbed(x, self.eps, self.norm, self.limits)
        if self.averaged:
            try:
                return self._run(box)
            except Nonlinear:
                self.averaged = False
        return self._run(box)

    def _run(self, box: Box) -> Box:
        with _named(self.network):
            with Propagation():
                encoded = self.network.encode(box)
            if self.averaged:
                encoded = _means(encoded)
            with Propagation():
                logits = self.network.run(encoded, self.method.fire)
        assert isinstance(logits, Box)
        return logits


def _integrates(network: SpikingNetwork) -> bool:
    """Whether all neurons are IF neurons with soft reset."""
    dynamics = [site.dynamics for site in network.sites()]
    return all(one.reset == "soft" and least(one.decay) == 1 for one in dynamics)


def _means(encoded: Any) -> Box:
    """Means over the steps up to each one, of time steps [T, N, ...]."""
    assert isinstance(encoded, Box)
    spread = encoded.spread
    if repeats_one_step(encoded):
        return Box.around(encoded.centre, replace(spread, averaged=len(encoded)))
    steps = torch.arange(1, len(encoded) + 1, device=encoded.device, dtype=encoded.dtype)
    steps = steps.view(-1, *(1,) * (encoded.ndim - 1))
    centre, radius = (part.cumsum(0) / steps for part in (encoded.centre, spread.radius))
    slack = spread.slack + encoded.most * widening(len(encoded), encoded)
    return Box.around(centre, Spread(radius, slack, averaged=len(encoded)))


@contextmanager
def _graphs() -> Iterator[None]:
    """A block whose operations make a graph, wherever the caller is."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextmanager
def _named(network: SpikingNetwork) -> Iterator[None]:
    """Refuse what has no bounds by the name of the module that called for it."""
    try:
        yield
    except Nonlinear:
        raise
    except (Unbounded, OverflowError) as error:
        names = {module: name for name, module in network.named_modules() if name}
        frames = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
        places = [names[m] for m in frames if isinstance(m, nn.Module) and m in names]
        where = (
            f"{places[-1]} ({type(dict(network.named_modules())[places[-1]]).__name__})"
            if places
            else "the network"
        )
        expected = "a network of layers whose outputs can be bounded"
        raise invalid("classifier", expected, f"{where}, with {error}", REMEDY) from error


def _network(classifier: object) -> SpikingNetwork:
    """The network of a classifier that certificates hold for."""
    network = getattr(classifier, "model", None)
    if not isinstance(classifier, PyTorchClassifier) or not isinstance(network, SpikingNetwork):
        remedy = "Wrap a spiking network in PyTorchSpikingClassifier."
        got = type(classifier).__name__ if network is None else f"one of {type(network).__name__}"
        raise invalid("classifier", "a classifier of a spiking network", got, remedy)
    expected = "a classifier without preprocessing"
    remedy = "Put it into the network: TimeDistributed(Normalize(mean, std), ...)."
    require(reaches_as_it_is(classifier), "classifier", expected, "one with it", remedy)
    require(
        not classifier.postprocessing_defences,
        "classifier",
        "a classifier without postprocessing",
        "one with it",
        "Leave it out.",
    )
    check_bounded(network)
    return network


def check_bounded(network: SpikingNetwork) -> None:
    """Refuse, by a ValueError, a network whose encoder, precision or neurons have no bounds."""
    drawn = isinstance(network.encoder, Poisson)
    expected, remedy = (
        "an encoder that draws nothing",
        "art_snn.metrics.certify is for spikes drawn.",
    )
    require(not drawn, "classifier", expected, f"{network.encoder}", remedy)
    dtype = network.dtype or torch.get_default_dtype()
    fits, remedy = dtype in (torch.float32, torch.float64), "Use network.float()."
    require(fits, "classifier", "a network in single or double precision", f"{dtype}", remedy)
    lowered = torch.is_autocast_enabled(device_of(network).type)
    expected, remedy = "a call outside of torch.autocast", "Close its block first."
    require(not lowered, "classifier", expected, "one within it", remedy)
    objection = network.bounds_objection()
    expected, remedy = "a network whose neurons take all time steps in one call", REMEDY
    require(objection is None, "classifier", expected, str(objection), remedy)
    for site in network.sites():
        unknown = site.dynamics.unknown
        fits = unknown is None and site.dynamics.obeys_equations
        got = f"{site.name} ({unknown or 'of other equations'})"
        require(fits, "classifier", "LIF and IF neurons", got, REMEDY)


def _check_range(classifier: PyTorchClassifier, samples: np.ndarray, norm: float) -> None:
    """Refuse samples outside of the clip values, and for flips others than of the two."""
    limits = classifier.clip_values
    if norm == FLIPS:
        expected, remedy = "a classifier with clip_values", "Give clip_values=(0, 1)."
        require(limits is not None, "classifier", expected, "one without", remedy)
        inside = bool(((samples == limits[0]) | (samples == limits[1])).all())
        remedy = "Flips are of binary event frames: clip counts at 1."
        expected = f"values {np.min(limits[0]):g} and {np.max(limits[1]):g} alone in norm 0"
        require(inside, "x", expected, "others", remedy)
    elif limits is not None:
        inside = bool(((samples >= limits[0]) & (samples <= limits[1])).all())
        got = "others" if inside else f"values from {samples.min():g} to {samples.max():g}"
        remedy = "Scale the samples, or make the classifier with other clip_values."
        require(inside, "x", f"values within clip_values, {limits}", got, remedy)
