"""A training run: what it trains on, its epochs, and the file from which it resumes."""

import copy
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from numpy import ndarray
from torch import Tensor

from art_snn.checkpoint import CheckpointError, misfits
from art_snn.checks import first_line, require
from art_snn.classifier.inputs import as_array
from art_snn.files import atomic_write, corruption, digest
from art_snn.layers import device_of
from art_snn.network import SpikingNetwork
from art_snn.running.context import keep_modes
from art_snn.seeding import fix_seed
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
    return max(rated, key=lambda epoch: epoch.validation or 0.0, default=None)


def describe_stall(
    history: Sequence[Epoch],
    epochs: int,
    classes: int,
    adversary: AdversarialTraining | None,
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


def copy_tensor(array: ndarray) -> Tensor:
    """A copy as a tensor in torch's usual layout; torch itself takes no negative strides."""
    return torch.tensor(as_array(array), device="cpu")


@dataclass
class State:
    """A run by the arguments of :func:`art_snn.training.train`, and how far it has come.

    Random states are not kept, since every epoch sets its own."""

    network: SpikingNetwork
    x: ndarray
    y: ndarray
    recipe: Recipe
    file: str | Path | None
    validation: tuple[ndarray, ndarray] | None
    adversary: AdversarialTraining | None
    start: str

    def __post_init__(self) -> None:
        self.adversary = self.adversary and self.adversary.fit_to(self.network)
        self.defence = AT() if self.adversary is None else self.adversary.defence
        self.recipe = self.defence.fit_recipe(self.recipe.fit_to(self.x.shape[1:]))
        # A pass gives lazy layers their shapes, before the optimizer takes their weights.
        self.classes = self._count_classes()

        self.optimizer = self.recipe.build_optimizer(self.network.parameters())
        self.batches = math.ceil(len(self.x) / self.recipe.batch_size)
        """Steps of an epoch."""
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, self.recipe.epochs * self.batches
        )
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] | None = None

        self.run = repr(self.recipe)
        """The run in words, which differ from those of any other run."""
        if self.adversary is not None:
            self.run += f" against {self.adversary!r}"
        if self.start:
            self.run += f" from the weights {self.start}"
        if self.validation is not None:
            self.run += ", best by validation samples"
        arrays = (self.x, self.y, *(self.validation or ()))
        self.samples = digest([array.shape for array in arrays], *arrays)
        # Weights do not show decay, threshold, reset, encoding and code.
        parts = self.network.body.digest_parts()
        self.form = digest((*parts, self.network.training_gradient))

    def _count_classes(self) -> int:
        """Classes of the network, from a pass of one sample; refuses what does not fit it."""
        shape = self.x.shape[1:]
        self.recipe.check_samples(shape)
        self.defence.check(self.network)
        with fix_seed(self.recipe.seed), torch.no_grad(), keep_modes(self.network, False):
            logits = self.network(copy_tensor(self.x[:1]).to(device_of(self.network)))
        classes: int = logits.shape[1]

        labels = {"x, y": self.y}
        if self.validation is not None:
            held, labels["validation"] = self.validation
            require(
                held.shape[1:] == shape,
                "validation",
                f"samples of shape {list(shape)}, as the training samples",
                list(held.shape[1:]),
                "Bring all samples to one size.",
            )
        for argument, indices in labels.items():
            require(
                indices.max() < classes,
                argument,
                f"labels from 0 to {classes - 1}, since the network has {classes} classes",
                indices.max(),
                "Build the network with more classes.",
            )
        return classes

    def share(self, more: int = 0) -> float:
        """Share of the steps of the training that are done after `more` further steps."""
        return (self.schedule.last_epoch + more) / self.schedule.T_max

    def finish(self, epoch: Epoch) -> None:
        """Add an epoch, and keep its weights when none was better."""
        self.history.append(epoch)
        if best_epoch(self.history) is epoch:
            self.best = copy.deepcopy(self.network.state_dict())

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

    def save(self) -> None:
        """Write the state into its file, whole or not at all."""
        if self.file is not None:
            content = io.BytesIO()
            torch.save(self.progress(), content)
            with atomic_write(self.file) as place:
                place.write_bytes(content.getvalue())

    def resume(self) -> None:
        """Continue from the file, if it exists."""
        file = self.file
        if file is None or not Path(file).exists():
            return
        try:
            spoilt = corruption(Path(file), packed=False)
            if spoilt:
                raise self._refuse(
                    "the state of this training run", f"{file}, which {spoilt}"
                )
            progress: dict[str, Any] = torch.load(
                file, map_location="cpu", weights_only=True
            )
            if progress["run"] != self.run:
                raise self._refuse(f"a run of {self.run}", f"one of {progress['run']}")
            if progress["samples"] != self.samples:
                raise self._refuse(
                    "a run on these samples", f"{file}, a run on other samples"
                )
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
                raise self._refuse("a run of this network", got)

            history = [Epoch(**epoch) for epoch in progress["history"]]
            self.optimizer.load_state_dict(progress["optimizer"])
            self.schedule.load_state_dict(progress["schedule"])
            self.network.load_state_dict(progress["network"])
            self.history = history
            self.best = progress["best"]
        except CheckpointError:
            raise
        except Exception as error:
            raise self._refuse(
                "the state of this training run",
                f"{file}, which cannot be resumed ({type(error).__name__}: {first_line(error)})",
            ) from error

    def _refuse(self, expected: str, got: str) -> CheckpointError:
        remedy = f"Delete {self.file} to train from the start."
        return CheckpointError.of("resume", expected, got, remedy)
