"""The training loop: annealed along a cosine, resumed exactly, best by validation samples."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from art_snn.checkpoint import check_weights
from art_snn.checks import require
from art_snn.network import SpikingNetwork
from art_snn.seeding import seeded
from art_snn.team import ALONE, Team
from art_snn.training.accuracy import accuracy
from art_snn.training.defences import AT
from art_snn.training.learner import Learner
from art_snn.training.norms import check_norms, synchronised
from art_snn.training.recipe import Recipe
from art_snn.training.samples import Adversary, Craft, Validation, check_pairs, classes_of, copied
from art_snn.training.state import Epoch, State
from art_snn.training.together import check_batches, mine, own_draws, summed


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
    """Train the network where it is; it is in evaluation mode afterwards.

    Every epoch draws from a seed of its own, so that a run that was killed and taken up again gives
    the weights of one that was not. Random states are left as they were. With validation samples
    the network has the weights of the best epoch afterwards, otherwise those of the last.

    :param network: to train by its training gradient.
    :param x: samples [N, ...].
    :param y: class indices [N].
    :param recipe: optimizer, schedule and augmentation; what it leaves open is fitted to x.
    :param resume: file for the state after every epoch; where it exists training goes on from it.
    :param validation: samples that choose the best epoch.
    :param adversary: crafts the samples of every step and the validation samples from the present
        network, and has the defence that a step is of, such as
        :class:`art_snn.training.adversarial.AdversarialTraining`; None trains on the samples
        themselves.
    :param team: processes that train it together, each with the same arguments: every one takes its
        share of every batch, and all have the same weights after every step. The leading one alone
        reads and writes the file.
    :param verbose: show a progress bar.
    :return: what every epoch was like, those before the resumption included.
    :raises CheckpointError: when the file is damaged, or of other settings, other samples or
        another network, which then keeps its weights.
    :raises TypeError: when samples or labels are no numpy arrays.
    :raises ValueError: when samples are empty, not finite, of other lengths than labels, or do not
        fit the recipe, a label is no class index of the network, or the defence does not suit
        network or recipe, or a batch or a batch norm the number of processes; before anything is
        trained.
        When the loss or a weight is no longer finite; the state of the epochs before is kept."""
    check_pairs("x, y", x, y)
    defence = AT() if adversary is None else adversary.defence
    recipe = defence.fitted(recipe.on(x.shape[1:]))
    recipe.check_samples(x.shape[1:])
    defence.check(network)
    if team.size > 1:
        team.led(lambda: check_batches(team, recipe, len(x)))
        team.led(lambda: check_norms(network))
    if validation is not None:
        check_pairs("validation", validation.x, validation.y)
    classes = classes_of(network, x, y, validation, recipe.seed)
    craft = None if adversary is None else adversary.against(network, x.shape[1:], classes)
    state = State(network, recipe, x, y, validation, adversary, team)
    state.share(resume)
    samples, labels = copied(x), copied(y).long()
    batches = -(-len(x) // recipe.batch_size)
    words = "Training" if craft is None else "Adversarial training"
    total = recipe.epochs * batches
    start, quiet = len(state.history) * batches, not (team.leads and verbose)
    with tqdm(total=total, initial=start, desc=words, disable=quiet) as bar:
        for epoch in range(len(state.history), recipe.epochs):
            with seeded(recipe.seed * 100_003 + epoch):
                loss = _pass(state, samples, labels, craft, bar)
                _refuse_divergence(network, loss, epoch + 1, recipe)
                network.eval()
                score = None
                if validation is not None:
                    with own_draws(team, recipe.seed, epoch, batches):
                        score = accuracy(network, validation, recipe.batch_size, craft, team)
            state.finish(Epoch(epoch + 1, loss, score))
            team.led(partial(state.put_down, resume))
    state.restore_best()
    network.eval()
    return state.history


def _pass(state: State, samples: Tensor, labels: Tensor, craft: Craft | None, bar: tqdm) -> float:
    """One epoch; returns the mean loss over its samples."""
    state.network.train()
    total, epoch, team = 0.0, len(state.history), state.team
    batches = torch.split(torch.randperm(len(samples), device="cpu"), state.recipe.batch_size)
    for number, rows in enumerate(batches):
        x, y = mine(team, state.recipe.augmented(samples[rows])), mine(team, labels[rows])
        with own_draws(team, state.recipe.seed, epoch, number):
            adversarial = x if craft is None else craft(x, y)
            loss = _step(state, x, adversarial, y, len(y) / len(rows))
        total += loss * len(rows)
        bar.set_postfix(epoch=epoch + 1, loss=f"{loss:.3f}", refresh=False)
        bar.update()
    return total / len(samples)


def _step(state: State, x: Tensor, adversarial: Tensor, y: Tensor, share: float = 1.0) -> float:
    """Update the weights; returns the mean loss over the batch, of which these are the share."""
    network = state.network
    learner = Learner(network=network, train_dtype=state.recipe.train_dtype)
    state.optimizer.zero_grad()
    with synchronised(network, state.team):
        loss = share * state.defence.loss(learner, x, adversarial, y.to(learner.device))
    loss.backward()  # type: ignore[no-untyped-call]
    whole = summed(state.team, network.parameters(), loss.item())
    state.optimizer.step()
    state.schedule.step()
    state.defence.after_step(network)
    return whole


def _refuse_divergence(network: SpikingNetwork, loss: float, epoch: int, recipe: Recipe) -> None:
    got = f"{recipe.learning_rate:g}, and a loss of {loss} in epoch {epoch}"
    remedy = "Lower it, and start in a folder of its own."
    require(math.isfinite(loss), "learning_rate", "one at which the loss stays finite", got, remedy)
    check_weights(network, "learning_rate")
