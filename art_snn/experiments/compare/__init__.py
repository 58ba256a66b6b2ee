"""Attack one network by one attack under every gradient rule: success, cost, direction."""

from art_snn.experiments.compare.result import Comparison as Comparison
from art_snn.experiments.compare.result import Row as Row
from art_snn.experiments.compare.run import compared as compared
from art_snn.experiments.compare.run import run as run
from art_snn.experiments.compare.settings import RULES as RULES
from art_snn.experiments.compare.settings import Settings as Settings
