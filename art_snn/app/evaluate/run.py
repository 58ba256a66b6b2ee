"""An evaluation: dealt out in blocks, written block by block, put together at the end."""

from dataclasses import replace
from functools import partial
from time import monotonic

from art_snn.app.evaluate.assemble import assemble, files_missing, files_of
from art_snn.app.evaluate.estimate import announce
from art_snn.app.evaluate.figure import draw
from art_snn.app.evaluate.progress import Course
from art_snn.app.evaluate.result import Evaluated
from art_snn.app.evaluate.settings import Settings
from art_snn.app.evaluate.store import TOOK, Store
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluate.units import (
    Unit,
    attack_units,
    bounds_units,
    certificate_units,
    examination_units,
)
from art_snn.app.evaluation import Evaluation
from art_snn.app.evaluation.items import RESULT
from art_snn.app.resume import earlier
from art_snn.team import Team


def run(settings: Settings) -> Evaluated | None:
    """Train or load the network, attack it, look for findings, and write the results.

    Started by torchrun, processes deal the blocks out among themselves, and the leading one writes;
    the others return None. A run that was interrupted, or killed, goes on after its last whole
    block, with the same result, bit for bit. A finished one is not repeated, unless a file of it is
    damaged or gone, or adversarials are asked for that were not kept."""
    with settings.at_work() as team:
        data = team.leader_first(settings.load)
        target = Target.obtained(settings, data, team)
        key = team.on_leader(lambda: target.key)
        store = Store(settings.output / "blocks", key)
        title = settings.network.words(data, target.classifier.model)
        evaluation = team.on_leader(partial(finished, target, key, title))
        if evaluation is None:
            team.on_leader(target.check)
            units = [*bounds_units(target), *examination_units(target)]
            units += [*attack_units(target, store), *certificate_units(target)]
            compute(units, store, team, target)
            seconds = store.seconds([unit.name for unit in units]) if team.leads else 0.0
            evaluation = team.on_leader(partial(assemble, target, title, store, seconds))
        result = Evaluated(evaluation, tuple(files_of(target, evaluation)), settings.records)
        team.on_leader(lambda: result.write(settings.output, draw(result)))
        store.clear()
        return result if team.leads else None


def finished(target: Target, key: str, title: str) -> Evaluation | None:
    """The evaluation, where it lies in the folder with all its files, with the present names."""
    file = target.settings.output / RESULT
    evaluation = earlier(file, "evaluation", Evaluation, lambda content: content.key == key)
    if evaluation is None or files_missing(target, evaluation):
        return None
    settings = target.settings
    # Earlier versions named no data, by which their files are known.
    dataset = evaluation.provenance.dataset and target.dataset
    words = settings.training_words
    provenance = replace(evaluation.provenance, training=words, dataset=dataset)
    return replace(evaluation, name=settings.label, title=title, provenance=provenance)


def compute(units: list[Unit], store: Store, team: Team, target: Target) -> None:
    """Compute the units that are not done; each free process takes the next one.

    Those whose blocks others read come first, in a round of their own."""
    names = [unit.name for unit in units]
    team.on_leader(lambda: store.done(names))  # Complains in one process, if at all.
    done = set().union(*team.gather(store.done(names)))
    units = sorted(units, key=lambda unit: -unit.length)
    missing = [unit for unit in units if unit.name not in done]
    team.on_leader(lambda: store.discard(unit.name for unit in missing))
    course = Course(units, done, store, team)
    with course.bar:
        for early in (True, False):
            some = [unit for unit in missing if unit.early == early]
            if team.leads and some:
                announce(target, some, team.size, resumed=bool(done))
            for unit in team.next_items(some, "bounds" if early else "units"):
                start = monotonic()
                content, arrays = course.result_of(unit, target.classifier.model)
                store.put(unit.name, content | {TOOK: monotonic() - start}, arrays)
                course.end()
            if early and target.settings.bounds:
                store.share([unit.name for unit in units if unit.early], team)
        store.collect(names, team)
        course.say_steps()
