"""Two processes that want one folder, or one file, at the same time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from art_snn import checkpoint
from tests import small
from tests.faults.commands import SLOW, WORDS, Bench
from tests.faults.report import Report, two_at_a_time
from tests.faults.runs import LOCK, Run, fork

ROUNDS, SAVES = 20, 5


def pairs(bench: Bench, report: Report, names: Sequence[str] = tuple(WORDS)) -> None:
    """Run every command twice at once, and save one checkpoint from two processes."""
    bench.prepare(*names)
    jobs = []
    for name in names:
        draw, count = bench.draw("pairs", name), 1 if name in SLOW else 3
        delays = [draw.uniform(0, bench.seconds(name)) * (turn % 2) for turn in range(count)]
        jobs += [partial(of_commands, bench, report, name, delay) for delay in delays]
    two_at_a_time([*jobs, partial(of_savers, bench, report)])


def of_commands(bench: Bench, report: Report, name: str, delay: float) -> None:
    """Begin a command, and again after so many seconds: one waits for none, but hears of it."""
    output = bench.fresh(name)
    first = Run(words := bench.words(name, output))
    first.wait(delay)
    both = (first, Run(words))
    statuses = [run.ended() for run in both]
    where = f"twice, {delay:.3f} s apart: {statuses}, {both[0]}, {both[1]}"
    report.count("pairs of commands")
    report.expect(sorted(statuses) in ([0, 0], [0, 2]), where)
    for run, other in (both, both[::-1]):
        if run.ended() == 2:
            report.count("of these refused")
            report.expect(f"which process {other.pid} on" in run.stderr, f"{where} {run.stderr}")
    bench.expect_same(report, output, name, where)


def of_savers(bench: Bench, report: Report, rounds: int = ROUNDS) -> None:
    """Two processes save a checkpoint of the same name, again and again, while one reads it."""
    file = bench.folder / "saved" / "network.safetensors"
    expected = {who: small.classifier(seed=who).model.state_dict() for who in (1, 2)}
    network = small.classifier().model
    for _ in range(rounds):
        processes = [fork(_save, file, who) for who in expected]
        while any(_alive(process) for process in processes):
            time.sleep(0.005)
            with contextlib.suppress(FileNotFoundError):
                _read(network, file, expected, report)
        _read(network, file, expected, report)
        codes = [process.exitcode for process in processes]
        report.expect(codes == [0, 0], f"two that save {file} ended with {codes}")
        left = [other.name for other in file.parent.iterdir()]
        report.expect(left == [file.name], f"two that save {file} left {left}")
        report.count("pairs of savers")


def _alive(process: object) -> bool:
    with LOCK:
        return process.is_alive()  # type: ignore[attr-defined]


def _save(file: Path, who: int) -> None:
    network = small.classifier(seed=who).model
    for _ in range(SAVES):
        checkpoint.save(network, file, who=who)


def _read(network: torch.nn.Module, file: Path, expected: dict, report: Report) -> None:
    try:
        who = checkpoint.load(network, file)["who"]
    except checkpoint.CheckpointError as error:
        report.expect(False, f"{file}, which two save, is not whole: {error}")
        return
    weights = network.state_dict()
    same = all(torch.equal(weights[name], weight) for name, weight in expected[who].items())
    report.expect(same, f"{file}, which two save, holds other weights than those of {who}")
    report.count("whole readings next to them")
