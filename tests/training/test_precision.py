"""Training in bfloat16: what computes in it, what does not, and that runs are taken up exactly."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from art_snn import LIF, Direct, SpikingNetwork, TimeDistributed as Timed
from art_snn.interop import adapt
from art_snn.training import AdversarialTraining, Recipe, adversarial, train
from tests.interop.stacks import INPUTS
from tests.interop.test_equations import CASES
from tests.seeds import varied
from tests.training.runs import SETTINGS, assert_same_state

MIXED = replace(SETTINGS, train_dtype="bfloat16")


def images(count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(varied())
    return rng.random((count, 2, 6, 6), np.float32), np.arange(count) % 3


def convolutional(**options: Any) -> SpikingNetwork:
    torch.manual_seed(varied())
    layers = [
        Timed(nn.Conv2d(2, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)),
        LIF(),
        Timed(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 16)),
        LIF(),
        Timed(nn.Linear(16, 3)),
    ]
    return SpikingNetwork(layers, Direct(4), **options)


def step(net: SpikingNetwork, dtype: str | None, data: Any) -> torch.Tensor:
    """What one step of SGD adds to all weights, as one vector in double precision."""
    before = [weight.detach().clone() for weight in net.parameters()]
    one = {"epochs": 1, "batch_size": 12, "optimizer": "sgd", "momentum": 0.0}
    train(net, *data, Recipe.short(**one, train_dtype=dtype))
    moved = zip(net.parameters(), before, strict=True)
    return torch.cat([(weight.detach() - b).flatten() for weight, b in moved]).double()


def test_a_step_goes_where_one_in_single_precision_goes():
    taken = [step(convolutional(), dtype, images()) for dtype in (None, "bfloat16")]
    assert not torch.equal(*taken)
    cosine = (taken[0] @ taken[1]) / taken[0].norm() / taken[1].norm()
    assert cosine > 0.95
    assert taken[1].norm() == pytest.approx(taken[0].norm().item(), rel=0.2)


def test_layers_compute_in_bfloat16_and_weights_statistics_and_loss_do_not(monkeypatch):
    net, seen, logits, made = convolutional(), {}, [], []

    def note(name: str, layer: nn.Module, output: torch.Tensor) -> None:
        seen[name, layer.training] = output.dtype

    layers = ("0.module.0", "0.module.1", "2.module.2", "4.module.0")
    for name in layers:
        net.layers.get_submodule(name).register_forward_hook(
            lambda layer, _, output, name=name: note(name, layer, output)
        )
    loss, build_optimizer = nn.functional.cross_entropy, Recipe.build_optimizer
    monkeypatch.setattr(
        nn.functional, "cross_entropy", lambda *a, **k: logits.append(a[0]) or loss(*a, **k)
    )
    monkeypatch.setattr(
        Recipe, "build_optimizer", lambda *a: made.append(build_optimizer(*a)) or made[-1]
    )
    train(net, *images(), MIXED, validation=images(3))
    assert [seen[name, True] for name in layers] == [torch.bfloat16] * 4
    assert [seen[name, False] for name in layers] == [torch.float32] * 4
    assert all(y.dtype == torch.float32 for y in logits)
    tensors = [*net.state_dict().values()]
    for state in made[0].state.values():
        tensors += [value for value in state.values() if isinstance(value, torch.Tensor)]
    assert {t.dtype for t in tensors if t.is_floating_point()} == {torch.float32}
    assert not torch.equal(net.layers[0].module[1].running_mean, torch.zeros(8))


def test_a_network_of_double_precision_keeps_its_own():
    data = images()
    one, other = (convolutional().double() for _ in range(2))
    train(one, *data, MIXED)
    train(other, *data, SETTINGS)
    assert_same_state(one, other)


def test_adversarials_are_crafted_in_the_precision_of_the_network(monkeypatch):
    inside: list[bool] = []
    craft = adversarial.craft_batch

    def noted(*arguments: Any, **options: Any) -> np.ndarray:
        inside.append(torch.is_autocast_enabled("cpu"))
        return craft(*arguments, **options)

    monkeypatch.setattr(adversarial, "craft_batch", noted)
    adversary = AdversarialTraining(attack="fgsm", eps=0.1)
    train(convolutional(), *images(), MIXED, adversary=adversary)
    assert inside
    assert not any(inside)


@pytest.mark.parametrize("rule", ["native", "stbp"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_adapted_networks_are_trained_in_it_by_any_rule_and_verified_in_their_own(case, rule):
    rng = np.random.default_rng(varied())
    data = rng.random((12, INPUTS), np.float32), np.arange(12) % 3
    taken = [
        step(adapt(case.make().float(), training_gradient=rule, **case.options), dtype, data)
        for dtype in (None, "bfloat16")
    ]
    assert not torch.equal(*taken)
    assert (taken[0] @ taken[1]) / taken[0].norm() / taken[1].norm() > 0.8


@pytest.mark.parametrize("native", [True, False])
def test_auto_is_bfloat16_where_it_is_multiplied_natively(native, monkeypatch):
    monkeypatch.setattr("art_snn.training.recipe._multiplies_bfloat16", lambda device: native)
    data = images()
    auto, same = convolutional(), convolutional()
    train(auto, *data, replace(SETTINGS, train_dtype="auto"))
    train(same, *data, MIXED if native else SETTINGS)
    assert_same_state(auto, same)


@pytest.mark.parametrize("value", ["float16", torch.float16, "half", 16, True])
def test_another_precision_is_refused_with_the_reason(value):
    with pytest.raises(ValueError, match=r"^train_dtype: .*scaled"):
        Recipe(train_dtype=value)
    assert Recipe(train_dtype=torch.bfloat16) == Recipe(train_dtype="bfloat16")
