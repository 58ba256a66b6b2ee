"""Train a network adversarially: an attack crafts with any rule, the recipe trains."""

from art_snn.experiments.harden.settings import Settings as Settings
from art_snn.experiments.train import run as run
