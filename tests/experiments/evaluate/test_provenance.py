"""What tells how to do an evaluation again."""

import sys
from pathlib import Path

import pytest
import torch

import art_snn
from art_snn.experiments.evaluate import provenance
from art_snn.experiments.evaluate.provenance import typed, versions

PACKAGE = Path(art_snn.__file__).parent


def test_versions_are_those_of_what_is_in_use(monkeypatch):
    told = versions()
    assert list(told)[:3] == ["art_snn", "Python", "torch"]
    assert told["torch"] == torch.__version__
    assert "snntorch" not in told
    # What is used from its sources is no distribution.
    monkeypatch.setitem(sys.modules, "norse", object())
    assert versions()["norse"] == "not installed"
    monkeypatch.setitem(sys.modules, "snntorch", object())
    monkeypatch.setattr(provenance, "version", lambda name: f"of {name}")
    assert versions()["snntorch"] == "of snntorch"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("/usr/bin/art-snn", "art-snn"),
        ("art-snn", "art-snn"),
        (str(PACKAGE / "__main__.py"), "art-snn"),
        ("examples/study/defences.py", "python examples/study/defences.py"),
        ("other/__main__.py", "python other/__main__.py"),
    ],
    ids=["installed", "bare", "module", "script", "module of others"],
)
def test_the_command_is_the_one_that_was_typed(program, words, monkeypatch):
    monkeypatch.setattr("sys.argv", [program, "--data", "my data.npz"])
    assert typed() == f"{words} --data 'my data.npz'"
