"""How the cost of an attack grows with the time steps: measure, model by model."""

from itertools import product

import torch

from art_snn.app.base import at_work
from art_snn.app.resume import earlier, write_result
from art_snn.app.scaling.figure import draw
from art_snn.app.scaling.result import Cell, Growth
from art_snn.app.scaling.settings import Protocol, Settings
from art_snn.measuring import process
from art_snn.measuring.machine import describe_machine
from art_snn.measuring.workload import Workload, peak_of, seconds_of
from art_snn.progress import progress_over


@at_work
def run(settings: Settings) -> Growth:
    """Measure every model at every number of time steps; write scaling.json, .md and .png.

    Each peak is taken in a process of its own; then the rows that survived are timed in another.
    A process that fails costs only its rows their figures. An interrupted run goes on after its
    last whole cell, one model at one T, and cells that failed are measured again."""
    images, file = settings.images(), settings.output / "scaling.json"
    protocol = Protocol.of(settings, images)
    threads = settings.threads or torch.get_num_threads()
    machine = describe_machine(settings.device, threads)
    earlier(file, "protocol", Growth, lambda growth: growth.protocol == protocol)
    before = earlier(file, "machine", Growth, lambda growth: growth.machine == machine)
    cells = {(cell.model, cell.steps): cell for cell in before.cells} if before else {}
    pairs = list(product(settings.models, settings.steps))
    each = "{0[0]}, T = {0[1]}".format
    for model, steps in progress_over(pairs, "Models and time steps", each=each):
        cell = cells.get((model, steps))
        if cell is None or not cell.whole(map(str, settings.rows)):
            load = settings.workload(images, model, steps, threads)
            cells[model, steps] = _measured(load, Cell(model, steps), settings)
            whole = tuple(cells[pair] for pair in pairs if pair in cells)
            write_result(file, Growth(protocol, machine, whole).as_dict())
    growth = Growth(protocol, machine, tuple(cells[pair] for pair in pairs))
    growth.write(settings.output, draw(growth))
    return growth


def _measured(load: Workload, cell: Cell, settings: Settings) -> Cell:
    """The cell with its figures, whatever fails."""
    one_batch, rows = load.of(settings.batch_size), []
    words = f"Memory, {cell.model}, T = {cell.steps}"
    for row in progress_over(settings.rows, words, unit="rows", leave=False):
        try:
            cell.peak[str(row)] = int(process.in_fresh_process(peak_of, one_batch, row))
            rows.append(row)
        except process.ProcessFailed as failure:
            cell.failed[str(row)] = failure.reason
    try:
        cell.seconds.update(process.in_fresh_process(seconds_of, load, rows, settings.repeats))
    except process.ProcessFailed as failure:
        cell.failed.update(dict.fromkeys(cell.peak, failure.reason))
    return cell
