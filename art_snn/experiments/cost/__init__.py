"""Time and peak memory of one input gradient, on this machine."""

from __future__ import annotations

from art_snn.experiments.cost.result import Cost
from art_snn.experiments.cost.run import run
from art_snn.experiments.cost.settings import Settings

__all__ = ["Cost", "Settings", "run"]
