"""SpikingAutoAttack on networks that draw at random."""

import numpy as np
import pytest
import torch
from art.attacks.evasion import SquareAttack
from torch import nn

from art_snn import RGA, STBP, Direct, Poisson, SpikingNetwork, TimeDistributed as Timed
from art_snn.attacks import AutoPGD, Outcome, Plan, SpikingAutoAttack, Stage
from art_snn.attacks.queries import count_votes
from art_snn.gradients import EOT
from art_snn.randomness import predict_by_draws
from art_snn.seeding import fix_seed
from tests import classifiers as small

SEARCH = Stage(SquareAttack, None, {"max_iter": 3})
PLAN = Plan("plan", (Stage(AutoPGD, RGA(), {"max_iter": 2}), SEARCH))


class Kept(nn.Module):
    """Dropout that stays on."""

    def forward(self, x):
        return nn.functional.dropout(x, 0.1, training=True)


class Noise(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn_like(x)


def drawing(kind):
    """A network that draws: its spikes, which values go missing, or noise."""
    if kind == "Poisson":
        return small.classifier(encoder=Poisson(4))
    plain = small.classifier().model
    layer = {"dropout": Kept, "noise": Noise}[kind]()
    first, neuron, last = plain.layers
    layers = [first, Timed(layer), neuron, last]
    return small.around(SpikingNetwork(layers, Direct(4), input_shape=small.SHAPE))


def crafted(classifier, plan=PLAN, count=12, eps=0.25, state=0, **options):
    x, _ = small.samples(classifier, count)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        votes = [classifier.predict(x).argmax(1) for _ in range(9)]
    y = np.array([np.bincount(column).argmax() for column in np.transpose(votes)])
    y[0] = (y[0] + 1) % small.CLASSES
    attack = SpikingAutoAttack(classifier, eps=eps, plan=plan, verbose=False, **options)
    torch.manual_seed(state)
    np.random.seed(state)  # noqa: NPY002
    with small.untouched(classifier):
        found = attack.generate(x, y)
    return attack, found, x


@pytest.mark.parametrize("kind", ["Poisson", "dropout", "noise"])
def test_most_of_eleven_predictions_decide(kind):
    attack, found, x = crafted(drawing(kind))
    outcome = attack.outcome
    assert outcome.draws == 11
    assert outcome.votes.min() >= 0
    assert outcome.votes.max() <= 11
    np.testing.assert_array_equal(outcome.votes > 5, outcome.stage != Outcome.STANDING)
    assert (outcome.stage == 0).any()
    assert outcome.stage[0] == Outcome.WRONG
    np.testing.assert_array_equal(found[outcome.stage < 0], x[outcome.stage < 0])
    assert (np.abs(found - x).max((1, 2, 3)) <= 0.25 + 1e-6).all()
    np.testing.assert_array_equal(outcome.adversarials.astype(np.float32), found)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["Poisson", "noise"])
def test_the_seed_decides_and_the_global_random_state_does_not(kind):
    # Networks of their own: what a rule finds out of one at its first gradient is drawn, too.
    first, found, _ = crafted(drawing(kind), state=1)
    again, same, _ = crafted(drawing(kind), state=2)
    np.testing.assert_array_equal(same, found)
    for name in ("stage", "votes", "forwards", "backwards", "distance"):
        one, other = (getattr(attack.outcome, name) for attack in (first, again))
        np.testing.assert_array_equal(one, other)
    _, other, _ = crafted(drawing(kind), seed=1)
    assert (other != found).any()


@pytest.mark.parametrize(
    "rule", [STBP(), EOT(STBP(), samples=10), None], ids=["plain", "averaged already", "its own"]
)
def test_gradients_are_averaged_over_ten_draws(rule):
    classifier = drawing("noise")
    own = classifier.gradient
    plan = Plan("one", (Stage(AutoPGD, rule, {"max_iter": 3}),))
    attack, _, _ = crafted(classifier, plan, eps=1e-6)
    standing = (attack.outcome.stage == Outcome.STANDING) & (attack.outcome.votes == 0)
    assert standing.any()
    # Ten draws of each gradient, and ten of what is predicted where it is taken.
    assert set(attack.backwards[standing]) == {30}
    assert set(attack.forwards[standing]) == {5 + 11 + 3 * 20 + 10}
    assert classifier.gradient is own


def test_most_predictions_decide_each_from_its_seed_and_nan_is_not_wrong():
    def predict():
        drawn = float(torch.rand(()))
        return np.array([[1, 0], [0, 1], [np.nan, 1], [0.5, drawn]], dtype=float)

    above = []
    for seed in range(5):
        with fix_seed(seed):
            above.append(float(torch.rand(())) > 0.5)
    votes = count_votes(predict_by_draws(predict, 0, 5), torch.zeros(4, dtype=int))
    assert votes.most.tolist() == [False, True, False, sum(above) > 2]
    assert votes.wrong.tolist() == [0, 5, 0, sum(above)]
    assert votes.answered.tolist() == [True, True, False, True]
