"""Passes of boxes through a network, from samples to margins."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from art_snn.bounds.applicable import REMEDY
from art_snn.bounds.box import Box, Nonlinear, Spread, Unbounded
from art_snn.bounds.firing import Method
from art_snn.bounds.inputs import Limits, perturbed
from art_snn.bounds.margins import margins
from art_snn.bounds.operations import Propagation
from art_snn.bounds.rounding import widening
from art_snn.checks import invalid
from art_snn.dynamics import least
from art_snn.gradients.fixed import holding
from art_snn.gradients.shared import repeats_one_step
from art_snn.network import SpikingNetwork
from art_snn.passes import modes_kept


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
        """The smallest margin [N] of samples [N, ...] of classes y [N]; -inf where none holds."""
        with modes_kept(self.network, False), _graphs(), holding(True):
            # Tensors of inference mode take no part in a graph.
            x, y = (part.clone() if part.is_inference() else part for part in (x, y))
            bounds = self.margins(x, y).detach()
        smallest = bounds.scatter(1, y[:, None], torch.inf).amin(1)
        return smallest.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)

    def margins(self, x: Tensor, y: Tensor, *, differentiable: bool = False) -> Tensor:
        """Lower bounds of z_y - z_j [N, K], 0 for y itself.

        :param x: samples [N, ...] within the limits.
        :param y: class indices [N].
        :param differentiable: whether the bounds are to be differentiated by weights."""
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
        return Box.around(encoded.centre, replace(spread, averaged=len(encoded), unmixed=True))
    most, averaged = encoded.most, len(encoded)
    steps = torch.arange(1, len(encoded) + 1, device=encoded.device, dtype=encoded.dtype)
    steps = steps.view(-1, *(1,) * (encoded.ndim - 1))
    centre, radius = (part.cumsum(0) / steps for part in (encoded.centre, spread.radius))
    slack = spread.slack.amax() + most * widening(averaged, encoded)
    return Box.around(centre, Spread(radius, slack, most, averaged))


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
        where = _place(network, error)
        expected = "a network of layers whose outputs can be bounded"
        raise invalid("classifier", expected, f"{where}, with {error}", REMEDY) from error


def _place(network: SpikingNetwork, error: BaseException) -> str:
    """The innermost module of the network that an error has passed, in words."""
    modules = network.named_modules()
    names = {module: f"{name} ({type(module).__name__})" for name, module in modules if name}
    frames = [frame.f_locals.get("self") for frame, _ in traceback.walk_tb(error.__traceback__)]
    passed = [names[m] for m in frames if isinstance(m, nn.Module) and m in names]
    return passed[-1] if passed else "the network"
