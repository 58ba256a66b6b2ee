"""The models of the package have sound bounds, with images and with event frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from art_snn.models import resnet17, sew_resnet17, vgg5, vgg_dvs
from tests.bounds.drawn import Drawn
from tests.bounds.soundness import Tally, check
from tests.conftest import varied

SMALL = {"width": 0.06, "classes": 4, "image_size": 8}
MODELS = {
    "vgg5": (lambda: vgg5(steps=3, mean=(0.4,) * 3, std=(0.3,) * 3, **SMALL), 1e-3),
    "vgg5 IF soft": (lambda: vgg5(steps=4, decay=1, reset="soft", **SMALL), 2e-3),
    "resnet17": (lambda: resnet17(steps=2, **SMALL), 1e-4),
    "sew-resnet17": (lambda: sew_resnet17(steps=2, **SMALL), 1e-4),
    "sew-resnet17 soft": (lambda: sew_resnet17(steps=2, reset="soft", **SMALL), 1e-4),
    "vgg-dvs": (lambda: vgg_dvs(steps=2, **SMALL), 1e-3),
}


@pytest.mark.parametrize("norm", [np.inf, 2])
@pytest.mark.parametrize("name", MODELS)
def test_models_have_sound_bounds(name, norm):
    make, eps = MODELS[name]
    torch.manual_seed(varied(2))
    network = make()
    with torch.no_grad():
        x = torch.rand(4, *network.input_shape)
        for _ in range(3):  # Statistics of batch norms.
            network.train()(x)
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.bias.data.fill_(0.4)
    tally = Tally()
    check(Drawn(network, x, eps, norm, name), tally, count=6, rules=("rga",))
    assert tally.points == 40


def test_flips_of_event_frames_have_sound_bounds():
    torch.manual_seed(varied(4))
    network = vgg_dvs(steps=2, **SMALL).eval()
    x = (torch.rand(4, *network.input_shape) > 0.7).float()
    check(Drawn(network, x, 2, 0, "vgg-dvs"), Tally(), count=20)
