"""The real neurons of sinabs 3.1 keep the promises that their stand-ins keep."""

from __future__ import annotations

from tests.frameworks.loading import load
from tests.interop import families
from tests.interop.kept import *  # noqa: F403 (the tests of CASES)

(layers, activation) = load("sinabs", "3.", "sinabs.layers", "sinabs.activation")

CASES = families.sinabs(
    layers, activation.SingleSpike, activation.MembraneSubtract, activation.MembraneReset
)
