"""Attacks differentiate by the input alone: weights are constants unless they are asked for."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from art.estimators.classification import PyTorchClassifier
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from art_snn import GRADIENTS, LIF, PyTorchSpikingClassifier
from art_snn.engine.snapshot import Snapshot
from art_snn.gradients.fixed import weights_fixed
from art_snn.models import sew_resnet17
from art_snn.running.context import RUN, NetworkRun, set_in_block
from tests.architectures import (
    CLASSES,
    SHAPE,
    batch,
    chain,
    max_pooled,
    network,
    residual,
    tiny_vgg,
)
from tests.interop import adapted

MODULES = {
    "padded": nn.Conv2d(2, 4, 3, padding=1),
    "strided, in groups": nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=False),
    "dilated": nn.Conv2d(2, 4, (3, 2), stride=(3, 2), padding=(0, 1), dilation=(2, 1)),
    "same": nn.Conv2d(2, 4, 3, padding="same"),
    "circular": nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"),
    "norm": nn.BatchNorm2d(2).eval(),
    "bare norm": nn.BatchNorm2d(2, affine=False).eval(),
    "average": nn.AvgPool2d(2),
    "average, rounded up": nn.AvgPool2d(2, ceil_mode=True),
    "average, overlapping": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "average, divided": nn.AvgPool2d((2, 3), divisor_override=5),
    "maximum": nn.MaxPool2d(2),
    "maximum, overlapping": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "maximum, dilated": nn.MaxPool2d(2, 1, dilation=2),
}


def kept_bytes(call):
    """Bytes that the graph of a call keeps for the backward pass, and its answer."""
    storages = {}

    def note(tensor):
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        answer = call()
    return sum(storages.values()), answer


def input_gradient(net, x, *, fixed):
    x = x.clone().requires_grad_()
    with net.constant_weights() if fixed else nullcontext():
        logits = net(x)
    (grad,) = torch.autograd.grad(logits[:, 0].sum() - logits[:, 1].sum(), x)
    return logits.detach(), grad


def backward(net, x, fixed=True):
    """The gradient at a new leaf, which goes to the weights too where they take one."""
    leaf = x.clone().requires_grad_()
    with net.constant_weights() if fixed else nullcontext():
        net(leaf).sum().backward()
    return leaf.grad


def untouched(net):
    """Whether no weight has a gradient."""
    return all(weight.grad is None for weight in net.parameters())


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_give_the_values_and_gradients_of_torch_and_keep_less(name, dtype):
    torch.manual_seed(0)
    module = MODULES[name].to(dtype)
    x = torch.randn(3, 2, 11, 9, dtype=dtype, requires_grad=True)
    plain, expected = kept_bytes(lambda: module(x))
    with set_in_block(RUN, NetworkRun(constant_weights=True)), weights_fixed():
        light, got = kept_bytes(lambda: module(x))
    assert torch.equal(got, expected)
    g = torch.randn_like(got)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, g)[0] for y in (got, expected)))
    if name not in ("same", "circular") and "maximum" not in name:
        assert light < plain
    assert untouched(module)


COMPUTED = ("same", "circular", "maximum", "maximum, overlapping", "maximum, dilated")


@pytest.mark.parametrize("name", [name for name in MODULES if name not in COMPUTED])
def test_layers_of_shapes_only_have_the_shapes_and_gradients_of_computed_ones(name):
    module = MODULES[name].float()
    x = torch.randn(3, 2, 11, 9, requires_grad=True)
    with set_in_block(RUN, NetworkRun(constant_weights=True)), weights_fixed():
        expected = module(x)
        with set_in_block(RUN, NetworkRun(shapes_only=True)):
            shaped = module(x)
    assert not shaped.any()
    assert shaped.shape == expected.shape
    g = torch.rand_like(expected)
    assert torch.equal(*(torch.autograd.grad(y, x, g)[0] for y in (expected, shaped)))


class OwnLinear(nn.Linear):
    """A layer of the user's."""


def hooked():
    layer = nn.Flatten()
    layer.register_full_backward_hook(lambda *_: None)
    return layer


UNKNOWN = [
    *(lambda: nn.LayerNorm(6), nn.PReLU, hooked, lambda: OwnLinear(6, 6)),
    lambda: nn.BatchNorm2d(2, track_running_stats=False).eval(),
    lambda: nn.Sequential(nn.Linear(6, 6)),
]


# Those that are known have tests/test_kinds.py.
@pytest.mark.parametrize("layer", UNKNOWN)
def test_layers_of_other_kinds_are_not_known_as_affine(layer):
    layers = chain(LIF)
    assert Snapshot(layers.eval()).affine
    assert Snapshot(layers.train()).constant is None
    layers[0].module.insert(0, layer())
    snapshot = Snapshot(layers.eval())
    assert snapshot.constant is None
    assert not snapshot.affine


@pytest.mark.parametrize("rule", [name for name in GRADIENTS if name != "cba"])
@pytest.mark.parametrize("layers", [chain, residual, max_pooled, tiny_vgg])
def test_the_gradient_at_the_input_is_the_same_and_none_is_at_the_weights(layers, rule):
    net, x = network(layers, gradient=rule), batch(3)
    logits, wanted = input_gradient(net, x, fixed=False)
    net.forget()
    same, got = input_gradient(net, x, fixed=True)
    assert torch.equal(logits, same)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-14)
    assert backward(net, x).any()
    assert untouched(net)
    assert all(weight.requires_grad for weight in net.parameters())


@pytest.mark.parametrize("rule", ["native", "rga", "stbp"])
@pytest.mark.parametrize("kind", ["steps", "merged", "step"])
def test_so_it_is_in_adapted_networks(kind, rule):
    net = adapted.network(kind)
    net.gradient = rule
    x = torch.rand(3, *adapted.SHAPE)
    logits, wanted = input_gradient(net, x, fixed=False)
    same, got = input_gradient(net, x, fixed=True)
    assert torch.equal(logits, same)
    torch.testing.assert_close(got, wanted)
    for fixed in (True, False):
        assert backward(net, x, fixed).any()
        assert all((weight.grad is None) == fixed for weight in net.parameters())


class Counting(TorchFunctionMode):
    """Counts the convolutions and linear layers that are computed."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        layer = func in (functional.conv2d, functional.linear)
        self.calls += layer and args[0].device.type != "meta"
        return func(*args, **(kwargs or {}))


def tiny_resnet(neuron):
    sizes = {"in_channels": 2, "image_size": 6, "classes": CLASSES, "width": 1 / 16}
    dynamics = neuron().dynamics
    return sew_resnet17(**sizes, decay=dynamics.decay, threshold=dynamics.threshold).layers


def computed(net, x, *, fixed=True):
    """How often every affine layer is computed for a gradient, and the gradient."""
    with Counting() as counting:
        _, gradient = input_gradient(net, x, fixed=fixed)
    layers = sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules())
    assert counting.calls % layers == 0
    return counting.calls // layers, gradient


@pytest.mark.parametrize("rule", ["rga", "hart", "bptr", "static"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layers", [chain, tiny_vgg, tiny_resnet])
def test_later_replays_compute_nothing_and_give_the_gradient_of_the_first(layers, dtype, rule):
    net, x = network(layers, gradient=rule).to(dtype), batch(5, dtype=dtype)
    first, expected = computed(net, x)
    later, got = computed(net, x)
    # The recording alone, since the layers are known.
    assert (first, later) == (1, 1)
    assert net.execution.kind == "collapsed"
    assert torch.equal(got, expected)
    assert got.any()
    alone, one = computed(net, x[2:3])
    assert alone == 1
    if dtype == torch.float64:
        torch.testing.assert_close(one, expected[2:3], rtol=1e-9, atol=1e-12)


def test_gradients_at_the_weights_need_values_and_the_probe_of_their_state():
    net, x = network(chain, gradient="rga"), batch(3)
    assert [computed(net, x, fixed=fixed)[0] for fixed in (True, False, False)] == [1, 2, 2]
    with torch.no_grad():
        net.layers[0].module[1].weight.mul_(1.5)
    assert [computed(net, x, fixed=fixed)[0] for fixed in (True, False)] == [1, 2]


def test_passes_that_share_a_graph_bring_their_own_slopes():
    net, x = network(residual, gradient="rga"), batch(3)
    inputs = [x, x.flip(0) * 0.7, x[:2]]
    leaves = [one.clone().requires_grad_() for one in inputs]
    alone = [torch.autograd.grad(net(leaf).square().sum(), leaf)[0] for leaf in leaves]
    with net.attacking(0.1):
        losses = [net(leaf).square().sum() for leaf in leaves]
        first = torch.autograd.grad(losses[0], leaves[0], retain_graph=True)[0]
        together = torch.autograd.grad(sum(losses), leaves)
    assert torch.equal(first, together[0])
    for got, expected in zip(together, alone, strict=True):
        assert got.any()
        torch.testing.assert_close(got, expected)


class Rectified(nn.Module):
    """Affine on what it meets in the probe and here, since all of it is far from the corner."""

    def forward(self, x):
        return torch.relu(x + 100) - 100


class Kept(nn.Module):
    """Keeps what it has seen, for a penalty perhaps."""

    def forward(self, x):
        self.seen = x
        return x * 1


class Scaled(nn.Module):
    """Affine in the probe, where one number scales a whole sample; and by a value at that."""

    def __init__(self):
        super().__init__()
        self.half = torch.tensor(0.5)

    def forward(self, x):
        with torch.no_grad():
            size = x.mean()
        return x * (self.half if size > -100 else 2 * self.half)


@pytest.mark.parametrize("layer", [Rectified, Kept, Scaled])
def test_a_layer_that_may_depend_on_values_or_keep_them_is_computed_every_time(layer):
    net = network(lambda neuron: nn.Sequential(*chain(neuron), layer()), gradient="rga")
    x = batch(3)
    runs = []
    for _ in range(3):
        runs.append(computed(net, x))
        assert net.execution.kind == "collapsed"
    assert [count for count, _ in runs] == [3, 2, 2]
    assert torch.equal(runs[0][1], runs[2][1])
    if layer is Kept:
        assert net.layers[-1].seen.any()


def test_hooks_on_one_or_on_all_modules_see_the_values_of_every_replay():
    net, x = network(chain, gradient="rga"), batch(3)
    hook_all = nn.modules.module.register_module_forward_hook
    for register in (net.layers[0].register_forward_hook, hook_all):
        for _ in range(2):
            input_gradient(net, x, fixed=True)
        seen = []
        handle = register(lambda m, _a, out: seen.append((m, out.detach())))  # noqa: B023
        for _ in range(2):
            seen.clear()
            input_gradient(net, x, fixed=True)
            assert all(value.any() for _, value in seen)
            *_, recorded, replayed = (value for m, value in seen if m is net.layers[0])
            torch.testing.assert_close(replayed, recorded.mean(0, keepdim=True))
        handle.remove()


@pytest.mark.parametrize("rule", ["rga", "hart", "bptr"])
def test_values_that_are_not_finite_are_told_of_at_later_calls_too(rule):
    net, x = network(chain, gradient=rule), batch(3)
    for _ in range(2):
        input_gradient(net, x, fixed=True)
    broken = x.clone()
    broken[1, 0, 0, 0] = float("nan")
    input_gradient(net, broken, fixed=True)
    assert net.execution.kind == "time-resolved"
    assert "not finite" in net.execution.reason
    input_gradient(net, x, fixed=True)
    assert net.execution.kind == "collapsed"


def test_in_training_mode_weights_take_gradients_and_loss_gradients_still_need_none():
    net, x = network(residual, gradient="stbp").train(), batch(3)
    backward(net, x, fixed=False)
    assert all(weight.grad is not None for weight in net.parameters())
    kept = {}
    for fixed in (True, False):
        leaf = x.clone().requires_grad_()
        with net.constant_weights() if fixed else nullcontext():
            kept[fixed], _ = kept_bytes(lambda leaf=leaf: net(leaf))
    assert kept[True] < kept[False]
    classifier = PyTorchSpikingClassifier(net, nn.CrossEntropyLoss(), SHAPE, CLASSES)
    y = np.zeros(3, int)
    by_loss, _ = kept_bytes(lambda: classifier.loss_gradient(x.numpy(), y, training_mode=True))
    assert by_loss < kept[False]


def test_a_leaf_that_repeats_a_step_has_the_gradient_of_every_step():
    net = network(chain, encoder=nn.Identity(), gradient="stbp")
    repeated = torch.rand(3, *SHAPE, dtype=torch.float64).expand(4, 3, *SHAPE)
    leaf = repeated.detach().requires_grad_()
    net(leaf).sum().backward()
    torch.testing.assert_close(leaf.grad, backward(net, repeated))


def test_a_stock_classifier_around_the_network_leaves_no_gradient_on_the_weights():
    net = network(residual).float()
    options = {"clip_values": (0, 1), "device_type": "cpu"}
    stock = PyTorchClassifier(net, nn.CrossEntropyLoss(), SHAPE, CLASSES, **options)
    x = batch(4, dtype=torch.float32).numpy()
    attack = ProjectedGradientDescent(stock, eps=0.1, eps_step=0.05, max_iter=2, verbose=False)
    with net.constant_weights():
        assert np.abs(attack.generate(x) - x).max() > 0
    assert untouched(net)


def test_autocast_is_left_to_torch():
    net = network(residual, gradient="stbp").float()
    with net.constant_weights(), torch.autocast("cpu", dtype=torch.bfloat16):
        logits = net(leaf := batch(2, dtype=torch.float32).requires_grad_())
    logits.sum().backward()
    assert torch.isfinite(leaf.grad).all()
    assert untouched(net)
