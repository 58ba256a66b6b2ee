"""What an outcome says against the robustness that a plan leaves."""

import numpy as np
import pytest

from art_snn.attacks import Outcome
from art_snn.findings import examine_outcome

REFUSED = "no neuron is recognised."


def outcome(stages, gradients, skipped=(), native=()):
    columns = dict.fromkeys(("adversarials", "forwards", "backwards", "distance", "votes"))
    return Outcome(
        stages=tuple(stages),
        skipped=dict.fromkeys(skipped, REFUSED),
        draws=1,
        stage=np.array([0]),
        native=dict.fromkeys(native, REFUSED),
        gradients=tuple(gradients),
        **columns,
    )


FEW, SKIPPED = "too few attacks with a gradient", "attacks skipped"


@pytest.mark.parametrize(
    ("ordinary", "expected"),
    [
        (outcome("abs", "ab"), {}),
        # Transfer without sources, and a search that does not fit the samples.
        (outcome("ab", "ab", skipped=("transfer", "search")), {}),
        # The plans of some norms, and an attack alone, are one stage.
        (outcome("a", "a"), {}),
        (outcome("s", ""), {}),
        # All stages ran under the network's own gradient.
        (outcome(("a by native", "b by native"), "ab", native="ab"), {}),
        (outcome("as", "a"), {FEW: (1, 1)}),
        (outcome("ab", "abcd", skipped="cd", native="ab"), {SKIPPED: (2, 4)}),
        (outcome("as", "abc", skipped="bc"), {FEW: (1, 3), SKIPPED: (2, 3)}),
        (outcome("s", "abc", skipped="abc"), {FEW: (0, 3), SKIPPED: (3, 3)}),
    ],
)
def test_few_and_skipped_stages_with_a_gradient_are_findings(ordinary, expected):
    findings = examine_outcome(ordinary)
    assert {one.name: tuple(one.evidence.values()) for one in findings} == expected
    sentences = {one.name: one.sentence for one in findings}
    for name, (count, total) in expected.items():
        start = f"{count} of {total} planned attacks that follow a gradient "
        assert sentences[name].startswith(start + ("ran on" if name == FEW else "did not run"))
    assert {one.about for one in findings} <= {"plan"}


def test_the_first_reason_is_given_and_stages_that_would_repeat_one_are_not_missed():
    (finding,) = examine_outcome(outcome("ab", "abcd", skipped="cd", native="ab"))
    assert f"The first is c: {REFUSED}" in str(finding)
    repeating = outcome("ab", "abc", skipped="c", native="ab")
    repeating.skipped["c"] = "the same stage already runs, a by native. no neuron is recognised."
    assert examine_outcome(repeating) == []
