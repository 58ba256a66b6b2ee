"""ART's detectors of poison flag what was planted."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from art.defences.detector.poison import (
    ActivationDefence,
    ClusteringAnalyzer,
    GroundTruthEvaluator,
    ProvenanceDefense,
    RONIDefense,
    SpectralSignatureDefense,
)

from tests.networks import CLASSES
from tests.toolbox.counting import assert_differentiated_by, counting, small
from tests.toolbox.planted import Planted, planted
from tests.toolbox.promises import ACTIVATIONS, FIT, NOTHING, PREDICT, TRAINING_GRADIENT, promises


@pytest.fixture(scope="module")
def backdoor(trained_layers: Any, data: Any) -> Planted:
    return planted(trained_layers, data)


def backwards(classifier: Any) -> tuple[int, int]:
    rules = classifier.model.gradient, classifier.model.training_gradient
    return rules[0].tally.backwards, rules[1].tally.backwards


@promises(
    "flags the planted samples rather than clean ones of their label",
    "ActivationDefence",
    uses=ACTIVATIONS,
)
@pytest.mark.parametrize("analysis", ["smaller", "distance"])
def test_clusters_of_activations_flag_a_backdoor(analysis: str, backdoor: Planted) -> None:
    before = backwards(backdoor.classifier)
    defence = ActivationDefence(backdoor.classifier, backdoor.x, backdoor.y)
    options = {"nb_clusters": 2, "nb_dims": 5, "reduce": "PCA", "cluster_analysis": analysis}
    _, flags = defence.detect_poison(**options)
    poisoned, clean = backdoor.shares(flags)
    assert poisoned > clean + 0.5
    matrix = json.loads(defence.evaluate_defence(backdoor.clean, **options))["class_0"]
    assert matrix["TruePositive"]["rate"] > 50
    assert backwards(backdoor.classifier) == before


@promises(
    "`relative-size` compares an empty array (`clustering_analyzer.py`, line 245), and "
    "`silhouette-scores` leaves the labels of clean clusters unset (line 327): take `smaller` or "
    "`distance`",
    "ActivationDefence",
    "ClusteringAnalyzer",
    uses=NOTHING,
    error=True,
)
def test_clusters_of_nearly_the_same_size_are_no_use() -> None:
    clusters = [np.array([0, 1, 0, 1])]
    with pytest.raises(ValueError, match="truth value of an empty array is ambiguous"):
        ClusteringAnalyzer().analyze_by_relative_size(clusters)
    # The cluster that is too small is clean and poisonous at once, and the other one is neither.
    assigned: list[Any] = []
    analyzer = ClusteringAnalyzer()
    analyzer.assign_class = lambda *sets: assigned.append(sets)  # type: ignore[method-assign]
    points = np.array([[0.0], [0.1], [0.2], [0.0], [0.1], [9.0]])
    analyzer.analyze_by_silhouette_score([np.array([0, 0, 0, 0, 0, 1])], [points])
    np.testing.assert_array_equal(assigned[0][1], assigned[0][2])


@promises("agrees with values by hand, by size and by distance", "ClusteringAnalyzer", uses=NOTHING)
def test_the_analysis_of_clusters_agrees_with_values_by_hand() -> None:
    analyzer, clusters = ClusteringAnalyzer(), [np.array([0, 0, 0, 1]), np.array([1, 1, 0, 1])]
    clean, poisonous, report = analyzer.analyze_by_size(clusters)
    assert [list(one) for one in clean] == [[1, 1, 1, 0], [1, 1, 0, 1]]
    assert poisonous.tolist() == [[0, 1], [1, 0]]
    assert report["suspicious_clusters"] == 2
    # One sample of the first class lies with the second one.
    points = [np.array([[0.0], [0.0], [0.0], [9.0]]), np.array([[10.0], [10.0], [11.0], [10.0]])]
    clean, poisonous, _ = analyzer.analyze_by_distance(clusters, points)
    assert [list(one) for one in clean] == [[1, 1, 1, 0], [1, 1, 1, 1]]


@promises("counts hits and misses as by hand", "GroundTruthEvaluator", uses=NOTHING)
def test_the_evaluator_counts_as_by_hand() -> None:
    errors, matrix = GroundTruthEvaluator().analyze_correctness(
        [np.array([0, 1, 0, 1, 1])], [np.array([0, 1, 1, 0, 1])]
    )
    assert errors[0].tolist() == [0, 1, 2, 3, 1]
    rates = {name: cell["rate"] for name, cell in json.loads(matrix)["class_0"].items()}
    expected = {"TruePositive": 50.0, "TrueNegative": 66.67}
    assert rates == expected | {"FalsePositive": 33.33, "FalseNegative": 50.0}


@promises(
    "flags the planted samples rather than clean ones of their label",
    "SpectralSignatureDefense",
    uses=ACTIVATIONS,
)
def test_spectral_signatures_flag_a_backdoor(backdoor: Planted) -> None:
    before = backwards(backdoor.classifier)
    share = 1 - backdoor.clean[backdoor.y.argmax(1) == 0].mean()
    defence = SpectralSignatureDefense(
        backdoor.classifier,
        backdoor.x,
        backdoor.y,
        expected_pp_poison=float(share),
        eps_multiplier=1.0,
    )
    _, flags = defence.detect_poison()
    poisoned, clean = backdoor.shares(flags)
    assert poisoned > clean + 0.4
    matrix = json.loads(defence.evaluate_defence(backdoor.clean))["class_0"]
    assert matrix["TruePositive"]["rate"] > 40
    assert backwards(backdoor.classifier) == before


def share_right(labels: np.ndarray, logits: np.ndarray) -> float:
    return float((labels.argmax(1) == logits.argmax(1)).mean())


def share_wrong(labels: np.ndarray, logits: np.ndarray) -> float:
    return 1 - share_right(labels, logits)


class Sources:
    """Digits from three sources, the last one of which gives false labels."""

    def __init__(self, data: Any, noise: float) -> None:
        sizes = np.repeat([0, 1, 2], [30, 30, 180])
        self.false = sizes == 2
        # Values that no two samples share, for a filter that compares all values.
        draw = np.random.default_rng(0)
        x = data.x_train[: len(sizes)]
        self.x = (x + draw.uniform(0, noise, x.shape)).astype(np.float32)
        labels = np.where(self.false, data.y_train[: len(sizes)] + 1, data.y_train[: len(sizes)])
        self.y = np.eye(CLASSES, dtype=np.float32)[labels % CLASSES]
        self.source = np.eye(3)[sizes]
        self.trusted = {
            "x_val": data.x_test[:100],
            "y_val": np.eye(CLASSES, dtype=np.float32)[data.y_test[:100]],
        }

    def defence(self, layers: Any, perf_func: Any) -> Any:
        return ProvenanceDefense(
            counting(layers),
            self.x,
            self.y,
            self.source,
            **self.trusted,
            eps=0.1,
            perf_func=perf_func,
        )


@promises(
    "flags the source of false labels; with `perf_func`, a function of labels and logits, and "
    "samples that share no values",
    "ProvenanceDefense",
    uses=f"{FIT}, {PREDICT}",
    rule=TRAINING_GRADIENT,
)
def test_provenance_flags_the_source_of_false_labels(trained_layers: Any, data: Any) -> None:
    sources = Sources(data, noise=0.01)
    defence = sources.defence(trained_layers, share_right)
    report, flags = defence.detect_poison()
    assert set(report) == {2}
    np.testing.assert_array_equal(flags, ~sources.false)
    assert_differentiated_by(TRAINING_GRADIENT, defence.classifier)


@promises(
    "removes all samples whose values occur in those of a source (`provenance_defense.py`, line "
    "248), so all images of few grey levels: add noise too small to matter",
    "ProvenanceDefense",
    uses=FIT,
    error=True,
)
def test_provenance_filters_all_images_of_few_levels(trained_layers: Any, data: Any) -> None:
    with pytest.raises(ValueError, match="at least one sample to train on"):
        Sources(data, noise=0).defence(trained_layers, share_right).detect_poison()


@promises(
    "'accuracy' compares one-hot labels with logits (`art/utils.py`, line 1777): give `perf_func` "
    "a function",
    "ProvenanceDefense",
    "RONIDefense",
    uses=PREDICT,
    error=True,
)
@pytest.mark.parametrize("name", ["ProvenanceDefense", "RONIDefense"])
def test_accuracy_takes_no_logits(name: str, trained_layers: Any, data: Any) -> None:
    if name == "ProvenanceDefense":
        defence = Sources(data, noise=0.01).defence(trained_layers, "accuracy")
    else:
        defence = Negative().defence(small((64,), 2), perf_func="accuracy")
    with pytest.raises(ValueError, match="Classification metrics can't handle a mix"):
        defence.detect_poison()


class Negative:
    """Two classes of vectors, dark or bright at either half; one sample has a false label."""

    def __init__(self) -> None:
        draw = np.random.default_rng(0)
        labels = np.arange(8) % 2
        self.x = self.samples(labels, draw)
        self.false = 6
        labels[self.false] = 1 - labels[self.false]
        self.y = np.eye(2, dtype=np.float32)[labels]
        trusted = np.array([1])
        self.trusted = self.samples(trusted, draw), np.eye(2, dtype=np.float32)[trusted]

    @staticmethod
    def samples(labels: np.ndarray, draw: Any) -> np.ndarray:
        halves = np.stack([np.repeat([1, 0], 32), np.repeat([0, 1], 32)])
        return (0.5 * halves[labels] + draw.uniform(0, 0.1, (len(labels), 64))).astype(np.float32)

    def defence(self, classifier: Any, shape: tuple[int, ...] = (64,), **options: Any) -> Any:
        x, (trusted, labels) = self.x.reshape(-1, *shape), self.trusted
        options = {"calibrated": False, "eps": 0.1, "pp_quiz": 1.0} | options
        return RONIDefense(classifier, x, self.y, trusted.reshape(-1, *shape), labels, **options)


@promises(
    "stacks a sample on a batch (`roni.py`, line 153), which fails for images: give it vectors, "
    "and let the encoder restore the images",
    "RONIDefense",
    uses=FIT,
    error=True,
)
def test_negative_impact_takes_no_images() -> None:
    defence = Negative().defence(small((1, 8, 8), 2), (1, 8, 8), perf_func=share_wrong)
    with pytest.raises(ValueError, match="number of dimensions"):
        defence.detect_poison()


@promises(
    "trains a copy on each vector, and flags those that raise the share of errors by more than "
    "eps; with `perf_func`, which must measure errors, since "
    "it flags what raises its measure (`roni.py`, line 184)",
    "RONIDefense",
    uses=f"{FIT}, {PREDICT}",
    rule=TRAINING_GRADIENT,
)
def test_negative_impact_flags_what_raises_errors() -> None:
    errors: list[float] = []

    def recorded(labels: np.ndarray, logits: np.ndarray) -> float:
        errors.append(share_wrong(labels, logits))
        return errors[-1]

    negative = Negative()
    defence = negative.defence(small((64,), 2, lr=0.1), perf_func=recorded)
    _, flags = defence.detect_poison()
    before, after = np.reshape(errors, (-1, 2)).T
    assert len(before) == len(negative.x)
    assert flags.count(0) == (after > before + 0.1).sum()
    harm_in_errors, harm_in_accuracy = 0.0 - 1.0, 1.0 - 0.0
    assert defence.is_suspicious(defence.classifier, harm_in_errors)
    assert not defence.is_suspicious(defence.classifier, harm_in_accuracy)
    assert_differentiated_by(TRAINING_GRADIENT, defence.classifier)
