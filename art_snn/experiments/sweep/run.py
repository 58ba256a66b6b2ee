"""How strong an attack is over one hyperparameter of its gradient.

The section "Hyperparameters" in the supplement of Bu et al. (CVPR 2023): attack success over beta
and over gamma of RGA, on networks of different decay. Any field of any rule can be swept.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from art_snn.attacks import attacked, predictions
from art_snn.checks import invalid
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset
from art_snn.experiments.resume import booleans, digits, earlier, fingerprint
from art_snn.experiments.sweep.result import Line, Panel, Swept
from art_snn.experiments.sweep.settings import Plan, Settings, Sweep
from art_snn.experiments.trained import Trained, folder_of, label
from art_snn.files import write_json
from art_snn.metrics import Robustness
from art_snn.seeding import seeded


def run(settings: Settings) -> Swept:
    """Train or load a network per decay, sweep, write sweep.json, sweep.md and sweep.png.

    Every value is checked on every network before the first training. A run that was interrupted
    is taken up where it stopped: training after its last whole epoch, a sweep after its last whole
    value. Trained networks lie in decay-<decay>/network.pt.

    :raises CheckpointError: when the weights do not fit.
    :raises FileNotFoundError: when data or weights are not there.
    :raises ValueError: when a rule refuses a value at a decay, or the folder holds results of
        something else.
    """
    settings.prepare()
    data, output, seed = settings.source.load(), settings.output, settings.seed
    plans, networks = _networks(settings, data)
    classifiers = {
        name: network.classifier(data, settings.device, seed) for name, network in networks.items()
    }
    for plan, names in plans:
        for name in names:
            check(plan.sweep, classifiers[name], data.x_test)
    for name, network in networks.items():
        folder = folder_of(output, network.architecture.decay or 0.0)
        network.obtain(classifiers[name].model, data, folder, seed)
    panels = []
    for plan, names in plans:
        lines = {
            name: swept(
                plan.sweep,
                classifiers[name],
                data.x_test,
                data.y_test,
                output / "sweep.json",
                name,
                networks[name].words(data),
            )
            for name in names
        }
        panels.append(Panel(str(plan.sweep.base), plan.sweep.field, str(plan.sweep.attack), lines))
    result = Swept(panels, earlier(output / "sweep.json", "sweep", bool))
    result.write(output)
    return result


def _networks(
    settings: Settings, data: Dataset
) -> tuple[list[tuple[Plan, list[str]]], dict[str, Trained]]:
    """Every plan with the names of its networks, and the networks by these names."""
    network = settings.network.on(data)
    if network.architecture.is_own:
        name = network.architecture.words()
        return [(plan, [name]) for plan in settings.plans()], {name: network}
    single = network.architecture.decay if network.checkpoint is not None else None
    plans, networks = [], {}
    for plan in settings.plans():
        names = []
        for decay in plan.decays if single is None else (single,):
            name = f"decay {label(decay)}"
            architecture = replace(network.architecture, decay=decay)
            networks[name] = replace(network, architecture=architecture)
            names.append(name)
        plans.append((plan, names))
    return plans, networks


def check(sweep: Sweep, classifier: PyTorchSpikingClassifier, x: np.ndarray) -> None:
    """Refuse values that make no sense on this network, by one gradient of one sample under each.

    Weights do not matter, so that this can be done before training.

    :param x: samples ``(N, *input_shape)``; the first one is used.
    :raises ValueError: naming the value, with the rule's reason; or when there is no sample.
    """
    if not len(x):
        raise invalid("x", "at least one sample", "none", "Give test samples.")
    predictions(classifier, x[:1], 1, sweep.seed)  # Complains about the sample, if anything does.
    for value in sweep.values:
        classifier.model.forget()
        try:
            with seeded(sweep.seed):
                classifier.loss_gradient(x[:1], np.zeros(1, int), gradient=sweep.with_value(value))
        except ValueError as error:
            raise invalid(
                "values",
                f"values of {sweep.name} that suit the network",
                f"{value} ({str(error).rstrip('.')})",
                "Leave that value or that network out.",
            ) from error
    classifier.model.forget()


def swept(
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
    content = earlier(file, "sweep", lambda found: _fits(found, place, key))
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
            if file is not None:
                write_json(file, content)
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
