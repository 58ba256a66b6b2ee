"""ART's own attacks under the rules of ours: counted, remembered, and kept to the budget."""

import numpy as np
import pytest
from art.attacks import EvasionAttack
from art.attacks.evasion import (
    AutoAttack,
    AutoConjugateGradient,
    AutoProjectedGradientDescent,
    RescalingAutoConjugateGradient,
    SquareAttack,
)

from art_snn.attacks.stages import ArtAttack, Stage
from art_snn.seeding import fix_seed
from tests import classifiers as small
from tests.attacks.classifiers import Stops, linear


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
    return ArtAttack(classifier, Stage(kind, None, options), norm, eps, 4, seed)


@pytest.mark.parametrize(("norm", "moved"), [(np.inf, 0.3), (2, 0.3 / np.sqrt(3))])
def test_what_is_found_is_brought_into_ball_and_range(norm, moved):
    classifier = linear([[0, 0, 0, 0], [1, 1, 1, 1]], [9, 0])
    x = np.array([[0.5, 0.5, 0.5, 0.9]])
    found = borrowed(classifier, Far, norm=norm).generate(x, [0])
    expected = [0.5, 0.5 + moved, 0.5 + moved, min(0.9 + moved, 1)]
    # It breaks nothing, and is the best there is.
    np.testing.assert_allclose(found[0], expected)


def test_it_finds_what_arts_attack_finds_from_the_same_seed():
    classifier = small.classifier()
    x, y = small.samples(classifier, 6, wrong=0)
    found = borrowed(classifier, eps=0.05, seed=4, max_iter=15).generate(x, y)
    options = {"eps": 0.05, "max_iter": 15, "batch_size": 4, "verbose": False}
    with fix_seed(4):
        theirs = SquareAttack(classifier, **options).generate(x, y)
    np.testing.assert_allclose(found, theirs, atol=1e-6)


KINDS = [AutoAttack, AutoConjugateGradient, AutoProjectedGradientDescent]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, RescalingAutoConjugateGradient])
def test_attacks_that_ask_for_predictions_while_they_are_built_run(kind):
    classifier = small.classifier()
    x, y = small.samples(classifier, 3, wrong=0)
    few = {"max_iter": 2, "nb_random_init": 1, "batch_size": 4}
    few = {name: value for name, value in few.items() if name in kind.attack_params}
    few |= {"norm": np.inf, "eps": 0.1, "eps_step": 0.05}
    attack = ArtAttack(classifier, Stage(kind, None, few), np.inf, 0.1, 4, 0)
    assert np.abs(attack.generate(x, y) - x).max() <= 0.1 + 1e-6
    assert (attack.forwards > 1).all()


def test_an_interrupted_attack_leaves_no_hook_behind():
    classifier = small.classifier()
    x, y = small.samples(classifier, 4, wrong=0)
    classifier.predict = Stops(classifier.predict, 4)
    with small.untouched(classifier), pytest.raises(KeyboardInterrupt):
        borrowed(classifier, max_iter=9).generate(x, y)
    assert not classifier.model._forward_hooks
