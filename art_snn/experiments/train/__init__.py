"""Train a network with the recipe of the papers."""

from art_snn.experiments.train.result import Fitted as Fitted
from art_snn.experiments.train.run import fitted as fitted, run as run
from art_snn.experiments.train.settings import Settings as Settings
