"""The manifest of the zoo: its form, and that it can name no code and no file elsewhere."""

import json
from dataclasses import replace
from typing import Any

import pytest

from art_snn.checks import ArgumentError
from art_snn.metrics import Share
from art_snn.zoo import Manifest, Standard, ZooData, ZooEntry
from art_snn.zoo.entry import from_text
from tests.evaluations import FORM, complaints
from tests.zoo.shelf import tool

SCHEMA = json.loads(FORM.with_name("zoo.schema.json").read_text("utf-8"))
DATA = ZooData("bars", {"data": "bars.npz", "image_size": [4, 6]}, "ab" * 32, None, "CC0", "us")
HELD = replace(DATA, name="held", value_range=(0.0, 1.0), sha256="cd" * 32, bytes=7)
STANDARD = Standard(0.1, "inf", "1101", True, Share(3, 4), None, "0.1.0")
SIZES = {"bytes": 9, "input_shape": (1, 4, 6), "classes": 3, "parameters": 12}
WORDS = {"name": "a-plain", "sha256": "ef" * 32, "data": "bars", "training": "plain"}
ENTRY = ZooEntry(
    **(SIZES | WORDS),
    architecture={"model": "vgg5", "steps": 4},
    recipe={"epochs": 1, "momentum": None},
    commands=("art-snn train",),
    clean=Share(5, 6),
    clean_first=Share(2, 3),
    standard=(STANDARD, replace(STANDARD, eps=0.2, certified=Share(1, 4))),
)
ZOO = Manifest((ENTRY, replace(ENTRY, name="b-plain", standard=())), (DATA, HELD))


def test_a_manifest_survives_a_round_trip_and_is_what_the_published_schema_says():
    text = tool.as_text(ZOO)
    assert from_text(text, "") == ZOO
    assert complaints(json.loads(text), SCHEMA) == []
    assert tool.as_text(Manifest(ZOO.networks[::-1], ZOO.data[::-1])) == text
    assert from_text(text, "").data[0].source.image_size == (4, 6)


def changed(**fields: Any) -> str:
    content = json.loads(tool.as_text(ZOO))
    content["networks"][0] |= fields
    return json.dumps(content)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"architecture": {"model": "mine.py:net"}}, "a model of art_snn, got 'mine.py:net'"),
        ({"architecture": {"model": "art_snn.zoo:x"}}, "a model of art_snn, got 'art_snn.zoo:x'"),
        ({"name": "../../etc"}, "a short name"),
        ({"name": "b-plain"}, "distinct"),
        ({"sha256": ""}, "64 digits"),
        ({"data": "none"}, r"data sets of the manifest, got \['none'\]"),
        ({"clean": 0.9}, "must be a mapping"),
        ({"clean": {"count": 300, "total": 200}}, "count: expected a whole number from 0 to 200"),
        ({"clean_first": {"count": -1, "total": 2}}, "count: expected a whole number >= 0, got -1"),
    ],
)
def test_a_manifest_that_names_code_other_files_or_nonsense_is_refused(fields, message):
    with pytest.raises(ArgumentError, match=rf"^zoo: expected a manifest .* here \(.*{message}"):
        from_text(changed(**fields), "here")
    # A schema compares no two fields.
    if "name" not in fields and fields.get("data") != "none" and "from 0 to" not in message:
        assert complaints(json.loads(changed(**fields)), SCHEMA)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 0}', '{"schema": "1"}'])
def test_what_is_no_manifest_of_this_schema_is_refused(text):
    with pytest.raises(ArgumentError, match=r"^zoo: expected a manifest of the zoo, of schema 3"):
        from_text(text, "here")
