"""The promises as tests: a module that imports them and has CASES is tested for each of those."""

from __future__ import annotations

import pytest

from tests.interop import promises
from tests.interop.families import Case
from tests.interop.reference import RULES

__all__ = [
    "pytest_generate_tests",
    "test_gradients_are_those_of_the_equations",
    "test_logits_are_the_models_own_and_nothing_is_left",
    "test_the_native_gradient_is_that_of_training_mode",
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases: list[Case] = metafunc.module.CASES
        metafunc.parametrize("case", cases, ids=[getattr(case, "name", None) for case in cases])


@pytest.mark.parametrize("rule", RULES)
def test_gradients_are_those_of_the_equations(case: Case, rule: str) -> None:
    promises.assert_equations(case, rule)


@pytest.mark.parametrize("rule", promises.EVERY)
def test_logits_are_the_models_own_and_nothing_is_left(case: Case, rule: str) -> None:
    promises.assert_same_logits(case, rule)


def test_the_native_gradient_is_that_of_training_mode(case: Case) -> None:
    promises.assert_native(case)
