"""What gradients and attacks cost, in time and memory, on the user's own machine."""

from __future__ import annotations

from art_snn.evaluation.cost.gradient import Cost, measure
from art_snn.evaluation.cost.growth import Cell, Growth, Line, grow
from art_snn.evaluation.cost.machine import describe_machine, set_threads
from art_snn.evaluation.cost.measuring import medians
from art_snn.evaluation.cost.process import ProcessFailed
from art_snn.evaluation.cost.table_s2 import TableS2
from art_snn.evaluation.cost.workload import Workload

__all__ = [
    "Cell",
    "Cost",
    "Growth",
    "Line",
    "ProcessFailed",
    "TableS2",
    "Workload",
    "describe_machine",
    "grow",
    "measure",
    "medians",
    "set_threads",
]
