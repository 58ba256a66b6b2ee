"""PyTorchSpikingClassifier around adapted networks: whatever it does with networks of ours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from torch import nn

from art_snn import RGA, STBP, PyTorchSpikingClassifier
from art_snn.gradients import Native
from tests.adapted import SHAPE, STEPS, network
from tests.datasets import halves

KINDS = ["steps", "merged", "step"]


@pytest.fixture(params=KINDS)
def adapted(request: pytest.FixtureRequest) -> PyTorchSpikingClassifier:
    return around(request.param)


def around(kind: str) -> PyTorchSpikingClassifier:
    torch.manual_seed(0)
    made = network(kind, classes=2)
    return PyTorchSpikingClassifier(
        made,
        nn.CrossEntropyLoss(),
        SHAPE,
        2,
        optimizer=torch.optim.Adam(made.parameters(), lr=0.02),
        clip_values=(0.0, 1.0),
        device_type="cpu",
    )


def test_it_learns_by_the_native_gradient_and_is_attacked_by_ours(adapted):
    data = halves()
    x, y = data.x_train, data.y_train
    assert adapted.model.training_gradient == Native()
    adapted.fit(x, y, batch_size=8, nb_epochs=20)
    assert (adapted.predict(x).argmax(1) == y).mean() > 0.9
    assert adapted.gradient == RGA()
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


NAMED = {
    "steps": ("layers.1", "layers.2", "layers.3"),
    "merged": ("layers.body.1", "layers.body.2", "layers.body.3"),
    "step": ("layers.first", "layers.lif", "layers.second"),
}


# As many samples as steps, too, where the axes could be taken for one another.
@pytest.mark.parametrize("samples", [STEPS, 5])
def test_activations_are_means_over_time_however_layers_are_called(samples):
    x = np.random.default_rng(0).random((samples, *SHAPE), dtype=np.float32)
    averages = []
    for kind in KINDS:
        one = around(kind)
        assert set(NAMED[kind]) <= set(one.layer_names)
        averages.append([one.get_activations(x, name, batch_size=samples) for name in NAMED[kind]])
        batches = [one.get_activations(x, name, batch_size=2) for name in NAMED[kind]]
        assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(averages[-1], batches, strict=True))
        assert np.allclose(averages[-1][-1], one.predict(x), atol=1e-6)
    assert [part.shape for part in averages[0]] == [(samples, 8), (samples, 8), (samples, 2)]
    rates = averages[0][1]
    assert np.allclose(rates * STEPS, np.rint(rates * STEPS))
    assert rates.any()
    for other in averages[1:]:
        assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(averages[0], other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", ["rga", "native"])
def test_activations_with_a_graph_lead_back_to_the_samples(kind, rule):
    one, x = around(kind), torch.rand(4, *SHAPE)
    one.set_params(gradient=rule)
    leaf = x.clone().requires_grad_()
    if kind == "step":
        with pytest.raises(ValueError, match=r"^x: .* without a graph, since .* step by step"):
            one.get_activations(leaf, NAMED[kind][0], framework=True)
        return
    for name in NAMED[kind][1:]:
        average = one.get_activations(leaf, name, framework=True)
        (gradient,) = torch.autograd.grad(average.sum(), leaf)
        assert gradient.shape == x.shape
        assert gradient.any()
        plain = one.get_activations(x.numpy(), name)
        assert np.allclose(average.detach().numpy(), plain, atol=1e-6)


def test_a_layer_that_is_not_called_is_refused():
    one = around("step")
    one.model.model.add_module("spare", nn.Linear(2, 2))
    one._layer_names = one.model.layer_names
    with pytest.raises(ValueError, match=r"^layer: .*that the model calls, got 'layers\.spare'"):
        one.get_activations(np.zeros((1, *SHAPE), np.float32), "layers.spare")
