"""How strong an attack is over one hyperparameter of its gradient.

The section "Hyperparameters" in the supplement of Bu et al. (CVPR 2023): attack success over beta
and over gamma of RGA, on networks of different decay. Any field of any rule can be swept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from art_snn.app.attack import attacked
from art_snn.app.base import at_work
from art_snn.app.resume import as_json, earlier, fingerprint, write_result
from art_snn.app.sweep.figure import draw
from art_snn.app.sweep.result import Content, Entry, Line, Panel, Swept, Value
from art_snn.app.sweep.settings import Settings, Sweep
from art_snn.app.trained import Trained, decay_label, folder_of
from art_snn.attacks import predict_logits
from art_snn.checks import require, require_some
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.metrics import Robustness
from art_snn.seeding import seeded


@at_work
def run(settings: Settings) -> Swept:
    """Train or load a network per decay, sweep, write sweep.json, sweep.md and sweep.png.

    Every value is checked on every network before the first training. An interrupted run goes on
    after its last whole epoch or value. Networks lie in decay-<decay>/network.safetensors, one of
    the user's own in network.safetensors."""
    data, file = settings.source.load(), settings.output / "sweep.json"
    network = settings.network.on(data)
    plans = [(plan.sweep, _networks(network, plan.decays)) for plan in settings.plans()]
    networks = {name: one for _, some in plans for name, one in some.items()}
    where = data, settings.device, settings.seed
    classifiers = {name: one.classifier(*where) for name, one in networks.items()}
    for sweep, some in plans:
        for name in some:
            check(sweep, classifiers[name], data.x_test)
    for name, one in networks.items():
        decay = one.architecture.decay  # None where the network is the user's own.
        folder = settings.output if decay is None else folder_of(settings.output, decay)
        one.obtain(classifiers[name].model, data, folder, settings.seed)
    panels = []
    for sweep, some in plans:
        lines = {}
        for name, one in some.items():
            classifier, x, y = classifiers[name], data.x_test, data.y_test
            title = one.words(data, classifier.model)
            lines[name] = swept(sweep, classifier, x, y, file, name, title)
        panels.append(Panel(str(sweep.base), sweep.field, str(sweep.attack), lines))
    result = Swept(panels, earlier(file, "sweep", Content, bool) or Content({}))
    result.write(settings.output, draw(result))
    return result


def _networks(network: Trained, decays: tuple[float, ...]) -> dict[str, Trained]:
    """The networks by their names in the results."""
    architecture = network.architecture
    if architecture.is_own:
        return {architecture.words(): network}
    if network.checkpoint is not None and architecture.decay is not None:
        decays = (architecture.decay,)
    others = {decay: replace(architecture, decay=decay) for decay in decays}
    return {f"decay {decay_label(d)}": replace(network, architecture=a) for d, a in others.items()}


def check(sweep: Sweep, classifier: PyTorchSpikingClassifier, x: np.ndarray) -> None:
    """Refuse values that make no sense on this network, by one gradient of one sample under each.

    This can be done before training.

    :param x: samples ``(N, *input_shape)``, one or more.
    :raises ValueError: naming the value, with the rule's reason; or when there is no sample."""
    require_some("x", x, "at least one sample", "Give test samples.")
    predict_logits(
        classifier, x[:1], 1, sweep.seed
    )  # Complains about the sample, if anything does.
    network, remedy = classifier.model, "Leave that value or network out."
    expected = f"values of {sweep.name} that suit the network"
    for value in sweep.values:
        network.forget()
        try:
            with seeded(sweep.seed):
                rule = sweep.with_value(value)
                reason = network.objection(rule) or network.objection(rule, x)
                if reason is None:
                    classifier.loss_gradient(x[:1], np.zeros(1, int), gradient=rule)
        except ValueError as error:
            reason = str(error)
        got = f"{value} ({(reason or '').rstrip('.')})"
        require(reason is None, "values", expected, got, remedy)
    network.forget()


def swept(
    sweep: Sweep,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    file: Path | None = None,
    name: str = "network",
    title: str = "",
) -> Line:
    """Attack the network, which keeps its own rule, under every value, one after the other.

    With a JSON file, every finished value is written to it, and those that it already holds are not
    run again. One file can hold sweeps over several fields and networks, and further values later.

    :param x: test samples ``(N, *input_shape)``, with class indices y (N,).
    :param name: of the network in the file, such as "decay 0.5".
    :param title: network and data in words.
    :raises ValueError: when the rule refuses a value on this network, the file holds results of
        something else under that name, or there is no sample."""
    x, y = x[: sweep.samples], y[: sweep.samples]
    check(sweep, classifier, x)
    place = f"{sweep.name} at {name}"
    # Without the values, so that further ones can join.
    settings = (sweep.base, sweep.field, sweep.attack, sweep.batch_size, sweep.seed)
    key = fingerprint(settings, classifier, x, y)

    def fits(content: Content) -> bool:
        return place not in content.lines or content.lines[place].key == key

    content = earlier(file, "sweep", Content, fits) or Content({})
    options: dict[str, Any] = {"batch_size": sweep.batch_size, "seed": sweep.seed}
    if place not in content.lines:
        correct = predict_logits(classifier, x, **options).argmax(1) == y
        content.lines[place] = Entry(
            title=title,
            key=key,
            rule=str(sweep.base),
            field=sweep.field,
            default=str(sweep.default),
            attack=sweep.attack.as_dict(),
            samples=len(correct),
            **options,
            clean_accuracy=Robustness(correct, correct).clean_accuracy,
            correct=correct,
            values={},
        )
    entry = content.lines[place]
    for value in sweep.values:
        if str(value) not in entry.values:
            words = f"{sweep.attack.name} by {sweep.name} = {value:g} at {name}"
            rule = sweep.with_value(value)
            logits = attacked(sweep.attack, rule, classifier, x, y, words=words, **options)
            outcome = Robustness(entry.correct, logits.argmax(1) == y)
            entry.values[str(value)] = Value(outcome.attack_success, outcome.robust)
            if file is not None:
                write_result(file, as_json(content))
    outcomes = {value: entry.outcome(value) for value in sweep.values}
    return Line(title, sweep.default, outcomes)
