"""The attacks that this package's own evaluations run, by name."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from art.attacks import EvasionAttack
from art.attacks.evasion import (
    AutoProjectedGradientDescent,
    FastGradientMethod,
    MomentumIterativeMethod,
    ProjectedGradientDescent,
)
from tyro.conf import arg

from art_snn.attacks.budget import attacking
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
from art_snn.checks import SEEDS, Open, require, require_choice, require_count, require_number
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.precision import require_attack_dtype

ATTACKS = ("fgsm", "pgd", "mim", "apgd", "sa-pgd")
"""FGSM, PGD without a random start, momentum iterative method, APGD on cross entropy, SA-PGD."""


ITERATIONS = 10
BUDGETS = (1e-6, 1e6)
"""Budgets and steps that change samples, and leave them finite, in single precision."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Attack:
    """An attack in the maximum norm, untargeted, on the true labels.

    :param name: fgsm, pgd, mim, apgd or sa-pgd.
    :param eps: budget, in the unit of the samples, such as 0.1 or 8/255; 1e-6 to 1e6.
    :param eps_step: step of pgd and mim [eps / 4]. APGD starts with twice the budget and adapts,
        SA-PGD with the budget, and FGSM takes the whole of it at once.
    :param iterations: gradient steps of all but fgsm [10].
    :param attack_dtype: precision of its gradients: bfloat16, float16, or auto, which is bfloat16
        where the device multiplies it natively [the network's own].
    :raises ValueError: for an unknown name, a number outside its range, or a step or iterations
        of an attack that has none."""

    name: Annotated[str, arg(name="attack")] = "pgd"
    eps: float = 8 / 255
    eps_step: Open[float] = None
    iterations: Open[int] = None
    attack_dtype: Open[str] = None

    def __post_init__(self) -> None:
        require_attack_dtype(self.attack_dtype)
        remedy = "Every other attack of ART runs on the classifier directly."
        require_choice("attack", self.name, ATTACKS, remedy=remedy)
        usual = {"eps": "A usual budget is 8/255.", "eps_step": "A usual step is eps / 4."}
        for name, remedy in usual.items():
            if name == "eps" or self.eps_step is not None:
                told = getattr(self, name)
                value = require_number(name, told, above=0, within=BUDGETS, remedy=remedy)
                object.__setattr__(self, name, value)
        remedy = "Leave it out, or take pgd or mim: art-snn scaling runs only these."
        for name, without in {
            "eps_step": ("fgsm", "apgd", "sa-pgd"),
            "iterations": ("fgsm",),
        }.items():
            told, expected = getattr(self, name), f"None for {self.name}, which has none"
            require(self.name not in without or told is None, name, expected, told, remedy)
        if self.name != "fgsm":
            asked = ITERATIONS if self.iterations is None else self.iterations
            steps = require_count("iterations", asked, remedy="Ten are usual.")
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
        if self.name == "sa-pgd":
            # As ART's attacks draw, from numpy's global state.
            seed = int(np.random.randint(SEEDS))  # noqa: NPY002
            return StableAdaptivePGD(classifier, seed=seed, **many)
        kind = ProjectedGradientDescent if self.name == "pgd" else MomentumIterativeMethod
        return kind(classifier, eps_step=self.step, **many)

    def craft(
        self, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
    ) -> np.ndarray:
        """Adversarial samples of one batch ``(N, *input_shape)``, labels (N,).

        What rules remember, such as ASSG, begins and ends with it."""
        dtype = self.attack_dtype or classifier.attack_dtype
        with classifier.model.crafting(dtype), attacking(classifier, self.eps):
            adversarial: np.ndarray = self.method(classifier, max(1, len(x))).generate(x, y)
        return adversarial

    def as_dict(self) -> dict[str, Any]:
        """Its fields for JSON, without a precision where none was chosen."""
        told = asdict(self)
        if self.attack_dtype is None:
            del told["attack_dtype"]
        return told

    def __repr__(self) -> str:
        """The fields, a precision where one was chosen; fingerprints of results are made of it."""
        return f"Attack({', '.join(f'{k}={v!r}' for k, v in self.as_dict().items())})"

    def __str__(self) -> str:
        how = "" if self.attack_dtype is None else f", crafted in {self.attack_dtype}"
        if self.name == "fgsm":
            return f"FGSM, eps {self.eps:.4g}{how}"
        step = f" of {self.step:.4g}" if self.name in ("pgd", "mim") else ""
        return f"{self.name.upper()}, eps {self.eps:.4g}, {self.iterations} steps{step}{how}"
