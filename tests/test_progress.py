"""A bar where people look, one line per step where nobody does, and nothing where all is quiet."""

import importlib
import logging
import sys
import warnings
from contextlib import redirect_stderr

import pytest
from tqdm.auto import tqdm

import art_snn
from art_snn.app.results import working
from art_snn.app.settings import Cost
from art_snn.progress import (
    SILENT,
    Progress,
    duration,
    lines_written,
    over,
    say,
    shows_bars,
    silenced,
)
from tests.terminal import Terminal


def work(**options):
    return list(over(range(3), "Counting", unit="sheep", **options))


def test_a_terminal_shows_a_bar_and_no_line():
    with redirect_stderr(Terminal()) as terminal:
        assert work() == [0, 1, 2]
    shown = terminal.getvalue()
    assert "Counting: 100%|" in shown
    assert "| 3/3 [00:00<00:00]" in shown
    assert "sheep" not in shown


def test_elsewhere_there_is_one_line_of_the_whole_work(capsys):
    work()
    assert capsys.readouterr().err == "Counting: 3 sheep, 0 s\n"


def test_or_one_line_of_each_step(capsys):
    work(each="number {}".format)
    assert capsys.readouterr().err == "".join(f"Counting: number {n}, 0 s\n" for n in range(3))


def test_work_that_fails_says_nothing_more(capsys):
    with pytest.raises(ZeroDivisionError), Progress("Counting", 3):
        _ = 1 / 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("looks", [False, True])
def test_quiet_work_shows_nothing(looks, capsys, monkeypatch):
    if looks:
        monkeypatch.setattr(sys, "stderr", Terminal())
    stream = sys.stderr
    work(verbose=False)
    with silenced(True):
        work()
        say("A line.")
        for _ in tqdm(range(3)):
            pass
    assert (stream.getvalue() if looks else capsys.readouterr().err) == ""
    assert not SILENT.get()


@pytest.mark.parametrize("leave", [False, True])
def test_bars_of_other_libraries_are_left_out_where_there_is_no_terminal(leave, capsys):
    with silenced(False):
        for _ in tqdm(range(2), mininterval=0):
            for _ in tqdm(range(2), mininterval=0, leave=leave):
                sys.stderr.write("kept")
                sys.stderr.write("\n")  # As print does.
        say("and this")
    assert capsys.readouterr().err == "kept\n" * 4 + "and this\n"


def test_a_program_that_listens_gets_lines_instead_of_stderr(caplog, capsys):
    with caplog.at_level(logging.DEBUG, "art_snn"):
        work()
        work(verbose=False)
    words = [(record.levelname, record.getMessage()) for record in caplog.records]
    line = "Counting: 3 sheep, 0 s"
    assert words == [("INFO", line), ("DEBUG", line)]
    assert capsys.readouterr().err == ""


def test_a_command_writes_what_no_bar_has_shown(capsys):
    with lines_written():
        say("A line.")
        say("A detail.", verbose=False)
        say("As a bar showed.", shown=True)
    assert capsys.readouterr().err == "A line.\n"
    assert not logging.getLogger("art_snn").isEnabledFor(logging.INFO)


def test_an_experiment_is_quiet_where_that_is_asked_for(tmp_path, capsys):
    for quiet in (True, False):
        with working(Cost(output=tmp_path, quiet=quiet)):
            work()
    assert capsys.readouterr().err == "Counting: 3 sheep, 0 s\n"


def test_without_stderr_nothing_is_shown(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert not shows_bars()
    with silenced(False):
        assert work() == [0, 1, 2]


def test_a_notebook_without_ipywidgets_is_not_warned():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(art_snn)
        warnings.warn("IProgress not found. Please update jupyter and ipywidgets.", stacklevel=1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.6, "1 min 0 s"), (83, "1 min 23 s"), (3 * 3600 + 310, "3 h 5 min")],
)
def test_times_are_told_in_two_units(seconds, words):
    assert duration(seconds) == words
