"""A network by its settings: what is left open, what suits the data, and a function instead."""

import pytest
import torch

from art_snn import LIF, SpikingNetwork
from art_snn.app.architecture import Architecture
from art_snn.encoders import Direct, Frames, Poisson, describe_encoder, parse_encoder
from art_snn.models import DEFAULTS, MODELS
from tests.architectures import same, weights
from tests.datasets import few_frames, few_images
from tests.interop import adapted
from tests.own import own


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
    ({"width": 0}, few_images(), "width: .*above 0"),
    ({"reset": "none"}, few_images(), "reset: "),
    ({"threshold": 0}, few_images(), "threshold: .*above 0"),
    *(({"encoder": name}, few_frames(), "encoder: .*frames") for name in ("direct", "poisson")),
    ({"steps": 8}, few_frames(), "steps: .*3, .*got 8"),
    ({"encoder": "frames"}, few_images(), "encoder: .*direct or poisson"),
    (OWN | {"width": 0.5}, few_images(), r"width: .*None .*none\.py:build.*0\.5"),
    (OWN | {"decay": 0.9}, few_images(), r"decay: .*None .*0\.9"),
    (OWN | {"threshold": 1.0}, few_images(), r"threshold: .*None .*1\.0"),
    (OWN | {"reset": "hard"}, few_images(), "reset: .*None .*'hard'"),
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
    network = wanted.build_for(few_images(shape=(1, 8, 8), classes=10))
    assert isinstance(network, SpikingNetwork)
    assert network.encoder == Direct(3)
    assert wanted.is_own
    assert not Architecture(model="vgg5").is_own
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
    drawn = wanted.replace(encoder="poisson")
    assert drawn.build_for(few_images()).encoder == drawn.build().encoder == Poisson(4)
    with pytest.raises(ValueError, match=r"^encoder: .*frames or ablation, since"):
        drawn.fit_to(few_frames())
    with pytest.raises(ValueError, match=r"^steps: .*None"):
        Architecture(model=own(tmp_path, (1, 4, 4), 3), steps=4).build_for(few_images())


def test_a_bare_model_takes_event_frames_as_its_steps(tmp_path):
    wanted = Architecture(model=adapted.own(tmp_path, shape=(2, 4, 6)))
    assert wanted.build_for(few_frames()).encoder == Frames(3)
    with pytest.raises(ValueError, match=r"^steps: .*expected 3"):
        Architecture(model=wanted.model, steps=4).build_for(few_frames())
