"""A model by its name, or a function of the user, with its neurons and its encoder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from art_snn.checks import (
    ArgumentError,
    first_line,
    invalid,
    require,
    require_choice,
    require_count,
    require_memory,
)
from art_snn.data import Dataset
from art_snn.dynamics import MOST_STEPS
from art_snn.encoders import ENCODERS, Frames, describe_encoder, parse_encoder
from art_snn.interop import ModelBody
from art_snn.layers import copy_module, device_of
from art_snn.models.networks import MODELS
from art_snn.models.own import build_forms, is_own
from art_snn.modulation import parse_modulation
from art_snn.network import SpikingNetwork
from art_snn.running.context import keep_modes
from art_snn.seeding import seeded

DEFAULTS: Mapping[str, Any] = MappingProxyType(
    {
        "model": "vgg5",
        "width": 1.0,
        "steps": 8,
        "readout": None,
        "decay": 0.5,
        "threshold": 1.0,
        "reset": "hard",
        "encoder": "direct",
        "modulation": None,
    }
)
"""What is left open, on images. On event frames steps and encoder are those of the frames."""


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A network without its weights. A checkpoint, or else the data, settles what is left open.

    :param model: name of a model, or a function of yours that returns a network, or a model of
        SpikingJelly, snnTorch, Norse or sinabs: file.py:function or package.module:function; next
        to checkpoints also zoo:NAME, with its weights [vgg5; of cost: vgg11].
    :param width: factor of the layers' widths, 64 at most [1].
    :param steps: time steps T [8; events: their frames]. A function of yours takes them only where
        it returns a model of another framework. That takes all steps in one call, or is called once
        for each.
    :param readout: of such a model: mean or sum over time, or the mean of the spikes or of the
        potential of one that returns both [mean].
    :param decay: decay of the neurons, 1e-6 to 1; 1 makes IF neurons [0.5].
    :param threshold: of the neurons, 1e-4 to 1e4 [1].
    :param reset: of the neurons, hard or soft [hard].
    :param encoder: direct, poisson, sqe(levels=2) or frequency for images, frames or
        ablation(keep=0.05) for events [direct; events: frames].
    :param modulation: modules next to all neurons: gains, gates or noise(sigma=0.2) [none].
    :raises ValueError: for an unknown model or encoder, and for settings of a network that a
        function builds, which has its own."""

    model: str | None = None
    width: float | None = None
    steps: int | None = None
    readout: Literal["mean", "sum", "spikes", "potential"] | None = None
    decay: float | None = None
    threshold: float | None = None
    reset: Literal["hard", "soft"] | None = None
    encoder: str | None = None
    modulation: str | None = None

    def __post_init__(self) -> None:
        if self.encoder is not None:
            parse_encoder(self.encoder)
        if self.modulation is not None:
            parse_modulation(self.modulation, DEFAULTS["steps"])
        if self.is_own:
            expected = f"None next to {self.model}, which builds its network itself"
            remedy = "Leave it out, and set it in that function."
            for name, value in self.given.items():
                # Whether it makes its steps itself shows once it is built.
                fits = name in ("model", "steps", "readout", "encoder")
                require(fits, name, expected, repr(value), remedy)
            if self.steps is not None:
                require_count("steps", self.steps, up_to=MOST_STEPS, remedy="8 is usual.")
        else:
            expected = "None next to a model of art_snn, which averages over time"
            require(self.readout is None, "readout", expected, self.readout, "Leave it out.")
            model = DEFAULTS["model"] if self.model is None else self.model
            remedy = "A network of your own is named as file.py:function."
            require_choice("model", model, MODELS, remedy=remedy)

    @property
    def is_own(self) -> bool:
        """Whether a function of the user builds the network."""
        return self.model is not None and is_own(self.model)

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are not open."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def fill(self, noted: Mapping[str, Any]) -> "Architecture":
        """The same with open settings from notes, and from the defaults but steps and encoder.

        :raises ValueError: when the notes name a function of a user: no file runs code."""
        if self.is_own:
            # What it was trained with, where nothing else is given.
            names = [n for n in ("steps", "readout", "encoder") if getattr(self, n) is None]
            settled: dict[str, Any] = {name: noted.get(name) for name in names}
            return replace(self, **settled) if is_own(noted.get("model")) else self
        settled = {k: v for k, v in noted.items() if k in DEFAULTS and v is not None}
        model = str(settled.get("model", ""))
        expected = "the function that builds the network, since no checkpoint runs code"
        remedy = "Name it yourself: model='file.py:function'."
        fits = self.model is not None or not is_own(model)
        require(fits, "model", expected, f"None, for weights of {model}", remedy)
        usual = {k: v for k, v in DEFAULTS.items() if k not in ("steps", "encoder")}
        return Architecture(**usual | settled | self.given)

    def fit_to(self, data: Dataset) -> "Architecture":
        """The same with the steps and the encoder that `data` needs in place of None.

        :raises ValueError: when steps or encoder are set and do not suit the data."""
        needed = [k for k, kind in ENCODERS.items() if issubclass(kind, Frames) == data.events]
        encoder = needed[0] if self.encoder is None else self.encoder
        what = "event frames" if data.events else "images"
        expected = f"{' or '.join(needed)}, since {data.name} holds {what}"
        fits = encoder.partition("(")[0].strip() in needed
        require(fits, "encoder", expected, repr(encoder), "Leave it out.")
        steps = (data.steps or DEFAULTS["steps"]) if self.steps is None else self.steps
        expected = f"{data.steps}, the number of frames of {data.name}"
        remedy = "Leave it out, or make other frames."
        require(data.steps in (None, steps), "steps", expected, steps, remedy)
        return self if self.is_own else self.fill({"steps": steps, "encoder": encoder})

    def build_for(self, data: Dataset, seed: int = 0) -> SpikingNetwork:
        """The network for the samples of `data`, with weights drawn from the seed.

        :raises ValueError: as :meth:`fit_to`, and for numbers that the network refuses."""
        if not self.is_own:
            channels, *sides = data.input_shape[-3:]
            form = {"in_channels": channels, "image_size": tuple(sides), "classes": data.classes}
            return self.fit_to(data).build(seed, **form)
        self.fit_to(data)
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
        with seeded(seed):
            forms = build_forms(
                str(self.model), **self._form(frames), axes=x[0].ndim - bool(frames)
            )
            first = next(forms)
        for network in chain((first,), forms):
            # A model of another framework may hold what cannot be copied, and is left as it was.
            tried = network
            if not isinstance(network.body, ModelBody):
                tried = copy_module("model", network).float()
            # One that mixes the samples of a batch takes them one by one.
            some = x[:1] if network is first else x
            with torch.no_grad(), seeded(0), keep_modes(tried, False):
                try:
                    tried(some.to(device_of(tried)).float())
                    return network
                except (RuntimeError, ValueError, IndexError) as error:
                    errors.append(error)
        argument, expected, got, remedy = complaint
        if not isinstance(errors[0], ArgumentError):
            got = f"{got} ({first_line(errors[0])})"
            raise invalid(argument, expected, got, remedy) from errors[0]
        raise errors[0]

    def _form(self, frames: int | None = None) -> dict[str, Any]:
        """Options of :func:`build_forms`. The encoder has the steps, where there is one."""
        if not frames and self.encoder is None:
            return {"steps": self.steps, "readout": self.readout}
        steps = frames or self.steps or DEFAULTS["steps"]
        return {"encoder": parse_encoder(self.encoder or "frames", steps), "readout": self.readout}

    def build(self, seed: int = 0, **options: Any) -> SpikingNetwork:
        """The network, with weights drawn from the seed.

        :param options: other options of a model of ours, such as image_size.
        :raises ValueError: when the weights do not fit into the memory of this machine."""
        if self.is_own:
            with seeded(seed):
                return next(build_forms(str(self.model), **self._form()))
        usual = {"model": DEFAULTS["model"], "steps": DEFAULTS["steps"]}
        settings: dict[str, Any] = {**usual, **self.given, **options}
        if isinstance(settings.get("encoder"), str):
            settings["encoder"] = parse_encoder(settings["encoder"], settings["steps"])
        make = partial(MODELS[settings.pop("model")], **settings)
        with torch.device("meta"), seeded(seed):
            weights = make().state_dict().values()
        needed = sum(tensor.numel() * tensor.element_size() for tensor in weights)
        argument = "width" if (self.width or 1) > 1 else "image_size"
        value = settings.get(argument)
        require_memory(argument, value, "weights", needed, remedy="Make the network smaller.")
        with seeded(seed):
            return make()

    def describe(self, network: SpikingNetwork | None = None) -> str:
        """The network in words; open settings are those on images, or of the built network."""
        if self.is_own:
            steps = "" if self.steps is None else f"T = {self.steps}"
            timing = steps if network is None else network.body.describe_time()
            read = self.readout or (None if network is None else network.body.readout)
            readout = f"readout {read}" if isinstance(read, str) and read != "mean" else ""
            return ", ".join(filter(None, (str(self.model), timing, readout)))
        settings = dict(DEFAULTS) | self.given
        model, width = settings["model"], settings["width"]
        model = model if width == 1 else f"{model} of width {width:g}"
        neuron = f"decay {settings['decay']:g}"
        if settings["threshold"] != 1:
            neuron += f", threshold {settings['threshold']:g}"
        if settings["reset"] != "hard":
            neuron += f", {settings['reset']} reset"
        how = describe_encoder(parse_encoder(settings["encoder"]))
        how = ", ".join(filter(None, (how, settings["modulation"])))
        return f"{model}, T = {settings['steps']}, {neuron}, {how}"
