"""NIR: graphs as their readers read them, what is refused, hostile files, and files of ours."""

from __future__ import annotations

import itertools
import math

import h5py
import nir
import numpy as np
import pytest
import torch
from torch import nn

from art_snn import Direct, Frames, SpikingNetwork, TimeDistributed as Timed, checkpoint
from art_snn.app.cli import run_command
from art_snn.bounds import METHODS, Bounding
from art_snn.dynamics import Dynamics
from art_snn.interop import from_nir, to_nir
from art_snn.interop.nir_files import order_nodes
from art_snn.layers import Normalize
from art_snn.neurons import Neuron


def full(value, *shape):
    return np.full(shape or (1,), value, np.float64)


def graph(nodes, edges=None, shape=(1,)):
    """Nodes by name, one after another unless edges say otherwise."""
    ends = {"input": nir.Input(np.array(shape)), "output": nir.Output(np.array([1]))}
    nodes = {"input": ends["input"]} | nodes | {"output": ends["output"]}
    names = list(nodes)
    edges = list(itertools.pairwise(names)) if edges is None else edges
    return nir.NIRGraph(nodes, edges, type_check=False)


def steps(given, values, **options):
    """Outputs [T, K] for an input of T steps."""
    network = from_nir(given, encoder=Frames(len(values)), readout="mean", **options)
    x, kept = torch.tensor(values).float()[None], []
    network.layers.register_forward_hook(lambda *call: kept.append(call[2]))
    with torch.no_grad():
        network(x)
    return kept[0][:, 0]


IF = {"if": nir.IF(r=full(1), v_threshold=full(1))}
SEVEN = [[2.5], [0.5], [-3.0], [1.5], [0.5], [1.0], [0.0]]
ANY = {"like": "sinabs", "floor": -math.inf}
READ = [
    ("1000000", {"like": "nir", "dt": 1}),
    ("1000000", {"like": "norse"}),
    ("1000000", {"like": "spikingjelly", "dt": 1}),
    ("2100110", {"like": "sinabs"}),
    ("1100110", {"like": "sinabs", "max_spikes": 1}),
    ("2100000", ANY),
    ("1100010", ANY | {"max_spikes": 1}),
    ("1100000", {"like": "norse", "reset": "soft"}),
    ("1100000", {"reset": "soft", "dt": 1}),
]


LIF = nir.LIF(*(np.array(v) for v in ([2.0, 4.0], [1.0, 4.0], [0.0, 0.5], [1.0, 1.0], [0.0, -0.5])))
PAIRS = [[1.25, 0.25], [1.25, 0.5], [0, 0.5], [2.5, -1], [1, 1.5], [1, 0.5], [0.75, 0.25], [1.5, 0]]
LEAKY = [
    ("0000011000010010", {"like": "nir", "dt": 1}),
    ("0000000000010010", {"like": "nir", "dt": 0.5}),
    ("0000011001000010", {"reset": "soft", "dt": 1}),
    ("0000001000000010", {"like": "norse", "dt": 1}),
]


EACH = [[-2.0, -2], [1, 1], [1, 2.5], [0.5, 0.5]]
TWO = {"if": nir.IF(full(1, 2), v_threshold=np.array([0.5, 1]))}
AS_READ = [
    *((IF, SEVEN, *row) for row in READ),
    *(({"lif": LIF}, PAIRS, *row) for row in LEAKY),
    (TWO, EACH, "00102211", {"like": "sinabs"}),  # Every neuron has its threshold and its floor.
]


@pytest.mark.parametrize(("nodes", "values", "spikes", "options"), AS_READ)
def test_neurons_fire_as_their_readers_read_them(nodes, values, spikes, options):
    fired = steps(graph(nodes, shape=(len(values[0]),)), values, **options)
    assert fired.flatten().tolist() == [float(digit) for digit in spikes]


def test_the_same_file_is_another_network_to_every_reader_and_inspect_says_so(tmp_path):
    given = graph({"0": lif(tau=full(2e-4), r=full(2))})
    facts = from_nir(given, like="spikingjelly", dt=1e-4).body.notes()
    assert facts["read as spikingjelly"] == str(Dynamics(0.5))
    assert facts["norse reads"] == str(Dynamics(0.5, gain=0.5, strict=True))
    assert facts["sinabs reads"] == str(Dynamics(math.exp(-0.5), reset="soft", max_spikes=None))
    fc = nir.Affine(np.full((10, 4), 0.3), np.zeros(10))
    flat = nir.Flatten({"input": np.array([1, 2, 2])}, 0)
    nodes = {"flat": flat, "fc": fc, "if": nir.IF(full(2, 10), full(1, 10))}
    nir.write(tmp_path / "net.nir", graph(nodes, shape=(1, 2, 2)))
    command = ["inspect", "--channels", "1", "--image-size", "2", "--output", str(tmp_path / "out")]
    assert run_command([*command, "--model", f"{tmp_path}/net.nir(like=sinabs)"]) == 0
    page = (tmp_path / "out/inspect.md").read_text()
    assert "snntorch reads: nothing: graph: expected R = 1, as snntorch needs it" in page
    assert "soft by 1, floor -1" in page
    assert run_command([*command, "--model", f"{tmp_path}/net.nir(likes=sinabs)"]) == 2


def test_all_nodes_that_are_known_compute_what_they_say():
    conv = nir.Conv1d(None, np.ones((2, 1, 3)), 1, "same", 1, 1, np.array([0.0, 1.0]))
    inner = {"s": nir.Scale(np.array([[1.0] * 4, [-2.0] * 4])), "f": nir.Flatten(None, 0)}
    nodes = {
        "conv": conv,
        "sub": graph(inner),
        "a.b": nir.Linear(np.eye(8)),
        "i": nir.I(full(1, 8)),
    }
    nodes |= {"t": nir.Threshold(full(2, 8)), "dead": nir.Linear(np.eye(4))}
    edges = [("input", "conv"), ("conv", "sub"), ("sub", "a.b"), ("sub", "i"), ("a.b", "i")]
    edges += [("i", "t"), ("t", "output"), ("conv", "dead")]
    x = torch.tensor([[1.0, 0, 0, 2]] * 2)[:, None]
    y = nn.functional.conv1d(x, torch.ones(2, 1, 3), torch.tensor([0.0, 1.0]), padding=1)
    y = 2 * (y * torch.tensor([[1.0], [-2.0]])).flatten(1).cumsum(0)
    given = graph(nodes, edges, shape=(1, 4))
    assert torch.equal(steps(given, x.tolist(), like="nir", dt=1), (y > 2).float())
    network = from_nir(given, like="nir", dt=1, steps=2)
    x = torch.rand(3, 1, 4, requires_grad=True)
    for rule in ("stbp", "rga"):
        with network.using(rule):
            assert torch.autograd.grad(network(x).square().sum(), x)[0].isfinite().all()
    points = x.detach() + 0.1 * (2 * torch.rand(50, 3, 1, 4) - 1)
    logits = torch.stack([network(point).detach() for point in points])
    y = torch.zeros(3, dtype=torch.long)
    margins = Bounding(network, METHODS["counts"](), 0.1).margin(x.detach(), y)
    assert (margins <= (logits[..., :1] - logits[..., 1:]).amin((0, 2)) + 1e-6).all()


@pytest.mark.parametrize("kind", ["SumPool2d", "AvgPool2d"])
def test_pools_count_padding_and_sums_are_not_divided(kind):
    pool = getattr(nir, kind)(*(np.array(n) for n in ([2, 2], [2, 2], [1, 1])))
    nodes = {"p": pool, "li": nir.LI(*(full(v, 1, 2, 2) for v in (2, 1, 0.5)))}
    network = from_nir(
        graph(nodes | {"t": nir.Threshold(full(1))}, shape=(1, 2, 2)), dt=1, like="nir"
    )
    kept, x = [], torch.tensor([[1.0, 2], [3, 4]])
    network.layers[1].register_forward_hook(lambda *call: kept.append(call[2][:, 0, 0]))
    with torch.no_grad():
        network(x.expand(1, 2, 1, 2, 2))
    first = x / (1 if kind == "SumPool2d" else 4) / 2 + 0.25
    assert torch.equal(kept[0], torch.stack([first, 1.5 * first]))


def lif(**changes):
    parts = {"tau": full(2), "r": full(1), "v_leak": full(0), "v_threshold": full(1)}
    return nir.LIF(**parts | changes)


LOOP = [("input", "a"), ("a", "b"), ("b", "a"), ("a", "output")]
REFUSED = [
    ({"a": lif()}, {"like": "norse"}, r"dt: expected the time step of the graph, got None\. Files"),
    (IF, {"like": "nir"}, "dt: expected the time step of the graph"),
    ({"a": lif()}, {"dt": 1}, r'reset: expected "hard" or "soft", got None\. NIR cannot say which'),
    (IF, {"like": "snntorch"}, r"reset: .*snnTorch subtracts twice .*: pass reset="),
    ({"a": lif()}, {"like": "nir", "dt": 4}, "dt: .* the smallest time constant 2, got 4"),
    ({"a": nir.Delay(full(1))}, {}, r"that art_snn knows, got Delay 'a'\. Supported: IF, LIF"),
    ({"a": nir.Scale(full(math.nan)), **IF}, {}, "finite numbers as scale of Scale 'a', got .nan"),
    ({"input": nir.Input(full(10**9, 2)), **IF}, {}, "outputs that fit .* memory .*, got IF 'if'"),
    ({"a": nir.Linear(np.ones((2, 3))), **IF}, {}, r"nodes whose shapes fit, got Linear 'a' \("),
    ({"a": nir.Scale(np.ones(3) * [1, 2, 3]), **IF}, {}, r"Scale 'a' \(scale \[3\] for \[1\]\)"),
    ({"a": nir.Affine(np.eye(1), np.ones(2))}, {}, r"Affine 'a' \(weight \[1, 1\], bias \[2\]\)"),
    ({"a": lif(v_leak=full(1))}, {"like": "sinabs", "dt": 1}, "v_leak = 0, as sinabs needs it"),
    ({"a": lif(r=full(3))}, {"like": "spikingjelly", "dt": 1}, "R of tau/dt or 1, of IF 1/dt, as"),
    ({"a": nir.IF(full(1), full(0))}, {}, "graph: IF 'a', threshold: expected a number above 0"),
    ({"a": nir.Linear(np.eye(1))}, {}, "layers: expected at least one spiking neuron"),
    (IF | {"z": nir.Output(full(1))}, {}, "one Input and one Output, got input and z, output"),
    (IF, {"like": "lava"}, "like: expected one of .*'sinabs'.* or None, got 'lava'"),
    (IF, {"steps": 2, "encoder": Direct(2)}, "steps: expected None with an encoder, got 2"),
    (IF, {"readout": "sum"}, "encoder: expected an encoder that knows its steps, for a sum"),
    (
        IF,
        {"max_spikes": 2, "strict": True},
        "graph: IF 'if', max_spikes: expected 1, unless neurons",
    ),
]


@pytest.mark.parametrize(("nodes", "options", "words"), REFUSED)
def test_what_is_not_read_is_refused_by_name(nodes, options, words):
    with pytest.raises(ValueError, match=words):
        from_nir(graph(nodes), **{"like": None if "reset:" in words else "norse"} | options)


NATIVE = r'Adapt the framework\'s own model under "native"\.'
EDGES = [
    (LOOP, rf"no recurrent connection, got (a → b → a|b → a → b)\. {NATIVE}"),
    ([("input", "a"), ("a", "b")], "edges from the Input to every node, got none to output"),
    ([("input", "a"), ("a", "c")], "edges between its nodes, every one once, got a → c"),
    ([("input", "a"), ("a", "output")] * 2, "every one once, got input → a"),
]


@pytest.mark.parametrize(("edges", "words"), EDGES)
def test_edges_must_lead_from_the_input_to_the_output(edges, words):
    with pytest.raises(ValueError, match=words):
        from_nir(graph({"a": lif(), "b": lif()}, edges), like="nir", dt=1)


def test_long_chains_of_nodes_are_put_in_order():
    names = ["input", *(f"{i}" for i in range(2000)), "output"]
    kinds = {"input": "Input", "output": "Output"}
    nodes = {name: {"type": kinds.get(name, "Scale")} for name in reversed(names)}
    ordered = order_nodes({"nodes": nodes, "edges": [*itertools.pairwise(names)]})
    assert [name for name, _, _ in ordered] == names


OWN = "path_or_graph: expected a file that holds its own arrays, got .*, "
OWN += "whose 'node/nodes/if/r' is a link"
FITS = "finite numbers as r of IF 'if', got .'"
OUTSIDE = {"shape": 1, "dtype": "f8", "external": [("/etc/hostname", 0, 8)]}
HUGE = {"shape": (10**5, 10**5), "dtype": "f8", "chunks": (100, 100), "compression": "gzip"}
TEXTS = {"shape": 10**5, "dtype": h5py.string_dtype(), "fillvalue": b"x" * 10**5}
SPOILT = {
    "external link": (OWN, lambda node: h5py.ExternalLink("other.nir", "/node")),
    "soft link": (OWN, lambda node: h5py.SoftLink("/node/nodes/if/v_threshold")),
    "hard link": ("a file that holds its own arrays", lambda node: node["v_threshold"]),
    "endless group": ("a file that holds its own arrays", lambda node: node),
    "external array": (OWN, lambda node: node.create_dataset("r", **OUTSIDE)),
    "huge array": (OWN, lambda node: node.create_dataset("r", **HUGE)),
    "one text many times": (OWN, lambda node: node.create_dataset("r", **TEXTS)),
    "text": (f"{FITS}import os", lambda node: "import os"),
    "missing": (f"{FITS}nothing", lambda node: None),
    "deep": ("is a link, too large, too deep", lambda node: node.create_group("/".join("x" * 200))),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_hostile_file_is_refused_and_nothing_else_is_read(kind, tmp_path):
    words, value = SPOILT[kind]
    nir.write(tmp_path / "net.nir", graph(IF))
    with h5py.File(tmp_path / "net.nir", "a") as file:
        node = file["node/nodes/if"]
        del node["r"]
        made = value(node)
        if made is not None and "r" not in node:
            node["r"] = made
    with pytest.raises(ValueError, match=words):
        from_nir(tmp_path / "net.nir", like="norse")


def test_what_is_no_file_of_nir_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        from_nir(tmp_path / "none.nir", like="norse")
    (tmp_path / "text.nir").write_text("no HDF5")
    h5py.File(tmp_path / "other.nir", "w").close()
    for name in ("text.nir", "other.nir"):
        with pytest.raises(ValueError, match=r"path_or_graph: expected a NIR file, got .*\.nir \("):
            from_nir(tmp_path / name, like="norse")


def ours(layers=None, **dynamics):
    torch.manual_seed(0)
    neuron = lambda: Neuron(Dynamics(**{"decay": 0.5, "threshold": 0.7} | dynamics))  # noqa: E731
    first = Timed(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Dropout())
    last = Timed(nn.AvgPool2d(2, ceil_mode=True), nn.Flatten(), nn.Linear(16, 3))
    layers = [first, neuron(), *(layers or []), last]
    network = SpikingNetwork(layers, Direct(6), "stbp", input_shape=(1, 4, 4))
    with torch.no_grad():
        network.train()(torch.rand(16, 1, 4, 4))
    return network.eval()


SINABS = {"reset": "soft", "max_spikes": None, "floor": -0.5}


@pytest.mark.parametrize("dt", [1.0, 1e-4])
@pytest.mark.parametrize("decay", [0.5, 0.9, 0.3, 1.0, 0.0])
@pytest.mark.parametrize(
    "further", [{}, {"strict": True, "v_reset": -0.25, "v_start": 0.0}, SINABS]
)
def test_a_network_comes_back_bit_for_bit(further, decay, dt, tmp_path):
    normal = Normalize((0.25, 0.5, 0.75, 1), (0.5, 0.25, 2, 1))
    network, x = ours([Timed(normal)], decay=decay, **further), torch.rand(64, 1, 4, 4)
    state = torch.get_rng_state()
    with pytest.warns(UserWarning, match="hold dt=.*, the encoder Direct.steps=6., the readout"):
        to_nir(network, tmp_path / "net.nir", dt)
    assert torch.equal(torch.get_rng_state(), state)
    options = {"max_spikes": math.inf, "reset": "soft", "floor": -0.5} if further is SINABS else {}
    options = {"reset": "hard", "strict": "strict" in further, "dt": dt, "steps": 6} | options
    again, twin = (from_nir(tmp_path / "net.nir", **options) for _ in range(2))
    with torch.no_grad():
        assert torch.equal(again(x), network(x))
        checkpoint.save(again, tmp_path / "net.safetensors")
        checkpoint.load(twin, tmp_path / "net.safetensors")
        assert torch.equal(twin(x), network(x))


@pytest.mark.parametrize("like", ["nir", "norse", "spikingjelly", "snntorch"])
@pytest.mark.parametrize("decay", [0.5, 0.75])
def test_with_r_folded_into_the_weights_every_reader_has_equal_spikes(decay, like, tmp_path):
    hidden = [Timed(nn.Conv2d(4, 4, 1), nn.AvgPool2d(3, 1, 1)), Neuron(Dynamics(decay, 0.2))]
    network, x = ours(hidden, decay=decay, strict=True), torch.rand(64, 1, 4, 4)
    with pytest.warns(UserWarning, match="does not hold"):
        to_nir(network, tmp_path / "net.nir", 1e-4, fold=True)
    again = from_nir(tmp_path / "net.nir", like=like, reset="hard", dt=1e-4, steps=6)
    with torch.no_grad():
        assert torch.equal(again(x), network(x))
        assert len(network(x).unique(dim=0)) > 32


UNWRITTEN = [
    ([nn.MaxPool2d(1)], {}, "of NIR, one after another, got layers.2 .MaxPool2d"),
    ([nn.AvgPool2d(3, 1, 1, False, False)], {}, "after another, got layers.2 .AvgPool2d"),
    ([nn.ReLU()], {}, "one after another, got layers.2 .ReLU"),
    ([], {"reset": "none"}, "neurons of one decay, with a reset, .* got layers.1 with Dynamics"),
    ([], {"amplitude": 2.0}, "spikes of height 1"),
    ([], {"decay": 1.0, "constant": 0.5}, "of IF, no constant, got .* Fold a constant into a bias"),
]


@pytest.mark.parametrize(("layers", "settings", "words"), UNWRITTEN)
def test_what_nir_does_not_have_is_not_written(layers, settings, words, tmp_path):
    network = ours([Timed(*layers)] * bool(layers), **settings)
    with pytest.raises(ValueError, match=words):
        to_nir(network, tmp_path / "net.nir")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"neurons of one R after weights, .*, got layers\.2"):
        to_nir(ours([Neuron(Dynamics(0.5))]), tmp_path / "net.nir", fold=True)
    network.input_shape = None
    with pytest.raises(ValueError, match="network: expected one of ours whose input_shape is"):
        to_nir(network, tmp_path / "net.nir")
