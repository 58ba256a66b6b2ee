"""The command line as a whole: what it lists, what it imports, and how it refuses."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import art_snn
from art_snn.app import cli, usage
from art_snn.checks import ArgumentError, MissingFile, MissingPackage, WriteFailed
from art_snn.progress import Terminated
from tests.command import Done, call, python
from tests.describe_options import described, text_of

NAMES = ["check", "compare", "cost", "curves", "demo", "evaluate", "harden", "inspect"]
NAMES += ["leaderboard", "report", "scaling", "sweep", "train", "zoo"]
HEAVY = ("torch", "art", "matplotlib", "sklearn", "scipy", "torchvision")


def heavy_after(code: str) -> list[str]:
    """Which of the heavy packages are imported once the code has run in a fresh interpreter."""
    done = python("-c", f"{code}\nimport sys\nprint(*[m for m in {HEAVY} if m in sys.modules])")
    assert done.status == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_lists_every_command_with_one_line(arguments):
    assert cli.COMMANDS == NAMES
    done = call(*arguments)
    assert (done.status, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    listed = dict(line.split(maxsplit=1) for line in lines if line.startswith("  "))
    rooms = {name: import_module(f"art_snn.app.{name}").__doc__ for name in NAMES}
    assert list(listed.items()) == list(rooms.items())
    assert len(set(rooms.values())) == len(NAMES)
    assert all(len(line) <= 110 for line in lines)


def test_what_needs_no_network_imports_neither_torch_nor_art():
    lines = [["--help"], ["--version"], ["dmo"], [], ["--print-completion", "bash"]]
    lines += [[name, option] for name in NAMES for option in ("--help", "--epss", "--output")]
    calls = "; ".join(f"run_command({line})" for line in lines)
    code = "import art_snn, art_snn.checks\ndir(art_snn)\nfrom art_snn.app.cli import run_command"
    assert heavy_after(f"{code}\n{calls}") == []


def test_names_are_reached_from_the_package_and_a_command_imports_no_room_but_its_own():
    code = """
import sys
from art_snn.app.cli import run_command
assert run_command(["compare", "--eps", "x"]) == 2
print(*[m.split(".")[2] for m in sys.modules if "art_snn.app." in m])
import art_snn
print(art_snn.gradients.__name__, art_snn.checkpoint.__name__, art_snn.metrics.__name__)
from art_snn import *
print(SpikingNetwork.__name__, RGA().gamma > 0, art_snn.GRADIENTS is art_snn.gradients.GRADIENTS)
"""
    done = python("-c", code)
    assert done.status == 0, done.stderr
    *_, rooms, modules, names = done.stdout.splitlines()
    assert set(rooms.split()) & set(NAMES) == {"compare"}
    assert modules == "art_snn.gradients art_snn.checkpoint art_snn.metrics"
    assert names == "SpikingNetwork True True"


def test_the_module_prints_the_version_and_leaves_with_the_status_of_the_command():
    version = Done(0, f"{art_snn.__version__}\n", "")
    assert call("--version") == python("-m", "art_snn", "--version") == version
    done = python("-m", "art_snn", "dmo")
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("art-snn: error: expected one of check, compare,")


@pytest.mark.parametrize("name", ["dmo", "Demo", "--verbose", "", "cli", "base"])
def test_an_unknown_command_is_a_usage_error_that_lists_the_known_ones(name):
    done = call(name)
    assert (done.status, done.stdout) == (2, "")
    assert f"expected one of {', '.join(NAMES)}, got {name!r}.\nart-snn --help" in done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_every_command_explains_its_options(name):
    done = call(name, "--help")
    assert (done.status, done.stderr) == (0, "")
    words = " ".join(done.stdout.replace("│", " ").split())
    assert f"usage: art-snn {name} " in words
    forms = (":class:", "RGA(", "0.0313", "(default", "architecture options", "True", "None]")
    assert not [form for form in forms if form in words]
    assert import_module(f"art_snn.app.{name}").__doc__.split(":")[0] in words
    # These run no network, and a list writes nothing.
    few = {"report": 1, "leaderboard": 1, "zoo": 0}
    for option in ("--output", "--threads", "--device")[: few.get(name)]:
        assert option in words


def test_the_described_options_are_those_of_the_settings():
    content = usage.FILE.read_text("utf-8")
    assert content == text_of(described()), "run python -m tests.describe_options"


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The completion for bash, in a folder with a file and a folder."""
    folder = tmp_path_factory.mktemp("bash")
    (folder / "weights.pt").touch()
    (folder / "results").mkdir()
    done = call("--print-completion", "bash")
    assert (done.status, done.stderr) == (0, "")
    (folder / "art-snn.bash").write_text(done.stdout)
    return folder / "art-snn.bash"


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        ("", NAMES),
        ("eval", ["evaluate"]),
        ("--v", ["--version"]),
        ("evaluate --pl", ["--plan"]),
        ("evaluate --plan ", ["standard", "fast", "ensemble-19"]),
        ("evaluate --norm s", ["shift"]),
        ("train --no-f", ["--no-flip"]),
        ("compare --attack pgd", ["pgd", "pgd-7"]),
        ("evaluate --seed 1 --checkpoint w", ["weights.pt"]),
        ("evaluate --root ", ["results"]),
        ("report w", ["weights.pt"]),
    ],
)
def test_bash_completes_commands_options_choices_and_files(typed, completions, script):
    # What bash does for the tabulator key.
    key = """source art-snn.bash; words=$(complete -p art-snn); words=${words#*-F }
    COMP_WORDS=(art-snn "$@"); COMP_CWORD=$#; ${words%% *} 2> /dev/null
    printf '%s\n' "${COMPREPLY[@]}"
    """
    line = ["bash", "-c", key, "bash", *typed.split(" ")]
    done = subprocess.run(line, cwd=script.parent, capture_output=True, text=True, check=True)
    assert done.stdout.split() == completions


@pytest.mark.parametrize("words", [(), ("cmd",)])
def test_completion_for_another_shell_is_refused(words):
    done = call("--print-completion", *words)
    assert (done.status, done.stdout) == (2, "")
    assert "--print-completion: expected one of bash, zsh, fish, got" in done.stderr
    assert all(call("--print-completion", shell).status == 0 for shell in ("zsh", "fish"))


LONG, NINES = "x" * 300, "9" * 5000
NUMBER, COUNT = (
    "expected a number such as 0.03 or 8/255, got",
    "expected a whole number such as 8, got",
)
PATH = "expected a path that can be looked up, got"
COMPLAINTS = [
    ("--eps_step", "x", f"{NUMBER} 'x'."),
    ("--eps-step", "x", f"{NUMBER} 'x'."),
    *(("--eps", text, f"{NUMBER} '{text}'.") for text in ("x", "8/")),
    ("--eps", "0", "expected a number above 0, got 0.0."),
    ("--eps_step", "-1", "expected a number above 0, got -1.0."),
    ("--batch_size", "0", "expected a whole number >= 1, got 0."),
    ("--batch-size", "0", "expected a whole number >= 1, got 0."),
    ("--batch_size", None, "expected a value, got none. One that starts with a"),
    ("--samples", "1_000", f"{COUNT} '1_000'."),
    ("--samples", "٣", f"{COUNT} '٣'."),
    ("--output", "a\0b", f"{PATH} 'a\\x00b' ("),
    ("--checkpoint", LONG, f"{PATH} 'xxxx"),
    ("--root", LONG, f"{PATH} 'xxxx"),
    ("--rules", f"rga-{NINES}-steps", "expected a rule of at most 80"),
    ("--seed", str(10**20), "expected a whole number from 0 to 4294967295, got 1"),
    ("--attack", "cw", "expected one of "),
    ("--image_size", "16", "expected None for digits, whose images have"),
]


@pytest.mark.parametrize(("flag", "value", "start"), COMPLAINTS)
def test_a_complaint_names_the_flag_as_it_was_typed(flag, value, start, tmp_path):
    forms = [(flag,)] if value is None else [(f"{flag}={value}",), (flag, value)]
    for form in forms[: 1 if str(value).startswith("-") else None]:
        done = call("compare", "--output", str(tmp_path / "out"), *form)
        assert (done.status, done.stdout) == (2, "")
        first, second = done.stderr.splitlines()
        assert first.startswith(f"art-snn compare: error: {flag}: {start}")
        assert second == "art-snn compare --help shows the usage."
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("--epss 3", "--epss: expected an option of art-snn compare, got '--epss'. Did you mean"),
        (
            "--batch_sise=3",
            "--batch_sise: expected an option of art-snn compare, got '--batch_sise'.",
        ),
        ("--peers", "got '--peers'. It is one of art-snn cost."),
        (
            "stray",
            "stray: expected an option of art-snn compare, got 'stray'. art-snn compare --help",
        ),
        ("--eps", "--eps: expected a value, got none. One that starts with a dash is written"),
        ("--eps --samples 3", "--eps: expected a value, got none. One that starts with a dash"),
    ],
)
def test_options_that_there_are_not_are_usage_errors(typed, complaint, tmp_path):
    done = call("compare", "--output", str(tmp_path / "out"), *typed.split())
    assert (done.status, done.stdout) == (2, "")
    assert complaint in done.stderr
    assert done.stderr.endswith("art-snn compare --help shows the usage.\n")


@pytest.mark.parametrize(
    ("command", "typed", "remedy"),
    [
        ("evaluate", "--certify=true", "--certify turns it on,"),
        ("evaluate", "--strict yes", "--strict turns it on,"),
        ("train", "--no-flip=1", "--flip turns it on, --no-flip"),
        ("evaluate", "--save_adversarials 1", "--save-"),
    ],
)
def test_a_value_behind_a_flag_that_takes_none_is_refused_by_the_flag(command, typed, remedy):
    done = call(command, *typed.split())
    assert (done.status, done.stdout) == (2, "")
    flag, value = typed.replace("=", " ").split()
    assert f" error: {flag}: expected no value, got {value!r}. {remedy}" in done.stderr


def test_a_result_that_something_removes_meanwhile_is_no_refused_argument(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    failing(monkeypatch, FileNotFoundError(2, "No such file", "out/blocks/attack-0-0.json"))
    done = call("compare", "--output", "out")
    assert (done.status, done.stdout) == (74, "")
    gone = "out/blocks/attack-0-0.json is gone: something removed it."
    assert done.stderr == f"\nart-snn compare: error: {gone}\n"
    failing(monkeypatch, FileNotFoundError(2, "No such file", "elsewhere/a.json"))
    assert call("compare", "--output", "out").status == 2


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> None:
    """A comparison that fails as soon as it is run, or has nothing to tell."""

    def run(_: object) -> Any:
        if error is not None:
            raise error
        return SimpleNamespace(files=["a.json"], render=lambda: "nothing")

    monkeypatch.setattr(import_module("art_snn.app.compare"), "run", run)


ALIKE = ModuleNotFoundError, PermissionError  # Of the kinds of what is missing.


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, TypeError, KeyError, *ALIKE])
@pytest.mark.parametrize("text", ["a bug", "eps: expected no bug, got one."])
def test_errors_that_are_bugs_keep_their_traceback(kind, text, monkeypatch):
    error = kind(text)
    failing(monkeypatch, error)
    with pytest.raises(kind) as caught:
        call("compare")
    assert caught.value is error


FULL = WriteFailed(Path("out", "a.json"), OSError(28, "No space left on device"))
ENDS = [
    (KeyboardInterrupt(), 130, "stopped by Ctrl-C."),
    (Terminated(), 143, "stopped by SIGTERM."),
    (FULL, 74, "error: out/a.json could not be written (No space left on device)."),
]


@pytest.mark.parametrize(("error", "status", "words"), ENDS, ids=repr)
def test_what_ends_a_command_is_told_in_a_line_with_where_its_results_lie(
    error, status, words, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    failing(monkeypatch, error)

    def ended() -> str:
        done = call("compare", "--output", "out")
        assert (done.status, done.stdout, len(done.stderr.splitlines())) == (status, "", 2)
        assert done.stderr.startswith(f"\nart-snn compare: {words}")
        return done.stderr

    assert "so far" not in ended()
    # In empty folders nothing lies.
    (tmp_path / "out" / "decay-1").mkdir(parents=True)
    assert "so far" not in ended()
    (tmp_path / "out" / "decay-1" / "training.pt").touch()
    assert "Results so far are in out; the same command continues." in ended()


@pytest.mark.parametrize("words", [["compare"], ["compare", "--help"], ["--version"]])
def test_a_command_whose_output_nobody_reads_ends_without_a_traceback(words, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    failing(monkeypatch, None)
    monkeypatch.setattr(cli, "sys", SimpleNamespace(stdout=Closed(), stderr=sys.stderr))
    done = call(*words)
    assert (done.status, done.stderr) == (74, "")


@pytest.mark.parametrize(
    ("error", "flag"),
    [
        (ArgumentError("eps", "expected more."), "--eps: "),
        (ArgumentError("batch_size", "expected more."), "--batch-size: "),
        (ArgumentError("path", "expected another."), "--checkpoint: "),
        (ArgumentError("resume", "expected another."), "--output: "),
        (ArgumentError("x_train", "expected others."), "--data: "),
        (ArgumentError("gradient", "expected another."), "--rules: "),
        (ArgumentError("kernel", "expected another."), "kernel: "),
        (MissingFile("path", "there is none."), "--checkpoint: "),
        (MissingPackage("data", "install it."), "--data: "),
        (FileNotFoundError("no such file"), ""),
    ],
    ids=repr,
)
def test_refused_arguments_and_missing_files_are_usage_errors(error, flag, monkeypatch):
    failing(monkeypatch, error)
    done = call("compare")
    assert (done.status, done.stdout) == (2, "")
    words = f"{flag}{getattr(error, 'complaint', error)}"
    expected = f"art-snn compare: error: {words}\nart-snn compare --help shows the usage.\n"
    assert done.stderr == expected


@pytest.mark.parametrize(
    ("typed", "start"),
    [
        ("compare --data none.npz", "expected a .npz file, but none.npz does"),
        ("compare --checkpoint none.pt", "expected a checkpoint file, but"),
        ("compare --model none.py:build", "expected file.py:function or"),
        ("sweep --data none.npz", "expected a .npz file, but none.npz does"),
        ("train --data none.npz", "expected a .npz file, but none.npz does"),
        ("demo --model none.py:build", "expected file.py:function or"),
    ],
)
def test_files_that_are_not_there_are_usage_errors(typed, start, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call(*typed.split())
    assert (done.status, done.stdout) == (2, "")
    command, flag, _ = typed.split()
    assert done.stderr.startswith(f"art-snn {command}: error: {flag}: {start}")
    assert list(tmp_path.iterdir()) == []


def test_every_public_name_can_be_imported_and_no_other():
    for name in art_snn.__all__:
        assert getattr(art_snn, name) is not None
        assert name in dir(art_snn)
    for name in ("nothing", "_nothing", "__wrapped__", "Lif"):
        with pytest.raises(AttributeError, match=rf"^module 'art_snn' has no attribute '{name}'$"):
            getattr(art_snn, name)
        assert not hasattr(art_snn, name)
