"""Jobs of several processes on this machine: as torchrun starts them, or as forks, which are quick.

What holds of forks holds of what torchrun starts: it gives them the same environment and store."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore
from tqdm.auto import tqdm

from tests.command import start

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["art_snn.app.cli", "art_snn.app.evaluate.run"])


def fork(target: Callable[..., Any], *arguments: Any) -> Any:
    """A process that has begun to call the target, a fork of one that has imported everything."""
    process = FORKS.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def started(*arguments: str, processes: int = 2, cwd: Path) -> subprocess.Popen[str]:
    """Start them by torchrun, of one thread each, in a session of their own."""
    several = ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
    several += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    return start(*several, *arguments, cwd=cwd, session=True)


class Job:
    """Two forks of a process that has imported everything, which run the text in the folder."""

    def __init__(self, text: str, folder: Path) -> None:
        if sys.platform != "linux":
            pytest.skip("forks of a process that has imported torch are safe on Linux")
        self._store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        shared = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(self._store.port)}
        shared |= {"WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "forks"}
        shared |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
        self._folder, ranks = folder, [{"RANK": rank, "LOCAL_RANK": rank} for rank in "01"]
        self._forks: list[Any] = [fork(_run, text, folder, shared | rank) for rank in ranks]

    def running(self) -> bool:
        return all(one.is_alive() for one in self._forks)

    def kill(self) -> None:
        for one in self._forks:
            one.kill()
            one.join()

    def ended(self) -> tuple[bool, str, str]:
        """Whether all ended well, and what they printed to stdout and stderr."""
        until = time.monotonic() + 300
        for one in self._forks:
            one.join(max(0, until - time.monotonic()))
        well = [one.exitcode for one in self._forks] == [0, 0]
        return well, *((self._folder / name).read_text() for name in ("stdout", "stderr"))


def _run(text: str, folder: Path, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    tqdm.set_lock(threading.RLock())  # Its usual lock is one of the system's.
    torch.set_num_threads(1)
    exec(text, {"__name__": "__main__"})
