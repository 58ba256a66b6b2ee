"""How long an evaluation will take, by the first batch, and how long a cheaper plan would."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import ceil
from time import perf_counter

from art_snn.app.evaluate.findings import examined_rules
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluate.units import Unit, stage_works
from art_snn.attacks import planned
from art_snn.attacks.work import Work
from art_snn.progress import log_line
from art_snn.seeding import seeded

CHEAP = "fast"
WORTH = 60
"""Seconds from which on a time is told before it begins."""


@dataclass(frozen=True)
class Pace:
    """Seconds of an operation: of a batch of any size, and of every sample in it."""

    fixed: float
    each: float

    @classmethod
    def measured(cls, operate: Callable[[int], object], batch: int) -> "Pace":
        """By batches of one sample and of all, after one that loads what is needed."""
        operate(1)
        single, whole = _seconds(operate, 1), _seconds(operate, batch)
        each = max(0.0, whole - single) / max(1, batch - 1)
        return cls(max(0.0, single - each), each)

    def of(self, samples: float, batch: int) -> float:
        return self.fixed * ceil(samples / batch) + self.each * samples


@dataclass(frozen=True)
class Speed:
    """How fast the network predicts, and is differentiated, in batches of that size."""

    batch: int
    prediction: Pace
    gradient: Pace

    @classmethod
    def measured(cls, target: Target) -> "Speed":
        """In the first batch, with the first rule that is attacked with."""
        classifier, size = target.classifier, target.settings.batch_size
        x, y = target.x[:size], target.y[:size]
        rules = [rule for _, rule in examined_rules(target)]
        predict = partial(classifier.predict, batch_size=size)
        differentiate = partial(classifier.loss_gradient, gradient=rules[0] if rules else None)
        with seeded(target.settings.seed):
            prediction = gradient = Pace.measured(lambda n: predict(x[:n]), len(x))
            # What fails here fails in the attacks, too, which say why.
            with suppress(Exception):
                gradient = Pace.measured(lambda n: differentiate(x[:n], y[:n]), len(x))
        classifier.model.forget()
        return cls(size, prediction, gradient)

    def of(self, works: Iterable[Work], samples: int) -> float:
        """Seconds of the works on so many samples together."""
        seconds = 0.0
        for work in works if samples else ():
            count = max(1.0, samples * work.share)
            seconds += work.predictions * self.prediction.of(count, self.batch)
            seconds += work.gradients * self.gradient.of(count, self.batch)
        return seconds


def announce(target: Target, units: Sequence[Unit], processes: int, resumed: bool) -> None:
    """Say how long the units take, and which plan is cheaper, where that is a minute or more.

    Samples that bounds certify take no time. The bounds themselves are told before."""
    speed, decides, early = Speed.measured(target), target.settings.decides, units[0].early
    counts = {unit.name: unit.left() if unit.left else unit.samples for unit in units}
    seconds = {unit.name: speed.of(unit.works.values(), counts[unit.name]) for unit in units}
    total = sum(seconds.values()) / processes
    start = "The bounds take" if early else "The rest takes" if resumed else "This takes"
    words = f"{start} about {rough(total)} on this machine"
    if decides not in ("", CHEAP) and not early:
        works = stage_works(target, planned(CHEAP, target.settings.measure)).values()
        by_plan = [unit for unit in units if unit.plan == decides]
        saved = sum(seconds[unit.name] - speed.of(works, counts[unit.name]) for unit in by_plan)
        words += f"; --plan {CHEAP} takes about {rough(total - saved / processes)}"
    log_line(f"{words}.", verbose=total >= WORTH)


def rough(seconds: float) -> str:
    """A time as precisely as it is known: 40 s, 10 min, 1.5 h, 3 days."""
    for unit, size, most in (("s", 1, 90), ("min", 60, 90), ("h", 3600, 48)):
        value = seconds / size
        if value < most:
            return f"{value:.1f} {unit}" if unit == "h" and value < 3 else f"{value:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def _seconds(operate: Callable[[int], object], samples: int) -> float:
    start = perf_counter()
    operate(samples)
    return perf_counter() - start
