"""Attack success over a hyperparameter of a rule; without options over RGA's beta and gamma."""

from __future__ import annotations

from art_snn.experiments.sweep.result import Line, Panel, Swept
from art_snn.experiments.sweep.run import check, run, swept
from art_snn.experiments.sweep.settings import Plan, Settings, Sweep, paper

__all__ = ["Line", "Panel", "Plan", "Settings", "Sweep", "Swept", "check", "paper", "run", "swept"]
