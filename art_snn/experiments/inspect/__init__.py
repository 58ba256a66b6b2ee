"""What is known of a network's neurons, and which gradients it can have."""

from art_snn.experiments.inspect.result import Inspection as Inspection
from art_snn.experiments.inspect.run import inspected as inspected, run as run
from art_snn.experiments.inspect.settings import RULES as RULES, Settings as Settings
