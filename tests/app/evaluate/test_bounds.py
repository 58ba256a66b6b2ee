"""An evaluation with bounds: certified samples need no attack, and one that breaks is a bug."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from art_snn.app.evaluate import run, target
from art_snn.app.evaluation.verdict import verdicts
from art_snn.app.results import as_json
from art_snn.attacks import Outcome, SpikingAutoAttack
from art_snn.bounds import BoundsCertificate
from art_snn.progress import Progress
from tests.command import call, forbidden
from tests.evaluations import complaints
from tests.records import evaluate, evaluation_in

ATTACK = ("--attack", "AutoPGD(max_iter=3)", "--rules", "stbp", "--eps", "0.02,0.05")
WORDS = (*ATTACK, "--samples", "20", "--batch-size", "8", "--output", "out")
FIELDS = {"block": 8}
BLOCKS = 3


@pytest.fixture(scope="module")
def whole(trained):
    """Runs that nothing stopped: with bounds, which spare certified samples, and without."""
    with pytest.MonkeyPatch.context() as patch:
        spared = evaluate(patch, trained, *WORDS, "--bounds", **FIELDS)
        evaluate(patch, trained, *WORDS, "--output", "attacked", **FIELDS)
    return trained, spared


def test_certified_samples_reach_no_attack_and_the_others_fare_as_without_bounds(whole):
    folder, _ = whole
    spared, attacked = evaluation_in(folder / "out"), evaluation_in(folder / "attacked")
    for name, eps in ((trial.name, trial.eps) for trial in spared.trials):
        one, other = spared.at(eps)[name].outcome, attacked.at(eps)[name].outcome
        (certified,) = [each.certified for each in spared.bounds if each.eps == eps]
        assert 0 < certified.sum() < len(certified)
        assert (one.stage[certified] == Outcome.STANDING).all()
        assert not (one.forwards + one.backwards)[certified].any()
        assert (other.forwards > 0).all()
        np.testing.assert_array_equal(one.stage, other.stage)
        np.testing.assert_array_equal(one.distance, other.distance)
        np.testing.assert_array_equal(one.backwards[~certified], other.backwards[~certified])


def test_what_is_certified_is_told_and_written(whole):
    folder, done = whole
    content = json.loads((folder / "out" / "evaluation.json").read_text("utf-8"))
    assert not complaints(content)
    count = verdicts(evaluation_in(folder / "out"))[-1].certified.count
    assert content["summary"][-1]["certified"] == count / 20
    first, second, *_ = done.stderr.splitlines()
    assert first.startswith("[1/12] bounds, eps 0.02: ")
    assert second.startswith("[2/12] bounds, eps 0.02: ")


def change_margins(change, monkeypatch):
    """Certificates whose margins are changed."""
    certify = target.certify_bounds

    def lying(classifier, x, y, eps, *rest, **options):
        certificate: BoundsCertificate = certify(classifier, x, y, eps, *rest, **options)
        return replace(certificate, margin=change(certificate.margin, classifier, x, y, eps))

    monkeypatch.setattr(target, "certify_bounds", lying)


def right(margin, classifier, x, y, eps):
    """All that is classified correctly is certified."""
    return np.where(classifier.predict(x).argmax(1) == y, 1.0, -1.0)


def test_a_sample_that_is_certified_and_broken_below_stops_the_run(folder, monkeypatch):
    def at_the_larger_one(margin, *given):
        return right(margin, *given) if given[-1] == 0.08 else np.minimum(margin, -1)

    change_margins(at_the_larger_one, monkeypatch)
    words = (*WORDS, "--bounds", "--eps", "0.05,0.08")
    done = evaluate(monkeypatch, folder, *words, status=2, **FIELDS)
    assert "--bounds: expected certificates that hold, got sample" in done.complaint
    assert "certified at eps 0.08 with a margin of 1, and broken at eps 0.05" in done.complaint
    assert "This is a bug in the bounds: please report it" in done.complaint
    assert list((folder / "out" / "blocks").glob("bounds-*.npz"))
    assert not (folder / "out" / "evaluation.json").exists()


def test_a_certified_sample_that_is_misclassified_as_it_is_stops_the_run(folder, monkeypatch):
    change_margins(lambda margin, *_: np.ones_like(margin), monkeypatch)
    monkeypatch.setattr(SpikingAutoAttack, "generate", forbidden)
    words = (*WORDS, "--bounds", "--samples", "60")
    done = evaluate(monkeypatch, folder, *words, status=2, block=60)
    assert "a margin of 1, and misclassified without an attack. This is a bug" in done.complaint


def test_a_block_whose_samples_are_all_certified_is_not_attacked(folder, monkeypatch):
    change_margins(right, monkeypatch)
    words = ("--bounds", "--eps", "0.3", "--plan", "fast", "--samples", "6")
    evaluate(monkeypatch, folder, *WORDS, *words)
    result = evaluation_in(folder / "out")
    assert verdicts(result)[0].exact
    certified = result.bounds[0].certified
    for trial in result.trials:
        assert (trial.outcome.stage[certified] == Outcome.STANDING).all()
        assert not trial.outcome.backwards[certified].any()


def test_a_network_with_poisson_encoding_is_certified_by_draws(folder, monkeypatch):
    model = folder / "model.py"
    model.write_text(model.read_text("utf-8").replace("Direct", "Poisson"), "utf-8")
    words = ("--bounds", "--eps", "0.2", "--plan", "fast", "--samples", "6", "--output", "out")
    evaluate(monkeypatch, folder, *words, "--draws", "20", examined=3)
    result = evaluation_in(folder / "out")
    # Most of eleven draws decide on every sample.
    assert {trial.outcome.draws for trial in result.trials} == {11}
    assert (result.certificate.draws, len(result.certificate.region.radius)) == (20, 6)
    assert result.bounds == ()


def test_bounds_of_flips_are_refused_as_they_were_typed(folder, monkeypatch):
    words = ("--norm", "0", "--eps", "1", "--bounds", "--output", "out")
    done = evaluate(monkeypatch, folder, *words, status=2)
    assert "--bounds: expected the norm inf or 2, or an encoder that draws, got 0" in done.complaint


VOTING = """
import torch
from torch import nn
from art_snn import LIF, Ablation, SpikingNetwork, TimeDistributed

def network():
    readout = nn.Linear(32, 2)
    with torch.no_grad():
        left = (torch.arange(32) % 4 < 2).float()
        readout.weight.copy_(torch.stack([left, 1 - left]))
        readout.bias.zero_()
    layers = [LIF(), TimeDistributed(nn.Flatten(), readout)]
    return SpikingNetwork(layers, Ablation(3, 0.1))
"""


VOTES = ("--model", "model.py:network", "--data", "events.npz", "--value-range", "0,1")
OF_VOTES = {"network": VOTES, "plan": None, "examined": 2}


@pytest.fixture
def voting(here, monkeypatch):
    """A folder with that network and binary frames with events at the left or at the right."""
    (here / "model.py").write_text(VOTING, "utf-8")
    y = np.arange(12) % 2
    x = np.zeros((12, 3, 2, 4, 4), np.uint8)
    x[y == 0, ..., :2] = x[y == 1, ..., 2:] = 1
    np.savez(here / "events.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    monkeypatch.setattr(target, "_TOGETHER", 1000)
    return here


def test_flips_are_certified_by_draws_next_to_what_attacks_leave(voting, monkeypatch):
    words = ("--norm", "0", "--eps", "1,2", "--plan", "fast", "--draws", "200", "--output", "out")
    done = evaluate(monkeypatch, voting, "--bounds", *words, "--samples", "8", **OF_VOTES)
    result = evaluation_in(voting / "out")
    assert (result.bounds, result.certificate.draws) == ((), 200)
    counts = [result.certificate.certified_accuracy(flips=n).count for n in (1, 2)]
    assert [one.certified.count for one in verdicts(result)] == counts == [8, 8]
    assert not any(one.exact for one in verdicts(result))
    ends = "exactly 100.0 % (certified, each wrong with probability 0.001)"
    words = f"Draws show that the robust accuracy is {ends} with 1 changed value and"
    assert words in " ".join(done.stdout.split())
    assert "flipped or added" in done.stdout
    content = json.loads((voting / "out" / "evaluation.json").read_text("utf-8"))
    assert not complaints(content)
    assert content["summary"][0]["certified"] == 1
    # Five samples at a time at most: more draws are more blocks.
    assert len([line for line in done.stderr.splitlines() if "certificates" in line]) == 2
    again = call("report", "out", "--verify", *VOTES)
    assert "4 of 4 drawn are certified again by draws" in again.stdout, again.stdout


def test_interrupted_certificates_say_what_is_left_and_draw_nothing_twice(voting, monkeypatch):
    words = ("--bounds", "--norm", "0", "--eps", "1", "--draws", "200", "--samples", "8")
    evaluate(monkeypatch, voting, *words, "--plan", "fast", "--output", "whole", **OF_VOTES)
    certify, notes, samples = run.certify, [], []

    def interrupted(classifier, x, *rest, **options):
        samples.append(len(x))
        if len(samples) == 7:
            raise KeyboardInterrupt
        return certify(classifier, x, *rest, **options)

    monkeypatch.setattr(run, "certify", interrupted)
    monkeypatch.setattr(Progress, "note", lambda _, words: notes.append(words))
    words += ("--plan", "fast", "--output", "out")
    evaluate(monkeypatch, voting, *words, status=130, **OF_VOTES)
    assert sum(bool(re.fullmatch(r"about \d+ s left", note)) for note in notes) == 6
    # Four samples are a block, and those of an unfinished one are drawn again.
    evaluate(monkeypatch, voting, *words, **OF_VOTES)
    assert samples == [1] * (7 + 4)
    one, other = (as_json(evaluation_in(voting / n).certificate) for n in ("out", "whole"))
    assert one == other


def test_in_another_norm_the_table_of_events_stands_alone(voting, monkeypatch):
    words = ("--norm", "shift", "--eps", "1", "--plan", "fast", "--draws", "50", "--output", "out")
    done = evaluate(monkeypatch, voting, "--bounds", *words, "--samples", "4", **OF_VOTES)
    assert [one.certified for one in verdicts(evaluation_in(voting / "out"))] == [None]
    assert "removed" in done.stdout
