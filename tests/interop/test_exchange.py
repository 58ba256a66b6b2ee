"""Where the equations of known neurons cannot be used, temporal rules exchange slopes, and say so.

Slopes of these neurons are those of STBP, so that the native gradient is the one to expect."""

from __future__ import annotations

import copy
import warnings
from functools import partial

import pytest
import torch
from torch import nn

from art_snn.gradients import choose_rule
from art_snn.interop import adapt, register_neuron
from tests.interop.neurons import Merged, Step, Steps, dynamics
from tests.interop.promises import ALL_STEPS, OWN_TIME, answer, close, gradient, inputs
from tests.interop.stacks import STEPS, Loop, OwnMerged, Stack, StateLoop
from tests.interop.test_neuron_state import ReadLoop, ReadStack
from tests.interop.test_refusals import (
    ALONE,
    BEFORE,
    TALL,
    Blind,
    ByFunction,
    Counting,
    Delayed,
    Double,
    Hidden,
    HiddenLoop,
    Idle,
    Late,
    Longer,
    Otherwise,
    Outside,
    Recurrent,
    Twice,
    Uneven,
    Weighing,
)


class Started(Stack):
    """Its neurons are given a potential to start from."""

    def fire(self, neuron, current):
        return neuron(current, torch.full_like(current[0], 0.9))


class Startable(Steps):
    def forward(self, x, v0=None):
        return super().forward(x)


class Set(Loop):
    """It sets the potential of a neuron from outside, once time has begun."""

    def layers(self, x):
        output = super().layers(x)
        self.neuron1.v = 0.5 * self.neuron1.v
        return output


class ByFunctions(Stack):
    """It calls no module of its neurons."""

    def fire(self, neuron, current):
        return type(neuron).forward(neuron, current)


class Precharged(Loop):
    """Its neurons are called before the first step, with currents of their own."""

    def forward(self, x):
        for neuron, width in ((self.neuron1, 12), (self.neuron2, 8)):
            neuron(torch.linspace(0, 0.8, width, dtype=torch.float64).expand(len(x), width))
        return super().forward(x)


class LongerLoop(Loop):
    """Its second neurons take two steps more than the first, as delays may have it."""

    def forward(self, x):
        first = [self.fc2(self.neuron1(self.fc1(x.flatten(1)))) for _ in range(STEPS)]
        later = [0 * first[0], *first, 0 * first[0]]
        return torch.stack([self.fc3(self.neuron2(current)) for current in later])[-STEPS:]


register_neuron(Startable, dynamics=dynamics)
FIRED = "all fire 4 times, got neuron{}, which fired {} times where 4 were expected"
# A model, and what is seen of it.
EXCHANGED = {
    "two places of a loop": (partial(Twice, Step), FIRED.format(1, 8)),
    "delays": (partial(Delayed, Steps), FIRED.format(2, 6)),
    "delays in a loop": (partial(LongerLoop, Step), FIRED.format(2, 6)),
    "more steps": (partial(Longer, Steps), FIRED.format(1, 8)),
    "uneven": (partial(Uneven, Step), FIRED.format(1, 5)),
    "weights inside": (Weighing, r"neuron1, which takes \(5, 9\) and returns \(5, 12\)"),
    "recurrent": (partial(Recurrent, Step), "neuron1, which reads what neuron2 gave"),
    "height": (partial(Stack, TALL), r"0 or 1\.5, got neuron1, which gave 1"),
    "returns": (partial(StateLoop, ALONE), "neuron1, which returns something else"),
    "given more": (partial(Started, Startable), "neuron1, which is given more than that"),
    "set from outside": (partial(Set, Step), "neuron1, of whose spikes .* differ"),
    "functions": (partial(ByFunctions, Steps), "neuron1, neuron2, of which none was called"),
    "state": (partial(ReadStack, "trace"), "got trace of neuron3"),
    "state in a loop": (partial(ReadLoop, "trace"), "got trace of neuron3"),
    "state in a list": (partial(ReadStack, "past"), "got past of neuron3"),
    "charged": (partial(Precharged, Step), "neuron1, which is called before it"),
}
OWN = (Loop, ReadStack, OwnMerged)


def adapt_as_it_is(make, **options):
    torch.manual_seed(0)
    model = make()
    form = OWN_TIME if isinstance(model, OWN) else ALL_STEPS
    if isinstance(model, ReadStack):
        form = {"encoder": None}
    return adapt(model, **form, **options)


def said(call):
    """What a call warns about, and what it gives."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        given = call()
    return [str(one.message) for one in seen], given


@pytest.mark.parametrize("name", EXCHANGED)
def test_slopes_are_exchanged_where_equations_cannot_be_used_and_that_is_said_once(name):
    make, seen = EXCHANGED[name]
    network = adapt_as_it_is(make)
    words, found = said(lambda: gradient(network, "stbp", inputs()))
    assert len(words) == 1
    with pytest.raises(ValueError, match=f"no equations of neurons can be used: .*{seen}"):
        raise ValueError(words[0])
    assert "Rate rules, such as RGA, and bounds need the equations" in words[0]
    assert "neurons.Spike: " in words[0]

    native = adapt_as_it_is(make, gradient="native")
    close(found, gradient(native, "native", inputs()), 1e-9)
    for rule in (None, "native", "pdsg"):  # Warnings are errors.
        assert torch.equal(answer(network, rule, inputs()), found[0])


QUIET = pytest.mark.filterwarnings("ignore:no equations of neurons can be used")


@QUIET
@pytest.mark.parametrize("name", EXCHANGED)
def test_rate_rules_are_refused_with_what_was_seen_whichever_rule_comes_first(name):
    make, seen = EXCHANGED[name]
    network = adapt_as_it_is(make, gradient="rga")
    for rule in ("rga", "hart", "mean(rga, stbp)"):
        with pytest.raises(ValueError, match=rf"^model: .*{seen}.*equations=False"):
            gradient(network, rule, inputs())
    twin = network.with_gradient("stbp")
    assert gradient(twin, "eot(stbp)", inputs())[1].any()
    for one in (network, twin):
        assert str(choose_rule(one)).startswith("STBP")
        for rule in ("rga", "eot(bptr)", "mean(rga, stbp)", "cba"):
            with pytest.raises(ValueError, match=rf"neuron .*{seen}.*do apply: 'stbp'"):
                one.gradient = rule
        assert one.body.bounds_objection() is not None
        assert "no equations of neurons can be used" in one.body.notes()["equations"]
    with pytest.raises(ValueError, match=rf"^gradient: .*{seen}"):
        gradient(network, network.gradient, inputs())


@QUIET
def test_a_copy_of_a_network_that_exchanges_does_so():
    network = adapt(Delayed(Steps), steps=STEPS)
    found = gradient(network, "stbp", inputs())
    other = copy.deepcopy(network)
    close(gradient(other, "stbp", inputs()), found)
    with pytest.raises(ValueError, match="neuron2, which fired 6 times"):
        other.gradient = "rga"


@pytest.mark.parametrize("rule", ["stbp", "rga", "mean(rga, stbp)"])
@pytest.mark.parametrize("make", [partial(Stack, Steps), partial(Loop, Step)])
def test_a_network_on_which_nothing_is_wrong_keeps_its_equations(make, rule):
    network = adapt_as_it_is(make)
    words, _ = said(lambda: gradient(network, rule, inputs()))
    assert words == []
    assert "equations" not in network.body.notes()
    assert gradient(network, "rga", inputs())[1].any()


@QUIET
def test_slopes_are_exchanged_while_batch_norm_is_trained_and_its_statistics_count_one_pass():
    class Normed(Delayed):
        def __init__(self):
            super().__init__(Steps)
            self.norm = nn.BatchNorm1d(9, dtype=torch.float64)

        def layers(self, x):
            return super().layers(self.norm(x.flatten(0, 1)).unflatten(0, x.shape[:2]))

    network = adapt(Normed(), steps=STEPS, training_gradient="stbp").train()
    before = copy.deepcopy(network.layers.norm.state_dict())
    with pytest.warns(UserWarning, match="neuron2, which fired 6 times"):
        logits = network(inputs())
    after = network.layers.norm.state_dict()
    assert after["num_batches_tracked"] - before["num_batches_tracked"] == 1
    logits.square().sum().backward()
    assert network.layers.fc1.weight.grad.any()


class Mixing(Stack):
    """Its logits are those of a sample less half the mean over its batch."""

    def forward(self, x):
        logits = super().forward(x)
        return logits - 0.5 * logits.mean(1, keepdim=True)


class SamplesAsSteps(Stack):
    """Its second neurons, which forget at once, take the rows of all samples for time steps."""

    def __init__(self):
        super().__init__(Steps)
        self.neuron2 = Steps(0.0)

    def fire(self, neuron, current):
        rows = current.flatten(0, 1)[:, None] if neuron is self.neuron2 else current
        return neuron(rows).reshape(current.shape)


class Cut(Stack):
    """Something cuts the gradient at its input."""

    def __init__(self, cut):
        super().__init__(Steps)
        self.cut = cut

    def forward(self, x):
        return super().forward(self.cut(x))


EXCHANGE, ALONE_IN_BATCH, NATIVE = "equations=False", "batch_size=1", "rule 'native'"
FUNCTION, KEEPS, DARK = "Leap in its graph", "keeps a state", "neuron1, .*without a graph"
POTENTIALS = "neuron1, .*not those before reset"
DOUBLE = r"neuron1, which gave 2\. .*amplitude=.*max_spikes="
DIFFER = "neuron1, .* spikes .*differ.* at step 1"
OUTSIDER = r"a tensor \[12\] that is none of its para"
IDLE = "neuron1, neuron2, .* none was called"
BATCH = "whatever else is in its batch"
CUT = "is (none|zero) for all of 5.*cuts it"
# A model, a rule that it is refused under, what is seen of it, and the remedies in this order.
REFUSED = {
    **{name: (make, "rga", seen, [EXCHANGE, NATIVE]) for name, (make, seen) in EXCHANGED.items()},
    "two places": (partial(Twice, Step), "rga", "neuron1.*fired 8 .* 2 places", [EXCHANGE, NATIVE]),
    "one function": (partial(ByFunction, Steps), "rga", "neuron1 was not called", [NATIVE]),
    "steps": (partial(OwnMerged, Merged), "rga", "^steps: ", []),
    "height of a comparison": (partial(Stack, Double, 3.0), "rga", DOUBLE, [EXCHANGE]),
    "spikes of a comparison": (partial(Stack, Late, 2.0), "rga", DIFFER, [EXCHANGE]),
    "potentials": (partial(StateLoop, BEFORE), "rga", POTENTIALS, [EXCHANGE, NATIVE]),
    "potentials, STBP": (partial(StateLoop, BEFORE), "stbp", POTENTIALS, [EXCHANGE, NATIVE]),
    "outsider": (partial(Outside, Step), "rga", OUTSIDER, [EXCHANGE, NATIVE]),
    "outsider, STBP": (partial(Outside, Step), "stbp", OUTSIDER, [EXCHANGE, NATIVE]),
    "rows": (SamplesAsSteps, "rga", "neuron2, which fired 20", [EXCHANGE, ALONE_IN_BATCH, NATIVE]),
    "mixed samples": (partial(Mixing, Steps), "rga", BATCH, [ALONE_IN_BATCH]),
    "mixed samples, native": (partial(Mixing, Steps), "native", BATCH, [ALONE_IN_BATCH]),
    "not called": (partial(Idle, Steps), "rga", IDLE, [NATIVE]),
    "not called, STBP": (partial(Idle, Steps), "stbp", IDLE, [NATIVE]),
    "no spikes": (partial(Stack, nn.Sigmoid), "stbp", "expected", [NATIVE]),
    "function": (partial(Hidden, Steps), "rga", FUNCTION, [NATIVE]),
    "function of a loop": (partial(HiddenLoop, Step), "rga", FUNCTION, [NATIVE]),
    "training mode": (partial(Stack, Otherwise), "native", "logits then differ", []),
    "kept state": (partial(Counting, Steps), "rga", KEEPS, []),
    "kept state, STBP": (partial(Counting, Steps), "stbp", KEEPS, []),
    "kept state, native": (partial(Counting, Steps), "native", KEEPS, []),
    "no_grad": (partial(Blind, Steps), "rga", DARK, []),
    "no_grad, STBP": (partial(Blind, Steps), "stbp", DARK, []),
    "round": (partial(Cut, torch.round), "stbp", CUT, []),
    "round, native": (partial(Cut, torch.round), "native", CUT, []),
    "detach": (partial(Cut, torch.Tensor.detach), "rga", CUT, []),
    "detach, native": (partial(Cut, torch.Tensor.detach), "native", "is none for all of 5", []),
    "data": (partial(Cut, lambda x: x.data), "stbp", CUT, []),
    "numpy": (partial(Cut, lambda x: torch.as_tensor(x.detach().numpy())), "stbp", CUT, []),
}


@QUIET
@pytest.mark.filterwarnings("ignore:the rule knows no equations")
@pytest.mark.parametrize("name", REFUSED)
def test_refusals_name_the_remedies_that_apply_in_one_order_and_these_do(name):
    make, rule, seen, remedies = REFUSED[name]
    network = adapt_as_it_is(make, gradient="native")
    with pytest.raises(ValueError, match=seen) as caught:
        gradient(network, rule, inputs())
    message = str(caught.value)
    places = {message.find(one): one for one in (EXCHANGE, ALONE_IN_BATCH, NATIVE)}
    assert [places[at] for at in sorted(places) if at >= 0] == remedies
    assert "equations" not in network.body.notes()
    assert not any("forward" in vars(module) for module in network.layers.modules())
    if EXCHANGE in remedies:
        exchanging = adapt_as_it_is(make, equations=False)
        assert gradient(exchanging, "stbp", inputs())[1].any()
    if ALONE_IN_BATCH in remedies:
        assert answer(adapt_as_it_is(make), rule, inputs(1)).shape == (1, 3)
    if NATIVE in remedies:
        assert gradient(network, "native", inputs())[1].any()
