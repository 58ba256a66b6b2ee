"""Crafting in half precision: what it keeps, what it may cost, and when it is not taken."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from torch import nn

from art_snn import EOT, GRADIENTS, Direct, Extended, Mean, PyTorchSpikingClassifier, precision
from art_snn.gradients import RGA, STBP
from art_snn.gradients.rate import _tolerance
from art_snn.gradients.shared import mean_over_time
from art_snn.interop import adapt
from art_snn.precision import DTYPES, _multiplies_bfloat16
from tests.architectures import CLASSES, SHAPE, batch, chain, max_pooled, network, residual
from tests.interop.neurons import Step, Steps
from tests.interop.stacks import Loop, Stack
from tests.tiny import same, weights

every_rule = pytest.mark.parametrize("rule", [name for name in GRADIENTS if name != "cba"])
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def single(layers=chain, **options):
    return network(layers, **options).float()


def gradients(net, rule, x, dtype=None):
    """Logits and the gradient at the input."""
    x = x.clone().requires_grad_()
    with net.using(rule), net.crafting(dtype):
        logits = net(x)
    factors = torch.linspace(-1, 1.3, logits.shape[1])
    (grad,) = torch.autograd.grad((logits * factors).sum(), x)
    return logits.detach(), grad


def cosine(one, other):
    one, other = one.double(), other.double()
    return ((one * other).sum() / one.norm() / other.norm()).item()


@every_rule
@every_dtype
@pytest.mark.parametrize("layers", [chain, residual, max_pooled])
def test_gradients_point_where_those_of_single_precision_do(layers, dtype, rule):
    net, x = single(layers), batch(6, dtype=torch.float32)
    before, exact = weights(net), gradients(net, rule, x)
    half = gradients(net, rule, x, dtype)
    assert half[0].dtype == half[1].dtype == torch.float32
    assert not torch.equal(half[1], exact[1])
    assert f"; {dtype}" in str(net.execution)
    assert torch.isfinite(half[1]).all()
    assert half[1].any()
    # Between equal spikes a maximum is another one's in another precision.
    assert layers is max_pooled or cosine(half[1], exact[1]) > 0.5
    if rule in ("rga", "static", "bptr", "hart"):
        assert net.execution.kind == ("time-resolved" if layers is max_pooled else "collapsed")
    assert same(before, weights(net))
    assert all(weight.requires_grad for weight in net.parameters())


@every_dtype
def test_predictions_and_gradients_at_the_weights_keep_their_precision(dtype):
    net, x = single(), batch(4, dtype=torch.float32)
    with torch.no_grad():
        wanted = net(x)
    net(x).sum().backward()
    weights = [weight.grad.clone() for weight in net.parameters()]
    net.zero_grad()
    net.attack_dtype = dtype
    with torch.no_grad():
        assert torch.equal(net(x), wanted)
    net(x).sum().backward()
    for weight, grad in zip(net.parameters(), weights, strict=True):
        assert torch.equal(weight.grad, grad)
    net.zero_grad()
    net(x.requires_grad_()).sum().backward()
    assert x.grad.any()
    assert all(weight.grad is None for weight in net.parameters())
    assert all(weight.dtype == torch.float32 for weight in net.parameters())


def test_weights_are_cast_once_for_every_state_of_the_network(monkeypatch):
    casts, lower = [], precision._lower_layers
    monkeypatch.setattr(precision, "_lower_layers", lambda *a: casts.append(1) or lower(*a))
    net, x = single(), batch(3, dtype=torch.float32)
    for _ in range(3):
        gradients(net, "rga", x, "bfloat16")
    assert len(casts) == 1
    half = net.lower(torch.bfloat16)
    assert net.lower(torch.bfloat16) is half
    assert half.exact is net
    assert {weight.dtype for weight in half.parameters()} == {torch.bfloat16}
    assert [site.name for site in half.sites()] == [site.name for site in net.sites()]
    with torch.no_grad():
        next(net.parameters()).mul_(1.5)
    changed = gradients(net, "rga", x, "bfloat16")
    assert len(casts) == 2
    assert cosine(changed[1], gradients(net, "rga", x)[1]) > 0.5


@pytest.mark.parametrize(
    "rule", [EOT(RGA(), samples=2), Extended(RGA(), steps=6), Mean(RGA(), STBP())], ids=repr
)
def test_rules_of_rules_craft_in_half_precision_too(rule):
    net, x = single(encoder=Direct(4)), batch(4, dtype=torch.float32)
    exact, half = gradients(net, rule, x), gradients(net, rule, x, "bfloat16")
    assert cosine(half[1], exact[1]) > 0.5


@pytest.mark.parametrize("native", [True, False])
def test_auto_takes_what_the_device_multiplies_natively_and_says_so(native, monkeypatch):
    assert _multiplies_bfloat16(torch.device("meta")) is False
    monkeypatch.setattr("art_snn.precision._multiplies_bfloat16", lambda device: native)
    net, x = single(), batch(3, dtype=torch.float32)
    exact, half = (gradients(net, "rga", x, dtype)[1] for dtype in (None, "auto"))
    assert torch.equal(exact, half) != native
    assert f"the processor {'multiplies' if native else 'does not multiply'}" in str(net.execution)


def test_the_tolerance_of_a_replay_follows_from_the_dtype():
    assert _tolerance(torch.ones(1, dtype=torch.bfloat16)) == 8 * 2**-7
    assert _tolerance(torch.ones(1, dtype=torch.float16)) == 8 * 2**-10
    assert _tolerance(torch.ones(1)) == _tolerance(torch.ones(1).double()) == 1e-3


@pytest.mark.parametrize("value", ["half", "float32", 16, torch.float32, True])
def test_other_precisions_are_refused(value):
    with pytest.raises(ValueError, match=r"^attack_dtype: .*'bfloat16', 'float16' or None, got "):
        single().attack_dtype = value


def classifier(**options):
    return PyTorchSpikingClassifier(
        single(), nn.CrossEntropyLoss(), SHAPE, CLASSES, clip_values=(0, 1), **options
    )


def test_attacks_of_art_run_in_it():
    wrapped = classifier(gradient="rga")
    wrapped.model.attack_dtype = "bfloat16"
    x = batch(6, dtype=torch.float32).numpy()
    attack = ProjectedGradientDescent(wrapped, eps=0.2, eps_step=0.05, max_iter=4, verbose=False)
    adversarials = attack.generate(x, np.arange(6) % CLASSES)
    assert "bfloat16" in str(wrapped.model.execution)
    assert 0 < np.abs(adversarials - x).max() <= 0.2 + 1e-6
    predicted = wrapped.predict(adversarials)
    wrapped.model.attack_dtype = None
    assert np.array_equal(wrapped.predict(adversarials), predicted)


def test_adapted_networks_craft_in_it_where_their_neurons_fire_by_our_engines():
    whole, x = adapt(Stack(Steps).float(), steps=4), torch.rand(5, 1, 3, 3)
    loop = adapt(Loop(Step).float(), encoder=None, readout="mean")
    exact, half = gradients(whole, "rga", x), gradients(whole, "rga", x, "bfloat16")
    assert cosine(half[1], exact[1]) > 0.5
    assert not torch.equal(half[1], exact[1])
    words = "in its own precision, since the model's neurons run by themselves"
    for net, rule in ((whole, "native"), (loop, "rga")):
        exact, half = gradients(net, rule, x), gradients(net, rule, x, "bfloat16")
        assert torch.equal(half[1], exact[1])
        assert words in str(net.execution)


@every_dtype
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_means_over_time_are_summed_in_single_precision(dtype, steps):
    x = torch.randn(steps, 5, 4, 3).to(DTYPES[dtype])
    mean, wanted = mean_over_time(x).double(), x.double().mean(0, keepdim=True)
    # The sum is rounded once, and the quotient.
    error = float(2 * torch.finfo(DTYPES[dtype]).eps * x.abs().max())
    torch.testing.assert_close(mean, wanted, rtol=0, atol=error)
    spikes = (x > 0).to(x.dtype)
    assert torch.equal(mean_over_time(spikes), spikes.double().mean(0, keepdim=True).to(x.dtype))
