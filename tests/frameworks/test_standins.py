"""The stand-ins equal the classes that they stand for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.frameworks.comparing import (
    SHAPE,
    assert_same,
    assert_same_names,
    currents,
    names,
    precisions,
)
from tests.frameworks.loading import cases, load
from tests.standins import clock_driven, norse, sinabs, snntorch, spikingjelly, spikingjelly_old

STANDINS = {
    "spikingjelly": spikingjelly,
    "spikingjelly old": spikingjelly_old,
    "clock_driven": clock_driven,
    "snntorch": snntorch,
    "norse": norse,
    "sinabs": sinabs,
}
modes = pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
Options = dict[str, Any]
Run = Callable[[Any, Tensor], tuple[Tensor, Tensor]]
"""Spikes of all steps, T N *shape, and the last or all potentials."""


@dataclass(frozen=True)
class Family:
    """The neurons of a framework.

    :param neurons: class, options and run of each.
    :param build: of a library, a class and its options.
    :param same: what else is compared of a module, after a run.
    :param gated: classes without a gradient in eval mode."""

    neurons: list[tuple[str, Options, Run]]
    build: Callable[[Any, str, Options], Any] = lambda library, kind, how: getattr(library, kind)(
        **how
    )
    same: Callable[[Any], Any] = lambda module: None
    gated: tuple[str, ...] = ()


def library(name: str) -> Any:
    """For tests of what stand-in and class have in common, of both."""
    both = cases(name, lambda real: [pytest.param(real, id="real")])
    return pytest.mark.parametrize("library", [pytest.param(STANDINS[name], id="standin"), *both])


def in_steps(call: Callable[[Any], tuple[Tensor, Tensor]], x: Tensor) -> tuple[Tensor, Tensor]:
    spikes, potentials = zip(*map(call, x), strict=True)
    return torch.stack(spikes), torch.stack(potentials)


# SpikingJelly


def step_by_step(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    module.reset()
    if hasattr(module, "step_mode"):
        module.step_mode = "s"
    return in_steps(lambda now: (module(now), module.v), x)


def at_once(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """In two calls, between which the state is kept."""
    module.reset()
    if hasattr(module, "step_mode"):
        module.step_mode = "m"
    return torch.cat([module(x[:3]), module(x[3:])]), module.v


def memories(module: Any) -> Any:
    module.reset()
    return list(module._memories), module._memories


def node(library: Any, kind: str, options: Options) -> Any:
    if "surrogate_function" not in options:
        return getattr(library, kind)(**options)
    home = library
    if library is not spikingjelly:
        (home,) = load("spikingjelly", "2.", "spikingjelly.activation_based.surrogate")
    surrogate = home.PiecewiseQuadratic(options["surrogate_function"])
    return getattr(library, kind)(surrogate_function=surrogate)


RESETS: list[Options] = [
    {},
    {"v_reset": None},
    {"v_reset": -0.25},
    {"v_threshold": 0.3},
    {"v_threshold": 0.75, "detach_reset": True},
]
STORED: Options = {"v_reset": None, "detach_reset": True, "store_v_seq": True}


def nodes(resets: list[Options]) -> list[tuple[str, Options]]:
    leaky = [{"decay_input": decay, **reset} for decay in (True, False) for reset in resets]
    return [
        *(("IFNode", reset) for reset in resets),
        *(("LIFNode", {"tau": tau, **how}) for tau in (2.0, 1.7) for how in leaky),
        *(("ParametricLIFNode", {"init_tau": tau, **how}) for tau in (2.0, 1.7) for how in leaky),
    ]


SURROGATES = [("LIFNode", {"surrogate_function": alpha}) for alpha in (1.0, 2.5)]
NEW = [*nodes([*RESETS, STORED]), ("QIFNode", {}), *SURROGATES]

# snnTorch

VECTOR = torch.tensor([0.2, 0.5, 0.8, 0.99])
LEAKY: list[Options] = [
    {},
    {"threshold": 0.3},
    {"threshold": 0.75, "learn_threshold": True, "learn_beta": True},
    {"beta": VECTOR},
    {"beta": VECTOR, "learn_beta": True},
    {"beta": 1.3},
    {"graded_spikes_factor": 2.0},
]
SNNTORCH = [
    ("Synaptic", {"alpha": 0.5, "beta": 0.8}),
    ("RLeaky", {"beta": 0.8, "V": -0.3, "all_to_all": False}),
    *(
        ("Leaky", {"beta": 0.9, "reset_mechanism": reset, "reset_delay": delay} | options)
        for reset in ("subtract", "zero", "none")
        for delay in (True, False)
        for options in LEAKY
    ),
]


def handed(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """The states go from call to call, as snnTorch's tutorials write it."""
    states = module.reset_mem()
    states = states if isinstance(states, tuple) else (states,)

    def call(now: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal states
        spikes, *states = module(now, *states)
        assert spikes.dtype == torch.float32
        return spikes, states[-1]

    return in_steps(call, x)


def hidden(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """The module keeps its states and returns spikes alone."""
    module.init_hidden = True
    module.reset_mem()
    return in_steps(lambda now: (module(now), module.mem), x)


def tensors(module: Any) -> Any:
    named = (module.named_parameters(), module.named_buffers())
    return [{name for name, _ in part} for part in named]


# Norse

BOX: Options = {"tau_mem_inv": 500.0}
LEAK: Options = {"tau_mem_inv": 700.0, "v_leak": 0.1}
NORSE = [
    ("LIFBox", BOX),
    ("LIFBox", BOX | {"v_th": 0.3, "v_reset": -0.25}),
    ("LIFBox", LEAK | {"v_th": 0.75}),
    ("LIFBox", LEAK | {"reset_method": "reset_subtract"}),
    ("IAF", {}),
    ("IAF", {"v_th": 0.3, "v_reset": -0.25}),
    ("LIF", BOX),
]


def cell(library: Any, kind: str, options: Options) -> Any:
    fields = {
        name: getattr(library, value) if isinstance(value, str) else torch.as_tensor(value)
        for name, value in options.items()
    }
    return getattr(library, f"{kind}Cell")(getattr(library, f"{kind}Parameters")(**fields))


def stated(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    state = None

    def call(now: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal state
        spikes, state = module(now, state)
        return spikes, state.v

    return in_steps(call, x)


def named(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def of_cell(module: Any) -> Any:
    assert all(hasattr(module, name) for name in ("dt", "state_fallback", "activation_sparse"))
    return named(module.activation), named(type(module.p))


# sinabs

# Spike and reset functions by their names, which both libraries share.
SINGLE: Options = {"spike_fn": "SingleSpike"}
SPIKES: list[Options] = [
    {},
    SINGLE,
    SINGLE | {"spike_threshold": 0.3},
    SINGLE | {"reset_fn": ("MembraneReset", 0.0)},
    SINGLE | {"reset_fn": ("MembraneReset", -0.25)},
    SINGLE | {"reset_fn": ("MembraneSubtract", 0.75)},
    {"spike_fn": "MultiSpike", "min_v_mem": -0.3, "record_states": True},
]
DECAYS: list[Options] = [
    {"tau_mem": 5.0, "norm_input": False},
    {"tau_mem": 1.5},
    {"tau_mem": 3.0, "norm_input": False, "train_alphas": True},
    {"tau_mem": torch.tensor([1.5, 2.0, 3.0, 9.0]), "norm_input": False},
    {"tau_mem": 3.0, "tau_syn": 2.0, "norm_input": False},
]
SINABS = [
    *(("LIF", decay | spikes) for decay in DECAYS for spikes in SPIKES),
    *((kind, spikes) for kind in ("IAF", "IAFSqueeze") for spikes in SPIKES),
    ("LIFSqueeze", {"tau_mem": 3.0, "norm_input": False}),
]


def stateful(library: Any, kind: str, options: Options) -> Any:
    options = dict(options)
    if "spike_fn" in options:
        options["spike_fn"] = getattr(library, options["spike_fn"])
    if "reset_fn" in options:
        reset, value = options["reset_fn"]
        options["reset_fn"] = getattr(library, reset)(value)
    if "spike_threshold" in options:
        options["spike_threshold"] = torch.tensor(options["spike_threshold"])
    if kind.endswith("Squeeze"):
        options["batch_size"] = SHAPE[1]
    return getattr(library, kind)(**options)


def in_two_calls(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Between which the state is kept; time is the first axis of x."""
    module.reset_states()
    outputs = []
    for part in (x[:3], x[3:]):
        samples = part.transpose(0, 1)
        if hasattr(module, "num_timesteps"):
            out = module(samples.flatten(0, 1)).unflatten(0, samples.shape[:2])
        else:
            out = module(samples)
        outputs.append(out.transpose(0, 1))
    return torch.cat(outputs), module.v_mem


def of_layer(module: Any) -> Any:
    classes = (module.spike_fn, type(module.reset_fn), type(module.surrogate_grad_fn))
    recorded = module.recordings["v_mem"].tolist() if module.record_states else None
    return tensors(module), list(map(named, classes)), recorded


def each(neurons: list[tuple[str, Options]], *runs: Run) -> list[tuple[str, Options, Run]]:
    return [(*neuron, run) for neuron in neurons for run in runs]


OLD, MULTI = nodes(RESETS), [(f"MultiStep{kind}", how) for kind, how in nodes(RESETS)]
FAMILIES = {
    "spikingjelly": Family(each(NEW, step_by_step, at_once), node, memories),
    "spikingjelly old": Family(
        each(OLD, step_by_step, at_once), same=memories, gated=("IFNode", "LIFNode")
    ),
    "clock_driven": Family([*each(OLD, step_by_step), *each(MULTI, at_once)], same=memories),
    "snntorch": Family(each(SNNTORCH, handed, hidden), same=tensors),
    "norse": Family(each(NORSE, stated), cell, of_cell),
    "sinabs": Family(each(SINABS, in_two_calls), stateful, of_layer),
}


def neurons(name: str) -> list[Any]:
    def rows(real: Any) -> list[Any]:
        return [
            pytest.param((name, real, *neuron), id=f"{name} {neuron[0]} {neuron[1]}")
            for neuron in FAMILIES[name].neurons
        ]

    return cases(name, rows)


@modes
@pytest.mark.parametrize("exact", [False, True], ids=["random", "eighths"])
@precisions
@pytest.mark.parametrize("neuron", [row for name in FAMILIES for row in neurons(name)])
def test_neurons_are_the_same(neuron: Any, dtype: Any, exact: bool, training: bool) -> None:
    name, real, kind, options, run = neuron
    family = FAMILIES[name]
    pair = (family.build(library, kind, options) for library in (STANDINS[name], real))
    ours, theirs = (module.to(dtype).train(training) for module in pair)
    result = assert_same(ours, theirs, run, dtype, exact=exact)
    assert (result.gradient is None) == (kind in family.gated and not training)
    assert family.same(ours) == family.same(theirs)


# What else they have in common.


@library("spikingjelly")
def test_an_overridden_single_step_does_not_change_the_multi_step(library: Any) -> None:
    class Silent(library.LIFNode):
        def single_step_functional_forward(self, inputs: Any, states: Any, **kwargs: Any) -> Any:
            return (torch.zeros_like(inputs[0]),), states

    x = 3 * torch.rand(4, 2, 3)
    assert Silent(step_mode="s")(x[0]).sum() == 0
    assert Silent(step_mode="m")(x).sum() > 0


@library("spikingjelly")
def test_another_batch_size_starts_afresh(library: Any) -> None:
    module = library.LIFNode(step_mode="m")
    module(torch.rand(4, 2, 3))
    x = torch.rand(4, 5, 3)
    assert torch.equal(module(x), library.LIFNode(step_mode="m")(x))


@library("spikingjelly")
def test_step_modes_are_set_and_states_reset_as_there(library: Any) -> None:
    inner = library.Conv2d(1, 1, 1)
    net = nn.Sequential(library.SeqToANNContainer(inner, nn.ReLU()), library.IFNode())
    library.set_step_mode(net, "m")
    assert (inner.step_mode, net[1].step_mode) == ("s", "m")
    net(torch.rand(3, 2, 1, 4, 4))
    library.reset_net(net)
    assert net[1].v == 0.0


@library("spikingjelly old")
def test_train_and_eval_mode_round_differently(library: Any) -> None:
    x = torch.randn(16, 4096, generator=torch.Generator().manual_seed(5)) + 0.3
    neurons = (library.LIFNode(tau=1.7, decay_input=False).train(mode) for mode in (True, False))
    assert not torch.equal(*(step_by_step(neuron, x)[1] for neuron in neurons))


def stored(name: str, kind: str, **options: Any) -> list[Any]:
    return cases(
        name, lambda real: [[getattr(lib, kind)(**options) for lib in (STANDINS[name], real)]]
    )


@pytest.mark.parametrize(
    "pair",
    [
        *stored("spikingjelly", "LIFNode", step_mode="m", store_v_seq=True),
        *stored("clock_driven", "MultiStepLIFNode", tau=1.7),
    ],
)
def test_potentials_of_all_steps_are_the_same(pair: Any) -> None:
    x = currents(torch.float64, exact=False)
    assert torch.equal(*(module(x) for module in pair))
    assert torch.equal(*(module.v_seq for module in pair))


LAYERS: list[tuple[str, tuple[int | float, ...], dict[str, Any]]] = [
    ("Conv2d", (3, 2, 3), {"padding": 1, "bias": False}),
    ("BatchNorm2d", (3,), {}),
    ("MaxPool2d", (2,), {}),
    ("AvgPool2d", (2,), {}),
    ("Flatten", (), {}),
    ("Linear", (4, 5), {}),
    ("Dropout", (0.5,), {}),
]
IN_BOTH = ("Conv2d", "BatchNorm2d", "MaxPool2d", "Linear")


def layer_pairs(name: str) -> list[Any]:
    kinds = [layer for layer in LAYERS if name == "spikingjelly" or layer[0] in IN_BOTH]
    return cases(name, lambda real: [(STANDINS[name], real, *layer) for layer in kinds])


@modes
@pytest.mark.parametrize("step_mode", ["s", "m"])
@pytest.mark.parametrize("case", [*layer_pairs("spikingjelly"), *layer_pairs("spikingjelly old")])
def test_layers_are_the_same(case: Any, step_mode: str, training: bool) -> None:
    *pair, kind, args, options = case
    made = (getattr(lib, kind)(*args, **options, step_mode=step_mode) for lib in pair)
    ours, theirs = (layer.train(training) for layer in made)
    theirs.load_state_dict(ours.state_dict())
    assert_same_names(ours, theirs)
    x = torch.rand(6, 2, 3, 4, 4) if step_mode == "m" else torch.rand(2, 3, 4, 4)
    outputs = []
    for layer in (ours, theirs):
        torch.manual_seed(2)
        outputs.append(layer(x))
    assert torch.equal(*outputs)


def test_other_names_of_spikingjelly_are_the_same() -> None:
    root = "spikingjelly.activation_based"
    base, surrogate, layer = load(
        "spikingjelly", "2.", *(f"{root}.{name}" for name in ("base", "surrogate", "layer"))
    )
    for kind, home, args in (
        ("MemoryModule", base, ()),
        ("Sigmoid", surrogate, ()),
        ("PiecewiseQuadratic", surrogate, ()),
        ("SeqToANNContainer", layer, (nn.Linear(3, 2),)),
    ):
        ours, theirs = (getattr(lib, kind)(*args) for lib in (spikingjelly, home))
        assert names(ours)[0] == names(theirs)[0]


@library("snntorch")
def test_states_outlive_a_call(library: Any) -> None:
    module, x = library.Leaky(beta=0.9), torch.full((2, 3), 0.6)
    first, _ = module(x)
    second, _ = module(x)
    assert (first.sum(), second.sum()) == (0, 6)
    assert module(torch.full((5, 3), 0.6))[0].sum() == 0


@library("snntorch")
def test_a_reset_mechanism_set_later_changes_no_equation(library: Any) -> None:
    module = library.Leaky(beta=0.9)
    module.reset_mechanism = "zero"
    assert module.state_function.__name__ == "_base_sub"


@library("snntorch")
def test_the_reset_of_all_reaches_other_networks(library: Any) -> None:
    module, other = library.Leaky(beta=0.9), library.Leaky(beta=0.9)
    other(torch.rand(2, 3))
    type(module).reset_hidden()
    assert other.mem.sum() == 0


def test_inhibition_is_the_same() -> None:
    (real,) = load("snntorch", "1.", "snntorch")
    x = 2 * torch.rand(6, 5, 4)
    with pytest.warns(UserWarning, match="unstable"):
        theirs = real.Leaky(beta=0.9, inhibition=True)
    ours = snntorch.Leaky(beta=0.9, inhibition=True)
    assert torch.equal(handed(ours, x)[0], handed(theirs, x)[0])


@library("norse")
def test_a_sequence_of_cells_makes_one_step(library: Any) -> None:
    net = library.SequentialState(
        nn.Flatten(), nn.Linear(12, 8), library.LIFBoxCell(), nn.Linear(8, 3), library.IAFCell()
    )
    assert list(net.stateful_layers) == [False, False, True, False, True]
    out, state = net(torch.rand(2, 3, 4))
    assert out.shape == (2, 3)
    assert [s is not None for s in state] == list(net.stateful_layers)
    before = list(state)
    _, again = net(torch.rand(2, 3, 4), state)
    # The list is changed in place.
    assert again is state
    assert state[2] is not before[2]


@library("norse")
def test_the_reset_of_an_iaf_cell_comes_to_require_a_gradient(library: Any) -> None:
    module = cell(library, "IAF", {"v_reset": 0.0})
    module(torch.rand(2, 3))
    assert module.p.v_reset.requires_grad


@library("sinabs")
def test_another_batch_size_draws_states_from_the_last(library: Any) -> None:
    module = library.IAF()
    module(torch.full((2, 1, 3), 0.5))
    module(torch.zeros(5, 1, 3))
    assert torch.equal(module.v_mem, torch.full((5, 3), 0.5))


@library("sinabs")
def test_copies_lose_hooks_and_mode(library: Any) -> None:
    module = library.IAFSqueeze(batch_size=2).eval()
    module(torch.rand(4, 3))
    module.register_forward_hook(lambda *_: None)
    twin = copy.deepcopy(module)
    assert twin.training
    assert not twin._forward_hooks
    assert twin.batch_size == 2
    assert torch.equal(twin.v_mem, module.v_mem)
    assert twin.spike_threshold is not module.spike_threshold
