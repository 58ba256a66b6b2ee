"""How often host and device wait for each other, per step and by line: python -m tests.device.waits

Figures are slopes between few and many steps, mostly 20 and 40, or totals where there are none, of
a tiny network that no attack breaks. The stand-in for CUDA counts."""

from __future__ import annotations

from tests.device.watch import Watch  # isort: skip  (the stand-in comes before torch)

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from art.attacks.evasion import ProjectedGradientDescent

from art_snn import checkpoint, fused
from art_snn.attacks import (
    Attack,
    AutoPGD,
    SparseDynamicAttack,
    SpikeRetiming,
    SpikingAutoAttack,
    SquareSearch,
    StableAdaptivePGD,
)
from art_snn.training import AdversarialTraining, Recipe, train
from tests.networks import CLASSES, FORMS, build

SAMPLES = 8
LABEL = 3
TINY: dict[str, Any] = {"eps": 0.001, "batch_size": SAMPLES, "verbose": False}


@dataclass(frozen=True)
class Case:
    """What is counted.

    :param work: (classifier, samples, labels, steps) does it.
    :param steps: few and many of them; None counts the whole.
    :param form: of the samples, a name of tests.networks.FORMS."""

    group: str
    work: Callable[[Any, np.ndarray, np.ndarray, int], Any]
    steps: tuple[int, int] | None = (20, 40)
    form: str = "grey"


def unbroken(form: str, rule: str = "rga") -> Any:
    """A classifier on the device that is sure of one label, with gradients all the same."""
    torch.manual_seed(0)
    classifier = build(form=form, device_type="gpu")
    classifier.gradient = rule
    with torch.no_grad():
        # Attacks on events go by the margin, whose gradient does not vanish.
        classifier.model.layers[-1].module[-1].bias[LABEL] += 8 if form == "grey" else 100
    return classifier


def crafting(kind: Any, **options: Any) -> Callable[..., Any]:
    return lambda c, x, y, steps: kind(c, max_iter=steps, **options).generate(x, y)


def pgd(c: Any, x: np.ndarray, y: np.ndarray, steps: int) -> None:
    ProjectedGradientDescent(c, eps_step=0.0001, max_iter=steps, **TINY).generate(x, y)


def whole(norm: Any, eps: float) -> Callable[..., Any]:
    options = TINY | {"norm": norm, "eps": eps, "plan": "fast"}
    return lambda c, x, y, steps: SpikingAutoAttack(c, **options).generate(x[:2], y[:2])


def epoch(c: Any, x: np.ndarray, y: np.ndarray, steps: int, **options: Any) -> None:
    recipe = Recipe.short(epochs=1, batch_size=SAMPLES)
    labels = np.arange(len(x) * steps) % CLASSES
    train(c.model, x.repeat(steps, 0), labels, recipe, verbose=False, **options)


def hardening(c: Any, x: np.ndarray, y: np.ndarray, steps: int) -> None:
    attack = Attack(name="pgd", eps=0.001, iterations=2)
    epoch(c, x, y, steps, adversary=AdversarialTraining(attack=attack))


def saving(c: Any, x: np.ndarray, y: np.ndarray, steps: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(c.model, Path(folder, "network.safetensors"))


# All candidates of a round are tried at once: their number grows with the rounds.
EVENTS: dict[str, Any] = {"batch_size": 4096, "verbose": False}
FRAMES: dict[str, Any] = {"form": "binary frames"}
CASES = {
    "PGD of ART": Case("pgd", pgd),
    "AutoPGD": Case("own", crafting(AutoPGD, **TINY)),
    "StableAdaptivePGD": Case("own", crafting(StableAdaptivePGD, **TINY)),
    "SquareSearch": Case("own", crafting(SquareSearch, **TINY)),
    "SparseDynamicAttack": Case(
        "events", crafting(SparseDynamicAttack, **EVENTS), steps=(2, 4), **FRAMES
    ),
    "SpikeRetiming": Case("events", crafting(SpikeRetiming, **EVENTS), **FRAMES),
    "SpikingAutoAttack": Case("saa", whole(np.inf, 0.001), steps=None),
    "SpikingAutoAttack of shifts": Case("saa", whole("shift", 1), steps=None, **FRAMES),
    "SpikingAutoAttack of flips": Case("saa", whole(0, 4), steps=None, **FRAMES),
    "training": Case("train", epoch),
    "training on adversarial samples": Case("train", hardening),
    "a checkpoint": Case("checkpoint", saving, steps=None),
}


def count(name: str) -> Counter[str]:
    """Waits and transfers per step, or of the whole, by kind and line."""
    case, counts = CASES[name], []
    for steps in case.steps or (1,):
        classifier = unbroken(case.form, "stbp" if case.form != "grey" else "rga")
        images = np.random.default_rng(0).random((SAMPLES, 1, 8, 8), dtype=np.float32)
        x, y = FORMS[case.form].present(images), np.full(SAMPLES, LABEL)
        with Watch() as watch:
            case.work(classifier, x, y, steps)
        counts.append(watch.places)
    if case.steps is None:
        return counts[0]
    few, many = counts
    many.subtract(few)
    steps = case.steps[1] - case.steps[0]
    return Counter({place: more / steps for place, more in many.items() if more})


def main() -> None:
    groups = sorted({case.group for case in CASES.values()})
    parser = argparse.ArgumentParser(prog="python -m tests.device.waits", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(groups)} [all]")
    asked = parser.parse_args().groups or groups
    os.environ[fused.SWITCH] = "none"
    for name, case in CASES.items():
        if case.group in asked:
            places = count(name)
            unit = "per step" if case.steps else "in all"
            print(f"{name}: {places.total():.1f} waits and transfers {unit}")
            for place, times in places.most_common():
                print(f"{times:10.2f} {place}")


if __name__ == "__main__":
    main()
