"""What work shows while it lasts: a bar on a terminal, otherwise one line per step of work."""

import logging
import re
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from contextvars import ContextVar
from typing import Any, TypeVar

from tqdm.auto import tqdm

from art_snn.passes import within

Thing = TypeVar("Thing")

LOGGER = logging.getLogger("art_snn")
LOGGER.addHandler(logging.NullHandler())
SILENT: ContextVar[bool] = ContextVar("silent", default=False)
"""Whether nothing is shown, for `--quiet` and in processes that do not lead."""
FORM = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
LONGEST = 28
"""Letters of a description, which leave room for a bar on a terminal of 80 columns."""
BAR = re.compile(r"\r.*|\n+|(\x1b\[A)+", re.DOTALL)
"""What tqdm writes: a bar, and moves down and up to the place of another one."""


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
        if verbose and not SILENT.get() and shows_bars():
            form = {"bar_format": FORM, "dynamic_ncols": True, "smoothing": 0.05}
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
        """Show words behind the bar."""
        if self.bar is not None:
            self.bar.set_postfix_str(words, refresh=False)

    def step(self, words: str) -> None:
        """Say what a step achieved, which took the time since the last one."""
        last, self.last = self.last, time.monotonic()
        self._say(f"{self.words}: {words}", last)

    def _say(self, words: str, since: float) -> None:
        took = duration(time.monotonic() - since)
        say(f"{words}, {took}", verbose=self.verbose, shown=self.bar is not None)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
        if kind is None and self.summary:
            self._say(f"{self.words}: {self.done} {self.unit}".rstrip(), self.began)


def over(
    things: Collection[Thing],
    words: str,
    *,
    each: Callable[[Thing], str] | None = None,
    **options: Any,
) -> Iterator[Thing]:
    """The things one after the other, each of which is a step of :class:`Progress`.

    :param each: a line about one, for where there is no bar.
    :param options: of :class:`Progress`."""
    with Progress(words, len(things), summary=each is None, **options) as progress:
        for thing in things:
            yield thing
            progress.update()
            if each is not None:
                progress.step(each(thing))


def say(words: str, *, verbose: bool = True, shown: bool = False) -> None:
    """Log a line for the program, on stderr where no program listens to the logger "art_snn".

    :param verbose: with False it is a detail, for a program alone.
    :param shown: whether a bar has shown it."""
    if LOGGER.isEnabledFor(logging.INFO):
        level = logging.INFO if verbose else logging.DEBUG
        LOGGER.log(level, words, extra={"shown": shown})
    elif verbose and not shown:
        write_line(words)


def write_line(words: str) -> None:
    """Write a line to stderr, above the bars; nothing where all is silent."""
    if sys.stderr is not None and not SILENT.get():
        tqdm.write(words, file=sys.stderr)


class Lines(logging.Handler):
    """Writes to stderr what is logged, but for what a bar has shown."""

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "shown", False):
            write_line(record.getMessage())


@contextmanager
def lines_written() -> Iterator[None]:
    """Within the block all lines are written to stderr, as commands do."""
    handler, level = Lines(logging.INFO), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


class _WithoutBars:
    """A stream that takes all but the bars of tqdm, and empty lines."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.in_line = stream, False

    def write(self, text: str) -> int:
        ends_line = self.in_line and text.startswith("\n")
        if not text or (BAR.fullmatch(text) and not ends_line):
            return len(text)
        self.in_line = not text.endswith("\n")
        return self.stream.write(text)  # type: ignore[no-any-return]

    def isatty(self) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def silenced(silent: bool) -> Iterator[None]:
    """Within the block nothing is shown where that is asked for.

    Bars of other libraries are shown only where ours are: they ignore whether there is a terminal.
    """
    with within(SILENT, silent or SILENT.get()), ExitStack() as stack:
        if sys.stderr is not None and (SILENT.get() or not shows_bars()):
            stack.enter_context(redirect_stderr(_WithoutBars(sys.stderr)))
        yield


def shows_bars() -> bool:
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
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 3]}..."
