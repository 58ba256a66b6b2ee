"""Check an evaluation that somebody else made: weights, samples, predictions, adversarials."""

from art_snn.experiments.check.result import Checked as Checked
from art_snn.experiments.check.run import run as run
from art_snn.experiments.check.settings import Settings as Settings
