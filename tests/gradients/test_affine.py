"""What rounding of single precision on a card may hide, whichever interface of torch asked for it.

Torch keeps the settings of CUDA on machines without a card, too; a tensor there is stood in for.
"""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from art_snn.gradients import affine
from art_snn.gradients.affine import RELATIVE_TOLERANCE, TF32_TOLERANCE, tolerance
from tests.architectures import batch, chain, network

ON_CARD: Any = SimpleNamespace(is_cuda=True, dtype=torch.float32)


class Mixed:
    """Settings of torch since 2.9, where reading a flag raises once the others were set."""

    def __init__(self, precision: str) -> None:
        self.fp32_precision = precision

    @property
    def allow_tf32(self) -> bool:
        raise RuntimeError("a mix of the legacy and new APIs")


def backends(convolutions: Any, matrices: Any) -> Any:
    """What stands in the place of torch.backends."""
    return SimpleNamespace(cudnn=convolutions, cuda=SimpleNamespace(matmul=matrices))


FLAGS = [SimpleNamespace(allow_tf32=flag) for flag in (True, False)]
PRECISIONS = [Mixed(precision) for precision in ("tf32", "ieee", "none")]


@pytest.mark.parametrize(
    ("convolutions", "matrices"), [*product(FLAGS, repeat=2), *product(PRECISIONS, repeat=2)]
)
def test_either_flag_or_precision_widens_the_tolerance(convolutions, matrices, monkeypatch):
    cudnn = convolutions if convolutions in FLAGS else SimpleNamespace(conv=convolutions)
    monkeypatch.setattr(affine.torch, "backends", backends(cudnn, matrices))
    rounds = {id(FLAGS[0]), id(PRECISIONS[0])}
    widened = not rounds.isdisjoint({id(convolutions), id(matrices)})
    assert tolerance(ON_CARD) == (TF32_TOLERANCE if widened else RELATIVE_TOLERANCE)


def test_only_single_precision_on_a_card_is_rounded_so(monkeypatch):
    cudnn = SimpleNamespace(conv=Mixed("tf32"))
    monkeypatch.setattr(affine.torch, "backends", backends(cudnn, Mixed("tf32")))
    assert tolerance(torch.ones(1)) == RELATIVE_TOLERANCE
    double: Any = SimpleNamespace(is_cuda=True, dtype=torch.float64)
    assert tolerance(double) == RELATIVE_TOLERANCE


def test_what_was_found_out_under_another_tolerance_is_found_out_anew(monkeypatch):
    net = network(chain)
    x = batch().requires_grad_()
    net(x)
    assert list(net.obstacles.values()) == [None]
    monkeypatch.setattr(affine, "RELATIVE_TOLERANCE", -1.0)
    net(x)
    assert net.execution.kind == "time-resolved"
    assert len(net.obstacles) == 2
    monkeypatch.undo()
    net(x)
    assert net.execution.kind == "collapsed"
