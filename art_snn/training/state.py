"""Everything that a training run would lose when it is killed, and the file that keeps it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from art_snn.checkpoint import CheckpointError, misfits
from art_snn.identity import digest
from art_snn.network import SpikingNetwork
from art_snn.training.adversary import Adversary
from art_snn.training.history import Epoch, best
from art_snn.training.samples import Validation
from art_snn.training.settings import Training

Progress = dict[str, Any]


class State:
    """Network, optimizer, schedule, history and best weights of a run.

    Random states need no keeping, since every epoch sets its own.
    """

    def __init__(
        self,
        network: SpikingNetwork,
        settings: Training,
        x: np.ndarray,
        y: np.ndarray,
        validation: Validation | None,
        adversary: Adversary | None,
    ) -> None:
        self.network, self.settings = network, settings
        self.optimizer = settings.optimizer(network.parameters())
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, settings.epochs * -(-len(x) // settings.batch_size)
        )
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] | None = None
        self.run = repr(settings)
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
        path = Path(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".part")
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
        torch.save(progress, partial)
        partial.replace(path)

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
                    f"resume: expected a run of {self.run}, got one of {progress['run']}. {advice}"
                )
            if progress["samples"] != self.samples:
                raise CheckpointError(
                    f"resume: expected a run on these samples, got {file}, which is of others. "
                    f"{advice}"
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
                f"resume: expected the state of this training run, got {file}, which cannot be "
                f"taken up ({type(error).__name__}: {reason}). {advice}"
            ) from error

    def _refuse(self, problems: list[str], file: str | Path, advice: str) -> None:
        if problems:
            raise CheckpointError(
                f"resume: expected a run of this network, got {file}, which differs in "
                f"{'; '.join(problems[:5])}. {advice}"
            )
