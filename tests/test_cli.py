"""The command line as a whole: what it lists, what it imports, and how it refuses."""

import io
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import art_snn
from art_snn.app import cli
from art_snn.checks import ArgumentError, MissingFile, WriteFailed
from tests.command import Done, call, complain, python

NAMES = ["evaluate", "report", "train", "compare", "cost", "inspect", "zoo"]
HEAVY = ("torch", "art", "matplotlib", "sklearn", "scipy", "torchvision")
COMPARE = ("compare", "--model", "zoo:digits-plain")


def explain(*arguments: str) -> str:
    """The words of a help, without the frames that are drawn around them."""
    done = call(*arguments)
    assert (done.status, done.stderr) == (0, "")
    return " ".join(done.stdout.replace("│", " ").replace("|  ", " ").split())


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_lists_every_command_with_a_sentence(arguments):
    words = explain(*arguments)
    assert list(cli.COMMANDS) == NAMES
    for name in NAMES:
        sentence = cli._settings_class(name).__doc__.partition("\n\n")[0]
        assert f"• {name} {sentence}" in words


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_every_command_explains_its_options(name):
    words = explain(name, "--help")
    assert f"usage: art-snn {name} " in words
    assert [form for form in (":param", "None)", "0.0313", "STR") if form in words] == []
    if name != "zoo":
        assert "--output" in words


def test_rare_options_stand_at_the_end_of_help():
    for name in NAMES[:-1]:
        usual, _, rare = call(name, "--help").stdout.partition("rare options")
        flags = {*re.findall(r"^[│| ]+--([a-z][a-z-]+)", rare, re.MULTILINE)}
        assert {"value-range", "readout"} <= flags or name == "cost"
        assert not {"output", "model", "eps", "data", "samples"} & flags
        assert "--output" in usual
        assert {flag.replace("-", "_") for flag in flags} <= cli._RARE
    names = {field.name for name in NAMES for field in fields(cli._settings_class(name))}
    assert names >= cli._RARE


def test_what_needs_no_network_imports_neither_torch_nor_art():
    lines = [["--version"], *([name, option] for name in NAMES for option in ("--help", "--epss"))]
    lines += [["--help"], ["dmo"], []]
    called = "\n".join(f"try: run_command({line})\nexcept SystemExit: pass" for line in lines)
    code = f"import sys\nfrom art_snn.app.cli import run_command\n{called}\n"
    done = python("-c", f"{code}print(*[m for m in {HEAVY} if m in sys.modules])")
    assert done.status == 0, done.stderr
    assert done.stdout.splitlines()[-1] == ""


def test_the_module_prints_the_version_and_leaves_with_the_status_of_the_command():
    version = Done(0, f"{art_snn.__version__}\n", "")
    assert call("--version") == python("-m", "art_snn", "--version") == version
    done = python("-m", "art_snn", "dmo")
    assert (done.status, done.stdout) == (2, "")


@pytest.mark.parametrize("name", ["trian", "Train", "--verbose", "", "cli", "base"])
def test_an_unknown_command_is_a_usage_error_that_lists_the_known_ones(name):
    assert f"Available subcommands: {', '.join(NAMES)}" in complain(name)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_completes_commands_and_options(tmp_path):
    for shell in ("zsh", "bash"):
        done = call("--tyro-print-completion", shell)
        assert done.status == 0
    (tmp_path / "art-snn.bash").write_text(done.stdout)
    subprocess.run(["bash", "-n", "art-snn.bash"], cwd=tmp_path, check=True)
    assert all(word in done.stdout for word in (*NAMES, "--train-dtype", "bfloat16"))


NUMBER, COUNT = "expected a number such as 0.03 or 8/255, got", "expected a whole number such as 8"
COMPLAINTS = [
    ("--weight-decay=x", f"Error parsing --weight-decay: {NUMBER} 'x'."),
    ("--weight_decay 8/", f"Error parsing --weight-decay: {NUMBER} '8/'."),
    ("--batch_size 1_000", f"Error parsing --batch-size: {COUNT}, got '1_000'."),
    ("--batch-size ٣", f"Error parsing --batch-size: {COUNT}, got '٣'."),
    ("--value-range 1", "Error parsing --value-range: expected 2 numbers with commas between, got"),
    ("--batch-size", "Missing value for argument '--batch-size'"),
    ("--optimizer rmsprop", "invalid choice 'rmsprop' for argument '--optimizer'. Expected one of"),
    ("--epochz 3", "Perhaps you meant: --epochs INT"),
    ("stray", "Unrecognized options: stray"),
]


@pytest.mark.parametrize(("typed", "complaint"), COMPLAINTS)
def test_what_no_option_takes_is_refused_with_what_was_expected_and_what_came(typed, complaint):
    assert complaint in complain("train", *typed.split())


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> None:
    """A comparison that fails as soon as it is run, or has nothing to tell."""

    def run(_: object) -> Any:
        if error is not None:
            raise error
        return SimpleNamespace(files=["a.json"], render=lambda: "nothing")

    monkeypatch.setattr(import_module("art_snn.app.compare"), "run", run)


@pytest.mark.parametrize("kind", [RuntimeError, ValueError, KeyError, PermissionError])
def test_errors_that_are_bugs_keep_their_traceback(kind, monkeypatch):
    error = kind("eps: expected no bug, got one.")
    failing(monkeypatch, error)
    with pytest.raises(kind) as caught:
        call(*COMPARE)
    assert caught.value is error


FULL = WriteFailed(Path("out", "a.json"), OSError(28, "No space left on device"))
ENDS = [
    (KeyboardInterrupt(), 130, "stopped by Ctrl-C."),
    (FULL, 74, "error: out/a.json could not be written (No space left on device)."),
]


@pytest.mark.parametrize(("error", "status", "words"), ENDS, ids=repr)
def test_the_end_of_a_command_tells_where_results_are(error, status, words, monkeypatch, here):
    failing(monkeypatch, error)
    (here / "out").mkdir()
    done = call(*COMPARE, "--output", "out")
    assert (done.status, done.stdout) == (status, "")
    assert done.stderr.startswith(f"\nart-snn compare: {words}")
    assert "so far" not in done.stderr
    (here / "out" / "training.pt").touch()
    told = "Results so far are in out; the same command continues."
    assert told in call(*COMPARE, "--output", "out").stderr


@pytest.mark.parametrize("words", [COMPARE, ("--version",)])
def test_a_command_whose_output_nobody_reads_ends_without_a_traceback(words, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    failing(monkeypatch, None)
    monkeypatch.setattr(cli, "sys", SimpleNamespace(stdout=Closed(), stderr=sys.stderr))
    assert call(*words).status == 74


FLAGS = {"eps": "--eps", "batch_size": "--batch-size", "path": "--checkpoint", "kernel": "kernel"}
FLAGS |= {"resume": "--output", "x_train": "--data", "gradient": "--rules"}
REFUSING = [(ArgumentError(name, "expected more."), f"{flag}: ") for name, flag in FLAGS.items()]
REFUSING += [(MissingFile("path", "there is none."), "--checkpoint: ")]
REFUSING += [(FileNotFoundError("no such file"), "")]


@pytest.mark.parametrize(("error", "flag"), REFUSING, ids=repr)
def test_refused_arguments_and_missing_files_are_usage_errors(error, flag, monkeypatch):
    failing(monkeypatch, error)
    words = f"{flag}{getattr(error, 'complaint', error)}"
    # This file stands for code of the user, which raises the error.
    complaint = complain(*COMPARE)
    assert complaint.startswith(f"art-snn compare: error: {words} ({__file__}, line ")
    assert complaint.endswith(" art-snn compare --help shows the usage.")


@pytest.mark.parametrize(
    ("typed", "start"),
    [
        ("compare --model zoo:digits-plain --data none.npz", "expected a .npz file, but none.npz"),
        ("compare --checkpoint none.pt", "expected a checkpoint file, but"),
        ("compare --model none.py:build", "expected file.py:function or"),
        ("train --data none.npz", "expected a .npz file, but none.npz does"),
        ("compare --model zoo:digits-plain --batch-size 0", "expected a whole number >= 1, got 0."),
        ("compare --model zoo:digits-plain --batch_size 0", "expected a whole number >= 1, got 0."),
    ],
)
def test_a_refused_value_is_told_by_its_flag_as_it_was_typed(typed, start, here):
    command, *_, flag, _ = typed.split()
    complaint = complain(*typed.split())
    assert complaint.startswith(f"art-snn {command}: error: {flag}: {start}")
    assert complaint.endswith(f" art-snn {command} --help shows the usage.")
    assert list(here.iterdir()) == []


def test_every_public_name_can_be_imported_and_no_other():
    for name in art_snn.__all__:
        assert getattr(art_snn, name) is not None
        assert name in dir(art_snn)
    for name in ("nothing", "_nothing", "__wrapped__", "Lif"):
        with pytest.raises(AttributeError, match=rf"no attribute '{name}'$"):
            getattr(art_snn, name)
