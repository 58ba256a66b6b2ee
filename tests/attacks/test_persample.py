"""What all attacks of our own promise about samples, labels and what cannot be attacked."""

import numpy as np
import pytest
import torch

from art_snn.attacks import AutoPGD, SparseDynamicAttack, SpikeRetiming, SpikingAutoAttack
from art_snn.attacks.square_search import SquareSearch
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
from tests import classifiers as small
from tests.attacks.classifiers import Ahead, linear, stock
from tests.terminal import pseudo_terminal

X = np.array([[0.4, 0.4], [0.9, 0.9], [0.1, 0.2]])
WEIGHTS, BIAS = [[1, 1], [0, 0]], [0, 0.6]


def attack(**options):
    classifier = linear(WEIGHTS, BIAS, **options.pop("classifier", {}))
    return StableAdaptivePGD(classifier, **{"eps": 0.2, "max_iter": 5, "verbose": False} | options)


def test_what_is_misclassified_is_returned_as_it_is_and_costs_one_prediction():
    crafting = attack()
    found = crafting.generate(X, np.array([0, 1, 0]))
    np.testing.assert_array_equal(found[1:], X[1:])
    assert found[0].sum() < 0.6
    assert crafting.forwards[1:].tolist() == [1, 1]
    assert crafting.backwards[1:].tolist() == [0, 0]
    assert crafting.backwards[0] >= 1


def test_without_labels_predictions_are_left():
    np.testing.assert_array_equal(attack(eps=2.0).generate(X).sum(1) < 0.6, X.sum(1) >= 0.6)


@pytest.mark.parametrize(
    "y", [np.array([0, 0, 1]), np.array([[0], [0], [1]]), np.eye(2)[[0, 0, 1]]]
)
def test_labels_are_indices_or_scores(y):
    found = attack().generate(X, y)
    np.testing.assert_array_equal(found, attack().generate(X, [0, 0, 1]))
    np.testing.assert_array_equal(found, attack().generate(X, torch.as_tensor(y)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tensors_come_back_as_tensors_and_arrays_as_arrays(dtype):
    x, y = X.astype(dtype), np.array([0, 0, 1])
    array = attack().generate(x, y)
    tensor = attack().generate(torch.as_tensor(x), y)
    assert array.dtype == dtype
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.as_tensor(x).dtype
    np.testing.assert_array_equal(tensor.numpy(), array)


def test_whole_numbers_become_single_precision():
    found = attack(eps=1.0, classifier={"clip_values": (0, 4)}).generate(
        np.array([[1, 1], [0, 3]]), [0, 0]
    )
    assert found.dtype == np.float32


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("network", [torch.float32, torch.bfloat16])
def test_samples_in_half_precision_come_back_in_single_within_the_budget(dtype, network):
    classifier, eps = small.classifier(), 8 / 255
    classifier.model.to(network)
    x = torch.as_tensor(small.samples(classifier, 20, wrong=0)[0]).to(dtype)
    y = classifier.predict(x.float().numpy()).argmax(1)
    crafting = AutoPGD(classifier, eps=eps, max_iter=5, verbose=False)
    found = crafting.generate(x, y)
    assert found.dtype == torch.float32
    assert 0.9 * eps < (found.double() - x.double()).abs().max() <= eps + 1e-7
    if dtype == torch.float16:
        array = crafting.generate(x.numpy(), y)
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, found.numpy())


def test_a_bar_shows_samples_that_are_through_and_every_forward():
    crafting = attack(verbose=True)
    with pseudo_terminal(80) as pieces:
        crafting.generate(X, np.array([0, 0, 0]))
    last = [piece for piece in pieces if "%|" in piece][-1]
    assert last.startswith("StableAdaptivePGD: 100%")
    assert "3/3 [" in last
    assert f"forwards={crafting.forwards.sum()}" in last


def test_a_sample_without_an_answer_is_returned_as_it_is_and_ends_nothing():
    uncertain = Ahead(lambda x: torch.where(x[:, 0] > 0.8, torch.nan, x.sum(1) - 0.6))
    crafting = StableAdaptivePGD(stock(uncertain, (2,), 2), eps=0.15, max_iter=9, verbose=False)
    x = np.array([[0.9, 0.1], [0.35, 0.35], [0.75, 0.0]])
    found = crafting.generate(x, np.array([0, 0, 0]))
    np.testing.assert_array_equal(found[0], x[0])
    assert found[1].sum() < 0.6
    assert np.isfinite(found).all()


def bad(match, x=X, y=(0, 0, 1), error=ValueError, options=None, **given):
    crafting = attack(**(options or {}))
    with pytest.raises(error, match=match):
        crafting.generate(x, None if y is None else np.asarray(y), **given)


def test_bad_input_is_refused_by_name():
    bad(r"^x: .*shape \(N, 2\), got \(3, 3\)", x=np.zeros((3, 3)))
    bad(r"^x: .*finite values, got 1 NaN", x=np.array([[np.nan, 0], [0, 0], [0, 0]]))
    bad(r"^x: .*numpy array or torch tensor", x=[[0.1, 0.2]], error=TypeError)
    bad(r"^x: .*within clip_values, .* 0.1 to 1.9", x=np.where(X == 0.9, 1.9, X))
    bad(r"^y: .*3 labels, .*got shape \(2,\)", y=(0, 1))
    bad(r"^y: .*from 0 to 1, got values from 0 to 2", y=(0, 1, 2))
    bad(r"^y: .*target classes, got None", y=None, options={"targeted": True})
    bad("unexpected keyword argument 'tries'", error=TypeError, tries=3)


KINDS = [AutoPGD, SparseDynamicAttack, SpikeRetiming, SpikingAutoAttack, SquareSearch]


@pytest.mark.parametrize("kind", [*KINDS, StableAdaptivePGD])
def test_no_sample_with_or_without_a_label_gives_none(kind):
    wrapped = small.classifier()
    x, _ = small.samples(wrapped)
    for y in (np.zeros(0), None):
        assert kind(wrapped, verbose=False).generate(x[:0], y).shape == (0, *x.shape[1:])
