"""What the documentation shows follows from the results that lie beside it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from art_snn.evaluation.comparison import from_dict, markdown
from art_snn.evaluation.record import booleans

from art_snn import GRADIENTS
from art_snn.gradients import Surrogate
from art_snn.metrics import Share

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = sorted([*DOCS.glob("results/*/compare.json"), *DOCS.glob("study/*/compare.json")])


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.parent.name)
def test_a_table_of_results_follows_from_its_json(file):
    assert file.with_suffix(".md").read_text() == markdown(from_dict(json.loads(file.read_text())))


def test_results_are_there_and_every_one_is_shown():
    assert len(RESULTS) >= 4
    pages = "".join(page.read_text() for page in DOCS.glob("*.md"))
    for file in RESULTS:
        place = file.parent.relative_to(DOCS)
        assert f"{{include}} {place}/compare.md" in pages
        assert f"({place}/compare.png)" in pages


def test_the_page_of_rules_names_every_rule_and_the_reference_every_class():
    page, reference = (DOCS / "gradients.md").read_text(), (DOCS / "api.md").read_text()
    for name, kind in GRADIENTS.items():
        assert f'| `"{name}"` | {{class}}`~art_snn.{kind.__name__}` |' in page
        assert f".. autoclass:: art_snn.{kind.__name__}\n" in reference
    assert ".. automodule:: art_snn.gradients.surrogates" in reference
    assert len(Surrogate.__subclasses__()) >= 7


STUDIES = sorted(DOCS.glob("study/*/attacks.json"))
PARTS = ("networks", "attacks", "sweep", "curves")


def share(found: dict[str, Any]) -> str:
    return str(Share(found["count"], found["total"]))


def parts_of(file: Path) -> list[str]:
    return [part for part in PARTS if (file.parent / f"{part}.json").exists()]


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.parent.name)
def test_the_tables_of_a_study_follow_from_its_results(file):
    texts = {part: (file.parent / f"{part}.md").read_text() for part in parts_of(file)}
    data = {part: json.loads((file.parent / f"{part}.json").read_text()) for part in texts}
    for found in data.get("networks", {}).values():
        assert share(found["test_accuracy"]) in texts["networks"]
    outcomes = data["attacks"]["outcomes"].values()
    rows = [line for line in texts["attacks"].splitlines() if re.search(r"\| (FGSM|PGD) \|", line)]
    assert len(rows) == len(outcomes) / 2
    for found in outcomes:
        flipped = booleans(found["correct"]) & ~booleans(found["robust"])
        success = Share(int(flipped.sum()), found["correct"].count("1"))
        start = f"| {found['decay']:g} | {found['training']} | {found['box']} | "
        (row,) = [r for r in rows if r.startswith(start + found["attack"].upper())]
        assert str(success) == row.split(" | ")[{"stbp": 5, "rga": 6}[found["rule"]]]
    for line in data["sweep"]["lines"].values():
        for found in line["values"].values():
            assert share(found["attack_success"]) in texts["sweep"]
    for panel in data.get("curves", {"panels": []})["panels"]:
        assert share(panel["silent"]) in texts["curves"]
        for deviation in panel["deviations"].values():
            assert f"{deviation['rms']:.4f}" in texts["curves"]


def test_every_part_of_the_study_is_shown_with_its_figure():
    whole = [file for file in STUDIES if parts_of(file) == list(PARTS)]
    assert len(whole) >= 3
    page = (DOCS / "study.md").read_text()
    for file in STUDIES:
        for part in parts_of(file):
            assert f"{{include}} study/{file.parent.name}/{part}.md" in page
            assert f"(study/{file.parent.name}/{part}.png)" in page


def test_the_table_of_costs_follows_from_its_json():
    file = DOCS / "study" / "cost" / "cost.json"
    text = file.with_suffix(".md").read_text()
    cells = json.loads(file.read_text())["cells"]
    assert len(cells) == 12
    for cell in cells:
        (row,) = [
            r for r in text.splitlines() if r.startswith(f"| {cell['model']} | {cell['steps']} |")
        ]
        ratios = [cell[kind]["rga"] / cell[kind]["stbp"] for kind in ("seconds", "peak")]
        columns = row.strip("| ").split(" | ")
        assert [columns[5], columns[8]] == [f"{ratio:.2f}" for ratio in ratios]
