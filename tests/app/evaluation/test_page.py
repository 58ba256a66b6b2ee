"""The page of evaluations: whole by itself, in order, told in words."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest

from art_snn.app.evaluation.page import render_page
from art_snn.app.evaluation.record import Evaluation, ReportItem
from art_snn.app.evaluation.verdict import describe_verdicts, verdicts
from art_snn.findings import Remedy
from tests import evaluations as hand
from tests.pages import tree, without_charts

EPS = 8 / 255


def alone(evaluation: Evaluation) -> str:
    return render_page([ReportItem("", evaluation, objection="No examples.")])


OTHERS = (hand.small(), hand.small(norm="2"))
PAGES = {
    "findings": lambda: render_page([ReportItem("", hand.large(60), hand.images(3))]),
    "certified": lambda: alone(
        hand.small(certificate=hand.CERTIFICATE, bounds=hand.EXACT, findings=(hand.RISES,))
    ),
    "three": lambda: render_page(
        [ReportItem("x", hand.large(20), hand.frames(2)), *(ReportItem("y", one) for one in OTHERS)]
    ),
}


@pytest.fixture(scope="module", params=PAGES)
def html(request):
    return PAGES[request.param]()


@pytest.fixture(scope="module")
def document(html):
    return tree(html)


@pytest.fixture
def undrawn(monkeypatch):
    """Pages have no figures within the test, which take most of their time."""
    without_charts(monkeypatch)


def test_nothing_comes_from_elsewhere_and_one_script_copies(html, document):
    assert document.every("iframe", "object", "embed") == []
    (script,) = document.every("script")
    assert script.attributes == {}
    assert "clipboard" in script.text
    buttons = document.every("button")
    assert all("hidden" in button.attributes for button in buttons)
    assert len(buttons) == document.text.count("art-snn evaluate --data")
    for element in document.every():
        for name, value in element.attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith(("#", "data:"))
    style = "".join(element.text for element in document.every("style"))
    assert "url(" not in style
    assert "@import" not in style
    assert html.endswith("</html>\n")


def test_it_is_valid_html(html):
    pytest.importorskip("html5lib").HTMLParser(strict=True).parse(html)


def test_headings_descend_by_one_below_a_single_first(document):
    levels = [int(one.name[1]) for one in document.every("h1", "h2", "h3", "h4", "h5", "h6")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_names_are_given_once_and_whatever_is_referred_to_is_there(document):
    elements = document.every()
    names = [one.attributes["id"] for one in elements if "id" in one.attributes]
    assert len(names) == len(set(names))
    kinds = ("aria-labelledby", "aria-describedby")
    words = [one.attributes.get(kind, "") for one in elements for kind in kinds]
    referred = set(" ".join(words).split())
    links = {one.attributes["href"][1:] for one in elements if one.name == "a"}
    assert referred
    assert referred | links <= set(names)


def test_each_picture_has_words_and_each_chart_its_numbers(document):
    pictures = document.every("img")
    assert all(len(one.attributes["alt"]) > 10 for one in pictures)
    charts = [one for one in pictures if "svg" in one.attributes["src"][:20]]
    assert charts
    assert all(re.search(r"\d|A table has", one.attributes["alt"]) for one in charts)


def test_tables_have_captions_and_heads_and_can_be_moved_by_the_keyboard(document):
    tables = document.every("table")
    moved = [one for one in document.every("div") if one.attributes.get("class") == "scroll"]
    assert len(moved) == len(tables) >= 2
    for box in moved:
        assert box.attributes["tabindex"] == "0"
        assert box.attributes["role"] == "group"
        (table,) = box.every("table")
        assert table.every("caption")[0].text
        heads = table.every("th")
        assert all(head.attributes["scope"] in ("row", "col") for head in heads)
        assert all(head.text for head in heads)


def test_it_begins_with_the_name_a_sentence_and_a_small_table(undrawn):
    for result, kind in ((hand.large(400), "open"), (hand.small(), "closed")):
        (header,) = tree(alone(result)).every("header")
        assert header.every()[0].name == "h1"
        assert header.every("h1")[0].text == "plain"
        assert "vgg5 on digits" in header.every("p")[0].text
        verdict = header.every("div")[1]
        assert verdict.attributes["class"] == f"verdict {kind}"
        (sentence,) = verdict.every("p")
        assert sentence.text == describe_verdicts(verdicts(result))
        assert len(re.findall(r"\d+", sentence.text)) <= 20
        heads = [head.text for head in verdict.every("thead")[0].every("th")]
        assert heads == ["eps", "robust accuracy", "clean accuracy", "findings"]
        assert len(verdict.every("tr")) == 1 + len(result.budgets)


def test_findings_are_cards_and_those_that_change_no_verdict_come_apart(undrawn):
    words = {"id": "state-kept", "title": "state kept", "sentence": "It forgets."}
    error = replace(hand.VANISHED, severity="error", eps=EPS, **words)
    findings = (hand.VANISHED, error, replace(error, eps=4 / 255), hand.WEAK)
    articles = tree(alone(hand.large(40, findings=findings))).every("article")
    kinds = [one.attributes["class"] for one in articles]
    assert kinds == ["finding open error", "finding open warning", "finding other warning"]
    heads = [one.every("h3")[0].text for one in articles]
    assert heads[:2] == ["Error: State kept", "Warning: Vanished gradients"]
    text = articles[0].text
    for words in ("at eps 4/255 and 8/255", "It forgets.", f"What to do: {hand.VANISHED.remedy}"):
        assert text.count(words) == 1
    (details,) = articles[0].every("details")
    for words in ("zero 0.12", hand.VANISHED.limit):
        assert words in details.text
    assert hand.WEAK.about in articles[2].text


def test_the_glossary_explains_the_words_of_the_page_and_no_others(undrawn):
    def terms(result: Evaluation) -> set[str]:
        lists = tree(alone(result)).every("dl")
        (words,) = [one for one in lists if one.attributes.get("class") == "glossary"]
        assert all(one.text.endswith(".") for one in words.every("dd"))
        return {one.text for one in words.every("dt")}

    usual = {"rule", "STBP", "RGA", "HART", "AutoPGD", "query", "stage", "eps, the budget"}
    assert usual <= terms(hand.small())
    others = {"EOT", "certified accuracy", "DLR", "counts", "native", "SpikeRetiming"}
    assert not others & terms(hand.small())
    named = terms(hand.large(20, bounds=(), certificate=None))
    assert {"ASSG", "StableAdaptivePGD", "DLR"} <= named
    assert {"certified accuracy", "counts"} <= terms(hand.small(bounds=hand.EXACT))


def test_what_users_write_is_text_and_never_markup():
    evil = "<script>alert(1)</script>&\"'"
    one = hand.trial(
        evil, EPS, (0, 1, -1), (evil, "b"), skipped=(hand.record(evil, "skipped", evil),)
    )
    changes = dict.fromkeys(("about", "id", "title", "limit"), evil)
    finding = replace(hand.VANISHED, evidence={evil: 1.0}, remedies=(Remedy(evil),), **changes)
    content = replace(hand.small().provenance, command=evil, commit=evil, rules={evil: evil})
    result = hand.evaluation(one, title=evil, provenance=content, findings=(finding,))
    for html in (alone(result), render_page([ReportItem(evil, result)] * 2)):
        assert html.count("<script") == 1
        assert tree(html).text.count("<script>alert(1)</script>") > 10


def test_pictures_and_the_curve_stand_at_the_top_and_spikes_below(undrawn):
    document = tree(render_page([ReportItem("", hand.large(40), hand.spiking(hand.images(8)))]))
    assert document.every("header")[0].every("div")[0].attributes["class"] == "beside"
    first, second = (one.attributes["aria-labelledby"] for one in document.every("section")[:2])
    assert (first, second) == ("r1-examples", "r1-findings")
    pictures, more = document.every("section")[0].every("div")[0], document.every("details")[0]
    assert len(pictures.every("figure")) == 3
    assert more.every("summary")[0].text == "5 more samples"
    lacking = "Spikes of the neurons are not shown: none lie next to the evaluation."
    assert lacking not in document.text
    assert lacking in tree(alone(hand.small())).text


def test_of_several_results_the_table_and_pairs_come_first_and_each_is_folded(undrawn):
    document = tree(PAGES["three"]())
    sections = [one.attributes["aria-labelledby"] for one in document.every("section")]
    assert sections[:3] == ["verdicts", "paired", "r1"]
    folded = [one for one in document.every("details") if one.attributes.get("class") == "result"]
    assert [one.every("h2")[0].text for one in folded] == ["plain (1)", "plain (2)", "plain (3)"]
    assert not any("open" in one.attributes for one in document.every("details"))


def test_of_many_samples_the_first_are_listed_and_the_page_stays_small():
    count = 1500
    html = render_page([ReportItem("", hand.large(count), hand.images(12, (3, 32, 32)))])
    assert len(html) < 2_000_000
    assert f"Results of the first 1000 of {count} samples" in html
    assert "The others are in the file of the evaluation." in html
