"""The neurons of the frameworks that are installed keep the promises of adapt."""

from __future__ import annotations

from typing import Any

from tests.frameworks import families
from tests.frameworks.loading import cases
from tests.interop.promises import *  # noqa: F403 (the tests of CASES)
from tests.interop.promises import Case


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
