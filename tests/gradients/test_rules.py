"""One grammar of rule names: what it gives, what it calls a rule, and who understands it."""

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from art_snn import ASSG, BPTR, EOT, GRADIENTS, HART, PDSG, RGA, STBP, Extended, Mean, StaticCurve
from art_snn.checks import ArgumentError
from art_snn.gradients import Gradient, parse_call, parse_rule, parse_rules, short_name, spell
from art_snn.gradients.names import hyperparameters
from art_snn.gradients.rules import VARIANTS
from art_snn.gradients.surrogates import ATan, Triangle

NAMES: dict[str, Gradient] = {
    **{name: kind() for name, kind in GRADIENTS.items()},
    **VARIANTS,
    "eot(rga)": EOT(RGA()),
    "eot(rga, samples=3)": EOT(RGA(), samples=3),
    "eot(rga(beta=3))": EOT(RGA(beta=3)),
    "eot(eot(hart))": EOT(EOT(HART())),
    "extended(rga)": Extended(RGA(), steps=32),
    "extended(pdsg-per-sample, steps=8)": Extended(PDSG(per_sample=True), steps=8),
    "extended(extended(rga), steps=16)": Extended(Extended(RGA(), steps=32), steps=16),
    "extended(eot(rga), steps=16)": Extended(EOT(RGA()), steps=16),
    "eot(extended(rga, steps=16))": EOT(Extended(RGA(), steps=16)),
    "mean(rga, stbp)": Mean(RGA(), STBP()),
    "mean(rga, stbp, hart, bptr)": Mean(RGA(), STBP(), HART(), BPTR()),
    "mean(stbp(detach_reset=True), eot(rga))": Mean(STBP(detach_reset=True), EOT(RGA())),
    "mean(stbp, mean(rga, hart))": Mean(STBP(), Mean(RGA(), HART())),
    "mean(mean(rga, stbp), hart)": Mean(Mean(RGA(), STBP()), HART()),
    "eot(mean(rga, stbp))": EOT(Mean(RGA(), STBP())),
}
"""Every text here is also the one by which its rule is told."""

NUMBERED: dict[str, Gradient] = {
    "hart(surrogate.width=0.5)": HART(surrogate=Triangle(width=0.5)),
    "stbp(detach_reset=True)": STBP(detach_reset=True),
    "rga(gamma=0.3333333333333333)": RGA(gamma=1 / 3),
    "pdsg-per-sample(detach_reset=True)": PDSG(per_sample=True, detach_reset=True),
}
"""Of these a label shortens the numbers."""

WIDE = STBP(surrogate=Triangle(2.0), detach_reset=True)
LONGER = {
    " rga ": RGA(),
    "rga()": RGA(),
    "rga(beta=2)": RGA(),
    "pdsg(per_sample=true)": PDSG(per_sample=True),
    "pdsg(per_sample=1)": PDSG(per_sample=True),
    "eot(rga(gamma=1/10), samples=3)": EOT(RGA(gamma=0.1), samples=3),
    "stbp(detach_reset=true,  surrogate.width=2.0)": WIDE,
    "eot( rga ,samples = 10)": EOT(RGA()),
    "extended(rga, steps=32)": Extended(RGA()),
    "extended(steps=8,  rga)": Extended(RGA(), steps=8),
}
"""Texts whose rules have a shorter one."""


@pytest.mark.parametrize(("name", "rule"), (NAMES | NUMBERED).items())
def test_a_text_gives_its_rule_and_the_rule_its_text(name, rule):
    assert parse_rule(name) == rule
    assert spell(rule) == name
    assert name in NUMBERED or short_name(rule) == name
    assert parse_rule(rule) == rule


@pytest.mark.parametrize("text", LONGER)
def test_the_shortest_text_tells_a_rule(text):
    assert parse_rule(text) == LONGER[text]
    assert len(spell(LONGER[text])) < len(text)
    assert parse_rule(spell(LONGER[text])) == LONGER[text]


@pytest.mark.parametrize(
    "rule",
    [
        STBP(surrogate=ATan()),
        EOT(HART(surrogate=ATan())),
        Mean(RGA(), STBP(), normalise=False),
        Mean(STBP(), Mean(RGA(), HART(), normalise=False)),
        Mean(STBP(), Mean(RGA(), HART()), normalise=False),
        EOT(Mean(RGA(), STBP(), normalise=False)),
    ],
    ids=repr,
)
def test_a_rule_without_a_text_is_told_by_its_class_and_what_is_not_usual(rule):
    assert spell(rule) == short_name(rule)
    assert spell(rule).startswith(f"{type(rule).__name__}(")


def test_a_label_has_the_class_of_a_rule_with_numbers_of_its_own():
    assert short_name(RGA(beta=3)) == "RGA(beta=3)"
    assert short_name(ASSG(omega=8.0889)) == "ASSG(omega=8.089)"
    assert short_name(EOT(RGA(beta=3), samples=3)) == "eot(rga(beta=3), samples=3)"


RULES = st.recursive(
    st.sampled_from([*(kind() for kind in GRADIENTS.values()), PDSG(per_sample=True), RGA(beta=3)]),
    lambda inner: st.one_of(
        st.builds(EOT, inner),
        st.builds(lambda rule, steps: Extended(rule, steps=steps), inner, st.sampled_from([8, 32])),
        st.builds(
            lambda rules, normalise: Mean(*rules, normalise=normalise),
            st.lists(inner, min_size=2, max_size=3),
            st.booleans(),
        ),
    ),
    max_leaves=4,
)


@settings(deadline=None, derandomize=True, database=None, max_examples=150)
@given(RULES)
def test_the_text_of_a_rule_gives_that_rule(rule):
    for text in (spell(rule), short_name(rule)):
        assert text.startswith(type(rule).__name__) or parse_rule(text) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("sgd", "", "  ", "RGA", "rga-per-sample", "per-sample", "eot-rga", "rga-32-steps"),
        *("eot", "eot()", "eot(sgd)", "eot(rga, stbp)", "eot(eot)", "eot(samples=3)"),
        *("extended", "extended(rga, hart)", "extended(sgd, steps=3)", "extended(steps=3)"),
        *("mean", "mean()", "mean(rga)", "mean(rga, sgd)", "mean-rga-stbp", "mean(rga, mean(rga))"),
        *("rga(stbp)", "pdsg-per-sample(rga)", "native(rga)"),
    ],
)
def test_an_unknown_rule_is_refused_with_the_known_ones_and_the_grammar(text):
    names = ", ".join(map(repr, (*GRADIENTS, *VARIANTS)))
    with pytest.raises(ArgumentError, match=rf"^here: expected one of {names}.*eot\(rga\)"):
        parse_rule(text, "here")


@pytest.mark.parametrize("text", ["rga,stbp", "rga)", "eot(rga", "eot(rga))", "rga(=3)", "rga=3"])
def test_a_text_of_another_form_is_refused_with_the_form(text):
    with pytest.raises(ArgumentError, match=r"^here: .*name\(option=value"):
        parse_rule(text, "here")


@pytest.mark.parametrize("wrong", [STBP, None, 3])
def test_anything_but_a_rule_or_a_name_is_refused(wrong):
    with pytest.raises(TypeError, match=r"^here: expected a gradient rule .*'rga'.*not a class\.$"):
        parse_rule(wrong, "here")


@pytest.mark.parametrize(
    "names", ["rga,eot(stbp)", " rga , eot(stbp) ", ",rga,, eot(stbp),", "rga\t,\neot(stbp)"]
)
def test_rules_stand_with_commas_between_and_blanks_and_empty_parts_count_for_nothing(names):
    assert list(parse_rules(names).items()) == [("rga", RGA()), ("eot(stbp)", EOT(STBP()))]


def test_of_equal_names_one_is_chosen_and_none_at_all_are_refused():
    assert parse_rules("rga,stbp,rga") == {"rga": RGA(), "stbp": STBP()}
    assert list(parse_rules("eot(rga, samples=3), rga")) == ["eot(rga, samples=3)", "rga"]
    for text in ("", " , ,"):
        with pytest.raises(ValueError, match=r"^rules: expected at least one, got none\."):
            parse_rules(text)
    with pytest.raises(ArgumentError, match=r"^rules: expected one of .*'sgd'"):
        parse_rules("rga, eot(sgd)")


@pytest.mark.parametrize(
    "text",
    [
        "eot(" * 2000 + "rga" + ")" * 2000,
        "mean(rga, " * 2000,
        f"extended(rga, steps={'9' * 5000})",
        "x" * 201,
    ],
)
def test_texts_of_endless_rules_are_refused_at_once(text):
    with pytest.raises(ValueError, match=r"^here: expected one of 'stbp', .*got '") as caught:
        parse_rule(text, "here")
    assert len(str(caught.value)) < 500


def test_texts_at_the_limits_are_rules_and_those_beyond_are_refused():
    with pytest.raises(ArgumentError, match=r"^here: steps: .*100000"):
        parse_rule("extended(rga, steps=100001)", "here")
    assert parse_rule("extended(rga, steps=100000)") == Extended(RGA(), steps=100_000)
    assert parse_rule("eot(eot(eot(eot(rga))))") == EOT(EOT(EOT(EOT(RGA()))))
    assert parse_rule(spell(Mean(*[STBP()] * 32))) == Mean(*[STBP()] * 32)
    assert spell(Mean(*[STBP()] * 33)).startswith("Mean(rules=(STBP(")


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("pgd", ("pgd", {})),
        (" pgd ( ) ", ("pgd", {})),
        ("pgd(max_iter=20, eps=8/255)", ("pgd", {"max_iter": 20, "eps": 8 / 255})),
        ("a(x=true,y=False,z=-1e-3)", ("a", {"x": True, "y": False, "z": -1e-3})),
        ("a(w=inf, e=1/0)", ("a", {"w": math.inf, "e": "1/0"})),
        ("a(loss=ce, rule=b(c=1, d=2))", ("a", {"loss": "ce", "rule": "b(c=1, d=2)"})),
        # Python reads no whole number of so many digits.
        (f"a(x={'9' * 5000})", ("a", {"x": "9" * 5000})),
    ],
)
def test_a_call_has_a_name_and_options_with_values(text, call):
    assert parse_call(text) == call
    assert [type(v) for v in parse_call(text)[1].values()] == [type(v) for v in call[1].values()]


@pytest.mark.parametrize(
    "text", ["", "()", "a(", "a)", "a(b)", "a(b(c=1))", "a(=1)", "a(b=)", "a(b=1,b=2)", "a=1"]
)
def test_anything_but_a_call_is_refused(text):
    with pytest.raises(ValueError, match=r"^here: expected name or name\(option=value, \.\.\.\)"):
        parse_call(text, "here")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rga(beta=true)", "beta .*float, got True"),
        ("rga(beta=x)", "beta .*float, got 'x'"),
        ("rga(beta=0)", r"beta: .*above 0, got 0\.0"),
        *((f"cba(levels={value})", "levels .*int") for value in (8.5, "inf", "true")),
        ("pdsg(per_sample=2)", "per_sample .*bool, got 2"),
        ("hart(surrogate.width=0)", r"Triangle\.width: .*above 0"),
        ("eot(hart(surrogate.width=0))", r"Triangle\.width: .*above 0"),
        ("eot(rga, samples=0)", "samples: .*1, got 0"),
        ("mean(rga, stbp, samples=3)", "a rule with a number in a field, got 'samples'"),
        ("rga(width=1)", "one of beta, gamma, got 'width'"),
        ("stbp(surrogate=1)", r"one of surrogate\.width, detach_reset, got 'surrogate'"),
        ("bptr(beta=1)", "a rule with a number in a field, got 'beta'"),
        ("rga(beta=1, beta=2)", "at 'beta=2'"),
    ],
)
def test_a_hyperparameter_that_a_rule_refuses_is_refused_with_its_reason(text, words):
    with pytest.raises(ValueError, match=rf"^here: .*{words}"):
        parse_rule(text, "here")


@pytest.mark.parametrize("name", [*GRADIENTS, "pdsg-per-sample"])
def test_every_number_of_a_rule_can_be_put_back(name):
    rule = parse_rule(name)
    for dotted, number in hyperparameters(rule).items():
        assert repr(parse_rule(f"{name}({dotted}={number})")) == repr(rule)


def test_the_numbers_of_a_rule_include_those_of_what_is_inside_it():
    assert hyperparameters(RGA()) == {"beta": 2.0, "gamma": 0.2}
    assert list(hyperparameters(STBP())) == ["surrogate.width", "detach_reset"]
    assert list(hyperparameters(ASSG()))[:3] == ["omega", "surrogate.alpha", "decay_mean"]
    assert list(hyperparameters(EOT(HART()))) == ["rule.surrogate.width", "samples"]
    assert hyperparameters(StaticCurve(limit=math.inf)) == {"limit": math.inf}
    for rule in (BPTR(), Mean(RGA(), STBP()), object()):
        assert hyperparameters(rule) == {}
    # A rule of a user.
    assert hyperparameters(Own()) == {"scale": 1}


@dataclass(frozen=True)
class Own(Gradient):
    """A rule with a number as it may come from anywhere."""

    scale: float = 1
    words: str = "none"
    count: int | None = None
    derived: float = field(init=False, default=3.0)

    def logits(self, body: Any, x: Any) -> Any:
        raise AssertionError("only the fields are looked at")
