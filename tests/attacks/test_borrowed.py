"""ART's own attacks under the rules of ours: counted, remembered, and kept to the budget."""

import numpy as np
import pytest
import torch
from art.attacks import EvasionAttack
from art.attacks.evasion import (
    AutoAttack,
    AutoConjugateGradient,
    AutoProjectedGradientDescent,
    RescalingAutoConjugateGradient,
    SquareAttack,
)
from torch import nn

from art_snn import RGA, Direct, SpikingNetwork
from art_snn.attacks.borrowed import Borrowed, art_objection, caching_copy
from art_snn.attacks.queries import Queries
from art_snn.seeding import seeded
from tests import small
from tests.attacks.classifiers import Stops, around, linear, stock
from tests.attacks.watched import watched
from tests.networks import build


class Far(EvasionAttack):
    """Moves every value by ten, and the first one to where there is no number."""

    attack_params = EvasionAttack.attack_params + ["norm", "eps"]  # noqa: RUF005
    _estimator_requirements = ()

    def __init__(self, estimator, norm, eps):
        super().__init__(estimator=estimator)
        self.norm, self.eps = norm, eps

    def generate(self, x, y=None, **kwargs):
        found = x + 10
        found[:, 0] = np.nan
        return found


def borrowed(classifier, kind=SquareAttack, eps=0.3, norm=np.inf, seed=0, **options):
    options = {"norm": norm, "eps": eps} | options
    if kind is SquareAttack:
        options = {"batch_size": 4, "verbose": False} | options
    return Borrowed(classifier, kind, options, norm, eps, 4, seed)


@pytest.mark.parametrize(("norm", "moved"), [(np.inf, 0.3), (2, 0.3 / np.sqrt(2))])
def test_what_is_found_is_brought_into_ball_range_and_mask(norm, moved):
    classifier = linear([[0, 0, 0, 0], [1, 1, 1, 1]], [9, 0])
    x = np.array([[0.5, 0.5, 0.5, 0.9]])
    mask = np.array([1, 1, 0, 1])
    found = borrowed(classifier, Far, norm=norm).generate(x, [0], mask=mask)
    expected = [0.5, 0.5 + moved, 0.5, min(0.9 + moved, 1)]
    # It breaks nothing, and is the best there is.
    np.testing.assert_allclose(found[0], expected)


def test_the_square_attack_computes_nothing_twice(known, trained_layers):
    classifier = build(trained_layers)
    x, y = known[0][:6], known[1][:6]
    with watched(classifier.model) as passes:
        SquareAttack(classifier, eps=1e-3, max_iter=20, verbose=False).generate(x, y)
    alone = passes.forwards
    attack = borrowed(classifier, eps=1e-3, max_iter=20)
    with watched(classifier.model) as passes:
        attack.generate(x, y)
    assert attack.forwards.sum() == passes.forwards
    # One candidate of every iteration, the stripes, the sample, and what is returned.
    assert passes.forwards <= 6 * (20 + 4)
    assert alone > 2 * passes.forwards


def test_it_finds_what_arts_attack_finds_from_the_same_seed():
    classifier = small.classifier()
    x, y = small.samples(classifier, 6, wrong=0)
    found = borrowed(classifier, eps=0.05, seed=4, max_iter=15).generate(x, y)
    options = {"eps": 0.05, "max_iter": 15, "batch_size": 4, "verbose": False}
    with seeded(4):
        theirs = SquareAttack(classifier, **options).generate(x, y)
    np.testing.assert_allclose(found, theirs, atol=1e-6)


def test_predictions_that_are_asked_for_again_are_the_same_and_cost_nothing():
    classifier = small.classifier()
    x, _ = small.samples(classifier, 6)
    estimator = caching_copy(Queries(classifier, 6, 4))
    with watched(classifier.model) as passes:
        first = estimator.predict(x[:4], batch_size=2)
        again = estimator.predict(x[2:4])
        more = estimator.predict(x[1:])
    assert passes.forwards == 6
    np.testing.assert_array_equal(again, first[2:])
    np.testing.assert_array_equal(more[:3], first[1:])
    np.testing.assert_allclose(more, classifier.predict(x[1:]), rtol=1e-6)
    assert estimator.model is classifier.model
    assert estimator.predict(x[:0]).shape == (0, small.CLASSES)


KINDS = [AutoAttack, AutoConjugateGradient, AutoProjectedGradientDescent]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, RescalingAutoConjugateGradient])
def test_attacks_that_ask_for_predictions_while_they_are_built_run(kind):
    classifier = small.classifier()
    x, y = small.samples(classifier, 3, wrong=0)
    few = {"max_iter": 2, "nb_random_init": 1, "batch_size": 4}
    few = {name: value for name, value in few.items() if name in kind.attack_params}
    few |= {"norm": np.inf, "eps": 0.1, "eps_step": 0.05}
    attack = Borrowed(classifier, kind, few, np.inf, 0.1, 4, 0)
    found = attack.generate(x, y)
    assert np.abs(found - x).max() <= 0.1 + 1e-6
    assert (attack.forwards > 1).all()


def plane():
    """A network on samples without channels."""
    layers = small.classifier().model.layers
    network = SpikingNetwork([*layers], Direct(4), RGA(), input_shape=(8, 8))
    return around(network, (8, 8), small.CLASSES)


def test_the_square_attack_takes_planes_and_event_frames(known, trained_layers):
    planes = np.random.default_rng(0).random((5, 8, 8))
    frames = np.repeat(known[0][:5, None], 4, axis=1)
    for classifier, x in ((plane(), planes), (build(trained_layers, "frames"), frames)):
        found = borrowed(classifier, eps=0.4, max_iter=20).generate(x)
        assert found.shape == x.shape
        assert 0 < np.abs(found - x).max() <= 0.4 + 1e-6


def shaped(shape, **options):
    module = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), 3).double())
    with torch.no_grad():
        module[1].bias[0] += 100
    return stock(module, shape, 3, **options)


@pytest.mark.parametrize("norm", [np.inf, 2])
@pytest.mark.parametrize(
    "shape", [(2, 4, 4), (1, 8, 8), (2, 9, 9), (2, 10, 10), (3, 13, 13), (2, 6, 20), (16, 16)]
)
def test_where_squares_do_not_fit_the_attack_says_so_and_elsewhere_it_runs(shape, norm):
    classifier = shaped(shape)
    x = np.random.default_rng(0).random((2, *shape))
    attack = borrowed(classifier, norm=norm, max_iter=12)
    if not art_objection(SquareAttack, classifier, norm):
        assert attack.generate(x, [0, 0]).shape == x.shape
        return
    assert "squares do not fit" in art_objection(SquareAttack, classifier, norm)
    # The attack itself fails on them, or divides by nothing.
    options, shape = {"max_iter": 12, "batch_size": 4, "verbose": False}, (2, *shape[-2:])
    x = np.random.default_rng(0).random((2, *shape))
    with pytest.raises((ValueError, RuntimeWarning)):
        SquareAttack(shaped(shape), norm=norm, **options).generate(x, np.zeros(2))


def test_what_else_keeps_an_attack_of_arts_from_running():
    objection = art_objection(SquareAttack, shaped((64,)), np.inf)
    assert objection == "samples of shape (64,) are no images"
    unknown = shaped((1, 8, 8), clip_values=None)
    assert art_objection(SquareAttack, unknown, np.inf) == "it needs clip_values"
    assert art_objection(Far, unknown, np.inf) == "it needs clip_values"
    assert art_objection(Far, shaped((64,)), np.inf) is None
    sides = [shaped((4, 4, 2), channels_first=first) for first in (True, False)]
    assert [bool(art_objection(SquareAttack, side, np.inf)) for side in sides] == [True, True]
    tall = shaped((8, 8, 2), channels_first=False)
    assert art_objection(SquareAttack, tall, np.inf) is None


def test_an_interrupted_attack_leaves_no_hook_behind():
    classifier = small.classifier()
    x, y = small.samples(classifier, 4, wrong=0)
    classifier.predict = Stops(classifier.predict, 4)
    with small.untouched(classifier), pytest.raises(KeyboardInterrupt):
        borrowed(classifier, max_iter=9).generate(x, y)
    assert not classifier.model._forward_hooks
