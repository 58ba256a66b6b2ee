"""What there is to know of an attack before it runs: its budget, and whether it asks for gradients.

Our attacks say it in their class, and those of ART are in a table here."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from types import MappingProxyType
from typing import Any

from art.attacks import EvasionAttack

from art_snn.attacks.distances import FLIPS, SHIFT
from art_snn.attacks.persample import PerSampleAttack


@dataclass(frozen=True)
class ArtAttack:
    """A class of attacks of ART, in the words of :class:`PerSampleAttack`.

    :param takes: which of norm and eps it takes; what one without eps returns is brought into the
        ball."""

    takes: tuple[str, ...] = ()
    by_gradients: bool = True

    @property
    def bounded(self) -> bool:
        return "eps" in self.takes

    def budget(self, norm: float | str, eps: float) -> dict[str, Any] | None:
        settings = {"norm": norm, "eps": eps}
        return None if norm in (FLIPS, SHIFT) else {name: settings[name] for name in self.takes}


def _rows(takes: str, names: str, by_gradients: bool = True) -> dict[str, ArtAttack]:
    return dict.fromkeys(names.split(), ArtAttack(tuple(takes.split()), by_gradients))


ART: Mapping[str, ArtAttack] = MappingProxyType(
    _rows(
        "norm eps",
        "AutoAttack AutoConjugateGradient AutoProjectedGradientDescent FastGradientMethod "
        "MomentumIterativeMethod ProjectedGradientDescent ProjectedGradientDescentNumpy "
        "ProjectedGradientDescentPyTorch RescalingAutoConjugateGradient "
        "TargetedUniversalPerturbation UniversalPerturbation Wasserstein",
    )
    | _rows("eps", "BasicIterativeMethod")
    | _rows("norm", "BrendelBethgeAttack LowProFool")
    | _rows(
        "",
        "AdversarialPatch AdversarialPatchNumpy AdversarialPatchPyTorch CarliniL0Method "
        "CarliniL2Method CarliniLInfMethod CompositeAdversarialAttackPyTorch DeepFool ElasticNet "
        "FeatureAdversariesPyTorch FrameSaliencyAttack GRAPHITEWhiteboxPyTorch NewtonFool "
        "OverTheAirFlickeringPyTorch SaliencyMapMethod ShadowAttack",
    )
    | _rows("norm eps", "SquareAttack", by_gradients=False)
    | _rows("eps", "VirtualAdversarialMethod", by_gradients=False)
    | _rows("norm", "GeoDA HopSkipJump", by_gradients=False)
    | _rows(
        "",
        "BoundaryAttack FeatureAdversariesNumpy GRAPHITEBlackbox LaserAttack PixelAttack "
        "SignOPTAttack SimBA SpatialTransformation ThresholdAttack ZooAttack",
        by_gradients=False,
    )
)
"""Those that attack image classifiers of torch's, by name."""


def describe(kind: type[EvasionAttack]) -> type[PerSampleAttack] | ArtAttack:
    """The class of an attack of ours, or its row of ART, by its bases or else its signature."""
    if issubclass(kind, PerSampleAttack):
        return kind
    rows = (ART[base.__name__] for base in kind.__mro__ if base.__name__ in ART)
    taken = settings_of(kind)
    return next(rows, ArtAttack(tuple(name for name in ("norm", "eps") if name in taken)))


def settings_of(kind: type[EvasionAttack]) -> set[str]:
    """The settings that an attack takes. Some of ART's also list others that they inherit."""
    return signature(kind).parameters.keys() & set(kind.attack_params)
