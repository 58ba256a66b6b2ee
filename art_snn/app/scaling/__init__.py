"""Measure how time and memory of PGD grow with the time steps, on this machine."""

from art_snn.app.scaling.result import Cell as Cell, Growth as Growth, Trend as Trend
from art_snn.app.scaling.run import run as run
from art_snn.app.scaling.settings import PGD as PGD, Settings as Settings
