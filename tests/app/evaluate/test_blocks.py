"""Blocks that are written when they are done: taken up, refused, or computed again."""

import numpy as np
import pytest

from art_snn.app.evaluate.blocks import PART, Store


@pytest.fixture
def store(tmp_path):
    full = Store(tmp_path / "out" / "blocks", "key")
    full.put("one", {"figure": 3}, {"values": np.arange(4)}, 1.5)
    return full


def test_a_block_that_is_done_is_read(store):
    assert store.done(["one", "two"]) == {"one"}
    assert store.read("one", dict) == {"figure": 3}
    assert store.took("one") == 1.5
    np.testing.assert_array_equal(store.arrays("one")["values"], np.arange(4))


@pytest.mark.parametrize(
    ("how", "done"),
    [("cut", {"two"}), ("gone", {"two"}), ("swap", set()), ("copy", {"one"}), ("new", {"one"})],
)
def test_a_block_that_was_damaged_or_exchanged_since_is_not_done(how, done, store):
    store.put("two", {"figure": 4}, {"values": np.arange(1, 5)}, 1)
    paths = one, two = store.file("one"), store.file("two")
    first, second = (path.read_bytes() for path in paths)
    half = first[: len(first) // 2]
    files = {"cut": (half, second), "swap": (second, first), "copy": (first, first)}
    for path, content in zip(paths, files.get(how, (first, second)), strict=True):
        path.write_bytes(content)
    if how == "gone":
        one.unlink()
    if how == "new":
        np.savez(two, values=np.zeros(4, int))
    assert store.done(["one", "two"]) == done


@pytest.mark.parametrize("name", ["one", "two"])
def test_blocks_and_parts_of_something_else_are_refused_and_stay(name, store):
    store.put("two" + PART, None, {}, 1)
    with pytest.raises(ValueError, match=r"output: .*without results.*delete"):
        Store(store.folder, "another key").done([name])
    assert store.done(["one"]) == {"one"}


def test_the_part_of_a_block_is_not_the_block(store):
    store.put("two" + PART, None, {"values": np.arange(4)}, 1)
    assert store.whole("two" + PART)
    assert not store.whole("one" + PART)
    assert store.done(["one", "two"]) == {"one"}
    store.file("two" + PART).unlink()
    assert [*store.folder.iterdir()] == [store.file("one")]
