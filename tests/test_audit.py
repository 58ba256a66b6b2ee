"""Evasion attacks differentiate by the selected rule alone; other classes of ART as rows say."""

import re
import sys
from collections.abc import Iterator
from typing import Any

import art.attacks.evasion as evasion
import numpy as np
import pytest
import torch
from art.exceptions import EstimatorError

import art_snn.attacks as ours
from art_snn import RGA, STBP
from tests.audit import ELSEWHERE, OURS, ROWS, Row, exported
from tests.classifiers import DIGITS, FORMS, Counted, Probabilities, build
from tests.toolbox import KINDS, REFUSALS, Bench

TOOLS = [(kind, row) for kind, rows in KINDS.items() for row in rows]
# GeoDA writes files where it runs.
pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture(autouse=True)
def _numpy_as_it_was() -> Iterator[None]:
    """What a remedy adds to numpy is gone after the test."""
    names = set(vars(np))
    yield
    for name in vars(np).keys() - names:
        delattr(np, name)


@pytest.fixture(autouse=True)
def _uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """BrendelBethgeAttack runs as plain Python, which numba compiles for half a minute."""
    module: Any = sys.modules.get("art.attacks.evasion.brendel_bethge")
    for name in ("BFGSB", "L2Optimizer", "LinfOptimizer") if module else ():
        compiled = getattr(module, name).class_type.jit_methods
        methods = {name: method.py_func for name, method in compiled.items()}
        monkeypatch.setattr(module, name, type(name, (), methods))


def arguments(row: Row, classifier: Any, known: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples, rightly classified, and y as the row wants them."""
    images, labels = known
    samples = FORMS[row.form].present(images)
    if row.planned:
        ordered = np.sort(classifier.predict(samples), axis=1)
        near = (ordered[:, -1] - ordered[:, -2]).argsort()
        samples, labels = samples[near], labels[near]
    x, y = samples[: row.samples].copy(), labels[: row.samples]
    if row.labels == "true":
        return x, y
    if row.labels == "target":
        return x, np.eye(DIGITS, dtype=np.float32)[classifier.predict(x).argsort(1)[:, -2]]
    return x, samples[10 : 10 + row.samples].copy() if row.labels == "guide" else None


def assert_promises_are_kept(row: Row, x: np.ndarray, adversarial: np.ndarray) -> None:
    assert isinstance(adversarial, np.ndarray)
    assert adversarial.shape == x.shape
    assert np.isfinite(adversarial).all()
    assert adversarial.min() >= -1e-6
    assert adversarial.max() <= 1 + 1e-6
    if row.ball is not None:
        assert row.ball.distance(x, adversarial) <= row.ball.eps * (1 + 1e-4) + 1e-6
    assert np.abs(adversarial - x).max() > 1e-4


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize("row", [*ROWS, *OURS], ids=lambda row: row.name)
def test_the_attack_uses_the_selected_rule_and_no_other(row, trained_layers, known):
    selected, other = Counted(row.rule), Counted(STBP())
    defences = {"postprocessing_defences": Probabilities()} if row.probabilities else {}
    classifier = build(trained_layers, row.form, selected, other, **defences)
    x, y = arguments(row, classifier, known)
    clean = x.copy()
    if row.missing:
        with pytest.raises((ImportError, AttributeError), match=f"{row.needs}|{row.attack}"):
            row.run(row.build(classifier), x, y)
        return
    if row.defect is not None and row.defect.present:
        with pytest.raises(AttributeError, match=re.escape(row.defect.message)):
            row.run(row.build(classifier), x, y)
        # What the table says that a user can do.
        exec(row.defect.remedy, {"numpy": np, "classifier": classifier})
    attack = row.build(classifier)
    assert_promises_are_kept(row, clean, row.run(attack, x, y))
    assert (selected.tally.backwards > 0) == (row.box == "white" and not row.planned)
    if row.planned:
        assert attack.backwards.sum() > 0
    assert other.tally.backwards == 0


@pytest.mark.parametrize("rule", [RGA(), STBP()], ids=repr)
def test_the_counter_sees_every_backward_pass(rule: Any, trained_layers: Any, known: Any) -> None:
    counted = Counted(rule)
    classifier = build(trained_layers, gradient=counted)
    plain = build(trained_layers, gradient=rule)
    x, y = known[0][:4], known[1][:4]
    for passes in (1, 2, 3):
        np.testing.assert_array_equal(classifier.loss_gradient(x, y), plain.loss_gradient(x, y))
        assert counted.tally.backwards == passes
    classifier.class_gradient(x)
    assert counted.tally.backwards == 3 + DIGITS
    classifier.predict(x)
    assert counted.tally.backwards == 3 + DIGITS


def test_the_table_covers_every_attack_class_that_art_exports() -> None:
    here = {row.attack for row in ROWS if row.attack in exported(evasion) or not row.missing}
    elsewhere = [name for reason in ELSEWHERE for name in reason.attacks]
    assert here | set(elsewhere) == exported(evasion)
    assert not here & set(elsewhere)
    assert len(elsewhere) == len(set(elsewhere))


def test_the_table_covers_every_attack_class_of_our_own() -> None:
    assert {row.attack for row in OURS} == exported(ours)
    assert not exported(ours) & exported(evasion)


@pytest.fixture
def bench(trained_layers, data, tmp_path, monkeypatch) -> Bench:
    loader = torch.utils.data.DataLoader  # ART's starts processes, and some of it moves to CUDA.
    monkeypatch.setattr(
        torch.utils.data, "DataLoader", lambda *a, **o: loader(*a, **o | {"num_workers": 0})
    )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return Bench(trained_layers, data, tmp_path)


@pytest.mark.filterwarnings("ignore:If a single classifier:UserWarning")
@pytest.mark.parametrize(
    "row", [row for _, row in TOOLS], ids=[f"{kind}: {row.names}" for kind, row in TOOLS]
)
def test_the_class_runs_and_uses_the_gradients_of_its_row(row, bench):
    row.run(bench)
    assert bench.used == row.rule


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda one: one.names)
def test_what_cannot_run_says_why(refusal, bench):
    with pytest.raises((ValueError, EstimatorError), match=refusal.message):
        refusal.run(bench)
