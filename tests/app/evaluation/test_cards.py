"""Findings as cards: one for all budgets, those that matter apart from the others."""

from dataclasses import replace

from art_snn.app.evaluation.cards import doubt_words, make_cards

from tests.evaluations import RISES, VANISHED, WEAK, evaluation, large, provenance, small, trial

EPS = 8 / 255
NONE = trial("standard", EPS, (-2, 0, 0, 0))


def rises(eps: float, **changes):
    return replace(RISES, eps=eps, **changes)


def test_the_same_finding_at_several_budgets_is_one_card():
    findings = [rises(e / 255, sentence="More steps break more.") for e in (4, 8)]
    (card,), others = make_cards(large(40, findings=tuple(findings)))
    assert others == []
    assert card.name == "Success still rises with steps"
    assert card.place == "standard, at eps 4/255 and 8/255"
    assert card.sentences == ("More steps break more.",)
    assert card.remedies == (RISES.remedy,)
    assert card.limits == (RISES.limit,)
    numbers = "broken\u00a0612, with twice the steps\u00a0633, p\u00a01.2e-05"
    assert card.figures == (("at eps 4/255", numbers), ("at eps 8/255", numbers))


def test_sentences_that_differ_are_told_by_budget_and_evidence_stands_in_for_none():
    texts = dict(zip((2, 4, 8), ("One.", "Two.", "One."), strict=True))
    findings = tuple(rises(e / 255, sentence=text) for e, text in texts.items())
    ((card,), _) = make_cards(large(40, findings=findings))
    assert card.sentences == ("At eps 2/255 and 8/255: One.", "At eps 4/255: Two.")
    ((card,), _) = make_cards(large(40, findings=(VANISHED,)))
    assert card.sentences == ("Measured: zero\u00a00.12, not finite\u00a00.",)
    assert card.place == "stbp gradients, at every budget"


def test_findings_about_other_things_are_other_cards_and_errors_come_first():
    error = replace(VANISHED, about="network", severity="error")
    decisive, others = make_cards(large(40, findings=(VANISHED, error, WEAK)))
    assert [(card.severity, card.place.split(",")[0]) for card in decisive] == [
        ("error", "network"),
        ("warning", "stbp gradients"),
    ]
    assert [card.place for card in others] == ["PGD-7 by stbp, at every budget"]


def test_where_nothing_survives_no_finding_casts_doubt():
    result = evaluation(NONE, plan="standard", findings=(rises(EPS),))
    decisive, others = make_cards(result)
    assert (decisive, len(others)) == ([], 1)
    words = "No finding on 100 examined samples casts doubt on the verdict."
    assert doubt_words(result, decisive) == words
    (error,), _ = make_cards(replace(result, findings=(rises(EPS, severity="error"),)))
    words = "Until each error below is mended, the numbers that it concerns mean nothing."
    assert doubt_words(result, [error]) == words


def test_upper_bounds_are_named_by_their_budgets():
    weaker = trial("standard", 4 / 255, (-2, -1, -1, 0))
    result = evaluation(weaker, NONE, plan="standard", findings=(VANISHED,))
    bound = "robust accuracy at eps 4/255 is an upper bound"
    assert doubt_words(result, make_cards(result)[0]) == (
        f"The {bound}: a better attack may break more samples."
    )
    blind = replace(result, findings=(), provenance=provenance(examined=0))
    assert doubt_words(blind, []) == f"No samples were examined for findings, so the {bound}."
    lost = evaluation(NONE, plan="standard", provenance=provenance(examined=0))
    assert doubt_words(lost, []) == "No samples were examined for findings."
    assert doubt_words(small(), []) == "No findings on 100 examined samples."
    single = small(provenance=provenance(examined=1))
    assert doubt_words(single, []) == "No findings on 1 examined sample."
