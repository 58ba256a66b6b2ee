"""What tells how to do an evaluation again."""

from pathlib import Path

import pytest

import art_snn
from art_snn.experiments.evaluate.provenance import typed

PACKAGE = Path(art_snn.__file__).parent


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
