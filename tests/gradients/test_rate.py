"""Engine of the rate rules: collapsed, time-resolved and naive agree, and it knows when not to."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from art_snn import HART, IF, LIF, RGA, Direct, Frames, SpikingNetwork, TimeDistributed
from art_snn.gradients import RateGradient, Trace
from art_snn.running.context import RUN
from tests.architectures import AFFINE, Switch, batch, chain, max_pooled, network
from tests.gradients.ways import by_collapse, by_steps
from tests.oracles import assert_close, assert_same_spikes, naive, result, rga_neuron
from tests.seeds import varied

# Neurons that fire now and then: a pool of neurons that all fire or all rest passes for affine.
VARIED = {"decay": 0.9, "threshold": 0.75}


@dataclass(frozen=True)
class Watched(RateGradient):
    """A rule that does what `rule` does and notes every trace that it is asked about."""

    rule: RateGradient = field(default_factory=RGA)
    traces: list[Trace] = field(default_factory=list, compare=False)

    def slope(self, trace: Trace) -> Tensor:
        self.traces.append(trace)
        return self.rule.slope(trace)


def refuse(x):
    if x.shape[0] == 1:
        raise RuntimeError("I need my four steps")


@pytest.mark.parametrize(
    ("steps", "samples", "reason"),
    [(1, 3, "with one time step there is nothing to average"), (4, 0, "the batch is empty")],
)
def test_nothing_to_average_runs_time_resolved_and_teaches_nothing(steps, samples, reason):
    net = network(chain, encoder=Direct(steps))
    net(batch(samples).requires_grad_())
    assert str(net.execution) == f"time-resolved: {reason}"
    assert net.body.probe_results == {}


REFUSED = {
    "max pool": (max_pooled, "the layers before neuron layers.3 are not affine: their output on"),
    "readout": (
        lambda neuron: nn.Sequential(chain(neuron), TimeDistributed(nn.Softmax(1))),
        "the layers before the logits are not affine",
    ),
    "one step": (
        lambda neuron: nn.Sequential(Switch(refuse), chain(neuron)),
        "the replay failed (RuntimeError: I need my four steps)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_where_layers_are_not_affine_it_runs_time_resolved_and_equals_the_naive_loop(case):
    layers, reason = REFUSED[case]
    net = network(layers, **VARIED, gradient=Watched())
    # On zeros layers may look affine.
    net(torch.zeros(3, 2, 6, 6, dtype=torch.float64).requires_grad_())
    x = batch(16)
    got, expected = result(net, x), naive(net, x, rga_neuron)
    assert net.execution.kind == "time-resolved"
    assert net.execution.reason.startswith(reason)
    assert net.execution.reason in net.body.probe_results.values()
    assert_same_spikes(got, expected)
    assert_close(got, expected, 1e-12)
    assert RUN.get().firing is None
    # A second time it is not recorded before.
    net(x.requires_grad_())
    net.gradient.traces.clear()
    net(x)
    assert len(net.gradient.traces) == len(net.body.neurons())
    assert net.execution.reason.startswith(reason)


@pytest.mark.parametrize("training", ["norm", "dropout"])
def test_layers_in_training_mode_run_time_resolved_and_once(training):
    dropout = lambda neuron: nn.Sequential(TimeDistributed(nn.Dropout()), chain(neuron))  # noqa: E731
    net = network(AFFINE["residual"] if training == "norm" else dropout).train()
    first, x = net.layers[0].module, batch().requires_grad_()
    if training == "norm":
        mean, convolved = first[1].running_mean.clone(), first[0](x).mean((0, 2, 3))
    logits = net(x)
    name = f"layers.0.module.{1 if training == 'norm' else 0}"
    words = f"the output of {name} differs from call to call, or from step to step"
    assert str(net.execution) == f"time-resolved: {words}"
    assert net.body.probe_results == {}
    if training == "norm":
        norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
        assert all(m.num_batches_tracked == 1 for m in norms)
        torch.testing.assert_close(first[1].running_mean, 0.9 * mean + 0.1 * convolved)
    assert torch.autograd.grad(logits.sum(), x)[0].abs().sum() > 0
    net.eval()
    net(x)
    assert net.execution.kind == "collapsed"


CUTTING = [(nn.ReLU(), [0.25, 0.5]), (nn.MaxPool1d(2), [0.25, 0.25])]


@pytest.mark.parametrize(("layer", "expected"), CUTTING, ids=["ReLU", "MaxPool1d"])
def test_a_layer_that_changes_no_spike_but_cuts_gradients_is_refused(layer, expected):
    # On spikes a ReLU is the identity, and this pool's second input contains the first.
    net = SpikingNetwork([IF(), TimeDistributed(layer)], Direct(4), RGA())
    x = torch.tensor([[[0.6, 1.5]]], requires_grad=True)
    (grad,) = torch.autograd.grad(net(x).sum(), x)
    assert net.execution.kind == "time-resolved"
    assert grad.flatten().tolist() == pytest.approx(expected)


class Branch(nn.Module):
    """x + scale * Linear(ReLU(x)): affine only while the scale is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(5, 5, dtype=torch.float64)
        self.scale = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.leak = nn.LeakyReLU(0.0)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.linear(self.leak(x))


def test_a_network_is_probed_anew_when_weights_settings_or_layers_have_changed():
    torch.manual_seed(varied())
    first = TimeDistributed(nn.Flatten(), nn.Linear(72, 5)).double()
    last = TimeDistributed(nn.Linear(5, 3)).double()
    layers = [first, LIF(threshold=0.2), Branch(), LIF(threshold=0.2), last]
    branched = SpikingNetwork(layers, Direct(4), "rga")
    branch = branched.layers[2]

    def kind():
        result(branched, batch())
        return branched.execution.kind

    assert kind() == "collapsed"
    with torch.no_grad():
        branch.scale.fill_(3)
    assert kind() == "time-resolved"
    branch.leak.negative_slope = 1.0
    assert kind() == "collapsed"
    branch.leak.negative_slope = 0.0
    assert kind() == "time-resolved"
    branched.layers[2] = nn.Identity()
    assert kind() == "collapsed"


def test_the_probe_leaves_the_random_state_alone_and_runs_once_per_shape():
    net = network(AFFINE["residual"])
    x = batch()
    state = torch.get_rng_state()
    net(x.requires_grad_())
    assert torch.equal(torch.get_rng_state(), state)
    net(batch(2).requires_grad_())
    assert list(net.body.probe_results.values()) == [None]


def test_an_error_of_the_rule_is_raised_and_not_held_against_the_layers():
    class Failing(RGA):
        def slope(self, trace):
            raise ValueError("slope: of mine")

    net = network(chain)
    with pytest.raises(ValueError, match=r"^slope: "), net.using(Failing()):
        net(batch().requires_grad_())
    net(batch().requires_grad_())
    assert net.execution.kind == "collapsed"


@pytest.mark.parametrize("error", [MemoryError, torch.cuda.OutOfMemoryError])
def test_running_out_of_memory_is_raised_and_not_held_against_the_layers(error):
    full = [True]

    def refuse(x):
        if full[0] and x.shape[0] == 1:
            raise error("full")

    net = network(lambda neuron: nn.Sequential(Switch(refuse), chain(neuron)))
    with pytest.raises(error, match="full"):
        net(batch().requires_grad_())
    full[0] = False
    net(batch().requires_grad_())
    assert net.execution.kind == "collapsed"


def test_half_precision_runs_time_resolved_and_leaves_single_precision_alone():
    net = network(chain).float()
    with torch.autocast("cpu", torch.bfloat16):
        net(batch(dtype=torch.float32).requires_grad_())
    assert "half precision" in net.execution.reason
    net(batch(dtype=torch.float32).requires_grad_())
    assert net.execution.kind == "collapsed"
    net.bfloat16()(batch().requires_grad_())
    assert "half precision" in net.execution.reason


def test_a_layer_of_many_blocks_has_the_gradient_of_its_samples_one_by_one():
    # Four steps of one sample fill a block.
    net = network(lambda neuron: nn.Sequential(neuron()), encoder=Frames(4))
    frames = torch.rand(3, 4, 2**18)

    def gradient(way, samples):
        leaf = samples.clone().requires_grad_()
        return torch.autograd.grad(way(net, HART())(net.body.encode(leaf)).sum(), leaf)[0]

    together = gradient(by_collapse, frames)
    alone = [gradient(by_collapse, sample[None]) for sample in frames]
    assert torch.equal(together, torch.cat(alone))
    torch.testing.assert_close(together, gradient(by_steps, frames))
