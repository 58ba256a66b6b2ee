"""A healthy classifier that does not spike, and what holds for every finding."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from art_snn.findings import Finding
from tests.classifiers import DIGITS as CLASSES
from tests.conftest import seed_everything
from tests.findings import broken

DOCS = Path(__file__).parents[2] / "docs"
ROWS = re.compile(r"^\| ([^|]+) \| (error|warning|warning, or note) \|", re.MULTILINE)
SEVERITY = {
    name: severity
    for page in ("findings.md", "attack_findings.md")
    for name, severity in ROWS.findall((DOCS / page).read_text("utf-8"))
}
"""Of every finding that the pages list."""


def require_plain(finding: Finding) -> None:
    """One or two sentences with figures, and the name and the severity that the pages give."""
    sentences = re.split(r"(?<=\.) (?=[A-Z])", finding.sentence)
    assert len(sentences) <= 2, finding
    assert all(len(words.split()) <= 25 for words in sentences), finding
    assert re.fullmatch(r"(?s)(eps |[A-Z0-9]).*\d.*\.", finding.sentence), finding
    assert not re.search(r"white box|flipped|\bp [<=]", finding.sentence), finding
    assert finding.severity in SEVERITY[finding.title].split(", or "), finding
    assert finding.limit.startswith("if "), finding
    assert finding.remedy.endswith("."), finding


@pytest.fixture(autouse=True)
def _plain(monkeypatch):
    """Every finding that a test comes across speaks plainly."""
    build = Finding.__init__

    def built(self, *arguments, **options):
        build(self, *arguments, **options)
        require_plain(self)

    monkeypatch.setattr(Finding, "__init__", built)


@pytest.fixture(scope="session")
def plain(data):
    seed_everything()
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, CLASSES))
    optimizer = torch.optim.Adam(module.parameters(), lr=0.01)
    x, y = torch.as_tensor(data.x_train), torch.as_tensor(data.y_train)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()
    return broken.around(broken.Whole(module))
