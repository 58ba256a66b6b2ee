"""How far pairs lie from curves: numbers computed by hand, and the tables made of them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from art_snn import RGA
from art_snn.app.curves import Curves, Deviation, Fit, Recording, deviation
from art_snn.app.curves.figure import draw
from art_snn.app.curves.result import fit
from art_snn.app.resume import read_result
from art_snn.curves import Pairs, curves_of, static_rate
from art_snn.dynamics import Dynamics
from art_snn.metrics import Share


def pairs(current: list[float], rate: list[float]) -> Pairs:
    index = np.arange(len(current))
    return Pairs("layers.1", 40, index, index, np.array(current, float), np.array(rate, float))


def zero(current: np.ndarray) -> np.ndarray:
    return np.zeros_like(current)


def half(current: np.ndarray) -> np.ndarray:
    return np.full_like(current, 0.5)


def test_the_deviations_are_those_computed_by_hand():
    found = deviation(pairs([0.25, 0.5, 1.5, -1], [0.25, 0.75, 0.5, 0]), static_rate)
    # The curve gives 0, 0, 1, 0; the differences are .25, .75, -.5, 0.
    assert found.rms == pytest.approx((0.875 / 4) ** 0.5)
    assert found.mean_absolute == pytest.approx(0.375)
    assert found.bias == pytest.approx(0.125)


@settings(deadline=None, derandomize=True, database=None, max_examples=60)
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0, 1)), min_size=1, max_size=20))
def test_no_deviation_is_larger_than_the_root_mean_square(drawn):
    recorded = pairs(*map(list, zip(*drawn, strict=True)))
    for curve in curves_of(0.9, 1.0, RGA()).values():
        found = deviation(recorded, curve)
        assert abs(found.bias) <= found.mean_absolute + 1e-12
        assert found.mean_absolute <= found.rms + 1e-12
        on_it = pairs(recorded.current.tolist(), curve(recorded.current).tolist())
        assert deviation(on_it, curve) == Deviation(0, 0, 0)


def test_the_nearest_curve_has_the_smallest_root_mean_square_of_all():
    found = fit("net", 0.5, pairs([1, 2], [0.4, 0.5]), {"zero": zero, "half": half})
    assert found.nearest == "half"
    assert found.silent == Share(0, 2)
    found = fit("net", 0.5, pairs([1, 2, 3], [0, 0.1, 0]), {"zero": zero, "half": half})
    assert found.nearest == "zero"
    assert found.silent == Share(2, 3)
    assert list(found.deviations) == ["zero", "half"]


def test_without_any_pair_there_is_no_deviation():
    with pytest.raises(ValueError, match=r"^pairs: expected one at least, got none\. Record some"):
        deviation(pairs([], []), zero)


DEVIATIONS = {"static, smooth": Deviation(0.14264, 0.0706, -0.0432)}
DEVIATIONS |= {"RGA": Deviation(0.1164, 0.069, 0.0479)}
SHOWN = Fit("vgg5 on digits", 0.5, "layers.4", 737280, Share(630, 1000), DEVIATIONS)
WORDS = "layers.4: 1000 of 737280 pairs of sample and neuron, 63.0 % [60.0, 65.9] without a spike"


def curves(*panels: Fit) -> Curves:
    """Recordings of three pairs each, whose numbers are those of the panels."""
    some = pairs([0.25, 0.5, 1.5], [0, 0.5, 1])
    recordings = [
        Recording(f"decay-{i}", {"steps": 2}, Dynamics(), some, {"zero": zero}, one)
        for i, one in enumerate(panels)
    ]
    return Curves({"pairs": 3}, RGA(), recordings)


HEAD = "Curves: static, and the polyline of RGA(beta=2.0, gamma=0.2). d is recorded minus curve."


def test_the_table_has_one_line_per_curve_and_marks_the_nearest():
    assert SHOWN.source() == WORDS
    lines = curves(SHOWN).render().splitlines()
    assert lines[:6] == [HEAD, "", "vgg5 on digits", WORDS, "", lines[5]]
    assert [" ".join(line.split()) for line in lines[5:]] == [
        "curve rms mean |d| mean d",
        "static, smooth 0.1426 0.0706 -0.0432",
        "RGA 0.1164 0.0690 +0.0479 nearest",
    ]
    ends = [line.index(cell) + len(cell) for line, cell in zip(lines[5:], CELLS, strict=True)]
    assert len(set(ends)) == 1


CELLS = ("mean d", "-0.0432", "+0.0479")


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_every_network_has_a_table_and_the_curves_are_told_once(form):
    text = curves(SHOWN, replace(SHOWN, title="another")).render(form)
    assert text.index("vgg5 on digits") < text.index("another")
    assert text.count("0.1164") == 2
    assert text.count("recorded minus curve") == 1


def test_a_result_writes_figures_pairs_and_words_and_names_its_files(tmp_path):
    found = curves(SHOWN, SHOWN)
    found.write(tmp_path, draw(found))
    assert found.files == ["curves.json", "curves.md", "curves.png", "pairs.npz"]
    assert {file.name for file in tmp_path.iterdir()} == set(found.files)
    written = read_result(tmp_path / "curves.json")
    assert written["settings"] == {"pairs": 3}
    panel = json.loads(json.dumps({"subject": {"steps": 2}} | SHOWN.as_dict()))
    assert written["panels"] == [panel] * 2
    assert (tmp_path / "curves.md").read_text() == found.render("markdown")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    with np.load(tmp_path / "pairs.npz") as arrays:
        parts = ("sample", "neuron", "current", "rate")
        assert set(arrays) == {f"decay-{i}/{part}" for i in (0, 1) for part in parts}
        assert arrays["decay-1/current"].tolist() == [0.25, 0.5, 1.5]


def test_the_json_holds_all_numbers_unrounded():
    content = json.loads(json.dumps(SHOWN.as_dict()))
    assert content["deviations"]["static, smooth"]["rms"] == 0.14264
    assert content["silent"]["count"] == 630
    assert content["nearest"] == "RGA"
    assert (content["decay"], content["layer"], content["places"]) == (0.5, "layers.4", 737280)
