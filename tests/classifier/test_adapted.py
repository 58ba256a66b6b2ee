"""PyTorchSpikingClassifier around adapted networks: whatever it does with networks of ours."""

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from torch import Tensor, nn

from art_snn import STBP, PyTorchSpikingClassifier
from art_snn.gradients import Native
from art_snn.interop import adapt
from art_snn.network import SpikingNetwork
from tests.attacks.classifiers import around as wrapped
from tests.datasets import halves
from tests.interop.adapted import SHAPE, STEPS, network
from tests.interop.neurons import Steps

KINDS = ["steps", "merged", "step"]


@pytest.fixture(params=KINDS)
def adapted(request: pytest.FixtureRequest) -> PyTorchSpikingClassifier:
    return around(request.param)


def around(kind: str, made: SpikingNetwork | None = None) -> PyTorchSpikingClassifier:
    torch.manual_seed(0)
    made = network(kind, classes=2) if made is None else made
    return wrapped(made, SHAPE, 2, optimizer=torch.optim.Adam(made.parameters(), lr=0.02))


def test_it_learns_by_the_native_gradient_and_is_attacked_by_ours(adapted):
    data = halves()
    x, y = data.x_train, data.y_train
    assert adapted.model.training_gradient == Native()
    adapted.fit(x, y, batch_size=8, nb_epochs=20)
    assert (adapted.predict(x).argmax(1) == y).mean() > 0.9
    assert adapted.gradient == STBP()
    moved = ProjectedGradientDescent(adapted, eps=0.4, eps_step=0.1, max_iter=5).generate(x, y)
    assert (adapted.predict(moved).argmax(1) == y).mean() < 0.9
    assert np.abs(moved - x).max() <= 0.4 + 1e-6


def test_gradients_are_those_of_the_rule_that_is_named(adapted):
    data = halves()
    x, y = data.x_test, data.y_test
    grads = {rule: adapted.loss_gradient(x, y, gradient=rule) for rule in ("rga", "stbp", "native")}
    # The neurons' own surrogate is the triangle of STBP.
    assert np.allclose(grads["native"], grads["stbp"], atol=1e-6)
    assert not np.allclose(grads["rga"], grads["stbp"], atol=1e-3)
    jacobian = adapted.class_gradient(x)
    assert jacobian.shape == (len(x), 2, *SHAPE)
    assert np.allclose(jacobian[:, 1:], adapted.class_gradient(x, 1), atol=1e-6)
    assert adapted.compute_loss(x, y).shape == (len(x),)


def test_a_clone_for_refitting_has_other_weights_and_the_same_rules(adapted):
    x = halves().x_test
    adapted.set_params(gradient="stbp")
    clone = adapted.clone_for_refitting()
    assert clone.gradient == STBP()
    assert clone.model.training_gradient == Native()
    assert not np.array_equal(clone.predict(x), adapted.predict(x))


NAMED = ("layers.1", "layers.2", "layers.3")


# As many samples as steps, too, where the axes could be taken for one another.
@pytest.mark.parametrize("samples", [STEPS, 5])
def test_activations_are_means_over_time(samples):
    x = np.random.default_rng(0).random((samples, *SHAPE), dtype=np.float32)
    one = around("steps")
    assert set(NAMED) <= set(one.layer_names)
    averages = [one.get_activations(x, name, batch_size=samples) for name in NAMED]
    batches = [one.get_activations(x, name, batch_size=2) for name in NAMED]
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(averages, batches, strict=True))
    assert np.allclose(averages[-1], one.predict(x), atol=1e-6)
    assert [part.shape for part in averages] == [(samples, 8), (samples, 8), (samples, 2)]
    assert np.allclose(averages[1] * STEPS, np.rint(averages[1] * STEPS))
    assert averages[1].any()


@pytest.mark.parametrize("rule", ["rga", "native"])
def test_activations_with_a_graph_lead_back_to_the_samples(rule):
    one, x = around("steps"), torch.rand(4, *SHAPE)
    one.set_params(gradient=rule)
    leaf = x.clone().requires_grad_()
    for name in NAMED[1:]:
        average = one.get_activations(leaf, name, framework=True)
        (gradient,) = torch.autograd.grad(average.sum(), leaf)
        assert gradient.shape == x.shape
        assert gradient.any()
        plain = one.get_activations(x.numpy(), name)
        assert np.allclose(average.detach().numpy(), plain, atol=1e-6)


@pytest.mark.parametrize(("kind", "takes"), [("merged", "merged"), ("step", "step")])
def test_activations_of_layers_without_a_time_axis_in_front_are_refused(kind, takes):
    one = around(kind)
    with pytest.raises(ValueError, match=rf"^layer: .*take {takes}"):
        one.get_activations(np.zeros((2, *SHAPE), np.float32), one.layer_names[0])


class Folding(nn.Linear):
    """It takes [T * N, ...] inside of a model of [T, N, ...]."""

    def __init__(self) -> None:
        super().__init__(STEPS, STEPS)
        self.inner, self.spare = nn.Linear(STEPS, STEPS), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.inner(x.flatten(0, 1)).unflatten(0, x.shape[:2]))


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("name", ["inner", "spare"])
def test_a_layer_that_is_not_called_or_has_other_axes_is_refused(name, graph):
    layers = nn.Flatten(2), nn.Linear(16, STEPS), Folding(), Steps(), nn.Linear(STEPS, 2)
    one = around("steps", adapt(nn.Sequential(*layers).eval(), steps=STEPS))
    x = torch.rand(STEPS, *SHAPE).requires_grad_(graph)
    assert one.get_activations(x, "layers.2", framework=True).shape == (STEPS, STEPS)
    with pytest.raises(ValueError, match=rf"^layer: .*'layers\.2\.{name}'"):
        one.get_activations(x, f"layers.2.{name}", framework=True)
