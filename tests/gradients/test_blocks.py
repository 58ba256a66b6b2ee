"""Blocks: the batch in order, without gaps, in parts as large as the cache allows."""

from __future__ import annotations

import torch
from hypothesis import given, settings, strategies as st

from art_snn.gradients.shared import _CACHED_ELEMENTS, blocks


def layer(samples, features):
    """A tensor [2, samples, features] that takes no memory."""
    return torch.zeros(1).expand(2, samples, features)


@settings(deadline=None, derandomize=True, database=None, max_examples=150)
@given(
    samples=st.integers(1, 60),
    features=st.integers(1, 2 * _CACHED_ELEMENTS),
    steps=st.integers(1, 16),
)
def test_blocks_cover_the_batch_in_order_and_fill_the_cache_without_overflowing(
    samples, features, steps
):
    parts = [list(range(samples))[block] for block in blocks(layer(samples, features), steps)]
    assert [sample for part in parts for sample in part] == list(range(samples))
    of_one = steps * features
    for part in parts:
        assert len(part) == 1 or len(part) * of_one <= _CACHED_ELEMENTS
    for part in parts[:-1]:
        assert (len(part) + 1) * of_one > _CACHED_ELEMENTS
