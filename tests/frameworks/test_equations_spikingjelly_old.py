"""The real neurons of SpikingJelly 0.0.0.0.14 keep the promises that their stand-ins keep."""

from __future__ import annotations

from tests.frameworks.loading import load
from tests.interop import families
from tests.interop.kept import *  # noqa: F403 (the tests of CASES)

(neuron, clock) = load(
    "spikingjelly",
    "0.0.0.0.14",
    "spikingjelly.activation_based.neuron",
    "spikingjelly.clock_driven.neuron",
)

CASES = [*families.spikingjelly(neuron, "0.0.0.0.14"), *families.clock_driven(clock)]
