"""The command line: art-snn NAME, with options that are made from the settings of a command."""

import contextlib
import io
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec as Spec

from art_snn.checks import ArgumentError, WriteFailed, abridge, shown
from art_snn.paths import path_kind
from art_snn.progress import lines_written
from art_snn.stopping import INTERRUPTED, TERMINATED, Terminated, stoppable

ROOMS = Path(__file__).parent / "experiments"
COMMANDS = sorted(settings.parent.name for settings in ROOMS.glob("*/settings.py"))
ARGUMENTS = {
    "adversarial_share": ("share",),
    "batch_size": ("samples",),
    "checkpoint": ("path",),
    "data": ("x", "y", "x, y", "x_train", "y_train", "x_test", "y_test"),
    "decays": ("decay",),
    "models": ("model",),
    "output": ("resume",),
    "rule": ("gradient",),
    "rules": ("gradient", "rule"),
}
"""What the library calls that which an option gives, where the two have different names."""
NUMBERS = {int: "a whole number such as 8", float: "a number such as 0.03 or 8/255"}
CHOICES: tuple[Any, ...] = (Literal,)
UNIONS = (Union, UnionType)
CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
REGISTRY = ConstructorRegistry()
CANNOT_WRITE = 74


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    2: an argument is refused. 3 or 4: art-snn evaluate was asked for it. 74: a file cannot be
    written. 130 or 143: Ctrl-C or SIGTERM stopped the command. Otherwise 0."""
    name, *words = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if name in ("-h", "--help", "--version"):
        text = import_module("art_snn").__version__ if name == "--version" else _overview()
        sys.stdout.write(f"{text}\n")
        return 0
    if name not in COMMANDS:
        return _refused("art-snn", f"expected one of {', '.join(COMMANDS)}, got {shown(name)}.")
    room = import_module(f"art_snn.experiments.{name}")
    output: Any = None
    try:
        settings = _settings(room.Settings, f"art-snn {name}", words)
        output = settings.output
        with stoppable(), lines_written():
            result = room.run(settings)
        if result is None:  # Another process prints it.
            return 0
        files = f": {', '.join(result.files)}" if result.files else ""
        sys.stdout.write(f"\n{result.render()}\nWritten to {output}{files}\n")
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        if isinstance(stop, Terminated):
            return _left(name, "stopped by SIGTERM", output, TERMINATED)
        return _left(name, "stopped by Ctrl-C", output, INTERRUPTED)
    except BrokenPipeError:
        sys.stdout = None  # Nobody reads it, and flushing it at the end would fail again.
        return CANNOT_WRITE
    except WriteFailed as error:
        return _left(name, f"error: {error}", output, CANNOT_WRITE)
    except (ArgumentError, FileNotFoundError) as error:
        file = None if isinstance(error, ArgumentError) else error.filename
        if output is not None and file is not None and Path(file).is_relative_to(output):
            return _left(name, f"error: {file} is gone: something removed it", output, CANNOT_WRITE)
        return _refused(f"art-snn {name}", _by_option(error, room.Settings, words))
    for line in getattr(settings, "failure", lambda _: "")(result).splitlines():
        sys.stderr.write(f"art-snn {name}: {line}\n")
    return int(getattr(settings, "status", lambda _: 0)(result))


def _overview() -> str:
    texts = {name: (ROOMS / name / "__init__.py").read_text("utf-8") for name in COMMANDS}
    lines = [f"  {name:10}{text[3 : text.index('.') + 1]}" for name, text in texts.items()]
    usage = "usage: art-snn COMMAND [--help | OPTIONS], or art-snn --version\n"
    return "\n".join([usage, *lines, "\nIn the help of a command [x] is the default of an option."])


def _settings(kind: Any, program: str, words: Sequence[str]) -> Any:
    """The settings that the words describe; leaves as tyro does for help and unknown options."""
    try:
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            return tyro.cli(kind, prog=program, args=words, config=CONFIG, registry=REGISTRY)
    except SystemExit as leaving:
        cause = _cause(leaving, errors.getvalue())
        if cause is None and "Unrecognized" in errors.getvalue():
            cause = _valued_switch(kind, words)
        if cause is not None:
            raise cause from None
        sys.stderr.write(abridge(errors.getvalue()))
        raise


def _cause(leaving: BaseException, errors: str) -> BaseException | None:
    """The complaint that made tyro leave, about the option that it names; None for its own."""
    missing = re.search("Missing value for argument '--([a-z-]+)'", errors)
    if missing:
        remedy = "One that starts with a dash is written behind a =."
        return ArgumentError.of(missing[1], "a value", "none", remedy)
    cause: BaseException | None = leaving
    while cause is not None and not isinstance(cause, ArgumentError):
        option = getattr(getattr(cause, "arg", None), "field", None)
        cause = cause.__context__
        named = getattr(cause, "argument", "") if isinstance(cause, ValueError) else "no error"
        if option is not None and not named:
            return ArgumentError(option.extern_name, getattr(cause, "complaint", str(cause)))
    return cause


def _options(kind: Any) -> Mapping[str, Any]:
    """All options of a command, such as --eps, --flip and --no-flip."""
    parser: Any = tyro.extras.get_parser(kind, config=CONFIG, registry=REGISTRY)
    return parser._option_string_actions  # type: ignore[no-any-return]


def _valued_switch(kind: Any, words: Sequence[str]) -> ArgumentError | None:
    """The complaint about a value behind an option that takes none, where there is one."""
    options = _options(kind)
    for word, behind in zip(words, (*words[1:], "-"), strict=True):
        typed, equals, value = word.partition("=")
        name = typed.replace("_", "-").removeprefix("--")
        option = name.removeprefix("no-")
        switch = typed.startswith("--") and f"--no-{option}" in options
        if switch and (equals or not behind.startswith("-")):
            got = shown(value if equals else behind)
            remedy = f"--{option} turns it on, --no-{option} off."
            return ArgumentError.of(name, "no value", got, remedy)
    return None


def _by_option(error: Any, kind: Any, words: Sequence[str]) -> str:
    """The complaint, about the option as it was typed where one gives its argument."""
    typed = {word.partition("=")[0].replace("_", "-"): word.partition("=")[0] for word in words}
    argument, options = getattr(error, "argument", ""), _options(kind)
    names = [argument, *(name for name, others in ARGUMENTS.items() if argument in others)]
    given_by = [o for o in (f"--{name.replace('_', '-')}" for name in names) if o in options]
    option = min(given_by, key=lambda option: option not in typed, default=None)
    return f"{typed.get(option, option)}: {error.complaint}" if option else str(error)


def _refused(program: str, why: str) -> int:
    sys.stderr.write(f"{program}: error: {why}\n{program} --help shows the usage.\n")
    return 2


def _left(name: str, why: str, output: Any, status: int) -> int:
    files = output.rglob("*") if output is not None and output.is_dir() else ()
    there = any(path.is_file() for path in files)
    where = f" Results so far are in {output}; the same command continues." if there else ""
    sys.stderr.write(f"\nart-snn {name}: {why}.{where}\n")
    return status


def _read(kind: Any, text: str) -> Any:
    """The text as a value of that type: fractions are numbers, commas separate several."""
    rules = import_module("art_snn.gradients")  # Every command has imported it.
    origin: Any = get_origin(kind)
    inner = [one for one in get_args(kind) if one is not NoneType]
    if kind is rules.Gradient:
        return rules.rule_named(text)
    if origin is Mapping:
        return rules.rules_named(text)
    if origin is tuple:
        return tuple(_read(inner[0], part.strip()) for part in text.split(","))
    if origin in UNIONS:
        *first, last = sorted(inner, key=lambda one: get_origin(one) not in CHOICES)
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
    kinds = (*NUMBERS, Path, import_module("art_snn.gradients").Gradient)
    return kind in kinds or (origin in (Literal, Mapping, tuple) and Path not in inner)


def _typed(value: Any) -> list[str]:
    """The value as one would type it, such as rga, 8/255 or 1,0.5."""
    rules, text = import_module("art_snn.gradients"), str(value)
    if isinstance(value, tuple | Mapping):
        text = ",".join(word for one in value for word in _typed(one))
    elif isinstance(value, rules.Gradient):
        text = rules.short_name(value)
    elif isinstance(value, float) and len(text) > 9:
        text = f"{255 * value:g}/255"
    return [text]


@REGISTRY.primitive_rule
def _form(info: Any) -> Spec[Any] | None:
    """How an option of such a type is read, and its default shown."""

    names = "|".join(map(str, get_args(info.type))) if get_origin(info.type) is Literal else "VALUE"
    spec = Spec(1, names, lambda words: _read(info.type, words[0]), lambda _: True, _typed)
    return spec if _readable(info.type) else None
