"""How often a step of an attack would wait for a card, or send something to it.

On a simulated CUDA device the same numbers were counted."""

import pytest
from art.attacks.evasion import ProjectedGradientDescent

from art_snn.attacks import AutoPGD, SquareSearch, StableAdaptivePGD
from tests.classifiers import build
from tests.waits import CARD, Card

STEPS = 4
ROWS = [
    (AutoPGD, {}, 2),
    (StableAdaptivePGD, {}, 2),
    (SquareSearch, {}, 2),
    (ProjectedGradientDescent, {"eps_step": 1e-5}, 10),
]


def waits(attack, options, steps, layers, x, y):
    """Waits of an attack of so many steps, by what waits."""
    classifier = build(layers, gradient="rga")
    for part in (classifier, *classifier.preprocessing_operations):
        part._device = CARD
    tensors = [*classifier.model.parameters(), *classifier.model.buffers()]
    # So small that no sample is broken: the walk goes on with all of them.
    options = {"eps": 1e-4, "batch_size": len(x), "verbose": False, "max_iter": steps} | options
    with Card(tensors) as card:
        attack(classifier, **options).generate(x, y)
    return card.waits


@pytest.mark.parametrize(("attack", "options", "most"), ROWS)
def test_a_step_waits_no_more_often_than_it_must(attack, options, most, trained_layers, known):
    x, y = known[0][:6], known[1][:6]
    few, many = (waits(attack, options, n * STEPS, trained_layers, x, y) for n in (1, 2))
    assert (many - few).total() == most * STEPS, many - few
