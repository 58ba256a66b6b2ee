"""What is recorded from which networks, and which polyline it is held against."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tyro.conf import UseAppendAction

from art_snn.checks import invalid, require_count, require_whole
from art_snn.data import Source
from art_snn.experiments.base import Experiment
from art_snn.experiments.trained import Trained, label
from art_snn.flags import Open
from art_snn.gradients import RGA
from art_snn.models import Architecture

DECAYS = (1.0, 0.5)


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """Record mean current and mean rate of one layer, and compare them with the rate curves.

    :param source: the data.
    :param architecture: of the networks, but for their decay.
    :param checkpoint: weights of a trained network, once per decay; none trains them here.
    :param decays: one network each; 1 is IF [1,0.5; with checkpoints those that they note].
    :param epochs: of training here [10; of a function of yours: none].
    :param layer: layer of neurons, by name or by its index among them from 0.
    :param pairs: pairs of mean current and mean rate.
    :param batch_size: samples per pass.
    :param rule: the polyline.
    :param seed: of weights, training and drawn places.
    :raises ValueError: for a count below 1 or a seed below 0, decays that are equal, or another
        number of checkpoints.
    """

    output: Path = Path("curves")
    source: Source = field(default_factory=Source)
    architecture: Architecture = field(default_factory=Architecture)
    checkpoint: UseAppendAction[tuple[Path, ...]] = ()
    decays: Open[tuple[float, ...]] = None
    epochs: Open[int] = None
    layer: int | str = 1
    pairs: int = 8000
    batch_size: int = 64
    rule: RGA = field(default_factory=RGA)
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("pairs", "batch_size"):
            count = require_count(name, getattr(self, name), remedy="Use a whole number from 1.")
            object.__setattr__(self, name, count)
        object.__setattr__(self, "seed", require_whole("seed", self.seed, remedy="Use 0."))
        self._check_decays()

    def _check_decays(self) -> None:
        decays, told = self.decays or (), self.architecture.decay
        owner = "a decay" if told is not None else ""
        owner = "a network of yours, which has its own" if self.architecture.is_own else owner
        wrong = len(set(map(label, decays))) < len(decays) or (self.decays == ())
        if wrong or (decays and owner):
            raise invalid(
                "decays",
                f"None beside {owner}" if owner else "one or more different ones",
                ", ".join(f"{decay:g}" for decay in decays) or "none",
                "One network of every decay is recorded.",
            )
        count = len(self.checkpoint)
        if count and count != (len(decays) or (1 if owner else count)):
            raise invalid(
                "checkpoint",
                f"one file per decay, {len(decays) or 1} in all",
                str(count),
                "Give them in the order of the decays, or none to train networks here.",
            )

    def as_dict(self) -> dict[str, Any]:
        """What is recorded of every network, for JSON."""
        names = ("layer", "pairs", "batch_size", "seed")
        rule = {"beta": self.rule.beta, "gamma": self.rule.gamma}
        return {name: getattr(self, name) for name in names} | {"rule": rule}

    def networks(self) -> list[Trained]:
        """The networks, in the order of the decays or of the checkpoints.

        :raises FileNotFoundError: when there is no such checkpoint.
        """
        told = self.architecture.decay is not None or self.architecture.is_own
        usual = (
            (None,) if told else DECAYS if not self.checkpoint else (None,) * len(self.checkpoint)
        )
        decays: tuple[float | None, ...] = self.decays or usual
        files = self.checkpoint or (None,) * len(decays)
        return [
            Trained(
                architecture=self.architecture
                if decay is None
                else replace(self.architecture, decay=decay),
                checkpoint=file,
                epochs=self.epochs,
            )
            for decay, file in zip(decays, files, strict=True)
        ]
