"""The options that every model takes: widths, event frames, checks."""

import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from torch import nn

from art_snn import LIF, RGA, STBP, Direct, Frames, Poisson, SpikingNetwork
from art_snn.dynamics import Dynamics
from art_snn.layers import Normalize
from art_snn.models import MODELS, Options
from tests.architectures import of
from tests.seeds import varied

TINY = {"in_channels": 2, "classes": 3, "image_size": (8, 6), "width": 1 / 32}
SHAPE = (2, 8, 6)

every_model = pytest.mark.parametrize("name", MODELS)


def build(name: str, **options: Any) -> SpikingNetwork:
    torch.manual_seed(varied())
    return MODELS[name](**TINY | options).eval()


@given(st.integers(1, 4096), st.fractions("1/1000", 4))
def test_a_scaled_width_is_the_nearest_whole_number_but_at_least_one(channels, width):
    scaled = Options(width=float(width)).scale(channels)
    exact = Fraction(channels) * Fraction(float(width))
    assert scaled >= 1
    assert abs(scaled - exact) <= Fraction(1, 2) + Fraction(1, 10**9) or (exact < 1 and scaled == 1)


@every_model
def test_all_widths_but_those_of_input_and_classes_are_scaled(name):
    with torch.device("meta"):
        whole, half = MODELS[name](), MODELS[name](width=0.5)
    norms = [of(net, nn.BatchNorm2d | nn.BatchNorm1d) for net in (whole, half)]
    for one, other in zip(*norms, strict=True):
        assert one.num_features == 2 * other.num_features
    linears = [[m.out_features for m in of(net, nn.Linear)] for net in (whole, half)]
    assert linears[0][:-1] == [2 * features for features in linears[1][:-1]]
    assert linears[0][-1] == linears[1][-1] == 10


@every_model
@pytest.mark.parametrize("frames", [Frames(3), Frames()], ids=str)
def test_every_model_takes_event_frames_and_refuses_images_in_their_place(name, frames):
    net = build(name, encoder=frames, gradient="rga")
    x = torch.rand(2, 3, *SHAPE, requires_grad=True)
    logits = net(x)
    assert logits.shape == (2, 3)
    assert torch.autograd.grad(logits.sum(), x)[0].shape == x.shape
    assert net.execution.kind == "collapsed"
    count = re.escape(str(frames.steps or "any"))
    other = ((4, *SHAPE),) if frames.steps else ()
    for wrong in (SHAPE, (3, 1, 8, 6), (3, 2, 6, 8), (1, 3, *SHAPE), *other):
        with pytest.raises(ValueError, match=rf"^x: .*\[N, {count}, 2, 8, 6\]"):
            net(torch.zeros(2, *wrong))


@every_model
@pytest.mark.parametrize("encoder", [Direct(2), Poisson(2)], ids=str)
def test_every_model_takes_images_and_refuses_frames_in_their_place(name, encoder):
    net = build(name, encoder=encoder, steps=7)
    assert net.encoder is encoder
    assert net(torch.zeros(2, *SHAPE)).shape == (2, 3)
    with pytest.raises(ValueError, match=r"^x: .*\[N, 2, 8, 6\]"):
        net(torch.zeros(2, 2, *SHAPE))


@every_model
@pytest.mark.parametrize("size", [1, 2, 9, 16, (7, 5), (1, 17)], ids=str)
def test_images_of_any_size_pass_and_are_replayed(name, size):
    if name == "shallow" and np.min(size) == 1:
        pytest.skip("kernels of 4x4 need two pixels")
    net = build(name, image_size=size, encoder=Direct(2), in_channels=1, gradient="rga")
    sides = (size, size) if isinstance(size, int) else size
    x = torch.rand(2, 1, *sides, requires_grad=True)
    logits = net(x)
    assert logits.shape == (2, 3)
    assert torch.autograd.grad(logits.sum(), x)[0].shape == x.shape
    assert net.execution.kind == "collapsed"


def test_the_input_of_an_encoder_of_one_s_own_is_not_checked():
    net = build("vgg5", encoder=lambda x: x[None, :, :, :-1].expand(3, -1, -1, -1, -1))
    assert net.input_shape is None
    assert net(torch.zeros(2, 2, 9, 6)).shape == (2, 3)


@every_model
def test_neurons_rules_steps_and_normalisation_are_those_that_were_asked_for(name):
    neuron = {"decay": 0.9, "threshold": 0.5, "reset": "soft"}
    rules = {"gradient": "stbp", "training_gradient": RGA()}
    net = build(name, steps=3, mean=(0.1, 0.2), std=(0.5, 2), **neuron, **rules)
    assert (net.gradient, net.training_gradient) == (STBP(), RGA())
    assert {m.dynamics for m in of(net, LIF)} == {Dynamics(0.9, 0.5, "soft")}
    assert net.encoder.steps == 3
    (normalize,) = of(net, Normalize)
    assert normalize is net.layers[0].module[0]
    assert normalize.mean.tolist() == pytest.approx([0.1, 0.2])
    assert normalize.std.tolist() == [0.5, 2]


REFUSED = [
    *((("width", v), "above 0") for v in (0, -1.0, float("nan"), float("inf"), "half", True)),
    *((("in_channels", v), ">= 1") for v in (0, 2.0)),
    *((("classes", v), ">= 1") for v in (0, 2.0)),
    *((("image_size", v), ">= 1") for v in (0, 8.0, True, (8, 0), (8, -1), (8.5, 8))),
    *((("image_size", v), "a side, or") for v in ((8,), (2, 8, 8))),
    (("mean", (0.5,)), "2 numbers each.* got 1 and 2"),
    (("std", (0.5, 1.0, 1.0)), "2 numbers each.* got 2 and 3"),
    (("std", (1.0, 0.0)), "2 numbers above 0"),
    (("steps", 0), ">= 1"),
    *((("decay", v), "of at least 0 and at most 1") for v in (-0.5, 2)),
    (("threshold", 0), "above 0"),
    (("reset", "none"), "one of hard, soft"),
    *(((name, "rag"), "one of 'stbp'") for name in ("gradient", "training_gradient")),
]


@every_model
@pytest.mark.parametrize(("option", "word"), REFUSED, ids=str)
def test_options_out_of_range_are_refused_by_every_model(name, option, word):
    with pytest.raises(ValueError, match=rf"{option[0]}.*: expected .*{word}"):
        build(name, **dict([option]))
