"""An evaluation with bounds: certified samples need no attack, and an attack that breaks one anyway
has found a bug."""

import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

from art_snn.app.evaluate import Settings, bounds
from art_snn.app.report.evaluation import Evaluation, contradicted
from art_snn.app.report.verdict import verdicts
from art_snn.app.resume import read_result
from art_snn.attacks import Outcome, SpikingAutoAttack
from art_snn.bounds import BoundsCertificate
from tests import small
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
CHECKED = (*EVALUATE[:-2], "checked", "--bounds", "--check-bounds")
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
    """Runs that nothing stopped: one that spares certified samples, one that attacks all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(trained)
        results = []
        for words in (EVALUATE, CHECKED):
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
    spared, checked = evaluation_in(folder / "out"), evaluation_in(folder / "checked")
    for name, eps in ((trial.name, trial.eps) for trial in spared.trials):
        one, other = spared.at(eps)[name].outcome, checked.at(eps)[name].outcome
        (certified,) = [each.certified for each in spared.bounds if each.eps == eps]
        assert 0 < certified.sum() < len(certified)
        assert (one.stage[certified] == Outcome.STANDING).all()
        assert not (one.forwards + one.backwards)[certified].any()
        assert (other.forwards > 0).all()
        np.testing.assert_array_equal(one.stage, other.stage)
        np.testing.assert_array_equal(one.distance, other.distance)
        np.testing.assert_array_equal(one.backwards[~certified], other.backwards[~certified])
    assert [each.checked for each in (*spared.bounds, *checked.bounds)] == [False] * 2 + [True] * 2


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
    certify = bounds.certify_bounds

    def once(classifier, x, *rest, **options):
        assert len(x) <= 4  # The trial before, of a few samples.
        return certify(classifier, x, *rest, **options)

    monkeypatch.setattr(bounds, "certify_bounds", once)
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
    certify = bounds.certify_bounds

    def lying(classifier, x, y, eps, *rest, **options):
        certificate: BoundsCertificate = certify(classifier, x, y, eps, *rest, **options)
        return replace(certificate, margin=change(certificate.margin, classifier, x, y, eps))

    monkeypatch.setattr(bounds, "certify_bounds", lying)


@pytest.mark.parametrize(
    ("words", "proven", "eps"),
    [
        (("--check-bounds",), 0.05, 0.05),
        # What holds within the larger budget holds within the smaller one, where it was attacked.
        ((), 0.08, 0.05),
    ],
    ids=["attacked", "smaller"],
)
def test_a_certified_sample_that_is_broken_stops_the_run_and_is_kept(
    words, proven, eps, folder, monkeypatch
):
    def right(margin, classifier, x, y, at):
        correct = classifier.predict(x).argmax(1) == y
        return np.where(correct, 0.5, -1.0) if at == proven else np.minimum(margin, -1)

    wrong(right, monkeypatch)
    done = call(*EVALUATE, *words, "--eps", f"0.05,{proven}" if proven > eps else f"{eps}")
    assert done.status == 2
    assert "--bounds: expected certificates that hold, got sample" in done.complaint
    assert f"certified at eps {proven} with a margin of 0.5, and broken at eps" in done.complaint
    assert "This is a bug in the bounds: please report it with out/bounds-f" in done.complaint
    with np.load(folder / "out" / "bounds-failure.npz") as file:
        content = dict(file)
    assert (content["eps"], content["attack_eps"], content["margin"]) == (proven, eps, 0.5)
    assert content["logits"].argmax() != content["label"]
    assert np.abs(content["adversarial"] - content["sample"]).max() <= eps + 1e-6
    assert content["norm"] == "inf"
    assert content["method"] == "counts"
    assert "torch" in json.loads(str(content["versions"]))
    assert list((folder / "out" / "blocks").glob("bounds-*.json"))
    assert not (folder / "out" / "evaluation.json").exists()


def test_a_certified_sample_that_is_misclassified_as_it_is_stops_the_run(folder, monkeypatch):
    wrong(lambda margin, *_: np.ones_like(margin), monkeypatch)
    monkeypatch.setattr(SpikingAutoAttack, "generate", forbidden)
    done = call(*EVALUATE, "--samples", "60", "--block", "60")
    assert done.status == 2
    assert "a margin of 1, and misclassified without an attack. This is a bug" in done.complaint
    with np.load(folder / "out" / "bounds-failure.npz") as file:
        np.testing.assert_array_equal(file["adversarial"], file["sample"])
        assert file["logits"].argmax() != file["label"]


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


# The network of this package is refused before it would be trained.
@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--encoder", "poisson"), "--bounds: expected an encoder that draws nothing"),
        (("--norm", "shift", "--eps", "1"), "--bounds: expected the norm inf, 2 or 0, got shift"),
    ],
)
def test_what_has_no_bounds_is_refused_before_anything_is_computed(
    words, complaint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("art_snn.app.trained.train", forbidden)
    small = ("--width", "0.0625", "--steps", "2", "--device", "cpu", "--samples", "4")
    done = call("evaluate", *small, "--bounds", "--examined", "0", *words)
    assert done.status == 2
    assert complaint in done.complaint


def test_one_sample_of_many_whose_values_are_not_binary_is_refused_in_norm_0():
    settings = Settings(norm="0", eps=(1,), attack="SparseDynamicAttack", bounds=True)
    classifier, x = small.classifier(), np.zeros((9, *small.SHAPE), np.float32)
    x[5, 0, 0, :3] = 1, 0.5, 1
    with pytest.raises(ValueError, match=r"^x: expected values 0 and 1 alone in norm 0"):
        bounds.require_bounds(settings, classifier, x, np.zeros(9, int))
    bounds.require_bounds(settings, classifier, x.round(), np.zeros(9, int))
