"""How the cost of an attack grows with the time steps: measure, model by model."""

from itertools import product
from pathlib import Path

import torch
from tqdm.auto import tqdm

from art_snn.experiments.base import at_work
from art_snn.experiments.resume import earlier, write_result
from art_snn.experiments.scaling.figure import draw
from art_snn.experiments.scaling.result import Cell, Growth
from art_snn.experiments.scaling.settings import Protocol, Settings
from art_snn.measuring.machine import describe_machine
from art_snn.measuring.process import ProcessFailed, in_fresh_process
from art_snn.measuring.workload import Workload, peak_of, seconds_of


@at_work
def run(settings: Settings) -> Growth:
    """Measure every model at every number of time steps; write scaling.json, .md and .png.

    Each peak is taken in a process of its own; then the rows that survived are timed in another
    one, all in turn. A process that fails or is killed costs its rows their figures and nothing
    else. A run that was interrupted is taken up after its last whole cell, one model at one T, and
    cells that failed are measured again."""
    images = settings.images()
    protocol = Protocol.of(settings, images)
    threads = settings.threads or torch.get_num_threads()
    machine = describe_machine(settings.device, threads)
    found = _earlier(settings.output, protocol, machine)
    pairs = list(product(settings.models, settings.steps))
    for model, steps in tqdm(pairs, desc="Models and time steps"):
        if (model, steps) not in found or not found[model, steps].whole(settings.rows):
            load = settings.workload(images, model, steps, threads)
            found[model, steps] = _measured(load, Cell(model, steps), settings)
            cells = tuple(found[pair] for pair in pairs if pair in found)
            growth = Growth(protocol, machine, cells)
            write_result(settings.output / "scaling.json", growth.as_dict())
    growth = Growth(protocol, machine, tuple(found[pair] for pair in pairs))
    growth.write(settings.output, draw(growth))
    return growth


def _measured(load: Workload, cell: Cell, settings: Settings) -> Cell:
    """The cell with its figures, whatever fails."""
    one_batch = load.of(settings.batch_size)
    for row in tqdm(settings.rows, desc=f"Memory, {cell.model}, T = {cell.steps}", leave=False):
        try:
            cell.peak[row] = int(in_fresh_process(peak_of, one_batch, row))
        except ProcessFailed as failure:
            cell.failed[row] = failure.reason
    try:
        cell.seconds.update(in_fresh_process(seconds_of, load, list(cell.peak), settings.repeats))
    except ProcessFailed as failure:
        cell.failed.update(dict.fromkeys(cell.peak, failure.reason))
    return cell


def _earlier(output: Path, protocol: Protocol, machine: str) -> dict[tuple[str, int], Cell]:
    """Cells that the folder holds, by model and steps."""
    # Earlier versions wrote cost.json.
    files = [output / name for name in ("scaling.json", "cost.json") if (output / name).exists()]
    for file in files[:1]:
        found = earlier(file, "protocol", Growth, lambda found: found.protocol == protocol)
        found = earlier(file, "machine", Growth, lambda found: found.machine == machine)
        return {(cell.model, cell.steps): cell for cell in found.cells} if found else {}
    return {}
