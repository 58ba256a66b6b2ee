"""Every class of ART in the table runs, and uses the gradients that the table names."""

from pathlib import Path
from typing import Any

import pytest
import torch
from art.exceptions import EstimatorError

from tests.toolbox import KINDS, REFUSALS, Bench, Refusal, Row

ROWS = [(kind, row) for kind, rows in KINDS.items() for row in rows]


@pytest.fixture
def bench(trained_layers: Any, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    loader = torch.utils.data.DataLoader  # ART's starts processes, and some of it moves to CUDA.
    monkeypatch.setattr(
        torch.utils.data, "DataLoader", lambda *a, **o: loader(*a, **o | {"num_workers": 0})
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return Bench(trained_layers, data, tmp_path)


@pytest.mark.filterwarnings("ignore:If a single classifier:UserWarning")
@pytest.mark.parametrize(
    "row", [row for _, row in ROWS], ids=[f"{kind}: {row.names}" for kind, row in ROWS]
)
def test_the_class_runs_and_uses_the_gradients_of_its_row(row: Row, bench: Bench) -> None:
    row.run(bench)
    assert bench.used == row.rule


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda one: one.names)
def test_what_cannot_run_says_why(refusal: Refusal, bench: Bench) -> None:
    with pytest.raises((ValueError, EstimatorError), match=refusal.message):
        refusal.run(bench)
