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

from art_snn.checks import ArgumentError, MissingFile, require
from art_snn.network import SpikingNetwork
from art_snn.places import place

FORM = "file.py:function or package.module:function"


def is_own(model: object) -> bool:
    """Whether the model is named as a function of the user's own, not as one of MODELS."""
    return isinstance(model, str) and ":" in model


def built(model: str, argument: str = "model") -> SpikingNetwork:
    """The network that the function returns. **Its module is run.**

    :param model: ``file.py:function`` or ``package.module:function``; a function without required
        arguments that returns a SpikingNetwork. Modules are found from the present folder, too.
    :param argument: named in complaints.
    :raises FileNotFoundError: when there is no such file.
    :raises ValueError: when there is no such module or function, it needs arguments, or it returns
        anything else."""
    file = place(argument, model.rpartition(":")[0] or ".")
    # Modules and functions may import what lies beside them.
    with _importable(file.resolve().parent if file.suffix == ".py" else Path.cwd()):
        network = _function(model, file, argument)()
    got = f"{model}, which returns a {type(network).__name__}"
    remedy = "Return SpikingNetwork(layers, encoder)."
    right = isinstance(network, SpikingNetwork)
    require(right, argument, "a function that returns an art_snn.SpikingNetwork", got, remedy)
    return network  # type: ignore[no-any-return]


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
    name = f"art_snn_own_{path.stem}"
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look their module up.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
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
