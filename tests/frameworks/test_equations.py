"""The neurons of the frameworks that are installed keep the promises of adapt."""

from __future__ import annotations

from tests.frameworks import families
from tests.frameworks.loading import cases
from tests.interop.promises import *  # noqa: F403 (the tests of CASES)

CASES = [
    *cases("spikingjelly", lambda real: families.spikingjelly(real, "2.0")),
    *cases("spikingjelly", families.cuba),
    *cases("spikingjelly old", lambda real: families.spikingjelly(real, "0.0.0.0.14")),
    *cases("clock_driven", families.clock_driven),
    *cases("snntorch", families.snntorch),
    *cases("norse", families.norse),
    *cases("sinabs", families.sinabs),
]
