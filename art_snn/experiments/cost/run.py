"""What one input gradient costs, against inference without a gradient.

The rows are those of table S2 of Bu et al. (CVPR 2023), for one gradient: plain inference, the
gradient by every rule through PyTorchSpikingClassifier, and through ART's stock PyTorchClassifier
around the same network."""

from dataclasses import replace

from tqdm.auto import tqdm

from art_snn.encoders import Frames
from art_snn.experiments.base import at_work
from art_snn.experiments.cost.result import Cost
from art_snn.experiments.cost.settings import Settings
from art_snn.experiments.resume import earlier
from art_snn.gradients import objection
from art_snn.measuring.machine import describe_machine
from art_snn.measuring.process import in_fresh_process
from art_snn.measuring.workload import INFERENCE, STOCK, Workload, peak_of, seconds_of


@at_work
def run(settings: Settings) -> Cost:
    """Time every row in turn, then its peak memory: on the CPU in a fresh process for each row.

    Writes cost.json, cost.md and cost.png. With `keep_memory` the setting stays with this process
    afterwards.

    :raises ProcessFailed: when a process ends without a result."""
    earlier(settings.output / "cost.json", "kind", dict, lambda found: "workload" in found)
    load = settings.workload()
    rows = [INFERENCE, *settings.rules]
    network = load.network()
    for name in ("rga", "stbp"):
        if not objection(load.rule(name), network.sites(), network.encoder):
            rows.append(STOCK + name)
    seconds = seconds_of(load, rows, settings.repeats)
    peak = {row: _peak(row, load) for row in tqdm(rows, desc="Peak memory")}
    told = settings.architecture
    if isinstance(network.encoder, Frames) and not told.is_own:
        told = replace(told, encoder="frames")
    size = "x".join(map(str, load.x.shape[1:]))
    title = f"One input gradient: {told.words()}, batch {settings.batch_size}, {size}"
    machine = describe_machine(settings.device)
    cost = Cost(title, settings.as_dict(), machine, settings.repeats, seconds, peak)
    cost.write(settings.output)
    return cost


def _peak(row: str, load: Workload) -> int:
    if load.device == "gpu":
        return peak_of(load, row)
    return int(in_fresh_process(peak_of, load, row))
