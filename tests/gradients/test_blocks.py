"""Blocks: the batch in order, without gaps, in parts as large as the cache allows."""

from __future__ import annotations

import torch
from hypothesis import given, settings, strategies as st

from art_snn.gradients.shared import CACHED_ELEMENTS, blocks


def layer(samples, features):
    """A tensor [2, samples, features] that takes no memory."""
    return torch.zeros(1).expand(2, samples, features)


@settings(deadline=None, derandomize=True, database=None, max_examples=150)
@given(
    samples=st.integers(1, 60),
    features=st.integers(1, 2 * CACHED_ELEMENTS),
    steps=st.integers(1, 16),
)
def test_blocks_cover_the_batch_in_order_and_fill_the_cache_without_overflowing(
    samples, features, steps
):
    parts = [list(range(samples))[block] for block in blocks(layer(samples, features), steps)]
    assert [sample for part in parts for sample in part] == list(range(samples))
    of_one = steps * features
    for part in parts:
        assert len(part) == 1 or len(part) * of_one <= CACHED_ELEMENTS
    for part in parts[:-1]:
        assert (len(part) + 1) * of_one > CACHED_ELEMENTS


def test_blocks_of_few_samples_of_none_and_of_another_device():
    x = layer(4, CACHED_ELEMENTS // 2)
    assert blocks(x) == blocks(x, steps=1) == [slice(0, 2), slice(2, 4)]
    assert len(blocks(x, steps=2)) == 4
    assert blocks(layer(0, 5)) == blocks(layer(0, 0)) == []
    (block,) = blocks(layer(3, 0))
    assert list(range(3))[block] == [0, 1, 2]
    # Only a processor has a cache to fit.
    assert blocks(torch.empty(2, 5, CACHED_ELEMENTS, device="meta"), steps=2) == [slice(0, 5)]
