"""A model by its name, or a function of the user, with its neurons and its encoder."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Module

from art_snn.checks import (
    ArgumentError,
    MissingFile,
    expand_path,
    first_line,
    invalid,
    require,
    require_choice,
    set_fields,
)
from art_snn.data import Dataset
from art_snn.encoders import (
    ENCODERS,
    Direct,
    Encoder,
    Frames,
    describe_encoder,
    parse_encoder,
)
from art_snn.files import digest
from art_snn.gradients.names import parse_call
from art_snn.interop import ModelBody, adapt, from_nir
from art_snn.interop.body import Readout
from art_snn.interop.refusals import MixedSamples
from art_snn.interop.stateful_modules import Members
from art_snn.layers import TimeDistributed, copy_module, device_of
from art_snn.models import DEFAULTS, MODELS, build_model
from art_snn.modulation import parse_modulation
from art_snn.network import SpikingNetwork
from art_snn.running.context import keep_modes
from art_snn.seeding import fix_seed

ZOO = "zoo:"
"""The beginning of the name of a network of the zoo, where commands take it as a model."""
HUB = "hf:"
"""The same of weights in a repository of Hugging Face."""

OWN = "art_snn_own_"
"""Begins the name of the module that a file of the user is."""
_FORM = "file.py:function or package.module:function"
_READING = ("like", "dt", "reset", "strict", "max_spikes", "floor", "v_start", "lag")
_OF_OWN = ("steps", "readout", "encoder")
"""Settings that code of the user may take, where it returns a model of another framework."""


@dataclass(frozen=True, init=False)
class Architecture:
    """A network without its weights. A checkpoint, or else the data, settles what is left open.

    :param settings: by their names, which are those of :data:`art_snn.models.DEFAULTS`
        and of the options of :class:`~art_snn.app.settings.Train`; None is open. A model
        is one of art_snn.models, or code of the user as
        :func:`~art_snn.app.architecture.build_forms` takes it.
    :raises ValueError: for an unknown model or encoder, and for settings of a network
        that a function builds, which has its own."""

    given: Mapping[str, Any]
    """The settings that are not open."""

    def __init__(self, **settings: Any) -> None:
        assert settings.keys() <= DEFAULTS.keys(), f"unknown settings among {[*settings]}"
        given = {
            name: settings[name] for name in DEFAULTS if settings.get(name) is not None
        }
        set_fields(self, given=given)

        # Reading it refuses an unknown encoder, and steps that there cannot be.
        steps = given.get("steps", DEFAULTS["steps"])
        parse_encoder(given.get("encoder", DEFAULTS["encoder"]), steps)
        if "modulation" in given:
            parse_modulation(given["modulation"], steps)

        if self.is_own:
            # Whether it makes its steps itself shows once it is built.
            for name, value in given.items():
                require(
                    name in ("model", *_OF_OWN),
                    name,
                    f"None next to {self.model}, which builds its network itself",
                    repr(value),
                    "Leave it out, and set it in that function.",
                )
            return

        require(
            "readout" not in given,
            "readout",
            "None next to a model of art_snn, which averages over time",
            given.get("readout"),
            "Leave it out.",
        )
        require_choice(
            "model",
            self.model or DEFAULTS["model"],
            MODELS,
            remedy="A network of your own is named as file.py:function.",
        )

    @property
    def model(self) -> str | None:
        """The name of the model, or the code of the user that builds it."""
        return self.given.get("model")

    @property
    def is_own(self) -> bool:
        """True if code of the user builds the network."""
        return is_own(self.model)

    @property
    def settings(self) -> dict[str, Any]:
        """All settings by their names; None for those that are open."""
        return {**dict.fromkeys(DEFAULTS), **self.given}

    def fill(self, noted: Mapping[str, Any]) -> "Architecture":
        """The same with open settings from notes, and from the defaults but steps and encoder.

        :raises ValueError: when the notes name a function of a user: no file runs code."""
        if self.is_own:
            if not is_own(noted.get("model")):
                return self
            # What it was trained with, where nothing else is given.
            settled = {name: noted.get(name) for name in _OF_OWN}
            return Architecture(**{**settled, **self.given})

        settled = {k: v for k, v in noted.items() if k in DEFAULTS and v is not None}
        model = settled.get("model")
        require(
            self.model is not None or not is_own(model),
            "model",
            "the function that builds the network, since no checkpoint runs code",
            f"None, for weights of {model}",
            "Name it yourself: model='file.py:function'.",
        )
        usual = {k: v for k, v in DEFAULTS.items() if k not in ("steps", "encoder")}
        return Architecture(**{**usual, **settled, **self.given})

    def fit_to(self, data: Dataset) -> "Architecture":
        """The same with the steps and the encoder that `data` needs in place of None.

        :raises ValueError: when steps or encoder are set and do not suit the data."""
        needed = [
            k for k, kind in ENCODERS.items() if issubclass(kind, Frames) == data.events
        ]
        encoder = self.given.get("encoder", needed[0])

        what = "event frames" if data.events else "images"
        require(
            encoder.partition("(")[0].strip() in needed,
            "encoder",
            f"{' or '.join(needed)}, since {data.name} holds {what}",
            repr(encoder),
            "Leave it out.",
        )

        steps = self.given.get("steps", data.steps or DEFAULTS["steps"])
        require(
            data.steps in (None, steps),
            "steps",
            f"{data.steps}, the number of frames of {data.name}",
            steps,
            "Leave it out, or make other frames.",
        )
        return self.fill({"steps": steps, "encoder": encoder})

    def build_for(self, data: Dataset, seed: int = 0) -> SpikingNetwork:
        """The network for the samples of `data`, with weights drawn from the seed.

        :raises ValueError: as :meth:`fit_to`, and for numbers that the network refuses."""
        settled = self.fit_to(data)
        if not self.is_own:
            return settled.build(seed, data.input_shape, data.classes)

        expected = f"a network for samples of {data.name}, of shape {data.input_shape}"
        remedy = "Name the data that it was built for, or let that function build another network."
        complaint = "model", expected, self.describe(), remedy
        some = torch.as_tensor(data.x_test[:2], device="cpu")
        return self.build_own_for(some, complaint, data.steps, seed)

    def build_own_for(
        self,
        x: Tensor,
        complaint: tuple[str, str, str, str],
        frames: int | None = None,
        seed: int = 0,
    ) -> SpikingNetwork:
        """The network of the user's function, in the first form that takes samples x [N, ...].

        :param frames: time steps T of samples that are event frames [T, C, H, W].
        :param complaint: argument, expectation, what came and remedy, where none takes them.
        :raises ArgumentError: that of the first form, or the complaint, about its error.
        :raises Exception: that of the function."""
        errors: list[Exception] = []
        axes = x[0].ndim - bool(frames)

        with fix_seed(seed):
            for network in build_forms(str(self.model), **self._form(frames), axes=axes):
                # A model of another framework may hold what cannot be copied: it is left as it was.
                tried = network
                if not isinstance(network.body, ModelBody):
                    tried = copy_module("model", network).float()
                # One that mixes the samples of a batch takes them one by one.
                some = x if errors else x[:1]
                with torch.no_grad(), fix_seed(0), keep_modes(tried, False):
                    try:
                        tried(some.to(device_of(tried)).float())
                        return network
                    except MixedSamples:  # It says in any pass how it takes them.
                        return network
                    except (RuntimeError, ValueError, IndexError) as error:
                        errors.append(error)

        first = errors[0]
        if isinstance(first, ArgumentError):
            raise first
        argument, expected, got, remedy = complaint
        raise invalid(
            argument, expected, f"{got} ({first_line(first)})", remedy
        ) from first

    def _form(self, frames: int | None = None) -> dict[str, Any]:
        """Options of :func:`build_forms`. The encoder has the steps, where there is one."""
        readout = self.given.get("readout")
        steps = self.given.get("steps")
        encoder = self.given.get("encoder", "frames" if frames else None)
        if encoder is None:
            return {"steps": steps, "readout": readout}
        steps = frames or steps or DEFAULTS["steps"]
        return {"encoder": parse_encoder(encoder, steps), "readout": readout}

    def build(
        self, seed: int = 0, shape: tuple[int, ...] = (3, 32, 32), classes: int = 10
    ) -> SpikingNetwork:
        """The network, with weights drawn from the seed.

        :param shape: of an image or of event frames, which a model of ours is built for.
        :raises ValueError: when the weights do not fit into the memory of this machine."""
        if self.is_own:
            with fix_seed(seed):
                return next(build_forms(str(self.model), **self._form()))
        channels, *sides = shape[-3:]
        return build_model(
            self.given,
            seed,
            in_channels=channels,
            image_size=tuple(sides),
            classes=classes,
        )

    def describe(self, network: SpikingNetwork | None = None) -> str:
        """The network in words; open settings are those on images, or of the built network."""
        if self.is_own:
            return self._describe_own(network)
        settings = {**DEFAULTS, **self.given}
        encoder: Any = parse_encoder(settings["encoder"], settings["steps"])
        if network is not None:
            encoder = network.encoder

        model = settings["model"]
        if settings["width"] != 1:
            model += f" of width {settings['width']:g}"
        neuron = f"decay {settings['decay']:g}"
        if settings["threshold"] != 1:
            neuron += f", threshold {settings['threshold']:g}"
        if settings["reset"] != "hard":
            neuron += f", {settings['reset']} reset"
        if settings["synapse"] != 0:
            neuron += f", synapse {settings['synapse']:g}"

        how = describe_encoder(encoder)
        if settings["modulation"] is not None:
            how += f", {settings['modulation']}"
        return f"{model}, T = {encoder.steps}, {neuron}, {how}"

    def _describe_own(self, network: SpikingNetwork | None) -> str:
        """A network of the user in words, with a readout that is not the usual one."""
        time = f"T = {self.given['steps']}" if "steps" in self.given else ""
        readout = self.given.get("readout")
        if network is not None:
            time = network.body.describe_time()
            readout = readout or network.body.readout
        words = [str(self.model), time]
        if isinstance(readout, str) and readout != "mean":
            words.append(f"readout {readout}")
        return ", ".join(filter(None, words))


def is_own(model: object) -> bool:
    """True for the name of a function or of a NIR file, False for one of MODELS."""
    return isinstance(model, str) and (":" in model or _is_nir(model))


def _is_nir(model: str) -> bool:
    return model.partition("(")[0].strip().endswith(".nir")


def build_forms(
    model: str,
    *,
    steps: int | None = None,
    encoder: Encoder | None = None,
    readout: Readout = None,
    axes: int = 0,
) -> Iterator[SpikingNetwork]:
    """The network that a function returns; of a bare model the forms that it may have, in turn.

    **Its module is run.** The digest of its file is the network's `origin`. A model may
    take all time steps, or one, or make them itself; return one output, or spikes and
    potentials; and take images, or vectors.

    :param model: ``file.py:function`` or ``package.module:function``, without required
        arguments. It returns a SpikingNetwork, or a model of another framework, which is
        adapted. Or ``net.nir(like=sinabs, dt=1e-4)``, with arguments of
        :func:`art_snn.interop.from_nir`.
    :param steps, encoder, readout: as :func:`art_snn.interop.adapt` takes them for such a model.
    :param axes: of one sample, which the last forms flatten into one; 0: nothing is flattened."""
    require(
        not model.startswith((ZOO, HUB)),
        "model",
        "a model to build",
        f"{model}, which names a trained network",
        "Commands that read weights take it; art_snn.zoo.load_network gives one of the zoo.",
    )
    if _is_nir(model):
        name, options = parse_call(model, "model")
        for option in options:
            require_choice(
                "model", option, _READING, remedy="They are options of a NIR file."
            )
        options["encoder"] = encoder or Direct(steps or DEFAULTS["steps"])
        options["readout"] = readout
        networks = iter([_flatten_vectors(from_nir(name, **options))])
        source = expand_path("model", name)
    else:
        # The last colon: drives of Windows have one too.
        place = model.rpartition(":")[0]
        file = expand_path("model", place or ".")
        # Modules and functions may import what lies in their folder.
        folder = str(file.resolve().parent if place.endswith(".py") else Path.cwd())
        sys.path.insert(0, folder)
        try:
            module = _run_file(file) if file.suffix == ".py" else _import_module(place)
            returned = _function(module, model)()
        finally:
            sys.path.remove(folder)
        source = Path(getattr(module, "__file__", None) or "")
        networks = _adapt(returned, model, steps, encoder, readout, axes)
    origin = digest(source.read_bytes() if source.is_file() else b"")
    for network in networks:
        network.body.origin = origin
        yield network


def _flatten_vectors(network: SpikingNetwork) -> SpikingNetwork:
    """A network of vectors [K] as one of images [K, 1, 1], which commands have alone."""
    shape: Any = network.input_shape
    if len([size for size in shape if size]) != 1:
        return network
    layers = [TimeDistributed(nn.Flatten()), network.layers]
    images = SpikingNetwork(layers, network.encoder, input_shape=(*shape, 1, 1))
    images.body.reading = network.body.reading
    return images


def _adapt(
    returned: Any,
    model: str,
    steps: int | None,
    encoder: Encoder | None,
    readout: Readout,
    axes: int,
) -> Iterator[SpikingNetwork]:
    if isinstance(returned, SpikingNetwork):
        given = None if type(encoder) is Frames else encoder
        for name, value in {"steps": steps, "readout": readout, "encoder": given}.items():
            require(
                value is None,
                name,
                f"None next to {model}, which builds its network itself",
                value,
                "Leave it out, and set it in that function.",
            )
        yield returned
        return
    require(
        isinstance(returned, Module),
        "model",
        "a function that returns an art_snn.SpikingNetwork or a spiking model",
        f"{model}, which returns a {type(returned).__name__}",
        "Return SpikingNetwork(layers, encoder), or art_snn.interop.adapt(model, ...).",
    )
    layouts = {member.layout for member in Members(returned).neurons}
    encoders: list[Encoder | None] = [encoder or Direct(steps or DEFAULTS["steps"])]
    if encoder is None and steps is None:
        # A model of single steps mostly has a loop of its own.
        encoders.insert(0 if "step" in layouts else 1, None)
    readouts: list[Any] = ["default", "spikes"] if readout is None else [readout]
    for flat in (False, True)[: 1 + (axes > 1)]:
        if flat:
            # Samples are vectors: the last axes of the first input become one.
            returned.register_forward_pre_hook(
                lambda _, inputs: (inputs[0].flatten(-axes), *inputs[1:])
            )
        for one, read in product(encoders, readouts):
            yield adapt(returned, encoder=one, readout=read)


def _function(module: ModuleType, model: str) -> Callable[[], Any]:
    place, _, name = model.rpartition(":")
    function: Any = getattr(module, name, None)
    require(
        callable(function),
        "model",
        _FORM,
        f"{model}, and there is no function {name!r} in {place}",
        "Check its spelling.",
    )
    optional = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    parameters = inspect.signature(function).parameters.values()
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind not in optional
    ]
    require(
        not needed,
        "model",
        "a function that can be called without arguments",
        f"{model}, which needs {', '.join(needed)}",
        "Give them defaults, or wrap it in a function of its own.",
    )
    return function  # type: ignore[no-any-return]  # It can be called.


def _run_file(file: Path) -> ModuleType:
    path = file.resolve()
    if not path.is_file():
        raise MissingFile("model", f"expected {_FORM}, but there is no file {file}.")
    name = f"{OWN}{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    # Dataclasses and pickle look their module up.
    sys.modules[name] = module
    try:
        # A loader may run what was compiled from an earlier text.
        exec(compile(path.read_bytes(), str(path), "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _import_module(name: str) -> ModuleType:
    require(
        name and not name.startswith("."),
        "model",
        _FORM,
        f"{name!r} as the module",
        "Name it from its package on.",
    )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that the user's code imports and lacks is an error of that code.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ArgumentError(
            "model", f"expected {_FORM}, but there is no module {error.name} ({error})."
        ) from error
