"""Check an evaluation on its first 20 samples, as for a leaderboard."""

from art_snn.app.check.result import Checked as Checked
from art_snn.app.check.run import run as run
from art_snn.app.check.settings import Settings as Settings
