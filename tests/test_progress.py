"""Progress as a bar or as lines."""

import importlib
import sys
import warnings
from contextlib import redirect_stderr

import pytest

import art_snn
from art_snn.app.results import working
from art_snn.app.settings import Cost
from art_snn.passes import within
from art_snn.progress import SILENT, Progress, duration, progress_over
from tests.terminal import Terminal


def work(**options):
    return list(progress_over(range(3), "Counting", unit="sheep", **options))


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


def test_or_the_lines_that_are_written(capsys):
    with Progress("Counting", 3, summary=False) as progress:
        progress.write("Half of them.")
    assert capsys.readouterr().err == "Half of them.\n"


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
    with within(SILENT, True), Progress("Counting", 3) as progress:
        progress.write("A line.")
    assert (stream.getvalue() if looks else capsys.readouterr().err) == ""


def test_an_experiment_is_quiet_where_that_is_asked_for(tmp_path, capsys):
    for quiet in (True, False):
        with working(Cost(output=tmp_path, quiet=quiet)):
            work()
    assert capsys.readouterr().err == "Counting: 3 sheep, 0 s\n"


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
