"""Outputs of every operation lie in the interval that it gives, and affine ones fill theirs."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from art_snn.bounds.bounding import enclose_samples
from art_snn.bounds.box import Box, Unbounded
from art_snn.bounds.operations import Propagation
from art_snn.layers import Normalize
from tests.bounds.random_networks import LIMITS
from tests.conftest import varied

EPS = 0.1


def _weights(module: nn.Module) -> nn.Module:
    """The module with other weights and statistics than its first ones."""
    generator = torch.Generator().manual_seed(varied(3))
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            drawn = torch.randn(tensor.shape, generator=generator)
            tensor.data.copy_(drawn.abs() + 0.2 if (tensor > 0).all() else drawn)
    return module.eval()


LINE, PLANE, SPACE = (2, 4, 7), (2, 4, 6, 6), (2, 2, 4, 4, 4)
COLUMN = torch.linspace(-1.5, 1.5, 4).view(4, 1, 1)

LAYERS = {
    "linear": ((3, 5), nn.Linear(5, 4)),
    "linear of rows": ((2, 3, 5), nn.Linear(5, 4, bias=False)),
    "conv1d": (LINE, nn.Conv1d(4, 3, 3, stride=2, padding=1)),
    "conv1d dilation": (LINE, nn.Conv1d(4, 4, 3, dilation=2, groups=2)),
    "conv2d stride": (PLANE, nn.Conv2d(4, 3, (3, 2), stride=(2, 1), padding=(1, 2))),
    "conv2d same": (PLANE, nn.Conv2d(4, 3, 3, padding="same", dilation=2)),
    "conv2d groups": (PLANE, nn.Conv2d(4, 8, 3, padding=1, groups=4, bias=False)),
    "conv3d": (SPACE, nn.Conv3d(2, 2, 2, stride=2, padding=1)),
    "batch norm of lines": (LINE, nn.BatchNorm1d(4)),
    "batch norm 2d": (PLANE, nn.BatchNorm2d(4)),
    "batch norm 3d": (SPACE, nn.BatchNorm3d(2)),
    "two layers": (PLANE, nn.Sequential(nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3))),
    "avg pool 2d": (PLANE, nn.AvgPool2d(2)),
    "avg pool odd": (PLANE, nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)),
    "avg pool sums": (PLANE, nn.AvgPool2d((2, 3), divisor_override=1)),
    "avg pool negative": (PLANE, nn.AvgPool2d(2, divisor_override=-4)),
    "avg pool 3d": (SPACE, nn.AvgPool3d(2)),
    "adaptive 2d": (PLANE, nn.AdaptiveAvgPool2d(1)),
    "adaptive sides": (PLANE, nn.AdaptiveAvgPool2d((4, None))),
    "adaptive 3d": (SPACE, nn.AdaptiveAvgPool3d((1, 2, 3))),
    "max pool 2d": (PLANE, nn.MaxPool2d(3, 2, 1)),
    "max pool 3d": (SPACE, nn.MaxPool3d(2)),
    "adaptive max": (PLANE, nn.AdaptiveMaxPool2d(2)),
    "relu": (PLANE, nn.ReLU()),
    "dropout": (PLANE, nn.Sequential(nn.Dropout(), nn.Dropout2d())),
    "flatten": (PLANE, nn.Sequential(nn.Flatten(), nn.Unflatten(1, (12, 12)))),
}

ARITHMETIC = {
    "number before": (PLANE, lambda x: 0.3 + x),
    "number after": (PLANE, lambda x: x - 0.1),
    "number minus": (PLANE, lambda x: 1 - x),
    "tensor": (PLANE, lambda x: torch.add(COLUMN, x, alpha=-2)),
    "wider": ((4, 1, 1), lambda x: x + torch.ones(4, 2, 3)),
    "factor": (PLANE, lambda x: 3 * x * COLUMN),
    "negative": (PLANE, lambda x: -x / -0.7),
    "divided": (PLANE, lambda x: torch.div(x, COLUMN)),
    "branches": (PLANE, lambda x: x + 2 * x),
    "mean": (PLANE, lambda x: x.mean((2, 3))),
    "mean of all": (PLANE, lambda x: torch.mean(x, dim=0)),
    "sum": (PLANE, lambda x: torch.sum(x, (1, -1))),
}

MOVES = {
    "view": (PLANE, lambda x: x.view(4, 2, -1)),
    "reshape": (PLANE, lambda x: torch.reshape(x.transpose(0, 1), (8, 36))),
    "transpose": (PLANE, lambda x: x.transpose(1, 3)),
    "permute": (PLANE, lambda x: torch.permute(x, (3, 1, 0, 2)).contiguous()),
    "movedim": (PLANE, lambda x: x.movedim(0, -1)),
    "squeeze": ((2, 1, 4), lambda x: x.squeeze(1).unsqueeze(0)),
    "expand": ((1, 4), lambda x: x.expand(3, 4)),
    "index": (PLANE, lambda x: x[:, 1:3, ..., None]),
    "chunk": (PLANE, lambda x: x.chunk(2, 1)[1]),
    "unbind": (PLANE, lambda x: x.unbind(1)[2]),
    "cat": (PLANE, lambda x: torch.cat([2 * x, torch.ones(2, 1, 6, 6), x], 1)),
    "stack": (PLANE, lambda x: torch.stack([x, -x], 2)),
    "clone": (PLANE, lambda x: x.clone().to(x.device).float()),
}
CONVOLUTION, LINEAR = _weights(nn.Conv2d(4, 4, 3, padding=1)), _weights(nn.Linear(6, 6))
FILLED = {**LAYERS, **ARITHMETIC, **MOVES}
"""Those whose outputs take both ends of their interval: layers after each other do not."""
FLAT = nn.Sequential(nn.Linear(5, 4), nn.Flatten(), nn.Linear(12, 2))
LOOSE = {
    "two linear layers": ((3, 5), nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 2))),
    "linear, flat, linear": ((2, 3, 5), FLAT),
    "sum of branches": (PLANE, lambda x: CONVOLUTION(x) + LINEAR(x) + 0.5 * x),
}
CASES = {**FILLED, **LOOSE}
for _, layer in CASES.values():
    if isinstance(layer, nn.Module):
        _weights(layer)


def boxed(shape, function, eps: float = EPS) -> tuple[Tensor, Box]:
    """A centre in single precision, and the box of outputs."""
    generator = torch.Generator().manual_seed(varied())
    x = torch.randn(shape, generator=generator)
    with torch.no_grad(), Propagation():
        return x, function(enclose_samples(x, eps, np.inf, None))


@pytest.mark.parametrize(("shape", "function"), CASES.values(), ids=CASES)
@torch.no_grad()
def test_outputs_of_points_in_a_box_lie_in_its_output(shape, function):
    x, box = boxed(shape, function)
    low, high = box.ends
    assert low.shape == function(x).shape
    for index in range(60):
        change = torch.rand(shape) * 2 - 1
        y = function(x + EPS * (change.sign() if index % 2 else change))
        assert (low <= y).all()
        assert (y <= high).all()


@pytest.mark.parametrize("name", FILLED)
def test_the_interval_of_an_output_is_the_smallest(name):
    shape, function = CASES[name]
    x, box = boxed(shape, function)
    y = function(x.requires_grad_())
    for index in torch.randperm(y.numel())[:8]:
        (slope,) = torch.autograd.grad(y.flatten()[index], x, retain_graph=True)
        if name in LAYERS and ("max" in name or "relu" in name):
            slope = torch.ones_like(slope)
        for end, side in zip(box.ends, (-1, 1), strict=True):
            with torch.no_grad():
                reached = function(x + side * EPS * slope.sign()).flatten()[index]
            excess = side * (end.detach().flatten()[index] - reached)
            assert 0 <= excess < 1e-3 * (1 + slope.abs().sum())


@pytest.mark.parametrize(("shape", "function"), CASES.values(), ids=CASES)
@torch.no_grad()
def test_a_box_without_width_holds_what_any_order_of_sums_gives(shape, function):
    x, box = boxed(shape, function, eps=1e-30)
    layer = isinstance(function, nn.Module)
    y = copy.deepcopy(function).double()(x.double()) if layer else function(x)
    low, high = box.ends
    assert (low <= y).all()
    assert (y <= high).all()
    assert (high - low).max() < 0.03


@pytest.mark.parametrize(("shape", "function"), CASES.values(), ids=CASES)
@torch.no_grad()
def test_rounding_so_far_is_carried_on_like_any_width(shape, function):
    x, nothing = torch.randn(shape), torch.zeros(shape)
    channels = [torch.rand(4, 1, 1)] if shape == PLANE else []
    for slack in (torch.rand(shape), torch.rand(()), *channels):
        radius = slack.expand(shape).contiguous()
        with Propagation():
            wide = function(Box(x, radius, torch.zeros(())))
            rounded = function(Box(x, nothing, slack))
        low, high = rounded.ends
        assert (low <= wide.centre - wide.radius).all()
        assert (high >= wide.centre + wide.radius).all()


UNKNOWN = {
    "sigmoid": torch.sigmoid,
    "matmul": lambda x: x @ torch.ones(6, 6),
    "a product of two values": lambda x: x * x,
    "relu in place": lambda x: functional.relu(x, True),
    "a division by a value": lambda x: torch.div(torch.ones(6), x),
    "with rounding": lambda x: torch.div(x, 2, rounding_mode="floor"),
    "dropout in training mode": lambda x: functional.dropout(x, 0.5, True),
    "batch norm by the statistics": lambda x: functional.batch_norm(x, None, None, training=True),
    "weights depend on the input": lambda x: functional.linear(torch.ones(3, 6), x.view(-1, 6)),
    "to another precision": lambda x: x.double(),
    "as another dtype": lambda x: x.view(torch.int32),
    "add_": lambda x: x.add_(1),
    "into another tensor": lambda x: torch.add(x, 1, out=torch.zeros(PLANE)),
    "max_pool2d_with_indices": lambda x: functional.max_pool2d(x, 2, return_indices=True),
}


@pytest.mark.parametrize("words", UNKNOWN)
def test_operations_without_bounds_are_refused_by_name(words):
    with pytest.raises(Unbounded, match=words):
        boxed(PLANE, UNKNOWN[words])


def test_numbers_are_as_precise_as_the_box():
    x = torch.zeros(3, dtype=torch.float64)
    with Propagation():
        low, high = (enclose_samples(x, 1e-9, np.inf, None) * 0 + 0.1).ends
    assert (low <= 0.1).all()
    assert (high >= 0.1).all()
    assert (high - low).max() < 1e-9


SHAPE = (2, 1, 4, 4)
GREY = (0.1, 0.2, 0.3)


def rows(x: Tensor) -> Tensor:
    """[2, 1, 4, 4] over four steps as one row per sample."""
    return x.expand(4, *x.shape).transpose(0, 1).flatten(1)


REPEATED = {
    "expanded": (lambda x: x.expand(-1, 3, -1, -1), nn.Conv2d(3, 4, 3)),
    "normalised": (lambda x: Normalize(GREY, (1.0, 1.0, 1.0))(x), nn.Conv2d(3, 4, 3)),
    "shifted": (lambda x: x - torch.tensor(GREY).view(1, 3, 1, 1), nn.Conv2d(3, 4, 3)),
    "chosen twice": (lambda x: x[:, [0, 0, 0]], nn.Conv2d(3, 4, 3)),
    "joined": (lambda x: torch.cat([x, x], 1), nn.Conv2d(2, 4, 3)),
    "steps in a row": (rows, nn.Linear(64, 4)),
    "steps as channels": (lambda x: x.expand(4, *SHAPE)[:, 0, 0], nn.Conv2d(4, 4, 3)),
    "steps apart": (lambda x: x.expand(4, *SHAPE).flatten(0, 1), nn.Conv2d(1, 4, 3)),
    "steps around": (lambda x: x.expand(4, *SHAPE).flatten(2), nn.Linear(16, 4)),
    "one step": (lambda x: x.expand(4, *SHAPE)[0], nn.Conv2d(1, 4, 3)),
    "overlapping averages": (nn.AdaptiveAvgPool2d((3, 2)), nn.Conv2d(1, 4, 2)),
    "averages": (nn.AvgPool2d(2), nn.Conv2d(1, 4, 2)),
    "moved": (lambda x: x.transpose(2, 3).flatten(1)[:, :8], nn.Linear(8, 4)),
}


@pytest.mark.parametrize("name", REPEATED)
def test_the_worst_perturbation_in_the_euclidean_norm_lies_in_the_interval(name):
    move, layer = REPEATED[name]
    torch.manual_seed(varied())
    with torch.no_grad():
        layer.weight.abs_()  # Repeated values pull in one direction.
    x = torch.rand(SHAPE) * 0.2 + 0.4
    with torch.no_grad(), Propagation():
        low, high = layer(move(enclose_samples(x, EPS, 2, LIMITS))).ends
    leaf = x.clone().requires_grad_()
    y = layer(move(leaf))
    assert low.shape == y.shape
    for index in np.ndindex(*y.shape):
        (slope,) = torch.autograd.grad(y[index], leaf, retain_graph=True)
        for end, side in ((low, -1), (high, 1)):
            with torch.no_grad():
                worst = x + EPS * side * slope / slope.norm().clamp_min(1e-12)
                reached = layer(move(worst))[index]
            assert side * (end[index] - reached) >= 0


@pytest.mark.parametrize("name", ["steps apart", "steps around", "one step", "averages", "moved"])
def test_values_that_stay_apart_keep_the_euclidean_budget(name):
    move, layer = REPEATED[name]
    x = torch.full(SHAPE, 0.5)
    with torch.no_grad(), Propagation():
        low, high = layer(move(enclose_samples(x, EPS, 2, LIMITS))).ends
        box_low, box_high = layer(move(enclose_samples(x, EPS, np.inf, LIMITS))).ends
    assert (high - low < 0.9 * (box_high - box_low)).all()
