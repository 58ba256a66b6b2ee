"""Measure attack success over a hyperparameter of a rule; by default RGA's beta and gamma."""

from art_snn.app.sweep.result import Line as Line, Panel as Panel, Swept as Swept
from art_snn.app.sweep.run import check as check, run as run, swept as swept
from art_snn.app.sweep.settings import (
    Settings as Settings,
    Sweep as Sweep,
    Sweeps as Sweeps,
    paper as paper,
)
