"""Stages of SpikingAutoAttack that craft on other networks."""

import copy

import numpy as np
import pytest
from torch import nn

from art_snn import RGA
from art_snn.attacks import AutoPGD, Outcome, Plan, SpikingAutoAttack, Stage
from art_snn.attacks.auto_pgd import OnwardPGD
from tests.attacks.classifiers import stock, watched
from tests.classifiers import build

TRANSFER = Stage(OnwardPGD, None, {"max_iter": 6}, transfer=True)
PLAN = Plan("plan", (TRANSFER,))
PLAIN = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()
"""No spiking network."""


def attack(layers, sources, plan=PLAN, eps=0.4, **options):
    options = {"sources": sources, "eps": eps, "plan": plan, "verbose": False} | options
    return SpikingAutoAttack(build(layers), **options)


def test_what_is_crafted_on_a_source_counts_where_it_breaks_the_network(trained_layers, known):
    sources = [stock(PLAIN, (1, 8, 8), 10), build(copy.deepcopy(trained_layers))]
    crafting = attack(trained_layers, sources, eps=0.15)
    x, y = known[0][:8], known[1][:8]
    modules = [crafting.estimator.model, *(source.model for source in sources)]
    with watched(modules[0]) as own, watched(modules[1]) as first, watched(modules[2]) as second:
        found = crafting.generate(x, y)
    outcome = crafting.outcome
    names = [f"onward-pgd-6-transfer-source-{i}" for i in (0, 1)]
    assert [one.id for one in outcome.stages] == names
    assert outcome.stages[1].label == "OnwardPGD on source 1"
    assert (outcome.stage == 1).any()
    wrong = crafting.estimator.predict(found).argmax(1) != y
    np.testing.assert_array_equal(wrong, outcome.stage != Outcome.STANDING)
    assert crafting.forwards.sum() == (own.forwards + first.forwards + second.forwards)
    assert crafting.backwards.sum() == own.backwards + first.backwards + second.backwards
    assert first.backwards > 0
    assert second.backwards > 0


def test_sources_are_differentiated_by_their_own_rules(trained_layers, known):
    source = build(copy.deepcopy(trained_layers), gradient="stbp")
    rules = []
    source.model.register_forward_hook(lambda model, *_: rules.append(type(model.rule).__name__))
    attack(trained_layers, [source]).generate(known[0][:2], known[1][:2])
    assert set(rules) == {"STBP"}


@pytest.mark.parametrize("clip_values", [None, (-4.0, 4.0)])
def test_the_range_is_that_of_the_network_under_attack(clip_values, trained_layers, known):
    source = build(copy.deepcopy(trained_layers), clip_values=clip_values)
    crafting = attack(trained_layers, [source])
    found = crafting.generate(known[0][:8], known[1][:8])
    assert (crafting.outcome.stage == 0).any()
    assert found.min() >= 0
    assert found.max() <= 1


def test_without_sources_nothing_is_crafted_on_any(trained_layers, known):
    plan = Plan("plan", (Stage(AutoPGD, RGA(), {"max_iter": 1}), TRANSFER))
    crafting = attack(trained_layers, [], plan)
    crafting.generate(known[0][:2], known[1][:2])
    assert crafting.outcome.stages == (plan.stages[0].record(),)
    (skipped,) = crafting.outcome.skipped
    assert "no networks to transfer from" in skipped.reason


def test_what_goes_on_is_adversarial_on_its_source_most_of_all(trained_layers, known):
    classifier = build(trained_layers)
    x, y = known[0][:8], known[1][:8]
    losses = []
    for kind in (OnwardPGD, AutoPGD):
        found = kind(classifier, eps=0.4, max_iter=8, verbose=False).generate(x, y)
        losses.append(classifier.compute_loss(found, np.eye(10)[y], reduction="none").mean())
    assert losses[0] > losses[1]
