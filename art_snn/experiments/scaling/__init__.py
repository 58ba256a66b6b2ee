"""How time and memory of PGD grow with the time steps, on this machine."""

from __future__ import annotations

from art_snn.experiments.scaling.figure import Line
from art_snn.experiments.scaling.result import Cell, Growth
from art_snn.experiments.scaling.run import run
from art_snn.experiments.scaling.settings import PGD, Settings

__all__ = ["PGD", "Cell", "Growth", "Line", "Settings", "run"]
