"""What is tried on a network: a plan, an attack by its name, or what papers report."""

import ast
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from art.attacks import EvasionAttack, evasion

from art_snn import attacks as ours
from art_snn.attacks import FLIPS, SHIFT, SHORT_NAMES, Plan, Stage
from art_snn.attacks.persample import PerSampleAttack
from art_snn.checks import ArgumentError, cuts_gradients, invalid, require, shown
from art_snn.gradients import Gradient

RUN = frozenset({"norm", "eps", "batch_size", "verbose", "targeted", "seed"})
"""Settings of attacks that have options of their own, next to those of a budget."""


def usual_attack(norm: float | str, eps: float) -> Plan:
    """What papers report: PGD of seven steps; for event frames, the attack of the norm."""
    names = {FLIPS: "SparseDynamicAttack", SHIFT: "SpikeRetiming"}
    return attack_named(names.get(norm, "pgd-7"), {}, norm, eps)


def attack_named(attack: str, options: Mapping[str, Any], norm: float | str, eps: float) -> Plan:
    """The attack of that name, of SHORT_NAMES, ours or ART's, without a rule."""
    if attack.lower() in SHORT_NAMES:
        name, stage = attack.upper(), SHORT_NAMES[attack.lower()](eps)
    else:
        kind: Any = getattr(ours, attack, None) or getattr(evasion, attack, None)
        fits = isinstance(kind, type) and issubclass(kind, EvasionAttack)
        fits = fits and kind is not ours.SpikingAutoAttack
        remedy = (
            f"Or one of {', '.join(SHORT_NAMES)}. Classes are those of art.attacks.evasion and of "
        )
        remedy += "art_snn.attacks, such as AutoPGD."
        require(fits, "attack", "the class of an evasion attack", shown(attack), remedy)
        name, stage = attack, Stage(kind)
    flags = RUN | (stage.kind.budget(norm, eps) or {}).keys()
    names = sorted(set(stage.attack.attack_params) - flags)
    odd = [name for name in options if name not in names]
    expected = f"options of {attack}: {', '.join(names) or 'none'}"
    remedy = "The budget, the batches and the seed have flags of their own."
    require(not odd, "attack_options", expected, ", ".join(odd), remedy)
    words = ", ".join(f"{name}={value}" for name, value in options.items())
    stage = replace(stage, options={**stage.options, **options})
    return Plan(f"{name}({words})" if words else name, (stage,))


def with_rules(plan: Plan, rules: Mapping[str, Gradient]) -> Iterator[Plan]:
    """An attack with every rule, or as it is where it takes no gradient."""
    (stage,) = plan.stages
    if not stage.by_gradients:
        yield plan
        return
    for name, rule in rules.items():
        yield Plan(f"{plan.name} by {name}", (replace(stage, rule=rule),))


def parsed(options: str) -> dict[str, Any]:
    """Options as they are typed: max_iter=1000,loss_type=margin."""
    try:
        # What is no literal of Python's is a word.
        call = ast.parse(f"_({options})", mode="eval").body
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
            raise ValueError("no options")
        values = {word.arg or "": _value(word.value) for word in call.keywords}
        if call.args or "" in values or len(values) < len(call.keywords):
            raise ValueError("a value without a name, or a name that occurs twice")
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
        expected = "names with values, such as max_iter=1000,loss_type=margin"
        remedy = "Put commas between, and no spaces that the shell would split at."
        raise invalid("attack_options", expected, shown(options), remedy) from error
    return values


def _value(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


@contextmanager
def attack_errors(kind: type[EvasionAttack]) -> Iterator[None]:
    """Turn an error of ART's attack within the block into a complaint about its choice.

    Errors of our own attacks pass, and those of a cut gradient."""
    try:
        yield
    except Exception as error:
        if issubclass(kind, PerSampleAttack) or cuts_gradients(error):
            raise
        raise failed(kind, error) from error


def failed(kind: type[EvasionAttack], error: Exception) -> ArgumentError:
    """The complaint about an attack that raised an error."""
    expected = "an attack that runs on this network and its samples"
    got = f"{kind.__name__}, which fails ({type(error).__name__}: {str(error).rstrip('.')})"
    return invalid("attack", expected, got, "Choose another one, or other options of it.")
