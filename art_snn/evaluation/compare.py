"""How strong each gradient is: one network, one attack, every rule.

Attack success alone does not say why a rule is weak, so the comparison also counts the samples
whose gradient vanishes altogether, and measures how far each gradient points away from STBP's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from art_snn.checks import invalid, require_count
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.evaluation import record
from art_snn.evaluation.attacks import Attack
from art_snn.evaluation.comparison import Comparison, Row, as_dict, row_from
from art_snn.evaluation.cost import describe_machine, medians
from art_snn.evaluation.metrics import Share, robustness
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
            require_count("samples", self.samples, remedy="Leave it out for all test samples.")
        for name in ("batch_size", "eot", "repeats"):
            require_count(name, getattr(self, name), remedy="Use a whole number from 1.")
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
    key = _fingerprint(settings, classifier, x, y)
    earlier = _read(file, key)
    comparison = Comparison(title, settings.as_dict(), str(settings.attack), key)
    if earlier:
        comparison.machine, comparison.inference = earlier["machine"], earlier["inference"]
        comparison.seconds = earlier["seconds"]
    else:
        _time(comparison, settings, classifier, x, y)
    with seeded(settings.seed):
        clean = classifier.predict(x, batch_size=settings.batch_size)
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
        record.write(file, as_dict(comparison))
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
    adversarial = np.empty_like(x)
    with classifier.model.using(rule):
        for batch in _batches(settings, len(x), f"{settings.attack.name} by {name}"):
            classifier.model.forget()
            adversarial[batch] = settings.attack.craft(classifier, x[batch], y[batch])
    classifier.model.forget()
    with seeded(settings.seed):
        predictions = classifier.predict(adversarial, batch_size=settings.batch_size)
    lengths = np.linalg.norm(gradients, axis=1), np.linalg.norm(reference, axis=1)
    both = (lengths[0] > 0) & (lengths[1] > 0)
    products = (gradients[both] * reference[both]).sum(1) / (lengths[0] * lengths[1])[both]
    return Row(
        str(rule),
        robustness(clean, predictions, y),
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
    for batch in _batches(settings, len(x), words):
        classifier.model.forget()
        parts.append(classifier.loss_gradient(x[batch], y[batch], gradient=rule))
    return np.concatenate(parts).reshape(len(x), -1).astype(np.float64)


def _batches(settings: Settings, samples: int, words: str) -> Iterator[slice]:
    """Slices of the samples, each with the random state of the seed and its position."""
    starts = range(0, samples, settings.batch_size)
    for start in tqdm(starts, desc=words, leave=False):
        with seeded(settings.seed + start):
            yield slice(start, min(start + settings.batch_size, samples))


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


def _fingerprint(
    settings: Settings, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
) -> str:
    network = classifier.model
    digest = hashlib.sha256(repr((settings, network.encoder, network.layers)).encode())
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().numpy().tobytes())
    digest.update(np.ascontiguousarray(x).tobytes())
    digest.update(np.ascontiguousarray(y).tobytes())
    return digest.hexdigest()


def _read(file: Path | None, key: str) -> dict[str, Any]:
    """Earlier results of the same comparison, empty where there are none."""
    content = record.read(file)
    if content is None or (content and content.get("key") != key):
        raise invalid(
            "output",
            expected="a folder without results, or with results of the same comparison",
            got=f"{file} of other settings, weights or samples",
            remedy="Choose another folder, or delete that file.",
        )
    return content
