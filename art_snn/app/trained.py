"""A network with weights: loaded, built by a function of the user's own, or trained once."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from art_snn import checkpoint
from art_snn.app.annotations import Open
from art_snn.app.attack import Attack
from art_snn.app.base import Experiment
from art_snn.app.catalogue import from_zoo
from art_snn.checks import require, require_seed, set_counts, set_fields
from art_snn.classifier import PyTorchSpikingClassifier, wrapped
from art_snn.data import Dataset, Source
from art_snn.files import digest
from art_snn.models import DEFAULTS, Architecture
from art_snn.models.own import is_own
from art_snn.network import SpikingNetwork
from art_snn.precision import require_train_dtype
from art_snn.training import Recipe, train

EPOCHS = 10


@dataclass(frozen=True, kw_only=True)
class Trained:
    """The network that an experiment measures.

    It is loaded where there is a checkpoint, whose notes settle what the architecture leaves open.
    A function of the user's own gives it with the weights that it has, unless epochs are asked for.
    Otherwise it is trained here by :meth:`art_snn.training.Recipe.short`, once.

    :param architecture: of the network.
    :param checkpoint: weights of a trained network; none trains one here, or takes those that a
        function of yours gives.
    :param epochs: of training here [10; of a function of yours: none].
    :param train_dtype: precision of that training, as art-snn train has it: bfloat16 or auto [the
        network's own].
    :raises ValueError: for another count or precision, or either next to weights that are given.
    :raises FileNotFoundError: when there is no such checkpoint."""

    architecture: Architecture = field(default_factory=Architecture)
    checkpoint: Open[Path] = None
    epochs: Open[int] = None
    train_dtype: str | None = None

    def __post_init__(self) -> None:
        set_counts(self, "epochs")
        set_fields(self, train_dtype=require_train_dtype(self.train_dtype))
        alone = self.epochs is None or self.checkpoint is None
        expected = "None next to a checkpoint, which is not trained further"
        require(alone, "epochs", expected, self.epochs, "Leave one of them out.")
        expected = "None next to a network that is not trained here"
        remedy = "Leave it out, or ask for epochs without a checkpoint."
        here = self.train_dtype is None or self.trained_here
        require(here, "train_dtype", expected, repr(self.train_dtype), remedy)

    @property
    def trained_here(self) -> bool:
        """Whether weights are neither loaded nor those of a function of the user's own."""
        given = self.architecture.is_own and self.epochs is None
        return self.checkpoint is None and not given

    def on(self, data: Dataset) -> "Trained":
        """The same with nothing left open; a ValueError where steps or encoder do not suit."""
        return replace(self, architecture=self.architecture.filled(self.noted()).on(data))

    def or_zoo(self, source: Source) -> tuple["Trained", Source]:
        """The same with weights, and the data, of the zoo where the model is a name of it."""
        given = () if self.checkpoint is None else (self.checkpoint,)
        architecture, weights, data = from_zoo(self.architecture, given, source)
        checkpoint = next(iter(weights), None)
        return replace(self, architecture=architecture, checkpoint=checkpoint), data

    def noted(self) -> dict[str, Any]:
        """What the checkpoint notes of its network; a CheckpointError where there can be none."""
        noted = {} if self.checkpoint is None else checkpoint.notes(self.checkpoint).get("subject")
        noted = noted if isinstance(noted, dict) else {}
        settings = {k: v for k, v in noted.items() if k in DEFAULTS and v is not None}
        try:
            if not is_own(settings.get("model")):
                with torch.device("meta"):
                    Architecture(**settings).made()
        except (ValueError, TypeError, RuntimeError) as error:
            expected = "a checkpoint that notes a network which can be built"
            got = f"{self.checkpoint} ({str(error).rstrip('.')})"
            remedy = "Save it again, with the settings that its network has."
            raise checkpoint.CheckpointError.of("path", expected, got, remedy) from error
        return noted

    def build(self, data: Dataset, seed: int = 0) -> SpikingNetwork:
        """The network for the samples of `data`, with weights drawn from the seed."""
        return self.on(data).architecture.build(data, seed)

    def classifier(
        self, data: Dataset, device_type: str = "gpu", seed: int = 0
    ) -> PyTorchSpikingClassifier:
        """The network, before :meth:`obtain`, as ART sees it, with the value range of `data`.

        :raises ValueError: for data without a value range, or of one class."""
        remedy = "A network of one class cannot be wrong: add samples of another."
        require(data.classes > 1, "data", "samples of two classes or more", "one", remedy)
        network, limits = self.build(data, seed), data.clip_values()
        return wrapped(network, data.input_shape, data.classes, limits, device_type)  # type: ignore[no-any-return]

    def obtain(
        self,
        network: SpikingNetwork,
        data: Dataset,
        folder: Path,
        seed: int = 0,
        verbose: bool = True,
    ) -> None:
        """Give the network its weights.

        Weights trained here are kept in `folder`/network.safetensors and found there again; a
        training that was interrupted goes on after its last whole epoch.

        :param network: as :meth:`build` made it, on any device.
        :raises FileNotFoundError: when there is no such checkpoint.
        :raises CheckpointError: when weights do not fit, or the folder holds another network.
        :raises ValueError: when a function of the user's own gives weights that are not finite."""
        trained = self.on(data)
        if self.checkpoint is not None:
            checkpoint.load(network, self.checkpoint)
        elif self.trained_here:
            trained._train(network, data, folder, seed, verbose)
        else:
            checkpoint.check_weights(network, "model")
        network.eval()

    def _train(
        self, network: SpikingNetwork, data: Dataset, folder: Path, seed: int, verbose: bool
    ) -> None:
        path, state = folder / "network.safetensors", folder / "training.pt"
        wanted = {"subject": self.as_dict(seed), "data": data.name, "recipe": None}
        wanted["samples"] = digest("", data.x_train, data.y_train)[:16]
        wanted["layers"] = digest(checkpoint.network_identity(network))[:16]
        if path.exists():
            notes = _notes_of_kept(path)
            noted = {name: notes.get(name) for name in wanted}
            expected, got = f"a network of {wanted}", f"one of {noted} in {path}"
            remedy = "Choose another folder, or delete that file to train anew."
            if noted | {"layers": wanted["layers"]} == wanted != noted:
                got += ", which has other layers, neurons or code"
            if noted != wanted:
                raise checkpoint.CheckpointError.of("output", expected, got, remedy)
            checkpoint.load(network, path)
            return
        recipe = Recipe.short(self.epochs or EPOCHS, seed, train_dtype=self.train_dtype)
        train(network, data.x_train, data.y_train, recipe, resume=state, verbose=verbose)
        checkpoint.save(network, path, **wanted)
        state.unlink()

    def as_dict(self, seed: int) -> dict[str, Any]:
        """What a checkpoint notes of the network, and JSON holds."""
        epochs = self.epochs or (EPOCHS if self.trained_here else None)
        names = ("epochs", "seed", "train_dtype")
        noted = {k: v for k, v in self.noted().items() if k in names}
        return describe_training(self.architecture, epochs, seed, self.train_dtype) | noted

    def training_words(self) -> str:
        """How its weights were trained, as far as the checkpoint notes it; "" where nobody did."""
        notes = {} if self.checkpoint is None else checkpoint.notes(self.checkpoint)
        subject, adversary = notes.get("subject"), notes.get("adversary")
        epochs = subject.get("epochs") if isinstance(subject, dict) else None
        epochs = (self.epochs or EPOCHS) if self.trained_here else epochs
        against = str(adversary or "")
        defence = against.rpartition("defence=")[2].partition("(")[0]
        defence = defence if defence not in ("", "AT") else "adversarial"
        words = f"{defence} training" if against else ""
        passes = f"{epochs} epoch{'' if epochs == 1 else 's'}" if epochs else ""
        return ", ".join(filter(None, (words, passes)))

    def words(self, data: Dataset, network: SpikingNetwork | None = None) -> str:
        """Network and data in words; settings other than the checkpoint's are named."""
        noted, given = self.noted(), self.architecture.given
        other = [f"{k} {noted[k]}" for k, v in given.items() if noted.get(k, v) != v]
        trained = f"; its weights were trained with {', '.join(other)}" if other else ""
        dtype = self.train_dtype or noted.get("train_dtype")
        dtype = "bfloat16 where the device multiplies it natively" if dtype == "auto" else dtype
        how = "" if dtype is None else f", trained in {dtype}"
        return f"{self.on(data).architecture.words(network)} on {data.name}{how}{trained}"


def _notes_of_kept(path: Path) -> dict[str, Any]:
    """The notes of a network that was trained here, about which the user named the folder only."""
    try:
        return checkpoint.notes(path)
    except checkpoint.CheckpointError as error:
        way_out = f"{error.complaint} Without it the network is trained anew."
        raise checkpoint.CheckpointError("output", way_out) from error


def describe_training(
    architecture: Architecture, epochs: int | None, seed: int, train_dtype: str | None = None
) -> dict[str, Any]:
    """A network and its training, as checkpoints note them."""
    return asdict(architecture) | {"epochs": epochs, "seed": seed, "train_dtype": train_dtype}


def folder_of(output: Path, decay: float) -> Path:
    """Where the network of that decay is kept."""
    return output / f"decay-{decay_label(decay)}"


def decay_label(decay: float) -> str:
    """The decay as files are named after it: 1, 0.5, no digit lost."""
    return repr(float(decay)).removesuffix(".0")


@dataclass(frozen=True, kw_only=True)
class Attacking(Experiment):
    """An experiment that attacks a network with weights.

    :param source: the data.
    :param network: the network, or the networks but for their decay.
    :param attack: one attack, always the same.
    :param samples: test samples under attack, the first ones; in Python None takes all.
    :param batch_size: samples per gradient; batches have one size where it divides the samples.
    :param seed: of weights, training and attack, which starts from it in each batch.
    :raises ValueError: for a count below 1, or a seed that is none."""

    source: Source = field(default_factory=Source)
    network: Trained = field(default_factory=Trained)
    attack: Attack = field(default_factory=Attack)
    samples: int | None = 500
    batch_size: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        network, source = self.network.or_zoo(self.source)
        set_fields(self, network=network, source=source)
        set_counts(self, "samples", "batch_size")
        set_fields(self, seed=require_seed("seed", self.seed))
