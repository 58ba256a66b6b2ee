"""Describes the options of all commands: python -m tests.describe_options writes options.json."""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import tyro

from art_snn.app import __path__ as rooms, usage
from art_snn.app.typed import CONFIG, REGISTRY

GROUPS = {
    "options": "options",
    "positional arguments": "files",
    "source options": "data",
    "network options": "network",
    "network.architecture options": "network",
    "architecture options": "network",
    "attack options": "attack",
    "recipe options": "training",
    "strengths options": "defence",
    "rule options": "RGA",
}
"""Plain names of the groups, which tyro names after the fields of the settings."""


def described() -> dict[str, Any]:
    """The content of options.json, from the settings."""
    names = sorted(file.parent.name for file in Path(rooms[0]).glob("*/settings.py"))
    return {name: describe(name) for name in names}


def describe(command: str) -> dict[str, Any]:
    """What a command is about, and its options in groups."""
    kind = import_module(f"art_snn.app.{command}").Settings
    with warnings.catch_warnings():
        # tyro has nothing in its place that tells groups, names and defaults apart.
        warnings.simplefilter("ignore", DeprecationWarning)
        parser: Any = tyro.extras.get_parser(kind, config=CONFIG, registry=REGISTRY)
    groups: dict[str, list[Any]] = {}
    for group in parser._action_groups:
        rows = [row(action) for action in group._group_actions if "-h" not in action.option_strings]
        if rows:
            groups.setdefault(GROUPS[group.title], []).extend(rows)
    return {"about": " ".join(parser.description.split()), "groups": groups}


def row(action: Any) -> tuple[list[str], str, str]:
    """Flags, name of the value and help of an option, with its default as [x]."""
    text, _, default = " ".join(action.help.split()).partition(" (default: ")
    default = {"True)": "on)", "False)": "off)", "None)": ""}.get(default, default)
    shown = (
        f"{text.rstrip('.')} [{default[:-1]}]." if default else text.removesuffix(" (repeatable)")
    )
    flags = list(action.option_strings)
    return flags, "" if any("--no-" in flag for flag in flags) else str(action.metavar), shown


def text_of(content: dict[str, Any]) -> str:
    """The content as JSON, one option per line."""
    commands = []
    for name, command in content.items():
        groups = [
            f"  {json.dumps(title)}: [\n"
            + ",\n".join(f"   {json.dumps(one, ensure_ascii=False)}" for one in rows)
            + "]"
            for title, rows in command["groups"].items()
        ]
        about = json.dumps(command["about"], ensure_ascii=False)
        commands.append(
            f' "{name}": {{"about": {about}, "groups": {{\n' + ",\n".join(groups) + "}}"
        )
    return "{\n" + ",\n".join(commands) + "}\n"


if __name__ == "__main__":
    usage.FILE.write_text(text_of(described()), "utf-8")
