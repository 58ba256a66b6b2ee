"""Command lines drawn at random: one small call per command, and options with odd values."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from art_snn.data import Dataset, digits
from art_snn.measuring import process
from tests import adapted
from tests.datasets import images
from tests.own import own

SMALL = ("--threads", "1", "--device", "cpu")
DATA = ("--data", "images.npz")
NETWORK = ("--width", ".05", "--steps", "2")
OWN = ("--model", "mine.py:build")
TRAIN = (*DATA, "--epochs", "1", "--validation", "0.4")
ATTACK = ("--iterations", "1", "--batch-size", "4", "--samples", "2")
BASES: tuple[tuple[str, ...], ...] = (
    ("demo", "--model", "big.py:build", "--epochs", "1", "--test-images", "2", "--eps", "0.1"),
    ("train", *TRAIN, *NETWORK),
    ("train", *TRAIN, *OWN),
    ("harden", *TRAIN, *NETWORK, "--iterations", "1", "--rule", "rga"),
    ("compare", *DATA, *NETWORK, "--epochs", "1", *ATTACK, "--repeats", "1", "--rules", "rga"),
    ("compare", *DATA, *OWN, *ATTACK, "--repeats", "1", "--rules", "rga"),
    ("sweep", *DATA, *NETWORK, "--epochs", "1", *ATTACK, "--field", "beta", "--values", "2"),
    ("sweep", *DATA, *OWN, *ATTACK, "--field", "beta", "--values", "2"),
    ("curves", *DATA, *NETWORK, "--epochs", "1", "--pairs", "8", "--layer", "0", "--decays", "1"),
    ("curves", *DATA, *OWN, "--pairs", "8", "--layer", "0"),
    ("cost", "--model", "vgg5", *NETWORK, "--batch-size", "2", "--image-size", "4", "--repeats=1"),
    ("cost", "--training", *OWN, "--batch-size", "2", "--repeats", "1"),
    (
        *("scaling", "--models", "vgg5", "--width", ".05", "--steps", "2", "--image-size", "4"),
        *("--samples", "2", "--batch-size", "2", "--iterations", "1", "--repeats", "1"),
    ),
    ("inspect", *OWN, "--batch-size", "2", "--rules", "rga,native"),
    ("inspect", *DATA, "--model", "bare.py:build", "--batch-size", "2", "--rules", "rga,native"),
    ("compare", *DATA, "--model", "bare.py:build", *ATTACK, "--repeats", "1", "--rules", "rga"),
)
"""Calls of every command that end well and soon."""

ALL = ("output", "threads", "device")
MODEL = "model width steps decay threshold reset encoder"
ATTACKING = "attack eps eps-step iterations attack-dtype"
TRAINED = f"{MODEL} checkpoint epochs train-dtype samples batch-size seed {ATTACKING}"
RECIPE = (
    "epochs batch-size optimizer learning-rate momentum weight-decay crop-padding flip cutout seed "
    "validation train-dtype"
)
OPTIONS = {
    "demo": "model seed epochs train-eps eps test-images attack-dtype",
    "train": f"{MODEL} {RECIPE}",
    "harden": f"{MODEL} {RECIPE} {ATTACKING} rule adversarial-share defence beta orthogonality "
    "sparsity method ramp bound-weight",
    "compare": f"{TRAINED} rules eot repeats",
    "sweep": f"{TRAINED} rule field values decays",
    "curves": f"{MODEL} checkpoint decays epochs layer pairs batch-size beta gamma seed "
    "train-dtype",
    "cost": f"{MODEL} rules batch-size channels image-size repeats keep-memory attack-dtype "
    "train-dtype",
    "scaling": "models steps rules width decay channels samples batch-size repeats image-size "
    f"{ATTACKING}",
    "inspect": f"{MODEL} checkpoint rules batch-size channels image-size",
}
"""What else may be given; options of data have tests of their own."""


def words(text: str) -> list[str]:
    return text.split()


VALUES = (
    *("0", "-1", "1", "2", "0.5", "-0.5", "1/2", "8/255", "1e-3", "2.0"),
    *("1e308", "-1e308", "1e-320", "1e-30", "1e300", "1e39", "1e19", "nan", "inf", "-inf"),
    *("1/0", "0/0", "1e308/1e-308", "1/2/3", "1/", "1e", "0x10", "1_000", "٣", "½", "1 000"),
    *(str(10**20), str(2**63), str(2**32), str(-(2**63)), "9" * 5000, "1" + "0" * 400),
    *("", " ", ",", ",,", "1,,2", "1,nan", "1,1", "0.5,x", "'", '"', "None", "True", "false"),
    *("x" * 5000, "x" * 300, "x " * 5000, "a\0b", "\0", "\udcff", "ünïcødé", "雪", "\n"),
    *words("- -- -x none.pt none.py:f . elsewhere odd.txt empty.pt odd.txt/inside odd.json"),
    *words("mine.py:build mine.py:number mine.py:nothing mine.py:words mine.py:needy"),
    *words("~nobody/mine.py:f mine.py: : :f .:f .py:f"),
    *("no.such.module:f", "os:sep", "a\0b.py:f", "x" * 5000 + ".py:f", "x" * 5000 + ":f"),
    *("rga", "hart,assg", "cba", "eot-rga", "mean-rga-stbp", "mean-rga", "rga,rga", "nope"),
    *("eot-" * 5 + "rga", "eot-" * 2000 + "rga", "mean-" * 2000 + "rga", "mean-rga" * 700),
    *("mean-" + "rga-" * 60 + "nope", "rga" + "-2-steps" * 900, "extended-" * 1500 + "stbp"),
    *(f"rga-{10**20}-steps", "rga-0-steps", "rga-٣-steps", f"rga-{'9' * 5000}-steps"),
    *words("hard soft direct poisson frames vgg5 resnet17 gpu cpu tpu bfloat16 float16 auto"),
    *words("sgd adam pgd fgsm apgd sa-pgd trades rat sr mim all surrogate.width limit samples"),
)
STRAY = ("--nothing", "--epss", "stray", "--", "-x", "--help-me", "---eps", "--no-such=1", "٣")
QUICK = {"epochs": "1", "repeats": "2", "steps": "3", "layer": "0", "threads": "2"}
"""Values beside which a call ends soon."""


def command_lines(count: int, seed: int) -> list[tuple[str, ...]]:
    """So many calls, the same for the same seed."""
    draw = random.Random(seed)
    return [_command_line(draw) for _ in range(count)]


def _command_line(draw: random.Random) -> tuple[str, ...]:
    name, *given = draw.choice(BASES)
    words = [name, *given, *SMALL, "--output", f"out-{draw.random()}"]
    for _ in range(draw.choice((1, 1, 1, 2))):
        words += _option(draw, draw.choice((*OPTIONS[name].split(), *ALL)))
    if draw.random() < 0.05:
        words.append(draw.choice(STRAY))
    if draw.random() < 0.05:
        words += [f"--{draw.choice(OPTIONS[name].split())}"]
    return tuple(words)


def _option(draw: random.Random, option: str) -> list[str]:
    flag = f"--{option.replace('-', draw.choice('-_'))}"
    value = QUICK.get(option, "1") if draw.random() < 0.05 else draw.choice(VALUES)
    return draw.choice(([flag, value], [f"{flag}={value}"], [flag, value]))


def prepare(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """The files that the calls name, in the present folder; nothing is measured elsewhere."""
    patch.chdir(folder)
    images(folder / "images.npz")
    own(folder, classes=3)
    adapted.own(folder)
    (folder / "bare_steps.py").rename(folder / "bare.py")
    for name, text in {"odd.txt": "odd", "odd.json": "{", "empty.pt": ""}.items():
        (folder / name).write_text(text)
    (folder / "elsewhere").mkdir()
    own(folder / "elsewhere", (1, 8, 8), 10)
    (folder / "elsewhere" / "mine.py").rename(folder / "big.py")
    patch.setattr(process, "in_fresh_process", _here)
    patch.setattr(importlib.import_module("art_snn.app.demo.run"), "digits", _few)
    patch.setattr(sys, "dont_write_bytecode", True)


def _here(call: Callable[..., Any], load: Any, rows: Any, *more: Any) -> Any:
    return call(load, rows, *more)


def _few(seed: int) -> Dataset:
    whole = digits(seed=seed)
    return Dataset("digits", whole.x_train[:20], whole.y_train[:20], whole.x_test, whole.y_test)
