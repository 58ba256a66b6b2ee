"""How strong each gradient is: one network, one attack, every rule, or one rule over its settings.

Attack success alone does not say why a rule is weak, so the comparison also counts the samples
whose gradient vanishes altogether, and measures how far each gradient points away from STBP's."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from art_snn.app.colours import COLOURS, GREY, titled
from art_snn.app.machine import describe_machine, device_type, measure_medians
from art_snn.app.network import resolve_network
from art_snn.app.results import (
    Positive,
    Result,
    earlier,
    expect,
    fingerprint,
    working,
    write_result,
)
from art_snn.app.settings import Compare
from art_snn.app.tables import Notes, Part, Table
from art_snn.attacks import batches, craft, parse_stage, predict_logits
from art_snn.checks import require
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.gradients import (
    EOT,
    GRADIENTS,
    STBP,
    Gradient,
    Native,
    RateGradient,
    TemporalGradient,
    parse_rules,
)
from art_snn.metrics import Robustness, Share, describe_difference, robustness, union
from art_snn.seeding import seeded

_RULES = ",".join((*GRADIENTS, "pdsg-per-sample", "rga-32-steps", "mean-rga-stbp"))
"""The rules that are compared unless others are asked for."""
_STBP = "stbp"
CAUTION = (
    "A setting that is chosen on the samples under attack overstates the attack; the union over a "
    "grid that was fixed beforehand does not."
)


@dataclass(frozen=True)
class Row:
    """The achievement of one rule, in words; or why it does not apply.

    :param kind: "temporal" or "rate", by the engine of the rule; "" for all others.
    :param vanished: samples with an all-zero gradient at the clean image.
    :param cosine: mean of the cosine to the STBP gradient, over the clean images at which neither
        vanishes."""

    rule: str
    kind: str = ""
    objection: str | None = None
    outcome: Robustness | None = None
    vanished: Share | None = None
    cosine: float | None = None


@dataclass
class Comparison(Result):
    """The finished rows, and what they rest on: network, attack and machine in words.

    :param key: fingerprint of settings, weights and samples.
    :param inference: median seconds of a prediction of one batch.
    :param seconds: rule -> median seconds of one gradient of one batch.
    :param rows: rule -> row, in the order of the settings."""

    title: str
    key: str
    attack: str
    settings: dict[str, Any]
    machine: str = ""
    inference: Positive = math.nan
    seconds: dict[str, Positive] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    name: ClassVar[str] = "compare"

    def __post_init__(self) -> None:
        outcomes = self.outcomes
        sizes = {len(column) for one in outcomes.values() for column in (one.correct, one.robust)}
        expect(len(sizes) < 2, "rows of as many samples each", sorted(sizes))
        untimed = sorted(outcomes.keys() - self.seconds.keys())
        expect(not untimed, "seconds of every rule that applies", untimed)

    @property
    def outcomes(self) -> dict[str, Robustness]:
        """rule -> outcome, of the rules that apply."""
        return {n: row.outcome for n, row in self.rows.items() if row.outcome is not None}

    @property
    def reference(self) -> str:
        """The rule with which others are compared: STBP, or else the first that applies."""
        outcomes = self.outcomes
        return _STBP if _STBP in outcomes else next(iter(outcomes), _STBP)

    def union(self) -> Robustness:
        """The outcome of the attack whose adversarial is that of whichever rule succeeds."""
        return union(self.outcomes.values())

    def parts(self) -> list[Part]:
        """The network, the attack, and a row per rule."""
        accuracy = "no rule applies"
        for outcome in self.outcomes.values():
            share = outcome.clean_accuracy
            accuracy = (
                f"{share.count} of {share.total} samples classified correctly before the attack"
            )
        rows = self.rows.items()
        lines = [f"{name} does not apply: {row.objection}." for name, row in rows if row.objection]
        if lines and not self.outcomes and "native" not in self.rows:
            remedy = "Networks of other frameworks have their own gradient: --rules native."
            lines = [remedy, *lines]
        lines += [CAUTION] if sum("(" in name for name in self.rows) > 1 else []
        heading = (self.title, self.attack, accuracy, self.machine)
        return [heading, self._table(), *([Notes(lines)] if lines else [])]

    def _table(self) -> Table:
        """One row per rule and one for the union of all; p is of McNemar's test."""
        outcomes, blank = self.outcomes, ("",) * 5
        name = self.reference
        titles = ["rule", "success among the correct"]
        titles += [f"against {name.upper() if name == _STBP else name}", "x inference", "ms"]
        titles += ["zero gradient", "cosine to STBP"]
        rows: list[tuple[str, ...]] = []
        for name, row in self.rows.items():
            if row.outcome is None:
                rows.append((name, "does not apply", *blank))
                continue
            reference = outcomes[self.reference]
            p = "" if reference is row.outcome else describe_difference(row.outcome, reference)
            seconds = self.seconds[name]
            time = f"{seconds / self.inference:.2f}", f"{1000 * seconds:.0f}"
            cosine = "nan" if row.cosine is None else f"{row.cosine:.3f}"
            success = str(row.outcome.attack_success)
            rows.append((name, success, p, *time, str(row.vanished), cosine))
        if len(outcomes) > 1:
            rows.append(("union of all", str(self.union().attack_success), *blank))
        return Table(titles, rows)


def run(settings: Compare) -> Comparison:
    """Compare the rules; write compare.json, compare.md and compare.png.

    An interrupted run goes on after its last whole rule."""
    with working(settings):
        subject = resolve_network(settings)
        rules = parse_rules(settings.rules or _RULES)
        require(rules, "rules", "at least one", "none", "Name some.")
        data = subject.load_data()
        classifier = subject.classifier(data, settings.device, settings.seed)
        file, title = settings.output / "compare.json", subject.describe(data, classifier.model)
        x, y = data.x_test, data.y_test
        comparison = _compare_rules(settings, rules, classifier, x, y, file=file, title=title)
        comparison.write(settings.output, draw(comparison))
        return comparison


def _engine_of(rule: Gradient) -> str:
    if isinstance(rule, TemporalGradient):
        return "temporal"
    return "rate" if isinstance(rule, RateGradient) else ""


def _compare_rules(
    settings: Compare,
    rules: Mapping[str, Gradient],
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    *,
    file: Path | None = None,
    title: str = "",
) -> Comparison:
    """Attack a network, which keeps its own rule, with every rule, one after the other.

    With a JSON file, every finished rule is written to it, and those that it holds are not run
    again.

    :param settings: of which the network, the data and the rules are not read.
    :param x: test samples ``(N, *input_shape)``, with class indices y (N,).
    :param title: network and data in words.
    :raises ArgumentError: when the file holds a comparison of something else, or there is no
        sample."""
    stage = parse_stage(settings.attack, np.inf, settings.eps)
    x, y = x[: settings.samples], y[: settings.samples]
    require(len(x), "x", "at least one sample", "none", "Give test samples.")
    size, seed, draws = settings.batch_size, settings.seed, settings.eot
    network, kinds = classifier.model, {name: _engine_of(rule) for name, rule in rules.items()}

    def average(rule: Gradient) -> Gradient:
        return rule if draws == 1 else EOT(rule, samples=draws)

    def objection(rule: Gradient) -> str | None:
        with seeded(seed):
            reason = network.objection(rule) or network.objection(rule, x)
        return None if reason is None else str(reason).rstrip(".")

    def gradients(rule: Gradient, name: str) -> np.ndarray:
        """At the clean samples, flat (N, D) in float64."""
        parts = []
        for batch in batches(len(x), size, seed, f"gradients by {name}"):
            network.forget()
            parts.append(classifier.loss_gradient(x[batch], y[batch], gradient=rule))
        return np.concatenate(parts).reshape(len(x), -1).astype(np.float64)

    # Times and directions are those of the gradients that the attack takes.
    with network.crafting(settings.attack_dtype or classifier.model.attack_dtype):
        rules = {name: average(rule) for name, rule in rules.items()}
        objections = {name: objection(rule) for name, rule in rules.items()}
        native, stbp = average(Native()), average(STBP())
        # The network has its own gradient where none of the default rules applies.
        if settings.rules is None and all(objections.values()) and not objection(native):
            rules, objections = {**rules, "native": native}, {**objections, "native": None}
            kinds["native"] = _engine_of(Native())
        timed = {name: rule for name, rule in rules.items() if objections[name] is None}
        names = ("eps", "attack_dtype", "samples", "batch_size", "seed", "eot", "repeats")
        content = {name: getattr(settings, name) for name in names} | {"attack": str(stage)}
        content |= {"rules": {name: str(rule) for name, rule in rules.items()}}
        key = fingerprint(content, classifier, x, y)

        def fits(comparison: Comparison) -> bool:
            return comparison.key == key and comparison.seconds.keys() >= timed.keys()

        comparison = earlier(file, "comparison", Comparison, fits)
        if comparison is None:
            attack = f"{settings.attack}, eps {settings.eps:.4g}"
            attack += f", crafted in {settings.attack_dtype}" if settings.attack_dtype else ""
            comparison = Comparison(title, key, attack, content)
            _time(comparison, timed, classifier, x[:size], y[:size], settings)
        clean = predict_logits(classifier, x, size, seed)
        reference: np.ndarray | None = None
        for name, rule in rules.items():
            if name in comparison.rows:
                continue
            row = Row(str(rule), kinds[name], objections[name])
            if name in timed:
                if reference is None:  # To zeros there is no cosine.
                    zeros = np.zeros((len(x), x[0].size))
                    reference = zeros if objection(stbp) else gradients(stbp, "STBP")
                how: dict[str, Any] = {"norm": np.inf, "eps": settings.eps, "batch_size": size}
                how |= {"seed": seed, "progress_label": f"attack by {name}"}
                directions = gradients(rule, name)
                adversarial = craft(stage, rule, classifier, x, y, **how)
                logits = predict_logits(classifier, adversarial, size, seed)
                row = replace(row, outcome=robustness(clean, logits, y))
                row = replace(row, **_compare_directions(directions, reference))
            comparison.rows[name] = row
            if file is not None:
                write_result(file, comparison.as_dict())
    return comparison


def _compare_directions(gradients: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """How many gradients (N, D) vanish, and their mean cosine to those of the reference."""
    lengths = np.linalg.norm(gradients, axis=1), np.linalg.norm(reference, axis=1)
    both = (lengths[0] > 0) & (lengths[1] > 0)
    products = (gradients[both] * reference[both]).sum(1) / (lengths[0] * lengths[1])[both]
    vanished = Share(int((lengths[0] == 0).sum()), len(gradients))
    return {"vanished": vanished, "cosine": float(products.mean()) if both.any() else None}


def _time(
    comparison: Comparison,
    rules: Mapping[str, Gradient],
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    settings: Compare,
) -> None:
    """Measure the median seconds of one gradient of a batch with each rule, all in turn."""
    device = device_type(classifier.device)
    calls: dict[str, Callable[[], object]]
    calls = {"": partial(classifier.predict, x, batch_size=len(x))}
    for name, rule in rules.items():
        calls[name] = partial(classifier.loss_gradient, x, y, gradient=rule)
    with seeded(settings.seed):
        seconds = measure_medians(calls, settings.repeats, device)
    classifier.model.forget()
    how = f"times are medians of {settings.repeats} rounds in turn, batch {len(x)}"
    comparison.machine = f"{describe_machine(device)}; {how}"
    comparison.inference, comparison.seconds = seconds.pop(""), seconds


def draw(comparison: Comparison) -> Figure:
    """Attack success and time of one gradient, one bar per rule, in the colour of its kind.

    Success is conditional, with 95 % intervals; the line is the union of all."""
    figure = Figure(figsize=(9, 1.2 + 0.32 * len(comparison.outcomes)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    shares = [outcome.attack_success for outcome in comparison.outcomes.values()]
    values = np.array([100 * share.value for share in shares])
    reach = np.abs(100 * np.array([share.interval for share in shares]).T - values)
    _bars(left, comparison, values, "attack success [%]", xerr=reach)
    if len(shares) > 1:
        union = 100 * comparison.union().attack_success.value
        left.axvline(union, color="black", lw=0.8, ls=":")
        side = "right" if union > 30 else "left"
        left.text(union, -0.75, " union of all ", ha=side, va="center", fontsize="small")
    left.set(xlim=(0, 100))
    seconds = np.array([comparison.seconds[name] for name in comparison.outcomes])
    times = seconds / comparison.inference
    _bars(right, comparison, times, "time of one gradient [inferences]")
    right.axvline(1, color="black", lw=0.8, ls=":")
    titled(figure, comparison.title, comparison.attack)
    return figure


def _bars(
    ax: Axes, comparison: Comparison, values: np.ndarray, label: str, xerr: np.ndarray | None = None
) -> None:
    names = list(comparison.outcomes)
    kinds = {"temporal": COLOURS["stbp"], "rate": COLOURS["rga"]}
    colours = [kinds.get(comparison.rows[name].kind, GREY) for name in names]
    places = np.arange(len(names))
    ax.barh(places, values, xerr=xerr, color=colours, error_kw={"lw": 1, "capsize": 2})
    ax.set(yticks=places, yticklabels=names, xlabel=label, ylim=(len(names) - 0.4, -1.1))
    ax.grid(alpha=0.3, axis="x")
