from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tyro.conf import UseAppendAction

from art_snn.app.annotations import Folder, Open
from art_snn.app.base import Experiment
from art_snn.app.catalogue import from_zoo
from art_snn.app.trained import Trained, decay_label
from art_snn.checks import require, require_seed, set_counts, set_fields
from art_snn.data import Source
from art_snn.gradients import RGA
from art_snn.models import Architecture

DECAYS = (1.0, 0.5)


@dataclass(frozen=True, kw_only=True)
class Settings(Experiment):
    """Record mean current and mean rate of one layer, and compare them with the rate curves.

    :param source: the data.
    :param architecture: of the networks, but for their decay.
    :param checkpoint: weights of a trained network, once per decay; none trains them here.
    :param decays: of the neurons, one network for each; 1 is IF [1,0.5; with checkpoints theirs].
    :param epochs: of training here [10; of a function of yours: none].
    :param layer: layer of neurons, by name or by its index among them from 0.
    :param pairs: pairs of mean current and mean rate to record.
    :param batch_size: samples per pass.
    :param rule: the polyline of RGA that the pairs are compared with.
    :param seed: of weights, training and drawn places."""

    output: Folder = Path("curves")
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
        architecture, weights, source = from_zoo(self.architecture, self.checkpoint, self.source)
        set_fields(self, architecture=architecture, checkpoint=tuple(weights), source=source)
        set_counts(self, "pairs", "batch_size")
        set_fields(self, seed=require_seed("seed", self.seed))
        decays, architecture = self.decays, self.architecture
        single = architecture.is_own or architecture.decay is not None
        got = "none" if not decays else ", ".join(f"{decay:g}" for decay in decays)
        remedy = "One network of every decay is recorded."
        alone = decays is None or not single
        require(alone, "decays", "None next to a decay, or a network of yours", got, remedy)
        once = decays is None or 0 < len(decays) == len(set(map(decay_label, decays)))
        require(once, "decays", "one or more different ones", got, remedy)
        files, count = len(self.checkpoint), 1 if single else len(decays or self.checkpoint)
        expected = f"one file per decay, {count} in all"
        remedy = "Give them in the order of the decays, or none to train networks here."
        require(files in (0, count), "checkpoint", expected, files, remedy)

    def as_dict(self) -> dict[str, Any]:
        """What is recorded of every network, for JSON."""
        names = ("layer", "pairs", "batch_size", "seed")
        rule = {"beta": self.rule.beta, "gamma": self.rule.gamma}
        return {name: getattr(self, name) for name in names} | {"rule": rule}

    def networks(self) -> list[Trained]:
        """The networks, in the order of the decays or of the checkpoints."""
        open_decays = (None,) * len(self.checkpoint) or DECAYS
        single = self.architecture.is_own or self.architecture.decay is not None
        decays: tuple[float | None, ...] = self.decays or ((None,) if single else open_decays)
        networks = []
        for decay, file in zip(decays, self.checkpoint or (None,) * len(decays), strict=True):
            default = self.architecture.decay
            architecture = replace(self.architecture, decay=default if decay is None else decay)
            networks.append(Trained(architecture=architecture, checkpoint=file, epochs=self.epochs))
        return networks
