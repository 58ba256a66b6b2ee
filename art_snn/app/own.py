"""Networks that a function of the user builds, from a file or a package."""

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from art_snn.checks import (
    ArgumentError,
    MissingFile,
    expand_path,
    require,
    require_choice,
)
from art_snn.encoders import Direct, Encoder, Frames
from art_snn.files import digest
from art_snn.gradients.names import parse_call
from art_snn.interop import adapt, from_nir
from art_snn.interop.body import Readout
from art_snn.interop.members import Members
from art_snn.network import SpikingNetwork

ZOO = "zoo:"
"""What the name of a network of the zoo begins with, where commands take it as a model."""
HUB = "hf:"
"""The same of weights in a repository of Hugging Face."""

_FORM = "file.py:function or package.module:function"
_READING = ("like", "dt", "reset", "strict", "max_spikes", "floor", "v_start")
_STEPS = 8
"""Time steps of a bare model where no other number is given."""


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
    remedy = "Commands that read weights take it; art_snn.zoo.load gives one of the zoo."
    got = f"{model}, which names a trained network"
    require(not model.startswith((ZOO, HUB)), "model", "a model to build", got, remedy)
    if _is_nir(model):
        name, options = parse_call(model, "model")
        for option in options:
            remedy = "They are options of a NIR file."
            require_choice("model", option, _READING, remedy=remedy)
        options |= {"encoder": encoder or Direct(steps or _STEPS), "readout": readout}
        networks = iter([from_nir(name, **options)])
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
    layouts: set[str] = set()
    got = f"{model}, which returns a {type(returned).__name__}"
    if isinstance(returned, nn.Module):
        got += " without a spiking neuron that is known"
        layouts = {member.layout for member in Members(returned).neurons}
    require(
        layouts,
        "model",
        "a function that returns an art_snn.SpikingNetwork or a model with known neurons",
        got,
        "Return SpikingNetwork(layers, encoder), or art_snn.interop.adapt(model, ...); neurons of "
        "your own become known by art_snn.interop.register_neuron(cls, dynamics=function).",
    )
    encoders: list[Encoder | None] = [encoder or Direct(steps or _STEPS)]
    if encoder is None and steps is None:
        # A model of single steps mostly has a loop of its own.
        encoders.insert(0 if "step" in layouts else 1, None)
    readouts: list[Any] = ["default", "spikes"] if readout is None else [readout]
    for flat in (False, True)[: 1 + (axes > 1)]:
        if flat:
            returned.register_forward_pre_hook(partial(_flatten, axes))
        for one, read in product(encoders, readouts):
            yield adapt(returned, encoder=one, readout=read)


def _flatten(axes: int, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Inputs of a model whose samples are vectors: the last axes of the first become one."""
    return (inputs[0].flatten(-axes), *inputs[1:])


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
    return function  # type: ignore[no-any-return]


def _run_file(file: Path) -> ModuleType:
    path = file.resolve()
    if not path.is_file():
        raise MissingFile("model", f"expected {_FORM}, but there is no file {file}.")
    name = f"art_snn_own_{path.stem}"
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
    relative = not name or name.startswith(".")
    require(
        not relative,
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
