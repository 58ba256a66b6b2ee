"""Attack success over a hyperparameter of a rule; without options over RGA's beta and gamma."""

from art_snn.experiments.sweep.result import Line as Line
from art_snn.experiments.sweep.result import Panel as Panel
from art_snn.experiments.sweep.result import Swept as Swept
from art_snn.experiments.sweep.run import check as check
from art_snn.experiments.sweep.run import run as run
from art_snn.experiments.sweep.run import swept as swept
from art_snn.experiments.sweep.settings import Plan as Plan
from art_snn.experiments.sweep.settings import Settings as Settings
from art_snn.experiments.sweep.settings import Sweep as Sweep
from art_snn.experiments.sweep.settings import paper as paper
