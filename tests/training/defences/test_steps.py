"""Training with every defence: passes in training mode, precision, and that the loss falls."""

import pytest
from torch import nn

from art_snn.modulation import Gates
from art_snn.training import AdversarialTraining, Recipe, train
from art_snn.training.defences import AT, MPDSGR, MPPD, RAT, SR, TGO, TRADES, StoG
from tests.classifiers import classifier, samples as pairs
from tests.training.runs import build, samples, watch

DEFENCES = [AT(), TRADES(), RAT(orthogonality=0.02), SR(sparsity=0.1)]
DEFENCES += [MPDSGR(), TGO(), MPPD(), StoG(rate=1e-3)]
PASSES = {AT: 1, TRADES: 2, RAT: 1, SR: 2, MPDSGR: 1, TGO: 1, MPPD: 2, StoG: 1}
ALL = pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: type(defence).__name__)
BOTH = pytest.mark.parametrize("dtype", [None, "bfloat16"])


@ALL
@BOTH
def test_every_pass_of_a_step_is_in_training_mode_with_statistics_of_its_own(defence, dtype):
    net, modes = build(), []
    watch(net, lambda _: modes.append(net.layers[1].training))
    recipe = Recipe.short(epochs=2, batch_size=8, learning_rate=0.01, seed=4, train_dtype=dtype)
    adversary = AdversarialTraining(attack="fgsm", eps=0.1, share=0.75, defence=defence)
    train(net, *samples(), recipe, adversary=adversary)
    # Two epochs of three steps.
    assert sum(modes) == 6 * PASSES[type(defence)]
    assert net.layers[1].module[1].num_batches_tracked == 6 * PASSES[type(defence)]


@ALL
def test_the_loss_goes_down(defence):
    given = classifier()
    if isinstance(defence, StoG):
        given.model.layers[1] = nn.Sequential(given.model.layers[1], Gates())
    x, y = pairs(given, 16)
    adversary = AdversarialTraining(attack="fgsm", eps=0.01, defence=defence)
    recipe = Recipe.short(epochs=25, batch_size=8, learning_rate=0.03)
    history = train(given.model, x, y, recipe, adversary=adversary)
    assert history[-1].loss < 0.85 * history[0].loss
