"""Train a network with the recipe of the papers."""

from art_snn.app.train.result import Fitted as Fitted
from art_snn.app.train.run import fitted as fitted, run as run
from art_snn.app.train.settings import Settings as Settings
