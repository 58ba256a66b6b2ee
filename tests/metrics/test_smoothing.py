"""Certificates of networks whose exact probabilities are known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from art.estimators.classification import PyTorchClassifier
from scipy.stats import binom, binomtest
from torch import nn

from art_snn import LIF, Ablation, Direct, Poisson, SpikingNetwork, TimeDistributed as Timed
from art_snn.classifier import wrap
from art_snn.interop import adapt
from art_snn.metrics import Certificate, certify
from art_snn.metrics.certificate import ABSTAINED
from tests.elsewhere import TENSORS
from tests.interop.neurons import Steps
from tests.metrics.spiking import answers, hidden, l1_radius, linear, probabilities

STEPS, FEW = 2, {"selection": 20, "draws": 200}


def brighter(steps: int = STEPS, dtype: torch.dtype = torch.float32) -> PyTorchClassifier:
    """Of two pixels, the one that fires more often; the first one where they are even."""
    return linear([[1.0, 0.0], [0.0, 1.0]], [0.25 / steps, 0.0], steps, dtype)


def samples() -> np.ndarray:
    return np.array([[1, 0], [0, 1], [0.7, 0.4], [0.5, 0.5]], dtype=np.float32)


@pytest.mark.parametrize("steps", [1, 2, 8])
def test_certain_samples_have_the_radius_of_draws_that_all_agree(steps):
    result = certify(brighter(steps), samples()[:2], np.array([0, 0]), **FEW, alpha=0.001)
    radius = 1 - (1.5 - 0.0005 ** (1 / 200)) ** (1 / steps)
    assert result.predicted.tolist() == [0, 1]
    assert result.correct.tolist() == [True, False]
    assert result.region.radius == pytest.approx([radius, radius])


def test_no_certificate_goes_beyond_the_exact_probability():
    # Each of the twelve is wrong with probability 1e-6.
    classifier = hidden(3, 2, STEPS)
    classes = answers(classifier, 2, STEPS)
    x = np.random.default_rng(0).random((12, 2)).astype(np.float32)
    result = certify(classifier, x, np.zeros(12, int), **FEW, alpha=1e-6)
    exact = np.array([probabilities(classes, sample, STEPS) for sample in x])
    certified = result.predicted >= 0
    assert certified.any()
    for sample, answer, radius in zip(x, result.predicted, result.region.radius, strict=True):
        if answer >= 0:
            assert radius <= l1_radius(probabilities(classes, sample, STEPS)[answer], STEPS)
    assert np.array_equal(result.predicted[certified], exact.argmax(1)[certified])


def test_the_draws_have_the_exact_probability():
    x = samples()[2:3]
    exact = probabilities(answers(brighter(), 2, STEPS), x[0], STEPS, 2)[0]
    assert 0.7 < exact < 0.97
    result = certify(brighter(), x, np.array([0]), selection=20, draws=5000, batch_size=1000)
    low, high = (
        binomtest(round(5000 * (exact + by)), 5000, alternative="greater").proportion_ci(0.999).low
        for by in (-0.03, 0.03)
    )
    assert l1_radius(low, STEPS) < result.region.radius[0] < l1_radius(high, STEPS)


def test_what_is_a_toss_up_is_abstained_from():
    # Of one step and equal rates, 0 and 1 are even: 1 is the answer where a pixel fires.
    coin = linear([[0.0], [1.0]], [0.5, 0.0], 1)
    result = certify(coin, np.full((3, 1), 0.5, np.float32), np.zeros(3, int), **FEW)
    assert result.predicted.tolist() == [-1, -1, -1]
    assert result.region.radius.tolist() == [0, 0, 0]
    assert not result.correct.any()
    assert result.abstentions.count == 3


def test_a_sample_is_certified_by_its_seed_as_if_it_stood_alone():
    x, y = samples()[::-1].copy(), np.zeros(4, int)
    classifier, state = brighter(), torch.get_rng_state()
    together = certify(classifier, x, y, **FEW)
    assert torch.equal(torch.get_rng_state(), state)
    for i in range(4):
        alone = certify(brighter(), x[i : i + 1], y[i : i + 1], **FEW, seed=i)
        assert alone.region.radius[0] == together.region.radius[i]
    other = certify(brighter(), x, y, **FEW, seed=100)
    assert not np.array_equal(other.region.radius, together.region.radius)


def test_a_sample_takes_a_pass_per_draw_and_an_interrupt_changes_nothing(monkeypatch):
    classifier, state, sizes = brighter(), torch.get_rng_state(), []
    predict = classifier.predict

    def watching(x, **options):
        sizes.append(len(x))
        if len(sizes) == 8:
            raise KeyboardInterrupt
        return predict(x, **options)

    monkeypatch.setattr(classifier, "predict", watching)
    classifier.model.train()
    certify(classifier, samples()[:1], np.zeros(1, int), selection=20, draws=70, batch_size=32)
    assert sizes == [20, 32, 32, 6]
    with pytest.raises(KeyboardInterrupt):
        certify(classifier, samples(), np.zeros(4, int), **FEW)
    assert torch.equal(torch.get_rng_state(), state)
    assert classifier.model.training


def test_what_stands_in_a_torch_tensor_in_one_hot_form_or_in_double_is_certified_too():
    x, y = samples(), np.array([0, 1, 0, 1])
    expected = certify(brighter(), x, y, **FEW)
    forms = [(torch.tensor(x), torch.tensor(y)), (x, np.eye(2)[y]), (x, y[:, None])]
    for given in (*forms, *((make(x[:2]), make(y[:2])) for make in TENSORS.values())):
        result, count = certify(brighter(), *given, **FEW), len(given[0])
        assert np.array_equal(result.region.radius, expected.region.radius[:count])
        assert np.array_equal(result.correct, expected.correct[:count])
    assert certify(brighter(dtype=torch.float64), x, y, **FEW).predicted[:2].tolist() == [0, 1]


def test_adapted_networks_and_classifiers_of_art_are_certified():
    network = brighter().model
    stock = PyTorchClassifier(network, nn.CrossEntropyLoss(), (2,), 2, device_type="cpu")
    model = nn.Sequential(Steps(), network.layers[1].module[0])
    network = adapt(model, encoder=Poisson(STEPS))
    adapted = wrap(network, (2,), 2, (0.0, 1.0), "cpu")
    for classifier in (stock, adapted):
        result = certify(classifier, samples()[:2], np.array([0, 1]), **FEW)
        assert result.certified_accuracy(0.1).count == 2


class Half(Poisson):
    """Fires half as often."""

    def __call__(self, x):
        return super().__call__(x / 2)


def with_encoder(encoder: object) -> PyTorchClassifier:
    classifier = brighter()
    classifier.model.encoder = encoder
    return classifier


def preprocessed() -> PyTorchClassifier:
    loss, options = nn.CrossEntropyLoss(), {"preprocessing": (0.5, 0.25), "device_type": "cpu"}
    return PyTorchClassifier(brighter().model, loss, (2,), 2, **options)


SOME, FOUR = samples(), np.zeros(4, int)
EVENTS, PARTS = np.eye(24, dtype=np.float32)[0].reshape(1, 2, 1, 12), (0.5, 2.0, -1.0)
MASKED = np.ma.masked_array(SOME, mask=SOME == 0)
CROSS = nn.CrossEntropyLoss()
REFUSED: list[tuple[Callable[[], object], dict[str, Any], str]] = [
    (lambda: nn.Linear(2, 2), {}, "estimator: .*got Linear"),
    (lambda: PyTorchClassifier(nn.Linear(2, 2), CROSS, (2,), 2), {}, "estimator: .*of Linear"),
    (lambda: with_encoder(Direct(2)), {}, r"estimator: .*Poisson .* Direct\("),
    (lambda: with_encoder(Half(2)), {}, r"estimator: .*Poisson .* Half\("),
    (preprocessed, {}, "estimator: .*preprocessing"),
    (lambda: brighter(dtype=torch.bfloat16), {}, "estimator: .*bfloat16"),
    (brighter, {"x": SOME[:0], "y": FOUR[:0]}, "x: .*at least one"),
    (brighter, {"x": np.zeros((4, 3), np.float32)}, r"x: .*\(N, 2\), got \(4, 3\)"),
    (brighter, {"x": SOME * 1.01}, r"x: .*from 0 to 1, .*1\.01"),
    (brighter, {"x": SOME - 0.01}, r"x: .*from 0 to 1, .*-0\.01"),
    (brighter, {"x": SOME * np.nan}, "x: .*finite"),
    (brighter, {"x": MASKED}, "x: .*hides"),
    (brighter, {"x": SOME[:3]}, "y: .*3 labels"),
    *((brighter, {"alpha": value}, "alpha: ") for value in (0, 1, -0.1, float("nan"), "0.001")),
    *((brighter, {name: 0}, f"{name}: ") for name in ("selection", "draws", "batch_size")),
    *((brighter, {"seed": value}, "seed: ") for value in (-1, 2**32, 0.5)),
    *((lambda: counting(0.1, 1), {"x": p * EVENTS, "y": FOUR[:1]}, "x: .*binary") for p in PARTS),
]


@pytest.mark.parametrize(("make", "options", "words"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_certified_is_refused(make, options, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        certify(make(), **{"x": SOME, "y": FOUR} | FEW | options)


def test_a_class_is_certified_by_the_draws_that_answer_alone(monkeypatch):
    sure, some = brighter(), brighter()
    predict = some.predict

    def half(x, **options):
        logits = predict(x, **options)
        logits[::2] = np.nan
        return logits

    monkeypatch.setattr(some, "predict", half)
    of = (samples(), np.zeros(4, int))
    few, all_ = certify(some, *of, **FEW), certify(sure, *of, **FEW)
    assert (all_.region.radius > 0).any()
    # Of half of all draws no lower bound is above one half.
    assert not few.region.radius.any()
    with torch.no_grad():
        next(sure.model.parameters()).fill_(np.nan)
    none = certify(sure, *of, **FEW)
    assert none.predicted.tolist() == [ABSTAINED] * 4
    assert not none.region.radius.any()


def certify_votes(votes: np.ndarray, answer: int, alpha: float) -> Certificate:
    """The certificate of a class, for samples whose draws have so many votes [N, K]."""
    draws, classes = int(votes[0].sum()), votes.shape[1]
    classifier = linear(np.zeros((classes, 1)), np.zeros(classes), 1)
    drawn = iter([row for count in votes for row in ([answer], np.repeat(range(classes), count))])
    classifier.predict = lambda x, **_: np.eye(classes)[next(drawn)]
    x, y = np.zeros((len(votes), 1), np.float32), np.full(len(votes), answer)
    return certify(classifier, x, y, selection=1, draws=draws, batch_size=draws, alpha=alpha)


def test_a_lead_counts_the_second_class_and_is_wrong_as_seldom_as_it_says():
    assert certify_votes(np.array([[0, 500, 500]]), 1, 0.001).predicted == [ABSTAINED]
    # Of many classes none is as likely as all others together.
    many = certify_votes(np.array([[500] + [50] * 10]), 0, 0.001)
    assert many.region.radius > Poisson(1).certified(0.68).radius
    every = np.random.default_rng(0).multinomial(100, [0.5, 0.3, 0.2], size=1000)
    radii = certify_votes(every, 0, 0.1).region.radius
    assert np.mean(radii > Poisson(1).certified((1 + 0.5 - 0.3) / 2).radius) <= 0.1
    assert radii.max() > 0


def counting(keep: float, least: int) -> PyTorchClassifier:
    """Answers 1 where so many events of frames [2, 1, 12] are kept, otherwise 0."""
    readout = nn.Linear(12, 2)
    with torch.no_grad():
        readout.weight.copy_(torch.tensor([[0.0], [1.0]]).expand(2, 12))
        readout.bias.copy_(torch.tensor([(least - 0.5) / STEPS, 0.0]))
    network = SpikingNetwork([LIF(), Timed(nn.Flatten(), readout)], Ablation(STEPS, keep))
    return wrap(network, (STEPS, 1, 12), 2, (0.0, 1.0), "cpu")


def frames(*counts: int) -> np.ndarray:
    """Binary frames with so many events each."""
    return np.array([np.arange(24).reshape(2, 1, 12) < count for count in counts], np.float32)


def kept(count: int, keep: float, least: int) -> float:
    """The exact probability that at least so many of the events are kept."""
    return float(binom.sf(least - 1, count, keep))


@pytest.mark.parametrize("keep", [0.1, 0.3])
def test_the_numbers_of_events_follow_from_probabilities_that_are_known(keep):
    counts = [0, 6, 12, 18, 24]
    x, classifier = frames(*counts), counting(keep, 2)
    result = certify(classifier, x, np.zeros(5, int), draws=2000, batch_size=500, alpha=1e-6)
    for row, count in enumerate(counts):
        p = kept(count, keep, 2)
        answer = int(p > 0.5)
        exact = p if answer else 1 - p
        assert result.predicted[row] in (answer, *([ABSTAINED] if exact < 0.6 else []))
        assert result.region.probability[row] <= exact
        assert result.region.probability[row] > exact - 0.07
    assert result.correct.tolist() == (result.predicted == 0).tolist()


def test_within_the_region_of_a_sample_the_vote_stays_and_beyond_it_some_vote_falls():
    # Without events the answer is 0, always; added ones are the worst that can happen.
    keep, classifier = 0.1, counting(0.1, 1)
    result = certify(classifier, frames(0), np.zeros(1, int), draws=2000, batch_size=500)
    most = int(result.region.size[0])
    assert result.certified_accuracy(flips=most).count == 1
    votes = []
    for added in (most, 12):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            x = np.repeat(frames(added), 2000, axis=0)
            votes.append((classifier.predict(x, batch_size=500).argmax(1) == 0).mean())
    assert kept(most, keep, 1) < 0.5 < kept(most + 1, keep, 1)
    assert votes[0] > 0.5 > votes[1]
