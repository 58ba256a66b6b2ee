"""Logits and gradients as an attack asks for them, and how they are counted."""

import numpy as np
import pytest
import torch
from art.defences.preprocessor import SpatialSmoothing, SpatialSmoothingPyTorch
from torch import nn

from art_snn import EOT, RGA, STBP
from art_snn.attacks import AutoPGD, SquareSearch, StableAdaptivePGD
from art_snn.attacks.queries import cross_entropy, margin
from art_snn.gradients import Extended, Mean
from tests.attacks.classifiers import Ahead, linear, silent_queries, stock
from tests.classifiers import Probabilities, build


def asked(classifier, x, y, objective=cross_entropy):
    asking = silent_queries(classifier, len(x), 2)
    given = torch.as_tensor(x), torch.as_tensor(y)
    logits, gradient = asking.gradients(*given, objective, torch.arange(len(x)))
    return asking, logits.numpy(), gradient.numpy()


CASES = {
    "rga": ({"gradient": RGA()}, 1),
    "stbp": ({"gradient": STBP()}, 1),
    "eot": ({"gradient": EOT(RGA(), samples=2)}, 3),
    "probabilities": ({"gradient": RGA(), "postprocessing_defences": Probabilities()}, 2),
    "numpy defence": ({"preprocessing_defences": SpatialSmoothing(channels_first=True)}, 1),
    "torch defence": ({"preprocessing_defences": SpatialSmoothingPyTorch(channels_first=True)}, 1),
}


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_the_classifiers_and_logits_its_predictions(case, trained_layers, known):
    options, forwards = CASES[case]
    classifier = build(trained_layers, **options)
    x, y = known[0][:3], known[1][:3]
    queries, logits, gradient = asked(classifier, x, y)
    # Of short weights, so that spikes do not depend on the size of a batch.
    # The loss of the classifier is a mean over its batch.
    own = 3 * classifier.loss_gradient(x, y)
    np.testing.assert_allclose(gradient, own, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(logits, classifier.predict(x), rtol=1e-5, atol=1e-5)
    assert queries.forwards.tolist() == [forwards] * 3
    assert queries.backwards.tolist() == [2 if case == "eot" else 1] * 3


def test_gradients_that_are_not_finite_are_zero():
    x = np.array([[0.0, 0.25], [1.0, 4.0]])
    root = stock(Ahead(lambda x: x.sqrt().sum(1)), (2,), 2, clip_values=(0.0, 4.0))
    _, _, gradient = asked(root, x, [1, 1], margin)
    np.testing.assert_allclose(gradient, [[0, 1], [0.5, 0.25]])


def test_objectives_by_hand():
    logits, classes = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, 0.0]]), torch.tensor([1, 2])
    third = float(np.log(3))
    own = float(np.log(np.exp(-2) + 1 + np.exp(-1)))
    torch.testing.assert_close(cross_entropy(logits, classes), torch.tensor([own, third]))
    torch.testing.assert_close(margin(logits, classes), torch.tensor([-1.0, 0.0]))
    torch.testing.assert_close(margin(logits, torch.tensor([0, 1])), torch.tensor([2.0, 0.0]))


class Growing(nn.Module):
    """Logits that are higher by one in every pass."""

    passes = 0

    def forward(self, x):
        self.passes += 1
        return x + self.passes


def test_predictions_of_several_draws_are_averaged_and_counted():
    classifier = stock(Growing(), (2,), 2, clip_values=None)
    queries = silent_queries(classifier, 2, batch_size=4).select(torch.arange(2), draws=3)
    x = torch.zeros(2, 2, dtype=torch.float64)
    assert queries.logits(x, torch.arange(2)).tolist() == [[2, 2]] * 2
    assert queries.forwards.tolist() == [3, 3]
    assert queries.predict(x).tolist() == [[5, 5]] * 2
    assert queries.forwards.tolist() == [3, 3]


def test_samples_are_counted_as_often_as_they_are_asked_for_also_by_what_asks_for_some():
    whole = silent_queries(linear([[1, 2], [3, 4]]), 5, batch_size=2)
    some = whole.select(torch.tensor([1, 3, 4]))
    fewer = some.select(torch.tensor([0, 2]))
    assert fewer.rows.tolist() == [1, 4]
    assert fewer.logits(torch.ones(3, 2), torch.tensor([1, 1, 0])).tolist() == [[3, 7]] * 3
    some.gradients(torch.ones(1, 2).double(), torch.tensor([0]), margin, torch.tensor([1]))
    assert whole.forwards.tolist() == [0, 1, 0, 1, 2]
    assert whole.backwards.tolist() == [0, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("rule", "forwards", "backwards"),
    [
        (STBP(), 1, 1),
        (EOT(RGA(), samples=4), 4, 4),
        (Mean(RGA(), STBP()), 2, 2),
        (Extended(RGA(), steps=9), 2, 1),
    ],
    ids=repr,
)
def test_passes_that_somebody_else_made_count_as_the_rule_takes_them(rule, forwards, backwards):
    classifier = build(gradient=rule)
    queries = silent_queries(classifier, 3, 2)
    x = torch.zeros(2, *classifier.input_shape, requires_grad=True)
    with queries.counting():
        with torch.no_grad():
            classifier.model(x)
        logits = classifier.model(x)
    # In equal shares: the samples 0 and 1, then 2 and 0.
    assert queries.forwards.tolist() == [1 + forwards, 1, forwards]
    assert queries.backwards.tolist() == [0, 0, 0]
    for _ in range(2):
        logits.sum().backward(retain_graph=True)
    assert queries.backwards.tolist() == [2 * backwards, 0, 2 * backwards]


@pytest.mark.parametrize(
    "attack", [AutoPGD, StableAdaptivePGD, SquareSearch], ids=lambda one: one.__name__
)
def test_attacks_run_on_other_models_whose_outputs_are_postprocessed(attack):
    classifier = linear([[1, 0], [0, 1]], postprocessing_defences=Probabilities())
    x = np.array([[0.6, 0.5], [0.9, 0.1]])
    found = attack(classifier, eps=0.1, max_iter=4, verbose=False).generate(x, np.array([0, 0]))
    assert classifier.predict(found).argmax(1).tolist() == [1, 0]
