"""Results are the same whatever torch's default device is, of which no tensor of ours is made."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import art_snn
from art_snn import STBP, Poisson
from art_snn.attacks import AutoPGD, SparseDynamicAttack, SpikeRetiming, SpikingAutoAttack
from art_snn.attacks.square_search import SquareSearch
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
from art_snn.attacks.stages import Plan, Stage
from art_snn.findings import examine, examine_attack
from art_snn.metrics import certify
from art_snn.training import AdversarialTraining, Recipe, train
from tests.classifiers import FORMS, build, classifier, samples

SHORT: dict[str, Any] = {"max_iter": 2, "verbose": False}
SMALL: dict[str, Any] = {"eps": 0.1, "max_iter": 3, "verbose": False}
RECIPE = Recipe(epochs=1, batch_size=4, learning_rate=0.01)
STAGES = (
    Stage(AutoPGD, None, {"max_iter": 3}),
    Stage(SquareSearch, None, {"max_iter": 3}, warm=True),
)


def whole(attack: SpikingAutoAttack, x: Any, y: Any) -> Any:
    return attack.generate(x, y), attack.outcome.stage, attack.outcome.distance


def trained(c: Any, x: Any, y: Any, **options: Any) -> list[np.ndarray]:
    train(c.model, x, y, RECIPE, validation=(x, y), **options)
    return [weight.cpu().numpy() for weight in c.model.state_dict().values()]


WORKS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "predict": lambda c, x, y: c.predict(x),
    "compute_loss": lambda c, x, y: c.compute_loss(x, y),
    "loss_gradient": lambda c, x, y: c.loss_gradient(x, y),
    "class_gradient": lambda c, x, y: c.class_gradient(x, label=y),
    "get_activations": lambda c, x, y: c.get_activations(x, 1),
    "AutoPGD": lambda c, x, y: AutoPGD(c, **SMALL).generate(x, y),
    "StableAdaptivePGD": lambda c, x, y: StableAdaptivePGD(c, **SMALL).generate(x, y),
    "SquareSearch": lambda c, x, y: SquareSearch(c, **SMALL).generate(x, y),
    "SpikingAutoAttack": lambda c, x, y: whole(
        SpikingAutoAttack(c, eps=0.05, plan=Plan("two", STAGES), verbose=False), x, y
    ),
    "examine": lambda c, x, y: [str(finding) for finding in examine(c, x, y, eps=0.1)],
    "examine_attack": lambda c, x, y: [
        str(finding) for finding in examine_attack(AutoPGD(c, **SMALL), x, y, eps=0.1)
    ],
    "train": trained,
    "train on adversarial samples": lambda c, x, y: trained(
        c, x, y, adversary=AdversarialTraining(attack="fgsm", eps=0.1)
    ),
    "certify": lambda c, x, y: certify(c, x, y, selection=3, draws=5).region.size,
    "SparseDynamicAttack": lambda c, x, y: SparseDynamicAttack(c, **SHORT).generate(x, y),
    "SpikeRetiming": lambda c, x, y: SpikeRetiming(c, **SHORT).generate(x, y),
}


def subject(work: str) -> tuple[Any, Any, Any]:
    """A classifier with samples and labels for a work."""
    if work in ("SparseDynamicAttack", "SpikeRetiming"):
        torch.manual_seed(0)
        c = build(form="binary frames", gradient=STBP())
        images = np.random.default_rng(0).random((4, 1, 8, 8)).astype(np.float32)
        x = FORMS["binary frames"].present(images)
        return c, x, c.predict(x).argmax(1)
    c = classifier(encoder=Poisson(2) if work == "certify" else None)
    return c, *samples(c, 6)


@pytest.fixture
def at_meta() -> Iterator[Callable[[], None]]:
    """Makes the device without values the default one, on which nothing can be computed."""
    yield lambda: torch.set_default_device("meta")
    torch.set_default_device(None)


@pytest.mark.parametrize("work", WORKS)
def test_no_default_device_changes_what_comes_out(work, at_meta):
    done = WORKS[work]
    expected, given = done(*subject(work)), subject(work)
    at_meta()
    np.testing.assert_equal(done(*given), expected)


FACTORIES = {
    *("tensor", "as_tensor", "asarray", "scalar_tensor", "zeros", "ones", "empty", "full"),
    *("arange", "linspace", "logspace", "range", "eye", "tril_indices", "triu_indices"),
    *("rand", "randn", "randint", "randperm", "normal"),
}
FOLLOWING = {"layers.py", "modulation.py", "interop/nir.py"}
"""Buffers of a layer that is built are on the default device, as those of torch's layers."""


def test_every_tensor_is_made_on_a_device_that_is_named():
    root, made = Path(art_snn.__file__).parent, []
    for path in root.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("torch."):
                named = any(keyword.arg == "device" for keyword in call.keywords)
                if call.func.attr in FACTORIES and not named:  # type: ignore[attr-defined]
                    made.append(f"{path.relative_to(root)}:{call.lineno}")
    assert [place for place in made if place.split(":")[0] not in FOLLOWING] == []
