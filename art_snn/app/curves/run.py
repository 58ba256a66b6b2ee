"""Recording the pairs of one layer in networks of several decays, against their curves."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from art_snn.app.base import at_work
from art_snn.app.curves.figure import draw
from art_snn.app.curves.result import Curves, Recording, fit
from art_snn.app.curves.settings import Settings
from art_snn.app.trained import decay_label, folder_of
from art_snn.checks import require
from art_snn.curves import curves_of, find_layer, record
from art_snn.data import Dataset
from art_snn.dynamics import Dynamics
from art_snn.gradients import STBP
from art_snn.layers import device_of
from art_snn.measuring.machine import torch_device
from art_snn.network import VERIFIED, SpikingNetwork
from art_snn.progress import progress_over


@at_work
def run(settings: Settings) -> Curves:
    """Train or load every network, record it on the test samples, and compare with the curves.

    Writes curves.json, curves.md, curves.png and pairs.npz. An interrupted training goes on after
    its last whole epoch; trained networks lie in decay-<decay>/network.safetensors."""
    data, device, seed = settings.source.load(), torch_device(settings.device), settings.seed
    trained = [network.on(data) for network in settings.networks()]
    networks = [one.build(data, seed) for one in trained]
    kinds = [_checked(settings, network) for network in networks]
    decays = [decay_label(dynamics.decay) for dynamics in kinds]
    once, remedy = len(set(decays)) == len(decays), "One network of every decay is recorded."
    require(once, "decays", "one or more different ones", ", ".join(decays), remedy)
    recordings = []
    shown = progress_over(networks, "Networks", leave=False)
    for one, network, dynamics in zip(trained, shown, kinds, strict=True):
        folder = folder_of(settings.output, dynamics.decay)
        one.obtain(network.to(device), data, folder, seed)
        title, subject = one.words(data, network), one.as_dict(seed)
        recordings.append(recorded(settings, network, data, title, subject))
    result = Curves(settings.as_dict(), settings.rule, recordings)
    result.write(settings.output, draw(result))
    return result


def recorded(
    settings: Settings,
    network: SpikingNetwork,
    data: Dataset,
    title: str,
    subject: Mapping[str, Any] | None = None,
) -> Recording:
    """Record any network on the test samples.

    :param settings: of which data, network and output are not read.
    :param title: network and data in words; the subject is their settings, for JSON.
    :raises ValueError: when there is no such layer, its reset is soft, or beta or gamma does not
        fit."""
    dynamics = _checked(settings, network)
    # Verifies that the neurons of an adapted network fire as their dynamics say.
    some = torch.as_tensor(data.x_test[:VERIFIED], device=device_of(network))
    network.check(STBP(), some.to(network.dtype or some.dtype))
    how = {name: getattr(settings, name) for name in ("pairs", "batch_size", "seed")}
    pairs = record(network, data.x_test, settings.layer, **how)
    if not dynamics.is_standard:
        # The curves are those of the current as it arrives behind gain and constant.
        current = dynamics.effective(torch.as_tensor(pairs.current, device="cpu")).numpy()
        pairs, dynamics = replace(pairs, current=current), dynamics.standard
    curves = curves_of(dynamics.decay, dynamics.threshold, settings.rule)
    panel, name = fit(title, dynamics.decay, pairs, curves), f"decay-{decay_label(dynamics.decay)}"
    return Recording(name, subject or {}, dynamics, pairs, curves, panel)


def _checked(settings: Settings, network: SpikingNetwork) -> Dynamics:
    """The dynamics of the layer, which has a static curve and a polyline."""
    name, layers = find_layer(network, settings.layer), network.neuron_layers()
    dynamics = next(layer.site.dynamics for layer in layers if layer.name == name)
    hard = dynamics.reset == "hard"
    remedy = "The static curve is that of neurons with a hard reset."
    got = str(dynamics) if hard else repr(dynamics.reset)
    require(hard and dynamics.has_rate_curve, "reset", "'hard'", got, remedy)
    remedy = "A curve is drawn of one decay and one threshold."
    require(dynamics.uniform, "layer", "neurons that are all alike", str(dynamics), remedy)
    settings.rule.corners(dynamics.decay, dynamics.standard.threshold)
    return dynamics
