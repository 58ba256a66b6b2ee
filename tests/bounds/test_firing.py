"""Bounds of spikes: sound by samples of currents, and tight where all spikes can be listed.

Counts rest on a theorem: more current never gives fewer spikes up to any step. It is tried on
exact numbers, by a loop that is written from the equations alone."""

import random
from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate, pairwise, product, repeat
from math import inf
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from art_snn import SpikingNetwork, TimeDistributed
from art_snn.bounds import METHODS, Bounding
from art_snn.bounds.firing import _Means, bound_steps, list_spans, write_meetings
from art_snn.dynamics import Dynamics, Values
from art_snn.models import shallow
from art_snn.neurons import Neuron
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
    "v_reset": Dynamics(0.5, v_reset=-0.5, v_start=0.25),
    "rest above": Dynamics(0.5, v_reset=2.0),
    "reset_by": Dynamics(0.5, reset="soft", reset_by=0.6, gain=0.7, constant=0.1),
    "floor": Dynamics(0.9, 0.7, "soft", floor=-0.1),
    "floor hard": Dynamics(1.0, floor=0.0),
    "floor alone": Dynamics(0.9, 0.7, "none", floor=-0.1),
    "forgets": Dynamics(0.0),
}
SEVERAL = {
    "any": Dynamics(1.0, 0.4, "soft", max_spikes=None),
    "any hard": Dynamics(0.9, 0.4, max_spikes=None),
    "two": Dynamics(0.5, 0.3, "soft", max_spikes=2, gain=0.7),
    "any, no reset": Dynamics(0.5, 0.3, "none", max_spikes=None),
    "floor, any": Dynamics(1.0, 0.4, "soft", max_spikes=None, floor=-0.4),
}

LATE = {
    "a potential that is wiped a step late": (
        ((0.75, 1, -1, 1.5, -0.5), (1.25, 1, -1, 1.5, -0.5)),
        lambda u, i, fired: (1 - fired) * (0.9 * u + i),
        0.25,
    ),
    "a step of rest": (
        ((0.25, 1, -1, 1), (1.25, 2, -1, 1)),
        lambda u, i, fired: 0.0 if fired else 0.9 * (u if u < 1 else 0) + i,
        0.0,
    ),
    "no synapse, wiped late": (
        ((0.9, 0.25, -0.75, 1.5), (1.25, 0.5, -0.75, 1.5)),
        lambda u, i, fired: (1 - fired) * (u + i),
        0.0,
    ),
}
"""Currents of which the larger give fewer spikes by some step: u from u, i and the last spike."""


def boxes(steps: int, count: int, seed: int = 0):
    """Ends of currents [T, count] around the thresholds."""
    generator = torch.Generator().manual_seed(varied(seed))
    middle = torch.randn(steps, count, generator=generator) * 0.8 + 0.5
    half = torch.rand(steps, count, generator=generator) * 0.4
    return middle - half, middle + half


@pytest.mark.parametrize("name", NEURONS | SEVERAL)
def test_the_number_of_spikes_in_a_step_lies_within_its_bounds(name):
    neuron = (NEURONS | SEVERAL)[name]
    low, high = boxes(steps=6, count=400)
    fewest, most = bound_steps(neuron, low, high)
    assert (fewest <= most).all()
    assert (most.max() > 1) == (name in SEVERAL)
    assert (most > fewest).float().mean() < 0.9
    for index in range(60):
        where = torch.rand(low.shape).round(decimals=2 * (index % 2))
        spikes = neuron.simulate(low + where * (high - low))
        assert (fewest <= spikes).all()
        assert (spikes <= most).all()


@pytest.mark.parametrize("name", LATE)
def test_neurons_that_forget_late_are_no_dynamics_as_larger_currents_give_fewer_spikes(name):
    currents, charge, synapse = LATE[name]
    counts = []
    for train in currents:
        u = i = fired = 0.0
        spikes = []
        for x in train:
            i = synapse * i + x
            u = charge(u, i, fired)
            fired = float(u >= 1)
            spikes.append(fired)
        counts.append(list(accumulate(spikes)))
    smaller, larger = counts
    assert any(few > many for few, many in zip(smaller, larger, strict=True))


def truths(bounds):
    """Spikes, 0 or 1, as truth values."""
    return tuple(part.bool() for part in bounds)


@pytest.mark.parametrize("name", [name for name in NEURONS if name != "reset_by"])
def test_the_first_step_that_is_not_sure_can_be_either(name):
    # Bounds are tight at a step whose neuron was sure until then, and later ones not always.
    neuron = NEURONS[name]
    low, high = boxes(steps=3, count=200)
    sure, maybe = truths(bound_steps(neuron, low, high))
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
    sure, maybe = bound_steps(whole, low, high)
    for index in range(3):
        one = Dynamics(float(decays[index]), float(thresholds[index]), "soft")
        alone = bound_steps(one, low[..., index], high[..., index])
        assert torch.equal(sure[..., index], alone[0])
        assert torch.equal(maybe[..., index], alone[1])


CONSTANT = [
    Dynamics(decay, threshold, reset)
    for decay in (0.25, 0.5, 0.9, 1.0)
    for threshold, reset in ((1.0, "hard"), (0.7, "soft"), (1.0, "none"))
]


def around_ends(trains) -> torch.Tensor:
    """Currents up to three ulps around the ends of pieces, and dense ones."""
    spans = [span for steps in trains for step in steps for span in step]
    ends = torch.tensor(spans).flatten().float()
    several = [ends[ends.isfinite()]] * 2
    for _ in range(3):
        above, below = (
            torch.nextafter(several[n], torch.tensor(to)) for n, to in ((-1, inf), (-2, -inf))
        )
        several += [below, above]
    return torch.cat([torch.linspace(-0.5, 2.5, 5000), *several])


def intervals(current: torch.Tensor, neuron: Dynamics, steps: int):
    """Random intervals of currents, and whether their neurons fire always, and ever."""
    current = current.sort().values
    spikes = neuron.simulate(current.expand(steps, -1)).long()
    starts = torch.randint(len(current) - 1, (400,))
    widths = torch.randint(1, len(current) // 4, (400,))
    stops = (starts + widths).clamp_max(len(current) - 1)
    sums = torch.nn.functional.pad(spikes.cumsum(1), (1, 0))
    ones, total = sums[:, stops + 1] - sums[:, starts], stops + 1 - starts
    return current[starts], current[stops], ones == total, ones > 0


@pytest.mark.parametrize("steps", [1, 4, 12])
@pytest.mark.parametrize("neuron", CONSTANT, ids=str)
def test_trains_of_constant_currents_are_all_and_nothing_else(neuron, steps):
    trains = list_spans(neuron, steps, torch.float32)
    dense = torch.linspace(-0.5, 2.5, 40_000)
    for current in (around_ends(trains), dense):
        low, high, always, ever = intervals(current, neuron, steps)
        bounds = torch.empty(2, steps, *low.shape)
        write_meetings(trains, low, high, *bounds)
        sure, maybe = truths(bounds)
        assert (sure <= always).all()
        assert (ever <= maybe).all()
    # At a threshold a soft reset leaves next to nothing, and rounding all trains after it.
    few = 0.1 if neuron.reset == "soft" else 0.01
    assert ((sure != always) | (maybe != ever)).float().mean() < few


def counts(currents: Sequence[float], neuron: Dynamics) -> list[int]:
    """The spikes of a neuron up to each step, by exact numbers and from the equations alone."""
    drop = neuron.threshold if neuron.reset_by is None else neuron.reset_by
    settings = (neuron.gain, neuron.constant, neuron.v_reset, drop, neuron.v_start)
    gain, constant, rest, drop, v = map(Fraction, settings)
    several, train = isinstance(neuron.decay, tuple), []
    steps = neuron.decay if several else repeat(neuron.decay)
    for x, decay in zip(currents, steps, strict=False):
        u = Fraction(decay) * v + gain * Fraction(x) + constant
        s = u > neuron.threshold if neuron.strict else u >= neuron.threshold
        if neuron.max_spikes != 1:
            s = min(max(u, Fraction(0)) // Fraction(neuron.threshold), neuron.max_spikes or inf)
        v = {"hard": rest, "soft": u - drop * s, "none": u}[neuron.reset] if s else u
        v = v if neuron.floor is None else max(v, Fraction(neuron.floor))
        train.append(int(s))
    return list(accumulate(train))


# Eighths are often at a threshold of eighths.
eighths = st.integers(-24, 24).map(lambda parts: parts / 8)
positive = st.integers(1, 16).map(lambda parts: parts / 8)
decays = st.one_of(st.sampled_from([1e-6, 0.25, 0.5, 0.9, 1.0]), st.floats(1e-6, 1.0))


@st.composite
def dynamics(draw, resets=("hard", "soft", "none")):
    """Any neurons, also such whose hard reset leads above the threshold."""
    reset, threshold = draw(st.sampled_from(resets)), draw(positive)
    rest = draw(eighths) if reset == "hard" else 0.0
    further = {
        "strict": draw(st.booleans()),
        "v_reset": rest,
        "reset_by": draw(st.none() | positive) if reset == "soft" else None,
    }
    if draw(st.booleans()):
        further, rest = {"max_spikes": draw(st.sampled_from([2, 3, None]))}, 0.0
    below = draw(st.none() | positive | st.just(0.0))
    return Dynamics(
        draw(decays | st.lists(decays | st.just(0.0), min_size=12, max_size=12)),
        threshold,
        reset,
        gain=draw(positive),
        constant=draw(eighths),
        v_start=draw(eighths),
        floor=None if below is None else rest - below,
        **further,
    )


@st.composite
def two_currents(draw):
    """A current of both signs and one that is nowhere lower."""
    low = draw(st.lists(eighths, min_size=1, max_size=12))
    more = st.one_of(st.just(0.0), positive)
    rises = draw(st.lists(more, min_size=len(low), max_size=len(low)))
    return low, [a + b for a, b in zip(low, rises, strict=True)]


@settings(max_examples=400, deadline=None)
@given(dynamics(), two_currents())
def test_counts_up_to_every_step_never_fall_where_the_current_rises(neuron, currents):
    fewest, most = (counts(current, neuron) for current in currents)
    assert all(a <= b for a, b in zip(fewest, most, strict=True))


@settings(max_examples=200, deadline=None)
@given(dynamics(resets=["soft"]), two_currents())
def test_counts_without_leak_depend_on_charges_alone_and_never_fall_with_them(neuron, charges):
    names = ("gain", "strict", "reset_by", "max_spikes")
    further = {name: getattr(neuron, name) for name in names}
    neuron = Dynamics(1.0, neuron.threshold, "soft", **further)
    # Currents whose sums up to each step are the charges.
    steps = ([b - a for a, b in pairwise([0.0, *charge])] for charge in charges)
    fewest, most = (counts(currents, neuron) for currents in steps)
    assert all(a <= b for a, b in zip(fewest, most, strict=True))


OTHERS = {
    "by more than the threshold": ({"reset_by": 2.0}, "soft", (0, 0.5, 1.5), (0, 1, 1.5), 2, 1),
    "to below 0": ({"v_reset": -0.5}, "hard", (1.25, 2.25, 1), (1.75, 2.375, 1.25), 3, 2),
}


@pytest.mark.parametrize("name", OTHERS)
def test_several_spikes_and_a_reset_to_lower_than_rest_fall_and_are_refused(name):
    settings, reset, less, more, high, low = OTHERS[name]
    with pytest.raises(ValueError, match="max_spikes: expected 1, unless"):
        Dynamics(1.0, reset=reset, max_spikes=None, **settings)
    neuron = SimpleNamespace(**vars(Dynamics(1.0, reset=reset, **settings)) | {"max_spikes": None})
    assert all(a <= b for a, b in zip(less, more, strict=True))
    assert (counts(less, neuron)[-1], counts(more, neuron)[-1]) == (high, low)


def test_under_a_floor_more_charge_may_mean_fewer_spikes():
    neuron = Dynamics(1.0, reset="soft", floor=-1.0)
    less, more = (-3, 2), (-1, 0)
    assert all(a <= b for a, b in zip(accumulate(less), accumulate(more), strict=True))
    assert counts(less, neuron) == [0, 1]
    assert counts(more, neuron) == [0, 0]
    for floor in (None, -1.0):
        layers = [Neuron(Dynamics(1.0, reset="soft", floor=floor)), TimeDistributed(nn.Identity())]
        bounding = Bounding(SpikingNetwork(layers), METHODS["counts"](), 0.1)
        # So charges bound none of its spikes, and steps and counts do.
        assert bounding.averaged == (floor is None)


def test_the_loop_is_that_of_the_package():
    draw = random.Random(1)
    for reset in ("hard", "soft", "none") * 4:
        rest = -0.25 if reset == "hard" else 0.0
        neuron = Dynamics(0.5, 1.0, reset, gain=0.75, constant=0.125, v_reset=rest, v_start=0.5)
        if draw.random() < 0.5:
            neuron = Dynamics(0.5, 0.25, reset, max_spikes=draw.choice([2, None]), floor=-0.125)
        current = [draw.randint(-16, 16) / 8 for _ in range(12)]
        simulated = neuron.simulate(torch.tensor(current, dtype=torch.float64)[:, None])
        assert simulated[:, 0].cumsum(0).tolist() == counts(current, neuron)


@pytest.mark.parametrize("steps", [1, 2])
def test_counts_are_not_below_s_ibp_where_samples_are_normalised(steps):
    torch.manual_seed(varied())
    network = shallow(
        width=1 / 8,
        image_size=16,
        pooling=2,
        steps=steps,
        decay=1.0,
        reset="soft",
        mean=(0.3, 0.4, 0.5),
        std=(0.1, 0.2, 0.15),
    ).eval()
    for norm in (part for part in network.modules() if hasattr(part, "running_var")):
        # So small that the slack of the first convolution decides about spikes.
        norm.running_var.uniform_(1e-6, 1e-3)
    x = torch.rand(64, 3, 16, 16)
    y = network(x).argmax(1)
    counts, steps_alone = (
        Bounding(network, METHODS[name](), 1e-4, limits=(0, 1)).margin(x, y)
        for name in ("counts", "s-ibp")
    )
    # A spike more or less counts much more than the rounding of logits.
    assert (counts >= steps_alone - 2e-3).all()


def test_the_number_of_spikes_of_if_neurons_has_the_slope_of_the_ramp_through_its_steps():
    charges = torch.tensor([0.4, 0.6, 1.0, 1.4, 1.6, 2.4, 2.6], dtype=torch.float64)
    means = torch.stack([charges, charges / 2]).requires_grad_()
    ends = means - 0.0, means + 0.0
    centre, radius = _Means.apply(*ends, Dynamics(1.0, 1.0, "soft"))
    # After two steps of charge C come floor(C) spikes, but at most one at each step.
    spikes = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 2, 2]])
    assert torch.equal(centre.detach() * torch.tensor([[1], [2]]), spikes.double())
    assert not radius.any()
    within = torch.tensor([[0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 1, 0]])
    # The highest currents raise centre and radius, the lowest the centre alone.
    for output, signs in ((centre, (1, 1)), (radius, (-1, 1))):
        slopes = torch.autograd.grad(output.sum(), ends, retain_graph=True)
        for slope, sign in zip(slopes, signs, strict=True):
            assert torch.equal(slope, sign * 0.5 * within.double())
