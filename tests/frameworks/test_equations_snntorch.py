"""The real neurons of snnTorch 1.0 keep the promises that their stand-ins keep."""

from __future__ import annotations

from tests.frameworks.loading import load
from tests.interop import families
from tests.interop.kept import *  # noqa: F403 (the tests of CASES)

(snntorch,) = load("snntorch", "1.", "snntorch")

CASES = families.snntorch(snntorch.Leaky)
