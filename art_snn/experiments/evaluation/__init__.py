"""What an evaluation found, the verdict on it, and the page that people show around."""

from art_snn.experiments.evaluation.certified import Certified as Certified
from art_snn.experiments.evaluation.examples import Examples as Examples
from art_snn.experiments.evaluation.opened import Opened as Opened
from art_snn.experiments.evaluation.page import page as page
from art_snn.experiments.evaluation.reading import opened as opened
from art_snn.experiments.evaluation.result import (
    Evaluation as Evaluation,
    Provenance as Provenance,
    Reservation as Reservation,
)
from art_snn.experiments.evaluation.trial import Trial as Trial
from art_snn.experiments.evaluation.verdict import (
    Verdict as Verdict,
    bound as bound,
    verdicts as verdicts,
)
