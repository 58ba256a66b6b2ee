"""What only a CUDA device can show: attacks, training, moves and copies across devices."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, ProjectedGradientDescent
from art.defences.trainer import AdversarialTrainerMadryPGD, AdversarialTrainerTRADESPyTorch

from art_snn import RGA, STBP
from art_snn.interop import adapt
from tests.classifiers import Counted, build
from tests.interop import stacks
from tests.interop.neurons import Step, Steps
from tests.interop.promises import OWN_TIME, inputs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, found none"),
]

STEPS = {"eps": 0.1, "eps_step": 0.05, "max_iter": 3, "verbose": False}


def devices(classifier: Any) -> set[str]:
    """Device types of the weights, of the optimizer's weights and of its state."""
    groups = classifier.optimizer.param_groups
    state = classifier.optimizer.state.values()
    tensors = [
        *classifier.model.state_dict().values(),
        *(p for group in groups for p in group["params"]),
        *(v for s in state for k, v in s.items() if torch.is_tensor(v) and k != "step"),
    ]
    return {tensor.device.type for tensor in tensors}


@pytest.fixture(autouse=True)
def _exact_convolutions() -> Iterator[None]:
    """TF32 rounds to ten bits, too coarse to compare with the CPU."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.fixture
def on_gpu(trained_layers: Any) -> Any:
    return build(copy.deepcopy(trained_layers), device_type="gpu")


@pytest.fixture
def batch(known: Any) -> tuple[np.ndarray, np.ndarray]:
    return known[0][:8].copy(), known[1][:8].copy()


@pytest.mark.parametrize("rule", ["rga", "stbp"])
def test_gradients_are_those_of_the_cpu(classifier, on_gpu, batch, rule):
    assert devices(on_gpu) == {on_gpu.device.type} == {"cuda"}
    for method in ("loss_gradient", "class_gradient"):
        arguments = batch if method == "loss_gradient" else batch[:1]
        there = getattr(on_gpu, method)(*arguments, gradient=rule)
        here = getattr(classifier, method)(*arguments, gradient=rule)
        assert isinstance(there, np.ndarray)
        np.testing.assert_allclose(there, here, rtol=1e-3, atol=1e-5)
    for there, here in (
        (on_gpu.predict(batch[0]), classifier.predict(batch[0])),
        (on_gpu.compute_loss(*batch), classifier.compute_loss(*batch)),
        (on_gpu.get_activations(batch[0], 0), classifier.get_activations(batch[0], 0)),
    ):
        np.testing.assert_allclose(there, here, atol=1e-4)
    assert on_gpu.get_activations(batch[0], 0, framework=True).is_cuda


ATTACKS = {
    "PGD": lambda c: ProjectedGradientDescent(c, **STEPS),
    "APGD": lambda c: AutoProjectedGradientDescent(c, loss_type="cross_entropy", **STEPS),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_run_by_the_selected_rule(trained_layers, batch, attack):
    selected, other = Counted(RGA()), Counted(STBP())
    rules = {"gradient": selected, "training_gradient": other}
    classifier = build(copy.deepcopy(trained_layers), **rules, device_type="gpu")
    adversarial = ATTACKS[attack](classifier).generate(*batch)
    assert np.abs(adversarial - batch[0]).max() == pytest.approx(0.1, abs=1e-5)
    assert selected.tally.backwards > 0
    assert other.tally.backwards == 0
    before = (classifier.predict(batch[0]).argmax(1) == batch[1]).mean()
    assert (classifier.predict(adversarial).argmax(1) == batch[1]).mean() < before


def test_trainers_train_on_the_gpu(on_gpu, data):
    x, y = data.x_train[:32], data.y_train[:32]
    attack = ProjectedGradientDescent(on_gpu, **STEPS)
    trainers = (
        AdversarialTrainerMadryPGD(on_gpu, nb_epochs=1, batch_size=16, eps=0.1, eps_step=0.05),
        AdversarialTrainerTRADESPyTorch(on_gpu, attack, beta=6.0),
    )
    for trainer in trainers:
        before = copy.deepcopy(on_gpu.model.state_dict())
        trainer.fit(x, y, batch_size=16, nb_epochs=1)
        for name, weight in on_gpu.model.state_dict().items():
            assert weight.is_cuda
            assert torch.isfinite(weight).all()
            assert not torch.equal(weight, before[name]), name


@pytest.mark.parametrize("rule", ["stbp", "rga", "hart", "native"])
@pytest.mark.parametrize("layout", ["all steps", "loop"])
def test_gradients_of_adapted_networks_are_those_of_the_cpu(layout, rule):
    whole = layout == "all steps"
    gradients = []
    for place in ("cpu", "cuda"):
        model = stacks.Stack(Steps) if whole else stacks.Loop(Step)
        network = adapt(model, **({"steps": stacks.STEPS} if whole else OWN_TIME)).to(place)
        x = inputs().to(place).requires_grad_()
        with network.using(rule):
            (gradient,) = torch.autograd.grad(network(x)[:, 0].sum(), x)
        gradients.append(gradient.cpu())
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)
