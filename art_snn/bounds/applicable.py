"""Which networks have bounds."""

import torch

from art_snn.checks import require
from art_snn.encoders import Poisson
from art_snn.layers import device_of
from art_snn.network import SpikingNetwork

REMEDY = "docs/bounds.md lists the layers that have bounds; attacks need none."


def check_bounded(network: SpikingNetwork) -> None:
    """Refuse, by a ValueError, a network whose encoder, precision or neurons have no bounds."""
    drawn, encoder = isinstance(network.encoder, Poisson), f"{network.encoder}"
    remedy = "art_snn.metrics.certify is for spikes drawn."
    require(not drawn, "classifier", "an encoder that draws nothing", encoder, remedy)
    dtype = network.dtype or torch.get_default_dtype()
    fits, remedy = dtype in (torch.float32, torch.float64), "Use network.float()."
    require(fits, "classifier", "a network in single or double precision", f"{dtype}", remedy)
    lowered = torch.is_autocast_enabled(device_of(network).type)
    expected, remedy = "a call outside of torch.autocast", "Close its block first."
    require(not lowered, "classifier", expected, "one within it", remedy)
    objection = network.bounds_objection()
    expected = "a network whose neurons take all time steps in one call"
    require(objection is None, "classifier", expected, str(objection), REMEDY)
    compiled = [n for n, m in network.named_modules() if isinstance(m, torch.jit.ScriptModule)]
    expected, remedy = "layers whose operations can be followed", "Leave torch.jit out."
    got = f"{compiled[0]}, compiled by torch.jit" if compiled else ""
    require(not compiled, "classifier", expected, got, remedy)
    for site in network.sites():
        unknown = site.dynamics.unknown
        fits = unknown is None and site.dynamics.obeys_equations
        got = f"{site.name} ({unknown or 'of other equations'})"
        require(fits, "classifier", "LIF and IF neurons", got, REMEDY)
