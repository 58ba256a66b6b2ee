"""How strong each gradient is: one network, one attack, every rule.

Attack success alone does not say why a rule is weak, so the comparison also counts the samples
whose gradient vanishes altogether, and measures how far each gradient points away from STBP's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from art_snn.checks import invalid, require_count
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.evaluation.attacks import Attack
from art_snn.evaluation.comparison import Comparison, Row, as_dict, row_from
from art_snn.evaluation.cost import describe_machine, medians
from art_snn.evaluation.crafting import attacked, batches, predictions
from art_snn.evaluation.metrics import Share, robustness
from art_snn.evaluation.record import fingerprint, read, write
from art_snn.gradients import (
    EOT,
    GRADIENTS,
    PDSG,
    RGA,
    STBP,
    Composite,
    Extended,
    Gradient,
    Mean,
)
from art_snn.neurons import Neuron
from art_snn.seeding import seeded

RULES: Mapping[str, Gradient] = {name: kind() for name, kind in GRADIENTS.items()} | {
    "pdsg-per-sample": PDSG(per_sample=True),
    "rga-32-steps": Extended(RGA(), steps=32),
    "mean-rga-stbp": Mean(RGA(), STBP()),
}
"""The rules that are compared unless others are asked for."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is compared, and on how many samples.

    :param attack: one attack, the same for every rule.
    :param rules: name -> rule; :data:`RULES` unless given.
    :param samples: test samples under attack; None is all of them.
    :param batch_size: samples per gradient; of equal size in every batch where it divides them.
    :param eot: draws over which every rule is averaged; 1 is none.
    :param repeats: rounds behind every median of time.
    :param seed: of the attack's random draws, set anew for every batch.
    :raises ValueError: for a count below 1, or without any rule.
    """

    attack: Attack = field(default_factory=Attack)
    rules: Mapping[str, Gradient] = field(default_factory=lambda: RULES)
    samples: int | None = 500
    batch_size: int = 50
    eot: int = 1
    repeats: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples is not None:
            remedy = "Leave it out for all test samples."
            count = require_count("samples", self.samples, remedy=remedy)
            object.__setattr__(self, "samples", count)
        for name in ("batch_size", "eot", "repeats"):
            count = require_count(name, getattr(self, name), remedy="Use a whole number from 1.")
            object.__setattr__(self, name, count)
        if not self.rules:
            raise invalid("rules", expected="at least one", got="none", remedy="Name some.")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "attack": asdict(self.attack),
            "rules": {name: str(self.rule(name)) for name in self.rules},
            "samples": self.samples,
            "batch_size": self.batch_size,
            "eot": self.eot,
            "repeats": self.repeats,
            "seed": self.seed,
        }

    def rule(self, name: str) -> Gradient:
        """The rule of that name, as it is run."""
        return self.averaged(self.rules[name])

    def averaged(self, rule: Gradient) -> Gradient:
        """The rule, averaged over draws where that was asked for."""
        return rule if self.eot == 1 else EOT(rule, samples=self.eot)


def chosen(names: str) -> dict[str, Gradient]:
    """Rules of :data:`RULES` by their names, separated by commas.

    :raises ValueError: for an unknown name.
    """
    found = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        if name not in RULES:
            raise invalid(
                "rules",
                expected=f"names out of {', '.join(RULES)}",
                got=repr(name),
                remedy="Separate them by commas.",
            )
        found[name] = RULES[name]
    return found


def run(
    settings: Settings,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    file: Path | None = None,
    title: str = "",
) -> Comparison:
    """Attack the network under every rule, one after the other.

    The network keeps its own rule. With a file, every finished rule is written to it, and those
    that it already holds are not run again.

    :param classifier: around the trained network.
    :param x: test samples ``(N, *input_shape)``.
    :param y: class indices (N,).
    :param file: JSON file of the results.
    :param title: network and data in words.
    :raises ValueError: when the file holds a comparison of something else, or there is no sample.
    """
    x, y = x[: settings.samples], y[: settings.samples]
    if not len(x):
        raise invalid("x", expected="at least one sample", got="none", remedy="Give test samples.")
    key = fingerprint(settings, classifier, x, y)
    earlier = read(file, "comparison", lambda content: content.get("key") == key)
    comparison = Comparison(title, settings.as_dict(), str(settings.attack), key)
    if earlier:
        comparison.machine, comparison.inference = earlier["machine"], earlier["inference"]
        comparison.seconds = earlier["seconds"]
    else:
        _time(comparison, settings, classifier, x, y)
    clean = predictions(classifier, x, settings.batch_size, settings.seed)
    reference: np.ndarray | None = None
    for name in settings.rules:
        if name in earlier.get("rows", {}):
            comparison.rows[name] = row_from(earlier["rows"][name])
            continue
        objection = _objection(settings.rule(name), classifier)
        if objection:
            comparison.rows[name] = Row(str(settings.rule(name)), objection=objection)
        else:
            if reference is None:
                reference = _gradients(
                    settings, classifier, settings.averaged(STBP()), x, y, "gradients by STBP"
                )
            row = _attack(name, settings, classifier, x, y, clean, reference)
            comparison.rows[name] = replace(row, seconds=comparison.seconds[name])
        write(file, as_dict(comparison))
    return comparison


def _attack(
    name: str,
    settings: Settings,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    clean: np.ndarray,
    reference: np.ndarray,
) -> Row:
    rule = settings.rule(name)
    gradients = _gradients(settings, classifier, rule, x, y, f"gradients by {name}")
    adversarial = attacked(
        settings.attack,
        rule,
        classifier,
        x,
        y,
        batch_size=settings.batch_size,
        seed=settings.seed,
        words=f"{settings.attack.name} by {name}",
    )
    lengths = np.linalg.norm(gradients, axis=1), np.linalg.norm(reference, axis=1)
    both = (lengths[0] > 0) & (lengths[1] > 0)
    products = (gradients[both] * reference[both]).sum(1) / (lengths[0] * lengths[1])[both]
    return Row(
        str(rule),
        robustness(clean, adversarial, y),
        vanished=Share(int((lengths[0] == 0).sum()), len(x)),
        cosine=float(products.mean()) if both.any() else float("nan"),
    )


def _gradients(
    settings: Settings,
    classifier: PyTorchSpikingClassifier,
    rule: Gradient,
    x: np.ndarray,
    y: np.ndarray,
    words: str,
) -> np.ndarray:
    """Gradients at the clean samples, flat (N, D) in float64."""
    parts = []
    for batch in batches(len(x), settings.batch_size, settings.seed, words):
        classifier.model.forget()
        parts.append(classifier.loss_gradient(x[batch], y[batch], gradient=rule))
    return np.concatenate(parts).reshape(len(x), -1).astype(np.float64)


def _time(
    comparison: Comparison,
    settings: Settings,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
) -> None:
    """Median seconds of one gradient of a batch by every rule that applies, all in turn."""
    device = classifier.device.type
    x, y = x[: settings.batch_size], y[: settings.batch_size]
    operations: dict[str, Callable[[], object]] = {
        "": lambda: classifier.predict(x, batch_size=len(x))
    }
    for name in settings.rules:
        rule = settings.rule(name)
        if not _objection(rule, classifier):
            operations[name] = partial(classifier.loss_gradient, x, y, gradient=rule)
    with seeded(settings.seed):
        seconds = medians(operations, settings.repeats, device)
    classifier.model.forget()
    comparison.machine = (
        f"{describe_machine(device)}; times are medians of {settings.repeats} rounds in turn, "
        f"batch {len(x)}"
    )
    comparison.inference = seconds.pop("")
    comparison.seconds = seconds


def _objection(rule: Gradient, classifier: PyTorchSpikingClassifier) -> str:
    """Why the rule cannot be compared on this network, or ""."""
    neurons = (m for m in classifier.model.modules() if isinstance(m, Neuron))
    reasons = filter(None, (rule.objection(neuron.dynamics) for neuron in neurons))
    return next(reasons, "") or _needs_other_encoder(rule, classifier.model.encoder)


def _needs_other_encoder(rule: Gradient, encoder: object) -> str:
    if isinstance(rule, Extended) and not hasattr(encoder, "with_steps"):
        return f"{encoder} cannot give another number of time steps"
    parts = rule.parts if isinstance(rule, Composite) else ()
    return next(filter(None, (_needs_other_encoder(part, encoder) for part in parts)), "")
