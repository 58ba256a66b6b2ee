"""Record mean current and mean rate of one layer, and compare them with the rate curves."""

from __future__ import annotations

from art_snn.experiments.curves.result import Curves, Deviation, Panel, Recording, deviation
from art_snn.experiments.curves.run import recorded, run
from art_snn.experiments.curves.settings import Settings

__all__ = ["Curves", "Deviation", "Panel", "Recording", "Settings", "deviation", "recorded", "run"]
