"""A network under load: what is measured, alone or against another in turn."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn
from torch.optim import Optimizer

from art_snn.attacks import Stage
from art_snn.checks import require, require_memory
from art_snn.classifier import PyTorchSpikingClassifier, wrapped
from art_snn.encoders import Frames
from art_snn.gradients import Gradient, parse_rule
from art_snn.layers import device_of
from art_snn.measuring.calls import keep_freed_memory, medians, peak_during
from art_snn.measuring.machine import set_threads, torch_device
from art_snn.measuring.peers import mirrored
from art_snn.models import DEFAULTS, Architecture
from art_snn.models.own import samples_fit
from art_snn.network import SpikingNetwork, readout_dtype
from art_snn.precision import autocast


@dataclass(frozen=True)
class CostRow:
    """What is measured; as text it is a key of results: "stock peer SpikingJelly 2.0.0".

    :param kind: "rule" is the gradient with a rule, or the training step; "peer" that of another
        framework, in which the same network is built.
    :param name: of the rule, or of the framework with its version.
    :param stock: whether ART's stock PyTorchClassifier is around the network."""

    kind: Literal["inference", "rule", "peer"]
    name: str = ""
    stock: bool = False

    @classmethod
    def read(cls, text: str) -> "CostRow":
        """The inverse of str."""
        stock, bare = text.startswith("stock "), text.removeprefix("stock ")
        if bare == "inference":
            return cls("inference", stock=stock)
        kind: Any = "peer" if bare.startswith("peer ") else "rule"
        return cls(kind, bare.removeprefix("peer "), stock)

    def __str__(self) -> str:
        stock, peer = "stock " * self.stock, "peer " * (self.kind == "peer")
        return f"{stock}{peer}{self.name or self.kind}"


INFERENCE = CostRow("inference")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A network and samples, whose rows are measured; it can be pickled.

    :param architecture: the network; its weights are drawn from seed 0.
    :param steps: time steps T; None leaves the architecture's.
    :param x, y: samples ``(N, *input_shape)`` and one-hot labels (N, K).
    :param rules: name -> rule, before those of GRADIENTS.
    :param attack: what a rule's row runs, in the maximum norm; None is one gradient of all samples.
    :param eps: budget of the attack.
    :param optimizer: makes an optimizer of weights; a rule's row is then a training step.
    :param threads: threads of torch on the CPU; None leaves torch's choice."""

    architecture: Architecture
    steps: int | None = None
    x: np.ndarray
    y: np.ndarray
    rules: Mapping[str, Gradient]
    batch_size: int
    attack: Stage | None = None
    eps: float = 8 / 255
    optimizer: Callable[[Iterable[Tensor]], Optimizer] | None = None
    attack_dtype: str | None = None
    train_dtype: str | None = None
    device: str = "cpu"
    threads: int | None = None
    keep_memory: bool = False

    def network(self) -> SpikingNetwork:
        """The network, in evaluation mode on the device."""
        form = self.x.shape[1:], self.y.shape[1]
        return network_of(self.architecture, self.steps, *form).to(torch_device(self.device))

    def of(self, samples: int) -> "Workload":
        """The same load with the first of its samples, that many at most."""
        return replace(self, x=self.x[:samples], y=self.y[:samples])

    def rule(self, name: str) -> Gradient:
        """The rule of that name."""
        return self.rules[name] if name in self.rules else parse_rule(name)

    def operation(self, row: CostRow, network: SpikingNetwork) -> Callable[[], object]:
        """The call that a row measures, of a network of the load; a training step changes it."""
        if row.kind == "peer":
            return self._of_peer(mirrored(row.name.split()[0], network), row.stock)
        if row.kind == "rule" and self.optimizer is not None:
            network.training_gradient = self.rule(row.name)
            return self._step(network, self.optimizer)
        classifier = self._wrapped(network, row.stock)
        if row.kind == "inference":
            return lambda: classifier.predict(self.x, batch_size=self.batch_size)
        return self._gradient(classifier, network, self.rule(row.name))

    def _wrapped(self, network: nn.Module, stock: bool) -> Any:
        shape, classes = self.x.shape[1:], self.y.shape[1]
        kind = PyTorchClassifier if stock else PyTorchSpikingClassifier
        return wrapped(network, shape, classes, (0.0, 1.0), self.device, kind)

    def _gradient(
        self, classifier: Any, network: SpikingNetwork, rule: Gradient
    ) -> Callable[[], object]:
        how, attack = (classifier, np.inf, self.eps, self.batch_size, 0), self.attack
        method = None if attack is None else attack.instantiate(*how)

        def gradient() -> object:
            network.forget()
            with network.using(rule), network.crafting(self.attack_dtype):
                if method is None:
                    return classifier.loss_gradient(self.x, self.y)
                return method.generate(self.x, self.y)

        return gradient

    def _of_peer(self, mirror: nn.Module, stock: bool) -> Callable[[], object]:
        if self.optimizer is not None:
            return self._step(mirror, self.optimizer)
        if stock:
            classifier = self._wrapped(mirror, stock)
            return lambda: classifier.loss_gradient(self.x, self.y)

        def gradient() -> object:
            x, y = self._tensors(mirror)
            loss = nn.functional.cross_entropy(mirror(x.requires_grad_()), y)
            return torch.autograd.grad(loss, x)[0].cpu().numpy()

        return gradient

    def _step(
        self, network: nn.Module, made: Callable[[Iterable[Tensor]], Optimizer]
    ) -> Callable[[], object]:
        # Gradients of an earlier step would not count as memory of this one.
        network.train().zero_grad()
        optimizer = made(network.parameters())

        def step() -> float:
            x, y = self._tensors(network)
            optimizer.zero_grad()
            with autocast(self.train_dtype, x.device):
                logits = network(x)
            loss = nn.functional.cross_entropy(logits.to(readout_dtype(logits)), y)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            return loss.item()

        return step

    def _tensors(self, network: nn.Module) -> tuple[Tensor, Tensor]:
        """Samples and class indices [N] where the network is."""
        like = next(network.parameters())
        x, y = (torch.tensor(a, device=like.device) for a in (self.x, self.y))
        return x.to(like), y.argmax(1)


def network_of(
    architecture: Architecture,
    steps: int | None = None,
    shape: tuple[int, ...] = (3, 32, 32),
    classes: int = 10,
) -> SpikingNetwork:
    """The network in evaluation mode, weights drawn from seed 0; a user's has its own form."""
    if architecture.is_own:
        network = architecture.made()
        if steps is None:
            return network.eval()
        got = f"{architecture.model}, whose model makes its time steps itself"
        remedy = "art-snn cost takes it as it is."
        expected = "a network over any number of time steps"
        require(not network.makes_own_time, "model", expected, got, remedy)
        return network.with_steps(steps).eval()
    settled = architecture if steps is None else replace(architecture, steps=steps)
    channels, *sides = shape[-3:]
    made = settled.made(in_channels=channels, image_size=tuple(sides), classes=classes)
    return made.eval()


def random_samples(
    architecture: Architecture,
    samples: int,
    *,
    steps: int | None = None,
    channels: int | None = None,
    image_size: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Random samples ``(samples, *input_shape)`` in [0, 1] and one-hot labels for a network.

    None is 3 channels of 32 x 32 pixels, or what a network of the user's own takes. What it does
    not take, or what does not fit into memory, is refused."""
    image, classes = (channels or 3, *(image_size or 32,) * 2), 10
    with nullcontext() if architecture.is_own else torch.device("meta"):
        network = network_of(architecture, steps, image)
    shape: tuple[int, ...] = image
    if isinstance(network.encoder, Frames):
        shape = (network.encoder.steps or steps or DEFAULTS["steps"], *image)
    if architecture.is_own:
        model, form = architecture.model, network.input_shape or shape
        got, remedy = f"{model}, which takes samples of shape {form}", "Images are [C, H, W]."
        require(len(form) == len(shape), "image_size", "a network of images", got, remedy)
        shape = tuple(b if a is None else a for a, b in zip(form, shape, strict=True))
        remedy = "Leave it out, or have that function build another network."
        for name, size, axis in (("channels", channels, -3), ("image_size", image_size, -1)):
            expected = f"{shape[axis]}, which {model} takes"
            require(size in (None, shape[axis]), name, expected, size, remedy)
        got, expected = "x".join(map(str, shape)), f"a size that {model} takes"
        remedy = "Give channels and image_size, or let it have an input_shape."
        with samples_fit("image_size", expected, got, remedy), torch.no_grad():
            classes = network(torch.zeros(1, *shape, device=device_of(network))).shape[1]
    needed = 4 * samples * prod(shape)
    require_memory("samples", samples, "samples", needed, remedy="Take fewer or smaller ones.")
    generator = np.random.default_rng(0)
    x = generator.random((samples, *shape), dtype=np.float32)
    return x, np.eye(classes, dtype=np.float32)[generator.integers(0, classes, samples)]


def prepare(load: Workload) -> None:
    """Set this process up as the load asks: its threads, and whether freed memory is kept."""
    set_threads(load.threads)
    if load.keep_memory:
        keep_freed_memory()


def seconds_of(load: Workload, rows: Iterable[CostRow], repeats: int) -> dict[str, float]:
    """Median seconds of the rows in this process, all in turn, by their texts."""
    prepare(load)
    network = load.network()
    # A training step changes weights and statistics, so each row needs a network of its own.
    trains = load.optimizer is not None
    operations = {
        str(row): load.operation(row, load.network() if trains else network) for row in rows
    }
    return medians(operations, repeats, load.device)


def peak_of(load: Workload, row: CostRow) -> int:
    """Peak bytes of one row above the loaded model, in this process.

    A training step is the first one, which allocates gradients and the optimizer's state."""
    prepare(load)
    network = load.network()
    # One sample first, since libraries are loaded on demand; batch norm in training needs two.
    load.of(1 if load.optimizer is None else 2).operation(row, network)()
    return peak_during(load.operation(row, network), load.device)
