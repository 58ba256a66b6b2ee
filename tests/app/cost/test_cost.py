"""What one input gradient costs, on a network that takes no time."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from art_snn.app.cost import Cost, Settings, run
from art_snn.app.cost.figure import draw
from art_snn.app.cost.settings import TRAINED_BY
from art_snn.app.resume import read_result, structured
from art_snn.gradients import parse_rules
from art_snn.measuring import process
from art_snn.measuring.workload import INFERENCE, CostRow
from art_snn.models import Architecture
from tests.measuring import mirrors
from tests.own import own

ROWS = tuple(map(CostRow.read, ("inference", "rga", "stbp", "stock rga", "stock stbp")))
TITLES = (
    "inference, no gradient",
    "gradient by RGA",
    "gradient by STBP",
    "ART's stock classifier, RGA",
    "ART's stock classifier, STBP",
)


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peaks are taken in this process, where freed memory is used again: all are a MiB and more.

    Processes of their own are tested with the measuring.
    """
    monkeypatch.setattr(process, "in_fresh_process", lambda *_: 2**20)


def settings(output: Path, **change: Any) -> Settings:
    small = {"architecture": Architecture(model="vgg5", steps=2), "batch_size": 2, "repeats": 1}
    return Settings(output=output, **small | {"image_size": 8, "channels": 1} | change)


def figures(rules: tuple[str, ...] = ("rga", "stbp"), **workload: Any) -> Cost:
    """Inference takes two seconds and one MiB, the next row twice that, and so on."""
    rows = [CostRow.read(row) for row in ("inference", *rules, "stock rga", "stock stbp")]
    seconds = {row: 2.0 * (i + 1) for i, row in enumerate(rows)}
    peak = {row: 2**20 * (i + 1) for i, row in enumerate(rows)}
    told = {"rules": list(rules), "keep_memory": False, "training": False} | workload
    return Cost("One input gradient: a network", told, "a machine", 3, seconds, peak)


def cells(cost: Cost) -> list[list[str]]:
    lines = cost.render("markdown").splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line]


def test_every_row_is_measured_in_time_and_memory_and_written(tmp_path):
    cost = run(settings(tmp_path / "made" / "here"))
    assert tuple(cost.seconds) == tuple(cost.peak) == ROWS
    assert all(value > 0 for value in cost.seconds.values())
    assert cost.ratio(INFERENCE) == cost.memory_ratio(INFERENCE) == 1
    text = cost.render()
    assert all(title in text for title in TITLES)
    assert "One input gradient: vgg5, T = 2, decay 0.5, direct encoding, batch 2, 1x8x8" in text
    folder = tmp_path / "made" / "here"
    assert {file.name for file in folder.iterdir()} == {"cost.json", "cost.md", "cost.png"}
    content = read_result(folder / "cost.json")
    assert content == cost.as_dict()
    assert content["workload"]["architecture"]["model"] == "vgg5"
    assert content["workload"]["rules"] == ["rga", "stbp"]
    assert (folder / "cost.md").read_text().startswith("One input gradient: vgg5")
    assert (folder / "cost.png").read_bytes().startswith(b"\x89PNG")


def test_the_rules_decide_which_rows_there_are(tmp_path):
    cost = run(settings(tmp_path, rules=parse_rules("hart,pdsg")))
    assert [*map(str, cost.seconds)] == ["inference", "hart", "pdsg", "stock rga", "stock stbp"]
    assert [row[0] for row in cells(cost)[2:]] == [
        *("inference, no gradient", "gradient by HART", "gradient by PDSG"),
        *("ART's stock classifier, RGA", "ART's stock classifier, STBP"),
    ]


def test_a_rule_of_several_and_one_under_a_name_of_one_s_own_are_rows(tmp_path):
    rules = parse_rules("mean-rga-stbp") | {"mine": parse_rules("rga")["rga"]}
    cost = run(settings(tmp_path, rules=rules))
    assert [*map(str, cost.seconds)][:3] == ["inference", "mean-rga-stbp", "mine"]


@pytest.mark.parametrize(
    ("rules", "compared"), [(("rga", "hart"), 0), (("rga", "stbp", "hart"), 2)]
)
def test_rules_are_set_against_stbp_where_it_is_among_them(rules, compared):
    text = figures(rules).render()
    assert text.count("of the time of one by STBP.") == compared
    assert all(f"gradient by {rule.upper()} " in text for rule in rules)
    # The rows are inference, RGA, STBP, HART: 2, 4, 6 and 8 seconds.
    assert ("A gradient by HART takes 1.33 of the time" in text) == (compared == 2)


def test_ratios_and_the_table_follow_from_the_figures():
    cost = figures()
    assert cost.ratio(CostRow("rule", "stbp")) == 3
    assert cost.memory_ratio(CostRow("rule", "rga")) == 2
    assert "A gradient by RGA takes 0.67 of the time of one by STBP." in cost.render()
    titles = ["one input gradient", "seconds", "x inference", "peak MiB", "x inference"]
    assert cells(cost)[0] == titles
    assert cells(cost)[3] == ["gradient by RGA", "4.000", "2.00", "2", "2.00"]


def test_the_text_says_how_it_was_measured():
    text = figures().render()
    assert "a machine; median of 3 rounds in turn; memory above the model" in text
    assert "freed memory kept" not in text
    assert "memory above the model; freed memory kept" in figures(keep_memory=True).render()


def test_the_picture_has_a_bar_per_row_for_time_and_memory():
    figure = draw(figures())
    left, right = figure.axes
    for ax, words in ((left, "time [inferences]"), (right, "peak memory [inferences]")):
        assert [bar.get_width() for bar in ax.patches] == [1, 2, 3, 4, 5]
        assert ax.get_xlabel() == words
    assert left.patches[1].get_facecolor()[:3] == left.patches[3].get_facecolor()[:3]
    assert left.patches[1].get_facecolor() != left.patches[2].get_facecolor()
    assert left.patches[3].get_alpha() == 0.5, "bars of the stock classifier are paler"
    bottom, top = left.get_ylim()
    assert bottom > top, "inference stands above"
    assert figure.get_suptitle() == "One input gradient: a network\na machine"


PEERS = tuple(CostRow("peer", name) for name in ("SpikingJelly 2.0.0", "snnTorch 1.0.0"))


def test_other_frameworks_are_rows_where_they_are_installed(tmp_path, monkeypatch):
    mirrors.installed(monkeypatch, spikingjelly="2.0.0", snntorch="1.0.0")
    cost = run(settings(tmp_path, peers=True))
    rows = (*ROWS[:3], *PEERS, *ROWS[3:], *(replace(row, stock=True) for row in PEERS))
    assert tuple(cost.seconds) == tuple(cost.peak) == rows
    assert [row[0] for row in cells(cost)[5:]] == [
        *("SpikingJelly 2.0.0, its own gradient", "snnTorch 1.0.0, its own gradient"),
        *TITLES[3:],
        "ART's stock classifier, SpikingJelly 2.0.0",
        "ART's stock classifier, snnTorch 1.0.0",
    ]
    text = cost.render()
    assert "A gradient by SpikingJelly 2.0.0 takes " in text
    assert "SpikingJelly differentiates spikes by the triangle of width 1, as STBP here." in text
    assert "snnTorch differentiates spikes by its default surrogate, an arctangent" in text
    content = read_result(tmp_path / "cost.json")
    assert content["workload"]["peers"] is True
    assert structured(content, Cost) == cost


@pytest.mark.parametrize("training", [False, True])
def test_a_framework_that_is_not_installed_is_told_and_no_error(training, tmp_path, monkeypatch):
    mirrors.installed(monkeypatch)
    cost = run(settings(tmp_path, peers=True, training=training))
    assert tuple(cost.seconds) == ((ROWS[0], ROWS[2]) if training else ROWS)
    text = (tmp_path / "cost.md").read_text()
    assert "- No other framework was found; looked for SpikingJelly 2.x and snnTorch 1.0 or" in text
    mirrors.installed(monkeypatch, spikingjelly="2.0.0")
    cost = run(settings(tmp_path, peers=True, training=training))
    assert {row.name for row in cost.seconds if row.kind == "peer"} == {PEERS[0].name}
    assert "\nsnnTorch 1.0 or later was not found.\n" in cost.render()


def test_nobody_is_looked_for_unless_peers_are_asked_for(tmp_path, monkeypatch):
    mirrors.installed(monkeypatch, spikingjelly="2.0.0", snntorch="1.0.0")
    cost = run(settings(tmp_path))
    assert tuple(cost.seconds) == ROWS
    assert cost.remarks == []


def test_a_framework_whose_neurons_fire_otherwise_is_no_row(tmp_path, monkeypatch):
    mirrors.installed(monkeypatch, spikingjelly="2.0.0", snntorch="1.0.0")
    architecture = Architecture(model="vgg5", steps=2, reset="soft")
    cost = run(settings(tmp_path, architecture=architecture, peers=True))
    assert {row.name for row in cost.seconds if row.kind == "peer"} == {PEERS[0].name}
    assert "snnTorch is left out: its reset by subtraction fires otherwise above" in cost.render()


def test_the_precision_of_other_frameworks_is_told_beside_one_of_ours(tmp_path, monkeypatch):
    mirrors.installed(monkeypatch, spikingjelly="2.0.0")
    cost = run(settings(tmp_path, peers=True, attack_dtype="bfloat16"))
    assert "The other frameworks compute in single precision." in cost.render()


@pytest.mark.parametrize("peers", [False, True])
def test_training_steps_in_half_precision_are_those_of_every_row(peers, tmp_path, monkeypatch):
    mirrors.installed(monkeypatch, spikingjelly="2.0.0")
    asked = settings(tmp_path, training=True, train_dtype="bfloat16", peers=peers)
    cost = run(asked)
    whose = "Training steps, of every row" if peers else "Training steps"
    assert f"{whose}: bfloat16." in cost.render()
    assert cost.workload["train_dtype"] == "bfloat16"
    assert asked.workload().train_dtype == "bfloat16"


@pytest.mark.parametrize("native", [True, False])
def test_auto_tells_what_was_taken(native, tmp_path, monkeypatch):
    monkeypatch.setattr("art_snn.precision.multiplies_bfloat16", lambda device: native)
    told = "bfloat16, which the processor multiplies" if native else "no bfloat16, which the"
    cost = run(settings(tmp_path / "gradients", attack_dtype="auto"))
    assert f"Gradients at the input: {told}" in cost.render()
    cost = run(settings(tmp_path / "steps", training=True, train_dtype="auto"))
    assert f"Training steps: {told}" in cost.render()


def test_a_training_step_is_measured_by_stbp_and_by_the_frameworks(tmp_path, monkeypatch):
    mirrors.installed(monkeypatch, spikingjelly="2.0.0", snntorch="1.0.0")
    cost = run(settings(tmp_path, training=True, peers=True))
    assert tuple(cost.seconds) == tuple(cost.peak) == (ROWS[0], ROWS[2], *PEERS)
    assert cost.title.startswith("One training step: vgg5, T = 2, ")
    assert cells(cost)[0][0] == "one training step"
    assert [row[0] for row in cells(cost)[2:]] == [
        *("inference, no gradient", "training step by STBP"),
        *("SpikingJelly 2.0.0, its own gradient", "snnTorch 1.0.0, its own gradient"),
    ]
    text = cost.render()
    assert "A training step by SpikingJelly 2.0.0 takes " in text
    assert "Steps are those of SGD with momentum 0.9 and weight decay 0.0005, at a learning" in text
    assert "rate of 1e-08, so that weights stay as they are drawn." in text


def test_a_training_step_leaves_weights_as_they_are_drawn(tmp_path):
    load = settings(tmp_path, training=True).workload()
    network = load.network()
    step = pickle.loads(pickle.dumps(load)).operation(ROWS[2], network)
    losses = [step() for _ in range(5)]
    assert losses == pytest.approx([losses[0]] * 5, rel=1e-3)
    pairs = zip(network.parameters(), load.network().parameters(), strict=True)
    for weight, drawn in pairs:
        torch.testing.assert_close(weight, drawn, rtol=1e-4, atol=1e-6)
    assert all(weight.grad.isfinite().all() for weight in network.parameters())
    paper = {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4}
    assert vars(TRAINED_BY).items() >= paper.items()


def test_a_network_without_weights_is_not_trained(tmp_path):
    (tmp_path / "bare.py").write_text(
        "from torch import nn\n"
        "from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed\n"
        "def build():\n"
        "    layers = [TimeDistributed(nn.Flatten()), LIF(), TimeDistributed(nn.Identity())]\n"
        "    return SpikingNetwork(layers, Direct(2), input_shape=(1, 2, 2))\n"
    )
    architecture = Architecture(model=f"{tmp_path / 'bare.py'}:build")
    told = {"architecture": architecture, "channels": None, "image_size": None}
    message = r"^model: expected a network of weights, .*, got .*bare\.py:build, which has none"
    with pytest.raises(ValueError, match=message):
        run(settings(tmp_path / "out", training=True, **told))


def test_the_picture_names_the_frameworks_in_colours_of_their_own():
    plain = figures()
    rows = [ROWS[0], ROWS[2], *PEERS, replace(PEERS[0], stock=True)]
    told = replace(plain, seconds=dict.fromkeys(rows, 2.0), peak=dict.fromkeys(rows, 2))
    left = draw(told).axes[0]
    assert [label.get_text() for label in left.get_yticklabels()] == [
        *("inference", "stbp", "SpikingJelly 2.0.0", "snnTorch 1.0.0", "stock SpikingJelly 2.0.0")
    ]
    colours = [bar.get_facecolor()[:3] for bar in left.patches]
    assert colours[2] == colours[4]
    assert len(set(colours)) == 4
    assert left.patches[4].get_alpha() == 0.5


@pytest.mark.parametrize("model", ["vgg-dvs", "resnet17"])
def test_models_of_images_and_of_event_frames_are_measured(model, tmp_path):
    architecture = Architecture(model=model, width=0.05, steps=3)
    cost = run(settings(tmp_path, architecture=architecture, rules=parse_rules("rga")))
    assert ("3x1x8x8" if model == "vgg-dvs" else "batch 2, 1x8x8") in cost.title


def test_unless_told_otherwise_the_network_is_vgg11_by_both_rules_of_the_paper():
    usual = Settings()
    assert (usual.output, usual.device, usual.batch_size) == (Path("cost"), "cpu", 32)
    assert usual.architecture.model == "vgg11"
    assert list(usual.rules) == ["rga", "stbp"]
    assert list(Settings(training=True).rules) == ["stbp"]
    assert (usual.peers, usual.training) == (False, False)
    assert Settings(architecture=Architecture(steps=4)).architecture.model == "vgg11"


def test_a_network_of_the_user_s_own_that_takes_no_images_is_refused(tmp_path):
    told = {"architecture": Architecture(model=own(tmp_path, (64,), 7))}
    told |= {"channels": None, "image_size": None}
    with pytest.raises(ValueError, match=r"^image_size: .* of images, got .* shape \(64,\)"):
        run(settings(tmp_path / "out", **told))


def test_a_network_whose_inference_takes_no_memory_that_is_seen_has_no_ratio_and_is_drawn():
    cost = replace(figures(), peak=dict.fromkeys(ROWS, 0))
    assert math.isnan(cost.memory_ratio(CostRow("rule", "rga")))
    assert cells(cost)[3] == ["gradient by RGA", "4.000", "2.00", "0", "nan"]
    draw(cost).canvas.draw()


def test_results_are_written_over_by_those_of_the_same_kind_only(tmp_path):
    run(settings(tmp_path))
    again = run(settings(tmp_path, batch_size=3))
    assert read_result(tmp_path / "cost.json") == again.as_dict()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_where_there_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"^device: expected a device that torch can see"):
        settings(tmp_path, device="gpu")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, found none")
def test_the_cost_is_measured_on_a_gpu(tmp_path):
    cost = run(settings(tmp_path, device="gpu", repeats=2))
    assert torch.cuda.get_device_name() in cost.machine
    assert all(value > 0 for value in cost.peak.values())
