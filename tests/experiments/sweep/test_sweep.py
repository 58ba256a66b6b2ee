"""The sweep of a field on a network of a few neurons, against single attacks and the comparison."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import LIF, PyTorchSpikingClassifier, SpikingNetwork
from art_snn import TimeDistributed as Timed
from art_snn.encoders import Frames, Poisson
from art_snn.evaluation import compare
from art_snn.attacks import Attack
from art_snn.metrics import paired_difference, robustness
from art_snn.evaluation.sweep import Sweep, check, run
from art_snn.gradients import ASSG, EOT, RGA, STBP, ATan, StaticCurve
from tests.small import CLASSES, classifier, pgd_by_hand, samples
from tests.evaluation.test_compare import interrupt

ATTACK = Attack(eps=0.03, iterations=5)
REFUSAL = (
    r"^output: expected a folder without results, or with results of the same sweep, got "
    r".*sweep\.json of other settings, weights or samples\. Choose another folder"
)


def sweep(**options: Any) -> Sweep:
    return Sweep(**{"attack": ATTACK, "batch_size": 4, "values": (1, 2, 4)} | options)


@pytest.fixture
def crafted(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What every batch became under attack; the attack is that of the library."""
    results: list[np.ndarray] = []
    craft = Attack.craft

    def kept(self: Attack, wrapped: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        results.append(craft(self, wrapped, x, y))
        return results[-1]

    monkeypatch.setattr(Attack, "craft", kept)
    return results


def robust(line: Any) -> dict[float, list[bool]]:
    return {value: list(outcome.robust) for value, outcome in line.outcomes.items()}


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ({}, [RGA(beta=1), RGA(beta=2), RGA(beta=4)]),
        ({"field": "gamma", "values": (0, 0.3)}, [RGA(gamma=0), RGA(gamma=0.3)]),
        (
            {"rule": STBP(surrogate=ATan()), "field": "surrogate.alpha", "values": (0.5, 9)},
            [STBP(surrogate=ATan(alpha=0.5)), STBP(surrogate=ATan(alpha=9))],
        ),
    ],
    ids=["beta", "gamma", "an instance"],
)
def test_every_value_is_attacked_as_by_hand(options, rules, crafted):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    asked = sweep(**options)
    line = run(asked, wrapped, x, y)
    assert list(line.outcomes) == list(asked.values)
    clean = wrapped.predict(x)
    for i, (value, rule) in enumerate(zip(asked.values, rules, strict=True)):
        by_hand = pgd_by_hand(wrapped.model, rule, ATTACK, x, y)
        assert np.allclose(np.concatenate(crafted[3 * i : 3 * i + 3]), by_hand, atol=1e-6)
        expected = robustness(clean, wrapped.predict(by_hand), y)
        assert np.array_equal(line.outcomes[value].correct, expected.correct)
        assert np.array_equal(line.outcomes[value].robust, expected.robust)
    assert not np.array_equal(crafted[0], crafted[3])


@pytest.mark.parametrize("name", ["pgd", "apgd"])
@pytest.mark.parametrize("encoder", [None, Poisson(4)], ids=str)
def test_the_default_value_does_what_the_comparison_of_rules_does(name, encoder):
    wrapped = classifier(seed=1, encoder=encoder)
    x, y = samples(wrapped, 12)
    common: dict[str, Any] = {"attack": Attack(name=name, eps=0.04), "batch_size": 5, "seed": 3}
    line = run(Sweep(values=(1.5, 2, 3), **common), wrapped, x, y)
    settings = compare.Settings(rules={"rga": RGA()}, repeats=1, **common)
    row = compare.run(settings, wrapped, x, y).rows["rga"].outcome
    assert line.default in line.outcomes
    assert np.array_equal(line.outcomes[line.default].correct, row.correct)
    assert np.array_equal(line.outcomes[line.default].robust, row.robust)


def test_flips_are_kept_per_sample_so_that_values_can_be_compared():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped, 40, wrong=4)
    line = run(sweep(rule="stbp", field="surrogate.width", values=(0.05, 1)), wrapped, x, y)
    narrow, default = line.outcomes.values()
    assert narrow.clean_accuracy.count == 36
    more, fewer, p = paired_difference(default, narrow)
    assert more > fewer
    assert p < 0.05
    assert (line.best, line.rivals) == (1, [])


def test_without_leak_rga_with_beta_one_is_the_exact_slope_of_the_curve():
    wrapped = classifier(seed=1, decay=1.0)
    x, y = samples(wrapped)
    gradients = [
        wrapped.loss_gradient(x, y, gradient=rule) for rule in (RGA(beta=1), StaticCurve())
    ]
    assert np.abs(gradients[0]).max() > 0
    assert np.array_equal(*gradients)
    assert 1.0 in run(sweep(values=(1,)), wrapped, x, y).outcomes


def test_the_network_and_the_random_states_are_left_as_they_were():
    wrapped = classifier(seed=1, encoder=Poisson(4))
    x, y = samples(wrapped)
    wrapped.gradient = rule = StaticCurve(limit=3)
    before = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    run(sweep(rule="assg", field="omega"), wrapped, x, y)
    after = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    assert np.array_equal(before[0][1], after[0][1])
    assert torch.equal(before[1], after[1])
    assert wrapped.gradient is rule
    assert wrapped.model._override is None
    assert wrapped.model.memory == {}
    assert not wrapped.model.training


def test_a_value_depends_on_no_other(crafted):
    wrapped = classifier(seed=1, encoder=Poisson(4))
    x, y = samples(wrapped)
    options: dict[str, Any] = {"rule": "assg", "field": "omega", "attack": Attack(name="apgd")}
    together = run(sweep(**options), wrapped, x, y)
    alone = run(sweep(**options | {"values": (4,)}), wrapped, x, y)
    assert robust(alone)[4] == robust(together)[4]
    assert all(map(np.array_equal, crafted[6:9], crafted[9:]))


def test_fields_of_rules_around_a_rule_are_swept_too(crafted):
    wrapped = classifier(seed=1, encoder=Poisson(4))
    x, y = samples(wrapped, 4)
    run(sweep(rule="eot-rga", field="samples", values=(1, 3)), wrapped, x, y)
    run(sweep(rule=EOT(RGA(), samples=3), field="rule.beta", values=(2,)), wrapped, x, y)
    assert not np.array_equal(crafted[0], crafted[1])
    assert np.array_equal(crafted[1], crafted[2])


def test_a_run_that_was_killed_is_taken_up_after_its_last_whole_value(tmp_path, crafted):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    file, whole = tmp_path / "new" / "sweep.json", tmp_path / "whole.json"
    expected = run(sweep(), wrapped, x, y, whole, "decay 0.5", "small")
    assert len(crafted) == 9
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, at=5)
        with pytest.raises(KeyboardInterrupt):
            run(sweep(), wrapped, x, y, file, "decay 0.5", "small")
    killed = json.loads(file.read_text())
    assert list(killed["lines"]["rga.beta at decay 0.5"]["values"]) == ["1.0"]
    assert [kept.name for kept in file.parent.iterdir()] == ["sweep.json"]
    crafted.clear()
    resumed = run(sweep(), wrapped, x, y, file, "decay 0.5", "small")
    assert len(crafted) == 6
    assert file.read_bytes() == whole.read_bytes()
    assert robust(resumed) == robust(expected)
    crafted.clear()
    again = run(sweep(), wrapped, x, y, file, "decay 0.5", "small")
    assert crafted == []
    assert (robust(again), again.title) == (robust(expected), "small")


def test_one_file_holds_several_networks_and_fields(tmp_path, crafted):
    file = tmp_path / "sweep.json"
    gamma = sweep(field="gamma", values=(0, 0.2))
    lines = {}
    for _ in range(2):
        for decay in (1.0, 0.5):
            wrapped = classifier(seed=1, decay=decay)
            x, y = samples(wrapped)
            for asked in (sweep(), gamma):
                line = run(asked, wrapped, x, y, file, f"decay {decay:g}")
                assert robust(lines.setdefault((asked.name, decay), line)) == robust(line)
    assert len(crafted) == 2 * 3 * (3 + 2)
    content = json.loads(file.read_text())["lines"]
    assert list(content) == [
        "rga.beta at decay 1",
        "rga.gamma at decay 1",
        "rga.beta at decay 0.5",
        "rga.gamma at decay 0.5",
    ]
    assert content["rga.beta at decay 1"]["key"] != content["rga.beta at decay 0.5"]["key"]


def test_values_that_are_asked_for_later_join_the_file(tmp_path, crafted):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    file = tmp_path / "sweep.json"
    first = run(sweep(), wrapped, x, y, file)
    crafted.clear()
    line = run(sweep(values=(4, 8, 1)), wrapped, x, y, file)
    assert len(crafted) == 3
    assert list(line.outcomes) == [4, 8, 1]
    assert robust(line)[4] == robust(first)[4]
    (entry,) = json.loads(file.read_text())["lines"].values()
    assert list(entry["values"]) == ["1.0", "2.0", "4.0", "8.0"]


def test_the_file_tells_the_settings_and_the_outcome_of_every_sample(tmp_path):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    file = tmp_path / "sweep.json"
    asked = sweep(rule="static", field="limit", values=(1, float("inf")), samples=9)
    line = run(asked, wrapped, x, y, file, "mine", "words")

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    entry = json.loads(file.read_text(), parse_constant=refuse)["lines"]["static.limit at mine"]
    assert (entry["title"], entry["rule"], entry["field"]) == (
        "words",
        "StaticCurve(limit=2.0)",
        "limit",
    )
    assert (entry["default"], entry["samples"], entry["batch_size"], entry["seed"]) == (
        "2.0",
        9,
        4,
        0,
    )
    assert entry["attack"] == {"name": "pgd", "eps": 0.03, "eps_step": None, "iterations": 5}
    assert entry["correct"] == "001111111"
    assert entry["clean_accuracy"]["count"] == 7
    for value, kept in zip(asked.values, entry["values"].values(), strict=True):
        outcome = line.outcomes[value]
        assert kept["robust"] == "".join(str(int(one)) for one in outcome.robust)
        assert kept["attack_success"] == outcome.attack_success.as_dict()
    assert list(entry["values"]) == ["1.0", "inf"]


def results(folder: Path) -> tuple[Any, np.ndarray, np.ndarray, Path]:
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    run(sweep(), wrapped, x, y, folder / "sweep.json")
    return wrapped, x, y, folder / "sweep.json"


@pytest.mark.parametrize(
    "change",
    [{"attack": Attack(eps=0.04, iterations=5)}, {"samples": 9}, {"batch_size": 5}, {"seed": 1}],
    ids=str,
)
def test_results_of_other_settings_are_refused_and_kept(change, tmp_path):
    wrapped, x, y, file = results(tmp_path)
    before = file.read_bytes()
    with pytest.raises(ValueError, match=REFUSAL):
        run(sweep(**change), wrapped, x, y, file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("changed", ["weights", "neurons", "x", "y"])
def test_results_of_another_network_or_other_samples_are_refused(changed, tmp_path):
    wrapped, x, y, file = results(tmp_path)
    if changed == "weights":
        with torch.no_grad():
            wrapped.model.layers[2].module[0].bias[0] += 1e-3
    elif changed == "neurons":
        wrapped = classifier(seed=1, decay=0.9)
    elif changed == "x":
        x[3, 0, 2, 2] += 0.01
    else:
        y[3] = (y[3] + 1) % CLASSES
    with pytest.raises(ValueError, match=REFUSAL):
        run(sweep(), wrapped, x, y, file)


@pytest.mark.parametrize("content", ["", '{"lines": ', "[]", "null", "{}", '{"lines": 3}'])
def test_a_damaged_file_is_refused_and_kept(content, tmp_path):
    wrapped, x, y, file = results(tmp_path)
    file.write_text(content)
    with pytest.raises(ValueError, match=REFUSAL):
        run(sweep(), wrapped, x, y, file)
    assert file.read_text() == content


@pytest.mark.parametrize(
    ("options", "neuron", "message"),
    [
        (
            {"values": (0.5, 2)},
            {"decay": 0.5},
            r"rga\.beta that suit the network, got 0\.5 \(beta: expected more than .* = 0\.5 "
            r"for a neuron with decay 0\.5 and threshold 1, got 0\.5\..*\)\. Leave",
        ),
        (
            {"field": "gamma", "values": (0.2, 2)},
            {"decay": 0.5},
            r"rga\.gamma .*got 2\.0 \(gamma: expected .* below 1 for a neuron with decay 0\.5",
        ),
        (
            {"rule": "eot-rga", "field": "rule.beta", "values": (2, 0.05)},
            {"decay": 0.9},
            r"eot-rga\.rule\.beta that suit .*, got 0\.05 \(beta: expected more than .* decay 0\.9",
        ),
        (
            {"rule": "cba", "field": "levels", "values": (4, 8)},
            {"decay": 0.9},
            r"cba\.levels .*got 4 \(gradient: expected a rule .*decay=0\.9.*: conversion to an A",
        ),
    ],
)
def test_values_that_make_no_sense_on_the_network_are_refused_before_any_attack(
    options, neuron, message, tmp_path, crafted
):
    wrapped = classifier(**neuron)
    x, y = samples(wrapped)
    for call in (
        lambda: check(sweep(**options), wrapped, x),
        lambda: run(sweep(**options), wrapped, x, y, tmp_path / "sweep.json"),
    ):
        with pytest.raises(ValueError, match=rf"^values: expected values of {message}"):
            call()
    assert crafted == []
    assert list(tmp_path.iterdir()) == []
    assert wrapped.model.memory == {}


def test_a_value_that_is_refused_with_one_decay_is_welcome_with_another():
    wrapped = classifier(decay=1.0)
    x, _ = samples(wrapped)
    for options in ({"values": (0.4,)}, {"field": "gamma", "values": (2,)}):
        check(sweep(**options), wrapped, x)
        with pytest.raises(ValueError, match=r"^values: expected values of rga\..* that suit"):
            check(sweep(**options), classifier(decay=0.5), x)


def test_the_check_leaves_nothing_in_the_memory_of_the_network():
    wrapped = classifier()
    check(sweep(rule="assg", field="omega"), wrapped, samples(wrapped)[0])
    assert wrapped.model.memory == {}


def test_samples_that_do_not_fit_are_reported_as_such():
    with pytest.raises(ValueError, match=r"^x: "):
        check(sweep(), classifier(), np.zeros((3, 1, 5, 5), np.float32))


def test_a_sweep_without_samples_is_refused():
    with pytest.raises(ValueError, match=r"^x: expected at least one sample, got none\. Give test"):
        run(sweep(), classifier(), np.empty((0, 1, 8, 8), np.float32), np.empty(0, np.int64))


def test_a_sweep_knows_its_rules_and_its_default():
    asked = Sweep(rule="hart", field="surrogate.width", values=(0.1, 2.45))
    assert (asked.name, asked.default) == ("hart.surrogate.width", 1)
    assert asked.with_value(2.45).surrogate.width == 2.45
    assert Sweep(rule=ASSG(omega=3), field="omega").default == 3
    assert Sweep(rule=ASSG(omega=3), field="omega").name == "assg.omega"


def test_values_are_of_the_kind_of_the_field():
    levels = Sweep(rule="cba", field="levels", values=(4.0, 8)).values
    assert [(type(one), one) for one in levels] == [(int, 4), (int, 8)]
    assert [type(one) for one in Sweep(values=(1, 2)).values] == [float, float]
    assert Sweep(rule="pdsg", field="per_sample", values=(0, 1)).values == (False, True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "sgd"}, r"^rule: expected one of stbp, pdsg, .*got 'sgd'"),
        ({"field": "width"}, r"^field: expected one of beta, gamma, got 'width'"),
        ({"rule": "hart"}, r"^field: expected one of surrogate\.width, got 'beta'"),
        ({"values": ()}, r"^values: expected at least one, got none\. Give some"),
        ({"values": (1, 0)}, r"^values: .*beta of RGA can have, got 0 \(beta: expected a number"),
        ({"values": (1, 2, 1.0)}, r"^values: expected each one once, got \(1\.0, 2\.0, 1\.0\)"),
        ({"samples": 0}, r"^samples: expected a whole number >= 1, got 0\. Leave it out"),
        ({"batch_size": 0}, r"^batch_size: expected a whole number >= 1, got 0\. Use a whole"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sweep(**options)


def test_a_rule_that_is_a_class_is_refused():
    with pytest.raises(TypeError, match=r"^rule: expected a gradient rule such as RGA\(\)"):
        Sweep(rule=RGA)  # type: ignore[arg-type]


def test_more_steps_are_refused_where_the_encoder_has_a_fixed_number():
    network = SpikingNetwork([LIF(), Timed(nn.Flatten(), nn.Linear(64, 4))], Frames(4))
    shape = (4, 1, 8, 8)
    wrapped = PyTorchSpikingClassifier(network, nn.CrossEntropyLoss(), shape, 4, device_type="cpu")
    x = np.zeros((2, *shape), np.float32)
    with pytest.raises(ValueError, match=r"^values: expected values of extended-rga\.steps that"):
        check(sweep(rule="extended-rga", field="steps", values=(8,)), wrapped, x)
