"""What does not fit into memory is refused before it is made."""

from __future__ import annotations

import pytest

from art_snn.checks import require_memory, total_memory
from art_snn.measuring.workload import random_samples
from art_snn.models import Architecture


def test_what_fits_passes_and_what_does_not_is_refused_with_both_sizes():
    there = total_memory()
    assert there > 2**28
    require_memory("width", 1, "weights", there, remedy="")
    with pytest.raises(ValueError, match=r"^width: expected weights that fit into the .* GiB of m"):
        require_memory("width", 9, "weights", there + 1, remedy="")
    with pytest.raises(ValueError, match=r"got 9, which makes weights of 1,048,576\.0 GiB\. Less"):
        require_memory("width", 9, "weights", 2**50, remedy="Less.")


@pytest.mark.parametrize(
    ("options", "sizes", "message"),
    [
        ({"width": 64.0}, {"image_size": 2**12}, r"^width: .*got 64\.0, which makes weights of "),
        ({}, {"image_size": 2**15}, r"^image_size: .*got 32768, which makes weights of "),
    ],
)
def test_a_network_that_does_not_fit_is_refused_without_being_made(options, sizes, message):
    with pytest.raises(ValueError, match=message):
        Architecture(**options).made(**sizes)


def test_random_samples_that_do_not_fit_are_refused_without_being_made():
    message = r"^samples: expected samples that fit .*got 2147483647, which makes samples of "
    with pytest.raises(ValueError, match=message):
        random_samples(Architecture(width=0.01), 2**31 - 1, channels=3, image_size=2**10)
