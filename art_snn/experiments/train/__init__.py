"""Train a network by the recipe of the papers."""

from __future__ import annotations

from art_snn.experiments.train.result import Fitted
from art_snn.experiments.train.run import fitted, run
from art_snn.experiments.train.settings import Settings

__all__ = ["Fitted", "Settings", "fitted", "run"]
