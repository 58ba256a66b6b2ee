"""Attack success against queries and sizes: steps at the right places."""

import numpy as np
from art_snn.app.evaluation.series import MOST_POINTS, query_course, size_course, smallest_changes

from tests.evaluations import trial

EPS = 8 / 255


def test_success_rises_with_the_queries_that_broken_samples_took():
    # Of four right samples three are broken, after 4, 4 and 10 queries; the fifth was wrong.
    passes = {"forwards": np.array([2, 2, 5, 8, 1]), "backwards": np.array([2, 2, 5, 8, 0])}
    queries, success = query_course(trial("a", EPS, (0, 0, 0, -1, -2), **passes))
    assert queries.tolist() == [0, 4, 10, 16]
    assert success.tolist() == [0, 50, 75, 75]


def test_of_a_long_course_the_points_that_are_kept_are_exact():
    queries, success = query_course(trial("a", EPS, [0] * 1000))
    assert len(queries) <= MOST_POINTS
    # Row n takes 2 n + 2 queries, so that after those n + 1 of 1000 samples are broken.
    assert np.allclose(success, 100 * (queries / 2) / 1000)
    assert queries[-1] == 2000


def test_success_rises_with_the_smallest_change_at_any_budget():
    weak = trial("a", 2, (0, -1, -1, -1, -2), distance=np.array([2.0, 0, 0, 0, 0]))
    strong = trial("a", 4, (0, 0, 0, -1, -2), distance=np.array([4.0, 1, 3, 0, 0]))
    correct, sizes = smallest_changes([weak, strong])
    assert correct == 4
    assert sizes.tolist() == [2, 1, 3, np.inf]
    at, success = size_course([weak, strong])
    assert at.tolist() == [0, 1, 2, 3]
    assert success.tolist() == [0, 25, 50, 75]


def test_where_nothing_is_broken_or_nothing_was_right_success_stays_at_0():
    for stage in ((-1, -1), (-2, -2)):
        at, success = size_course([trial("a", EPS, stage)])
        assert (at.tolist(), success.tolist()) == ([0], [0])
