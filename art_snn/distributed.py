"""Several processes that work on one thing, as torchrun starts them."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

_Thing = TypeVar("_Thing")

TORCHRUN = "TORCHELASTIC_RUN_ID"
"""A variable that torchrun sets in the environment of each process."""
PATIENCE = timedelta(days=30)
"""Longest wait of a process for the others; one of them may still work on a long block."""


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of one job; one that was started alone is a group of one.

    All processes of a group call its methods together, except :meth:`next_items`.

    :param store: what torchrun has them share; None in a group of one."""

    rank: int = 0
    size: int = 1
    store: Store | None = None

    @property
    def leads(self) -> bool:
        """True if this process speaks for all."""
        return self.rank == 0

    def broadcast(self, thing: _Thing) -> _Thing:
        """The thing of the leading process, in every process; the others may pass anything."""
        if self.size == 1:
            return thing
        things = [thing]
        distributed.broadcast_object_list(things, src=0)
        return things[0]

    def gather(self, thing: _Thing) -> list[_Thing]:
        """The things of all processes in the order of their ranks, in every process."""
        if self.size == 1:
            return [thing]
        things = [thing] * self.size
        distributed.all_gather_object(things, thing)
        return things

    def on_leader(self, action: Callable[[], _Thing]) -> _Thing:
        """The result of an action, in every process, although the leading process alone runs it.

        Where it raises, the leading process raises that, and the others leave by a
        SystemExit of status 0."""
        if self.size == 1:
            return action()
        outcome: tuple[bool, _Thing | None] = (False, None)
        try:
            if self.leads:
                outcome = (True, action())
        finally:
            done, thing = self.broadcast(outcome)
            if not done and not self.leads:
                raise SystemExit(0)
        return thing  # type: ignore[return-value]  # The leading process has done the action.

    def leader_first(self, action: Callable[[], _Thing]) -> _Thing:
        """The result of an action in this process; the leading process runs it before the others.

        For what the first call writes and the others read. Errors: as
        :meth:`on_leader`."""
        things: list[_Thing] = []
        self.on_leader(lambda: things.append(action()))
        return things[0] if things else action()

    def next_items(self, things: Sequence[_Thing], name: str) -> Iterator[_Thing]:
        """The things that this process takes, one by one: each free process takes the next.

        :param name: that no other call has."""
        taken = -1
        while True:
            taken = taken + 1 if self.store is None else self.store.add(name, 1) - 1
            if taken >= len(things):
                return
            yield things[taken]


@contextmanager
def join() -> Iterator[ProcessGroup]:
    """The group of this process, which ends with the block; on CUDA it has a device of its own."""
    if TORCHRUN not in os.environ:
        yield ProcessGroup()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
    store.set_timeout(PATIENCE)
    distributed.init_process_group(
        "gloo", store=PrefixStore("group", store), rank=rank, world_size=size
    )
    try:
        yield ProcessGroup(rank, size, PrefixStore("dealt", store))
    finally:
        distributed.destroy_process_group()
