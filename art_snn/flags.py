"""How a field of settings becomes an option of the command line."""

from typing import Annotated, TypeVar

from tyro.conf import arg

Value = TypeVar("Value")

Open = Annotated[Value | None, arg(help_behavior_hint="")]
"""A value, or None for one that is left open: the field's description says what it then is."""
