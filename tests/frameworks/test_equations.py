"""The real neurons keep the promises that their stand-ins keep."""

from __future__ import annotations

from typing import Any

from tests.frameworks.loading import cases
from tests.interop import families
from tests.interop.families import Case
from tests.interop.promises import *  # noqa: F403 (the tests of CASES)


def norse(real: Any) -> list[Case]:
    return families.norse(real, real.LIFBoxParameters, real.IAFParameters, real.reset_subtract)


def sinabs(real: Any) -> list[Case]:
    return families.sinabs(real, real.SingleSpike, real.MembraneSubtract, real.MembraneReset)


CASES = [
    *cases("spikingjelly", lambda real: families.spikingjelly(real, "2.0")),
    *cases("spikingjelly old", lambda real: families.spikingjelly(real, "0.0.0.0.14")),
    *cases("clock_driven", families.clock_driven),
    *cases("snntorch", lambda real: families.snntorch(real.Leaky)),
    *cases("norse", norse),
    *cases("sinabs", sinabs),
]
