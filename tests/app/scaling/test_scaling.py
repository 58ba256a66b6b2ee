"""The cost protocol of table S2 on a network of a few neurons, and what becomes of killed runs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings as laws, strategies as st

from art_snn.app.attack import Attack
from art_snn.app.scaling import PGD, Cell, Growth, Settings, Trend, run
from art_snn.app.scaling.result import cells, slopes
from art_snn.app.scaling.settings import Protocol
from art_snn.data import Source
from art_snn.gradients import RGA, STBP, parse_rules
from art_snn.measuring import machine, process
from art_snn.measuring.process import ProcessFailed
from art_snn.measuring.workload import Workload
from art_snn.models import Architecture
from tests.app.scaling.standins import (
    MIB,
    MODELS,
    figures,
    measured_here,
    photographs,
    saved,
    settings,
    spoilt,
)
from tests.command import forbidden
from tests.datasets import counts
from tests.own import own

law = laws(deadline=None, derandomize=True, database=None, max_examples=60)
REFUSAL = (
    r"^output: expected a folder without results, or with results of the same {}, got .*\.json"
)


def rows_of(text: str) -> list[list[str]]:
    """The cells of all rows of all tables in Markdown but the rules below their titles."""
    lines = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line] for line in lines]
    return [row for row in rows if set("".join(row)) - set("-: ")]


def markdown(grown: Growth) -> list[list[str]]:
    return rows_of(grown.render("markdown"))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What would be measured, as (function, model, T, samples, row or rows)."""
    calls: list[tuple[Any, ...]] = []

    def noted(name: str, load: Workload, rows: Any) -> None:
        calls.append((name, load.architecture.model, load.steps, len(load.x), rows))

    spoilt(monkeypatch, noted)
    return calls


def test_the_protocol_is_that_of_the_paper():
    asked = Settings()
    assert asked.models == ("vgg11", "vgg16", "resnet17")
    assert asked.rules == {"rga": RGA(), "stbp": STBP()}
    assert asked.steps == (4, 8, 16, 32)
    assert asked.attack == Attack(name="pgd", eps=2.55 / 255, eps_step=2 / 255, iterations=5)
    images = asked.images()
    assert images.x.shape == (32, 3, 32, 32)
    protocol = Protocol.of(asked, images)
    assert (protocol.batch_size, protocol.samples, protocol.image_size) == (32, 32, 32)
    assert (protocol.decay, protocol.width, protocol.data) == (0.5, 1.0, "random images")


def test_every_cell_has_time_and_memory_of_inference_and_of_the_attack_by_every_rule(
    monkeypatch, tmp_path
):
    measured_here(monkeypatch)
    (cell,) = run(settings(tmp_path, steps=(2,))).cells
    assert list(cell.seconds) == list(cell.peak) == ["inference", "rga", "stbp"]
    assert all(value > 0 for value in cell.seconds.values())
    assert not cell.failed


def test_there_is_a_cell_for_every_model_at_every_number_of_steps(measured, tmp_path):
    grown = run(settings(tmp_path, models=MODELS))
    cells = [("vgg5", 2), ("vgg5", 4), ("vgg11", 2), ("vgg11", 4)]
    assert [(cell.model, cell.steps) for cell in grown.cells] == cells
    assert "1 threads" in grown.machine


def test_a_peak_is_that_of_one_batch_and_a_time_that_of_all_images_in_turn(measured, tmp_path):
    run(settings(tmp_path, steps=(2,)))
    assert measured == [
        *(("peak_of", "vgg5", 2, 4, row) for row in ("inference", "rga", "stbp")),
        ("seconds_of", "vgg5", 2, 10, ["inference", "rga", "stbp"]),
    ]


def test_what_is_measured_is_the_attack_by_the_rules_on_the_models_of_the_settings(
    tmp_path, monkeypatch
):
    loads: list[Workload] = []
    spoilt(monkeypatch, lambda _, load, __: loads.append(load))
    attack = replace(PGD, iterations=7)
    rules = parse_rules("hart,mean-rga-stbp")
    run(settings(tmp_path, rules=rules, attack=attack, decay=1.0, keep_memory=True))
    first = loads[0]
    assert first.architecture == Architecture(model="vgg5", width=0.05, decay=1.0)
    assert (first.attack, first.rules, first.batch_size) == (attack, rules, 4)
    assert (first.device, first.threads, first.keep_memory) == ("cpu", 1, True)
    assert {load.steps for load in loads} == {2, 4}
    assert first.x.shape == (4, 1, 4, 4)


def test_a_process_killed_for_memory_costs_its_rule_the_figures_and_nothing_else(
    tmp_path, monkeypatch
):
    def too_little(_: str, load: Workload, row: Any) -> None:
        if (load.steps, row) == (4, "stbp"):
            raise ProcessFailed("process killed by SIGKILL")

    spoilt(monkeypatch, too_little)
    grown = run(settings(tmp_path))
    assert [cell.failed for cell in grown.cells] == [{}, {"stbp": "process killed by SIGKILL"}]
    assert grown.cells[1].seconds == {"inference": 1.0, "rga": 1.0}
    assert set(grown.cells[1].peak) == {"inference", "rga"}
    assert "STBP failed: process killed by SIGKILL" in grown.render()
    table = cells(grown)
    assert table.rows[1][:9] == ("vgg5", "4", "1.000", "1.000", "-", "-", "1", "-", "-")
    assert table.rows[0][-1] == ""
    assert table.titles[-1] == "remark"
    assert markdown(grown)[2][-1] == "STBP failed: process killed by SIGKILL"

    again = []
    spoilt(monkeypatch, lambda name, load, row: again.append((name, load.steps)))
    assert not any(cell.failed for cell in run(settings(tmp_path)).cells)
    assert set(again) == {("peak_of", 4), ("seconds_of", 4)}, "a failed cell is tried again"


def test_a_process_killed_while_timing_leaves_the_memory_and_the_other_cells(monkeypatch, tmp_path):
    def slow(name: str, load: Workload, _: Any) -> None:
        if (name, load.steps) == ("seconds_of", 2):
            raise ProcessFailed("MemoryError")

    spoilt(monkeypatch, slow)
    first, second = run(settings(tmp_path)).cells
    assert first.failed == dict.fromkeys(("inference", "rga", "stbp"), "MemoryError")
    assert (first.seconds, set(first.peak)) == ({}, {"inference", "rga", "stbp"})
    assert (second.failed, set(second.seconds)) == ({}, {"inference", "rga", "stbp"})


def test_results_of_another_machine_are_refused(tmp_path, monkeypatch):
    spoilt(monkeypatch, lambda *_: None)
    run(settings(tmp_path))
    monkeypatch.setattr(machine, "processor", lambda: "a faster one")
    with pytest.raises(ValueError, match=REFUSAL.format("machine")):
        run(settings(tmp_path))


def test_the_table_sets_every_rule_against_stbp():
    table = cells(figures())
    assert tuple(table.titles) == (
        *("model", "T", "inference s", "RGA s", "STBP s", "RGA/STBP time"),
        *("RGA MiB", "STBP MiB", "RGA/STBP memory"),
    )
    assert table.rows[0] == ("vgg5", "2", "1.000", "3.000", "4.000", "0.75", "8", "2", "4.00")
    only = replace(
        figures(rules=parse_rules("rga")), cells=(Cell("vgg5", 2, {"rga": 1.0}, {"rga": MIB}),)
    )
    assert tuple(cells(only).titles) == ("model", "T", "inference s", "RGA s", "RGA MiB")


def test_growth_is_told_by_the_ratio_of_the_ends_and_a_line():
    table = slopes(figures(steps=(2, 4, 8)))
    assert table.titles[2] == "time, T 8/2"
    assert table.rows[1] == ("vgg5", "RGA", "3.00", "1.0000", "1.0000", "1.00", "8.0", "0.0")
    assert table.rows[2] == ("vgg5", "STBP", "4.00", "0.0000", "2.0000", "4.00", "0.0", "1.0")


def test_where_figures_are_missing_there_is_no_line():
    grown = replace(figures(), cells=(Cell("vgg5", 2, {"rga": 1.0}), Cell("vgg5", 4)))
    assert slopes(grown).rows[1] == ("vgg5", "RGA", *["-"] * 6)
    assert len(figures(steps=(2,)).parts()) == 2, "one T does not grow"


def test_texts_say_what_was_measured_on_which_images():
    first, machine, how = figures().heading()
    assert first.startswith("PGD, eps 0.01, 5 steps of 0.007843 over 10 random images of 1x4x4")
    assert "untrained weights, decay 0.5" in first
    assert machine == "a machine"
    assert "medians of 1 rounds in turn; peak memory of a batch above the model" in how
    assert "width 0.5" in figures(width=0.5).heading()[0]
    assert "freed memory kept" in figures(keep_memory=True).heading()[2]
    for form in ("text", "markdown", "html"):
        text = figures().render(form)
        assert all(part in text for part in (first, machine, how, "RGA/STBP time", "MiB per step"))


@law
@given(
    st.floats(-100, 100), st.floats(-100, 100), st.sets(st.integers(1, 64), min_size=2, max_size=6)
)
def test_a_line_goes_through_figures_that_lie_on_one(constant, per_step, steps):
    line = Trend.through({t: constant + per_step * t for t in steps})
    assert line.constant == pytest.approx(constant, abs=1e-6)
    assert line.per_step == pytest.approx(per_step, abs=1e-6)


@law
@given(st.dictionaries(st.integers(1, 64), st.floats(0, 1000), min_size=2, max_size=6))
def test_a_line_leaves_residuals_that_are_orthogonal_to_itself(values):
    line = Trend.through(values)
    residuals = np.array([v - line.constant - line.per_step * t for t, v in values.items()])
    assert residuals.sum() == pytest.approx(0, abs=1e-6)
    assert residuals @ np.array(list(values)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("samples", "count"), [("all", 6), (4, 4)])
def test_a_data_set_gives_its_test_images_all_of_them_where_asked(
    samples, count, measured, tmp_path
):
    data = photographs()
    source = saved(data, tmp_path)
    asked = settings(tmp_path, samples=samples, steps=(2,), source=source, channels=None)
    grown = run(asked)
    assert measured[-1][3] == grown.protocol.samples == count
    assert (grown.protocol.image_size, grown.protocol.channels) == ([3, 5], 1)
    assert f"over {count} test images of photographs.npz of 1x3x5" in grown.heading()[0]
    images = asked.images()
    np.testing.assert_array_equal(images.x, data.x_test[:count])
    np.testing.assert_array_equal(images.y.argmax(1), data.y_test[:count])
    assert images.y.shape == (count, 3)


def test_a_run_over_images_that_are_not_square_is_taken_up(tmp_path, monkeypatch):
    spoilt(monkeypatch, lambda *_: None)
    asked = settings(tmp_path, samples=4, source=saved(photographs(), tmp_path), channels=None)
    grown = run(asked)
    monkeypatch.setattr(process, "in_fresh_process", forbidden)
    assert run(asked) == grown


def test_more_images_than_there_are_are_refused(tmp_path):
    asked = settings(tmp_path, samples=7, source=saved(photographs(), tmp_path), channels=None)
    with pytest.raises(ValueError, match=r"^samples: expected at most the 6 test images of photo"):
        run(asked)


def test_event_frames_are_refused(tmp_path):
    source = Source(data=str(counts(tmp_path / "events.npz")))
    with pytest.raises(
        ValueError, match=r"^data: expected images, got events.npz, which holds event"
    ):
        run(settings(tmp_path / "out", source=source, channels=None))
    assert not (tmp_path / "out").exists()


def test_a_network_of_the_user_s_own_is_measured_on_its_own_input_at_every_t(tmp_path, measured):
    model = own(tmp_path, (2, 5, 5), 7)
    mine = {"models": (model,), "width": None, "channels": None, "source": Source(data="random")}
    asked = settings(tmp_path / "out", **mine)
    images = asked.images()
    assert (images.x.shape, images.y.shape) == ((10, 2, 5, 5), (10, 7))
    grown = run(asked)
    assert [(c.model, c.steps, c.failed) for c in grown.cells] == [(model, 2, {}), (model, 4, {})]
    assert (grown.protocol.channels, grown.protocol.image_size, grown.protocol.classes) == (2, 5, 7)
    assert {call[2] for call in measured} == {2, 4}
    assert (grown.protocol.decay, grown.protocol.width) == (None, None)
    assert "decay" not in grown.heading()[0]
    # Nothing is measured again, or refused, where nothing has changed.
    measured.clear()
    assert run(asked).cells == grown.cells
    assert not measured


def test_the_width_reaches_the_models(tmp_path, monkeypatch):
    loads: list[Workload] = []
    spoilt(monkeypatch, lambda _, load, __: loads.append(load))
    run(settings(tmp_path, width=0.25))
    wide, usual = (
        replace(loads[0], architecture=Architecture(model="vgg5", width=width)).network()
        for width in (0.25, None)
    )
    sizes = [next(net.parameters()).shape[0] for net in (loads[0].network(), wide, usual)]
    assert sizes[0] == sizes[1] == sizes[2] / 4


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, found none")
def test_growth_is_measured_on_a_gpu(monkeypatch, tmp_path):
    measured_here(monkeypatch)
    grown = run(settings(tmp_path, device="gpu"))
    assert torch.cuda.get_device_name() in grown.machine
    assert all(cell.peak["stbp"] > 0 for cell in grown.cells)
