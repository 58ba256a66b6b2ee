from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from art_snn.app.annotations import Folder
from art_snn.app.attack import Attack
from art_snn.app.train.settings import Settings as Train
from art_snn.checks import choices
from art_snn.data import Dataset
from art_snn.gradients import RGA, Gradient
from art_snn.training import AdversarialTraining
from art_snn.training.defences import DEFENCES, Strengths, defence_named


@dataclass(frozen=True, kw_only=True)
class Settings(Train):
    """Train a network adversarially: an attack crafts with any rule, the recipe trains.

    :param attack: the attack against which the network is trained.
    :param rule: gradient rule of the attack: rga, stbp, mean-rga-stbp, ...; weights learn by STBP.
    :param adversarial_share: share of the samples of each step that are attacked, in (0, 1].
    :param defence: what a step does with the adversarials: at (trains on them), trades, rat (keeps
        weights near-orthogonal, without weight decay) or sr (keeps gradients sparse); or ibp, which
        trains on bounds within eps and runs no attack.
    :param strengths: hyperparameters of the defence; None leaves its own."""

    output: Folder = Path("hardened")
    attack: Attack = field(default_factory=Attack)
    rule: Gradient = field(default_factory=RGA)
    adversarial_share: float = 1.0
    defence: Annotated[str, arg(metavar=choices(DEFENCES))] = "at"
    strengths: Annotated[Any, arg(constructor=Strengths)] = field(default_factory=Strengths)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._adversary((0.0, 1.0))

    def adversary(self, data: Dataset) -> AdversarialTraining:
        """What crafts, within the value range of the data; a ValueError where they have none."""
        return self._adversary(data.clip_values("adversarial training"))

    def _adversary(self, value_range: tuple[float, float]) -> AdversarialTraining:
        return AdversarialTraining(
            attack=self.attack.text,
            eps=self.attack.eps,
            attack_dtype=self.attack.attack_dtype,
            rule=self.rule,
            share=self.adversarial_share,
            value_range=value_range,
            defence=defence_named(self.defence, **asdict(self.strengths)),
        )
