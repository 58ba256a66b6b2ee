"""The training loop: annealed along a cosine, and resumed exactly."""

import math
import time
from itertools import chain
from pathlib import Path

import torch
from numpy import ndarray
from sklearn.utils import gen_batches
from torch import Tensor

from art_snn.checkpoint import check_weights
from art_snn.checks import require
from art_snn.data.dataset import check_labelled_samples
from art_snn.network import SpikingNetwork
from art_snn.progress import Progress, duration
from art_snn.seeding import fix_seed
from art_snn.training.adversarial import AdversarialTraining, Craft
from art_snn.training.defences import AT, Defence, Learner
from art_snn.training.recipe import Recipe
from art_snn.training.state import Epoch, State, copy_tensor, describe_stall


def train(
    network: SpikingNetwork,
    x: ndarray,
    y: ndarray,
    recipe: Recipe,
    resume: str | Path | None = None,
    *,
    validation: tuple[ndarray, ndarray] | None = None,
    adversary: AdversarialTraining | None = None,
    start: str = "",
    verbose: bool = True,
) -> list[Epoch]:
    """Train the network in place; it is in evaluation mode afterwards.

    A resumed run gives the weights of a run that was never killed. With validation
    samples the weights are those of the best epoch, otherwise those of the last. Random
    states are left as they were.

    :param network: takes its training gradient.
    :param x, y: samples [N, ...] and class indices [N].
    :param recipe: optimizer, schedule and augmentation; what it leaves open is fitted to
        x.
    :param resume: file for the state after every epoch; if it exists, training goes on
        from it.
    :param validation: samples (x, y) that choose the best epoch: never the test set.
    :param adversary: crafts the samples of every step and of validation, and has the
        defence; None trains on the samples themselves.
    :param start: name of the weights that the network has; another name is another run.
    :param verbose: show progress, and a line per epoch.
    :return: all epochs, those before the resumption included.
    :raises CheckpointError: when the file is damaged, or of another run; the network then
        keeps its weights.
    :raises ValueError: before anything is trained, for arguments that do not fit each
        other; later, when the loss or a weight is not finite any more. Earlier epochs are
        kept."""
    check_labelled_samples(("x, y", "x, y"), x, y)
    if validation is not None:
        check_labelled_samples(("validation", "validation"), *validation)
    state = State(network, x, y, recipe, resume, validation, adversary, start)
    state.resume()
    _train_epochs(state, verbose)
    if state.best is not None:
        network.load_state_dict(state.best)
    network.eval()
    with fix_seed(recipe.seed):
        state.defence.after_training(network, copy_tensor(state.x))
    return state.history


def _train_epochs(state: State, verbose: bool) -> None:
    """Train the epochs that are left, and write the state after each."""
    craft = None
    adversary = state.adversary
    if adversary is not None and adversary.defence.attacks:
        craft = adversary.against(state.network, state.x.shape[1:], state.classes)
    samples = copy_tensor(state.x)
    labels = copy_tensor(state.y).long()

    epochs = state.recipe.epochs
    done = len(state.history)
    progress = Progress(
        "Training",
        epochs * state.batches,
        done=done * state.batches,
        unit="batches",
        verbose=verbose,
        summary=False,
    )
    with progress:
        for number in range(done + 1, epochs + 1):
            began = time.monotonic()
            with fix_seed(state.recipe.seed * 100_003 + number - 1):
                loss = _train_epoch(state, samples, labels, craft, progress)
                score = _validate(state, craft)
            state.finish(Epoch(number, loss, score))
            state.save()

            words = f"Training: epoch {number} of {epochs}, loss {loss:.3f}"
            if score is not None:
                words += f", validation {100 * score:.1f} %"
            progress.write(f"{words}, {duration(time.monotonic() - began)}")
            stall = describe_stall(state.history, epochs, state.classes, adversary)
            if stall and number == math.ceil(epochs / 3):
                progress.write(f"Training: so far it {stall}")


def _validate(state: State, craft: Craft | None) -> float | None:
    """Accuracy in evaluation mode; None without samples, or where the defence does not rate yet."""
    network = state.network.eval()
    if state.validation is None or not state.defence.rates(state.share()):
        return None
    size = state.recipe.batch_size
    return accuracy(network, *state.validation, size, craft, state.defence)


def _train_epoch(
    state: State, samples: Tensor, labels: Tensor, craft: Craft | None, progress: Progress
) -> float:
    """Train on all samples once; returns the mean loss over them."""
    state.network.train()
    recipe = state.recipe
    epoch = len(state.history)
    total = 0.0
    order = torch.randperm(len(samples), device="cpu")
    for rows in torch.split(order, recipe.batch_size):
        x = recipe.augment(samples[rows])
        y = labels[rows]
        adversarial = x if craft is None else craft(x, y)
        loss = _step(state, x, adversarial, y)
        total += loss * len(rows)
        progress.note(f"epoch={epoch + 1}, loss={loss:.3f}")
        progress.update()

    loss = total / len(samples)
    require(
        math.isfinite(loss),
        "learning_rate",
        "one at which the loss stays finite",
        f"{recipe.learning_rate:g}, and a loss of {loss} in epoch {epoch + 1}",
        "Lower it, and start in a folder of its own.",
    )
    check_weights(state.network, "learning_rate")
    return loss


def _step(state: State, x: Tensor, adversarial: Tensor, y: Tensor) -> float:
    """Update the weights; returns the mean loss over the batch."""
    network = state.network
    learner = Learner(network, state.recipe.train_dtype, state.share(1))
    state.optimizer.zero_grad()
    loss = state.defence.loss(learner, x, adversarial, y.to(learner.device))
    # No gradient is taken at samples, where bounds begin.
    tensors = chain(network.parameters(), network.buffers())
    weights = [one for one in tensors if one.requires_grad]
    loss.backward(inputs=weights)
    state.optimizer.step()
    state.schedule.step()
    state.defence.after_step(network, 1 / state.schedule.T_max)
    return loss.item()


def accuracy(
    network: SpikingNetwork,
    x: ndarray,
    y: ndarray,
    batch_size: int = 64,
    craft: Craft | None = None,
    defence: Defence = AT(),  # noqa: B008
) -> float:
    """Share of the samples x [N, ...] of classes y [N] that are classified correctly.

    A defence may count others: IBP counts those that are certified.

    :param network: keeps the mode that it has.
    :param craft: attacks the samples first, made by :meth:`AdversarialTraining.against`.
    :raises ValueError: without any sample, or for labels that are no class indices
        [N]."""
    check_labelled_samples(("x", "y"), x, y)
    learner = Learner(network)
    correct: int | Tensor = 0
    for rows in gen_batches(len(x), batch_size):
        batch = copy_tensor(x[rows])
        labels = copy_tensor(y[rows]).long()
        if craft is not None:
            batch = craft(batch, labels)
        correct += defence.correct(learner, batch, labels.to(learner.device)).sum()
    return int(correct) / len(x)
