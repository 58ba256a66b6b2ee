"""A gradient belongs to the network as it is now, whatever was done to it, and in whichever way."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed
from art_snn.engine.body import LayeredBody
from art_snn.interop import adapt
from art_snn.running.digests import digest_tensors
from tests.interop.neurons import Learned, Steps
from tests.interop.stacks import Stack

SHAPE = (2, 6, 6)


class Gain(nn.Module):
    """Multiplies by an attribute that its repr does not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.nested, self.scale = 1.0, {"of": [1.0]}, torch.tensor(1.0)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain * self.nested["of"][0] * self.scale


class Counter(nn.Module):
    """Writes on itself in every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.last = x.detach()
        return x * 1.0


def ours(*more: nn.Module) -> SpikingNetwork:
    torch.manual_seed(0)
    convolution = TimeDistributed(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4))
    pooling = TimeDistributed(nn.AvgPool2d(2), nn.Flatten())
    parts = [convolution, LIF(), Gain(), *more, pooling, TimeDistributed(nn.Linear(36, 3))]
    net = SpikingNetwork(parts, Direct(4)).eval()
    with torch.no_grad():
        net.layers[0].module[0].weight.mul_(3)
    return net


def known() -> SpikingNetwork:
    """A network without a layer of the user's."""
    net = ours()
    net.layers[2] = nn.Identity()
    return net


def learned() -> SpikingNetwork:
    return adapt(Stack(Learned).float(), steps=4)


def registered() -> SpikingNetwork:
    return adapt(Stack(Steps, 2.0).float(), steps=4)


def weight(net: SpikingNetwork) -> nn.Parameter:
    return net.layers[0].module[0].weight


def norm(net: SpikingNetwork) -> nn.BatchNorm2d:
    return net.layers[0].module[1]


def put(of: Callable[[Any], Any], name: str, value: object) -> Callable[[Any], None]:
    return lambda net: setattr(of(net), name, value)


def again(net: SpikingNetwork) -> None:
    """New tensors, of which the last may lie where an earlier one did."""
    for _ in range(2):
        weight(net).data = weight(net).data * 1.3


def doubled(module: nn.Module, given: Any, out: Tensor) -> Tensor:
    return 2 * out


def doubled_input(module: nn.Module, tensors: tuple[Tensor, ...], *_: Any) -> tuple[Tensor]:
    return (2 * tensors[0],)


def exchanged(net: SpikingNetwork) -> None:
    """One hook, and then another in its place."""
    handles = getattr(net, "handles", [])
    for handle in handles:
        handle.remove()
    factor = 2.0 + len(handles)
    hook = net.layers[2].register_forward_hook(lambda _m, _x, out: factor * out)
    net.handles = [*handles, hook]


LAYER = (lambda net: net.layers[2], lambda net: net.layers[3].module[0])
NEURON = lambda net: net.layers.neuron1  # noqa: E731
EDITS: dict[str, tuple[Callable[[], SpikingNetwork], Callable[[Any], object]]] = {
    "data.mul_": (ours, lambda net: weight(net).data.mul_(-1)),
    "data.copy_": (ours, lambda net: weight(net).data.copy_(weight(net).data.flip(0))),
    "data.clamp_": (ours, lambda net: weight(net).data.clamp_(-0.1, 0.1)),
    "numpy": (ours, lambda net: weight(net).detach().numpy().__imul__(-0.5)),
    "running mean": (ours, lambda net: norm(net).running_mean.data.add_(0.7)),
    "running variance": (ours, lambda net: norm(net).running_var.data.mul_(0.2)),
    "address": (ours, again),
    "plain attribute": (ours, put(LAYER[0], "gain", 2.0)),
    "attribute inside": (ours, lambda net: LAYER[0](net).nested["of"].__setitem__(0, 2.0)),
    "tensor attribute": (ours, lambda net: LAYER[0](net).scale.data.mul_(2)),
    "divisor": (ours, put(LAYER[1], "divisor_override", 1)),
    "pre hook": (ours, lambda net: LAYER[0](net).register_forward_pre_hook(doubled_input)),
    "hook": (ours, lambda net: LAYER[0](net).register_forward_hook(doubled)),
    "another hook": (ours, exchanged),
    "backward hook": (ours, lambda net: LAYER[0](net).register_full_backward_hook(doubled_input)),
    "threshold": (registered, put(NEURON, "threshold", 0.3)),
    "decay": (registered, put(NEURON, "decay", 0.95)),
    "data of a learned decay": (learned, lambda net: net.layers.neuron1.decay.data.add_(0.3)),
    "readout": (registered, put(lambda net: net.body, "readout", "sum")),
}
EDITS |= {f"known, {name}": (known, EDITS[name][1]) for name in ("data.mul_", "divisor", "address")}
SEEN: dict[str, Callable[[Any], object]] = {
    "in place": lambda net: weight(net).detach().mul_(-1),
    "another weight": lambda net: setattr(
        net.layers[0].module[0], "weight", nn.Parameter(weight(net).detach() * 2)
    ),
    "loaded": lambda net: net.load_state_dict({k: v + 0.1 for k, v in net.state_dict().items()}),
    "running mean": lambda net: norm(net).running_mean.add_(0.7),
    "epsilon": put(norm, "eps", 3.0),
    "another layer": lambda net: net.layers.__setitem__(2, TimeDistributed(nn.AvgPool2d(3, 1, 1))),
    "another neuron": lambda net: net.layers.__setitem__(1, LIF(0.9, 0.4)),
    **{name: EDITS[name][1] for name in ("divisor", "pre hook", "hook", "backward hook")},
}
"""Edits that are seen also within an attack; there no values of weights are read."""
REPEATED = ("address", "another hook", "known, address")
"""Edits of which one more may lie where an earlier one did."""


def sample(net: SpikingNetwork) -> Tensor:
    shape = SHAPE if isinstance(net.body, LayeredBody) else (1, 3, 3)
    return torch.rand(5, *shape, generator=torch.Generator().manual_seed(1))


def gradient(net: SpikingNetwork, rule: str) -> Tensor:
    x = sample(net).requires_grad_()
    with net.using(rule):
        logits = net(x)
    factors = torch.linspace(-1, 1.3, logits.shape[1])
    return torch.autograd.grad((logits * factors).sum(), x)[0]


@pytest.mark.parametrize("rule", ["rga", "assg"])
@pytest.mark.parametrize("name", EDITS)
def test_after_an_edit_the_gradient_is_that_of_a_network_made_so(name, rule):
    make, edit = EDITS[name]
    edited = make()
    for times in (1, 2, 3) if name in REPEATED else (1,):
        before = gradient(edited, rule)
        edit(edited)
        fresh = make()
        for _ in range(times):
            edit(fresh)
        after, wanted = gradient(edited, rule), gradient(fresh, rule)
        assert torch.equal(after, wanted)
        assert not torch.equal(before, after)


@pytest.mark.parametrize("rule", ["rga", "stbp", "assg"])
@pytest.mark.parametrize("name", SEEN)
def test_within_an_attack_an_edit_is_seen_at_the_next_pass(name, rule):
    edited, fresh = known(), known()
    with edited.attacking(None):
        before, _ = (gradient(edited, rule) for _ in range(2))
        SEEN[name](edited)
        after = gradient(edited, rule)
        with torch.no_grad():
            logits = edited(sample(edited))
    SEEN[name](fresh)
    assert torch.equal(after, gradient(fresh, rule))
    assert not torch.equal(before, after)
    with torch.no_grad():
        assert torch.equal(logits, fresh(sample(fresh)))


def test_what_passes_write_on_modules_is_no_edit(monkeypatch):
    """A moment of ASSG goes on, and answers of the probe are kept."""
    net, plain = ours(Counter()), ours(nn.Identity())
    for _ in range(3):
        assert torch.equal(gradient(net, "assg"), gradient(plain, "assg"))
        with torch.no_grad():
            net(sample(net))
        gradient(net, "rga")
    monkeypatch.setattr("art_snn.gradients.rate.probe", None)
    gradient(net, "rga")
    assert net.execution.kind == "collapsed"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("size", [3, 17 * 1024 + 3])
def test_one_value_more_or_less_has_other_bits_also_beside_what_is_not_finite(dtype, size):
    tensor = torch.randn(size).mul_(50).to(dtype)
    broken = tensor.clone()
    if dtype.is_floating_point:
        broken[0], broken[2] = torch.nan, torch.inf
    for whole, places in ((tensor, (0, size // 2, size - 1)), (broken, (1,))):
        before = digest_tensors([whole])
        assert digest_tensors([whole.clone()]) == before
        for place in places:
            other = whole.clone()
            other[place] = -other[place] - 1
            assert digest_tensors([other]) != before
    assert digest_tensors([tensor.flip(0)]) != digest_tensors([tensor])
