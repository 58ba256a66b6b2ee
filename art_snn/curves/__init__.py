"""Rate-current curves: of a constant current, as RGA approximates them, and as recorded."""

from art_snn.curves.recorded import Pairs as Pairs, find_layer as find_layer, record as record
from art_snn.curves.static import (
    curves_of as curves_of,
    rga_rate as rga_rate,
    static_rate as static_rate,
)
