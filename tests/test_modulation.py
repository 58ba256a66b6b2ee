"""Gains, noise and gates next to neurons: values by hand, every rule, models and their weights."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch
from torch import nn

from art_snn import LIF, STBP, Direct, Frames, RectifiedANN, SpikingNetwork, checkpoint
from art_snn.attacks import SpikingAutoAttack
from art_snn.bounds import Bounding, certify_bounds
from art_snn.bounds.firing import SpikeCounts
from art_snn.classifier import wrap
from art_snn.dynamics import Dynamics
from art_snn.findings import examine
from art_snn.gradients import Conversion, RateGradient
from art_snn.gradients.base import simulation
from art_snn.models import MODELS, Architecture, Options
from art_snn.modulation import MODULATIONS, Gains, Gates, Noise, gates_of, parse_modulation
from tests.architectures import batch, chain, network
from tests.gradients.test_naive import RULES
from tests.gradients.ways import assert_equals_naive
from tests.oracles import assert_close, naive, result
from tests.tiny import frames, images, same, weights

SMALL = {"steps": 4, "width": 0.05}


def gained(gains: list[float]) -> Gains:
    module = Gains(len(gains)).double()
    module.gain.data = torch.tensor(gains).double()
    return module


def drawn(kind: str) -> nn.Module:
    """A module for four steps, whose numbers are not those that it starts with."""
    if kind == "gains":
        return gained([1, 0.5, 2, 1.25])
    gates = Gates((1,))
    gates.rho.fill_(0.6)
    return gates if kind == "gates" else Noise(0.5)


def modulated(kind: str, **options) -> SpikingNetwork:
    """A small network with such modules next to its neurons."""

    def architecture(neuron):
        def pair():
            module = drawn(kind)
            return nn.Sequential(
                *([neuron(), module] if isinstance(module, Gates) else [module, neuron()])
            )

        return chain(pair)

    return network(architecture, **options)


@pytest.mark.parametrize(
    ("gains", "potentials", "spikes"),
    [
        ([1, 0.5, 2, 1], [0.6, 0.894, 2.08506, 0.6], [0, 0, 1, 0]),
        ([1, 1, 1, 1], [0.6, 1.194, 0.6, 1.194], [0, 1, 0, 1]),
    ],
)
def test_gains_multiply_the_current_of_every_step(gains, potentials, spikes):
    current = gained(gains)(torch.full((4, 1, 1), 0.6).double())
    potential = torch.empty_like(current)
    fired = Dynamics(0.99).simulate(current, potential)
    assert potential.flatten().tolist() == pytest.approx(potentials)
    assert fired.flatten().tolist() == spikes


@pytest.mark.parametrize(
    ("potential", "share"), [(0.5, 0.0478), (0.8, 0.2525), (1.0, 0.5), (1.5, 0.9522)]
)
def test_noise_lets_a_potential_fire_with_the_probability_of_a_gaussian(potential, share):
    noise, current = Noise(0.3), torch.full((2, 40_000, 1), potential)
    fired = LIF(decay=0)(noise(current))
    assert fired.mean().item() == pytest.approx(share, abs=0.008)
    assert noise.eval()(current) is current


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    ("rho", "share"), [(0.05, 0.099), (0.1, 0.099), (0.5, 0.499), (0.9, 0.899), (1.3, 0.999)]
)
def test_gates_open_with_their_probability_for_each_sample_and_step(rho, share, dtype):
    gates, spikes = Gates(()).eval(), torch.ones(4, 50, 400, dtype=dtype)
    gates.rho.fill_(rho)
    torch.manual_seed(2)
    passed = gates(spikes)
    assert passed.dtype == dtype
    assert passed.double().mean().item() == pytest.approx(share, abs=0.006)
    assert len({*passed.flatten(2).sum(2).flatten().tolist()}) > 1 or rho > 1
    assert not torch.equal(gates(spikes), passed)
    torch.manual_seed(2)
    assert torch.equal(gates(spikes), passed)


def test_rho_gets_minus_the_gradient_of_the_relaxation_and_spikes_that_of_their_gates():
    gates = Gates((5,)).double()
    gates.rho.uniform_(0.1, 1).requires_grad_()
    spikes, slope = torch.ones(3, 4, 5).double().requires_grad_(), torch.randn(3, 4, 5).double()
    spikes.data[0] = 0
    torch.manual_seed(3)
    at_rho, at_spikes = torch.autograd.grad((gates(spikes) * slope).sum(), [gates.rho, spikes])
    torch.manual_seed(3)
    u, p = torch.rand(3, 4, 5).double(), gates.rho.detach().clone().requires_grad_()
    torch.manual_seed(3)
    u = torch.rand(3, 4, 5, dtype=torch.float64)
    relaxed = ((p.logit() + u.logit()) / 0.5).sigmoid()
    (expected,) = torch.autograd.grad((relaxed * slope * spikes.detach()).sum(), p)
    torch.testing.assert_close(at_rho, -expected)
    assert torch.equal(at_spikes, slope * (u > 1.001 - p))
    certain = Gates((5,))
    certain.rho.requires_grad_()
    (grad,) = torch.autograd.grad(certain(torch.ones(50, 9, 5)).sum(), certain.rho)
    assert grad.isfinite().all()


@pytest.mark.parametrize(("name", "kind"), [*product(RULES, MODULATIONS)])
def test_every_rule_equals_a_naive_loop_and_has_the_logits_of_the_simulation(name, kind):
    rule, neuron = RULES[name]
    decay = 1.0 if name == "cba" else 0.9
    net, x = modulated(kind, gradient=rule, decay=decay, threshold=0.75), batch(4)
    if isinstance(rule, Conversion):
        assert_close(result(net, x), naive(net, x, neuron, averaged=True), 1e-12)
        return
    rate = "collapsed" if kind == "noise" else "time-resolved"
    assert_equals_naive(net, x, neuron, rate if isinstance(rule, RateGradient) else "through time")
    with torch.no_grad():
        torch.manual_seed(0)
        plain = net.run(net.encode(x), simulation)
    torch.manual_seed(0)
    assert torch.equal(net(x.requires_grad_()).detach(), plain)


def test_noise_in_training_mode_draws_and_runs_time_resolved():
    net, x = modulated("noise").train(), batch().requires_grad_()
    assert not torch.equal(net(x), net(x))
    assert str(net.execution).startswith("time-resolved: the output of layers.1.0 differs")
    assert torch.equal(net.eval()(x), net(x))


def test_a_network_with_gates_is_random_to_findings_and_to_a_plan():
    data = images(shape=(1, 6, 6))
    net = Architecture(modulation="gates", **SMALL).build_for(data).eval()
    for gates in gates_of(net):
        gates.rho.fill_(0.5)
    classifier = wrap(net, data.input_shape, data.classes, (0.0, 1.0), "cpu")
    found = {one.id for one in examine(classifier, data.x_train, data.y_train, eps=0.1)}
    assert "random-network" in found
    assert "state-kept" not in found
    attack = SpikingAutoAttack(classifier, eps=0.1, plan="fast", verbose=False)
    attack.generate(data.x_train[:2], data.y_train[:2])
    assert attack.outcome.draws == 11


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", MODULATIONS)
def test_a_model_has_the_module_at_every_neuron_and_its_weights_survive_a_round_trip(
    kind, model, tmp_path
):
    data, asked = images(shape=(3, 6, 6)), Architecture(model=model, modulation=kind, **SMALL)
    net, plain = asked.build_for(data).eval(), Architecture(model=model, **SMALL).build_for(data)
    modules = [m for m in net.modules() if type(m) is MODULATIONS[kind]]
    assert len(modules) == len(net.neuron_layers()) == len(plain.neuron_layers())
    assert asked.describe().endswith(f"direct encoding, {kind}")
    if kind == "gates":
        assert all(gates.rho.ndim for gates in modules)
    for tensor in [*net.parameters(), *(gates.rho for gates in gates_of(net))]:
        tensor.data.add_(0.1)
    checkpoint.save(net, tmp_path / "n.safetensors", subject=asked.given)
    filled = Architecture().fill(checkpoint.notes(tmp_path / "n.safetensors")["subject"])
    twin = filled.build_for(data, seed=1)
    checkpoint.load(twin, tmp_path / "n.safetensors")
    assert same(weights(twin), weights(net))
    outputs, x = [], torch.as_tensor(data.x_test)
    for one in (net, twin.eval(), copy.deepcopy(net)):
        torch.manual_seed(1)
        outputs.append(one(x))
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    net.reset()
    starts = [p for n, p in net.state_dict().items() if n.endswith(("gain", "rho"))]
    assert all((start == 1).all() for start in starts)


def test_gates_of_event_frames_have_a_rho_for_every_neuron_too():
    net = Architecture(modulation="gates", width=0.05).build_for(frames())
    assert gates_of(net)[0].rho.shape == (3, 4, 6)


def test_networks_with_gains_have_bounds_that_hold_and_those_with_gates_are_refused():
    net = modulated("gains", decay=1.0, reset="soft")
    x, y = batch(8), torch.zeros(8, dtype=torch.long)
    with torch.no_grad():
        near = [x + 0.05 * (2 * torch.rand_like(x) - 1) for _ in range(100)]
        margins = torch.stack([(z[:, :1] - z[:, 1:]).amin(1) for z in map(net, near)]).amin(0)
    least = Bounding(net, SpikeCounts(), 0.05).margin(x, y)
    assert (least <= margins + 1e-9).all()
    assert (least > margins - 10).all()
    data = images()
    for options in ({"modulation": "gates"}, {"encoder": "frequency"}):
        refused = wrap(
            Architecture(**SMALL, **options).build_for(data), (1, 4, 4), 3, (0, 1), "cpu"
        )
        with pytest.raises(ValueError, match=r"^classifier: .*with bounds, got (Gates|Frequency)"):
            certify_bounds(refused, data.x_test, data.y_test, 0.1)


def test_gains_are_those_of_their_steps():
    net = Options(modulation="gains", encoder=Frames(5)).neuron()
    assert len(net[0].gain) == 5
    net = modulated("gains")
    with pytest.raises(ValueError, match=r"^steps: expected 4, for which it has gains, got 6"):
        net.with_steps(6)
    assert net.with_steps(4).encoder == Direct(4)
    with pytest.raises(ValueError, match=r"^steps: expected 4"), net.using("rga-6-steps"):
        net(batch().requires_grad_())
    with pytest.raises(
        ValueError, match=r"^current: expected 4 time steps, as many as gains, got 3"
    ):
        Gains(4)(torch.zeros(3, 1, 1))
    with net.using(RectifiedANN()):
        assert net(batch().requires_grad_()).isfinite().all()
    assert net.with_gradient(STBP()).layers is net.layers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("gain", "modulation: expected one of gains, gates, noise, got 'gain'"),
        ("noise(sigma=0)", "modulation: sigma: expected a number above 0, got 0"),
        ("gains(steps=3)", "modulation: expected options of gains: none, got steps"),
        ("gates(p=0.5)", "modulation: expected options of gates: none, got p"),
    ],
)
def test_what_is_no_modulation_is_refused(text, words):
    for make in (lambda: parse_modulation(text, 4), lambda: Architecture(modulation=text)):
        with pytest.raises(ValueError, match=f"^{words}"):
            make()
    with pytest.raises(ValueError, match=r"^steps: .*an encoder that knows its"):
        parse_modulation("gains", None)
    with pytest.raises(ValueError, match=r"^modulation: expected None next to"):
        Architecture(model="none.py:build", modulation="gains")
