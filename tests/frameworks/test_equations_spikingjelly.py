"""The real neurons of SpikingJelly 2.0 keep the promises that their stand-ins keep."""

from __future__ import annotations

from tests.frameworks.loading import load
from tests.interop import families
from tests.interop.kept import *  # noqa: F403 (the tests of CASES)

(neuron,) = load("spikingjelly", "2.", "spikingjelly.activation_based.neuron")

CASES = families.spikingjelly(neuron, "2.0")
