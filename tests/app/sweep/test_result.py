"""The table of a sweep: the best value, its rivals, the union."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from art_snn.app.sweep import Line, Panel, Swept
from art_snn.app.sweep.result import CAUTION
from art_snn.metrics import Robustness, Share, paired_difference
from tests.outcomes import outcome as flipped


def outcome(*flips: int, wrong: int = 2) -> Robustness:
    """Of twelve samples the first misclassified, and those of the numbers flipped."""
    return flipped(flips, samples=12, wrong=wrong)


def line(default: float = 2.0, **flips: tuple[int, ...]) -> Line:
    return Line("a net", default, {float(k[1:]): outcome(*v) for k, v in flips.items()})


MOST = tuple(range(2, 10))
EXAMPLE = Panel(
    "RGA(beta=2.0)",
    "beta",
    "PGD, eps 0.1",
    {
        "decay 1": line(v1=(2, 3), v2=(*MOST[:4], 10), v3=MOST),
        "decay 0.5": Line("another net", 2.0, {1.0: outcome(2)}),
    },
)


def test_the_best_value_flips_most_samples():
    assert line(v1=(2,), v2=(3,), v3=(4, 5)).best == 3


def test_of_several_best_values_it_is_the_default_and_otherwise_the_first():
    assert line(v1=(2,), v2=(3,), v3=(4,)).best == 2
    assert line(v1=(2,), v2=(), v3=(4,)).best == 1


def test_rivals_are_the_values_that_mcnemar_s_test_does_not_tell_from_the_best():
    # Six flips fewer, the same ones otherwise: p = 2 / 2^6; five fewer: 2 / 2^5.
    swept = line(v1=(2, 3), v2=(2, 3, 4), v3=MOST)
    assert paired_difference(swept.outcomes[1.0], swept.outcomes[3.0])[2] == 2 / 2**6
    assert swept.best == 3
    assert swept.rivals == [2]


def test_values_are_weaker_or_stronger_than_another_where_mcnemar_s_test_says_so():
    # Of p = 2 / 2^6 and 2 / 2^5 the first alone is below .05; as many either way tell nothing.
    swept = line(v1=(2, 3), v2=(2, 3, 4), v3=MOST, v4=(2, 3, 10, 11))
    assert swept.weaker(3) == [1]
    assert swept.stronger(1) == [3]
    assert swept.weaker(1) == swept.stronger(3) == []
    assert swept.weaker(2) == swept.stronger(2) == []


def test_the_union_flips_what_any_value_flips():
    assert line(v1=(2, 3), v2=(3, 4)).union.attack_success == Share(3, 10)


@given(st.dictionaries(st.integers(0, 9), st.sets(st.integers(0, 11)), min_size=1))
def test_no_value_beats_the_best_and_the_best_not_the_union(flips):
    swept = Line("", 2.0, {value: outcome(*some) for value, some in flips.items()})
    counts = {value: one.attack_success.count for value, one in swept.outcomes.items()}
    assert counts[swept.best] == max(counts.values())
    assert swept.best not in swept.rivals
    strongest = {value for value in counts if counts[value] == counts[swept.best]}
    assert strongest <= {swept.best, *swept.rivals}
    assert swept.union.attack_success.count >= counts[swept.best]
    assert swept.union.clean_accuracy == Share(10, 12)


def test_the_table_says_how_strong_every_value_is_against_the_best_and_the_default():
    title, blank, head, *rest = Swept([EXAMPLE]).render().splitlines()
    assert title == "beta of RGA(beta=2.0); PGD, eps 0.1"
    assert blank == ""
    assert head.split("  ")[0] == "network"
    # 1 against 3: six fewer; 2 against 3: four fewer and one more, p = 12 / 32;
    # 1 against 2: three fewer, p = 2 / 8.
    assert [" ".join(row.split()) for row in rest[:5]] == [
        f"decay 1 1 {Share(2, 10)} weaker, p = 0.031 weaker, p = 0.25",
        f"decay 1 2 (default) {Share(5, 10)} weaker, p = 0.38",
        f"decay 1 3 {Share(8, 10)} stronger, p = 0.38",
        f"decay 1 union of all {Share(9, 10)}",
        f"decay 0.5 1 {Share(1, 10)}",
    ]
    assert len(rest[0]) == len(head)
    assert rest[5:] == [
        "",
        "decay 1 (a net; 10 of 12 samples classified correctly): "
        f"best 3: {Share(8, 10)}; not significantly weaker (McNemar, p >= 0.05): 2.",
        f"decay 0.5 (another net; 10 of 12 samples classified correctly): best 1: {Share(1, 10)}.",
        "",
        CAUTION,
    ]


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_every_panel_is_in_the_table_and_the_caution_once(form):
    other = Panel("HART()", "surrogate.width", "FGSM, eps 0.2", {"decay 0.9": line(v1=(2,))})
    text = Swept([EXAMPLE, other]).render(form)
    assert text.index("beta of RGA(beta=2.0); PGD") < text.index("surrogate.width of HART(); FGSM")
    assert text.count(CAUTION) == 1


def test_a_network_that_is_always_wrong_has_a_table_too():
    swept = Line("a net", 2.0, {v: outcome(wrong=12) for v in (1.0, 2.0)})
    assert swept.best == 2
    text = Swept([Panel("RGA()", "beta", "PGD", {"decay 1": swept})]).render()
    assert "0 of 12 samples classified correctly" in text
    assert "none to count" in text
