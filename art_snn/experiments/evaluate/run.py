"""An evaluation: dealt out in blocks, written block by block, put together at the end."""

from functools import partial

from art_snn.experiments.evaluate.blocks import Blocks, Unit
from art_snn.experiments.evaluate.progress import Progress
from art_snn.experiments.evaluate.provenance import collect_provenance
from art_snn.experiments.evaluate.reservations import find_searches, of_trials
from art_snn.experiments.evaluate.settings import Settings
from art_snn.experiments.evaluate.subject import Target
from art_snn.experiments.evaluate.units import (
    attack_units,
    certificate_units,
    examinations,
    of_block,
    of_certificates,
    starts,
)
from art_snn.experiments.evaluate.written import lacking, write_blocks
from art_snn.experiments.evaluation import Certified, Evaluation, Reservation, Trial
from art_snn.experiments.resume import earlier, structured
from art_snn.files import digest
from art_snn.team import Team


def run(settings: Settings) -> Evaluation | None:
    """Train or load the network, attack it, look for findings; write all that came out.

    Started by torchrun, processes deal the blocks out among themselves, and the leading one writes;
    the others return None. A run that was interrupted, or killed, is taken up after its last whole
    block, and comes to the same, bit for bit. One that is done is not done again, unless a file of
    it is damaged or gone, or adversarials are asked for that were not kept."""
    with settings.at_work() as team:
        data = team.first(settings.source.load)
        subject = Target.obtained(settings, data, team)
        key = team.led(lambda: subject.key)
        blocks = Blocks(settings.output / "blocks", key)
        found = team.led(partial(done, subject, key))
        if found is None:
            team.led(subject.check)
            units = [*examinations(subject), *attack_units(subject), *certificate_units(subject)]
            compute(units, blocks, team)
            title = settings.network.words(data, subject.classifier.model)
            found = team.led(partial(put_together, subject, title, blocks))
        team.led(partial(found.write, settings.output))
        blocks.clear()
        return found if team.leads else None


def done(subject: Target, key: str) -> Evaluation | None:
    """The evaluation, where it lies in the folder with all its files."""
    file = subject.settings.output / "evaluation.json"
    found = earlier(file, "evaluation", Evaluation, lambda it: it.key == key)
    return None if found is None or lacking(subject, found) else found


def put_together(subject: Target, title: str, blocks: Blocks) -> Evaluation:
    """The evaluation of all blocks, and what they hold besides figures as files."""
    write_blocks(subject, blocks)
    return join_blocks(subject, title, blocks)


def compute(units: list[Unit], blocks: Blocks, team: Team) -> None:
    """Compute what is not done yet, whichever process is free the next unit."""
    names = [unit.name for unit in units]
    team.led(lambda: blocks.known(names))  # Complains in one process, if at all.
    done = set().union(*team.gathered(blocks.known(names)))
    samples = sum(unit.samples for unit in units)
    progress = Progress.over(samples, sum(u.samples for u in units if u.name in done), team)
    with progress.bar:
        todo = [unit for unit in units if unit.name not in done]
        for unit in team.dealt(sorted(todo, key=lambda unit: -unit.length), "units"):
            progress.begins(unit.words)
            blocks.put(unit.name, *unit.compute(progress))
            progress.ends(unit.samples)
        blocks.collect(names, team)


def join_blocks(subject: Target, title: str, blocks: Blocks) -> Evaluation:
    """The evaluation of all blocks together."""
    chosen = subject.settings
    trials, clean = [], []
    for place, _ in enumerate(subject.plans):
        parts = [blocks.read(of_block(place, start)) for start in starts(subject)]
        trials.append(Trial.joined([structured(part["trial"], Trial) for part in parts]))
        clean += [predicted for part in parts for predicted in part.get("clean", ())]
    found = [
        structured(told, Reservation)
        for unit in examinations(subject)
        for told in blocks.read(unit.name)["reservations"]
    ]
    names = map(of_certificates, starts(subject) if chosen.certify else ())
    certified = [structured(blocks.read(name)["certified"], Certified) for name in names]
    return Evaluation(
        title=title,
        key=subject.key,
        norm=chosen.norm,
        plan=chosen.decides,
        samples=tuple(digest("", sample)[:16] for sample in subject.x),
        labels=tuple(subject.y.tolist()),
        clean=tuple(clean),
        trials=tuple(trials),
        reservations=(*found, *of_trials(trials, find_searches(plan for _, plan in subject.plans))),
        provenance=collect_provenance(chosen, subject),
        certified=Certified.joined(certified) if certified else None,
    )
