"""Types of settings, as help shows them."""

from pathlib import Path
from typing import Annotated, TypeVar

from tyro.conf import arg

Value = TypeVar("Value")
Open = Annotated[Value | None, arg(help_behavior_hint="")]
"""A setting that may be None, which means what the description of its field says."""
Folder = Annotated[Path, arg(metavar="FOLDER")]
"""A path that help calls a folder."""
