"""What the commands take: their help, their completion in a shell, and what they do not take.

It is read from options.json, which a test holds to the settings: to import those takes seconds."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import shtab

from art_snn.checks import choices, invalid, require, require_choice, shown, truncate

FILE = Path(__file__).with_name("options.json")
SHELLS = ("bash", "zsh", "fish")
EQUALS = "One that starts with a dash is written behind a =."


@cache
def commands() -> Mapping[str, Any]:
    """All commands: what each is about, and its options in groups.

    An option has its flags, the name of its value and its help. One without a flag is given by its
    place, one without a value by its flag."""
    content: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return content


def options(command: str) -> dict[str, str]:
    """The flags of a command, each with the name of its value, "" for one that takes none."""
    groups = commands()[command]["groups"].values()
    return {flag: value for group in groups for flags, value, _ in group for flag in flags}


def _placed(command: str) -> list[str]:
    """Names of what a command takes without a flag."""
    groups = commands()[command]["groups"].values()
    return [value for group in groups for flags, value, _ in group if not flags]


def overview() -> str:
    """The help of art-snn: all commands, each with one line."""
    lines = [f"  {name:13}{_line(name)}" for name in commands()]
    usage = "usage: art-snn COMMAND [--help | OPTIONS], or art-snn --version"
    default = "In the help of a command [x] is the default of an option."
    script = f"art-snn --print-completion {choices(SHELLS)} prints completion for your shell."
    return "\n".join([usage, "", *lines, "", default, script, ""])


def help_of(command: str) -> str:
    """The help of a command: all its options, in groups."""
    return _filled(ArgumentParser(prog=f"art-snn {command}"), command).format_help()


def completion(shell: str) -> str:
    """A script by which that shell completes commands, options, choices and files.

    :raises ArgumentError: for another shell."""
    require_choice("--print-completion", shell, SHELLS, remedy="Source what it prints.")
    parser = ArgumentParser(prog="art-snn")
    parser.add_argument("--version", action="store_true", help="show the version")
    script: Any = parser.add_argument("--print-completion", help="print such a script")
    script.choices = SHELLS
    several = parser.add_subparsers(dest="command")
    for name in commands():
        _filled(several.add_parser(name, help=_line(name)), name)
    return str(shtab.complete(parser, shell))


def joined_words(command: str, words: Sequence[str]) -> list[str]:
    """The words with each value behind a =, where no other words could be taken for it.

    :raises ArgumentError: naming the option as it was typed, where the command has no such option,
        or its value is missing or one too many."""
    flags, rest, placed = options(command), list(words), _placed(command)
    joined: list[str] = []
    while rest:
        word = rest.pop(0)
        typed, equals, value = word.partition("=")
        flag = typed.replace("_", "-")
        behind = bool(rest) and not (rest[0][:1] == "-" and rest[0].strip("-")[:1].isalpha())
        if flag not in flags and (typed.startswith("-") or not placed):
            raise _unknown(command, typed, flag)
        if flags.get(flag):
            require(equals or behind, typed, "a value", "none", EQUALS)
            word = word if equals else f"{typed}={rest.pop(0)}"
        elif flag in flags and (equals or (behind and not placed)):
            name = flag.removeprefix("--no-").removeprefix("--")
            remedy = f"--{name} turns it on, --no-{name} off."
            raise invalid(typed, "no value", shown(value if equals else rest[0]), remedy)
        joined.append(word)
    return joined


def _unknown(command: str, typed: str, flag: str) -> Exception:
    """The complaint about an option that there is not."""
    similar = get_close_matches(flag, options(command), cutoff=0.75)
    others = [f"art-snn {name}" for name in commands() if flag in options(name)]
    remedy = f"art-snn {command} --help lists all."
    remedy = f"It is one of {', '.join(others)}." if others else remedy
    remedy = f"Did you mean {' or '.join(similar)}?" if similar else remedy
    return invalid(truncate(typed) or "''", f"an option of art-snn {command}", shown(typed), remedy)


def _line(command: str) -> str:
    """The first sentence about a command."""
    return str(commands()[command]["about"]).partition(". ")[0].rstrip(".") + "."


def _filled(parser: ArgumentParser, command: str) -> ArgumentParser:
    """The parser with the options of a command, for its help and for completion alone."""
    parser.usage = " ".join([parser.prog, *_placed(command), "[OPTIONS]"])
    parser.description = commands()[command]["about"]
    for title, group in commands()[command]["groups"].items():
        section = parser if title == "options" else parser.add_argument_group(title)
        for flags, value, words in group:
            how: dict[str, Any] = {"metavar": value} if value else {"action": "store_true"}
            how |= {"help": words.replace("%", "%%")} | ({} if flags else {"nargs": "+"})
            option: Any = section.add_argument(*flags or ["files"], **how)
            listed = value.removeprefix("{").partition("}")[0]
            if value.startswith("{"):
                option.choices = listed.split(",")
            elif "FILE" in value or "FOLDER" in value:
                option.complete = shtab.FILE if "FILE" in value else shtab.DIRECTORY
    return parser
