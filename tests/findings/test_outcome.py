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


def told(*given, **options):
    return {one.name: one.evidence for one in examine_outcome(outcome(*given, **options))}


@pytest.mark.parametrize(
    "ordinary",
    [
        outcome("abs", "ab"),
        # Transfer without sources, and a search that does not fit the samples.
        outcome("ab", "ab", skipped=("transfer", "search")),
        # The plans of some norms, and an attack alone, are one stage.
        outcome("a", "a"),
        outcome("s", ""),
        # All stages ran under the network's own gradient.
        outcome(("a by native", "b by native"), "ab", native="ab"),
    ],
    ids=["all", "others skipped", "one", "a search alone", "native"],
)
def test_stages_that_ran_speak_against_nothing(ordinary):
    assert examine_outcome(ordinary) == []


def test_stages_with_a_gradient_that_were_skipped_are_counted_with_the_first_reason():
    found = examine_outcome(outcome("ab", "abcd", skipped="cd", native="ab"))
    (finding,) = found
    assert (finding.name, finding.evidence) == ("stages skipped", {"stages skipped": 2, "of": 4})
    assert f"The first is c: {REFUSED[:-1]})" in str(finding)


@pytest.mark.parametrize(("ran", "of"), [("a", 3), ("", 3)])
def test_fewer_than_two_stages_with_a_gradient_are_a_finding(ran, of):
    skipped = [one for one in "abc" if one not in ran]
    found = told((*ran, "search"), "abc", skipped=skipped)
    few = {"stages with a gradient": len(ran), "that were planned": of}
    assert found == {
        "few stages with a gradient": few,
        "stages skipped": {"stages skipped": len(skipped), "of": of},
    }


def test_stages_that_would_repeat_one_that_runs_are_not_missed():
    repeating = outcome("ab", "abc", skipped="c", native="ab")
    repeating.skipped["c"] = "the same stage already runs, a by native. no neuron is recognised."
    assert examine_outcome(repeating) == []


def test_one_gradient_next_to_searches_is_few():
    assert told("as", "a").keys() == {"few stages with a gradient"}
