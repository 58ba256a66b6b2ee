"""Stages, plans and ART's own attacks in them: names, budgets, what runs, what is refused."""

import copy
import dataclasses
import pickle
import zlib

import numpy as np
import pytest
import torch
from art.attacks.evasion import (
    AutoAttack,
    AutoConjugateGradient,
    AutoProjectedGradientDescent,
    DeepFool,
    DPatch,
    HopSkipJump,
    ProjectedGradientDescent as ArtPGD,
    RescalingAutoConjugateGradient,
    SquareAttack,
)
from torch import nn

from art_snn import RGA, STBP, Poisson
from art_snn.attacks import AutoPGD, Outcome, SparseDynamicAttack, SpikeRetiming, SpikingAutoAttack
from art_snn.attacks.auto_pgd import OnwardPGD
from art_snn.attacks.crafting import parse_stage
from art_snn.attacks.measures import FLIPS, MAXIMUM, MEASURES, SHIFT
from art_snn.attacks.pgd import PGD, STEP, STEPS
from art_snn.attacks.plans import DLR, PAPERS, PLANS, resolve_plan
from art_snn.attacks.square_search import SquareSearch
from art_snn.attacks.stable_adaptive_pgd import StableAdaptivePGD
from art_snn.attacks.stages import WIDE, ArtAttack, Plan, Stage, select_stages
from art_snn.gradients import ASSG, CBA, EOT, HART, ATan, Native, TemporalGradient, Triangle
from art_snn.interop import adapt
from art_snn.seeding import fix_seed
from tests import classifiers as small
from tests.attacks.classifiers import Stops, around, linear
from tests.attacks.test_square_search import RACE
from tests.audit import OURS, PREDICTIONS, ROWS, named
from tests.classifiers import DIGITS as CLASSES, build
from tests.conftest import seed_everything
from tests.interop import adapted

QUIET = {"verbose": False}
NORMS = (np.inf, 2.0, *MEASURES[2:])
SHORT = {"max_iter": 3}


NAMED = """
AutoPGD(max_iter=20) by HART(surrogate=Triangle(width=0.5)); AutoPGD HART 0.5; hart-0.5-auto-pgd-20
StableAdaptivePGD(max_iter=60) by ASSG(omega=8.089), warm; StableAdaptivePGD ASSG 8.09; \
assg-8.09-stable-adaptive-pgd-60-warm
AutoPGD(loss_type=margin) by eot(rga), within 1e-05; AutoPGD EOT RGA margin; \
eot-rga-auto-pgd-margin-within-1e-05
AutoPGD(loss_type=difference_logits_ratio) by STBP(surrogate=ATan(alpha=3.0)); \
AutoPGD STBP ATan 3 DLR; stbp-atan-3-auto-pgd-difference-logits-ratio
PGD(max_iter=7, num_random_init=0) by native; PGD native; native-pgd-7-num-random-init-0
OnwardPGD(max_iter=20), within 0.08; OnwardPGD; onward-pgd-20-transfer-within-0.08
SquareSearch(share=0.8, halving=True); SquareSearch; square-search-share-0.8-halving
"""
STAGES = [
    Stage(AutoPGD, HART(surrogate=Triangle(0.5)), {"max_iter": 20}),
    Stage(StableAdaptivePGD, ASSG(omega=8.089), {"max_iter": 60}, warm=True),
    Stage(AutoPGD, EOT(RGA()), {"loss_type": "margin"}, within=1e-5),
    Stage(AutoPGD, STBP(surrogate=ATan(alpha=3.0)), {"loss_type": DLR}),
    Stage(PGD, Native(), {"max_iter": 7, "num_random_init": 0}),
    Stage(OnwardPGD, None, {"max_iter": 20}, transfer=True, within=0.08),
    Stage(SquareSearch, None, {"share": 0.8, "halving": True}),
]


@pytest.mark.parametrize(
    ("stage", "words"), [*zip(STAGES, NAMED.strip().splitlines(), strict=True)], ids=str
)
def test_a_stage_has_a_description_a_label_and_an_id(stage, words):
    assert f"{stage}; {stage.label}; {stage.id}" == words


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", PLANS)
def test_a_named_plan_has_stages_of_the_norm_with_labels_and_ids(name, norm):
    plan = resolve_plan(name, norm)
    assert plan.name == name
    assert all(stage.budget(norm, 1) for stage in plan.stages)
    assert max(len(stage.label) for stage in plan.stages) < 45
    assert len({stage.id for stage in plan.stages}) == len({str(one) for one in plan.stages})


@pytest.mark.parametrize("name", PLANS)
def test_a_named_plan_transfers_where_there_are_sources(name):
    whole = PLANS[name][MAXIMUM]
    assert resolve_plan(name, np.inf, [build()]).stages == whole
    alone = tuple(stage for stage in whole if not stage.transfer)
    assert resolve_plan(name, np.inf).stages == alone
    assert len(whole) - len(alone) == {"fast": 1, "standard": 2, "ensemble-19": 0}[name]


@pytest.mark.parametrize("carried", [copy.deepcopy, lambda plan: pickle.loads(pickle.dumps(plan))])
def test_plans_carry_over_to_other_processes(carried):
    plan = resolve_plan("standard", np.inf)
    assert [*map(str, carried(plan).stages)] == [*map(str, plan.stages)]
    assert carried(plan).stages == plan.stages


def test_a_seed_depends_on_every_setting_of_a_stage_but_on_whom_it_attacks():
    stage = Stage(AutoPGD, RGA(), SHORT)
    assert stage.seed(3) == (3 + zlib.crc32(b"AutoPGD(max_iter=3) by rga")) % 2**32
    assert dataclasses.replace(stage, within=0.3).seed(3) == stage.seed(3)
    changes = {"warm": True}, {"rule": STBP()}, {"options": {}}, {"attack": StableAdaptivePGD}
    assert stage.seed(3) not in [dataclasses.replace(stage, **one).seed(3) for one in changes]


@pytest.mark.parametrize("norm", [np.inf, 2.0])
def test_standard_ends_with_a_search_that_is_a_control_of_250_squares_for_every_sample(norm):
    stage = resolve_plan("standard", norm).stages[-1]
    assert (stage.attack, stage.warm, stage.within) == (SquareSearch, False, None)
    assert min(RACE) * stage.options["max_iter"] >= 250


def test_stages_and_plans_do_not_change():
    given = {"max_iter": 3}
    stage = Stage(AutoPGD, RGA(), given)
    given["max_iter"] = 4
    assert stage.options["max_iter"] == 3
    plan = Plan("mine", [stage])
    assert resolve_plan(plan, 2.0) is plan
    for thing, name in ((stage, "rule"), (plan, "stages")):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(thing, name, None)


@pytest.mark.parametrize(
    ("match", "given"),
    [
        (r"^attack:.*evasion attacks, got 'AutoPGD'", ("AutoPGD",)),
        (r"^attack:.*evasion attacks, got <class 'int'>", (int,)),
        (r"^rule:.*gradient rule.*got <class", (AutoPGD, RGA)),
        (r"^rule:.*gradient rule.*got 'rga'", (AutoPGD, "rga")),
        (r"^rule:.*transfer=True, got RGA", (AutoPGD, RGA(), {}, True)),
        (r"^warm:.*that attack, .*, got True", (AutoPGD, None, {}, True, True)),
        (r"^warm:.*that attack, ", (SquareAttack, None, {}, False, True)),
        (r"^within:.*above 0", (AutoPGD, None, {}, False, False, 0)),
    ],
)
def test_stages_of_something_else_are_refused(match, given):
    with pytest.raises(ValueError, match=match):
        Stage(*given)


@pytest.mark.parametrize("stages", [(), (AutoPGD,), Stage(AutoPGD), (Stage(AutoPGD), None)])
def test_plans_of_something_else_are_refused(stages):
    with pytest.raises(ValueError, match=r"^stages: expected a tuple of one Stage or more, got "):
        Plan("mine", stages)


@pytest.mark.parametrize("plan", ["slow", 3, None, ["fast"], Stage(AutoPGD)])
def test_unknown_plans_are_refused(plan):
    with pytest.raises(ValueError, match=r"^plan: expected one of standard, fast, ensemble-19, "):
        resolve_plan(plan, np.inf)


def test_stages_become_attacks_with_budget_batch_seed_and_options():
    classifier = build()
    made = Stage(AutoPGD, RGA(), SHORT).build(classifier, 2.0, 0.5, 7, 11)
    assert type(made) is AutoPGD
    assert (made.norm, made.eps, made.batch_size, made.seed) == (2, 0.5, 7, 11)
    assert (made.max_iter, made.verbose) == (3, False)
    stage = Stage(SquareAttack, None, SHORT)
    made = stage.build(classifier, np.inf, 0.5, 7, 11)
    assert type(made) is ArtAttack
    assert made.stage is stage
    inner = stage.instantiate(classifier, np.inf, 0.5, 7, 11)
    assert (inner.norm, inner.eps, inner.batch_size) == (np.inf, 0.5, 7)
    assert (inner.max_iter, inner.verbose) == (3, False)
    assert (made.norm, made.eps, made.batch_size, made.seed) == (np.inf, 0.5, 7, 11)


class Mine(SquareAttack):
    """Derived from one of ART's."""


class Foreign(DPatch):
    """An attack that the table lacks."""

    attack_params = DPatch.attack_params + ["eps"]  # noqa: RUF005

    def __init__(self, estimator, eps):
        super().__init__(estimator)
        self.eps = eps


BOTH = {"norm": np.inf, "eps": 0.1}


@pytest.mark.parametrize(
    ("kind", "norm", "eps", "budget"),
    [
        *((kind, np.inf, 0.1, BOTH) for kind in (AutoPGD, SquareSearch, SquareAttack, Mine)),
        *((AutoPGD, norm, 5, None) for norm in (FLIPS, SHIFT)),
        *((SparseDynamicAttack, norm, 3, None) for norm in (SHIFT, np.inf)),
        *((SpikeRetiming, 2.0, 3, None), (SquareAttack, FLIPS, 3, None)),
        (StableAdaptivePGD, 2.0, 0.1, {"norm": 2, "eps": 0.1}),
        *((SparseDynamicAttack, FLIPS, 3, {"eps": 3}), (SpikeRetiming, SHIFT, 3, {"max_shift": 3})),
        # Every spike that is moved changes two values.
        *((SpikeRetiming, FLIPS, n, {"moved": k, "max_shift": None}) for n, k in ((5, 2), (1, 1))),
        *((HopSkipJump, np.inf, 0.1, {"norm": np.inf}), (DeepFool, np.inf, 0.1, {})),
        (Foreign, np.inf, 0.1, {"eps": 0.1}),
    ],
)
def test_an_attack_takes_the_budgets_that_it_knows(kind, norm, eps, budget):
    assert Stage(kind).budget(norm, eps) == budget


def test_those_without_gradients_are_the_ones_that_the_audit_sees_ask_for_predictions_alone():
    for row in (*ROWS, *OURS):
        assert Stage(named(row.attack)).by_gradients == (row.reach != PREDICTIONS), row.attack


@pytest.fixture(scope="module")
def inline(data):
    """A model of digits with neurons written into its forward, which nobody recognises.

    In double precision, where no batch rounds a potential over its threshold."""
    seed_everything()
    model = adapted.Inline(64, CLASSES, hidden=24)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    x, y = torch.as_tensor(data.x_train), torch.as_tensor(data.y_train)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.double()


@pytest.fixture(scope="module")
def native(inline):
    """A classifier of the same weights that has its own gradient alone."""
    model = adapted.Compiled(64, CLASSES, hidden=24).double()
    model.load_state_dict(inline.state_dict())
    return around(adapt(model, encoder=None), (1, 8, 8), CLASSES)


@pytest.fixture
def exchanged(inline):
    """A classifier around it of which temporal rules exchange the slopes."""
    return around(adapt(inline, encoder=None), (1, 8, 8), CLASSES)


EXCHANGES = pytest.mark.filterwarnings("ignore:the rule knows no equations")


@pytest.mark.parametrize(
    ("norm", "eps"), [(np.inf, 0.1), pytest.param(2, 0.4, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("kind", ["stbp", "native", "exchanged"])
@EXCHANGES
def test_what_pgd_7_breaks_every_plan_breaks(
    kind, norm, eps, native, exchanged, trained_layers, data
):
    ours = build(copy.deepcopy(trained_layers))
    classifier = {"stbp": ours, "native": native, "exchanged": exchanged}[kind]
    classifier.model.double()
    x, y = data.x_test.astype(np.float64), data.y_test
    rows = np.flatnonzero(classifier.predict(x).argmax(1) == y)[:24]
    x, y = x[rows], y[rows]
    options = {"eps_step": STEP * eps, "max_iter": STEPS, "batch_size": len(x), **QUIET}
    with classifier.model.using(Native() if kind == "native" else STBP()):
        pgd = ArtPGD(classifier, norm=norm, eps=eps, **options).generate(x, y)
    broken = classifier.predict(pgd).argmax(1) != y
    assert 4 < broken.sum() < len(x)
    attack = SpikingAutoAttack(classifier, norm, eps, Plan("mine", (PAPERS,)), **QUIET)
    attack.generate(x, y)
    assert attack.outcome.stages[0].id.endswith("pgd-7-num-random-init-0")
    assert (attack.outcome.stage[broken] == 0).all()


@pytest.mark.parametrize("measure", MEASURES, ids=lambda one: one.id)
def test_a_measure_has_a_usual_budget_and_an_attack_that_takes_it(measure):
    assert measure.require_budget(measure.usual_budget) == measure.usual_budget
    stage = parse_stage(None, measure, measure.usual_budget)
    assert stage.budget(measure, measure.usual_budget)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", PLANS)
def test_the_attack_that_evaluations_compare_with_is_a_stage_of_every_plan(name, norm):
    usual = dataclasses.replace(parse_stage(None, norm, 1), rule=STBP())
    stage = PAPERS if norm in (np.inf, 2) else usual
    assert str(stage) in map(str, resolve_plan(name, norm).stages)
    assert stage.within is None
    fast = resolve_plan("fast", norm).stages
    assert resolve_plan("standard", norm).stages[: len(fast)] == fast


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", PLANS)
def test_every_attack_of_a_plan_runs_once_under_the_native_gradient(name, norm, native):
    plan, some = resolve_plan(name, norm), torch.rand(2, 1, 8, 8, dtype=torch.float64)
    found = select_stages(plan, native, norm, some)
    asking = [stage for stage in plan.stages if stage.by_gradients]
    expected = dict.fromkeys(str(dataclasses.replace(stage, rule=Native())) for stage in asking)
    assert [str(one) for one in found.stages if one.by_gradients] == [*expected]
    assert [one.record() for one in found.stages] == [
        dataclasses.replace(one, status="ran", instead_of="", reason="") for one in found.records
    ]
    repeats = [one for one in found.skipped if one.status == "repeated"]
    assert len(found.native) + len(repeats) == len(asking)
    assert all(one.reason.startswith("the same stage already runs, ") for one in repeats)
    assert all("does not apply" in one.reason for one in (*found.native, *repeats))
    assert {one.instead_of for one in found.native} <= {one.label for one in asking}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", PLANS)
@EXCHANGES
def test_where_slopes_are_exchanged_rate_rules_alone_make_way_for_the_native_gradient(
    name, norm, exchanged
):
    plan, some = resolve_plan(name, norm), torch.rand(2, 1, 8, 8, dtype=torch.float64)
    found = select_stages(plan, exchanged, norm, some)
    rates = [one for one in plan.stages if not isinstance(one.rule, TemporalGradient | None)]
    kept = [stage for stage in plan.stages if stage not in rates]
    assert [one for one in found.stages if one in kept] == kept
    assert {one.rule for one in found.stages if one not in kept} <= {WIDE, Native()}
    replaced = [one for one in (*found.records, *found.skipped) if one.reason]
    assert {one.instead_of or one.label for one in replaced} == {one.label for one in rates}
    why = "nobody knows the equations of its neurons; register_neuron states them"
    assert all(why in one.reason for one in replaced)


def test_networks_of_art_snn_keep_all_stages_of_a_plan(trained_layers, known):
    classifier, some = build(trained_layers), torch.as_tensor(known[0][:2])
    for name in PLANS:
        found = select_stages(resolve_plan(name, np.inf), classifier, np.inf, some)
        assert found.stages == resolve_plan(name, np.inf).stages
        assert (found.skipped, found.native) == ((), ())


def test_where_other_rules_suit_one_that_does_not_is_replaced_once():
    classifier = around(adapted.network(), adapted.SHAPE, 3)
    refused, suits = Stage(AutoPGD, CBA(), SHORT), Stage(AutoPGD, RGA(), SHORT)
    longer = Stage(AutoPGD, CBA(), {"max_iter": 5})
    plan = Plan("mine", (refused, suits, Stage(SquareSearch), refused, longer))
    found = select_stages(plan, classifier, np.inf, torch.rand(4, *adapted.SHAPE))
    kept = (
        dataclasses.replace(refused, rule=Native()),
        suits,
        Stage(SquareSearch),
        dataclasses.replace(longer, rule=Native()),
    )
    assert found.stages == kept
    assert [one.instead_of for one in found.records] == ["AutoPGD CBA", "", "", "AutoPGD CBA"]
    (repeated,) = found.skipped
    assert (repeated.id, repeated.status) == (refused.id, "repeated")
    start = "the same stage already runs, AutoPGD(max_iter=3) by native. gradient: "
    assert repeated.reason.startswith(start)


@pytest.mark.parametrize("rule", [Native(), None], ids=["native", "the network's rule"])
def test_stages_that_ask_for_the_native_gradient_themselves_stay_as_they_are(rule):
    classifier = around(adapted.network("compiled"), adapted.SHAPE, 3)
    given = Stage(AutoPGD, rule, SHORT)
    plan = Plan("mine", (Stage(AutoPGD, CBA(), SHORT), given, given))
    x = np.random.default_rng(0).random((4, *adapted.SHAPE), dtype=np.float32)
    attack = SpikingAutoAttack(classifier, eps=0.01, plan=plan, **QUIET)
    attack.generate(x)
    assert attack.outcome.stages == (given.record(),) * 2
    assert "the same stage already runs" in str(attack.outcome)


def test_a_network_that_cuts_its_own_gradient_too_is_told_so():
    class Cut(adapted.Inline):
        def forward(self, x):
            return super().forward(x.detach())

    network = adapt(Cut(16, 3), encoder=None, gradient="native")
    classifier, some = around(network, adapted.SHAPE, 3), torch.rand(4, *adapted.SHAPE)
    attack = SpikingAutoAttack(classifier, plan=Plan("mine", (Stage(AutoPGD, RGA()),)))
    attack.set_params(**QUIET)
    attack.generate(some.numpy())
    assert attack.outcome.stages == ()
    (skipped,) = attack.outcome.skipped
    why = "Nor does the network's own gradient: model: expected one that the gradient"
    assert why in skipped.reason
    assert attack.outcome.stage.tolist() == [Outcome.STANDING] * 4


@pytest.mark.parametrize(("kind", "rule"), [(adapted.Compiled, "native"), (adapted.Inline, "stbp")])
@EXCHANGES
def test_a_random_network_is_attacked_by_draws_of_a_gradient_that_it_has(kind, rule):
    class Frame(kind):
        def forward(self, x):
            return super().forward(x.flatten(0, 1)).unflatten(0, (len(x), -1))

    torch.manual_seed(0)
    network = adapt(Frame(16, 3), encoder=Poisson(4), readout="mean")
    classifier = around(network, adapted.SHAPE, 3)
    plan = Plan("mine", (Stage(AutoPGD, STBP(), SHORT),))
    attack = SpikingAutoAttack(classifier, eps=0.3, plan=plan, **QUIET)
    attack.generate(np.random.default_rng(0).random((3, *adapted.SHAPE), dtype=np.float32))
    assert attack.outcome.draws > 1
    assert [one.id for one in attack.outcome.stages] == [f"{rule}-auto-pgd-3"]


class Far(SquareAttack):
    """Moves every value by ten, and the first one to where there is no number."""

    def generate(self, x, y=None, **kwargs):
        found = x + 10
        found[:, 0] = np.nan
        return found


def borrowed(classifier, kind=SquareAttack, eps=0.3, norm=np.inf, seed=0, **options):
    options |= {"norm": norm, "eps": eps, "batch_size": 4, "verbose": False}
    return ArtAttack(classifier, Stage(kind, None, options), norm, eps, 4, seed)


@pytest.mark.parametrize(("norm", "moved"), [(np.inf, 0.3), (2, 0.3 / np.sqrt(3))])
def test_what_is_found_is_brought_into_ball_and_range(norm, moved):
    classifier = linear([[0, 0, 0, 0], [1, 1, 1, 1]], [9, 0])
    x = np.array([[0.5, 0.5, 0.5, 0.9]])
    found = borrowed(classifier, Far, norm=norm).generate(x, [0])
    expected = [0.5, 0.5 + moved, 0.5 + moved, min(0.9 + moved, 1)]
    # It breaks nothing, and is the best there is.
    np.testing.assert_allclose(found[0], expected)


def test_it_finds_what_arts_attack_finds_from_the_same_seed():
    classifier = small.classifier()
    x, y = small.samples(classifier, 6, wrong=0)
    found = borrowed(classifier, eps=0.05, seed=4, max_iter=15).generate(x, y)
    options = {"eps": 0.05, "max_iter": 15, "batch_size": 4, "verbose": False}
    with fix_seed(4):
        theirs = SquareAttack(classifier, **options).generate(x, y)
    np.testing.assert_allclose(found, theirs, atol=1e-6)


KINDS = [AutoAttack, AutoConjugateGradient, AutoProjectedGradientDescent]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*KINDS, RescalingAutoConjugateGradient])
def test_attacks_that_ask_for_predictions_while_they_are_built_run(kind):
    classifier = small.classifier()
    x, y = small.samples(classifier, 3, wrong=0)
    few = {"max_iter": 2, "nb_random_init": 1, "batch_size": 4}
    few = {name: value for name, value in few.items() if name in kind.attack_params}
    few |= {"norm": np.inf, "eps": 0.1, "eps_step": 0.05}
    attack = ArtAttack(classifier, Stage(kind, None, few), np.inf, 0.1, 4, 0)
    assert np.abs(attack.generate(x, y) - x).max() <= 0.1 + 1e-6
    assert (attack.forwards > 1).all()


def test_an_interrupted_attack_leaves_no_hook_behind():
    classifier = small.classifier()
    x, y = small.samples(classifier, 4, wrong=0)
    classifier.predict = Stops(classifier.predict, 4)
    with small.untouched(classifier), pytest.raises(KeyboardInterrupt):
        borrowed(classifier, max_iter=9).generate(x, y)
    assert not classifier.model._forward_hooks
