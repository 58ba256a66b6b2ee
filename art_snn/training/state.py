"""A training run: what it trains on, its epochs, and the file from which it resumes."""

import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from art_snn.checkpoint import CheckpointError, misfits
from art_snn.checks import first_line
from art_snn.files import atomic_write, corruption, digest
from art_snn.network import SpikingNetwork
from art_snn.team import ALONE, Team
from art_snn.training.adversarial import AdversarialTraining
from art_snn.training.defences import AT
from art_snn.training.recipe import Recipe


@dataclass(frozen=True)
class Epoch:
    """One pass over the samples.

    :param number: counted from 1.
    :param loss: mean over the training samples: cross entropy, and what a defence adds.
    :param validation: accuracy on the validation samples afterwards, under attack where
        training is adversarial; None without validation samples, and where the defence
        does not rate yet."""

    number: int
    loss: float
    validation: float | None = None


def best_epoch(history: Sequence[Epoch]) -> Epoch | None:
    """The first epoch of the highest validation accuracy; None without validation samples."""
    rated = [epoch for epoch in history if epoch.validation is not None]
    return max(rated, key=lambda epoch: (epoch.validation or 0.0, -epoch.number), default=None)


def describe_stall(
    history: Sequence[Epoch], epochs: int, classes: int, adversary: AdversarialTraining | None
) -> str:
    """A sentence where the network has not learnt after a third of the epochs, "" otherwise.

    The loss of its last epoch is then not 5 % below ln K, that of guessing. Where a
    defence adds to the cross entropy, the validation accuracy is also that of guessing.
    Fewer than three epochs say nothing."""
    last = history[-1]
    chance = math.log(classes)
    if epochs < 3 or classes == 1 or last.loss < 0.95 * chance:
        return ""
    guesses = last.validation is not None and last.validation * classes < 1.2
    if adversary is not None and not (adversary.defence.entropy_alone or guesses):
        return ""
    got = f"the loss of epoch {last.number} is {last.loss:.3f}"
    return f"did not learn: {got}, and guessing gives ln {classes} = {chance:.3f}."


class State:
    """Network, optimizer, schedule, history and best weights of a run, its defence and its team.

    Random states are not kept, since every epoch sets its own."""

    def __init__(
        self,
        network: SpikingNetwork,
        recipe: Recipe,
        x: np.ndarray,
        y: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray] | None,
        adversary: AdversarialTraining | None,
        team: Team = ALONE,
        start: str = "",
    ) -> None:
        self.network = network
        self.recipe = recipe
        self.team = team
        self.defence = AT() if adversary is None else adversary.defence
        self.optimizer = recipe.build_optimizer(network.parameters())
        steps = recipe.epochs * math.ceil(len(x) / recipe.batch_size)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps)
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] | None = None

        self.run = repr(recipe)
        """The run in words, which differ from those of any other run."""
        if adversary is not None:
            self.run += f" against {adversary!r}"
        if start:
            self.run += f" from the weights {start}"
        if validation is not None:
            self.run += ", best by validation samples"
        if team.size > 1:
            self.run += f", by {team.size} processes"
        held = validation or ()
        self.samples = digest([a.shape for a in (x, y, *held)], x, y, *held)
        # Weights do not show decay, threshold, reset, encoding and code.
        self.form = digest((*network.body.digest_parts(), network.training_gradient))

    def share(self, more: int = 0) -> float:
        """Share of the steps of the training that are done after `more` further steps."""
        return float((self.schedule.last_epoch + more) / self.schedule.T_max)

    def finish(self, epoch: Epoch) -> None:
        """Add an epoch, and keep its weights when none was better."""
        self.history.append(epoch)
        if best_epoch(self.history) is epoch:
            weights = self.network.state_dict()
            self.best = {name: tensor.detach().clone() for name, tensor in weights.items()}

    def progress(self) -> dict[str, Any]:
        """Everything that another process needs to continue the run."""
        return {
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

    def save(self, file: str | Path | None) -> None:
        """Write the state into its file, whole or not at all."""
        if file is not None:
            content = io.BytesIO()
            torch.save(self.progress(), content)
            with atomic_write(file) as place:
                place.write_bytes(content.getvalue())

    def resume(self, file: str | Path | None) -> None:
        """Continue from the file, if it exists; the leading process reads it for all."""
        progress = self.team.on_leader(partial(self._load, file))
        if not self.team.leads:
            self._go_on(progress)

    def _load(self, file: str | Path | None) -> dict[str, Any]:
        if file is None or not Path(file).exists():
            # Other processes have other devices.
            weights = {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}
            return self.progress() | {"network": weights}
        try:
            spoilt = corruption(Path(file), packed=False)
            if spoilt:
                raise _other("the state of this training run", f"{file}, which {spoilt}", file)
            progress: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            if progress["run"] != self.run:
                raise _other(f"a run of {self.run}", f"one of {progress['run']}", file)
            if progress["samples"] != self.samples:
                raise _other("a run on these samples", f"{file}, a run on other samples", file)
            if len(progress["history"]) != progress["epochs_done"]:
                raise ValueError("its history has another number of epochs")

            weights = self.network.state_dict()
            problems = misfits(weights, progress["network"])
            if progress["best"] is not None:
                problems += misfits(weights, progress["best"])
            if progress["form"] != self.form:
                problems += ["encoder, layers, neurons, code or training gradient"]
            if problems:
                got = f"{file}, which differs in {'; '.join(problems[:5])}"
                raise _other("a run of this network", got, file)
            self._go_on(progress)
            return progress
        except CheckpointError:
            raise
        except Exception as error:
            raise _other(
                "the state of this training run",
                f"{file}, which cannot be resumed ({type(error).__name__}: {first_line(error)})",
                file,
            ) from error

    def _go_on(self, progress: dict[str, Any]) -> None:
        history = [Epoch(**epoch) for epoch in progress["history"]]
        self.optimizer.load_state_dict(progress["optimizer"])
        self.schedule.load_state_dict(progress["schedule"])
        self.network.load_state_dict(progress["network"])
        self.history = history
        self.best = progress["best"]


def _other(expected: str, got: str, file: str | Path) -> CheckpointError:
    return CheckpointError.of("resume", expected, got, f"Delete {file} to train from the start.")
