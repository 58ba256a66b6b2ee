"""Flips change few windows and few steps, and no choice of them leaves what bounds say."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import IF, LIF, STBP, Direct, Frames, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import METHODS, Bounding
from art_snn.bounds.box import Box, Spread
from art_snn.bounds.departures import Departure, Window
from art_snn.bounds.intervals import flip_intervals, step_intervals
from art_snn.bounds.operations import Propagation
from art_snn.dynamics import Dynamics
from art_snn.gradients.base import simulation
from tests.conftest import varied

SIDE, STEPS, CLASSES = 6, 2, 3


def norm(channels: int, kind=nn.BatchNorm2d) -> nn.Module:
    """Batch norm whose scales have both signs."""
    made = kind(channels)
    made.weight.data.uniform_(-1.5, 1.5)
    made.running_mean.normal_(std=0.2)
    return made.eval()


class Call(nn.Module):
    """A function as a module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def ends(places: int) -> list[nn.Module]:
    return [Timed(nn.Flatten(), nn.Linear(places, 8)), LIF(), Timed(nn.Linear(8, CLASSES))]


FORMS = {
    "a convolution and a linear layer": lambda: [Timed(nn.Conv2d(1, 2, 2)), LIF(), *ends(50)],
    "two convolutions": lambda: [
        Timed(nn.Conv2d(1, 4, 2)),
        LIF(0.5, 0.5, "soft"),
        Timed(nn.Conv2d(4, 4, 3, padding=1, groups=2)),
        LIF(),
        *ends(100),
    ],
    "strides": lambda: [
        Timed(nn.Conv2d(1, 4, 3, stride=2, padding=1)),
        LIF(),
        Timed(nn.Conv2d(4, 3, 3, stride=1, dilation=1, padding=1)),
        LIF(0.9),
        *ends(27),
    ],
    "dilation": lambda: [
        Timed(nn.Conv2d(1, 3, 2)),
        IF(),
        Timed(nn.Conv2d(3, 3, 2, dilation=2)),
        LIF(),
        *ends(27),
    ],
    "batch norms": lambda: [
        Timed(nn.Conv2d(1, 4, 2, bias=False), norm(4)),
        LIF(),
        Timed(nn.Conv2d(4, 3, 3), nn.Dropout(), norm(3)),
        LIF(),
        Timed(nn.Flatten(), nn.Linear(27, 8), norm(8, nn.BatchNorm1d)),
        LIF(),
        Timed(nn.Linear(8, CLASSES)),
    ],
    "a linear layer first": lambda: ends(SIDE**2),
    "averages between": lambda: [
        Timed(nn.Conv2d(1, 3, 3, padding=1)),
        LIF(),
        Timed(nn.AvgPool2d(2), nn.Conv2d(3, 3, 2, padding=1)),
        LIF(),
        Timed(nn.Conv2d(3, 3, 3, padding="same"), nn.AdaptiveAvgPool2d(2)),
        LIF(),
        *ends(12),
    ],
    "averages of few places": lambda: [
        Timed(nn.Conv2d(1, 4, 2, stride=2)),
        LIF(),
        Timed(nn.Conv2d(4, 4, 1), nn.MaxPool2d(3, 1, 1), nn.AvgPool2d(3, 2, 1)),
        LIF(),
        *ends(16),
    ],
    "numbers added": lambda: [
        Timed(nn.Conv2d(1, 3, 2)),
        LIF(),
        Timed(Call(lambda x: 1 - x), nn.Conv2d(3, 3, 3)),
        LIF(),
        *ends(27),
    ],
    "axes exchanged": lambda: [
        Timed(nn.Conv2d(1, 5, 2)),
        LIF(),
        Timed(Call(lambda x: x.transpose(1, 3)), nn.Conv2d(5, 3, 2), nn.Flatten()),
        LIF(),
        Timed(nn.Linear(48, CLASSES)),
    ],
    "other planes": lambda: [
        Timed(nn.Conv2d(1, 4, 3, padding=1)),
        LIF(),
        Timed(
            Call(lambda x: x.reshape(len(x), 4, 4, 9)),
            nn.AvgPool2d((2, 3)),
            nn.Flatten(),
            nn.Linear(24, 8),
        ),
        LIF(),
        Timed(nn.Linear(8, CLASSES)),
    ],
    "pooled": lambda: [
        Timed(nn.Conv2d(1, 2, 3, padding=1)),
        LIF(),
        Timed(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(18, CLASSES)),
    ],
}


def network(form: str, encoder=None, scale: float = 3) -> SpikingNetwork:
    torch.manual_seed(varied())
    made = SpikingNetwork(FORMS[form](), encoder or Frames(STEPS)).eval()
    for module in made.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data *= scale
            if module.bias is not None:
                module.bias.data += 0.3  # Neurons are not silent.
    return made


def flipped(x: Tensor, count: int) -> Tensor:
    """A sample with any `count` of its values flipped, and with fewer."""
    places = list(combinations(range(x.numel()), count))
    places = torch.tensor(places)[torch.randperm(len(places))[:3000]]
    flips = torch.zeros(len(places), x.numel()).scatter_(1, places, 1.0)
    return torch.cat([x[None], (x - flips.view(-1, *x.shape)).abs()])


def boxes(net: SpikingNetwork, x: Tensor, count: int, method: str = "counts"):
    """The box of every neuron's spikes, and the margins of the true class."""
    fired, bounding = [], Bounding(net, METHODS[method](), count, 0.0, (0.0, 1.0))
    fire = bounding.method.fire
    bounding.method.fire = lambda *args: fired.append(fire(*args)) or fired[-1]
    with torch.no_grad():
        y = net(x).argmax(1)
    return fired, bounding.margin(x, y), y


def spikes(net: SpikingNetwork, x: Tensor) -> list[Tensor]:
    recorded: list[Tensor] = []

    def fire(site, current):
        recorded.append(simulation(site, current))
        return recorded[-1]

    with torch.no_grad():
        net.run(net.encode(x), fire)
    return recorded


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("form", FORMS)
def test_no_flips_leave_the_bounds(form, count):
    net = network(form)
    x = (torch.rand(2, STEPS, 1, SIDE, SIDE) > 0.6).float()
    for method in METHODS:
        fired, margins, y = boxes(net, x, count, method)
        for n in range(len(x)):
            moved = flipped(x[n], count)
            for box, reached in zip(fired, spikes(net, moved), strict=True):
                low, high = box.ends
                assert (reached >= low[:, n : n + 1]).all()
                assert (reached <= high[:, n : n + 1]).all()
            with torch.no_grad():
                z = net(moved)
            others = z.scatter(1, y[n].expand(len(z), 1), -torch.inf).amax(1)
            assert (z[:, y[n]] - others).min() >= margins[n]


@pytest.mark.parametrize("form", FORMS)
def test_bounds_are_never_looser_than_boxes(form, monkeypatch):
    net = network(form)
    x = (torch.rand(20, STEPS, 1, SIDE, SIDE) > 0.6).float()
    fired, margins, _ = boxes(net, x, 1)
    monkeypatch.setattr("art_snn.bounds.layers.departure", lambda *args: None)
    plain, least, _ = boxes(net, x, 1)
    assert (margins >= least - 1e-5 * (1 + least.abs())).all()
    for box, other in zip(fired, plain, strict=True):
        (low, high), (lowest, highest) = box.ends, other.ends
        assert ((low >= lowest) & (high <= highest)).float().mean() == 1


def test_a_convolution_is_certified_where_boxes_are_not(monkeypatch):
    torch.manual_seed(varied())
    net = SpikingNetwork(FORMS["a convolution and a linear layer"](), Frames(STEPS)).eval()
    first, second, last = (net.layers[i].module[-1] for i in (0, 2, 4))
    # A flip makes any neuron of the first layer fire, but eight of all fifty at most.
    for layer, weight, bias in ((first, 1.5, 0.0), (second, -0.1, 2.0), (last, 0.0, 0.0)):
        nn.init.constant_(layer.weight, weight)
        nn.init.constant_(layer.bias, bias)
    last.weight.data[0] = 1.0
    x = torch.zeros(1, STEPS, 1, SIDE, SIDE)
    assert boxes(net, x, 1)[1] > 0
    monkeypatch.setattr("art_snn.bounds.layers.departure", lambda *args: None)
    assert boxes(net, x, 1)[1] <= 0


@pytest.mark.parametrize("count", [1, 2])
def test_flips_of_an_image_act_at_all_steps(count):
    net = network("a convolution and a linear layer", Direct(STEPS))
    x = (torch.rand(2, 1, SIDE, SIDE) > 0.6).float()
    fired, _, _ = boxes(net, x, count)
    for n in range(len(x)):
        for box, reached in zip(fired, spikes(net, flipped(x[n], count)), strict=True):
            low, high = box.ends
            assert ((reached >= low[:, n : n + 1]) & (reached <= high[:, n : n + 1])).all()


def test_frames_that_repeat_an_image_are_flipped_at_all_steps():
    torch.manual_seed(varied())
    layer = nn.Linear(4, 6)
    layer.weight.data *= 3
    apart = Call(lambda x: layer(x.reshape(-1, 4)).view(STEPS, -1, 6))
    net = SpikingNetwork([apart, LIF(0.9), Timed(nn.Linear(6, CLASSES))], Direct(STEPS)).eval()
    x = (torch.rand(8, 4) > 0.5).float()
    fired, _, _ = boxes(net, x, 1)
    for n in range(len(x)):
        (low, high), (reached,) = fired[0].ends, spikes(net, flipped(x[n], 1))
        assert ((reached >= low[:, n : n + 1]) & (reached <= high[:, n : n + 1])).all()


def test_a_factor_below_0_turns_falls_into_rises():
    clean = Box.around(torch.zeros(2, 3), Spread(torch.zeros(2, 3), torch.zeros(())))
    away = Departure(clean, 1, None, change=(torch.full((2, 3), 1.0), torch.full((2, 3), 4.0)))
    fall, rise = away.scaled(torch.tensor([2.0, -2.0, 0.0]), lambda box: box).change
    torch.testing.assert_close(fall[0], torch.tensor([2.0, 8.0, 0.0]), rtol=1e-3, atol=0)
    torch.testing.assert_close(rise[0], torch.tensor([8.0, 2.0, 0.0]), rtol=1e-3, atol=0)


OTHER = {
    "a number added": lambda x: x + 1,
    "taken from a number": lambda x: 1 - x,
    "axes exchanged": lambda x: x.transpose(1, 3),
    "doubled": lambda x: torch.cat([x, x], 1),
    "averages of other planes": lambda x: nn.AvgPool2d((2, 3))(x.reshape(len(x), 4, 4, 9)),
}


@pytest.mark.parametrize("name", OTHER)
def test_what_makes_other_values_or_moves_places_leaves_boxes(name):
    x = torch.rand(2, 4, 6, 6)
    clean = Box.around(x, Spread(torch.zeros_like(x), torch.zeros(())))
    away = Departure(clean, 1, Window((4, 6, 6), (2, 2)))
    box = Box.around(x, Spread(torch.ones_like(x), torch.zeros(()), away=away))
    with torch.no_grad(), Propagation():
        assert nn.AvgPool2d(2)(box).spread.away.window == Window((4, 3, 3), (2, 2))
        assert OTHER[name](box).spread.away is None


class Mixing(nn.Module):
    """Every step of the output depends on all steps of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(STEPS * 4, STEPS * 4)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.transpose(0, 1).flatten(1)
        return self.linear(flat).view(len(flat), STEPS, 4).transpose(0, 1)


class MixingOne(Mixing):
    """The same of one sample, without a transposition."""

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.reshape(1, -1)).view(STEPS, 1, 4)


@pytest.mark.parametrize("kind", [Mixing, MixingOne])
def test_flips_that_a_layer_spreads_over_the_steps_count_at_each(kind):
    torch.manual_seed(varied())
    net = SpikingNetwork([kind(), LIF(0.9), Timed(nn.Linear(4, CLASSES))], Frames(STEPS)).eval()
    net.layers[0].linear.weight.data *= 3
    x = (torch.rand(1, STEPS, 4) > 0.5).float()
    fired, _, _ = boxes(net, x, 1)
    low, high = fired[0].ends
    for moved in flipped(x[0], 1).split(1):
        (reached,) = spikes(net, moved)
        assert ((reached >= low) & (reached <= high)).all()


@pytest.mark.parametrize(("count", "groups"), [(1, 1), (2, 1), (1.5, 1), (2, 2)])
@pytest.mark.parametrize("linear", [False, True])
def test_an_output_changes_by_the_largest_windows_of_changes(count, groups, linear):
    torch.manual_seed(varied())
    shape, sides = (2, 4, 5), (2, 3)
    clean, above, below = torch.randn(3, *shape), torch.rand(3, *shape), torch.rand(3, *shape)
    low, high = clean - below, clean + above
    layer = nn.Linear(40, 4) if linear else nn.Conv2d(2, 4, (3, 4), padding=1, groups=groups)
    inside = Box.around(clean, Spread(torch.zeros_like(clean), torch.zeros(())))
    away = Departure(inside, count, Window(shape, sides))
    x = Box.around((low + high) / 2, Spread((high - low) / 2, torch.zeros(()), away=away))
    with torch.no_grad(), Propagation():
        y = layer(x.flatten(1) if linear else x).spread.away
    with torch.no_grad():
        start = layer(clean.flatten(1) if linear else clean)
        changes = [start]
        for i, j in np.ndindex(shape[1] - sides[0] + 1 + 4, shape[2] - sides[1] + 1 + 4):
            # Windows may stick out of the plane.
            mask = nn.functional.pad(torch.zeros(shape[1:]), (3, 3, 3, 3))
            mask[i + 1 : i + 1 + sides[0], j : j + sides[1]] = 1
            mask = mask[3:-3, 3:-3]
            changes.append(
                highest(
                    layer,
                    clean,
                    low * mask + clean * (1 - mask),
                    high * mask + clean * (1 - mask),
                    linear,
                )
            )
    rises = torch.stack(changes) - start
    top = rises.amax(0)
    if count == 1:
        torch.testing.assert_close(y.change[1], top, rtol=1e-3, atol=1e-4)
    else:
        assert (y.change[1] >= top).all()
        assert (y.change[1] <= count * top * 1.001 + 1e-3).all()


def highest(layer, clean, low, high, linear) -> Tensor:
    weight = layer.weight
    parts = ((low + high) / 2, (high - low) / 2)
    centre, radius = (part.flatten(1) if linear else part for part in parts)
    if linear:
        return layer(centre) + nn.functional.linear(radius, weight.abs())
    rest = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return layer(centre) + nn.functional.conv2d(radius, weight.abs(), None, *rest)


@pytest.mark.parametrize("reset", ["hard", "soft", "none"])
@pytest.mark.parametrize("count", [1, 2])
def test_flips_are_shared_by_the_steps(reset, count):
    torch.manual_seed(varied())
    steps, neurons, dynamics = 4, 200, Dynamics(0.75, 1.0, reset)
    clean, change = torch.randn(steps, neurons) + 0.4, torch.rand(count, steps, neurons).cumsum(0)
    change = torch.cat([0 * change[:1], change])
    currents = clean - change, clean + change
    sure, maybe = flip_intervals(dynamics, currents, tuple(torch.empty(2, steps, neurons)))
    lowest, highest = step_intervals(dynamics, *(end[-1].clone() for end in currents))
    assert (sure >= lowest).all()
    assert (maybe <= highest).all()
    assert (maybe < highest).any()
    for flips in np.ndindex(*(count + 1,) * steps):
        if sum(flips) > count:
            continue
        reach = torch.stack([change[j, t] for t, j in enumerate(flips)])
        for share in torch.linspace(-1, 1, 5):
            for signs in (1, torch.randn_like(clean).sign()):
                fired = torch.empty_like(clean)
                dynamics.simulate(clean + share * signs * reach, torch.empty_like(clean), fired)
                assert ((fired >= sure) & (fired <= maybe)).all()


@pytest.mark.parametrize("form", FORMS)
def test_margins_within_flips_are_the_same_with_a_graph_and_have_gradients(form):
    net, x = network(form, scale=1.5), (torch.rand(6, STEPS, 1, SIDE, SIDE) > 0.6).float()
    with torch.no_grad():
        y = net(x).argmax(1)
    for count in (1, 1.5):
        method = METHODS["counts"](STBP().firing())
        bounding = Bounding(net, method, count, 0.0, (0.0, 1.0))
        margins = bounding.margins(x, y, differentiable=True)
        least = margins.scatter(1, y[:, None], torch.inf).amin(1)
        torch.testing.assert_close(bounding.margin(x, y), least.detach(), rtol=1e-3, atol=1e-3)
        gradients = torch.autograd.grad(margins.sum(), [*net.parameters()])
        assert all(gradient.isfinite().all() for gradient in gradients)
        assert gradients[0].any()
