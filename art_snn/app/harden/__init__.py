"""Train a network adversarially: an attack crafts with any rule, the recipe trains."""

from art_snn.app.harden.settings import Settings as Settings
from art_snn.app.train import run as run
