"""Networks that a function of the user's own builds, named on the command line or in settings."""

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
from art_snn.interop.forms import Readout
from art_snn.interop.members import members_of
from art_snn.models.sources import CODE, module_name
from art_snn.models.trial import noted
from art_snn.network import SpikingNetwork
from art_snn.paths import expand_path

FORM = "file.py:function or package.module:function"
STEPS = 8
"""Time steps of a bare model where nothing else says how many."""


def is_own(model: object) -> bool:
    """Whether the model is named as a function of the user's own, not as one of MODELS."""
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

    :param model: ``file.py:function`` or ``package.module:function``; a function without required
        arguments that returns a SpikingNetwork, or a model of another framework, which is adapted.
        Modules are found from the present folder, too.
    :param argument: named in complaints.
    :param steps: time steps T of a bare model. Neurons that take all steps in one call get 8 unless
        told; a model of one time step is called once for each of them. Networks and models that
        make their time steps themselves have their own.
    :param encoder: of such a model, in the place of steps.
    :param readout: of a bare model, as :func:`art_snn.interop.adapt` takes it by name; None: its
        default.
    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: when there is no such module or function, it needs arguments, it returns
        anything else, or steps or a readout are told to what has its own."""
    file = expand_path(argument, model.rpartition(":")[0] or ".")
    # Modules and functions may import what lies beside them.
    folder = file.resolve().parent if file.suffix == ".py" else Path.cwd()
    with _importable(folder), noted(model, argument):
        made = _function(model, file, argument)()
    if isinstance(made, SpikingNetwork):
        remedy = "Leave it out, and set it in that function."
        expected = f"None beside {model}, which builds its network itself"
        for name, value in {"steps": steps, "readout": readout}.items():
            require(value is None, name, expected, value, remedy)
        return made
    layouts = _layouts(made)
    got = f"{model}, which returns {_described(made)}"
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
    encoder = encoder or Direct(STEPS if steps is None else steps)
    return adapt(made, encoder=encoder, **how)


def _layouts(model: object) -> set[str]:
    """What calls of the neurons of a bare model take."""
    if not isinstance(model, nn.Module):
        return set()
    return {member.layout for member in members_of(model).values() if member.fires}


def _described(made: object) -> str:
    if isinstance(made, nn.Module):
        return f"a {type(made).__name__} without a spiking neuron that is known"
    return f"a {type(made).__name__}"


def _function(model: str, file: Path, argument: str) -> Callable[[], Any]:
    # The last colon: drives of Windows have one too.
    place, _, name = model.rpartition(":")
    module = _of_file(file, argument) if place.endswith(".py") else _module(place, argument)
    function: Any = getattr(module, name, None)
    got = f"{model}, and there is no function {name!r} in {place}"
    require(callable(function), argument, FORM, got, "Check its spelling.")
    open_ = inspect.Parameter.empty, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    told = inspect.signature(function).parameters.values()
    needed = [p.name for p in told if p.default is open_[0] and p.kind not in open_[1:]]
    got, remedy = (
        f"{model}, which needs {', '.join(needed)}",
        "Give them defaults, or wrap it in a function of its own.",
    )
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
        # Not by its loader, which may run what was compiled of an earlier text.
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
        # A module that the user's own imports and lacks is a complaint of its own.
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
