"""Results on disk: whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from art_snn.evaluation.record import booleans, digits, read, write


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / "new" / "folder" / "results.json"
    assert read(file, "kind", lambda _: False) == {}
    write(file, {"a": [1, None, "x"]})
    assert read(file, "kind", lambda content: content["a"][0] == 1) == {"a": [1, None, "x"]}


def test_results_that_do_not_fit_are_refused_by_their_kind(tmp_path):
    write(tmp_path / "results.json", {})
    message = r"^output: .* results of the same kind, got .*results\.json of other settings"
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "results.json", "kind", lambda _: False)


def test_without_a_file_nothing_is_read_or_written():
    write(None, {"a": 1})
    assert read(None, "kind", lambda _: False) == {}


def test_a_write_that_is_interrupted_leaves_the_earlier_results_whole(tmp_path, monkeypatch):
    file = tmp_path / "results.json"
    write(file, {"a": 1})
    write_text = Path.write_text

    def half(self: Path, text: str, *_: Any) -> None:
        write_text(self, text[: len(text) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        write(file, {"a": 2})
    assert read(file, "kind", lambda _: True) == {"a": 1}


@given(st.lists(st.booleans()))
def test_booleans_survive_as_digits(values):
    text = digits(np.array(values, dtype=bool))
    assert len(text) == len(values)
    assert booleans(text).tolist() == values
