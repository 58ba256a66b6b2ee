"""Progress as a bar or as lines."""

import io
import re
import sys
import threading
from contextlib import contextmanager, redirect_stderr

import pytest

from art_snn import progress as progress_module
from art_snn.app.results import run_folder
from art_snn.app.settings import Cost
from art_snn.progress import SILENT, Progress, duration, progress_over
from art_snn.running.context import set_in_block
from tests.command import python
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
    with set_in_block(SILENT, True), Progress("Counting", 3) as progress:
        progress.write("A line.")
    assert (stream.getvalue() if looks else capsys.readouterr().err) == ""


def test_an_experiment_is_quiet_where_that_is_asked_for(tmp_path, capsys):
    for quiet in (True, False):
        with run_folder(Cost(output=tmp_path, quiet=quiet)):
            work()
    assert capsys.readouterr().err == "Counting: 3 sheep, 0 s\n"


class Lines(io.StringIO):
    """A stderr that is no terminal, and whose lines can be waited for."""

    def __init__(self):
        super().__init__()
        self.more = threading.Event()

    def write(self, text):
        super().write(text)
        if text.endswith("\n"):
            self.more.set()

    def next(self):
        """The last line, after one more was written than there were."""
        self.more.clear()
        assert self.more.wait(60)
        return re.sub(r"\d+ s\b", "0 s", self.getvalue().splitlines()[-1])


def tellers() -> list[threading.Thread]:
    """Our own threads, which Python names by their function: libraries start some, too."""
    return [thread for thread in threading.enumerate() if "(_tell)" in thread.name]


@contextmanager
def telling():
    """A block in which work says every millisecond how far it is; the lines that it writes."""
    before = set(tellers())
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(Lines()) as stream:
        patch.setattr(progress_module, "EVERY", 0.001)
        yield stream
        told = stream.getvalue()
        for thread in set(tellers()) - before:
            thread.join(60)
            assert not thread.is_alive()
    assert stream.getvalue() == told


def test_work_that_calls_nothing_for_long_says_how_far_it_is():
    with telling() as lines, Progress("Counting", 3, unit="sheep", summary=False) as progress:
        progress.update()
        progress.describe("in the dark")
        progress.note("2 left")
        lines.next()  # It may have been begun before.
        assert lines.next() == "Counting, in the dark: 1/3 sheep, 0 s, 2 left"


@pytest.mark.parametrize("verbose", [False, True])
def test_one_line_tells_of_work_and_of_the_innermost_within_it_even_if_that_is_quiet(verbose):
    count = len(tellers())
    with telling() as lines, Progress("Farm", 2, summary=False), Progress("Herd", 4, verbose=False):
        with Progress("Counting", 3, verbose=verbose, summary=False):
            lines.next()
            assert lines.next() == "Farm: 0/2, 0 s; Counting: 0/3, 0 s"
            assert len(tellers()) == count + 1
        lines.next()
        assert lines.next() == "Farm: 0/2, 0 s; Herd: 0/4, 0 s"


def test_no_line_follows_work_that_has_failed_and_none_tells_of_quiet_work():
    with telling() as lines:
        with pytest.raises(ZeroDivisionError), Progress("Counting", 3):
            _ = lines.next(), 1 / 0
        told, threads = lines.getvalue(), {*tellers()}
        with Progress("Herd", 4, verbose=False), set_in_block(SILENT, True), Progress("Farm", 2):
            assert {*tellers()} <= threads
        assert lines.getvalue() == told


def test_a_notebook_without_ipywidgets_is_not_warned_and_no_filter_changes():
    code = """
import sys, types, warnings
kernel = types.SimpleNamespace(config={"IPKernelApp": 1})
sys.modules["IPython"] = types.SimpleNamespace(get_ipython=lambda: kernel)
sys.modules |= {"ipykernel.zmqshell": types, "ipywidgets": None}
before = list(warnings.filters)
"""
    checked = f"{code}import art_snn\nassert warnings.filters == before\nimport tqdm.auto"
    done = python("-c", checked)
    assert (done.status, done.stderr) == (0, "")
    assert "IProgress not found" in python("-c", f"{code}import tqdm.auto").stderr


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.6, "1 min 0 s"), (83, "1 min 23 s"), (3 * 3600 + 310, "3 h 5 min")],
)
def test_times_are_told_in_two_units(seconds, words):
    assert duration(seconds) == words
