"""The attacks of ART that this package's own evaluations run, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from art.attacks import EvasionAttack
from art.attacks.evasion import (
    AutoProjectedGradientDescent,
    FastGradientMethod,
    MomentumIterativeMethod,
    ProjectedGradientDescent,
)

from art_snn.checks import invalid, require_count, require_number
from art_snn.classifier import PyTorchSpikingClassifier

ATTACKS = ("fgsm", "pgd", "mim", "apgd")
"""FGSM, PGD without a random start, the momentum iterative method, and APGD on cross entropy."""


@dataclass(frozen=True, kw_only=True)
class Attack:
    """An attack in the maximum norm, untargeted, on the true labels.

    :param name: one of :data:`ATTACKS`.
    :param eps: budget, in the unit of the images.
    :param eps_step: step of PGD and MIM; None is a quarter of the budget. APGD starts with twice
        the budget and adapts, FGSM takes the whole budget at once.
    :param iterations: gradient steps of all but FGSM.
    :raises ValueError: for an unknown name or a number that is not positive.
    """

    name: str = "pgd"
    eps: float = 8 / 255
    eps_step: float | None = None
    iterations: int = 10

    def __post_init__(self) -> None:
        if self.name not in ATTACKS:
            raise invalid(
                "attack",
                expected=f"one of {', '.join(ATTACKS)}",
                got=repr(self.name),
                remedy="Every other attack of ART runs on the classifier directly.",
            )
        usual = {"eps": "A usual budget is 8/255.", "eps_step": "A usual step is eps / 4."}
        for name, remedy in usual.items():
            if name == "eps" or self.eps_step is not None:
                value = require_number(name, getattr(self, name), above=0, remedy=remedy)
                object.__setattr__(self, name, value)
        steps = require_count("iterations", self.iterations, remedy="Ten are usual.")
        object.__setattr__(self, "iterations", steps)

    @property
    def step(self) -> float:
        """The step of PGD and MIM."""
        return self.eps / 4 if self.eps_step is None else self.eps_step

    def method(self, classifier: PyTorchSpikingClassifier, batch_size: int) -> EvasionAttack:
        """The attack as ART's object."""
        once: dict[str, Any] = {"eps": self.eps, "batch_size": batch_size}
        if self.name == "fgsm":
            return FastGradientMethod(classifier, **once)
        many = once | {"max_iter": self.iterations, "verbose": False}
        if self.name == "apgd":
            return AutoProjectedGradientDescent(
                classifier,
                eps_step=2 * self.eps,
                nb_random_init=1,
                loss_type="cross_entropy",
                **many,
            )
        kind = ProjectedGradientDescent if self.name == "pgd" else MomentumIterativeMethod
        return kind(classifier, eps_step=self.step, **many)

    def craft(
        self, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
    ) -> np.ndarray:
        """Adversarial samples of one batch ``(N, *input_shape)``, labels (N,)."""
        adversarial: np.ndarray = self.method(classifier, max(1, len(x))).generate(x, y)
        return adversarial

    def __str__(self) -> str:
        if self.name == "fgsm":
            return f"FGSM, eps {self.eps:.4g}"
        step = "" if self.name == "apgd" else f" of {self.step:.4g}"
        return f"{self.name.upper()}, eps {self.eps:.4g}, {self.iterations} steps{step}"
