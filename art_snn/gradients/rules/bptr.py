"""BPTR: back-propagation through rate."""

from dataclasses import dataclass

from torch import Tensor

from art_snn.gradients.rate import RateGradient, Trace


@dataclass(frozen=True, kw_only=True)
class BPTR(RateGradient):
    """Back-propagation through rate (Ding et al., NeurIPS 2022, "SNN-RAT").

    The gradient passes straight through neurons that fired at all, and is cut at the others."""

    uses_current = False

    def slope(self, trace: Trace) -> Tensor:
        return (trace.rate > 0).to(trace.rate.dtype)
