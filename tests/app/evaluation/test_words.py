"""Words of budgets, counts and lists."""

import pytest

from art_snn.app.report.verdict import capital, count_words, join_words, short_budget, size, unit


@pytest.mark.parametrize(
    ("norm", "budgets", "words"),
    [
        ("inf", [0.05, 0.1, 8 / 255], "at eps 0.05, 0.1 and 8/255"),
        ("0", [1], "with 1 changed value"),
        ("0", [1, 2], "with 1 and 2 changed values"),
        ("shift", [3], "with spikes moved by 3 steps"),
    ],
)
def test_budgets_are_counted_in_their_norm(norm, budgets, words):
    assert short_budget(norm, *budgets) == words


@pytest.mark.parametrize(
    ("norm", "eps", "number"),
    [
        ("inf", 8 / 255, "8/255"),
        ("inf", 0.0313, "0.0313"),
        ("inf", 0.2, "0.2"),
        ("2", 8 / 255, "0.03137"),
        ("0", 12345.0, "12345"),
    ],
)
def test_a_budget_is_a_fraction_only_where_it_is_exactly_that(norm, eps, number):
    assert size(norm, eps) == number


def test_axes_say_what_budgets_are_counted_in():
    expected = ["eps in the maximum norm", "eps in the Euclidean norm", "changed values"]
    expected.append("spikes moved by steps")
    assert [unit(norm) for norm in ("inf", "2", "0", "shift")] == expected


def test_words_are_listed_with_an_and_before_the_last():
    assert list(map(join_words, (["a"], ["a", "b"], [*"abc"]))) == ["a", "a and b", "a, b and c"]


def test_one_thing_is_no_plural_and_only_the_first_letter_becomes_a_capital():
    assert [count_words(count, "sample") for count in (0, 1, 2)] == [
        "0 samples",
        "1 sample",
        "2 samples",
    ]
    assert capital("at eps 8/255 by STBP") == "At eps 8/255 by STBP"
