"""Stages and plans: which attacks run with which rules, in which order, and on which network."""

import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
import torch
from art.attacks import EvasionAttack, evasion
from art.estimators.classification import PyTorchClassifier
from numpy import ndarray
from numpy.typing import NDArray
from torch import Tensor

from art_snn.attacks.iterated import IteratedAttack
from art_snn.attacks.measures import EUCLIDEAN, Ball, Norm, require_measure
from art_snn.attacks.outcome import StageRecord, Status
from art_snn.attacks.persample import BestPoints, PerSampleAttack
from art_snn.attacks.queries import Queries, margin
from art_snn.checks import SEEDS, quote, require, require_number, set_fields
from art_snn.classifier.inputs import as_array, as_tensor
from art_snn.gradients import (
    STBP,
    FastSigmoid,
    Gradient,
    Native,
    RateGradient,
    Triangle,
    short_name,
)
from art_snn.gradients.names import list_changes
from art_snn.seeding import fix_seed

LOSSES = {"cross_entropy": "", "difference_logits_ratio": "DLR"}
"""Losses in labels; others have their own names."""


_SEARCHES = (
    evasion.BoundaryAttack,
    evasion.FeatureAdversariesNumpy,
    evasion.GRAPHITEBlackbox,
    evasion.GeoDA,
    evasion.HopSkipJump,
    evasion.LaserAttack,
    evasion.PixelAttack,
    evasion.SignOPTAttack,
    evasion.SimBA,
    evasion.SpatialTransformation,
    evasion.SquareAttack,
    evasion.ThresholdAttack,
    evasion.VirtualAdversarialMethod,
    evasion.ZooAttack,
)
"""Attacks of ART that ask for no gradient."""
_TILED = 10
"""In the Euclidean norm SquareAttack begins with five by five tiles of two values or more."""


WIDE = STBP(surrogate=FastSigmoid(k=10))
"""The rule in place of rate rules, which need the equations of neurons."""


@dataclass(eq=False, repr=False)
class ArtAttack(PerSampleAttack):
    """An attack of ART's under the rules of ours.

    Its results are projected to the ball before they count. One seed serves all samples,
    and they share the passes that it makes.

    :param stage: of the attack, with its settings."""

    stage: "Stage"
    norm: Norm
    eps: float
    batch_size: int = 32
    seed: int = 0

    @property
    def radius(self) -> float:
        return self.eps

    def craft(self, queries: Queries, best: BestPoints, classes: Tensor) -> None:
        x = best.samples.clone()
        ball = Ball(require_measure(self.norm), self.eps, x, *self.clip_range(x))
        estimator = queries.estimator
        if queries.draws > 1:
            # Of a random network the attack sees mean predictions.
            estimator = object.__new__(type(estimator))
            vars(estimator).update(vars(queries.estimator))
            estimator.predict = lambda points, **_: as_array(
                queries.predict(as_tensor(points).to(x.device))
            )
        attack = self.stage.instantiate(
            estimator, self.norm, self.eps, self.batch_size, self.seed
        )
        with fix_seed(self.seed), queries.counting():
            array = attack.generate(as_array(x), as_array(classes))
        points = torch.as_tensor(array, device=x.device).to(x)
        points = ball.project(torch.where(points.isfinite(), points, x))
        rows = torch.arange(len(x), device=x.device)
        logits = queries.logits(points, rows)
        broken = self.succeeded(logits, classes)
        best.take(rows, points, margin(logits, classes), broken)


@dataclass(frozen=True)
class Stage:
    """One attack with one rule.

    :param attack: class of an attack, ours or ART's.
    :param rule: of the gradients; None where the attack takes none, or those of the network's rule.
    :param options: settings of the attack but for its budget, batches, seed and bar.
    :param transfer: whether it crafts on the sources, each with its own rule, and shows
        only the result to the network under attack.
    :param warm: whether it begins at the point of largest margin that stages before it reached.
    :param within: attack only samples whose margin is above minus that share of the
        distance from the true class's logit to the mean of all; None: all samples that
        nothing has broken."""

    attack: type[EvasionAttack]
    rule: Gradient | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    transfer: bool = False
    warm: bool = False
    within: float | None = None

    def __post_init__(self) -> None:
        require(
            isinstance(self.attack, type) and issubclass(self.attack, EvasionAttack),
            "attack",
            "a class of evasion attacks",
            quote(self.attack),
            "Give a class such as AutoPGD; its settings are options.",
        )
        require(
            self.rule is None or isinstance(self.rule, Gradient),
            "rule",
            "a gradient rule such as RGA(), or None",
            quote(self.rule),
            "Pass an instance, neither a class nor a name.",
        )
        require(
            self.rule is None or not self.transfer,
            "rule",
            "None where transfer=True",
            quote(self.rule),
            "Every source is differentiated by the rule of its own network.",
        )
        require(
            not self.warm
            or (issubclass(self.attack, IteratedAttack) and not self.transfer),
            "warm",
            "False with that attack, or where transfer=True",
            quote(self.warm),
            "Only attacks that walk through a ball can begin elsewhere: AutoPGD, for instance.",
        )
        if self.within is not None:
            set_fields(
                self,
                within=require_number(
                    "within",
                    self.within,
                    above=0,
                    remedy="None attacks every sample; 0.1 those that are all but broken.",
                ),
            )
        set_fields(self, options=dict(self.options))

    @property
    def taken(self) -> set[str]:
        """The settings that the attack takes. Some of ART's also list others that they inherit."""
        return signature(self.attack).parameters.keys() & set(self.attack.attack_params)

    def budget(self, norm: Norm, eps: float) -> dict[str, Any] | None:
        """The settings by which it takes a budget in that norm; None where it knows none."""
        measure = require_measure(norm)
        if issubclass(self.attack, PerSampleAttack):
            return self.attack.budget(measure, eps)
        return None if measure.counted else self._take(norm=measure.norm, eps=eps)

    def _take(self, **settings: Any) -> dict[str, Any]:
        """Those settings that the attack takes."""
        return {name: value for name, value in settings.items() if name in self.taken}

    def instantiate(
        self, estimator: PyTorchClassifier, norm: Norm, eps: float, size: int, seed: int
    ) -> EvasionAttack:
        """The attack itself on a classifier, in batches of that size."""
        run = self._take(batch_size=size, verbose=False, seed=seed)
        budget = self.budget(norm, eps) or {}
        return self.attack(estimator, **{**run, **budget, **self.options})

    def build(
        self, estimator: PyTorchClassifier, norm: Norm, eps: float, size: int, seed: int
    ) -> PerSampleAttack:
        """The attack under the rules of a plan: ART's results are projected and counted."""
        if issubclass(self.attack, PerSampleAttack):
            return self.instantiate(estimator, norm, eps, size, seed)  # type: ignore[no-any-return]
        return ArtAttack(estimator, self, norm, eps, size, seed)

    def seed(self, seed: int, again: int = 0) -> int:
        """A seed that is the same in every plan of the stage: more stages never break less.

        It does not depend on `within`, which only says what is attacked.

        :param again: how many stages that are the same but for `within` come before it."""
        draw = zlib.crc32(str(replace(self, within=None)).encode())
        return (seed + again + draw) % (SEEDS + 1)

    def objection(
        self, estimator: PyTorchClassifier, norm: Norm, x: Tensor
    ) -> str | None:
        """Why the attack does not suit the classifier, or some of its samples, or None."""
        measure = require_measure(norm)
        if self.budget(measure, 1) is None:
            return f"it does not support norm {measure.id}"
        shape = estimator.input_shape
        images = len(shape) == 3 and (measure != EUCLIDEAN or sorted(shape)[1] >= _TILED)
        if issubclass(self.attack, evasion.SquareAttack) and not images:
            return f"it does not suit samples of shape {shape}: SquareSearch does"
        if self.rule is None:
            return None
        return estimator.model.body.objection(self.rule, x)  # type: ignore[no-any-return]

    @property
    def bounded(self) -> bool:
        """True where it takes a budget; what others return is brought into the ball."""
        return issubclass(self.attack, PerSampleAttack) or "eps" in self.taken

    @property
    def searches(self) -> bool:
        """True where it asks no network for gradients."""
        if issubclass(self.attack, PerSampleAttack):
            return not self.attack.by_gradients
        return issubclass(self.attack, _SEARCHES)

    @property
    def by_gradients(self) -> bool:
        """True where it asks the network under attack for gradients."""
        return not (self.searches or self.transfer)

    @property
    def id(self) -> str:
        """Words for files and results, which stay the same: "hart-0.5-auto-pgd-20"."""
        parts = [_rule_label(self.rule), self.attack.__name__]
        for name, value in self.options.items():
            short = f"{value:.4g}" if isinstance(value, float) else f"{value}"
            option = name if value is True else f"{name} {short}"
            parts.append(short if name in ("max_iter", "loss_type") else option)
        parts += ["transfer"] * self.transfer + ["warm"] * self.warm
        parts += [] if self.within is None else [f"within {self.within:g}"]
        return _slug(" ".join(parts))

    @property
    def label(self) -> str:
        """A few words: attack, rule in numbers, loss, as in "AutoPGD HART 0.5 DLR"."""
        loss = str(self.options.get("loss_type", ""))
        words = self.attack.__name__, _rule_label(self.rule), LOSSES.get(loss, loss)
        return " ".join(filter(None, words))

    def record(
        self, status: Status = "ran", instead_of: str = "", reason: str = ""
    ) -> StageRecord:
        """The stage as results keep it."""
        words = self.id, self.label, str(self)
        return StageRecord(*words, self.by_gradients, status, instead_of, reason)

    def __str__(self) -> str:
        """All settings; without a rule as :func:`~art_snn.attacks.parse_stage` reads them."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        by = "" if self.rule is None else f" by {short_name(self.rule)}"
        warm = ", warm" if self.warm else ""
        within = "" if self.within is None else f", within {self.within:g}"
        return f"{self.attack.__name__}({options}){by}{warm}{within}"

    def __hash__(self) -> int:
        return hash(str(self))


@dataclass(frozen=True)
class Candidates:
    """Points that are claimed to be adversarials of some samples.

    :param name: of who made them.
    :param points: one for each sample ``(N, *shape)``.
    :param present: for which samples there is one, bool (N,); other points are never tried."""

    name: str
    points: ndarray
    present: NDArray[np.bool_]

    def select(self, rows: Any) -> "Candidates":
        """Those of some samples, a slice, or a mask (N,)."""
        return Candidates(self.name, self.points[rows], self.present[rows])

    @property
    def record(self) -> StageRecord:
        """The stage that tries them."""
        label = f"adversarials {self.name}"
        return StageRecord(_slug(label), label, label, status="submitted")


def _slug(words: str) -> str:
    """Words in lower case with hyphens between, as ids have them."""
    spaced = re.sub(r"(?<=[a-z\d])(?=[A-Z])", "-", words)
    return re.sub(r"[^a-z\d.]+", "-", spaced.lower()).strip("-")


def _rule_label(rule: Gradient | None) -> str:
    """A rule without the names of its fields and without the usual surrogate: "HART 0.5"."""
    if rule is None:
        return ""
    name = short_name(rule)
    if "(" in name:
        return " ".join(_label_words(rule))
    return name if name == "native" else name.upper()


def _label_words(value: Any) -> list[str]:
    """Class, and the values that are not the defaults; triangles are the usual surrogates."""
    if isinstance(value, tuple):
        return [word for one in value for word in _label_words(one)]
    if not is_dataclass(value):
        return [f"{value:.3g}" if isinstance(value, float) else f"{value}"]
    if isinstance(value, Triangle):
        return _label_words(value.width)
    words = [type(value).__name__]
    for given in list_changes(value).values():
        words += _label_words(given)
    return words


@dataclass(frozen=True)
class Plan:
    """Stages in order, the cheap ones first: a stage skips what those before it have broken."""

    name: str
    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        require(
            isinstance(self.stages, Sequence)
            and self.stages
            and all(isinstance(stage, Stage) for stage in self.stages),
            "stages",
            "a tuple of one Stage or more",
            quote(self.stages),
            "For instance (Stage(AutoPGD, RGA()),).",
        )
        set_fields(self, stages=tuple(self.stages))


class StageSelection(NamedTuple):
    """The stages of a plan that run on a network, with a record of each, and of the others."""

    stages: tuple[Stage, ...]
    records: tuple[StageRecord, ...]
    skipped: tuple[StageRecord, ...]

    @property
    def native(self) -> tuple[StageRecord, ...]:
        """Records of those that run under the network's own gradient instead of a rule."""
        return tuple(one for one in self.records if one.status == "native")


def select_stages(
    plan: Plan, estimator: PyTorchClassifier, norm: Norm, some: Tensor
) -> StageSelection:
    """The stages of a plan that run on a spiking network and some of its samples.

    A stage whose rule does not suit runs under the network's own gradient, where it has
    one, and stages of rate rules also under :data:`WIDE`. What runs already is not
    repeated."""
    judged = [(stage, stage.objection(estimator, norm, some)) for stage in plan.stages]
    suiting = [stage for stage, why in judged if why is None and not stage.transfer]
    rule = estimator.model.rule
    running = {replace(one, rule=one.rule or rule) for one in suiting}
    stages = []
    records = []
    skipped = []
    for stage, why in judged:
        if why is None:
            stages.append(stage)
            records.append(stage.record())
            continue

        native = stage if stage.rule is None else replace(stage, rule=Native())
        objection = native.objection(estimator, norm, some)
        if objection is not None:
            if objection != why and estimator.model.body.objection(Native()) is None:
                why = f"{why} Nor does the network's own gradient: {objection}"
            skipped.append(stage.record("skipped", reason=why))
            continue

        others = [native]
        if isinstance(stage.rule, RateGradient):
            wide = replace(stage, rule=WIDE)
            if wide.objection(estimator, norm, some) is None:
                others = [wide, native]
        others = [other for other in others if other not in running]
        for other in others:
            running.add(other)
            stages.append(other)
            status: Status = "native" if other == native else "ran"
            records.append(other.record(status, stage.label, why))
        if not others:
            reason = f"the same stage already runs, {native}. {why}"
            skipped.append(stage.record("repeated", reason=reason))
    return StageSelection(tuple(stages), tuple(records), tuple(skipped))


def require_sources(
    sources: object, estimator: PyTorchClassifier
) -> tuple[PyTorchClassifier, ...]:
    """Classifiers of torch's for the same samples and classes; ValueError for anything else."""
    form = _describe_samples(estimator)
    expected = f"a list of torch's classifiers for {form}"
    remedy = "Wrap networks in PyTorchSpikingClassifier, others in PyTorchClassifier."
    require(isinstance(sources, Sequence), "sources", expected, quote(sources), remedy)
    classifiers: tuple[PyTorchClassifier, ...] = tuple(sources)  # type: ignore[arg-type]
    for source in classifiers:
        given = quote(source)
        if isinstance(source, PyTorchClassifier):
            given = f"one of {_describe_samples(source)}"
        require(given == f"one of {form}", "sources", expected, given, remedy)
    return classifiers


def _describe_samples(classifier: PyTorchClassifier) -> str:
    shape = tuple(map(int, classifier.input_shape))
    return f"samples of shape {shape} and {classifier.nb_classes} classes"
