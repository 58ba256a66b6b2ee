"""Gains, noise and gates next to neurons: values by hand, every rule, models and their weights."""

import copy
from itertools import product

import pytest
import torch
from torch import nn

from art_snn import LIF, Direct, Frames, checkpoint
from art_snn.app.architecture import Architecture
from art_snn.attacks import SpikingAutoAttack
from art_snn.bounds import METHODS, Bounding, certify_bounds
from art_snn.classifier import wrap
from art_snn.dynamics import Dynamics
from art_snn.findings import examine
from art_snn.gradients import Conversion, RateGradient
from art_snn.gradients.base import simulation
from art_snn.models import MODELS, Options
from art_snn.modulation import MODULATIONS, Gains, Gates, Noise, gates_of, parse_modulation
from tests.architectures import batch, chain, network, same, weights
from tests.datasets import few_frames, few_images
from tests.gradients.test_naive import RULES
from tests.gradients.ways import assert_equals_naive
from tests.oracles import assert_close, naive, result

SMALL = {"steps": 4, "width": 0.05}


def gained(*gains):
    module = Gains(len(gains)).double()
    module.gain.data = torch.tensor(gains).double()
    return module


def open_at(rho, *shape):
    gates = Gates(shape)
    gates.rho.fill_(rho)
    return gates.eval()


MAKE = {"gains": lambda: gained(1, 0.5, 2, 1.25), "noise": lambda: Noise(0.5)}
MAKE |= {"gates": lambda: open_at(0.6, 1)}


def modulated(kind, **options):
    """A small network with such modules next to its neurons, other than they begin."""

    def architecture(neuron):
        pairs = ([MAKE[kind](), neuron()] for _ in range(2))
        parts = [nn.Sequential(*(p[::-1] if kind == "gates" else p)) for p in pairs]
        return chain(lambda: parts.pop())

    return network(architecture, **options)


GAINED = [([1, 0.5, 2, 1], [0.6, 0.894, 2.08506, 0.6]), ([1] * 4, [0.6, 1.194, 0.6, 1.194])]
NOISY = [(0.5, 0.0478), (0.8, 0.2525), (1.0, 0.5), (1.5, 0.9522)]
OPEN = [(0.05, 0.099), (0.1, 0.099), (0.5, 0.499), (0.9, 0.899), (1.3, 0.999)]


@pytest.mark.parametrize(("gains", "potentials"), GAINED)
def test_gains_multiply_the_current_of_every_step(gains, potentials):
    current = gained(*gains)(torch.full((4, 1, 1), 0.6).double())
    fired = Dynamics(0.99).simulate(current, potential := torch.empty_like(current))
    assert potential.flatten().tolist() == pytest.approx(potentials)
    assert fired.flatten().tolist() == [u >= 1 for u in potentials]


@pytest.mark.parametrize(("potential", "share"), NOISY)
def test_noise_lets_a_potential_fire_with_the_probability_of_a_gaussian(potential, share):
    noise, current = Noise(0.3), torch.full((2, 40_000, 1), potential)
    assert LIF(decay=0)(noise(current)).mean().item() == pytest.approx(share, abs=0.008)
    assert noise.eval()(current) is current


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@pytest.mark.parametrize(("rho", "share"), OPEN)
def test_gates_open_with_their_probability_for_each_sample_and_step(rho, share, dtype):
    gates, spikes, passed = open_at(rho), torch.ones(4, 50, 400, dtype=dtype), []
    for seed in (2, 3, 2):
        torch.manual_seed(seed)
        passed.append(gates(spikes))
    assert passed[0].dtype == dtype
    assert passed[0].double().mean().item() == pytest.approx(share, abs=0.006)
    assert len(passed[0].flatten(0, 1).unique(dim=0)) > 30
    assert torch.equal(passed[0], passed[2])
    assert not torch.equal(passed[0], passed[1])


def test_rho_gets_minus_the_gradient_of_the_relaxation_and_spikes_that_of_their_gates():
    gates, shape = Gates((5,)).double(), (3, 4, 5)
    gates.rho.uniform_(0.1, 1).requires_grad_()
    spikes = (torch.rand(shape) > 0.5).double().requires_grad_()
    slope, p = torch.randn(shape).double(), gates.rho.detach().clone().requires_grad_()
    torch.manual_seed(3)
    at_rho, at_spikes = torch.autograd.grad((gates(spikes) * slope).sum(), [gates.rho, spikes])
    torch.manual_seed(3)
    u = torch.rand(shape, dtype=torch.float64)
    relaxed = ((p.logit() + u.logit()) / 0.5).sigmoid() * slope * spikes.detach()
    torch.testing.assert_close(at_rho, -torch.autograd.grad(relaxed.sum(), p)[0])
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
    torch.manual_seed(0)
    with torch.no_grad():
        plain = net.body.run(net.body.encode(x), simulation)
    torch.manual_seed(0)
    assert torch.equal(net(x.requires_grad_()).detach(), plain)


def test_noise_in_training_mode_draws_and_runs_time_resolved():
    net, x = modulated("noise").train(), batch().requires_grad_()
    assert not torch.equal(net(x), net(x))
    assert str(net.execution).startswith("time-resolved: the output of layers.1.0 differs")


def test_a_network_with_gates_is_random_to_findings_and_to_a_plan():
    classifier = wrap(modulated("gates").float(), (2, 6, 6), 3, (0.0, 1.0), "cpu")
    x = batch(16, dtype=torch.float32).numpy()
    y = classifier.predict(x).argmax(1)
    found = {one.id for one in examine(classifier, x, y, eps=0.1)}
    assert {"random-network", "state-kept"} & found == {"random-network"}
    attack = SpikingAutoAttack(classifier, eps=0.1, plan="fast", verbose=False)
    attack.generate(x[:2], y[:2])
    assert attack.outcome.draws == 11


@pytest.mark.parametrize(("kind", "model"), [*product(MODULATIONS, MODELS)])
def test_a_model_has_the_module_at_every_neuron_and_in_its_checkpoint(kind, model, tmp_path):
    data, asked = few_images(shape=(3, 6, 6)), Architecture(model=model, modulation=kind, **SMALL)
    net, file = asked.build_for(data).eval(), tmp_path / "n.safetensors"
    modules = [m for m in net.modules() if type(m) is MODULATIONS[kind]]
    assert len(modules) == len(net.body.neuron_layers())
    assert asked.describe().endswith(f"direct encoding, {kind}")
    for tensor in [*net.parameters(), *(gates.rho for gates in gates_of(net))]:
        tensor.data.add_(0.1)
    checkpoint.save(net, file, subject=asked.given)
    twin = Architecture().fill(checkpoint.notes(file)["subject"]).build_for(data, seed=1).eval()
    checkpoint.load(twin, file)
    assert same(weights(twin), weights(net))
    outputs = []
    for one in (net, twin, copy.deepcopy(net)):
        torch.manual_seed(1)
        outputs.append(one(torch.as_tensor(data.x_test)).tolist())
    assert outputs[0] == outputs[1] == outputs[2]
    net.reset_parameters()
    begun = [p for n, p in net.state_dict().items() if n.endswith(("gain", "rho"))]
    assert all((start == 1).all() for start in begun)


def test_gates_of_a_model_have_a_rho_for_every_neuron_and_gains_one_for_every_step():
    net = Architecture(modulation="gates", width=0.05).build_for(few_frames())
    assert [tuple(g.rho.shape) for g in gates_of(net)][::3] == [(3, 4, 6), (51,)]
    assert len(Options(modulation="gains", encoder=Frames(5)).neuron()[0].gain) == 5
    net, x = modulated("gains"), batch().requires_grad_()
    assert net.with_steps(4).encoder == Direct(4)
    with pytest.raises(ValueError, match=r"^steps: .*gains, got 6"):
        net.with_steps(6)
    with pytest.raises(ValueError, match=r"^steps: .*gains, got 6"):
        net.with_gradient("extended(rga, steps=6)")(x)


def test_networks_with_gains_have_bounds_that_hold_and_gates_and_frequency_encoding_have_none():
    net, x = modulated("gains", decay=1.0, reset="soft"), batch(8)
    with torch.no_grad():
        logits = torch.stack([net(x + 0.05 * (2 * torch.rand_like(x) - 1)) for _ in range(100)])
    margins = (logits[..., :1] - logits[..., 1:]).amin((0, 2))
    least = Bounding(net, METHODS["counts"](), 0.05).margin(x, torch.zeros(8, dtype=torch.long))
    assert (least <= margins + 1e-9).all()
    assert least.isfinite().all()
    for options in ({"modulation": "gates"}, {"encoder": "frequency"}):
        net = Architecture(**SMALL, **options).build_for(data := few_images())
        with pytest.raises(ValueError, match=r"^classifier: .*(Gates|Frequency)"):
            certify_bounds(wrap(net, (1, 4, 4), 3, (0, 1), "cpu"), data.x_test, data.y_test, 0.1)


REFUSED = {
    "gain": "expected one of gains, gates, noise, got 'gain'",
    "noise(sigma=0)": "sigma: expected a number above 0, got 0",
    "gains(steps=3)": "expected options of gains: none, got steps",
    "gates(p=0.5)": "expected options of gates: none, got p",
}


@pytest.mark.parametrize(("text", "words"), [*REFUSED.items()])
def test_what_is_no_modulation_is_refused(text, words):
    with pytest.raises(ValueError, match=f"^modulation: {words}"):
        Architecture(modulation=text)
    with pytest.raises(ValueError, match=r"^steps: .*an encoder that knows its"):
        parse_modulation("gains", None)
    with pytest.raises(ValueError, match=r"^modulation: expected None next to"):
        Architecture(model="none.py:build", modulation="gains")
