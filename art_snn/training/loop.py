"""The training loop: annealed along a cosine, resumed exactly, best by validation samples."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from art_snn.checkpoint import check_weights
from art_snn.checks import require
from art_snn.network import SpikingNetwork
from art_snn.progress import Progress
from art_snn.seeding import seeded
from art_snn.state import to_device
from art_snn.team import ALONE, Team
from art_snn.training.defences import AT, Defence, Learner
from art_snn.training.recipe import Recipe
from art_snn.training.samples import (
    Adversary,
    Craft,
    Validation,
    check_pairs,
    copy_tensor,
    count_classes,
)
from art_snn.training.state import Epoch, State
from art_snn.training.together import (
    check_team,
    own_draws,
    own_share,
    sum_gradients,
    synchronise_norms,
)


def train(
    network: SpikingNetwork,
    x: np.ndarray,
    y: np.ndarray,
    recipe: Recipe,
    resume: str | Path | None = None,
    *,
    validation: Validation | None = None,
    adversary: Adversary | None = None,
    team: Team = ALONE,
    verbose: bool = True,
) -> list[Epoch]:
    """Train the network in place; it is in evaluation mode afterwards.

    Every epoch draws from its own seed, so a resumed run gives the weights of one that was never
    killed. Random states are left as they were. Afterwards the network has the weights of the best
    epoch where there are validation samples, otherwise those of the last.

    :param network: takes its training gradient.
    :param x, y: samples [N, ...] and class indices [N].
    :param recipe: optimizer, schedule and augmentation; what it leaves open is fitted to x.
    :param resume: file for the state after every epoch; where it exists training goes on from it.
    :param validation: samples that choose the best epoch.
    :param adversary: crafts the samples of every step and of validation, and has the defence, such
        as :class:`art_snn.training.AdversarialTraining`; None trains on the samples themselves.
    :param team: processes with the same arguments, which take a share of every batch each and have
        the same weights after every step. Only the leading one reads and writes the file.
    :param verbose: show a bar on a terminal, otherwise a line per epoch.
    :return: all epochs, those before the resumption included.
    :raises CheckpointError: when the file is damaged, or of other settings, samples or another
        network; the network then keeps its weights.
    :raises TypeError: when samples or labels are no numpy arrays.
    :raises ValueError: before anything is trained, where samples, labels, recipe, network,
        processes and defence do not fit each other. Later, when the loss or a weight is no longer
        finite; earlier epochs are kept."""
    check_pairs("x, y", x, y)
    defence = AT() if adversary is None else adversary.defence
    recipe = defence.fit_recipe(recipe.fit_to(x.shape[1:]))
    recipe.check_samples(x.shape[1:])
    defence.check(network)
    check_team(team, network, recipe, len(x))
    if validation is not None:
        check_pairs("validation", validation.x, validation.y)
    classes = count_classes(network, x, y, validation, recipe.seed)
    craft = None
    if adversary is not None and defence.attacks:
        craft = adversary.against(network, x.shape[1:], classes)
    state = State(network, recipe, x, y, validation, adversary, team)
    state.resume(resume)
    samples, labels = copy_tensor(x), copy_tensor(y).long()
    batches, done = -(-len(x) // recipe.batch_size), len(state.history)
    words = "Training" if craft is None else "Adversarial training"
    shown: dict[str, Any] = {"unit": "batches", "verbose": team.leads and verbose, "summary": False}
    with Progress(words, recipe.epochs * batches, done=done * batches, **shown) as progress:
        for epoch in range(done, recipe.epochs):
            with seeded(recipe.seed * 100_003 + epoch):
                loss = _pass(state, samples, labels, craft, progress)
                network.eval()
                score = None
                if validation is not None and defence.rates(state.share()):
                    with own_draws(team, recipe.seed, epoch, batches):
                        batch = recipe.batch_size
                        score = accuracy(network, validation, batch, craft, team, defence)
            state.finish(Epoch(epoch + 1, loss, score))
            team.on_leader(partial(state.save, resume))
            progress.step(_words(state.history[-1], recipe.epochs))
    state.restore_best()
    network.eval()
    return state.history


def _words(epoch: Epoch, epochs: int) -> str:
    score = "" if epoch.validation is None else f", validation {100 * epoch.validation:.1f} %"
    return f"epoch {epoch.number} of {epochs}, loss {epoch.loss:.3f}{score}"


def _pass(
    state: State, samples: Tensor, labels: Tensor, craft: Craft | None, progress: Progress
) -> float:
    """One epoch; returns the mean loss over its samples."""
    state.network.train()
    total, epoch, team, recipe = 0.0, len(state.history), state.team, state.recipe
    batches = torch.split(torch.randperm(len(samples), device="cpu"), recipe.batch_size)
    for number, rows in enumerate(batches):
        x, y = own_share(team, recipe.augment(samples[rows])), own_share(team, labels[rows])
        with own_draws(team, recipe.seed, epoch, number):
            adversarial = x if craft is None else craft(x, y)
            loss = _step(state, x, adversarial, y, len(y) / len(rows))
        total += loss * len(rows)
        progress.note(f"epoch={epoch + 1}, loss={loss:.3f}")
        progress.update()
    loss = total / len(samples)
    got = f"{recipe.learning_rate:g}, and a loss of {loss} in epoch {epoch + 1}"
    remedy = "Lower it, and start in a folder of its own."
    require(math.isfinite(loss), "learning_rate", "one at which the loss stays finite", got, remedy)
    check_weights(state.network, "learning_rate")
    return loss


def _step(state: State, x: Tensor, adversarial: Tensor, y: Tensor, share: float = 1.0) -> float:
    """Update the weights; returns the mean loss over the batch, of which these are the share."""
    network = state.network
    dtype = state.recipe.train_dtype
    learner = Learner(network=network, train_dtype=dtype, progress=state.share(1))
    state.optimizer.zero_grad()
    with synchronise_norms(network, state.team):
        loss = share * state.defence.loss(learner, x, adversarial, to_device(y, learner.device))
    loss.backward()  # type: ignore[no-untyped-call]
    whole = sum_gradients(state.team, network.parameters(), loss.item())
    state.optimizer.step()
    state.schedule.step()
    state.defence.after_step(network)
    return whole


def accuracy(
    network: SpikingNetwork,
    samples: Validation,
    batch_size: int = 64,
    craft: Craft | None = None,
    team: Team = ALONE,
    defence: Defence = AT(),  # noqa: B008
) -> float:
    """Share of the samples that are classified correctly, after an attack where one is given.

    A defence may count others: IBP counts those that are certified.

    :param network: in the mode that it has.
    :param craft: what :meth:`Adversary.against` gives.
    :param team: processes that classify a share each.
    :raises ValueError: without any sample, or for labels that are no class indices [N]."""
    check_pairs("samples", samples.x, samples.y)
    learner = Learner(network=network)
    correct: int | Tensor = 0
    for start in range(0, len(samples.x), batch_size):
        x = own_share(team, copy_tensor(samples.x[start : start + batch_size]))
        y = own_share(team, copy_tensor(samples.y[start : start + batch_size])).long()
        if not len(x):
            continue
        x = x if craft is None else craft(x, y)
        correct += defence.correct(learner, x, to_device(y, learner.device)).sum()
    return sum(team.gather(int(correct))) / len(samples.x)
