"""The command line: art-snn NAME, with options that are made from the settings of a command."""

import ast
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import tyro

from art_snn.checks import ArgumentError

COMMANDS = ("demo", "train", "harden", "compare", "sweep", "curves", "cost", "scaling")
SAME = {"path": "checkpoint", "resume": "output", "share": "adversarial_share", "gradient": "rule"}
SAME |= dict.fromkeys(("x", "y", "x, y", "x_train", "y_train", "x_test", "y_test"), "data")
"""Options that are meant where a complaint is about an argument of another name."""
CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
REGISTRY = tyro.constructors.ConstructorRegistry()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status: 0, or 2 where an argument is refused."""
    name, *words = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if name in ("-h", "--help", "--version"):
        from art_snn import __version__

        sys.stdout.write(f"{__version__ if name == '--version' else _overview()}\n")
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
    written = f"Written to {settings.output}: {', '.join(result.files)}"
    sys.stdout.write(f"\n{result.told()}\n{written}\n")
    return 0


def _overview() -> str:
    """The commands, with the first words of their rooms, which are read and not imported."""
    rooms = Path(__file__).parent / "experiments"
    trees = {name: ast.parse((rooms / name / "__init__.py").read_bytes()) for name in COMMANDS}
    lines = [f"  {name:10}{ast.get_docstring(tree)}" for name, tree in trees.items()]
    usage = "usage: art-snn COMMAND [OPTIONS], or art-snn --version\n\ncommands:"
    return "\n".join([usage, *lines, "\nart-snn COMMAND --help lists the options of a command."])


def _settings(kind: Any, program: str, words: Sequence[str]) -> Any:
    """The settings that the words describe; leaves as tyro does for help and unknown options."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
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
        sys.stderr.write(complaint.getvalue())
        raise


def _named(error: Exception, kind: Any, words: Sequence[str]) -> str:
    """The complaint, about the option as it was typed where its argument is one."""
    if not isinstance(error, ArgumentError):
        return str(error)
    known = {"attack", *_options(kind)}
    same = SAME.get(error.argument, error.argument)
    for name in (error.argument, same, f"{same}s"):
        if name in known:
            flag = f"--{name.replace('_', '-')}"
            typed = (word.partition("=")[0] for word in words)
            flag = next((word for word in typed if word.replace("_", "-") == flag), flag)
            return f"{flag}: {error.complaint}"
    return str(error)


def _options(kind: Any) -> Iterator[str]:
    for field in fields(kind):
        inner: Any = get_type_hints(kind)[field.name]
        yield from _options(inner) if is_dataclass(inner) else [field.name]


def _refused(program: str, message: str) -> int:
    sys.stderr.write(f"{program}: error: {message}\n{program} --help lists what there is.\n")
    return 2


def _number(text: str) -> float:
    numerator, _, denominator = text.partition("/")
    try:
        return float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"expected a number such as 0.03 or 8/255, got {text!r}.") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"expected a whole number such as 8, got {text!r}.") from None


def _whole_or(text: str, words: Sequence[str]) -> Any:
    """A whole number, or one of the words, or else several with commas between."""
    if text in words:
        return text
    several = "," in text and not words
    return tuple(map(_whole, text.split(","))) if several else _whole(text)


@REGISTRY.primitive_rule
def _form(info: Any) -> tyro.constructors.PrimitiveConstructorSpec[Any] | None:
    """Fractions, whole numbers, lists with commas between, and rules by their names."""
    from art_snn.gradients import Gradient, chosen, named

    some = [kind for kind in get_args(info.type) if kind is not type(None)]
    kind = some[0] if len(some) == 1 and len(get_args(info.type)) == 2 else info.type
    parsers: dict[Any, tuple[str, Callable[[str], Any], Callable[[Any], str]]] = {
        float: ("NUMBER", _number, "{:.4g}".format),
        int: ("INT", _whole, str),
        Gradient: ("NAME", named, lambda rule: type(rule).__name__.lower()),
        Mapping: ("NAMES", chosen, ",".join),
    }
    one = parsers.get(get_args(kind)[0], ("", str.strip, str))[1] if get_args(kind) else str
    if get_origin(kind) is tuple and Path not in get_args(kind):
        parsers[tuple] = ("A,B", lambda text: tuple(map(one, text.split(","))), str)
    if int in some and len(some) == 2:
        words = [word for one in some for word in get_args(one) if isinstance(word, str)]
        shape = "|".join(["INT", *(words or ["A,B"])])
        parsers[kind] = (shape, lambda text: _whole_or(text, words), str)
    found = parsers.get(get_origin(kind) or kind) or parsers.get(kind)
    if found is None:
        return None
    metavar, parse, shown = found
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda texts: parse(texts[0]),
        is_instance=lambda value: True,
        str_from_instance=lambda value: ["" if value is None else shown(value)],
    )
