"""Stages of SpikingAutoAttack that craft on other networks, or begin where others came furthest."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import RGA, STBP
from art_snn.attacks import AutoPGD, Outcome, Plan, SpikingAutoAttack, StableAdaptivePGD, Stage
from art_snn.attacks.auto_pgd import OnwardPGD
from art_snn.attacks.measures import MAXIMUM, Ball
from art_snn.attacks.queries import margin
from art_snn.seeding import uniform_noise
from tests.attacks.classifiers import by_margin, stock, watched
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
    assert min(first.backwards, second.backwards) > 0


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
    assert 0 <= found.min() <= found.max() <= 1


def test_without_sources_a_plan_of_ones_own_says_that_it_crafts_on_none(trained_layers, known):
    plan = Plan("plan", (Stage(AutoPGD, RGA(), {"max_iter": 1}), TRANSFER))
    crafting = attack(trained_layers, [], plan)
    crafting.generate(known[0][:2], known[1][:2])
    assert crafting.outcome.stages == (plan.stages[0].record(),)
    (skipped,) = crafting.outcome.skipped
    assert "no networks to transfer from" in skipped.reason


def test_without_sources_a_named_plan_says_nothing_of_them(trained_layers, known):
    crafting = attack(trained_layers, [], "fast", eps=1.0)
    crafting.generate(known[0][:2], known[1][:2])
    assert crafting.outcome.skipped == ()
    assert "transfer" not in str(crafting.outcome)


def test_what_goes_on_is_adversarial_on_its_source_most_of_all(trained_layers, known):
    classifier = build(trained_layers)
    x, y = known[0][:8], known[1][:8]
    losses = []
    for kind in (OnwardPGD, AutoPGD):
        found = kind(classifier, eps=0.4, max_iter=8, verbose=False).generate(x, y)
        losses.append(classifier.compute_loss(found, np.eye(10)[y], reduction="none").mean())
    assert losses[0] > losses[1]


FIRST = Stage(AutoPGD, RGA(), {"max_iter": 5, "loss_type": "margin"})
OTHER = Stage(StableAdaptivePGD, RGA(), {"max_iter": 3})
EPS = 0.01
"""Within which nothing is broken here."""


def asked(attack, x, y):
    """Points and logits of every pass, by the class of the rule."""
    found = {}

    def hook(model, inputs, logits):
        entry = (inputs[0].detach().clone(), logits.detach())
        found.setdefault(type(model.rule).__name__, []).append(entry)

    attack.estimator.model.register_forward_hook(hook)
    attack.generate(x, y)
    return found


def attacking(layers, *stages, sources=()):
    classifier = build(copy.deepcopy(layers), gradient="assg")
    classifier.model.double()
    plan = Plan("plan", stages)
    return SpikingAutoAttack(classifier, eps=EPS, plan=plan, sources=sources, verbose=False)


def firm(layers, known, count=6):
    """Samples that are classified rightly, and most clearly."""
    _, x, y = by_margin(layers, known)
    return x[-count:].astype(np.float64), y[-count:]


@pytest.mark.parametrize("stages", [(FIRST,), (FIRST, OTHER)], ids=["one before", "two before"])
def test_a_warm_stage_begins_at_the_largest_margin_so_far(stages, trained_layers, known):
    x, y = firm(trained_layers, known)
    warm = Stage(AutoPGD, STBP(), {"max_iter": 2}, warm=True)
    attack = attacking(trained_layers, *stages, warm)
    passes = asked(attack, x, y)
    assert attack.outcome.broken_by == dict.fromkeys((one.id for one in (*stages, warm)), 0)
    points, logits = (torch.stack(every) for every in zip(*passes["RGA"], strict=True))
    margins = torch.stack([margin(each, torch.as_tensor(y)) for each in logits])
    expected = points[margins.argmax(0), torch.arange(len(y))]
    torch.testing.assert_close(passes["STBP"][0][0], expected, rtol=0, atol=0)
    assert (margins.argmax(0) > 0).any()


def test_of_several_starts_the_first_is_warm(trained_layers, known):
    x, y = firm(trained_layers, known)
    both = Stage(AutoPGD, STBP(), {"max_iter": 1, "num_random_init": 2}, warm=True)
    attack = attacking(trained_layers, FIRST, both)
    passes = asked(attack, x, y)
    centre = torch.as_tensor(x)
    ball = Ball(MAXIMUM, EPS, centre, torch.tensor(0.0), torch.tensor(1.0))
    drawn = [ball.start(uniform_noise(centre, both.seed(0), draw)) for draw in (0, 1)]
    torch.testing.assert_close(passes["STBP"][2][0], drawn[1], rtol=0, atol=0)
    assert (passes["STBP"][0][0] != drawn[0]).flatten(1).any(1).all()


def test_where_nothing_was_asked_before_a_warm_stage_is_any_other(trained_layers, known):
    x, y = firm(trained_layers, known)
    options = {"max_iter": 4, "num_random_init": 0}
    found = []
    for warm in (False, True):
        attack = attacking(trained_layers, Stage(AutoPGD, STBP(), options, warm=warm))
        found.append(asked(attack, x, y)["STBP"])
    for (cold, _), (warm, _) in zip(*found, strict=True):
        torch.testing.assert_close(cold, warm, rtol=0, atol=0)


def test_how_far_it_came_on_a_source_is_no_start(trained_layers, known):
    x, y = firm(trained_layers, known)
    warm = Stage(AutoPGD, STBP(), {"max_iter": 2}, warm=True)
    source = build(copy.deepcopy(trained_layers))
    starts = []
    for stages, sources in (((TRANSFER, warm), [source]), ((warm,), [])):
        attack = attacking(trained_layers, *stages, sources=sources)
        starts.append(asked(attack, x, y)["STBP"][0][0])
    torch.testing.assert_close(*starts, rtol=0, atol=0)


@pytest.mark.parametrize("within", [0.4, 1e-6])
def test_a_stage_attacks_the_samples_that_came_within_its_share(within, trained_layers, known):
    x, y = known[0][:16].astype(np.float64), known[1][:16]
    attack = attacking(trained_layers, FIRST, Stage(AutoPGD, STBP(), {"max_iter": 2}))
    passes = asked(attack, x, y)
    logits = torch.as_tensor(attack.estimator.predict(x))
    heights = logits.gather(1, torch.as_tensor(y)[:, None])[:, 0] - logits.mean(1)
    stands = torch.as_tensor(attack.outcome.stage == -1)
    assert stands.sum() == len(passes["STBP"][0][0])
    every = torch.stack([margin(out, torch.as_tensor(y)[stands]) for _, out in passes["RGA"]])
    near = every.amax(0) >= -within * heights[stands]
    stage = Stage(AutoPGD, STBP(), {"max_iter": 2}, within=within)
    attack = attacking(trained_layers, FIRST, stage)
    passes = asked(attack, x, y)
    found = len(passes["STBP"][0][0]) if "STBP" in passes else 0
    assert found == near.sum() < stands.sum()
    assert str(stage) == f"AutoPGD(max_iter=2) by stbp, within {within:g}"
    assert (near.sum() > 0) == (within == 0.4)
