"""Residual networks: layers, sizes, gradients on both engines, and that the shortcuts count."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, Frames, SpikingNetwork
from art_snn.models import Residual, resnet17, sew_resnet17
from tests.architectures import of, settled
from tests.oracles import assert_close, assert_same_spikes, naive, result, rga_neuron
from tests.seeds import varied

BOTH = {"resnet17": resnet17, "sew_resnet17": sew_resnet17}
TINY = {"in_channels": 2, "classes": 3, "image_size": 8, "steps": 4, "width": 1 / 16}
STEPS = 4

both = pytest.mark.parametrize("build", BOTH.values(), ids=BOTH)


def lively(build: Any, **options: Any) -> SpikingNetwork:
    """A tiny network in float64 and evaluation mode, whose norms know the statistics of inputs."""
    torch.manual_seed(varied())
    net = settled(build(**TINY | {"decay": 0.9, "threshold": 0.75} | options))
    for norm in of(net, nn.BatchNorm1d | nn.BatchNorm2d):
        norm.momentum = 1.0
    with torch.no_grad():
        net.train()(inputs(8, frames=isinstance(net.encoder, Frames)))
    return net.eval()


def inputs(samples: int = 3, frames: bool = False) -> Tensor:
    torch.manual_seed(varied(1))
    return torch.rand((samples, *(STEPS,) * frames, 2, 8, 8)).double()


@both
def test_seventeen_layers_have_weights_and_two_shortcuts_a_convolution(build):
    with torch.device("meta"):
        net = build()
    weighted = of(net, nn.Conv2d | nn.Linear)
    short = [one for block in of(net, Residual) for one in of(block.shortcut, nn.Conv2d)]
    main = [module for module in weighted if module not in short]
    stem, *convolutions, hidden, readout = main
    assert (len(main), len(short)) == (17, 2)
    assert (stem.in_channels, stem.out_channels, stem.stride) == (3, 64, (1, 1))
    assert [c.out_channels for c in convolutions] == [64] * 6 + [128] * 8
    assert [c.in_channels for c in convolutions] == [64] * 7 + [128] * 7
    assert [c.stride[0] for c in convolutions] == [2] + [1] * 5 + [2] + [1] * 7
    assert {(c.kernel_size, c.padding) for c in [stem, *convolutions]} == {((3, 3), (1, 1))}
    assert [(c.in_channels, c.out_channels) for c in short] == [(64, 64), (64, 128)]
    assert {(c.kernel_size, c.padding, c.stride) for c in short} == {((1, 1), (0, 0), (2, 2))}
    assert (hidden.in_features, hidden.out_features) == (2048, 256)
    assert (readout.in_features, readout.out_features) == (256, 10)
    assert [m.bias is None for m in weighted] == [True] * 18 + [False]
    assert [n.num_features for n in of(net, nn.BatchNorm1d)] == [256]
    assert len(of(net, nn.BatchNorm2d)) == len(of(net, nn.Conv2d)) == 17
    assert len(of(net, nn.AvgPool2d)) == 1


def test_neurons_follow_the_sum_or_stand_in_both_of_its_branches():
    net, sew = resnet17(**TINY), sew_resnet17(**TINY)
    assert (len(of(net, LIF)), len(of(sew, LIF))) == (1 + 7 * 2, 1 + 7 * 2 + 2)
    assert all(len(of(net.layers, LIF)) == len(set(of(net.layers, LIF))) for net in (net, sew))
    for block in of(net, Residual):
        assert [type(m) is LIF for m in block.body] == [False, True, False]
        assert of(block.shortcut, LIF) == []
    for block in of(sew, Residual):
        assert [type(m) is LIF for m in block.body] == [False, True, False, True]
        assert [type(m) is LIF for m in block.shortcut] in ([], [False, True])
    kinds = [type(m) for m in net.layers]
    assert all(kinds[i + 1] is LIF for i, kind in enumerate(kinds) if kind is Residual)


@both
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_the_replayed_rga_equals_a_naive_loop(build, reset):
    net = lively(build, reset=reset)
    net.gradient = "rga"
    expected = naive(net, inputs(), rga_neuron)
    got = result(net, inputs())
    assert net.execution.kind == "collapsed"
    assert_same_spikes(got, expected)
    assert_close(got, expected, 1e-11)


@both
def test_every_weight_is_trained(build):
    net = lively(build).train()
    torch.nn.functional.cross_entropy(net(inputs()), torch.arange(3)).backward()
    for parameter in net.parameters():
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0


def recorded(net: SpikingNetwork, kind: type[nn.Module]) -> list[tuple[Tensor, Tensor]]:
    """(input, output) of every module of the kind in one simulation."""
    seen: list[tuple[Tensor, Tensor]] = []
    for module in of(net, kind):
        module.register_forward_hook(lambda _m, given, out: seen.append((given[0], out)))
    with torch.no_grad():
        net(inputs())
    return seen


@both
@pytest.mark.parametrize("index", [0, 1, 3, 6])
def test_with_a_silent_body_a_block_is_its_shortcut(build, index):
    net = lively(build)
    before = recorded(net, Residual)[index][1]
    block = of(net, Residual)[index]
    norm = of(block.body, nn.BatchNorm2d)[-1]
    nn.init.zeros_(norm.weight)
    nn.init.zeros_(norm.bias)
    given, out = recorded(net, Residual)[index]
    assert not torch.equal(out, before)
    with torch.no_grad():
        expected = block.shortcut(given)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=0)
    assert out.abs().max() > 0
    assert (block.shortcut(given) is given) == (index not in (0, 3))


def test_the_sums_of_sew_resnet17_are_counts_and_grow_by_one_from_block_to_block():
    sums = [out for _, out in recorded(lively(sew_resnet17), Residual)]
    most = [int(out.max()) for out in sums]
    assert all(torch.equal(out, out.round()) and out.min() >= 0 for out in sums)
    assert all(count <= bound for count, bound in zip(most, [2, 3, 4, 2, 3, 4, 5], strict=True))
    assert max(most) > 2


def test_what_leaves_a_block_of_resnet17_is_binary():
    net = lively(resnet17)
    assert {float(v) for _, out in recorded(net, LIF) for v in out.unique()} == {0.0, 1.0}
    assert any(not torch.equal(out, out.round()) for _, out in recorded(net, Residual))
