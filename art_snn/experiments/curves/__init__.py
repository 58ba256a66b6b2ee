"""Record mean current and mean rate of one layer, and compare them with the rate curves."""

from art_snn.experiments.curves.result import (
    Curves as Curves,
    Deviation as Deviation,
    Fit as Fit,
    Recording as Recording,
    deviation as deviation,
)
from art_snn.experiments.curves.run import recorded as recorded, run as run
from art_snn.experiments.curves.settings import Settings as Settings
