"""Results on disk: taken up where they fit, refused where not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from art_snn.experiments.resume import booleans, converter, digits, earlier, fingerprint, plain
from art_snn.files import write_json
from art_snn.metrics import Robustness, Share
from tests.outcomes import outcome
from tests.small import classifier, samples

REFUSAL = (
    r"^output: expected a folder without results, or with results of the same kind, got "
    r".*results\.json of other settings, weights or samples\. Choose another folder, or delete"
)


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / "new" / "folder" / "results.json"
    assert earlier(file, "kind", lambda _: False) == {}
    write_json(file, {"a": [1, None, "x"]})
    content = earlier(file, "kind", lambda content: content["a"][0] == 1)
    assert content == {"a": [1, None, "x"]}


def test_results_that_do_not_fit_are_refused_by_their_kind(tmp_path):
    file = tmp_path / "results.json"
    write_json(file, {"a": 1})
    with pytest.raises(ValueError, match=REFUSAL):
        earlier(file, "kind", lambda content: content["a"] == 2)
    assert json.loads(file.read_text()) == {"a": 1}


@pytest.mark.parametrize("content", ["", '{"a": ', "[]", "3", "null", "\x00\x01", "{}"], ids=repr)
def test_a_file_that_holds_no_results_is_refused_whatever_would_fit(content, tmp_path):
    file = tmp_path / "results.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=REFUSAL):
        earlier(file, "kind", lambda _: True)
    assert file.read_text() == content


def test_without_a_file_nothing_is_read():
    assert earlier(None, "kind", lambda _: False) == {}


def test_a_write_that_is_interrupted_leaves_the_earlier_results_whole(tmp_path, monkeypatch):
    file = tmp_path / "results.json"
    write_json(file, {"a": 1})
    write_text = Path.write_text

    def half(self: Path, text: str, **options: Any) -> None:
        write_text(self, text[: len(text) // 2], **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(KeyboardInterrupt):
        write_json(file, {"a": 2})
    assert earlier(file, "kind", lambda _: True) == {"a": 1}
    assert [kept.name for kept in tmp_path.iterdir()] == ["results.json"]


@given(st.lists(st.booleans()))
def test_booleans_survive_as_digits(values):
    text = digits(np.array(values, dtype=bool))
    assert len(text) == len(values)
    assert booleans(text).tolist() == values


@given(st.integers(0, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_survives_json_and_tells_its_interval_there(pair):
    share = Share(*pair)
    content = json.loads(json.dumps(converter.unstructure(share)))
    assert converter.structure(content, Share) == share
    assert (content["low"], content["high"]) == share.interval


def test_an_outcome_survives_json_sample_by_sample():
    wanted = outcome({3, 5})
    content = {"correct": digits(wanted.correct), "robust": digits(wanted.robust)}
    assert content == {"correct": "0011111111", "robust": "0010101111"}
    back = converter.structure(json.loads(json.dumps(content)), Robustness)
    assert np.array_equal(back.correct, wanted.correct)
    assert np.array_equal(back.robust, wanted.robust)


def test_plain_content_is_as_json_gives_it_back():
    content = {0.5: (Share(1, 2), np.array([True, False])), "deep": [{1: None}, "word", 1.5]}
    found = plain(content)
    assert found == json.loads(json.dumps(found))
    assert found == {"0.5": [Share(1, 2).as_dict(), "10"], "deep": [{"1": None}, "word", 1.5]}


def test_a_fingerprint_is_the_same_for_the_same_and_changes_with_the_value_range():
    x, y = samples(classifier())
    one, same, other = classifier(), classifier(), classifier()
    other.set_params(clip_values=(0.0, 2.0))
    assert fingerprint("settings", one, x, y) == fingerprint("settings", same, x, y)
    assert fingerprint("settings", one, x, y) != fingerprint("settings", other, x, y)
    assert fingerprint("settings", one, x, y) != fingerprint("others", one, x, y)
