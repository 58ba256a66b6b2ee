"""What the documentation shows follows from the results that lie beside it."""

import json
from pathlib import Path

import pytest

from art_snn import GRADIENTS
from art_snn.evaluation.comparison import from_dict, markdown
from art_snn.gradients import Surrogate

DOCS = Path(__file__).parents[1] / "docs"
RESULTS = sorted(DOCS.glob("results/*/compare.json"))


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.parent.name)
def test_a_table_of_results_follows_from_its_json(file):
    assert file.with_suffix(".md").read_text() == markdown(from_dict(json.loads(file.read_text())))


def test_results_are_there_and_every_one_is_shown():
    assert len(RESULTS) >= 4
    pages = "".join(page.read_text() for page in DOCS.glob("*.md"))
    for file in RESULTS:
        assert f"{{include}} results/{file.parent.name}/compare.md" in pages
        assert f"(results/{file.parent.name}/compare.png)" in pages


def test_the_page_of_rules_names_every_rule_and_the_reference_every_class():
    page, reference = (DOCS / "gradients.md").read_text(), (DOCS / "api.md").read_text()
    for name, kind in GRADIENTS.items():
        assert f'| `"{name}"` | {{class}}`~art_snn.{kind.__name__}` |' in page
        assert f".. autoclass:: art_snn.{kind.__name__}\n" in reference
    assert ".. automodule:: art_snn.gradients.surrogates" in reference
    assert len(Surrogate.__subclasses__()) >= 7
