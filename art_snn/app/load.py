"""A network under load: the calls that art-snn cost measures, and the memory that they take."""

import gc
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import nn

from art_snn.app.machine import torch_device
from art_snn.app.network import build_unloaded, random_samples
from art_snn.app.settings import Cost
from art_snn.attacks import parse_stage
from art_snn.classifier import PyTorchSpikingClassifier, wrap
from art_snn.gradients import Gradient, parse_rules
from art_snn.models import Architecture
from art_snn.models.own import is_own
from art_snn.network import SpikingNetwork, readout_dtype
from art_snn.training.recipe import Recipe, autocast

TRAINED_BY = Recipe(learning_rate=1e-8)
"""The optimizer of the papers, with steps so small that weights and times stay what they are."""
INFERENCE, STOCK = "inference", "stock "
"""Rows next to those of rules: a prediction, and what ART's stock classifier measures."""


def choose_rules(settings: Cost) -> dict[str, Gradient]:
    """Rules by their texts."""
    return parse_rules(settings.rules or ("stbp" if settings.training_step else "rga,stbp"))


def resolve_architecture(settings: Cost) -> tuple[Architecture, int | None]:
    """The network of settings of one model, and its time steps; at none it has its own.

    A function of the user takes the time steps once it has built its own network."""
    (model,), (steps, *_) = settings.model, settings.steps or (None,)
    given = {name: getattr(settings, name) for name in ("width", "decay", "encoder")}
    return Architecture(model=model, steps=None if is_own(model) else steps, **given), steps


def draw_samples(settings: Cost, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random samples ``(count, *input_shape)`` and one-hot labels."""
    architecture, steps = resolve_architecture(settings)
    sizes = {name: getattr(settings, name) for name in ("channels", "image_size")}
    return random_samples(architecture, count, steps=steps, **sizes)


def build_network(settings: Cost, x: np.ndarray, y: np.ndarray) -> SpikingNetwork:
    """The network for the samples, in evaluation mode on the device."""
    network = build_unloaded(*resolve_architecture(settings), x.shape[1:], y.shape[1])
    return network.to(torch_device(settings.device))


def make_call(
    settings: Cost, row: str, network: SpikingNetwork, x: np.ndarray, y: np.ndarray
) -> Callable[[], object]:
    """The call that a row measures; a training step changes the network."""
    stock, rules = row.startswith(STOCK), choose_rules(settings)
    if settings.training_step and row != INFERENCE:
        network.training_gradient = rules[row]
        return training_step(network, x, y, settings.train_dtype)
    kind: Any = PyTorchClassifier if stock else PyTorchSpikingClassifier
    classifier = wrap(network, x.shape[1:], y.shape[1], (0.0, 1.0), settings.device, kind)
    if row == INFERENCE:
        return lambda: classifier.predict(x, batch_size=len(x))
    rule, attack = rules[row.removeprefix(STOCK)], None
    if settings.attack is not None:
        stage = parse_stage(settings.attack, np.inf, settings.eps)
        attack = stage.instantiate(classifier, np.inf, settings.eps, len(x), 0)

    def operate() -> object:
        network.forget()
        with network.using(rule):
            return classifier.loss_gradient(x, y) if attack is None else attack.generate(x, y)

    return operate


def measure_row_peak(settings: Cost, row: str, *, apart: bool = True) -> int:
    """Peak bytes of one row above the loaded model.

    :param apart: on the CPU in a process of its own, with nothing left from before, which gives
        freed memory back. A training step is the first one, which allocates gradients and the
        optimizer's state."""
    if apart and settings.device == "cpu":
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            return pool.submit(measure_row_peak, settings, row, apart=False).result()
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    x, y = draw_samples(settings, settings.batch_size)
    network, few = build_network(settings, x, y), 2 if settings.training_step else 1
    # A few samples first, since libraries are loaded on demand; batch norm in training needs 2.
    make_call(settings, row, network, x[:few], y[:few])()
    return measure_peak(make_call(settings, row, network, x, y), settings.device)


def training_step(
    network: nn.Module, x: np.ndarray, y: np.ndarray, train_dtype: str | None = None
) -> Callable[[], float]:
    """A call that takes one step of training on samples x with one-hot labels y."""
    # Gradients of an earlier step would not count as memory of this one.
    network.train().zero_grad()
    optimizer, like = TRAINED_BY.build_optimizer(network.parameters()), next(network.parameters())

    def step() -> float:
        samples = torch.tensor(x, device=like.device).to(like)
        labels = torch.tensor(y, device=like.device).argmax(1)
        optimizer.zero_grad()
        with autocast(train_dtype, like.device):
            logits = network(samples)
        loss = nn.functional.cross_entropy(logits.to(readout_dtype(logits)), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.item()

    return step


def measure_peak(operate: Callable[[], object], device: str) -> int:
    """Bytes by which memory rises at most while `operate` runs, on "gpu" or "cpu".

    On a GPU the allocator's peak; on Linux the peak of the process's resident memory, reset
    beforehand; elsewhere the rise of its lifetime peak, so call it in a fresh process."""
    gc.collect()
    if device == "gpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        operate()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")
    before = _resident("VmRSS")
    operate()
    return _resident("VmHWM") - before


def _resident(field: str) -> int:
    """Bytes of this process: resident (VmRSS) or its peak (VmHWM); where /proc does not tell them,
    the peak of its lifetime."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
