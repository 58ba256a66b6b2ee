"""Commands that are killed, or stopped by Ctrl-C or SIGTERM, from their first moment on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from itertools import product

from tests.faults.commands import QUICK, SLOW, WORDS, Bench
from tests.faults.report import Report, two_at_a_time
from tests.faults.results import spoilt
from tests.faults.runs import Run
from tests.faults.signals import STATUS, catches

KILLS = dict.fromkeys(SLOW, 4) | dict.fromkeys(QUICK, 9)
ENDING = 0.3
"""Seconds that the system may take to put a process away that has ended."""


def stops(bench: Bench, report: Report, names: Sequence[str] = tuple(WORDS)) -> None:
    """Stop commands at their work at moments that are drawn, and others while they start."""
    bench.prepare(*names)
    jobs = []
    for name in names:
        draw, count = bench.draw("stops", name), 2 if name in SLOW else 6
        for number, turn in product(STATUS, range(count)):
            # The first moment of all is 0.1 s after its beginning, the others spread evenly.
            moment = bench.seconds(name) * (turn + draw.random()) / count if turn else 0.1
            again = turn % 3 == 1 and (name not in SLOW or number == signal.SIGINT)
            jobs.append(partial(stopped, bench, report, name, number, moment, again))
    jobs += [partial(started, report, bench, n, t) for n, t in product(STATUS, (0, 0.5, 1.5, 3))]
    two_at_a_time(jobs)


def stopped(
    bench: Bench, report: Report, name: str, number: signal.Signals, moment: float, again: bool
) -> None:
    """Stop a command, and perhaps call it again."""
    output = bench.fresh(name)
    run = Run(words := bench.words(name, output))
    while not catches(run.pid, signal.SIGTERM) and not run.wait(0.002):
        pass
    if run.wait(moment):
        # The one that was timed was slower.
        stopped(bench, report, name, number, 0.7 * moment, again)
        return
    run.send(number)
    sent = time.monotonic()
    if run.ended() == 0 and time.monotonic() - sent < ENDING:
        report.count("ended before")
        return
    report.count("stops at work")
    where = f"{number.name} after {moment:.3f} s"
    run.expect_end(report, (STATUS[number],), where)
    report.expect(not spoilt(output), f"{where}: {spoilt(output)}")
    # A killed process is gone as soon as it has been buried.
    report.expect(not run.children(1), f"{where}: measuring processes live on")
    if again:
        bench.expect_rerun(report, output, words, where)


def started(report: Report, bench: Bench, number: signal.Signals, moment: float) -> None:
    """Stop a command that Python has been started for, while everything is imported."""
    output = bench.fresh("train")
    command = [sys.executable, "-m", "art_snn", *bench.words("train", output)]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        while not catches(process.pid, signal.SIGTERM):
            time.sleep(0.002)
        time.sleep(moment)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    where = f"{number.name} {moment} s after the start of {' '.join(command)}"
    right = process.returncode == STATUS[number] and "Traceback" not in errors
    report.expect(right, f"{where}: status {process.returncode}, {errors[-1500:]}")
    report.expect(not spoilt(output), f"{where}: {spoilt(output)}")
    report.count("stops while starting")


def kills(bench: Bench, report: Report, wanted: dict[str, int] = KILLS) -> None:
    """Kill every command so many times."""
    bench.prepare(*wanted)
    two_at_a_time([partial(_kills, bench, report, n, wanted[n]) for n in WORDS if n in wanted])


def _kills(bench: Bench, report: Report, name: str, wanted: int) -> None:
    """Kill one command once, then another twice, ... before it runs to its end."""
    draw, done, turn = bench.draw("kills", name), 0, 0
    longest = bench.seconds(name)
    while done < wanted and turn < 6 * wanted:
        turn += 1
        # What goes on has less to do.
        moments = [draw.uniform(0, longest), draw.uniform(0, longest / 3)][: 2 - turn % 2]
        kills = _killed(bench, report, name, moments)
        done += kills
        # It ended before: what it takes was measured while the machine did more.
        longest = longest if kills else longest / 2


def _killed(bench: Bench, report: Report, name: str, moments: Sequence[float]) -> int:
    """Kill a command at these moments, and run it to its end; returns how often it was killed."""
    output, done = bench.fresh(name), 0
    words, runs = bench.words(name, output), []
    for moment in moments:
        runs.append(run := Run(words))
        if run.wait(moment):
            break  # It had ended, which is no kill.
        run.send(signal.SIGKILL)
        done += run.ended() == -signal.SIGKILL
    if done:
        report.count("kills", done)
        where = f"killed after {', '.join(f'{m:.3f} s' for m in moments)}"
        again = bench.expect_rerun(report, output, words, where)
        for run in runs:
            report.expect(not run.children(20), f"{where}, {again}: measuring processes live on")
    return done
