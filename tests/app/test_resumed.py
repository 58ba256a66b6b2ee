"""Every command that takes a run up again: killed, done, of other settings, damaged, foreign."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from art_snn.app.attack import Attack
from art_snn.files import read_json, write_json
from art_snn.measuring import process
from tests.command import Done, call, forbidden
from tests.datasets import images
from tests.faults.results import differences, results

DATA = ("--data", "images.npz", "--steps", "2", "--width", "0.1", "--device", "cpu")
ATTACK = ("--epochs", "1", "--samples", "4", "--batch-size", "2", "--iterations", "1")
RECIPE = ("--epochs", "2", "--validation", "0.25", "--batch-size", "3", "--crop-padding", "0")
ADAM, SGD = (torch.optim.Adam, "step"), (torch.optim.SGD, "step")
CRAFT, MEASURE = (Attack, "craft"), (process, "in_fresh_process")


@dataclass(frozen=True)
class Case:
    """A command, and where it is killed.

    :param words: its name and options.
    :param step: what it does again and again: where that is defined, and its name.
    :param kill: the call of it that is stopped.
    :param again: how often it is called by the run that goes on.
    :param left: files that the killed run leaves.
    :param changes: options that make it another run.
    :param results: file whose content is checked before anything is done."""

    words: tuple[str, ...]
    step: tuple[Any, str]
    kill: int
    again: int
    left: tuple[str, ...]
    changes: tuple[tuple[str, ...], ...] = ()
    results: str = ""


HARDENED = ("--attack", "fgsm", "--rule", "stbp")
NETWORK = (("--decay", "0.9"), ("--epochs", "2"), ("--seed", "1"))
ATTACKED = (("--eps", "0.1"), ("--samples", "3"), ("--batch-size", "3"), ("--attack", "mim"))
TRAINED = (
    *(("--epochs", "3"), ("--momentum", "0.5"), ("--optimizer", "adam"), ("--validation", "0.4")),
    *(("--decay", "0.9"), ("--steps", "3"), ("--reset", "soft"), ("--width", "0.2")),
)
CASES = {
    "train": Case(("train", *DATA, *RECIPE), SGD, 5, 3, ("training.pt",), TRAINED),
    "train, at once": Case(("train", *DATA, *RECIPE), SGD, 1, 6, ()),
    "harden": Case(
        ("harden", *DATA, *RECIPE, *HARDENED),
        *(SGD, 5, 3, ("training.pt",)),
        (
            *(("--attack", "pgd"), ("--rule", "rga"), ("--eps", "0.1"), ("--defence", "trades")),
            ("--adversarial-share", "0.5"),
        ),
    ),
    "compare": Case(
        ("compare", *DATA, *ATTACK, "--rules", "stbp,cba,rga", "--repeats", "1"),
        *(CRAFT, 4, 2, ("compare.json", "network.safetensors")),
        (*NETWORK, *ATTACKED, ("--rules", "stbp"), ("--eot", "2")),
        "compare.json",
    ),
    "compare, in training": Case(
        ("compare", *DATA, *ATTACK, "--rules", "stbp", "--repeats", "1"), ADAM, 1, 1, ()
    ),
    "sweep": Case(
        ("sweep", *DATA, *ATTACK, "--field", "beta", "--values", "1,2", "--decays", "1,0.5"),
        *(
            CRAFT,
            4,
            6,
            ("decay-0.5/network.safetensors", "decay-1/network.safetensors", "sweep.json"),
        ),
        (*NETWORK[1:], *ATTACKED),
        "sweep.json",
    ),
    "curves": Case(
        ("curves", *DATA, "--epochs", "2", "--pairs", "9", "--threshold", "0.25"),
        *(ADAM, 4, 1, ("decay-0.5/training.pt", "decay-1/network.safetensors")),
        (("--epochs", "3"), ("--seed", "1"), ("--threshold", "0.5")),
    ),
    "scaling": Case(
        (
            *("scaling", "--models", "vgg5", "--steps", "2,4", "--width", "0.1", "--samples", "2"),
            *("--image-size", "4", "--batch-size", "2", "--repeats", "1", "--iterations", "1"),
        ),
        *(MEASURE, 6, 4, ("scaling.json",)),
        (
            *(("--batch-size", "1"), ("--decay", "0.9"), ("--iterations", "2"), ("--rules", "rga")),
            *(("--width", "0.2"), ("--threads", "1"), ("--keep-memory",)),
        ),
        "scaling.json",
    ),
    "cost": Case(
        (
            *("cost", "--model", "vgg5", "--steps", "2", "--width", "0.1", "--image-size", "4"),
            *("--batch-size", "2", "--repeats", "1"),
        ),
        *(MEASURE, 2, 5, ()),
        results="cost.json",
    ),
    "inspect": Case(
        *(("inspect", *DATA, "--rules", "stbp"), (torch.autograd, "grad"), 1, 1, ()),
        results="inspect.json",
    ),
}
FILES = {name: case for name, case in CASES.items() if case.results}
CHANGES = [(name, words) for name, case in CASES.items() for words in case.changes]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data lie in the present folder; a process of its own measures one MiB, or one second."""
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "images.npz")
    monkeypatch.setattr(process, "in_fresh_process", measured)


def measured(_: object, __: object, rows: Any, *___: object) -> Any:
    return dict.fromkeys(map(str, rows), 1.0) if isinstance(rows, list) else 2**20


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Done]]:
    """The folder and the output of a command that was not stopped, for reading only."""
    made: dict[tuple[str, ...], tuple[Path, Done]] = {}
    folder = tmp_path_factory.mktemp("whole")

    def run(name: str) -> tuple[Path, Done]:
        words = CASES[name].words
        if words not in made:
            place = folder / str(len(made))
            done = call(*words, "--output", str(place))
            assert done.status == 0, done.stderr
            made[words] = place, done
        return made[words]

    return run


def steps(monkeypatch: pytest.MonkeyPatch, case: Case, kill: int = 0) -> list[int]:
    """Counts the steps of the command, and stops it at that one."""
    counted: list[int] = []
    place, name = case.step
    step = getattr(place, name)

    def counting(*given: Any, **options: Any) -> Any:
        counted.append(1)
        if len(counted) == kill:
            raise KeyboardInterrupt
        return step(*given, **options)

    monkeypatch.setattr(place, name, counting)
    return counted


def files(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("name", CASES)
def test_a_run_that_was_killed_goes_on_after_its_last_whole_step_to_the_same(name, whole):
    case = CASES[name]
    with pytest.MonkeyPatch.context() as patch:
        steps(patch, case, case.kill)
        assert call(*case.words, "--output", "out").status == 130
    assert files(Path("out")) == list(case.left)
    with pytest.MonkeyPatch.context() as patch:
        counted = steps(patch, case)
        done = call(*case.words, "--output", "out")
    assert (done.status, len(counted)) == (0, case.again), done.stderr
    assert differences(results(Path("out")), results(whole(name)[0])) == ""


@pytest.mark.parametrize("name", [name for name in CASES if CASES[name].changes])
def test_a_run_that_is_done_is_not_done_again_and_prints_the_same(name, whole, monkeypatch):
    folder, first = whole(name)
    before = results(folder)
    for place, step in (ADAM, SGD, CRAFT, MEASURE):
        monkeypatch.setattr(place, step, forbidden)
    done = call(*CASES[name].words, "--output", str(folder))
    assert (done.status, done.stdout) == (0, first.stdout), done.stderr
    assert results(folder) == before


@pytest.mark.parametrize(("name", "change"), CHANGES, ids=str)
def test_results_of_other_settings_are_refused_and_kept(name, change, whole, monkeypatch):
    folder, _ = whole(name)
    before = results(folder)
    monkeypatch.setattr(*SGD, forbidden)
    monkeypatch.setattr(*ADAM, forbidden)
    done = call(*CASES[name].words, *change, "--output", str(folder))
    assert (done.status, done.stdout) == (2, ""), done.stderr
    assert "--output: expected a" in done.complaint
    assert results(folder) == before


BROKEN = ["", '{"a": ', "[]", "null", "\x00\x01", '{"schema": 1}']


def refused(case: Case, file: Path) -> None:
    before = file.read_bytes()
    done = call(*case.words, "--output", "out")
    assert (done.status, done.stdout) == (2, ""), done.stderr
    assert "--output: expected a folder without results, or with results of" in done.complaint
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", BROKEN, ids=repr)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_by_its_name_and_kept(name, content, whole):
    case, file = CASES[name], Path("out", CASES[name].results)
    shutil.copytree(whole(name)[0], "out")
    file.write_text(content)
    refused(case, file)
    assert f"out/{case.results}, which " in call(*case.words, "--output", "out").complaint


@pytest.mark.parametrize("name", FILES)
def test_results_of_another_kind_or_schema_are_refused_and_kept(name, whole):
    case, file = CASES[name], Path("out", CASES[name].results)
    shutil.copytree(whole(name)[0], "out")
    content = read_json(file)
    write_json(file, content | {"schema": 0})
    refused(case, file)
    others = next(other for other in FILES.values() if other.results != case.results)
    other = next(name for name, one in CASES.items() if one is others)
    shutil.copy(whole(other)[0] / others.results, file)
    refused(case, file)
