"""Measure time and peak memory of one input gradient, or one training step, on this machine."""

from art_snn.app.cost.result import Cost as Cost
from art_snn.app.cost.run import run as run
from art_snn.app.cost.settings import Settings as Settings
