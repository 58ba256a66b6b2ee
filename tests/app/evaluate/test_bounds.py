"""An evaluation with bounds: certified samples need no attack, and an attack that breaks one anyway
has found a bug."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

from art_snn.app.evaluate import units
from art_snn.app.report.evaluation import Evaluation, contradicted
from art_snn.app.report.verdict import verdicts
from art_snn.app.resume import read_result
from art_snn.attacks import Outcome, SpikingAutoAttack
from art_snn.bounds import BoundsCertificate
from tests.command import call, forbidden
from tests.evaluations import comparable, complaints
from tests.jobs import Job
from tests.pages import without_charts
from tests.records import train_into

EVALUATE = (
    *("evaluate", "--model", "model.py:load", "--checkpoint", "weights.pt", "--device", "cpu"),
    *("--threads", "1", "--attack", "AutoPGD", "--attack-options", "max_iter=3", "--rules", "stbp"),
    *("--eps", "0.02,0.05", "--samples", "20", "--block", "8", "--batch-size", "8"),
    *("--examined", "0", "--output", "out", "--bounds"),
)
ATTACKED = (*EVALUATE[:-2], "attacked")
EPS = (0.02, 0.05)
BLOCKS = 3


@pytest.fixture(scope="module", autouse=True)
def _undrawn():
    """Pages without figures, which take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        without_charts(patch)
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a model and weights, after some steps on the digits."""
    folder = tmp_path_factory.mktemp("trained")
    train_into(folder)
    return folder


@pytest.fixture(scope="module")
def whole(trained):
    """Runs that nothing stopped: with bounds, which spare certified samples, and without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(trained)
        results = []
        for words in (EVALUATE, ATTACKED):
            patch.setattr("sys.argv", ["art-snn", *EVALUATE])
            results.append(call(*words))
    assert [done.status for done in results] == [0, 0], [done.stderr for done in results]
    return trained, results


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    for name in ("weights.pt", "model.py"):
        shutil.copy(trained / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["art-snn", *EVALUATE])
    return tmp_path


def evaluation_in(folder):
    return read_result(folder / "evaluation.json", Evaluation)


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
    folder, (done, _) = whole
    content = json.loads((folder / "out" / "evaluation.json").read_text("utf-8"))
    assert not complaints(content)
    verdict = verdicts(evaluation_in(folder / "out"))[-1]
    count = verdict.certified.count
    assert content["summary"][-1]["certified"] == count / 20
    first, second, *_ = done.stderr.splitlines()
    assert first.startswith("[1/4] bounds, eps 0.02: ")
    assert second.startswith(f"[2/4] bounds, eps 0.05: {count} of 20 certified, ")
    assert f"Bounds prove for {count} that no such" in " ".join(done.stdout.split())
    assert "certified accuracy" in (folder / "out" / "evaluation.md").read_text("utf-8")


def test_an_interrupted_evaluation_proves_nothing_twice(whole, folder, monkeypatch):
    generate = SpikingAutoAttack.generate
    monkeypatch.setattr(SpikingAutoAttack, "generate", lambda *_: sys.exit(9))
    assert call(*EVALUATE).status == 9
    assert len(list((folder / "out" / "blocks").glob("bounds-*.json"))) == 2 * BLOCKS
    monkeypatch.setattr(SpikingAutoAttack, "generate", generate)
    certify = units.certify_bounds

    def once(classifier, x, *rest, **options):
        assert len(x) <= 4  # The trial before, of a few samples.
        return certify(classifier, x, *rest, **options)

    monkeypatch.setattr(units, "certify_bounds", once)
    done = call(*EVALUATE)
    assert done.status == 0, done.stderr
    assert comparable(folder / "out") == comparable(whole[0] / "out")


def test_two_processes_share_what_is_proven_and_have_the_same_result(whole, folder):
    code = "from art_snn.app.cli import run_command\nimport sys\n"
    code += "from art_snn.app.report import figures\n"
    code += "figures._chart = lambda *_: figures.Drawing('', '', ())\n"
    code += f"sys.argv = ['art-snn', *{EVALUATE}]\nraise SystemExit(run_command({EVALUATE}))"
    well, _, errors = Job(code, folder).ended()
    assert well, errors
    assert comparable(folder / "out") == comparable(whole[0] / "out")


def wrong(change, monkeypatch):
    """Certificates whose margins are changed, at every budget but the first trial."""
    certify = units.certify_bounds

    def lying(classifier, x, y, eps, *rest, **options):
        certificate: BoundsCertificate = certify(classifier, x, y, eps, *rest, **options)
        return replace(certificate, margin=change(certificate.margin, classifier, x, y, eps))

    monkeypatch.setattr(units, "certify_bounds", lying)


def test_a_sample_that_is_certified_and_broken_at_a_smaller_budget_stops_the_run(
    folder, monkeypatch
):
    def right(margin, classifier, x, y, at):
        correct = classifier.predict(x).argmax(1) == y
        return np.where(correct, 0.5, -1.0) if at == 0.08 else np.minimum(margin, -1)

    wrong(right, monkeypatch)
    done = call(*EVALUATE, "--eps", "0.05,0.08")
    assert done.status == 2
    assert "--bounds: expected certificates that hold, got sample" in done.complaint
    assert "certified at eps 0.08 with a margin of 0.5, and broken at eps 0.05" in done.complaint
    assert "This is a bug in the bounds: please report it" in done.complaint
    assert list((folder / "out" / "blocks").glob("bounds-*.json"))
    assert not (folder / "out" / "evaluation.json").exists()


def test_a_certified_sample_that_is_misclassified_as_it_is_stops_the_run(folder, monkeypatch):
    wrong(lambda margin, *_: np.ones_like(margin), monkeypatch)
    monkeypatch.setattr(SpikingAutoAttack, "generate", forbidden)
    done = call(*EVALUATE, "--samples", "60", "--block", "60")
    assert done.status == 2
    assert "a margin of 1, and misclassified without an attack. This is a bug" in done.complaint


def test_a_block_whose_samples_are_all_certified_is_not_attacked(folder, monkeypatch):
    def right(margin, classifier, x, y, *_):
        return np.where(classifier.predict(x).argmax(1) == y, 1.0, -1.0)

    wrong(right, monkeypatch)
    done = call(*EVALUATE, "--eps", "0.3", "--plan", "fast", "--samples", "6")
    assert done.status == 0, done.stderr
    result = evaluation_in(folder / "out")
    (verdict,) = verdicts(result)
    assert verdict.exact
    for trial in result.trials:
        assert not contradicted(trial.outcome, result.bounds[0].certified).any()
        assert not trial.outcome.backwards[result.bounds[0].certified].any()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--encoder", "poisson"), "--bounds: expected an encoder that draws nothing"),
        (("--norm", "shift", "--eps", "1"), "--bounds: expected the norm inf or 2, got shift"),
        (("--norm", "0", "--eps", "1"), "--bounds: expected the norm inf or 2, got 0"),
    ],
)
def test_what_has_no_bounds_is_refused_before_anything_is_computed(
    words, complaint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    small = (
        "--epochs",
        "1",
        "--width",
        "0.0625",
        "--steps",
        "2",
        "--device",
        "cpu",
        "--samples",
        "4",
    )
    done = call("evaluate", *small, "--bounds", "--examined", "0", *words)
    assert done.status == 2
    assert complaint in done.complaint
