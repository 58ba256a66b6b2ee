"""An evaluation: handed out in units, written block by block, put together at the end."""

from collections.abc import Sequence
from functools import partial
from shutil import rmtree
from time import monotonic

from art_snn.app.evaluate.blocks import PART, TOOK, Store
from art_snn.app.evaluate.examples import list_files
from art_snn.app.evaluate.result import EvaluationResult, assemble, load_finished
from art_snn.app.evaluate.settings import Evaluate
from art_snn.app.evaluate.target import Target
from art_snn.app.evaluate.units import Unit, list_units
from art_snn.app.results import run_folder
from art_snn.checks import require
from art_snn.progress import Progress, duration
from art_snn.team import Team


def run(settings: Evaluate) -> EvaluationResult | None:
    """Load the network, attack it, look for findings, and write the results.

    Started by torchrun, processes hand the units out among themselves, and the leading
    one writes; the others return None. A run that was interrupted, or killed, goes on
    after the last stage that was written, with the same result, bit for bit. A finished
    one is not repeated, unless a file of it is damaged or gone."""
    with run_folder(settings, together=True) as team:
        target = Target.resolve(settings, team)
        key = team.leader_first(lambda: target.key)
        same = {*team.gather(key)} == {key}
        team.on_leader(
            partial(
                require,
                same,
                "model",
                "the same in every process",
                "several",
                "Start them all from one state of the code.",
            )
        )

        store = Store(settings.output / "blocks", key)
        title = target.subject.describe(target.data, target.classifier.model)
        evaluation = team.on_leader(partial(load_finished, target))
        if evaluation is None:
            team.on_leader(target.check)
            units = list_units(target, store)
            _compute(units, store, team)
            took = [store.read(unit.name)[TOOK] for unit in units if team.leads]
            evaluation = team.on_leader(
                partial(assemble, target, title, store, sum(took))
            )

        below = settings.fail_under or 0.0
        result = EvaluationResult(
            evaluation, list_files(evaluation), below, settings.strict
        )
        team.on_leader(lambda: result.write(settings.output))
        rmtree(store.folder, ignore_errors=True)
        return result if team.leads else None


def _compute(units: Sequence[Unit], store: Store, team: Team) -> None:
    """Compute the units that are not done; each free process takes the next one.

    Those whose blocks others read come first, in rounds of their own."""
    units = sorted(units, key=lambda unit: (unit.turn, -unit.length))
    # One process looks for all, and complains.
    done = team.on_leader(lambda: store.done([unit.name for unit in units]))
    missing = [unit for unit in units if unit.name not in done]
    progress = Progress(
        "Evaluation", len(units), done=len(done), even=False, summary=False
    )
    with progress:
        for turn in range(3):
            some = [unit for unit in missing if unit.turn == turn]
            for unit in team.next_items(some, f"turn {turn}"):
                if unit.step != progress.description:
                    progress.note("")
                progress.describe(unit.step)
                # Those before it are done, or computed by other processes.
                place = len(done) + missing.index(unit)
                start = monotonic()
                progress.update(place - progress.done)
                content, arrays = unit.compute(progress.note)
                took = monotonic() - start + content.get(TOOK, 0.0)
                store.put(unit.name, content | {TOOK: took}, arrays)
                store.file(unit.name + PART).unlink(missing_ok=True)
                progress.write(
                    f"[{place + 1}/{len(units)}] {unit.step}: {duration(took)}"
                )
            team.gather(None)  # All have written theirs.
        progress.update(len(units) - progress.done)
