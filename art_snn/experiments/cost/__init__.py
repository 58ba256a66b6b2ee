"""Measure time and peak memory of one input gradient, or one training step, on this machine."""

from art_snn.experiments.cost.result import Cost as Cost
from art_snn.experiments.cost.run import run as run
from art_snn.experiments.cost.settings import Settings as Settings
