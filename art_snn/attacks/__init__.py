"""Attacks of ART by name and settings, and crafting in batches under any rule."""

from art_snn.attacks.attack import ATTACKS as ATTACKS
from art_snn.attacks.attack import Attack as Attack
from art_snn.attacks.craft import attacked as attacked
from art_snn.attacks.craft import batches as batches
from art_snn.attacks.craft import crafted as crafted
from art_snn.attacks.craft import predictions as predictions
