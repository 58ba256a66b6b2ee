"""Processes that torchrun starts: what one tells all, what all have, and how things are dealt."""

import json

import pytest
import torch
from torch import distributed

from art_snn import distributed as module
from art_snn.distributed import ProcessGroup, join
from tests.jobs import started

SCRIPT = """
import json, time
from art_snn.distributed import join

def slowly(things):
    for thing in things:
        yield thing
        time.sleep(0.05)

with join() as group:
    seen = {"rank": group.rank, "size": group.size, "leads": group.leads}
    seen |= {"told": group.broadcast(f"of {group.rank}"), "gathered": group.gather(group.rank)}
    seen["dealt"] = list(slowly(group.next_items(range(9), "things")))
    seen["again"] = list(group.next_items("ab", "letters"))
    with open(f"{group.rank}.json", "w") as file:
        json.dump(seen, file)
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_tell_each_other_and_deal_every_thing_to_one_of_them(processes, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    job = started("script.py", processes=processes, cwd=tmp_path)
    _, errors = job.communicate(timeout=300)
    assert job.returncode == 0, errors
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(processes)]
    for rank, one in enumerate(found):
        assert (one["rank"], one["size"], one["leads"]) == (rank, processes, rank == 0)
        assert one["told"] == "of 0"
        assert one["gathered"] == list(range(processes))
        assert one["dealt"] == sorted(one["dealt"])
    assert sorted(thing for one in found for thing in one["dealt"]) == list(range(9))
    assert sorted(letter for one in found for letter in one["again"]) == ["a", "b"]


def test_a_process_by_itself_is_a_team_of_one():
    with join() as group:
        assert group == ProcessGroup()
        assert group.leads
        assert group.broadcast("this") == "this"
        assert group.gather("this") == ["this"]
        assert list(group.next_items("abc", "letters")) == ["a", "b", "c"]


def test_on_cuda_every_process_has_a_device_of_its_own(monkeypatch):
    devices = []
    for name, value in {"TORCHELASTIC_RUN_ID": "job", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", devices.append)
    met = (distributed.HashStore(), 5, 8)
    monkeypatch.setattr(module, "rendezvous", lambda *_, **__: iter([met]))
    monkeypatch.setattr(distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: None)
    with join() as found:
        assert (found.rank, found.size, found.leads) == (5, 8, False)
    # The fourth process of a machine with two cards.
    assert devices == [1]
