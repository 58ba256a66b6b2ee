"""Encoders: from [N, ...] to [T, N, ...]."""

from __future__ import annotations

import pytest
import torch

from art_snn import Direct, Frames, Poisson


def test_direct_repeats_the_input_without_a_copy():
    x = torch.rand(2, 3, 5)
    encoded = Direct(4)(x)
    assert encoded.shape == (4, 2, 3, 5)
    assert encoded.stride(0) == 0
    assert encoded.data_ptr() == x.data_ptr()
    assert torch.equal(encoded, torch.stack([x] * 4))


@pytest.mark.parametrize("encoder", [Direct(4), Poisson(4)])
def test_the_gradient_is_the_sum_over_time(encoder):
    x = torch.tensor([[-0.5, 0.0, 0.3, 1.0, 1.5]], requires_grad=True)
    at_steps = torch.randn(4, 1, 5)
    (grad,) = torch.autograd.grad(encoder(x), x, at_steps)
    torch.testing.assert_close(grad, at_steps.sum(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_poisson_fires_with_the_value_as_probability_at_most_one_at_least_zero(dtype):
    x = torch.tensor([[-0.5, 0.0, 0.1, 0.5, 0.9, 1.0, 1.5]], dtype=dtype)
    spikes = Poisson(20_000)(x)
    assert spikes.shape == (20_000, 1, 7)
    assert spikes.dtype == dtype
    assert set(spikes.unique().tolist()) == {0, 1}
    torch.testing.assert_close(spikes.mean(0), x.clamp(0, 1), rtol=0, atol=0.015)
    assert spikes.mean(0)[0, [0, 1, 5, 6]].tolist() == [0, 0, 1, 1]


def test_poisson_draws_every_step_and_element_on_its_own_from_torchs_random_state():
    x = torch.full((1, 2), 0.5)
    torch.manual_seed(3)
    spikes = Poisson(5000)(x)
    assert not torch.equal(Poisson(5000)(x), spikes)
    torch.manual_seed(3)
    assert torch.equal(Poisson(5000)(x), spikes)
    one, other = spikes[:, 0].unbind(1)
    assert (one * other).mean().item() == pytest.approx(0.25, abs=0.03)
    assert (one[1:] * one[:-1]).mean().item() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("steps", [None, 4])
def test_frames_moves_time_to_the_front(steps):
    x = torch.rand(2, 4, 3, 5, requires_grad=True)
    encoded = Frames(steps)(x)
    assert encoded.shape == (4, 2, 3, 5)
    for t in range(4):
        assert torch.equal(encoded[t], x[:, t])
    at_steps = torch.randn(4, 2, 3, 5)
    (grad,) = torch.autograd.grad(encoded, x, at_steps)
    assert torch.equal(grad, at_steps.transpose(0, 1))


@pytest.mark.parametrize("kind", [Direct, Poisson])
def test_with_steps_gives_the_same_encoder_of_another_number_of_steps(kind):
    x, encoder = torch.rand(2, 3), kind(4)
    assert kind()(x).shape == (8, 2, 3)
    longer = encoder.with_steps(9)
    assert longer == kind(9)
    assert encoder == kind(4)
    assert longer(x).shape == (9, 2, 3)


def test_encoders_are_values():
    assert repr(Direct(4)) == "Direct(steps=4)"
    assert Poisson(4) == Poisson(steps=4)
    assert repr(Frames()) == "Frames(steps=None)"
    assert not hasattr(Frames(4), "with_steps")
    with pytest.raises(AttributeError, match="cannot assign"):
        Direct(4).steps = 5


@pytest.mark.parametrize(
    "make", [Direct, Poisson, Frames, Direct(4).with_steps, Poisson(4).with_steps]
)
@pytest.mark.parametrize("steps", [0, -1, 2.0, "4", True])
def test_a_number_of_steps_that_is_no_count_is_refused(make, steps):
    with pytest.raises(ValueError, match=r"^steps: expected a whole number >= 1, got .*4 to 10"):
        make(steps)


@pytest.mark.parametrize(
    ("steps", "shape"), [(4, (2, 5, 3)), (4, (2, 4)), (None, (2, 4)), (None, (2, 0, 3))]
)
def test_frames_of_another_shape_are_refused(steps, shape):
    message = rf"^x: expected frames \[N, {steps or 'T'}, \.\.\.\], got shape \[2, .*time axis"
    with pytest.raises(ValueError, match=message):
        Frames(steps)(torch.zeros(shape))
