"""Rate-current curves: of a constant current, as RGA approximates them, and as recorded."""

from __future__ import annotations

from art_snn.curves.recorded import Pairs, find_layer, record
from art_snn.curves.static import curves_of, rga_rate, static_rate

__all__ = ["Pairs", "curves_of", "find_layer", "record", "rga_rate", "static_rate"]
