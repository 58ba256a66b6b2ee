"""The product's main job on real images: train, attack by both gradients, harden, attack again."""

import time
from itertools import product

import numpy as np
import torch
from art.defences.trainer import AdversarialTrainerMadryPGD
from torch import nn

from art_snn.app.attack import Attack
from art_snn.app.base import at_work
from art_snn.app.demo.figure import draw_curves, draw_pictures
from art_snn.app.demo.result import ATTACKS, GRADIENTS, Demonstration
from art_snn.app.demo.settings import Settings
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset, digits
from art_snn.metrics import robustness
from art_snn.models import Architecture, Widths, vgg
from art_snn.progress import duration, log_line, progress_over, shows_bars


@at_work
def run(settings: Settings) -> Demonstration:
    """Run the demo and write results.json, results.md, accuracy.png and adversarials.png."""
    torch.manual_seed(settings.seed)
    np.random.seed(settings.seed)  # noqa: NPY002, since ART draws from numpy's global state
    data = digits(seed=settings.seed)
    outcome = Demonstration(settings)
    plain = build(data, settings)
    for _ in progress_over(range(1, settings.epochs + 1), "Training", each="epoch {}".format):
        plain.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=1)
    _attack_all("plain", plain, data, outcome)
    hardened = plain.clone_for_refitting()
    budget = {"eps": settings.train_eps, "eps_step": settings.train_eps / 4, "max_iter": 7}
    trainer = AdversarialTrainerMadryPGD(hardened, settings.epochs, batch_size=64, **budget)
    began = time.monotonic()
    trainer.fit(data.x_train, data.y_train)  # With a bar of ART's.
    took = duration(time.monotonic() - began)
    log_line(f"Adversarial training: {settings.epochs} epochs, {took}", shown=shows_bars())
    _attack_all("adversarially trained", hardened, data, outcome)
    outcome.write(settings.output, draw_curves(outcome), draw_pictures(outcome))
    return outcome


def build(data: Dataset, settings: Settings) -> PyTorchSpikingClassifier:
    """The demo's classifier: two convolutions, two linear layers, LIF neurons, T = 8."""
    if settings.model is None:
        plan = Widths(stages=((32,), (64,)), hidden=(128,))
        network = vgg(plan, in_channels=1, image_size=8, classes=data.classes, steps=8, decay=0.5)
    else:
        network = Architecture(model=settings.model).build(data, settings.seed)
    network.gradient = "rga"
    return PyTorchSpikingClassifier(
        network,
        nn.CrossEntropyLoss(),
        input_shape=data.input_shape,
        nb_classes=data.classes,
        optimizer=torch.optim.Adam(network.parameters(), lr=2e-3),
        clip_values=(0.0, 1.0),
        device_type=settings.device,
        attack_dtype=settings.attack_dtype,
    )


def _attack_all(
    name: str, classifier: PyTorchSpikingClassifier, data: Dataset, outcome: Demonstration
) -> None:
    settings = outcome.settings
    x, y = data.x_test[: settings.test_images], data.y_test[: settings.test_images]
    clean = classifier.predict(x)
    outcome.accuracy[name] = float((clean.argmax(1) == y).mean())
    outcome.curves[name] = {pair: [] for pair in product(ATTACKS, GRADIENTS)}
    shown = (ATTACKS[-1], settings.eps[len(settings.eps) // 2])
    cells = list(product(ATTACKS, GRADIENTS, settings.eps))
    each = "{0[0]} with {0[1]}, eps {0[2]:g}".format
    for attack, gradient, eps in progress_over(cells, f"Attacks, {name}", each=each):
        classifier.set_params(gradient=gradient)
        method = Attack(name=attack.partition("-")[0].lower(), eps=eps).method(classifier, 128)
        adversarial = method.generate(x, y)
        result = robustness(clean, classifier.predict(adversarial), y)
        outcome.curves[name][attack, gradient].append(result)
        if name == "plain" and (attack, eps) == shown:
            outcome.pictures |= {"original": x[:10], gradient: adversarial[:10]}
    classifier.set_params(gradient="rga")
