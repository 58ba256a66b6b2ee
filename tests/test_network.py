"""SpikingNetwork: which rule runs when, what is cast and refused, what copies share."""

import copy

import pytest
import torch
from torch import nn

from art_snn import GRADIENTS, LIF, STBP, Direct, Frames, Poisson, SpikingNetwork, TimeDistributed
from art_snn.gradients import ASSG, CBA, RGA, Extended
from art_snn.gradients.rules import VARIANTS
from tests.architectures import CLASSES, SHAPE, batch, chain, network, residual
from tests.classifiers import Counted
from tests.gradients.adaptive import ascend


def counting_network():
    net = network(chain, gradient=Counted(STBP()), training_gradient=Counted(STBP()))
    return net, net.gradient.tally, net.training_gradient.tally


def test_no_rule_is_asked_where_gradients_are_disabled():
    net, attack, training = counting_network()
    with torch.no_grad():
        net(batch())
        net(batch().requires_grad_())
    with torch.inference_mode():
        assert not net(batch()).requires_grad
    assert (attack.forwards, training.forwards) == (0, 0)


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize("before", [lambda x: x, lambda x: 2 * x], ids=["leaf", "behind layers"])
def test_an_input_with_a_gradient_gets_the_attack_gradient(mode, before):
    net, attack, training = counting_network()
    net.train(mode)(before(batch().requires_grad_()))
    assert (attack.forwards, training.forwards) == (1, 0)
    net(batch()).sum().backward()
    assert (attack.forwards, training.forwards) == (1, 1)
    assert net.layers[0].module[1].weight.grad.abs().sum() > 0


def test_using_overrides_both_rules_within_the_block_only_and_does_not_show_in_them():
    net, attack, training = counting_network()
    inside, rules = Counted(STBP()), (net.gradient, net.training_gradient)
    with net.using(inside) as same:
        assert same is net
        net.with_gradient("stbp")
        assert (net.gradient, net.training_gradient) == rules
        net(batch().requires_grad_())
        net(batch())
        with torch.no_grad():
            net(batch())
    assert (attack.forwards, training.forwards, inside.tally.forwards) == (0, 0, 2)
    assert (net.gradient, net.training_gradient) == rules
    net(batch())
    assert training.forwards == 1


def test_using_nests_and_ends_with_an_exception():
    net, attack, _ = counting_network()
    outer, inner, broken = (Counted(STBP()) for _ in range(3))
    x = batch().requires_grad_()
    with net.using(outer):
        with net.using(inner):
            net(x)
        with pytest.raises(KeyError, match="lost"), net.using(broken):
            raise KeyError("lost")
        with pytest.raises(ValueError, match=r"^gradient: expected one of"), net.using("rag"):
            pass
        net(x)
    net(x)
    assert [rule.tally.forwards for rule in (outer, inner, broken)] == [1, 1, 0]
    assert attack.forwards == 1


@pytest.mark.parametrize("mode", [True, False])
def test_twins_share_all_but_the_gradient_or_the_encoder(mode):
    net = network(residual, training_gradient="rga", input_shape=SHAPE)
    net.train(mode).body.input_span = 255.0
    norm = next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d)).train(not mode)
    other, longer = net.with_gradient("stbp"), net.with_steps(9)
    assert (other.gradient, net.gradient, longer.gradient) == (STBP(), RGA(), RGA())
    assert other.encoder is net.encoder
    for twin in (other, longer):
        assert twin.layers is net.layers
        assert twin.training is mode
        assert norm.training is not mode
        assert (twin.training_gradient, twin.body.input_span) == (RGA(), 255.0)
        assert twin.input_shape == net.input_shape
        pairs = zip(twin.parameters(), net.parameters(), strict=True)
        assert all(ours is theirs for ours, theirs in pairs)
    x = batch()
    with torch.no_grad():
        assert torch.equal(other.eval()(x), net.eval()(x))


def test_rules_are_set_by_name_or_instance_and_have_defaults():
    net = SpikingNetwork(chain())
    assert (net.encoder, net.gradient, net.training_gradient) == (Direct(8), STBP(), STBP())
    net = SpikingNetwork(chain(), gradient="stbp", training_gradient="rga")
    assert (net.gradient, net.training_gradient) == (STBP(), RGA())
    net.gradient = RGA(beta=3.0)
    net.training_gradient = "stbp"
    assert (net.gradient, net.training_gradient) == (RGA(beta=3.0), STBP())


@pytest.mark.parametrize("argument", ["gradient", "training_gradient"])
@pytest.mark.parametrize("wrong", ["rag", RGA, 1])
def test_what_is_no_rule_is_refused_with_the_known_ones(argument, wrong):
    error, message = TypeError, r"expected a gradient rule such as RGA\(\) .*Pass an instance"
    if isinstance(wrong, str):
        names = ", ".join(repr(name) for name in (*GRADIENTS, *VARIANTS))
        error, message = ValueError, rf"expected one of {names}, got 'rag'\. .*A rule of your own"
    net = SpikingNetwork(chain())
    with pytest.raises(error, match=f"^{argument}: {message}"):
        SpikingNetwork(chain(), **{argument: wrong})
    with pytest.raises(error, match=f"^{argument}: {message}"):
        setattr(net, argument, wrong)
    assert (net.gradient, net.training_gradient) == (STBP(), STBP())


def test_an_input_shape_is_checked_and_an_axis_may_have_any_size():
    net = network(chain, input_shape=[*SHAPE])
    assert net.input_shape == SHAPE
    assert net(batch()).shape == (3, CLASSES)
    for shape in ((3, 2, 6, 7), SHAPE, (3, 72)):
        with pytest.raises(ValueError, match=r"^x: .*\[N, 2, 6, 6\]"):
            net(torch.zeros(shape))
    net = network(chain, encoder=Frames(), input_shape=(None, *SHAPE))
    for steps in (1, 5):
        assert net(torch.zeros(2, steps, *SHAPE)).shape == (2, CLASSES)
    for wrong in ((2, *SHAPE), (2, 3, *SHAPE[1:], 1), (2, 3, 1, *SHAPE)):
        with pytest.raises(ValueError, match=r"^x: .*\[N, any, 2, 6, 6\]"):
            net(torch.zeros(wrong))
    assert network(residual)(torch.rand(1, 2, 12, 9)).shape == (1, CLASSES)


NO_NEURON = r"^layers: expected at least one spiking neuron, got none\. Put LIF\(\)"
NO_MODULE, NO_SEQUENCE = "is not a Module subclass", "^layers: .*torch module or a sequence"
NO_ENCODER = r"^encoder: expected an instance such as Direct\(steps=8\), got .*Any callable"
REFUSED = [
    (([],), NO_NEURON),
    (([TimeDistributed(nn.Linear(3, 3))],), NO_NEURON),
    ((nn.Sequential(nn.Linear(3, 3)),), NO_NEURON),
    (([LIF(), "linear"],), NO_MODULE),
    (([LIF],), NO_MODULE),
    (([torch.relu],), NO_MODULE),
    *(((layers,), NO_SEQUENCE) for layers in (LIF, 3, None)),
    *(((chain(), encoder), NO_ENCODER) for encoder in (Direct, None, 8, "direct")),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_layers_and_encoders_that_are_none_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        SpikingNetwork(*arguments)


@pytest.mark.parametrize("x", [[[0.0]], None, 3.0, batch().numpy()])
def test_an_input_that_is_no_tensor_is_refused(x):
    with pytest.raises(TypeError, match=rf"^x: .*got {type(x).__name__}"):
        network(chain)(x)


def test_layer_names_are_those_with_a_time_axis_in_order_of_definition():
    assert SpikingNetwork(chain()).body.layer_names == [f"layers.{i}" for i in range(5)]
    net = network(residual, encoder=Poisson(5))
    body, other = ([f"layers.{i}", f"layers.{i}.body"] for i in (2, 4))
    body += [f"layers.2.body.{i}" for i in range(4)]
    other += [f"layers.4.body.{i}" for i in range(2)]
    assert net.body.layer_names == ["layers.0", "layers.1", *body, "layers.3", *other, "layers.5"]
    axes = {}
    for name in net.body.layer_names:
        module = net.get_submodule(name)
        module.register_forward_hook(lambda _m, _i, out, at=name: axes.update({at: out.shape[:2]}))
    with torch.no_grad():
        net(batch(3))
    assert axes == dict.fromkeys(net.body.layer_names, (5, 3))


def test_reset_draws_all_weights_anew_and_ends_with_the_initialisation():
    net = network(residual)
    before = copy.deepcopy(net.state_dict())
    assert set(before) == {f"layers.{key}" for key in net.layers.state_dict()}
    net.reset_parameters()
    changed = {name for name, value in net.state_dict().items() if not value.equal(before[name])}
    assert {key for key in before if key.endswith(("weight", "running_mean"))} <= changed
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(torch.equal(module.weight, torch.ones(4)) for module in norms)

    def ones(net):
        for parameter in net.parameters():
            nn.init.ones_(parameter)

    net = SpikingNetwork(chain(), initialise=ones)
    assert not all((parameter == 1).all() for parameter in net.parameters())
    net.reset_parameters()
    assert all((parameter == 1).all() for parameter in net.parameters())


@pytest.mark.parametrize("encoder", [Direct, Poisson])
def test_with_steps_gives_the_network_that_would_be_built_with_them(encoder):
    net = network(residual, encoder=encoder(4))
    longer = net.with_steps(9)
    assert (longer.encoder, net.encoder) == (encoder(9), encoder(4))
    built = SpikingNetwork(net.layers, encoder(9), net.gradient)
    x = batch()

    def outcome(twin):
        leaf = x.clone().requires_grad_()
        torch.manual_seed(3)
        logits = twin(leaf)
        return logits, torch.autograd.grad(logits.square().sum(), leaf)[0]

    for ours, theirs, before in zip(outcome(longer), outcome(built), outcome(net), strict=True):
        assert torch.equal(ours, theirs)
        assert not torch.equal(ours, before)


@pytest.mark.parametrize("encoder", [Frames(), Frames(4), lambda x: x[None]])
def test_with_steps_is_refused_where_the_encoder_has_a_fixed_number(encoder):
    net = network(chain, encoder=encoder)
    with pytest.raises(ValueError, match=r"^encoder: .*number of time steps"):
        net.with_steps(9)
    assert net.encoder is encoder


NEAR = ASSG(restart=0.05)


@pytest.mark.parametrize("rule", [NEAR, Extended(NEAR, steps=6)], ids=["alone", "extended"])
def test_within_an_attack_a_sample_is_new_beyond_twice_its_radius(rule):
    net, x = network(chain, gradient=rule), batch().round()
    near, far = x + 0.25, x + 0.25
    far[1, 0, 2, 3] += 0.125

    def last(*inputs):
        net.forget()
        with net.attacking(0.125):
            return [ascend(net, each) for each in inputs][-1]

    gone_on, fresh = last(x, x - 0.25, far), last(far)
    undisturbed = last(x, x - 0.25, near)
    torch.testing.assert_close(gone_on[1], fresh[1])
    torch.testing.assert_close(gone_on[[0, 2]], undisturbed[[0, 2]])
    assert not torch.allclose(gone_on[0], fresh[0], rtol=1e-3)
    # Outside of an attack the radius is that of the rule.
    net.forget()
    ascend(net, x)
    torch.testing.assert_close(ascend(net, near), last(near))


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf"), "8/255", True])
def test_a_radius_that_is_none_is_refused_before_anything_is_forgotten(wrong):
    net = network(chain, gradient=ASSG())
    ascend(net, batch())
    with pytest.raises(ValueError, match=r"^radius: .*at least 0"), net.attacking(wrong):
        pass
    assert set(net.body.memory) == {ASSG()}
    assert not net.body.context.attacking


def test_an_objection_is_the_reason_and_with_samples_the_whole_complaint():
    net = network(chain).train()
    for samples in (None, batch(), batch().numpy()):
        assert net.body.objection(RGA(), samples) is None
    reason, complaint = net.body.objection(CBA()), net.body.objection(CBA(), batch())
    assert reason.startswith("conversion to an ANN")
    assert complaint.startswith("gradient: expected a rule that applies")
    assert reason in complaint
    assert net.training


@pytest.mark.parametrize("transform", [torch.func.grad, torch.func.jacrev, torch.vmap])
def test_transforms_of_torch_are_refused_with_a_remedy(transform):
    net = network(chain)
    with pytest.raises(ValueError, match=r"^x: .*torch\.func"):
        transform(lambda x: net(x).sum())(batch())
