"""What is swept: a field and its values, plans over decays, the settings of the command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from art_snn import checkpoint
from art_snn.app.attack import Attack
from art_snn.app.sweep import Settings, Sweep, Sweeps, paper
from art_snn.app.trained import Trained
from art_snn.checks import ArgumentError
from art_snn.gradients import ASSG, RGA
from art_snn.models import Architecture
from tests.small import classifier

COMMON: dict[str, Any] = {"attack": Attack(eps=0.1, iterations=1), "batch_size": 4}


def asked(**options: Any) -> Settings:
    return Settings(**COMMON | options)


def network(**architecture: Any) -> Trained:
    return Trained(architecture=Architecture(**architecture))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "network.safetensors"
    checkpoint.save(classifier().model, path)
    return path


def test_a_sweep_knows_its_rules_and_its_default():
    sweep = Sweep(rule="hart", field="surrogate.width", values=(0.1, 2.45))
    assert (sweep.name, sweep.default) == ("hart.surrogate.width", 1)
    assert sweep.with_value(2.45).surrogate.width == 2.45
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
        ({"rule": "sgd"}, r"^rule: expected one of 'stbp', 'pdsg', .*got 'sgd'"),
        ({"field": "width"}, r"^field: expected one of beta, gamma, got 'width'"),
        ({"rule": "hart"}, r"^field: expected one of surrogate\.width, got 'beta'"),
        ({"values": ()}, r"^values: expected at least one, got none"),
        ({"values": (1, 0)}, r"^values: .*beta of RGA can have, got 0 \(beta: expected a number"),
        ({"values": (1, 2, 1.0)}, r"^values: expected each one once, got \(1\.0, 2\.0, 1\.0\)"),
        ({"samples": 0}, r"^samples: expected a whole number >= 1, got 0\."),
        ({"batch_size": 0}, r"^batch_size: expected a whole number >= 1, got 0\. Use a whole"),
    ],
)
def test_a_sweep_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(ArgumentError, match=message):
        Sweep(**options)
    if "values" in options or "field" in options or "rule" in options:
        options = {"field": "beta", "values": (1,)} | options
    with pytest.raises(ArgumentError, match=message):
        Settings(**options)


def test_a_rule_that_is_a_class_is_refused():
    with pytest.raises(TypeError, match=r"^rule: expected a gradient rule such as RGA\(\)"):
        Sweep(rule=RGA)  # type: ignore[arg-type]


def test_a_plan_names_every_decay_once_and_needs_one():
    assert Sweeps(sweep=Sweep(), decays=(1, 0.9, 1.0)).decays == (1.0, 0.9)
    with pytest.raises(ArgumentError, match=r"^decays: expected at least one, got none"):
        Sweeps(sweep=Sweep(), decays=())


def test_the_paper_s_figure_is_the_plan_unless_something_else_is_asked_for():
    beta, gamma = asked().plans()
    assert (beta.sweep.name, beta.decays) == ("rga.beta", (1, 0.5))
    assert beta.sweep.values == (1, 1.5, 2, 2.5, 3, 3.5, 4)
    assert (gamma.sweep.name, gamma.decays) == ("rga.gamma", (0.9, 0.5))
    assert gamma.sweep.values == (0, 0.1, 0.2, 0.3)
    assert {plan.sweep.attack for plan in (beta, gamma)} == {COMMON["attack"]}
    assert {plan.sweep.batch_size for plan in (beta, gamma)} == {4}
    assert [plan.decays for plan in asked(decays=(0.25,)).plans()] == [(0.25,), (0.25,)]
    assert paper() == Settings().plans()


def test_a_field_and_its_values_make_a_single_plan():
    (plan,) = Settings(rule="hart", field="surrogate.width", values=(0.5, 1), samples=7).plans()
    assert plan.sweep == Sweep(rule="hart", field="surrogate.width", values=(0.5, 1), samples=7)
    assert plan.decays == (1, 0.5)
    (plan,) = Settings(field="beta", values=(3,), decays=(0.9, 0.9)).plans()
    assert (plan.sweep.rule, plan.decays) == ("rga", (0.9,))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rule": "rga"}, r"^field: expected a field and .*values, got none\. Give both"),
        ({"values": (1,)}, r"^field: expected a field and .*values, got none"),
        ({"field": "beta"}, r"^values: expected a field and .*values, got none"),
        ({"decays": ()}, r"^decays: expected at least one, got none"),
        ({"field": "beta", "values": ()}, r"^values: expected at least one, got none"),
        ({"seed": -1}, r"^seed: expected a whole number >= 0, got -1\. Use 0\."),
        ({"seed": 0.5}, r"^seed: expected a whole number >= 0, got 0\.5"),
    ],
)
def test_half_a_plan_and_settings_out_of_range_are_refused(given, message):
    with pytest.raises(ArgumentError, match=message):
        asked(**given)


def test_one_decay_is_one_network_of_that_decay_in_every_plan():
    found = asked(network=network(decay=0.9))
    assert found.decays == (0.9,)
    assert [plan.decays for plan in found.plans()] == [(0.9,), (0.9,)]
    (plan,) = asked(network=network(decay=0.9), field="beta", values=(3,)).plans()
    assert plan.decays == (0.9,)


def test_decays_beside_a_checkpoint_are_refused_and_its_decay_is_not(weights):
    of_file = Trained(checkpoint=weights)
    assert asked(network=of_file).decays is None
    message = r"^decays: expected None next to a checkpoint, wh.* has its own, got .*1, 0\.5"
    with pytest.raises(ArgumentError, match=message):
        asked(network=of_file, decays=(1, 0.5))
    told = Trained(checkpoint=weights, architecture=Architecture(decay=0.75))
    assert asked(network=told).decays == (0.75,)
