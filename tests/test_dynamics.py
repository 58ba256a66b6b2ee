"""The simulation: values computed by hand, and the laws of the state equations."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from art_snn.dynamics import Dynamics

CURRENT = [0.6, 0.9, 1.2, 0.35]


def column(values):
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)


@pytest.mark.parametrize(
    ("decay", "threshold", "reset", "potential", "spikes"),
    [
        (1.0, 1.0, "hard", [0.6, 1.5, 1.2, 0.35], [0, 1, 1, 0]),
        (0.5, 1.0, "hard", [0.6, 1.2, 1.2, 0.35], [0, 1, 1, 0]),
        (1.0, 1.0, "soft", [0.6, 1.5, 1.7, 1.05], [0, 1, 1, 1]),
        (0.5, 1.0, "soft", [0.6, 1.2, 1.3, 0.5], [0, 1, 1, 0]),
        (0.5, 0.5, "hard", [0.6, 0.9, 1.2, 0.35], [1, 1, 1, 0]),
        (0.5, 0.5, "soft", [0.6, 0.95, 1.425, 0.8125], [1, 1, 1, 1]),
        (1.0, 2.0, "hard", [0.6, 1.5, 2.7, 0.35], [0, 0, 1, 0]),
    ],
)
def test_potentials_and_spikes_are_those_computed_by_hand(
    decay, threshold, reset, potential, spikes
):
    dynamics = Dynamics(decay, threshold, reset)
    u = torch.full((4, 1, 1), math.nan, dtype=torch.float64)
    assert dynamics.simulate(column(CURRENT), u).flatten().tolist() == spikes
    assert u.flatten().tolist() == pytest.approx(potential, abs=1e-12)


def test_a_neuron_fires_at_exactly_the_threshold():
    assert Dynamics(1.0, 1.0).simulate(column([0.5, 0.5, 1.0])).flatten().tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("decay", "current", "rate"),
    [
        (1.0, 0.5, 1 / 2),
        (1.0, 0.26, 1 / 4),
        (0.5, 0.3, 0),
        (0.5, 0.55, 0.25),
        (0.5, 0.9, 0.5),
        (0.5, 1.5, 1),
        (0.9, 0.15, 1 / 11),
        (0.9, 0.3, 0.25),
    ],
)
def test_a_constant_current_gives_the_static_rate(decay, current, rate):
    spikes = Dynamics(decay).simulate(column([current] * 44))
    assert spikes.mean().item() == pytest.approx(rate)


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("decay", [1.0, 0.9, 0.5])
def test_with_and_without_a_buffer_the_spikes_are_the_same(decay, reset):
    current = torch.randn(8, 3, 5) + 0.5
    dynamics = Dynamics(decay, 1.0, reset)
    with_buffer = dynamics.simulate(current, torch.empty_like(current))
    assert torch.equal(dynamics.simulate(current), with_buffer)
    assert 0 < with_buffer.mean() < 1


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("with_potential", [False, True])
def test_spikes_are_written_to_a_buffer_that_is_given(with_potential, reset):
    current = torch.randn(8, 6, 5) + 0.5
    dynamics = Dynamics(0.9, 1.0, reset)
    u, expected_u = torch.empty_like(current[:, 2:4]), torch.empty_like(current)
    expected = dynamics.simulate(current, expected_u)
    whole = torch.full_like(current, math.nan)
    # A part of a larger buffer: some samples of a batch.
    got = dynamics.simulate(current[:, 2:4], u if with_potential else None, whole[:, 2:4])
    assert got.data_ptr() == whole[:, 2:4].data_ptr()
    assert torch.equal(whole[:, 2:4], expected[:, 2:4])
    assert whole[:, :2].isnan().all()
    assert whole[:, 4:].isnan().all()
    assert not with_potential or torch.equal(u, expected_u[:, 2:4])
    assert 0 < got.mean() < 1


def test_every_call_starts_from_rest_and_leaves_the_current_alone():
    current = torch.rand(6, 2, 3) + 0.3
    before = current.clone()
    first = Dynamics().simulate(current)
    assert torch.equal(Dynamics().simulate(current), first)
    assert torch.equal(current, before)


def test_an_expanded_view_is_simulated_like_its_copy():
    image = torch.rand(2, 3) + 0.3
    view = image.expand(6, 2, 3)
    assert torch.equal(Dynamics().simulate(view), Dynamics().simulate(view.contiguous()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_spikes_have_the_dtype_of_the_current_and_no_graph(dtype):
    current = (torch.rand(4, 2, 3) + 0.5).to(dtype).requires_grad_()
    spikes = Dynamics().simulate(current)
    assert spikes.dtype == dtype
    assert not spikes.requires_grad
    assert set(spikes.unique().tolist()) == {0, 1}


@settings(deadline=None, derandomize=True, database=None, max_examples=60)
@given(
    currents=st.lists(st.floats(-2, 3), min_size=1, max_size=12),
    decay=st.floats(0.05, 1),
    threshold=st.floats(0.1, 3),
)
def test_a_soft_reset_accounts_for_every_bit_of_charge(currents, decay, threshold):
    u = column(currents)
    spikes = Dynamics(decay, threshold, "soft").simulate(column(currents), u).flatten()
    age = torch.arange(len(currents) - 1, -1, -1, dtype=torch.float64)
    charge = (decay**age * torch.tensor(currents, dtype=torch.float64)).sum()
    spent = threshold * (decay ** age[:-1] * spikes[:-1]).sum()
    assert u[-1].item() == pytest.approx((charge - spent).item(), abs=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 0}, r"decay: expected a number above 0 and at most 1, got 0\. Use 1\.0"),
        ({"decay": 1.1}, r"decay: .*got 1\.1\. Use 1\.0 for a neuron without leak\."),
        ({"decay": "0.5"}, r"decay: .*got '0\.5'"),
        ({"threshold": 0.0}, r"threshold: expected a number above 0, got 0\.0\. The neurons"),
        ({"threshold": math.inf}, r"threshold: expected a number above 0, got inf"),
        ({"reset": "zero"}, r"reset: expected 'hard' or 'soft', got 'zero'\. Hard sets"),
        ({"reset": None}, r"reset: expected 'hard' or 'soft', got None\. Hard sets"),
    ],
)
def test_parameters_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Dynamics(**options)
