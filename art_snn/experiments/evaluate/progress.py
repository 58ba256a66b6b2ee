"""What a terminal is told while an evaluation runs."""

import sys
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from art_snn.team import Team


def at_terminal() -> bool:
    """Whether people look at what is told."""
    return sys.stderr.isatty()


@dataclass
class Progress:
    """A bar over the samples of all blocks, and a line for every stage that is through.

    :param bar: of the leading process.
    :param team: whose samples are counted.
    :param told: how many of these the bar knows."""

    bar: "tqdm[Any]"
    team: Team
    told: int = 0

    @classmethod
    def over(cls, samples: int, done: int, team: Team) -> "Progress":
        """Nothing is shown by the other processes, nor where no terminal is."""
        quiet = not (team.leads and at_terminal())
        bar = tqdm(total=samples, initial=done, desc="Evaluation", unit="sample", disable=quiet)
        return cls(bar, team)

    def begins(self, words: str) -> None:
        """What is computed now."""
        self.bar.set_description(words)

    def stage(self, words: str, reached: int, left: int) -> None:
        """A stage is through a block."""
        if self.bar.disable:
            return
        rate = self.told / max(self.bar.format_dict["elapsed"], 1e-9)
        todo = self.bar.total - self.bar.n
        pace = ""
        if rate:
            pace = f", {rate:.2g} samples/s, {self.bar.format_interval(todo / rate)} left"
        line = f"  {left:4d} of {reached} stand after {words}{pace}"
        self.bar.write(line, file=sys.stderr)

    def ends(self, samples: int) -> None:
        """A unit is done."""
        total = self.team.counted("samples", samples) + (self.told if self.team.size == 1 else 0)
        self.bar.update(total - self.told)
        self.told = total
