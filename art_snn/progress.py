"""Progress of work, and stopping it by Ctrl-C or SIGTERM.

A terminal shows a bar; elsewhere there is one line per step of work. A command that is stopped
leaves quietly, with its signal's exit status."""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any, TypeVar

from tqdm.auto import tqdm

Thing = TypeVar("Thing")

_LOGGER = logging.getLogger("art_snn")
_LOGGER.addHandler(logging.NullHandler())
SILENT: ContextVar[bool] = ContextVar("silent", default=False)
"""Whether nothing is shown, for `--quiet` and in processes that do not lead."""
INTERRUPTED, TERMINATED = 130, 143
"""Exit status after Ctrl-C, and after SIGTERM."""

_FORM = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
_LONGEST = 28
"""Letters of a description, which leave room for a bar on a terminal of 80 columns."""
_SIGNALS = {signal.SIGINT: INTERRUPTED, signal.SIGTERM: TERMINATED}


class Progress:
    """The progress of one piece of work, within a `with` block.

    On a terminal and in a notebook it is a bar. Elsewhere one line follows at the end.

    :param words: what is done, in a few words.
    :param total: number of steps, of which `done` were done before.
    :param unit: a step, in the plural.
    :param verbose: whether anything is shown.
    :param leave: whether the bar stays when the work is done.
    :param summary: whether there is a line at the end."""

    def __init__(
        self,
        words: str,
        total: int,
        *,
        done: int = 0,
        unit: str = "",
        verbose: bool = True,
        leave: bool = True,
        summary: bool = True,
    ) -> None:
        self.words, self.total, self.done, self.unit = words, total, done, unit
        self.verbose, self.summary = verbose, summary
        self.began = self.last = time.monotonic()
        self.bar: Any = None
        if verbose and not SILENT.get() and _shows_bars():
            form = {"bar_format": _FORM, "dynamic_ncols": True, "smoothing": 0.05}
            form |= {"unit_scale": total >= 100_000, "miniters": 0, "leave": leave}
            self.bar = tqdm(total=total, initial=done, desc=_short(words), **form)

    def update(self, steps: int = 1) -> None:
        """Go on by so many steps; 0 only lets the bar be drawn again."""
        self.done += steps
        if self.bar is not None:
            self.bar.update(steps)

    def describe(self, words: str) -> None:
        """Show other words before the bar."""
        if self.bar is not None:
            self.bar.set_description_str(_short(words), refresh=False)

    def note(self, words: str) -> None:
        """Show words after the bar."""
        if self.bar is not None:
            self.bar.set_postfix_str(words, refresh=False)

    def step(self, words: str) -> None:
        """Say what a step achieved, which took the time since the last one."""
        last, self.last = self.last, time.monotonic()
        self._say(f"{self.words}: {words}", last)

    def _say(self, words: str, since: float) -> None:
        took = duration(time.monotonic() - since)
        log_line(f"{words}, {took}", verbose=self.verbose, shown=self.bar is not None)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
        if kind is None and self.summary:
            self._say(f"{self.words}: {self.done} {self.unit}".rstrip(), self.began)


def progress_over(things: Collection[Thing], words: str, **options: Any) -> Iterator[Thing]:
    """The things one after the other, each of which is a step of :class:`Progress`.

    :param options: of :class:`Progress`."""
    with Progress(words, len(things), **options) as progress:
        for thing in things:
            yield thing
            progress.update()


def log_line(words: str, *, verbose: bool = True, shown: bool = False) -> None:
    """Log a line for the program, on stderr where no program listens to the logger "art_snn".

    :param verbose: with False it is a detail, for a program alone.
    :param shown: whether a bar has shown it."""
    if _LOGGER.isEnabledFor(logging.INFO):
        level = logging.INFO if verbose else logging.DEBUG
        _LOGGER.log(level, words, extra={"shown": shown})
    elif verbose and not shown:
        _write_line(words)


def _write_line(words: str) -> None:
    """Write a line to stderr, above the bars; nothing where all is silent."""
    if sys.stderr is not None and not SILENT.get():
        tqdm.write(words, file=sys.stderr)


class _LineHandler(logging.Handler):
    """Writes to stderr what is logged, but for what a bar has shown."""

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "shown", False):
            _write_line(record.getMessage())


@contextmanager
def lines_written() -> Iterator[None]:
    """Within the block all lines are written to stderr, as commands do."""
    handler, level = _LineHandler(logging.INFO), _LOGGER.level
    _LOGGER.addHandler(handler)
    _LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.setLevel(level)


@contextmanager
def silenced(silent: bool) -> Iterator[None]:
    """Within the block nothing is shown where that is asked for."""
    before = SILENT.set(silent or SILENT.get())
    try:
        yield
    finally:
        SILENT.reset(before)


def _shows_bars() -> bool:
    """Whether stderr is a terminal or a notebook."""
    stream = sys.stderr
    if stream is None:
        return False
    return stream.isatty() or type(stream).__module__.startswith("ipykernel")


def duration(seconds: float) -> str:
    """A time in one or two units: 12 s, 1 min 23 s, 3 h 5 min."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if whole < 60:
        return f"{whole} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _short(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[: _LONGEST - 3]}..."


class Terminated(KeyboardInterrupt):
    """SIGTERM came: it unwinds as Ctrl-C does."""


def leave_at_once() -> None:
    """Let signals end the process silently while libraries are imported, which would hide them."""
    for number, status in _SIGNALS.items():
        signal.signal(number, lambda *_, status=status: os._exit(status))


@contextmanager
def stoppable() -> Iterator[None]:
    """Within the block signals raise KeyboardInterrupt, so that everything is put away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raising = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _terminate}
    before = {number: signal.signal(number, handler) for number, handler in raising.items()}
    try:
        with _raised_again():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _raised_again() -> Iterator[None]:
    """Within the block Python drops no signal that comes while a destructor runs."""
    hook, timers = sys.unraisablehook, list[threading.Timer]()

    def repeat(dropped: Any) -> None:
        if not isinstance(dropped.exc_value, KeyboardInterrupt):
            hook(dropped)
            return
        number = signal.SIGTERM if isinstance(dropped.exc_value, Terminated) else signal.SIGINT
        timers.append(threading.Timer(0.01, signal.raise_signal, [number]))
        timers[-1].start()

    sys.unraisablehook = repeat
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for timer in timers:
            timer.cancel()


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated
