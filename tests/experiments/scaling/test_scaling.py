"""The cost protocol of table S2 on a network of a few neurons, and what becomes of killed runs."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from art_snn import LIF, Direct, PyTorchSpikingClassifier, SpikingNetwork
from art_snn import TimeDistributed as Timed
from art_snn.data import Dataset
from art_snn.encoders import Frames
from art_snn.evaluation import cost, record
from art_snn.attacks import Attack
from art_snn.evaluation.cost import (
    Cell,
    Growth,
    Line,
    ProcessFailed,
    TableS2,
    Workload,
    grow,
    growth,
    table_s2,
)
from art_snn.evaluation.cost.growth_table import cells, heading, markdown, slopes, table
from art_snn.evaluation.cost.load import Load
from art_snn.evaluation.cost.measuring import peak_of
from art_snn.evaluation.cost.process import in_fresh_process
from art_snn.gradients import RGA, STBP
from tests.small import pgd_by_hand

MIB = 2**20
law = settings(deadline=None, derandomize=True, database=None, max_examples=60)
REFUSAL = (
    r"^output: expected a folder without results, or with results of the same {}, got .*\.json"
)


def tiny(
    *, in_channels: int, classes: int, image_size: Any, steps: int, decay: float, **width: float
) -> SpikingNetwork:
    hidden = int(16 * width.pop("width", 1))
    assert not width
    sides = (image_size, image_size) if isinstance(image_size, int) else image_size
    layers = [
        Timed(nn.Flatten(), nn.Linear(in_channels * math.prod(sides), hidden)),
        LIF(decay=decay),
        Timed(nn.Linear(hidden, classes)),
    ]
    return SpikingNetwork(layers, Direct(steps), input_shape=(in_channels, *sides))


def framed(*, in_channels: int, **options: Any) -> SpikingNetwork:
    network = tiny(in_channels=in_channels, **options)
    network.encoder = Frames()
    return network


@pytest.fixture(autouse=True)
def _tiny_models(monkeypatch: pytest.MonkeyPatch) -> None:
    models = {"tiny": tiny, "framed": framed, "other": tiny}
    monkeypatch.setattr(table_s2, "MODELS", models)


def protocol(**options: Any) -> TableS2:
    small = {"models": ("tiny",), "steps": (2, 4), "batch": 4, "samples": 10, "image_size": 4}
    return TableS2(**small | {"channels": 1, "repeats": 1, "threads": 1} | options)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What is measured, as (function, model, T, samples, row or rows); here, not in processes."""
    calls: list[tuple[Any, ...]] = []

    def here(call: Callable[..., Any], load: Load, rows: Any, *more: Any) -> Any:
        calls.append((call.__name__, load.model, load.steps, len(load.x), rows))
        return call(load, rows, *more)

    monkeypatch.setattr(growth, "in_fresh_process", here)
    return calls


def spoilt(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[str, Load, Any], None]) -> None:
    """Let `spoil` raise in place of measuring; everything else costs one second and one MiB."""

    def instead(call: Callable[..., Any], load: Load, rows: Any, *_: Any) -> Any:
        spoil(call.__name__, load, rows)
        return MIB if isinstance(rows, str) else dict.fromkeys(rows, 1.0)

    monkeypatch.setattr(growth, "in_fresh_process", instead)


def load(asked: TableS2, steps: int = 2) -> Load:
    return Load(asked, asked.models[0], steps, *asked.images())


def figures(**options: Any) -> Growth:
    """RGA takes 1 + T seconds and 8 MiB, STBP 2 T seconds and T MiB, inference T / 2 and 1 MiB."""
    asked = protocol(**options)
    made = []
    for model in asked.models:
        for steps in asked.steps:
            seconds = {"inference": steps / 2, "rga": 1.0 + steps, "stbp": 2.0 * steps}
            peak = {"inference": MIB, "rga": 8 * MIB, "stbp": steps * MIB}
            made.append(Cell(model, steps, seconds, peak))
    return Growth(asked, "a machine", tuple(made))


def test_the_protocol_is_that_of_the_paper():
    fields = TableS2.__dataclass_fields__
    assert fields["models"].default == ("vgg11", "vgg16", "resnet17")
    asked = protocol()
    assert (asked.rules, asked.decay) == (("rga", "stbp"), 0.5)
    assert [fields[name].default for name in ("batch", "samples", "image_size")] == [32, 32, 32]
    assert fields["steps"].default == (4, 8, 16, 32)
    assert asked.attack == Attack(name="pgd", eps=2.55 / 255, eps_step=2 / 255, iterations=5)


def test_every_cell_has_time_and_memory_of_inference_and_of_the_attack_by_every_rule(measured):
    grown = grow(protocol(models=("tiny", "other")))
    assert [(c.model, c.steps) for c in grown.cells] == [
        *(("tiny", 2), ("tiny", 4)),
        *(("other", 2), ("other", 4)),
    ]
    for cell in grown.cells:
        assert list(cell.seconds) == list(cell.peak) == ["inference", "rga", "stbp"]
        assert all(value > 0 for value in cell.seconds.values())
        assert not cell.failed
    assert "1 threads" in grown.machine


def test_a_peak_is_that_of_one_batch_and_a_time_that_of_all_images_in_turn(measured):
    grow(protocol(steps=(2,)))
    assert measured == [
        *(("peak_of", "tiny", 2, 4, row) for row in ("inference", "rga", "stbp")),
        ("seconds_of", "tiny", 2, 10, ["inference", "rga", "stbp"]),
    ]


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("row", ["rga", "stbp"])
def test_the_attack_takes_every_iteration_of_every_batch_even_on_misclassified_images(
    row, wrong, monkeypatch
):
    asked = load(protocol())
    network = asked.network()
    if wrong:
        with torch.no_grad():
            worst = network(torch.as_tensor(asked.x)).argmin(1)
        asked = Load(asked.protocol, "tiny", 2, asked.x, np.eye(10, dtype=np.float32)[worst])
    sizes = []
    kinds = set()
    gradient = PyTorchSpikingClassifier.loss_gradient

    def counted(self: Any, x: Any, y: Any, **options: Any) -> Any:
        sizes.append(len(x))
        result = gradient(self, x, y, **options)
        kinds.add(self.model.execution.kind)
        return result

    operate = asked.operation(row, network)
    monkeypatch.setattr(PyTorchSpikingClassifier, "loss_gradient", counted)
    operate()
    assert sizes == [4] * 5 + [4] * 5 + [2] * 5
    assert kinds == {{"rga": "collapsed", "stbp": "through time"}[row]}


def test_inference_takes_no_gradient(monkeypatch):
    asked = load(protocol())
    network = asked.network()
    logits = asked.operation("inference", network)()
    assert np.asarray(logits).shape == (10, 10)
    assert network.execution is None


@pytest.mark.parametrize(("row", "rule"), [("rga", RGA()), ("stbp", STBP())])
def test_the_attack_ends_where_pgd_written_by_hand_does(row, rule):
    asked = load(protocol(batch=10))
    network = asked.network()
    adversarial = asked.operation(row, network)()
    expected = pgd_by_hand(network, rule, asked.protocol.attack, asked.x, asked.y.argmax(1))
    assert np.abs(adversarial - asked.x).max() > 0.009
    np.testing.assert_allclose(adversarial, expected, atol=1e-6)


def test_a_killed_run_goes_on_after_its_last_whole_cell(tmp_path, monkeypatch):
    file = tmp_path / "made" / "cost.json"
    seen = []

    def stop_at_four(_: str, load: Load, __: Any) -> None:
        seen.append(load.steps)
        if load.steps == 4:
            raise KeyboardInterrupt

    spoilt(monkeypatch, stop_at_four)
    with pytest.raises(KeyboardInterrupt):
        grow(protocol(), file)
    assert [cell["steps"] for cell in json.loads(file.read_text())["cells"]] == [2]
    assert not list(tmp_path.rglob("*.part"))
    seen.clear()
    spoilt(monkeypatch, lambda _, load, __: seen.append(load.steps))
    grown = grow(protocol(), file)
    assert set(seen) == {4}
    assert [cell.steps for cell in grown.cells] == [2, 4]
    assert json.loads(file.read_text()) == grown.as_dict()
    seen.clear()
    assert grow(protocol(), file) == grown
    assert not seen


def test_a_process_killed_for_memory_costs_its_rule_the_figures_and_nothing_else(
    tmp_path, monkeypatch
):
    def too_little(_: str, load: Load, row: Any) -> None:
        if (load.steps, row) == (4, "stbp"):
            raise ProcessFailed("process killed by SIGKILL")

    spoilt(monkeypatch, too_little)
    file = tmp_path / "cost.json"
    grown = grow(protocol(), file)
    assert [cell.failed for cell in grown.cells] == [{}, {"stbp": "process killed by SIGKILL"}]
    assert grown.cells[1].seconds == {"inference": 1.0, "rga": 1.0}
    assert set(grown.cells[1].peak) == {"inference", "rga"}
    text = table(grown)
    assert "STBP failed: process killed by SIGKILL" in text
    assert cells(grown)[2][:9] == ("tiny", "4", "1.000", "1.000", "-", "-", "1", "-", "-")
    assert cells(grown)[1][-1] == ""
    assert "| STBP failed: process killed by SIGKILL |" in markdown(grown)

    again = []
    spoilt(monkeypatch, lambda name, load, row: again.append((name, load.steps)))
    assert not any(cell.failed for cell in grow(protocol(), file).cells)
    assert set(again) == {("peak_of", 4), ("seconds_of", 4)}, "a failed cell is tried again"


def test_a_process_killed_while_timing_leaves_the_memory_and_the_other_cells(monkeypatch):
    def slow(name: str, load: Load, _: Any) -> None:
        if (name, load.steps) == ("seconds_of", 2):
            raise ProcessFailed("MemoryError")

    spoilt(monkeypatch, slow)
    first, second = grow(protocol()).cells
    assert first.failed == dict.fromkeys(("inference", "rga", "stbp"), "MemoryError")
    assert (first.seconds, set(first.peak)) == ({}, {"inference", "rga", "stbp"})
    assert (second.failed, set(second.seconds)) == ({}, {"inference", "rga", "stbp"})


@pytest.mark.parametrize(
    "change",
    [
        {"batch": 5},
        {"decay": 0.9},
        {"attack": Attack(iterations=7)},
        {"threads": None},
        {"width": 2},
    ],
)
def test_results_of_another_protocol_are_refused(change, tmp_path, monkeypatch):
    spoilt(monkeypatch, lambda *_: None)
    grow(protocol(), tmp_path / "cost.json")
    with pytest.raises(ValueError, match=REFUSAL.format("protocol")):
        grow(protocol(**change), tmp_path / "cost.json")


def test_results_of_another_machine_are_refused(tmp_path, monkeypatch):
    spoilt(monkeypatch, lambda *_: None)
    grow(protocol(), tmp_path / "cost.json")
    monkeypatch.setattr(growth, "describe_machine", lambda *_: "a faster one")
    with pytest.raises(ValueError, match=REFUSAL.format("machine")):
        grow(protocol(), tmp_path / "cost.json")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"machine": "a"}'])
def test_a_file_of_something_else_is_refused_and_kept(content, tmp_path, monkeypatch):
    spoilt(monkeypatch, lambda *_: None)
    file = tmp_path / "cost.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=REFUSAL.format("protocol")):
        grow(protocol(), file)
    assert file.read_text() == content


def test_a_record_is_written_whole_or_not_at_all(tmp_path):
    file = tmp_path / "cost.json"
    record.write(file, {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        record.write(file, {"a": object()})
    assert record.load(file) == {"a": 1}
    record.write(None, {"a": 1})
    assert record.load(None) == record.load(tmp_path / "none.json") == {}


def test_a_fresh_process_measures_a_peak_and_leaves_this_one_alone():
    before = torch.initial_seed()
    work = Workload(model="vgg5", steps=2, batch=2, image_size=8, channels=1)
    assert in_fresh_process(peak_of, work, "rga") > 0
    assert torch.initial_seed() == before


def test_a_killed_process_is_reported_with_its_signal():
    with pytest.raises(ProcessFailed, match=r"^process killed by SIGKILL, as when memory runs"):
        in_fresh_process(signal.raise_signal, signal.SIGKILL)


@pytest.mark.parametrize(
    ("code", "errors", "reason"),
    [
        (1, "Traceback\nRuntimeError: no memory\n", "RuntimeError: no memory"),
        (3, "", "process ended with exit code 3"),
        (-15, "half a line", "process killed by SIGTERM"),
    ],
)
def test_a_failure_has_a_reason_in_one_line(code, errors, reason, monkeypatch):
    done = cost.process.subprocess.CompletedProcess((), code, b"", errors.encode())
    monkeypatch.setattr(cost.process.subprocess, "run", lambda *_, **__: done)
    with pytest.raises(ProcessFailed) as caught:
        in_fresh_process(len, "")
    assert caught.value.reason == reason
    assert errors.strip() in str(caught.value)


def test_the_table_sets_every_rule_against_stbp():
    assert cells(figures())[:2] == [
        (
            *("model", "T", "inference s", "RGA s", "STBP s", "RGA/STBP time"),
            *("RGA MiB", "STBP MiB", "RGA/STBP memory"),
        ),
        ("tiny", "2", "1.000", "3.000", "4.000", "0.75", "8", "2", "4.00"),
    ]
    only = Growth(protocol(rules=("rga",)), "", (Cell("tiny", 2, {"rga": 1.0}, {"rga": MIB}),))
    assert cells(only)[0] == ("model", "T", "inference s", "RGA s", "RGA MiB")


def test_growth_is_told_by_the_ratio_of_the_ends_and_a_line():
    rows = slopes(figures(steps=(2, 4, 8)))
    assert rows[0][2] == "time, T 8/2"
    assert rows[2] == ("tiny", "RGA", "3.00", "1.0000", "1.0000", "1.00", "8.0", "0.0")
    assert rows[3] == ("tiny", "STBP", "4.00", "0.0000", "2.0000", "4.00", "0.0", "1.0")


def test_where_figures_are_missing_there_is_no_line():
    grown = Growth(protocol(), "", (Cell("tiny", 2, {"rga": 1.0}), Cell("tiny", 4)))
    assert slopes(grown)[2] == ("tiny", "RGA", *["-"] * 6)
    assert len(table(figures(steps=(2,))).split("\n\n")) == 2, "one T does not grow"


def test_texts_say_what_was_measured_on_which_images():
    first, machine, how = heading(figures())
    assert first.startswith("PGD, eps 0.01, 5 steps of 0.007843 over 10 random images of 1x4x4")
    assert "untrained weights, decay 0.5" in first
    assert machine == "a machine"
    assert "medians of 1 rounds in turn; peak memory of a batch above the model" in how
    assert "width 0.5" in heading(figures(width=0.5))[0]
    assert "freed memory kept" in heading(figures(keep_memory=True))[2]
    for text in (table(figures()), markdown(figures())):
        assert all(part in text for part in (first, machine, how, "RGA/STBP time", "MiB per step"))


@law
@given(
    st.floats(-100, 100), st.floats(-100, 100), st.sets(st.integers(1, 64), min_size=2, max_size=6)
)
def test_a_line_goes_through_figures_that_lie_on_one(constant, per_step, steps):
    line = Line.through({t: constant + per_step * t for t in steps})
    assert line.constant == pytest.approx(constant, abs=1e-6)
    assert line.per_step == pytest.approx(per_step, abs=1e-6)


@law
@given(st.dictionaries(st.integers(1, 64), st.floats(0, 1000), min_size=2, max_size=6))
def test_a_line_leaves_residuals_that_are_orthogonal_to_itself(values):
    line = Line.through(values)
    residuals = np.array([v - line.constant - line.per_step * t for t, v in values.items()])
    assert residuals.sum() == pytest.approx(0, abs=1e-6)
    assert residuals @ np.array(list(values)) == pytest.approx(0, abs=1e-5)


def photographs(count: int = 6) -> Dataset:
    draw = np.random.default_rng(0)
    x = draw.random((count, 2, 3, 5), dtype=np.float32)
    return Dataset("photographs", x, np.arange(count) % 3, x[::-1], np.arange(count) % 3)


@pytest.mark.parametrize(("samples", "count"), [(None, 6), (4, 4)])
def test_a_data_set_gives_its_test_images_all_of_them_where_asked(samples, count, measured):
    data = photographs()
    grown = grow(protocol(samples=samples, steps=(2,)), dataset=data)
    assert measured[-1][3] == grown.protocol.samples == count
    assert (grown.protocol.image_size, grown.protocol.channels) == ((3, 5), 2)
    assert f"over {count} test images of photographs of 2x3x5" in heading(grown)[0]
    x, y = grown.protocol.images(data)
    np.testing.assert_array_equal(x, data.x_test[:count])
    np.testing.assert_array_equal(y.argmax(1), data.y_test[:count])
    assert y.shape == (count, 3)


def test_a_run_over_images_that_are_not_square_is_taken_up(tmp_path, measured):
    grown = grow(protocol(samples=4), tmp_path / "cost.json", photographs())
    measured.clear()
    assert grow(protocol(samples=4), tmp_path / "cost.json", photographs()) == grown
    assert not measured


def test_more_images_than_there_are_are_refused():
    with pytest.raises(ValueError, match=r"^samples: expected at most the 6 test images of photo"):
        grow(protocol(samples=7), dataset=photographs())


def test_all_of_the_random_images_are_refused():
    with pytest.raises(ValueError, match=r"^samples: expected a number, for random images have no"):
        grow(protocol(samples=None))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ("tiny", "vgg7")}, r"^models: expected names out of tiny, framed.*'vgg7'"),
        ({"models": ()}, r"^models: expected at least one, and each once, got none"),
        ({"models": ("tiny", "tiny")}, r"^models: expected at least one, and each once, got tiny,"),
        ({"steps": (4, 0)}, r"^steps: expected a whole number >= 1, got 0"),
        ({"steps": (4, 4)}, r"^steps: expected at least one, and each once, got 4, 4"),
        ({"rules": ()}, r"^rules: expected at least one"),
        ({"rules": ("sgd",)}, r"^rules: expected one of 'stbp', .*got 'sgd'"),
        ({"rules": ("cba",)}, r"^gradient: expected a rule that applies to every neuron"),
        ({"batch": 0}, r"^batch: expected a whole number >= 1, got 0"),
        ({"repeats": 0}, r"^repeats: expected a whole number >= 1, got 0"),
        ({"samples": 0}, r"^samples: expected a whole number >= 1, got 0"),
        ({"threads": 0}, r"^threads: expected a whole number >= 1, got 0"),
        ({"device": "tpu"}, r"^device: expected cpu or cuda, got tpu"),
        ({"decay": 2.0}, r"^decay: expected a number above 0 and at most 1, got 2"),
        ({"models": ("framed",)}, r"^models: expected models of images, got framed, which takes"),
        ({"width": 0}, r"^width: expected a number above 0, got 0"),
    ],
)
def test_protocols_that_make_no_sense_are_refused_before_anything_runs(options, message):
    with pytest.raises(ValueError, match=message):
        protocol(**options)


def test_the_width_reaches_the_models():
    wide = protocol(width=2).network("tiny", 2)
    assert wide.layers[0].module[1].out_features == 32
    assert protocol().network("tiny", 2).layers[0].module[1].out_features == 16


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, found none")
def test_growth_is_measured_on_cuda(measured):
    grown = grow(protocol(device="cuda"))
    assert torch.cuda.get_device_name() in grown.machine
    assert all(cell.peak["stbp"] > 0 for cell in grown.cells)
