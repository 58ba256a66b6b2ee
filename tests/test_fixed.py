"""Attacks differentiate by the input alone: weights are constants unless they are asked for."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from art.defences.trainer import AdversarialTrainerMadryPGD, AdversarialTrainerTRADESPyTorch
from art.estimators.classification import PyTorchClassifier
from torch import nn

from art_snn import GRADIENTS, LIF, PyTorchSpikingClassifier, TimeDistributed
from art_snn.fixed import FixedWeights
from art_snn.gradients import STBP
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
    wanted, told = (torch.autograd.grad(y, x, g)[0] for y in (expected, got))
    torch.testing.assert_close(told, wanted)
    if name not in ("same", "circular"):
        assert light < plain
    assert all(weight.grad is None for weight in module.parameters())


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
    assert x.grad is not None
    assert all(weight.grad is None for weight in module.parameters())
    assert all(weight.requires_grad for weight in module.parameters())
    with FixedWeights():
        assert not (module.scale * 2).requires_grad
    assert (module.scale * 2).requires_grad


def test_a_lazy_layer_is_made_at_its_first_call():
    layers = lambda neuron: nn.Sequential(TimeDistributed(nn.Conv2d(2, 3, 1)), neuron())  # noqa: E731
    net = network(layers, gradient="stbp")
    lazy = TimeDistributed(nn.Flatten(), nn.LazyLinear(2)).double()
    net.layers.append(lazy)
    x = batch(2).requires_grad_()
    net(x).sum().backward()
    assert lazy.module[1].weight.shape == (2, 3 * SHAPE[1] * SHAPE[2])
    assert lazy.module[1].weight.requires_grad


@pytest.mark.parametrize("rule", [name for name in GRADIENTS if name != "cba"])
@every_network
def test_the_gradient_at_the_input_is_the_same_and_none_is_at_the_weights(layers, rule):
    net, x = network(layers, gradient=rule), batch(3)
    logits, wanted = input_gradient(net, x, fixed=False)
    net.forget()
    same, got = input_gradient(net, x, fixed=True)
    assert torch.equal(logits, same)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-14)
    leaf = x.clone().requires_grad_()
    net(leaf).sum().backward()
    assert leaf.grad.any()
    assert all(weight.grad is None and weight.requires_grad for weight in net.parameters())


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
        leaf = x.clone().requires_grad_()
        with net.fixed(fixed):
            net(leaf).sum().backward()
        assert leaf.grad.any()
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
    # Of maxima their places, eight bytes for every four values of a layer; besides, the input.
    places = sum(potentials) if layers is max_pooled else 0
    assert kept <= sum(potentials) + places + 2 * weights + 4 * x.nbytes
    with net.fixed(False):
        both, _ = kept_bytes(lambda: net(leaf))
    assert both > kept


def test_in_training_mode_weights_take_gradients_and_loss_gradients_still_need_none():
    net, x = network(residual, gradient="stbp").train(), batch(3)
    leaf = x.clone().requires_grad_()
    net(leaf).sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())
    kept = {}
    for fixed in (True, False):
        leaf = x.clone().requires_grad_()
        with net.fixed(fixed):
            kept[fixed], _ = kept_bytes(lambda leaf=leaf: net(leaf))
    assert kept[True] < kept[False]
    classifier = PyTorchSpikingClassifier(net, nn.CrossEntropyLoss(), SHAPE, CLASSES)
    told, _ = kept_bytes(
        lambda: classifier.loss_gradient(x.numpy(), np.zeros(3, int), training_mode=True)
    )
    assert told < kept[False]


def test_an_input_that_is_a_parameter_is_the_input():
    net, x = network(chain), batch(2)
    parameter = nn.Parameter(x.clone())
    net(parameter).sum().backward()
    leaf = x.clone().requires_grad_()
    net(leaf).sum().backward()
    assert torch.equal(parameter.grad, leaf.grad)


def test_both_gradients_are_those_of_two_passes():
    """As an algorithm wants that trains on the gradients of its attack."""
    net, x = network(residual, gradient="stbp"), batch(3)
    leaf = x.clone().requires_grad_()
    with net.fixed(False):
        net(leaf).square().sum().backward()
    both = leaf.grad, [weight.grad.clone() for weight in net.parameters()]
    net.zero_grad()
    net(x).square().sum().backward()
    _, wanted = net.zero_grad, [weight.grad for weight in net.parameters()]
    for got, want in zip(both[1], wanted, strict=True):
        torch.testing.assert_close(got, want)
    other = x.clone().requires_grad_()
    net(other).square().sum().backward()
    torch.testing.assert_close(both[0], other.grad)


def test_a_stock_classifier_around_the_network_leaves_no_gradient_on_the_weights():
    net = network(residual).float()
    stock = PyTorchClassifier(
        net, nn.CrossEntropyLoss(), SHAPE, CLASSES, clip_values=(0, 1), device_type="cpu"
    )
    x = batch(4, dtype=torch.float32).numpy()
    attack = ProjectedGradientDescent(stock, eps=0.1, eps_step=0.05, max_iter=2, verbose=False)
    assert np.abs(attack.generate(x) - x).max() > 0
    assert all(weight.grad is None for weight in net.parameters())


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
    found = {}

    def differentiate(name):
        leaf = x.clone().requires_grad_()
        net(leaf).sum().backward()
        found[name] = next(net.parameters()).grad is None
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
    assert found == {"other thread": True, "block": False, "afterwards": True}


def test_autocast_is_left_to_torch():
    net = network(residual, gradient="stbp").float()
    leaf = batch(2, dtype=torch.float32).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = net(leaf)
    logits.sum().backward()
    assert torch.isfinite(leaf.grad).all()
    assert all(weight.grad is None for weight in net.parameters())
