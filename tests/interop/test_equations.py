"""Stand-ins of every supported neuron against equations by hand, as the real ones are elsewhere."""

from __future__ import annotations

from tests.interop import families
from tests.interop.promises import *  # noqa: F403 (the tests of CASES)
from tests.standins import clock_driven, norse, sinabs, snntorch, spikingjelly, spikingjelly_old

CASES = [
    *families.spikingjelly(spikingjelly, "2.0"),
    *families.spikingjelly(spikingjelly_old, "0.0.0.0.14"),
    *families.clock_driven(clock_driven),
    *families.snntorch(snntorch.Leaky),
    *families.norse(norse, norse.LIFBoxParameters, norse.IAFParameters, norse.reset_subtract),
    *families.sinabs(sinabs, sinabs.SingleSpike, sinabs.MembraneSubtract, sinabs.MembraneReset),
]
