"""What distinguishes networks of the user from others, next to their weights."""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from art_snn.identity import attributes, code, identity
from torch import nn

from art_snn import LIF, SpikingNetwork, TimeDistributed
from art_snn.interop import adapt
from tests import adapted
from tests.command import python


class Scale(nn.Module):
    """A layer with all that its repr does not tell."""

    def __init__(self, **values):
        super().__init__()
        vars(self).update(values)

    def forward(self, x):
        return x


class Doubled(Scale):
    def forward(self, x):
        return 2 * x


class Sealed:
    __slots__ = ()


def network(layer=None):
    layers = [TimeDistributed(nn.Linear(3, 3)), LIF(), layer or Scale()]
    return SpikingNetwork(layers, input_shape=(3,))


def buffered(value):
    layer = Scale()
    layer.register_buffer("mask", torch.full((2,), value), persistent=False)
    return layer


def hooked(value):
    layer = Scale()
    layer.register_forward_hook(lambda module, x, y: y + value)
    return layer


def around(value):
    return Scale(function=lambda x: x + value)


PAIRS = {
    "number": (Scale(gain=1.0), Scale(gain=2.0)),
    "list": (Scale(gains=[1, {"a": 2}]), Scale(gains=[1, {"a": 3}])),
    "set": (Scale(names={"a", "b"}), Scale(names={"a", "c"})),
    "array": (Scale(mask=np.ones(3)), Scale(mask=np.zeros(3))),
    "tensor": (Scale(mask=torch.ones(3).bfloat16()), Scale(mask=torch.zeros(3).bfloat16())),
    "object": (Scale(inner=buffered(1.0)), Scale(inner=buffered(2.0))),
    "standard object": (Scale(it=SimpleNamespace(a=1)), Scale(it=SimpleNamespace(a=2))),
    "buffer that is not saved": (buffered(1.0), buffered(2.0)),
    "hook": (hooked(1), hooked(2)),
    "closure": (around(1), around(2)),
    "lambda": (Scale(function=lambda x: x[0]), Scale(function=lambda x: x[1])),
    "part": (Scale(function=partial(pow, exp=2)), Scale(function=partial(pow, exp=3))),
    "setting of torch's": tuple(nn.AvgPool2d(1, divisor_override=n) for n in (1, 2)),
}


@pytest.mark.parametrize(("one", "other"), PAIRS.values(), ids=PAIRS)
def test_values_that_no_repr_and_no_checkpoint_tells_are_told_but_neither_weights_nor_modes(
    one, other
):
    assert attributes(network(one).train()) == attributes(network(one).eval())
    assert attributes(network(one)) != attributes(network(other))


ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "value", [Sealed(), torch.ones(2).to_sparse(), torch.Generator(), sys, ENDLESS]
)
def test_anything_else_is_described_somehow(value):
    assert attributes(network(Scale(value=value))) == attributes(network(Scale(value=value)))


def test_layers_of_ours_have_no_code_of_their_own():
    bare = SpikingNetwork([TimeDistributed(nn.Linear(3, 3)), LIF()], input_shape=(3,))
    assert code(bare) == ()
    assert identity(bare) == bare.form
    bare.origin = "a file"
    assert identity(bare) != bare.form


def test_another_method_is_another_code_also_where_the_name_is_the_same(monkeypatch):
    class Calling(nn.Module):
        def forward(self, x):
            return called(x)

    plain, doubled, calling = (code(network(of())) for of in (Scale, Doubled, Calling))
    assert plain == code(network())
    assert plain != doubled
    monkeypatch.setattr(Scale, "forward", Doubled.forward)
    assert code(network()) != plain
    monkeypatch.setitem(globals(), "called", lambda x: x + 1)
    assert code(network(Calling())) != calling


@pytest.mark.parametrize("others", [lambda outputs: outputs[1], partial(torch.sum, dim=0)])
def test_a_readout_is_code(others):
    made = [
        code(adapt(adapted.model(), steps=adapted.STEPS, readout=readout))
        for readout in (lambda outputs: outputs[0], lambda outputs: outputs[0], others)
    ]
    assert made[0] == made[1] != made[2]


def test_what_a_pass_leaves_in_a_model_is_no_code_of_it():
    network = adapted.network("step")
    before = identity(network)
    with torch.no_grad():
        network(torch.rand(2, *adapted.SHAPE))
    assert identity(network) == before


def called(x):
    return x


def test_it_is_the_same_in_every_process():
    line = "from tests.test_identity import *; n = network(PAIRS['set'][0]); "
    line += "print(attributes(n), code(n))"
    here = network(PAIRS["set"][0])
    there = python("-c", line, PYTHONHASHSEED="1")
    assert there.stdout == f"{attributes(here)} {code(here)}\n", there.stderr
