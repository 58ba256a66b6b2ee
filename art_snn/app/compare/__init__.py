"""Attack one network with every gradient rule: success, cost and direction."""

from art_snn.app.compare.result import Comparison as Comparison, Row as Row
from art_snn.app.compare.run import compared as compared, run as run
from art_snn.app.compare.settings import RULES as RULES, Settings as Settings
