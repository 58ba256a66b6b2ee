"""List the neurons of a network, and the engine with which every rule runs on it."""

from art_snn.app.inspect.result import Inspection as Inspection
from art_snn.app.inspect.run import inspected as inspected, run as run
from art_snn.app.inspect.settings import RULES as RULES, Settings as Settings
