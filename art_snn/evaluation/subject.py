"""The network that an evaluation attacks: built by name, and loaded from a file or trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from torch import nn

from art_snn import checkpoint
from art_snn.checks import invalid
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset
from art_snn.encoders import Direct, Encoder, Frames, Poisson
from art_snn.inputs import check_device_type
from art_snn.models import MODELS
from art_snn.network import SpikingNetwork
from art_snn.seeding import seeded
from art_snn.training import Training, train

ENCODERS: Mapping[str, Callable[[int], Encoder]] = MappingProxyType(
    {"direct": Direct, "poisson": Poisson, "frames": Frames}
)
STEPS = 8

LATER_FIELDS = {"width": 1.0}
"""Fields that older checkpoints do not note, with the value that their networks have."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Architecture and training of a network.

    :param model: a name of art_snn.models.MODELS.
    :param width: factor of the widths of its layers.
    :param steps: time steps T; None is 8 on images, and the number of frames on event frames.
    :param decay: decay of the neurons; 1 makes IF neurons.
    :param threshold: of the neurons.
    :param reset: of the neurons, "hard" or "soft".
    :param encoder: "direct" or "poisson" for images, "frames" for event frames; None is direct on
        images and frames on event frames.
    :param epochs: epochs of training, by :class:`art_snn.training.Training`.
    :param seed: of the weights and of the training.
    :raises ValueError: for an unknown model or encoder.
    """

    model: str = "vgg5"
    width: float = 1.0
    steps: int | None = None
    decay: float = 0.5
    threshold: float = 1.0
    reset: Literal["hard", "soft"] = "hard"
    encoder: str | None = None
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        named = {"model": MODELS} | ({} if self.encoder is None else {"encoder": ENCODERS})
        for name, known in named.items():
            if getattr(self, name) not in known:
                raise invalid(
                    name,
                    expected=f"one of {', '.join(known)}",
                    got=repr(getattr(self, name)),
                    remedy="Networks of your own are compared with art_snn.evaluation.compare.",
                )

        # Plain numbers, since they are written beside the weights.
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.generic):
                object.__setattr__(self, field.name, value.item())

    def on(self, data: Dataset) -> Subject:
        """The same with the steps and the encoder that `data` needs in the place of None.

        :raises ValueError: when steps or encoder are set and do not suit the data.
        """
        needed = ("frames",) if data.events else ("direct", "poisson")
        encoder = needed[0] if self.encoder is None else self.encoder
        if encoder not in needed:
            raise invalid(
                "encoder",
                expected=f"{' or '.join(needed)}, since {data.name} holds "
                f"{'event frames' if data.events else 'images'}",
                got=repr(encoder),
                remedy="Leave it out.",
            )
        steps = (data.steps or STEPS) if self.steps is None else self.steps
        if data.events and steps != data.steps:
            raise invalid(
                "steps",
                expected=f"{data.steps}, the number of frames of {data.name}",
                got=steps,
                remedy="Leave it out, or make other frames.",
            )
        return replace(self, steps=steps, encoder=encoder)

    def build(self, data: Dataset) -> SpikingNetwork:
        """The network for the samples of `data`, with weights drawn from the seed.

        :raises ValueError: as :meth:`on`, and for numbers that the network refuses.
        """
        channels, height, width = data.input_shape[-3:]
        encoder, steps = _set(self.on(data))
        with seeded(self.seed):
            return MODELS[self.model](
                in_channels=channels,
                image_size=(height, width),
                classes=data.classes,
                decay=self.decay,
                threshold=self.threshold,
                reset=self.reset,
                encoder=ENCODERS[encoder](steps),
                width=self.width,
            )

    def classifier(self, data: Dataset, device_type: str = "gpu") -> PyTorchSpikingClassifier:
        """The untrained network as ART sees it, with the value range of `data`.

        :param device_type: "gpu" or "cpu", as in ART.
        :raises ValueError: for another device type, or data without a value range.
        """
        check_device_type(device_type)
        clip_values = data.clip_values()
        return PyTorchSpikingClassifier(
            self.build(data),
            nn.CrossEntropyLoss(),
            input_shape=data.input_shape,
            nb_classes=data.classes,
            clip_values=clip_values,
            device_type=device_type,
        )

    def train(self, network: SpikingNetwork, data: Dataset, folder: Path) -> None:
        """Train the network, or load it from `folder`/network.pt where it was kept before.

        A training that was interrupted goes on after its last whole epoch.

        :param network: as :meth:`build` made it, on any device.
        :param data: its training samples are used.
        :param folder: made when missing.
        :raises CheckpointError: when the folder holds a network of other settings.
        """
        path, state = folder / "network.pt", folder / "training.pt"
        if path.exists():
            self._check(checkpoint.notes(path), data, path)
            self.load(network, path)
            return
        settings = Training(epochs=self.epochs, seed=self.seed)
        folder.mkdir(parents=True, exist_ok=True)
        train(network, data.x_train, data.y_train, settings, resume=state)
        checkpoint.save(network, path, subject=asdict(self.on(data)), data=data.name)
        state.unlink()

    def load(self, network: SpikingNetwork, path: Path) -> None:
        """Weights of a checkpoint into the network as :meth:`build` made it.

        :raises FileNotFoundError: when there is no such file.
        :raises CheckpointError: when the weights do not fit the architecture.
        """
        checkpoint.load(network, path)
        network.eval()

    def words(self) -> str:
        """The network in words, without how it was trained; open settings are those on images."""
        neuron = f"decay {self.decay:g}"
        if self.threshold != 1:
            neuron += f", threshold {self.threshold:g}"
        if self.reset != "hard":
            neuron += f", {self.reset} reset"
        model = self.model if self.width == 1 else f"{self.model} of width {self.width:g}"
        encoder, steps = _set(self)
        how = "event frames" if encoder == "frames" else f"{encoder} encoding"
        return f"{model}, T = {steps}, {neuron}, {how}"

    def _check(self, notes: dict[str, Any], data: Dataset, path: Path) -> None:
        wanted = {"subject": asdict(self.on(data)), "data": data.name}
        subject = notes.get("subject")
        subject = LATER_FIELDS | subject if isinstance(subject, dict) else subject
        found = {"subject": subject, "data": notes.get("data")}
        if found != wanted:
            raise checkpoint.CheckpointError(
                f"output: expected a network of {wanted}, got one of {found} in {path}. "
                "Choose another folder, or delete that file to train anew."
            )


def _set(subject: Subject) -> tuple[str, int]:
    """Encoder and steps, as on images where they are open."""
    return subject.encoder or "direct", STEPS if subject.steps is None else subject.steps


def of_checkpoint(path: Path | None, **options: Any) -> Subject:
    """The subject that a checkpoint notes, with the options that are not None in its place.

    :param path: a checkpoint that :meth:`Subject.train` wrote, or any other; or None.
    :param options: fields of :class:`Subject`.
    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: for an option that the subject refuses, or a file that is no checkpoint.
    """
    noted = {} if path is None else checkpoint.notes(path).get("subject")
    known = {field.name for field in fields(Subject)}
    values = {k: v for k, v in noted.items() if k in known} if isinstance(noted, dict) else {}
    return Subject(**values | {k: v for k, v in options.items() if v is not None})
