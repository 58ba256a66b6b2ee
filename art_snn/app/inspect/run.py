"""What a network consists of, and what every rule does on it: found out by trying."""

from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np
import torch
from torch import nn

from art_snn import checkpoint
from art_snn.app.base import at_work
from art_snn.app.inspect.result import Inspection, Neurons, Tried
from art_snn.app.inspect.settings import Settings
from art_snn.app.resume import earlier
from art_snn.checks import ArgumentError
from art_snn.gradients import Gradient
from art_snn.layers import device_of
from art_snn.measuring.machine import torch_device
from art_snn.metrics import Share
from art_snn.network import SpikingNetwork
from art_snn.passes import calls_of, modes_kept
from art_snn.progress import progress_over
from art_snn.seeding import seeded


@at_work
def run(settings: Settings) -> Inspection:
    """Build or load the network, look at its neurons, try every rule; write inspect.json, .md."""
    earlier(settings.output / "inspect.json", "kind", dict, lambda content: "neurons" in content)
    data = settings.data()
    trained = settings.network.on(data)
    network = trained.build(data)
    if settings.checkpoint is not None:
        checkpoint.load(network, settings.checkpoint)
    network.to(torch_device(settings.device))
    x, y = data.x_test[: settings.batch_size], data.y_test[: settings.batch_size]
    title = f"{trained.words(data, network)}, batch {len(x)}, {'x'.join(map(str, x.shape[1:]))}"
    result = inspected(network, x, y, settings.rules, title)
    result.write(settings.output)
    return result


def inspected(
    network: SpikingNetwork,
    x: np.ndarray,
    y: np.ndarray,
    rules: Mapping[str, Gradient],
    title: str = "",
) -> Inspection:
    """Inspect any network, which is left as it was, on samples [N, ...] of classes [N]."""
    device = device_of(network)
    inputs = torch.as_tensor(x, device=device).float()
    labels = torch.as_tensor(y, device=device).long()
    names = ("encoder", "gradient", "training_gradient")
    attributes = {name: str(getattr(network, name)) for name in names}
    with modes_kept(network, False), seeded(0):
        neurons = _neurons(network, inputs, rules)
        results = {
            name: _tried(network, rule, inputs, labels)
            for name, rule in progress_over(rules.items(), "Rules", leave=False)
        }
    attributes = {"time": network.timing(), **attributes, **network.remarks()}
    return Inspection(title, attributes, neurons, results)


@torch.no_grad()
def _neurons(
    network: SpikingNetwork, x: torch.Tensor, rules: Mapping[str, Gradient]
) -> list[Neurons]:
    """Every layer of neurons, with its rate in one pass."""
    layers, sites = network.neuron_layers(), {site.name for site in network.sites()}
    with ExitStack() as stack:
        recorded = [stack.enter_context(calls_of(layer.module)) for layer in layers]
        network(x)
    neurons = []
    for layer, calls in zip(layers, recorded, strict=True):
        rate = float((network.in_time(layer, calls)[1] != 0).double().mean()) if calls else None
        kind, name, dynamics = type(layer.module).__qualname__, layer.site.name, layer.site.dynamics
        reasons = {n: rule.objection(dynamics, network.encoder) for n, rule in rules.items()}
        objections = {n: reason for n, reason in reasons.items() if reason is not None}
        same = layer.layout, dynamics, rate, name not in sites
        neurons.append(Neurons(name, kind, *same, objections))
    return neurons


def _tried(network: SpikingNetwork, rule: Gradient, x: torch.Tensor, y: torch.Tensor) -> Tried:
    """One gradient by the rule, or why there is none."""
    reason = network.objection(rule)
    if reason is not None:
        return Tried(str(rule), objection=reason)
    twin = network.twin()
    try:
        with twin.using(rule):
            leaf = x.clone().requires_grad_()
            loss = nn.functional.cross_entropy(twin(leaf), y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, leaf)
    except ArgumentError as error:
        return Tried(str(rule), refusal=str(error))
    except Exception as error:
        # A model that fails under a rule is what is to be found out.
        first = str(error).partition("\n")[0]
        return Tried(str(rule), refusal=f"it failed with {type(error).__name__}: {first}")
    zero = int((gradient.flatten(1) == 0).all(1).sum())
    return Tried(str(rule), str(twin.execution), vanished=Share(zero, len(x)))
