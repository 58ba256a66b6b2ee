"""A network that is broken in one way has that finding; healthy ones have none."""

import copy
import re
from functools import partial

import numpy as np
import pytest
import torch

from art_snn import HART, RGA, STBP, Poisson, SpikingNetwork
from art_snn.attacks import AutoPGD
from art_snn.findings import Finding, examine, examine_attack, examine_strength
from art_snn.findings.examination import CHECKS
from art_snn.gradients import Triangle
from art_snn.interop import adapt
from tests.attacks.classifiers import around
from tests.classifiers import build
from tests.findings import broken
from tests.interop import adapted
from tests.interop.stacks import CLASSES, images, lively


@pytest.fixture(scope="module")
def samples(known):
    return known[0][:24], known[1][:24]


def names(estimator, samples, **options):
    findings = examine(estimator, *samples, **{"eps": 0.1} | options)
    assert all(isinstance(finding, Finding) for finding in findings)
    return [finding.title for finding in findings]


def spiking(trained_layers, kind, *arguments, **options):
    """A classifier of a copy of the network, broken in some way."""
    network = build(copy.deepcopy(trained_layers), **options).model
    return broken.around(kind(network, *arguments))


WIDE = STBP(surrogate=Triangle(width=3.0))


@pytest.mark.parametrize("rule", [RGA(), HART(), WIDE], ids=["rga", "hart", "wide stbp"])
def test_healthy_networks_have_none(rule, trained_layers, samples, plain, data):
    assert names(build(trained_layers, gradient=rule), samples) == []
    assert rule != WIDE or names(plain, (data.x_test[:40], data.y_test[:40])) == []


# With words of the sentence that the figures stand in.
RANDOM = r"the same 24 samples have .*; \d+.* of them are right"
BROKEN = [
    (broken.Noisy, "random network", RANDOM),
    (lambda network: SpikingNetwork(network.layers, Poisson(steps=4)), "random network", RANDOM),
    (broken.Softmax, "probabilities instead of logits", "between 0 and 1 and sum to 1"),
    (broken.Sharp, "loss that rounds to 0", r"rounds to 0 for \d+ of 24 correctly"),
    (broken.Dead, "vanished gradients", r"is 0 for \d+ and not finite for 0 of 24 correctly"),
    (broken.Cut, "vanished gradients", "is 0 for 24 and not finite for 0 of 24 correctly"),
    (broken.Rough, "unstable outputs", r"of at most 0\.0314 alter .* by \d+ % \(median\)"),
    (broken.Stateful, "state kept between calls", r"to [\d.]+, and another class for \d+ of 24"),
    (broken.Centred, "predictions depend on the batch", r"in a batch of 8 differ by [\d.]+ %"),
    (
        broken.Learning,
        "predictions change the network",
        r"changed \d of \d+ weights and buffers of the network, first norm\.running_mean",
    ),
]


@pytest.mark.parametrize(("kind", "name", "words"), BROKEN)
def test_a_network_broken_in_one_way_has_that_finding(kind, name, words, trained_layers, samples):
    classifier, x = spiking(trained_layers, kind), samples[0]
    # Of most samples its own classes, since some of these networks are right about few.
    findings = examine(classifier, x, classifier.predict(x).argmax(1), eps=0.1)
    (sentence,) = (finding.sentence for finding in findings if finding.title == name)
    assert re.search(words, sentence)


@pytest.mark.slow
@pytest.mark.parametrize("count", [6, 24, 40])
def test_a_state_that_nobody_resets_is_told_from_chance(count, trained_layers, known):
    classifier = spiking(trained_layers, broken.Leaky)
    findings = names(classifier, (known[0][:count], known[1][:count]))
    assert "state kept between calls" in findings
    assert "random network" not in findings
    # What the neurons have kept meanwhile is gone.
    assert classifier.model.mem is None


@pytest.mark.slow
def test_buffers_of_any_number_format_and_size_are_put_back(trained_layers, samples):
    classifier = spiking(trained_layers, broken.Leaky)
    before = torch.ones(5, 10, dtype=torch.bfloat16)
    classifier.model.mem = before
    assert "predictions change the network" in names(classifier, samples)
    assert classifier.model.mem is before
    assert torch.equal(before, torch.ones(5, 10, dtype=torch.bfloat16))
    half = build(copy.deepcopy(trained_layers))
    half.model.bfloat16()
    assert "predictions change the network" not in names(half, samples)


# The class that argmax gives where nothing is known, and another one.
@pytest.mark.parametrize("label", [0, 5])
def test_one_sample_without_an_answer_is_that_finding_and_no_other(label, trained_layers, samples):
    x = samples[0]
    nowhere = torch.as_tensor(x[3:4])
    classifier = spiking(trained_layers, broken.Unanswering, nowhere, gradient=RGA())
    y = classifier.predict(x).argmax(1)
    y[3] = label
    (finding,) = examine(classifier, x, y, eps=0.1)
    assert finding.title == "predictions that are not numbers"
    assert finding.evidence == {"samples": 1, "of": len(x)}
    assert finding.sentence.startswith("The outputs for 1 of 24 samples are not numbers")


def test_gradients_that_are_not_finite_or_too_narrow_are_found(trained_layers, samples):
    classifier = spiking(trained_layers, broken.Infinite, gradient=RGA())
    findings = {one.title: one.evidence for one in examine(classifier, *samples, eps=0.1)}
    assert findings["vanished gradients"] == {"share that are 0": 0, "share not finite": 1}
    narrow = build(trained_layers, gradient=STBP(surrogate=Triangle(width=0.001)))
    assert names(narrow, samples) == ["vanished gradients"]


def test_gradients_that_vanish_by_some_rules_of_several_are_a_note(trained_layers, samples):
    narrow = build(trained_layers, gradient=STBP(surrogate=Triangle(width=0.001)))
    for rules, severity, words in (
        ([STBP(surrogate=Triangle(width=0.002))], "warning", "; at 1 all 2 rules have none"),
        ([STBP(surrogate=Triangle(width=0.002)), RGA()], "note", "; at 0 all 3 rules have none"),
    ):
        (finding,) = examine(narrow, *samples, eps=0.1, rules=rules)
        assert (finding.id, finding.severity) == ("vanished-gradients", severity)
        assert words in finding.sentence
        assert finding.sentence.startswith("The gradient by stbp(surrogate.width=0.001) is 0 for")


UNFIT, BUDGET = "samples that do not fit their range", "budget that does not fit the range"


@pytest.mark.parametrize(
    ("options", "eps", "scale", "name", "words"),
    [
        ({"clip_values": None}, 0.1, 1, "range of values unknown", "between 0 and 1"),
        ({"clip_values": (0.0, 255.0)}, 8, 1, UNFIT, r"use 0\.39 % of .*, 0 to 255\."),
        ({}, 0.1, 255, UNFIT, r"^[\d.]+ % of the values lie outside .*, 0 to 1\."),
        ({}, 8, 1, BUDGET, "eps 8 is 8 times the range's width: every image may"),
        ({}, 8 / 255**2, 1, BUDGET, r"eps 0\.000123 is 0\.000123 times .*: too little"),
    ],
)
def test_odd_ranges_or_budgets_are_found(options, eps, scale, name, words, trained_layers, samples):
    x, y = samples
    classifier = broken.around(build(trained_layers).model, **options)
    findings = examine(classifier, x * np.float32(scale), y, eps=eps)
    (finding,) = (one for one in findings if one.title == name)
    assert re.search(words, finding.sentence)
    assert finding.eps == (eps if name == BUDGET else None)


@pytest.mark.slow
@pytest.mark.parametrize(("eps", "fits"), [(8, False), (4, False), (3.9, True), (0.007, False)])
def test_a_euclidean_budget_is_measured_by_the_diagonal(eps, fits, trained_layers, samples):
    # Digits have 64 values in [0, 1]: black and white are 8 apart.
    assert (BUDGET in names(build(trained_layers), samples, norm=2, eps=eps)) != fits


def with_native_gradient(kind="compiled"):
    """A classifier of which nothing but its own gradient suits, and samples of its classes."""
    torch.manual_seed(0)
    network = adapted.network(kind)
    if kind == "compiled":
        torch.nn.init.constant_(network.layers.first.bias, -0.1)
    classifier = around(network, adapted.SHAPE, CLASSES)
    x = np.random.default_rng(0).random((16, *adapted.SHAPE), dtype=np.float32)
    # Of black samples no potential comes near the threshold.
    x[8:] = 0
    return classifier, (x, classifier.predict(x).argmax(1))


@pytest.mark.slow
@pytest.mark.parametrize("look", [examine, examine_strength])
def test_a_network_with_its_own_gradient_alone_is_examined_by_it(look):
    classifier, (x, y) = with_native_gradient()
    findings = {one.title: one.evidence for one in look(classifier, x, y, eps=0.2)}
    if look is examine:
        assert findings["vanished gradients"] == {"share that are 0": 0.5, "share not finite": 0}
    assert classifier.model.execution.kind == "native"


@pytest.mark.parametrize("look", [examine, examine_strength])
def test_a_rule_that_does_not_suit_is_a_finding_with_the_reason(look):
    classifier, (x, y) = with_native_gradient("none")
    assert classifier.model.rule == STBP()
    found = {one.title: one.remedy for one in look(classifier, x, y, eps=0.2)}
    assert "Change the network as it says: model: " in found["vanished gradients"]


def test_every_kind_of_finding_is_tested_here():
    # Six of them by name above: of ranges and budgets three, of rules none besides. What has no
    # answer and exchanged slopes have tests of their own.
    assert len(CHECKS) == len({name for _, name, _ in BROKEN}) + 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 0}, "eps: .*above 0"),
        ({"norm": 1}, "norm: .*'shift', got 1"),
        ({"batch_size": 0}, "batch_size: .*got 0"),
        ({"seed": -1}, "seed: .*got -1"),
        ({"x": np.zeros((0, 1, 8, 8), np.float32), "y": np.zeros(0, int)}, "x: .*at least one"),
        ({"y": np.arange(3)}, "y: .*24 labels"),
        ({"x": np.full((24, 1, 8, 8), np.nan)}, "x: .*finite"),
    ],
)
def test_bad_input_is_refused_by_name(options, message, trained_layers, samples):
    usual = {"x": samples[0], "y": samples[1], "eps": 0.1}
    with pytest.raises(ValueError, match=f"^{message}"):
        examine(build(trained_layers), **usual | options)


def test_rules_are_refused_for_a_network_that_is_not_spiking(plain, samples):
    with pytest.raises(ValueError, match=r"^rules: .*RGA"):
        examine(plain, *samples, eps=0.1, rules=[RGA()])


def test_a_model_that_mixes_samples_is_refused_instead_of_examined():
    class Mixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif = torch.nn.Linear(9, CLASSES), adapted.Steps()

        def forward(self, x):
            return self.lif(self.fc(x.flatten(2).flatten(0, 1))).unflatten(0, (4, -1))

    classifier = around(adapt(lively(Mixed(), 0.5), steps=4), (1, 3, 3), CLASSES)
    x = images(12).numpy()
    with pytest.raises(ValueError, match="the same whatever else is in its batch"):
        examine(classifier, x, np.zeros(12, int), eps=0.1)


def attacked(classifier, x, y, eps):
    return examine_attack(AutoPGD(classifier, eps=eps, max_iter=2, verbose=False), x, y, eps=eps)


@pytest.mark.parametrize(
    "work", [examine, partial(examine_strength, max_iter=20, square_iter=2), attacked]
)
def test_a_network_is_afterwards_what_it_was(work, trained_layers, samples):
    network = broken.Learning(build(copy.deepcopy(trained_layers)).model)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    hooks = len(network._forward_hooks)
    work(broken.around(network), samples[0][:6], samples[1][:6], eps=0.1)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert len(network._forward_hooks) == hooks
