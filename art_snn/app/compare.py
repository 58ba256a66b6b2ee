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

from art_snn.app.colours import GREY, KINDS, titled
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
from art_snn.attacks import Stage, attack_logits, batches, parse_stage, predict_logits
from art_snn.checks import require_some
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.gradients import EOT, GRADIENTS, STBP, Gradient, Native, engine_of, parse_rules
from art_snn.metrics import Robustness, Share, describe_difference, robustness, union
from art_snn.seeding import seeded

RULES = ",".join((*GRADIENTS, "pdsg-per-sample", "rga-32-steps", "mean-rga-stbp"))
"""The rules that are compared unless others are asked for."""
REFERENCE = "stbp"
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
        return REFERENCE if REFERENCE in outcomes else next(iter(outcomes), REFERENCE)

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
        titles += [f"against {name.upper() if name == REFERENCE else name}", "x inference", "ms"]
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
        stage = parse_stage(settings.attack, np.inf, settings.eps)
        rules = parse_rules(settings.rules or RULES)
        require_some("rules", rules)
        data = subject.load_data()
        classifier = subject.classifier(data, settings.device, settings.seed)
        file, title = settings.output / "compare.json", subject.describe(data, classifier.model)
        bench = Bench(settings, stage, rules, classifier, data.x_test, data.y_test)
        comparison = bench.compare(file, title)
        comparison.write(settings.output, draw(comparison))
        return comparison


@dataclass(frozen=True)
class Bench:
    """One network and its samples, on which rules are compared.

    :param settings: of which the network, the data, attack and rules are not read.
    :param x: test samples ``(N, *input_shape)``, with class indices y (N,)."""

    settings: Compare
    stage: Stage
    rules: Mapping[str, Gradient]
    classifier: PyTorchSpikingClassifier
    x: np.ndarray
    y: np.ndarray

    def compare(self, file: Path | None = None, title: str = "") -> Comparison:
        """Attack the network, which keeps its own rule, with every rule, one after the other.

        With a JSON file, every finished rule is written to it, and those that it holds are not run
        again.

        :param title: network and data in words.
        :raises ArgumentError: when the file holds a comparison of something else, or there is no
            sample."""
        settings, classifier = self.settings, self.classifier
        x, y = self.x[: settings.samples], self.y[: settings.samples]
        require_some("x", x, "at least one sample", "Give test samples.")
        # Times and directions are those of the gradients that the attack takes.
        with classifier.model.crafting(settings.attack_dtype or classifier.attack_dtype):
            bench = replace(self, x=x, y=y)._with_native()
            objections = {name: bench.objection(rule) for name, rule in bench.rules.items()}
            timed = [name for name in bench.rules if objections[name] is None]
            content = {
                name: getattr(settings, name)
                for name in (
                    "eps",
                    "attack_dtype",
                    "samples",
                    "batch_size",
                    "seed",
                    "eot",
                    "repeats",
                )
            }
            content |= {"attack": str(bench.stage)}
            content |= {"rules": {name: str(bench.averaged(r)) for name, r in bench.rules.items()}}
            key = fingerprint(content, classifier, x, y)

            def fits(comparison: Comparison) -> bool:
                return comparison.key == key and comparison.seconds.keys() >= {*timed}

            comparison = earlier(file, "comparison", Comparison, fits)
            if comparison is None:
                attack = f"{settings.attack}, eps {settings.eps:.4g}"
                attack += f", crafted in {settings.attack_dtype}" if settings.attack_dtype else ""
                comparison = Comparison(title, key, attack, content)
                bench.time(comparison, {name: bench.rules[name] for name in timed})
            clean = predict_logits(classifier, x, settings.batch_size, settings.seed)
            reference: np.ndarray | None = None
            for name, rule in bench.rules.items():
                if name in comparison.rows:
                    continue
                row = Row(str(bench.averaged(rule)), engine_of(rule), objections[name])
                if row.objection is None:
                    reference = bench.reference_gradients() if reference is None else reference
                    row = bench.attack(row, name, clean, reference)
                comparison.rows[name] = row
                if file is not None:
                    write_result(file, comparison.as_dict())
        return comparison

    def averaged(self, rule: Gradient) -> Gradient:
        """The rule, averaged over draws where that was asked for."""
        return rule if self.settings.eot == 1 else EOT(rule, samples=self.settings.eot)

    def objection(self, rule: Gradient) -> str | None:
        """Why the rule cannot be compared on this network, or None."""
        network, rule = self.classifier.model, self.averaged(rule)
        with seeded(self.settings.seed):
            reason = network.objection(rule) or network.objection(rule, self.x)
        return None if reason is None else str(reason).rstrip(".")

    def _with_native(self) -> "Bench":
        """The same, with the network's own gradient where none of the default rules applies."""
        default = self.settings.rules is None
        if not default or not all(map(self.objection, self.rules.values())):
            return self
        native = Native()
        if self.objection(native):
            return self
        return replace(self, rules={**self.rules, "native": native})

    def gradients(self, rule: Gradient, progress_label: str) -> np.ndarray:
        """Gradients at the clean samples, flat (N, D) in float64."""
        size, seed, parts = self.settings.batch_size, self.settings.seed, []
        for batch in batches(len(self.x), size, seed, progress_label):
            self.classifier.model.forget()
            x, y = self.x[batch], self.y[batch]
            parts.append(self.classifier.loss_gradient(x, y, gradient=self.averaged(rule)))
        return np.concatenate(parts).reshape(len(self.x), -1).astype(np.float64)

    def reference_gradients(self) -> np.ndarray:
        """Those by STBP; zeros, to which there is no cosine, where it does not apply."""
        if self.objection(STBP()):
            return np.zeros((len(self.x), self.x[0].size))
        return self.gradients(STBP(), "gradients by STBP")

    def attack(self, row: Row, name: str, clean: np.ndarray, reference: np.ndarray) -> Row:
        """The row with the result of the attack with the rule."""
        settings, rule = self.settings, self.rules[name]
        gradients = self.gradients(rule, f"gradients by {name}")
        logits = attack_logits(
            self.stage,
            self.averaged(rule),
            self.classifier,
            self.x,
            self.y,
            norm=np.inf,
            eps=settings.eps,
            batch_size=settings.batch_size,
            seed=settings.seed,
            progress_label=f"attack by {name}",
        )
        lengths = np.linalg.norm(gradients, axis=1), np.linalg.norm(reference, axis=1)
        both = (lengths[0] > 0) & (lengths[1] > 0)
        products = (gradients[both] * reference[both]).sum(1) / (lengths[0] * lengths[1])[both]
        return replace(
            row,
            outcome=robustness(clean, logits, self.y),
            vanished=Share(int((lengths[0] == 0).sum()), len(self.x)),
            cosine=float(products.mean()) if both.any() else None,
        )

    def time(self, comparison: Comparison, rules: Mapping[str, Gradient]) -> None:
        """Measure the median seconds of one gradient of a batch with each rule, all in turn."""
        classifier, repeats = self.classifier, self.settings.repeats
        device = device_type(classifier.device)
        x, y = self.x[: self.settings.batch_size], self.y[: self.settings.batch_size]
        operations: dict[str, Callable[[], object]]
        operations = {"": partial(classifier.predict, x, batch_size=len(x))}
        for name, rule in rules.items():
            gradient = self.averaged(rule)
            operations[name] = partial(classifier.loss_gradient, x, y, gradient=gradient)
        with seeded(self.settings.seed):
            seconds = measure_medians(operations, repeats, device)
        classifier.model.forget()
        how = f"times are medians of {repeats} rounds in turn, batch {len(x)}"
        comparison.machine = f"{describe_machine(device)}; {how}"
        comparison.inference, comparison.seconds = seconds.pop(""), seconds


def draw(comparison: Comparison) -> Figure:
    """Attack success and time of one gradient, one bar per rule, in the colour of its kind."""
    figure = Figure(figsize=(9, 1.2 + 0.32 * len(comparison.outcomes)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    success_bars(left, comparison)
    seconds = np.array([comparison.seconds[name] for name in comparison.outcomes])
    times = seconds / comparison.inference
    _bars(right, comparison, times, "time of one gradient [inferences]")
    right.axvline(1, color="black", lw=0.8, ls=":")
    titled(figure, comparison.title, comparison.attack)
    return figure


def success_bars(ax: Axes, comparison: Comparison) -> Axes:
    """Conditional attack success with 95 % intervals; the line is the union of all."""
    shares = [outcome.attack_success for outcome in comparison.outcomes.values()]
    values = np.array([100 * share.value for share in shares])
    reach = np.abs(100 * np.array([share.interval for share in shares]).T - values)
    _bars(ax, comparison, values, "attack success [%]", xerr=reach)
    if len(shares) > 1:
        union = 100 * comparison.union().attack_success.value
        ax.axvline(union, color="black", lw=0.8, ls=":")
        side = "right" if union > 30 else "left"
        ax.text(union, -0.75, " union of all ", ha=side, va="center", fontsize="small")
    ax.set(xlim=(0, 100))
    return ax


def _bars(
    ax: Axes, comparison: Comparison, values: np.ndarray, label: str, xerr: np.ndarray | None = None
) -> None:
    names = list(comparison.outcomes)
    colours = [KINDS.get(comparison.rows[name].kind, GREY) for name in names]
    places = np.arange(len(names))
    ax.barh(places, values, xerr=xerr, color=colours, error_kw={"lw": 1, "capsize": 2})
    ax.set(yticks=places, yticklabels=names, xlabel=label, ylim=(len(names) - 0.4, -1.1))
    ax.grid(alpha=0.3, axis="x")
