"""Attacks of ART by name and settings, and crafting in batches under any rule."""

from __future__ import annotations

from art_snn.attacks.attack import ATTACKS, Attack
from art_snn.attacks.craft import attacked, batches, crafted, predictions

__all__ = ["ATTACKS", "Attack", "attacked", "batches", "crafted", "predictions"]
