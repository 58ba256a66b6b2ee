"""Models of one step in a call, as users of the frameworks have them, and their loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from art_snn.interop import adapt
from tests.frameworks.loading import cases, load

STEPS = 5


@dataclass(frozen=True)
class Script:
    """A model, and the loop over time that stands in its user's script.

    :param run: model and images -> logits.
    :param options: of adapt.
    :param refused: rules that do not apply."""

    name: str
    model: Callable[[], nn.Module]
    run: Callable[[Any, Tensor], Tensor]
    options: dict[str, Any]
    refused: tuple[str, ...] = ()


def images() -> Tensor:
    return 8 * torch.rand(3, 1, 12, 12, generator=torch.Generator().manual_seed(1))


def quickstart() -> nn.Module:
    """That of snnTorch, with ten learned betas."""
    snn, surrogate = load("snntorch", "1.", "snntorch", "snntorch.surrogate")
    hidden = {"beta": 0.5, "spike_grad": surrogate.fast_sigmoid(slope=25), "init_hidden": True}
    betas = torch.linspace(0.3, 0.9, 10)
    return nn.Sequential(
        nn.Conv2d(1, 4, 5),
        nn.MaxPool2d(2),
        snn.Leaky(**hidden),
        nn.Flatten(),
        nn.Linear(64, 10),
        snn.Leaky(**{**hidden, "beta": betas}, learn_beta=True, output=True),
    )


def recorded(place: int) -> Callable[[Any, Tensor], Tensor]:
    def run(net: Any, x: Tensor) -> Tensor:
        (utils,) = load("snntorch", "1.", "snntorch.utils")
        utils.reset(net)
        return torch.stack([net(x)[place] for _ in range(STEPS)]).mean(0)

    return run


def in_mode_s(real: Any) -> list[Script]:
    """SpikingJelly in its default step mode."""

    def model() -> nn.Module:
        return nn.Sequential(real.Flatten(), real.Linear(144, 10), real.LIFNode(tau=2.0))

    def run(net: Any, x: Tensor) -> Tensor:
        real.reset_net(net)
        return torch.stack([net(x) for _ in range(STEPS)]).mean(0)

    return [Script("step mode s", model, run, {})]


def with_states(real: Any) -> list[Script]:
    """Norse's SequentialState with an unknown neuron."""

    def model() -> nn.Module:
        box = real.LIFBoxCell(real.LIFBoxParameters(tau_mem_inv=torch.tensor(300.0)))
        parts = (nn.Flatten(), nn.Linear(144, 20), box, nn.Linear(20, 20), real.LIFAdExCell())
        return real.SequentialState(*parts, nn.Linear(20, 10))

    def run(net: Any, x: Tensor) -> Tensor:
        state, outputs = None, []
        for _ in range(STEPS):
            output, state = net(x, state)
            outputs.append(output)
        return torch.stack(outputs).mean(0)

    return [Script("states", model, run, {}, ("rga", "hart"))]


def of_snntorch(real: Any) -> list[Script]:
    return [
        Script(f"quickstart {readout}", quickstart, recorded(place), {"readout": readout})
        for place, readout in enumerate(("spikes", "potential"))
    ]


SCRIPTS = [
    *cases("spikingjelly", in_mode_s),
    *cases("snntorch", of_snntorch),
    *cases("norse", with_states),
]
every_script = pytest.mark.parametrize("script", SCRIPTS, ids=lambda one: getattr(one, "name", ""))


def fresh(script: Script) -> nn.Module:
    torch.manual_seed(0)
    return script.model().eval()


@pytest.mark.parametrize("rule", ["rga", "stbp", "hart", "native"])
@every_script
@pytest.mark.filterwarnings("ignore:the rule knows no equations")
def test_logits_are_those_of_the_script_and_every_rule_has_a_gradient(script, rule):
    network, x = adapt(fresh(script), steps=STEPS, **script.options), images().requires_grad_()
    if rule in script.refused:
        with pytest.raises(ValueError, match="neuron '4'"):
            network.gradient = rule
        return
    with network.using(rule):
        logits = network(x)
    with torch.no_grad():
        assert torch.equal(logits, script.run(fresh(script), x))
    assert torch.autograd.grad(logits.sum(), x)[0].any()


@every_script
def test_native_is_plain_autograd_through_the_script(script):
    network, grads = adapt(fresh(script), steps=STEPS, **script.options), []
    for logits in (network, lambda x: script.run(fresh(script), x)):
        leaf = images().requires_grad_()
        with network.using("native"):
            grads += torch.autograd.grad(logits(leaf).sum(), leaf)
    torch.testing.assert_close(*grads)


@every_script
def test_without_time_steps_the_remedy_is_to_give_them(script):
    with pytest.raises(ValueError, match=r"one of them .*steps=25"):
        adapt(fresh(script), encoder=None)(images())
