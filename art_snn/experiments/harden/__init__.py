"""Train a network adversarially: an attack crafts by any rule, the recipe trains."""

from __future__ import annotations

from art_snn.experiments.harden.run import run
from art_snn.experiments.harden.settings import Settings

__all__ = ["Settings", "run"]
