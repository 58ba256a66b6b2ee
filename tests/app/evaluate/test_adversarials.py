"""Anybody's adversarials are checked, tried before the plan, and their author is named."""

import numpy as np
import pytest

from art_snn.app.evaluation.adversarials import Submission, in_range, min_budgets
from art_snn.app.evaluation.verdict import verdicts
from art_snn.checks import ArgumentError
from art_snn.data import Dataset
from tests.app.evaluate.test_bounds import change_margins, right
from tests.classifiers import build
from tests.command import complain
from tests.records import evaluate, evaluation_in

EPS = 0.1


@pytest.fixture(scope="module")
def x(data: Dataset) -> np.ndarray:
    return data.x_test[:20]


def submission(tmp_path, samples, /, eps=(EPS,), norm="inf", **arrays):
    np.savez(tmp_path / "ann.npz", **arrays)
    return Submission.read(tmp_path / "ann.npz", build(), samples, norm, max(eps))


def moved(x, by=EPS):
    """Samples whose values are all moved inwards by that much."""
    return np.where(x > 0.5, x - by, x + by)


def test_no_adversarials_have_a_range_and_budgets_of_none(x):
    assert in_range(x[:0], build()).shape == (0,)
    assert min_budgets(np.inf, build(), x[:0], x[:0]).shape == (0,)
    assert in_range(moved(x), build()).all()
    np.testing.assert_allclose(min_budgets(np.inf, build(), x, moved(x)), EPS, atol=1e-5)


def test_adversarials_within_the_ball_are_taken_with_their_samples(x, tmp_path):
    points, index = moved(x[[7, 3]]), np.array([7, 3])
    read = submission(tmp_path, x, x=points, index=index, name="A. Turing")
    candidates = read.within(EPS)
    assert candidates.name == "A. Turing"
    assert np.flatnonzero(candidates.present).tolist() == [3, 7]
    np.testing.assert_allclose(candidates.points[[7, 3]], points, atol=1e-6)
    assert not read.within(EPS / 2).present.any()
    # Without an index and a name they are of the first samples and of the file.
    candidates = submission(tmp_path, x, x=moved(x[:4])).within(EPS)
    assert (candidates.name, np.flatnonzero(candidates.present).tolist()) == ("ann", [0, 1, 2, 3])


def test_rounding_at_the_rim_of_ball_and_range_is_forgiven(x, tmp_path):
    points = np.clip(moved(x), 0, 1)
    points = points + 5e-7 * np.sign(points - x)
    assert submission(tmp_path, x, x=points.astype(np.float64)).within(EPS).present.all()
    beyond = x[:1].copy()
    beyond.flat[0] = -5e-7
    assert submission(tmp_path, x, x=beyond).candidates.points.min() == 0


def test_each_counts_from_the_budget_on_that_allows_it(x, tmp_path):
    points = np.concatenate([moved(x[:2], 0.05), moved(x[2:5], 0.1)])
    read = submission(tmp_path, x, eps=(0.05, 0.1), x=points)
    assert [int(read.within(eps).present.sum()) for eps in (0.01, 0.05, 0.1)] == [0, 2, 5]


def changed(x, value):
    points = moved(x[:3]).astype(float)
    points[1].flat[5] = value
    return points


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (lambda x: {"y": x}, r"a \.npz file with the array x, and .* got .*ann\.npz, without x"),
        (lambda x: {"x": x[:, 0]}, r"x of shape \(N, 1, 8, 8\), got \(20, 8, 8\) in .*ann\.npz"),
        (lambda x: {"x": x[:0]}, r"x of shape \(N, 1, 8, 8\), got \(0, 1, 8, 8\)"),
        (lambda x: {"x": np.float32(1)}, r"x of shape \(N, 1, 8, 8\), got \(\)"),
        (lambda x: {"x": x > 0.5}, "x of finite real numbers, got bool"),
        (lambda x: {"x": changed(x, np.nan)}, "x of finite real numbers, got .* NaN or infinity"),
        (lambda x: {"x": changed(x, np.inf)}, "x of finite real numbers, got .* NaN or infinity"),
        (lambda x: {"x": changed(x, 1e300)}, "values from 0 to 1, .* outside in 1 of 3. Clip them"),
        (lambda x: {"x": changed(x, -0.01)}, "values from 0 to 1, .* got -0.01 to .* in 1 of 3"),
        (lambda x: {"x": np.append(moved(x[:2]), moved(x[2:4], 0.25), 0)}, r"2 of 4 .* at 0\.25\."),
        (lambda x: {"x": x, "index": np.arange(19)}, "index as 20 whole numbers from .* shape"),
        (lambda x: {"x": x, "index": np.arange(20.0)}, "index as 20 whole .* got float64"),
        (lambda x: {"x": x, "index": np.arange(20) - 1}, "from 0 to 19, .* got .* -1 to 18"),
        (lambda x: {"x": x, "index": np.arange(20) + 1}, "from 0 to 19, .* 1 to 20.*--samples"),
        (lambda x: {"x": np.concatenate([x, x])}, "from 0 to 19, .* got .* 0 to 39"),
        (lambda x: {"x": x, "index": np.arange(20) // 2}, "each once, got .*, 10 .* several times"),
        (lambda x: {"x": x, "name": "a\nb"}, "name in one line, .* got 'a.nb' in .* Turing"),
        (lambda x: {"x": x, "name": np.array(["a", "b"])}, "a name in one line"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_came(arrays, message, x, tmp_path):
    with pytest.raises(ArgumentError, match=f"^adversarials: expected .*{message}"):
        submission(tmp_path, x, **arrays(x))


def test_in_the_euclidean_norm_the_length_counts(x, tmp_path):
    points = moved(x[:1], 0.1)  # Of length 0.8.
    assert submission(tmp_path, x, eps=(0.81,), norm="2", x=points).within(0.81).present.any()
    with pytest.raises(ArgumentError, match=r"Euclidean norm .* 1 of 1 in .* farthest at 0.8"):
        submission(tmp_path, x, eps=(0.7,), norm="2", x=points)


def test_flips_are_counted_and_values_between_the_two_are_refused(x, tmp_path):
    bits = (x > 0.5).astype(np.float32)
    points = bits[:2].copy()
    points[0].flat[:3] = 1 - points[0].flat[:3]
    read = submission(tmp_path, bits, eps=(3,), norm="0", x=points)
    assert [int(read.within(eps).present.sum()) for eps in (2, 3)] == [1, 2]
    points[1].flat[0] = 0.5
    with pytest.raises(ArgumentError, match=r"adversarials: .*ann\.npz: .* got values such as 0.5"):
        submission(tmp_path, bits, eps=(3,), norm="0", x=points)


def test_a_file_that_is_not_there_is_refused_as_it_was_typed(tmp_path):
    words = ("evaluate", "--adversarials", str(tmp_path / "none.npz"), "--output", str(tmp_path))
    complaint = complain(*words, "--model", "zoo:digits-plain")
    assert "--adversarials: expected a .npz file with the array x" in complaint


@pytest.fixture(scope="module")
def evaluated(trained, data):
    """A folder with an evaluation as it is, and one in which Ann's adversarials come first."""
    x, y = data.x_test[:30], data.y_test[:30]
    others = np.array([np.flatnonzero(y != label)[0] for label in y])
    np.savez(trained / "ann.npz", x=x[others][5:], index=np.arange(5, 30), name="Ann")
    words = ("--eps", "0.02,1", "--output")
    with pytest.MonkeyPatch.context() as patch:
        evaluate(patch, trained, *words, "plain")
        evaluate(patch, trained, *words, "ann", "--adversarials", "ann.npz")
    return trained


def test_the_evaluation_names_who_made_what_broke_a_sample(evaluated):
    plain, ours = evaluation_in(evaluated / "plain"), evaluation_in(evaluated / "ann")
    small_eps, large_eps = ours.budgets
    outcome = ours.at(large_eps)["fast"].outcome
    assert outcome.stages[0].label == "adversarials Ann"
    assert not (outcome.stage[:5] == 0).any()
    assert (outcome.stage[5:] == 0).sum() > 10
    assert verdicts(ours)[1].left <= verdicts(plain)[1].left
    # They are no stage of the plan, which asks for gradients as before.
    assert [one.findings for one in verdicts(ours)] == [one.findings for one in verdicts(plain)]
    # They are outside of the small ball, where nothing changes.
    before, after = (one.at(small_eps)["fast"].outcome for one in (plain, ours))
    np.testing.assert_array_equal(before.stage >= 0, after.stage >= 0)
    assert plain.key != ours.key


def test_a_certified_sample_that_an_adversarial_breaks_stops_the_run(evaluated, monkeypatch):
    change_margins(right, monkeypatch)
    words = ("--eps", "1", "--adversarials", "ann.npz", "--bounds", "--output", "lying")
    done = evaluate(monkeypatch, evaluated, *words, status=2)
    assert "--bounds: expected certificates that hold, got sample" in done.complaint
    assert "and broken at eps 1 by adversarials Ann" in done.complaint
