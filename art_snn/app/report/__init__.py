"""Write a page of one evaluation, or of several side by side, or the table of records."""

from art_snn.app.report.run import run as run
from art_snn.app.report.settings import Settings as Settings
