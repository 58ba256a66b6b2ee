"""Bad input is refused with the argument, the expectation, what came and the remedy."""

import copy
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import AutoAttack, AutoProjectedGradientDescent, SquareAttack
from torch import nn

from art_snn import IF, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.attacks import AutoPGD, SpikingAutoAttack
from art_snn.bounds import bound_operations, certify_bounds, decide_bounds
from art_snn.checks import ArgumentError
from art_snn.classifier.inputs import check_labels, check_samples, class_indices
from art_snn.metrics import synaptic_operations
from art_snn.training import Recipe, train
from tests.architectures import same, weights
from tests.bounds.random_networks import around
from tests.classifiers import DIGITS, FORMS, build

X = np.random.default_rng(0).random((4, 1, 8, 8), dtype=np.float32)
Y = np.array([0, 1, 2, 9])
NO_LABELS = np.zeros(0, np.int64)

TAKES_SAMPLES: dict[str, Callable[[Any, Any], Any]] = {
    "predict": lambda c, x: c.predict(x),
    "loss_gradient": lambda c, x: c.loss_gradient(x, Y),
    "class_gradient": lambda c, x: c.class_gradient(x),
    "compute_loss": lambda c, x: c.compute_loss(x, Y),
    "get_activations": lambda c, x: c.get_activations(x, 0),
    "fit": lambda c, x: c.fit(x, Y, nb_epochs=1),
}
TAKES_LABELS: dict[str, Callable[[Any, Any], Any]] = {
    "loss_gradient": lambda c, y: c.loss_gradient(X, y),
    "compute_loss": lambda c, y: c.compute_loss(X, y),
    "fit": lambda c, y: c.fit(X, y, nb_epochs=1),
}


def with_value(value: float, count: int = 1) -> np.ndarray:
    x = X.copy()
    x.reshape(-1)[:count] = value
    return x


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


SIZES = r"x: .*shape \(N, 1, 8, 8\), got "
BAD_SAMPLES = {
    "another size": (zeros(4, 1, 9, 8), SIZES + r"\(4, 1, 9, 8\)"),
    "another channel count": (zeros(4, 3, 8, 8), SIZES),
    "channels last": (zeros(4, 8, 8, 1), SIZES + r".*x\.transpose moves them"),
    "no batch axis": (X[0], SIZES + r".*x\[None\]"),
    "no channel axis": (X[:, 0], SIZES + r".*x\[:, None\] adds an axis"),
    "a flat table": (X.reshape(4, 64), SIZES),
    "one axis too many": (X[None], SIZES),
    "a number": (np.array(1.0), SIZES + r"\(\)\."),
    "complex numbers": (X.astype(np.complex64), "x: .*complex64"),
}


@pytest.mark.parametrize("kind", BAD_SAMPLES)
@pytest.mark.parametrize("method", TAKES_SAMPLES)
@pytest.mark.parametrize("tensors", [False, True], ids=["numpy", "torch"])
def test_bad_samples_are_refused_by_name(classifier, method, kind, tensors):
    x, message = BAD_SAMPLES[kind]
    with pytest.raises(TypeError if np.iscomplexobj(x) else ValueError, match=message):
        TAKES_SAMPLES[method](classifier, torch.tensor(x) if tensors else x)


BAD_LABELS = {
    "too large": (np.array([0, 1, 2, 10]), "y: .*from 0 to 9"),
    "negative": (np.array([0, 1, 2, -1]), "y: .*from -1 to 2"),
    "too few": (Y[:3], r"y: .*4 labels, .*\(3,\)"),
    "too many": (np.arange(5), r"y: .*4 labels, .*\(5,\)"),
    "fractions": (np.array([0, 1.5, 2, 3]), "y: .*fractions"),
    "a column of fractions": (np.array([[0.5]] * 4), "y: .*fractions"),
    "another number of classes": (np.eye(7)[[0, 1, 2, 3]], r"y: .*\(4, 7\)"),
    "scores that are none": (np.full((4, 10), np.nan), "y: .*class scores"),
    "three axes": (np.zeros((4, 1, 10)), r"y: .*4 labels, .*\(4, 1, 10\)"),
    "a number": (np.array(1), r"y: .*4 labels, .*\(\)"),
    "NaN": (np.array([0, 1, 2, np.nan]), "y: .*from 0 to 9"),
}


@pytest.mark.parametrize("kind", BAD_LABELS)
@pytest.mark.parametrize("method", TAKES_LABELS)
@pytest.mark.parametrize("tensors", [False, True], ids=["numpy", "torch"])
def test_bad_labels_are_refused_by_name(classifier, method, kind, tensors):
    y, message = BAD_LABELS[kind]
    with pytest.raises(ValueError, match=message):
        TAKES_LABELS[method](classifier, torch.tensor(y) if tensors and method != "fit" else y)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (10, "from 10 to 10"),
        (-1, "from -1 to -1"),
        ([0, 1], r"4 labels, .*\(2,\)"),
        (1.5, "fractions"),
        (np.ma.masked_array(Y, mask=Y == 9), "hides"),
    ],
    ids=repr,
)
def test_a_bad_class_for_class_gradient_is_refused(classifier, label, message):
    with pytest.raises(ValueError, match=rf"(y|label): expected .*{message}"):
        classifier.class_gradient(X, label)


@pytest.mark.parametrize("method", ["loss_gradient", "class_gradient", "get_activations"])
@pytest.mark.parametrize(
    ("x", "got"),
    [
        ([[1.0]], "list"),
        (None, "NoneType"),
        (np.array([X, None], dtype=object)[:1], "ndarray of dtype object"),
        (X.astype(str), r"ndarray of dtype <U\d+\. Convert it first"),
        (np.zeros(X.shape, "datetime64[s]"), "ndarray of dtype datetime64"),
        (np.zeros(X.shape, "timedelta64[s]"), "ndarray of dtype timedelta64"),
        (np.zeros(X.shape, np.longdouble), "ndarray of dtype (float128|longdouble)"),
        (np.zeros(X.shape, [("a", "f4")]), r"ndarray of dtype \["),
    ],
    ids=["list", "None", "objects", "strings", "dates", "spans", "long doubles", "records"],
)
def test_what_is_no_array_of_numbers_is_refused(classifier, method, x, got):
    with pytest.raises(TypeError, match=rf"x: .*real numbers, got {got}"):
        TAKES_SAMPLES[method](classifier, x)


@pytest.mark.parametrize("y", [[0, 1, 2, 9], None, "0129"])
def test_labels_that_are_no_array_of_numbers_are_refused(classifier, y):
    with pytest.raises(TypeError, match=r"y: .*real numbers"):
        classifier.loss_gradient(X, y)


def test_lists_are_arrays_to_predict_and_fit_as_everywhere_in_art_but_objects_are_not(classifier):
    np.testing.assert_array_equal(classifier.predict(X.tolist()), classifier.predict(X))
    classifier.fit(X.tolist(), Y.tolist(), nb_epochs=1)
    with pytest.raises(ValueError, match=r"x: expected shape \(N, 1, 8, 8\)"):
        classifier.predict([[1.0, 2.0]])
    for method in ("predict", "fit"):
        with pytest.raises(TypeError, match=r"x: .* got ndarray of dtype object"):
            TAKES_SAMPLES[method](classifier, X.astype(object))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (with_value(np.nan), Y, "x: expected finite values, got 1 NaN or infinite value"),
        (X, np.array([0, 1, 2, 10]), "y: expected"),
        (zeros(0, 1, 8, 8), NO_LABELS, "x: expected at least one sample to train on, got none"),
    ],
    ids=["NaN", "no class", "empty"],
)
def test_a_refused_call_runs_nothing_and_changes_nothing(classifier, x, y, message):
    before = weights(classifier.model)
    with pytest.raises(ValueError, match=message):
        classifier.fit(x, y)
    assert same(before, weights(classifier.model))
    assert not any(module.training for module in classifier.model.modules())


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_good_samples_and_labels_pass_and_class_indices_are_read(kind):
    for x in (X, X > 0.5):
        assert np.array_equal(np.asarray(check_samples(kind(x), (1, 8, 8))), x)
    check_labels(kind(np.full((4, 10), 0.1)), 4, DIGITS)
    for y in (Y, Y[:, None], np.eye(DIGITS)[Y], Y.astype(np.float32)):
        check_labels(kind(y), 4, DIGITS)
        indices = class_indices(kind(y), 4, DIGITS)
        assert indices.dtype == np.int64
        assert np.array_equal(indices, Y)


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_batch_gives_an_empty_result(form):
    classifier, shape = build(form=form), FORMS[form].shape
    empty = zeros(0, *shape)
    assert classifier.predict(empty).shape == (0, DIGITS)
    assert classifier.loss_gradient(empty, NO_LABELS).shape == (0, *shape)
    assert classifier.class_gradient(empty).shape == (0, DIGITS, *shape)
    for label in (3, np.zeros(0, int)):
        assert classifier.class_gradient(empty, label).shape == (0, 1, *shape)
    assert classifier.compute_loss(empty, NO_LABELS).shape == (0,)
    assert classifier.get_activations(empty, -1).shape == (0, DIGITS)
    assert classifier.get_activations(torch.tensor(empty), -1, framework=True).shape == (0, DIGITS)


DTYPES = [bool, np.uint8, np.int64, np.float16, np.float64, ">f4", ">i2"]
ANY = [X[:, :, :, ::-1], np.broadcast_to(X[:1], X.shape), *((3 * X).astype(d) for d in DTYPES)]


@pytest.mark.parametrize("x", ANY, ids=["flipped", "read-only", *map(str, DTYPES)])
def test_samples_of_any_layout_and_dtype_are_taken(x, classifier):
    plain = np.array(x, dtype=np.float32)
    assert np.array_equal(classifier.predict(x), classifier.predict(plain))
    for call in (classifier.loss_gradient, classifier.compute_loss):
        np.testing.assert_allclose(call(x, Y), call(plain, Y), rtol=1e-3, atol=1e-6)
    classifier.fit(x, Y, nb_epochs=1)


def test_bytes_where_shares_are_meant_are_warned_of_once(classifier):
    with pytest.warns(RuntimeWarning, match="far outside of clip_values: scale them"):
        classifier.predict(255 * X)
    classifier.predict(255 * X)


OTHERS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "bounds": lambda c, x, y: certify_bounds(c, x, y, 0.01).margin,
    "decisions": lambda c, x, y: decide_bounds(c, x, y, 0.01, nodes=1).safe,
    "operations": lambda c, x, y: bound_operations(c, x, 0.01) + synaptic_operations(c, x),
    "class gradient": lambda c, x, y: c.class_gradient(x, y),
    "attack": lambda c, x, y: AutoPGD(c, eps=0.1, max_iter=2, verbose=False).generate(x, y),
    "plan": lambda c, x, y: SpikingAutoAttack(c, eps=0.1, plan="fast", verbose=False).generate(
        x, y
    ),
    "training": lambda c, x, y: train(c.model, x, y, Recipe(epochs=1))[-1].loss,
}


@pytest.mark.parametrize("name", OTHERS)
def test_arrays_whose_bytes_are_in_the_other_order_are_taken_everywhere(name):
    layers = [Timed(nn.Flatten(), nn.Linear(64, 8)), IF(), Timed(nn.Linear(8, DIGITS))]
    results = []
    for x, y in ((X, Y), (X.astype(">f4"), Y.astype(">i8"))):
        torch.manual_seed(0)
        classifier = around(SpikingNetwork(copy.deepcopy(layers), Direct(3)).eval(), (1, 8, 8), 10)
        results.append(OTHERS[name](classifier, x, y))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("method", TAKES_LABELS)
@pytest.mark.parametrize("count", [1, 4])
def test_samples_and_labels_in_reverse_are_taken(classifier, method, count):
    # Of one sample numpy keeps the negative stride that torch refuses.
    x, y = X[:count][::-1], np.eye(DIGITS)[Y[:count]][::-1]
    twin, work = copy.deepcopy(classifier), getattr(type(classifier), method)
    results = []
    for one, samples, labels in ((classifier, x, y), (twin, x.copy(), y.copy())):
        torch.manual_seed(0)
        results.append((work(one, samples, labels), one.predict(samples)))
    np.testing.assert_equal(*results)


@pytest.mark.parametrize("method", [*TAKES_SAMPLES, *(f"{name} y" for name in TAKES_LABELS)])
def test_values_that_a_mask_hides_are_refused(classifier, method):
    name, _, argument = method.partition(" ")
    values = np.ma.masked_greater(Y, 8) if argument else np.ma.masked_greater(X, 0.9)
    with pytest.raises(ValueError, match=rf"{argument or 'x'}: .*hides"):
        (TAKES_LABELS if argument else TAKES_SAMPLES)[name](classifier, values)


ANSWERING = ("predict", "compute_loss")


@contextmanager
def warned_of_nan() -> Iterator[None]:
    """One warning about NaN in the block, as in all calls of a classifier; ART's do not count."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    (text,) = [str(w.message) for w in caught if w.category is RuntimeWarning]
    assert re.match("some samples hold NaN or .* once per classifier", text)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("tensors", [False, True], ids=["numpy", "torch"])
@pytest.mark.parametrize("method", [*ANSWERING, "loss_gradient", "class_gradient"])
def test_a_sample_that_is_not_finite_gets_nan_or_a_zero_gradient(classifier, method, tensors, bad):
    x = with_value(bad, 3)
    given = torch.tensor(x) if tensors else x
    with warned_of_nan():
        got = np.asarray(TAKES_SAMPLES[method](classifier, given))
    # Zeros stand in for that sample, so that the others keep their place in the batch.
    expected = np.asarray(TAKES_SAMPLES[method](classifier, np.where(np.isfinite(x), x, 0)))
    assert np.array_equal(got[1:], expected[1:])
    assert np.isnan(got[0]).all() if method in ANSWERING else (got[0] == 0).all()
    assert np.isfinite(x).sum() == x.size - 3
    # Nor has a batch of such samples alone an answer.
    none = np.asarray(TAKES_SAMPLES[method](classifier, np.full_like(X, bad)))
    assert np.isnan(none).all() if method in ANSWERING else (none == 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["fit", "get_activations"])
def test_training_and_activations_take_finite_samples_only(classifier, method, value):
    with pytest.raises(ArgumentError, match=r"^x: .*finite .*got 2"):
        TAKES_SAMPLES[method](classifier, with_value(value, 2))


def test_the_loss_of_a_tensor_with_a_graph_is_nan_there_and_its_gradient_zero(classifier):
    x = torch.tensor(with_value(np.nan), requires_grad=True)
    with warned_of_nan():
        losses = classifier.compute_loss(x, torch.tensor(Y))
    assert torch.isnan(losses).tolist() == [True, False, False, False]
    (gradient,) = torch.autograd.grad(losses.sum(), x)
    assert torch.isfinite(gradient).all()
    assert (gradient[0] == 0).all()
    np.testing.assert_allclose(gradient[1:], 4 * classifier.loss_gradient(X, Y)[1:], atol=1e-6)


def test_attacks_in_the_euclidean_norm_end_although_one_feeds_nan(classifier):
    predict, y, seen = classifier.predict, classifier.predict(X).argmax(1), []

    def watched(x: np.ndarray, **options: Any) -> np.ndarray:
        seen.append(np.isnan(x).any())
        return predict(x, **options)

    classifier.predict = watched
    apgd = AutoProjectedGradientDescent(classifier, 2, 0.5, max_iter=3, nb_random_init=1)
    square = SquareAttack(classifier, norm=2, eps=0.5, max_iter=20, verbose=False)
    square.set_params(batch_size=4)
    with warnings.catch_warnings():
        # Divisions by zero inside of the square attack make the NaN that it feeds.
        warnings.simplefilter("ignore")
        for attack in (square, AutoAttack(classifier, 2, 0.5, 0.1, [apgd, square], 4)):
            assert attack.generate(X, y).shape == X.shape
            assert any(seen)


SCORES = 3 * np.random.default_rng(1).standard_normal((4, DIGITS)).astype(np.float32)
SHARES = np.exp(SCORES) / np.exp(SCORES).sum(1, keepdims=True)


@pytest.mark.parametrize("tensors", [False, True], ids=["numpy", "torch"])
@pytest.mark.parametrize("targets", [SCORES, SHARES, np.log(SHARES)], ids=["any", "shares", "log"])
def test_losses_and_gradients_take_scores_as_the_loss_does(classifier, targets, tensors):
    x, y = (torch.tensor(X), torch.tensor(targets)) if tensors else (X, targets)
    leaf = torch.tensor(X, requires_grad=True)
    logits, classes = classifier.model(leaf), torch.tensor(targets)
    losses = nn.functional.cross_entropy(logits, classes, reduction="none")
    np.testing.assert_allclose(classifier.compute_loss(x, y), losses.detach(), rtol=1e-5)
    (gradient,) = torch.autograd.grad(losses.mean(), leaf)
    np.testing.assert_allclose(classifier.loss_gradient(x, y), gradient, atol=1e-6)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_a_batch_size_may_be_a_number_of_numpy_and_is_at_least_one(classifier, kind):
    assert np.array_equal(classifier.predict(X, batch_size=kind(2)), classifier.predict(X, 2))
    classifier.fit(X, Y, batch_size=kind(2), nb_epochs=1)
    with pytest.raises(ValueError, match=r"^batch_size: "):
        classifier.predict(X, batch_size=0)
