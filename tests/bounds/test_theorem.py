"""More current never gives fewer spikes up to any step: what spike counts are bounded by."""

from __future__ import annotations

import random
from itertools import accumulate

import torch
from hypothesis import given, settings, strategies as st

from art_snn.dynamics import Dynamics
from tests.bounds.loop import counts, spikes

# Eighths are often at a threshold of eighths.
eighths = st.integers(-24, 24).map(lambda parts: parts / 8)
positive = st.integers(1, 16).map(lambda parts: parts / 8)
decays = st.one_of(st.sampled_from([1e-6, 0.25, 0.5, 0.9, 1.0]), st.floats(1e-6, 1.0))


@st.composite
def dynamics(draw, resets=("hard", "soft", "none")):
    """Any neurons, also such whose hard reset leads above the threshold."""
    reset, threshold = draw(st.sampled_from(resets)), draw(positive)
    rest = draw(eighths) if reset == "hard" else 0.0
    return Dynamics(
        draw(decays),
        threshold,
        reset,
        gain=draw(positive),
        constant=draw(eighths),
        strict=draw(st.booleans()),
        rest=rest,
        start=draw(eighths),
        drop=draw(st.none() | positive) if reset == "soft" else None,
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
    neuron = Dynamics(
        1.0, neuron.threshold, "soft", gain=neuron.gain, strict=neuron.strict, drop=neuron.drop
    )
    fewest, most = (counts(_steps(charge), neuron) for charge in charges)
    assert all(a <= b for a, b in zip(fewest, most, strict=True))


def _steps(charges):
    """Currents whose sums up to each step are these."""
    return [b - a for a, b in zip([0.0, *charges], charges, strict=False)]


def test_single_steps_and_currents_of_charges_can_fall_where_counts_do_not():
    # The more the current, the earlier the reset: counts are needed, spikes are not monotone.
    neuron = Dynamics(0.5, 1.0)
    assert spikes([0.75, 0.75], neuron) == [0, 1]
    assert spikes([1.0, 0.75], neuron) == [1, 0]
    leaky, charges = Dynamics(0.5, 1.0, "soft"), ([0.0, 1.0], [0.75, 1.0])
    assert counts(_steps(charges[0]), leaky)[-1] > counts(_steps(charges[1]), leaky)[-1]


def test_the_loop_is_that_of_the_package():
    draw = random.Random(1)
    for reset in ("hard", "soft", "none"):
        rest = -0.25 if reset == "hard" else 0.0
        neuron = Dynamics(0.5, 1.0, reset, gain=0.75, constant=0.125, rest=rest, start=0.5)
        current = [draw.randint(-16, 16) / 8 for _ in range(12)]
        simulated = neuron.simulate(torch.tensor(current, dtype=torch.float64)[:, None])
        assert simulated[:, 0].tolist() == spikes(current, neuron)
        assert counts(current, neuron) == list(accumulate(spikes(current, neuron)))
