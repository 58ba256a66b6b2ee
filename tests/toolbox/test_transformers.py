"""ART's transformers make defended classifiers of spiking ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from art.defences.transformer.evasion import DefensiveDistillation
from art.defences.transformer.poisoning import STRIP

from tests.networks import CLASSES, Probabilities, build
from tests.toolbox.counting import assert_differentiated_by, counting
from tests.toolbox.promises import FIT, NO_GRADIENT, PREDICT, TRAINING_GRADIENT, promises


@promises(
    "the distilled network agrees with its teacher above chance; both have a softmax as "
    "postprocessing defence, because it refuses logits",
    "DefensiveDistillation",
    uses=f"{PREDICT}, {FIT}",
    rule=TRAINING_GRADIENT,
)
def test_a_distilled_network_agrees_with_its_teacher(trained_layers: Any, data: Any) -> None:
    teacher = build(trained_layers, postprocessing_defences=Probabilities())
    student = counting(None, postprocessing_defences=Probabilities())
    distillation = DefensiveDistillation(teacher, batch_size=32, nb_epochs=4)
    assert distillation(data.x_train[:400], student) is student
    agreement = teacher.predict(data.x_test).argmax(1) == student.predict(data.x_test).argmax(1)
    assert agreement.mean() > 0.3
    assert_differentiated_by(TRAINING_GRADIENT, student)


@promises(
    "refuses logits: give both classifiers a softmax as postprocessing defence",
    "DefensiveDistillation",
    uses=PREDICT,
    error=True,
)
def test_distillation_refuses_logits(classifier: Any, data: Any) -> None:
    student = build(postprocessing_defences=Probabilities())
    with pytest.raises(ValueError, match="trained classifier do not produce probability"):
        DefensiveDistillation(classifier)(data.x_train[:4], student)
    teacher = build(postprocessing_defences=Probabilities())
    with pytest.raises(ValueError, match="transformed classifier do not produce probability"):
        DefensiveDistillation(teacher)(data.x_train[:4], classifier)


@promises(
    "abstains from few clean samples and predicts the others as before; with a softmax as "
    "postprocessing defence",
    "STRIP",
    uses=PREDICT,
)
def test_strip_predicts_most_clean_samples_as_before(trained_layers: Any, known: Any) -> None:
    x = known[0][:60]
    classifier = counting(trained_layers, postprocessing_defences=Probabilities())
    before = classifier.predict(x)
    defended = STRIP(classifier)(num_samples=5, false_acceptance_rate=0.05)
    defended.mitigate(x)
    predictions = defended.predict(x)
    abstained = (predictions == 0).all(1)
    assert abstained.mean() < 0.3
    np.testing.assert_allclose(predictions[~abstained], before[~abstained], atol=1e-5)
    assert_differentiated_by(NO_GRADIENT, classifier)


@promises(
    "its entropies of logits are not finite: give the classifier a softmax as postprocessing "
    "defence",
    "STRIP",
    uses=PREDICT,
    error=True,
)
def test_strip_refuses_logits(classifier: Any, known: Any) -> None:
    with pytest.raises(ValueError, match="non-finite values"):
        STRIP(classifier)(num_samples=5).mitigate(known[0][:20])


@promises(
    "takes entropies over samples and not over classes (`strip.py`, line 92), so that the "
    "certainty of a backdoor has the highest one and is never noticed: use `ActivationDefence`",
    "STRIP",
    uses=PREDICT,
    error=True,
)
def test_strip_takes_a_certain_backdoor_for_clean(trained_layers: Any, known: Any) -> None:
    classifier = build(trained_layers, postprocessing_defences=Probabilities())
    defended = STRIP(classifier)(num_samples=5, false_acceptance_rate=0.5)
    defended.mitigate(known[0][:20])
    certain = np.where(np.arange(CLASSES) == 0, 0.991, 0.001)
    defended.predict_fn = lambda x: np.tile(certain, (len(x), 1))
    np.testing.assert_array_equal(defended.predict(known[0][:4]), np.tile(certain, (4, 1)))
