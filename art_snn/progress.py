"""Progress of work: a bar on a terminal and in a notebook, elsewhere a line now and then."""

import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from tqdm.auto import tqdm

_Thing = TypeVar("_Thing")

SILENT = ContextVar("silent", default=False)
"""True where nothing is shown: in quiet commands, and in processes that do not lead."""

EVERY = 30.0
"""Seconds after which work says where it stands, where there is no bar."""
_FORM = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"
_LONGEST = 28
"""Letters of a description, which leave room for a bar on a terminal of 80 columns."""
_RUNNING: "list[Progress]" = []
_ENDED: list[threading.Event] = []
_TELLING = threading.Lock()
"""All work, the outermost first; the end of all that tells of itself; held while a line
is written, so that none follows the end of its work."""


class Progress:
    """The progress of one piece of work, within a `with` block.

    On a terminal and in a notebook it is a bar. Elsewhere one line follows at the end,
    and every 30 seconds one says how far it is, and how far the innermost work within it.

    :param words: what is done, in a few words.
    :param total: number of steps, of which `done` were done before.
    :param unit: a step, in the plural.
    :param verbose: True if anything is shown.
    :param even: True if steps take equally long, so that the bar tells how long the rest takes.
    :param leave: True if the bar stays when the work is done.
    :param summary: True for a line at the end."""

    def __init__(
        self,
        words: str,
        total: int,
        *,
        done: int = 0,
        unit: str = "",
        verbose: bool = True,
        even: bool = True,
        leave: bool = True,
        summary: bool = True,
    ) -> None:
        self.words = words
        self.total = total
        self.done = done
        self.unit = unit
        self.summary = summary
        self.description = ""
        self.remark = ""
        self.began = time.monotonic()
        self.shows = verbose and not SILENT.get()

        notebook = type(sys.stderr).__module__.startswith("ipykernel")
        self.bar: Any = tqdm(
            total=total,
            initial=done,
            desc=words[:_LONGEST],
            bar_format=_FORM.replace("{elapsed}", "{elapsed}<{remaining}")
            if even
            else _FORM,
            dynamic_ncols=True,
            miniters=0,
            leave=leave,
            disable=not (self.shows and (notebook or sys.stderr.isatty())),
        )
        self.tells = self.shows and self.bar.disable

    def update(self, steps: int = 1) -> None:
        """Go on by so many steps; 0 only lets the bar be drawn again."""
        self.done += steps
        self.bar.update(steps)

    def describe(self, words: str) -> None:
        """Show other words before the bar, or in lines after those of the work."""
        self.description = words
        self.bar.set_description_str(words[:_LONGEST], refresh=False)

    def note(self, words: str) -> None:
        """Show words after the bar, or at the end of lines."""
        self.remark = words
        self.bar.set_postfix_str(words, refresh=False)

    def write(self, line: str) -> None:
        """Write a line to stderr, above the bar."""
        if self.shows:
            tqdm.write(line, file=sys.stderr)

    def __enter__(self) -> "Progress":
        with _TELLING:
            _RUNNING.append(self)
            if self.tells and sum(one.tells for one in _RUNNING) == 1:
                _ENDED[:] = [threading.Event()]
                threading.Thread(target=_tell, args=_ENDED, daemon=True).start()
        return self

    def __str__(self) -> str:
        words = filter(None, (self.words, self.description))
        steps = f"{self.done}/{self.total} {self.unit}".rstrip()
        state = filter(
            None, (steps, duration(time.monotonic() - self.began), self.remark)
        )
        return f"{', '.join(words)}: {', '.join(state)}"

    def __exit__(self, kind: Any, *_: Any) -> None:
        _RUNNING.remove(self)
        with _TELLING:  # It also waits for the end of a line.
            if self.tells and not any(one.tells for one in _RUNNING):
                _ENDED[0].set()
        shown = not self.bar.disable
        self.bar.close()
        if kind is None and self.summary and not shown:
            took = duration(time.monotonic() - self.began)
            self.write(f"{self.words}: {f'{self.done} {self.unit}'.rstrip()}, {took}")


def _tell(ended: threading.Event) -> None:
    """Write in a thread how far the work is, whose steps may take minutes, until it has ended."""
    while not ended.wait(EVERY):
        with _TELLING, suppress(OSError, ValueError):  # Nobody may read it any more.
            outermost = [one for one in _RUNNING if one.tells][:1]
            if outermost and not ended.is_set():
                both = dict.fromkeys([*outermost, *_RUNNING[-1:]])
                outermost[0].write("; ".join(map(str, both)))


def progress_over(
    things: Collection[_Thing], words: str, **options: Any
) -> Iterator[_Thing]:
    """The things one after the other, each of which is a step of :class:`Progress`.

    :param options: of :class:`Progress`."""
    with Progress(words, len(things), **options) as progress:
        for thing in things:
            yield thing
            progress.update()


def duration(seconds: float) -> str:
    """A time in one or two units: 12 s, 1 min 23 s, 3 h 5 min."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if whole < 60:
        return f"{whole} s"
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
