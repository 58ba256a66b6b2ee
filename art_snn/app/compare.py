"""How strong each gradient is: one network, one attack, every rule, or one rule over its settings.

Attack success alone does not say why a rule is weak, so the comparison also counts the samples
whose gradient vanishes altogether, and measures how far each gradient points away from STBP's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy import ndarray

from art_snn.app.machine import describe_machine, measure_medians
from art_snn.app.network import resolve_network
from art_snn.app.results import (
    Result,
    fingerprint,
    load_previous,
    run_folder,
    write_result,
)
from art_snn.app.settings import Compare
from art_snn.app.tables import COLOURS, GREY, Notes, Part, Table, to_percent, write_title
from art_snn.attacks import Stage, batches, craft, parse_stage, predict_logits
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.gradients import EOT, GRADIENTS, STBP, Gradient, parse_rules
from art_snn.metrics import Robustness, Share, describe_difference, robustness, union
from art_snn.seeding import fix_seed

_RULES = ",".join(
    (*GRADIENTS, "pdsg-per-sample", "extended(rga)", "mean(rga, stbp)", "native")
)
"""The rules that are compared unless others are asked for."""
_SETTINGS = ("eps", "samples", "batch_size", "seed", "eot", "repeats")
"""Settings that the rows depend on, next to the attack and the rules."""
_STBP = "stbp"
CAUTION = (
    "A setting that is chosen on the samples under attack overstates the attack; the union over a "
    "grid that was fixed beforehand does not."
)


@dataclass(frozen=True)
class _Row:
    """The achievement of one rule, in words; or why it does not apply.

    :param vanished: correctly classified samples with an all-zero gradient at the clean image.
    :param cosine: mean of the cosine to the STBP gradient, over the clean images at which
        neither vanishes."""

    rule: str
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
    machine: str
    inference: float
    seconds: dict[str, float]
    rows: dict[str, _Row] = field(default_factory=dict)
    name: ClassVar[str] = "compare"

    @property
    def outcomes(self) -> dict[str, Robustness]:
        """rule -> outcome, of the rules that apply."""
        return {n: row.outcome for n, row in self.rows.items() if row.outcome is not None}

    def parts(self) -> list[Part]:
        """The network, the attack, and a row per rule."""
        accuracy = "no rule applies"
        for outcome in self.outcomes.values():
            share = outcome.clean_accuracy
            accuracy = f"{share.count} of {share.total} samples classified correctly "
            accuracy += "before the attack"
        lines = [
            f"{name} does not apply: {row.objection}."
            for name, row in self.rows.items()
            if row.objection
        ]
        if sum("=" in name for name in self.rows) > 1:
            lines.append(CAUTION)
        return [
            (self.title, self.attack, accuracy, self.machine),
            self._table(),
            Notes(lines),
        ]

    def _table(self) -> Table:
        """One row per rule and one for the union of all; p is of McNemar's test."""
        outcomes = self.outcomes
        blank: list[Any] = [""] * 5
        # STBP, or else the first that applies.
        against = _STBP if _STBP in outcomes else next(iter(outcomes), _STBP)
        titles = [
            "rule",
            "success among the correct",
            f"against {against.upper() if against == _STBP else against}",
            "x inference",
            "ms",
            "zero gradient",
            "cosine to STBP",
        ]
        rows = []
        for name, row in self.rows.items():
            if row.outcome is None:
                rows.append([name, "does not apply", *blank])
                continue
            p = ""
            if name != against:
                p = describe_difference(row.outcome, outcomes[against])
            seconds = self.seconds[name]
            time = f"{seconds / self.inference:.2f}", f"{1000 * seconds:.0f}"
            cosine = "nan" if row.cosine is None else f"{row.cosine:.3f}"
            success = row.outcome.attack_success
            rows.append([name, success, p, *time, row.vanished, cosine])
        if len(outcomes) > 1:
            rows.append(["union of all", union(outcomes.values()).attack_success, *blank])
        return Table(titles, rows)

    def draw(self) -> Figure:
        """Attack success and time of one gradient, one bar per rule.

        Success is conditional, with 95 % intervals; the line is the union of all."""
        names = list(self.outcomes)
        outcomes = self.outcomes.values()
        figure = Figure(figsize=(9, 1.2 + 0.32 * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        values, bars = to_percent(one.attack_success for one in outcomes)
        times = [self.seconds[name] / self.inference for name in names]
        colours = [COLOURS.get(name, GREY) for name in names]
        left.barh(
            names, values, xerr=bars, color=colours, error_kw={"lw": 1, "capsize": 2}
        )
        left.set(xlim=(0, 100), xlabel="attack success [%]")
        left.invert_yaxis()  # Both share the axis.
        if names:
            success = 100 * union(outcomes).attack_success.value
            left.axvline(
                success, color="black", lw=0.8, ls=":", label="union of all rules"
            )
        right.barh(names, times, color=colours)
        right.set(xlabel="time of one gradient [inferences]")
        right.axvline(1, color="black", lw=0.8, ls="--", label="one inference")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        write_title(figure, self.title, self.attack)
        return figure


def run(settings: Compare) -> Comparison:
    """Compare the rules; write compare.json, compare.md and compare.png.

    An interrupted run goes on after its last whole rule."""
    with run_folder(settings):
        subject = resolve_network(settings)
        rules = parse_rules(settings.rules or _RULES)
        data = subject.load_data()
        classifier = subject.classifier(data, settings.device, settings.seed)
        title = subject.describe(data, classifier.model)
        x = data.x_test[: settings.samples]
        y = data.y_test[: settings.samples]
        attacked = _Subject(settings, classifier, x, y)
        comparison = _compare_rules(attacked, rules, title)
        comparison.write(settings.output)
        return comparison


def _compare_rules(
    subject: "_Subject", rules: Mapping[str, Gradient], title: str
) -> Comparison:
    """Attack a network, which keeps its own rule, with every rule, one after the other.

    Rules that compare.json in the output holds are finished, and not run again.

    :param title: network and data in words.
    :raises ArgumentError: when the file holds a comparison of something else."""
    settings = subject.settings
    classifier = subject.classifier
    file = settings.output / "compare.json"
    stbp: Gradient = STBP()
    if settings.eot > 1:
        rules = {name: EOT(rule, samples=settings.eot) for name, rule in rules.items()}
        stbp = EOT(stbp, samples=settings.eot)

    content = {name: getattr(settings, name) for name in _SETTINGS}
    content["attack"] = str(subject.stage)
    content["rules"] = {name: str(rule) for name, rule in rules.items()}
    key = fingerprint(content, classifier, subject.x, subject.y)
    comparison: Comparison | None = load_previous(file, "comparison", Comparison, key)
    if comparison is None:
        words = f"{settings.attack}, eps {settings.eps:.4g}"
        comparison = Comparison(title, key, words, content, *subject.measure_times(rules))

    clean = predict_logits(classifier, subject.x, settings.batch_size, settings.seed)
    missing = {name: rule for name, rule in rules.items() if name not in comparison.rows}
    # To zeros there is no cosine.
    reference = np.zeros((len(subject.x), subject.x[0].size))
    if missing and not subject.object_to(stbp):
        reference = subject.differentiate(stbp, "STBP")
    for name, rule in missing.items():
        if name in comparison.seconds:
            row = subject.measure_rule(name, rule, clean, reference)
        else:
            row = _Row(str(rule), subject.object_to(rule))
        comparison.rows[name] = row
        write_result(file, comparison.as_dict())
    return comparison


@dataclass(frozen=True)
class _Subject:
    """A network, and the samples x ``(N, *input_shape)`` of classes y (N,) under attack."""

    settings: Compare
    classifier: PyTorchSpikingClassifier
    x: ndarray
    y: ndarray

    @property
    def stage(self) -> Stage:
        """The attack that runs with every rule."""
        return parse_stage(self.settings.attack, np.inf, self.settings.eps)

    def object_to(self, rule: Gradient) -> str | None:
        """Why a rule does not apply to the network, or to the samples; None where it does."""
        network = self.classifier.model
        with fix_seed(self.settings.seed):
            reason = network.body.objection(rule) or network.body.objection(
                rule, self.x[: self.settings.batch_size]
            )
        return None if reason is None else reason.rstrip(".")

    def measure_times(
        self, rules: Mapping[str, Gradient]
    ) -> tuple[str, float, dict[str, float]]:
        """The machine in words, and median seconds of a prediction and of a gradient by rule.

        Rules that do not apply have none."""
        size = self.settings.batch_size
        batch = self.x[:size]
        differentiate = partial(self.classifier.loss_gradient, batch, self.y[:size])
        calls = {
            name: partial(differentiate, gradient=rule)
            for name, rule in rules.items()
            if self.object_to(rule) is None
        }
        calls[""] = partial(self.classifier.predict, batch, batch_size=size)
        settings = self.settings
        with fix_seed(settings.seed):
            seconds = measure_medians(calls, settings.repeats, settings.device)
        self.classifier.model.forget()
        how = (
            f"times are medians of {settings.repeats} rounds in turn, batch {len(batch)}"
        )
        return f"{describe_machine(settings.device)}; {how}", seconds.pop(""), seconds

    def differentiate(self, rule: Gradient, name: str) -> ndarray:
        """Gradients at the clean samples, flat (N, D) in float64."""
        parts = []
        settings = self.settings
        count = len(self.x)
        for rows in batches(
            count, settings.batch_size, settings.seed, f"gradients by {name}"
        ):
            self.classifier.model.forget()
            parts.append(
                self.classifier.loss_gradient(self.x[rows], self.y[rows], gradient=rule)
            )
        return np.concatenate(parts).reshape(count, -1).astype(np.float64)

    def measure_rule(
        self, name: str, rule: Gradient, clean: ndarray, reference: ndarray
    ) -> _Row:
        """The success of an attack with a rule, and the direction of its gradients.

        :param clean: logits without an attack (N, K); reference: STBP gradients (N, D)."""
        settings = self.settings
        directions = self.differentiate(rule, name)
        adversarial = craft(
            self.stage,
            rule,
            self.classifier,
            self.x,
            self.y,
            norm=np.inf,
            eps=settings.eps,
            batch_size=settings.batch_size,
            seed=settings.seed,
            progress_label=f"attack by {name}",
        )
        logits = predict_logits(
            self.classifier, adversarial, settings.batch_size, settings.seed
        )
        outcome = robustness(clean, logits, self.y)

        lengths = np.linalg.norm(directions, axis=1)
        others = np.linalg.norm(reference, axis=1)
        both = (lengths > 0) & (others > 0)
        cosines = (directions[both] * reference[both]).sum(1) / (lengths * others)[both]
        cosine = float(cosines.mean()) if both.any() else None
        return _Row(
            str(rule), None, outcome, Share.of(lengths[outcome.correct] == 0), cosine
        )
