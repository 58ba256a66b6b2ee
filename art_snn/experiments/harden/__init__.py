"""Train a network adversarially: an attack crafts by any rule, the recipe trains."""

from art_snn.experiments.harden.run import run as run
from art_snn.experiments.harden.settings import Settings as Settings
