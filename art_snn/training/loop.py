"""The training loop: annealed along a cosine, resumed exactly, best by validation samples."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from art_snn.checkpoint import check_weights
from art_snn.checks import require
from art_snn.network import SpikingNetwork
from art_snn.seeding import seeded
from art_snn.training.defences import AT, Defence
from art_snn.training.learner import Learner
from art_snn.training.recipe import Recipe
from art_snn.training.samples import Adversary, Craft, Validation, check_pairs, classes_of, copied
from art_snn.training.state import Epoch, State


def train(
    network: SpikingNetwork,
    x: np.ndarray,
    y: np.ndarray,
    recipe: Recipe,
    resume: str | Path | None = None,
    *,
    validation: Validation | None = None,
    adversary: Adversary | None = None,
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
    :return: what every epoch was like, those before the resumption included.
    :raises CheckpointError: when the file is damaged, or of other settings, other samples or
        another network, which then keeps its weights.
    :raises TypeError: when samples or labels are no numpy arrays.
    :raises ValueError: when samples are empty, not finite, of other lengths than labels, or do not
        fit the recipe, a label is no class index of the network, or the defence does not suit
        network or recipe; before anything is trained.
        When the loss or a weight is no longer finite; the state of the epochs before is kept."""
    check_pairs("x, y", x, y)
    defence = AT() if adversary is None else adversary.defence
    recipe = defence.fitted(recipe.on(x.shape[1:]))
    recipe.check_samples(x.shape[1:])
    defence.check(network)
    if validation is not None:
        check_pairs("validation", validation.x, validation.y)
    classes = classes_of(network, x, y, validation, recipe.seed)
    craft = None if adversary is None else adversary.against(network, x.shape[1:], classes)
    state = State(network, recipe, x, y, validation, adversary)
    state.take_up(resume)
    samples, labels = copied(x), copied(y).long()
    batches = -(-len(x) // recipe.batch_size)
    words = "Training" if craft is None else "Adversarial training"
    total = recipe.epochs * batches
    with tqdm(total=total, initial=len(state.history) * batches, desc=words) as bar:
        for epoch in range(len(state.history), recipe.epochs):
            with seeded(recipe.seed * 100_003 + epoch):
                loss = _pass(state, samples, labels, craft, defence, bar)
                _refuse_divergence(network, loss, epoch + 1, recipe)
                network.eval()
                score = None
                if validation is not None:
                    score = accuracy(network, validation, recipe.batch_size, craft)
            state.finish(Epoch(epoch + 1, loss, score))
            state.put_down(resume)
    state.restore_best()
    network.eval()
    return state.history


def accuracy(
    network: SpikingNetwork, samples: Validation, batch_size: int = 64, craft: Craft | None = None
) -> float:
    """Share of the samples that are classified correctly, after an attack where one is given.

    :param network: in the mode that it has.
    :param batch_size: samples per forward pass.
    :param craft: such as :meth:`Adversary.against` gives.
    :raises ValueError: without any sample, or for labels that are no class indices [N]."""
    check_pairs("samples", samples.x, samples.y)
    device = next(network.parameters()).device
    correct = 0
    for start in range(0, len(samples.x), batch_size):
        x = copied(samples.x[start : start + batch_size])
        y = copied(samples.y[start : start + batch_size]).long()
        x = x if craft is None else craft(x, y)
        with torch.no_grad():
            correct += int((network(x.to(device)).argmax(1).cpu() == y).sum())
    return correct / len(samples.x)


def _pass(
    state: State, samples: Tensor, labels: Tensor, craft: Craft | None, defence: Defence, bar: tqdm
) -> float:
    """One epoch; returns the mean loss over its samples."""
    state.network.train()
    total = 0.0
    for rows in torch.split(torch.randperm(len(samples)), state.recipe.batch_size):
        x = state.recipe.augmented(samples[rows])
        adversarial = x if craft is None else craft(x, labels[rows])
        loss = _step(state, defence, x, adversarial, labels[rows])
        total += loss * len(rows)
        bar.set_postfix(epoch=len(state.history) + 1, loss=f"{loss:.3f}", refresh=False)
        bar.update()
    return total / len(samples)


def _step(state: State, defence: Defence, x: Tensor, adversarial: Tensor, y: Tensor) -> float:
    learner = Learner(network=state.network, train_dtype=state.recipe.train_dtype)
    state.optimizer.zero_grad()
    loss = defence.loss(learner, x, adversarial, y.to(learner.device))
    loss.backward()  # type: ignore[no-untyped-call]
    state.optimizer.step()
    state.schedule.step()
    defence.after_step(state.network)
    return loss.item()


def _refuse_divergence(network: SpikingNetwork, loss: float, epoch: int, recipe: Recipe) -> None:
    got = f"{recipe.learning_rate:g}, and a loss of {loss} in epoch {epoch}"
    remedy = "Lower it, and start in a folder of its own."
    require(math.isfinite(loss), "learning_rate", "one at which the loss stays finite", got, remedy)
    check_weights(network, "learning_rate")
