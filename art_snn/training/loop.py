"""The training loop: annealed along a cosine, resumed exactly, by one process or several."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray
from sklearn.utils import gen_batches
from torch import Tensor
from torch.nn import Module
from torch.nn.modules.batchnorm import _BatchNorm

from art_snn.checkpoint import check_weights
from art_snn.checks import require
from art_snn.data.dataset import check_labelled_samples
from art_snn.network import SpikingNetwork
from art_snn.progress import Progress, duration
from art_snn.seeding import fix_seed
from art_snn.team import ALONE, Team, moments
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
    team: Team = ALONE,
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
    :param team: processes with the same arguments, each with a share of every batch. All
        have the same weights after every step. Only the leading one reads and writes the
        file.
    :return: all epochs, those before the resumption included.
    :raises CheckpointError: when the file is damaged, or of another run; the network then
        keeps its weights.
    :raises ValueError: before anything is trained, for arguments that do not fit each
        other; later, when the loss or a weight is not finite any more. Earlier epochs are
        kept."""
    check_labelled_samples(("x, y", "x, y"), x, y)
    if validation is not None:
        check_labelled_samples(("validation", "validation"), *validation)
    state = State(network, x, y, recipe, resume, validation, adversary, start, team)
    team.on_leader(partial(_check_team, state))
    state.resume()
    _train_epochs(state)
    if state.best is not None:
        network.load_state_dict(state.best)
    network.eval()
    with fix_seed(recipe.seed):
        state.defence.after_training(network, copy_tensor(state.x))
    return state.history


def _train_epochs(state: State) -> None:
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
        verbose=state.team.leads,
        summary=False,
    )
    with progress:
        for number in range(done + 1, epochs + 1):
            began = time.monotonic()
            with fix_seed(state.recipe.seed * 100_003 + number - 1):
                loss = _train_epoch(state, samples, labels, craft, progress)
                score = _validate(state, craft)
            state.finish(Epoch(number, loss, score))
            state.team.on_leader(state.save)

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
    recipe = state.recipe
    if state.validation is None or not state.defence.rates(state.share()):
        return None
    # Steps are numbered from 0: no step of the epoch has the number of its batches.
    with own_draws(state.team, recipe.seed, len(state.history), state.batches):
        return accuracy(
            network,
            *state.validation,
            recipe.batch_size,
            craft,
            state.team,
            state.defence,
        )


def _train_epoch(
    state: State, samples: Tensor, labels: Tensor, craft: Craft | None, progress: Progress
) -> float:
    """Train on all samples once; returns the mean loss over them."""
    state.network.train()
    team = state.team
    recipe = state.recipe
    epoch = len(state.history)
    total = 0.0
    order = torch.randperm(len(samples), device="cpu")
    for number, rows in enumerate(torch.split(order, recipe.batch_size)):
        x = _own_share(team, recipe.augment(samples[rows]))
        y = _own_share(team, labels[rows])
        with own_draws(team, recipe.seed, epoch, number):
            adversarial = x if craft is None else craft(x, y)
            loss = _step(state, x, adversarial, y, len(y) / len(rows))
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


def _step(state: State, x: Tensor, adversarial: Tensor, y: Tensor, share: float) -> float:
    """Update the weights; returns the mean loss over the batch, of which these are the share."""
    network = state.network
    learner = Learner(network, state.recipe.train_dtype, state.share(1), state.team)
    state.optimizer.zero_grad()
    with synchronise_norms(network, state.team):
        loss = share * state.defence.loss(learner, x, adversarial, y.to(learner.device))
    # No gradient is taken at samples, where bounds begin.
    tensors = chain(network.parameters(), network.buffers())
    weights = [one for one in tensors if one.requires_grad]
    loss.backward(inputs=weights)  # type: ignore[no-untyped-call]

    total = loss.item()
    if state.team.size > 1:
        # DistributedDataParallel would hook the weights while an attack differentiates
        # the network, and expects one forward pass per step. All processes have the same
        # bits afterwards.
        for weight in weights:
            if weight.grad is not None:
                weight.grad.copy_(state.team.all_reduce(weight.grad.contiguous()))
        share_of_loss = torch.tensor(total, dtype=torch.float64, device="cpu")
        total = float(state.team.all_reduce(share_of_loss))

    state.optimizer.step()
    state.schedule.step()
    state.defence.after_step(network, 1 / state.schedule.T_max)
    return total


def accuracy(
    network: SpikingNetwork,
    x: ndarray,
    y: ndarray,
    batch_size: int = 64,
    craft: Craft | None = None,
    team: Team = ALONE,
    defence: Defence = AT(),  # noqa: B008
) -> float:
    """Share of the samples x [N, ...] of classes y [N] that are classified correctly.

    A defence may count others: IBP counts those that are certified.

    :param network: keeps the mode that it has.
    :param craft: attacks the samples first, made by :meth:`AdversarialTraining.against`.
    :param team: processes that classify a share each.
    :raises ValueError: without any sample, or for labels that are no class indices
        [N]."""
    check_labelled_samples(("x", "y"), x, y)
    learner = Learner(network)
    correct: int | Tensor = 0
    for rows in gen_batches(len(x), batch_size):
        batch = _own_share(team, copy_tensor(x[rows]))
        labels = _own_share(team, copy_tensor(y[rows])).long()
        if not len(batch):
            continue
        if craft is not None:
            batch = craft(batch, labels)
        correct += defence.correct(learner, batch, labels.to(learner.device)).sum()
    return sum(team.gather(int(correct))) / len(x)


def _own_share(team: Team, batch: Tensor) -> Tensor:
    """The share of this process of a batch [N, ...]: as many as the others have, or one more."""
    return torch.tensor_split(batch, team.size)[team.rank]


def _check_team(state: State) -> None:
    """Refuse what several processes cannot train together.

    A batch, the last one of an epoch included, needs a sample for every process.
    Statistics are shared by batch norms of torch alone."""
    processes = state.team.size
    if processes == 1:
        return
    size = state.recipe.batch_size
    last = len(state.x) % size or size
    require(
        last >= processes,
        "batch_size",
        f"batches with a sample for every one of {processes} processes",
        f"{size}, so that the last batch of {len(state.x)} samples has {last}",
        "Take another one, or fewer processes.",
    )
    for name, norm in state.network.named_modules():
        if isinstance(norm, _BatchNorm):
            require(
                type(norm).forward is _BatchNorm.forward,
                "network",
                "batch norms of torch for several processes",
                f"{name}, a {type(norm).__name__}",
                "Train it in one process.",
            )


def own_draws(team: Team, *place: int) -> AbstractContextManager[None]:
    """A block in which each process of a team draws its own random numbers, and only there.

    :param place: whole numbers that no other block of the run has."""
    if team.size == 1:
        return nullcontext()
    return fix_seed(int(np.random.SeedSequence((*place, team.rank)).generate_state(1)[0]))


@contextmanager
def synchronise_norms(network: Module, team: Team) -> Iterator[None]:
    """A block in which batch norms in training mode take statistics over all processes.

    torch's SyncBatchNorm, which computes the same, runs on CUDA alone."""
    norms = [
        one for one in network.modules() if isinstance(one, _BatchNorm) and one.training
    ]
    if team.size == 1:
        norms = []
    try:
        for norm in norms:
            forward = partial(_normalise, norm)
            # The layer is what it was, over more samples: no addition to the network.
            vars(forward)["earlier"] = None
            vars(norm)["forward"] = forward
        yield
    finally:
        for norm in norms:
            vars(norm).pop("forward", None)


def _normalise(norm: _BatchNorm, x: Tensor) -> Tensor:
    """[N, C, ...] of this process, normalised by the moments over all; differentiable by all.

    In evaluation mode, to which a defence may switch, the layer normalises as it does by
    itself."""
    if not norm.training:
        return type(norm).forward(norm, x)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean, variance, count = moments(wide, (0, *range(2, x.ndim)), True)
    if norm.track_running_stats:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
        share = norm.momentum
        if share is None:
            share = 1 / float(norm.num_batches_tracked)
        unbiased = variance.detach() * count / (count - 1)
        pairs = ((norm.running_mean, mean.detach()), (norm.running_var, unbiased))
        for running, new in pairs:
            assert running is not None
            running.mul_(1 - share).add_(new.flatten().to(running.dtype), alpha=share)

    y = (wide - mean) * torch.rsqrt(variance + norm.eps)
    if norm.affine:
        shape = mean.shape[1:]
        y = y * norm.weight.view(shape) + norm.bias.view(shape)
    return y.to(x.dtype)
