from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class Settings:
    """List the trained networks of the zoo.

    Their accuracy is that of all test samples, and what the plan standard left by budget. Commands
    with --checkpoint take one as --model zoo:NAME."""

    output: ClassVar[None] = None
    """Nothing is written."""
