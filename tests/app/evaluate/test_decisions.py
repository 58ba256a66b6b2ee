"""An evaluation with --decide: what attacks and bounds leave is searched, sample by sample."""

import json
import sys

import numpy as np
import pytest
import torch

from art_snn.app.evaluate import blocks, decisions
from art_snn.app.evaluation.record import read_excerpt
from art_snn.app.evaluation.verdict import describe_verdicts, verdicts
from art_snn.attacks import SpikingAutoAttack
from art_snn.bounds import Decision
from tests.command import call, forbidden
from tests.evaluations import comparable, complaints
from tests.records import NETWORK, evaluate, evaluation_in

WORDS = ("--eps", "0.03,0.1", "--samples", "40", "--batch-size", "8", "--bounds", "--decide", "9")
WORDS += ("--output", "out")
FIELDS = {"block": 8}


def search(classifier, x, y, eps, *, seconds, seed, batch_size):
    """In place of the search, whose limits are in time: the seed, which is the number of the
    sample, says whether it is broken, safe or open."""
    broken = np.array([seed % 3 == 0] * len(x), dtype=bool)
    safe = np.array([seed % 3 == 1] * len(x), dtype=bool)
    points = np.where(broken[:, None, None, None], np.clip(x + eps, 0, 1), x)
    columns = np.full(len(x), seed), np.full(len(x), float(seconds))
    return Decision(eps, safe, broken, points, *columns)


@pytest.fixture(scope="module")
def whole(trained):
    """A run that nothing stopped, whose search decides by the numbers of samples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decisions, "decide_bounds", search)
        return trained, evaluate(patch, trained, *WORDS, **FIELDS)


def test_only_what_lies_between_both_ends_is_searched_and_counts_as_decided(whole):
    result, seen = evaluation_in(whole[0] / "out"), np.zeros(3, dtype=int)
    rows = np.arange(40)
    for verdict, bounds in zip(verdicts(result), result.bounds, strict=True):
        trial = result.at(verdict.eps)["fast"]
        ends = trial.decided, bounds.decided, verdict.standing & ~result.certified(verdict.eps)
        for kind, which in enumerate(ends):
            assert (rows[which] % 3 == kind).all()
            seen[kind] += which.sum()
        assert not (trial.decided & (bounds.margin > 0)).any()
        assert (trial.outcome.distance[trial.decided] > 0).all()
        assert verdict.left - verdict.certified.count == ends[2].sum()
        assert verdict.left + trial.outcome.broken_by["decide_bounds(seconds=9)"] > 0
        assert trial.outcome.stages[-1].label == "exact search"
    assert seen.all()


def test_the_search_is_told_in_the_verdict_the_findings_and_the_files(whole):
    folder, done = whole[0] / "out", whole[1]
    result = evaluation_in(folder)
    last = verdicts(result)[-1]
    words = f"between {last.certified.percent[:-2]} and {last.outcome.robust_accuracy.percent}"
    assert (
        f"{words} at eps 0.1, with {last.left - last.certified.count} sample"
        in describe_verdicts([last])
    )
    broken = result.at(0.1)["fast"].decided.sum()
    (found,) = [one for one in last.findings if one.id == "exact-search-broke-more"]
    assert f"and the exact search broke {broken} of these. Sample numbers: " in found.sentence
    assert not complaints(json.loads((folder / "evaluation.json").read_text("utf-8")))
    assert "decisions, eps 0.1: " in done.stderr
    with np.load(folder / "decided.npz") as file:
        decided = [trial.decided for trial in result.trials if trial.name == "fast"]
        index = np.flatnonzero(np.logical_or.reduce(decided))
        np.testing.assert_array_equal(file["index"], index)
        assert len(file["x"]) == len(index)
    excerpt = read_excerpt(folder)
    changed = (excerpt["adversarial"][-1] != excerpt["x"]).any((1, 2, 3))
    assert changed[result.at(0.1)["fast"].decided[: len(changed)]].all()


def test_a_verification_tries_what_the_search_broke(whole, monkeypatch):
    """The stand-in says what is not true of this network."""
    monkeypatch.chdir(whole[0])
    monkeypatch.setattr("art_snn.app.verify.decide_bounds", search)
    done = call("report", "out", "--verify", *NETWORK)
    assert done.status == 3
    assert "search: " in done.stderr
    assert "break the network within their budgets, as decided.npz has them" in done.stderr


def test_a_number_without_an_open_sample_is_exact(folder, monkeypatch):
    def proof(classifier, x, y, eps, **options):
        return search(classifier, x, y, eps, **options | {"seed": 1})

    monkeypatch.setattr(decisions, "decide_bounds", proof)
    evaluate(monkeypatch, folder, *WORDS, **FIELDS)
    result = evaluation_in(folder / "out")
    assert all(one.exact and not one.open for one in verdicts(result))
    share = verdicts(result)[0].outcome.robust_accuracy.percent
    words = describe_verdicts(verdicts(result))
    assert f"a search prove that the robust accuracy is exactly {share} at eps 0.03" in words
    assert not (folder / "out" / "decided.npz").exists()


def test_an_interrupted_search_decides_nothing_twice(whole, folder, monkeypatch):
    asked = []

    def stop(classifier, x, y, eps, **options):
        if len(asked) == 2:
            sys.exit(9)
        asked.append((options["seed"], eps))
        return search(classifier, x, y, eps, **options)

    def go_on(classifier, x, y, eps, **options):
        assert (options["seed"], eps) not in asked
        return search(classifier, x, y, eps, **options)

    monkeypatch.setattr(blocks, "PAUSE", 0)
    monkeypatch.setattr(blocks, "_SHARE", np.inf)
    for stand_in, status in ((stop, 9), (go_on, 0)):
        monkeypatch.setattr(decisions, "decide_bounds", stand_in)
        evaluate(monkeypatch, folder, *WORDS, status=status, **FIELDS)
    assert comparable(folder / "out") == comparable(whole[0] / "out")
    monkeypatch.setattr(decisions, "decide_bounds", forbidden)
    evaluate(monkeypatch, folder, *WORDS, **FIELDS)


def test_a_search_that_ends_in_an_error_leaves_the_sample_open(whole, folder, monkeypatch):
    def fail(classifier, x, y, eps, **options):
        if options["seed"] % 3 == 1:
            raise RuntimeError("no neuron.\nand more")
        return search(classifier, x, y, eps, **options)

    monkeypatch.setattr(blocks, "PAUSE", 0)
    monkeypatch.setattr(blocks, "_SHARE", np.inf)
    monkeypatch.setattr(decisions, "decide_bounds", fail)
    done = evaluate(monkeypatch, folder, *WORDS, **FIELDS)
    usual, result = evaluation_in(whole[0] / "out"), evaluation_in(folder / "out")
    failed = np.flatnonzero(usual.bounds[-1].decided).tolist()
    numbers = ", ".join(map(str, failed[:5]))
    words = "fast skipped the exact search of some samples: RuntimeError: no neuron. Sample numbers"
    assert f"{words}: {numbers}" in " ".join(done.stdout.split())
    assert not any(one.decided.any() for one in result.bounds)
    for one, other in zip(verdicts(usual), verdicts(result), strict=True):
        assert one.left == other.left
    assert not complaints(json.loads((folder / "out/evaluation.json").read_text("utf-8")))


def test_decisions_that_contradict_each_other_stop_the_run(folder, monkeypatch):
    def lie(classifier, x, y, eps, **options):
        return search(classifier, x, y, eps, **options | {"seed": int(eps > 0.0995)})

    monkeypatch.setattr(decisions, "decide_bounds", lie)
    # Budgets so close that what is left at the larger one is left at both.
    words = ("--eps", "0.099,0.1", *WORDS[2:])
    done = evaluate(monkeypatch, folder, *words, status=2, **FIELDS)
    assert "--decide: expected decisions that agree, got sample" in done.complaint


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("Direct", "Poisson", "--decide: expected an encoder that draws nothing, got Poisson("),
        ("LIF(0.5),", "LIF(0.5), Timed(nn.ReLU()),", "--decide: expected a chain of affine layers"),
    ],
)
def test_a_network_that_no_search_takes_is_refused(old, new, complaint, folder, monkeypatch):
    text = (folder / "model.py").read_text("utf-8").replace(old, new)
    (folder / "model.py").write_text(text, "utf-8")
    weights = torch.load(folder / "weights.pt", weights_only=True)
    last = "layers.3" if "ReLU" in new else "layers.2"
    renamed = {name.replace("layers.2", last): tensor for name, tensor in weights.items()}
    torch.save(renamed, folder / "weights.pt")
    monkeypatch.setattr(SpikingAutoAttack, "generate", forbidden)
    done = evaluate(monkeypatch, folder, *WORDS, status=2, **FIELDS)
    assert complaint in done.complaint
