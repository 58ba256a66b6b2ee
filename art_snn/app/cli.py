"""The command line: art-snn COMMAND, with options that tyro makes from its settings."""

import contextlib
import io
import logging
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import field, fields, make_dataclass
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import docstring_parser
import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec

from art_snn.checks import (
    ArgumentError,
    WriteFailed,
    locate_own,
    printable,
    quote,
    truncate,
)

COMMANDS: Mapping[str, tuple[str, str]] = {
    "evaluate": ("evaluate.settings", "evaluate.run"),
    "report": ("settings", "report.run"),
    "train": ("settings", "train"),
    "compare": ("settings", "compare"),
    "cost": ("settings", "cost"),
    "inspect": ("settings", "inspect"),
    "zoo": ("settings", "zoo"),
}
"""Where the settings of a command are, in a class of its name, and where its function run is."""

_ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "adversarial_share": ("share",),
    "batch_size": ("samples",),
    "checkpoint": ("path",),
    "data": ("root", "x", "y", "x, y", "x_train", "y_train", "x_test", "y_test"),
    "model": ("zoo", "network", "path_or_graph", "graph"),
    "output": ("resume",),
    "attack_rule": ("gradient", "rule"),
    "rules": ("gradient", "rule"),
}
"""Names that the library has for what an option gives, where they differ from the option's."""
_RARE = {
    "threads",
    "quiet",
    "image_size",
    "value_range",
    "readout",
    "encoder",
    "draws",
    "batch_size",
    "seed",
    "sources",
    "adversarials",
    "fail_under",
    "strict",
    "width",
    "decay",
    "threshold",
    "reset",
    "synapse",
    "modulation",
    "momentum",
    "weight_decay",
    "crop_padding",
    "flip",
    "turn",
    "cutout",
    "train_dtype",
    "validation",
    "adversarial_share",
    "eot",
    "repeats",
    "channels",
}
"""Options that help lists in a group of their own, after the others."""
_NUMBERS = {int: "a whole number such as 8", float: "a number such as 0.03 or 8/255"}
_METAVARS = {int: "INT", float: "NUMBER"}
_CONFIG = (tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
_REGISTRY = ConstructorRegistry()
_CANNOT_WRITE, _INTERRUPTED = 74, 130


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    2: an argument is refused. 3 or 4: art-snn evaluate, or 3: art-snn report --verify,
    was asked for it. 5: art-snn train did not learn. 74: a file cannot be written. 130:
    Ctrl-C stopped the command. Otherwise 0."""
    try:
        words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
        if words[0] == "--version":
            sys.stdout.write(f"{import_module('art_snn').__version__}\n")
            return 0
        return _run(words)
    except BrokenPipeError:
        sys.stdout = None  # Nobody reads it, and flushing it at the end would fail again.
        return _CANNOT_WRITE


def _run(words: Sequence[str]) -> int:
    # Torch says while it is imported that it has no Triton, which no network here needs.
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
    name = words[0]
    output = None
    try:
        settings = _parse_settings(words)
        output = getattr(settings, "output", None)
        run = import_module(f"art_snn.app.{COMMANDS[name][1]}").run
        import_module("art_snn.app.machine").keep_memory()
        result = run(settings)
        if result is None:  # Another process prints it.
            return 0
        files = f": {', '.join(result.files)}" if result.files else ""
        written = "" if output is None else f"\nWritten to {output}{files}\n"
        sys.stdout.write(f"\n{result.render()}{written}")
        sys.stdout.flush()
    except KeyboardInterrupt:
        return _report_stop(name, "stopped by Ctrl-C", output, _INTERRUPTED)
    except WriteFailed as error:
        return _report_stop(name, f"error: {error}", output, _CANNOT_WRITE)
    except (ArgumentError, FileNotFoundError) as error:
        complaint = printable(_name_option(error, name, words[1:]) + locate_own(error))
        sys.stderr.write(f"art-snn {name}: error: {complaint}\n")
        sys.stderr.write(f"art-snn {name} --help shows the usage.\n")
        return 2
    failures = result.failures()
    for _, line in failures:
        sys.stderr.write(f"art-snn {name}: {printable(line)}\n")
    status, _ = min(failures, default=(0, ""))
    return status


def _settings_class(name: str) -> Any:
    """The settings of a command, from their module, which imports no torch."""
    return getattr(import_module(f"art_snn.app.{COMMANDS[name][0]}"), name.capitalize())


def _parse_settings(words: Sequence[str]) -> Any:
    """The settings that the words describe, of the command that is the first of them.

    :raises ArgumentError: where the settings refuse a value.
    :raises SystemExit: after help, of status 0, or after a complaint of tyro's, of status 2."""
    # One command needs the settings of no other.
    names = [words[0]] if words[0] in COMMANDS else list(COMMANDS)
    commands = {name: _settings_class(name) for name in names}
    # The list of all commands has one sentence for each.
    if words[0] in ("-h", "--help"):
        for name, kind in commands.items():
            sentence = kind.__doc__.partition("\n\n")[0]
            commands[name] = make_dataclass(name, [], namespace={"__doc__": sentence})
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            values = vars(
                tyro.extras.subcommand_cli_from_dict(
                    {name: _group_options(kind) for name, kind in commands.items()},
                    prog="art-snn",
                    description="Attack, train and evaluate spiking neural networks.",
                    args=words,
                    config=_CONFIG,
                    registry=_REGISTRY,
                )
            )
    except SystemExit:
        sys.stderr.write(truncate(errors.getvalue(), 2000))
        if re.search(r"Unrecognized options: [\d.]", errors.getvalue()):
            sys.stderr.write("Put commas between several numbers: --eps 0.1,0.2\n")
        raise
    return commands[words[0]](**values | vars(values.pop("rare")))


def _group_options(kind: Any) -> Any:
    """A class with the fields of settings, the rare ones in a field of that name."""
    helps: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        for described in docstring_parser.parse(base.__doc__ or "").params:
            helps[described.arg_name] = " ".join(str(described.description).split())
    groups: dict[bool, list[Any]] = {False: [], True: []}
    for one in fields(kind):
        option = field(default=one.default, metadata={"help": helps[one.name]})
        groups[one.name in _RARE].append((one.name, one.type, option))
    rare = make_dataclass("rare", groups[True], kw_only=True)
    rows = [*groups[False], ("rare", rare, field(default_factory=rare))]
    return make_dataclass(
        kind.__name__, rows, kw_only=True, namespace={"__doc__": kind.__doc__}
    )


def _name_option(error: Any, command: str, words: Sequence[str]) -> str:
    """The complaint, about the option as it was typed where one gives its argument."""
    given = [word.partition("=")[0] for word in words]
    typed = {word.replace("_", "-"): word for word in given}
    argument = getattr(error, "argument", "")
    flags = [
        f"--{field.name.replace('_', '-')}"
        for field in fields(_settings_class(command))
        if argument in (field.name, *_ARGUMENTS.get(field.name, ()))
    ]
    if not flags:
        return str(error)
    flag = min(flags, key=lambda flag: flag not in typed)
    return f"{typed.get(flag, flag)}: {error.complaint}"


def _report_stop(name: str, why: str, output: Path | None, status: int) -> int:
    """Say why a command stopped, and where its results are; returns the exit status."""
    where = ""
    if output is not None and any(path.is_file() for path in output.rglob("*")):
        where = f" Results so far are in {output}; the same command continues."
    sys.stderr.write(f"\nart-snn {name}: {why}.{where}\n")
    return status


@_REGISTRY.primitive_rule
def _number_rule(info: Any) -> PrimitiveConstructorSpec[Any] | None:
    """How tyro reads numbers, and several of them in one word: 0.03, 8/255, or 8/255,16/255."""
    kinds = (
        get_args(info.type)
        if get_origin(info.type) in (Union, UnionType)
        else (info.type,)
    )
    forms = [get_args(kind) or (kind,) for kind in kinds if kind is not NoneType]
    number = forms[0][0] if forms else None
    if number not in _METAVARS or any(form[0] is not number for form in forms):
        return None
    one = _METAVARS[number]
    several = [form for form in forms if len(form) > 1]

    def read(words: Sequence[str]) -> Any:
        texts = words[0].split(",") if several else words
        numbers = tuple(_read_number(number, text.strip()) for text in texts)
        if (number,) in forms and len(numbers) == 1:
            return numbers[0]
        if any(... in form or len(form) == len(numbers) for form in several):
            return numbers
        expected = f"{len(several[0])} numbers with commas between"
        raise ValueError(f"expected {expected}, got {quote(words[0])}.")

    metavar = "|".join(
        f"{one}[,{one} ...]" if ... in form else ",".join([one] * len(form))
        for form in forms
    )
    return PrimitiveConstructorSpec(
        1, metavar, read, lambda _: True, lambda value: [_write_value(value)]
    )


@_REGISTRY.primitive_rule
def _word_rule(info: Any) -> PrimitiveConstructorSpec[Any] | None:
    """How tyro reads one of several words. It would list None, in a random order."""
    kinds = [kind for kind in get_args(info.type) if kind is not NoneType]
    if len(kinds) != 1 or get_origin(kinds[0]) is not Literal:
        return None
    words = get_args(kinds[0])
    metavar = "{" + ",".join(words) + "}"
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=metavar,
        instance_from_str=lambda given: given[0],
        is_instance=lambda value: value is None or value in words,
        str_from_instance=lambda value: [str(value)],
        choices=words,
    )


def _read_number(kind: type, text: str) -> float:
    """The text as a number, where fractions are numbers too.

    :raises ValueError: for another text."""
    # Python would take 1_000 and the digits of every script, too.
    with contextlib.suppress(ValueError, ZeroDivisionError):
        if text.isascii() and "_" not in text:
            top, slash, bottom = text.partition("/")
            return (
                int(text) if kind is int else float(top) / float(bottom if slash else 1)
            )
    raise ValueError(f"expected {_NUMBERS[kind]}, got {quote(text)}.")


def _write_value(value: Any) -> str:
    """A number as one would type it, 32, 0.1 or 8/255, or several with commas between."""
    if isinstance(value, tuple):
        return ",".join(map(_write_value, value))
    if not isinstance(value, float):
        return str(value)
    return f"{value:g}" if float(f"{value:g}") == value else f"{255 * value:g}/255"
