"""What SpikingAutoAttack has found survives whatever interrupts it."""

import numpy as np
import pytest
from art.attacks.evasion import ProjectedGradientDescent

from art_snn import RGA, STBP, Poisson
from art_snn.attacks import AutoPGD, Outcome, SpikingAutoAttack, SquareSearch, queries
from art_snn.attacks.persample import CountedAttack
from art_snn.attacks.stages import Candidates, Plan, Stage
from tests import classifiers as small
from tests.attacks.classifiers import Stops

PLAN = Plan("plan", (Stage(AutoPGD, RGA(), {"max_iter": 3}), Stage(AutoPGD, STBP())))


def attacking(classifier, plan=PLAN, eps=0.08):
    return SpikingAutoAttack(classifier, eps=eps, plan=plan, batch_size=8, verbose=False)


def assert_true(attack, classifier, x, y):
    """What the outcome says of samples is so."""
    outcome = attack.outcome
    asked = outcome.stage != Outcome.UNANSWERED
    wrong = classifier.predict(outcome.adversarials).argmax(1) != y
    np.testing.assert_array_equal(wrong[asked], (outcome.stage != Outcome.STANDING)[asked])
    same = (outcome.adversarials == x).reshape(len(x), -1).all(1)
    np.testing.assert_array_equal(same, outcome.stage < 0)
    assert outcome.forwards is attack.forwards


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_whichever_prediction_is_interrupted_the_outcome_is_true(error):
    classifier = small.classifier()
    x, y = small.samples(classifier, 8)
    attack, predict = attacking(classifier), classifier.predict
    classifier.predict = counting = Stops(predict, None)
    attack.generate(x, y)
    found, ends = set(attack.outcome.stage.tolist()), 0
    assert found >= {0, Outcome.WRONG}
    for at in range(1, counting.times + 1):
        classifier.predict = Stops(predict, at, error)
        with small.untouched(classifier), pytest.raises(error, match="injected"):
            attack.generate(x, y)
        classifier.predict = predict
        if attack.outcome is None:
            # The evaluations that find out whether the network draws come first.
            assert at <= 5
            continue
        ends += 1
        assert_true(attack, classifier, x, y)
        assert len(classifier.model._forward_hooks) == 0
    assert ends == counting.times - 5


@pytest.mark.slow
def test_what_the_interrupted_stage_had_found_counts(monkeypatch):
    classifier = small.classifier()
    classifier.model.train()
    x, y = small.samples(classifier, 8, wrong=0)
    attack, broken = attacking(classifier, Plan("one", PLAN.stages[1:]), eps=0.03), []

    def listening(estimator, samples, classes, objective):
        logits, gradient = differentiated(estimator, samples, classes, objective)
        broken.append(int((logits.argmax(1) != classes).sum()))
        return logits, gradient

    differentiated = queries.logits_and_gradient
    monkeypatch.setattr(queries, "logits_and_gradient", Stops(listening, None))
    attack.generate(x, y)
    first, last = int(np.argmax(broken)) + 1, len(broken)
    assert max(broken) > 0
    assert first < last
    for at in (1, first + 1, last):
        broken.clear()
        monkeypatch.setattr(queries, "logits_and_gradient", Stops(listening, at))
        with pytest.raises(KeyboardInterrupt):
            attack.generate(x, y)
        assert len(broken) == at - 1
        assert (attack.outcome.stage == 0).sum() == sum(broken)
        assert (sum(broken) > 0) == (at > 1)
        assert_true(attack, classifier, x, y)
        assert classifier.model.training


def test_samples_that_nobody_asked_about_count_as_no_robust_ones(monkeypatch):
    classifier = small.classifier()
    x, y = small.samples(classifier, 12, wrong=0)
    monkeypatch.setattr(CountedAttack, "bytes_at_once", 1)
    attack = SpikingAutoAttack(classifier, plan=PLAN, eps=0.05, batch_size=4, verbose=False)
    attack.generate(x, y)
    whole, predict = attack.outcome, classifier.predict

    def stops(samples, **options):
        if np.array_equal(samples, x[4:8]):
            raise KeyboardInterrupt
        return predict(samples, **options)

    classifier.predict = stops
    with pytest.raises(KeyboardInterrupt):
        attack.generate(x, y)
    found = attack.outcome
    np.testing.assert_array_equal(found.stage[:4], whole.stage[:4])
    assert found.stage[4:].tolist() == [Outcome.UNANSWERED] * 8
    assert found.robustness.clean_accuracy.count == 4
    assert found.robustness.attack_success.total == 4


WARM = Plan(
    "warm",
    (
        Stage(AutoPGD, RGA(), {"max_iter": 2}),
        Stage(SquareSearch, None, {"max_iter": 5}, warm=True),
        Stage(AutoPGD, STBP(), {"max_iter": 4}, warm=True, within=0.9),
        Stage(ProjectedGradientDescent, None, {"max_iter": 2, "num_random_init": 1}),
    ),
)


@pytest.mark.parametrize("encoder", [None, Poisson(4)])
def test_after_whichever_stage_a_plan_goes_on_the_result_is_the_same(encoder, monkeypatch):
    classifier = small.classifier(encoder=encoder)
    x, y = small.samples(classifier, 10)
    monkeypatch.setattr(CountedAttack, "bytes_at_once", 1)  # Of several blocks.
    given = Candidates("mine", 1 - x, np.arange(10) == 6)
    options = {"eps": 0.03, "plan": WARM, "batch_size": 4, "verbose": False, "candidates": [given]}
    standings = []
    attack = SpikingAutoAttack(
        classifier, **options, on_stage=lambda *_: standings.append(attack.standing())
    )
    found = attack.generate(x, y)
    assert len({one["place"][0] for one in standings}) >= 2  # Of blocks that begin at 0, 4 and 8.
    assert len({*attack.outcome.stage.tolist()}) >= 3
    for place, standing in enumerate(standings, 1):
        later = []
        again = SpikingAutoAttack(
            classifier, **options, resume=standing, on_stage=lambda *_, to=later: to.append(1)
        )
        np.testing.assert_array_equal(again.generate(x, y), found)
        assert len(later) == len(standings) - place
        for name, value in vars(attack.outcome).items():
            np.testing.assert_array_equal(getattr(again.outcome, name), value)
        np.testing.assert_array_equal(again.forwards, attack.forwards)


def test_a_standing_of_other_samples_is_refused():
    classifier = small.classifier()
    x, y = small.samples(classifier, 4)
    standings = []
    attack = attacking(classifier)
    attack.on_stage = lambda *_: standings.append(attack.standing())
    attack.generate(x, y)
    attack.set_params(resume=standings[0])
    with pytest.raises(ValueError, match=r"resume: expected one of samples \(3, 1, 8, 8\)"):
        attack.generate(x[:3], y[:3])
