"""Everything that a training run would lose when it is killed, and the file that keeps it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from art_snn.checkpoint import CheckpointError, misfits
from art_snn.files import digest, whole
from art_snn.network import SpikingNetwork
from art_snn.training.adversary import Adversary
from art_snn.training.recipe import Recipe
from art_snn.training.samples import Validation

Progress = dict[str, Any]


@dataclass(frozen=True)
class Epoch:
    """One pass over the samples.

    :param number: counted from 1.
    :param loss: mean cross entropy over the samples as they were trained on.
    :param validation: share of the validation samples that are classified correctly afterwards, and
        under attack where training is adversarial; None without validation samples.
    """

    number: int
    loss: float
    validation: float | None = None


def best(history: Sequence[Epoch]) -> Epoch | None:
    """The first epoch of the highest validation accuracy; None without validation samples."""
    known = [epoch for epoch in history if epoch.validation is not None]
    return max(known, key=lambda epoch: (epoch.validation or 0.0, -epoch.number), default=None)


class State:
    """Network, optimizer, schedule, history and best weights of a run.

    Random states need no keeping, since every epoch sets its own.
    """

    def __init__(
        self,
        network: SpikingNetwork,
        recipe: Recipe,
        x: np.ndarray,
        y: np.ndarray,
        validation: Validation | None,
        adversary: Adversary | None,
    ) -> None:
        self.network, self.recipe = network, recipe
        self.optimizer = recipe.optimizer_of(network.parameters())
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, recipe.epochs * -(-len(x) // recipe.batch_size)
        )
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] | None = None
        self.run = repr(recipe)
        self.run += "" if adversary is None else f" against {adversary!r}"
        self.run += ", best by validation samples" if validation is not None else ""
        held = () if validation is None else (validation.x, validation.y)
        self.samples = digest([a.shape for a in (x, y, *held)], x, y, *held)
        # Weights do not tell decay, threshold, reset and encoding.
        self.form = digest((network.encoder, network.layers, network.training_gradient))

    def finish(self, epoch: Epoch) -> None:
        """Add an epoch, and keep its weights when none was better."""
        self.history.append(epoch)
        if best(self.history) is epoch:
            weights = self.network.state_dict()
            self.best = {name: tensor.detach().clone() for name, tensor in weights.items()}

    def restore_best(self) -> None:
        """Give the network the best weights, where validation samples chose some."""
        if self.best is not None:
            self.network.load_state_dict(self.best)

    def put_down(self, file: str | Path | None) -> None:
        """Write everything, atomically."""
        if file is None:
            return
        progress: Progress = {
            "run": self.run,
            "samples": self.samples,
            "form": self.form,
            "epochs_done": len(self.history),
            "history": [asdict(epoch) for epoch in self.history],
            "network": self.network.state_dict(),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        with whole(file) as partial:
            torch.save(progress, partial)

    def take_up(self, file: str | Path | None) -> None:
        """Go on from the file, where it exists.

        :raises CheckpointError: when it is damaged, of another run or another network.
        """
        if file is None or not Path(file).exists():
            return
        advice = f"Delete {file} to train from the start."
        try:
            progress: Progress = torch.load(file, map_location="cpu", weights_only=True)
            if progress["run"] != self.run:
                raise CheckpointError(
                    "resume",
                    f"expected a run of {self.run}, got one of {progress['run']}. {advice}",
                )
            if progress["samples"] != self.samples:
                raise CheckpointError(
                    "resume",
                    f"expected a run on these samples, got {file}, which is of others. {advice}",
                )
            history = [Epoch(**epoch) for epoch in progress["history"]]
            kept = progress["best"]
            if len(history) != progress["epochs_done"]:
                raise ValueError("its history has another number of epochs")
            for weights in (progress["network"], *([] if kept is None else [kept])):
                self._refuse(misfits(self.network.state_dict(), weights), file, advice)
            if progress["form"] != self.form:
                self._refuse(["encoder, layers, neurons or training gradient"], file, advice)
            self.optimizer.load_state_dict(progress["optimizer"])
            self.schedule.load_state_dict(progress["schedule"])
            self.network.load_state_dict(progress["network"])
            self.history, self.best = history, kept
        except CheckpointError:
            raise
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else "no message"
            raise CheckpointError(
                "resume",
                f"expected the state of this training run, got {file}, which cannot be "
                f"taken up ({type(error).__name__}: {reason}). {advice}",
            ) from error

    def _refuse(self, problems: list[str], file: str | Path, advice: str) -> None:
        if problems:
            raise CheckpointError(
                "resume",
                f"expected a run of this network, got {file}, which differs in "
                f"{'; '.join(problems[:5])}. {advice}",
            )
