"""How strong an attack is over one hyperparameter of its gradient.

The section "Hyperparameters" in the supplement of Bu et al. (CVPR 2023): attack success over beta
and over gamma of RGA, on networks of different decay. Any field of any rule can be swept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from art_snn.checks import invalid, require_count
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.evaluation.attacks import Attack
from art_snn.evaluation.crafting import attacked, predictions
from art_snn.evaluation.fields import accepted, named, number, replaced
from art_snn.evaluation.metrics import Robustness
from art_snn.evaluation.panel import Line
from art_snn.evaluation.record import booleans, digits, fingerprint, read, write
from art_snn.gradients import Gradient, resolve
from art_snn.seeding import seeded


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One field of one rule over some values, under one attack.

    :param rule: a name of GRADIENTS, also behind "eot-" or "extended-"; or an instance.
    :param field: its hyperparameter, with a dot for one inside another: "surrogate.width".
    :param values: in the order of the table; whole numbers where the field holds such, and 0 or 1
        for a truth value.
    :param attack: the same for every value.
    :param samples: test samples under attack; None is all of them.
    :param batch_size: samples per gradient.
    :param seed: of the attack's random draws, set anew for every batch.
    :raises TypeError: for a rule that is neither a name nor an instance.
    :raises ValueError: for an unknown rule or field, a value that the rule refuses or that stands
        there twice, no value, or a count below 1.
    """

    rule: str | Gradient = "rga"
    field: str = "beta"
    values: tuple[float, ...] = (1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)
    attack: Attack = dataclasses.field(default_factory=Attack)
    samples: int | None = 500
    batch_size: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples is not None:
            remedy = "Leave it out for all test samples."
            count = require_count("samples", self.samples, remedy=remedy)
            object.__setattr__(self, "samples", count)
        size = require_count("batch_size", self.batch_size, remedy="Use a whole number from 1.")
        object.__setattr__(self, "batch_size", size)
        if not self.values:
            raise invalid("values", expected="at least one", got="none", remedy="Give some.")
        values = tuple(accepted(self.base, self.field, value) for value in self.values)
        if len(set(values)) < len(values):
            raise invalid(
                "values", expected="each one once", got=str(values), remedy="Leave out doubles."
            )
        object.__setattr__(self, "values", values)

    @property
    def base(self) -> Gradient:
        """The rule with its own value of the field."""
        return named(self.rule) if isinstance(self.rule, str) else resolve(self.rule, "rule")

    @property
    def default(self) -> float:
        """The rule's own value of the field."""
        return number(self.base, self.field).value

    @property
    def name(self) -> str:
        """Rule and field: "rga.beta"."""
        rule = self.rule if isinstance(self.rule, str) else type(self.rule).__name__.lower()
        return f"{rule}.{self.field}"

    def with_value(self, value: float) -> Gradient:
        """The rule with that value of the field."""
        rule: Gradient = replaced(self.base, self.field, value)
        return rule


def check(sweep: Sweep, classifier: PyTorchSpikingClassifier, x: np.ndarray) -> None:
    """Refuse values that make no sense on this network, by one gradient of one sample under each.

    Weights do not matter, so that this can be done before training.

    :param x: samples ``(N, *input_shape)``; the first one is used.
    :raises ValueError: naming the value, with the rule's reason; or when there is no sample.
    """
    if not len(x):
        raise invalid("x", expected="at least one sample", got="none", remedy="Give test samples.")
    predictions(classifier, x[:1], 1, sweep.seed)  # Complains about the sample, if anything does.
    for value in sweep.values:
        classifier.model.forget()
        try:
            with seeded(sweep.seed):
                classifier.loss_gradient(x[:1], np.zeros(1, int), gradient=sweep.with_value(value))
        except ValueError as error:
            raise invalid(
                "values",
                expected=f"values of {sweep.name} that suit the network",
                got=f"{value} ({str(error).rstrip('.')})",
                remedy="Leave that value or that network out.",
            ) from error
    classifier.model.forget()


def run(
    sweep: Sweep,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    file: Path | None = None,
    name: str = "network",
    title: str = "",
) -> Line:
    """Attack the network under every value, one after the other.

    The network keeps its own rule. With a file, every finished value is written to it, and those
    that it already holds are not run again. One file can hold sweeps over several fields and
    networks, and values that are asked for later join those that it holds.

    :param classifier: around the trained network.
    :param x: test samples ``(N, *input_shape)``.
    :param y: class indices (N,).
    :param file: JSON file of the results.
    :param name: of the network in the file, such as "decay 0.5".
    :param title: network and data in words.
    :raises ValueError: when the rule refuses a value on this network, the file holds results of
        something else under that name, or there is no sample.
    """
    x, y = x[: sweep.samples], y[: sweep.samples]
    check(sweep, classifier, x)
    place = f"{sweep.name} at {name}"
    key = _key(sweep, classifier, x, y)
    content = read(file, "sweep", lambda found: _fits(found, place, key))
    entries = content.setdefault("lines", {})
    if place not in entries:
        clean = predictions(classifier, x, sweep.batch_size, sweep.seed)
        entries[place] = _start(sweep, clean.argmax(1) == y, key, title)
    entry = entries[place]
    correct, values = booleans(entry["correct"]), entry["values"]
    for value in sweep.values:
        if str(value) not in values:
            words = f"{sweep.attack.name} by {sweep.name} = {value:g} at {name}"
            outcome = Robustness(correct, _robust(sweep, value, classifier, x, y, words))
            values[str(value)] = {
                "attack_success": outcome.attack_success.as_dict(),
                "robust": digits(outcome.robust),
            }
            write(file, content)
    outcomes = {v: Robustness(correct, booleans(values[str(v)]["robust"])) for v in sweep.values}
    return Line(title, sweep.default, outcomes)


def _robust(
    sweep: Sweep,
    value: float,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    words: str,
) -> np.ndarray:
    """Which samples (N,) are classified correctly after the attack."""
    logits = attacked(
        sweep.attack,
        sweep.with_value(value),
        classifier,
        x,
        y,
        batch_size=sweep.batch_size,
        seed=sweep.seed,
        words=words,
    )
    robust: np.ndarray = logits.argmax(1) == y
    return robust


def _start(sweep: Sweep, correct: np.ndarray, key: str, title: str) -> dict[str, Any]:
    """The entry of a network for JSON, before the first value."""
    return {
        "title": title,
        "key": key,
        "rule": str(sweep.base),
        "field": sweep.field,
        "default": str(sweep.default),
        "attack": asdict(sweep.attack),
        "samples": len(correct),
        "batch_size": sweep.batch_size,
        "seed": sweep.seed,
        "clean_accuracy": Robustness(correct, correct).clean_accuracy.as_dict(),
        "correct": digits(correct),
        "values": {},
    }


def _key(sweep: Sweep, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray) -> str:
    """Without the values, so that further ones can join."""
    settings = (sweep.base, sweep.field, sweep.attack, sweep.batch_size, sweep.seed)
    return fingerprint(settings, classifier, x, y)


def _fits(content: Mapping[str, Any], place: str, key: str) -> bool:
    lines = content.get("lines")
    return isinstance(lines, dict) and lines.get(place, {"key": key}).get("key") == key
