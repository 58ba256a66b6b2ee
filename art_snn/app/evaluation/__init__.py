"""What an evaluation measured, the verdict on it, and its HTML report."""

from art_snn.app.evaluation.evaluation import (
    Bounds as Bounds,
    Evaluation as Evaluation,
    Provenance as Provenance,
    Trial as Trial,
)
from art_snn.app.evaluation.items import (
    Examples as Examples,
    ReportItem as ReportItem,
    read_evaluation as read_evaluation,
)
from art_snn.app.evaluation.page import render_page as render_page
from art_snn.app.evaluation.summary import summary as summary
from art_snn.app.evaluation.verdict import Verdict as Verdict, bound as bound, verdicts as verdicts
