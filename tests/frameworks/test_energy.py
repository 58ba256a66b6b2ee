"""Operations of models of SpikingJelly are those that its own counter counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from art_snn.interop import adapt
from art_snn.metrics.energy import count_operations
from tests.bounds.random_networks import around


def test_operations_are_those_of_spikingjellys_counter():
    pytest.importorskip("spikingjelly.activation_based.op_counter")
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.op_counter import DispatchCounterMode, SynOpCounter

    torch.manual_seed(0)
    model = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1),
        neuron.LIFNode(v_threshold=0.2),
        layer.Conv2d(4, 6, 3, stride=2),
        neuron.IFNode(v_threshold=0.3),
        layer.Flatten(),
        layer.Linear(54, 5),
    ).eval()
    functional.set_step_mode(model, "m")
    x = torch.rand(1, 2, 8, 8)
    counted = count_operations(around(adapt(model, 4), (2, 8, 8), 5), x.numpy())
    counter = SynOpCounter()
    functional.reset_net(model)
    with torch.no_grad(), DispatchCounterMode([counter]):
        model(x.expand(4, *x.shape))
    assert counted[0, 1:, 1].sum() == counter.get_total()
    np.testing.assert_array_less(0, counted[:, :, 1])
