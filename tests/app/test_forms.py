"""Networks by functions of the user's own: found, run, and refused in words that help."""

import re
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from art_snn import Direct, Frames, Poisson, SpikingNetwork
from art_snn.app.architecture import Architecture, build_forms, is_own
from art_snn.checks import ArgumentError, MissingFile
from art_snn.interop import ModelBody
from tests.interop import adapted
from tests.own import own


def build_own(model, **options):
    """The first form of the network."""
    return next(build_forms(model, **options))


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Every test has modules and a present folder of its own."""
    monkeypatch.chdir(tmp_path)
    before, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]
    assert sys.path == path


def test_a_colon_tells_a_function_from_a_model():
    names = ("mine.py:network", "package.module:network", "C:\\networks\\mine.py:network")
    assert all(map(is_own, names))
    assert not any(map(is_own, ("vgg5", "mine.py")))


@pytest.mark.parametrize(
    ("place", "below"),
    [("{folder}/mine.py", ""), ("mine.py", ""), ("~/mine.py", ""), ("deep.mine", "deep")],
    ids=["absolute", "relative", "home", "module"],
)
def test_a_function_of_a_file_or_module_is_found_by_any_path(place, below, tmp_path, monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "deep").mkdir()
    own(tmp_path / below, (1, 8, 8), 10)
    network = build_own(f"{place.format(folder=tmp_path)}:build")
    assert isinstance(network, SpikingNetwork)
    assert network.encoder == Direct(3)


FIELDS = "from dataclasses import dataclass\n\n@dataclass\nclass Size:\n    side: int\n"


@pytest.mark.parametrize(
    "source",
    [
        "from mine import build\n\nf = build\n",
        "def f():\n    from mine import build\n\n    return build()\n",
        f"from __future__ import annotations\n{FIELDS}\nfrom mine import build as f\n",
        "import mine\n\ndef f(width=1, *layers, deep=False, **options):\n    return mine.build()\n",
    ],
    ids=["import", "import when called", "dataclass", "arguments with defaults"],
)
def test_a_file_may_import_what_lies_next_to_it_and_is_read_anew_every_time(source, tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    own(folder)
    file = folder / "network.py"
    file.write_text(source)
    assert isinstance(build_own(f"{file}:f"), SpikingNetwork)
    file.write_text("from mine import build\n\nrenamed = build\n")
    assert isinstance(build_own(f"{file}:renamed"), SpikingNetwork)
    with pytest.raises(ArgumentError, match=r"there is no function 'f'"):
        build_own(f"{file}:f")


LAYER = "from torch import nn\n\ndef f():\n    return nn.Linear(3, 3)\n"
LONG = "x" * 5000
REFUSED = [
    ("def f():\n    return [1]\n", "mine.py:f", "returns a list.*register_neuron"),
    (LAYER, "mine.py:f", "Linear without a spiking neuron"),
    ("def f():\n    pass\n", "mine.py:g", "no function 'g'"),
    ("f = 3\n", "mine.py:f", "no function 'f'"),
    ("f = 3\n", "mine.py:", "no function ''"),
    ("f = 3\n", "mine:f", "no function 'f'"),
    ("def f(a, width=1, *, b):\n    pass\n", "mine.py:f", r"needs a, b\."),
    *(("", f"{place}:f", "path .*embedded null") for place in ("a\0b.py", "a\0b")),
    *(("", f"{place}:f", "path .*name too long") for place in (f"{LONG}.py", LONG)),
    ("", "~nobody-here/m.py:f", "path "),
    *(("", f"{place}none_of_mine:f", "no module .*none_of_mine") for place in ("", "art_snn.")),
    ("", "none_of_mine.deep:f", "no module .*none_of_mine"),
    *(("", f"{place}:f", r"file\.py:function or") for place in ("", ".relative", "a folder/mine")),
    *(("", f"{place}:f", f"no file {place}") for place in ("none.py", "folder.py")),
]


@pytest.mark.parametrize(("source", "model", "words"), REFUSED, ids=range(len(REFUSED)))
def test_what_gives_no_network_is_refused(source, model, words, tmp_path):
    (tmp_path / "mine.py").write_text(source)
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(ArgumentError, match=f"^model: .*{words}") as caught:
        build_own(model)
    assert isinstance(caught.value, MissingFile) == ("no file" in words)


@pytest.mark.parametrize(
    ("source", "error"),
    [
        *((f"raise {k.__name__}('mine')\n", k) for k in (ValueError, TypeError, KeyboardInterrupt)),
        ("import none_of_mine\n", ModuleNotFoundError),
        ("def f():\n    raise ValueError('mine')\n", ValueError),
    ],
)
@pytest.mark.parametrize("place", ["mine.py", "mine"])
def test_errors_of_the_user_s_own_code_keep_their_traceback(place, source, error, tmp_path):
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(error) as caught:
        build_own(f"{place}:f")
    assert not isinstance(caught.value, ArgumentError)
    assert source[:3] == "def" or "art_snn_own_mine" not in sys.modules, "no half module is left"
    assert "mine.py" in [Path(str(frame.path)).name for frame in caught.traceback]


@pytest.mark.parametrize("kind", ["steps", "merged", "spiking"])
def test_a_bare_model_whose_neurons_take_all_steps_is_adapted_over_the_steps(kind, tmp_path):
    name = adapted.own(tmp_path, kind)
    network = build_own(name)
    assert isinstance(network.body, ModelBody)
    assert network.encoder == Direct(8)
    assert build_own(name, steps=3).encoder == Direct(3)
    assert build_own(name, encoder=Frames(5)).encoder == Frames(5)


def test_a_bare_model_that_calls_its_neurons_by_steps_keeps_its_own_time(tmp_path):
    network = build_own(adapted.own(tmp_path, "step"))
    assert network.body.loops_itself
    assert network(torch.rand(2, *adapted.SHAPE)).shape == (2, 3)


@pytest.mark.parametrize("option", [{"steps": 4}, {"readout": "sum"}, {"encoder": Poisson(4)}])
def test_settings_beside_a_network_that_has_its_own_are_refused(option, tmp_path):
    ((name, value),) = option.items()
    with pytest.raises(ArgumentError, match=rf"^{name}: .*got {re.escape(str(value))}"):
        build_own(own(tmp_path), **option)


FORMS = """
from torch import nn
from tests.interop.neurons import Output, Step, Steps
from tests.interop.stacks import OfOneStep, Stack


class Repeating(Stack):
    def forward(self, x):
        return super().forward(x.repeat(4, 1, 1, 1, 1)).mean(0)


def steps():
    return Stack(Steps).float()


def own_time():
    return Repeating(Steps).float()


def one_step():
    return OfOneStep(Step(), nn.Identity())


def both():
    return OfOneStep(Step(), Output())


def vectors():
    return nn.Sequential(*list(OfOneStep(Step(), Output()))[1:])
"""


@pytest.mark.filterwarnings("ignore:the gradient under")  # Of weights that are drawn.
@pytest.mark.parametrize("readout", [None, "mean", "sum", "spikes", "potential"])
def test_a_model_of_one_step_is_called_for_every_step_that_is_told(readout, tmp_path):
    (tmp_path / "mine.py").write_text(FORMS)
    name = "both" if readout in ("spikes", "potential") else "one_step"
    x = torch.rand(2, 1, 3, 3)
    network = build_own(f"mine.py:{name}", steps=5, readout=readout)
    assert network(x).shape == (2, 3)
    assert network.body.describe_time() == "T = 5, direct encoding, one step in a call"
    framed = build_own(f"mine.py:{name}", encoder=Frames(4), readout=readout)
    assert framed(torch.rand(2, 4, 1, 3, 3)).shape == (2, 3)
    with pytest.raises(ArgumentError, match=r"^steps: .*steps=25"):
        build_own("mine.py:one_step")(x)


COMPLAINT = ("x", "a", "b", "c")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("steps", "T = 8, direct encoding"),
        ("own_time", "T = 4, the model's own time"),
        ("one_step", "T = 8, direct encoding, one step in a call"),
        ("both", "T = 8, direct encoding, one step in a call, readout spikes"),
        ("vectors", "T = 8, direct encoding, one step in a call, readout spikes"),
    ],
)
def test_the_form_of_a_bare_model_is_found_on_two_samples(name, words, tmp_path):
    (tmp_path / "mine.py").write_text(FORMS)
    architecture, x = Architecture(model=f"mine.py:{name}"), torch.rand(4, 1, 3, 3)
    network = architecture.build_own_for(x, COMPLAINT)
    assert architecture.describe(network) == f"mine.py:{name}, {words}"
    with torch.no_grad():
        assert torch.equal(network.eval()(x), deepcopy(network)(x))
    drawn = architecture.replace(encoder="poisson", steps=3)
    if name not in ("own_time", "steps"):
        assert drawn.build_own_for(x, COMPLAINT).encoder == Poisson(3)


def test_the_complaint_about_samples_that_fit_no_form_is_that_of_the_first(tmp_path):
    (tmp_path / "mine.py").write_text(FORMS)
    with pytest.raises(ArgumentError, match=r"^x: expected a, got b .*\. c$"):
        Architecture(model="mine.py:steps").build_own_for(torch.rand(4, 1, 5, 5), COMPLAINT)
