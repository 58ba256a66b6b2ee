"""Attacks of ART by name and settings, and crafting in batches under any rule."""

from art_snn.attacks.attack import ATTACKS as ATTACKS, Attack as Attack
from art_snn.attacks.craft import (
    attacked as attacked,
    batches as batches,
    crafted as crafted,
    predictions as predictions,
)
