"""Attacks differentiate by the input alone: weights are constants unless they are asked for."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from art.defences.trainer import AdversarialTrainerMadryPGD, AdversarialTrainerTRADESPyTorch
from art.estimators.classification import PyTorchClassifier
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import checkpoint

from art_snn import GRADIENTS, LIF, PyTorchSpikingClassifier, TimeDistributed
from art_snn.gradients import RGA, STBP
from art_snn.gradients.fixed import FixedWeights, Opaque, Trail, holding, on_trail, weights_fixed
from art_snn.models import sew_resnet17
from tests import adapted
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

every_network = pytest.mark.parametrize("layers", [chain, residual, max_pooled, tiny_vgg])

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
    with net.fixed(fixed):
        logits = net(x)
    (grad,) = torch.autograd.grad(logits[:, 0].sum() - logits[:, 1].sum(), x)
    return logits.detach(), grad


def backward(net, x):
    """The gradient at a new leaf, which goes to the weights too where they take one."""
    leaf = x.clone().requires_grad_()
    net(leaf).sum().backward()
    return leaf.grad


def untouched(net):
    """Whether no weight has a gradient."""
    return all(weight.grad is None for weight in net.parameters())


@contextmanager
def following(trail):
    """Passes with fixed weights that leave their traces there."""
    with holding(True), on_trail(trail), weights_fixed():
        yield trail


def assert_same_gradients(x, *outputs):
    """Gradients at x of several functions of it are the same, to the last bit."""
    g = torch.rand_like(outputs[0])
    first, *others = (torch.autograd.grad(y, x, g)[0] for y in outputs)
    assert all(torch.equal(other, first) for other in others)


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_give_the_values_and_gradients_of_torch_and_keep_less(name, dtype):
    torch.manual_seed(0)
    module = MODULES[name].to(dtype)
    x = torch.randn(3, 2, 11, 9, dtype=dtype, requires_grad=True)
    plain, expected = kept_bytes(lambda: module(x))
    with FixedWeights():
        light, got = kept_bytes(lambda: module(x))
    assert torch.equal(got, expected)
    g = torch.randn_like(got)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, g)[0] for y in (got, expected)))
    if name not in ("same", "circular"):
        assert light < plain
    assert untouched(module)


@pytest.mark.parametrize("name", [name for name in MODULES if "maximum" not in name])
def test_hollow_layers_have_the_shapes_and_gradients_of_computed_ones(name):
    module = MODULES[name].float()
    x = torch.randn(3, 2, 11, 9, requires_grad=True)
    with following(Trail()):
        expected = module(x)
    with following(Trail(hollow=True)):
        if name in ("same", "circular"):
            with pytest.raises(Opaque):
                module(x)
            return
        hollow = module(x)
    assert not hollow.any()
    assert_same_gradients(x, expected, hollow)


@pytest.mark.parametrize(
    ("operation", "affine"),
    [
        (lambda x: x.flatten(1) + 1, True),
        (lambda x: torch.cat([x, 2 * x], 1), True),
        (lambda x: x.mean(0, keepdim=True) - x / 3, True),
        (lambda x: functional.adaptive_avg_pool2d(x, 1), True),
        (lambda x: functional.dropout(x, 0.5, training=False), True),
        (lambda x: x[:, 1:, None, 0], True),
        (lambda x: x * x, False),
        (lambda x: 1 / (x + 2), False),
        (lambda x: x.abs(), False),
        (lambda x: x[x > 0], False),
        (lambda x: functional.dropout(x, 0.5, training=True), False),
        (lambda x: functional.max_pool2d(x, 2), False),
        (lambda x: functional.conv2d(x, x[:1]), False),
        (lambda x: x * x.detach(), False),
        (lambda x: torch.div(x, 2.0, rounding_mode="floor"), False),
        (lambda x: functional.batch_norm(x, None, None, training=True), False),
        (lambda x: x * x.sum().item(), False),
        (lambda x: x.clone().add_(1), False),
    ],
)
def test_operations_are_told_by_whether_their_gradient_depends_on_values(operation, affine):
    x = torch.rand(2, 3, 4, 4, requires_grad=True)
    with following(Trail()) as trail:
        expected = operation(x)
    assert trail.transparent == affine
    with following(Trail(hollow=True)):
        if not affine:
            with pytest.raises(Opaque):
                operation(x)
            return
        hollow = operation(x)
    assert hollow.shape == expected.shape
    assert_same_gradients(x, expected, hollow)


class Odd(nn.Module):
    """Uses its weights in ways of its own."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.full((4,), 2.0))
        self.mixing = nn.Parameter(torch.eye(4))
        self.shifts = nn.ParameterList([torch.zeros(4), torch.ones(4)])

    def forward(self, x):
        shift = torch.stack(list(self.shifts)).sum(0)
        return (x * self.scale) @ self.mixing.T + torch.cat([shift[:2], self.shifts[1][2:]])


def test_weights_are_constants_however_a_module_uses_them():
    module, x = Odd(), torch.randn(3, 4, requires_grad=True)
    with FixedWeights():
        module(x).sum().backward()
        assert not (module.scale * 2).requires_grad
    assert x.grad is not None
    assert untouched(module)
    assert all(weight.requires_grad for weight in module.parameters())
    assert (module.scale * 2).requires_grad


@pytest.mark.parametrize("rule", [name for name in GRADIENTS if name != "cba"])
@every_network
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
        with net.fixed(fixed):
            assert backward(net, x).any()
        assert all((weight.grad is None) == fixed for weight in net.parameters())


@every_network
def test_stbp_keeps_potentials_and_weights_and_little_else(layers):
    net, x = network(layers, gradient=STBP()), batch(8)
    potentials = []
    hooks = [
        module.register_forward_hook(lambda _m, _a, out: potentials.append(out.nbytes))
        for module in net.modules()
        if isinstance(module, LIF)
    ]
    leaf = x.clone().requires_grad_()
    kept, _ = kept_bytes(lambda: net(leaf))
    for hook in hooks:
        hook.remove()
    weights = sum(weight.nbytes for weight in (*net.parameters(), *net.buffers()))
    # Of maxima their places, eight bytes for every four values of a layer; and the input.
    places = sum(potentials) if layers is max_pooled else 0
    assert kept <= sum(potentials) + places + 2 * weights + 4 * x.nbytes
    with net.fixed(False):
        both, _ = kept_bytes(lambda: net(leaf))
    assert both > kept


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
    # The probe, the recording, the replay; then the recording alone.
    assert (first, later) == (3, 1)
    assert net.execution.kind == "collapsed"
    assert torch.equal(got, expected)
    assert got.any()
    alone, one = computed(net, x[2:3])
    assert alone == 2  # Another batch size is measured anew.
    if dtype == torch.float64:
        torch.testing.assert_close(one, expected[2:3], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_so_they_do_in_half_precision(dtype):
    net, x = network(tiny_vgg, gradient="rga").float(), batch(5, dtype=torch.float32)
    net.attack_dtype = dtype
    (first, expected), (later, got) = computed(net, x), computed(net, x)
    assert (first, later) == (3, 1)
    assert torch.equal(got, expected)


def test_so_they_do_in_adapted_networks():
    net = adapted.network("steps")
    net.gradient = "rga"
    x = torch.rand(3, *adapted.SHAPE)
    (_, first), (count, later) = computed(net, x), computed(net, x)
    assert count == 1
    assert torch.equal(later, first)
    assert later.any()


def test_changed_weights_are_measured_anew_and_gradients_at_the_weights_need_values():
    net, x = network(chain, gradient="rga"), batch(3)
    counts, gradients = zip(*(computed(net, x, fixed=f) for f in (True, True, False)), strict=True)
    assert counts == (3, 1, 2)
    with torch.no_grad():
        net.layers[0].module[1].weight.mul_(1.5)
    again, after = computed(net, x)
    assert again == 3
    assert not torch.equal(gradients[1], after)


def test_a_hollow_replay_that_fails_is_not_tried_again(monkeypatch):
    net, x = network(chain, gradient="rga"), batch(3)
    _, expected = computed(net, x)
    monkeypatch.setattr("art_snn.gradients.light._nothing", lambda x, shape: x[:0])
    (failed, _), (later, got) = computed(net, x), computed(net, x)
    assert (failed, later) == (3, 2)
    assert torch.equal(got, expected)


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


class BySize(nn.Module):
    """Affine, but another layer for one row, or one time step, than for several."""

    def forward(self, x):
        return x * (1.0 if len(x) > 1 else 2.0)


class Loose(nn.Module):
    """Handles its weight as an object."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        self.weight.register_hook(lambda grad: grad)
        assert self.weight.grad is None
        return x * self.weight


def with_layer(layer):
    return lambda neuron: nn.Sequential(*chain(neuron), layer())


@pytest.mark.parametrize("layer", [Rectified, Kept, Scaled])
def test_a_layer_that_may_depend_on_values_or_keep_them_is_computed_every_time(layer):
    net, x = network(with_layer(layer), gradient="rga"), batch(3)
    runs = []
    for _ in range(3):
        runs.append(computed(net, x))
        assert net.execution.kind == "collapsed"
    assert [count for count, _ in runs] == [3, 2, 2]
    assert torch.equal(runs[0][1], runs[2][1])
    if layer is Kept:
        assert net.layers[-1].seen.any()


def test_a_layer_that_tells_a_replay_from_a_recording_is_found_out_every_time():
    net, x = network(with_layer(BySize), gradient="rga"), batch(3)
    for _ in range(2):
        input_gradient(net, x, fixed=True)
        assert net.execution.kind == "time-resolved"


@pytest.mark.parametrize("rule", ["rga", "hart"])
def test_a_layer_that_looks_at_the_number_of_rows_is_found_out_for_every_batch_size(rule):
    layers = chain(LIF)
    layers[-1].module.append(BySize())
    net = network(lambda neuron: layers, gradient=rule)
    for size in (3, 3, 1, 1):
        input_gradient(net, batch(size), fixed=True)
        assert net.execution.kind == ("collapsed" if size > 1 else "time-resolved")


def test_what_is_done_to_a_weight_as_an_object_is_done_to_it():
    assert backward(network(with_layer(Loose), gradient="stbp"), batch(2)).any()


def test_a_lazy_layer_is_made_at_its_first_call():
    layers = lambda neuron: nn.Sequential(TimeDistributed(nn.Conv2d(2, 3, 1)), neuron())  # noqa: E731
    net = network(layers, gradient="stbp")
    lazy = TimeDistributed(nn.Flatten(), nn.LazyLinear(2)).double()
    net.layers.append(lazy)
    backward(net, batch(2))
    assert lazy.module[1].weight.shape == (2, 3 * SHAPE[1] * SHAPE[2])
    assert lazy.module[1].weight.requires_grad


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
    backward(net, x)
    assert all(weight.grad is not None for weight in net.parameters())
    kept = {}
    for fixed in (True, False):
        leaf = x.clone().requires_grad_()
        with net.fixed(fixed):
            kept[fixed], _ = kept_bytes(lambda leaf=leaf: net(leaf))
    assert kept[True] < kept[False]
    classifier = PyTorchSpikingClassifier(net, nn.CrossEntropyLoss(), SHAPE, CLASSES)
    y = np.zeros(3, int)
    by_loss, _ = kept_bytes(lambda: classifier.loss_gradient(x.numpy(), y, training_mode=True))
    assert by_loss < kept[False]


class Checkpointed(nn.Module):
    """A layer that is computed again in the backward pass."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=False)


@pytest.mark.parametrize("rule", ["rga", "stbp"])
def test_checkpointed_layers_have_their_gradient(rule):
    net, x = network(tiny_vgg, gradient=rule), batch(2)
    _, expected = input_gradient(net, x, fixed=True)
    net.layers[0] = Checkpointed(net.layers[0])
    for _ in range(2):
        _, got = input_gradient(net, x, fixed=True)
        torch.testing.assert_close(got, expected)


@dataclass(frozen=True, kw_only=True)
class Placed(RGA):
    """Looks where tensors are made at present."""

    def slope(self, trace):
        assert torch.empty(1).device.type == "meta"
        return super().slope(trace)


def test_modes_of_the_user_hold_inside_rules():
    net, x = network(chain, gradient=Placed()), batch(2)
    for _ in range(2):
        leaf = x.clone().requires_grad_()
        with torch.device("meta"):
            logits = net(leaf)
        assert torch.autograd.grad(logits.sum(), leaf)[0].any()


def test_a_network_without_values_has_its_shapes():
    x = batch(2).to("meta")
    assert backward(network(residual, gradient="stbp").to("meta"), x).shape == x.shape


def test_copies_that_are_made_within_the_block_are_networks_as_any():
    net = network(chain)
    with net.fixed():
        twin = net.with_gradient("stbp")
    backward(twin.train(), batch(2))
    assert all(weight.grad is not None for weight in net.parameters())


def test_a_leaf_that_repeats_a_step_has_the_gradient_of_every_step():
    net = network(chain, encoder=nn.Identity(), gradient="stbp")
    repeated = torch.rand(3, *SHAPE, dtype=torch.float64).expand(4, 3, *SHAPE)
    leaf = repeated.detach().requires_grad_()
    net(leaf).sum().backward()
    torch.testing.assert_close(leaf.grad, backward(net, repeated))


def test_the_gradient_at_a_current_that_a_user_repeats_is_that_of_every_step():
    x = torch.rand(1, 2, 5, dtype=torch.float64, requires_grad=True)
    factors = torch.arange(1.0, 5.0, dtype=torch.float64).view(4, 1, 1)
    current = (x * 2).expand(4, 2, 5)
    (got,) = torch.autograd.grad((LIF()(current) * factors).sum(), current)
    dense = current.detach().clone().requires_grad_()
    (expected,) = torch.autograd.grad((LIF()(dense) * factors).sum(), dense)
    torch.testing.assert_close(got, expected)


def test_many_steps_of_a_repeated_current_add_up_in_half_precision():
    layer = TimeDistributed(nn.Identity())
    x = torch.full((1, 4), 0.9, requires_grad=True)
    sums = []
    for dtype in (torch.float32, torch.bfloat16):
        spikes = LIF()(layer(x.to(dtype).expand(1000, 1, 4)))
        sums.append(torch.autograd.grad(spikes.float().sum(), x)[0])
    torch.testing.assert_close(sums[1], sums[0], rtol=0.05, atol=0)


def test_an_input_that_is_a_parameter_is_the_input():
    net, x = network(chain), batch(2)
    parameter = nn.Parameter(x.clone())
    net(parameter).sum().backward()
    assert torch.equal(parameter.grad, backward(net, x))


def test_both_gradients_are_those_of_two_passes():
    """As an algorithm wants that trains on the gradients of its attack."""
    net, x = network(residual, gradient="stbp"), batch(3)
    leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    with net.fixed(False):
        net(leaf).square().sum().backward()
    weights = [weight.grad for weight in net.parameters()]
    net.zero_grad()
    net(x).square().sum().backward()
    for got, parameter in zip(weights, net.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad)
    net(other).square().sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)


def test_a_stock_classifier_around_the_network_leaves_no_gradient_on_the_weights():
    net = network(residual).float()
    stock = PyTorchClassifier(
        net, nn.CrossEntropyLoss(), SHAPE, CLASSES, clip_values=(0, 1), device_type="cpu"
    )
    x = batch(4, dtype=torch.float32).numpy()
    attack = ProjectedGradientDescent(stock, eps=0.1, eps_step=0.05, max_iter=2, verbose=False)
    assert np.abs(attack.generate(x) - x).max() > 0
    assert untouched(net)


@pytest.mark.parametrize("trainer", ["madry", "trades"])
def test_trainers_of_art_train_every_weight(trainer):
    net = network(residual).float()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    classifier = PyTorchSpikingClassifier(
        net, nn.CrossEntropyLoss(), SHAPE, CLASSES, optimizer, clip_values=(0, 1)
    )
    x = batch(8, dtype=torch.float32).numpy()
    y = np.eye(CLASSES, dtype=np.float32)[np.arange(8) % CLASSES]
    before = [weight.detach().clone() for weight in net.parameters()]
    steps = {"eps": 0.1, "eps_step": 0.05}
    if trainer == "madry":
        AdversarialTrainerMadryPGD(classifier, 1, batch_size=8, max_iter=2, **steps).fit(x, y)
    else:
        attack = ProjectedGradientDescent(classifier, max_iter=2, verbose=False, **steps)
        made = AdversarialTrainerTRADESPyTorch(classifier, attack, beta=6.0)
        made.fit(x, y, batch_size=8, nb_epochs=1)
    for weight, old in zip(net.parameters(), before, strict=True):
        assert not torch.equal(weight, old)


def test_the_choice_belongs_to_the_thread_and_ends_with_the_block():
    net, x = network(chain), batch(2)
    free = {}

    def differentiate(name):
        backward(net, x)
        free[name] = untouched(net)
        net.zero_grad()

    def both():
        with net.fixed(False):
            thread = threading.Thread(target=differentiate, args=("other thread",))
            thread.start()
            thread.join()
            differentiate("block")
            raise RuntimeError("injected")

    with pytest.raises(RuntimeError, match="injected"):
        both()
    differentiate("afterwards")
    assert free == {"other thread": True, "block": False, "afterwards": True}


def test_autocast_is_left_to_torch():
    net = network(residual, gradient="stbp").float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = net(leaf := batch(2, dtype=torch.float32).requires_grad_())
    logits.sum().backward()
    assert torch.isfinite(leaf.grad).all()
    assert untouched(net)
