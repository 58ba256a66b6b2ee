"""An evaluation: handed out in units, written block by block, put together at the end."""

from collections.abc import Collection, Sequence
from functools import partial
from shutil import rmtree
from time import monotonic

import numpy as np

from art_snn.app.evaluate.result import EvaluationResult, assemble, files_of, finished
from art_snn.app.evaluate.settings import Evaluate
from art_snn.app.evaluate.store import Content, Store
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluate.units import Unit, all_units
from art_snn.app.results import working
from art_snn.attacks import Outcome
from art_snn.checks import require
from art_snn.progress import Progress, duration
from art_snn.team import Team

_TOOK = "took"
"""Name of the seconds that a block took, in its content."""


def run(settings: Evaluate) -> EvaluationResult | None:
    """Load the network, attack it, look for findings, and write the results.

    Started by torchrun, processes hand the units out among themselves, and the leading one writes;
    the others return None. A run that was interrupted, or killed, goes on after its last whole
    block, with the same result, bit for bit. A finished one is not repeated, unless a file of it is
    damaged or gone, or adversarials are asked for that were not kept."""
    with working(settings, together=True) as team:
        target = Target.resolve(settings, team)
        key = team.leader_first(lambda: target.key)
        same, remedy = {*team.gather(key)} == {key}, "Start them all from one state of the code."
        expected = "the same in every process"
        team.on_leader(lambda: require(same, "model", expected, "several", remedy))
        store = Store(settings.output / "blocks", key)
        title = target.subject.describe(target.data, target.classifier.model)
        evaluation = team.on_leader(partial(finished, target, key))
        if evaluation is None:
            team.on_leader(target.check)
            units = all_units(target, store)
            _compute(units, store, team)
            took = [store.read(unit.name).get(_TOOK, 0.0) for unit in units if team.leads]
            evaluation = team.on_leader(partial(assemble, target, title, store, sum(took)))
        entry = target.subject.entry
        records = () if entry is None else entry.standard
        files, limits = files_of(target, evaluation), (settings.fail_under or 0.0, settings.strict)
        result = EvaluationResult(evaluation, files, records, *limits)
        team.on_leader(lambda: result.save(settings.output))
        rmtree(store.folder, ignore_errors=True)
        return result if team.leads else None


def _compute(units: Sequence[Unit], store: Store, team: Team) -> None:
    """Compute the units that are not done; each free process takes the next one.

    Those whose blocks others read come first, in a round of their own."""
    units = sorted(units, key=lambda unit: -unit.length)
    names = [unit.name for unit in units]
    team.on_leader(lambda: store.done(names))  # Complains in one process, if at all.
    done = set().union(*team.gather(store.done(names)))
    missing = [unit for unit in units if unit.name not in done]
    for unit in missing if team.leads else ():  # What is there is done.
        store.file(unit.name).unlink(missing_ok=True)
    team.gather(None)
    progress = _EvaluationProgress(units, done, store, team)
    with progress.bar:
        for early in (True, False):
            some = [unit for unit in missing if unit.early == early]
            for unit in team.next_items(some, "bounds" if early else "units"):
                start = monotonic()
                progress.bar.describe(progress.name_step(unit.step))
                content, arrays = unit.compute(progress.bar.note)
                store.put(unit.name, content | {_TOOK: monotonic() - start}, arrays)
                progress.end()
            if early and any(unit.early for unit in units):
                store.share([unit.name for unit in units if unit.early], team)
        store.share(names, team)
        progress.end(0)


class _EvaluationProgress:
    """The progress of an evaluation, as it is shown: a bar over its units, and a line per step.

    :param units: all, in the order of their steps.
    :param done: names of those that were done before."""

    def __init__(
        self, units: Sequence[Unit], done: Collection[str], store: Store, team: Team
    ) -> None:
        self.store, self.team = store, team
        self.steps: dict[str, list[str]] = {}
        for unit in units:
            self.steps.setdefault(unit.step, []).append(unit.name)
        self.ended = {step for step, names in self.steps.items() if {*names} <= {*done}}
        self.finished = 0
        self.bar = Progress("Evaluation", len(units), done=len(done), unit="parts", summary=False)

    def end(self, units: int = 1) -> None:
        """So many units are done here, and others in other processes; a step may be with them."""
        total = self.team.add_count("done", units) if self.team.size > 1 else self.finished + units
        self.bar.update(total - self.finished)
        self.finished = total
        for step, names in self.steps.items() if self.team.leads else ():
            files = map(self.store.file, names)
            if step not in self.ended and all(file.exists() for file in files):
                self.ended.add(step)
                achieved = _describe_step([self.store.read(name) for name in names])
                self.bar.write(f"{self.name_step(step)}: {achieved}")

    def name_step(self, step: str) -> str:
        """A step with its number: "[2/3] fast, eps 0.1"."""
        return f"[{[*self.steps].index(step) + 1}/{len(self.steps)}] {step}"


def _describe_step(contents: Sequence[Content]) -> str:
    """The achievement of a step in words, by the contents of its blocks, and how long it took."""
    took = duration(sum(content.get(_TOOK, 0.0) for content in contents))
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
