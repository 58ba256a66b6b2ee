"""Commands that several processes do together: one holds the output and speaks for all."""

from __future__ import annotations

import pytest

from art_snn.app.results import _hold_folder
from tests.jobs import Job

JOB = """
from pathlib import Path
from art_snn.app.results import working
from art_snn.app.settings import Run
from art_snn.checks import ArgumentError

with working(Run(output=Path("out")), together=True) as team:
    held = Path("out/.lock").exists()
    found = team.on_leader(lambda: [team.rank])
    team.leader_first(lambda: Path("made").touch(exist_ok=not team.leads))
    Path(f"told-{team.rank}").write_text(f"{held} {found} {team.size}")
    team.gather(None)
    try:
        team.on_leader(lambda: {}["nothing"])
    except KeyError:
        assert team.leads
        print("it raised here", flush=True)
    raise ArgumentError("rank", str(team.rank))
"""


@pytest.mark.slow
def test_one_process_holds_the_output_and_what_it_does_is_told_to_all(tmp_path):
    well, out, errors = Job(JOB, tmp_path).ended()
    assert [(tmp_path / f"told-{rank}").read_text() for rank in range(2)] == ["True [0] 2"] * 2
    # The other process left quietly where the leading one raised, which went on by itself.
    assert out.count("it raised here") == 1
    assert "ArgumentError: rank: 0" in errors
    assert "ArgumentError: rank: 1" not in errors
    assert not well
    assert (tmp_path / "made").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_where_the_output_is_held_by_another_run_one_process_says_so(tmp_path):
    with _hold_folder(tmp_path / "out"):
        well, _, errors = Job(JOB, tmp_path).ended()
    assert not well
    assert errors.count("Error: output: expected a folder that no other run is writing into") == 1
    assert not (tmp_path / "told-0").exists()
