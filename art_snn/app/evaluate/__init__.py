"""Measure how robust a network is, and look for reasons to doubt the number."""

from art_snn.app.evaluate.result import EvaluationResult as EvaluationResult
from art_snn.app.evaluate.run import run as run
from art_snn.app.evaluate.settings import Settings as Settings
