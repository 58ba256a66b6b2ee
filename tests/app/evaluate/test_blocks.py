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


@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_block_that_was_damaged_since_is_not_done(store, how):
    path = store.file("one")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    if how == "gone":
        path.unlink()
    assert store.done(["one"]) == set()


@pytest.mark.parametrize("how", ["exchanged", "copied", "rewritten"])
def test_a_block_with_the_files_of_another_is_not_done(store, how):
    store.put("two", {"figure": 4}, {"values": np.arange(1, 5)}, 1)
    one, two = store.file("one"), store.file("two")
    if how == "exchanged":
        first = one.read_bytes()
        one.write_bytes(two.read_bytes())
        two.write_bytes(first)
    elif how == "copied":
        two.write_bytes(one.read_bytes())
    else:
        np.savez(two, values=np.zeros(4, int))
    assert store.done(["one", "two"]) == (set() if how == "exchanged" else {"one"})


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
