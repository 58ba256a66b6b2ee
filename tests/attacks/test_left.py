"""The host knows which samples are left without asking the device."""

from __future__ import annotations

import torch

from art_snn.attacks.best import Remaining


def test_host_and_device_have_the_same_rows_after_every_step():
    left, values = Remaining.all_of(torch.zeros(5, 2)), torch.arange(5) * 10
    left, values = left.of(torch.tensor([True, False, True, True, False]), values)
    assert left.rows.tolist() == left.here.tolist() == [0, 2, 3]
    assert values.tolist() == [0, 20, 30]
    (left,) = left.of(torch.tensor([False, True, True]))
    assert left.rows.tolist() == left.here.tolist() == [2, 3]


def test_where_all_stay_nothing_is_copied():
    left, values = Remaining.all_of(torch.zeros(3)), torch.rand(3)
    same, kept = left.of(torch.ones(3, dtype=torch.bool), values)
    assert same is left
    assert kept is values
