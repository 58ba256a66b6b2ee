from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from art_snn.app.base import Result
from art_snn.app.tables import Part, Table


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    :param words: what was compared, and how it turned out."""

    name: str
    passed: bool
    words: str


@dataclass(frozen=True)
class Checked(Result):
    """All checks of an evaluation.

    :param title: the evaluation in words."""

    title: str
    checks: Sequence[Check]
    name: ClassVar[str] = "check"
    drawings = ()

    def parts(self) -> list[Part]:
        """A sentence, and a row per check."""
        failed = sum(not check.passed for check in self.checks)
        verdict = f"{failed} of {len(self.checks)} checks failed." if failed else "All checks pass."
        rows = [(one.name, "pass" if one.passed else "FAIL", one.words) for one in self.checks]
        return [self.title, verdict, Table(("check", "result", "remark"), rows, words=3)]
