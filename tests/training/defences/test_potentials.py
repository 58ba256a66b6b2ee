"""Losses on potentials, currents and spikes: values by hand, gradients by a loop in autograd."""

from math import cos, pi
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, RGA, STBP, Direct, Frames, SpikingNetwork, TimeDistributed as Timed
from art_snn.dynamics import Dynamics
from art_snn.interop import adapt
from art_snn.layers import dtype_of
from art_snn.metrics import synaptic_operations
from art_snn.modulation import Gains
from art_snn.neurons import Neuron
from art_snn.training import AdversarialTraining, Recipe, train
from art_snn.training.defences import AT, MPDSGR, MPPD, TGO, Learner, Operations
from art_snn.training.defences.base import gaps, run_watched
from art_snn.training.defences.mpd_sgr import share_within
from tests.classifiers import classifier, samples
from tests.interop.stacks import INPUTS
from tests.interop.test_equations import CASES
from tests.seeds import varied

STEPS = 4
WATCHING = [MPDSGR(weight=0.7), TGO(weight=2), MPPD(weight=3), MPPD(kind="l2", clean=0.2)]
NEURONS = {
    "hard": Dynamics(),
    "soft": Dynamics(0.9, 0.8, "soft"),
    "none": Dynamics(0.5, 1.0, "none"),
    "no leak": Dynamics(1.0),
    "strict": Dynamics(0.5, 1.0, strict=True, v_reset=-0.1, gain=1.5, constant=0.1),
    "max_spikes": Dynamics(0.9, 0.5, "soft", max_spikes=3, floor=-0.3),
}


def network(dynamics: Dynamics, rule: Any = "stbp") -> SpikingNetwork:
    torch.manual_seed(varied())
    first, middle = Timed(nn.Conv2d(1, 3, 3, padding=1)), Timed(nn.Flatten(), nn.Linear(48, 6))
    layers = [first, Neuron(dynamics), middle, Neuron(dynamics), Timed(nn.Linear(6, 3))]
    with torch.no_grad():
        layers[0].module[0].weight.mul_(4)
        layers[2].module[1].weight.mul_(3)
    return SpikingNetwork(layers, Direct(STEPS), "stbp", rule)


def batch() -> tuple[Tensor, Tensor, Tensor]:
    x = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(varied(1)))
    noise = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(varied(2)))
    return x, x + 0.3 * noise, torch.arange(5) % 3


class Spike(torch.autograd.Function):
    """A step with the slope of the triangle of width 1, of the sum over thresholds."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, dynamics: Dynamics) -> Tensor:
        ctx.dynamics = dynamics
        ctx.save_for_backward(u)
        if dynamics.strict:
            return (u > dynamics.threshold).to(u.dtype)
        return (u / dynamics.threshold).floor().clamp(0, dynamics.max_spikes)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (u,), dynamics = ctx.saved_tensors, ctx.dynamics
        thresholds = [(k + 1) * dynamics.threshold for k in range(dynamics.max_spikes)]
        return grad * sum((1 - (u - z).abs()).clamp(min=0) for z in thresholds), None


def naive(net, dynamics, x, detach=False):
    """Logits, and currents and potentials of both layers [T, N, ...], by a loop over time."""
    first, second, last = (net.layers[i].module for i in (0, 2, 4))
    v, seen, outputs = [dynamics.v_start, dynamics.v_start], ([], [], [], []), []
    for _ in range(STEPS):
        x_in = first(x)
        for layer, read in enumerate((second, last)):
            u = dynamics.decay * v[layer] + dynamics.gain * x_in + dynamics.constant
            fired = Spike.apply(u, dynamics)
            s = fired.detach() if detach else fired
            seen[2 * layer].append(x_in)
            seen[2 * layer + 1].append(u)
            after = {"hard": u * (1 - s) + dynamics.v_reset * s, "none": u}
            v[layer] = after.get(dynamics.reset, u - dynamics.threshold * s)
            if dynamics.floor is not None:
                v[layer] = v[layer].clamp(min=dynamics.floor)
            x_in = read(fired)
        outputs.append(x_in)
    return torch.stack(outputs).mean(0), [torch.stack(part) for part in seen]


def by_hand(defence, net, dynamics, p, detach=False):
    x, adversarial, y = (part.double() if part.is_floating_point() else part for part in batch())
    (clean, before), (attacked, after) = (naive(net, dynamics, z, detach) for z in (x, adversarial))
    entropy = nn.functional.cross_entropy(attacked, y)
    distances = [u - dynamics.threshold for u in after[1::2]]
    if isinstance(defence, TGO):
        lacks = [(0.3 - z.abs()).clamp(min=0).mean() for z in distances]
        return entropy + defence.weight * (1 - cos(pi * p)) / 2 * sum(lacks)
    if isinstance(defence, MPDSGR):
        normal, shares = torch.distributions.Normal(0.0, 1.0), []
        for z in distances:
            channels = z.transpose(1, 2).flatten(2)
            mean, std = channels.mean(2), (channels.var(2, unbiased=False) + 1e-5).sqrt()
            shares.append((normal.cdf((mean + 1) / std) - normal.cdf((mean - 1) / std)).mean())
        return entropy + defence.weight * sum(shares) / 2
    potential, total = 0.0, []
    for a, b in zip(before[2].detach(), after[2], strict=True):
        potential = dynamics.decay * potential + a - b
        total.append(potential.abs() if defence.kind == "l1" else potential**2)
    k = defence.clean
    mixed = k * nn.functional.cross_entropy(clean, y) + (1 - k) * entropy
    return mixed + defence.weight * torch.stack(total).mean()


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("dynamics", NEURONS.values(), ids=NEURONS)
@pytest.mark.parametrize("defence", WATCHING, ids=str)
def test_value_and_gradient_are_those_of_a_loop_in_plain_autograd(defence, dynamics, detach):
    net, (x, adversarial, y) = network(dynamics, STBP(detach_reset=detach)).double(), batch()
    loss = defence.loss(Learner(net.train(), progress=0.3), x.double(), adversarial.double(), y)
    expected = by_hand(defence, net, dynamics, 0.3, detach)
    weights = list(net.parameters())
    found, wanted = (torch.autograd.grad(z, weights) for z in (loss, expected))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
        assert ours.abs().max() > 0


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("dynamics", NEURONS.values(), ids=NEURONS)
def test_spikes_follow_from_the_potentials_and_logits_are_as_ever(dynamics, dtype):
    net, (x, _, _) = network(dynamics).train(), batch()
    learner = Learner(net, dtype)
    logits, layers = run_watched(learner, x)
    assert torch.equal(logits, learner(x))
    for (site, current, spikes, potential), gap in zip(layers, gaps(layers), strict=True):
        assert torch.equal(dynamics.fire(potential.detach()), spikes)
        assert torch.equal(site.dynamics.simulate(current.detach()), spikes)
        assert gap.dtype == torch.float32
        fires = gap > 0 if dynamics.strict else gap >= 0
        assert dtype or torch.equal(fires, spikes > 0)
        assert 0 < spikes.mean() < dynamics.max_spikes


@pytest.mark.parametrize(
    ("mean", "deviation", "share"), [(-1, 0.5, 0.499968), (0, 1, 0.682689), (-2, 0.5, 0.022750)]
)
def test_the_share_of_normal_potentials_within_the_band(mean, deviation, share):
    mu = torch.tensor(float(mean), dtype=torch.float64, requires_grad=True)
    found = share_within(mu, torch.tensor(deviation, dtype=torch.float64), 1.0)
    assert found.item() == pytest.approx(share, abs=1e-6)
    if mean == -1:
        assert torch.autograd.grad(found, mu)[0].item() == pytest.approx(0.797617, abs=1e-6)


def frames(decay: float, *currents: tuple[float, ...]) -> tuple[SpikingNetwork, list[Tensor]]:
    """One neuron that gets these currents, in double precision, and two even logits."""
    net = SpikingNetwork([LIF(decay), Timed(nn.Linear(1, 2, bias=False))], Frames(4)).double()
    nn.init.zeros_(net.layers[1].module[0].weight)
    return net, [torch.tensor(x, dtype=torch.float64).view(1, 4, 1) for x in currents]


def penalty(defence: Any, progress: float, net: SpikingNetwork, x: list[Tensor]) -> float:
    """What is added to cross entropy, which is ln 2."""
    loss = defence.loss(Learner(net.train(), progress=progress), x[0], x[-1], torch.tensor([0]))
    return loss.item() - np.log(2)


def test_mpd_sgr_on_four_samples_at_one_step():
    net, _ = frames(0.5)
    x = 1 + torch.tensor([-1.5, -0.5, 0.5, -0.9], dtype=torch.float64).view(4, 1, 1)
    net.encoder = Frames(1)
    y = torch.zeros(4, dtype=torch.int64)
    loss = MPDSGR(weight=1).loss(Learner(net), x, x, y).item() - np.log(2)
    assert loss == pytest.approx(0.694666, abs=2e-5)  # The variance has 1e-5 added.


@pytest.mark.parametrize(("margin", "mean"), [(0.2, 0.0625), (0.5, 0.2625)])
def test_tgo_is_the_mean_lack_of_distance_and_rises_along_a_cosine(margin, mean):
    given = frames(0.5, (0.6,) * 4)
    for quarter, weight in enumerate((0, 0.0586, 0.2, 0.3414, 0.4)):
        found = penalty(TGO(weight=0.4, margin=margin), quarter / 4, *given)
        assert found == pytest.approx(weight * mean, abs=2e-5)


@pytest.mark.parametrize(("kind", "size"), [("l1", 0.0752525), ("l2", 0.0124027)])
def test_mppd_adds_up_the_difference_of_currents(kind, size):
    given = frames(0.99, (0.5,) * 4, (0.4, 0.6, 0.5, 0.3))
    assert penalty(MPPD(kind=kind), 1, *given) == pytest.approx(size, abs=5e-8)


def test_a_dead_channel_has_a_finite_gradient():
    net, (x, adversarial, y) = network(Dynamics()).train(), batch()
    nn.init.zeros_(net.layers[0].module[0].weight)
    nn.init.zeros_(net.layers[0].module[0].bias)
    for defence in WATCHING:
        defence.loss(Learner(net), x, adversarial, y).backward()
        assert all(weight.grad.isfinite().all() for weight in net.parameters())


def test_mppd_compares_currents_before_gains():
    net, x = frames(0.99, (0.5,) * 4, (0.4, 0.6, 0.5, 0.3))
    nn.init.constant_((gains := Gains(4).double()).gain, 0.5)
    net = SpikingNetwork([nn.Sequential(gains, net.layers[0]), net.layers[1]], Frames(4))
    assert penalty(MPPD(), 1, net, x) == pytest.approx(0.0752525, abs=5e-8)
    assert not any(module._forward_hooks for module in net.modules())


def test_operations_are_those_that_are_counted_without_the_input_s():
    given = classifier()
    x, y = samples(given, 6)
    net = given.model.train()
    batch = [torch.as_tensor(part) for part in (x, x, y)]
    entropy, loss = (one.loss(Learner(net), *batch) for one in (AT(), Operations(weight=2)))
    # 64 inputs meet 24 neurons once, and 24 neurons meet four classes at four steps.
    share = (synaptic_operations(given, x) - 64 * 24).mean() / (24 * 4 * 4)
    assert (loss - entropy).item() == pytest.approx(2 * share, rel=1e-12)
    assert share > 0


def test_training_lowers_the_operations_of_adversarial_inputs():
    left = []
    for defence in (AT(), Operations(weight=5)):
        given = classifier()
        x, y = samples(given, 16)
        adversary = AdversarialTraining(attack="fgsm", eps=0.01, defence=defence)
        recipe = Recipe.short(epochs=12, batch_size=8, learning_rate=0.03)
        train(given.model, x, y, recipe, adversary=adversary)
        left.append(synaptic_operations(given, x).mean() - 64 * 24)
    assert left[1] < 0.8 * left[0]


@pytest.mark.parametrize("defence", WATCHING, ids=str)
def test_an_adapted_network_is_verified_and_then_seen_once(defence):
    case = next(one for one in CASES if str(one) == "samples first")
    net = adapt(case.make(), training_gradient="stbp", **case.options).train()
    x, y = torch.rand(5, INPUTS, dtype=dtype_of(net)), torch.arange(5) % 3
    first, second = (defence.loss(Learner(net), x, x + 0.1, y) for _ in range(2))
    assert torch.equal(first, second)
    assert all(part.any() for part in torch.autograd.grad(first, list(net.parameters())))


@pytest.mark.parametrize("defence", [*WATCHING, Operations()], ids=str)
def test_what_its_loss_does_not_suit_is_refused(defence, monkeypatch):
    net, (x, _, y) = network(Dynamics(), RGA()), batch()
    how = {"adversary": AdversarialTraining(attack="fgsm", eps=0.1, defence=defence)}
    given = x.numpy(), y.numpy(), Recipe.short(epochs=1)
    with pytest.raises(ValueError, match=r"^training_gradient: .*temporal"):
        train(net, *given, **how)
    net = network(Dynamics())
    objection = "it calls neurons step by step"
    monkeypatch.setattr(type(net.body), "bounds_objection", lambda _: objection)
    with pytest.raises(ValueError, match=r"^network: .*step by"):
        train(net, *given, **how)


def test_a_loss_on_potentials_is_not_differentiated_again_in_silence():
    net, (x, _, y) = network(Dynamics()).train(), batch()
    loss = TGO().loss(Learner(net), x, x, y)
    with pytest.raises(ValueError, match="a loss on potentials, which has none"):
        torch.autograd.grad(loss, list(net.parameters()), create_graph=True)


def test_an_exception_leaves_the_network_as_it_was():
    net, (x, _, y) = network(Dynamics()).train(), batch()
    before = dict(vars(net))
    with pytest.raises(RuntimeError, match="shapes"):
        MPPD().loss(Learner(net), x, x[:, :, 1:], y)
    assert vars(net) == before
    assert not any(module._forward_hooks for module in net.modules())
