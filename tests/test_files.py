"""Digests: what changes them, and what does not."""

from __future__ import annotations

import numpy as np
import pytest

from art_snn.files import digest

BASE = ("settings", 1)
ARRAY = np.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize(
    ("settings", "array"),
    [(("settings", 2), ARRAY), (BASE, ARRAY + 1), (BASE, ARRAY.T), (BASE, ARRAY.astype("f4"))],
)
def test_a_digest_changes_with_settings_and_with_values(settings, array):
    assert digest(settings, array) != digest(BASE, ARRAY)


def test_a_digest_is_the_same_for_equal_arrays_in_other_memory_and_functions_elsewhere():
    assert digest(BASE, np.asfortranarray(ARRAY)) == digest(BASE, ARRAY)
    functions = [lambda: 0 for _ in range(2)]
    assert repr(functions[0]) != repr(functions[1])
    assert digest(functions[0]) == digest(functions[1])
    assert digest(BASE, np.zeros((0, 3)), np.array(1)) != digest(BASE)
