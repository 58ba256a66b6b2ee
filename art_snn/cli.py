"""The command line: art-snn NAME, with options that are made from the settings of a command."""

import contextlib
import io
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec as Spec

from art_snn.checks import ArgumentError, WriteFailed, abridge, shown
from art_snn.paths import path_kind
from art_snn.stopping import INTERRUPTED, TERMINATED, Terminated, stoppable

COMMANDS = (
    *("demo", "train", "harden", "compare", "sweep", "curves", "cost", "scaling"),
    *("inspect", "evaluate", "report"),
)
MEANT = {"path": "checkpoint", "resume": "output", "share": "adversarial_share", "gradient": "rule"}
MEANT |= dict.fromkeys(("x", "y", "x, y", "x_train", "y_train", "x_test", "y_test"), "data")
MEANT |= {"samples": "batch_size"}
WORDS = {int: "a whole number such as 8", float: "a number such as 0.03 or 8/255", Path: "a path"}
CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
REGISTRY = ConstructorRegistry()
CANNOT_WRITE = 74
_STOPS = {False: ("Ctrl-C", INTERRUPTED), True: ("SIGTERM", TERMINATED)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    That is 0, or 3 or 4 where art-snn evaluate was asked for them, 2 where an argument is refused,
    74 where something cannot be written, and 130 or 143 where Ctrl-C or SIGTERM stopped the
    command."""
    name, *words = (sys.argv[1:] if arguments is None else list(arguments)) or ["--help"]
    if name in ("-h", "--help", "--version"):
        told = import_module("art_snn").__version__ if name == "--version" else _overview()
        sys.stdout.write(f"{told}\n")
        return 0
    if name not in COMMANDS:
        return _refused("art-snn", f"expected one of {', '.join(COMMANDS)}, got {shown(name)}.")
    room = import_module(f"art_snn.experiments.{name}")
    output: Any = None
    try:
        settings = _settings(room.Settings, f"art-snn {name}", words)
        output = settings.output
        with stoppable():
            result = room.run(settings)
        if result is None:  # Another process tells it.
            return 0
        files = f": {', '.join(result.files)}" if result.files else ""
        sys.stdout.write(f"\n{result.render()}\nWritten to {output}{files}\n")
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        by, status = _STOPS[isinstance(stop, Terminated)]
        return _left(name, f"stopped by {by}", output, status)
    except BrokenPipeError:
        sys.stdout = None  # Nobody reads it, and flushing it at the end would fail again.
        return CANNOT_WRITE
    except WriteFailed as error:
        return _left(name, f"error: {error}", output, CANNOT_WRITE)
    except (ArgumentError, FileNotFoundError) as error:
        gone = None if isinstance(error, ArgumentError) else _within(output, error.filename)
        if gone is not None:
            return _left(name, f"error: {gone} is gone: something removed it", output, CANNOT_WRITE)
        return _refused(f"art-snn {name}", _named(error, room.Settings, words))
    return int(getattr(settings, "status", lambda _: 0)(result))


def _overview() -> str:
    rooms = Path(__file__).parent / "experiments"
    texts = {name: (rooms / name / "__init__.py").read_text("utf-8") for name in COMMANDS}
    lines = [f"  {name:10}{text[3 : text.index('.') + 1]}" for name, text in texts.items()]
    return "\n".join(["usage: art-snn COMMAND [--help | OPTIONS], or art-snn --version\n", *lines])


def _settings(kind: Any, program: str, words: Sequence[str]) -> Any:
    """The settings that the words describe; leaves as tyro does for help and unknown options."""
    try:
        with contextlib.redirect_stderr(io.StringIO()) as told:
            return tyro.cli(kind, prog=program, args=words, config=CONFIG, registry=REGISTRY)
    except SystemExit as leaving:
        cause = _cause(leaving, told.getvalue())
        if cause is None and "Unrecognized" in told.getvalue():
            cause = _valued(kind, words)
        if cause is not None:
            raise cause from None
        sys.stderr.write(abridge(told.getvalue()))
        raise


def _cause(leaving: BaseException, told: str) -> BaseException | None:
    """The complaint that made tyro leave, about the option that it names; None for its own."""
    lacking = re.search("Missing value for argument '--([a-z-]+)'", told)
    if lacking:
        remedy = "One that starts with a dash is written behind a =."
        return ArgumentError.of(lacking[1], "a value", "none", remedy)
    cause: BaseException | None = leaving
    while cause is not None and not isinstance(cause, ArgumentError):
        option = getattr(getattr(cause, "arg", None), "field", None)
        cause = cause.__context__
        named = getattr(cause, "argument", "") if isinstance(cause, ValueError) else "no error"
        if option is not None and not named:
            return ArgumentError(option.extern_name, getattr(cause, "complaint", str(cause)))
    return cause


def _help(kind: Any) -> str:
    parser: Any = tyro.extras.get_parser(kind, config=CONFIG, registry=REGISTRY)
    return str(parser.format_help())


def _valued(kind: Any, words: Sequence[str]) -> ArgumentError | None:
    """The complaint about a value behind a flag that takes none, where there is one."""
    flags = re.findall(r"--([a-z-]+), --no-\1", _help(kind))
    for word, behind in zip(words, (*words[1:], "-"), strict=True):
        typed, has, value = word.partition("=")
        name = typed.replace("_", "-").removeprefix("--")
        got = value if has else behind
        flag = name.removeprefix("no-")
        valued = has or not behind.startswith("-")
        if valued and typed.startswith("--") and flag in flags:
            remedy = f"--{flag} turns it on, --no-{flag} off."
            return ArgumentError.of(name, "no value", shown(got), remedy)
    return None


def _named(error: Any, kind: Any, words: Sequence[str]) -> str:
    """The complaint, about the option as it was typed where its argument is one."""
    typed = {word.partition("=")[0].replace("_", "-"): word.partition("=")[0] for word in words}
    argument = getattr(error, "argument", "")
    same = [argument, MEANT.get(argument, argument)]
    flags = [f"--{name.replace('_', '-')}" for name in (*same, f"{same[1]}s")]
    # A flag stands beside its opposite, with a comma between.
    words = _help(kind).replace(",", " ").split()
    known = [flag for flag in flags if flag in words]
    flag = min(known, key=lambda flag: flag not in typed, default=None)
    return f"{typed.get(flag, flag)}: {error.complaint}" if flag else str(error)


def _refused(program: str, why: str) -> int:
    sys.stderr.write(f"{program}: error: {why}\n{program} --help lists what there is.\n")
    return 2


def _within(output: Path | None, file: Any) -> Path | None:
    """A file of the output; None for any other."""
    inside = output is not None and file is not None and Path(file).is_relative_to(output)
    return Path(file) if inside else None


def _left(name: str, why: str, output: Any, status: int) -> int:
    files = output.rglob("*") if output is not None and output.is_dir() else ()
    there = any(path.is_file() for path in files)
    where = f" What there is lies in {output}; the same command goes on with it." if there else ""
    sys.stderr.write(f"\nart-snn {name}: {why}.{where}\n")
    return status


def _parsed(kind: Any, text: str) -> Any:
    """The text as a value of that kind: fractions are numbers, commas stand between several."""
    origin, inner = get_origin(kind), [one for one in get_args(kind) if one is not type(None)]
    inner.sort(key=lambda one: "Literal" not in str(one))
    if "Gradient" in str(kind):
        rules = import_module("art_snn.gradients")
        several = Mapping in (origin, *map(get_origin, inner))
        return rules.rules_named(text) if several else rules.rule_named(text)
    if origin is tuple:
        return tuple(_parsed(inner[0], part.strip()) for part in text.split(","))
    if kind is str or (origin is Literal and text in inner):
        return text
    for one in inner if origin is not Literal else ():
        with contextlib.suppress(*[ValueError] * (one is not inner[-1])):
            return _parsed(one, text)
    if kind is Path:
        path_kind("", Path(text))
        return Path(text)
    with contextlib.suppress(ValueError, ZeroDivisionError):
        # Python would take 1_000 and the digits of every script, too.
        if kind in WORDS and text.isascii() and "_" not in text:
            numerator, _, denominator = text.partition("/")
            return int(text) if kind is int else float(numerator) / float(denominator or 1)
    expected = WORDS.get(kind) or f"one of {', '.join(map(str, inner))}"
    raise ValueError(f"expected {expected}, got {shown(text)}.")


def _ours(kind: Any) -> bool:
    if get_origin(kind) is tuple and Path in get_args(kind):
        return False
    known = kind in WORDS or get_origin(kind) in (Literal, tuple) or "Gradient" in str(kind)
    return known or any(map(_ours, get_args(kind)))


@REGISTRY.primitive_rule
def _form(info: Any) -> Spec[Any] | None:
    def written(value: Any) -> list[str]:
        return [",".join(map(str, value)) if isinstance(value, tuple | Mapping) else str(value)]

    names = "|".join(map(str, get_args(info.type))) if get_origin(info.type) is Literal else "VALUE"
    spec = Spec(1, names, lambda words: _parsed(info.type, words[0]), lambda _: True, written)
    return spec if _ours(info.type) else None
