"""What an evaluation shows while it runs: a bar over passes, and a line per attack and budget."""

from collections.abc import Collection, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from art_snn.app.evaluate.store import TOOK, Content, Store
from art_snn.app.evaluate.units import Unit
from art_snn.attacks import Outcome
from art_snn.attacks.plan import short_stage
from art_snn.network import SpikingNetwork
from art_snn.passes import watched
from art_snn.progress import Progress, duration, log_line, write_line
from art_snn.team import Team


class Course:
    """How far the units of an evaluation are; those of one step are told apart by nothing.

    The bar moves with every pass of the network, and to its place at the end of every stage.

    :param units: all, in the order of their steps.
    :param done: names of those that were done before."""

    def __init__(
        self, units: Sequence[Unit], done: Collection[str], store: Store, team: Team
    ) -> None:
        self.units, self.store, self.team = units, store, team
        self.steps = list(dict.fromkeys(unit.step for unit in units))
        self.said = {step for step in self.steps if self._whole(step)} if team.leads else set()
        self.before = sum(unit.passes for unit in units if unit.name in done)
        self.finished, self.position = 0, 0
        self.asked = self.start = self.broken = 0
        self.unit = units[0]
        total = sum(unit.passes for unit in units)
        shown: dict[str, Any] = {"done": self.before, "unit": "passes", "summary": False}
        self.bar = Progress("Evaluation", total, **shown)

    def result_of(self, unit: Unit, network: SpikingNetwork) -> tuple[Content, dict[str, Any]]:
        """What a unit computes, while the passes of the network move the bar."""
        self.begin(unit)
        with nullcontext() if self.bar.bar is None else watched(network, self._passed):
            return unit.compute(self)

    def begin(self, unit: Unit) -> None:
        """A unit is computed next."""
        self.unit, self.position = unit, 0
        self.asked = self.start = self.broken = 0
        self.bar.describe(f"{self._number(unit.step)} {unit.step}")

    def stage(self, words: str, tried: int, outcome: Outcome) -> None:
        """A stage has attacked so many samples, with that outcome so far."""
        asked, broken = (int((outcome.stage >= n).sum()) for n in (Outcome.WRONG, 0))
        if asked > self.asked:  # The next samples that are attacked together.
            self.start, self.asked = self.asked, asked
        line, self.broken = stage_line(words, tried, broken - self.broken, outcome), broken
        log_line(line, verbose=False)
        if self.bar.bar is not None:
            write_line(f"  {line}")
        name, samples = words.partition(" on source")[0], self.unit.samples
        place = self.unit.passes * self.start // samples
        self._move(place + (self.asked - self.start) * self._until(name))

    def end(self) -> None:
        """The unit is done, and others by other processes."""
        passes = self.unit.passes
        counted = self.team.add_count("passes", passes)
        total = counted if self.team.size > 1 else self.finished + passes
        self.bar.update(total - self.finished - self.position)
        self.finished, self.position = total, 0
        self.say_steps()

    def say_steps(self) -> None:
        """Say which steps are done now."""
        for step in self.steps if self.team.leads else ():
            if step not in self.said and self._whole(step):
                self.said.add(step)
                contents = [self.store.read(unit.name) for unit in self._units(step)]
                log_line(f"{self._number(step)} {step}: {step_words(contents)}")

    def _until(self, stage: str) -> int:
        """Passes of a sample until the end of a stage, at most."""
        names = list(self.unit.works)
        ended = names[: names.index(stage) + 1] if stage in names else ()
        return sum(self.unit.works[name].passes for name in ended)

    def _number(self, step: str) -> str:
        return f"[{self.steps.index(step) + 1}/{len(self.steps)}]"

    def _units(self, step: str) -> list[Unit]:
        return [unit for unit in self.units if unit.step == step]

    def _whole(self, step: str) -> bool:
        return all(self.store.file(unit.name).exists() for unit in self._units(step))

    def _passed(self, _: Any, inputs: Any, output: Any) -> None:
        self._move(self.position + len(inputs[0]) * (2 if output.requires_grad else 1))

    def _move(self, position: int) -> None:
        """Go on to a place in the unit, never back nor beyond its end."""
        further = min(position, self.unit.passes) - self.position
        if further > 0:
            self.position += further
            self.bar.update(further)


def stage_line(words: str, tried: int, broken: int, outcome: Outcome) -> str:
    """AutoPGD HART: 5 tried, 0 broken, 49 of 64 left."""
    left, samples = int((outcome.stage == Outcome.STANDING).sum()), len(outcome.stage)
    return f"{short_stage(words)}: {tried} tried, {broken} broken, {left} of {samples} left"


def step_words(contents: Sequence[Content]) -> str:
    """What a step achieved, by the contents of its units, and how long it took."""
    took = duration(sum(content.get(TOOK, 0.0) for content in contents))
    if "findings" in contents[0]:
        return f"{sum(len(content['findings']) for content in contents)}, {took}"
    if "bounds" in contents[0]:
        margin = np.concatenate([content["bounds"]["margin"] for content in contents])
        return f"{int((margin > 0).sum())} of {len(margin)} certified, {took}"
    if "outcome" not in contents[0]:
        return took
    stage = np.concatenate([content["outcome"]["stage"] for content in contents])
    correct, left = (int(n.sum()) for n in (stage >= Outcome.STANDING, stage == Outcome.STANDING))
    return f"{correct} of {len(stage)} correct, {left} left after the attack, {took}"
