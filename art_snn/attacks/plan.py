"""Plans: which attacks are tried with which rules, in which order, and what runs on a network."""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from art.attacks import EvasionAttack
from art.estimators.classification import PyTorchClassifier
from torch import Tensor

from art_snn.attacks.borrowed import Borrowed, art_objection
from art_snn.attacks.iterated import IteratedAttack
from art_snn.attacks.kinds import ArtAttack, describe, settings_of
from art_snn.attacks.persample import PerSampleAttack
from art_snn.checks import SEEDS, require, require_number, set_fields, shown
from art_snn.gradients import Gradient, Native, short_name
from art_snn.network import SpikingNetwork

REPEATED = "the same stage already runs"
"""How the reason begins why a stage that would repeat another one is skipped."""

STAGE = re.compile(
    r"(\w+)\((.*?)\)(?: by (.+?))?(?:, warm)?(?:, within [\d.e-]+)?( on source \d+)?"
)
LOSSES = {"cross_entropy": "", "difference_logits_ratio": "DLR"}


@dataclass(frozen=True)
class Stage:
    """One attack with one rule.

    :param attack: class of an attack, ours or ART's.
    :param rule: of the gradients; None where the attack takes none, or those of the network's rule.
    :param options: settings of the attack but for its budget, batches, seed and bar.
    :param transfer: whether it crafts on the sources, each with its own rule, and shows only the
        result to the network under attack.
    :param warm: whether it begins at the point of largest margin that stages before it reached.
    :param within: attack only samples whose margin is above minus that share of the distance from
        the true class's logit to the mean of all; None: all samples that nothing has broken."""

    attack: type[EvasionAttack]
    rule: Gradient | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    transfer: bool = False
    warm: bool = False
    within: float | None = None

    def __post_init__(self) -> None:
        fits = isinstance(self.attack, type) and issubclass(self.attack, EvasionAttack)
        remedy = "Give a class such as AutoPGD; its settings are options."
        require(fits, "attack", "a class of evasion attacks", shown(self.attack), remedy)
        fits = self.rule is None or isinstance(self.rule, Gradient)
        remedy = "Pass an instance, neither a class nor a name."
        require(fits, "rule", "a gradient rule such as RGA(), or None", shown(self.rule), remedy)
        remedy = "Every source is differentiated by the rule of its own network."
        fits = self.rule is None or not self.transfer
        require(fits, "rule", "None where transfer=True", shown(self.rule), remedy)
        fits = not self.warm or (issubclass(self.attack, IteratedAttack) and not self.transfer)
        remedy = "Only attacks that walk through a ball can begin elsewhere: AutoPGD, for instance."
        expected = "False with that attack, or where transfer=True"
        require(fits, "warm", expected, shown(self.warm), remedy)
        if self.within is not None:
            remedy = "None attacks every sample; 0.1 those that are all but broken."
            set_fields(self, within=require_number("within", self.within, above=0, remedy=remedy))
        set_fields(self, options=MappingProxyType(dict(self.options)))

    def __reduce__(self) -> tuple[Any, ...]:
        # A view of a dictionary can be neither pickled nor copied.
        return type(self), tuple((vars(self) | {"options": dict(self.options)}).values())

    def settings(self, norm: float | str, eps: float, batch_size: int, seed: int) -> dict[str, Any]:
        """Arguments of the attack, next to the classifier."""
        run = {"batch_size": batch_size, "verbose": False, "seed": seed}
        settings = {name: run[name] for name in run if name in settings_of(self.attack)}
        return {**settings, **(self.kind.budget(norm, eps) or {}), **self.options}

    def built(
        self, estimator: PyTorchClassifier, norm: float | str, eps: float, size: int, seed: int
    ) -> PerSampleAttack:
        """The attack on a classifier, in batches of that size."""
        settings = self.settings(norm, eps, size, seed)
        if issubclass(self.attack, PerSampleAttack):
            return self.attack(estimator, **settings)
        return Borrowed(estimator, self.attack, settings, float(norm), eps, size, seed)

    def seed(self, seed: int, again: int = 0) -> int:
        """A seed that is the same in every plan of the stage: more stages never break less.

        :param again: how many stages of the same words come before it."""
        return (seed + again + zlib.crc32(str(self).encode())) % (SEEDS + 1)

    def objection(self, estimator: PyTorchClassifier, norm: float | str, x: Tensor) -> str | None:
        """Why the attack does not suit the classifier, or some of its samples, or None."""
        if self.kind.budget(norm, 1) is None:
            return f"it knows no budget in the norm {norm}"
        ours = issubclass(self.attack, PerSampleAttack)
        objection = None if ours else art_objection(self.attack, estimator, float(norm))
        if objection is not None or self.rule is None:
            return objection
        network: SpikingNetwork = estimator.model
        return network.objection(self.rule, x)

    @property
    def kind(self) -> type[PerSampleAttack] | ArtAttack:
        """What there is to know of the attack."""
        return describe(self.attack)

    @property
    def by_gradients(self) -> bool:
        """Whether it asks the network under attack for gradients."""
        return self.kind.by_gradients and not self.transfer

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        by = "" if self.rule is None else f" by {short_name(self.rule)}"
        warm = ", warm" if self.warm else ""
        within = "" if self.within is None else f", within {self.within:g}"
        return f"{self.attack.__name__}({options}){by}{warm}{within}"


def short_stage(words: str) -> str:
    """A stage as results have it, in a few words: its attack, its rule in numbers, and its loss.

    "AutoPGD HART 0.5" is AutoPGD(max_iter=20) by HART(surrogate=Triangle(width=0.5)). What is no
    stage stays as it is. Stages of a plan may have the same short name."""
    match = STAGE.fullmatch(words)
    if match is None:
        return words
    attack, options, rule, source = match.groups("")
    loss = re.search(r"loss(?:_type)?='?(\w+)", options)
    short = LOSSES.get(loss[1], loss[1]) if loss else ""
    return " ".join(filter(None, (attack, _short_rule(rule), short))) + source


def _short_rule(rule: str) -> str:
    """A rule without the names of its fields, and without the usual surrogate."""
    if re.fullmatch(r"[a-z\d-]+", rule):
        return rule if rule == "native" else rule.upper()
    rule = re.sub(r"surrogate=Triangle\b|\w+=", "", rule)
    rule = re.sub(r"\d+\.\d+(?:e[+-]?\d+)?", lambda number: f"{float(number[0]):.3g}", rule)
    return " ".join(re.findall(r"[\w.+-]+", rule))


@dataclass(frozen=True)
class Plan:
    """Stages in order, the cheap ones first: a stage skips what those before it have broken.

    :param native: stages that come first on a network that no rule of theirs suits, but its own
        gradient, :class:`~art_snn.gradients.Native`."""

    name: str
    stages: tuple[Stage, ...]
    native: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        remedy = "For instance (Stage(AutoPGD, RGA()),)."
        for name, least in {"stages": 1, "native": 0}.items():
            stages = getattr(self, name)
            fits = isinstance(stages, Sequence) and len(stages) >= least
            fits = fits and all(isinstance(stage, Stage) for stage in stages)
            expected = f"a tuple of {'one Stage or more' if least else 'stages'}"
            require(fits, name, expected, shown(stages), remedy)
        set_fields(self, stages=tuple(self.stages), native=tuple(self.native))


@dataclass(frozen=True)
class Suited:
    """The stages of a plan that run on a network, and what :class:`Outcome` says of the others."""

    stages: list[Stage]
    skipped: dict[str, str]
    native: dict[str, str]
    gradients: tuple[str, ...]


def suited(plan: Plan, estimator: PyTorchClassifier, norm: float | str, some: Tensor) -> Suited:
    """The stages of a plan on a spiking network and some of its samples.

    A stage whose rule does not suit runs under the network's own gradient, where it has one, unless
    the same stage runs under it already."""
    objections = [stage.objection(estimator, norm, some) for stage in plan.stages]
    judged = list(zip(plan.stages, objections, strict=True))
    suiting = [stage for stage, why in judged if why is None and not stage.transfer]
    rule = estimator.model.rule
    running = {str(natively(one)) for one in suiting if (one.rule or rule) == Native()}
    stages: list[Stage] = []
    skipped, native = {}, {}
    for stage, why in judged:
        if why is None:
            stages.append(stage)
        elif (objection := _objection(stage, why, estimator, norm, some)) is not None:
            skipped[str(stage)] = objection
        elif str(other := natively(stage)) in running:
            skipped[str(stage)] = f"{REPEATED}, {other}. {why}"
        else:
            running.add(str(other))
            stages.append(other)
            native[str(stage)] = why
    alone = native and all(stage.rule in (None, Native()) for stage in suiting)
    first = plan.native if alone else ()
    gradients = tuple(str(one) for one in (*first, *plan.stages) if one.by_gradients)
    return Suited([*first, *stages], skipped, native, gradients)


def _objection(
    stage: Stage, why: str, estimator: PyTorchClassifier, norm: float | str, some: Tensor
) -> str | None:
    """Why a stage suits the network no better under its own gradient; None where it does."""
    if stage.rule is None:
        return why
    objection = natively(stage).objection(estimator, norm, some)
    if objection in (None, why) or estimator.model.objection(Native()) is not None:
        return objection and why
    return f"{why} Nor does the network's own gradient: {objection}"


def natively(stage: Stage) -> Stage:
    """The stage under the network's own gradient."""
    return replace(stage, rule=Native())


def require_sources(sources: object, estimator: PyTorchClassifier) -> tuple[PyTorchClassifier, ...]:
    """Classifiers of torch's for the same samples and classes; ValueError for anything else."""
    remedy = "Wrap networks in PyTorchSpikingClassifier, others in PyTorchClassifier."
    fits = isinstance(sources, Sequence)
    require(fits, "sources", "a list of classifiers", shown(sources), remedy)
    classifiers: tuple[PyTorchClassifier, ...] = tuple(sources)  # type: ignore[arg-type]
    shape, classes = estimator.input_shape, estimator.nb_classes
    for source in classifiers:
        fits = isinstance(source, PyTorchClassifier)
        require(fits, "sources", "classifiers of torch's", shown(source), remedy)
        same, expected = source.input_shape == shape, f"classifiers of samples of shape {shape}"
        other = "Adversarials of other samples are none of these."
        require(same, "sources", expected, f"one of {source.input_shape}", other)
        same, expected = source.nb_classes == classes, f"classifiers of {classes} classes"
        require(same, "sources", expected, f"one of {source.nb_classes}", other)
    return classifiers
