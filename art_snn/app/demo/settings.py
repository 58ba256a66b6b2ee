from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from art_snn.app.annotations import Folder, Open
from art_snn.app.base import Experiment
from art_snn.attacks.crafting import BUDGETS
from art_snn.checks import require_count, require_number, require_seed, set_fields
from art_snn.precision import require_attack_dtype


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """Train a spiking network on digits, attack it with two gradients, harden it, attack again.

    The results follow from the settings, the versions of torch and ART, and the processor, as each
    rounds sums in its own way.

    :param model: name of a model, or a function of yours for images of 1x8x8 and ten classes:
        file.py:function [a small VGG].
    :param seed: of the split, the weights, the batches and the attacks' random starts.
    :param epochs: of plain training, and again of adversarial training.
    :param train_eps: budget of the attack in the adversarial training.
    :param eps: budgets of the attacks, ascending, separated by commas.
    :param test_images: how many test images are attacked [all].
    :param attack_dtype: precision in which adversarials are crafted, those of the adversarial
        training too: bfloat16, float16, or auto, which is bfloat16 where the device multiplies
        it natively [the network's own]."""

    output: Folder = Path("demo")
    model: Annotated[Open[str], arg(metavar="MODEL|FILE.py:FUNCTION")] = None
    seed: int = 0
    epochs: int = 15
    train_eps: float = 0.1
    eps: tuple[float, ...] = (0.02, 0.05, 0.1, 0.15, 0.2)
    test_images: Open[int] = None
    attack_dtype: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_count("epochs", self.epochs, remedy="Training needs one at least.")
        require_seed("seed", self.seed)
        set_fields(self, attack_dtype=require_attack_dtype(self.attack_dtype))
        if self.test_images is not None:
            remedy = "Leave it out for all test images."
            require_count("test_images", self.test_images, remedy=remedy)
        remedy = "0.1 is the demo's."
        require_number("train_eps", self.train_eps, above=0, within=BUDGETS, remedy=remedy)
        remedy = "A budget of 0 is no attack."
        for eps in self.eps:
            require_number("eps", eps, above=0, within=BUDGETS, remedy=remedy)
