"""Forms of a model that strangers bring: each is adapted, or refused with the remedy."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from art_snn import Direct, Frames, Poisson
from art_snn.dynamics import Dynamics
from art_snn.interop import adapt, register_neuron
from tests.adapted import Leaky, Spike
from tests.interop.promises import close, weighed
from tests.standins import clock_2020, norse, snntorch, spikingjelly as sj

STEPS, CLASSES = 6, 3
RULES = ("rga", "stbp", "bptr", "native")


def lively(model: nn.Module, gain: float = 2.0) -> nn.Module:
    """The model with weights under which its neurons fire, in evaluation mode."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim:
                weight.normal_(0.2, 0.6, generator=generator).mul_(gain if weight.ndim > 1 else 0.1)
    return model.eval()


def images(samples: int = 5) -> Tensor:
    return torch.rand(samples, 1, 3, 3, generator=torch.Generator().manual_seed(4))


def gradient(network, rule: str, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    with network.using(rule):
        logits = network(x)
    return logits.detach(), torch.autograd.grad(weighed(logits), x)[0]


leaky = partial(snntorch.Leaky, 0.8, init_hidden=True)


class OfOneStep(nn.Sequential):
    """What the tutorials of snnTorch build: the loop stands in the user's script."""

    def __init__(self, last: nn.Module, inputs: int = 9) -> None:
        super().__init__(nn.Flatten(), nn.Linear(inputs, 12), leaky(), nn.Linear(12, CLASSES), last)
        lively(self)


class Looping(nn.Module):
    """The same model with that loop, as users of adapt had to write it."""

    def __init__(self, model: nn.Module, part: int | None) -> None:
        super().__init__()
        self.model, self.part = model, part

    def forward(self, x: Tensor) -> Tensor:
        outputs = [self.model(x) for _ in range(STEPS)]
        return torch.stack([o if self.part is None else o[self.part] for o in outputs]).mean(0)


LAST = {
    "mean": (nn.Identity, None),
    "spikes": (partial(leaky, output=True), 0),
    "potential": (partial(leaky, output=True), 1),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("readout", LAST)
def test_a_model_of_one_step_is_called_once_for_every_step(readout, rule):
    make, part = LAST[readout]
    network = adapt(OfOneStep(make()), steps=STEPS, readout=readout)
    wanted = adapt(Looping(OfOneStep(make()), part), encoder=None)
    looped, expected = (gradient(one, rule, images()) for one in (network, wanted))
    assert torch.equal(looped[0], expected[0])
    torch.testing.assert_close(looped[1], expected[1])
    assert network.time_steps() == wanted.time_steps() == STEPS
    with torch.no_grad():
        assert torch.equal(network(images()), wanted(images()))


def test_a_readout_of_ones_own_is_given_what_every_step_returned():
    given: list[int] = []

    def largest(outputs: list) -> Tensor:
        given.append(len(outputs))
        return torch.stack([potential for _, potential in outputs]).amax(0)

    network = adapt(OfOneStep(leaky(output=True)), steps=STEPS, readout=largest)
    assert gradient(network, "rga", images())[1].any()
    assert set(given) == {STEPS}


@pytest.mark.parametrize(
    ("encoder", "shape"), [(Frames(STEPS), (4, STEPS, 1, 3, 3)), (Poisson(STEPS), (4, 1, 3, 3))]
)
def test_a_model_of_one_step_takes_event_frames_and_poisson_spikes(encoder, shape):
    network = adapt(OfOneStep(nn.Identity()), encoder=encoder)
    assert gradient(network, "rga", torch.rand(shape))[1].any()


@pytest.mark.parametrize("rule", ["rga", "native"])
def test_convolutions_in_single_step_mode_are_looped_over_too(rule):
    layers = (nn.Conv2d(1, 4, 3), sj.LIFNode(), nn.Flatten(), nn.Linear(4, CLASSES))
    network = adapt(lively(nn.Sequential(*layers), 4.0), steps=STEPS)
    assert gradient(network, rule, images())[1].any()


@pytest.mark.parametrize("rule", [None, *RULES])
def test_one_step_is_refused_until_someone_says_that_it_is_meant(rule):
    network = adapt(OfOneStep(nn.Identity()), encoder=None)
    with pytest.raises(ValueError, match=r"^steps: .* computes one of them .*steps=25.*--steps"):
        network(images()) if rule is None else gradient(network, rule, images())
    network = adapt(OfOneStep(nn.Identity()), encoder=None, steps=1)
    assert network(images()).shape == (5, CLASSES)
    assert network.time_steps() == 1
    flat = nn.Sequential(*list(OfOneStep(nn.Identity()))[1:])  # It also takes [1, N, ...].
    assert torch.equal(adapt(flat, steps=1)(images().flatten(1)), network(images()))


class Noisy(nn.Sequential):
    """It draws by torch, always or in training mode alone."""

    def __init__(self, always: bool = True) -> None:
        super().__init__(multi(Leaky()))
        self.always = always

    def forward(self, x: Tensor) -> Tensor:
        draws = self.always or self.training
        return super().forward(x + 0.3 * torch.randn_like(x) if draws else x)


@pytest.mark.parametrize("steps", [2, 4, STEPS])
@pytest.mark.parametrize("flat", [True, False])
def test_a_model_with_a_loop_of_its_own_is_not_given_a_second_one(flat, steps):
    body = OfOneStep(nn.Identity())
    # Linear layers alone would take the time axis of the input for another batch axis.
    body = nn.Sequential(*list(body)[1:]) if flat else body
    network = adapt(Looping(body, None), steps=steps)
    message = r"^model: .*called 6 times whatever the length of its input.*encoder=None\)"
    with pytest.raises(ValueError, match=message):
        network(images().flatten(1) if flat else images())


def test_a_network_that_is_random_in_training_alone_is_none_in_evaluation():
    network = adapt(Noisy(always=False).eval(), steps=4)
    for mode in (False, True, False):
        network.train(mode)
        gradient(network, "rga", images())
        assert network.traits.random == mode


@pytest.mark.parametrize("encoder", [Direct(4), Poisson(4)])
def test_what_verification_draws_leaves_the_random_state_as_it_was(encoder):
    states = []
    for verified in (False, True):
        model = Noisy() if isinstance(encoder, Direct) else multi(Leaky())
        network = adapt(model.eval(), encoder=encoder)
        network.watch.passes = 2  # The second pass of these is compared.
        if verified:
            gradient(network, "stbp", images())
            network.watch.passes = 2
        torch.manual_seed(0)
        logits = [gradient(network, "stbp", images())[0] for _ in range(3)]
        states.append((torch.get_rng_state(), *logits))
    assert all(map(torch.equal, *states))


def test_what_returns_several_things_names_the_readouts():
    network = adapt(OfOneStep(leaky(output=True)), steps=STEPS)
    with pytest.raises(ValueError, match=r"a tuple of 2.*'spikes' or 'potential'"):
        network(images())
    network = adapt(OfOneStep(nn.Identity()), steps=STEPS, readout="spikes")
    with pytest.raises(ValueError, match=r"\(spikes, potential\), got a tensor .*'mean' or 'sum'"):
        network(images())


@pytest.mark.parametrize("rule", ["rga", "native"])
def test_a_sequential_state_of_norse_is_handed_its_states(rule):
    cell = norse.LIFBoxCell(norse.LIFBoxParameters(tau_mem_inv=torch.tensor(300.0)))
    parts = (nn.Flatten(), nn.Linear(9, 12), cell, nn.Linear(12, CLASSES))
    model = lively(norse.SequentialState(*parts), 6.0)
    logits, grad = gradient(adapt(model, steps=STEPS), rule, images())
    states, outputs = None, []
    for _ in range(STEPS):
        output, states = model(images(), states)
        outputs.append(output)
    assert torch.equal(logits, torch.stack(outputs).mean(0).detach())
    assert grad.any()


def test_states_that_nobody_hands_on_are_refused():
    class Forgetful(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return self.cell(super().forward(x.flatten(1)))[0]

    model = Forgetful(9, CLASSES)
    model.cell = norse.LIFBoxCell()
    network = adapt(lively(model), steps=STEPS, gradient="native")
    with pytest.raises(ValueError, match="got cell, which was called without the state of the"):
        network(images())


class Charged(nn.Module):
    """A neuron of QCFS: charged with half its threshold before the first step."""

    def __init__(self, neuron: nn.Module) -> None:
        super().__init__()
        self.neuron, self.first = neuron, True

    def forward(self, x: Tensor) -> Tensor:
        if self.first:
            self.neuron(torch.ones_like(x) * 0.5)
        self.first = False
        return self.neuron(x)


class Converted(nn.Module):
    """A converted network with its loop; its neurons are charged, or start from that potential."""

    def __init__(self, charged: bool) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(9, 12), nn.Linear(12, CLASSES)
        self.fire = Charged(sj.IFNode(v_reset=None)) if charged else HalfFull()

    def forward(self, x: Tensor) -> Tensor:
        self.fire.first = True
        return sum(self.fc2(self.fire(self.fc1(x.flatten(1)))) for _ in range(STEPS)) / STEPS


class HalfFull(nn.Module):
    v: Tensor | float

    def reset(self) -> None:
        self.v = 0.5

    def forward(self, x: Tensor) -> Tensor:
        u = self.v + x
        spikes = Spike.apply(u - 1.0)
        self.v = u - spikes
        return spikes


half_full = Dynamics(1, 1, reset="soft", start=0.5)
register_neuron(HalfFull, dynamics=lambda module: half_full, layout="step")


@pytest.mark.parametrize("rule", ["rga", "stbp", "hart", "static"])
def test_a_charge_before_the_first_step_is_no_step(rule):
    network = adapt(lively(Converted(charged=True)), encoder=None)
    wanted = adapt(lively(Converted(charged=False)), encoder=None)
    with torch.inference_mode():
        network(images())  # The first pass, which finds out the form.
    close(gradient(network, rule, images()), gradient(wanted, rule, images()), 1e-6)
    assert network.traits.preludes == 1


def multi(neuron, gain: float = 2.0, *, last: nn.Module | None = None) -> nn.Sequential:
    ends = () if last is None else (last,)
    layers = nn.Flatten(2), nn.Linear(9, 12), neuron, nn.Linear(12, CLASSES), *ends
    return lively(nn.Sequential(*layers), gain)


class Swapped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(0, 1)


@pytest.mark.parametrize("rule", RULES)
def test_samples_in_the_place_of_time_steps_are_noticed_where_there_are_as_many(rule):
    # [N, T, K] read out by the mean of axis 0, with N = T.
    network = adapt(multi(Leaky(), last=Swapped()), steps=4)
    with pytest.raises(ValueError, match=r"in its batch.*\[N, T, K\].*out\.mean\(1\)"):
        gradient(network, rule, images(4))
    network = adapt(multi(Leaky(), last=Swapped()), steps=4, readout=lambda out: out.mean(1))
    assert gradient(network, rule, images(4))[1].any()


@pytest.mark.parametrize("rule", [*RULES])
def test_a_model_that_mixes_samples_is_refused_under_every_rule(rule):
    class Mixed(nn.Module):
        """A multi-step neuron is given [T * N, ...], as in QKFormer."""

        def __init__(self) -> None:
            super().__init__()
            self.fc1, self.fc2, self.lif = nn.Linear(9, 12), nn.Linear(12, CLASSES), Leaky()

        def forward(self, x: Tensor) -> Tensor:
            return self.fc2(self.lif(self.fc1(x.flatten(2).flatten(0, 1)))).unflatten(0, (4, -1))

    network = adapt(lively(Mixed(), 0.5), steps=4)
    message = "a sample are the same whatever else is in its batch, got one whose logits then"
    with pytest.raises(ValueError, match=message):
        gradient(network, rule, images())
    with torch.no_grad():
        assert network(images()).shape == (5, CLASSES)


@pytest.mark.parametrize("rule", ["rga", "stbp", "hart", "assg", "native"])
def test_a_neuron_that_starts_from_rest_may_stand_at_several_places(rule):
    class Shared(nn.Module):
        def __init__(self, first: nn.Module, second: nn.Module) -> None:
            super().__init__()
            self.fc1, self.fc2, self.fc3 = nn.Linear(9, 9), nn.Linear(9, 9), nn.Linear(9, CLASSES)
            self.first, self.second = first, second

        def forward(self, x: Tensor) -> Tensor:
            return self.fc3(self.second(self.fc2(self.first(self.fc1(x.flatten(2))))))

    lif = Leaky(0.7)
    models = lively(Shared(lif, lif)), lively(Shared(Leaky(0.7), Leaky(0.7)))
    shared, alone = (gradient(adapt(model, steps=STEPS), rule, images()) for model in models)
    close(shared, alone, 0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("own_time", [True, False])
def test_a_model_may_write_into_its_input(own_time, rule):
    class Writing(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            if own_time:
                return super().forward(x.unsqueeze_(0).repeat(4, 1, 1, 1, 1)).mean(0)
            return super().forward(x.mul_(0.5))

    model = Writing(*multi(Leaky())).eval()
    network = adapt(model, encoder=None) if own_time else adapt(model, steps=4)
    x = images()
    before = x.clone()
    with torch.no_grad():
        logits = network(x)
    got, grad = gradient(network, rule, x)
    assert torch.equal(got, logits)
    assert torch.equal(x, before)
    assert grad.any()


class TimeLast(Leaky):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(-1, 0)).movedim(0, -1)


register_neuron(TimeLast, dynamics=lambda m: Dynamics(m.decay, m.threshold), layout="time last")


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
    wanted = gradient(adapt(multi(Leaky()), steps=STEPS), rule, images())
    assert network.sites()[0].name == "lif"
    close(gradient(network, rule, images()), wanted, 1e-6)
    assert network.time_steps() == STEPS


def test_a_time_axis_in_another_place_is_thought_of():
    class Wrong(TimeLast):
        pass

    register_neuron(
        Wrong, dynamics=lambda m: Dynamics(m.decay, m.threshold), layout="samples first"
    )
    with pytest.raises(ValueError, match=r"layout='time last'"):
        gradient(adapt(Last(Wrong()), encoder=None), "rga", images())


@pytest.mark.parametrize("rule", ["rga", "stbp", "bptr", "native"])
def test_a_network_that_draws_by_torch_is_a_random_one(rule):
    network = adapt(Noisy().eval(), steps=4)
    logits = [gradient(network, rule, images())[0] for _ in range(2)]
    assert network.traits.random
    assert not torch.equal(*logits)
    mean = gradient(network, f"eot-{rule}", images())[1]
    assert mean.any()
    quiet = adapt(multi(Leaky()), steps=4)
    gradient(quiet, rule, images())
    assert not quiet.traits.random


def test_a_zero_gradient_under_native_is_not_explained_by_other_rules():
    class Cut(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return (x > 0.5).to(x.dtype)

        @staticmethod
        def backward(ctx, grad):
            return torch.zeros_like(grad)

    class Plain(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(Cut.apply(x.flatten(1)))

    network = adapt(lively(Plain(9, CLASSES)), encoder=None, gradient="native")
    with pytest.raises(ValueError, match=r"gradient at the input is zero for all of 5.*Native"):
        gradient(network, "native", images())


def test_settings_may_be_parameters():
    class Learned(Leaky):
        def __init__(self) -> None:
            super().__init__()
            del self.decay, self.threshold
            self.decay = nn.Parameter(torch.tensor(0.5))
            self.threshold = nn.Parameter(torch.tensor(1.0))

        def forward(self, x: Tensor) -> Tensor:
            v, spikes = torch.zeros_like(x[0]), []
            for current in x:
                u = current + self.decay * v
                spikes.append(Spike.apply(u - self.threshold))
                v = u - u * spikes[-1]
            return torch.stack(spikes)

    register_neuron(Learned, dynamics=lambda m: Dynamics(m.decay, m.threshold))
    network = adapt(multi(Learned(), 0.2), steps=4)
    assert str(network.gradient).startswith("RGA")
    assert network.sites()[0].dynamics.decay == 0.5
    plain = adapt(multi(Leaky(), 0.2), steps=4)
    close(gradient(network, "rga", images()), gradient(plain, "rga", images()), 1e-6)


def test_the_default_rule_is_one_that_applies():
    class Far(Leaky):
        def __init__(self) -> None:
            super().__init__(0.4, 18.0)

    register_neuron(Far, dynamics=lambda m: Dynamics(m.decay, m.threshold))
    model = multi(Far())
    network = adapt(model, steps=4)
    assert str(network.gradient) == "Native()"
    with pytest.raises(ValueError, match=r"neuron '2'.*gamma.*threshold 18"):
        network.gradient = "rga"


class AtThreshold(Leaky):
    """MA-SNN resets the potential to the threshold, and its decay follows."""

    def forward(self, x: Tensor) -> Tensor:
        v, spikes = torch.zeros_like(x[0]), []
        for current in x:
            u = torch.add(current, v, alpha=self.decay)
            spikes.append(Spike.apply(u - self.threshold))
            v = u - u * spikes[-1] + self.threshold * spikes[-1]
        return torch.stack(spikes)


register_neuron(
    AtThreshold, dynamics=lambda m: Dynamics(m.decay, m.threshold, rest=m.threshold, start=0.0)
)


@pytest.mark.parametrize("rule", ["stbp", "hart", "bptr", "assg"])
def test_a_reset_to_the_threshold_is_a_reset(rule):
    network = adapt(multi(AtThreshold(0.3, 0.3)), steps=4)
    assert gradient(network, rule, images())[1].any()
    with pytest.raises(ValueError, match="rate-current curve"):
        network.gradient = "rga"


def test_a_rule_that_loops_refuse_is_not_recommended():
    network = adapt(OfOneStep(nn.Identity()), steps=STEPS)
    with pytest.raises(ValueError, match="The rules that do apply") as caught:
        network.gradient = "cba"
    assert "relu" not in str(caught.value)


class Wrapped(nn.Module):
    """A neuron of one's own around one that is known: it fires as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.neuron = sj.IFNode(v_threshold=2.0, step_mode="m")

    def forward(self, x: Tensor) -> Tensor:
        return self.neuron(2 * x)


register_neuron(Wrapped, dynamics=lambda module: Dynamics(1.0, 2.0, gain=2.0))


@pytest.mark.parametrize("rule", RULES)
def test_a_neuron_inside_of_a_registered_one_is_a_part_of_it(rule):
    network = adapt(multi(Wrapped(), 0.3), steps=4)
    assert [site.name for site in network.sites()] == ["2"]
    wanted = adapt(multi(sj.IFNode(step_mode="m"), 0.3), steps=4)
    logits, grad = gradient(network, rule, images())
    assert torch.equal(logits, gradient(wanted, rule, images())[0])
    if rule == "rga":  # Whose slope does not depend on the unit of the potential.
        torch.testing.assert_close(grad, gradient(wanted, rule, images())[1])
    assert torch.equal(logits, gradient(network, rule, images())[0])
    assert grad.any()


@pytest.mark.parametrize("neuron", [clock_2020.LIFNode, clock_2020.PLIFNode])
@pytest.mark.parametrize("rule", [*RULES, "hart", "static"])
def test_neurons_of_spikingjelly_of_2020_are_known(neuron, rule):
    class Looped(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return sum(super(Looped, self).forward(x) for _ in range(STEPS)) / STEPS

    layers = nn.Flatten(), nn.Linear(9, 12), neuron(), nn.Linear(12, 3)
    network = adapt(lively(Looped(*layers), 1.0), encoder=None)
    dynamics = network.sites()[0].dynamics
    assert (dynamics.decay, dynamics.gain) == pytest.approx((0.5, 0.5))
    logits, grad = gradient(network, rule, images())
    with torch.no_grad():
        assert torch.equal(logits, network(images()))
    assert grad.any()
