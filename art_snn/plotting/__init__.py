"""Drawings: data and Axes in, Axes out."""

from __future__ import annotations

from art_snn.plotting.comparison import success_bars, time_bars
from art_snn.plotting.curves import rate_current
from art_snn.plotting.growth import memory_against_steps, time_against_steps
from art_snn.plotting.robustness import accuracy_against_eps, image_row
from art_snn.plotting.sweep import success_against_value
from art_snn.plotting.training import training_curves

__all__ = [
    "accuracy_against_eps",
    "image_row",
    "memory_against_steps",
    "rate_current",
    "success_against_value",
    "success_bars",
    "time_against_steps",
    "time_bars",
    "training_curves",
]
