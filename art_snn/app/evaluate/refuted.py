"""Certified samples that are wrong or broken: a bug in the bounds, which ends the evaluation."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from art_snn.app.evaluate.provenance import versions, weights
from art_snn.app.evaluate.target import Target
from art_snn.app.report.evaluation import Bounds, contradicted
from art_snn.attacks import Outcome
from art_snn.attacks.candidates import Candidates
from art_snn.checks import ArgumentError, invalid
from art_snn.files import write_arrays

FAILURE = "bounds-failure.npz"


def check_clean(target: Target, rows: slice, predicted: np.ndarray, bounds: Bounds) -> None:
    """Complain where a certified sample of a block is misclassified as it is."""
    wrong = bounds.certified & (predicted != target.y[rows])
    if wrong.any():
        place = int(wrong.argmax())
        words = "and misclassified without an attack"
        raise _refuted(target, rows.start + place, bounds, place, words, eps=0.0)


def check_outcome(
    target: Target, rows: slice, eps: float, outcome: Outcome, bounds: Mapping[float, Bounds]
) -> None:
    """Complain where a sample of a block is broken that is certified at that budget or a larger
    one."""
    for proven in bounds.values():
        refuted = contradicted(outcome, proven.certified)
        if proven.eps >= eps and refuted.any():
            place = int(refuted.argmax())
            stage = int(outcome.stage[place])
            words = f"and broken at eps {eps:g} by {outcome.stages[stage]}"
            words = words if stage >= 0 else "and misclassified without an attack"
            more = {"adversarial": outcome.adversarials[place], "eps": eps}
            raise _refuted(target, rows.start + place, proven, place, words, **more)


def check_candidates(
    target: Target,
    rows: slice,
    eps: float,
    several: Sequence[Candidates],
    bounds: Mapping[float, Bounds],
) -> None:
    """Complain where an adversarial of others breaks a sample of a block that is certified at that
    budget or a larger one. Attacks leave such samples out."""
    for proven in (one for one in bounds.values() if one.eps >= eps):
        for candidates in several:
            places = np.flatnonzero(proven.certified & candidates.there)
            points = candidates.points[places]
            size = target.settings.batch_size
            logits = target.classifier.predict(points, size) if len(places) else np.zeros((0, 1))
            wrong = logits.argmax(1) != target.y[rows][places]
            if wrong.any():
                first = int(wrong.argmax())
                words = f"and broken at eps {eps:g} by {candidates}"
                more = {"adversarial": points[first], "eps": eps}
                place = int(places[first])
                raise _refuted(target, rows.start + place, proven, place, words, **more)


def _refuted(
    target: Target, row: int, bounds: Bounds, place: int, words: str, **attack: Any
) -> ArgumentError:
    """The complaint, after all that shows the bug was written down.

    :param attack: the adversarial, where there is one, and the budget of the attack."""
    path, margin = target.settings.output / FAILURE, bounds.margin[place]
    sample = target.x[row]
    adversarial = attack.pop("adversarial", sample)
    content = {"sample": sample, "label": target.y[row], "row": row, "adversarial": adversarial}
    content |= {"logits": target.classifier.predict(adversarial[None])[0], "refuted": words}
    content |= {"attack_eps": attack["eps"], "norm": target.settings.norm, "eps": bounds.eps}
    content |= {"margin": margin, "method": bounds.method, "weights": weights(target.classifier)}
    content |= {"versions": json.dumps(versions(target.classifier))}
    write_arrays(path, **{name: np.asarray(value) for name, value in content.items()})
    got = f"sample {row}, certified at eps {bounds.eps:g} with a margin of {margin:.3g}, {words}"
    remedy = f"This is a bug in the bounds: please report it with {path}. Blocks that are done "
    remedy += "are kept. Without --bounds, and in another folder, all samples are attacked."
    return invalid("bounds", "certificates that hold", got, remedy)
