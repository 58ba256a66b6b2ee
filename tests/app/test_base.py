"""What every experiment refuses, and what every result writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from matplotlib.figure import Figure

from art_snn.app.base import Experiment, Result
from art_snn.app.resume import read_result
from art_snn.app.tables import Notes, Table
from art_snn.checks import ArgumentError
from tests.command import interrupted


@dataclass
class Found(Result):
    """One figure, one table, two pictures."""

    value: float = 0.5
    name: ClassVar[str] = "found"

    def as_dict(self) -> dict[str, Any]:
        return {"value": self.value, "words": "Grüße"}

    def parts(self) -> list[Any]:
        return [("a title", "settings"), Table(("rule", "ms"), [("a|b", "5")]), Notes(["Grüße."])]

    drawings = ("found", "pictures")


def test_an_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("here before")
    with pytest.raises(ArgumentError, match=r"^output: .* got .*file, which is a file\. "):
        Experiment(output=tmp_path / "file" / "deeper" / "out")


@pytest.mark.parametrize("name", [".", "new", "new/deep", "decay-0.5"])
def test_an_output_may_be_any_folder_and_is_not_made_before_there_is_anything(name, tmp_path):
    assert Experiment(output=tmp_path / name).output == tmp_path / name
    assert list(tmp_path.iterdir()) == []


def test_threads_are_set_when_the_experiment_starts_and_left_where_none_are_told(tmp_path):
    before = torch.get_num_threads()
    try:
        experiment = Experiment(output=tmp_path, threads=before + 1)
        assert torch.get_num_threads() == before
        with experiment.at_work():
            assert torch.get_num_threads() == before + 1
        with Experiment(output=tmp_path).at_work():
            assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_a_result_leaves_all_the_files_that_it_names_and_no_others(tmp_path):
    folder = tmp_path / "new" / "deep"
    Found().write(folder, Figure(), Figure())
    assert Found().files == ["found.json", "found.md", "found.png", "pictures.png"]
    assert sorted(file.name for file in folder.iterdir()) == Found().files
    assert read_result(folder / "found.json") == Found().as_dict()
    assert (folder / "found.md").read_text("utf-8") == Found().render("markdown")
    for name in ("found", "pictures"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_result_is_told_in_every_form():
    assert Found().render() == Found().render("text")
    assert "a|b" in Found().render()
    assert r"a\|b" in Found().render("markdown")
    assert "<td>a|b" in Found().render("html")


def test_results_take_the_place_of_earlier_ones(tmp_path):
    Found().write(tmp_path, Figure(), Figure())
    Found(0.75).write(tmp_path, Figure(), Figure())
    assert read_result(tmp_path / "found.json")["value"] == 0.75
    assert len(list(tmp_path.iterdir())) == 4


def test_a_picture_that_is_interrupted_leaves_the_earlier_one_whole(tmp_path, monkeypatch):
    Found().write(tmp_path, Figure(), Figure())
    before = (tmp_path / "found.png").read_bytes()

    def half(self: Figure, file: Path, **_: Any) -> None:
        Path(file).write_bytes(b"half")
        interrupted()

    monkeypatch.setattr(Figure, "savefig", half)
    with pytest.raises(KeyboardInterrupt):
        Found().write(tmp_path, Figure(), Figure())
    assert (tmp_path / "found.png").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == Found().files


@pytest.mark.parametrize("name", ["a\0b", "x" * 300], ids=["null", "long"])
def test_an_output_that_no_folder_can_be_named_is_refused(name, tmp_path):
    with pytest.raises(ArgumentError, match=r"^output: expected a path that can be looked up, got"):
        Experiment(output=tmp_path / name)
