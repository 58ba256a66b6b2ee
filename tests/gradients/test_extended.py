"""Extended: the Jacobian of a longer run at the network's own logits."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from art.attacks.evasion import FastGradientMethod
from torch import Tensor, nn

from art_snn import RGA, STBP, Direct, Poisson, PyTorchSpikingClassifier
from art_snn.gradients import ASSG, BPTR, HART, PDSG, Extended, Mean
from tests.architectures import AFFINE, CLASSES, SHAPE, Switch, batch, chain, max_pooled, network
from tests.oracles import relative

RULES = [STBP(), RGA(), HART(), BPTR(), PDSG(per_sample=True)]
ARCHITECTURES = {**AFFINE, "max pool": max_pooled}


def ascend(net, x, seed=5):
    """Logits, the gradient of a loss at the logits, and that at the input."""
    x = x.detach().clone().requires_grad_()
    torch.manual_seed(seed)
    logits = net(x)
    ramp = torch.arange(1, 1 + logits.shape[1], dtype=logits.dtype)
    loss = (logits * ramp).sum() + logits.pow(3).sum()
    at_logits, grad = torch.autograd.grad(loss, (logits, x))
    return logits.detach(), at_logits, grad


def pulled_back(net, encoder, rule, x, at_logits):
    """Gradient at the input of the same layers over another encoder."""
    longer = net.with_gradient(rule)
    longer.encoder = encoder
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(longer(x), x, at_logits)[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_the_gradient_is_the_jacobian_of_the_longer_run_at_the_logits_of_the_network(
    rule, architecture
):
    net = network(ARCHITECTURES[architecture], gradient=Extended(rule))
    x = batch()
    logits, at_logits, grad = ascend(net, x)
    with torch.no_grad():
        assert torch.equal(logits, net(x))
        longer = net.with_gradient(rule)
        longer.encoder = Direct(32)
        assert not torch.equal(longer(x), logits)
    expected = pulled_back(net, Direct(32), rule, x, at_logits)
    assert relative(grad, expected) < 1e-12


def test_a_longer_poisson_run_is_drawn_after_the_logits():
    net = network(encoder=Poisson(4), gradient=Extended(STBP(), steps=9))
    x = batch()
    _, at_logits, grad = ascend(net, x)
    torch.manual_seed(5)
    Poisson(4)(x)
    expected = pulled_back(net, Poisson(9), STBP(), x, at_logits)
    assert relative(grad, expected) < 1e-12


def test_a_longer_poisson_run_has_less_noise():
    net = network(encoder=Poisson(2))
    x = batch(1).expand(800, *SHAPE)
    spread = {}
    for steps in (2, 32):
        net.gradient = Extended(STBP(), steps=steps)
        leaf = x.clone().requires_grad_()
        spread[steps] = torch.autograd.grad(net(leaf).sum(), leaf)[0].var(0).sum()
    assert spread[32] < 0.5 * spread[2]


@dataclass(frozen=True)
class Ramp:
    """Rises to the input within its steps."""

    steps: int = 4

    def with_steps(self, steps: int) -> Ramp:
        return Ramp(steps)

    def __call__(self, x: Tensor) -> Tensor:
        levels = torch.arange(1, self.steps + 1, dtype=x.dtype) / self.steps
        return levels.view(-1, *(1,) * x.ndim) * x


class Learned(nn.Module):
    """An encoder with a weight that its longer versions share."""

    def __init__(self, steps: int, scale: nn.Parameter | None = None) -> None:
        super().__init__()
        self.steps = steps
        self.scale = nn.Parameter(torch.tensor(1.1)) if scale is None else scale

    def with_steps(self, steps: int) -> Learned:
        return Learned(steps, self.scale)

    def forward(self, x: Tensor) -> Tensor:
        return Direct(self.steps)(self.scale * x)


@pytest.mark.parametrize(
    ("encoder", "steps"),
    [(Direct(4), 2), (Ramp(4), 11), (Learned(4), 11)],
    ids=["fewer", "function", "module"],
)
@pytest.mark.parametrize("rule", [STBP(), RGA()], ids=repr)
def test_any_encoder_that_can_give_any_number_of_steps_works(rule, encoder, steps):
    net = network(encoder=encoder, gradient=Extended(rule, steps=steps))
    x = batch()
    logits, at_logits, grad = ascend(net, x)
    with torch.no_grad():
        assert torch.equal(logits, net(x))
    expected = pulled_back(net, encoder.with_steps(steps), rule, x, at_logits)
    assert relative(grad, expected) < 1e-12
    assert net.encoder is encoder


@pytest.mark.parametrize(
    ("architecture", "rule", "kind"),
    [
        (chain, RGA(), "collapsed"),
        (max_pooled, RGA(), "time-resolved"),
        (chain, STBP(), "through time"),
    ],
)
def test_the_execution_is_that_of_the_inner_rule(architecture, rule, kind):
    net = network(architecture, gradient=Extended(rule))
    net(batch(16).requires_grad_())
    assert net.execution.kind == kind


def test_whether_the_layers_are_affine_is_found_out_once():
    switch = Switch()
    net = network(lambda neuron: nn.Sequential(switch, *chain(neuron)), gradient=Extended(RGA()))
    x, calls = batch().requires_grad_(), []
    switch.action = lambda x: calls.append(len(x))
    net(x)
    calls.clear()
    net(x)
    # The network's own logits, the recording of the longer run, and its replay.
    assert calls == [4, 32, 1]


def test_a_rule_that_remembers_keeps_its_memory_from_pass_to_pass():
    net = network(gradient=Extended(ASSG(), steps=8))
    twin = net.with_gradient(ASSG())
    twin.encoder = Direct(8)
    fresh = net.with_gradient(Extended(ASSG(), steps=8))
    x = batch()
    for _ in range(3):
        _, at_logits, grad = ascend(net, x)
        leaf = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(twin(leaf), leaf, at_logits)
        assert relative(grad, expected) < 1e-12
    assert relative(grad, ascend(fresh, x)[2]) > 1e-3
    net.forget()
    assert relative(ascend(net, x)[2], ascend(fresh.with_gradient(net.gradient), x)[2]) < 1e-12


def test_the_short_and_the_long_run_of_a_rule_that_remembers_do_not_disturb_each_other():
    short, long = ASSG(), Extended(ASSG(), steps=8)
    nets = [network().with_gradient(rule) for rule in (Mean(short, long), short, long)]
    for net in nets[1:]:
        net.layers = nets[0].layers
    x = batch()
    for _ in range(3):
        mean, *grads = (ascend(net, x)[2] for net in nets)
    norms = [g.flatten(1).norm(dim=1).view(-1, 1, 1, 1) for g in grads]
    expected = sum(g / n for g, n in zip(grads, norms, strict=True)) / 2 * (sum(norms) / 2)
    assert relative(mean, expected) < 1e-12
    fresh = ascend(nets[0].with_gradient(Mean(short, long)), x)[2]
    assert relative(mean, fresh) > 1e-3


def test_weights_train_by_the_longer_run():
    net = network(training_gradient=Extended(STBP(), steps=9))
    x, weights = batch(), list(net.parameters())
    got = torch.autograd.grad(net(x).sum(), weights)
    longer = net.with_gradient(STBP())
    longer.encoder = Direct(9)
    expected = torch.autograd.grad(longer(x).sum(), weights)
    for ours, theirs in zip(got, expected, strict=True):
        assert relative(ours, theirs) < 1e-12


def test_the_fast_gradient_method_goes_by_it():
    net = network(gradient=Extended(HART()), input_shape=SHAPE).float()
    classifier = PyTorchSpikingClassifier(
        net, nn.CrossEntropyLoss(), SHAPE, CLASSES, clip_values=(0.0, 1.0), device_type="cpu"
    )
    x = 0.2 + 0.6 * batch(5, dtype=torch.float32)
    labels = classifier.predict(x.numpy()).argmax(1)
    adversarial = FastGradientMethod(classifier, eps=0.1).generate(x.numpy(), labels)
    with torch.no_grad():
        logits = net(x)
    odds = logits.softmax(1) - nn.functional.one_hot(torch.as_tensor(labels), CLASSES)
    expected = pulled_back(net, Direct(32), HART(), x, odds)
    safe = expected.abs() > 1e-4 * expected.abs().max()
    moved = torch.as_tensor(adversarial) - x
    torch.testing.assert_close(moved[safe], 0.1 * expected.sign()[safe], atol=1e-6, rtol=0)
    assert safe.float().mean() > 0.5
    short = pulled_back(net, Direct(4), HART(), x, odds)
    assert (short.sign() != expected.sign()).any()
