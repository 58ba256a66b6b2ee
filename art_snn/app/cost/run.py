"""What one input gradient, or one training step, costs against inference without a gradient.

The rows are those of table S2 of Bu et al. (CVPR 2023): plain inference, the gradient with every
rule through our classifier and through ART's stock one, on demand also in other frameworks."""

from dataclasses import replace

from art_snn.app.base import at_work
from art_snn.app.cost.figure import draw
from art_snn.app.cost.result import Cost
from art_snn.app.cost.settings import TRAINED_BY, Settings
from art_snn.app.resume import earlier
from art_snn.encoders import Frames
from art_snn.measuring import process
from art_snn.measuring.machine import describe_machine, torch_device
from art_snn.measuring.peers import PEERS, installed, peer_objection, without
from art_snn.measuring.workload import INFERENCE, CostRow, Workload, peak_of, seconds_of
from art_snn.network import SpikingNetwork
from art_snn.precision import compute_dtype
from art_snn.progress import progress_over

SMALL_STEPS = (
    f"Steps are those of SGD with momentum {TRAINED_BY.momentum:g} and weight decay "
    f"{TRAINED_BY.weight_decay:g}, at a learning rate of {TRAINED_BY.learning_rate:g}, so that "
    "weights stay as they are drawn. Peaks are those of the first step: gradients of weights and "
    "the state of SGD count."
)


@at_work
def run(settings: Settings) -> Cost:
    """Time every row in turn, then its peak memory: on the CPU in a fresh process for each row.

    Writes cost.json, cost.md and cost.png. With `keep_memory` the setting stays with this process
    afterwards.

    :raises ProcessFailed: when a process ends without a result."""
    earlier(settings.output / "cost.json", "kind", dict, lambda content: "workload" in content)
    load = settings.workload()
    network = load.network()
    peers, remarks = _peers(network) if settings.peers else ([], [])
    remarks += _precision(settings, bool(peers))
    rows = [INFERENCE, *(CostRow("rule", name) for name in load.rules), *peers]
    if settings.training:
        remarks.append(SMALL_STEPS)
    else:
        rules = [name for name in ("rga", "stbp") if network.objection(load.rule(name)) is None]
        bare = (*(CostRow("rule", name) for name in rules), *peers)
        rows += [replace(row, stock=True) for row in bare]
    medians = seconds_of(load, rows, settings.repeats)
    cost = Cost(
        title=_title(settings, load, network),
        workload=settings.as_dict(),
        machine=describe_machine(settings.device),
        repeats=settings.repeats,
        seconds={row: medians[str(row)] for row in rows},
        peak={row: _peak(row, load) for row in progress_over(rows, "Peak memory", unit="rows")},
        remarks=remarks,
    )
    cost.write(settings.output, draw(cost))
    return cost


def _peers(network: SpikingNetwork) -> tuple[list[CostRow], list[str]]:
    """Rows of the frameworks that can have the network, and what their reader should know."""
    versions = installed()
    missing, rows = without(versions), []
    remarks = [] if missing is None else [missing]
    for name, version in versions.items():
        reason = peer_objection(name, network)
        remarks.append(PEERS[name].remark if reason is None else reason)
        rows += [CostRow("peer", f"{name} {version}")] if reason is None else []
    return rows, remarks


def _precision(settings: Settings, peers: bool) -> list[str]:
    """In what gradients or training steps were computed, where another precision was asked for."""
    device, remarks = torch_device(settings.device), []
    if settings.attack_dtype is not None:
        remarks.append(
            f"Gradients at the input: {compute_dtype(settings.attack_dtype, device)[1]}."
        )
        if peers:
            remarks.append("The other frameworks compute in single precision.")
    if settings.train_dtype is not None:
        whose = "Training steps, of every row" if peers else "Training steps"
        remarks.append(f"{whose}: {compute_dtype(settings.train_dtype, device)[1]}.")
    return remarks


def _title(settings: Settings, load: Workload, network: SpikingNetwork) -> str:
    architecture = settings.architecture
    if isinstance(network.encoder, Frames) and not architecture.is_own:
        architecture = replace(architecture, encoder="frames")
    what = "One training step" if settings.training else "One input gradient"
    size = "x".join(map(str, load.x.shape[1:]))
    return f"{what}: {architecture.words(network)}, batch {settings.batch_size}, {size}"


def _peak(row: CostRow, load: Workload) -> int:
    if load.device == "gpu":
        return peak_of(load, row)
    return int(process.in_fresh_process(peak_of, load, row))
