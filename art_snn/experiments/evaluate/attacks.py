"""What is tried on a network: a plan, an attack by its name, or what papers report."""

import ast
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from art.attacks import EvasionAttack, evasion
from art.attacks.evasion import ProjectedGradientDescent

from art_snn import attacks as ours
from art_snn.attacks import FLIPS, SHIFT, Plan, SparseDynamicAttack, SpikeRetiming, Stage
from art_snn.attacks.borrowed import WITHOUT_GRADIENTS
from art_snn.attacks.persample import PerSampleAttack
from art_snn.attacks.pgd import STEP, STEPS
from art_snn.checks import ArgumentError, cuts_gradients, invalid, require, shown
from art_snn.gradients import Gradient

BUDGETED = frozenset({"norm", "eps", "max_shift", "batch_size", "verbose", "targeted", "seed"})
"""Settings of attacks that have options of their own."""


@dataclass(frozen=True)
class Named:
    """An attack by its name, with its settings.

    :param kind: its class.
    :param options: its settings but for budget, batches and seed.
    :param name: in tables."""

    kind: type[EvasionAttack]
    options: Mapping[str, Any]
    name: str

    @property
    def by_gradients(self) -> bool:
        """Whether a rule has a part in it."""
        return self.kind.__name__ not in WITHOUT_GRADIENTS

    def plans(self, rules: Mapping[str, Gradient]) -> Iterator[Plan]:
        """The attack by every rule, or once where it takes no gradient."""
        if not self.by_gradients:
            yield Plan(self.name, (Stage(self.kind, None, self.options),))
            return
        for name, rule in rules.items():
            yield Plan(f"{self.name} by {name}", (Stage(self.kind, rule, self.options),))


def usual(norm: float | str, eps: float) -> Named:
    """What papers report: PGD of seven steps; of event frames, the attack of the norm."""
    if norm == FLIPS:
        return Named(SparseDynamicAttack, {}, "SparseDynamicAttack")
    if norm == SHIFT:
        return Named(SpikeRetiming, {}, "SpikeRetiming")
    options = {"max_iter": STEPS, "eps_step": STEP * eps}
    return Named(ProjectedGradientDescent, options, f"PGD-{STEPS}")


def attack_named(attack: str, options: Mapping[str, Any]) -> Named:
    """The attack of that name, ours or ART's.

    :raises ValueError: for an unknown name, and options that the attack does not have."""
    kind: Any = getattr(ours, attack, None) or getattr(evasion, attack, None)
    fits = isinstance(kind, type) and issubclass(kind, EvasionAttack)
    fits = fits and kind is not ours.SpikingAutoAttack
    remedy = "Names are those of art.attacks.evasion and art_snn.attacks, such as AutoPGD."
    require(fits, "attack", "the class of an evasion attack", shown(attack), remedy)
    known = sorted(set(kind.attack_params) - BUDGETED)
    odd = [name for name in options if name not in known]
    expected = f"options of {attack}: {', '.join(known) or 'none'}"
    remedy = "The budget, the batches and the seed have flags of their own."
    require(not odd, "attack_options", expected, ", ".join(odd), remedy)
    told = ", ".join(f"{name}={value}" for name, value in options.items())
    return Named(kind, MappingProxyType(dict(options)), f"{attack}({told})" if told else attack)


def parsed(options: str) -> dict[str, Any]:
    """Options as they are typed: max_iter=1000,loss_type=margin.

    :raises ValueError: for what is none."""
    try:
        # What is no literal of Python's is a word.
        call = ast.parse(f"_({options})", mode="eval").body
        assert isinstance(call, ast.Call)
        found = {word.arg or "": _value(word.value) for word in call.keywords}
        if call.args or "" in found:
            raise ValueError("no name before a value")
        if len(found) < len(call.keywords):
            raise ValueError("a name that occurs twice")
    except (SyntaxError, ValueError, AssertionError, RecursionError, MemoryError) as error:
        expected = "names with values, such as max_iter=1000,loss_type=margin"
        remedy = "Put commas between, and no spaces that the shell would split at."
        raise invalid("attack_options", expected, shown(options), remedy) from error
    return found


def _value(node: ast.expr) -> Any:
    return node.id if isinstance(node, ast.Name) else ast.literal_eval(node)


@contextmanager
def attack_errors(kind: type[EvasionAttack]) -> Iterator[None]:
    """What an attack of ART's raises within the block becomes a complaint about its choice.

    Some need an estimator of another kind, samples of another shape or another framework, and fail
    wherever they first notice. What our own attacks raise, and a plan's, passes."""
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


def own_budget(kind: type[EvasionAttack]) -> bool:
    """Whether an attack is told its budget; others of ART's look for the nearest adversarial."""
    return issubclass(kind, PerSampleAttack) or "eps" in kind.attack_params
