"""Networks with their own gradient alone: what becomes of plans whose rules do not suit them."""

import numpy as np
import pytest
import torch
from art.attacks.evasion import ProjectedGradientDescent
from torch import nn

from art_snn import RGA, STBP, Poisson
from art_snn.attacks import (
    PLANS,
    AutoPGD,
    Outcome,
    Plan,
    SpikingAutoAttack,
    SquareSearch,
    Stage,
    planned,
)
from art_snn.attacks.crafting import STEP, STEPS
from art_snn.attacks.grids import NATIVE
from art_snn.attacks.plan import natively, suited
from art_snn.gradients import CBA, Native
from art_snn.interop import adapt
from tests import adapted
from tests.attacks.classifiers import around
from tests.conftest import seed_everything
from tests.networks import CLASSES, build

QUIET = {"verbose": False}
NORMS = (np.inf, 2.0, 0.0, "shift")
SHORT = {"max_iter": 3}


@pytest.fixture(scope="module")
def native(data):
    """A classifier of digits with neurons written into its forward, which nobody recognises.

    In double precision, where no batch rounds a potential over its threshold."""
    seed_everything()
    model = adapted.Inline(64, CLASSES, hidden=24)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    x, y = torch.as_tensor(data.x_train), torch.as_tensor(data.y_train)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return around(adapt(model.double(), encoder=None, gradient="native"), (1, 8, 8), CLASSES)


@pytest.fixture(scope="module")
def right(native, data):
    """Digits that it classifies rightly."""
    x, y = data.x_test.astype(np.float64), data.y_test
    rows = np.flatnonzero(native.predict(x).argmax(1) == y)[:24]
    return x[rows], y[rows]


@pytest.mark.parametrize(("norm", "eps"), [(np.inf, 0.1), (2, 0.4)])
def test_what_pgd_of_seven_steps_breaks_the_plan_breaks_by_the_same_steps(norm, eps, native, right):
    x, y = right
    options = {"eps_step": STEP * eps, "max_iter": STEPS, "batch_size": len(x), **QUIET}
    pgd = ProjectedGradientDescent(native, norm=norm, eps=eps, **options).generate(x, y)
    broken = native.predict(pgd).argmax(1) != y
    assert 4 < broken.sum() < len(x)
    attack = SpikingAutoAttack(native, norm, eps, "fast", **QUIET)
    attack.generate(x, y)
    assert attack.outcome.stages[0] == "PGD(max_iter=7, num_random_init=0) by native"
    assert (attack.outcome.stage[broken] == 0).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", PLANS)
def test_every_attack_of_a_plan_runs_once_under_the_native_gradient(name, norm, native):
    plan, some = planned(name, norm), torch.rand(2, 1, 8, 8, dtype=torch.float64)
    found = suited(plan, native, norm, some)
    asking = [stage for stage in plan.stages if stage.by_gradients]
    running = [str(stage) for stage in found.stages if stage.by_gradients]
    first = [] if norm in (0.0, "shift") else [str(stage) for stage in NATIVE]
    assert running == first + list(dict.fromkeys(str(natively(stage)) for stage in asking))
    assert [str(stage) for stage in found.stages if not stage.by_gradients] == [
        str(stage)
        for stage in plan.stages
        if not stage.by_gradients and str(stage) not in found.skipped
    ]
    repeats = {words: why for words, why in found.skipped.items() if words in found.gradients}
    assert len(found.native) + len(repeats) == len(asking)
    assert all("the same stage already runs, " in why for why in repeats.values())
    assert all("does not apply" in why for why in (*found.native.values(), *repeats.values()))
    assert found.gradients == (*first, *map(str, asking))


@pytest.mark.parametrize(("norm", "eps"), [(0, 30), ("shift", 2)])
def test_event_frames_are_attacked_under_the_native_gradient(norm, eps):
    torch.manual_seed(0)
    shape = (3, 2, 4, 4)
    classifier = around(adapted.network("inline", shape=shape), shape, 3)
    x = (np.random.default_rng(0).random((8, *shape)) < 0.3).astype(np.float32)
    attack = SpikingAutoAttack(classifier, norm, eps, "fast", **QUIET)
    attack.generate(x)
    (stage,) = attack.outcome.stages
    assert stage.endswith(" by native")
    assert attack.backwards.sum() > 0


def test_networks_of_art_snn_keep_their_stages_and_skip_what_does_not_suit(trained_layers, known):
    classifier, some = build(trained_layers), torch.as_tensor(known[0][:2])
    for name in PLANS:
        found = suited(planned(name, np.inf), classifier, np.inf, some)
        assert found.stages == list(planned(name, np.inf).stages)
        assert (found.skipped, found.native) == ({}, {})
    plan = Plan("mine", (Stage(AutoPGD, CBA(), SHORT), Stage(AutoPGD, RGA(), SHORT)), NATIVE)
    found = suited(plan, classifier, np.inf, some)
    assert (found.stages, found.native) == ([plan.stages[1]], {})
    assert "native" not in found.skipped[str(plan.stages[0])]


def test_where_other_rules_suit_one_that_does_not_is_replaced_once():
    classifier = around(adapted.network(), adapted.SHAPE, 3)
    refused, suits = Stage(AutoPGD, CBA(), SHORT), Stage(AutoPGD, RGA(), SHORT)
    longer = Stage(AutoPGD, CBA(), {"max_iter": 5})
    plan = Plan("mine", (refused, suits, Stage(SquareSearch), refused, longer), NATIVE)
    found = suited(plan, classifier, np.inf, torch.rand(4, *adapted.SHAPE))
    kept = [natively(refused), suits, Stage(SquareSearch), natively(longer)]
    assert found.stages == kept
    assert found.native.keys() == {str(refused), str(longer)}
    (why,) = found.skipped.values()
    assert why.startswith("the same stage already runs, AutoPGD(max_iter=3) by native. gradient: ")


@pytest.mark.parametrize("rule", [Native(), None], ids=["native", "the network's rule"])
def test_stages_that_ask_for_the_native_gradient_themselves_stay_as_they_are(rule):
    classifier = around(adapted.network("inline"), adapted.SHAPE, 3)
    given = Stage(AutoPGD, rule, SHORT)
    plan = Plan("mine", (Stage(AutoPGD, STBP(), SHORT), given, given))
    found = suited(plan, classifier, np.inf, torch.rand(4, *adapted.SHAPE))
    assert found.stages == [given, given]
    assert found.native == {}
    x = np.random.default_rng(0).random((4, *adapted.SHAPE), dtype=np.float32)
    attack = SpikingAutoAttack(classifier, eps=0.01, plan=plan, **QUIET)
    attack.generate(x)
    assert attack.outcome.stages == (str(given),) * 2
    assert "the same stage already runs" in str(attack.outcome)


def test_a_network_that_cuts_its_own_gradient_too_is_told_so():
    class Cut(adapted.Inline):
        def forward(self, x):
            return super().forward(x.detach())

    network = adapt(Cut(16, 3), encoder=None, gradient="native")
    classifier, some = around(network, adapted.SHAPE, 3), torch.rand(4, *adapted.SHAPE)
    plan = Plan("mine", (Stage(AutoPGD, RGA()),), NATIVE)
    found = suited(plan, classifier, np.inf, some)
    assert (found.stages, found.native) == ([], {})
    (why,) = found.skipped.values()
    assert "Nor does the network's own gradient: model: expected one that the gradient" in why
    attack = SpikingAutoAttack(classifier, plan=plan, **QUIET)
    attack.generate(some.numpy())
    assert attack.outcome.stage.tolist() == [Outcome.STANDING] * 4


def test_a_random_network_is_attacked_by_draws_of_the_native_gradient():
    class Frame(adapted.Inline):
        def forward(self, x):
            return super().forward(x.flatten(0, 1)).unflatten(0, (len(x), -1))

    torch.manual_seed(0)
    network = adapt(Frame(16, 3), encoder=Poisson(4), gradient="native", readout="mean")
    classifier = around(network, adapted.SHAPE, 3)
    plan = Plan("mine", (Stage(AutoPGD, STBP(), SHORT),))
    attack = SpikingAutoAttack(classifier, eps=0.3, plan=plan, **QUIET)
    attack.generate(np.random.default_rng(0).random((3, *adapted.SHAPE), dtype=np.float32))
    assert attack.outcome.draws > 1
    assert attack.outcome.stages == ("AutoPGD(max_iter=3) by native",)
