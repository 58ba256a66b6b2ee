"""IBP: bounds written out for two layers, the ramp, validation, resumption, and what is refused."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from art_snn import LIF, Direct, Poisson, SpikingNetwork, TimeDistributed as Timed
from art_snn.bounds import certify_bounds
from art_snn.classifier import wrap
from art_snn.gradients.base import NeuronRef
from art_snn.training import AdversarialTraining, Recipe, accuracy, adversarial, best_epoch, train
from art_snn.training.defences import IBP, Learner
from tests.seeds import varied
from tests.training.runs import Killed, assert_same_state, samples

EPS, STEPS = 0.1, 4
RECIPE = Recipe.short(epochs=4, batch_size=8, learning_rate=0.02, seed=4)
"""Twelve steps, three in each epoch."""


def network(*between: nn.Module, **options: Any) -> SpikingNetwork:
    """Two layers around one of neurons with soft reset, and modules after the first."""
    torch.manual_seed(varied())
    layers = [Timed(nn.Linear(6, 12), *between), LIF(reset="soft"), Timed(nn.Linear(12, 3))]
    net = SpikingNetwork(layers, **{"encoder": Direct(STEPS)} | options).double()
    with torch.no_grad():
        net.layers[0].module[0].weight.mul_(3)
    return net


def against(eps: float = EPS, **strengths: Any) -> AdversarialTraining:
    return AdversarialTraining(eps=eps, defence=IBP(**strengths))


def batch() -> tuple[Tensor, Tensor]:
    x, y = samples(8)
    return torch.as_tensor(x), torch.as_tensor(y)


def simple_loss(net: SpikingNetwork, x: Tensor, y: Tensor, eps: float, weight: float) -> Tensor:
    """The loss by two simulations of the neurons, at both ends of the interval of their current."""
    first, last = net.layers[0].module[0], net.layers[2].module[0]
    low, high = (x.double() - eps).clamp(0, 1), (x.double() + eps).clamp(0, 1)
    centre, radius = (low + high) / 2, (high - low) / 2
    fire, site = net.training_gradient.firing(), NeuronRef("", net.layers[1].dynamics)
    middle, spread = first(centre), radius @ first.weight.abs().T
    ends = [middle - spread, middle + spread]
    fewest, most = (fire(site, end.expand(STEPS, *end.shape)).mean(0) for end in ends)
    rows = last.weight[y][:, None] - last.weight
    least = torch.where(rows > 0, rows * fewest[:, None], rows * most[:, None]).sum(-1)
    margins = least + last.bias[y][:, None] - last.bias
    entropy, worst = (nn.functional.cross_entropy(z, y) for z in (net(x), -margins))
    return (1 - weight) * entropy + weight * worst


@pytest.mark.parametrize(
    ("progress", "share"), [(0.125, 0.25), (0.5, 1.0), (1.0, 1.0)], ids=["early", "full", "last"]
)
def test_loss_and_gradient_are_those_of_two_simulations_within_the_ramped_budget(progress, share):
    ours, x, y = network().train(), *batch()
    defence = against(ramp=0.5, bound_weight=0.8).defence
    loss = defence.loss(Learner(network=ours, progress=progress), x, x, y)
    loss.backward()
    simple = network().train()
    expected = simple_loss(simple, x, y, share * EPS, share * 0.8)
    expected.backward()
    # Bounds leave room for rounding, about a thousandth of the interval of the logits.
    assert expected.item() <= loss.item() <= expected.item() + 2e-3
    for a, b in zip(ours.parameters(), simple.parameters(), strict=True):
        assert b.grad.abs().max() > 1e-4
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=2e-3 * float(b.grad.abs().max()))


def test_s_ibp_bounds_are_not_tighter_and_their_loss_reaches_all_weights():
    net, x, y = network().train(), *batch()
    losses = {}
    for method in ("counts", "s-ibp"):
        net.zero_grad()
        loss = against(method=method).defence.loss(Learner(network=net), x, x, y)
        loss.backward()
        assert all(weight.grad.abs().max() > 1e-4 for weight in net.parameters())
        losses[method] = loss.item()
    assert losses["s-ibp"] > losses["counts"] + 1e-3


def test_bounds_are_of_the_network_in_evaluation_mode_and_change_no_statistics():
    net, x, y = network(nn.BatchNorm1d(12), nn.Dropout(0.5)).train(), *batch()
    norm, modes = net.layers[0].module[1], []
    norm.register_forward_hook(lambda module, _, output: modes.append(module.training))
    against().defence.loss(Learner(network=net), x, x, y).backward()
    assert modes == [True, False]
    assert norm.num_batches_tracked == 1
    assert all(module.training for module in net.modules())


def test_bounds_have_the_statistics_of_the_batch_and_their_gradient():
    net, x, y = network(nn.BatchNorm1d(12)).train(), *batch()
    other = copy.deepcopy(net)
    # Within next to no budget the worst logits are those of the samples.
    against(eps=1e-12).defence.loss(Learner(network=net), x, x, y).backward()
    nn.functional.cross_entropy(other(x), y).backward()
    largest = max(float(weight.grad.abs().max()) for weight in other.parameters())
    assert largest > 1e-3
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=0, atol=1e-3 * largest)
    assert net.layers[0].module[1].running_mean.grad_fn is None


def test_at_the_end_batch_norms_have_the_mean_statistics_of_the_samples_as_they_are():
    net, (x, y) = network(nn.BatchNorm1d(12)), samples(251)
    recipe = Recipe.short(epochs=1, batch_size=20, seed=1)
    train(net, x, y, recipe, adversary=against())
    first, norm = net.layers[0].module
    currents = [first(torch.as_tensor(part).double()) for part in (x[:126], x[126:])]
    means = [current.mean(0) for current in currents]
    torch.testing.assert_close(norm.running_mean, sum(means) / 2)
    variances = [current.var(0) for current in currents]
    torch.testing.assert_close(norm.running_var, sum(variances) / 2)
    assert norm.momentum == 0.1
    assert not any(module.training for module in net.modules())


def test_in_a_training_in_bfloat16_bounds_keep_the_precision_of_the_network():
    net, seen = network().float(), set()
    layer = net.layers[0].module[0]
    layer.register_forward_hook(lambda m, _, output: seen.add((m.training, output.dtype)))
    x, y = samples()
    recipe = replace(RECIPE, epochs=1, train_dtype="bfloat16")
    (epoch,) = train(net, x, y, recipe, adversary=against())
    assert seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert np.isfinite(epoch.loss)


def test_nothing_is_attacked_and_the_budget_is_whole_after_the_ramp(monkeypatch):
    monkeypatch.setattr(adversarial, "craft_batch", None)
    seen, loss = [], IBP.loss
    monkeypatch.setattr(IBP, "loss", lambda *given: seen.append(given[1]) or loss(*given))
    train(network(), *samples(), RECIPE, validation=samples(10), adversary=against())
    assert [learner.progress for learner in seen] == [(step + 1) / 12 for step in range(12)]


def test_validation_counts_certified_samples_and_only_after_the_ramp():
    net, held = network(), samples(30)
    adversary = against(eps=0.02, ramp=0.5)
    history = train(net, *samples(), RECIPE, validation=held, adversary=adversary)
    rated = [epoch.validation for epoch in history]
    assert rated[0] is None
    assert None not in rated[1:]
    certificate = certify_bounds(wrap(net, (6,), 3, (0.0, 1.0), "cpu"), *held, 0.02)
    assert certificate.certified.mean() == best_epoch(history).validation
    clean = accuracy(net, *held)
    wide = accuracy(net, *held, defence=against(eps=0.5).defence)
    assert wide < accuracy(net, *held, defence=adversary.defence) <= clean


def test_with_a_ramp_over_all_steps_the_last_epoch_alone_is_rated():
    held = samples(10)
    history = train(network(), *samples(), RECIPE, validation=held, adversary=against(ramp=1.0))
    assert [epoch.validation is None for epoch in history] == [True, True, True, False]


@pytest.mark.parametrize("step", [4, 8, 12])
def test_a_killed_run_goes_on_before_and_after_the_end_of_the_ramp(step, tmp_path, monkeypatch):
    how: dict[str, Any] = {"validation": samples(10), "adversary": against()}
    whole, resumed, path = network(nn.BatchNorm1d(12)), network(nn.BatchNorm1d(12)), tmp_path / "s"
    history = train(whole, *samples(), RECIPE, **how)
    seen, loss = [], IBP.loss

    def killing(*given: Any) -> Tensor:
        seen.append(given)
        if len(seen) == step:
            raise Killed
        return loss(*given)

    with monkeypatch.context() as patch:
        patch.setattr(IBP, "loss", killing)
        with pytest.raises(Killed):
            train(network(nn.BatchNorm1d(12)), *samples(), RECIPE, path, **how)
    assert train(resumed, *samples(), RECIPE, path, **how) == history
    assert_same_state(resumed, whole)


UNBOUNDED = {
    "defence: .*draws nothing": lambda: network(encoder=Poisson(2)),
    "training_gradient: .*temporal": lambda: network(training_gradient="rga"),
    ".*single or double precision": lambda: network().bfloat16(),
    r".*layers\.0.*Softmax": lambda: network(nn.Softmax(-1)),
}


@pytest.mark.parametrize("words", UNBOUNDED)
def test_a_network_without_bounds_is_refused_before_it_is_trained(words):
    net = UNBOUNDED[words]()
    with pytest.raises(ValueError, match=f"^{words}"):
        train(net, *samples(), RECIPE, adversary=against())
    assert_same_state(net, UNBOUNDED[words]())


@pytest.mark.parametrize(
    "change",
    [*({"attack": "fgsm"}, {"attack": "pgd(max_iter=3)"}), *({"rule": "stbp"}, {"share": 0.5})],
)
def test_settings_of_an_attack_that_does_not_run_are_refused(change):
    (name,) = change
    with pytest.raises(ValueError, match=rf"^{name}: .*for IBP"):
        AdversarialTraining(defence=IBP(), **change)


def test_the_budget_is_that_of_the_attack_and_a_defence_without_one_is_refused():
    adversary = replace(against(), eps=0.3, value_range=(0.0, 2.0))
    assert (adversary.defence.eps, adversary.defence.value_range) == (0.3, (0.0, 2.0))
    assert adversary.describe() == "any attack within eps 0.3"
    words = f"eps=0.3, norm=inf, value_range=(0.0, 2.0), defence={adversary.defence!r}"
    assert repr(adversary) == f"AdversarialTraining({words})"
    with pytest.raises(ValueError, match=r"^defence: .*budget"):
        IBP().loss(Learner(network=network()), *[batch()[0]] * 2, batch()[1])


def test_samples_outside_the_value_range_are_refused():
    x, y = samples()
    with pytest.raises(ValueError, match=r"^x: .*within"):
        train(network(), 5 * x, y, RECIPE, adversary=against())
