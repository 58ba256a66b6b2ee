from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

from art_snn.app.base import Result
from art_snn.app.demo.settings import Settings
from art_snn.app.tables import Notes, Part, Table
from art_snn.metrics import SIGNIFICANT, Robustness, paired_difference

GRADIENTS = ("stbp", "rga")
ATTACKS = ("FGSM", "PGD-10")

Curves = dict[tuple[str, str], list[Robustness]]


@dataclass
class Demonstration(Result):
    """What the demo found: per network, (attack, gradient) -> outcomes, one per budget.

    The pictures are originals and, per gradient, adversarials (n, 1, 8, 8) of the plain network."""

    settings: Settings
    accuracy: dict[str, float] = field(default_factory=dict)
    curves: dict[str, Curves] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    name: ClassVar[str] = "results"
    drawings = ("accuracy", "adversarials")

    def as_dict(self) -> dict[str, Any]:
        """All figures, for JSON."""
        names = ("model", "seed", "eps", "train_eps", "epochs", "attack_dtype")
        settings = {name: getattr(self.settings, name) for name in names}
        networks = {
            name: {" by ".join(pair): [o.as_dict() for o in some] for pair, some in curves.items()}
            for name, curves in self.curves.items()
        }
        return {
            "data": "scikit-learn digits, 80/20 split",
            **settings,
            "torch": torch.__version__,
            "accuracy": self.accuracy,
            "networks": networks,
            "verdicts": gradient_verdicts(self),
        }

    def parts(self) -> list[Part]:
        """Conditional attack success, and which gradient was stronger."""
        columns = [(a, g) for a in ATTACKS for g in GRADIENTS]
        titles = ["eps", *(f"{attack} by {gradient.upper()}" for attack, gradient in columns)]
        dtype = self.settings.attack_dtype
        how = "" if dtype is None else f", crafted in {dtype}"
        heading = f"Attack success among the correctly classified, with 95 % intervals{how}"
        parts: list[Part] = [heading]
        for name, curves in self.curves.items():
            rows = [
                [f"{eps:.3f}", *(str(curves[column][i].attack_success) for column in columns)]
                for i, eps in enumerate(self.settings.eps)
            ]
            accuracy = f"{name}: {100 * self.accuracy[name]:.1f} % test accuracy"
            parts += [accuracy, Table(titles, rows)]
        heading = f"Which gradient was stronger (McNemar, p < {SIGNIFICANT:g}):"
        return [*parts, heading, Notes(gradient_verdicts(self))]


def gradient_verdicts(outcome: Demonstration) -> list[str]:
    """Which gradient was stronger, per network and attack, by McNemar's test at every budget."""
    eps = outcome.settings.eps
    cells = [(name, c, a) for name, c in outcome.curves.items() for a in ATTACKS]
    return [f"{name}, {attack}: {_verdict(attack, eps, curves)}" for name, curves, attack in cells]


def _verdict(attack: str, eps: Sequence[float], curves: Curves) -> str:
    pairs = zip(curves[attack, "rga"], curves[attack, "stbp"], strict=True)
    tests = [paired_difference(rga, stbp) for rga, stbp in pairs]
    shown = [(e, a > b) for e, (a, b, p) in zip(eps, tests, strict=True) if p < SIGNIFICANT]
    claims = [
        f"{rule} stronger at {', '.join(f'{e:g}' for e in budgets)}"
        for rule, by_rga in (("RGA", True), ("STBP", False))
        if (budgets := [e for e, stronger in shown if stronger is by_rga])
    ]
    finding = "; ".join(claims) or "no difference that these images can show"
    only_rga, only_stbp = sum(t[0] for t in tests), sum(t[1] for t in tests)
    only = f"flipped by RGA alone {only_rga}, by STBP alone {only_stbp}, over all budgets"
    return f"{finding} ({only})"
