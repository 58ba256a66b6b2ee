"""Record mean current and mean rate of one layer, and compare them with the rate curves."""

from art_snn.app.curves.result import (
    Curves as Curves,
    Deviation as Deviation,
    Fit as Fit,
    Recording as Recording,
    deviation as deviation,
)
from art_snn.app.curves.run import recorded as recorded, run as run
from art_snn.app.curves.settings import Settings as Settings
