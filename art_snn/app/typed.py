"""Values as one types them behind an option: how they are called, read and shown."""

import contextlib
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec as Spec

from art_snn.checks import choices, path_kind, shown

NUMBERS = {int: "a whole number such as 8", float: "a number such as 0.03 or 8/255"}
NAMES = {int: "INT", float: "NUMBER", str: "TEXT", Path: "FILE"}
LITERALS: tuple[Any, ...] = (Literal,)
UNIONS = (Union, UnionType)
CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
REGISTRY = ConstructorRegistry()


def _read(kind: Any, text: str) -> Any:
    """The text as a value of that type: fractions are numbers, commas separate several."""
    rules = import_module("art_snn.gradients")  # Every command has imported it.
    origin: Any = get_origin(kind)
    inner = [one for one in get_args(kind) if one is not NoneType]
    if kind is rules.Gradient:
        return rules.parse_rule(text)
    if origin is Mapping:
        return rules.parse_rules(text)
    if origin is tuple:
        return tuple(_read(inner[0], part.strip()) for part in text.split(","))
    if origin in UNIONS:
        *first, last = sorted(inner, key=lambda one: get_origin(one) not in LITERALS)
        for one in first:
            with contextlib.suppress(ValueError):
                return _read(one, text)
        return _read(last, text)
    if kind is str or text in inner:
        return text
    if kind is Path:
        path_kind("", Path(text))
        return Path(text)
    with contextlib.suppress(ValueError, ZeroDivisionError):
        # Python would take 1_000 and the digits of every script, too.
        if kind in NUMBERS and text.isascii() and "_" not in text:
            top, slash, bottom = text.partition("/")
            return int(text) if kind is int else float(top) / float(bottom if slash else 1)
    expected = NUMBERS.get(kind) or f"one of {', '.join(map(str, inner))}"
    raise ValueError(f"expected {expected}, got {shown(text)}.")


def _readable(kind: Any) -> bool:
    """Whether :func:`_read` reads the type, and not tyro."""
    origin: Any = get_origin(kind)
    inner = get_args(kind)
    if origin in UNIONS:
        return any(map(_readable, inner))
    kinds = (*NAMES, import_module("art_snn.gradients").Gradient)
    return kind in kinds or (origin in (Literal, Mapping, tuple) and Path not in inner)


def _name(kind: Any) -> str:
    """What help calls a value of the type: INT, NUMBER[,NUMBER ...], {sgd,adam}, ..."""
    origin: Any = get_origin(kind)
    inner = [one for one in get_args(kind) if one is not NoneType]
    if origin in LITERALS:
        return choices(inner) if len(inner) > 1 else str(inner[0])
    if origin in UNIONS:
        return "|".join(map(_name, inner))
    if origin in (tuple, Mapping):
        name = _name(inner[0]) if origin is tuple else "RULE"
        return f"{name}[,{name} ...]" if origin is Mapping or ... in inner else f"{name},{name}"
    return NAMES.get(kind, "RULE")


def _typed(value: Any) -> list[str]:
    """The value as one would type it, such as rga, 8/255 or 1,0.5."""
    rules, text = import_module("art_snn.gradients"), str(value)
    if isinstance(value, tuple | Mapping):
        text = ",".join(word for one in value for word in _typed(one))
    elif isinstance(value, rules.Gradient):
        text = rules.short_name(value)
    elif isinstance(value, float):
        text = f"{value:g}" if float(f"{value:g}") == value else f"{255 * value:g}/255"
    return [text]


@REGISTRY.primitive_rule
def _form(info: Any) -> Spec[Any] | None:
    """How an option of such a type is read, and its default shown."""
    read, name = lambda words: _read(info.type, words[0]), _name(info.type)
    return Spec(1, name, read, lambda _: True, _typed) if _readable(info.type) else None
