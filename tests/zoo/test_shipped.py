"""What lies in the folder zoo of the repository."""

import json

import numpy as np
import pytest

from art_snn import zoo
from art_snn.app.evaluate.findings import judge_trials
from art_snn.app.evaluation.record import read_evaluation
from art_snn.seeding import fix_seed
from art_snn.zoo.entry import MANIFEST, from_text
from art_snn.zoo.networks import local_file
from tests.evaluations import complaints
from tests.zoo.shelf import tool
from tests.zoo.test_manifest import SCHEMA

ZOO = tool.ZOO
TEXT = (ZOO / MANIFEST).read_text("utf-8")
SHIPPED = from_text(TEXT, MANIFEST)
EVALUATIONS = "evaluations"
"""The folder of those that the leaderboard is made of."""
DERIVED = ("search-found-more", "larger-budget-breaks-less", "few-gradients", "unanswered")
HELD = [data for data in SHIPPED.data if data.sha256]


@pytest.fixture(autouse=True)
def checkout(monkeypatch):
    """Nothing but the repository is looked into."""
    monkeypatch.setenv("ART_SNN_ZOO", str(ZOO))


def test_the_manifest_is_as_its_maker_writes_it_and_fits_the_schema():
    assert tool.as_text(SHIPPED) == TEXT
    assert complaints(json.loads(TEXT), SCHEMA) == []
    assert "/tmp" not in json.dumps(json.loads(TEXT))


def test_the_folder_holds_what_the_manifest_names_and_is_small():
    files = [part.file for part in (*SHIPPED.networks, *HELD)]
    found = {path.name for path in ZOO.iterdir()} - {"__pycache__"}
    assert found == {MANIFEST, EVALUATIONS, "add.py", *files}
    evaluated = {path.name.removesuffix("-earlier") for path in (ZOO / EVALUATIONS).iterdir()}
    assert evaluated <= {entry.name for entry in SHIPPED.networks}
    assert tool.total(SHIPPED) == sum((ZOO / file).stat().st_size for file in files) < tool.LARGEST


@pytest.mark.parametrize("entry", SHIPPED.networks, ids=lambda entry: entry.name)
def test_a_record_is_what_the_evaluation_next_to_it_says(entry):
    evaluation, *others = tool.read_evaluations(entry.name, ZOO)
    assert entry.standard == tool.records(evaluation, others)
    assert all(one.samples == evaluation.samples for one in others)
    assert evaluation.name == entry.name
    # What follows from outcomes is what today's rules say of them.
    stages = [stage for trial in evaluation.trials for stage in trial.outcome.stages]
    searches = {stage.id for stage in stages if stage.label.startswith("Square")}
    derived = {(one.id, one.about, one.eps) for one in judge_trials(evaluation.trials, searches)}
    stored = {(one.id, one.about, one.eps) for one in evaluation.findings}
    assert {one for one in stored if one[0] in DERIVED} == derived
    assert all(one.remedies for one in evaluation.findings)


@pytest.mark.parametrize("entry", SHIPPED.networks, ids=lambda entry: entry.name)
def test_the_page_of_a_record_shows_adversarials_of_its_evaluation_and_spikes(entry):
    folder = ZOO / EVALUATIONS / entry.name
    item, made = read_evaluation(folder), tool.examples(entry.name, folder)
    shown, evaluation = item.examples, item.evaluation
    if made is None:  # No attack broke a sample.
        assert shown is None
        return
    assert (shown.trial, shown.eps) == (made.trial, evaluation.budgets[-1])
    outcome = evaluation.at(shown.eps)[shown.trial].outcome
    assert (outcome.stage[shown.rows] >= 0).all()
    # What eleven draws decided, eleven others may not.
    drawn = outcome.draws > 1
    assert drawn or (shown.predicted != np.array(evaluation.labels)[shown.rows]).all()
    for name in ("rows", "x", "adversarial", "layers"):
        assert np.array_equal(getattr(shown, name), getattr(made, name))
    assert shown.spikes.any()


@pytest.mark.slow
@pytest.mark.parametrize("entry", SHIPPED.networks, ids=lambda entry: entry.name)
def test_a_network_loads_and_is_as_accurate_as_the_manifest_says(entry):
    network = zoo.load_network(entry.name)
    assert local_file(entry) == ZOO / entry.file
    assert sum(weight.numel() for weight in network.parameters()) == entry.parameters
    if entry.data not in ("digits", *(data.name for data in HELD)):
        pytest.skip(f"{entry.data} is to be fetched")
    x, y = zoo.samples(entry.data)
    classifier = zoo.classifier(entry.name, device="cpu")
    with fix_seed(0):  # Networks that draw are right now more, now less often.
        counts = [np.sum(classifier.predict(x).argmax(1) == y) for _ in range(5)]
    assert x.shape[1:] == entry.input_shape
    assert len(x) == entry.clean_first.total
    off = tool.OFF * len(x)
    assert min(counts) - off <= entry.clean_first.count <= max(counts) + off
