"""The network with weights, and the data, that a command line names."""

import re
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from art_snn import checkpoint, zoo
from art_snn.app.architecture import HUB, ZOO, Architecture, is_own
from art_snn.app.settings import SubjectSettings
from art_snn.checks import invalid, refusing, require, require_choice, require_memory
from art_snn.classifier import PyTorchSpikingClassifier, wrap
from art_snn.data import Dataset, Source
from art_snn.encoders import Frames
from art_snn.layers import device_of
from art_snn.models import DEFAULTS, MODELS
from art_snn.network import SpikingNetwork
from art_snn.neurons import NeuronLayer
from art_snn.running.context import hook_here
from art_snn.zoo.entry import ZooEntry
from art_snn.zoo.networks import local_file, source_of

_NONE_GIVEN = (
    "Take --model zoo:digits-plain, another network that art-snn zoo lists, or --checkpoint with "
    "weights that art-snn train wrote."
)
_GIVE_SIZE = (
    "Give --channels (3) and --image-size, name --data where the command has it, or return "
    "adapt(model, ..., input_shape=(C, H, W))."
)


@dataclass(frozen=True)
class ResolvedNetwork:
    """A network and its data, as the settings of a command name them.

    :param architecture: what the command line says of the network; the rest is open.
    :param checkpoint: its weights; None for those that a function of the user gives.
    :param source: its data.
    :param entry: of the zoo, where it is a network of the zoo on its own data."""

    architecture: Architecture
    checkpoint: Path | None
    source: Source
    entry: ZooEntry | None = None

    def load_data(self) -> Dataset:
        """The data, under their name in the zoo where they are those of a network of the zoo.

        :raises FileNotFoundError: when they are not there.
        :raises ArgumentError: for an unknown name, or an option that the data have no use for."""
        data = self.source.load()
        return data if self.entry is None else replace(data, name=self.entry.data)

    @property
    def notes(self) -> Mapping[str, Any]:
        """The notes of the checkpoint; none without one."""
        return {} if self.checkpoint is None else checkpoint.notes(self.checkpoint)

    @property
    def noted(self) -> dict[str, Any]:
        """Settings of the network that the checkpoint notes."""
        noted = self.notes.get("subject")
        return noted if isinstance(noted, dict) else {}

    def settle(self, data: Dataset) -> Architecture:
        """The architecture, with nothing left open.

        :raises CheckpointError: when the checkpoint notes a network that cannot be built.
        :raises ArgumentError: where steps or encoder do not suit the data."""
        return self.architecture.fill(self.noted).fit_to(data)

    def build(self, data: Dataset, seed: int = 0) -> SpikingNetwork:
        """The network for the data, with its weights, in evaluation mode on the CPU.

        :param seed: of weights that are drawn, where there are no others.
        :raises FileNotFoundError: when there is no such checkpoint.
        :raises CheckpointError: when the weights do not fit.
        :raises ArgumentError: when weights that a function gives are not finite."""
        network = self.settle(data).build_for(data, seed)
        if self.checkpoint is not None:
            checkpoint.load(network, self.checkpoint)
        elif self.architecture.is_own:
            checkpoint.check_weights(network, "model")
        return network.eval()

    def classifier(
        self, data: Dataset, device_type: str = "gpu", seed: int = 0
    ) -> PyTorchSpikingClassifier:
        """The network of :meth:`build` as ART sees it, with the value range of the data.

        :raises ArgumentError: for data without a value range, or of one class."""
        require(
            data.classes > 1,
            "data",
            "samples of two classes or more",
            "one",
            "A network of one class cannot be wrong: add samples of another.",
        )
        network = self.build(data, seed)
        limits = data.clip_values()
        return wrap(network, data.input_shape, data.classes, limits, device_type)  # type: ignore[no-any-return]  # ART has no types.

    @property
    def training(self) -> str:
        """How the network was trained, in words; "" where neither zoo nor checkpoint says it."""
        if self.entry is not None:
            return self.entry.training
        return str(self.notes.get("training", ""))

    def describe(self, data: Dataset, network: SpikingNetwork | None = None) -> str:
        """Network and data in words, with settings that differ from those of the training."""
        noted, given = self.noted, self.architecture.given
        other = [f"{k} {noted[k]}" for k, v in given.items() if noted.get(k, v) != v]
        trained = f"; its weights were trained with {', '.join(other)}" if other else ""
        dtype = noted.get("train_dtype")
        if dtype == "auto":
            dtype = "bfloat16 where the device multiplies it natively"
        how = "" if dtype is None else f", trained in {dtype}"
        return f"{self.settle(data).describe(network)} on {data.name}{how}{trained}"


def resolve_network(settings: SubjectSettings, *, drawn: bool = False) -> ResolvedNetwork:
    """The network that settings name, with the weights and the data of the zoo for zoo:NAME.

    For hf:OWNER/REPO/NAME@COMMIT the weights are those of NAME.safetensors there; no code is run.

    :param drawn: whether weights of a model of art_snn are drawn where there is no checkpoint.
    :raises ArgumentError: without a network or weights, and for an unknown name."""
    model = settings.model
    path = settings.checkpoint
    entry = None
    names = ("data", "download", "image_size", "value_range", "bins")
    given = {name: value for name, value in vars(settings).items() if name in names}
    source = Source(**given)
    if source.is_cut:
        source = replace(source, frames=settings.steps)
    require(model or path, "model", "a network with weights", "none", _NONE_GIVEN)
    name = model or ""
    if name.startswith((ZOO, HUB)):
        require(
            path is None,
            "checkpoint",
            f"None next to {model}, which has weights",
            path,
            "Leave one of them out.",
        )
        model = None
    if name.startswith(HUB):
        path = _fetch_weights(name)
    elif name.startswith(ZOO):
        about = zoo.entry(name.removeprefix(ZOO), "model")
        if source.data is None:
            entry = about
            held = vars(source_of(about.data))
            source = replace(
                source, **{name: value for name, value in held.items() if value}
            )
        path = local_file(about)
    if model is not None and not is_own(model):
        require_choice("model", model, MODELS, remedy="Your own is FILE.py:FUNCTION.")
    require(
        path is not None or is_own(model) or drawn,
        "checkpoint",
        "the weights of the network",
        f"{model} without weights",
        _NONE_GIVEN,
    )
    return ResolvedNetwork(read_architecture(settings, model=model), path, source, entry)


def read_architecture(settings: object, **others: Any) -> Architecture:
    """The network of settings, with others in place of some of them; missing ones are open."""
    options = {name: getattr(settings, name, None) for name in DEFAULTS}
    return Architecture(**options | others)


def record_calls(
    network: SpikingNetwork, x: Tensor
) -> list[tuple[NeuronLayer, list[Tensor]]]:
    """Every layer of neurons with what its calls return in a pass of samples x [N, ...]."""
    layers = [(layer, list[Tensor]()) for layer in network.body.neuron_layers()]

    def keep(calls: list[Tensor], _: Any, inputs: Any, output: Any) -> None:
        calls.append(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as stack, torch.no_grad():
        for layer, calls in layers:
            stack.enter_context(hook_here(layer.module, partial(keep, calls)))
        network(x)
    return layers


def _fetch_weights(model: str) -> Path:
    """The file of weights that hf:OWNER/REPO/NAME@COMMIT names, from the cache or from there.

    :raises ArgumentError: without a commit, or when there is no such file or connection."""
    word = r"[\w-][\w.-]*"
    parts = re.fullmatch(
        rf"hf:({word}/{word})/({word}(?:/{word})*)@([0-9a-f]{{40}})", model, re.A
    )
    if parts is None:
        raise invalid(
            "model",
            "hf:OWNER/REPO/NAME@COMMIT",
            model,
            "Pin the revision by the 40 digits of a commit, which the history of its files shows.",
        )
    repository, name, revision = parts.groups()
    file = f"{name}.safetensors"
    require(
        find_spec("huggingface_hub"),
        "model",
        "the package huggingface-hub",
        "none",
        "pip install huggingface-hub",
    )
    hub: Any = import_module("huggingface_hub")
    errors: Any = import_module("huggingface_hub.errors")
    absent = (
        # This one also stands for a file that is not in the cache, without a connection.
        errors.EntryNotFoundError,
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.HFValidationError,
    )
    expected = f"{file} in {repository} at that commit"
    remedy = "Check name, commit and connection."
    with refusing("model", expected, "none", remedy, absent):
        return Path(hub.hf_hub_download(repository, file, revision=revision))


def random_samples(
    architecture: Architecture,
    samples: int,
    *,
    channels: int | None = None,
    image_size: Any = None,
) -> tuple[ndarray, ndarray]:
    """Random samples ``(samples, *input_shape)`` in [0, 1] and one-hot labels for a network.

    None is 3 channels of 32 x 32 pixels. A network of the user has its
    input_shape, or needs a size. What it does not take, or what does not fit into
    memory, is refused."""
    image = (channels or 3, *(image_size or 32,) * 2)
    classes = 10
    with nullcontext() if architecture.is_own else torch.device("meta"):
        network = architecture.build(shape=image)
    shape: Any = network.input_shape
    if architecture.is_own:
        size: tuple[int, ...] = image
        if isinstance(network.encoder, Frames):
            size = (network.encoder.steps or DEFAULTS["steps"], *image)
        model, form = architecture.model, shape or (None,) * len(size)
        require(
            len(form) == len(size),
            "image_size",
            "a network of images",
            f"{model}, which takes samples of shape {form}",
            "Images are [C, H, W].",
        )
        sides = ("channels", channels, form[-3]), ("image_size", image_size, form[-1])
        for name, given, taken in sides:
            require(
                taken is None or given in (None, taken),
                name,
                f"{taken}, which {model} takes",
                given,
                "Leave it out, or have that function build another network.",
            )
        expected = f"the side of square images that {model} takes"
        sized = image_size or None not in form[-2:]
        require(sized, "image_size", expected, image_size, _GIVE_SIZE)
        shape = tuple(b if a is None else a for a, b in zip(form, size, strict=True))
        complaint = "image_size", expected, "x".join(map(str, shape)), _GIVE_SIZE
        some = torch.zeros(2, *shape, device="cpu")
        network = architecture.build_own_for(some, complaint).eval()
        with torch.no_grad():
            classes = network(some[:1].to(device_of(network))).shape[1]
    needed = 4 * samples * prod(shape)
    require_memory(
        "samples", samples, "samples", needed, remedy="Take fewer or smaller ones."
    )
    generator = np.random.default_rng(0)
    x = generator.random((samples, *shape), dtype=np.float32)
    return x, np.eye(classes, dtype=np.float32)[generator.integers(0, classes, samples)]
