"""Blocks that are written when they are done: taken up, refused, or computed again."""

import numpy as np
import pytest

from art_snn.app.evaluate.store import Store
from art_snn.team import Team


@pytest.fixture
def store(tmp_path):
    full = Store(tmp_path / "out" / "blocks", "key")
    full.put("one", {"figure": 3}, {"values": np.arange(4)})
    return full


def test_a_block_that_is_done_is_read(store):
    assert store.done(["one", "two"]) == {"one"}
    assert store.read("one")["figure"] == 3
    np.testing.assert_array_equal(store.array("one", "values"), np.arange(4))


@pytest.mark.parametrize("file", ["one.json", "one.npz"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_block_that_was_damaged_since_is_not_done(store, file, how):
    path = store.folder / file
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    if how == "gone":
        path.unlink()
    assert store.done(["one"]) == set()


@pytest.mark.parametrize("how", ["exchanged", "copied", "rewritten"])
def test_a_block_with_the_files_of_another_is_not_done(store, how):
    store.put("two", {"figure": 4}, {"values": np.arange(1, 5)})
    one, two = store.file("one", "npz"), store.file("two", "npz")
    if how == "exchanged":
        first = one.read_bytes()
        one.write_bytes(two.read_bytes())
        two.write_bytes(first)
    elif how == "copied":
        for ending in ("npz", "json"):
            store.file("two", ending).write_bytes(store.file("one", ending).read_bytes())
    else:
        np.savez(two, values=np.zeros(4, int))
    assert store.done(["one", "two"]) == (set() if how == "exchanged" else {"one"})


def test_blocks_of_something_else_are_refused_and_stay(store):
    with pytest.raises(ValueError, match=r"output: .*without results.*delete"):
        Store(store.folder, "another key").done(["one"])
    assert store.done(["one"]) == {"one"}


def test_what_is_discarded_is_gone_whether_it_was_there_or_not(store):
    store.discard(["one", "two"])
    assert not store.file("one").exists()


def test_a_cleared_store_leaves_no_folder(store):
    for _ in range(2):
        store.clear()
    assert not store.folder.exists()


class Apart(Team):
    """A process that does not lead, whose folder is not that of the other."""

    def gather(self, thing):
        if isinstance(thing, list):
            return [[], thing]
        return [{path.name: path.read_bytes() for path in self.store.folder.iterdir()}, thing]


def test_blocks_that_all_need_come_to_every_process(store, tmp_path):
    other = Store(tmp_path / "other" / "blocks", "key")
    other.share(["one"], Apart(1, 2, store))
    assert other.done(["one"]) == {"one"}
    assert other.read("one") == store.read("one")


class TwoMachines(Team):
    """The leading process of two whose folders are not the same."""

    def gather(self, thing):
        assert thing == {}
        return [thing, {path.name: path.read_bytes() for path in self.store.folder.iterdir()}]

    def broadcast(self, thing):
        assert thing == ["one"]
        return thing


def test_blocks_of_another_machine_come_to_the_leading_process(store, tmp_path):
    leading = Store(tmp_path / "leading" / "blocks", "key")
    leading.collect(["one"], TwoMachines(0, 2, store))
    assert leading.done(["one"]) == {"one"}
    assert leading.read("one") == store.read("one")
