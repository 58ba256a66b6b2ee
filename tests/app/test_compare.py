"""The comparison of rules on a network of a few neurons, against attacks written by hand."""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from art_snn import ASSG, CBA, EOT, GRADIENTS, RGA, STBP
from art_snn.app import compare as module
from art_snn.app.compare import CAUTION, Comparison, _compare_rules, _Subject
from art_snn.app.results import as_json, from_json, read_result
from art_snn.app.settings import Compare
from art_snn.checks import ArgumentError
from art_snn.encoders import Poisson
from art_snn.gradients import Gradient, NeuronRef, StaticCurve, TemporalGradient, parse_rules
from art_snn.metrics import Share, union
from tests.classifiers import classifier, pgd_by_hand, samples, untouched
from tests.command import succeed
from tests.datasets import images
from tests.evaluations import outcome
from tests.interop import adapted

ALL = parse_rules(",".join((*GRADIENTS, "pdsg-per-sample", "native")))
TWO: dict[str, Gradient] = {"stbp": STBP(), "rga": RGA()}


@dataclass(frozen=True)
class Opposite(Gradient):
    """Minus STBP."""

    def logits(self, body: Any, x: Tensor) -> Tensor:
        logits = STBP().logits(body, x)
        return 2 * logits.detach() - logits


@dataclass(frozen=True)
class Blind(TemporalGradient):
    """No slope anywhere."""

    def slope(self, distance: Tensor, site: NeuronRef) -> Tensor:
        return torch.zeros_like(distance)


@dataclass(frozen=True)
class HalfBlind(Gradient):
    """STBP, with the sign turned, where the first pixel is bright; no gradient elsewhere."""

    def logits(self, body: Any, x: Tensor) -> Tensor:
        bright = x[:, :1, :1, :1] > 0.5
        return Opposite().logits(body, torch.where(bright, x, x.detach()))


def compare(wrapped, rules=None, file=None, given=None, attack="pgd(max_iter=5)", **options):
    """A comparison on ten samples, of which two are misclassified; in a new file unless given."""
    x, y = samples(wrapped) if given is None else given
    rules = TWO if rules is None else rules
    options = {"attack": attack, "eps": 0.03, "batch_size": 4, "repeats": 1} | options
    with TemporaryDirectory() as folder:
        settings = Compare(output=file.parent if file else Path(folder), **options)
        return _compare_rules(_Subject(settings, wrapped, x, y), rules, "")


@pytest.mark.parametrize(("decay", "applies"), [(0.5, False), (1.0, True)])
def test_every_rule_has_a_row_which_for_cba_is_an_objection_on_leaky_neurons(decay, applies):
    wrapped = classifier(seed=1, decay=decay)
    comparison = compare(wrapped, dict(ALL))
    assert list(comparison.rows) == list(ALL)
    objections = {n: row.objection for n, row in comparison.rows.items() if row.objection}
    assert list(objections) == [*["cba"] * (not applies), "native"]
    assert set(comparison.outcomes) == set(comparison.seconds)
    if not applies:
        assert objections["cba"] == CBA().objection(wrapped.model.layers[1].dynamics)
    for name, row in comparison.rows.items():
        assert row.rule == str(ALL[name])
        if row.objection:
            assert (row.outcome, row.vanished) == (None, None)
        else:
            assert comparison.seconds[name] > 0
            assert -1 <= row.cosine <= 1
            assert row.outcome.correct.sum() == row.outcome.attack_success.total == 8
    assert "medians of 1 rounds in turn, batch 4" in comparison.machine
    flipped = [one.flipped for one in comparison.outcomes.values()]
    assert len({tuple(f) for f in flipped}) > 1
    whole = union(comparison.outcomes.values())
    assert np.array_equal(whole.flipped, np.logical_or.reduce(flipped))


@pytest.mark.parametrize("name", ["stbp", "rga", "pdsg-per-sample"])
def test_the_success_of_a_rule_is_that_of_an_attack_by_hand_under_it(name):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    found = compare(wrapped, {name: ALL[name]}).rows[name].outcome
    adversarial = pgd_by_hand(wrapped.model, ALL[name], 0.03, 0.03 / 4, 5, x, y)
    assert np.array_equal(found.correct, wrapped.predict(x).argmax(1) == y)
    assert np.array_equal(found.robust, wrapped.predict(adversarial).argmax(1) == y)
    assert 0 < found.attack_success.value < 1


def test_the_cosine_is_the_mean_over_samples_whatever_the_gradients_weigh():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    rows = compare(wrapped, {"rga": RGA(), "stbp": STBP(), "opposite": Opposite()}).rows
    one, other = (
        wrapped.loss_gradient(x, y, gradient=rule).reshape(len(x), -1).astype(float)
        for rule in (RGA(), STBP())
    )
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines = (one * other).sum(1) / lengths
    assert rows["rga"].cosine == pytest.approx(cosines.mean(), abs=1e-6)
    assert np.ptp(cosines) > 0.01
    assert rows["opposite"].cosine == pytest.approx(-1, abs=1e-6)
    assert rows["opposite"].outcome.attack_success.count == 0


def test_samples_without_a_gradient_are_counted_and_leave_the_cosine_alone():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    dark, right = x[:, 0, 0, 0] <= 0.5, wrapped.predict(x).argmax(1) == y
    assert 0 < dark[right].sum() < 8
    rows = compare(wrapped, {"half": HalfBlind(), "blind": Blind()}, given=(x, y)).rows
    assert rows["half"].vanished == Share(int(dark[right].sum()), 8)
    assert rows["half"].cosine == pytest.approx(-1, abs=1e-6)
    assert rows["blind"].vanished == Share(8, 8)
    assert (rows["blind"].cosine, rows["blind"].outcome.attack_success.count) == (None, 0)


def test_the_network_and_the_random_states_are_left_as_they_were():
    wrapped = classifier(seed=1, encoder=Poisson(4))
    given = samples(wrapped)
    wrapped.gradient = StaticCurve(limit=3)
    with untouched(wrapped):
        compare(wrapped, {"rga": RGA(), "assg": ASSG()}, given=given)


def test_a_row_depends_neither_on_other_rules_nor_on_the_random_state_but_on_the_seed():
    wrapped = classifier(seed=1, encoder=Poisson(4))
    given, how = samples(wrapped), {"attack": "apgd(max_iter=2)", "eps": 0.3}
    one = compare(wrapped, {"rga": RGA(), "assg": ASSG()}, given=given, **how).rows["assg"]
    torch.manual_seed(7)
    other = compare(wrapped, {"assg": ASSG()}, given=given, **how).rows["assg"]
    assert np.array_equal(one.outcome.robust, other.outcome.robust)
    assert (one.vanished, one.cosine) == (other.vanished, other.cosine)
    third = compare(wrapped, {"assg": ASSG()}, given=given, seed=1, **how).rows["assg"]
    assert third.cosine != one.cosine


def test_averaging_over_draws_wraps_every_rule_and_its_objection():
    wrapped = classifier(seed=1, encoder=Poisson(4))
    rows = compare(wrapped, {"stbp": STBP(), "cba": CBA()}, eot=3).rows
    assert rows["stbp"].rule == str(EOT(STBP(), samples=3))
    assert rows["cba"].objection.startswith("CBA: conversion to an ANN")


def test_finished_rules_are_not_run_again_and_others_are_refused(monkeypatch, tmp_path):
    wrapped, file, attack = classifier(seed=1), tmp_path / "compare.json", module.craft
    given, calls = samples(wrapped), []

    def counted(*given: Any, progress_label: str, **how: Any) -> np.ndarray:
        calls.append(progress_label.removeprefix("attack by "))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return attack(*given, progress_label=progress_label, **how)

    monkeypatch.setattr(module, "craft", counted)
    with pytest.raises(KeyboardInterrupt):
        compare(wrapped, file=file, given=given)
    assert list(read_result(file, Comparison).rows) == ["stbp"]
    comparison = compare(wrapped, file=file, given=given)
    assert (calls, list(comparison.rows)) == (["stbp", "rga", "rga"], ["stbp", "rga"])
    for change in ({"eps": 0.02}, {"rules": {"rga": RGA(beta=3)}}, {"seed": 1}):
        with pytest.raises(ArgumentError, match=r"^output: expected .* results of the same compar"):
            compare(wrapped, file=file, given=given, **change)
    assert list(read_result(file, Comparison).rows) == ["stbp", "rga"]


def by_hand(**rows: dict[str, Any]) -> Comparison:
    times = {"stbp": 2.0, "rga": 0.75}
    seconds = {name: times.get(name, 1.0) for name, row in rows.items() if "outcome" in row}
    words = {"title": "a network on digits", "key": "key", "attack": "pgd, eps 0.1"}
    figures = {"machine": "a machine", "inference": 0.5, "seconds": seconds, "settings": {}}
    return from_json(as_json(words | figures | {"rows": rows}), Comparison)


def row(flips: int, vanished: int, **more: Any) -> dict[str, Any]:
    return {"rule": "", "outcome": outcome(flips), "vanished": Share(vanished, 10)} | more


BLANK = ("",) * 5
EXAMPLE = by_hand(
    stbp=row(1, 0, cosine=1.0),
    rga=row(7, 4, cosine=0.25),
    pdsg=row(0, 10),
    cba={"rule": "CBA()", "objection": "only IF"},
)
# Eight are correct; the p-values are 2 / 2^6 for six flips more and 1 for one fewer.
CELLS = [
    ("stbp", str(Share(1, 8)), "", "4.00", "2000", str(Share(0, 10)), "1.000"),
    ("rga", str(Share(7, 8)), "stronger, p = 0.031", "1.50", "750", str(Share(4, 10)), "0.250"),
    ("pdsg", str(Share(0, 8)), "no difference, p = 1", "2.00", "1000", str(Share(10, 10)), "nan"),
    ("cba", "does not apply", *BLANK),
    ("union of all", str(Share(7, 8)), *BLANK),
]
CORRECT = "8 of 10 samples classified correctly before the attack"


def test_the_table_says_how_strong_how_expensive_and_how_blind_every_rule_is():
    heading, table, note = EXAMPLE.render().rstrip().split("\n\n")
    assert heading.splitlines() == ["a network on digits", "pgd, eps 0.1", CORRECT, "a machine"]
    head, *lines = table.splitlines()
    titles = "rule success among the correct against STBP x inference ms zero gradient cosine to"
    assert head.split() == [*titles.split(), "STBP"]
    assert [line.split() for line in lines] == [" ".join(cells).split() for cells in CELLS]
    assert note == "cba does not apply: only IF."


def test_settings_of_one_rule_are_compared_with_the_first_and_come_with_a_caution():
    rows = {f"rga(beta={b})": row(b, 0) for b in (1, 7)}
    text = " ".join(by_hand(**rows).render().split())
    assert "against rga(beta=1)" in text
    assert "stronger, p = 0.031" in text
    assert CAUTION in text
    assert CAUTION not in EXAMPLE.render()


def test_a_comparison_survives_json_and_is_drawn(tmp_path):
    EXAMPLE.write(tmp_path)
    content = json.loads((tmp_path / "compare.json").read_text(), parse_constant=pytest.fail)
    assert content["rows"]["pdsg"]["cosine"] is None
    found = read_result(tmp_path / "compare.json", Comparison)
    assert found.render() == EXAMPLE.render()
    assert found.as_dict() == EXAMPLE.as_dict()
    bars, times = EXAMPLE.draw().axes
    assert [patch.get_width() for patch in bars.patches] == [12.5, 87.5, 0.0]
    assert [patch.get_width() for patch in times.patches] == [4.0, 1.5, 2.0]
    assert [label.get_text() for label in bars.get_yticklabels()] == ["stbp", "rga", "pdsg"]


@pytest.mark.filterwarnings("ignore:the rule knows no equations")
def test_bare_models_are_compared_by_rules_that_apply_or_by_their_own_gradient(here):
    images(here / "images.npz")
    words = ("compare", "--data", "images.npz", "--device", "cpu", "--attack", "pgd(max_iter=1)")
    words += ("--samples", "4", "--batch-size", "4", "--repeats", "1", "--model")
    mine = adapted.own(here)
    text = succeed(*words, mine, "--rules", "rga(beta=3),cba,relu", "--output", "one")
    rows = read_result(Path("one", "compare.json"))["rows"]
    assert rows["rga(beta=3)"]["rule"] == "RGA(beta=3.0, gamma=0.2)"
    assert "cba does not apply" in text
    succeed(*words, adapted.own(here, "compiled"), "--output", "two")
    rows = read_result(Path("two", "compare.json"))["rows"]
    assert [name for name, row in rows.items() if not row["objection"]] == ["native"]
    succeed(*words, adapted.own(here, "inline"), "--rules", "stbp,pdsg,rga", "--output", "three")
    rows = read_result(Path("three", "compare.json"))["rows"]
    assert [name for name, row in rows.items() if row["objection"]] == ["rga"]
