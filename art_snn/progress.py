"""Progress of work: a bar on a terminal and in a notebook, elsewhere one line per piece of it."""

import sys
import time
from collections.abc import Collection, Iterator
from contextvars import ContextVar
from typing import Any, TypeVar

from tqdm.auto import tqdm

Thing = TypeVar("Thing")

SILENT: ContextVar[bool] = ContextVar("silent", default=False)
"""Whether nothing is shown, for `--quiet` and in processes that do not lead."""

_FORM = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
_LONGEST = 28
"""Letters of a description, which leave room for a bar on a terminal of 80 columns."""


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
        self.words, self.done, self.unit, self.summary = words, done, unit, summary
        self.began, self.shows = time.monotonic(), verbose and not SILENT.get()
        notebook = type(sys.stderr).__module__.startswith("ipykernel")
        form = {"bar_format": _FORM, "dynamic_ncols": True, "miniters": 0, "leave": leave}
        form["disable"] = not (self.shows and (notebook or sys.stderr.isatty()))
        self.bar: Any = tqdm(total=total, initial=done, desc=words[:_LONGEST], **form)

    def update(self, steps: int = 1) -> None:
        """Go on by so many steps; 0 only lets the bar be drawn again."""
        self.done += steps
        self.bar.update(steps)

    def describe(self, words: str) -> None:
        """Show other words before the bar."""
        self.bar.set_description_str(words[:_LONGEST], refresh=False)

    def note(self, words: str) -> None:
        """Show words after the bar."""
        self.bar.set_postfix_str(words, refresh=False)

    def write(self, line: str) -> None:
        """Write a line to stderr, above the bar."""
        if self.shows:
            tqdm.write(line, file=sys.stderr)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        shown = not self.bar.disable
        self.bar.close()
        if kind is None and self.summary and not shown:
            took = duration(time.monotonic() - self.began)
            self.write(f"{self.words}: {f'{self.done} {self.unit}'.rstrip()}, {took}")


def progress_over(things: Collection[Thing], words: str, **options: Any) -> Iterator[Thing]:
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
