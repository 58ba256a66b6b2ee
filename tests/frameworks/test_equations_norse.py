"""The real neurons of Norse 1.1 keep the promises that their stand-ins keep."""

from __future__ import annotations

from tests.frameworks.loading import load
from tests.interop import families
from tests.interop.kept import *  # noqa: F403 (the tests of CASES)

(norse, iaf, resets) = load(
    "norse", "1.", "norse.torch", "norse.torch.functional.iaf", "norse.torch.functional.reset"
)

CASES = families.norse(norse, norse.LIFBoxParameters, iaf.IAFParameters, resets.reset_subtract)
