"""How robust a network is, and whether to trust the number."""

from art_snn.experiments.evaluate.result import Evaluated as Evaluated
from art_snn.experiments.evaluate.run import run as run
from art_snn.experiments.evaluate.settings import Settings as Settings
