"""A network by its settings, or by a function of the user: found, run, and refused in words."""

import re
import sys
from copy import deepcopy
from pathlib import Path

import pytest
import torch

from art_snn import LIF, SpikingNetwork
from art_snn.app.architecture import Architecture, build_forms, is_own
from art_snn.checks import ArgumentError, MissingFile
from art_snn.encoders import Direct, Frames, Poisson, describe_encoder, parse_encoder
from art_snn.interop import ModelBody
from art_snn.models import DEFAULTS, MODELS
from tests.architectures import same, weights
from tests.datasets import few_frames, few_images
from tests.interop import adapted
from tests.own import own


@pytest.fixture(autouse=True)
def _modules(here: Path):
    """Every test has modules and a present folder of its own."""
    before, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("mine", "deep", "art_snn_own_")):
            del sys.modules[name]
    assert sys.path == path


def test_the_weights_follow_from_the_seed_and_torch_s_random_state_is_left():
    small = Architecture(steps=2)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = weights(small.build_for(few_images()))
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert same(one, weights(small.build_for(few_images())))
    assert not same(one, weights(small.build_for(few_images(), seed=1)))


NAMES = ["direct", "poisson", "sqe", "sqe(levels=3)", "frequency", "ablation", "ablation(keep=0.1)"]


@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_has_its_settings_and_is_of_images_or_of_events(name):
    made, data = parse_encoder(name, 3), few_images(shape=(2, 4, 6))
    mine, other = (few_frames(), data) if isinstance(made, Frames) else (data, few_frames())
    network = Architecture(steps=3, encoder=name).build_for(mine)
    assert network.encoder == made
    assert network.input_shape == mine.input_shape
    assert Architecture(encoder=name).describe().endswith(describe_encoder(made))
    assert Architecture().fill({"encoder": name}).given["encoder"] == name
    with pytest.raises(ValueError, match=r"^encoder: expected .* holds (images|event frames), got"):
        Architecture(encoder=name).fit_to(other)


def test_threshold_and_reset_reach_the_neurons_and_are_named_where_they_are_unusual():
    wanted = Architecture(steps=2, decay=0.9, threshold=0.5, reset="soft")
    dynamics = {m.dynamics for m in wanted.build_for(few_images()).modules() if isinstance(m, LIF)}
    assert {(one.decay, one.threshold, one.reset) for one in dynamics} == {(0.9, 0.5, "soft")}
    words = "vgg5, T = 2, decay 0.9, threshold 0.5, soft reset, direct encoding"
    assert wanted.describe() == words


@pytest.mark.parametrize("model", MODELS)
def test_every_model_can_be_named_and_be_narrow(model):
    data = few_images(shape=(3, 4, 6), classes=5)
    wanted = Architecture(model=model, steps=2, width=0.05)
    network = wanted.build_for(data)
    assert network.input_shape == (3, 4, 6)
    with torch.no_grad():
        assert network(torch.rand(2, 3, 4, 6)).shape == (2, 5)
    (first, *_) = (m for m in network.modules() if isinstance(m, torch.nn.Conv2d))
    assert first.out_channels == round(0.05 * (32 if model == "cnn4" else 64))
    assert wanted.describe() == f"{model} of width 0.05, T = 2, decay 0.5, direct encoding"


OWN = {"model": "none.py:build"}
REFUSED = [
    ({"model": "vgg7"}, few_images(), r"model: .*vgg5, .*file\.py:function"),
    ({"encoder": "ttfs"}, few_images(), "encoder: .*direct, .*sqe, frequency, frames, ablation"),
    ({"steps": 0}, few_images(), "steps: .*>= 1"),
    ({"decay": -0.5}, few_images(), "decay: .*at least 0 and at most 1"),
    *(({"encoder": name}, few_frames(), "encoder: .*frames") for name in ("direct", "poisson")),
    ({"steps": 8}, few_frames(), "steps: .*3, .*got 8"),
    ({"encoder": "frames"}, few_images(), "encoder: .*direct or poisson"),
    *(
        (OWN | {name: value}, few_images(), rf"{name}: .*None .*none\.py:build.*{value!r}")
        for name, value in {"width": 0.5, "decay": 0.9, "threshold": 1.0, "reset": "hard"}.items()
    ),
    (OWN | {"steps": 0}, few_images(), "steps: .*>= 1"),
]


@pytest.mark.parametrize(("options", "data", "words"), REFUSED)
def test_settings_that_suit_neither_models_nor_data_are_refused(options, data, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        Architecture(**options).build_for(data)


def test_event_frames_decide_the_steps_and_the_encoder():
    for wanted in (Architecture(), Architecture(steps=3), Architecture(encoder="frames")):
        network = wanted.build_for(few_frames())
        assert network.encoder == Frames(3)
        with torch.no_grad():
            assert network(torch.tensor(few_frames().x_test)).shape == (2, 3)
        on = wanted.fit_to(few_frames())
        assert on.settings == dict(DEFAULTS) | {"steps": 3, "encoder": "frames"}
    assert Architecture().fit_to(few_frames()).describe() == "vgg5, T = 3, decay 0.5, event frames"


def test_images_leave_the_steps_and_take_direct_encoding_unless_told_otherwise():
    assert Architecture().fit_to(few_images()).settings == dict(DEFAULTS)
    assert (DEFAULTS["steps"], DEFAULTS["encoder"]) == (8, "direct")
    settled = Architecture(steps=2, encoder="poisson").fit_to(few_images())
    assert settled.settings == dict(DEFAULTS) | {"steps": 2, "encoder": "poisson"}
    assert settled.fit_to(few_images()) == settled
    assert Architecture().describe() == Architecture().fit_to(few_images()).describe()


def test_what_is_told_wins_over_notes_and_notes_over_the_defaults():
    noted = {"width": 0.5, "decay": 0.9, "colour": "red", "epochs": 7, "reset": None}
    filled = Architecture(decay=1.0).fill(noted)
    usual = dict(DEFAULTS) | {"steps": None, "encoder": None}
    assert filled.settings == usual | {"width": 0.5, "decay": 1.0}
    assert Architecture(decay=1.0).given == {"decay": 1.0}


def test_a_function_of_one_s_own_builds_the_network_as_it_is_with_weights_of_a_seed(tmp_path):
    wanted = Architecture(model=own(tmp_path, (1, 8, 8), 10))
    assert wanted.describe() == wanted.model
    assert wanted.fit_to(few_images()) == wanted.fit_to(few_frames()) == wanted
    one, again, other = (weights(wanted.build(seed)) for seed in (0, 0, 1))
    assert same(one, again)
    assert not same(one, other)


def test_notes_that_name_a_function_run_no_code(tmp_path):
    name = own(tmp_path, (1, 8, 8), 10)
    (tmp_path / "mine.py").write_text("raise AssertionError('run although no one asked for it')")
    with pytest.raises(ValueError, match=r"^model: .*no checkpoint runs code"):
        Architecture().fill({"model": name})
    assert Architecture(model="vgg5").fill({"model": name}).model == "vgg5"


@pytest.mark.parametrize("bare", [False, True])
def test_a_model_of_the_user_s_own_that_the_samples_do_not_go_through_is_refused(bare, tmp_path):
    name = adapted.own(tmp_path, shape=(1, 8, 8)) if bare else own(tmp_path, (1, 8, 8), 3)
    if not bare:
        file = tmp_path / "mine.py"
        file.write_text(file.read_text().replace(", input_shape=(1, 8, 8)", ""))
        assert Architecture(model=name).build_for(few_images(shape=(1, 8, 8))).input_shape is None
    with pytest.raises(ValueError, match=r"^model: .*shape \(1, 4, 4\), got"):
        Architecture(model=name).build_for(few_images())


def test_the_trial_of_a_network_of_the_user_s_own_leaves_it_as_it_was(tmp_path):
    name, state = own(tmp_path, (1, 4, 4), 3), torch.get_rng_state()
    network = Architecture(model=name).build_for(few_images(), 3)
    assert network.training
    assert same(weights(network), weights(Architecture(model=name).build(3)))
    assert torch.equal(state, torch.get_rng_state())


def test_steps_beside_a_function_are_those_of_a_bare_model(tmp_path):
    wanted = Architecture(model=adapted.own(tmp_path), steps=4)
    assert wanted.build_for(few_images()).encoder == Direct(4)
    assert wanted.describe() == f"{wanted.model}, T = 4"
    drawn = Architecture(**wanted.settings | {"encoder": "poisson"})
    assert drawn.build_for(few_images()).encoder == drawn.build().encoder == Poisson(4)
    with pytest.raises(ValueError, match=r"^encoder: .*frames or ablation, since"):
        drawn.fit_to(few_frames())


def test_a_bare_model_takes_event_frames_as_its_steps(tmp_path):
    wanted = Architecture(model=adapted.own(tmp_path, shape=(2, 4, 6)))
    assert wanted.build_for(few_frames()).encoder == Frames(3)
    with pytest.raises(ValueError, match=r"^steps: .*expected 3"):
        Architecture(model=wanted.model, steps=4).build_for(few_frames())


def build_own(model, **options):
    """The first form of the network."""
    return next(build_forms(model, **options))


def test_a_colon_tells_a_function_from_a_model():
    names = ("mine.py:network", "package.module:network", "C:\\networks\\mine.py:network")
    assert all(Architecture(model=name).is_own for name in names)
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


LONG = "x" * 5000
NO_NETWORK = [
    ("def f():\n    return [1]\n", "mine.py:f", r"returns a list.*interop\.adapt"),
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


@pytest.mark.parametrize(("source", "model", "words"), NO_NETWORK, ids=range(len(NO_NETWORK)))
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
        Architecture(model=f"{place}:f").build_own_for(torch.rand(1, 3), COMPLAINT)
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
from tests.interop.adapted import Inline
from tests.interop.neurons import Output, Step, Steps
from tests.interop.stacks import OfOneStep, Stack
from tests.interop.unknown import Complementary

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

def unknown_step():
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 4), Complementary(), nn.Linear(4, 3))

def unknown_own_time():
    return Inline(9, 3)
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
        ("unknown_step", "T = 8, direct encoding, one step in a call"),
        ("unknown_own_time", "the model's own time"),
    ],
)
def test_the_form_of_a_bare_model_is_found_on_two_samples(name, words, tmp_path):
    (tmp_path / "mine.py").write_text(FORMS)
    architecture, x = Architecture(model=f"mine.py:{name}"), torch.rand(4, 1, 3, 3)
    network = architecture.build_own_for(x, COMPLAINT)
    assert architecture.describe(network) == f"mine.py:{name}, {words}"
    with torch.no_grad():
        assert torch.equal(network.eval()(x), deepcopy(network)(x))
    drawn = Architecture(**architecture.settings | {"encoder": "poisson", "steps": 3})
    if name not in ("own_time", "steps", "unknown_own_time"):
        assert drawn.build_own_for(x, COMPLAINT).encoder == Poisson(3)


def test_the_complaint_about_samples_that_fit_no_form_is_that_of_the_first(tmp_path):
    (tmp_path / "mine.py").write_text(FORMS)
    with pytest.raises(ArgumentError, match=r"^x: expected a, got b .*\. c$"):
        Architecture(model="mine.py:steps").build_own_for(torch.rand(4, 1, 5, 5), COMPLAINT)
