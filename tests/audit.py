"""What every evasion attack, of ART and of our own, does with a spiking classifier: one table.

The table runs nothing when it is imported. `test_audit.py` runs every row, and
`docs/audit_table.py` writes it out as a page of the documentation.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

import art.attacks.evasion as evasion
import numpy as np
import torch
from art.attacks.attack import EvasionAttack

import art_snn.attacks as ours
from art_snn import RGA, STBP
from art_snn.gradients import Gradient

LOSS = "`loss_gradient` on numpy arrays"
TENSORS = "`loss_gradient` on torch tensors"
CLASS = "`class_gradient`"
REWRAPS = "re-wraps the model in a new `PyTorchClassifier`"
MODEL = "calls the model directly"
ACTIVATIONS = "`get_activations` with its graph"
PREDICTIONS = "predictions only"


@dataclass(frozen=True)
class Ball:
    """The set around the clean samples that an attack promises not to leave.

    :param norm: "inf", 1, 2, or 0 for the number of changed pixels.
    :param eps: its radius.
    """

    norm: float | str
    eps: float

    def __str__(self) -> str:
        return f"L{self.norm} distance at most {self.eps:g}"

    def distance(self, x: np.ndarray, adversarial: np.ndarray) -> float:
        order = np.inf if self.norm == "inf" else self.norm
        change = (adversarial - x).reshape(len(x), -1)
        return float(np.linalg.norm(change, ord=order, axis=1).max())


@dataclass(frozen=True)
class Retiming:
    """The same spikes at the same places, none of them further away in time.

    :param eps: the largest shift of a spike, in time steps.
    """

    eps: int

    def __str__(self) -> str:
        return f"spikes moved by at most {self.eps} steps, their places and numbers kept"

    def distance(self, x: np.ndarray, adversarial: np.ndarray) -> float:
        return float(ours.shifts(x, adversarial).largest.max())


@dataclass(frozen=True)
class Defect:
    """An AttributeError of ART's own that keeps a row from running.

    :param message: what its message contains.
    :param reason: what is wrong, in words.
    :param remedy: statement about `numpy` or `classifier` after which the row runs, as its test
        asserts.
    """

    message: str
    reason: str
    remedy: str

    @property
    def present(self) -> bool:
        """Whether it is there: what numpy 2 removed, earlier versions have."""
        return "numpy" not in self.reason or np.lib.NumpyVersion(np.__version__) >= "2.0.0"

    def __str__(self) -> str:
        return f"after `{self.remedy}`: without it ART 1.20.1 fails, since {self.reason}"


@dataclass(frozen=True)
class Row:
    """One attack class in one setting.

    :param name: of the attack, in art_snn.attacks or art.attacks.evasion, with what distinguishes
        this row from others of the same class in parentheses.
    :param reach: how the attack reaches the gradient.
    :param options: keyword arguments of the attack, next to the classifier and to verbose.
    :param make: builds the attack from a classifier, where keyword arguments do not suffice.
    :param craft: (attack, x, y) -> adversarial samples, where that is not `attack.generate(x, y)`.
    :param form: the samples' form, a name of tests.classifiers.FORMS.
    :param labels: what the attack gets as y: "true" (indices), "target" (the runner-up class,
        one-hot), "none", or "guide" (other images).
    :param rule: the selected rule.
    :param samples: how many samples it attacks.
    :param ball: promised distance, None where the attack promises none.
    :param probabilities: whether the attack refuses logits, so that the classifier gets a softmax
        as a postprocessing defence.
    :param needs: package that ART does not install and the attack imports.
    :param remark: what the setting owes to spikes.
    :param defect: why the row cannot run as it is.
    :param planned: whether it differentiates by the rules of a plan of its own, and returns what it
        does not break as it came: it gets the samples that are classified least clearly.
    """

    name: str
    reach: str
    options: Mapping[str, Any] = field(default_factory=dict)
    _: KW_ONLY
    make: Callable[[Any], Any] | None = None
    craft: Callable[[Any, np.ndarray, np.ndarray], np.ndarray] | None = None
    form: str = "grey"
    labels: str = "true"
    rule: Gradient = field(default_factory=RGA)
    samples: int = 4
    ball: Ball | Retiming | None = None
    probabilities: bool = False
    needs: str = ""
    remark: str = ""
    defect: Defect | None = None
    planned: bool = False

    @property
    def attack(self) -> str:
        return self.name.partition("(")[0]

    @property
    def setting(self) -> str:
        return self.name.partition("(")[2].removesuffix(")")

    @property
    def box(self) -> str:
        return "black" if self.reach == PREDICTIONS else "white"

    @property
    def missing(self) -> bool:
        """Whether the package that the attack needs is not installed."""
        return bool(self.needs) and importlib.util.find_spec(self.needs) is None

    @property
    def result(self) -> str:
        """What the test asserts, in words."""
        rules = "rules of its plan only" if self.planned else "selected rule only"
        promises = [rules if self.box == "white" else "no gradient"]
        promises += [str(self.ball)] if self.ball else []
        words = ", ".join(promises)
        if self.probabilities:
            words += "; with a softmax as postprocessing defence, because it refuses logits"
        if self.needs:
            words += f"; needs the package `{self.needs}`, without which its error is asserted"
        if self.remark:
            words += f"; {self.remark}"
        if self.defect is not None:
            words += f", {self.defect}"
        return words

    def build(self, classifier: Any) -> Any:
        if self.make is not None:
            return self.make(classifier)
        kind = named(self.attack)
        quiet = QUIET if "verbose" in kind.attack_params else {}
        return kind(classifier, **self.options, **quiet)

    def run(self, attack: Any, x: np.ndarray, y: np.ndarray | None) -> np.ndarray:
        if self.craft is not None:
            return self.craft(attack, x, y)
        return attack.generate(x) if y is None else attack.generate(x, y)


def exported(module: Any) -> set[str]:
    """Names of the evasion attacks of a module."""
    kinds = {name: kind for name, kind in vars(module).items() if isinstance(kind, type)}
    return {name for name, kind in kinds.items() if issubclass(kind, EvasionAttack)}


def named(attack: str) -> type[EvasionAttack]:
    """The attack of that name, of our own or of ART."""
    found: type[EvasionAttack] = getattr(ours if attack in exported(ours) else evasion, attack)
    return found


@dataclass(frozen=True)
class Elsewhere:
    """Attack classes that are not for PyTorch image classifiers, with the reason."""

    reason: str
    attacks: tuple[str, ...]


QUIET = {"verbose": False}
INF = Ball("inf", 0.1)
# Some attacks return what they do not flip as it came: those get a budget that flips.
FLIPPING = Ball("inf", 0.3)
WIDE = {"eps": 0.3, "eps_step": 0.15}
# With gradients of some classes only, ART's DeepFool takes the logits of wrong ones, and may stay.
EVERY_CLASS = {"nb_grads": 10}
STEPPED = {"eps": 0.1, "eps_step": 0.05, "max_iter": 2}
RESTARTED = STEPPED | {"nb_random_init": 1}


def _patch(attack: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    attack.generate(x, y)
    return attack.apply_patch(x, scale=0.5)


def _auto_attack(classifier: Any) -> Any:
    losses = ("cross_entropy", "difference_logits_ratio")
    kind, budget = evasion.AutoProjectedGradientDescent, RESTARTED | WIDE | QUIET
    attacks = [
        *(kind(classifier, loss_type=loss, **budget) for loss in losses),
        evasion.DeepFool(classifier, max_iter=2, **EVERY_CLASS, **QUIET),
        evasion.SquareAttack(classifier, max_iter=5, eps=0.3, **QUIET),
    ]
    return evasion.AutoAttack(classifier, **WIDE, attacks=attacks)


def _frame_saliency(classifier: Any) -> Any:
    inner = evasion.FastGradientMethod(classifier, eps=0.1)
    return evasion.FrameSaliencyAttack(classifier, inner, **QUIET)


def _low_pro_fool(classifier: Any) -> Any:
    attack = evasion.LowProFool(classifier, n_steps=20, eta=5.0, lambd=0.1, eta_decay=1.0)
    return attack.fit_importances(importance_array=np.ones(64) / 64)


def _laser(classifier: Any) -> Any:
    from art.attacks.evasion.laser_attack.laser_attack import LaserBeam, LaserBeamGenerator
    from art.attacks.evasion.laser_attack.utils import Line

    beams = LaserBeamGenerator(LaserBeam(380, 4, Line(0, 0)), LaserBeam(780, 8, Line(3.14, 8)))
    return evasion.LaserAttack(classifier, 3, beams, random_initializations=30)


def _with_adam(classifier: Any) -> Any:
    settings = {"delta": 0.1, "layer": "layers.1", "max_iter": 2} | QUIET
    how = {"optimizer": torch.optim.Adam, "optimizer_kwargs": {"lr": 0.05}}
    return evasion.FeatureAdversariesPyTorch(classifier, **how, **settings)


def _graphite_black(attack: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return attack.generate(x, y, x_tar=np.roll(x, 1, axis=0))


def _differences(attack: Any, x: np.ndarray, guide: np.ndarray) -> np.ndarray:
    return attack.generate(x, guide, maxfun=400, eps=0.1)


def _losses(attack: str) -> list[Row]:
    """The rows of an attack that takes `loss_type`, one for every loss that it accepts."""
    rows = []
    for loss in getattr(evasion, attack)._predefined_losses:
        reach = LOSS if loss is None else REWRAPS
        options = RESTARTED | {"loss_type": loss}
        rows.append(Row(f"{attack}(loss_type={loss!r})", reach, options, ball=INF))
    return rows


def _universal(attacker: str, reach: str, params: dict[str, Any]) -> Row:
    options = {"attacker": attacker, "attacker_params": params | QUIET, "max_iter": 1, "eps": 0.3}
    return Row(f"UniversalPerturbation(attacker={attacker!r})", reach, options, ball=FLIPPING)


SEARCHING = {"max_iter": 8, "learning_rate": 0.1, "initial_const": 10.0}
BINARY = SEARCHING | {"batch_size": 4, "binary_search_steps": 2}
BRENDEL = {"steps": 3, "binary_search_steps": 3, "init_size": 50}
PATCHES, SQUARES = {"max_iter": 2, "batch_size": 4}, {"patch_shape": (3, 4, 4)}
SIMBA = {"max_iter": 15, "freq_dim": 4, "stride": 4}
THRESHOLD = {"th": 120, "es": 1, "max_iter": 2}
WASSERSTEIN = {"max_iter": 2, "regularization": 100.0, "kernel_size": 3}
WASSERSTEIN |= {"conjugate_sinkhorn_max_iter": 5, "projected_sinkhorn_max_iter": 5}
STRONG_STEP = {"eps": 0.4, "targeted": True}
FGSM = {"attacker": "fgsm", "attacker_params": STRONG_STEP, "max_iter": 2, "eps": 0.4}
RANGES = {"rotation_range": (-5.0, 5.0), "gamma_range": (1.0, 1.1), "blur_kernels": (0, 3)}
WHITE_GRAPHITE = {"net_size": (8, 8), "num_xforms": 2, "steps": 2, "first_steps": 10} | RANGES
WHITE_GRAPHITE |= {"step_size": 0.2, "min_tr": 0.5, "num_patches_to_remove": 20}
BLACK_GRAPHITE = {"noise_size": (8, 8), "net_size": (8, 8), "num_xforms_mask": 2} | RANGES
BLACK_GRAPHITE |= {"num_xforms_boost": 2, "num_boost_queries": 10}
ZOO = {"max_iter": 20, "learning_rate": 0.3, "initial_const": 10.0, "nb_parallel": 32}
ZOO |= {"use_resize": False, "use_importance": False, "variable_h": 0.2}
MOVING = {"max_translation": 20.0, "num_translations": 2, "max_rotation": 10.0, "num_rotations": 2}
BOUNDARY = {"targeted": False, "max_iter": 2, "num_trial": 3, "sample_size": 3}
SIGN_OPT = {"targeted": False, "num_trial": 5, "max_iter": 1, "k": 5, "query_limit": 200}
COMPOSITE = {"max_iter": 2, "max_inner_iter": 1, "batch_size": 4}
PLAIN_STEPS = {"delta": 0.1, "layer": -1, "max_iter": 2, "step_size": 0.05}
ONE, TWO, TARGET, GUIDE = {"samples": 1}, {"samples": 2}, {"labels": "target"}, {"labels": "guide"}
FAR = "with finite differences of 0.1, since ART's 1e-3 moves hardly a spike"
GUIDED = TWO | {"craft": _differences, "ball": FLIPPING, "remark": FAR}
VIRTUAL = {"max_iter": 1, "eps": 0.1, "finite_diff": 0.25}
FURTHER = "with finite differences of 0.25, since ART's 1e-6 moves a spike by accident only"
ROUND = {"ball": Ball(2, 0.1), "remark": FURTHER}
COLOUR = {"form": "colour"}
GRAPHITE = TARGET | COLOUR | {"needs": "cv2"}
LAST, SOFTMAX = {"form": "channels last"}, {"probabilities": True}

MEAN = "under numpy 2 the mean of its clip values is no Python float, and it reads "
MEAN += "`self.patch` before setting it"
PATCH = "'AdversarialPatchNumpy' object has no attribute 'patch'"
NO_PATCH = Defect(PATCH, MEAN, "classifier._clip_values = numpy.array((0.0, 1.0))")
GONE = "it calls `{}`, which numpy 2 removed".format
NO_MATRIX = Defect("np.mat", GONE("np.mat"), "numpy.mat = numpy.asmatrix")
FLOATS = "numpy.asfarray = lambda values: numpy.asarray(values, float)"
NO_FLOATS = Defect("np.asfarray", GONE("np.asfarray"), FLOATS)

ROWS: list[Row] = [
    Row("FastGradientMethod", LOSS, {"eps": 0.1}, ball=INF),
    Row("ProjectedGradientDescent", TENSORS, STEPPED, ball=INF),
    Row("ProjectedGradientDescent(event frames)", TENSORS, STEPPED, form="frames", ball=INF),
    Row("ProjectedGradientDescentPyTorch", TENSORS, STEPPED, ball=INF),
    Row("ProjectedGradientDescentNumpy", LOSS, STEPPED, ball=INF),
    Row("BasicIterativeMethod", TENSORS, STEPPED, ball=INF),
    Row("MomentumIterativeMethod", TENSORS, STEPPED, ball=INF),
    *_losses("AutoProjectedGradientDescent"),
    *_losses("AutoConjugateGradient"),
    *_losses("RescalingAutoConjugateGradient"),
    Row("AutoAttack", REWRAPS, make=_auto_attack, ball=FLIPPING, needs="multiprocess"),
    Row("BrendelBethgeAttack", REWRAPS, BRENDEL, **TWO, needs="numba"),
    Row("CarliniL2Method", CLASS, BINARY),
    Row("CarliniLInfMethod", CLASS, SEARCHING | {"initial_const": 1.0, "largest_const": 4.0}),
    Row("CarliniL0Method", CLASS, SEARCHING | {"batch_size": 2, "binary_search_steps": 1}, **TWO),
    Row("ElasticNet", CLASS, BINARY),
    Row("DeepFool", CLASS, {"max_iter": 3} | EVERY_CLASS),
    Row("NewtonFool", CLASS, {"max_iter": 2}),
    Row("SaliencyMapMethod", CLASS, {"theta": 0.5, "gamma": 0.1}, **TARGET),
    _universal("deepfool", CLASS, {"max_iter": 10} | EVERY_CLASS),
    _universal("pgd", TENSORS, STEPPED | WIDE),
    Row("TargetedUniversalPerturbation", LOSS, FGSM, **TARGET, ball=Ball("inf", 0.4)),
    Row("Wasserstein", LOSS, WASSERSTEIN),
    Row("ShadowAttack", LOSS, {"nb_steps": 2, "batch_size": 4}, **COLOUR, **TARGET, **ONE),
    Row("LowProFool", LOSS, make=_low_pro_fool, form="table", **TARGET),
    Row("FrameSaliencyAttack", LOSS, make=_frame_saliency, form="frames", ball=INF),
    Row("OverTheAirFlickeringPyTorch", MODEL, {"max_iter": 2}, form="video"),
    Row("FeatureAdversariesPyTorch(optimizer=None)", ACTIVATIONS, PLAIN_STEPS, **GUIDE, ball=INF),
    Row("FeatureAdversariesPyTorch(optimizer=Adam)", ACTIVATIONS, make=_with_adam, **GUIDE),
    Row("FeatureAdversariesNumpy", PREDICTIONS, {"delta": 0.3, "layer": 1}, **GUIDE, **GUIDED),
    Row("AdversarialPatchPyTorch", MODEL, PATCHES | SQUARES, craft=_patch, **TARGET, **COLOUR),
    Row("AdversarialPatch", MODEL, PATCHES | {"patch_shape": (1, 4, 4)}, craft=_patch, **TARGET),
    Row("AdversarialPatchNumpy", LOSS, PATCHES, craft=_patch, **TARGET, defect=NO_PATCH),
    Row("CompositeAdversarialAttackPyTorch", MODEL, COMPOSITE, **COLOUR, needs="kornia"),
    Row("GRAPHITEWhiteboxPyTorch", MODEL, WHITE_GRAPHITE, **GRAPHITE, **ONE),
    Row("GRAPHITEBlackbox", PREDICTIONS, BLACK_GRAPHITE, craft=_graphite_black, **GRAPHITE, **TWO),
    Row("VirtualAdversarialMethod", PREDICTIONS, VIRTUAL, **TWO, **SOFTMAX, **ROUND),
    Row("BoundaryAttack", PREDICTIONS, BOUNDARY, **TWO),
    Row("HopSkipJump", PREDICTIONS, {"max_iter": 1, "max_eval": 50, "init_eval": 10}, **TWO),
    Row("SquareAttack", PREDICTIONS, {"max_iter": 5, "eps": 0.1}, ball=INF),
    Row("SimBA", PREDICTIONS, SIMBA, labels="none", **SOFTMAX),
    Row("SignOPTAttack", PREDICTIONS, SIGN_OPT, **ONE),
    Row("GeoDA", PREDICTIONS, {"max_iter": 500, "sub_dim": 4}, **ONE, defect=NO_MATRIX),
    Row("ZooAttack", PREDICTIONS, ZOO, **TWO),
    # The next two return what they do not flip as it came: the budgets are those of noise that
    # any network takes for something else. The second one rounds its bounds to whole grey levels.
    Row("PixelAttack", PREDICTIONS, {"th": 32, "es": 1, "max_iter": 2}, **ONE, ball=Ball(0, 32)),
    Row("ThresholdAttack", PREDICTIONS, THRESHOLD, **ONE, ball=Ball("inf", 121 / 255)),
    Row("SpatialTransformation", PREDICTIONS, MOVING),
    Row("LaserAttack", PREDICTIONS, make=_laser, **LAST, labels="none", **TWO, defect=NO_FLOATS),
]
"""Every attack of ART on PyTorch image classifiers, in small settings."""

FEW, FAST = {"eps": 0.1, "max_iter": 3}, {"eps": 0.1, "plan": "fast"}
ORDER = "under a temporal rule, since rate rules know no order of spikes"
RETIMED = {"rule": STBP(), "ball": Retiming(2), "remark": ORDER}
OURS: list[Row] = [
    *(Row(kind, MODEL, FEW, ball=INF) for kind in ("StableAdaptivePGD", "AutoPGD")),
    Row("OperationsAttack", MODEL, FEW, ball=INF),
    Row("SquareSearch", PREDICTIONS, {"eps": 0.1, "max_iter": 9}, ball=INF),
    Row("SparseDynamicAttack", MODEL, {"eps": 64}, form="binary frames", ball=Ball(0, 64)),
    Row("SpikeRetiming", MODEL, {"max_shift": 2, "max_iter": 3}, form="binary frames", **RETIMED),
    Row("SpikingAutoAttack", MODEL, FAST, samples=8, ball=INF, planned=True),
]
"""Every attack of our own, in small settings."""

SPEECH = ("CarliniWagnerASR", "ImperceptibleASR", "ImperceptibleASRPyTorch")
KINDS = ("AdversarialPatch", "FeatureAdversaries", "ProjectedGradientDescent")
IN_TENSORFLOW = tuple(f"{name}TensorFlowV2" for name in KINDS)
ELSEWHERE: list[Elsewhere] = [
    Elsewhere("speech recognition", SPEECH),
    Elsewhere("object detection", ("DPatch", "RobustDPatch", "OverloadPyTorch", "SNAL")),
    Elsewhere("object tracking in videos", ("AdversarialTexturePyTorch",)),
    Elsewhere("decision trees", ("DecisionTreeAttack",)),
    Elsewhere("Gaussian process classifiers", ("HighConfidenceLowUncertainty",)),
    Elsewhere("malware, and TensorFlow only", ("MalwareGDTensorFlow",)),
    Elsewhere("TensorFlow only; the PyTorch version is in the table above", IN_TENSORFLOW),
]
"""Attack classes that ART exports for other domains, and why they are not in the table."""
