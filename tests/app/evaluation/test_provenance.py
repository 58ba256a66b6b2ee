"""What a result depends on, in words."""

import pytest
from art_snn.app.evaluation.provenance import date_words, digest_rows, setting_rows

from tests.evaluations import provenance, small


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("2026-11-27T12:00:00+00:00", "27 November 2026, 12:00 UTC"),
        ("2026-11-01T00:30:00+02:00", "31 October 2026, 22:30 UTC"),
        ("2026-11-07T09:05:00", "7 November 2026, 09:05 UTC"),
        ("yesterday", "yesterday"),
        ("0001-01-01T00:00:00+23:00", "0001-01-01T00:00:00+23:00"),
    ],
)
def test_dates_are_words_in_utc_and_stay_what_they_are_if_they_are_none(date, words):
    assert date_words(date) == words


def test_it_says_when_where_and_how_and_leaves_out_what_nobody_noted():
    settings = dict(setting_rows(small()).rows)
    expected = {"date": "27 November 2026, 12:00 UTC", "time taken": "1 min 23 s", "seed": "0"}
    expected |= {"device": "AMD EPYC", "time steps (T)": "8", "encoder": "direct"}
    expected["rule stbp"] = "STBP(surrogate=Triangle(width=1.0))"
    assert expected.items() <= settings.items()
    old = small(date="", provenance=provenance(seconds=0.0, steps=None, encoder=""))
    absent = {"date", "time taken", "time steps (T)", "encoder"}
    assert settings.keys() - dict(setting_rows(old).rows).keys() == absent


def test_there_is_a_commit_only_where_there_is_one():
    with_commit, without = (
        dict(digest_rows(small(provenance=provenance(commit=c))).rows) for c in ("2795f59", "")
    )
    assert with_commit.keys() - without.keys() == {"commit"}
    assert {"torch": "2.9.0", "fingerprint": "0123456789abcdef"}.items() <= with_commit.items()
