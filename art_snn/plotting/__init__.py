"""Drawings: data and Axes in, Axes out."""

from __future__ import annotations

from art_snn.plotting.comparison import success_bars, time_bars
from art_snn.plotting.curves import rate_current
from art_snn.plotting.robustness import accuracy_against_eps, image_row

__all__ = ["accuracy_against_eps", "image_row", "rate_current", "success_bars", "time_bars"]
