"""TimeDistributed and Normalize: same values as step by step, computed as rarely as possible."""

from functools import partial

import pytest
import torch
from torch import nn

from art_snn import LIF, Direct, TimeDistributed
from art_snn.layers import Normalize


class Spy(nn.Module):
    """The identity that notes the shapes it has seen."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def forward(self, x):
        self.shapes.append(tuple(x.shape))
        return x


def settled(norm):
    if norm.affine:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    return norm


def stacks():
    """Modules on [N, 3, 6, 6]."""
    convolution, norm = partial(nn.Conv2d, 3, 4, 3), partial(nn.BatchNorm2d, 4)
    bare = partial(settled, norm(affine=False))
    return {
        "linear": [nn.Flatten(), nn.Linear(108, 5)],
        "convolution": [convolution(padding=1)],
        "strided, grouped": [nn.Conv2d(3, 6, 3, stride=2, groups=3, bias=False)],
        "with norm": [convolution(padding=1), settled(norm())],
        "no bias, norm": [convolution(bias=False), settled(norm())],
        "plain norm": [convolution(), bare()],
        "nothing affine": [convolution(padding=1, stride=2, bias=False), bare()],
        "norm without statistics": [convolution(), norm(track_running_stats=False)],
        "circular": [convolution(padding=1, padding_mode="circular"), norm()],
        "norm first": [settled(nn.BatchNorm2d(3)), convolution(), nn.AvgPool2d(2)],
        "nested": [nn.Sequential(convolution(), norm()), nn.ReLU()],
        "two": [convolution(), norm(), nn.Conv2d(4, 2, 3), nn.BatchNorm2d(2)],
        "nothing": [],
    }


@pytest.mark.parametrize("name", stacks())
def test_the_values_and_gradients_are_those_of_the_modules_on_every_step(name):
    layer = TimeDistributed(*stacks()[name]).double().eval()
    x = torch.randn(4, 2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    if name == "norm without statistics":
        expected = layer.module(x.flatten(0, 1)).unflatten(0, (4, 2))
    else:
        expected = torch.stack([layer.module(step) for step in x])
    assert_same(layer(x), expected, [x, *layer.parameters()])


@pytest.mark.parametrize("name", stacks())
def test_a_repeated_step_gives_the_values_and_gradients_of_its_copies(name):
    layer = TimeDistributed(*stacks()[name]).double().eval()
    image = torch.randn(2, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    repeated = layer(Direct(4)(image))
    assert repeated.stride(0) == 0
    assert_same(repeated, layer(torch.stack([image] * 4)), [image])


def assert_same(ours, theirs, leaves):
    """Same values, and same gradients at the leaves in one direction."""
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    direction = torch.randn_like(theirs)
    gradients = (torch.autograd.grad(out, leaves, direction) for out in (ours, theirs))
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-10)


def test_a_repeated_step_is_computed_once_through_all_layers():
    first, second, third = Spy(), Spy(), Spy()
    layers = nn.Sequential(
        TimeDistributed(first, nn.Conv2d(3, 4, 3)),
        TimeDistributed(second, nn.AvgPool2d(2)),
        LIF(threshold=0.1),
        TimeDistributed(third),
    )
    layers(Direct(5)(torch.rand(2, 3, 6, 6)))
    assert first.shapes == [(2, 3, 6, 6)]
    assert second.shapes == [(2, 4, 4, 4)]
    assert third.shapes == [(10, 4, 2, 2)]


def test_an_empty_batch_passes_and_the_output_is_contiguous():
    layer = TimeDistributed(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()).eval()
    assert layer(torch.zeros(4, 0, 3, 6, 6)).shape == (4, 0, 64)
    assert layer(torch.zeros(0, 3, 6, 6).expand(4, 0, 3, 6, 6)).shape == (4, 0, 64)

    class Transposed(nn.Module):
        def forward(self, x):
            return x.transpose(1, 2)

    assert TimeDistributed(Transposed())(torch.rand(4, 2, 3, 5)).is_contiguous()


def test_dropout_draws_anew_for_every_step_in_training_mode_only():
    layer = TimeDistributed(nn.Dropout(0.5)).train()
    dropped = layer(torch.ones(1, 1000).expand(4, 1, 1000))
    assert dropped.stride(0) != 0
    assert set(dropped.unique().tolist()) == {0, 2}
    for t in range(3):
        assert not torch.equal(dropped[t], dropped[t + 1])
    spy = Spy()
    layer = TimeDistributed(nn.Dropout(0.5), spy).eval()
    assert torch.equal(layer(torch.ones(2, 3).expand(4, 2, 3)), torch.ones(4, 2, 3))
    assert spy.shapes == [(2, 3)]


@pytest.mark.parametrize("repeat", [False, True])
def test_batch_norm_in_training_mode_uses_the_statistics_of_all_steps(repeat):
    layer = TimeDistributed(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    convolution, norm = layer.module
    x = torch.rand(2, 3, 6, 6).expand(4, 2, 3, 6, 6) if repeat else torch.rand(4, 2, 3, 6, 6)
    y = layer(x)
    torch.testing.assert_close(y.mean((0, 1, 3, 4)), torch.zeros(4), rtol=0, atol=1e-5)
    mean = convolution(x.flatten(0, 1)).mean((0, 2, 3))
    torch.testing.assert_close(norm.running_mean, 0.1 * mean)
    assert norm.num_batches_tracked == 1


NO_MODULES = r"(?s)^modules: expected torch modules, got .*\.$"
STATEFUL = "(?s)^modules: expected modules without state, got .*Put neurons next"
NESTED = nn.Sequential(nn.Flatten(), nn.Sequential(LIF()))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [(wrong, NO_MODULES) for wrong in (nn.Conv2d, torch.relu, None, [nn.Flatten()])]
    + [(wrong, STATEFUL) for wrong in (LIF(), NESTED)],
)
def test_anything_but_modules_without_neurons_is_refused(wrong, message):
    with pytest.raises(TypeError, match=message):
        TimeDistributed(nn.Flatten(), wrong)


@pytest.mark.parametrize("repeat", [False, True])
def test_modules_that_lose_the_batch_axis_are_refused(repeat):
    class Summed(nn.Module):
        def forward(self, x):
            return x.sum(0, keepdim=True)

    x = torch.rand(2, 3).expand(4, 2, 3) if repeat else torch.rand(4, 2, 3)
    rows = 2 if repeat else 8
    with pytest.raises(ValueError, match=rf"^modules: .*size {rows}, got"):
        TimeDistributed(Summed())(x)


def test_normalize_subtracts_the_mean_and_divides_by_the_std_per_channel():
    normalize = Normalize((0.5, 0.25), (0.5, 2.0))
    x = torch.tensor([[1.0, 0.25], [0.0, 4.25]])
    assert normalize(x).tolist() == [[1, 0], [-1, 2]]
    image = x[:, :, None, None].expand(2, 2, 3, 5)
    assert torch.equal(normalize(image), normalize(x)[:, :, None, None].expand(2, 2, 3, 5))
    assert normalize.double().mean.dtype == torch.float64
    assert set(normalize.state_dict()) == {"mean", "std"}


@pytest.mark.parametrize(
    ("mean", "std"), [((0.5,), (1.0, 1.0)), ((0.5, 0.5), (1.0,)), ((0.5,), (0.0,)), ((0.5,), (-1,))]
)
def test_normalize_refuses_a_std_that_does_not_fit(mean, std):
    with pytest.raises(ValueError, match=rf"^std: .*{len(mean)} numbers"):
        Normalize(mean, std)
