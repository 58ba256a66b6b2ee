"""Several threads on one card, and moves between the two."""

from __future__ import annotations

import pytest
import torch

from tests import small
from tests.faults.threads import WAYS, at_once

pytestmark = pytest.mark.gpu
FOUR = ("rga", "stbp", "hart", "pdsg")


@pytest.mark.parametrize("way", ["using", "gradient=", "attack"])
def test_four_threads_on_a_card_get_the_gradients_of_their_rules(way):
    classifier = small.classifier()
    classifier.set_params(device_type="gpu")
    x, y = small.samples(classifier)
    assert at_once(WAYS[way], classifier, FOUR, x, y, rounds=3) == []


def test_a_network_goes_from_card_to_card_with_its_gradients():
    network = small.classifier().model
    x = torch.rand(3, *small.SHAPE, dtype=torch.float64)
    gradients = []
    for place in ("cpu", "cuda:0", "cuda:1", "cpu"):
        leaf = x.clone().to(place).requires_grad_()
        network.to(place)(leaf).sum().backward()
        assert leaf.grad is not None
        assert leaf.grad.device == torch.device(place)
        gradients.append(leaf.grad.cpu())
    assert all(torch.equal(gradients[0], gradient) for gradient in gradients)
