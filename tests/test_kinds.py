"""Every known type of layers does what its row says, and what bounds and counts need."""

import math
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from art_snn import LIF, Direct, PyTorchSpikingClassifier, SpikingNetwork, TimeDistributed
from art_snn.bounds.bounding import enclose_samples
from art_snn.bounds.operations import Propagation
from art_snn.engine.kinds import LAYER_KINDS
from art_snn.engine.snapshot import Snapshot
from art_snn.gradients.fixed import without_saving
from art_snn.layers import Normalize, Residual, Scale
from art_snn.metrics import synaptic_operations
from art_snn.modulation import Noise
from art_snn.running.context import RUN, NetworkRun, set_in_block

PLANES, ROWS = (4, 6, 6), (4, 6)
ROW_OF_EACH = {
    nn.Conv2d: (nn.Conv2d(4, 3, 3, stride=2, padding=1), PLANES),
    nn.Linear: (nn.Linear(6, 5), ROWS),
    nn.BatchNorm1d: (nn.BatchNorm1d(4), ROWS),
    nn.BatchNorm2d: (nn.BatchNorm2d(4), PLANES),
    nn.AvgPool2d: (nn.AvgPool2d(2), PLANES),
    nn.AdaptiveAvgPool2d: (nn.AdaptiveAvgPool2d(3), PLANES),
    nn.MaxPool2d: (nn.MaxPool2d(2), PLANES),
    nn.AdaptiveMaxPool2d: (nn.AdaptiveMaxPool2d(3), PLANES),
    nn.ReLU: (nn.ReLU(), ROWS),
    nn.Dropout: (nn.Dropout(), ROWS),
    nn.Dropout1d: (nn.Dropout1d(), ROWS),
    nn.Dropout2d: (nn.Dropout2d(), PLANES),
    nn.Dropout3d: (nn.Dropout3d(), (2, 3, 3, 3)),
    nn.AlphaDropout: (nn.AlphaDropout(), ROWS),
    nn.FeatureAlphaDropout: (nn.FeatureAlphaDropout(), PLANES),
    nn.Identity: (nn.Identity(), ROWS),
    Noise: (Noise(), ROWS),
    nn.Flatten: (nn.Flatten(), PLANES),
    nn.Unflatten: (nn.Unflatten(1, (2, 2)), ROWS),
    Normalize: (Normalize((0.1, 0.2, 0.3, 0.4), (2.0, 1.0, 0.5, 3.0)), PLANES),
    Scale: (Scale(torch.tensor(1.25)), ROWS),
    nn.Sequential: (nn.Sequential(nn.AvgPool2d(2), nn.Flatten()), PLANES),
    TimeDistributed: (TimeDistributed(nn.Linear(6, 5)), PLANES),
    Residual: (Residual([nn.AvgPool2d(3, 1, 1)], []), PLANES),
}
"""A module of each type, with the shape of a sample."""
UNCOUNTED = {nn.ReLU, Scale}
"""Those whose operations are not counted."""

every_kind = pytest.mark.parametrize("kind", LAYER_KINDS)


def example(kind):
    """A module of a type in double precision and evaluation mode, and three samples."""
    torch.manual_seed(0)
    module, shape = ROW_OF_EACH[kind]
    module = module.double().eval()
    for buffer in module.buffers():
        if kind in (nn.BatchNorm1d, nn.BatchNorm2d) and buffer.is_floating_point():
            buffer.uniform_(0.1, 0.6)
    return module, torch.randn(3, *shape, dtype=torch.float64)


def around(kind):
    """A network in whose middle a module of the type stands, in evaluation mode, and samples."""
    module, x = example(kind)
    readout = nn.Linear(module(x)[0].numel(), 2)
    layers = [LIF(), TimeDistributed(module), LIF(), TimeDistributed(nn.Flatten(), readout)]
    network = SpikingNetwork(layers, Direct(4), "stbp", input_shape=tuple(x.shape[1:]))
    return network.double().eval(), x


@every_kind
@torch.no_grad()
def test_a_module_computes_what_its_row_says(kind):
    (module, x), row = example(kind), LAYER_KINDS[kind]
    y = module(x)
    if row.function is not None:
        given = [getattr(module, name) for name in row.arguments]
        assert torch.equal(row.function(x, *given), y)
    a, b = x, torch.randn_like(x)
    assert torch.allclose(module((a + b) / 2), (module(a) + module(b)) / 2) == row.affine
    assert torch.equal(x, y) == row.passes
    keeps = y.shape != x.shape and torch.equal(y.flatten(), x.flatten())
    assert keeps == row.reshapes


@every_kind
@torch.no_grad()
def test_bounds_pass_through_it(kind):
    module, x = example(kind)
    with Propagation():
        low, high = module(enclose_samples(x, 0.1, math.inf, None)).ends
    for _ in range(20):
        y = module(x + 0.1 * torch.randn_like(x).sign())
        assert (low <= y).all()
        assert (y <= high).all()


@every_kind
def test_constant_weights_change_neither_logits_nor_gradients(kind):
    network, x = around(kind)
    snapshot = Snapshot(network.layers)
    assert snapshot.constant is not None
    assert snapshot.affine == LAYER_KINDS[kind].affine
    results = []
    for rule in ("rga", "stbp"):
        network.gradient = rule
        for block in (nullcontext(), network.constant_weights()):
            leaf = x.clone().requires_grad_()
            with block:
                logits = network(leaf)
            (gradient,) = torch.autograd.grad(logits[:, 0].sum(), leaf)
            results.append((logits.detach(), gradient))
        (plain, first), (constant, second) = results[-2:]
        assert torch.equal(plain, constant)
        assert first.any()
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("kind", [kind for kind, row in LAYER_KINDS.items() if row.function])
def test_a_function_keeps_nothing_and_is_not_computed_for_shapes(kind):
    (module, x), row = example(kind), LAYER_KINDS[kind]
    given = [getattr(module, name) for name in row.arguments]
    given = [value.detach() if isinstance(value, torch.Tensor) else value for value in given]
    with set_in_block(RUN, NetworkRun(shapes_only=True)):
        shaped = without_saving(row.function, x.requires_grad_(), *given)
    assert shaped.shape == module(x).shape
    assert not shaped.any()


@every_kind
def test_its_operations_are_counted_or_refused_by_name(kind):
    network, x = around(kind)
    shape = tuple(x.shape[1:])
    classifier = PyTorchSpikingClassifier(network, nn.CrossEntropyLoss(), shape, 2)
    if kind not in UNCOUNTED:
        assert (synaptic_operations(classifier, x.numpy()) > 0).all()
        return
    with pytest.raises(ValueError, match="synapses can be counted"):
        synaptic_operations(classifier, x.numpy())
