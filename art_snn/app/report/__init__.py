"""Write a page of one evaluation, or of several side by side on the same samples."""

from art_snn.app.report.result import Report as Report
from art_snn.app.report.run import run as run
from art_snn.app.report.settings import Settings as Settings
