"""What was done to how many, and which expectations did not hold."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

LEAVING = threading.Event()
"""Set when nothing more is to begin."""


class Report:
    """Counts and complaints of one kind of fault, from several threads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self._lock = threading.Lock()

    def count(self, what: str, number: int = 1) -> None:
        with self._lock:
            self.counts[what] += number

    def expect(self, holds: object, otherwise: object) -> bool:
        """Note what happened otherwise, unless something holds."""
        if not holds:
            with self._lock:
                self.failures.append(str(otherwise))
        return bool(holds)

    def __str__(self) -> str:
        return ", ".join(f"{number} {what}" for what, number in self.counts.items())


def two_at_a_time(jobs: Iterable[Callable[[], object]]) -> None:
    """Run the jobs on two threads; a failure of one is raised at the end, Ctrl-C ends them soon."""
    with ThreadPoolExecutor(2) as pool:
        try:
            for done in [pool.submit(job) for job in jobs]:
                done.result()
        except KeyboardInterrupt:
            LEAVING.set()
            pool.shutdown(cancel_futures=True)
            raise
