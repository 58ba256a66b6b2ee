"""Several processes train one network: as one would by itself, and with the same bits in all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.team import Team
from art_snn.training import Recipe, train
from art_snn.training.loop import own_draws
from tests.jobs import Job
from tests.training import runs
from tests.training.runs import build

SCRIPT = """
import copy
import numpy as np
import torch
from torch import nn
from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.team import join
from art_snn.training import (
    AT, IBP, MPDSGR, MPPD, RAT, SR, TGO, TRADES, AdversarialTraining, Operations, Recipe, StoG,
    train,
)
from art_snn.training.loop import synchronise_norms
from tests.training.runs import build, samples

NORMS = [
    (nn.BatchNorm2d(3), (5, 3, 2, 4)),
    (nn.BatchNorm1d(3, momentum=None), (7, 3)),
    (nn.BatchNorm2d(3, affine=False, track_running_stats=False), (4, 3, 1, 2)),
]

def compare_norms(team):
    torch.manual_seed(0)
    for norm, shape in NORMS:
        whole, part = norm.double(), copy.deepcopy(norm).double()
        for _ in range(2):
            x = (1e3 + torch.randn(*shape, dtype=torch.float64)).requires_grad_()
            slope = torch.randn(*shape, dtype=torch.float64)
            mine = x.detach().tensor_split(team.size)[team.rank].clone().requires_grad_()
            y = whole(x)
            (y * slope).sum().backward()
            with synchronise_norms(nn.Sequential(part), team):
                z = part(mine)
            assert "forward" not in vars(part)
            (z * slope.tensor_split(team.size)[team.rank]).sum().backward()
            near = dict(rtol=0, atol=1e-9)
            torch.testing.assert_close(z, y.tensor_split(team.size)[team.rank], **near)
            torch.testing.assert_close(mine.grad, x.grad.tensor_split(team.size)[team.rank], **near)
        for ours, theirs in zip(part.parameters(), whole.parameters()):
            torch.testing.assert_close(team.all_reduce(ours.grad), theirs.grad, **near)
        for ours, theirs in zip(part.buffers(), whole.buffers()):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        with synchronise_norms(part.eval(), team):
            torch.testing.assert_close(part(mine), part.eval()(mine))
    half = nn.BatchNorm1d(3)
    with synchronise_norms(half, team):
        assert half(torch.randn(4, 3).bfloat16()).dtype == torch.bfloat16
    assert half.running_mean.dtype == torch.float32

def network():
    torch.manual_seed(3)
    layers = [
        Timed(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)),
        LIF(),
        Timed(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8)),
        LIF(),
        Timed(nn.Linear(8, 3)),
    ]
    net = SpikingNetwork(layers, Direct(3)).double()
    net.register_parameter("unused", nn.Parameter(torch.zeros(2).double()))
    return net

rng = np.random.default_rng(0)
x, y = rng.random((14, 1, 6, 6)), np.arange(14) % 3
# Batches of five and a last one of four: the shares of two processes differ by one sample.
recipe = Recipe(
    epochs=3, batch_size=5, learning_rate=0.05, seed=1, crop_padding=1, flip=True, cutout=2,
    weight_decay=0,
)
with join() as team:
    compare_norms(team)
    print("norms", flush=True)
    watching = MPDSGR(weight=1), TGO(), MPPD(), Operations(weight=3)
    for defence in (None, AT(), TRADES(), RAT(), SR(sparsity=0.1), IBP(ramp=0.5), *watching):
        attack = {"eps": 0.01} if defence == IBP(ramp=0.5) else {"attack": "fgsm", "eps": 0.1}
        adversary = AdversarialTraining(**attack, defence=defence) if defence else None
        how = {"validation": (x[:7], y[:7]), "adversary": adversary}
        single, net = network(), network()
        if team.rank == 1:
            net.reset_parameters()  # It has the weights of the leading process all the same.
        state = torch.get_rng_state()
        history = train(net, x, y, recipe, team=team, **how)
        assert torch.equal(state, torch.get_rng_state())
        expected = train(single, x, y, recipe, **how)
        for ours, theirs in zip(history, expected, strict=True):
            assert abs(ours.loss - theirs.loss) < 1e-9, (defence, ours, theirs)
            assert ours.validation == theirs.validation
        for ours, theirs in zip(net.state_dict().values(), single.state_dict().values()):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-7)
        bits = [tensor.numpy().tobytes() for tensor in net.state_dict().values()]
        assert team.gather(bits)[0] == bits
    # Gates of every process draw by themselves, and so have no single process to compare with.
    net, adversary = build(), AdversarialTraining(attack="fgsm", defence=StoG(opening=0.5))
    train(net, *samples(), recipe.short(epochs=2, batch_size=8), team=team, adversary=adversary)
    bits = [tensor.numpy().tobytes() for tensor in net.state_dict().values()]
    assert team.gather(bits)[0] == bits
    assert net.layers[3].rho.mean() < 0.7
    print("training", flush=True)
    train(build(), *samples(), Recipe.short(epochs=1, batch_size=19), "state.pt", team=team)
"""


@pytest.mark.slow
def test_two_processes_compute_what_one_does_and_one_refuses_for_all(tmp_path: Path):
    well, out, errors = Job(SCRIPT, tmp_path).ended()
    assert (out.count("norms"), out.count("training")) == (2, 2), errors
    assert not well
    assert errors.count("ArgumentError: batch_size: expected batches with a sample for every") == 1
    assert not (tmp_path / "state.pt").exists()


class Two(Team):
    """The leading one of two processes, which does not wait for the other."""

    def on_leader(self, action: Callable[[], Any]) -> Any:
        return action()


@pytest.mark.parametrize(("batch", "samples"), [(1, 10), (8, 9), (8, 1), (2, 7)])
def test_a_batch_of_fewer_samples_than_processes_is_refused(batch, samples):
    recipe = Recipe.short(epochs=1, batch_size=batch)
    with pytest.raises(ValueError, match=rf"^batch_size: .*2 processes.* {samples} "):
        train(build(), *runs.samples(samples), recipe, team=Two(size=2))


def test_draws_are_a_process_s_own_and_leave_those_after_them_alone():
    def draw(team: Team, *place: int) -> tuple[float, float]:
        torch.manual_seed(5)
        with own_draws(team, *place):
            inside = torch.rand(()).item()
        return inside, torch.rand(()).item()

    torch.manual_seed(5)
    after, second = torch.rand(()).item(), torch.rand(()).item()
    assert draw(Team(), 0, 1, 2) == (after, second)
    draws = [draw(Team(rank=r, size=2), 0, 1, step) for r in range(2) for step in range(2)]
    assert [last for _, last in draws] == [after] * 4
    assert len({inside for inside, _ in draws}) == 4
    assert draw(Team(size=2), 0, 1, 0) == draws[0]


class Other(nn.BatchNorm1d):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


def test_a_batch_norm_that_computes_otherwise_is_refused():
    layers = [Timed(nn.Linear(2, 2), nn.BatchNorm1d(2)), LIF(), Timed(Other(2))]
    network = SpikingNetwork(layers, Direct(1))
    with pytest.raises(ValueError, match=r"^network: .*layers\.2\.module\.0"):
        train(network, np.zeros((8, 2)), np.arange(8) % 2, Recipe.short(1), team=Two(size=2))
