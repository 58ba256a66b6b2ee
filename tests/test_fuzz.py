"""Calls drawn at random end well, or with a message that says what was expected and what came."""

import random
import re
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from art_snn.app import cost
from art_snn.app.settings import Compare, Cost, Inspect, Train
from tests.command import call
from tests.datasets import images
from tests.own import own

COUNT, CHUNK = 150, 15
ENDINGS = {0, 2, 74, 130, 143}
"""Done, refused, a file that cannot be written, interrupted, terminated."""
FORMS = re.compile(
    r"error: (-\S+|\w+): (expected .*, (got|but) |.* needs |install )"
    r"|Error parsing \S+: (expected .*, got |no type matching)"
    r"|Missing value for argument|invalid choice|Unrecognized options|Unrecognized arguments"
)
DATA, SMALL = ("--data", "images.npz"), ("--threads", "1", "--device", "cpu")
OWN = ("--model", "mine.py:build")
TRAIN = (*DATA, "--epochs", "1", "--validation", "0.4")
ATTACK = ("--attack", "pgd(max_iter=1)", "--batch-size", "4", "--samples", "2", "--repeats", "1")
BASES: tuple[tuple[str, ...], ...] = (
    ("train", *TRAIN, "--width", ".05", "--steps", "2"),
    ("train", *TRAIN, *OWN, "--attack", "fgsm", "--defence", "trades"),
    ("compare", *DATA, *OWN, *ATTACK, "--rules", "rga"),
    ("cost", *OWN, "--batch-size", "2", "--repeats", "1", "--rules", "rga"),
    ("cost", "--training-step", *OWN, "--batch-size", "2", "--repeats", "1"),
    ("inspect", *OWN, "--batch-size", "2", "--rules", "rga,native"),
)
"""Calls of commands that end well and soon."""
SETTINGS = {"train": Train, "compare": Compare, "cost": Cost, "inspect": Inspect}
STRAY = ("--nothing", "--epss", "stray", "---eps", "--no-such=1", "--eps")
VALUES = (
    *("0", "-1", "1", "2", "0.5", "1/2", "8/255", "1e308", "1e-320", "1e39", "nan", "inf", "-inf"),
    *("1/0", "1/2/3", "1e", "0x10", "1_000", "٣", "½", "1 000", str(10**20), str(2**63)),
    "9" * 5000,
    *("", " ", ",", ",,", "1,,2", "1,nan", "1,1", "'", '"', "None", "True", "false", "-", "--"),
    *("x" * 5000, "x " * 5000, "a\0b", "\udcff", "ünïcødé", "\n", "none.pt", "none.py:f", "."),
    *("odd.txt", "odd.txt/inside", "empty.pt", "mine.py:number", "mine.py:needy", "mine.py:", ":f"),
    *("no.such.module:f", "os:sep", "a\0b.py:f", "x" * 5000 + ".py:f", "zoo:", "zoo:nope"),
    *("rga", "hart,assg", "cba", "eot(rga)", "nope", "rga(beta=1)", "rga(beta=", "rga(gamma=1)"),
    *("eot(" * 2000, "mean(rga, stbp)", f"extended(rga, steps={'9' * 5000})", "pgd()", "pgd(a=b)"),
    *("pgd(max_iter=0)", "SquareAttack(max_iter=1)", "trades(beta=0)", "ibp", "at", "hard", "cpu"),
)


@pytest.fixture(autouse=True)
def _files(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that the calls name, in the present folder; nothing is measured elsewhere."""
    images(here / "images.npz")
    own(here, classes=3)
    for name, text in {"odd.txt": "odd", "empty.pt": ""}.items():
        (here / name).write_text(text)
    monkeypatch.setattr(cost, "measure_row_peak", lambda load, row: 2**20)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)


def command_line(draw: random.Random) -> tuple[str, ...]:
    """A call of a command with one or two options that are given odd values."""
    name, *given = draw.choice(BASES)
    words = [name, *given, *SMALL, "--output", f"out-{draw.random()}"]
    options = [f.name for f in fields(SETTINGS[name]) if f.name not in ("quiet", "download")]
    for _ in range(draw.choice((1, 1, 1, 2))):
        flag = f"--{draw.choice(options).replace('_', draw.choice('-_'))}"
        value = draw.choice(VALUES)
        words += draw.choice(([flag, value], [f"{flag}={value}"], [flag, value]))
    if draw.random() < 0.1:
        words.append(draw.choice(STRAY))
    return tuple(words)


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, COUNT, CHUNK))
@pytest.mark.filterwarnings("ignore")
def test_no_call_ends_in_a_traceback_or_without_saying_what_came(start):
    for number in range(start, start + CHUNK):
        line = command_line(random.Random(number))
        done = call(*line)
        words = [word if len(word) < 80 else f"{word[:60]}... ({len(word)})" for word in line]
        assert done.status in ENDINGS, words
        if done.status == 2:
            assert FORMS.search(done.complaint), (words, done.complaint[:1000])
            assert len(done.stderr) < 4000
