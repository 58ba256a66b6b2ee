"""The sweep of a field on one network, against single attacks and the comparison; then of many."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from art_snn import (
    LIF,
    PyTorchSpikingClassifier,
    SpikingNetwork,
    TimeDistributed as Timed,
    checkpoint,
)
from art_snn.app import compare, trained
from art_snn.app.attack import Attack
from art_snn.app.resume import bit_string, read_result
from art_snn.app.sweep import Line, Settings, Sweep, Swept, check, run, swept
from art_snn.app.sweep.result import Content
from art_snn.app.trained import Trained
from art_snn.data import Source, from_npz
from art_snn.encoders import Frames, Poisson
from art_snn.gradients import EOT, RGA, STBP, ATan, StaticCurve
from art_snn.metrics import paired_difference, robustness
from art_snn.models import Architecture
from tests.command import call, forbidden
from tests.datasets import images
from tests.small import classifier, pgd_by_hand, samples, untouched

ATTACK = Attack(eps=0.03, iterations=5)


def sweep(**options: Any) -> Sweep:
    return Sweep(**{"attack": ATTACK, "batch_size": 4, "values": (1, 2, 4)} | options)


def robust(line: Line) -> dict[float, list[bool]]:
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
    line = swept(asked, wrapped, x, y)
    assert list(line.outcomes) == list(asked.values)
    clean = wrapped.predict(x)
    for i, (value, rule) in enumerate(zip(asked.values, rules, strict=True)):
        by_hand = pgd_by_hand(wrapped.model, rule, 0.03, 0.03 / 4, 5, x, y)
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
    line = swept(Sweep(values=(1.5, 2, 3), **common), wrapped, x, y)
    settings = compare.Settings(rules={"rga": RGA()}, repeats=1, **common)
    row = compare.compared(settings, wrapped, x, y).rows["rga"].outcome
    assert line.default in line.outcomes
    assert np.array_equal(line.outcomes[line.default].correct, row.correct)
    assert np.array_equal(line.outcomes[line.default].robust, row.robust)


def test_flips_are_kept_per_sample_so_that_values_can_be_compared():
    wrapped = classifier(seed=1)
    x, y = samples(wrapped, 40, wrong=4)
    line = swept(sweep(rule="stbp", field="surrogate.width", values=(0.05, 1)), wrapped, x, y)
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
    assert 1.0 in swept(sweep(values=(1,)), wrapped, x, y).outcomes


def test_the_network_and_the_random_states_are_left_as_they_were():
    wrapped = classifier(seed=1, encoder=Poisson(4))
    x, y = samples(wrapped)
    wrapped.gradient = StaticCurve(limit=3)
    with untouched(wrapped):
        swept(sweep(rule="assg", field="omega"), wrapped, x, y)


def test_a_value_depends_on_no_other(crafted):
    wrapped = classifier(seed=1, encoder=Poisson(4))
    x, y = samples(wrapped)
    options: dict[str, Any] = {"rule": "assg", "field": "omega", "attack": Attack(name="apgd")}
    together = swept(sweep(**options), wrapped, x, y)
    alone = swept(sweep(**options | {"values": (4,)}), wrapped, x, y)
    assert robust(alone)[4] == robust(together)[4]
    assert all(map(np.array_equal, crafted[6:9], crafted[9:]))


def test_fields_of_rules_around_a_rule_are_swept_too(crafted):
    wrapped = classifier(seed=1, encoder=Poisson(4))
    x, y = samples(wrapped, 4)
    swept(sweep(rule="eot-rga", field="samples", values=(1, 3)), wrapped, x, y)
    swept(sweep(rule=EOT(RGA(), samples=3), field="rule.beta", values=(2,)), wrapped, x, y)
    assert not np.array_equal(crafted[0], crafted[1])
    assert np.array_equal(crafted[1], crafted[2])


def test_one_file_holds_several_networks_and_fields(tmp_path, crafted):
    file = tmp_path / "sweep.json"
    gamma = sweep(field="gamma", values=(0, 0.2))
    lines = {}
    for _ in range(2):
        for decay in (1.0, 0.5):
            wrapped = classifier(seed=1, decay=decay)
            x, y = samples(wrapped)
            for asked in (sweep(), gamma):
                line = swept(asked, wrapped, x, y, file, f"decay {decay:g}")
                assert robust(lines.setdefault((asked.name, decay), line)) == robust(line)
    assert len(crafted) == 2 * 3 * (3 + 2)
    content = read_result(file)["lines"]
    names = [f"rga.{name} at decay {decay}" for decay in ("1", "0.5") for name in ("beta", "gamma")]
    assert list(content) == names
    assert content["rga.beta at decay 1"]["key"] != content["rga.beta at decay 0.5"]["key"]


def test_values_that_are_asked_for_later_join_the_file(tmp_path, crafted):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    file = tmp_path / "sweep.json"
    first = swept(sweep(), wrapped, x, y, file)
    crafted.clear()
    line = swept(sweep(values=(4, 8, 1)), wrapped, x, y, file)
    assert len(crafted) == 3
    assert list(line.outcomes) == [4, 8, 1]
    assert robust(line)[4] == robust(first)[4]
    (entry,) = read_result(file)["lines"].values()
    assert list(entry["values"]) == ["1.0", "2.0", "4.0", "8.0"]


def test_the_file_tells_the_settings_and_the_outcome_of_every_sample(tmp_path):
    wrapped = classifier(seed=1)
    x, y = samples(wrapped)
    file = tmp_path / "sweep.json"
    asked = sweep(rule="static", field="limit", values=(1, float("inf")), samples=9)
    line = swept(asked, wrapped, x, y, file, "mine", "words")

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    entry = json.loads(file.read_text(), parse_constant=refuse)["lines"]["static.limit at mine"]
    words = {"title": "words", "rule": "StaticCurve(limit=2.0)", "field": "limit"}
    words |= {"default": "2.0", "samples": 9, "batch_size": 4, "seed": 0}
    assert entry.items() >= words.items()
    assert entry["attack"] == {"name": "pgd", "eps": 0.03, "eps_step": None, "iterations": 5}
    assert entry["correct"] == "001111111"
    assert entry["clean_accuracy"]["count"] == 7
    for value, kept in zip(asked.values, entry["values"].values(), strict=True):
        outcome = line.outcomes[value]
        assert kept["robust"] == "".join(str(int(one)) for one in outcome.robust)
        assert kept["attack_success"] == outcome.attack_success.as_dict()
    assert list(entry["values"]) == ["1.0", "inf"]


@pytest.mark.parametrize(
    ("rule", "field", "values", "decay", "message"),
    [
        ("rga", "beta", (0.5, 2), 0.5, r"got 0\.5 \(beta: .* decay 0\.5 .*\)\. Leave"),
        ("rga", "gamma", (0.2, 2), 0.5, r"got 2\.0 \(gamma: .* below 1 .* decay 0\.5"),
        ("eot-rga", "rule.beta", (2, 0.05), 0.9, r"got 0\.05 \(RGA: beta: .* decay 0\.9"),
        ("cba", "levels", (4, 8), 0.9, r"got 4 \(conversion to an ANN .* IF neurons only"),
    ],
)
def test_values_that_make_no_sense_on_the_network_are_refused_before_any_attack(
    rule, field, values, decay, message, tmp_path, crafted
):
    wrapped, wanted = classifier(decay=decay), sweep(rule=rule, field=field, values=values)
    x, y = samples(wrapped)
    message = rf"^values: expected values of {rule}\.{field} that suit the network, {message}"
    with pytest.raises(ValueError, match=message):
        check(wanted, wrapped, x)
    with pytest.raises(ValueError, match=message):
        swept(wanted, wrapped, x, y, tmp_path / "sweep.json")
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


def test_more_steps_are_refused_where_the_encoder_has_a_fixed_number():
    network = SpikingNetwork([LIF(), Timed(nn.Flatten(), nn.Linear(64, 4))], Frames(4))
    shape = (4, 1, 8, 8)
    wrapped = PyTorchSpikingClassifier(network, nn.CrossEntropyLoss(), shape, 4, device_type="cpu")
    x = np.zeros((2, *shape), np.float32)
    with pytest.raises(ValueError, match=r"^values: expected values of extended-rga\.steps that"):
        check(sweep(rule="extended-rga", field="steps", values=(8,)), wrapped, x)


SMALL: dict[str, Any] = {"attack": Attack(eps=0.1, iterations=1), "batch_size": 2, "device": "cpu"}
VALUES = {"beta": (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0), "gamma": (0.0, 0.1, 0.2, 0.3)}
PLACES = ["rga.beta at decay 1", "rga.beta at decay 0.5"]
PLACES += ["rga.gamma at decay 0.9", "rga.gamma at decay 0.5"]


def asked(output: Path, data: Path, **change: Any) -> Settings:
    network = Trained(architecture=Architecture(steps=2, width=0.1), epochs=1)
    given: dict[str, Any] = {"source": Source(data=str(data)), "network": network}
    return Settings(output=output, **SMALL | given | change)


def content(folder: Path) -> dict[str, Any]:
    return read_result(folder / "sweep.json")["lines"]


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return images(tmp_path_factory.mktemp("data") / "mine.npz")


COMMAND = (
    *("sweep", "--epochs", "1", "--steps", "2", "--width", "0.1", "--device", "cpu"),
    *("--batch-size", "2", "--iterations", "1", "--eps", "0.1"),
)


@pytest.fixture(scope="module")
def printed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the paper's sweeps, for reading only, and what the command printed."""
    folder = tmp_path_factory.mktemp("sweep") / "new"
    done = call(*COMMAND, "--data", str(data), "--output", str(folder))
    assert done.status == 0, done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def paper(printed: tuple[Path, str]) -> Path:
    return printed[0]


def test_without_options_the_command_sweeps_both_panels_of_the_paper(printed):
    folder, text = printed
    rows = [line.split() for line in text.splitlines() if line.startswith("decay ")]
    values = [row[2] for row in rows if row[2][0].isdigit()]
    assert values == [f"{value:g}" for name in ("beta", "gamma") for value in 2 * VALUES[name]]
    heads = [line for line in text.splitlines() if " of RGA(" in line]
    rule = "RGA(beta=2.0, gamma=0.2); PGD, eps 0.1, 1 steps of 0.025"
    assert heads == [f"{field} of {rule}" for field in ("beta", "gamma")]
    assert "decay 0.9 (vgg5 of width 0.1, T = 2, decay 0.9, direct encoding on mine.npz; " in text
    assert f"Written to {folder}: sweep.json, sweep.md, sweep.png" in text


def test_all_panels_follow_from_the_file_alone(paper):
    panels = read_result(paper / "sweep.json", Content).panels()
    assert Swept(panels).render("markdown") == (paper / "sweep.md").read_text()


def test_rule_field_values_and_decays_are_options(data, tmp_path):
    options = ("--rule", "extended-hart", "--field", "rule.surrogate.width", "--values", "1/2, 1")
    attack = ("--attack", "fgsm", "--eps", "4/255", "--samples", "4", "--batch-size", "4")
    words = ("--epochs", "1", "--steps", "2", "--decays", "0.9,1/4", "--device", "cpu")
    files = ("--data", str(data), "--output", str(tmp_path))
    done = call("sweep", *words, *options, *attack, *files)
    assert done.status == 0, done.stderr
    lines = content(tmp_path)
    name = "extended-hart.rule.surrogate.width at decay"
    assert list(lines) == [f"{name} {decay}" for decay in ("0.9", "0.25")]
    assert [list(entry["values"]) for entry in lines.values()] == [["0.5", "1.0"]] * 2
    assert "; FGSM, eps 0.01569" in done.stdout


def test_every_decay_has_one_network_and_all_sweeps_one_file(paper):
    assert files(paper) == {
        *(f"decay-{decay}/network.safetensors" for decay in ("1", "0.9", "0.5")),
        *("sweep.json", "sweep.md", "sweep.png"),
    }
    assert list(content(paper)) == PLACES
    title = "vgg5 of width 0.1, T = 2, decay 1, direct encoding on mine.npz"
    assert content(paper)[PLACES[0]]["title"] == title
    text = (paper / "sweep.md").read_text()
    assert "beta of RGA(beta=2.0, gamma=0.2); PGD, eps 0.1, 1 steps of 0.025." in text
    rows = [[cell.strip() for cell in row.split("|")] for row in text.splitlines()]
    assert ["decay 0.5", "0.2 (default)"] in [row[1:3] for row in rows]
    assert (paper / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_a_default_is_as_strong_as_in_the_comparison_of_rules(paper, data, tmp_path):
    other = asked(tmp_path, data)
    settings = compare.Settings(
        output=tmp_path,
        source=other.source,
        network=other.network,
        repeats=1,
        rules={"rga": RGA()},
        **SMALL,
    )
    expected = compare.run(settings).rows["rga"].outcome
    for place, value in ((PLACES[1], "2.0"), (PLACES[3], "0.2")):
        entry = content(paper)[place]
        assert entry["default"] == value
        assert entry["correct"] == bit_string(expected.correct)
        assert entry["values"][value]["robust"] == bit_string(expected.robust)


def test_what_is_told_is_what_was_asked_and_the_file_keeps_the_rest(paper, data, tmp_path):
    for name in ("sweep.json", "decay-0.5/network.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((paper / name).read_bytes())
    found = run(asked(tmp_path, data, field="beta", values=(2, 1), decays=(0.5,)))
    (panel,) = found.panels
    assert isinstance(found, Swept)
    assert list(panel.lines) == ["decay 0.5"]
    assert list(panel.lines["decay 0.5"].outcomes) == [2, 1]
    assert found.as_dict()["lines"] == content(tmp_path) == content(paper)


def test_a_checkpoint_is_attacked_at_its_own_decay(paper, data, tmp_path, monkeypatch):
    monkeypatch.setattr(trained, "train", forbidden)
    network = Trained(checkpoint=paper / "decay-0.9" / "network.safetensors")
    options: dict[str, Any] = {"network": network, "field": "gamma", "values": VALUES["gamma"]}
    (panel,) = run(asked(tmp_path, data, **options)).panels
    assert list(panel.lines) == ["decay 0.9"]
    assert content(tmp_path) == {PLACES[2]: content(paper)[PLACES[2]]}
    assert not list(tmp_path.glob("decay-*"))


def test_weights_under_another_decay_than_they_were_trained_with_say_so(paper, data, tmp_path):
    path = paper / "decay-0.9" / "network.safetensors"
    other = Trained(checkpoint=path, architecture=Architecture(decay=0.5))
    (panel,) = run(asked(tmp_path, data, network=other, field="gamma", values=(0, 0.2))).panels
    title = "vgg5 of width 0.1, T = 2, decay 0.5, direct encoding on mine.npz"
    assert panel.lines["decay 0.5"].title == f"{title}; its weights were trained with decay 0.9"
    assert content(tmp_path)["rga.gamma at decay 0.5"]["key"] not in {
        entry["key"] for entry in content(paper).values()
    }
    assert "its weights were trained with decay 0.9" in (tmp_path / "sweep.md").read_text()


def test_two_close_decays_are_two_networks_in_two_folders_and_two_lines(data, tmp_path):
    options: dict[str, Any] = {"field": "gamma", "values": (0, 0.1)}
    (panel,) = run(asked(tmp_path, data, decays=(0.1234567, 0.1234568), **options)).panels
    assert list(panel.lines) == ["decay 0.1234567", "decay 0.1234568"]
    assert files(tmp_path) >= {f"decay-0.123456{last}/network.safetensors" for last in (7, 8)}
    assert list(content(tmp_path)) == [f"rga.gamma at decay 0.123456{last}" for last in (7, 8)]
    keys = {entry["key"] for entry in content(tmp_path).values()}
    assert len(keys) == 2
    for last in (7, 8):
        noted = checkpoint.notes(tmp_path / f"decay-0.123456{last}" / "network.safetensors")[
            "subject"
        ]
        assert noted["decay"] == float(f"0.123456{last}")


def test_the_check_of_values_leaves_no_trace_in_the_trained_network(paper, data, tmp_path):
    mine = from_npz(data)
    wanted = Trained(architecture=Architecture(steps=2, width=0.1, decay=0.5), epochs=1)
    alone, kept = wanted.build(mine), wanted.build(mine)
    wanted.obtain(alone, mine, tmp_path)
    checkpoint.load(kept, paper / "decay-0.5" / "network.safetensors")
    ours, theirs = alone.state_dict(), kept.state_dict()
    assert all(np.array_equal(ours[name].numpy(), theirs[name].numpy()) for name in ours)
