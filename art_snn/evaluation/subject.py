"""The network that an evaluation attacks: built by name, and loaded from a file or trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from torch import nn

from art_snn import checkpoint
from art_snn.checks import invalid
from art_snn.classifier import PyTorchSpikingClassifier
from art_snn.data import Dataset
from art_snn.encoders import Direct, Poisson
from art_snn.inputs import check_device_type
from art_snn.models import MODELS
from art_snn.network import SpikingNetwork
from art_snn.seeding import seeded
from art_snn.training import Training, train

ENCODERS = {"direct": Direct, "poisson": Poisson}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Architecture and training of a network.

    :param model: a name of art_snn.models.MODELS.
    :param steps: time steps T.
    :param decay: decay of the neurons; 1 makes IF neurons.
    :param threshold: of the neurons.
    :param reset: of the neurons, "hard" or "soft".
    :param encoder: "direct" or "poisson".
    :param epochs: epochs of training, by :class:`art_snn.training.Training`.
    :param seed: of the weights and of the training.
    :raises ValueError: for an unknown model or encoder.
    """

    model: str = "vgg5"
    steps: int = 8
    decay: float = 0.5
    threshold: float = 1.0
    reset: Literal["hard", "soft"] = "hard"
    encoder: str = "direct"
    epochs: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        for name, known in (("model", MODELS), ("encoder", ENCODERS)):
            if getattr(self, name) not in known:
                raise invalid(
                    name,
                    expected=f"one of {', '.join(known)}",
                    got=repr(getattr(self, name)),
                    remedy="Networks of your own are compared with art_snn.evaluation.compare.",
                )

    def build(self, data: Dataset) -> SpikingNetwork:
        """The network for the images of `data`, with weights drawn from the seed."""
        channels, height, width = data.input_shape
        with seeded(self.seed):
            return MODELS[self.model](
                in_channels=channels,
                image_size=(height, width),
                classes=data.classes,
                decay=self.decay,
                threshold=self.threshold,
                reset=self.reset,
                encoder=ENCODERS[self.encoder](self.steps),
            )

    def classifier(self, data: Dataset, device_type: str = "gpu") -> PyTorchSpikingClassifier:
        """The untrained network as ART sees it, for images in [0, 1].

        :param device_type: "gpu" or "cpu", as in ART.
        :raises ValueError: for another device type.
        """
        check_device_type(device_type)
        return PyTorchSpikingClassifier(
            self.build(data),
            nn.CrossEntropyLoss(),
            input_shape=data.input_shape,
            nb_classes=data.classes,
            clip_values=(0.0, 1.0),
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
        folder.mkdir(parents=True, exist_ok=True)
        settings = Training(epochs=self.epochs, seed=self.seed)
        train(network, data.x_train, data.y_train, settings, resume=state)
        checkpoint.save(network, path, subject=asdict(self), data=data.name)
        state.unlink()

    def load(self, network: SpikingNetwork, path: Path) -> None:
        """Weights of a checkpoint into the network as :meth:`build` made it.

        :raises FileNotFoundError: when there is no such file.
        :raises CheckpointError: when the weights do not fit the architecture.
        """
        checkpoint.load(network, path)
        network.eval()

    def words(self) -> str:
        """The network in words, without how it was trained."""
        neuron = f"decay {self.decay:g}"
        if self.threshold != 1:
            neuron += f", threshold {self.threshold:g}"
        if self.reset != "hard":
            neuron += f", {self.reset} reset"
        return f"{self.model}, T = {self.steps}, {neuron}, {self.encoder} encoding"

    def _check(self, notes: dict[str, Any], data: Dataset, path: Path) -> None:
        wanted = {"subject": asdict(self), "data": data.name}
        found = {"subject": notes.get("subject"), "data": notes.get("data")}
        if found != wanted:
            raise checkpoint.CheckpointError(
                f"output: expected a network of {wanted}, got one of {found} in {path}. "
                "Choose another folder, or delete that file to train anew."
            )


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
