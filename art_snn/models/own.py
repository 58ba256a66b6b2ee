"""Networks that a function of the user's own builds, named on the command line or in settings."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from art_snn.checks import ArgumentError, MissingFile, invalid
from art_snn.network import SpikingNetwork

FORM = "file.py:function or package.module:function"


def is_own(model: str) -> bool:
    """Whether the model is named as a function of the user's own, not as one of MODELS."""
    return ":" in model


def built(model: str, argument: str = "model") -> SpikingNetwork:
    """The network that the function returns. **Its module is run.**

    :param model: ``file.py:function`` or ``package.module:function``; a function without required
        arguments that returns a SpikingNetwork. Modules are found from the present folder, too.
    :param argument: named in complaints.
    :raises FileNotFoundError: when there is no such file or module.
    :raises ValueError: when there is no such function, it needs arguments, it raises a ValueError
        or it returns anything else.
    """
    function = _function(model, argument)
    network = function()
    if not isinstance(network, SpikingNetwork):
        raise invalid(
            argument,
            "a function that returns an art_snn.SpikingNetwork",
            f"{model}, which returns a {type(network).__name__}",
            "Return SpikingNetwork(layers, encoder).",
        )
    return network


def _function(model: str, argument: str) -> Callable[[], Any]:
    # The last colon: drives of Windows have one too.
    place, _, name = model.rpartition(":")
    module = _of_file(Path(place), argument) if place.endswith(".py") else _module(place, argument)
    function = getattr(module, name, None)
    if not callable(function):
        raise invalid(
            argument,
            FORM,
            f"{model}, and there is no function {name!r} in {place}",
            "Check its spelling.",
        )
    required = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if required:
        raise invalid(
            argument,
            "a function that can be called without arguments",
            f"{model}, which needs {', '.join(required)}",
            "Give them defaults, or wrap it in a function of its own.",
        )
    return function  # type: ignore[no-any-return]


def _of_file(file: Path, argument: str) -> ModuleType:
    path = file.expanduser().resolve()
    if not path.is_file():
        raise MissingFile(argument, f"expected {FORM}, but there is no file {file}.")
    name = f"art_snn_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickle look their module up; the file may import what lies beside it.
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(path.parent))
    return module


def _module(name: str, argument: str) -> ModuleType:
    if not name or name.startswith("."):
        raise ArgumentError(argument, f"expected {FORM}, got {name!r} as the module.")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ArgumentError(
            argument, f"expected {FORM}, but there is no module {error.name} ({error})."
        ) from error
    finally:
        sys.path.remove(here)
