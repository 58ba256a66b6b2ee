"""The classifier keeps ART's contract, and leaves the network as it found it."""

import copy
import pickle
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from art import config
from art.attacks.evasion import AutoProjectedGradientDescent
from art.defences.preprocessor import SpatialSmoothing
from art.estimators.classification import PyTorchClassifier
from torch import nn
from torch.nn import functional as F

from art_snn import LIF, Direct, PyTorchSpikingClassifier, SpikingNetwork, TimeDistributed as Timed
from art_snn.gradients import RGA, STBP
from tests.classifiers import DIGITS, FORMS, STEPS, Counted, Tally, build
from tests.test_interrupts import state

KEEP = {"rtol": 1e-5, "atol": 1e-8}


@pytest.fixture
def batch(known: Any) -> tuple[np.ndarray, np.ndarray]:
    return known[0][:6].copy(), known[1][:6].copy()


def stock(classifier: PyTorchSpikingClassifier) -> PyTorchClassifier:
    """ART's own classifier around the same network."""
    sizes = classifier.input_shape, classifier.nb_classes
    options = {"clip_values": (0.0, 1.0), "device_type": "cpu"}
    return PyTorchClassifier(classifier.model, classifier.loss, *sizes, **options)


def hand_made_jacobian(classifier: Any, x: np.ndarray) -> np.ndarray:
    """Gradient of every logit by every sample [N, K, *shape], sample by sample."""
    rows = []
    for sample in x:
        leaf = torch.tensor(sample[None], requires_grad=True)
        logits = classifier.model(leaf)[0]
        grads = [torch.autograd.grad(logit, leaf, retain_graph=True)[0][0] for logit in logits]
        rows.append(torch.stack(grads).numpy())
    return np.stack(rows)


def around(model: nn.Module, **options: Any) -> PyTorchSpikingClassifier:
    """A classifier of ours around any model, of grey digits."""
    loss, shape = nn.CrossEntropyLoss(), (1, 8, 8)
    return PyTorchSpikingClassifier(model, loss, shape, DIGITS, device_type="cpu", **options)


def varying_layers() -> nn.Sequential:
    """Layers whose output depends on the mode of the network."""
    return nn.Sequential(
        Timed(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)),
        LIF(),
        Timed(nn.Dropout(0.5), nn.Flatten(), nn.Linear(256, DIGITS)),
    )


def test_loss_gradient_equals_autograd_by_hand_and_arts_own_classifier(classifier, batch):
    gradient = classifier.loss_gradient(*batch)
    assert isinstance(gradient, np.ndarray)
    assert gradient.dtype == np.float32
    x, y = map(torch.tensor, batch)
    leaf = x.clone().requires_grad_()
    by_hand = torch.autograd.grad(F.cross_entropy(classifier.model(leaf), y), leaf)[0]
    np.testing.assert_allclose(gradient, by_hand, **KEEP)
    assert np.abs(gradient).max() > 0
    theirs = stock(classifier).loss_gradient(batch[0], np.eye(DIGITS)[batch[1]])
    np.testing.assert_allclose(gradient, theirs, **KEEP)
    np.testing.assert_array_equal(classifier.loss_gradient(*batch, sampling=False), gradient)
    of_tensors = classifier.loss_gradient(x, y)
    assert isinstance(of_tensors, torch.Tensor)
    assert not of_tensors.requires_grad
    assert not x.requires_grad
    np.testing.assert_array_equal(of_tensors.numpy(), gradient)


def test_a_rule_for_one_call_does_not_stick(classifier, batch):
    x, y = batch
    for call in (partial(classifier.loss_gradient, x, y), partial(classifier.class_gradient, x, 2)):
        before, once = call(), call(gradient="stbp")
        with classifier.model.using(STBP()):
            np.testing.assert_array_equal(once, call())
        assert np.abs(once - before).max() > 0
        assert classifier.gradient == RGA()
        np.testing.assert_array_equal(call(), before)


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_every_format_of_labels_gives_the_same_result(classifier, batch, kind):
    x, y = batch
    one_hot, dtypes = np.eye(DIGITS)[y], (np.int32, np.uint8, np.float64)
    for labels in (y[:, None], one_hot, one_hot.astype("f4"), *(y.astype(t) for t in dtypes)):
        for call in (classifier.loss_gradient, classifier.compute_loss):
            result = np.asarray(call(kind(x), kind(labels)))
            np.testing.assert_allclose(result, call(x, y), **KEEP)


def test_training_mode_runs_the_network_in_training_mode(batch):
    classifier = build(varying_layers())
    evaluated = classifier.loss_gradient(*batch)
    assert np.abs(classifier.loss_gradient(*batch, training_mode=True) - evaluated).max() > 0
    assert np.abs(classifier.predict(batch[0], training_mode=True)).max() > 0
    assert not any(m.training for m in classifier.model.modules())


LABELS = [0, 9, 3, 3, 1, 5]


@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
@pytest.mark.parametrize("label", [None, 3, np.int64(3), LABELS, np.array(LABELS)], ids=repr)
def test_class_gradients_are_those_of_the_jacobian(classifier, batch, label, kind):
    expected = hand_made_jacobian(classifier, batch[0])
    if label is not None:
        expected = expected[range(6), np.broadcast_to(label, 6)][:, None]
    gradient = classifier.class_gradient(kind(batch[0]), label, sampling=False)
    assert type(gradient) is type(kind(batch[0]))
    np.testing.assert_allclose(np.asarray(gradient), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("batch_size", [128, 4, 1])
@pytest.mark.parametrize("kind", [np.asarray, torch.tensor])
def test_compute_loss_equals_torch(classifier, batch, reduction, batch_size, kind):
    with torch.no_grad():
        logits = classifier.model(torch.tensor(batch[0]))
    expected = F.cross_entropy(logits, torch.tensor(batch[1]), reduction=reduction)
    x, y = map(kind, batch)
    loss = classifier.compute_loss(x, y, reduction=reduction, batch_size=batch_size, sampling=False)
    assert isinstance(loss, type(x))
    np.testing.assert_allclose(np.asarray(loss), expected, rtol=1e-5)
    assert classifier.loss.reduction == "mean"


def test_predictions_are_the_networks_logits_in_any_batches(classifier, batch):
    with torch.no_grad():
        logits = classifier.model(torch.tensor(batch[0])).numpy()
    for size in (128, 6, 4, 1):
        predicted = classifier.predict(batch[0], batch_size=size, sampling=False)
        assert predicted.dtype == np.float32
        np.testing.assert_allclose(predicted, logits, rtol=1e-5, atol=1e-6)


def test_a_float64_network_predicts_in_float64(trained_layers, batch):
    classifier, (x, y) = build(copy.deepcopy(trained_layers).double()), batch
    assert classifier.predict(x).dtype == classifier.compute_loss(x, y).dtype == np.float64
    gradient = classifier.loss_gradient(x.astype(np.float64), y)
    assert gradient.dtype == np.float64
    assert np.abs(gradient).max() > 0
    classifier.class_gradient(x)
    classifier.fit(x, y, nb_epochs=1)


def test_the_gradient_of_half_precision_samples_does_not_underflow(classifier, data):
    x, y = data.x_train, data.y_train
    single, half = (classifier.loss_gradient(x.astype(t), y) for t in (np.float32, np.float16))
    assert np.array_equal(half != 0, single != 0)
    assert (single != 0).mean() > 0.9


def test_fit_takes_one_hot_labels_a_scheduler_and_validation_data_and_restores_modes(data):
    classifier = build(varying_layers())
    scheduler = torch.optim.lr_scheduler.StepLR(classifier.optimizer, step_size=1, gamma=0.5)
    x, y = data.x_train[:10], np.eye(DIGITS)[data.y_train[:10]]
    options = {"drop_last": True, "scheduler": scheduler, "validation_data": (x, y)}
    classifier.fit(x, y, batch_size=4, nb_epochs=2, **options)
    assert classifier.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 / 4)
    assert not any(m.training for m in classifier.model.modules())
    statistics = classifier.model.state_dict()["layers.0.module.1.num_batches_tracked"]
    assert statistics == 2 * 2, "batch norm was not in training mode"


def test_an_optimizer_of_another_network_is_refused_and_one_of_some_layers_is_not(batch):
    network, other = (SpikingNetwork(varying_layers(), Direct(STEPS)) for _ in range(2))
    first, *_, last = network.parameters()
    wrapped = around(network, optimizer=torch.optim.SGD([first], lr=0.1))
    before = first.detach().clone(), last.detach().clone()
    wrapped.fit(*batch, nb_epochs=1)
    assert not torch.equal(first, before[0])
    assert torch.equal(last, before[1])
    strange = torch.optim.SGD(other.parameters(), lr=0.1)
    message = "^optimizer: .*another network"
    with pytest.raises(ValueError, match=message):
        around(network, optimizer=strange)
    with pytest.raises(ValueError, match=message):
        wrapped.set_params(optimizer=strange)
    wrapped._optimizer = strange
    with pytest.raises(ValueError, match=message):
        wrapped.fit(*batch, nb_epochs=1)


def test_without_an_optimizer_one_predicts_and_is_told_how_to_train(classifier, batch):
    classifier._optimizer = None
    other = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(other.predict(batch[0]), classifier.predict(batch[0]))
    for call in (lambda: other.fit(*batch), other.clone_for_refitting):
        with pytest.raises(ValueError, match=r"^optimizer: .*Pass"):
            call()


def test_layers_are_named_in_order_and_their_activations_are_time_means(classifier, batch):
    assert classifier.layer_names == ["layers.0", "layers.1", "layers.2"]
    found = [classifier.get_activations(batch[0], layer) for layer in classifier.layer_names]
    currents, rates, logits = found
    assert isinstance(rates, np.ndarray)
    spikes = LIF()(torch.tensor(currents).expand(STEPS, *currents.shape))
    np.testing.assert_allclose(rates, spikes.mean(0).numpy(), atol=1e-6)
    np.testing.assert_allclose(logits, classifier.predict(batch[0]), rtol=1e-5, atol=1e-6)
    for layer, size in ((1, 128), (-2, 2), ("layers.1", 4)):
        other = classifier.get_activations(batch[0], layer, batch_size=size)
        np.testing.assert_array_equal(other, rates)


def test_framework_activations_carry_the_graph_of_the_attack_rule(classifier, batch):
    x = torch.tensor(batch[0], requires_grad=True)
    logits = classifier.get_activations(x, -1, framework=True)
    (gradient,) = torch.autograd.grad(logits[:, 3].sum(), x)
    expected = classifier.class_gradient(batch[0], 3)[:, 0]
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-4, atol=1e-6)
    for plain in (torch.tensor(batch[0]), batch[0]):
        assert not classifier.get_activations(plain, 1, framework=True).requires_grad
    classifier.gradient = Counted(RGA(), Tally(limit=1))
    with pytest.raises(RuntimeError, match="injected"):
        classifier.get_activations(x, 1, framework=True)
    assert not any(m._forward_hooks for m in classifier.model.modules())


@pytest.mark.parametrize("copied", [lambda c: pickle.loads(pickle.dumps(c)), copy.deepcopy])
def test_a_copy_predicts_the_same_and_trains_its_own_weights(classifier, batch, copied, known):
    classifier.fit(*batch, nb_epochs=1)  # Adam has a state now.
    classifier.gradient = STBP()
    files = set(Path(config.ART_DATA_PATH).rglob("*"))
    other = copied(classifier)
    assert set(Path(config.ART_DATA_PATH).rglob("*")) == files
    assert other.model is not classifier.model
    assert other.gradient == STBP()
    np.testing.assert_array_equal(other.predict(batch[0]), classifier.predict(batch[0]))
    np.testing.assert_array_equal(other.loss_gradient(*batch), classifier.loss_gradient(*batch))
    bound = [p for group in other.optimizer.param_groups for p in group["params"]]
    assert list(map(id, bound)) == list(map(id, other.model.parameters()))
    assert len(other.optimizer.state) == len(bound)
    mine = copy.deepcopy(classifier.model.state_dict())
    for one in (classifier, other):
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002
        one.fit(known[0][:16], known[1][:16], nb_epochs=1)
    np.testing.assert_array_equal(other.predict(batch[0]), classifier.predict(batch[0]))
    assert not any(torch.equal(mine[k], v) for k, v in other.model.state_dict().items())


NO_RULE = r"^gradient: expected one of .*'rga'.*got 'nonsense'"
NO_NETWORK = r"^model: expected an art_snn.SpikingNetwork, got .*interop\.adapt.* built"
NO_LAYER = r"^layer: expected .*layers\.0, layers\.1, layers\.2"
REFUSED = {
    "set_params": (lambda c, x: c.set_params(gradient="nonsense"), NO_RULE),
    "attribute": (lambda c, x: setattr(c, "gradient", "nonsense"), NO_RULE),
    "constructor": (lambda c, x: around(c.model, gradient="nonsense"), NO_RULE),
    "loss": (lambda c, x: c.loss_gradient(x, np.zeros(6), gradient="nonsense"), NO_RULE),
    "jacobian": (lambda c, x: c.class_gradient(x, gradient="nonsense"), NO_RULE),
    "class": (lambda c, x: c.set_params(gradient=STBP), "Pass an instance, not a class"),
    "parameter": (lambda c, x: c.set_params(nonsense=1), "nonsense"),
    "model": (lambda c, x: c.set_params(model=c.model), "^model: .*one that is fixed. Build a"),
    "card": (lambda c, x: c.set_params(device_type="cpu"), "^device_type: .*one that is fixed"),
    "plain": (lambda c, x: around(nn.Linear(64, 10)), NO_NETWORK),
    "empty": (lambda c, x: around(nn.Sequential()), NO_NETWORK),
    "device": (lambda c, x: build(device_type="cuda:0"), "^device_type: .*gpu, cpu, .*'cuda:0'"),
    "one-hot": (lambda c, x: c.class_gradient(x, label=np.eye(10)[:6]), "^label: .*one class"),
    "list": (lambda c, x: c.fit_generator([]), "^generator: .*DataGenerator, got list"),
    "neuron": (lambda c, x: build(nn.Sequential(*varying_layers(), LIF())), "^model: .*affine"),
    "name of a layer": (lambda c, x: c.get_activations(x, "layers.9"), NO_LAYER),
    "layer above": (lambda c, x: c.get_activations(x, 3), NO_LAYER),
    "layer below": (lambda c, x: c.get_activations(x, -4), NO_LAYER),
    "no layer": (lambda c, x: c.get_activations(x, None), NO_LAYER),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_none_is_refused_with_what_is_one(classifier, batch, call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call(classifier, batch[0])
    assert classifier.gradient == RGA()


def test_classifiers_are_equal_when_they_share_the_network_and_have_one_hash(classifier):
    model, stranger = stock(classifier), stock(build())
    # An attack may wrap the network again, and AdversarialTrainer asks whether it is another.
    attack = AutoProjectedGradientDescent(classifier, loss_type="cross_entropy", verbose=False)
    assert attack.estimator is not classifier
    for twin in (classifier, model, attack.estimator, build(classifier.model.layers)):
        assert classifier == twin
        assert twin == classifier
        assert not twin != classifier  # noqa: SIM202
    assert classifier != stranger
    assert stranger != classifier
    assert classifier != "a string"
    assert len({classifier, copy.deepcopy(classifier)}) == 2
    assert hash(classifier) == hash(build(classifier.model.layers))


def test_a_numpy_defence_refuses_tensors(trained_layers, batch):
    defence = SpatialSmoothing(window_size=3, channels_first=True, apply_predict=True)
    defended = build(trained_layers, preprocessing_defences=defence)
    x, y = map(torch.tensor, batch)
    for refused in (partial(defended.loss_gradient, x, y), partial(defended.get_activations, x, 0)):
        with pytest.raises(ValueError, match="PyTorch version"):
            refused()


@pytest.mark.parametrize("library", [np.copy, torch.tensor])
def test_a_first_layer_may_write_into_what_it_is_given(library):
    writing = Timed(nn.Flatten(), nn.Threshold(0.5, 0.0, inplace=True), nn.Linear(64, 8))
    classifier = build(nn.Sequential(writing, LIF(), Timed(nn.Linear(8, DIGITS))))
    given = np.random.default_rng(0).random((2, 1, 8, 8), dtype=np.float32)
    x, y = library(given), library(np.array([0, 1]))
    for call in (classifier.compute_loss, classifier.loss_gradient):
        call(x, y)
    classifier.predict(given)
    classifier.get_activations(x, 0)
    assert np.array_equal(x, given)


def test_one_mean_per_channel_is_refused_for_frames():
    means = (np.array([0.5, 0.5]), np.array([1.0, 1.0]))
    classifier = build(form="frames", preprocessing=(0.5, 2.0))
    assert classifier.preprocessing is not None
    for call in (partial(build, form="frames"), classifier.set_params):
        with pytest.raises(ValueError, match=r"preprocessing: .*time axis"):
            call(preprocessing=means)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_fit_restores_the_modes_and_the_rules(error, data):
    classifier = build(varying_layers())
    classifier.model.train()
    classifier.model.layers[0].eval()
    classifier.model.training_gradient = Counted(STBP(), Tally(limit=2, error=error))
    modes, hooks, _, *rest = state(classifier)
    with pytest.raises(error, match="injected"):
        classifier.fit(data.x_train[:16], data.y_train[:16], batch_size=8, nb_epochs=1)
    assert [modes, hooks, *rest] == [part for i, part in enumerate(state(classifier)) if i != 2]


@pytest.mark.parametrize(
    "optimizer", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop]
)
def test_a_clone_takes_any_optimizer_with_its_groups(optimizer, classifier):
    first, _, last = classifier.model.layers
    groups = [
        {"params": first.parameters(), "lr": 0.5},
        {"params": last.parameters(), "weight_decay": 0.1},
    ]
    kind, value = ("momentum", 0.9) if optimizer is torch.optim.SGD else ("eps", 1e-6)
    classifier.set_params(optimizer=optimizer(groups, lr=0.2, weight_decay=0, **{kind: value}))
    clone = classifier.clone_for_refitting()
    assert type(clone.optimizer) is optimizer
    copies = clone.optimizer.param_groups
    settings = [(g["lr"], g["weight_decay"], g[kind]) for g in copies]
    assert settings == [(0.5, 0, value), (0.2, 0.1, value)]
    for group, module in zip(copies, (clone.model.layers[0], clone.model.layers[2]), strict=True):
        assert list(map(id, group["params"])) == list(map(id, module.parameters()))


@pytest.mark.parametrize("readout", [[nn.Flatten(), nn.Linear(64, 4)], [nn.Conv2d(1, 10, 1)]])
def test_logits_of_another_shape_than_the_classes_are_refused(readout, batch):
    classifier = build(nn.Sequential(LIF(), Timed(*readout)))
    for call in (lambda x, y: classifier.predict(x), classifier.loss_gradient):
        with pytest.raises(ValueError, match=r"^model: .*logits"):
            call(*batch)


def test_the_constructor_sets_evaluation_mode_and_the_rule_where_one_is_given():
    network = SpikingNetwork(varying_layers(), FORMS["grey"].encode, gradient=RGA(beta=3.0))
    assert network.training
    for options, rule in (({}, RGA(beta=3.0)), ({"gradient": "stbp"}, STBP())):
        around(network, **options)
        assert network.gradient == rule
        assert not any(module.training for module in network.modules())
