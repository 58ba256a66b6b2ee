"""Calls drawn at random end well, or with a message that names flag, expectation and what came."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest

from tests.command import Done, call
from tests.fuzzing import command_lines, prepare

COUNT, CHUNK = 250, 25
CALLS = command_lines(COUNT, seed=0)
ENDINGS = {0, 2, 74, 130, 143}
"""Done, refused, a file that cannot be written, interrupted, terminated."""
REFUSED = re.compile(r"^art-snn \w+: error: (-[^ ]+): (expected .*, (got|but) .*)")


@pytest.fixture(scope="module", autouse=True)
def _files(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        prepare(tmp_path_factory.mktemp("fuzz"), patch)
        yield


@pytest.mark.parametrize("start", range(0, COUNT, CHUNK))
@pytest.mark.filterwarnings("ignore")
def test_no_call_ends_in_a_traceback_or_without_saying_what_came(start, monkeypatch):
    monkeypatch.chdir(Path.cwd())
    for line in CALLS[start : start + CHUNK]:
        done = call(*line)
        words = [word if len(word) < 80 else f"{word[:60]}... ({len(word)})" for word in line]
        assert done.status in ENDINGS, words
        if done.status == 2:
            assert explained(line, done), (words, done.complaint[:1000])


def explained(line: tuple[str, ...], done: Done) -> bool:
    """Whether the message has the form of all complaints, and names what was typed."""
    if len(done.stderr) > 3000 or done.stdout:
        return False
    if "expected an option of" in done.stderr:
        return any(f"got {word.partition('=')[0]!r}"[:40] in done.stderr for word in line[1:])
    found = REFUSED.match(done.complaint)
    if found is None:
        return False
    flag, complaint = found[1], found[2]
    typed = [value for name, value in pairs(line) if name == flag]
    if not typed:
        return "got none" in complaint
    counted = [f"got {len(typed)}"] if len(typed) > 1 else []
    return any(
        form in complaint for form in ("got none", "but there is no ", *counted, *forms(typed[-1]))
    )


def pairs(line: tuple[str, ...]) -> list[tuple[str, str]]:
    """The flags with their values, in the order of typing."""
    found = []
    for word, after in zip(line, (*line[1:], ""), strict=True):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            found.append((name, value if equals else after))
    return found


def forms(value: str) -> list[str]:
    """How a complaint may tell the value: as typed, its start, a part of it, or its number."""
    parts = [part.strip() for part in (*value.split(","), value.rpartition(":")[0])]
    found = [f"got {part!r}"[:30] for part in (value, *parts)]
    # A home is told by its place.
    told = (Path(value), Path(os.path.expanduser(value)))
    files = [file for path in told for file in (path, *path.parents)]
    found += [f"{one} {file}" for one in ("got", "but") for file in files]
    for part in parts:
        with suppress(ValueError, ZeroDivisionError):
            above, _, below = part.partition("/")
            number = float(above) / float(below or 1)
            found += [f"got {number!r}", f"got {number:g}"]
        with suppress(ValueError):
            found.append(f"got {int(part)}")
    return [one[:40] for one in found]
