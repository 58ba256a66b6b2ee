"""What a card computes is what the CPU computes: rules, attacks, training, networks, commands."""

from __future__ import annotations

import copy
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from art_snn import checkpoint
from art_snn.interop import adapt
from art_snn.training import Recipe, Validation, train
from tests import small
from tests.architectures import ENCODERS, batch
from tests.audit import OURS, ROWS, Row
from tests.command import call
from tests.conftest import seed_everything
from tests.datasets import images
from tests.frameworks.test_equations import CASES as REAL
from tests.gradients.test_contract import ARCHITECTURES, PAIRS, RULES, ascend, signed
from tests.interop.families import OWN_TIME
from tests.interop.promises import EVERY, inputs, weighed
from tests.interop.test_equations import CASES as STANDINS
from tests.networks import Probabilities, build
from tests.test_audit import _in_an_empty_folder, _uncompiled, arguments  # noqa: F401 (fixtures)
from tests.test_default_device import WORKS, subject

pytestmark = pytest.mark.gpu
CARDS = ("cuda:0", "cuda:1")


def on(card: str, classifier: Any) -> Any:
    """The classifier on a card, which is current only while it is moved."""
    with torch.cuda.device(card):
        classifier.set_params(device_type="gpu")
    assert classifier.device == torch.device(card)
    return classifier


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("name", "encoder"), PAIRS)
def test_a_rule_gives_the_logits_and_gradients_of_the_cpu(name, encoder, architecture):
    coder = ENCODERS[encoder](4)
    net = signed(name, ARCHITECTURES[architecture], encoder=coder)
    x, results = batch(3, coder), []
    for place in ("cpu", "cuda"):
        results.append(ascend(copy.deepcopy(net).to(place), x.to(place)))
    (logits, gradient), (logits_there, gradient_there) = results
    assert torch.equal(logits, logits_there.cpu()) or not RULES[name].exact_logits
    torch.testing.assert_close(logits_there.cpu(), logits, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient_there.cpu(), gradient, rtol=1e-9, atol=1e-12)


# The slope of a ReLU jumps: in half precision other sums give it other gradients.
HALF = [(name, "bfloat16", 1e-2) for name in RULES if name != "relu"]


@pytest.mark.parametrize(
    ("name", "dtype", "share"), [*((name, None, 1e-5) for name in RULES), *HALF]
)
def test_a_rule_does_so_in_single_and_in_half_precision(name, dtype, share):
    net = signed(name, ARCHITECTURES["vgg"]).float()
    net.attack_dtype = dtype
    x = batch(3, dtype=torch.float32)
    _, here = ascend(net, x)
    _, there = ascend(copy.deepcopy(net).to("cuda"), x.to("cuda"))
    assert (there.cpu() - here).abs().max() <= share * here.abs().max()


@pytest.mark.parametrize("card", CARDS)
@pytest.mark.parametrize("work", WORKS)
def test_what_a_classifier_is_used_for_comes_out_as_on_the_cpu(work, card):
    done = WORKS[work]
    expected, (classifier, x, y) = done(*subject(work)), subject(work)
    result = done(on(card, classifier), x, y)
    if work == "train":  # The CPU adds up gradients at weights in blocks.
        list(map(partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12), result, expected))
    else:
        np.testing.assert_equal(result, expected)
    assert torch.cuda.current_device() == 0
    assert {str(weight.device) for weight in classifier.model.parameters()} == {card}


BOTH = {"CompositeAdversarialAttackPyTorch"}
"""Draw from the generator of the CPU and from that of the device, by turns."""
RUNNING = [
    row for row in (*ROWS, *OURS) if row.defect is None and not row.missing and row.name not in BOTH
]


@pytest.mark.parametrize("row", RUNNING, ids=lambda row: row.name)
def test_an_attack_crafts_the_samples_of_the_cpu(row: Row, trained_layers, known, monkeypatch):
    # Some of ART's attacks start from a state that the clock seeds.
    monkeypatch.setattr(np.random, "RandomState", partial(np.random.RandomState, 0))
    crafted = []
    for device_type in ("cpu", "gpu"):
        seed_everything()
        defences = {"postprocessing_defences": Probabilities()} if row.probabilities else {}
        layers = copy.deepcopy(trained_layers)
        classifier = build(layers, row.form, row.rule, device_type=device_type, **defences)
        x, y = arguments(row, classifier, known)
        crafted.append(row.run(row.build(classifier), x, y))
    np.testing.assert_array_equal(*crafted)


class Stopped(Exception):
    """Ends a training."""


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize(("first", "second"), [("cpu", "cuda:0"), ("cuda:1", "cpu")])
def test_a_training_goes_on_on_another_device(first, second, dtype, tmp_path):
    recipe = Recipe(epochs=2, batch_size=4, learning_rate=0.01, seed=3, train_dtype=dtype)
    base = small.classifier()
    x, y = small.samples(base, 12)

    def trained(place: str, folder: Path, stop: bool = False) -> list[torch.Tensor]:
        network = copy.deepcopy(base.model).float().to(place)
        seen = []

        def count(*_: Any) -> None:
            seen.append(network.training)
            if stop and sum(seen) == 5:
                raise Stopped

        network.layers[0].register_forward_hook(count)
        train(network, x, y, recipe, folder, validation=Validation(x, y), verbose=False)
        return [weight.cpu() for weight in network.state_dict().values()]

    whole = trained("cpu", tmp_path / "whole.pt")
    with pytest.raises(Stopped):
        trained(first, tmp_path / "state.pt", stop=True)
    for weight, expected in zip(trained(second, tmp_path / "state.pt"), whole, strict=True):
        torch.testing.assert_close(weight, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("place", ["cpu", *CARDS])
def test_a_checkpoint_is_loaded_on_any_device(place, tmp_path):
    saved = on("cuda:0", small.classifier()).model
    checkpoint.save(saved, tmp_path / "network.safetensors")
    loaded = small.classifier(seed=1).model.to(place)
    checkpoint.load(loaded, tmp_path / "network.safetensors")
    for name, weight in loaded.state_dict().items():
        assert weight.device == torch.device(place)
        assert torch.equal(weight.cpu(), saved.state_dict()[name].cpu())


@pytest.mark.parametrize("case", [*STANDINS, *REAL], ids=str)
def test_an_adapted_network_gives_the_gradients_of_the_cpu(case):
    if case in REAL and case.name == "IAF" and case.options == OWN_TIME:
        pytest.skip("on the CPU Norse's IAFCell changes a default, and then starts on no card")
    results: dict[str, list[torch.Tensor]] = {}
    for place in ("cpu", "cuda"):
        network = adapt(case.make(), **case.options).to(place)
        results[place] = []
        for rule in (rule for rule in EVERY if rule not in case.refused):
            x = inputs().to(place).requires_grad_()
            with network.using(rule):
                (gradient,) = torch.autograd.grad(weighed(network(x).cpu()), x)
            results[place].append(gradient.cpu())
    for here, there in zip(*results.values(), strict=True):
        torch.testing.assert_close(there, here, rtol=1e-5, atol=1e-7)


TRAINED = ("--width", "0.0625", "--steps", "2", "--epochs", "1", "--batch-size", "8")
COMMANDS = {
    "harden": (*TRAINED, "--attack", "fgsm", "--validation", "0.25"),
    "evaluate": (
        *(*TRAINED, "--threads", "1", "--attack", "AutoPGD", "--attack-options", "max_iter=2"),
        *("--rules", "stbp,rga", "--eps", "0.1", "--samples", "4", "--examined", "0"),
    ),
}
RESULTS = {"harden": "training.json", "evaluate": "evaluation.json"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_the_results_of_the_cpu(command, tmp_path):
    data, results = images(tmp_path / "mine.npz"), []
    for device in ("cpu", "gpu"):
        output = tmp_path / device / "out"
        options = ("--data", str(data), "--output", str(output), "--device", device)
        done = call(command, *COMMANDS[command], *options)
        assert done.status == 0, done.stderr
        results.append(json.loads((output / RESULTS[command]).read_text()))
    assert_same_numbers(*results)


DIFFER = {"date", "sha256", "seconds", "device", "key", "provenance"}


def assert_same_numbers(here: Any, there: Any) -> None:
    """But for what tells of machine, time and command."""
    if isinstance(here, dict):
        assert here.keys() == there.keys()
        for key in here.keys() - DIFFER:
            assert_same_numbers(here[key], there[key])
    elif isinstance(here, list):
        assert len(here) == len(there)
        for one, other in zip(here, there, strict=True):
            assert_same_numbers(one, other)
    else:
        assert here == there
