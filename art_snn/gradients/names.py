"""Rules by name: the grammar of names and hyperparameters, and the rules that suit a network."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass, replace
from inspect import signature
from numbers import Integral, Real
from typing import Any, TypeVar

from art_snn.checks import ArgumentError, invalid, require, require_choice, shown
from art_snn.gradients.base import Gradient, NeuronRef
from art_snn.gradients.rules import EOT, GRADIENTS, VARIANTS, Extended, Mean

_Kind = TypeVar("_Kind")
_WRAPPERS: dict[str, type[EOT] | type[Extended]] = {"eot": EOT, "extended": Extended}
_LONGER = re.compile(r"(.+)-([0-9]+)-steps")
_LONGEST = 80
"""Letters of the longest name of a rule."""
_GRAMMAR = (
    "Any of them may stand in eot-NAME, extended-NAME, NAME-32-steps and mean-NAME-NAME; a rule "
    "of your own is passed as an instance."
)
_CALL = re.compile(r"\s*([^\s()=,][^()=,]*?)\s*(?:\((.*)\))?\s*", re.DOTALL)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?inf", re.IGNORECASE)


def _split_calls(text: str) -> list[str]:
    """The parts of a text between the commas outside of parentheses, without empty ones."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def parse_call(text: str, argument: str = "call") -> tuple[str, dict[str, Any]]:
    """Name and options of ``name`` or ``name(option=value, ...)``.

    A value is a whole number, a number, a fraction such as 8/255, true or false; anything else,
    such as another call, remains text.

    :param argument: named in complaints.
    :raises ValueError: for a text of another form, or an option that occurs twice."""
    call, options = _CALL.fullmatch(text), dict[str, Any]()
    expected, remedy = "name or name(option=value, ...)", "Separate the options by commas."
    require(call and text.count("(") == text.count(")"), argument, expected, shown(text), remedy)
    assert call is not None
    for part in _split_calls(call[2] or ""):
        option, equals, value = (word.strip() for word in part.partition("="))
        fits = equals and option and value and option not in options
        require(fits, argument, expected, f"{shown(text)} (at {part!r})", remedy)
        options[option] = _parse_value(value)
    return call[1], options


def parse_object(
    text: str, argument: str, kinds: Mapping[str, type[_Kind]], remedy: str, **given: Any
) -> _Kind:
    """The object of ``name`` or ``name(field=value, ...)``, where `kinds` has its class.

    :param remedy: for another name.
    :param given: fields that the text does not set, and of which complaints keep their names.
    :raises ValueError: for an unknown name or field, or a value that the class refuses."""
    name, options = parse_call(text, argument)
    require_choice(argument, name, kinds, remedy=remedy)
    kind: Any = kinds[name]
    names = [name for name in signature(kind).parameters if name not in given]
    odd = [option for option in options if option not in names]
    expected = f"options of {name}: {', '.join(names) or 'none'}"
    require(not odd, argument, expected, ", ".join(odd), "Leave out the others.")
    try:
        made: _Kind = kind(**options, **given)
    except ArgumentError as error:
        if error.argument in given:
            raise
        raise ArgumentError(argument, f"{error.argument}: {error.complaint}") from error
    return made


def _parse_value(text: str) -> Any:
    """A number, a truth value, or the text as it is."""
    top, slash, bottom = text.partition("/")
    if _NUMBER.fullmatch(top) and (_NUMBER.fullmatch(bottom) if slash else True):
        if slash:
            return float(top) / float(bottom) if float(bottom) else text
        return int(top) if top.lstrip("+-").isdigit() else float(top)
    return {"true": True, "false": False}.get(text.lower(), text)


def parse_rule(text: Gradient | str, argument: str = "gradient") -> Gradient:
    """The rule of a text: ``rga``, ``eot-rga``, ``rga(beta=3)``, ``stbp(surrogate.width=0.5)``, ...

    A name of :data:`GRADIENTS` or :data:`VARIANTS` is a rule with its defaults. ``eot-NAME``
    averages a rule over draws, ``extended-NAME`` crafts over more time steps, ``NAME-16-steps``
    over that many, and ``mean-NAME-NAME`` averages several rules. Parentheses set the fields of
    the rule that hold numbers, with a dot for one inside another.

    :param text: an instance of a rule is that rule.
    :param argument: named in complaints.
    :raises TypeError: for anything but a text or a rule.
    :raises ValueError: for an unknown name or field, a name of more than 80 letters, and a value
        that the rule refuses; the message lists what is known."""
    if isinstance(text, Gradient):
        return text
    names = ", ".join(map(repr, (*GRADIENTS, *VARIANTS)))
    if not isinstance(text, str):
        raise TypeError(
            f"{argument}: expected a gradient rule such as RGA() or one of {names}, got {text!r}. "
            "Pass an instance, not a class."
        )
    name, options = parse_call(text, argument) if "(" in text else (text, {})
    rule = _rule(name)
    if rule is None:
        raise invalid(argument, f"one of {names}", shown(name), _GRAMMAR)
    for option, value in options.items():
        rule = _set_hyperparameter(rule, option, value, argument)
    return rule


def _rule(name: str) -> Gradient | None:
    if len(name) > _LONGEST:
        return None
    if name in GRADIENTS:
        return GRADIENTS[name]()
    if name in VARIANTS:
        return VARIANTS[name]
    longer = _LONGER.fullmatch(name)
    if longer is not None:
        inner, steps = _rule(longer[1]), int(longer[2])
        return None if inner is None or steps < 1 else Extended(inner, steps=steps)
    outer, _, rest = name.partition("-")
    if outer in _WRAPPERS:
        inner = _rule(rest)
        return None if inner is None else _WRAPPERS[outer](inner)
    several = _rules(rest.split("-")) if outer == "mean" else []
    return Mean(*several) if len(several) > 1 else None


def _rules(words: Sequence[str]) -> list[Gradient]:
    """The rules whose names follow one another in the words; none where the words are no names."""
    for end in range(len(words), 0, -1):
        first = _rule("-".join(words[:end]))
        if first is None:
            continue
        rest = _rules(words[end:])
        if rest or end == len(words):
            return [first, *rest]
    return []


def parse_rules(text: str) -> dict[str, Gradient]:
    """Rules by their texts, with commas between; a ValueError for an unknown one, or for none."""
    rules = {part: parse_rule(part, "rules") for part in _split_calls(text)}
    require(rules, "rules", "at least one", "none", "Name some.")
    return rules


def hyperparameters(rule: object) -> dict[str, Any]:
    """The fields of a rule that hold numbers, and those of dataclasses inside, by dotted name."""
    numbers = dict[str, Any]()
    for field in fields(rule) if is_dataclass(rule) else ():
        value = getattr(rule, field.name)
        if isinstance(value, Real) and field.init:
            numbers[field.name] = value
        elif is_dataclass(value):
            inner = hyperparameters(value).items()
            numbers |= {f"{field.name}.{name}": number for name, number in inner}
    return numbers


def _set_hyperparameter(rule: Any, name: str, value: object, argument: str = "gradient") -> Any:
    """The rule with another number in the field of that dotted name, as surrogate.width.

    :param value: a number, in the kind that the field declares; 0 and 1 are also truth values.
    :raises ValueError: for an unknown field, and for a value that the rule refuses."""
    names = hyperparameters(rule)
    expected = f"one of {', '.join(names)}" if names else "a rule with a number in a field"
    require(name in names, argument, expected, repr(name), f"The rule is {rule}.")
    try:
        return _with_number(rule, name, value)
    except ValueError as error:
        expected = f"values that {name} of {type(rule).__name__} can have"
        got = f"{value} ({str(error).rstrip('.')})"
        raise invalid(argument, expected, got, "Leave that value out.") from error


def _with_number(rule: Any, name: str, value: Any) -> Any:
    outer, _, inner = name.partition(".")
    if inner:
        return replace(rule, **{outer: _with_number(getattr(rule, outer), inner, value)})
    declared = next(str(field.type) for field in fields(rule) if field.name == outer)
    kind = next((kind for kind in (bool, int) if kind.__name__ in declared), float)
    whole = isinstance(value, Integral) or (isinstance(value, float) and value.is_integer())
    fits = {float: isinstance(value, Real), int: whole, bool: value in (0, 1)}[kind]
    if not fits or (isinstance(value, bool) and kind is not bool):
        expected = {float: "a number", int: "a whole number", bool: "0 or 1"}[kind]
        raise ValueError(f"expected {expected}, got {value!r}")
    return replace(rule, **{outer: kind(value)})


def short_name(rule: Gradient) -> str:
    """The name by which :func:`parse_rule` gives the rule.

    Where there is none, its class with the fields that are not the defaults."""
    name = next((name for name in (*GRADIENTS, *VARIANTS) if _rule(name) == rule), "")
    if isinstance(rule, Mean):
        name = "-".join(["mean", *map(short_name, rule.rules)])
    elif isinstance(rule, EOT):
        name = f"eot-{short_name(rule.rule)}"
    elif isinstance(rule, Extended):
        name = f"{short_name(rule.rule)}-{rule.steps}-steps"
    if _rule(name) == rule or not is_dataclass(rule):
        return name or repr(rule)
    words = []
    for field in filter(lambda field: field.init or field.repr, fields(rule)):
        value, factory = getattr(rule, field.name), field.default_factory
        if value != (field.default if factory is MISSING else factory()):
            form = f"{value:.4g}" if isinstance(value, float) else f"{value!r}"
            words.append(f"{field.name}={form}")
    return f"{type(rule).__name__}({', '.join(words)})"


def spell(rule: Gradient) -> str:
    """The text that :func:`parse_rule` reads as the rule, hyperparameters included.

    Where there is none, as :func:`short_name`."""
    numbers = hyperparameters(rule).items()
    for name, kind in GRADIENTS.items():
        usual = hyperparameters(kind())
        given = [f"{f}={value:g}" for f, value in numbers if usual.get(f, value) != value]
        text = f"{name}({', '.join(given)})"
        if given and parse_rule(text) == rule:
            return text
    return short_name(rule)


def objection(rule: Gradient, sites: Iterable[NeuronRef], encoder: object = None) -> str | None:
    """Why the rule does not apply to a network of these neurons and this encoder, or None."""
    objections = (rule.objection(site.dynamics, encoder) for site in sites)
    return next(filter(None, objections), None)


def applicable(
    sites: Iterable[NeuronRef], encoder: object = None, excluded: tuple[type[Gradient], ...] = ()
) -> list[str]:
    """Names of the rules that apply to all neurons of a network, which refuses `excluded` kinds."""
    sites = list(sites)
    kinds = {name: kind for name, kind in GRADIENTS.items() if not issubclass(kind, excluded)}
    rules: dict[str, Gradient] = {name: kind() for name, kind in kinds.items()}
    if any(site.dynamics.foreign for site in sites):
        rules["native"] = VARIANTS["native"]
    return [name for name, rule in rules.items() if objection(rule, sites, encoder) is None]


def check_applicable(
    rule: Gradient,
    sites: Iterable[NeuronRef],
    argument: str = "gradient",
    encoder: object = None,
    *,
    excluded: tuple[type[Gradient], ...] = (),
    hint: str = "",
) -> None:
    """Refuse a rule that does not apply to one of the neurons of a network, or to its encoder.

    :param excluded: kinds of rules that the network as a whole refuses.
    :param hint: what else can be done where the equations of a neuron are unknown.
    :raises ValueError: with the objection, and the names of the rules that do apply."""
    sites = list(sites)
    for site in sites:
        reason = rule.objection(site.dynamics, encoder)
        if reason is not None:
            names = ", ".join(map(repr, applicable(sites, encoder, excluded))) or "none"
            named = site.name or not site.dynamics.unknown
            neuron = f"neuron {site.name!r} with {site.dynamics}" if named else "the model"
            got = f"{rule}, which does not apply to {neuron}: {reason}"
            expected = "a rule that applies to every neuron of the network"
            remedy = f"The rules that do apply: {names}.{hint if site.dynamics.unknown else ''}"
            raise invalid(argument, expected, got, remedy)
