"""The command line: art-snn NAME, with options that are made from the settings of a command."""

import contextlib
import io
import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from art_snn.app.usage import commands, completion, help_of, joined_words, options, overview
from art_snn.checks import ArgumentError, WriteFailed, abridge, shown
from art_snn.progress import INTERRUPTED, TERMINATED, Terminated, lines_written, stoppable

COMMANDS = list(commands())
ARGUMENTS = {
    "adversarial_share": ("share",),
    "batch_size": ("samples",),
    "checkpoint": ("path",),
    "data": ("x", "y", "x, y", "x_train", "y_train", "x_test", "y_test"),
    "decays": ("decay",),
    "model": ("zoo",),
    "models": ("model",),
    "output": ("resume",),
    "rule": ("gradient",),
    "rules": ("gradient", "rule"),
}
"""What the library calls that which an option gives, where the two have different names."""
ANSWERS = ("-h", "--help", "--version", "--print-completion")
CANNOT_WRITE = 74


def run_command(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit status.

    2: an argument is refused. 3 or 4: art-snn evaluate was asked for it. 3: art-snn check failed.
    74: a file cannot be written. 130 or 143: Ctrl-C or SIGTERM stopped the command. Otherwise 0."""
    try:
        return _run((sys.argv[1:] if arguments is None else list(arguments)) or ["--help"])
    except BrokenPipeError:
        sys.stdout = None  # Nobody reads it, and flushing it at the end would fail again.
        return CANNOT_WRITE


def _run(arguments: Sequence[str]) -> int:
    name, *words = arguments
    if name not in (*COMMANDS, *ANSWERS):
        return _refused("art-snn", f"expected one of {', '.join(COMMANDS)}, got {shown(name)}.")
    try:
        text = _answer(name, words)
        words = [] if text is not None else joined_words(name, words)
    except ArgumentError as error:
        return _refused(f"art-snn {name}" if name in COMMANDS else "art-snn", str(error))
    if text is not None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return 0
    # Torch says while it is imported that it has no Triton, which no network here needs.
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
    room = import_module(f"art_snn.app.{name}")
    output: Any = None
    try:
        settings = _settings(room.Settings, f"art-snn {name}", words)
        output = settings.output
        with stoppable(), lines_written():
            result = room.run(settings)
        if result is None:  # Another process prints it.
            return 0
        files = f": {', '.join(result.files)}" if result.files else ""
        written = "" if output is None else f"\nWritten to {output}{files}\n"
        sys.stdout.write(f"\n{result.render()}{written}")
        sys.stdout.flush()
    except KeyboardInterrupt as stop:
        if isinstance(stop, Terminated):
            return _left(name, "stopped by SIGTERM", output, TERMINATED)
        return _left(name, "stopped by Ctrl-C", output, INTERRUPTED)
    except WriteFailed as error:
        return _left(name, f"error: {error}", output, CANNOT_WRITE)
    except (ArgumentError, FileNotFoundError) as error:
        file = None if isinstance(error, ArgumentError) else error.filename
        if output is not None and file is not None and Path(file).is_relative_to(output):
            return _left(name, f"error: {file} is gone: something removed it", output, CANNOT_WRITE)
        return _refused(f"art-snn {name}", _by_option(error, name, words))
    for line in getattr(settings, "failure", lambda _: "")(result).splitlines():
        sys.stderr.write(f"art-snn {name}: {line}\n")
    return int(getattr(settings, "status", lambda _: 0)(result))


def _answer(name: str, words: Sequence[str]) -> str | None:
    """The text that was asked for in place of work; None where there is work to do."""
    if name in ("-h", "--help"):
        return overview()
    if name == "--version":
        return f"{import_module('art_snn').__version__}\n"
    if name == "--print-completion":
        return completion(words[0] if words else "")
    return help_of(name) if {"-h", "--help"} & set(words) else None


def _settings(kind: Any, program: str, words: Sequence[str]) -> Any:
    """The settings that the words describe, which :func:`joined_words` gave."""
    import tyro

    from art_snn.app.typed import CONFIG, REGISTRY

    try:
        with contextlib.redirect_stderr(io.StringIO()) as errors:
            return tyro.cli(kind, prog=program, args=words, config=CONFIG, registry=REGISTRY)
    except SystemExit as leaving:
        cause = _cause(leaving)
        if cause is not None:
            raise cause from None
        sys.stderr.write(abridge(errors.getvalue()))
        raise


def _cause(leaving: BaseException) -> BaseException | None:
    """The complaint that made tyro leave, about the option that it names; None for its own."""
    cause: BaseException | None = leaving
    while cause is not None and not isinstance(cause, ArgumentError):
        option = getattr(getattr(cause, "arg", None), "field", None)
        cause = cause.__context__
        named = getattr(cause, "argument", "") if isinstance(cause, ValueError) else "no error"
        if option is not None and not named:
            return ArgumentError(option.extern_name, getattr(cause, "complaint", str(cause)))
    return cause


def _by_option(error: Any, command: str, words: Sequence[str]) -> str:
    """The complaint, about the option as it was typed where one gives its argument."""
    typed = {word.partition("=")[0].replace("_", "-"): word.partition("=")[0] for word in words}
    argument, flags = getattr(error, "argument", ""), options(command)
    names = [argument, *(name for name, others in ARGUMENTS.items() if argument in others)]
    given_by = [o for o in (f"--{name.replace('_', '-')}" for name in names) if o in flags]
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
