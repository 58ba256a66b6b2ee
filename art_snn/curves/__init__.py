"""Rate-current curves: of a constant current, as RGA approximates them, and as recorded."""

from art_snn.curves.recorded import Pairs as Pairs
from art_snn.curves.recorded import find_layer as find_layer
from art_snn.curves.recorded import record as record
from art_snn.curves.static import curves_of as curves_of
from art_snn.curves.static import rga_rate as rga_rate
from art_snn.curves.static import static_rate as static_rate
