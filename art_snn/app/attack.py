"""The attacks that this package's own commands run, by name."""

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np
from art.attacks import EvasionAttack
from tyro.conf import arg

from art_snn.app.annotations import Open
from art_snn.attacks import SHORT_NAMES, Stage, batches, craft_batch, predict_logits
from art_snn.attacks.crafting import BUDGETS, ITERATIONS
from art_snn.checks import (
    choices,
    require,
    require_choice,
    require_count,
    require_number,
    set_fields,
)
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.gradients import Gradient
from art_snn.precision import require_attack_dtype

STEPPED, ITERATED = ("pgd", "mim"), ("pgd", "mim", "apgd", "sa-pgd")
"""Those whose step, and those whose number of steps can be chosen."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Attack:
    """An attack in the maximum norm, untargeted, on the true labels.

    :param name: fgsm, pgd, pgd-7, mim, apgd or sa-pgd. pgd-7 takes 7 steps of 2.55/8 eps, as papers
        do.
    :param eps: budget, in the unit of the samples, such as 0.1 or 8/255; 1e-6 to 1e6.
    :param eps_step: step of pgd and mim [eps / 4]. APGD starts with twice the budget and adapts,
        SA-PGD with the budget, and FGSM takes the whole of it at once.
    :param iterations: gradient steps of all but fgsm and pgd-7 [10].
    :param attack_dtype: precision of its gradients: bfloat16, float16, or auto, which is bfloat16
        where the device multiplies it natively [the network's own].
    :raises ValueError: for an unknown name, a number outside its range, or a step or iterations
        of an attack that has none."""

    name: Annotated[str, arg(name="attack", metavar=choices(SHORT_NAMES))] = "pgd"
    eps: float = 8 / 255
    eps_step: Open[float] = None
    iterations: Open[int] = None
    attack_dtype: str | None = None

    def __post_init__(self) -> None:
        require_attack_dtype(self.attack_dtype)
        name = self.name.lower() if isinstance(self.name, str) else self.name
        remedy = "Every other attack runs in art-snn evaluate, and on the classifier directly."
        require_choice("attack", name, SHORT_NAMES, remedy=remedy)
        set_fields(self, name=name)
        for field, words in {"eps": "budget is 8/255", "eps_step": "step is eps / 4"}.items():
            if (value := getattr(self, field)) is not None or field == "eps":
                remedy = f"A usual {words}."
                value = require_number(field, value, above=0, within=BUDGETS, remedy=remedy)
                set_fields(self, **{field: value})
        remedy = "Leave it out, or take pgd or mim: art-snn scaling runs only these."
        for field, names in {"eps_step": STEPPED, "iterations": ITERATED}.items():
            which = "its own" if name == "pgd-7" else "none"
            value, expected = getattr(self, field), f"None for {name}, which has {which}"
            require(name in names or value is None, field, expected, value, remedy)
        if name in ITERATED:
            steps = ITERATIONS if self.iterations is None else self.iterations
            steps = require_count("iterations", steps, remedy="Ten are usual.")
            set_fields(self, iterations=steps)

    @property
    def stage(self) -> Stage:
        """The attack with its settings."""
        usual = SHORT_NAMES[self.name](self.eps)
        given = {"eps_step": self.eps_step, "max_iter": self.iterations}
        options = {name: value for name, value in given.items() if value is not None}
        return replace(usual, options={**usual.options, **options})

    @property
    def text(self) -> str:
        """The attack as parse_stage reads it, without what is usual."""
        usual = SHORT_NAMES[self.name](self.eps).options
        options = {k: v for k, v in self.stage.options.items() if usual.get(k) != v}
        words = ", ".join(f"{name}={value}" for name, value in options.items())
        return f"{self.name}({words})" if words else self.name

    @property
    def step(self) -> float:
        """The step of PGD and MIM."""
        return float(self.stage.options["eps_step"])

    def method(self, classifier: PyTorchSpikingClassifier, batch_size: int) -> EvasionAttack:
        """The attack as ART's object."""
        return self.stage.instantiate(classifier, np.inf, self.eps, batch_size, 0)

    def craft(
        self, classifier: PyTorchSpikingClassifier, x: np.ndarray, y: np.ndarray
    ) -> np.ndarray:
        """Adversarial samples of one batch ``(N, *input_shape)`` with labels (N,).

        Rules such as ASSG remember nothing before it, and nothing after it."""
        dtype = self.attack_dtype or classifier.attack_dtype
        with classifier.model.crafting(dtype):
            return craft_batch(self.stage, classifier, x, y, norm=np.inf, eps=self.eps)

    def as_dict(self) -> dict[str, Any]:
        """Its fields for JSON, without a precision where none was chosen."""
        return {k: v for k, v in asdict(self).items() if k != "attack_dtype" or v is not None}

    def __repr__(self) -> str:
        """Its fields; fingerprints of results are made of it."""
        return f"Attack({', '.join(f'{k}={v!r}' for k, v in self.as_dict().items())})"

    def __str__(self) -> str:
        how = "" if self.attack_dtype is None else f", crafted in {self.attack_dtype}"
        if self.name not in ITERATED:
            return f"{self.name.upper()}, eps {self.eps:.4g}{how}"
        step = f" of {self.step:.4g}" if self.name in STEPPED else ""
        return f"{self.name.upper()}, eps {self.eps:.4g}, {self.iterations} steps{step}{how}"


def crafted(
    attack: Attack,
    rule: Gradient,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    words: str,
) -> np.ndarray:
    """Adversarial samples of x ``(N, *input_shape)``, class indices y (N,), by the rule."""
    adversarial = np.empty_like(x)
    with classifier.model.using(rule):
        for batch in batches(len(x), batch_size, seed, words):
            adversarial[batch] = attack.craft(classifier, x[batch], y[batch])
    return adversarial


def attacked(
    attack: Attack,
    rule: Gradient,
    classifier: PyTorchSpikingClassifier,
    x: np.ndarray,
    y: np.ndarray,
    **options: Any,
) -> np.ndarray:
    """Logits (N, K) of the samples that :func:`crafted` gives with the options."""
    adversarial = crafted(attack, rule, classifier, x, y, **options)
    return predict_logits(classifier, adversarial, options["batch_size"], options["seed"])
