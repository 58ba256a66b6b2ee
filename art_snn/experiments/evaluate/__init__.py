"""How robust a network is, by attacks that need no choosing, and whether to believe the number."""

from art_snn.experiments.evaluate.run import run as run
from art_snn.experiments.evaluate.settings import Settings as Settings
