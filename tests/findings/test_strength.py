"""A network whose white box is too weak has that finding; healthy ones have none."""

import copy
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from art_snn import HART, LIF, RGA, STBP, Frames, Poisson, SpikingNetwork, TimeDistributed
from art_snn.attacks import require_measure
from art_snn.findings import examine_strength
from art_snn.findings.strength import (
    CHECKS_OF_STRENGTH,
    _noise_as_strong,
    _one_step_as_strong,
    _steps_still_help,
    _WhiteBox,
    _whole_range_survived,
)
from art_snn.metrics import Robustness
from tests.attacks.classifiers import Ahead, stock
from tests.classifiers import build
from tests.findings import broken

QUICK = {"eps": 0.1, "max_iter": 40, "square_iter": 60}


@pytest.fixture(scope="module")
def samples(known):
    return known[0][:60], known[1][:60]


def names(estimator, samples, **options):
    return [f.title for f in examine_strength(estimator, *samples, **QUICK | options)]


@pytest.mark.slow
@pytest.mark.parametrize("rule", [RGA(), HART()], ids=["rga", "hart"])
def test_healthy_networks_have_none(rule, trained_layers, samples, plain):
    spiking, budget = build(trained_layers, gradient=rule), {"norm": 2, "eps": 0.5}
    assert names(spiking, samples, sources=[plain]) == []
    assert names(plain, samples, sources=[spiking], **budget if rule == HART() else {}) == []


COMPARED = r" broke \d+ of 60 samples at eps {}; the gradient attack broke \d+, but missed \d+ of"
ASTRAY = {
    "samples survive an unlimited budget": r"missed \d+ of 60 samples\. Sample numbers: \d",
    "noise is as strong as the gradient": "^Random noise, best of 10 draws," + COMPARED.format(0.4),
    "a search without gradients is as strong": "needs no gradient," + COMPARED.format(0.4),
    "an attack on another network is as strong": "on another network" + COMPARED.format(0.4),
}
GRIDDED = {"one step is as strong as many": r"^A single step \(FGSM\)" + COMPARED.format(0.1)}
QUEUED = {"more steps break more samples": r"of 24 .* 0\.25, and \d+ with 40 steps instead of 20"}


@pytest.mark.parametrize(
    ("kind", "eps", "expected"),
    [(broken.Astray, 0.4, ASTRAY), (broken.Gridded, 0.1, GRIDDED)],
    ids=["astray", "gridded"],
)
def test_a_gradient_to_nowhere_is_found(kind, eps, expected, trained_layers, samples, plain):
    classifier = broken.around(kind(build(copy.deepcopy(trained_layers)).model))
    options = QUICK | {"eps": eps, "max_iter": 20}
    said(expected, examine_strength(classifier, *samples, sources=[plain], **options))


def event_frames(kind, samples=60):
    """A classifier of two classes with that kind of gradient, frames, and what it says of them."""
    torch.manual_seed(0)
    first, last = torch.nn.Linear(18, 16), torch.nn.Linear(16, 2, bias=False)
    with torch.no_grad():
        first.weight.mul_(5)
        last.weight[1] = -last.weight[0]
    layers = [TimeDistributed(torch.nn.Flatten(), first), LIF(), TimeDistributed(last)]
    network = kind(SpikingNetwork(layers, Frames(), gradient=STBP()))
    x = (np.random.default_rng(0).random((samples, 4, 2, 3, 3)) < 0.4).astype(np.float32)
    classifier = stock(network, x.shape[1:], 2)
    return classifier, x, classifier.predict(x).argmax(1)


@pytest.mark.parametrize(("norm", "eps"), [(0, 8), ("shift", 1)])
def test_event_frames_are_examined_by_the_attack_of_their_norm(norm, eps):
    budget = {"norm": norm, "eps": eps}
    classifier, *samples = event_frames(lambda network: network)
    assert examine_strength(classifier, *samples, **budget) == []
    classifier, *samples = event_frames(broken.Astray)
    (finding,) = examine_strength(classifier, *samples, **budget)
    assert finding.id == "noise-as-strong"
    words = rf"broke (\d+) of 60 samples at eps {eps}; the gradient attack broke (\d+), but"
    noise, gradient = map(int, re.search(words, finding.sentence).groups())
    assert noise > gradient
    # All that either broke: the headline of an evaluation leaves them out.
    assert len(finding.broken) >= noise


@pytest.mark.parametrize(("norm", "eps"), [(0, 8), ("shift", 1)])
def test_random_changes_of_frames_spend_the_budget_and_no_more(norm, eps):
    classifier, x, y = event_frames(lambda network: network)
    changed = _WhiteBox(classifier, x, y, eps, norm).change_randomly(1)
    assert set(np.unique(changed)) == {0, 1}
    both = torch.as_tensor(x), torch.as_tensor(changed)
    assert (require_measure(norm).distances(*both, 0) == eps).all()


def test_more_steps_of_shifts_are_tried():
    classifier, *samples = event_frames(lambda network: network)
    found = examine_strength(classifier, *samples, norm="shift", eps=1, max_iter=1)
    assert "more-steps" in {finding.id for finding in found}


def said(expected, findings):
    """Those findings are there, with these words."""
    sentences = {finding.title: finding.sentence for finding in findings}
    assert expected.keys() <= sentences.keys()
    for name, words in expected.items():
        assert re.search(words, sentences[name])


def test_samples_whose_answer_is_lost_on_the_way_end_nothing(trained_layers, samples):
    x, y = samples[0][:4], samples[1][:4]
    network = build(copy.deepcopy(trained_layers), gradient=RGA()).model
    classifier = broken.around(broken.Unanswering(network, torch.as_tensor(x), lost=True))
    # From the first random point on nothing is known.
    for finding in examine_strength(classifier, x, y, **QUICK):
        assert np.isfinite(list(finding.evidence.values())).all()


def test_an_attack_that_ends_too_early_has_that_finding():
    # Samples that take other numbers of steps.
    x = 0.5 - 1e-4 * np.arange(24, dtype=np.float32)[:, None] * np.ones(64, dtype=np.float32)
    classifier, y = stock(Ahead(broken.queue), (64,), 2), np.zeros(24, int)
    said(QUEUED, examine_strength(classifier, x, y, **QUICK | {"eps": 0.25, "max_iter": 20}))
    assert not {*names(classifier, (x, y), eps=0.25, max_iter=150)} & QUEUED.keys()


def test_every_kind_of_finding_about_strength_is_tested_here():
    assert len(CHECKS_OF_STRENGTH) == len(ASTRAY | GRIDDED | QUEUED)


def compared(only_white, only_control, both=10, samples=1000):
    """A subject of which the white box and every control flip so many, of right samples."""

    class Compared(_WhiteBox):
        def attack(self, **_):
            return control

        def change_randomly(self, _):
            return np.zeros(1)

        def judge(self, _):
            return control

    rows, right = np.arange(samples), np.ones(samples, bool)
    white = Robustness(right, rows >= both + only_white)
    spared = (rows >= both) & (rows < both + only_white)
    control = Robustness(right, spared | (rows >= both + only_white + only_control))
    clip = SimpleNamespace(clip_values=(0.0, 1.0), input_shape=(1,), nb_classes=2)
    subject = Compared(clip, np.zeros((samples, 1)), np.zeros(samples, int), 0.1)
    vars(subject).update(correct=right, white=white, random=False)
    return subject


@pytest.mark.parametrize(
    ("only_white", "only_control", "weak", "one_step"),
    [
        # Five of a thousand may be chance, where two are expected at most.
        *((0, 0, False, False), (0, 5, False, True), (0, 6, True, True), (6, 6, True, True)),
        *((12, 6, True, False), (30, 6, False, False), (20, 0, False, False)),
    ],
)
def test_a_control_must_flip_what_is_left(only_white, only_control, weak, one_step):
    subject = compared(only_white, only_control)
    finding = _noise_as_strong(subject)
    assert (finding is not None) == weak
    assert (_one_step_as_strong(subject) is not None) == one_step
    if finding is not None:
        *counts, _ = finding.evidence.values()
        assert counts == [10 + only_control, only_control, 10 + only_white, 1000]
        words = f"broke {10 + only_control} of 1000 samples at eps 0.1; the gradient attack broke "
        words += f"{10 + only_white}, but missed {only_control} of these. Sample numbers: "
        first = 10 + only_white
        assert f"{words}{first}, {first + 1}, " in finding.sentence
        assert finding.sentence.endswith(" and 1 more.")


@pytest.mark.parametrize(
    ("only_longer", "only_shorter", "samples", "finds"),
    [
        *((10, 0, 1000, False), (11, 0, 1000, True), (5, 0, 100, False), (6, 0, 100, True)),
        *((30, 19, 1000, False), (0, 11, 1000, False)),
    ],
)
def test_more_steps_must_help_significantly(only_longer, only_shorter, samples, finds):
    finding = _steps_still_help(compared(only_shorter, only_longer, samples=samples))
    assert (finding is not None) == finds
    if finding is not None:
        assert finding.evidence["gain of attack success"] == only_longer / samples
        assert finding.evidence["steps"] == 200


@pytest.mark.parametrize(("flipped", "finds"), [(989, True), (990, False)])
def test_one_sample_in_a_hundred_may_survive_the_whole_range(flipped, finds):
    finding = _whole_range_survived(compared(0, 0, both=flipped))
    assert (finding is not None) == finds
    if finding is not None:
        assert finding.evidence == {"attack success": 0.989, "samples": 11}
        assert "missed 11 of 1000 samples" in finding.sentence


@pytest.mark.parametrize("norm", [np.inf, 2.0])
def test_the_first_step_is_that_of_fgsm(norm, plain, samples):
    x, y = samples
    subject = _WhiteBox(plain, x, y, 0.3, norm)
    gradient = plain.loss_gradient(x, np.eye(10)[y])
    lengths = np.linalg.norm(gradient.reshape(len(x), -1), axis=1).reshape(-1, 1, 1, 1)
    step = np.sign(gradient) if norm == np.inf else gradient / lengths
    fast = np.clip(x + 0.3 * step, 0, 1).astype(np.float32)
    flipped = subject.attack(max_iter=1, num_random_init=0).flipped
    assert (flipped == (plain.predict(fast).argmax(1) != y)).all()
    assert flipped.any()


def test_where_nothing_stands_nothing_is_compared(plain, samples):
    assert _WhiteBox(plain, *samples, 0.5, max_iter=20).white.flipped.all()
    assert names(plain, samples, eps=0.5, max_iter=20) == []


def test_without_any_gradient_that_is_the_one_finding(trained_layers, samples):
    network = broken.Cut(build(copy.deepcopy(trained_layers)).model)
    assert names(broken.around(network), samples) == ["vanished gradients"]


@pytest.mark.slow
def test_a_random_network_has_the_same_findings_twice(trained_layers, samples):
    classifier = broken.around(SpikingNetwork(trained_layers, Poisson(steps=4)))
    few = samples[0][:8], samples[1][:8]
    twice = []
    for _ in range(2):
        torch.rand(1)
        twice.append(examine_strength(classifier, *few, eps=0.1, max_iter=20, square_iter=2))
    assert twice[0] == twice[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"norm": 1}, "norm: .*inf"),
        ({"norm": 0, "eps": 3}, "x: .*binary event frames"),
        ({"max_iter": 0}, "max_iter: .*1"),
        ({"square_iter": 0}, "square_iter: .*1"),
        ({"sources": [3]}, "sources: .*got 3"),
        ({"sources": [stock(torch.nn.Linear(3, 2).double(), (3,), 2)]}, "sources: .*shape"),
    ],
)
def test_bad_settings_are_refused_by_name(options, message, plain, samples):
    with pytest.raises(ValueError, match=f"^{message}"):
        names(plain, samples, **options)
