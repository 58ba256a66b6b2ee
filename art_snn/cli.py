"""The command line: art-snn NAME, with options that are made from the settings of a command."""

import ast
import contextlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec as Spec

from art_snn.checks import ArgumentError

COMMANDS = ("demo", "train", "harden", "compare", "sweep", "curves", "cost", "scaling")
SAME = {"path": "checkpoint", "resume": "output", "share": "adversarial_share", "gradient": "rule"}
SAME |= dict.fromkeys(("x", "y", "x, y", "x_train", "y_train", "x_test", "y_test"), "data")
"""Options that are meant where a complaint is about an argument of another name."""
CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
REGISTRY = ConstructorRegistry()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 2 where an argument is refused."""
    name, *words = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if name in ("-h", "--help", "--version"):
        told = import_module("art_snn").__version__ if name == "--version" else _overview()
        sys.stdout.write(f"{told}\n")
        return 0
    if name not in COMMANDS:
        return _refused("art-snn", f"expected one of {', '.join(COMMANDS)}, got {name!r}.")
    os.environ.setdefault("MPLBACKEND", "Agg")
    room = import_module(f"art_snn.experiments.{name}")
    try:
        settings = _settings(room.Settings, f"art-snn {name}", words)
        result = room.run(settings)
    except (ArgumentError, FileNotFoundError) as error:
        return _refused(f"art-snn {name}", _named(error, room.Settings, words))
    files = ", ".join(result.files)
    sys.stdout.write(f"\n{result.told()}\nWritten to {settings.output}: {files}\n")
    return 0


def _overview() -> str:
    """The commands with the first words of their rooms, which are read and not imported."""
    rooms = Path(__file__).parent / "experiments"
    trees = {name: ast.parse((rooms / name / "__init__.py").read_bytes()) for name in COMMANDS}
    lines = [f"  {name:10}{ast.get_docstring(tree)}" for name, tree in trees.items()]
    return "\n".join(["usage: art-snn COMMAND [--help | OPTIONS], or art-snn --version\n", *lines])


def _settings(kind: Any, program: str, words: Sequence[str]) -> Any:
    """The settings that the words describe; leaves as tyro does for help and unknown options."""
    try:
        with contextlib.redirect_stderr(io.StringIO()) as told:
            return tyro.cli(kind, prog=program, args=words, config=CONFIG, registry=REGISTRY)
    except SystemExit as leaving:
        cause: BaseException | None = leaving
        while cause is not None and not isinstance(cause, ArgumentError):
            # What tyro says of one option tells which.
            option = getattr(getattr(cause, "arg", None), "field", None)
            cause = cause.__context__
            if option is not None and type(cause) is ValueError:
                cause = ArgumentError(option.extern_name, str(cause))
        if cause is not None:
            raise cause from None
        sys.stderr.write(told.getvalue())
        raise


def _named(error: Exception, kind: Any, words: Sequence[str]) -> str:
    """The complaint, about the option as it was typed where its argument is one."""
    if not isinstance(error, ArgumentError):
        return str(error)
    parser: Any = tyro.extras.get_parser(kind, config=CONFIG, registry=REGISTRY)
    typed = {word.partition("=")[0].replace("_", "-"): word.partition("=")[0] for word in words}
    same = SAME.get(error.argument, "")
    flags = [f"--{name.replace('_', '-')}" for name in (error.argument, same, f"{same}s")]
    flags = [flag for flag in [f"{flags[0]}s"] if flag in typed] + flags  # One of several decays.
    flag = next((flag for flag in flags if flag in parser.format_help().split()), None)
    return f"{typed.get(flag, flag)}: {error.complaint}" if flag else str(error)


def _refused(program: str, why: str) -> int:
    sys.stderr.write(f"{program}: error: {why}\n{program} --help lists what there is.\n")
    return 2


def _number(text: str, kind: type = float) -> float:
    numerator, _, denominator = text.partition("/")
    try:
        return int(text) if kind is int else float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        words = "whole number such as 8" if kind is int else "number such as 0.03 or 8/255"
        raise ValueError(f"expected a {words}, got {text!r}.") from None


def _word(known: Sequence[str], text: str) -> str:
    if text not in known:
        raise ValueError(f"expected one of {', '.join(known)}, got {text!r}.")
    return text


@REGISTRY.primitive_rule
def _form(info: Any) -> Spec[Any] | None:
    """Fractions, whole numbers, lists with commas between, and rules by their names."""
    from art_snn.gradients import Gradient, chosen, named

    some = [kind for kind in get_args(info.type) if kind is not type(None)]
    kind = some[0] if len(some) == 1 and type(None) in get_args(info.type) else info.type
    inner = (*get_args(kind), str)[0]
    one: Any = {float: _number, int: partial(_number, kind=int)}.get(inner, str.strip)
    forms: dict[Any, Any] = {Gradient: ("NAME", named), Mapping: ("NAMES", chosen)}
    forms |= {float: ("NUMBER", _number), int: ("INT", partial(_number, kind=int))}
    forms |= {tuple: ("A,B", lambda text: tuple(map(one, text.split(","))))}
    forms |= {Literal: ("|".join(map(str, get_args(kind))), partial(_word, get_args(kind)))}
    metavar, parse = forms.get(get_origin(kind) or kind, ("", None))

    def shown(value: Any) -> list[str]:
        return [",".join(map(str, value)) if isinstance(value, tuple | Mapping) else str(value)]

    unknown = inner is Path or parse is None
    return None if unknown else Spec(1, metavar, lambda w: parse(w[0]), lambda _: True, shown)
