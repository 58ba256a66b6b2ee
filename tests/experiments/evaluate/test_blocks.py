"""Units that are written when they are done: taken up, refused, or computed again."""

import numpy as np
import pytest

from art_snn.experiments.evaluate.blocks import Blocks
from art_snn.team import Team


@pytest.fixture
def blocks(tmp_path):
    found = Blocks(tmp_path / "out" / "blocks", "key")
    found.put("one", {"figure": 3}, {"values": np.arange(4)})
    return found


def test_a_unit_that_is_done_is_known_and_read(blocks):
    assert blocks.known(["one", "two"]) == {"one"}
    assert blocks.read("one")["figure"] == 3
    np.testing.assert_array_equal(blocks.array("one", "values"), np.arange(4))


@pytest.mark.parametrize("file", ["one.json", "one.npz"])
@pytest.mark.parametrize("how", ["cut", "gone"])
def test_a_unit_that_was_damaged_since_is_not_done(blocks, file, how):
    path = blocks.folder / file
    content = path.read_bytes()
    path.unlink()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    assert blocks.known(["one"]) == set()


@pytest.mark.parametrize("how", ["exchanged", "copied", "rewritten"])
def test_a_unit_with_the_files_of_another_is_not_done(blocks, how):
    blocks.put("two", {"figure": 4}, {"values": np.arange(1, 5)})
    one, two = blocks.arrays("one"), blocks.arrays("two")
    if how == "exchanged":
        first = one.read_bytes()
        one.write_bytes(two.read_bytes())
        two.write_bytes(first)
    elif how == "copied":
        for file in (blocks.arrays, blocks.file):
            file("two").write_bytes(file("one").read_bytes())
    else:
        np.savez(two, values=np.zeros(4, int))
    assert blocks.known(["one", "two"]) == (set() if how == "exchanged" else {"one"})


def test_units_of_something_else_are_refused_and_stay(blocks):
    other = Blocks(blocks.folder, "another key")
    with pytest.raises(ValueError, match=r"output: expected a folder without results.*delete"):
        other.known(["one"])
    assert blocks.known(["one"]) == {"one"}


def test_cleared_blocks_leave_no_folder(blocks):
    blocks.clear()
    blocks.clear()
    assert not blocks.folder.exists()


class TwoMachines(Team):
    """The leading process of two whose folders are not the same."""

    def gathered(self, thing):
        assert thing == {}
        return [thing, {path.name: path.read_bytes() for path in self.store.folder.iterdir()}]

    def told(self, thing):
        assert thing == ["one"]
        return thing


def test_units_of_another_machine_come_to_the_leading_process(blocks, tmp_path):
    own = Blocks(tmp_path / "leading" / "blocks", "key")
    own.collect(["one"], TwoMachines(0, 2, blocks))
    assert own.known(["one"]) == {"one"}
    assert own.read("one") == blocks.read("one")
