"""Results: written, read again where they fit, and the folder that a run holds."""

import copy
import errno
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from art_snn.app import results
from art_snn.app.evaluate.result import EvaluationResult
from art_snn.app.evaluation.record import read_evaluation
from art_snn.app.settings import Cost
from art_snn.app.tables import Notes, Table
from art_snn.checks import ArgumentError
from art_snn.distributed import ProcessGroup
from art_snn.encoders import Direct
from art_snn.files import write_json
from art_snn.metrics import Share
from tests.classifiers import CLASSES, classifier, samples
from tests.evaluations import VANISHED, small
from tests.jobs import Job

REFUSAL = r"^output: .*results of the same kind, got .*results\.json of other .*\. Give --output "


def deep(levels):
    """Lists inside of each other."""
    return [deep(levels - 1)] if levels else []


@dataclass
class Keyed:
    """Results of settings that their key stands for."""

    key: str
    a: list[Any]


def test_what_is_written_is_read_where_it_fits_and_otherwise_refused_by_its_kind(tmp_path):
    file = tmp_path / "new" / "folder" / "results.json"
    assert results.load_previous(file, "kind", Keyed, "one") is None
    results.write_result(file, {"key": "one", "a": [1, None, "x"]})
    found = results.load_previous(file, "kind", Keyed, "one")
    assert found == Keyed("one", [1, None, "x"])
    with pytest.raises(ValueError, match=REFUSAL):
        results.load_previous(file, "kind", Keyed, "two")
    assert results.read_result(file) == asdict(found)


@pytest.mark.parametrize("content", ["", '{"a": ', "[]", "3", "null", "\x00\x01", "[" * 5000])
def test_a_file_that_holds_no_results_is_refused_whatever_would_fit(content, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"results\.json, which (holds no JSON|cannot be read) \("):
        results.load_previous(file, "kind", dict, "one")
    assert file.read_text() == content


@pytest.mark.parametrize(("schema", "number"), [({}, "no number"), ({"schema": 2}, "the number 2")])
def test_results_of_another_schema_are_refused_with_its_number(schema, number, tmp_path):
    write_json(tmp_path / "a.json", schema | {"a": 1})
    message = rf"^output: .*a\.json, which has {number} as its schema.*reads 1.*delete that file"
    with pytest.raises(ArgumentError, match=message):
        results.load_previous(tmp_path / "a.json", "kind", dict, "one")


@dataclass
class Kept:
    """Fields of every kind that results have."""

    time: float
    name: str
    counts: dict[str, int]
    share: Share
    flips: np.ndarray
    done: bool = False
    loss: float | None = None


WHOLE = {"time": 0.5, "name": "a", "counts": {"x": 2}, "share": {"count": 1, "total": 2}}
WHOLE |= {"flips": "0101", "done": True, "loss": 1}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"time": True}, "time: expected a number, got true"),
        ({"time": math.nan}, "time: expected a number, got NaN"),
        ({"loss": []}, "loss: expected a number, got []"),
        ({"name": 3}, "name: expected a text, got 3"),
        ({"name": "long" * 100, "time": "l" * 500}, "time: expected a number, got .lll.*[.]{3}l"),
        ({"counts": {"x": False}}, "counts['x']: expected a whole number, got false"),
        ({"counts": [3]}, "counts: expected another kind of value"),
        ({"share": {"count": 3, "total": 2}}, "share: expected another kind of value"),
        ({"share": {"count": 1}}, "share.total: missing"),
        ({"flips": "012"}, 'flips: expected digits 0 and 1, got "012"'),
        ({"flips": [0, 1]}, "flips: expected digits 0 and 1, got "),
        ({"done": 1}, "done: expected true or false, got 1"),
        ({"share": deep(900)}, "share.count: expected another kind of value"),
    ],
    ids=str,
)
def test_a_field_that_holds_something_else_is_refused_by_its_name(change, reason, tmp_path):
    file = tmp_path / "results.json"
    results.write_result(file, WHOLE | change)
    pattern = reason if ".*" in reason else re.escape(reason)
    with pytest.raises(ArgumentError, match=rf"results\.json, which .* \(its field {pattern}"):
        results.load_previous(file, "kind", Kept, "one")


def test_fields_of_every_kind_are_read_and_those_with_a_usual_value_may_be_missing(tmp_path):
    needed = {k: v for k, v in WHOLE.items() if k not in ("done", "loss")}
    for name in needed:
        results.write_result(tmp_path / "a.json", {k: v for k, v in needed.items() if k != name})
        with pytest.raises(ArgumentError, match=rf"cannot be read \(its field {name}: missing\)"):
            results.load_previous(tmp_path / "a.json", "kind", Kept, "one")
    results.write_result(tmp_path / "a.json", needed)
    kept = results.read_result(tmp_path / "a.json", Kept)
    assert (kept.time, kept.name, kept.counts, kept.share) == (0.5, "a", {"x": 2}, Share(1, 2))
    assert kept.flips.tolist() == [False, True, False, True]
    assert (kept.done, kept.loss) == (False, None)


def test_plain_content_is_as_json_gives_it_back():
    content = {0.5: (Share(1, 2), np.array([True, False])), "deep": [{1: None}, "word", 1.5]}
    found = results.as_json(content)
    assert found == json.loads(json.dumps(found))
    assert found == {"0.5": [Share(1, 2).as_dict(), "10"], "deep": [{"1": None}, "word", 1.5]}


CHANGES = [{}, {"decay": 0.9}, {"threshold": 0.5}, {"reset": "soft"}, {"encoder": Direct(5)}]


@pytest.mark.parametrize("change", [*CHANGES, "settings", "clip_values", "weights", "x", "y"])
def test_a_fingerprint_changes_with_settings_network_value_range_and_samples_alone(change):
    one = classifier(seed=1)
    x, y = samples(one)
    before = results.fingerprint("settings", one, x, y)
    other = classifier(seed=1, **(change if isinstance(change, dict) else {}))
    if change == "clip_values":
        other.set_params(clip_values=(0.0, 2.0))
    elif change == "weights":
        with torch.no_grad():
            other.model.layers[2].module[0].bias[0] += 1e-3
    elif change == "x":
        x[3, 0, 2, 2] += 0.01
    elif change == "y":
        y[3] = (y[3] + 1) % CLASSES
    settings = "others" if change == "settings" else "settings"
    assert (results.fingerprint(settings, other, x, y) == before) == (change == {})


FACTOR = {"now": 1.0}


class Own(nn.Module):
    """A layer of the user's own whose code and attributes tell nothing of its factor."""

    def forward(self, logits):
        return logits * FACTOR["now"]


def test_a_fingerprint_of_the_users_own_network_tells_what_it_answers(monkeypatch):
    one = classifier()
    x, y = samples(one)
    one.model.layers.append(Own())
    before = results.fingerprint("settings", one, x, y)
    monkeypatch.setitem(FACTOR, "now", 1 + 2**-20)
    assert results.fingerprint("settings", one, x, y) == before
    monkeypatch.setitem(FACTOR, "now", -1.0)
    assert results.fingerprint("settings", one, x, y) != before


@dataclass
class Found(results.Result):
    """One figure, one table, one picture."""

    value: float = 0.5
    name: ClassVar[str] = "found"

    def as_dict(self) -> dict[str, Any]:
        return {"value": self.value, "words": "Grüße"}

    def parts(self) -> list[Any]:
        return [("a title", "settings"), Table(("rule", "ms"), [("a|b", "5")]), Notes(["Grüße."])]

    def draw(self) -> Figure:
        return Figure()


def test_a_result_leaves_all_the_files_that_it_names_and_replaces_earlier_ones(tmp_path):
    folder = tmp_path / "new" / "deep"
    for found in (Found(0.75), Found()):
        found.write(folder)
    assert Found().files == ["found.json", "found.md", "found.png"]
    assert sorted(file.name for file in folder.iterdir()) == Found().files
    assert results.read_result(folder / "found.json") == Found().as_dict()
    assert (folder / "found.md").read_text("utf-8") == Found().render("markdown")
    assert (folder / "found.png").read_bytes().startswith(b"\x89PNG")
    assert not Found().failures()


@pytest.mark.parametrize("together", [True, False])
def test_a_command_at_work_has_its_threads_and_its_folder(together, tmp_path, monkeypatch):
    before = torch.get_num_threads()
    if not together:  # As torchrun would start it.
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    try:
        settings = Cost(output=tmp_path / "out", threads=before + 1)
        with results.run_folder(settings, together) as group:
            assert torch.get_num_threads() == before + 1
            assert group == ProcessGroup()
            with pytest.raises(ArgumentError, match=r"^output: expected a folder that no other"):
                results.run_folder(Cost(output=tmp_path / "out")).__enter__()
    finally:
        torch.set_num_threads(before)


def test_a_gradient_that_does_not_reach_the_input_is_a_complaint_about_the_network(tmp_path):
    message = r"^model: expected a network through which gradients pass, got .*Look for detach"
    with pytest.raises(ArgumentError, match=message), results.run_folder(Cost(output=tmp_path)):
        torch.zeros(1).sum().backward()
    with pytest.raises(RuntimeError, match=r"^a bug$"), results.run_folder(Cost(output=tmp_path)):
        raise RuntimeError("a bug")


def test_a_block_leaves_what_it_writes_and_nothing_else(tmp_path):
    folder = tmp_path / "new" / "deep"
    with results.run_folder(Cost(output=folder)):
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []
    with results.run_folder(Cost(output=folder)):
        (folder / "result").write_text("done")
    assert [file.name for file in folder.iterdir()] == ["result"]


def test_unfinished_files_of_a_killed_run_are_removed_and_those_of_others_stay(tmp_path):
    ours = ("a.json.01234567.part", "blocks/a.89abcdef.part")
    others = ("film.mkv.part", "holiday/film.part", "run/n.safetensors.01234567.part", "a.json")
    for path in map(tmp_path.joinpath, (*ours, *others)):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("half")
    with results.run_folder(Cost(output=tmp_path)):
        pass
    found = {str(f.relative_to(tmp_path)) for f in tmp_path.rglob("*") if f.is_file()}
    assert found == {*others}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_into_is_refused(code, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(results.FileLock, "acquire", full)
    message = rf"^output: .*can be written into, got .*out \(.*{os.strerror(code)}.*make room"
    with pytest.raises(ArgumentError, match=message):
        results.run_folder(Cost(output=tmp_path / "new" / "out")).__enter__()
    assert list(tmp_path.iterdir()) == []


JOB = """
from pathlib import Path
from art_snn.app.results import run_folder
from art_snn.app.settings import Run
from art_snn.checks import ArgumentError

with run_folder(Run(output=Path("out")), together=True) as group:
    held = Path("out/.lock").exists()
    found = group.on_leader(lambda: [group.rank])
    group.leader_first(lambda: Path("made").touch(exist_ok=not group.leads))
    Path(f"told-{group.rank}").write_text(f"{held} {found} {group.size}")
    group.gather(None)
    try:
        group.on_leader(lambda: {}["nothing"])
    except KeyError:
        assert group.leads
        print("it raised here", flush=True)
    raise ArgumentError("rank", str(group.rank))
"""


@pytest.mark.slow
def test_one_process_holds_the_output_and_what_it_does_is_told_to_all(tmp_path):
    well, out, errors = Job(JOB, tmp_path).ended()
    assert [(tmp_path / f"told-{rank}").read_text() for rank in range(2)] == ["True [0] 2"] * 2
    # The other process left quietly where the leading one raised, which went on by itself.
    assert out.count("it raised here") == 1
    assert "ArgumentError: rank: 0" in errors
    assert "ArgumentError: rank: 1" not in errors
    assert not well
    assert (tmp_path / "made").exists()
    assert not (tmp_path / "out").exists()


EVALUATION = small(findings=(VANISHED,))
CONTENT = results.as_json(EVALUATION)
OTHERS: list[Any] = [None, 0, -1, 1.5, True, 10**30, float("inf"), "x", "", [], {}, [[]], {"x": 0}]
# Compared with what was asked before anything else is read from them.
KNOWN = ("key", "settings")


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every field of the content, by its names from the outside."""
    for name, value in content.items() if isinstance(content, dict) else enumerate(content):
        if name in KNOWN:
            continue
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from places(value, (*path, name))


def changed(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The content with another value in a field; without the field for `changed`."""
    content = copy.deepcopy(content)
    inner = content
    for name in path[:-1]:
        inner = inner[name]
    if value is changed:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return content


def test_whatever_a_field_holds_instead_the_results_are_refused_by_name_or_told(tmp_path):
    file, complaints = tmp_path / "evaluation.json", []
    for path in places(CONTENT):
        for value in (*OTHERS, changed):
            results.write_result(file, changed(CONTENT, path, value))
            try:
                found = read_evaluation(file).evaluation
                assert EvaluationResult(found).render()
            except ArgumentError as error:
                complaints.append(str(error))
    assert len(complaints) > 5 * len(list(places(CONTENT)))
    assert all("evaluation.json, which cannot be read (" in complaint for complaint in complaints)
    assert max(map(len, complaints)) < 500 + len(str(file))
