"""Forms of a model that users bring: each is adapted, or refused with the remedy."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from art_snn import Direct, Frames, Poisson
from art_snn.dynamics import Dynamics
from art_snn.interop import adapt, register_neuron
from tests.gradients.test_objections import Refractory
from tests.interop.neurons import Output, Spike, Step, Steps, TimeLast, again, dynamics
from tests.interop.promises import EVERY, OWN_TIME, answer, close, gradient, gradients, inputs
from tests.interop.stacks import CLASSES, STEPS, Loop, Looping, Stack, chain, images, lively
from tests.interop.test_remedies import Charged, Read, flat, of_one_step

RULES = ("rga", "stbp", "bptr", "native")


LAST = {"mean": (nn.Identity, None), "spikes": (Output, 0), "potential": (Output, 1)}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("readout", LAST)
def test_a_model_of_one_step_is_called_once_for_every_step(readout, rule):
    make, part = LAST[readout]
    network = adapt(of_one_step(make()), steps=STEPS, readout=readout)
    wanted = adapt(Looping(of_one_step(make()), part), encoder=None)
    looped, expected = (gradient(one, rule, images()) for one in (network, wanted))
    assert torch.equal(looped[0], expected[0])
    torch.testing.assert_close(looped[1], expected[1])
    assert network.body.steps == wanted.body.steps == STEPS
    assert torch.equal(answer(network, None, images()), answer(wanted, None, images()))


def test_a_function_as_readout_is_given_what_every_step_returned():
    given: list[int] = []

    def largest(outputs: list) -> Tensor:
        given.append(len(outputs))
        return torch.stack([potential for _, potential in outputs]).amax(0)

    network = adapt(of_one_step(Output()), steps=STEPS, readout=largest)
    assert gradient(network, "rga", images())[1].any()
    assert set(given) == {STEPS}


@pytest.mark.parametrize(
    ("encoder", "shape"), [(Frames(STEPS), (4, STEPS, 1, 3, 3)), (Poisson(STEPS), (4, 1, 3, 3))]
)
def test_a_model_of_one_step_takes_event_frames_and_poisson_spikes(encoder, shape):
    network = adapt(of_one_step(), encoder=encoder)
    assert gradient(network, "rga", torch.rand(shape))[1].any()


@pytest.mark.parametrize("rule", [None, *RULES])
def test_one_step_is_refused_until_someone_says_that_it_is_meant(rule):
    network = adapt(of_one_step(), encoder=None)
    with pytest.raises(ValueError, match=r"^steps: .*one of them"):
        answer(network, rule, images())
    network = adapt(of_one_step(), encoder=None, steps=1)
    assert network(images()).shape == (5, CLASSES)
    assert network.body.steps == 1
    assert torch.equal(adapt(flat(), steps=1)(images().flatten(1)), network(images()))


class Noisy(nn.Sequential):
    """It draws by torch, always or in training mode alone."""

    def __init__(self, always: bool = True, draw: Any = torch.randn_like) -> None:
        super().__init__(chain(Steps()))
        self.always, self.draw = always, draw

    def forward(self, x: Tensor) -> Tensor:
        draws = self.always or self.training
        return super().forward(x + 0.3 * self.draw(x) if draws else x)


DRAWS = {
    "randn_like": torch.randn_like,
    "dropout": lambda x: nn.functional.dropout(x, 0.5),
    "cauchy_": lambda x: torch.empty_like(x).cauchy_(),
    "without effect": lambda x: 0 * torch.rand(()),
}


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("rule", [None, "rga", "stbp", "bptr", "native"])
def test_a_network_that_draws_by_torch_is_a_random_one_and_says_so(rule, draw):
    network = adapt(Noisy(draw=DRAWS[draw]).eval(), steps=STEPS)
    with pytest.warns(UserWarning, match="^the model draws.* EOT") as warned:
        logits = [answer(network, rule, images()) for _ in range(2)]
    assert len(warned) == 1
    assert network.body.notes()["draws at random"] == "yes"
    assert torch.equal(*logits) == (draw == "without effect")
    if rule is not None:
        assert gradient(network, f"eot({rule})", images())[1].any()
    for encoder in (Direct(STEPS), Poisson(STEPS)):
        quiet = adapt(chain(Steps()), encoder=encoder)
        answer(quiet, rule, images())
        told = "yes" if isinstance(encoder, Poisson) else "no"
        assert quiet.body.notes()["draws at random"] == told


def test_a_network_that_is_random_in_training_alone_is_none_in_evaluation():
    network = adapt(Noisy(always=False).eval(), steps=STEPS)
    for mode in (False, True, False):
        network.train(mode)
        gradient(network, "rga", images())  # Without a warning: training may draw.
        assert network.body.traits.draws == mode


@pytest.mark.filterwarnings("ignore:the model draws")
@pytest.mark.parametrize("encoder", [Direct(STEPS), Poisson(STEPS)])
def test_what_verification_draws_leaves_the_random_state_as_it_was(encoder):
    states = []
    for verified in (False, True):
        model = Noisy() if isinstance(encoder, Direct) else chain(Steps())
        network = adapt(model.eval(), encoder=encoder)
        if verified:
            gradient(network, "stbp", images())
        torch.manual_seed(0)
        logits = [gradient(network, "stbp", images())[0] for _ in range(3)]
        states.append((torch.get_rng_state(), *logits))
    assert all(map(torch.equal, *states))


class HalfFull(Step):
    """The same neuron, which starts from that potential."""

    def reset(self) -> None:
        self.v = 0.5


half_full = Dynamics(1, 1, reset="soft", v_start=0.5)
register_neuron(HalfFull, dynamics=lambda module: half_full, layout="step")


@pytest.mark.parametrize("rule", ["rga", "stbp", "hart", "static"])
def test_a_charge_before_the_first_step_is_no_step(rule):
    class Converted(nn.Module):
        def __init__(self, neuron: nn.Module) -> None:
            super().__init__()
            self.fc1, self.fc2, self.fire = nn.Linear(9, 12), nn.Linear(12, CLASSES), neuron
            lively(self)

        def forward(self, x: Tensor) -> Tensor:
            self.fire.reset()
            return sum(self.fc2(self.fire(self.fc1(x.flatten(1)))) for _ in range(6)) / 6

    network = adapt(Converted(Charged(1.0)), encoder=None)
    wanted = adapt(Converted(HalfFull(1.0, reset="soft")), encoder=None)
    with torch.inference_mode():
        network(images())  # The first pass, which finds out the traits.
    close(gradient(network, rule, images()), gradient(wanted, rule, images()), 1e-6)
    assert network.body.traits.preludes == 1


class Mixed(nn.Module):
    """Subtracts the mean over the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)


MIXING: dict[str, tuple[Any, dict[str, Any], tuple[int, ...]]] = {
    "mean": (lambda: nn.Sequential(Mixed(), chain(Steps())), {"steps": STEPS}, (5, 1, 3, 3)),
    # Read out by the mean of axis 0, with N = T.
    "[N, T, K]": (
        lambda: Read(lambda out: out.transpose(0, 1)),
        {"steps": STEPS},
        (STEPS, 1, 3, 3),
    ),
    "time first": (
        lambda: chain(Steps()),
        {"encoder": None, "readout": lambda out: out.mean(1)},
        (5, STEPS, 9, 1),
    ),
}


@pytest.mark.parametrize("rule", [None, *RULES])
@pytest.mark.parametrize("form", MIXING)
def test_a_model_that_mixes_samples_is_refused(form, rule):
    make, options, shape = MIXING[form]
    network = adapt(make(), **options)
    x = torch.rand(shape, generator=torch.Generator().manual_seed(4))
    message = "in its batch.*batch_size=1"
    if form == "time first":
        message = "makes its time steps"
    with pytest.raises(ValueError, match=message):
        answer(network, rule, x)
    if form == "[N, T, K]":
        network.body.readout = lambda out: out.mean(1)
        assert answer(network, rule, x).any()


class Leaning(nn.Sequential):
    """Its logits grow by that share where the other samples of a batch are bright."""

    def __init__(self, share: float) -> None:
        super().__init__(chain(Steps()))
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        bright = x[:, 1::2].mean() > (x.amax() + x.amin()) / 2
        return super().forward(x) * (1 + self.share * bright)


@pytest.mark.parametrize("rule", [None, *RULES])
def test_logits_may_depend_on_the_batch_by_the_rounding_of_tf32_and_no_more(rule):
    assert answer(adapt(Leaning(2**-11).eval(), steps=STEPS), rule, images()).any()
    with pytest.raises(ValueError, match="whatever else is in its batch"):
        answer(adapt(Leaning(2**-8).eval(), steps=STEPS), rule, images())


@pytest.mark.filterwarnings("ignore:the gradient under Native.* is zero")
@pytest.mark.parametrize("rule", [None, "native"])
@pytest.mark.parametrize("silent", ["weights", "input"])
def test_samples_that_cannot_be_told_apart_prove_nothing(silent, rule):
    network, x = adapt(nn.Sequential(Mixed(), chain(Steps())), steps=STEPS), images()
    weight = network.layers[1][1].weight
    kept = weight.detach().clone()
    if silent == "weights":
        weight.data.mul_(1e-9)
    answer(network, rule, 0 * x)
    with torch.no_grad():
        weight.copy_(kept)
    with pytest.raises(ValueError, match="whatever else is in its batch"):
        answer(network, rule, x)


@pytest.mark.parametrize("frozen", [False, True])
def test_samples_are_exchanged_once_for_every_state_of_the_weights(frozen):
    network, calls = adapt(chain(Steps()), steps=STEPS), []
    network.requires_grad_(not frozen)
    network.layers.register_forward_hook(lambda *_: calls.append(1))
    spent = []
    with torch.no_grad():
        for factor in (1, 1, 1.1, 1, 1):
            network.layers[1].weight.mul_(factor) if factor != 1 else None
            before = len(calls)
            network(images())
            spent.append(len(calls) - before)
    assert spent[1:] == [1, 3, 1, 1]


class Shared(Stack):
    """One neuron at two places."""

    def fire(self, neuron: nn.Module, current: Tensor) -> Tensor:
        return self.neuron1(current)


@pytest.mark.parametrize("rule", ["rga", "stbp", "hart", "assg", "native"])
def test_a_neuron_that_starts_from_rest_may_have_several_places(rule):
    shared, alone = (
        gradients(adapt(m(Steps), steps=STEPS), rule, inputs()) for m in (Shared, Stack)
    )
    close(shared[:2], alone[:2], 0)


def test_a_neuron_that_keeps_a_state_may_not():
    class Keeping(Steps):
        def reset(self) -> None:
            self.v = 0.0

        def forward(self, x: Tensor) -> Tensor:
            self.v, before = self.v + 1, self.v
            return super().forward(x + before)

    register_neuron(Keeping, dynamics=dynamics)
    with pytest.raises(ValueError, match=r"neuron1, .*several places"):
        gradients(adapt(Shared(Keeping), steps=STEPS), "rga", inputs())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("own_time", [True, False])
def test_a_model_may_write_into_its_input(own_time, rule):
    class Writing(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            if own_time:
                return super().forward(x.unsqueeze_(0).repeat(4, 1, 1, 1, 1)).mean(0)
            return super().forward(x.mul_(0.5))

    model = Writing(*chain(Steps())).eval()
    network = adapt(model, encoder=None) if own_time else adapt(model, steps=STEPS)
    x = images()
    before = x.clone()
    logits = answer(network, None, x)
    got, grad = gradient(network, rule, x)
    assert torch.equal(got, logits)
    assert torch.equal(x, before)
    assert grad.any()


class Last(nn.Module):
    """Time is the last axis of all layers of neurons, as in STBP-simple."""

    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        self.fc1, self.fc2, self.lif = nn.Linear(9, 12), nn.Linear(12, CLASSES), neuron
        lively(self)

    def forward(self, x: Tensor) -> Tensor:
        current = self.fc1(x.flatten(1))[..., None].repeat(1, 1, STEPS)
        return self.fc2(self.lif(current).movedim(-1, 1)).mean(1)


@pytest.mark.parametrize("rule", RULES)
def test_time_may_be_the_last_axis(rule):
    network = adapt(Last(TimeLast()), encoder=None)
    wanted = gradient(adapt(chain(Steps()), steps=STEPS), rule, images())
    assert network.body.neurons()[0].name == "lif"
    close(gradient(network, rule, images()), wanted, 1e-6)
    assert network.body.steps == STEPS


def test_a_time_axis_at_another_place_is_thought_of():
    wrong = again(TimeLast, layout="samples first")
    with pytest.raises(ValueError, match=r"layout='time last'"):
        gradient(adapt(Last(wrong()), encoder=None), "rga", images())


class Wrapped(nn.Module):
    """A registered neuron around another one: it fires as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.neuron = Steps(1.0, 2.0)

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(2 * x)


register_neuron(Wrapped, dynamics=lambda module: Dynamics(1.0, 2.0, gain=2.0))


@pytest.mark.parametrize("rule", RULES)
def test_a_neuron_inside_a_registered_one_is_a_part_of_it(rule):
    network = adapt(chain(Wrapped(), 0.3), steps=STEPS)
    assert [site.name for site in network.body.neurons()] == ["2"]
    wanted = adapt(chain(Steps(1.0), 0.3), steps=STEPS)
    for _ in range(2):
        logits, grad = gradient(network, rule, images())
        assert torch.equal(logits, gradient(wanted, rule, images())[0])
        assert grad.any()
    if rule == "rga":  # Whose slope does not depend on the unit of the potential.
        torch.testing.assert_close(grad, gradient(wanted, rule, images())[1])


class Paused(Steps):
    """Fires at most at every second step."""

    def forward(self, x):
        spikes = super().forward(x)
        spikes[1::2] = 0
        return spikes


register_neuron(Paused, dynamics=lambda module: Refractory(0.5))


def test_dynamics_of_a_class_of_the_users_are_taken():
    network = adapt(Stack(Paused), steps=STEPS)
    assert str(network.gradient) == "Native()"
    assert gradients(network, "bptr", inputs())[1].any()
    with pytest.raises(ValueError, match="these neurons obey other"):
        network.gradient = "rga"


class AtThreshold(Steps):
    """MA-SNN resets the potential to the threshold, and its decay follows."""

    def step(self, x, v):
        u = torch.add(x, v, alpha=self.decay)
        s = Spike.apply(u - self.threshold)
        return s, u, u - u * s + self.threshold * s


register_neuron(
    AtThreshold, dynamics=lambda m: Dynamics(m.decay, m.threshold, v_reset=m.threshold, v_start=0.0)
)


@pytest.mark.parametrize("rule", ["stbp", "hart", "bptr", "assg"])
def test_a_reset_to_the_threshold_is_a_reset(rule):
    network = adapt(chain(AtThreshold(0.3, 0.3)), steps=STEPS)
    assert gradient(network, rule, images())[1].any()
    with pytest.raises(ValueError, match="rate-current curve"):
        network.gradient = "rga"


def test_the_default_rule_is_one_that_applies():
    network = adapt(chain(Steps(0.4, 18.0)), steps=STEPS)
    assert str(network.gradient).startswith("STBP")
    with pytest.raises(ValueError, match=r"neuron '2'.*gamma.*threshold 18"):
        network.gradient = "rga"


def test_an_argument_of_a_neuron_may_be_given_by_name():
    class Optional(Steps):
        def forward(self, x, v0=None):
            return super().forward(x)

    class Named(Stack):
        def fire(self, neuron, current):
            return neuron(x=current, v0=None)

    register_neuron(Optional, dynamics=dynamics)
    wanted = gradients(adapt(Stack(Steps), steps=STEPS), "stbp", inputs())
    named = gradients(adapt(Named(Optional), steps=STEPS), "stbp", inputs())
    assert torch.equal(named[1], wanted[1])


class Mixing(nn.Module):
    """A layer as SpikeGPT's, with parameters and with numbers and a tensor that are constants."""

    __constants__ = ("gain",)

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.gain, self.shift = 0.5, torch.linspace(-0.1, 0.1, 12, dtype=torch.float64)
        mixed = torch.randn(12, 12, dtype=torch.float64, generator=generator)
        self.weight = nn.Parameter(mixed)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.gain * (x @ self.weight) + self.shift


def mixing(kind: str, compiler: Any) -> Any:
    """A network with such a layer after its first neurons."""
    model = Stack(Steps) if kind == "all steps" else Loop(Step)
    options = {"steps": STEPS} if kind == "all steps" else OWN_TIME
    model.fc2 = nn.Sequential(compiler(Mixing().eval()), model.fc2)
    return adapt(model, **options)


COMPILERS = {
    "script": torch.jit.script,
    "trace": lambda module: torch.jit.trace(module, torch.rand(4, 5, 12, dtype=torch.float64)),
}


@pytest.mark.parametrize("rule", EVERY)
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("kind", ["all steps", "loop"])
@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_layers_without_neurons_may_be_compiled_by_torch_jit_and_are_trained(kind, compiler, rule):
    plain, network = mixing(kind, lambda layer: layer), mixing(kind, COMPILERS[compiler])
    wanted = gradient(plain, rule, inputs(), *plain.layers.parameters())
    copies = [copy.deepcopy(network)] if kind == "all steps" else []
    for tried in (network, *copies):
        found = gradient(tried, rule, inputs(), *tried.layers.parameters())
        close(found, wanted, 1e-9)
        assert torch.equal(answer(tried, None, inputs()), found[0])
        tried.forget()
        with tried.constant_weights():
            close(gradient(tried, rule, inputs()), wanted[:2], 1e-9)


@pytest.mark.parametrize("rule", [None, *RULES])
def test_a_layer_may_keep_an_expanded_tensor(rule):
    class Limited(Stack):
        limit = None

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.clamp(max=self.limit[0, 0]))

    model = Limited(Steps)
    model.limit = torch.tensor(0.9).expand(3, 10)
    model.whole = torch.tensor(3).expand(30)
    model.factors = torch.randn(4, dtype=torch.cfloat).conj()
    network = adapt(model, steps=STEPS)
    assert answer(network, rule, inputs()).any()
    key = network.body.version_key(exact=False)
    model.whole = torch.tensor(4).expand(30)
    assert network.body.version_key(exact=False) != key
