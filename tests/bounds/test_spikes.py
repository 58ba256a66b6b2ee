"""Bounds of spikes: sound by samples of currents, and tight where all spikes can be listed."""

from __future__ import annotations

from itertools import product
from math import inf

import pytest
import torch

from art_snn.bounds import trains as module
from art_snn.bounds.intervals import step_intervals
from art_snn.bounds.trains import trains_of
from art_snn.dynamics import Dynamics, Values
from tests.conftest import varied

NEURONS = {
    "hard": Dynamics(0.5),
    "soft": Dynamics(0.5, reset="soft"),
    "none": Dynamics(0.5, reset="none"),
    "IF": Dynamics(1.0, 0.7),
    "IF soft": Dynamics(1.0, 0.7, "soft"),
    "slow": Dynamics(0.9, 1.3, "hard"),
    "slow soft": Dynamics(0.9, 1.3, "soft"),
    "fast": Dynamics(0.25, 0.5),
    "strict": Dynamics(0.5, strict=True),
    "rest": Dynamics(0.5, rest=-0.5, start=0.25),
    "rest above": Dynamics(0.5, rest=2.0),
    "drop": Dynamics(0.5, reset="soft", drop=0.6, gain=0.7, constant=0.1),
}


def boxes(steps: int, count: int, seed: int = 0):
    """Ends of currents [T, count] around the thresholds."""
    generator = torch.Generator().manual_seed(varied(seed))
    middle = torch.randn(steps, count, generator=generator) * 0.8 + 0.5
    half = torch.rand(steps, count, generator=generator) * 0.4
    return middle - half, middle + half


def truths(bounds):
    """Spikes, 0 or 1, as truth values."""
    return tuple(part.bool() for part in bounds)


@pytest.mark.parametrize("neuron", NEURONS.values(), ids=NEURONS)
def test_steps_that_are_sure_are_fired_by_every_current_in_the_box(neuron):
    low, high = boxes(steps=6, count=400)
    sure, maybe = truths(step_intervals(neuron, low, high))
    assert (sure <= maybe).all()
    assert (maybe & ~sure).float().mean() < 0.9
    for index in range(60):
        where = torch.rand(low.shape)
        where = where.round() if index % 2 else where
        spikes = neuron.simulate(low + where * (high - low)).bool()
        assert (sure <= spikes).all()
        assert (spikes <= maybe).all()


@pytest.mark.parametrize("name", [name for name in NEURONS if name != "drop"])
def test_the_first_step_that_is_not_sure_can_be_either(name):
    # Bounds are tight at a step whose neuron was sure until then, and later ones not always.
    neuron = NEURONS[name]
    low, high = boxes(steps=3, count=200)
    sure, maybe = truths(step_intervals(neuron, low, high))
    seen = [torch.zeros_like(sure) for _ in range(2)]
    for shares in product((0.0, 0.25, 0.5, 0.75, 1.0), repeat=3):
        where = torch.tensor(shares)[:, None]
        spikes = neuron.simulate(low + where * (high - low)).bool()
        seen[0] |= ~spikes
        seen[1] |= spikes
    unsure = maybe & ~sure
    first = unsure & (unsure.cumsum(0) == 1)
    assert first.any()
    assert seen[0][first].all()
    assert seen[1][first].all()


def test_every_neuron_of_a_layer_has_its_own_settings():
    decays, thresholds = (torch.tensor([0.25, 0.5, 0.9]), torch.tensor([0.5, 1.0, 1.5]))
    whole = Dynamics(Values(decays), Values(thresholds), "soft")
    low, high = (end.view(6, 8, 3) for end in boxes(steps=6, count=24))
    sure, maybe = step_intervals(whole, low, high)
    for index in range(3):
        one = Dynamics(float(decays[index]), float(thresholds[index]), "soft")
        alone = step_intervals(one, low[..., index], high[..., index])
        assert torch.equal(sure[..., index], alone[0])
        assert torch.equal(maybe[..., index], alone[1])


CONSTANT = [
    Dynamics(decay, threshold, reset)
    for decay in (0.25, 0.5, 0.9, 1.0)
    for threshold, reset in ((1.0, "hard"), (0.7, "soft"), (1.0, "none"))
]


def around_ends(trains) -> torch.Tensor:
    """Currents up to three ulps around the ends of pieces, and dense ones."""
    spans = [span for step in trains.firing + trains.silent for span in step]
    ends = torch.tensor(spans).flatten().float()
    several = [ends[ends.isfinite()]] * 2
    for _ in range(3):
        above, below = (
            torch.nextafter(several[n], torch.tensor(to)) for n, to in ((-1, inf), (-2, -inf))
        )
        several += [below, above]
    return torch.cat([torch.linspace(-0.5, 2.5, 5000), *several])


def intervals(current: torch.Tensor, neuron: Dynamics, steps: int, seed: int):
    """Random intervals of currents, and whether their neurons fire always, and ever."""
    current = current.sort().values
    spikes = neuron.simulate(current.expand(steps, -1)).long()
    generator = torch.Generator().manual_seed(varied(seed))
    starts = torch.randint(len(current) - 1, (400,), generator=generator)
    widths = torch.randint(1, len(current) // 4, (400,), generator=generator)
    stops = (starts + widths).clamp_max(len(current) - 1)
    sums = torch.nn.functional.pad(spikes.cumsum(1), (1, 0))
    ones, total = sums[:, stops + 1] - sums[:, starts], stops + 1 - starts
    return current[starts], current[stops], ones == total, ones > 0


@pytest.mark.parametrize("steps", [1, 4, 12])
@pytest.mark.parametrize("neuron", CONSTANT, ids=str)
def test_trains_of_constant_currents_are_all_and_nothing_else(neuron, steps):
    trains = trains_of(neuron, steps, torch.float32)
    low, high, always, ever = intervals(around_ends(trains), neuron, steps, seed=steps)
    sure, maybe = truths(trains.between(low, high))
    assert (sure <= always).all()
    assert (ever <= maybe).all()
    low, high, always, ever = intervals(torch.linspace(-0.5, 2.5, 40_000), neuron, steps, seed=1)
    sure, maybe = truths(trains.between(low, high))
    assert (sure <= always).all()
    assert (ever <= maybe).all()
    # At a threshold a soft reset leaves next to nothing, and rounding all trains behind it.
    few = 0.1 if neuron.reset == "soft" else 0.01
    assert ((sure != always) | (maybe != ever)).float().mean() < few


@pytest.mark.parametrize("neuron", CONSTANT, ids=str)
def test_trains_of_one_current_alone_are_one_train(neuron):
    trains = trains_of(neuron, 8, torch.float32)
    current = torch.linspace(-0.5, 2.5, 997)
    sure, maybe = truths(trains.between(current, current))
    spikes = neuron.simulate(current.expand(8, -1)).bool()
    assert (sure <= spikes).all()
    assert (spikes <= maybe).all()
    assert (sure == maybe).float().mean() > 0.99


def test_trains_are_never_looser_than_steps():
    for neuron in CONSTANT:
        low, high = (end[0].expand(6, -1) for end in boxes(steps=1, count=500, seed=7))
        steps = step_intervals(neuron, low, high)
        exact = trains_of(neuron, 6, torch.float32).between(low[0], high[0])
        # But where an end lies so near to that of a piece that rounding hides the difference.
        assert (exact[0] >= steps[0]).float().mean() > 0.98
        assert (exact[1] <= steps[1]).float().mean() > 0.98


def test_too_many_trains_are_left_to_steps(monkeypatch):
    monkeypatch.setattr(module, "MOST_PIECES", 3)
    trains_of.cache_clear()
    assert trains_of(Dynamics(0.9, reset="soft"), 12, torch.float32) is None
    trains_of.cache_clear()
