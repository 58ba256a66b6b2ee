"""How strong each gradient is: one network, one attack, every rule.

Attack success alone does not say why a rule is weak, so the comparison also counts the samples
whose gradient vanishes altogether, and measures how far each gradient points away from STBP's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from art_snn.app.attack import attacked
from art_snn.app.base import at_work
from art_snn.app.compare.figure import draw
from art_snn.app.compare.result import Comparison, Row
from art_snn.app.compare.settings import RULES, Settings
from art_snn.app.resume import earlier, fingerprint, write_result
from art_snn.attacks import batches, predict_logits
from art_snn.checks import require_some
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.gradients import STBP, Gradient, Native, engine_of
from art_snn.measuring.calls import medians
from art_snn.measuring.machine import describe_machine, device_type
from art_snn.metrics import Share, robustness
from art_snn.seeding import seeded


@at_work
def run(settings: Settings) -> Comparison:
    """Train or load the network, compare the rules, write compare.json, compare.md, compare.png.

    A run that was interrupted is taken up where it stopped: training after its last whole epoch,
    the comparison after its last whole rule."""
    network, data = settings.network, settings.source.load()
    classifier = network.classifier(data, settings.device, settings.seed)
    network.obtain(classifier.model, data, settings.output, settings.seed)
    file, title = settings.output / "compare.json", network.words(data, classifier.model)
    comparison = compared(settings, classifier, data.x_test, data.y_test, file, title)
    comparison.write(settings.output, draw(comparison))
    return comparison


def compared(
    settings: Settings,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    file: Path | None = None,
    title: str = "",
) -> Comparison:
    """Attack any network, which keeps its own rule, under every rule, one after the other.

    With a JSON file, every finished rule is written to it, and those that it holds are not run
    again.

    :param settings: of which data, network and output are not read.
    :param x: test samples ``(N, *input_shape)``, with class indices y (N,).
    :param title: network and data in words.
    :raises ValueError: when the file holds a comparison of something else, or there is no sample.
    """
    x, y = x[: settings.samples], y[: settings.samples]
    require_some("x", x, "at least one sample", "Give test samples.")
    # Times and directions are those of the gradients that the attack takes.
    with classifier.model.crafting(settings.attack.attack_dtype or classifier.attack_dtype):
        bench = _Bench(settings, classifier, x, y).ruled()
        settings, rules = bench.settings, bench.settings.rules
        key = fingerprint(settings.identity, classifier, x, y)
        objections = {name: bench.objection(settings.rule(name)) for name in rules}
        timed = [name for name in rules if objections[name] is None]

        def fits(comparison: Comparison) -> bool:
            return comparison.key == key and comparison.seconds.keys() >= {*timed}

        comparison = earlier(file, "comparison", Comparison, fits)
        if comparison is None:
            comparison = Comparison(title, key, str(settings.attack), settings.as_dict())
            bench.time(comparison, timed)
        clean = predict_logits(classifier, x, settings.batch_size, settings.seed)
        reference: np.ndarray | None = None
        for name in (name for name in rules if name not in comparison.rows):
            rule = settings.rule(name)
            row = Row(str(rule), engine_of(rules[name]), objections[name])
            if row.objection is None:
                reference = bench.reference() if reference is None else reference
                row = bench.attack(row, name, rule, clean, reference)
            comparison.rows[name] = row
            if file is not None:
                write_result(file, comparison.as_dict())
    return comparison


@dataclass(frozen=True)
class _Bench:
    """What is measured on one network and its samples."""

    settings: Settings
    classifier: PyTorchSpikingClassifier
    x: np.ndarray
    y: np.ndarray
    objections: dict[str, str | None] = field(default_factory=dict)

    def ruled(self) -> "_Bench":
        """The same, with the network's own gradient where none of the usual rules applies."""
        settings = self.settings
        usual = settings.rules == RULES
        none = usual and all(self.objection(settings.rule(name)) for name in RULES)
        if not none or self.objection(settings.averaged(Native())):
            return self
        return replace(self, settings=replace(settings, rules={**RULES, "native": Native()}))

    def objection(self, rule: Gradient) -> str | None:
        """Why the rule cannot be compared on this network, or None."""
        network, key = self.classifier.model, repr(rule)
        if key not in self.objections:
            with seeded(self.settings.seed):
                reason = network.objection(rule) or network.objection(rule, self.x)
            self.objections[key] = reason and reason.rstrip(".")
        return self.objections[key]

    def gradients(self, rule: Gradient, words: str) -> np.ndarray:
        """Gradients at the clean samples, flat (N, D) in float64."""
        parts = []
        for batch in batches(len(self.x), self.settings.batch_size, self.settings.seed, words):
            self.classifier.model.forget()
            x, y = self.x[batch], self.y[batch]
            parts.append(self.classifier.loss_gradient(x, y, gradient=rule))
        return np.concatenate(parts).reshape(len(self.x), -1).astype(np.float64)

    def reference(self) -> np.ndarray:
        """Those by STBP; zeros, to which there is no cosine, where it does not apply."""
        rule = self.settings.averaged(STBP())
        if self.objection(rule):
            return np.zeros((len(self.x), self.x[0].size))
        return self.gradients(rule, "gradients by STBP")

    def attack(
        self, row: Row, name: str, rule: Gradient, clean: np.ndarray, reference: np.ndarray
    ) -> Row:
        """The row with what the attack achieves with the rule."""
        settings, samples = self.settings, (self.classifier, self.x, self.y)
        gradients, attack = self.gradients(rule, f"gradients by {name}"), settings.attack
        batch, seed, words = settings.batch_size, settings.seed, f"{attack.name} by {name}"
        adversarial = attacked(attack, rule, *samples, batch_size=batch, seed=seed, words=words)
        lengths = np.linalg.norm(gradients, axis=1), np.linalg.norm(reference, axis=1)
        both = (lengths[0] > 0) & (lengths[1] > 0)
        products = (gradients[both] * reference[both]).sum(1) / (lengths[0] * lengths[1])[both]
        return replace(
            row,
            outcome=robustness(clean, adversarial, self.y),
            vanished=Share(int((lengths[0] == 0).sum()), len(self.x)),
            cosine=float(products.mean()) if both.any() else None,
        )

    def time(self, comparison: Comparison, names: Sequence[str]) -> None:
        """Median seconds of one gradient of a batch with each of the rules, all in turn."""
        classifier, repeats = self.classifier, self.settings.repeats
        device = device_type(classifier.device)
        x, y = self.x[: self.settings.batch_size], self.y[: self.settings.batch_size]
        operations: dict[str, Callable[[], object]]
        operations = {"": partial(classifier.predict, x, batch_size=len(x))}
        for name in names:
            rule = self.settings.rule(name)
            operations[name] = partial(classifier.loss_gradient, x, y, gradient=rule)
        with seeded(self.settings.seed):
            seconds = medians(operations, repeats, device)
        classifier.model.forget()
        how = f"times are medians of {repeats} rounds in turn, batch {len(x)}"
        comparison.machine = f"{describe_machine(device)}; {how}"
        comparison.inference, comparison.seconds = seconds.pop(""), seconds
