"""Record mean current and mean rate of one layer, and compare them with the rate curves."""

from art_snn.experiments.curves.result import Curves as Curves
from art_snn.experiments.curves.result import Deviation as Deviation
from art_snn.experiments.curves.result import Panel as Panel
from art_snn.experiments.curves.result import Recording as Recording
from art_snn.experiments.curves.result import deviation as deviation
from art_snn.experiments.curves.run import recorded as recorded
from art_snn.experiments.curves.run import run as run
from art_snn.experiments.curves.settings import Settings as Settings
