"""The neurons of a network, and the engine with which every rule runs on it: found by trying."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from numpy import ndarray

from art_snn.app.architecture import OWN
from art_snn.app.machine import torch_device
from art_snn.app.network import random_samples, record_calls, resolve_network
from art_snn.app.results import Result, run_folder
from art_snn.app.settings import RANDOM, Inspect, refuse_given
from art_snn.app.tables import Notes, Part, Table
from art_snn.checks import LONGEST_SIDE, ArgumentError, first_line, locate_own
from art_snn.data import Dataset
from art_snn.dynamics import Dynamics, least, most, operand
from art_snn.gradients import Gradient, parse_rules
from art_snn.gradients.names import ORDER, find_best, find_vanished
from art_snn.layers import device_of
from art_snn.metrics import Share
from art_snn.network import SpikingNetwork
from art_snn.progress import progress_over
from art_snn.running.context import keep_modes
from art_snn.seeding import fix_seed

_TITLES = (
    "neuron",
    "class",
    "layout",
    "decay",
    "gain",
    "threshold",
    "reset",
    "rate",
    "rules",
)
"""Columns of the table of neurons."""
_EXCHANGED = "slope exchanged at "
"""What begins the notes that have a table of their own."""


@dataclass(frozen=True)
class _Neurons:
    """A layer of neurons of some class, by its name in the network; a model that is one has none.

    :param layout: what its calls take: steps [T, N, ...], step [N, ...], merged [T * N, ...], ...
    :param rate: spikes per step on the samples; None where it was not called.
    :param dynamics: its equations; None where they are not known, and why.
    :param read_out: whether it never resets, so that its potential is read rather than its spikes.
    :param objections: rule -> why it does not apply."""

    name: str
    kind: str
    layout: str
    dynamics: Dynamics | None
    unknown: str | None
    rate: float | None
    read_out: bool
    objections: Mapping[str, str]

    def row(self, rules: Iterable[str]) -> list[str]:
        """As a row of the table; numbers that are not known are question marks."""
        cells = ["?"] * 4
        if (d := self.dynamics) is not None:
            resets = {
                "soft": f"soft by {d.reset_amount:g}",
                "hard": f"hard to {d.v_reset:g}",
            }
            reset = resets.get(d.reset, "none")
            if d.floor is not None:
                reset += f", floor {d.floor:g}"
            decay = " to ".join(
                f"{end:g}" for end in sorted({least(d.decay), most(d.decay)})
            )
            if d.has_synapse:
                decay += f", synapse {d.synapse:g}, lag {d.lag}"
            spikes = {None: ", several spikes", 1: ""}.get(
                d.max_spikes, f", {d.max_spikes} spikes"
            )
            cells = [decay, f"{d.gain:g}", f"{d.threshold:g}{spikes}", reset]
        rate = "not called" if self.rate is None else f"{self.rate:.3f}"
        words = "all"
        if self.objections:
            applicable = [name for name in rules if name not in self.objections]
            words = ", ".join(applicable) or "none"
            if len(applicable) > len(self.objections):
                words = f"all but {', '.join(self.objections)}"
        return [self.name, self.kind, self.layout, *cells, rate, words]


@dataclass(frozen=True)
class _Inspection(Result):
    """Neurons and rules of one network; the settings are its encoder, rules and the like."""

    title: str
    settings: Mapping[str, Any]
    neurons: Sequence[_Neurons]
    rules: Mapping[str, Mapping[str, Any]]
    name: ClassVar[str] = "inspect"

    def parts(self) -> list[Part]:
        """A row per layer of neurons and one per rule, with the reasons below them."""
        heading = []
        places = []
        for name, value in self.settings.items():
            if name.startswith(_EXCHANGED):
                place = name.removeprefix(_EXCHANGED).removeprefix(OWN)
                places.append([place, value])
            else:
                heading.append(f"{name.replace('_', ' ')}: {value}")
        neurons = Table(_TITLES, [one.row(self.rules) for one in self.neurons])
        exchanged = Table((_EXCHANGED.strip(), "remark"), places)
        tables = [table for table in (neurons, exchanged) if table.rows]
        rows = []
        zero: dict[str, int] = {}
        refusals: dict[str, list[str]] = {}
        for name, trial in self.rules.items():
            cells = ["none", "", "does not apply"]
            vanished = trial["vanished"]
            if vanished is not None:
                kind, _, reason = trial["engine"].partition(": ")
                zero[name] = vanished["count"]
                cells = [kind, f"{zero[name]} of {vanished['total']}", reason]
            elif why := trial["refusal"] or (not self.neurons and trial["objection"]):
                refusals.setdefault(why, []).append(name)
                cells[-1] = "refused: see below"
            rows.append([name, *cells])
        rules = Table(("rule", "engine", "zero gradient", "remark"), rows)

        remarks = []
        if zero:
            remarks.append(_describe_choice(zero))
        for why, names in refusals.items():
            remarks.append(f"Refused under {', '.join(names)}: {why}")
        objections = Notes(self._objections())
        return [(self.title, *heading), *tables, objections, rules, Notes(remarks)]

    def _objections(self) -> list[str]:
        """Sentences: neurons that are not known, and why a rule does not apply to which neurons."""
        lines = []
        neurons: dict[tuple[str, str, bool], list[str]] = {}
        for one in self.neurons:
            if one.unknown:
                lines.append(f"The equations of {one.name} are not known: {one.unknown}.")
            for rule, reason in one.objections.items():
                if reason != one.unknown:
                    neurons.setdefault((rule, reason, one.read_out), []).append(one.name)
        for (rule, reason, read_out), names in neurons.items():
            where = " where others read its spikes" if read_out else ""
            lines.append(f"{rule} does not apply to {', '.join(names)}{where}: {reason}.")
        return lines


def _describe_choice(zero: Mapping[str, int]) -> str:
    """The rule to attack with, in sentences, and when art-snn evaluate takes another one.

    :param zero: rule -> samples whose gradient is zero."""
    best = find_best(zero)
    words = f"Attack with {best}, whose gradient is zero for {zero[best]} samples"
    for name, count in zero.items():
        if count > zero[best]:
            words += f"; that of {name} for {count}"
    if best != "stbp" and "stbp" in zero:
        words += (
            ". So does art-snn evaluate if --attack names an attack in the norm inf or 2. The "
            "attack that it compares a plan with takes stbp, as papers report it"
        )
    return f"{words}."


def run(settings: Inspect) -> _Inspection:
    """Build or load the network, look at its neurons, try every rule; write inspect.json, .md."""
    with run_folder(settings):
        subject = resolve_network(settings, drawn=True)
        drawn = settings.data == RANDOM or (
            settings.data is None and subject.entry is None
        )

        if drawn:
            refuse_given(
                settings,
                ["value_range"],
                "None for random samples",
                "Leave it out, or name data.",
            )
            settings.check_count(
                "image_size",
                up_to=LONGEST_SIDE,
                remedy="Random samples are square: give their side in pixels.",
            )
            x, y = random_samples(
                subject.architecture.fill(subject.noted),
                settings.batch_size,
                channels=settings.channels,
                image_size=settings.image_size,
            )
            labels = y.argmax(1)
            # Labels alone would not tell how many classes there are.
            labels[-1] = y.shape[1] - 1
            data = Dataset("random samples", x, labels, x, labels)
        else:
            refuse_given(
                settings,
                ["channels"],
                f"None next to {subject.source.name}, whose samples have channels",
                "Leave it out.",
            )
            data = subject.load_data()
        network = subject.build(data).to(torch_device(settings.device))
        x = data.x_test[: settings.batch_size]
        classes = None if drawn else data.y_test[: len(x)]
        size = "x".join(map(str, x.shape[1:]))
        title = f"{subject.describe(data, network)}, batch {len(x)}, {size}"
        rules = parse_rules(settings.rules or ",".join(ORDER))
        result = _inspect_network(network, x, classes, rules, title)
        result.write(settings.output)
        return result


def _inspect_network(
    network: SpikingNetwork,
    x: ndarray,
    y: ndarray | None,
    rules: Mapping[str, Gradient],
    title: str = "",
) -> _Inspection:
    """Inspect any network, which is left as it was, on samples [N, ...] of classes [N].

    Gradients are of the samples that are classified correctly, if any; without classes of all."""
    device = device_of(network)
    inputs = torch.as_tensor(x, device=device).float()
    with keep_modes(network, False), fix_seed(0):
        with torch.no_grad():
            predicted = network(inputs).argmax(1)
        labels = predicted if y is None else torch.as_tensor(y, device=device).long()
        results = {
            name: _try_rule(network, rule, inputs, labels)
            for name, rule in progress_over(rules.items(), "Rules", leave=False)
        }
        # Passes may have shown that some equations cannot be used.
        neurons = _find_neurons(network, inputs, rules)
    settings = {
        "time": network.body.describe_time(),
        "encoder": str(network.encoder),
        "gradient": str(network.gradient),
        "training_gradient": str(network.training_gradient),
        **network.body.notes(),
    }
    return _Inspection(title, settings, neurons, results)


def _find_neurons(
    network: SpikingNetwork, x: torch.Tensor, rules: Mapping[str, Gradient]
) -> list[_Neurons]:
    """Every layer of neurons, with its rate in one pass."""
    neurons = []
    sites = {site.name: site for site in network.body.neurons()}
    for layer, calls in record_calls(network, x):
        name, dynamics = layer.site.name, layer.site.dynamics
        single = dynamics.max_spikes == 1
        counts = [
            call != 0 if single else call / operand(dynamics.amplitude, call)
            for call in calls
        ]
        # Rules may ask less of a neuron than its equations.
        asked = sites.get(name, layer.site).dynamics
        reasons = {n: rule.objection(asked, network.encoder) for n, rule in rules.items()}
        neurons.append(
            _Neurons(
                name=name or "(the model)",
                kind=type(layer.module).__qualname__,
                layout=layer.layout,
                dynamics=None if dynamics.unknown else dynamics,
                unknown=dynamics.unknown,
                rate=float(torch.cat(counts).double().mean()) if calls else None,
                read_out=name not in sites,
                objections={
                    n: reason for n, reason in reasons.items() if reason is not None
                },
            )
        )
    return neurons


def _try_rule(
    network: SpikingNetwork, rule: Gradient, x: torch.Tensor, y: torch.Tensor
) -> dict[str, Any]:
    """One gradient with the rule, as JSON: the engine that ran, and samples without a gradient.

    Or the objection because of which it was not tried, or why it was refused."""
    objection = network.body.objection(rule)
    trial = {
        "rule": str(rule),
        "engine": "",
        "objection": objection,
        "refusal": None,
        "vanished": None,
    }
    if objection is not None:
        return trial
    try:
        zero, execution = find_vanished(network, rule, x, y)
    except ArgumentError as error:
        return trial | {"refusal": str(error)}
    except Exception as error:
        # The command finds out under which rules a model fails.
        words = f"{type(error).__name__}: {first_line(error)}{locate_own(error)}"
        return trial | {"refusal": f"it failed with {words}"}
    return trial | {
        "engine": str(execution),
        "vanished": Share(int(zero.sum()), len(zero)).as_dict(),
    }
