"""Reads results, pairs them and writes one file; runs no network."""

from art_snn.app.evaluation import read_evaluation
from art_snn.app.report.result import Report
from art_snn.app.report.settings import Settings
from art_snn.files import write_text


def run(settings: Settings) -> Report:
    """Write the report.

    :raises FileNotFoundError, ValueError: when a file is missing, damaged or no evaluation.
    :raises WriteFailed: when the report cannot be written."""
    report = Report([read_evaluation(file) for file in settings.files])
    assert settings.output is not None
    assert settings.format is not None
    write_text(settings.output, report.text(settings.format))
    return report
