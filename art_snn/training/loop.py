"""The training loop: annealed along a cosine, resumed exactly, by one process or several."""

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from art_snn.checkpoint import check_weights
from art_snn.checks import require
from art_snn.classifier.inputs import as_array
from art_snn.data.dataset import check_labelled_samples
from art_snn.layers import device_of
from art_snn.network import SpikingNetwork
from art_snn.progress import Progress, duration
from art_snn.running.context import keep_modes
from art_snn.seeding import seeded
from art_snn.team import ALONE, Team, moments
from art_snn.training.adversarial import AdversarialTraining, Craft
from art_snn.training.defences import AT, Defence, Learner
from art_snn.training.recipe import Recipe
from art_snn.training.state import Epoch, State, describe_stall


def train(
    network: SpikingNetwork,
    x: np.ndarray,
    y: np.ndarray,
    recipe: Recipe,
    resume: str | Path | None = None,
    *,
    validation: tuple[np.ndarray, np.ndarray] | None = None,
    adversary: AdversarialTraining | None = None,
    start: str = "",
    team: Team = ALONE,
) -> list[Epoch]:
    """Train the network in place; it is in evaluation mode afterwards.

    Every epoch draws from its own seed, so a resumed run gives the weights of one that was never
    killed. Random states are left as they were. Afterwards the network has the weights of the best
    epoch where there are validation samples, otherwise those of the last.

    :param network: takes its training gradient.
    :param x, y: samples [N, ...] and class indices [N].
    :param recipe: optimizer, schedule and augmentation; what it leaves open is fitted to x.
    :param resume: file for the state after every epoch; where it exists training goes on from it.
    :param validation: samples (x, y) that choose the best epoch: never the test set.
    :param adversary: crafts the samples of every step and of validation, and has the defence; None
        trains on the samples themselves.
    :param start: name of the weights that the network has; another one resumes another run.
    :param team: processes with the same arguments, which take a share of every batch each and have
        the same weights after every step. Only the leading one reads and writes the file.
    :return: all epochs, those before the resumption included.
    :raises CheckpointError: when the file is damaged, or of other settings, samples or another
        network; the network then keeps its weights.
    :raises ValueError: before anything is trained, where samples, labels, recipe, network,
        processes and defence do not fit each other. Later, when the loss or a weight is no longer
        finite; earlier epochs are kept."""
    check_labelled_samples(("x, y", "x, y"), x, y)
    adversary = adversary and adversary.fit_to(network)
    defence = AT() if adversary is None else adversary.defence
    recipe = defence.fit_recipe(recipe.fit_to(x.shape[1:]))
    team.on_leader(partial(_check_team, team, network, recipe, len(x)))
    classes, craft = _count_classes(network, x, y, validation, recipe, defence), None
    if adversary is not None and defence.attacks:
        craft = adversary.against(network, x.shape[1:], classes)
    state = State(network, recipe, x, y, validation, adversary, team, start)
    state.resume(resume)
    samples, labels = _copy_tensor(x), _copy_tensor(y).long()
    batches, done = -(-len(x) // recipe.batch_size), len(state.history)
    shown: dict[str, Any] = {"unit": "batches", "verbose": team.leads, "summary": False}
    with Progress("Training", recipe.epochs * batches, done=done * batches, **shown) as progress:
        for epoch in range(done, recipe.epochs):
            began = time.monotonic()
            with seeded(recipe.seed * 100_003 + epoch):
                loss = _pass(state, samples, labels, craft, progress)
                score = _validate(state, validation, craft, batches)
            state.finish(Epoch(epoch + 1, loss, score))
            team.on_leader(partial(state.save, resume))
            words = _describe_epoch(state.history[-1], recipe.epochs)
            progress.write(f"Training: {words}, {duration(time.monotonic() - began)}")
            stall = describe_stall(state.history, recipe.epochs, classes, adversary)
            if stall and epoch + 1 == -(-recipe.epochs // 3):
                progress.write(f"Training: so far it {stall}")
    if state.best is not None:
        network.load_state_dict(state.best)
    network.eval()
    return state.history


def _describe_epoch(epoch: Epoch, epochs: int) -> str:
    words = f"epoch {epoch.number} of {epochs}, loss {epoch.loss:.3f}"
    share = epoch.validation
    return words if share is None else f"{words}, validation {100 * share:.1f} %"


def _validate(
    state: State, held: tuple[np.ndarray, np.ndarray] | None, craft: Craft | None, place: int
) -> float | None:
    """Accuracy in evaluation mode; None without samples, or where the defence does not rate yet."""
    network, team, recipe = state.network.eval(), state.team, state.recipe
    if held is None or not state.defence.rates(state.share()):
        return None
    with own_draws(team, recipe.seed, len(state.history), place):
        return accuracy(network, *held, recipe.batch_size, craft, team, state.defence)


def _pass(
    state: State, samples: Tensor, labels: Tensor, craft: Craft | None, progress: Progress
) -> float:
    """One epoch; returns the mean loss over its samples."""
    state.network.train()
    total, epoch, team, recipe = 0.0, len(state.history), state.team, state.recipe
    batches = torch.split(torch.randperm(len(samples), device="cpu"), recipe.batch_size)
    for number, rows in enumerate(batches):
        x, y = _own_share(team, recipe.augment(samples[rows])), _own_share(team, labels[rows])
        with own_draws(team, recipe.seed, epoch, number):
            adversarial = x if craft is None else craft(x, y)
            loss = _step(state, x, adversarial, y, len(y) / len(rows))
        total += loss * len(rows)
        progress.note(f"epoch={epoch + 1}, loss={loss:.3f}")
        progress.update()
    loss = total / len(samples)
    got = f"{recipe.learning_rate:g}, and a loss of {loss} in epoch {epoch + 1}"
    remedy = "Lower the learning rate, and start in another folder."
    expected = "a learning rate at which the loss stays finite"
    require(math.isfinite(loss), "learning_rate", expected, got, remedy)
    check_weights(state.network, "learning_rate")
    return loss


def _step(state: State, x: Tensor, adversarial: Tensor, y: Tensor, share: float = 1.0) -> float:
    """Update the weights; returns the mean loss over the batch, of which these are the share."""
    network = state.network
    dtype = state.recipe.train_dtype
    learner = Learner(network=network, train_dtype=dtype, progress=state.share(1), team=state.team)
    state.optimizer.zero_grad()
    with synchronise_norms(network, state.team):
        loss = share * state.defence.loss(learner, x, adversarial, y.to(learner.device))
    loss.backward()  # type: ignore[no-untyped-call]
    total = loss.item()
    if state.team.size > 1:
        # DistributedDataParallel would hook the weights while an attack differentiates the network,
        # and expects one forward pass per step. All processes have the same bits afterwards.
        for weight in chain(network.parameters(), network.buffers()):
            if weight.grad is not None:
                weight.grad.copy_(state.team.all_reduce(weight.grad.contiguous()))
        total = float(state.team.all_reduce(torch.tensor(total, dtype=torch.float64, device="cpu")))
    state.optimizer.step()
    state.schedule.step()
    state.defence.after_step(network, 1 / state.schedule.T_max)
    return total


def accuracy(
    network: SpikingNetwork,
    x: np.ndarray,
    y: np.ndarray,
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
    :raises ValueError: without any sample, or for labels that are no class indices [N]."""
    check_labelled_samples(("x", "y"), x, y)
    learner = Learner(network=network)
    correct: int | Tensor = 0
    for start in range(0, len(x), batch_size):
        batch = _own_share(team, _copy_tensor(x[start : start + batch_size]))
        labels = _own_share(team, _copy_tensor(y[start : start + batch_size])).long()
        if not len(batch):
            continue
        batch = batch if craft is None else craft(batch, labels)
        correct += defence.correct(learner, batch, labels.to(learner.device)).sum()
    return sum(team.gather(int(correct))) / len(x)


def _own_share(team: Team, batch: Tensor) -> Tensor:
    """The share of this process of a batch [N, ...]: as many as the others have, or one more."""
    return torch.tensor_split(batch, team.size)[team.rank]


def _check_team(team: Team, network: SpikingNetwork, recipe: Recipe, samples: int) -> None:
    """Refuse what several processes cannot train together.

    A batch, the last one of an epoch included, needs a sample for every process. Statistics are
    shared by batch norms of torch alone."""
    last = samples % recipe.batch_size or recipe.batch_size
    expected = f"batches with a sample for every one of {team.size} processes"
    got = f"{recipe.batch_size}, so that the last batch of {samples} samples has {last}"
    remedy = "Take another batch size, or fewer processes."
    require(last >= team.size, "batch_size", expected, got, remedy)
    for name, norm in network.named_modules() if team.size > 1 else ():
        same = not isinstance(norm, _BatchNorm) or type(norm).forward is _BatchNorm.forward
        got, remedy = f"{name}, a {type(norm).__name__}", "Train the network in one process."
        require(same, "network", "batch norms of torch for several processes", got, remedy)


def _count_classes(
    network: SpikingNetwork,
    x: np.ndarray,
    y: np.ndarray,
    validation: tuple[np.ndarray, np.ndarray] | None,
    recipe: Recipe,
    defence: Defence,
) -> int:
    """Number of classes of the network, from a pass of one sample; refuses what does not fit it."""
    recipe.check_samples(x.shape[1:])
    defence.check(network)
    with seeded(recipe.seed), torch.no_grad(), keep_modes(network):
        classes = network.eval()(_copy_tensor(x[:1]).to(device_of(network))).shape[1]
    held = {} if validation is None else {"validation": validation[1]}
    if validation is not None:
        check_labelled_samples(("validation", "validation"), *validation)
    expected = f"labels from 0 to {classes - 1}, since the network has {classes} classes"
    for argument, labels in ({"x, y": y} | held).items():
        largest, remedy = labels.max(), "Build the network with more classes."
        require(largest < classes, argument, expected, largest, remedy)
    if validation is not None:
        shape, got = list(x.shape[1:]), list(validation[0].shape[1:])
        expected = f"samples of shape {shape}, as the training samples"
        require(got == shape, "validation", expected, got, "Bring all samples to one size.")
    return int(classes)


def _copy_tensor(array: np.ndarray) -> Tensor:
    """A copy as a tensor in torch's usual layout; torch itself takes no negative strides."""
    return torch.tensor(as_array(array), device="cpu")


def own_draws(team: Team, *place: int) -> AbstractContextManager[None]:
    """A block in which each process of a team draws its own random numbers, and only there.

    :param place: whole numbers that no other block of the run has."""
    if team.size == 1:
        return nullcontext()
    return seeded(int(np.random.SeedSequence((*place, team.rank)).generate_state(1)[0]))


@contextmanager
def synchronise_norms(network: nn.Module, team: Team) -> Iterator[None]:
    """A block in which batch norms in training mode take statistics over all processes.

    torch's SyncBatchNorm, which computes the same, runs on CUDA alone."""
    with ExitStack() as stack:
        for norm in network.modules() if team.size > 1 else ():
            if isinstance(norm, _BatchNorm) and norm.training:
                vars(norm)["forward"] = partial(_normalise, norm)
                stack.callback(vars(norm).pop, "forward")
        yield


def _normalise(norm: _BatchNorm, x: Tensor) -> Tensor:
    """[N, C, ...] of this process, normalised by the moments over all; differentiable by all.

    In evaluation mode, to which a defence may switch, the layer normalises as it does by itself."""
    if not norm.training:
        return type(norm).forward(norm, x)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean, variance, count = moments(wide, (0, *range(2, x.ndim)), True)
    if norm.track_running_stats:
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.add_(1)
        share = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        new = mean.detach(), variance.detach() * count / (count - 1)
        for running, moment in zip((norm.running_mean, norm.running_var), new, strict=True):
            assert running is not None
            running.mul_(1 - share).add_(moment.flatten().to(running.dtype), alpha=share)
    y = (wide - mean) * torch.rsqrt(variance + norm.eps)
    if norm.affine:
        shape = mean.shape[1:]
        y = y * norm.weight.view(shape) + norm.bias.view(shape)
    normalised: Tensor = y.to(x.dtype)
    return normalised
