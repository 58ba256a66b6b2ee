"""What is recorded: settings, and the networks of several decays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from art_snn import RGA, checkpoint
from art_snn.app.curves import Settings
from art_snn.app.trained import Trained
from art_snn.checks import ArgumentError
from art_snn.models import Architecture
from tests.small import classifier


def weights(path: Path, count: int) -> tuple[Path, ...]:
    paths = tuple(path / f"{i}.safetensors" for i in range(count))
    for one in paths:
        checkpoint.save(classifier().model, one)
    return paths


def test_networks_differ_in_their_decay_only():
    asked = Settings(decays=(1.0, 0.5), architecture=Architecture(steps=3), epochs=2)
    assert asked.networks() == [
        Trained(architecture=Architecture(decay=decay, steps=3), epochs=2) for decay in (1.0, 0.5)
    ]


def test_one_decay_is_one_network_of_that_decay_and_none_is_if_and_lif():
    assert [one.architecture.decay for one in Settings().networks()] == [1.0, 0.5]
    asked = Settings(architecture=Architecture(decay=0.9, steps=3))
    assert asked.networks() == [Trained(architecture=Architecture(decay=0.9, steps=3))]


def test_a_network_of_one_s_own_is_one_network_with_its_own_decay(tmp_path):
    own = Architecture(model="mine.py:network")
    assert Settings(architecture=own).networks() == [Trained(architecture=own)]
    (path,) = weights(tmp_path, 1)
    asked = Settings(architecture=own, checkpoint=(path,))
    assert asked.networks() == [Trained(architecture=own, checkpoint=path)]


def test_checkpoints_are_taken_in_the_order_of_the_decays_and_leave_open_what_is_not_told(tmp_path):
    def decays(**options: Any) -> list[tuple[Path | None, float | None]]:
        return [(n.checkpoint, n.architecture.decay) for n in Settings(**options).networks()]

    one, other = weights(tmp_path, 2)
    networks = [Trained(checkpoint=one), Trained(checkpoint=other)]
    assert Settings(checkpoint=(one, other)).networks() == networks
    assert decays(checkpoint=(one, other), decays=(1.0, 0.25)) == [(one, 1.0), (other, 0.25)]
    assert decays(checkpoint=(one,), architecture=Architecture(decay=0.75)) == [(one, 0.75)]


ALONE = r"^decays: expected None next to a.*, got 1, 0\.9\. One network of every decay is recorded"


@pytest.mark.parametrize(
    ("decays", "files", "architecture", "message"),
    [
        ((0.5, 0.5), 0, {}, r"^decays: expected one or more different ones, got 0\.5, 0\.5\. One"),
        ((1, 1.0), 0, {}, r"^decays: expected one or more different ones, got 1, 1\."),
        ((), 0, {}, r"^decays: expected one or more different ones, got none\."),
        ((1.0, 0.5), 1, {}, r"^checkpoint: expected one file per decay, 2 in all, got 1\. Give"),
        ((1.0,), 2, {}, r"^checkpoint: expected one file per decay, 1 in all, got 2\."),
        (None, 2, {"decay": 0.5}, r"^checkpoint: expected one file per decay, 1 in all, got 2\."),
        (None, 2, {"model": "a.py:b"}, r"^checkpoint: expected one file per decay, 1 in all, got"),
        ((1, 0.9), 0, {"decay": 0.9}, ALONE),
        ((1, 0.9), 2, {"decay": 0.9}, ALONE),
        ((1, 0.9), 0, {"model": "a.py:b"}, ALONE),
        ((0.9,), 0, {"decay": 0.9}, r"^decays: expected None next to a decay"),
    ],
)
def test_decays_that_make_no_sense_are_refused(decays, files, architecture, message, tmp_path):
    given = {"checkpoint": weights(tmp_path, files), "architecture": Architecture(**architecture)}
    with pytest.raises(ArgumentError, match=message):
        Settings(decays=decays, **given)


def test_the_settings_are_told_without_the_networks():
    asked = Settings(layer="layers.4", pairs=9, batch_size=3, seed=5, rule=RGA(beta=3, gamma=0.1))
    rule = {"beta": 3.0, "gamma": 0.1}
    told = {"layer": "layers.4", "pairs": 9, "batch_size": 3, "seed": 5, "rule": rule}
    assert asked.as_dict() == told
