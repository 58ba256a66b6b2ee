"""Training a spiking network by its training gradient: Adam, cosine annealing, exact resumption."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from art_snn.checkpoint import CheckpointError, misfits
from art_snn.checks import invalid, require_count, require_number
from art_snn.network import SpikingNetwork
from art_snn.seeding import seeded

Progress = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Training:
    """Cross entropy by Adam, the learning rate annealed along a cosine to zero.

    :param epochs: passes over the samples.
    :param batch_size: samples per step.
    :param learning_rate: of the first step.
    :param seed: of the order of the samples and of whatever the network draws.
    :raises ValueError: for a count below 1 or a learning rate that is not positive.
    """

    epochs: int = 10
    batch_size: int = 64
    learning_rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        epochs = require_count("epochs", self.epochs, remedy="Training needs one at least.")
        batch_size = require_count("batch_size", self.batch_size, remedy="64 is usual.")
        rate = require_number(
            "learning_rate", self.learning_rate, above=0, remedy="1e-3 is usual for Adam."
        )
        if not isinstance(self.seed, Integral) or isinstance(self.seed, bool) or self.seed < 0:
            raise invalid(
                "seed", expected="a whole number >= 0", got=repr(self.seed), remedy="Use 0."
            )
        # Plain numbers, since they are written beside the weights.
        plain = {"epochs": epochs, "batch_size": batch_size, "learning_rate": rate}
        for name, value in {**plain, "seed": int(self.seed)}.items():
            object.__setattr__(self, name, value)


def train(
    network: SpikingNetwork,
    x: np.ndarray,
    y: np.ndarray,
    settings: Training,
    resume: str | Path | None = None,
) -> None:
    """Train the network where it is; it is in evaluation mode afterwards.

    Every epoch draws from a seed of its own, so that a run that was killed and taken up again gives
    the weights of one that was not. Random states are left as they were.

    :param network: to train by its training gradient.
    :param x: samples [N, ...].
    :param y: class indices [N].
    :param settings: see :class:`Training`.
    :param resume: file for the state after every epoch; where it exists training goes on from it.
    :raises CheckpointError: when the file is damaged, or of other settings or another network,
        which then keeps its weights.
    :raises ValueError: when x and y are empty or of different lengths.
    """
    if not len(x) or len(x) != len(y):
        raise invalid(
            "x, y",
            expected="as many labels as samples, and at least one",
            got=f"{len(x)} samples and {len(y)} labels",
            remedy="Give one class index per sample.",
        )
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    batches = -(-len(x) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.epochs * batches)
    state = None if resume is None else Path(resume)
    first = 0 if state is None else _take_up(state, settings, network, optimizer, schedule)
    samples, labels = torch.tensor(x), torch.tensor(y).long()
    total = settings.epochs * batches
    with tqdm(total=total, initial=first * batches, desc="Training") as bar:
        for epoch in range(first, settings.epochs):
            with seeded(settings.seed * 100_003 + epoch):
                network.train()
                for rows in torch.split(torch.randperm(len(samples)), settings.batch_size):
                    loss = _step(network, optimizer, samples[rows], labels[rows])
                    schedule.step()
                    bar.set_postfix(epoch=epoch + 1, loss=f"{loss:.3f}", refresh=False)
                    bar.update()
            network.eval()
            if state is not None:
                _put_down(state, settings, epoch + 1, network, optimizer, schedule)
    network.eval()


def _step(network: SpikingNetwork, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    device = next(network.parameters()).device
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(network(x.to(device)), y.to(device))
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def _put_down(
    path: Path,
    settings: Training,
    epochs_done: int,
    network: SpikingNetwork,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".part")
    progress: Progress = {
        "settings": asdict(settings),
        "epochs_done": epochs_done,
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
    }
    torch.save(progress, partial)
    partial.replace(path)


def _take_up(
    path: Path,
    settings: Training,
    network: SpikingNetwork,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> int:
    """Load the state and return how many epochs it has behind it; 0 where there is no file."""
    if not path.exists():
        return 0
    advice = f"Delete {path} to train from the start."
    try:
        progress: Progress = torch.load(path, map_location="cpu", weights_only=True)
        if progress["settings"] != asdict(settings):
            raise CheckpointError(
                f"resume: expected a run of {settings}, got one of {progress['settings']}. {advice}"
            )
        done = int(progress["epochs_done"])
        optimizer.load_state_dict(progress["optimizer"])
        schedule.load_state_dict(progress["schedule"])
        problems = misfits(network.state_dict(), progress["network"])
        if problems:
            raise CheckpointError(
                f"resume: expected weights of this network, got {path}, which differs in "
                f"{'; '.join(problems[:5])}. {advice}"
            )
        network.load_state_dict(progress["network"])
        return done
    except CheckpointError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else "no message"
        raise CheckpointError(
            f"resume: expected the state of this training run, got {path}, which cannot be taken "
            f"up ({type(error).__name__}: {reason}). {advice}"
        ) from error
