"""The contract that every rule of GRADIENTS signs: a new rule is tested by being registered.

Rules around other rules sign it too."""

import copy
import math
import pickle
from dataclasses import fields
from functools import partial
from itertools import product

import pytest
import torch
from torch import nn

from art_snn import BPTR, CBA, EOT, GRADIENTS, HART, LIF, PDSG, SpikingNetwork, TimeDistributed
from art_snn.dynamics import Dynamics
from art_snn.encoders import Direct, Poisson
from art_snn.gradients import ASSG, RGA, STBP, Extended, Gradient, Mean, RectifiedANN, StaticCurve
from art_snn.gradients.base import simulation
from art_snn.gradients.surrogates import Surrogate
from art_snn.models import vgg
from art_snn.running.context import RUN
from tests.architectures import ARCHITECTURES, CLASSES, ENCODERS, TINY, batch, network, settled
from tests.oracles import relative

RULES: dict[str, Gradient] = {
    **{name: kind() for name, kind in GRADIENTS.items()},
    "eot": EOT(ASSG(), samples=2),
    "extended": Extended(RGA(), steps=6),
    "mean": Mean(STBP(), RGA()),
}
every_rule = pytest.mark.parametrize("name", RULES)
every_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
OF_EVENTS, DRAWN = ("frames", "ablation"), ("poisson", "sqe", "ablation")
PAIRS = [(n, e) for n, e in product(RULES, ENCODERS) if n != "extended" or e not in OF_EVENTS]
every_encoder = pytest.mark.parametrize(("name", "encoder"), PAIRS)


def fitting(name):
    """Options of lively neurons to which the rule applies: IF where it objects to a leak."""
    leaky = RULES[name].objection(Dynamics(0.9)) is None
    return {"decay": 0.9 if leaky else 1.0, "threshold": 0.75}


def signed(name, architecture="chain", **options):
    """A network under the rule, of neurons to which it applies."""
    settings = {"gradient": RULES[name]} | fitting(name) | options
    return network(ARCHITECTURES[architecture], **settings)


def ascend(net, x, seed=0, afresh=True):
    """Logits and the gradient of a loss that is a sum over samples, earlier ones forgotten."""
    if afresh:
        net.forget()
    x = x.detach().clone().requires_grad_()
    torch.manual_seed(seed)
    logits = net(x)
    ramp = torch.arange(1, 1 + logits.shape[1], dtype=logits.dtype, device=logits.device)
    (grad,) = torch.autograd.grad((logits * ramp).sum(), x)
    return logits.detach(), grad


@every_architecture
@every_encoder
def test_logits_are_exact_or_declared_not_to_be_and_gradients_alive(name, encoder, architecture):
    coder = ENCODERS[encoder](4)
    net, x = signed(name, architecture, encoder=coder), batch(16, coder)
    logits, grad = ascend(net, x)
    with torch.no_grad():
        torch.manual_seed(0)
        plain = net.body.run(net.body.encode(x), simulation)
        torch.manual_seed(0)
        assert torch.equal(net(x), plain)
    averaged = isinstance(net.gradient, EOT)
    assert averaged or torch.equal(logits, plain) == net.gradient.exact_logits
    assert len(plain.unique()) > 1
    assert grad.shape == x.shape
    assert grad.isfinite().all()
    assert grad.abs().max() > 0


@every_architecture
@pytest.mark.parametrize(("name", "encoder"), [pair for pair in PAIRS if pair[1] not in DRAWN])
def test_a_sample_has_the_same_gradient_alone_and_in_a_batch(name, encoder, architecture):
    coder = ENCODERS[encoder](4)
    net = signed(name, architecture, encoder=coder)
    x = batch(4, coder)
    _, together = ascend(net, x)
    alone = torch.cat([ascend(net, sample[None])[1] for sample in x])
    difference = relative(together, alone)
    # As published, PDSG takes a deviation over the batch.
    mixes = net.gradient == PDSG()
    assert difference > 1e-3 if mixes else difference < 1e-12


@every_encoder
def test_an_empty_batch_gives_empty_logits_and_an_empty_gradient(name, encoder):
    coder = ENCODERS[encoder](4)
    for architecture in ARCHITECTURES:
        net = signed(name, architecture, encoder=coder)
        x = batch(0, coder)
        logits, grad = ascend(net, x)
        assert logits.shape == (0, CLASSES)
        assert grad.shape == x.shape
        with torch.no_grad():
            assert net(x).shape == (0, CLASSES)


@every_rule
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weights", [torch.float32, torch.float64])
def test_the_gradient_has_the_dtype_of_the_input(name, dtype, weights):
    logits, grad = ascend(signed(name).to(weights), batch(16, dtype=dtype))
    assert logits.dtype == weights
    assert grad.dtype == dtype
    assert grad.abs().max() > 0


@every_rule
def test_two_forward_passes_may_go_backward_in_any_order(name):
    net = signed(name)
    x, y = batch().requires_grad_(), batch().requires_grad_()
    expected = ascend(net, x)[1], ascend(net, y)[1]
    ramp = torch.arange(1, 1 + CLASSES)
    first, second = (net(x) * ramp).sum(), (net(y) * ramp).sum()
    for loss, leaf, want in ((second, y, expected[1]), (first, x, expected[0])):
        assert torch.equal(torch.autograd.grad(loss, leaf)[0], want)


@every_rule
@every_architecture
def test_a_gradient_depends_on_earlier_ones_only_where_the_rule_declares_it(name, architecture):
    net = signed(name, architecture)
    x = batch(16)
    _, first = ascend(net, x)
    assert bool(net.body.memory) == net.gradient.remembers
    _, second = ascend(net, x, afresh=False)
    assert torch.equal(second, first) != net.gradient.remembers
    net.forget()
    assert net.body.memory == {}
    assert torch.equal(ascend(net, x, afresh=False)[1], first)
    assert first.abs().max() > 0


def state(net):
    modes = [m.training for m in net.modules()]
    return net.gradient, net.training_gradient, modes, RUN.get()


@every_rule
def test_a_forward_pass_leaves_the_network_as_it_was(name):
    net = signed(name, "residual")
    before, weights = state(net), copy.deepcopy(net.state_dict())
    ascend(net, batch())
    assert state(net) == before
    assert all(torch.equal(weights[key], value) for key, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


@every_rule
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_made_after_a_forward_pass_gives_the_same(name, duplicate):
    size = {"in_channels": 2, "classes": CLASSES, "image_size": 6, "steps": 4}
    net = vgg(*TINY, **size, **fitting(name), gradient=RULES[name])
    settled(net)
    x = batch(16)
    logits, grad = ascend(net, x)
    twin = duplicate(net)
    again, gradient = ascend(twin, x)
    assert torch.equal(again, logits)
    assert torch.equal(gradient, grad)
    assert grad.abs().max() > 0
    assert twin.gradient == net.gradient
    assert twin.execution == net.execution
    with torch.no_grad():
        twin.layers[0].module[0].weight.zero_()
    assert torch.equal(ascend(net, x)[1], grad)


@every_rule
def test_a_rule_trains_weights_in_training_mode(name):
    options = {"gradient": RGA(), "training_gradient": RULES[name], "encoder": Poisson(4)}
    net = signed(name, "residual", **options).train()
    torch.nn.functional.cross_entropy(net(batch(4)), torch.arange(4) % CLASSES).backward()
    for parameter in net.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0


TEXTS: dict[Gradient, str] = {
    STBP(): "STBP(surrogate=Triangle(width=1.0), detach_reset=False)",
    PDSG(): "PDSG(per_sample=False, detach_reset=False)",
    RGA(): "RGA(beta=2.0, gamma=0.2)",
    StaticCurve(): "StaticCurve(limit=2.0)",
    BPTR(): "BPTR()",
    HART(): "HART(surrogate=Triangle(width=1.0))",
    CBA(): "CBA(levels=8)",
    RectifiedANN(): "RectifiedANN()",
    EOT(RGA()): "EOT(rule=RGA(beta=2.0, gamma=0.2), samples=10)",
    EOT(RGA(), samples=9): "EOT(rule=RGA(beta=2.0, gamma=0.2), samples=9)",
    Extended(RGA()): "Extended(rule=RGA(beta=2.0, gamma=0.2), steps=32)",
    Extended(STBP(), steps=9): f"Extended(rule={STBP()!r}, steps=9)",
    Mean(RGA(), STBP()): f"Mean({RGA()!r}, {STBP()!r})",
    Mean(STBP(), RGA()): f"Mean({STBP()!r}, {RGA()!r})",
    Mean(RGA(), STBP(), normalise=False): f"Mean({RGA()!r}, {STBP()!r}, normalise=False)",
}
"""Rules, no two of them equal, and how they show their settings."""


@pytest.mark.parametrize("rule", [*TEXTS, ASSG()], ids=repr)
def test_a_rule_is_a_value_that_shows_its_settings(rule):
    assert repr(rule) == TEXTS.get(rule, repr(ASSG()))
    for twin in (copy.deepcopy(rule), pickle.loads(pickle.dumps(rule))):
        assert twin == rule
        assert hash(twin) == hash(rule)
    for attribute in [*vars(rule), "another"]:
        with pytest.raises(AttributeError, match="cannot assign"):
            setattr(rule, attribute, getattr(rule, attribute, None))


REFUSED = [
    *((RGA, "beta", value, "above 0") for value in (0, -1.0, math.nan, math.inf, "2")),
    *((RGA, "gamma", value, "at least 0") for value in (-0.1, math.nan)),
    *((StaticCurve, "limit", v, "at least 1") for v in (0.99, 0, -math.inf, math.nan, "2", True)),
    *((CBA, "levels", value, "whole number >= 1") for value in (0, -8, 8.0, "8", True, None)),
    (ASSG, "omega", 0, "above 0"),
    *((ASSG, "decay_mean", value, "at least 0 and at most 1") for value in (-0.1, 1.1)),
    *((ASSG, "decay_deviation", value, "at most 1") for value in (math.nan, 2)),
    *((ASSG, name, -0.1, "at least 0") for name in ("relax", "restart")),
    (ASSG, "restart", math.inf, "at least 0"),
    *((partial(EOT, RGA()), "samples", value, "whole number") for value in (0, -1, 2.0, "3", True)),
    *((partial(Extended, RGA()), "steps", value, "whole number") for value in (0, -1, "32", True)),
    *((partial(Extended, RGA()), "steps", value, "whole number") for value in (2.0, math.nan)),
    *((partial(Mean, RGA(), STBP()), "normalise", v, "True or False") for v in (0, None, STBP())),
]


@pytest.mark.parametrize(("kind", "name", "value", "words"), REFUSED)
def test_a_hyperparameter_out_of_its_range_is_refused(kind, name, value, words):
    with pytest.raises(ValueError, match=rf"^{name}: .*{words}"):
        kind(**{name: value})


@pytest.mark.parametrize("wrong", [RGA, "rga", None, (RGA(), STBP())])
@pytest.mark.parametrize("kind", [EOT, Extended, partial(Mean, STBP())])
def test_a_rule_around_anything_but_instances_of_rules_is_refused(kind, wrong):
    with pytest.raises(TypeError, match=r"^rules?: .*neither a class"):
        kind(wrong)


@pytest.mark.parametrize("rules", [(), (RGA(),)])
def test_a_mean_of_fewer_than_two_rules_is_refused(rules):
    with pytest.raises(ValueError, match=rf"^rules: .*got {len(rules)}"):
        Mean(*rules)


@pytest.mark.parametrize("wrap", [EOT, Extended, partial(Mean, STBP())])
def test_declarations_of_a_rule_around_others_follow_from_theirs(wrap):
    assert wrap(STBP()).parts[-1] == STBP()
    assert wrap(STBP()).exact_logits == (wrap is not EOT)
    assert (wrap(STBP()).remembers, wrap(EOT(ASSG())).remembers) == (False, True)
    with pytest.raises(ValueError, match=r"'layers\.1' .*CBA: "):
        network(gradient=wrap(CBA()))


def ascents(rule, dtype, decay=0.5, threshold=1.0, reset="hard", passes=3):
    """Gradients of networks whose neurons sit at their threshold at every step, or anywhere."""
    for weights in (torch.eye(6), torch.randn(6, 6)):
        layers = [TimeDistributed(nn.Linear(6, 6, bias=False)), LIF(decay, threshold, reset)]
        net = SpikingNetwork([*layers, TimeDistributed(nn.Linear(6, CLASSES))], Direct(8), rule)
        with torch.no_grad():
            layers[0].module[0].weight.copy_(weights * threshold)
        x = torch.ones(3, 6, dtype=dtype)
        for _ in range(passes):
            yield ascend(net.to(dtype), x, afresh=False)[1]


@pytest.mark.parametrize("name", GRADIENTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("threshold", [1e-4, 1e4])
@pytest.mark.parametrize("decay", [1e-6, 1])
def test_the_gradient_is_finite_at_the_bounds_of_dynamics(name, decay, threshold, reset, dtype):
    # With its default RGA tells that such a curve would pass rate 1 below the knee.
    rule = RGA(gamma=0) if name == "rga" else GRADIENTS[name]()
    if rule.objection(Dynamics(decay, threshold, reset)) is None:
        for grad in ascents(rule, dtype, decay, threshold, reset):
            assert grad.isfinite().all()


# Bounds are those of tests/test_limits.py.
SURROGATES = [
    kind(*ends)
    for kind in Surrogate.__subclasses__()
    if kind.__module__ == "art_snn.gradients.surrogates"
    for ends in product((1e-3, 1e3), repeat=len(fields(kind)))
]
LEAKY = [
    *(rule(surrogate=s) for rule in (STBP, HART, ASSG) for s in SURROGATES),
    *(RGA(beta=beta, gamma=0) for beta in (0.5 + 1e-9, 1e4)),
    *(RGA(beta=0.5 + 1e-9, gamma=1.999), StaticCurve(limit=1e4), StaticCurve(limit=math.inf)),
    *(ASSG(omega=omega, decay_mean=0, decay_deviation=0, relax=0) for omega in (1e-3, 10)),
    *(ASSG(relax=1e3), ASSG(restart=1e6)),
]
WITHOUT_LEAK = [CBA(levels=2**16), RGA(gamma=1e4), RGA(beta=1e-4)]
EXTREME = [*((rule, 0.5) for rule in LEAKY), *((rule, 1.0) for rule in WITHOUT_LEAK)]


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize(("rule", "decay"), EXTREME, ids=repr)
def test_the_gradient_is_finite_at_the_bounds_of_every_hyperparameter(rule, decay, reset):
    for grad in ascents(rule, torch.float32, decay, reset=reset):
        assert grad.isfinite().all()


BOTH = Mean(STBP(), STBP(detach_reset=True))
LONGER = Extended(STBP(), steps=9)
SEVERAL = [STBP(), BOTH, EOT(BOTH, samples=3), EOT(LONGER, samples=2), Mean(LONGER, STBP())]


@pytest.mark.parametrize("rule", SEVERAL, ids=repr)
def test_layers_run_as_often_as_declared(rule):
    net = network(gradient=rule)
    runs = []
    first = next(module for module in net.layers.modules() if not list(module.children()))
    handle = first.register_forward_hook(lambda *_: runs.append(1))
    x = batch().requires_grad_()
    torch.autograd.grad(net(x).sum(), x)
    handle.remove()
    assert len(runs) == rule.passes + rule.plain_passes
