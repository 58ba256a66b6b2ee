"""Changes after the first pass, and differences beyond the first samples, are noticed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from art_snn import Frames
from art_snn.interop import adapt
from art_snn.network import SpikingNetwork
from tests.interop.neurons import Step, Steps
from tests.interop.promises import answer, gradient
from tests.interop.stacks import CLASSES, images, lively
from tests.interop.test_refusals import Leap


class Floored(Steps):
    """Its potential has a floor, which its dynamics do not know, and a gain."""

    gain, floor = 1.0, -2.0

    def step(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        u = torch.add(self.gain * x, v, alpha=self.decay).clamp(min=self.floor)
        s = self.fire(u - self.threshold)
        return s, u, u - u * s


class FlooredStep(Step):
    """The same, step by step."""

    gain, floor, step = 1.0, -2.0, Floored.step


def model(neuron: nn.Module) -> nn.Module:
    layers = nn.Flatten(-3), nn.Linear(9, 12, bias=False), neuron, nn.Linear(12, CLASSES)
    made = lively(nn.Sequential(*layers), 1.0)
    with torch.no_grad():
        made[1].weight.abs_()
    return made


DIFFER = "no equations of neurons can be used: .* of whose spikes .* differ"
neurons = pytest.mark.parametrize("neuron", [Floored, FlooredStep])


def steady(samples: int) -> Tensor:
    """Event frames [N, T, ...] under which neurons fire and are silent, above the floor."""
    x = images(samples) * torch.linspace(0, 1, samples).view(-1, 1, 1, 1)
    return torch.stack([x] * 4, 1)


def falling(samples: int) -> Tensor:
    """Frames under which potentials fall below the floor, and rise from there."""
    x = images(samples)
    return torch.stack([x, -30 * x, 9 * x, x], 1)


@neurons
def test_equations_that_differ_beyond_the_first_eight_samples_are_not_used(neuron):
    network, later = (adapt(model(neuron()), encoder=Frames(4)) for _ in range(2))
    with pytest.warns(UserWarning, match=DIFFER):
        gradient(network, "stbp", torch.cat([steady(8), falling(6)]))
    gradient(later, "stbp", steady(8))
    if neuron is FlooredStep:  # Step by step, samples of every batch are compared.
        assert is_refused(later, falling(8))


def is_refused(network: SpikingNetwork, x: Tensor) -> bool:
    try:
        gradient(network, "stbp", x)
    except ValueError as error:
        return "register_neuron" in str(error) and "equations=False" in str(error)
    return False


def test_samples_of_later_batches_that_differ_are_noticed_on_a_schedule():
    network = adapt(model(Floored()), encoder=Frames(4))
    gradient(network, "stbp", steady(8))
    noticed = [number for number in range(2, 40) if is_refused(network, falling(8))]
    assert noticed == [4, 8, 16, 32]


@pytest.mark.filterwarnings("ignore:the gradient under")  # Of the silent batch it is zero.
@pytest.mark.parametrize("first", [0, 1])
def test_a_network_that_is_called_step_by_step_runs_once_in_a_pass(first):
    """Whether its neurons were silent at first, and are compared again on eight samples, or not."""
    runs = list[int]()

    class Seen(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            runs.append(len(x))
            return super().forward(x)

    made = model(FlooredStep())
    made[3] = Seen(12, CLASSES)
    network = adapt(made, encoder=Frames(4))
    gradient(network, "stbp", first * steady(16))
    for _ in range(32):
        runs.clear()
        gradient(network, "stbp", steady(16))
        assert runs.count(16) == 4


@neurons
@pytest.mark.filterwarnings("ignore:the gradient under")  # A floor lets all neurons fire.
@pytest.mark.parametrize(("setting", "value"), [("gain", 0.3), ("floor", 2.0)])
def test_a_setting_that_the_dynamics_do_not_read_is_noticed_when_it_changes(neuron, setting, value):
    network = adapt(model(neuron()), encoder=Frames(4))
    gradient(network, "stbp", steady(8))
    setattr(network.layers[2], setting, value)
    with pytest.warns(UserWarning, match=DIFFER):
        gradient(network, "stbp", steady(8))


def test_a_flag_that_turns_on_a_function_of_the_model_s_own_is_noticed():
    class Quantised(nn.Module):
        quantise = False

        def __init__(self) -> None:
            super().__init__()
            self.body = model(Steps())

        def forward(self, x: Tensor) -> Tensor:
            return self.body(Leap.apply(x) if self.quantise else x)

    network = adapt(Quantised().eval(), steps=4)
    gradient(network, "rga", images())
    network.layers.quantise = True
    with pytest.raises(ValueError, match="Leap in its graph"):
        gradient(network, "rga", images())


@pytest.mark.parametrize("rule", ["rga", "stbp", "native"])
def test_edits_of_weights_are_no_reason_to_refuse(rule):
    network = adapt(model(Steps()), steps=4)
    for factor in (1.0, 0.5, 2.0):
        network.layers[3].weight.data.mul_(factor)
        logits, _ = gradient(network, rule, images())
        assert torch.equal(answer(network, None, images()), logits)
        network.layers[1].weight.data.mul_(factor)
        gradient(network, rule, images())


def test_a_silent_network_is_not_verified_again_until_its_logits_change():
    runs = list[int]()

    class Mixing(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            runs.append(x.shape[1])
            return super().forward(x.flip(1) if x.any() else x)

    made = model(Floored())
    made[3] = Mixing(12, CLASSES)
    network = adapt(made, encoder=Frames(4))
    silent = torch.zeros_like(steady(16))
    with pytest.warns(UserWarning, match="zero"):
        gradient(network, "stbp", silent)
    for _ in range(2):
        runs.clear()
        gradient(network, "stbp", silent)
        assert runs == [16]
    with pytest.raises(ValueError, match="whatever else is in its batch"):
        gradient(network, "stbp", steady(16))
