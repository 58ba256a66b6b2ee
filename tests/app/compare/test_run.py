"""The comparison of rules on a network of a few neurons, against attacks written by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.app.attack import Attack
from art_snn.app.compare import RULES, Settings, compared
from art_snn.encoders import Poisson
from art_snn.gradients import (
    ASSG,
    CBA,
    EOT,
    RGA,
    STBP,
    Gradient,
    Site,
    StaticCurve,
    TemporalGradient,
    engine_of,
)
from art_snn.metrics import Share
from tests.small import CLASSES, around, classifier, pgd_by_hand, samples, untouched

ATTACK = Attack(eps=0.03, iterations=5)
TWO: dict[str, Gradient] = {"stbp": STBP(), "rga": RGA()}


@dataclass(frozen=True)
class Opposite(Gradient):
    """Minus STBP."""

    def logits(self, network: Any, x: Tensor) -> Tensor:
        logits = STBP().logits(network, x)
        return 2 * logits.detach() - logits


@dataclass(frozen=True)
class Blind(TemporalGradient):
    """No slope anywhere."""

    def slope(self, distance: Tensor, site: Site) -> Tensor:
        return torch.zeros_like(distance)


@dataclass(frozen=True)
class HalfBlind(Gradient):
    """STBP, with the sign turned, where the first pixel is bright; no gradient elsewhere."""

    def logits(self, network: Any, x: Tensor) -> Tensor:
        bright = x[:, :1, :1, :1] > 0.5
        return Opposite().logits(network, torch.where(bright, x, x.detach()))


def settings(rules: dict[str, Gradient] | None = None, **options: Any) -> Settings:
    options = {"attack": ATTACK, "batch_size": 4, "repeats": 1} | options
    return Settings(rules=TWO if rules is None else rules, **options)


def sizes(crafted: list[np.ndarray]) -> list[int]:
    return [len(batch) for batch in crafted]


@pytest.mark.parametrize(("decay", "applies"), [(0.5, False), (1.0, True)])
def test_every_rule_has_a_row_which_for_cba_is_an_objection_on_leaky_neurons(decay, applies):
    wrapped = classifier(seed=1, decay=decay)
    x, y = samples(wrapped)
    comparison = compared(settings(dict(RULES)), wrapped, x, y, title="small")
    assert list(comparison.rows) == list(RULES)
    assert [n for n, row in comparison.rows.items() if row.objection] == ["cba"] * (not applies)
    applying = set(RULES) - (set() if applies else {"cba"})
    assert set(comparison.attacked) == set(comparison.seconds) == applying
    for name, row in comparison.rows.items():
        assert row.rule == str(RULES[name])
        assert row.kind == engine_of(RULES[name])
        if row.objection:
            assert row.objection == CBA().objection(wrapped.model.layers[1].dynamics)
            assert (row.outcome, row.vanished) == (None, None)
        else:
            assert comparison.seconds[name] > 0
            assert -1 <= row.cosine <= 1
            assert row.outcome.correct.sum() == row.outcome.attack_success.total == 8
    assert comparison.inference > 0
    assert "medians of 1 rounds in turn, batch 4" in comparison.machine


@pytest.mark.parametrize("name", ["stbp", "rga", "pdsg-per-sample"])
def test_the_success_of_a_rule_is_that_of_an_attack_by_hand_under_it(name):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    outcome = compared(settings({name: RULES[name]}), wrapped, x, y).rows[name].outcome
    adversarial = pgd_by_hand(wrapped.model, RULES[name], 0.03, 0.03 / 4, 5, x, y)
    assert np.array_equal(outcome.correct, wrapped.predict(x).argmax(1) == y)
    assert np.array_equal(outcome.robust, wrapped.predict(adversarial).argmax(1) == y)
    assert 0 < outcome.attack_success.value < 1


def test_rules_differ_in_success_and_the_union_flips_whatever_one_of_them_flips():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped, 20)
    comparison = compared(settings(dict(RULES)), wrapped, x, y)
    flipped = [row.outcome.flipped for row in comparison.rows.values() if row.outcome]
    assert len({tuple(f) for f in flipped}) > 2
    union = comparison.union()
    assert np.array_equal(union.flipped, np.logical_or.reduce(flipped))
    assert all(union.attack_success.count >= f.sum() for f in flipped)


def test_a_rule_against_the_gradient_has_cosine_minus_one_and_no_success():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    rows = compared(settings({"stbp": STBP(), "opposite": Opposite()}), wrapped, x, y).rows
    assert rows["stbp"].cosine == pytest.approx(1, abs=1e-6)
    assert rows["opposite"].cosine == pytest.approx(-1, abs=1e-6)
    assert rows["opposite"].outcome.attack_success.count == 0
    assert rows["stbp"].outcome.attack_success.count > 0


def test_the_cosine_is_the_mean_over_samples_whatever_the_gradients_weigh():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    row = compared(settings({"rga": RGA()}), wrapped, x, y).rows["rga"]
    pairs = zip(
        wrapped.loss_gradient(x, y, gradient=RGA()).reshape(len(x), -1).astype(float),
        wrapped.loss_gradient(x, y, gradient=STBP()).reshape(len(x), -1).astype(float),
        strict=True,
    )
    cosines = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in pairs]
    assert row.cosine == pytest.approx(np.mean(cosines), abs=1e-6)
    assert np.ptp(cosines) > 0.01


def test_samples_without_a_gradient_are_counted_and_leave_the_cosine_alone():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    dark = int((x[:, 0, 0, 0] <= 0.5).sum())
    assert 0 < dark < len(x)
    row = compared(settings({"half": HalfBlind()}), wrapped, x, y).rows["half"]
    assert row.vanished == Share(dark, len(x))
    assert row.cosine == pytest.approx(-1, abs=1e-6)


def test_a_rule_that_sees_nothing_anywhere_has_no_cosine_and_no_success():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    comparison = compared(settings({"blind": Blind()}), wrapped, x, y)
    row = comparison.rows["blind"]
    assert row.vanished == Share(len(x), len(x))
    assert row.cosine is None
    assert row.outcome.attack_success == Share(0, 8)


def test_the_static_curve_vanishes_below_the_knee_and_above_the_threshold():
    network = SpikingNetwork(
        [Timed(nn.Flatten(), nn.Linear(64, 3, bias=False)), LIF(), Timed(nn.Linear(3, CLASSES))],
        Direct(4),
    )
    with torch.no_grad():
        network.layers[0].module[1].weight.fill_(2 / 64)
    # The current is twice the brightness, and the curve rises between 0.5 and 1.
    brightness = np.array([0.1, 0.2, 0.3, 0.4, 0.45, 0.6, 0.9], dtype=np.float32)
    x = np.ones((7, 1, 8, 8), dtype=np.float32) * brightness[:, None, None, None]
    rules = {"static": StaticCurve()}
    row = compared(settings(rules), around(network), x, np.zeros(7, dtype=np.int64)).rows["static"]
    assert row.vanished == Share(4, 7)


def test_the_last_batch_may_be_smaller(crafted):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    compared(settings(), wrapped, x, y)
    assert sizes(crafted) == [4, 4, 2] * 2


@pytest.mark.parametrize(("wanted", "attacked"), [(3, 3), (10, 10), (50, 10), (None, 10)])
def test_as_many_samples_are_attacked_as_wanted_and_present(wanted, attacked, crafted):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    row = compared(settings({"stbp": STBP()}, samples=wanted), wrapped, x, y).rows["stbp"]
    assert sum(sizes(crafted)) == row.vanished.total == len(row.outcome.correct) == attacked


def test_no_samples_are_refused():
    wrapped = classifier()
    with pytest.raises(ValueError, match=r"^x: expected at least one sample, got none"):
        compared(settings(), wrapped, np.empty((0, 1, 8, 8), np.float32), np.empty(0, np.int64))


@pytest.mark.parametrize("encoder", [Direct(4), Poisson(4)], ids=str)
def test_the_network_and_the_random_states_are_left_as_they_were(encoder):
    wrapped = classifier(seed=1, encoder=encoder)
    x, y = samples(wrapped)
    wrapped.gradient = StaticCurve(limit=3)
    with untouched(wrapped):
        compared(settings({"rga": RGA(), "assg": ASSG()}), wrapped, x, y)


def test_an_interrupted_comparison_leaves_rule_and_random_states_as_they_were(monkeypatch):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    interrupt(monkeypatch, at=2)
    with pytest.raises(KeyboardInterrupt), untouched(wrapped):
        compared(settings(), wrapped, x, y)


def test_a_row_depends_neither_on_other_rules_nor_on_the_random_state(crafted):
    wrapped = classifier(seed=1, encoder=Poisson(4))
    x, y = samples(wrapped)
    attack = Attack(name="apgd", eps=0.3, iterations=2)
    together = compared(settings({"rga": RGA(), "assg": ASSG()}, attack=attack), wrapped, x, y)
    np.random.seed(7)  # noqa: NPY002
    torch.manual_seed(7)
    alone = compared(settings({"assg": ASSG()}, attack=attack), wrapped, x, y)
    one, other = together.rows["assg"], alone.rows["assg"]
    assert np.array_equal(one.outcome.correct, other.outcome.correct)
    assert np.array_equal(one.outcome.robust, other.outcome.robust)
    assert (one.vanished, one.cosine) == (other.vanished, other.cosine)
    assert all(map(np.array_equal, crafted[3:6], crafted[6:]))
    assert not all(map(np.array_equal, crafted[:3], crafted[3:6]))


def test_a_rule_that_remembers_starts_every_batch_afresh(crafted):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped, 8, wrong=0)
    # So near to each other that ASSG would take the second batch for the first one, moved.
    x = 0.5 + 0.1 * x
    row = compared(settings({"assg": ASSG()}), wrapped, x, y).rows["assg"]
    cosines = []
    for place, batch in enumerate((slice(0, 4), slice(4, 8))):
        fresh = classifier(seed=1)
        expected = pgd_by_hand(fresh.model, ASSG(), 0.03, 0.03 / 4, 5, x[batch], y[batch])
        assert np.allclose(crafted[place], expected, atol=1e-6)
        fresh.model.forget()
        pair = [
            fresh.loss_gradient(x[batch], y[batch], gradient=rule).reshape(4, -1).astype(float)
            for rule in (ASSG(), STBP())
        ]
        lengths = [np.linalg.norm(gradient, axis=1) for gradient in pair]
        cosines += list((pair[0] * pair[1]).sum(1) / (lengths[0] * lengths[1]))
    assert row.cosine == pytest.approx(np.mean(cosines), abs=1e-9)


def test_the_seed_decides_what_a_random_network_and_a_random_attack_draw():
    wrapped = classifier(seed=1, encoder=Poisson(4))
    x, y = samples(wrapped)
    cosines = [
        compared(settings({"rga": RGA()}, seed=seed), wrapped, x, y).rows["rga"].cosine
        for seed in (0, 0, 1)
    ]
    assert cosines[0] == cosines[1] != cosines[2]


def test_averaging_over_draws_wraps_every_rule_and_its_objection():
    wrapped = classifier(seed=1, encoder=Poisson(4))
    x, y = samples(wrapped)
    rules = {"stbp": STBP(), "cba": CBA()}
    asked = settings(rules, eot=3)
    assert asked.rule("stbp") == EOT(STBP(), samples=3)
    assert settings(rules).rule("stbp") == STBP()
    comparison = compared(asked, wrapped, x, y)
    assert comparison.rows["stbp"].rule == str(EOT(STBP(), samples=3))
    assert comparison.rows["cba"].objection.startswith("CBA: conversion to an ANN")


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Stop the attack on the batch of that number, counted from 1 over all rules."""
    craft, calls = Attack.craft, iter(range(1, 1000))

    def stopped(self: Attack, wrapped: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        if next(calls) == at:
            raise KeyboardInterrupt
        return craft(self, wrapped, x, y)

    monkeypatch.setattr(Attack, "craft", stopped)


@pytest.mark.parametrize("wrong", [2, 10])
def test_the_file_is_json_that_other_programs_read_too(wrong, tmp_path):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped, wrong=wrong)
    file = tmp_path / "compare.json"
    compared(settings({"blind": Blind(), "cba": CBA()}), wrapped, x, y, file)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    content = json.loads(file.read_text(), parse_constant=refuse)
    assert content["rows"]["blind"]["cosine"] is None
