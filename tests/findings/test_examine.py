"""A network that is broken in one way has that finding; healthy ones have none."""

import copy

import numpy as np
import pytest
import torch

from art_snn import HART, RGA, STBP, Poisson, PyTorchSpikingClassifier, SpikingNetwork
from art_snn.findings import CHECKS, Finding, examine, examine_strength
from art_snn.gradients import Triangle
from art_snn.interop import adapt
from tests import adapted
from tests.findings import broken
from tests.interop.test_forms import CLASSES, drawn, images
from tests.interop.test_mixed import Multiple
from tests.networks import build


@pytest.fixture(scope="module")
def samples(known):
    return known[0][:24], known[1][:24]


def names(estimator, samples, **options):
    found = examine(estimator, *samples, **{"eps": 0.1} | options)
    assert all(isinstance(finding, Finding) for finding in found)
    return [finding.name for finding in found]


@pytest.mark.parametrize(
    "rule", [RGA(), HART(), STBP(surrogate=Triangle(width=3.0))], ids=["rga", "hart", "wide stbp"]
)
def test_healthy_spiking_networks_have_none(rule, trained_layers, samples):
    assert names(build(trained_layers, gradient=rule), samples) == []


def test_a_healthy_network_that_does_not_spike_has_none(plain, data):
    assert names(plain, (data.x_test[:40], data.y_test[:40])) == []


BROKEN = {
    "random network": broken.Noisy,
    "probabilities in the place of logits": broken.Softmax,
    "saturated loss": broken.Sharp,
    "gradients cut": broken.Cut,
    "vanished gradients": broken.Dead,
    "unstable loss": broken.Rough,
    "state kept between calls": broken.Stateful,
    "predictions depend on the batch": broken.Centred,
    "statistics changed": broken.Learning,
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_network_that_is_broken_in_one_way_has_that_finding(name, trained_layers, samples):
    network = build(copy.deepcopy(trained_layers)).model
    classifier, x = broken.around(BROKEN[name](network)), samples[0]
    # Of most samples its own classes, since some of these networks are right about few.
    assert name in names(classifier, (x, classifier.predict(x).argmax(1)))


@pytest.mark.parametrize("count", [6, 24, 40])
def test_a_state_that_nobody_resets_is_told_from_chance(count, trained_layers, known):
    network = broken.Leaky(build(copy.deepcopy(trained_layers)).model)
    x, y = known[0][:count], known[1][:count]
    found = names(broken.around(network), (x, y))
    assert "state kept between calls" in found
    assert "random network" not in found
    # What the neurons have kept meanwhile is gone.
    assert network.mem is None


def test_buffers_of_any_number_format_and_size_are_put_back(trained_layers, samples):
    network = broken.Leaky(build(copy.deepcopy(trained_layers)).model)
    before = torch.ones(5, 10, dtype=torch.bfloat16)
    network.mem = before
    assert "statistics changed" in names(broken.around(network), samples)
    assert network.mem is before
    assert torch.equal(before, torch.ones(5, 10, dtype=torch.bfloat16))


def test_a_network_in_half_precision_is_examined(trained_layers, samples):
    classifier = build(copy.deepcopy(trained_layers))
    classifier.model.bfloat16()
    assert "statistics changed" not in names(classifier, samples)


@pytest.mark.parametrize("own", [0, 5])
def test_one_sample_without_an_answer_is_that_finding_and_no_other(own, trained_layers, samples):
    network = build(copy.deepcopy(trained_layers), gradient=RGA()).model
    x = samples[0]
    classifier = broken.around(broken.Unanswering(network, torch.as_tensor(x[3:4])))
    y = classifier.predict(x).argmax(1)
    # The class that argmax gives where nothing is known, and another one.
    y[3] = own
    (found,) = examine(classifier, x, y, eps=0.1)
    assert found.name == "samples without an answer"
    assert found.evidence == {"samples": 1, "of": len(x)}


def test_gradients_that_are_not_finite_are_found_and_counted(trained_layers, samples):
    network = build(copy.deepcopy(trained_layers), gradient=RGA()).model
    found = examine(broken.around(broken.Infinite(network)), *samples, eps=0.1)
    (finding,) = (one for one in found if one.name == "vanished gradients")
    assert finding.evidence == {"share that are 0": 0, "share not finite": 1}


def test_poisson_encoding_is_found_random(trained_layers, samples):
    network = SpikingNetwork(trained_layers, Poisson(steps=4))
    wrapped = build(trained_layers)
    wrapped.set_params(model=network)
    assert "random network" in names(wrapped, samples)


def test_rules_whose_slope_is_narrow_let_gradients_vanish(trained_layers, samples):
    narrow = build(trained_layers, gradient=STBP(surrogate=Triangle(width=0.001)))
    assert names(narrow, samples) in (["gradients cut"], ["vanished gradients"])


@pytest.mark.parametrize(
    ("options", "eps", "scale", "expected"),
    [
        ({"clip_values": None}, 0.1, 1, "range of values unknown"),
        ({"clip_values": (0.0, 255.0)}, 8, 1, "samples that do not fit their range"),
        ({}, 0.1, 255, "samples that do not fit their range"),
        ({}, 8, 1, "budget that does not fit the range"),
        ({}, 8 / 255**2, 1, "budget that does not fit the range"),
    ],
)
def test_ranges_and_budgets_that_do_not_fit_are_found(
    options, eps, scale, expected, trained_layers, samples
):
    x, y = samples
    classifier = broken.around(build(trained_layers).model, **options)
    assert expected in names(classifier, (x * np.float32(scale), y), eps=eps)


@pytest.mark.parametrize(("eps", "fits"), [(8, False), (4, False), (3.9, True), (0.007, False)])
def test_a_euclidean_budget_is_measured_by_the_diagonal(eps, fits, trained_layers, samples):
    # Digits have 64 values in [0, 1]: black and white are 8 apart.
    found = names(build(trained_layers), samples, norm=2, eps=eps)
    assert ("budget that does not fit the range" in found) != fits


def test_a_network_is_afterwards_what_it_was(trained_layers, samples):
    network = broken.Learning(build(copy.deepcopy(trained_layers)).model)
    classifier = broken.around(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    assert "statistics changed" in names(classifier, samples)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes


def test_a_finding_says_what_was_measured_and_what_to_do(trained_layers, samples):
    network = build(copy.deepcopy(trained_layers)).model
    (found,) = examine(broken.around(broken.Softmax(network)), *samples, eps=0.1)
    assert str(found).startswith("probabilities in the place of logits: largest distance of their")
    assert "AutoAttack" in found.limit
    assert found.remedy in str(found)


def natively(kind="inline"):
    """A classifier of which nothing but its own gradient suits, and samples of its classes."""
    torch.manual_seed(0)
    network = adapted.network(kind)
    if kind == "inline":
        torch.nn.init.constant_(network.model.first.bias, -0.1)
    options = {"clip_values": (0.0, 1.0), "device_type": "cpu"}
    loss = torch.nn.CrossEntropyLoss()
    classifier = PyTorchSpikingClassifier(network, loss, adapted.SHAPE, 3, **options)
    x = np.random.default_rng(0).random((16, *adapted.SHAPE), dtype=np.float32)
    # Of black samples no potential comes near the threshold.
    x[8:] = 0
    return classifier, (x, classifier.predict(x).argmax(1))


@pytest.mark.parametrize("look", [examine, examine_strength])
def test_a_network_with_its_own_gradient_alone_is_examined_by_it(look):
    classifier, (x, y) = natively()
    found = {one.name: one.evidence for one in look(classifier, x, y, eps=0.2)}
    if look is examine:
        assert found["vanished gradients"] == {"share that are 0": 0.5, "share not finite": 0}
    assert classifier.model.execution.kind == "native"


@pytest.mark.parametrize("look", [examine, examine_strength])
def test_a_rule_that_does_not_suit_gives_way_to_the_native_gradient_with_a_warning(look):
    classifier, (x, y) = natively("odd")
    assert classifier.model.rule == RGA()
    with pytest.warns(
        UserWarning, match=r"^rga does not suit .* own gradient is examined\. model: "
    ):
        look(classifier, x, y, eps=0.2)
    assert classifier.model.execution.kind == "native"
    assert classifier.model.rule == RGA()


def test_every_kind_of_finding_is_tested_here():
    # Five of them by name above: of ranges and budgets three, of rules none besides.
    # What has no answer, and layers that keep their own gradient, have tests of their own.
    assert len(CHECKS) == len(BROKEN) + 5


def test_bad_input_is_refused_by_name(trained_layers, samples):
    classifier, (x, y) = build(trained_layers), samples
    for options, message in {
        "eps": ({"eps": 0}, r"^eps: expected a number above 0, got 0"),
        "norm": ({"norm": 1}, r"^norm: expected numpy.inf, 2, 0 or 'shift', got 1"),
        "batch": ({"batch_size": 0}, r"^batch_size: expected a whole number >= 1, got 0"),
        "seed": ({"seed": -1}, r"^seed: expected a whole number >= 0, got -1"),
    }.values():
        with pytest.raises(ValueError, match=message):
            examine(classifier, x, y, **{"eps": 0.1} | options)
    with pytest.raises(ValueError, match=r"^x: expected at least one sample, got none"):
        examine(classifier, x[:0], y[:0], eps=0.1)
    with pytest.raises(ValueError, match=r"^y: expected 24 labels"):
        examine(classifier, x, y[:3], eps=0.1)
    with pytest.raises(ValueError, match=r"^x: expected finite values, got 1 NaN"):
        examine(
            classifier, np.where(np.arange(x.size).reshape(x.shape) == 5, np.nan, x), y, eps=0.1
        )


def wrapped(network):
    loss = torch.nn.CrossEntropyLoss()
    return PyTorchSpikingClassifier(network, loss, (1, 3, 3), CLASSES, clip_values=(0, 1))


def test_a_model_that_mixes_samples_has_findings_and_no_gradient():
    class Mixed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif = torch.nn.Linear(9, CLASSES), adapted.Leaky()

        def forward(self, x):
            return self.lif(self.fc(x.flatten(2).flatten(0, 1))).unflatten(0, (4, -1))

    classifier = wrapped(adapt(drawn(Mixed(), 0.5), steps=4))
    x = images(12).numpy()
    found = names(classifier, (x, classifier.predict(x).argmax(1)))
    assert "predictions depend on the batch" in found
    assert "gradients refused" in found


def test_layers_that_keep_a_gradient_of_their_own_are_a_finding_that_names_them():
    model = Multiple()
    classifier = wrapped(adapt(model, steps=6, elsewhere="native"))
    x = images(12).numpy()
    y = classifier.predict(x).argmax(1)
    (finding,) = (one for one in examine(classifier, x, y, eps=0.1) if "of their own" in one.name)
    assert finding.evidence == {"layers of neurons": 1, "of": 2}
    assert "here iaf: ours" in finding.limit
    with classifier.model.using("native"):
        assert "layers with a gradient of their own" not in names(classifier, (x, y))
