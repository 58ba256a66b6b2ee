"""Measure how robust a network is, and look for reasons to doubt the number."""

from art_snn.experiments.evaluate.result import Evaluated as Evaluated
from art_snn.experiments.evaluate.run import run as run
from art_snn.experiments.evaluate.settings import Settings as Settings
