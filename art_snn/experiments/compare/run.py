"""How strong each gradient is: one network, one attack, every rule.

Attack success alone does not say why a rule is weak, so the comparison also counts the samples
whose gradient vanishes altogether, and measures how far each gradient points away from STBP's.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from art_snn.attacks import attacked, batches, predictions
from art_snn.checks import invalid
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.experiments.compare.result import Comparison, Row
from art_snn.experiments.compare.settings import Settings
from art_snn.experiments.resume import converter, earlier, fingerprint
from art_snn.files import write_json
from art_snn.gradients import STBP, Gradient, kind_of, objection
from art_snn.measuring.machine import describe_machine
from art_snn.measuring.timing import medians
from art_snn.metrics import Share, robustness
from art_snn.seeding import seeded


def run(settings: Settings) -> Comparison:
    """Train or load the network, compare the rules, write compare.json, compare.md, compare.png.

    A run that was interrupted is taken up where it stopped: training after its last whole epoch,
    the comparison after its last whole rule.

    :raises CheckpointError: when the weights do not fit.
    :raises FileNotFoundError: when data or weights are not there.
    :raises ValueError: when the data have no value range or do not suit the network, before
        anything is trained, or the folder holds results of something else.
    """
    settings.prepare()
    network, data = settings.network, settings.source.load()
    classifier = network.classifier(data, settings.device, settings.seed)
    network.obtain(classifier.model, data, settings.output, settings.seed)
    file, title = settings.output / "compare.json", network.words(data)
    comparison = compared(settings, classifier, data.x_test, data.y_test, file, title)
    comparison.write(settings.output)
    return comparison


def compared(
    settings: Settings,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    file: Path | None = None,
    title: str = "",
) -> Comparison:
    """Attack any network under every rule, one after the other.

    The network keeps its own rule. With a file, every finished rule is written to it, and those
    that it already holds are not run again.

    :param settings: of which data, network and output are not read.
    :param classifier: around the trained network.
    :param x: test samples ``(N, *input_shape)``.
    :param y: class indices (N,).
    :param file: JSON file of the results.
    :param title: network and data in words.
    :raises ValueError: when the file holds a comparison of something else, or there is no sample.
    """
    x, y = x[: settings.samples], y[: settings.samples]
    if not len(x):
        raise invalid("x", "at least one sample", "none", "Give test samples.")
    key = fingerprint(settings.identity, classifier, x, y)
    found = earlier(file, "comparison", lambda content: content.get("key") == key)
    if found:
        comparison = converter.structure(found, Comparison)
    else:
        comparison = Comparison(title, key, str(settings.attack), settings.as_dict())
        _time(comparison, settings, classifier, x, y)
    clean = predictions(classifier, x, settings.batch_size, settings.seed)
    reference: np.ndarray | None = None
    for name in settings.rules:
        if name in comparison.rows:
            continue
        rule = settings.rule(name)
        row = Row(str(rule), kind_of(settings.rules[name]), objection=_objection(rule, classifier))
        if not row.objection:
            if reference is None:
                by_stbp = settings.averaged(STBP())
                reference = _gradients(settings, classifier, by_stbp, x, y, "gradients by STBP")
            row = _attack(row, name, settings, classifier, x, y, clean, reference)
            row = replace(row, seconds=comparison.seconds[name])
        comparison.rows[name] = row
        if file is not None:
            write_json(file, comparison.as_dict())
    return comparison


def _attack(
    row: Row,
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
    return replace(
        row,
        outcome=robustness(clean, adversarial, y),
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
    device = "cpu" if classifier.device.type == "cpu" else "gpu"
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
    return objection(rule, classifier.model.sites(), classifier.model.encoder)
