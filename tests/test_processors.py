"""Which cases of the tests run under other instructions."""

from tests.processors import drawn

NAMES = [*(f"a.py::one[{number}]" for number in range(9)), "a.py::two[x]", "b.py::one"]


def test_of_every_test_some_cases_are_drawn_whatever_their_order():
    some = drawn(NAMES, 3)
    assert some == drawn(reversed(NAMES), 3)
    assert {"a.py::two[x]", "b.py::one"} < some < set(NAMES)
    assert len(some) == 5


def test_fewer_cases_are_some_of_the_more():
    assert drawn(NAMES, 1) < drawn(NAMES, 4) < drawn(NAMES, 9) == set(NAMES)
