"""The lines of figures in numbers: attack success against queries, and against sizes."""

from collections.abc import Sequence

import numpy as np

from art_snn.app.evaluation.evaluation import Trial

MOST_POINTS = 200
"""Of a line: more would make the page large and change nothing that can be seen."""


def query_course(trial: Trial) -> tuple[np.ndarray, np.ndarray]:
    """Queries in ascending order, and the attack success [%] that they have brought by then."""
    outcome = trial.outcome
    correct = outcome.robustness.correct
    queries = (outcome.forwards + outcome.backwards)[correct]
    return _course(queries, outcome.robustness.flipped[correct])


def size_course(trials: Sequence[Trial]) -> tuple[np.ndarray, np.ndarray]:
    """Sizes in ascending order, and the attack success [%] of changes of at most that size.

    :param trials: of one attack at several budgets; of each sample the smallest change counts."""
    correct, sizes = smallest_changes(trials)
    broken = np.isfinite(sizes)
    at, success = _course(sizes[broken], np.ones(broken.sum(), dtype=bool))
    return at, success * broken.sum() / max(correct, 1)


def smallest_changes(trials: Sequence[Trial]) -> tuple[int, np.ndarray]:
    """How many samples are correct, and the smallest change that broke each [n]; inf for none."""
    outcomes = [trial.outcome for trial in trials]
    sizes = [np.where(one.robustness.flipped, one.distance, np.inf) for one in outcomes]
    correct = outcomes[0].robustness.correct
    return int(correct.sum()), np.min(sizes, axis=0)[correct]


def _course(values: np.ndarray, counted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values in ascending order from 0, and the share [%] of all that count up to each."""
    at, places = np.unique(values, return_inverse=True)
    counts = np.bincount(places, counted, len(at))
    at, share = np.append(0, at), np.append(0, 100 * counts.cumsum() / max(len(values), 1))
    kept = np.unique(np.linspace(0, len(at) - 1, MOST_POINTS).astype(int))
    return at[kept], share[kept]
