"""Rules by name: the grammar of names and hyperparameters, and the rules that suit a network."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass, replace
from inspect import signature
from numbers import Real
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from art_snn.checks import ArgumentError, invalid, quote, require, require_choice
from art_snn.gradients.base import Composite, Gradient, NeuronRef
from art_snn.gradients.rules import EOT, GRADIENTS, VARIANTS, Extended, Mean
from art_snn.running.context import keep_modes
from art_snn.seeding import fix_seed

_Kind = TypeVar("_Kind")
_AROUND: Mapping[str, Callable[..., Composite]] = {
    "eot": EOT,
    "extended": Extended,
    "mean": Mean,
}
"""Rules around others: mean around several, the others around one."""
_LONGEST = 200
"""Letters of the longest text of a rule."""
_GRAMMAR = (
    "Rules take numbers, as in rga(beta=3), and other rules: eot(rga), extended(rga, steps=16), "
    "mean(rga, stbp). A rule of your own is passed as an instance."
)
_FORM = "name or name(option=value, ...)"
_CALL = re.compile(r"\s*([^\s()=,][^()=,]*?)\s*(?:\((.*)\))?\s*", re.DOTALL)
_OPTION = re.compile(r"([^()=]+?)\s*=\s*(.+)", re.DOTALL)
_NUMBER = re.compile(
    r"[+-]?([0-9]{1,200}(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?|[+-]?inf", re.IGNORECASE
)


def split_parts(text: str) -> list[str]:
    """The parts of a text between the commas outside of parentheses, without empty ones."""
    parts = [""]
    depth = 0
    for letter in text:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def _split_call(text: str, argument: str) -> tuple[str, list[str], dict[str, Any]]:
    """The name of a call, its parts without a name of their own, and its options with values."""
    call = _CALL.fullmatch(text)
    remedy = "Separate the options by commas."
    if call is None or text.count("(") != text.count(")"):
        raise invalid(argument, _FORM, quote(text), remedy)
    bare = []
    options = dict[str, Any]()
    for part in split_parts(call[2] or ""):
        option = _OPTION.fullmatch(part)
        if option is None:
            bare.append(part)
            continue
        name, value = option.groups()
        require(
            name not in options, argument, _FORM, f"{quote(text)} (at {part!r})", remedy
        )
        options[name] = _parse_value(value)
    return call[1], bare, options


def parse_call(text: str, argument: str = "call") -> tuple[str, dict[str, Any]]:
    """Name and options of ``name`` or ``name(option=value, ...)``.

    A value is a whole number, a number, a fraction such as 8/255, true or false; anything
    else, such as another call, remains text.

    :param argument: named in complaints.
    :raises ValueError: for a text of another form, or an option that occurs twice."""
    name, bare, options = _split_call(text, argument)
    require(not bare, argument, _FORM, quote(text), "Give every value a name.")
    return name, options


def parse_object(
    text: str, argument: str, kinds: Mapping[str, type[_Kind]], remedy: str, **given: Any
) -> _Kind:
    """The object of ``name`` or ``name(field=value, ...)``, where `kinds` has its class.

    :param remedy: for another name.
    :param given: fields, of classes that have them, that the text does not set, and of
        which complaints keep their names.
    :raises ValueError: for an unknown name or field, or a value that the class refuses."""
    name, options = parse_call(text, argument)
    require_choice(argument, name, kinds, remedy=remedy)

    kind = kinds[name]
    fields_of_kind = signature(kind).parameters
    given = {name: value for name, value in given.items() if name in fields_of_kind}
    names = [name for name in fields_of_kind if name not in given]

    odd = [option for option in options if option not in names]
    require(
        not odd,
        argument,
        f"options of {name}: {', '.join(names) or 'none'}",
        ", ".join(odd),
        "Leave out the others.",
    )
    try:
        return kind(**options, **given)
    except ArgumentError as error:
        if error.argument in given:
            raise
        raise ArgumentError(argument, str(error)) from error


def _parse_value(text: str) -> Any:
    """A number, a truth value, or the text as it is: also one of too many digits for Python."""
    if _NUMBER.fullmatch(text):
        return int(text) if text.lstrip("+-").isdigit() else float(text)
    top, _, bottom = text.partition("/")
    if _NUMBER.fullmatch(top) and _NUMBER.fullmatch(bottom) and float(bottom):
        return float(top) / float(bottom)
    return {"true": True, "false": False}.get(text.lower(), text)


def parse_rule(text: Gradient | str, argument: str = "gradient") -> Gradient:
    """The rule of a text: ``rga``, ``rga(beta=3)``, ``eot(rga, samples=3)``, ``mean(rga, stbp)``.

    A name of :data:`GRADIENTS` or :data:`VARIANTS` is a rule with its defaults.
    ``eot(rule)`` averages a rule over draws, ``extended(rule)`` crafts over more time
    steps, and ``mean(rule, rule, ...)`` averages several rules. Options set the fields of
    a rule that hold numbers, with a dot for one inside another, as in
    ``stbp(surrogate.width=0.5)``.

    :param text: an instance of a rule is that rule.
    :param argument: named in complaints.
    :raises TypeError: for anything but a text or a rule.
    :raises ValueError: for an unknown name or field, a text of more than 200 letters, and
        a value that the rule refuses; the message lists what is known."""
    if isinstance(text, Gradient):
        return text
    names = ", ".join(map(repr, (*GRADIENTS, *VARIANTS)))
    if not isinstance(text, str):
        raise TypeError(
            f"{argument}: expected a gradient rule such as RGA() or one of {names}, got {text!r}. "
            "Pass an instance, not a class."
        )
    unknown = invalid(argument, f"one of {names}", quote(text), _GRAMMAR)
    if not text.strip() or len(text) > _LONGEST:
        raise unknown
    name, inner, options = _split_call(text, argument)
    rule = _with_defaults(name, [parse_rule(part, argument) for part in inner])
    if rule is None:
        raise unknown
    for option, value in options.items():
        rule = _set_hyperparameter(rule, option, value, argument)
    return rule


def _with_defaults(name: str, inner: Sequence[Gradient]) -> Gradient | None:
    """The rule of a name around others, with its defaults; None where there is none."""
    if not inner:
        return GRADIENTS[name]() if name in GRADIENTS else VARIANTS.get(name)
    several = len(inner) > 1
    if name not in _AROUND or several != (name == "mean"):
        return None
    return _AROUND[name](*inner)


def parse_rules(text: str) -> dict[str, Gradient]:
    """Rules by their texts, with commas between; a ValueError for an unknown one, or for none."""
    rules = {part: parse_rule(part, "rules") for part in split_parts(text)}
    require(rules, "rules", "at least one", "none", "Name some.")
    return rules


def hyperparameters(rule: object) -> dict[str, Any]:
    """The fields of a rule that hold numbers, and those of dataclasses inside, by dotted name."""
    numbers = {}
    for field in fields(rule) if is_dataclass(rule) else ():
        value = getattr(rule, field.name)
        if isinstance(value, Real) and field.init:
            numbers[field.name] = value
        else:
            for name, number in hyperparameters(value).items():
                numbers[f"{field.name}.{name}"] = number
    return numbers


def _set_hyperparameter(rule: Any, name: str, value: object, argument: str) -> Any:
    """The rule with another number in the field of that dotted name, as surrogate.width.

    :param value: a number, in the kind that the field holds; 0 and 1 are also truth values.
    :raises ValueError: for an unknown field, and for a value that the rule refuses."""
    names = hyperparameters(rule)
    expected = (
        f"one of {', '.join(names)}" if names else "a rule with a number in a field"
    )
    remedy = f"The rule is {rule}."
    require(name in names, argument, expected, repr(name), remedy)
    kind = type(names[name])
    fits = value in (0, 1) if kind is bool else type(value) in (int, kind)
    require(fits, argument, f"{name} to be of kind {kind.__name__}", quote(value), remedy)
    try:
        return _replace_inside(rule, name, kind(value))
    except ValueError as error:
        raise ArgumentError(argument, str(error)) from error


def _replace_inside(rule: Any, name: str, value: Any) -> Any:
    outer, _, inner = name.partition(".")
    if inner:
        value = _replace_inside(getattr(rule, outer), inner, value)
    return replace(rule, **{outer: value})


def spell(rule: Gradient) -> str:
    """The shortest text that :func:`parse_rule` reads as the rule, hyperparameters included.

    Where there is none, the class of the rule with the fields that are not the defaults."""
    parts = rule.parts if isinstance(rule, Composite) else ()
    texts = []
    for name in (*GRADIENTS, *VARIANTS, *_AROUND):
        usual = _with_defaults(name, parts)
        if type(usual) is not type(rule):
            continue
        defaults = hyperparameters(usual)
        words = [spell(part) for part in parts]
        for field, value in hyperparameters(rule).items():
            if defaults.get(field, value) != value:
                words.append(f"{field}={str(value).removesuffix('.0')}")
        text = f"{name}({', '.join(words)})" if words else name
        with suppress(ValueError):
            if parse_rule(text) == rule:
                texts.append(text)
    return min(texts, key=len) if texts else _describe(rule)


def short_name(rule: Gradient) -> str:
    """The text of a rule without hyperparameters, or around other rules, as :func:`spell` gives it.

    Of another rule its class with the fields that are not the defaults."""
    text = spell(rule)
    return text if "(" not in text or isinstance(rule, Composite) else _describe(rule)


def _describe(rule: Gradient) -> str:
    """The class of a rule with the fields that are not the defaults."""
    if not is_dataclass(rule):
        return repr(rule)
    words = []
    for name, value in changed_fields(rule).items():
        form = f"{value:.4g}" if isinstance(value, float) else f"{value!r}"
        words.append(f"{name}={form}")
    return f"{type(rule).__name__}({', '.join(words)})"


def changed_fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass that do not hold their defaults, by name."""
    changed = {}
    for field in fields(value):
        default = field.default
        if field.default_factory is not MISSING:
            default = field.default_factory()
        held = getattr(value, field.name)
        if held != default:
            changed[field.name] = held
    return changed


def objection(
    rule: Gradient, sites: Sequence[NeuronRef], encoder: object = None
) -> str | None:
    """Why the rule does not apply to a network of these neurons and this encoder, or None."""
    objections = (rule.objection(site.dynamics, encoder) for site in sites)
    return next(filter(None, objections), None)


def applicable(
    sites: Sequence[NeuronRef],
    encoder: object = None,
    excluded: tuple[type[Gradient], ...] = (),
) -> list[str]:
    """Names of the rules that apply to all neurons of a network, which refuses `excluded` kinds."""
    rules = {
        name: kind() for name, kind in GRADIENTS.items() if not issubclass(kind, excluded)
    }
    if any(site.dynamics.foreign for site in sites):
        rules["native"] = VARIANTS["native"]
    return [
        name for name, rule in rules.items() if objection(rule, sites, encoder) is None
    ]


def check_applicable(
    rule: Gradient,
    sites: Sequence[NeuronRef],
    argument: str = "gradient",
    encoder: object = None,
    *,
    excluded: tuple[type[Gradient], ...] = (),
) -> None:
    """Refuse a rule that does not apply to one of the neurons of a network, or to its encoder.

    :param excluded: kinds of rules that the network as a whole refuses.
    :raises ValueError: with the objection, and the names of the rules that do apply."""
    for site in sites:
        reason = rule.objection(site.dynamics, encoder)
        if reason is not None:
            names = ", ".join(map(repr, applicable(sites, encoder, excluded))) or "none"
            named = site.name or not site.dynamics.unknown
            neuron = (
                f"neuron {site.name!r} with {site.dynamics}" if named else "the model"
            )
            raise invalid(
                argument,
                "a rule that applies to every neuron of the network",
                f"{rule}, which does not apply to {neuron}: {reason}",
                f"The rules that do apply: {names}.",
            )


ORDER = (
    "stbp",
    "native",
    *(name for name in GRADIENTS if name != "stbp"),
    "hart(surrogate.width=0.5)",
)
"""The candidates: STBP, the network's own gradient, others, and the first rule of our plans."""


def choose_rule(
    network: Any, x: Tensor | None = None, y: Tensor | None = None
) -> Gradient:
    """The rule that attacks on a network take where nobody has named one.

    Of the rules that apply it is the one whose gradient vanishes for the fewest samples,
    and of equals the first: STBP, the network's own gradient, the others in the order of
    GRADIENTS. Without samples no gradient is known to vanish. Samples that are classified
    correctly count, if there are any.

    :param network: a :class:`~art_snn.SpikingNetwork`, which keeps its own rule.
    :param x: samples [N, ...] of classes y [N], on its device; None: the equations decide alone.
    :return: the rule; STBP where none applies."""
    counts = {}
    for name in ORDER:
        rule = parse_rule(name)
        if network.body.objection(rule) is not None:
            continue
        if x is None or y is None:
            return rule
        # A model may refuse a rule once it sees samples, or fail under it.
        with suppress(ValueError, RuntimeError):
            counts[name] = int(find_vanished(network, rule, x, y)[0].sum())
            if not counts[name]:
                return rule
    return parse_rule(find_best(counts))


def find_best(vanished: Mapping[str, int]) -> str:
    """The name of the rule whose gradient vanishes for the fewest samples; of equals the first.

    :param vanished: rule -> number of these samples; without any rule it is STBP."""
    return min(vanished, key=vanished.__getitem__, default="stbp")


def find_vanished(
    network: Any, rule: Gradient, x: Tensor, y: Tensor
) -> tuple[Tensor, object]:
    """Samples whose gradient by a rule is 0 throughout, bool [n], and how the rule ran.

    The gradient is that of the cross entropy, in evaluation mode. The network is left as it was.

    :param x: samples [N, ...] of classes y [N]; if some are classified correctly, these alone
        are the n samples.
    :raises ValueError: where the network refuses the rule."""
    twin = network.with_gradient(rule)
    with keep_modes(network, False), fix_seed(0), twin.constant_weights():
        with torch.no_grad():
            right = network(x).argmax(1) == y
        if right.any():
            x = x[right]
            y = y[right]
        leaf = x.clone().requires_grad_()
        loss = cross_entropy(twin(leaf), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, leaf)
    return (gradient.flatten(1) == 0).all(1), twin.execution
