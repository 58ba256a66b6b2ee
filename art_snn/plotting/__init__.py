"""Drawings: data and Axes in, Axes out."""

from __future__ import annotations

from art_snn.plotting.comparison import success_bars, time_bars
from art_snn.plotting.growth import memory_against_steps, time_against_steps
from art_snn.plotting.robustness import accuracy_against_eps, image_row

__all__ = [
    "accuracy_against_eps",
    "image_row",
    "memory_against_steps",
    "success_bars",
    "time_against_steps",
    "time_bars",
]
