"""An attack that is broken in one way has that finding; healthy ones have none."""

import numpy as np
import pytest
import torch
from art.attacks.evasion import FastGradientMethod, SquareAttack
from art.defences.preprocessor import FeatureSqueezing
from torch import nn

from art_snn import HART, RGA, STBP, Poisson, SpikingNetwork
from art_snn.attacks import AutoPGD, Outcome, SparseDynamicAttack, StageRecord
from art_snn.findings import examine_attack, examine_outcome
from tests.attacks.classifiers import linear
from tests.classifiers import FORMS, build
from tests.findings import broken

X, Y = np.array([[0.6, 0.4], [0.3, 0.9]]), np.array([0, 1])
EPS = 0.15
ADVERSARIAL = np.array([[-0.125, 0.125], [0, 0]])
"""Changes the class of the first sample of X alone."""


def of(returned, *path, norm=np.inf, eps=EPS, **options):
    """Findings about what is returned after what was asked for, as changes of X; logits are x."""
    attack = broken.Scripted(
        linear(np.eye(2), **options), *(lambda x, c=c: x + c for c in (returned, *path))
    )
    return examine_attack(attack, X, Y, eps=eps, norm=norm)


SILENT = ("successes that are not returned", {"samples": 1, "that are right": 2})
CAME_ACROSS = "Within eps 0.15 the attack came across a misclassified version of 1 of 2 samples"
INVALID = "returned samples that are not allowed"


def invalid(nan=0, beyond=0, outside=0, largest=0.0, eps=EPS):
    """The finding of so many samples among two, with its evidence."""
    counts = {"with NaN or infinite values": nan, "beyond the budget": beyond}
    return counts | {"outside the range": outside, "of": 2, "largest change": largest, "eps": eps}


LOST = (INVALID, invalid(nan=1))


@pytest.mark.parametrize(
    ("returned", "path", "expected"),
    [
        (0 * X, ADVERSARIAL, [SILENT]),
        (ADVERSARIAL, ADVERSARIAL, []),
        (0 * X, 0.5 * ADVERSARIAL, []),
        (0 * X, 2 * ADVERSARIAL, []),
        (0 * X, np.array([[0.1, 0.0], [0.1, 0.1]]), []),
        (np.array([[np.nan, 0], [0, 0]]), ADVERSARIAL, [LOST, SILENT]),
        (np.array([[np.nan, 0], [0, np.inf]]), 0 * X, [(INVALID, invalid(nan=2))]),
    ],
    ids=["silent", "returned", "right", "out of the ball", "still right", "nan", "infinity"],
)
def test_what_lay_on_the_path_must_be_returned_as_numbers(returned, path, expected):
    findings = of(returned, path)
    assert [(one.title, one.evidence) for one in findings] == expected
    assert {one.about for one in findings} <= {"Scripted"}
    for one in findings:
        count = one.evidence.get("with NaN or infinite values")
        lost = f"Among the 2 samples that the attack returned are {count} with NaN or infinite"
        assert (lost if count else CAME_ACROSS) in one.sentence
        assert bool(one.broken) != bool(count)


@pytest.mark.parametrize(
    ("x", "y", "path"),
    [
        (np.array([[0.1, 0.05]]), Y[:1], lambda x: x - [0.12, 0.0]),
        (np.array([[0.6, 0.4], [0.62, 0.4]]), 0 * Y, lambda x: x[:1] + ADVERSARIAL[:1]),
        (X, 1 - Y, lambda x: x),
    ],
    ids=["out of the range", "in the balls of two samples", "of wrong samples"],
)
def test_what_is_no_success_on_the_path_may_be_lost(x, y, path):
    attack = broken.Scripted(linear(np.eye(2)), lambda x: x, path)
    assert examine_attack(attack, x, y, eps=EPS) == []
    assert of(0 * X, ADVERSARIAL, clip_values=(0.28, 0.9)) == of(0 * X, ADVERSARIAL)


@pytest.mark.parametrize(
    ("norm", "eps", "largest"), [(np.inf, 0.11, 0.125), (2, 0.15, 0.125 * 2**0.5), (0, 1, 2)]
)
def test_what_is_returned_beyond_the_budget_is_out_of_the_ball(norm, eps, largest):
    (finding,) = of(ADVERSARIAL, norm=norm, eps=eps)
    assert finding.title == INVALID
    words = f"are 1 beyond the budget. At eps {eps}, the largest change is {largest:.4g}."
    assert words in finding.sentence
    assert finding.evidence == pytest.approx(invalid(beyond=1, largest=largest, eps=eps))
    # Rounding takes nothing out of it.
    assert of(ADVERSARIAL * (1 + 1e-7), norm=norm, eps=largest) == []


def test_values_that_no_sample_can_have_are_out_of_the_range():
    (finding,) = of(np.array([[0, 0], [0, 0.14]]))
    assert finding.title == INVALID
    assert "returned are 1 outside the range." in finding.sentence
    assert finding.evidence == pytest.approx(invalid(outside=1, largest=0.14))
    assert of(np.array([[0, 0], [0, 0.14]]), clip_values=None) == []
    assert of(np.array([[0, 0], [0, 0.1 + 1e-7]])) == []


@pytest.fixture(scope="module")
def samples(known):
    return known[0][:16], known[1][:16]


def names(attack, samples, **options):
    return [f.title for f in examine_attack(attack, *samples, **{"eps": 0.15} | options)]


def attacks(classifier):
    return (
        AutoPGD(classifier, eps=0.15, max_iter=10, verbose=False),
        FastGradientMethod(classifier, eps=0.15),
        SquareAttack(classifier, eps=0.15, max_iter=30, verbose=False),
    )


@pytest.mark.parametrize("rule", [RGA(), HART(), STBP(), None], ids=str)
def test_healthy_attacks_have_no_finding(rule, trained_layers, plain, samples):
    for attack in attacks(build(trained_layers, gradient=rule) if rule else plain):
        assert names(attack, samples) == []


def test_flips_of_event_frames_are_counted(trained_layers, samples):
    frames, y = FORMS["binary frames"].present(samples[0][:6]), samples[1][:6]
    classifier = build(trained_layers, "binary frames")
    attack = SparseDynamicAttack(classifier, eps=30, max_iter=20, verbose=False)
    assert (attack.generate(frames, y) != frames).any()
    assert names(attack, (frames, y), norm=0, eps=30) == []
    assert INVALID in names(attack, (frames, y), norm=0, eps=1)


def forgetful(attack):
    return broken.Altered(attack, lambda x, _: x)


@pytest.mark.parametrize("bare", [False, True])
def test_what_an_attack_finds_it_must_return(bare, trained_layers, plain, samples):
    classifier = broken.around(plain.model.inner) if bare else build(trained_layers)
    assert isinstance(classifier.model, nn.Sequential) == bare
    for attack in attacks(classifier)[::2]:
        assert not bare or names(attack, samples) == []
        assert names(forgetful(attack), samples) == [SILENT[0]]


def test_an_attack_with_another_budget_than_it_is_reported_with_is_found(plain, samples):
    assert INVALID in names(AutoPGD(plain, eps=0.3, max_iter=10, verbose=False), samples)
    outward = broken.Altered(AutoPGD(plain, eps=0.15, verbose=False), lambda x, _: x - 0.15)
    assert INVALID in names(outward, samples)


def test_a_random_network_is_judged_by_most_of_five_predictions(trained_layers, samples):
    classifier = broken.around(SpikingNetwork(trained_layers, Poisson(steps=4)))
    attack = forgetful(AutoPGD(classifier, eps=0.3, max_iter=10, verbose=False))
    first = examine_attack(attack, *samples, eps=0.3)
    assert [finding.title for finding in first] == [SILENT[0]]
    torch.rand(1)
    assert examine_attack(attack, *samples, eps=0.3) == first


def squeezed(classifier):
    """The classifier behind preprocessing."""
    defence = FeatureSqueezing((0.0, 1.0), bit_depth=4)
    return broken.around(classifier.model, preprocessing_defences=defence)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda c: AutoPGD, {}, r"attack: .*evasion attack .*got <class"),
        (lambda c: AutoPGD(c, targeted=True), {}, "attack: .*untargeted"),
        (lambda c: AutoPGD(squeezed(c)), {}, "attack: .*preprocessing"),
        (lambda c: broken.Scripted(nn.Linear(2, 10), np.copy), {}, "attack: .*classifier of torch"),
        (lambda c: broken.Scripted(c, lambda x: x[:3]), {}, r"attack: .*shape \(3, 1, 8, 8\)"),
        (lambda c: broken.Scripted(c, lambda x: (x, None)), {}, r"attack: .*got \(array"),
        (AutoPGD, {"norm": "shift"}, "norm: .*'shift'"),
        (AutoPGD, {"norm": 0, "eps": 0.5}, "eps: .*whole number"),
    ],
)
def test_attacks_that_are_not_examined_are_refused(make, options, message, trained_layers, samples):
    with pytest.raises(ValueError, match=f"^{message}"):
        names(make(build(trained_layers)), samples, **options)


REFUSED = "no neuron is recognised."


def records(names, status="ran"):
    """Stages of one letter; "s" and "t" ask the network for no gradient."""
    reason = REFUSED if status in ("skipped", "repeated") else ""
    return [
        StageRecord(name, name, f"{name}()", name not in "st", status, reason=reason)
        for name in names
    ]


def outcome(ran="", native="", skipped="", repeated="", submitted=""):
    columns = dict.fromkeys(("adversarials", "forwards", "backwards", "distance", "votes"))
    stages = records(submitted, "submitted") + records(ran) + records(native, "native")
    left = records(skipped, "skipped") + records(repeated, "repeated")
    return Outcome(tuple(stages), tuple(left), draws=1, stage=np.array([0]), **columns)


FEW = "few-gradients"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        # Transfer without sources, and a search that does not fit the samples.
        *((one, {}) for one in (outcome("abs"), outcome("ab", skipped="st"))),
        # The plans of some norms, and an attack alone, are one stage.
        *((one, {}) for one in (outcome("a"), outcome("a", submitted="st"), outcome("s"))),
        *((outcome(native="ab", repeated=names), {}) for names in ("", "c")),
        *((outcome("as", submitted=names), {FEW: (1, 1)}) for names in ("", "b")),
        (outcome(native="ab", skipped="cd"), {FEW: (2, 4)}),
        (outcome("as", skipped="bc"), {FEW: (1, 3)}),
        (outcome("s", skipped="abc"), {FEW: (0, 3)}),
    ],
)
def test_few_and_skipped_stages_with_a_gradient_are_findings(found, expected):
    findings = examine_outcome(found)
    assert {one.id: tuple(one.evidence.values()) for one in findings} == expected
    assert {one.about for one in findings} <= {"plan"}
    for one in findings:
        count, total = expected[one.id]
        assert one.sentence.startswith(f"{count} of {total} planned attacks that follow a gradient")


def test_the_first_reason_is_given():
    (finding,) = examine_outcome(outcome("ab", skipped="cd"))
    assert f"Skipped was c(): {REFUSED}" in str(finding)
