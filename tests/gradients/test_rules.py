"""One grammar of rule names: what it gives, what it calls a rule, and who understands it."""

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from art_snn.checks import ArgumentError
from art_snn.gradients import (
    ASSG,
    BPTR,
    CBA,
    EOT,
    GRADIENTS,
    HART,
    PDSG,
    RGA,
    STBP,
    ATan,
    Extended,
    Gradient,
    Mean,
    StaticCurve,
    Triangle,
    hyperparameters,
    parse_call,
    parse_rule,
    parse_rules,
    short_name,
    spell,
)
from art_snn.gradients.rules import VARIANTS

NAMES: dict[str, Gradient] = {
    **{name: kind() for name, kind in GRADIENTS.items()},
    "pdsg-per-sample": PDSG(per_sample=True),
    "assg-through-reset": ASSG(detach_reset=False),
    "eot-rga": EOT(RGA()),
    "eot-eot-hart": EOT(EOT(HART())),
    "rga-32-steps": Extended(RGA(), steps=32),
    "pdsg-per-sample-8-steps": Extended(PDSG(per_sample=True), steps=8),
    "rga-32-steps-16-steps": Extended(Extended(RGA(), steps=32), steps=16),
    "eot-rga-16-steps": Extended(EOT(RGA()), steps=16),
    "mean-rga-stbp": Mean(RGA(), STBP()),
    "mean-rga-stbp-hart-bptr": Mean(RGA(), STBP(), HART(), BPTR()),
    "mean-pdsg-per-sample-rga": Mean(PDSG(per_sample=True), RGA()),
    "mean-eot-rga-stbp": Mean(EOT(RGA()), STBP()),
    "mean-rga-16-steps-stbp": Mean(Extended(RGA(), steps=16), STBP()),
    "mean-stbp-mean-rga-hart": Mean(STBP(), Mean(RGA(), HART())),
    "eot-mean-rga-stbp": EOT(Mean(RGA(), STBP())),
    "mean-pdsg-per-sample-rga-16-steps": Extended(Mean(PDSG(per_sample=True), RGA()), steps=16),
}
"""Every name here is also the one by which its rule is told."""

LONGER = {
    "extended-rga": Extended(RGA()),
    "extended-eot-stbp": Extended(EOT(STBP())),
    "extended-mean-rga-stbp": Extended(Mean(RGA(), STBP())),
    "mean-extended-rga-stbp": Mean(Extended(RGA()), STBP()),
}
"""Names whose rules have another one that tells the steps."""


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_its_rule_and_the_rule_its_name(name):
    assert parse_rule(name) == NAMES[name]
    assert short_name(NAMES[name]) == name
    assert parse_rule(NAMES[name]) == NAMES[name]


@pytest.mark.parametrize("name", LONGER)
def test_a_rule_of_more_steps_is_told_with_its_steps(name):
    assert parse_rule(name) == LONGER[name]
    longer = short_name(LONGER[name])
    assert "extended" not in longer
    assert "-32-steps" in longer
    assert parse_rule(longer) == LONGER[name]


@pytest.mark.parametrize(
    "rule",
    [
        RGA(beta=3),
        ASSG(omega=4),
        EOT(RGA(), samples=3),
        EOT(HART(surrogate=ATan())),
        Mean(RGA(), STBP(detach_reset=True)),
        # The steps behind a mean are those of the mean, and a mean that stands first ends nowhere.
        Mean(STBP(), Extended(RGA(), steps=16)),
        Mean(Mean(RGA(), STBP()), HART()),
        Mean(RGA(), STBP(), normalise=False),
        Mean(STBP(), Mean(RGA(), HART(), normalise=False)),
        Mean(STBP(), Mean(RGA(), HART()), normalise=False),
        EOT(Mean(RGA(), STBP(), normalise=False)),
        Extended(Mean(RGA(), STBP(), normalise=False), steps=16),
        EOT(Extended(RGA(), steps=16)),
    ],
    ids=repr,
)
def test_a_rule_without_a_name_is_told_by_its_class_and_what_is_not_usual(rule):
    assert short_name(rule).startswith(f"{type(rule).__name__}(")
    assert short_name(RGA(beta=3)) == "RGA(beta=3)"
    assert short_name(EOT(RGA(), samples=3)) == "EOT(rule=RGA(beta=2.0, gamma=0.2), samples=3)"


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
def test_the_name_of_a_rule_never_gives_another_one(rule):
    name = short_name(rule)
    assert name.startswith(type(rule).__name__) or parse_rule(name) == rule


@pytest.mark.parametrize(
    "name",
    [
        *("sgd", "", "RGA", " rga", "rga ", "rga,stbp", "eot", "eot-", "eot-sgd", "-rga", "rga-"),
        *("extended", "extended-", "extended-sgd", "per-sample", "rga-per-sample", "eot--rga"),
        *("rga-0-steps", "rga--1-steps", "rga-1.5-steps", "rga-steps", "rga-16", "32-steps"),
        *("sgd-32-steps", "rga-16-step", "mean", "mean-", "mean-rga", "mean-rga-"),
        "mean--rga-stbp",
        *("mean-rga-sgd", "mean-sgd-rga", "mean-pdsg-per-rga", "rga-stbp", "mean-mean-rga-stbp"),
    ],
)
def test_an_unknown_name_is_refused_with_the_known_ones_and_the_grammar(name):
    names = ", ".join(map(repr, (*GRADIENTS, *VARIANTS)))
    with pytest.raises(ValueError, match=f"^here: expected one of {names}, got '{name}'.*eot-NAME"):
        parse_rule(name, "here")


@pytest.mark.parametrize("wrong", [STBP, None, 3])
def test_anything_but_a_rule_or_a_name_is_refused(wrong):
    with pytest.raises(TypeError, match=r"^here: expected a gradient rule .*'rga'.*not a class\.$"):
        parse_rule(wrong, "here")


@pytest.mark.parametrize(
    "names", ["rga,eot-stbp", " rga , eot-stbp ", ",rga,, eot-stbp,", "rga\t,\neot-stbp"]
)
def test_rules_stand_with_commas_between_and_blanks_and_empty_parts_count_for_nothing(names):
    assert list(parse_rules(names).items()) == [("rga", RGA()), ("eot-stbp", EOT(STBP()))]


def test_of_equal_names_one_is_chosen_and_none_at_all_are_refused():
    assert parse_rules("rga,stbp,rga") == {"rga": RGA(), "stbp": STBP()}
    for text in ("", " , ,"):
        with pytest.raises(ValueError, match=r"^rules: expected at least one, got none\."):
            parse_rules(text)
    with pytest.raises(ArgumentError, match=r"^rules: expected one of .*'eot-sgd'"):
        parse_rules("rga, eot-sgd")


@pytest.mark.parametrize(
    "name", ["eot-" * 2000 + "rga", "mean-" * 2000 + "rga", "rga" + "-2-steps" * 900, "x" * 81]
)
def test_names_of_endless_rules_are_refused_at_once(name):
    with pytest.raises(ValueError, match=r"^here: expected one of 'stbp', .*got '") as caught:
        parse_rule(name, "here")
    assert len(str(caught.value)) < 500


def test_names_at_the_limits_are_rules_and_those_beyond_are_refused():
    with pytest.raises(ValueError, match=r"^steps: expected .*100000"):
        parse_rule("rga-100001-steps", "here")
    assert parse_rule("rga-100000-steps") == Extended(RGA(), steps=100_000)
    assert parse_rule("eot-eot-eot-eot-rga") == EOT(EOT(EOT(EOT(RGA()))))
    assert parse_rule("mean" + "-stbp" * 15) == Mean(*[STBP()] * 15)
    refused = Mean(*[STBP()] * 16)
    assert short_name(refused).startswith("Mean(rules=(STBP(")


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("pgd", ("pgd", {})),
        (" pgd ( ) ", ("pgd", {})),
        ("pgd(max_iter=20, eps=8/255)", ("pgd", {"max_iter": 20, "eps": 8 / 255})),
        ("a(x=true,y=False,z=-1e-3)", ("a", {"x": True, "y": False, "z": -1e-3})),
        ("a(w=inf, e=1/0)", ("a", {"w": math.inf, "e": "1/0"})),
        ("a(loss=ce, rule=b(c=1, d=2))", ("a", {"loss": "ce", "rule": "b(c=1, d=2)"})),
    ],
)
def test_a_call_has_a_name_and_options_with_values(text, call):
    assert parse_call(text) == call
    assert [type(v) for v in parse_call(text)[1].values()] == [type(v) for v in call[1].values()]


@pytest.mark.parametrize(
    "text", ["", "()", "a(", "a)", "a(b)", "a(=1)", "a(b=)", "a(b=1,b=2)", "a=1"]
)
def test_anything_but_a_call_is_refused(text):
    with pytest.raises(ValueError, match=r"^here: expected name or name\(option=value, \.\.\.\)"):
        parse_call(text, "here")


SET = [
    ("rga(beta=3)", RGA(beta=3.0)),
    ("eot-rga(samples=3, rule.gamma=1/10)", EOT(RGA(gamma=0.1), samples=3)),
    ("stbp(detach_reset=true,surrogate.width=2)", STBP(surrogate=Triangle(2.0), detach_reset=True)),
    ("pdsg(per_sample=1)", PDSG(per_sample=True)),
    ("cba(levels=4)", CBA(levels=4)),
]


@pytest.mark.parametrize(("text", "rule"), SET)
def test_a_rule_takes_its_hyperparameters_in_parentheses(text, rule):
    assert repr(parse_rule(text)) == repr(rule)
    assert parse_rules(f"{text}, rga") == {text: rule, "rga": RGA()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rga(beta=true)", "beta of RGA .*a number, got True"),
        ("rga(beta=x)", "a number, got 'x'"),
        ("rga(beta=0)", r"beta: .*above 0, got 0\.0"),
        *((f"cba(levels={value})", "a whole number") for value in (8.5, "inf", "true")),
        ("pdsg(per_sample=2)", "0 or 1, got 2"),
        ("hart(surrogate.width=0)", r"Triangle\.width: .*above 0"),
        ("rga(width=1)", "one of beta, gamma, got 'width'"),
        ("stbp(surrogate=1)", r"one of surrogate\.width, detach_reset, got 'surrogate'"),
        ("bptr(beta=1)", "a rule with a number in a field, got 'beta'"),
        ("sgd(beta=1)", "one of 'stbp'"),
        ("rga(beta=1", "name or name"),
    ],
)
def test_a_hyperparameter_that_a_rule_refuses_is_refused_with_its_reason(text, words):
    with pytest.raises(ValueError, match=rf"^here: expected .*{words}"):
        parse_rule(text, "here")


@pytest.mark.parametrize("name", [*GRADIENTS, "pdsg-per-sample", "eot-rga", "hart-16-steps"])
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


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (HART(surrogate=Triangle(width=0.5)), "hart(surrogate.width=0.5)"),
        (STBP(detach_reset=True), "stbp(detach_reset=1)"),
        (STBP(), "stbp"),
        (EOT(RGA()), "eot-rga"),
        (STBP(surrogate=ATan()), short_name(STBP(surrogate=ATan()))),
    ],
)
def test_a_rule_is_spelt_as_it_is_read(rule, text):
    assert spell(rule) == text
    assert "surrogate=ATan" in text or parse_rule(text) == rule
