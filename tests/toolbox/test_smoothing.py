"""ART's smoothing around a spiking network: votes, radii and gradients are those of the papers."""

from __future__ import annotations

import copy
import importlib.util
import sys
from typing import Any

import numpy as np
import pytest
import torch
from art.estimators.certification import (
    NumpyRandomizedSmoothing,
    PyTorchDeRandomizedSmoothing,
    PyTorchRandomizedSmoothing,
)
from art.estimators.certification.randomized_smoothing.smooth_adv.pytorch import PyTorchSmoothAdv
from scipy.stats import beta, binomtest, norm
from torch import nn

from art_snn import LIF, RGA, STBP, Direct, SpikingNetwork, TimeDistributed as Timed
from tests.networks import CLASSES, STEPS, Counted, build
from tests.toolbox.promises import (
    ATTACK_GRADIENT,
    BOTH,
    CLASS_GRADIENT,
    FIT,
    LOSS_GRADIENT,
    MODEL,
    NOTHING,
    PREDICT,
    TRAINING_GRADIENT,
    WEIGHTS,
    promises,
)

ALPHA, SIGMA, DRAWS = 0.01, 0.1, 60
NOISE = {"sample_size": 40, "scale": SIGMA, "alpha": ALPHA}
KINDS = {"PyTorch": PyTorchRandomizedSmoothing, "numpy": NumpyRandomizedSmoothing}
NAMES = ("PyTorchRandomizedSmoothing", "NumpyRandomizedSmoothing")


class Smoothed:
    """A smoothed classifier, the classifier within, and their counting rules."""

    def __init__(
        self, layers: Any, kind: type = PyTorchRandomizedSmoothing, **options: Any
    ) -> None:
        self.attack, self.training = Counted(RGA()), Counted(STBP())
        layers = copy.deepcopy(layers)
        self.base = build(layers, gradient=self.attack, training_gradient=self.training)
        if kind is NumpyRandomizedSmoothing:
            self.classifier = kind(self.base, **NOISE)
            return
        base = self.base
        given = (base.model, base.loss, base.input_shape, base.nb_classes, base.optimizer)
        options = {"clip_values": (0.0, 1.0), "device_type": "cpu"} | NOISE | options
        self.classifier = kind(*given, **options)

    @property
    def backwards(self) -> tuple[int, int]:
        return self.attack.tally.backwards, self.training.tally.backwards


@pytest.fixture(params=KINDS)
def smoothed(request: Any, trained_layers: Any) -> Smoothed:
    return Smoothed(trained_layers, KINDS[request.param])


@pytest.fixture
def votes(smoothed: Smoothed, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """How many noisy samples of every call the network itself gives to each class."""
    counts, predict = [], smoothed.classifier._predict_classifier

    def recorded(x: np.ndarray, **options: Any) -> np.ndarray:
        labels = smoothed.base.predict(x).argmax(1)
        counts.append(np.bincount(labels, minlength=CLASSES))
        return predict(x, **options)

    monkeypatch.setattr(smoothed.classifier, "_predict_classifier", recorded)
    return counts


@promises(
    "the radius is sigma times the normal quantile of Clopper and Pearson's lower bound, computed "
    "by hand; networks with Poisson encoding have a radius without added noise, by our `certify`",
    *NAMES,
    uses=PREDICT,
)
def test_the_radius_is_the_closed_form_of_the_votes(smoothed, votes, known):
    classes, radii = smoothed.classifier.certify(known[0][:6], n=DRAWS)
    for number, (label, radius) in enumerate(zip(classes, radii, strict=True)):
        selected, counts = votes[2 * number : 2 * number + 2]
        count = counts[selected.argmax()]
        least = beta.ppf(ALPHA, count, DRAWS - count + 1) if count else 0
        certain = least >= 0.5
        assert label == (selected.argmax() if certain else -1)
        assert radius == pytest.approx(SIGMA * norm.ppf(least) if certain else 0)
    assert (radii > 0).any()
    assert smoothed.backwards == (0, 0)


@promises(
    "predicts the class of most votes, or nothing where a binomial test leaves it open",
    *NAMES,
    uses=PREDICT,
)
def test_the_smoothed_class_is_that_of_most_votes(smoothed, votes, known):
    x = np.concatenate([known[0][:4], (known[0][:4] + known[0][4:8]) / 2])
    predictions = smoothed.classifier.predict(x)
    for prediction, counts in zip(predictions, votes, strict=True):
        first, second = np.sort(counts)[[-1, -2]]
        clear = binomtest(int(first), int(first + second)).pvalue <= ALPHA
        assert prediction.sum() == clear
        assert not clear or prediction.argmax() == counts.argmax()
    assert predictions.any()
    assert smoothed.backwards == (0, 0)


@promises("`certify` needs the package statsmodels, which its error names", *NAMES, uses=NOTHING)
def test_the_package_that_radii_need_is_named(smoothed, known, monkeypatch):
    monkeypatch.setitem(sys.modules, "statsmodels.stats.proportion", None)
    with pytest.raises(ImportError, match="statsmodels"):
        smoothed.classifier.certify(known[0][:1], n=2)


@promises(
    "with `sampling=True` the gradient is that of the mean softmax under noise, by hand",
    "PyTorchRandomizedSmoothing",
    uses=MODEL,
    rule=ATTACK_GRADIENT,
)
def test_the_gradient_is_that_of_the_mean_softmax_under_noise(trained_layers, known):
    smoothed = Smoothed(trained_layers, sample_size=5)
    x, y = known[0][:3], known[1][:3]
    torch.manual_seed(3)
    gradient = smoothed.classifier.loss_gradient(x, np.eye(CLASSES)[y], sampling=True)
    assert smoothed.backwards == (1, 0)
    torch.manual_seed(3)
    leaf = torch.tensor(x, requires_grad=True)
    repeated = leaf.repeat_interleave(5, 0)
    logits = smoothed.base.model(repeated + SIGMA * torch.randn_like(repeated))
    means = logits.softmax(1).view(3, 5, CLASSES).mean(1)
    loss = nn.functional.nll_loss(means.log(), torch.tensor(y))
    (expected,) = torch.autograd.grad(loss, leaf)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-6)
    assert np.abs(gradient).max() > 1e-4


@promises(
    "loss and class gradients are those of the classifier within, without noise",
    "NumpyRandomizedSmoothing",
    uses=CLASS_GRADIENT,
    rule=ATTACK_GRADIENT,
)
@promises(
    "`class_gradient` is not implemented by ART, for any network",
    "PyTorchRandomizedSmoothing",
    uses=NOTHING,
)
def test_gradients_without_sampling_are_those_of_the_classifier_within(smoothed, known):
    x, y = known[0][:3], np.eye(CLASSES, dtype=np.float32)[known[1][:3]]
    one = smoothed.classifier.loss_gradient(x, y)
    np.testing.assert_allclose(one, smoothed.base.loss_gradient(x, y), rtol=1e-4, atol=1e-7)
    if isinstance(smoothed.classifier, PyTorchRandomizedSmoothing):
        with pytest.raises(NotImplementedError):
            smoothed.classifier.class_gradient(x)
    else:
        one = smoothed.classifier.class_gradient(x)
        np.testing.assert_array_equal(one, smoothed.base.class_gradient(x))
    assert smoothed.backwards[0] > 0
    assert smoothed.backwards[1] == 0


@promises("trains all weights on noisy samples", *NAMES, uses=FIT, rule=TRAINING_GRADIENT)
def test_training_under_noise_goes_by_the_training_rule(smoothed, data):
    before = copy.deepcopy(smoothed.base.model.state_dict())
    smoothed.classifier.fit(data.x_train[:16], data.y_train[:16], batch_size=8, nb_epochs=1)
    assert smoothed.backwards == (0, 2)
    for name, weight in smoothed.base.model.state_dict().items():
        assert not torch.equal(weight, before[name]), name


@promises(
    "its SmoothAdv training crafts with the attack gradient, and updates with the training one",
    "PyTorchRandomizedSmoothing",
    uses=LOSS_GRADIENT,
    rule=BOTH,
)
def test_training_on_adversaries_under_noise_uses_both_rules(trained_layers, data):
    smoothed = Smoothed(trained_layers, PyTorchSmoothAdv, epsilon=0.5, num_steps=2)
    smoothed.classifier.fit(data.x_train[:16], data.y_train[:16], batch_size=8, nb_epochs=1)
    assert smoothed.backwards == (2 * 2, 2)


WIDTH, THRESHOLD = 2, 0.3
STRIPES = {"ablation_size": WIDTH, "ablation_type": "column", "threshold": THRESHOLD}


def striped(network: SpikingNetwork, **options: Any) -> PyTorchDeRandomizedSmoothing:
    """Votes over stripes of the image."""
    options = STRIPES | {"algorithm": "levine2020", "logits": True, "device_type": "cpu"} | options
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    given = (network, nn.CrossEntropyLoss(), (1, 8, 8), CLASSES)
    return PyTorchDeRandomizedSmoothing(*given, optimizer=optimizer, verbose=False, **options)


def stripes_network(channels: int, attack: Counted, training: Counted) -> SpikingNetwork:
    layers = nn.Sequential(
        Timed(nn.Conv2d(channels, 12, 3, padding=1)),
        LIF(),
        Timed(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12 * 16, CLASSES)),
    )
    return SpikingNetwork(layers, Direct(STEPS), attack, training, input_shape=(channels, 8, 8))


def stripe_votes(network: SpikingNetwork, x: np.ndarray) -> np.ndarray:
    """Votes [N, K] of all stripes, which wrap around the image's right edge."""
    both = torch.tensor(np.concatenate([x, 1 - x], axis=1))
    votes = torch.zeros(len(x), CLASSES)
    for start in range(x.shape[3]):
        kept = [(start + column) % x.shape[3] for column in range(WIDTH)]
        stripe = torch.zeros_like(both)
        stripe[..., kept] = both[..., kept]
        with torch.no_grad():
            votes += network(stripe).softmax(1) >= THRESHOLD
    return votes.numpy()


@promises(
    "votes and certified accuracy are those of the closed form, and no column of noise changes a "
    "certified class; `levine2020` needs a network of twice the channels, for x and 1 - x",
    "PyTorchDeRandomizedSmoothing",
    uses=WEIGHTS,
    rule=TRAINING_GRADIENT,
)
def test_stripes_certify_what_no_column_changes(data):
    attack, training = Counted(RGA()), Counted(STBP())
    network = stripes_network(2, attack, training)
    smoothed = striped(network)
    # Dark and bright images, which every stripe tells apart, so that some are certified.
    y = np.arange(64) % 2
    x = np.random.default_rng(0).uniform(0.8, 1, (64, 1, 8, 8)).astype(np.float32)
    x[y == 0] = 1 - x[y == 0]
    smoothed.fit(x, y, batch_size=32, nb_epochs=20, verbose=False)
    assert (attack.tally.backwards, training.tally.backwards) == (0, 40)
    x, y = np.concatenate([x[:20], data.x_test[:40]]), np.concatenate([y[:20], data.y_test[:40]])
    votes = stripe_votes(network.eval(), x)
    np.testing.assert_array_equal(smoothed.predict(x), votes)
    accuracy, certified = smoothed.eval_and_certify(x, y, size_to_certify=1, verbose=False)
    ahead, top = np.diff(np.sort(votes)[:, -2:])[:, 0], votes.argmax(1)
    # A column meets as many stripes as they are wide; ties go to the smaller class.
    clear, least = ahead > 2 * WIDTH, (ahead >= 2 * WIDTH) & (top == y)
    assert float(accuracy) == pytest.approx((top == y).mean())
    assert (clear & (top == y)).mean() - 1e-6 <= float(certified) <= least.mean() + 1e-6
    assert clear.any()
    for column in range(8):
        attacked = x[clear].copy()
        attacked[..., column] = np.random.default_rng(column).random(attacked.shape[:3])
        np.testing.assert_array_equal(smoothed.predict(attacked).argmax(1), top[clear])


def no_timm(name: str, *given: Any) -> Any:
    return None if name == "timm" else FIND(name, *given)


FIND = importlib.util.find_spec


@promises(
    "`salman2021`, its default algorithm, needs the package timm, also for networks that are no "
    "transformers: take `levine2020`, or install it",
    "PyTorchDeRandomizedSmoothing",
    uses=NOTHING,
    error=True,
)
def test_the_default_algorithm_of_stripes_needs_a_package(classifier, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", no_timm)
    with pytest.raises(ValueError, match="Model type not recognized"):
        striped(classifier.model, algorithm="salman2021")


def test_stripes_on_a_network_of_as_many_channels_are_refused(classifier, known):
    with pytest.raises(ValueError, match=r"x: expected shape \[N, 1, 8, 8\], got \[2, 2, 8, 8\]"):
        striped(classifier.model).predict(known[0][:2])
