"""Recorded pairs: against a naive loop that keeps everything, and what recording leaves behind."""

from __future__ import annotations

import gc
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import IF, LIF, Direct, Frames, Poisson, SpikingNetwork, TimeDistributed
from art_snn.curves import Pairs, find_layer, record
from art_snn.dynamics import Dynamics
from tests.architectures import Switch, chain, repeated, residual
from tests.conftest import varied
from tests.oracles import NaiveNeuron, Steps, encode, stbp_neuron, walk

SAMPLES = 9


def network(layers: Any = residual, encoder: Any = None, **neuron: Any) -> SpikingNetwork:
    built = SpikingNetwork(layers(lambda: LIF(**neuron)), encoder or Direct(4))
    with torch.no_grad():
        for module in built.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.fill_(1.5)
                module.bias.fill_(0.4)
    return built.eval()


def images(samples: int = SAMPLES) -> np.ndarray:
    return np.random.default_rng(varied()).random((samples, 2, 6, 6), dtype=np.float32)


def kept_by_hand(net: SpikingNetwork, x: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean current and mean rate [N, neurons] of every call of a neuron, in double precision."""
    calls: list[tuple[np.ndarray, np.ndarray]] = []

    def neuron(dynamics: Dynamics, currents: Steps) -> Steps:
        fired = stbp_neuron(dynamics, currents)
        means = (torch.stack(steps).mean(0).flatten(1) for steps in (currents, fired))
        current, rate = (mean.detach().numpy() for mean in means)
        calls.append((current, rate))
        return fired

    kind: NaiveNeuron = neuron
    walk(net.layers, encode(net.encoder, torch.tensor(x).double(), torch.float64), kind, [])
    return calls


def equal(first: Pairs, second: Pairs) -> bool:
    names = ("sample", "neuron", "current", "rate")
    return all(np.array_equal(getattr(first, n), getattr(second, n)) for n in names)


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("layer", [0, 1, 2, 3])
def test_all_pairs_are_those_of_a_naive_loop(layer, decay, reset):
    net = network(decay=decay, reset=reset).double()
    got = record(net, images(), layer, pairs=10**6, batch_size=4)
    current, rate = kept_by_hand(net, images())[layer]
    assert got.places == len(got.rate) == current.size
    assert got.current.reshape(current.shape) == pytest.approx(current, rel=1e-9, abs=1e-12)
    assert (got.rate.reshape(rate.shape) == rate).all()
    assert 0 < rate.mean() < 1
    indices = np.arange(current.size)
    assert (got.sample * current.shape[1] + got.neuron == indices).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precisions_give_the_same_up_to_rounding(dtype):
    torch.manual_seed(0)
    got = record(network().to(dtype), images(), 0, pairs=10**6)
    assert got.current.dtype == got.rate.dtype == np.float64
    torch.manual_seed(0)
    exact = record(network().double(), images(), 0, pairs=10**6)
    assert np.abs(got.current - exact.current).max() < 20 * torch.finfo(dtype).eps
    assert set((4 * got.rate).tolist()) <= {0, 1, 2, 3, 4}


def test_the_drawn_pairs_are_different_places_and_hold_what_all_pairs_hold_there():
    net = network()
    whole, some = record(net, images(), pairs=10**6), record(net, images(), pairs=200)
    places = some.sample * (whole.places // SAMPLES) + some.neuron
    assert len(set(places.tolist())) == 200
    assert some.places == whole.places
    assert (np.diff(places) > 0).all()
    assert some.current == pytest.approx(whole.current[places], rel=1e-6)
    assert (some.rate == whole.rate[places]).all()


@pytest.mark.parametrize("encoder", [Direct(4), Frames(4)], ids=str)
def test_the_pairs_do_not_depend_on_the_batch_size(encoder):
    x = images() if isinstance(encoder, Direct) else np.repeat(images()[:, None], 4, axis=1)
    # In double precision, since the batch decides in which order a matrix product is summed.
    net = network(encoder=encoder).double()
    first = record(net, x, pairs=50, batch_size=1)
    for batch_size in (2, 4, 5, 100):
        other = record(net, x, pairs=50, batch_size=batch_size)
        assert (other.sample == first.sample).all()
        assert (other.neuron == first.neuron).all()
        assert (other.rate == first.rate).all()
        assert other.current == pytest.approx(first.current, rel=1e-9)


def test_the_seed_decides_which_places_are_drawn():
    net = network()
    first = record(net, images(), pairs=50, seed=3)
    # In evaluation mode, whatever the network is in.
    assert equal(record(net.train(), images(), pairs=50, seed=3), first)
    assert not equal(record(net, images(), pairs=50, seed=4), first)


def test_every_place_is_drawn_equally_often():
    net = network(chain)
    draws = 160
    counts = np.zeros((4, 8))
    for seed in range(draws):
        got = record(net, images(4), pairs=8, seed=seed)
        np.add.at(counts, (got.sample, got.neuron), 1)
    # 40 expected at each of 32 places, with a standard deviation of about 5.5.
    assert counts.sum() == 8 * draws
    assert (np.abs(counts - 40) < 22).all()


def test_a_poisson_encoder_draws_from_the_seed():
    net = network(encoder=Poisson(4))
    first = record(net, images(), pairs=300, seed=1)
    torch.manual_seed(77)
    assert equal(record(net, images(), pairs=300, seed=1), first)


def test_of_a_layer_that_is_called_twice_the_first_call_is_recorded():
    net = network(repeated).double()
    first, second = kept_by_hand(net, images())
    got = record(net, images(), 0, pairs=10**6)
    assert got.current.reshape(first[0].shape) == pytest.approx(first[0], rel=1e-9)
    assert got.places == first[0].size
    assert not np.allclose(first[0].mean(), second[0].mean())


def test_neurons_that_obey_other_equations_are_recorded_as_they_fire():
    class Always(Dynamics):
        def simulate(self, current: Tensor, *_: Any, **__: Any) -> Tensor:
            return torch.ones_like(current)

    net = network()
    net.layers[1].dynamics = Always()
    assert (record(net, images(), 0).rate == 1).all()


@pytest.mark.parametrize("layer", [1, "layers.2.body.1"])
def test_a_layer_is_found_by_its_index_and_by_its_name(layer):
    net = network()
    assert find_layer(net, layer) == "layers.2.body.1"
    assert "layers.2.body.1" in net.layer_names
    assert record(net, images(), layer).layer == "layers.2.body.1"


def state(net: SpikingNetwork) -> Any:
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in net.modules()]
    modes = [m.training for m in net.modules()]
    tensors = [t.clone() for t in net.state_dict().values()]
    draws = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    return hooks, modes, net.state_key(), tensors, draws


def same(first: Any, second: Any) -> bool:
    plain = first[:3] == second[:3] and first[4][1:] == second[4][1:]
    tensors = [*zip(first[3], second[3], strict=True), (first[4][0], second[4][0])]
    return plain and all(torch.equal(a, b) for a, b in tensors)


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_the_network_and_the_random_states_are_left_as_they_were(error):
    def fail(x: Tensor) -> None:
        raise error("injected by the test")

    switch = Switch()
    net = network(lambda neuron: nn.Sequential(residual(neuron), switch), Poisson(4)).train()
    net.layers[0][0].eval()
    switch.action = fail if error else None
    before = state(net)
    if error is None:
        record(net, images())
    else:
        with pytest.raises(error, match="injected"):
            record(net, images())
    assert same(state(net), before)
    assert torch.is_grad_enabled()


def test_no_tensor_outlives_its_batch_except_the_picked_values():
    alive: list[int] = []

    def count(_: Tensor) -> None:
        objects = (o for o in gc.get_objects() if issubclass(type(o), Tensor))
        tensors = (t for t in objects if t.layout is torch.strided and not t.is_meta)
        seen = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        alive.append(sum(seen.values()))

    start = Switch(count)
    net = network(lambda neuron: nn.Sequential(start, residual(neuron)))
    x = images(24)
    record(net, x, 0, pairs=24, batch_size=6)
    assert len(alive) == 4
    # Two numbers of 8 bytes at 24 places; the currents of one batch are a thousand times as large.
    assert alive[-1] - alive[1] <= 24 * 16


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layer": 4}, r"layer: expected one of layers\.1, layers\.2\.body\.1, .*, or an index "),
        ({"layer": -1}, r"layer: .*or an index from 0 to 3, got -1\. Only layers of neurons have"),
        ({"layer": True}, r"layer: .*got True\."),
        ({"layer": "layers.0"}, r"layer: .*got 'layers\.0'\."),
        ({"pairs": 0}, r"pairs: .*>= 1, got 0\. The paper draws 8000"),
        ({"batch_size": 0}, r"batch_size: .*>= 1, got 0\."),
        *(({"seed": seed}, f"seed: .*>= 0, got {seed}") for seed in (-1, 0.5)),
        ({"x": images(0)}, "x: .*at least one sample"),
        ({"x": images() * np.nan}, "x: .*finite values, got 648"),
        ({"network": nn.Linear(2, 2)}, r"network: .*art_snn\.SpikingNetwork, got Lin"),
        ({"x": [[0.5]]}, "x: .*numpy array or torch tensor .*, got list"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(change, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        record(**{"network": network(), "x": images(), **change})


def test_a_layer_that_is_never_called_is_refused():
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = IF(), IF()

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    net = SpikingNetwork([Idle(), TimeDistributed(nn.Flatten(), nn.Linear(72, 3))], Direct(2))
    message = r"^layer: expected a layer that the network calls, got 'layers\.0\.unused', which"
    with pytest.raises(ValueError, match=message):
        record(net, images())
