"""Networks that a function of the user's own builds."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from art_snn.checks import ArgumentError, MissingFile, require
from art_snn.encoders import Direct, Encoder
from art_snn.interop import adapt
from art_snn.interop.members import members_of
from art_snn.interop.runner import Readout
from art_snn.models.sources import CODE, module_name
from art_snn.models.trial import noted
from art_snn.network import SpikingNetwork
from art_snn.paths import expand_path

FORM = "file.py:function or package.module:function"
ZOO = "zoo:"
"""What the name of a network of the zoo begins with, where commands take it as a model."""
STEPS = 8
"""Time steps of a bare model where no other number is given."""


def is_own(model: object) -> bool:
    """Whether it names a function of the user's own, and not one of MODELS."""
    return isinstance(model, str) and ":" in model


def built(
    model: str,
    argument: str = "model",
    *,
    steps: int | None = None,
    encoder: Encoder | None = None,
    readout: Readout = None,
) -> SpikingNetwork:
    """The network that the function returns, or one around the bare model that it returns.

    **Its module is run.**

    :param model: ``file.py:function`` or ``package.module:function``, without required arguments.
        It returns a SpikingNetwork, or a model of another framework, which is adapted.
    :param argument: named in complaints.
    :param steps, encoder, readout: as :func:`art_snn.interop.adapt` takes them for such a model."""
    expected, got = "a model to build", f"{model}, which names a trained network of the zoo"
    remedy = "Commands with --checkpoint take it, and art_snn.zoo.load; art-snn zoo says its model."
    require(not model.startswith(ZOO), argument, expected, got, remedy)
    file = expand_path(argument, model.rpartition(":")[0] or ".")
    # Modules and functions may import what lies in their folder.
    folder = file.resolve().parent if file.suffix == ".py" else Path.cwd()
    with _importable(folder), noted(model, argument):
        made = _function(model, file, argument)()
    if isinstance(made, SpikingNetwork):
        remedy = "Leave it out, and set it in that function."
        expected = f"None next to {model}, which builds its network itself"
        for name, value in {"steps": steps, "readout": readout}.items():
            require(value is None, name, expected, value, remedy)
        return made
    layouts: set[str] = set()
    got = f"{model}, which returns a {type(made).__name__}"
    if isinstance(made, nn.Module):
        got += " without a spiking neuron that is known"
        layouts = {member.layout for member in members_of(made).values() if member.fires}
    remedy = (
        "Return SpikingNetwork(layers, encoder), or art_snn.interop.adapt(model, ...); neurons of "
        "your own become known by art_snn.interop.register_neuron(cls, dynamics=function)."
    )
    expected = "a function that returns an art_snn.SpikingNetwork or a model with known neurons"
    require(layouts, argument, expected, got, remedy)
    how: dict[str, Any] = {} if readout is None else {"readout": readout}
    if encoder is None and steps is None and "step" in layouts:
        # With a loop of its own; a model of one step will ask for steps.
        return adapt(made, encoder=None, **how)
    return adapt(made, encoder=encoder or Direct(STEPS if steps is None else steps), **how)


def _function(model: str, file: Path, argument: str) -> Callable[[], Any]:
    # The last colon: drives of Windows have one too.
    place, _, name = model.rpartition(":")
    module = _of_file(file, argument) if place.endswith(".py") else _module(place, argument)
    function: Any = getattr(module, name, None)
    got = f"{model}, and there is no function {name!r} in {place}"
    require(callable(function), argument, FORM, got, "Check its spelling.")
    optional = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    parameters = inspect.signature(function).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in optional]
    got = f"{model}, which needs {', '.join(needed)}"
    remedy = "Give them defaults, or wrap it in a function of its own."
    require(not needed, argument, "a function that can be called without arguments", got, remedy)
    return function  # type: ignore[no-any-return]


def _of_file(file: Path, argument: str) -> ModuleType:
    path = file.resolve()
    if not path.is_file():
        raise MissingFile(argument, f"expected {FORM}, but there is no file {file}.")
    name = module_name(path)
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look their module up.
    sys.modules[name] = module
    try:
        # Its loader may run what was compiled from an earlier text.
        source = path.read_bytes()
        vars(spec)[CODE] = source
        exec(spec.loader.source_to_code(source, str(path)), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _module(name: str, argument: str) -> ModuleType:
    relative = not name or name.startswith(".")
    require(not relative, argument, FORM, f"{name!r} as the module", "Name it from its package on.")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that the user's code imports and lacks is an error of that code.
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        missing = f"but there is no module {error.name} ({error})"
        raise ArgumentError(argument, f"expected {FORM}, {missing}.") from error


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
