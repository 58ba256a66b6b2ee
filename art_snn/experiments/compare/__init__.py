"""Attack one network by one attack under every gradient rule: success, cost, direction."""

from __future__ import annotations

from art_snn.experiments.compare.result import Comparison, Row
from art_snn.experiments.compare.run import compared, run
from art_snn.experiments.compare.settings import RULES, Settings

__all__ = ["RULES", "Comparison", "Row", "Settings", "compared", "run"]
