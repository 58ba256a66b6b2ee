"""A network under load: its input, its rows, and that each row does what it names."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from art_snn import LIF, RGA, STBP, PyTorchSpikingClassifier, SpikingNetwork
from art_snn.app.attack import Attack
from art_snn.gradients import parse_rule
from art_snn.measuring import workload as module
from art_snn.measuring.peers import mirrored
from art_snn.measuring.workload import (
    INFERENCE,
    CostRow,
    Workload,
    network_of,
    peak_of,
    random_samples,
    seconds_of,
)
from art_snn.models import MODELS, Architecture
from art_snn.training import Recipe
from tests.measuring import mirrors
from tests.own import own
from tests.small import pgd_by_hand

PGD = Attack(eps=2.55 / 255, eps_step=2 / 255, iterations=5)
TINY = Architecture(model="vgg5", width=0.05, steps=2)
SPIKINGJELLY, SNNTORCH = (
    CostRow("peer", name) for name in ("SpikingJelly 2.0.0", "snnTorch 1.0.0")
)
SGD = Recipe(learning_rate=0.1).optimizer_of
ROWS = [CostRow.read(text) for text in ("inference", "rga", "stbp", "stock rga", "stock stbp")]


def load(architecture: Architecture = TINY, samples: int = 2, **change: Any) -> Workload:
    x, y = random_samples(architecture, samples, channels=1, image_size=8)
    small = {"architecture": architecture, "x": x, "y": y, "rules": {}, "batch_size": 4}
    return Workload(**small | change)


KINDS = {"inference": None, "rga": "collapsed", "stbp": "through time", "hart": "time-resolved"}
"""What a network says of its execution by a rule, or in inference."""


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_uses_the_rule_that_it_names(row):
    assert CostRow.read(str(row)) == row
    work = load()
    network = work.network()
    work.operation(row, network)()
    assert getattr(network.execution, "kind", None) == KINDS[row.name or row.kind]


def test_a_row_uses_the_rule_that_it_is_given_under_a_name_of_one_s_own():
    work = load(rules={"mine": STBP(), "rga": parse_rule("hart")})
    rules = [work.rule(name) for name in ("mine", "rga", "stbp")]
    assert rules == [STBP(), parse_rule("hart"), STBP()]
    network = work.network()
    work.operation(CostRow("rule", "mine"), network)()
    assert network.execution.kind == "through time"


def test_a_row_of_the_stock_classifier_is_of_art_s_own_class(monkeypatch):
    made = []
    for name in ("PyTorchClassifier", "PyTorchSpikingClassifier"):
        kind = getattr(module, name)

        def noted(*given: Any, kind: Any = kind, name: str = name, **options: Any) -> Any:
            made.append(name)
            return kind(*given, **options)

        monkeypatch.setattr(module, name, noted)
    work = load()
    network = work.network()
    for row in ROWS:
        work.operation(row, network)
    assert made == ["PyTorchSpikingClassifier"] * 3 + ["PyTorchClassifier"] * 2


@pytest.mark.parametrize("model", MODELS)
def test_every_model_gets_the_input_that_it_takes(model):
    architecture = Architecture(model=model, width=0.05, steps=3)
    work = load(architecture)
    network = work.network()
    x, y = work.x, work.y
    assert x.shape == ((2, 3, 1, 8, 8) if model == "vgg-dvs" else (2, 1, 8, 8))
    assert x.shape[1:] == network.input_shape
    assert (y.shape, y.sum()) == ((2, 10), 2)
    assert len(np.unique(x)) == x.size
    assert (x.min() >= 0, x.max() <= 1, x.dtype) == (True, True, np.float32)
    work.operation(CostRow("rule", "rga"), network)()
    assert network.execution.kind == "collapsed"


def test_random_samples_are_the_same_every_time_and_of_32_pixels_in_colour():
    first, again = random_samples(TINY, 3), random_samples(TINY, 3)
    assert first[0].shape == (3, 3, 32, 32)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert np.array_equal(random_samples(TINY, 2)[0], first[0][:2])


def test_a_network_of_the_user_s_own_gets_the_input_and_the_classes_that_it_has(tmp_path):
    architecture = Architecture(model=own(tmp_path, (2, 5, 5), 7))
    for form in ({}, {"channels": 2}, {"image_size": 5}):
        x, y = random_samples(architecture, 3, **form)
        assert (x.shape, y.shape) == ((3, 2, 5, 5), (3, 7))
    work = Workload(architecture=architecture, x=x, y=y, rules={}, batch_size=4)
    network = work.network()
    assert work.operation(INFERENCE, network)().shape == (3, 7)
    assert work.operation(CostRow("rule", "rga"), network)().shape == x.shape

    for name, size, right in (("channels", 3, 2), ("image_size", 8, 5)):
        message = rf"^{name}: expected {right}, .*mine\.py.* got {size}"
        with pytest.raises(ValueError, match=message):
            random_samples(architecture, 3, **{name: size})


def test_a_network_has_the_steps_the_input_and_the_classes_that_are_asked_for(tmp_path):
    architecture = Architecture(model=own(tmp_path, decay=0.9))
    assert (network_of(architecture).encoder.steps, network_of(TINY).encoder.steps) == (3, 2)
    network = network_of(architecture, 6)
    assert (network.encoder.steps, network.training) == (6, False)
    assert {m.dynamics.decay for m in network.modules() if isinstance(m, LIF)} == {0.9}
    network = network_of(TINY, 5, (2, 8, 12), 4)
    assert (network.encoder.steps, network.input_shape, network.training) == (5, (2, 8, 12), False)
    with torch.no_grad():
        assert network(torch.rand(1, 2, 8, 12)).shape == (1, 4)


def test_a_part_of_a_load_is_the_first_of_its_samples():
    work = load(samples=5)
    part = work.of(3)
    assert np.array_equal(part.x, work.x[:3])
    assert np.array_equal(part.y, work.y[:3])
    assert len(work.of(9).x) == 5


@pytest.fixture
def attacked(tmp_path: Path) -> Workload:
    """PGD over ten images, four at a time, on a network whose neurons do spike."""
    architecture = Architecture(model=own(tmp_path, (1, 4, 4), 10))
    x, y = random_samples(architecture, 10)
    return Workload(
        architecture=architecture, x=x, y=y, rules={}, batch_size=4, attack=PGD.stage, eps=PGD.eps
    )


@pytest.mark.parametrize("wrong", [False, True])
@pytest.mark.parametrize("row", ["rga", "stbp"])
def test_the_attack_takes_every_iteration_of_every_batch_even_on_misclassified_images(
    row, wrong, attacked, monkeypatch
):
    work = attacked
    network = work.network()
    if wrong:
        with torch.no_grad():
            worst = network(torch.as_tensor(work.x)).argmin(1)
        work = replace(work, y=np.eye(10, dtype=np.float32)[worst])
    sizes, kinds = [], set()
    gradient = PyTorchSpikingClassifier.loss_gradient

    def counted(self: Any, x: Any, y: Any, **options: Any) -> Any:
        sizes.append(len(x))
        result = gradient(self, x, y, **options)
        kinds.add(self.model.execution.kind)
        return result

    operate = work.operation(CostRow("rule", row), network)
    monkeypatch.setattr(PyTorchSpikingClassifier, "loss_gradient", counted)
    operate()
    assert sizes == [4] * 5 + [4] * 5 + [2] * 5
    assert kinds == {KINDS[row]}


@pytest.mark.parametrize(("row", "rule"), [("rga", RGA()), ("stbp", STBP())])
def test_the_attack_ends_where_pgd_written_by_hand_does(row, rule, attacked):
    work = replace(attacked, batch_size=10)
    network = work.network()
    adversarial = work.operation(CostRow("rule", row), network)()
    expected = pgd_by_hand(network, rule, PGD.eps, 2 / 255, 5, work.x, work.y.argmax(1))
    assert np.abs(adversarial - work.x).max() > 0.009
    np.testing.assert_allclose(adversarial, expected, atol=1e-6)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, Any]]:
    """(row, samples, result) of every operation, in order."""
    results: list[tuple[str, int, Any]] = []
    operation = Workload.operation

    def noted(self: Workload, row: str, network: SpikingNetwork) -> Any:
        operate = operation(self, row, network)
        return lambda: results.append((str(row), len(self.x), operate()))

    monkeypatch.setattr(Workload, "operation", noted)
    return results


def test_all_rows_are_timed_in_turn_and_the_peak_is_of_one(ran):
    seconds = seconds_of(load(), ROWS[:2], 1)
    assert [one[:2] for one in ran] == [("inference", 2), ("rga", 2)] * 2
    assert set(seconds) == {"inference", "rga"}
    assert all(value > 0 for value in seconds.values())
    ran.clear()
    peak_of(load(), ROWS[1])
    samples = [one[:2] for one in ran]
    assert samples == [("rga", 1), ("rga", 2)], "libraries are loaded by one sample beforehand"


def test_the_process_is_set_up_as_the_load_asks(monkeypatch):
    calls = []
    monkeypatch.setattr(module, "set_threads", calls.append)
    monkeypatch.setattr(module, "keep_freed_memory", lambda: calls.append("kept"))
    for work in (load(threads=3), load(keep_memory=True)):
        module.prepare(pickle.loads(pickle.dumps(work)))
    assert calls == [3, None, "kept"]


@pytest.mark.parametrize("stock", [False, True])
def test_a_row_of_a_framework_is_its_own_gradient_of_the_same_network(stock, monkeypatch):
    mirrors.installed(monkeypatch, spikingjelly="2.0.0")
    work = load(architecture=replace(TINY, width=0.5), samples=4)
    x = torch.as_tensor(work.x)
    network = mirrors.lively(work.network(), x)
    gradient = work.operation(replace(SPIKINGJELLY, stock=stock), network)()
    mirror, labels = mirrored("SpikingJelly", network), torch.as_tensor(work.y).argmax(1)
    loss = torch.nn.functional.cross_entropy(mirror(x.requires_grad_()), labels)
    expected = torch.autograd.grad(loss, x)[0].numpy()
    assert expected.any()
    np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())


def test_a_row_of_a_framework_is_another_framework_s_where_it_names_that(monkeypatch):
    mirrors.installed(monkeypatch, spikingjelly="2.0.0", snntorch="1.0.0")
    made = []
    monkeypatch.setattr(module, "mirrored", lambda name, net: made.append(name) or net)
    work = load()
    for row in (SNNTORCH, replace(SPIKINGJELLY, stock=True)):
        work.operation(row, work.network())
    assert made == ["snnTorch", "SpikingJelly"]


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("row", ["stbp", "hart"])
def test_a_training_step_is_one_of_the_optimizer_by_the_rule_that_the_row_names(row, dtype):
    work = load(samples=4, optimizer=SGD, train_dtype=dtype)
    network, expected = work.network(), work.network().train()
    loss = work.operation(CostRow("rule", row), network)()
    assert network.execution.kind == KINDS[row]
    x, y = torch.as_tensor(work.x), torch.as_tensor(work.y).argmax(1)
    optimizer = SGD(expected.parameters())
    with expected.using(row), torch.autocast("cpu", torch.bfloat16, enabled=dtype is not None):
        logits = expected(x)
    wanted = torch.nn.functional.cross_entropy(logits.float(), y)
    wanted.backward()
    optimizer.step()
    assert loss == pytest.approx(wanted.item())
    for weight, other in zip(network.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(weight, other)
    assert not torch.equal(weight, list(work.network().parameters())[-1])


@pytest.mark.parametrize("row", [SPIKINGJELLY, SNNTORCH], ids=str)
def test_a_training_step_of_a_framework_lowers_its_own_loss_and_leaves_the_network(
    row, monkeypatch
):
    mirrors.installed(monkeypatch, spikingjelly="2.0.0", snntorch="1.0.0")
    work = load(replace(TINY, width=0.5), samples=8, optimizer=Recipe(momentum=0).optimizer_of)
    network = work.network()
    before = [weight.clone() for weight in network.parameters()]
    step = work.operation(row, network)
    losses = [step() for _ in range(8)]
    assert losses[-1] < losses[0]
    assert all(map(torch.equal, before, network.parameters()))
    assert not network.training


def test_inference_next_to_training_steps_is_that_of_the_drawn_weights(ran):
    work = load(samples=4, optimizer=SGD)
    work.operation(INFERENCE, work.network())()
    seconds_of(work, [ROWS[2], INFERENCE, ROWS[1]], 1)
    assert [row for row, *_ in ran] == ["inference", *["stbp", "inference", "rga"] * 2]
    (*_, expected), *others = ran
    for *_, logits in others[1::3]:
        np.testing.assert_array_equal(logits, expected)


@pytest.mark.parametrize("row", [ROWS[2], SNNTORCH], ids=str)
def test_the_peak_of_a_training_step_is_that_of_a_first_one(row, monkeypatch):
    mirrors.installed(monkeypatch, snntorch="1.0.0")
    seen: list[Any] = []

    def watched(operate: Any, device: str) -> int:
        seen.append(([w.grad for w in made[-1].parameters()], operate()))
        return 0

    made: list[Any] = []
    step = Workload._step
    monkeypatch.setattr(
        Workload, "_step", lambda self, net, opt: made.append(net) or step(self, net, opt)
    )
    monkeypatch.setattr(module, "peak_during", watched)
    architecture = Architecture(model="resnet17", width=0.05, steps=2)
    peak_of(load(architecture, samples=3, optimizer=SGD), row)
    assert len(made) == 2
    assert set(seen[0][0]) == {None}
    assert np.isfinite(seen[0][1])
    assert all(weight.grad is not None for weight in made[-1].parameters())
