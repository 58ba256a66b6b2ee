"""Train a spiking network on digits, attack it by both gradients, harden it, attack again."""

from __future__ import annotations

from art_snn.experiments.demo.result import ATTACKS, GRADIENTS, Outcome
from art_snn.experiments.demo.run import run
from art_snn.experiments.demo.settings import Settings

__all__ = ["ATTACKS", "GRADIENTS", "Outcome", "Settings", "run"]
