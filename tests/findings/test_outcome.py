"""What an outcome says against the robustness that a plan leaves."""

import numpy as np
import pytest

from art_snn.attacks import Outcome, StageRecord
from art_snn.findings import examine_outcome

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
        (outcome("abs"), {}),
        # Transfer without sources, and a search that does not fit the samples.
        (outcome("ab", skipped="st"), {}),
        # The plans of some norms, and an attack alone, are one stage.
        (outcome("a"), {}),
        (outcome("a", submitted="st"), {}),
        (outcome("s"), {}),
        (outcome(native="ab"), {}),
        (outcome(native="ab", repeated="c"), {}),
        (outcome("as"), {FEW: (1, 1)}),
        (outcome("as", submitted="b"), {FEW: (1, 1)}),
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
