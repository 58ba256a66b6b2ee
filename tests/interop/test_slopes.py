"""Spikes of neurons whose equations nobody knows have the slope of the rule."""

import threading
import warnings
from functools import partial

import pytest
import torch
from torch import nn

from art_snn import PyTorchSpikingClassifier
from art_snn.findings import examine
from art_snn.gradients import ASSG, EOT, PDSG, STBP, Extended, Mean, Triangle
from art_snn.interop import adapt
from tests.interop import adapted, unknown
from tests.interop.neurons import Round, Spike
from tests.interop.unknown import STEPS, FireInside, Leaky, fire

NATIVE = STBP(surrogate=Triangle())


def compiled():
    """Neurons between layers that torch.jit compiled."""
    model = Leaky()
    model.first = torch.jit.script(model.first)
    model.last = torch.jit.script(model.last)
    return model


MODELS = [Leaky, partial(Leaky, FireInside.apply), unknown.Delayed, compiled]


@pytest.fixture(autouse=True)
def fixed():
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="the rule knows no equations")
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        yield


def samples(count=6):
    return torch.rand(count, unknown.FEATURES, generator=torch.Generator().manual_seed(1))


def gradient(network, x=None):
    """Logits, and the gradient at the input of a sum in which nothing cancels."""
    x = (samples() if x is None else x).clone().requires_grad_()
    logits = network(x)
    (grad,) = torch.autograd.grad((logits * torch.tensor([1.0, -2.0, 3.0, 0.5])).sum(), x)
    return logits.detach(), grad


def same_gradient(one, other, rounding=1e-6):
    scale = one.abs().max()
    assert scale > 0
    assert (one - other).abs().max() <= rounding * scale


def compare_with_native(model, rule=NATIVE, **options):
    """Logits bit for bit those of the model, and the native gradient for the native surrogate."""
    options = {"steps": STEPS} | options
    logits, exchanged = gradient(adapt(model, gradient=rule, **options).eval())
    own, native = gradient(adapt(model, gradient="native", **options).eval())
    assert torch.equal(logits, own)
    same_gradient(native, exchanged)
    return exchanged


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("model", MODELS)
def test_the_native_surrogate_put_into_a_function_gives_the_native_gradient(model):
    compare_with_native(model())


def test_a_model_with_its_own_time_steps():
    compare_with_native(adapted.model("inline", (unknown.FEATURES,), 4), steps=None, encoder=None)


def test_a_model_of_one_step_is_recognised_by_the_state_that_it_keeps():
    model = unknown.OneStep()
    compare_with_native(model)
    network = adapt(model, STEPS, gradient=NATIVE).eval()
    model[1].reset()
    with torch.no_grad():
        expected = torch.stack([model(samples()) for _ in range(STEPS)]).mean(0)
        assert torch.equal(network(samples()), expected)
    assert network.body.traits.single


@pytest.mark.parametrize("count", [6, 1])
def test_a_model_of_one_step_in_a_forgotten_loop_is_refused_until_its_steps_are_named(count):
    model = unknown.OneStep()
    for rule in (None, "stbp", "native"):
        network = adapt(model, encoder=None, gradient=rule).eval()
        with pytest.raises(ValueError, match=r"^steps: .*computes one of them in a call.*steps=25"):
            network(samples(count))
    # One step may be meant, and a call may make all of them.
    for steps in (1, 4):
        network = adapt(model, steps, encoder=None).eval()
        model[1].reset()
        with torch.no_grad():
            assert torch.equal(network(samples(count)), model(samples(count)))


def test_functions_that_are_no_spikes_are_refused_by_name_unless_harmless():
    model = Leaky(lambda u: fire(unknown.Quantize.apply(u)))
    with pytest.raises(ValueError, match=r"unknown.Quantize in its graph.*harmless=\[Quantize\]"):
        gradient(adapt(model, STEPS).eval())
    compare_with_native(model, harmless=[unknown.Quantize])


def test_a_rule_that_needs_one_threshold_refuses_several():
    model = Leaky(lambda u: Round.apply(u, 4))
    assert gradient(adapt(model, STEPS, gradient=NATIVE).eval())[1].any()
    with pytest.raises(ValueError, match="several"):
        gradient(adapt(model, STEPS, gradient="pdsg").eval())


def test_a_random_potential_is_drawn_in_every_pass_and_said():
    network = adapt(
        Leaky(lambda u: fire(u - 0.2 * torch.rand_like(u))), STEPS, gradient=EOT(NATIVE, samples=2)
    ).eval()
    with pytest.warns(UserWarning, match="draws random numbers"):
        _, grad = gradient(network)
    assert grad.any()


RULES = [
    STBP(surrogate=Triangle(width=0.5)),
    PDSG(per_sample=True),
    ASSG(),
    Mean(STBP(), NATIVE),
    Extended(NATIVE, steps=STEPS + 3),
]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("spike", [fire, lambda u: (u >= 1).float()])
def test_rules_whose_slope_depends_on_the_potential_alone_apply(rule, spike):
    model = Leaky(spike)
    logits, grad = gradient(adapt(model, STEPS, gradient=rule).eval())
    assert grad.any()
    with torch.no_grad():
        assert torch.equal(logits, model(samples().expand(STEPS, -1, -1)).mean(0))


def test_the_moments_of_assg_belong_to_the_calls_of_a_place():
    network = adapt(Leaky(), STEPS, gradient="assg").eval()
    with network.attacking(0.1):
        first, second = (gradient(network)[1] for _ in range(2))
    assert not torch.equal(first, second)
    network.forget()
    torch.testing.assert_close(gradient(network)[1], first)


@pytest.mark.parametrize("rule", ["rga", "hart", "bptr"])
def test_rate_rules_and_bounds_need_equations(rule):
    with pytest.raises(ValueError, match=r"nobody knows the equations.*register_neuron"):
        adapt(Leaky(), STEPS, gradient=rule)
    assert "nobody knows" in adapt(Leaky(), STEPS).body.bounds_objection()


def test_what_is_exchanged_is_said_once_and_noted():
    network = adapt(Leaky(), STEPS).eval()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for _ in range(3):
            gradient(network)
    assert ["neurons.Spike: 6 calls" in str(one.message) for one in said] == [True]
    (note,) = (what for what in network.body.notes() if "slope exchanged" in what)
    assert note.endswith("neurons.Spike")
    assert str(network.rule) == str(STBP())


def test_what_is_exchanged_is_a_note_of_every_examination():
    network = adapt(Leaky(), STEPS, input_shape=(unknown.FEATURES,)).eval()
    classifier = PyTorchSpikingClassifier(
        network, nn.CrossEntropyLoss(), (unknown.FEATURES,), unknown.CLASSES, clip_values=(0, 1)
    )
    x = samples(12).numpy()
    found = examine(classifier, x, classifier.predict(x).argmax(1), eps=0.1)
    (note,) = [one for one in found if one.id == "exchanged-slopes"]
    assert "neurons.Spike, 6 calls" in note.sentence
    assert note.severity == "note"


def test_a_function_that_is_silent_on_all_samples_is_explained_by_constants():
    model = Leaky(FireInside.apply)
    model.first.bias.data.fill_(0.0)
    model.first.weight.data.mul_(0.02)
    _, grad = gradient(adapt(model, STEPS, gradient=NATIVE).eval())
    same_gradient(gradient(adapt(model, STEPS, gradient="native").eval())[1], grad, 1e-5)


def test_silent_neurons_of_one_step_are_followed_and_a_wider_surrogate_is_named():
    model = unknown.OneStep()
    model[0].bias.data.fill_(-99.0)
    network = adapt(model, STEPS).eval()
    with pytest.warns(UserWarning, match=r"zero for .* A wider surrogate reaches further: stbp\("):
        assert not gradient(network)[1].any()
    assert network.body.traits.single
    assert gradient(adapt(model, STEPS, gradient="stbp(surrogate.width=999)").eval())[1].any()

    # Not one that takes all steps and is silent, though it keeps its potential.
    class Kept(unknown.KeepsPotentials):
        def forward(self, x):
            spikes = super().forward(x)
            self.v = self.v_seq[-1] + getattr(self, "v", 0)
            return spikes

    model = nn.Sequential(model[0], Kept(), model[2])
    network = adapt(model, STEPS, gradient="native").eval()
    network(samples())
    assert not network.body.traits.single


def test_a_place_that_makes_no_spikes_any_more_is_noticed():
    model = Leaky(lambda u: Spike.apply(u - 1) if u.mean() < 5 else torch.sigmoid(u))
    network = adapt(model, STEPS).eval()
    gradient(network)
    with torch.no_grad():
        model.first.bias.fill_(100.0)
    with pytest.raises(ValueError, match=r"made none at .*Spike"):
        gradient(network)


def test_functions_are_as_they_were_after_every_pass_and_for_other_threads():
    before = dict(vars(Spike))
    network = adapt(Leaky(), STEPS, gradient=NATIVE).eval()
    gradient(network)
    assert dict(vars(Spike)) == before

    model = Leaky(lambda u: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        gradient(adapt(model, STEPS, gradient=NATIVE).eval())
    assert dict(vars(Spike)) == before

    seen = []

    def spike(u):
        # Another thread calls the function in the middle of a pass.
        def call():
            leaf = torch.zeros(1, requires_grad=True)
            seen.append(torch.autograd.grad(Spike.apply(leaf - 0.1), leaf)[0])

        other = threading.Thread(target=call)
        other.start()
        other.join()
        return Spike.apply(u - 1)

    gradient(adapt(Leaky(spike), STEPS, gradient=STBP()).eval())
    assert all(torch.equal(one, torch.tensor([0.9])) for one in seen)


def test_second_derivatives_are_refused():
    network = adapt(Leaky(), STEPS, gradient=NATIVE).eval()
    x = samples().requires_grad_()
    with pytest.raises(ValueError, match="second derivative"):
        torch.autograd.grad(network(x).sum(), x, create_graph=True)
