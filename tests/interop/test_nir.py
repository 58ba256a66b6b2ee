"""NIR: graphs as their readers read them, what is refused, and hostile files."""

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
from art_snn.interop import from_nir
from art_snn.interop.nir_files import order_nodes
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


def cuba(dt=1.0, size=1, **changes):
    """A CubaLIF node, by default with alpha = 1/2, beta = 3/4 and a whole jump of u per input."""
    parts = {"tau_syn": 2 * dt, "tau_mem": 4 * dt, "r": 4, "w_in": 2, "v_leak": 0, "v_threshold": 1}
    return nir.CubaLIF(**{name: full(value, size) for name, value in (parts | changes).items()})


JUMPS = [[float(digit)] for digit in "1001100010"]
CUBA = {"cuba": cuba()}
LEAKS = {"cuba": cuba(v_leak=-0.25, v_reset=-0.5)}
AS_READ += [
    (CUBA, JUMPS, "0101100010", {"like": "nir", "dt": 1}),
    (CUBA, JUMPS, "0101100010", {"like": "norse", "dt": 1}),
    (CUBA, JUMPS, "0101100010", {"like": "snntorch", "dt": 1}),
    (CUBA, JUMPS, "1001100010", {"like": "spikingjelly", "dt": 1}),
    (CUBA, JUMPS, "0010111001", {"reset": "soft", "lag": 1, "dt": 1}),  # NIR's paper.
    # By hand. The text starts at 0 and resets to v_reset.
    # Norse starts i and v at v_leak, to which both leak, and resets to 0.
    (LEAKS, [[1.75], [0.5], [0]], "101", {"like": "nir", "dt": 1}),
    (LEAKS, [[1.75], [0.5], [0]], "110", {"like": "norse", "dt": 1}),
]


@pytest.mark.parametrize(("nodes", "values", "spikes", "options"), AS_READ)
def test_neurons_fire_as_their_readers_read_them(nodes, values, spikes, options):
    fired = steps(graph(nodes, shape=(len(values[0]),)), values, **options)
    assert fired.flatten().tolist() == [float(digit) for digit in spikes]


@pytest.mark.parametrize("like", ["nir", "norse", "rockpool"])
@pytest.mark.parametrize("lag", [0, 1])
def test_neurons_with_a_synapse_obey_the_equations_of_their_readers(like, lag):
    rng = np.random.default_rng(lag)
    dt, tau_syn, tau_mem, r, w, leak = 1e-4, *rng.uniform(1.5e-4, 9e-4, 2), 3.0, 2.0, 0.125
    node = cuba(size=100, tau_syn=tau_syn, tau_mem=tau_mem, r=r, w_in=w, v_leak=leak)
    x = rng.normal(0.5, 1, (100, 100))
    i, v = np.full((2, 100), leak if like == "norse" else 0.0)
    expected = []
    for current in x:
        before = i
        match like:
            case "rockpool":
                dt = tau_mem / (1 + r)
                i = np.exp(-dt / tau_syn) * (i + current)
                v = np.exp(-dt / tau_mem) * v + (before if lag else i) + leak
                n = np.trunc(v.clip(0))
                v = v - n
            case _:
                rest = leak if like == "norse" else 0.0
                i = i + dt / tau_syn * (w * current + rest - i)
                v = v + dt / tau_mem * (r * (before if lag else i) + leak - v)
                n = (v > 1).astype(float)
                v = v * (1 - n)
        expected.append(n)
    fired = steps(graph({"n": node}, shape=(100,)), x.tolist(), like=like, dt=1e-4, lag=lag)
    assert np.array_equal(fired.numpy(), expected)
    assert fired.sum() > 500


@pytest.mark.parametrize("lag", [0, 1])
def test_a_readout_with_a_synapse_is_read_as_one_without(lag):
    li = nir.CubaLI(*(full(v) for v in (2, 4, 4, 0.5, 2)))
    network = from_nir(graph(CUBA | {"li": li}), like="norse", dt=1, steps=8, lag=lag)
    calls = []
    network.layers[1].register_forward_hook(lambda *call: calls.append(call[1:]))
    with torch.no_grad():
        network(torch.ones(1, 1))
    (((spikes,), potentials),) = calls
    i, v, expected = 0.0, 0.0, []
    for s in spikes.flatten().tolist():
        before, i = i, 0.5 * i + s
        v = 0.75 * v + (before if lag else i) + 0.125
        expected.append(v)
    assert potentials.flatten().tolist() == expected
    for rule in ("stbp", "rga", "relu"):
        x = torch.full((1, 1), 0.4, requires_grad=True)
        with network.using(rule):
            assert torch.autograd.grad(network(x).sum(), x)[0].item() > 0


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
    # Vectors are images of one pixel to commands.
    nir.write(tmp_path / "net.nir", graph({"n": cuba(size=2)}, shape=(2,)))
    command = ["inspect", "--output", str(tmp_path / "synapse")]
    assert run_command([*command, "--model", f"{tmp_path}/net.nir(like=nir, dt=1, lag=1)"]) == 0
    assert "0.75, synapse 0.5, lag 1" in (tmp_path / "synapse/inspect.md").read_text()


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
    (CUBA, {"like": "sinabs", "dt": 1}, "neurons without a synapse, as sinabs needs it"),
    (IF, {"like": "rockpool"}, "CubaLIF nodes alone, as rockpool needs it"),
    (
        CUBA,
        {"like": "snntorch", "dt": 0.5},
        "R of tau_mem/dt, .* of dt = 1, where 0.5 is given, at",
    ),
    ({"a": cuba(w_in=1)}, {"like": "spikingjelly", "dt": 1}, "w_in of tau_syn/dt, as spikingjelly"),
    (LEAKS, {"like": "spikingjelly", "dt": 1}, "v_leak = 0, as spikingjelly"),
    (CUBA, {"like": "nir", "dt": 3}, "dt: .* the smallest time constant 2, got 3"),
    (CUBA, {"like": "nir", "dt": 1, "lag": 2}, "lag: expected 0 or 1"),
    (IF, {"like": "lava"}, "like: expected one of .*, sinabs, .*, got 'lava'. None is"),
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


def ours_and_its_file(path, dt, synapse=0.0, **dynamics):
    """A network of ours, and a file with its layers and the equations of its neurons."""
    torch.manual_seed(0)
    d = Dynamics(**{"threshold": 0.7, "synapse": synapse} | dynamics)
    conv, fc = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(16, 3)
    last = Timed(nn.AvgPool2d(2), nn.Flatten(), fc)
    network = SpikingNetwork([Timed(conv), Neuron(d), last], Direct(6), input_shape=(1, 4, 4))

    leak = 1 - d.decay if d.decay != 1 else dt
    values = {"r": d.gain / leak, "v_threshold": d.threshold, "v_reset": d.v_reset}
    kind, tau = nir.IF, dt / leak
    if synapse:
        kind, w = nir.CubaLIF, 1 / (1 - synapse)
        values |= {"tau_mem": tau, "v_leak": 0.0, "tau_syn": dt * w, "w_in": w}
    elif d.decay != 1:
        kind = nir.LIF
        values |= {"tau": tau, "v_leak": 0.0}
    weights = [parameter.detach().numpy() for parameter in (*conv.parameters(), *fc.parameters())]
    sides = [np.array(sides) for sides in ([2, 2], [2, 2], [0, 0])]
    nodes = {
        "conv": nir.Conv2d((4, 4), weights[0], 1, 1, 1, 1, weights[1]),
        "neurons": kind(**{name: full(value, 4, 4, 4) for name, value in values.items()}),
        "pool": nir.AvgPool2d(*sides),
        "flat": nir.Flatten({"input": np.array([4, 2, 2])}, 0),
        "fc": nir.Affine(*weights[2:]),
    }
    nir.write(path, graph(nodes, shape=(1, 4, 4)))
    return network.eval()


SINABS = {"reset": "soft", "max_spikes": None, "floor": -0.5}


@pytest.mark.parametrize("dt", [1.0, 1e-4])
@pytest.mark.parametrize("decay", [0.5, 0.9, 0.3, 1.0, 0.0])
@pytest.mark.parametrize(
    "further",
    [{}, {"strict": True, "v_reset": -0.25, "v_start": 0.0}, SINABS, {"synapse": 0.3, "lag": 1}],
)
def test_a_file_is_the_network_of_its_layers_bit_for_bit(further, decay, dt, tmp_path):
    if "synapse" in further:  # NIR's neuron with a synapse leaks.
        decay = min(decay, 0.95)
    network = ours_and_its_file(tmp_path / "net.nir", dt, decay=decay, **further)
    x = torch.rand(64, 1, 4, 4)
    options = {"max_spikes": math.inf, "reset": "soft", "floor": -0.5} if further is SINABS else {}
    options = {"reset": "hard", "strict": "strict" in further, "dt": dt, "steps": 6} | options
    options["lag"] = further.get("lag", 0)
    state = torch.get_rng_state()
    read, twin = (from_nir(tmp_path / "net.nir", **options) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    with torch.no_grad():
        assert torch.equal(read(x), network(x))
        checkpoint.save(read, tmp_path / "net.safetensors")
        checkpoint.load(twin, tmp_path / "net.safetensors")
        assert torch.equal(twin(x), network(x))


@pytest.mark.parametrize("like", ["nir", "norse", "spikingjelly", "snntorch"])
@pytest.mark.parametrize("decay", [0.5, 0.75])
@pytest.mark.parametrize("synapse", [0.0, 0.5])
def test_where_a_current_is_not_scaled_every_reader_has_equal_spikes(
    synapse, decay, like, tmp_path
):
    # Norse ignores any other R than 1; of CubaLIF R = tau_mem / dt adds a current as it is.
    how = {"decay": decay, "gain": 1.0 if synapse else 1 - decay, "strict": True}
    network = ours_and_its_file(tmp_path / "net.nir", 1e-4, synapse, threshold=0.1, **how)
    x = torch.rand(64, 1, 4, 4)
    read = from_nir(tmp_path / "net.nir", like=like, reset="hard", dt=1e-4, steps=6)
    with torch.no_grad():
        assert torch.equal(read(x), network(x))
        assert len(network(x).unique(dim=0)) > 32
