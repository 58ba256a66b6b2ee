"""The product's main job on real images: train, attack by both gradients, harden, attack again."""

from collections.abc import Iterator

import numpy as np
import torch
from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
from art.defences.trainer import AdversarialTrainerMadryPGD
from torch import nn
from tqdm.auto import tqdm

from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset, digits
from art_snn.experiments.demo.result import ATTACKS, GRADIENTS, Curves, Outcome
from art_snn.experiments.demo.settings import Settings
from art_snn.metrics import robustness
from art_snn.models import Architecture, Plan, vgg


def run(settings: Settings) -> Outcome:
    """Run the demo and write results.json, results.md, accuracy.png and adversarials.png."""
    settings.prepare()
    torch.manual_seed(settings.seed)
    np.random.seed(settings.seed)  # noqa: NPY002, since ART draws from numpy's global state
    data = digits(seed=settings.seed)
    outcome = Outcome(settings)
    plain = build(data, settings)
    plain.fit(data.x_train, data.y_train, batch_size=64, nb_epochs=settings.epochs, verbose=True)
    _attack_all("plain", plain, data, outcome)
    hardened = plain.clone_for_refitting()
    AdversarialTrainerMadryPGD(
        hardened,
        nb_epochs=settings.epochs,
        batch_size=64,
        eps=settings.train_eps,
        eps_step=settings.train_eps / 4,
        max_iter=7,
    ).fit(data.x_train, data.y_train)
    _attack_all("adversarially trained", hardened, data, outcome)
    outcome.write(settings.output)
    return outcome


def build(data: Dataset, settings: Settings) -> PyTorchSpikingClassifier:
    """The demo's classifier: two convolutions, two linear layers, LIF neurons, T = 8."""
    if settings.model is None:
        plan = Plan(stages=((32,), (64,)), hidden=(128,))
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
    )


def _attack_all(
    name: str, classifier: PyTorchSpikingClassifier, data: Dataset, outcome: Outcome
) -> None:
    settings = outcome.settings
    x, y = data.x_test[: settings.test_images], data.y_test[: settings.test_images]
    clean = classifier.predict(x)
    outcome.accuracy[name] = float((clean.argmax(1) == y).mean())
    curves: Curves = {(a, g): [] for a in ATTACKS for g in GRADIENTS}
    total = len(curves) * len(settings.eps)
    for attack, gradient, eps in tqdm(_runs(settings), total=total, desc=f"Attacks on {name}"):
        classifier.set_params(gradient=gradient)
        adversarial = craft(attack, classifier, eps, x, y)
        curves[attack, gradient].append(robustness(clean, classifier.predict(adversarial), y))
        if (
            name == "plain"
            and attack == ATTACKS[-1]
            and eps == settings.eps[len(settings.eps) // 2]
        ):
            outcome.pictures["original"] = x[:10]
            outcome.pictures[gradient] = adversarial[:10]
    classifier.set_params(gradient="rga")
    outcome.curves[name] = curves


def _runs(settings: Settings) -> Iterator[tuple[str, str, float]]:
    for attack in ATTACKS:
        for gradient in GRADIENTS:
            for eps in settings.eps:
                yield attack, gradient, eps


def craft(
    attack: str, classifier: PyTorchSpikingClassifier, eps: float, x: np.ndarray, y: np.ndarray
) -> np.ndarray:
    """Adversarial samples by ART's FGSM, or by its PGD with 10 steps of eps / 4."""
    if attack == "FGSM":
        method = FastGradientMethod(classifier, eps=eps, batch_size=128)
    else:
        method = ProjectedGradientDescent(
            classifier, eps=eps, eps_step=eps / 4, max_iter=10, batch_size=128, verbose=False
        )
    adversarial: np.ndarray = method.generate(x, y)
    return adversarial
