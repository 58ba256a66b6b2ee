"""Examinations take samples and labels in any form that attacks take, or name what is wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from art_snn.attacks import AutoPGD
from art_snn.findings import examine, examine_attack, examine_strength
from tests.findings import broken
from tests.networks import build

SMALL: dict[str, Any] = {"eps": 0.1, "max_iter": 2, "verbose": False}
TAKING: dict[str, Callable[[Any, Any, Any], Any]] = {
    "examine": lambda c, x, y: examine(c, x, y, eps=0.1),
    "examine_strength": lambda c, x, y: examine_strength(
        c, x, y, eps=0.1, max_iter=20, square_iter=2
    ),
    "examine_attack": lambda c, x, y: examine_attack(AutoPGD(c, **SMALL), x, y, eps=0.1),
    "AutoPGD": lambda c, x, y: AutoPGD(c, **SMALL).generate(x, y),
}


@pytest.fixture(scope="module")
def samples(known: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of sixteen grey levels, which half precision holds exactly."""
    return known[0][:6], known[1][:6]


@pytest.mark.parametrize("work", TAKING)
def test_what_a_mask_hides_is_refused_by_name(work: str, trained_layers: Any, samples: Any) -> None:
    classifier, (x, y) = build(trained_layers), samples
    masked = {"x": np.ma.masked_array(x, x > 0.9), "y": np.ma.masked_array(y, y == y[0])}
    for name, array in masked.items():
        with pytest.raises(ValueError, match=rf"^{name}: .*hides no values"):
            TAKING[work](classifier, **{"x": x, "y": y} | {name: array})


@pytest.mark.parametrize("work", [name for name in TAKING if name != "AutoPGD"])
def test_a_network_is_afterwards_what_it_was(work: str, trained_layers: Any, samples: Any) -> None:
    network = broken.Learning(build(copy.deepcopy(trained_layers)).model)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    hooks = len(network._forward_hooks)
    TAKING[work](broken.around(network), *samples)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert len(network._forward_hooks) == hooks
