"""The table of what tests assert covers all that ART exports."""

import pytest

from tests.toolbox.promises import ELSEWHERE, KINDS, collected, exported


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_covers_all_that_art_exports(kind: str) -> None:
    here = {name for promise in collected() for name in promise.names}
    elsewhere = {name for names in ELSEWHERE.values() for name in names}
    assert exported(kind) <= here | elsewhere
    assert not here & elsewhere


def test_the_table_names_nothing_that_art_does_not_export() -> None:
    names = {name for promise in collected() for name in promise.names}
    names |= {name for several in ELSEWHERE.values() for name in several}
    assert names <= {name for kind in KINDS for name in exported(kind)}
