"""Train a spiking network on digits, attack it with two gradients, harden it, attack again."""

from art_snn.app.demo.result import (
    ATTACKS as ATTACKS,
    GRADIENTS as GRADIENTS,
    Demonstration as Demonstration,
)
from art_snn.app.demo.run import run as run
from art_snn.app.demo.settings import Settings as Settings
