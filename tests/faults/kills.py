"""Commands that are killed at any moment, once or twice, and called again."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from functools import partial

from tests.faults.commands import QUICK, SLOW, WORDS, Bench
from tests.faults.report import Report, two_at_a_time
from tests.faults.runs import Run

KILLS = dict.fromkeys(SLOW, 4) | dict.fromkeys(QUICK, 9)


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
