"""List the trained networks of the zoo."""

from art_snn.experiments.zoo.result import Listed as Listed
from art_snn.experiments.zoo.run import run as run
from art_snn.experiments.zoo.settings import Settings as Settings
