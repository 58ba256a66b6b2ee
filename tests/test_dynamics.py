"""The simulation: values computed by hand, and the laws of the state equations."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from art_snn.dynamics import Dynamics


def column(values):
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)


@pytest.mark.parametrize(
    ("decay", "threshold", "reset", "potential", "spikes"),
    [
        (1.0, 1.0, "hard", [0.6, 1.5, 1.2, 0.35], [0, 1, 1, 0]),
        (0.5, 1.0, "hard", [0.6, 1.2, 1.2, 0.35], [0, 1, 1, 0]),
        (1.0, 1.0, "soft", [0.6, 1.5, 1.7, 1.05], [0, 1, 1, 1]),
        (0.5, 1.0, "soft", [0.6, 1.2, 1.3, 0.5], [0, 1, 1, 0]),
        (0.5, 0.5, "hard", [0.6, 0.9, 1.2, 0.35], [1, 1, 1, 0]),
        (0.5, 0.5, "soft", [0.6, 0.95, 1.425, 0.8125], [1, 1, 1, 1]),
        (1.0, 2.0, "hard", [0.6, 1.5, 2.7, 0.35], [0, 0, 1, 0]),
    ],
)
def test_potentials_and_spikes_are_those_by_hand(decay, threshold, reset, potential, spikes):
    dynamics = Dynamics(decay, threshold, reset)
    u = torch.full((4, 1, 1), math.nan, dtype=torch.float64)
    current = column([0.6, 0.9, 1.2, 0.35])
    assert dynamics.simulate(current, u).flatten().tolist() == spikes
    assert u.flatten().tolist() == pytest.approx(potential, abs=1e-12)


@pytest.mark.parametrize("form", [list, tuple, torch.tensor, lambda v: torch.tensor(v).view(4, 1)])
def test_every_step_may_have_its_decay(form):
    decays = form([1.0, 0.5, 0.5, 1.25])
    dynamics = Dynamics(list(decays) if isinstance(decays, torch.Tensor) else decays)
    u = torch.empty(4, 1, 1, dtype=torch.float64)
    assert dynamics.simulate(column([0.6] * 4), u).flatten().tolist() == [0, 0, 1, 0]
    assert u.flatten().tolist() == pytest.approx([0.6, 0.9, 1.05, 0.6], abs=1e-12)
    assert dynamics == Dynamics([1.0, 0.5, 0.5, 1.25]) == eval(repr(dynamics))
    with pytest.raises(ValueError, match=r"decay: .*3 time steps, got 4"):
        dynamics.simulate(column([0.6] * 3))


RATES = {1.0: {0.5: 1 / 2, 0.26: 1 / 4}, 0.5: {0.3: 0, 0.55: 0.25, 0.9: 0.5, 1.5: 1}}
RATES |= {0.9: {0.15: 1 / 11, 0.3: 0.25}}


@pytest.mark.parametrize("decay", RATES)
def test_a_constant_current_gives_the_static_rate(decay):
    for current, rate in RATES[decay].items():
        spikes = Dynamics(decay).simulate(column([current] * 44))
        assert spikes.mean().item() == pytest.approx(rate)
    # It fires at exactly the threshold.
    assert Dynamics(1.0).simulate(column([0.5, 0.5, 1.0])).flatten().tolist() == [0, 1, 1]


@pytest.mark.parametrize("decay", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("with_potential", [False, True])
def test_spikes_are_written_to_a_buffer_that_is_given(with_potential, reset, decay):
    current = torch.randn(8, 6, 5) + 0.5
    dynamics = Dynamics(decay, 1.0, reset)
    u, expected_u = torch.empty_like(current[:, 2:4]), torch.empty_like(current)
    expected = dynamics.simulate(current, expected_u)
    assert torch.equal(dynamics.simulate(current), expected)
    whole = torch.full_like(current, math.nan)
    # A part of a larger buffer: some samples of a batch.
    got = dynamics.simulate(current[:, 2:4], u if with_potential else None, whole[:, 2:4])
    assert got.data_ptr() == whole[:, 2:4].data_ptr()
    assert torch.equal(whole[:, 2:4], expected[:, 2:4])
    assert whole[:, :2].isnan().all()
    assert whole[:, 4:].isnan().all()
    assert not with_potential or torch.equal(u, expected_u[:, 2:4])
    assert 0 < got.mean() < 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_call_starts_from_rest_leaves_the_current_alone_and_takes_views(dtype):
    view = (torch.rand(2, 3) + 0.3).to(dtype).expand(6, 2, 3).requires_grad_()
    current = view.detach().contiguous()
    before = current.clone()
    first = Dynamics().simulate(current)
    for view_or_copy in (current, view):
        spikes = Dynamics().simulate(view_or_copy)
        assert torch.equal(spikes, first)
        assert spikes.dtype == dtype
        assert not spikes.requires_grad
    assert torch.equal(current, before)
    assert set(first.unique().tolist()) == {0, 1}


@settings(deadline=None, derandomize=True, database=None, max_examples=60)
@given(
    currents=st.lists(st.floats(-2, 3), min_size=1, max_size=12),
    decay=st.floats(0.05, 1),
    threshold=st.floats(0.1, 3),
)
def test_a_soft_reset_accounts_for_every_bit_of_charge(currents, decay, threshold):
    u = column(currents)
    spikes = Dynamics(decay, threshold, "soft").simulate(column(currents), u).flatten()
    age = torch.arange(len(currents) - 1, -1, -1, dtype=torch.float64)
    charge = (decay**age * torch.tensor(currents, dtype=torch.float64)).sum()
    spent = threshold * (decay ** age[:-1] * spikes[:-1]).sum()
    assert u[-1].item() == pytest.approx((charge - spent).item(), abs=1e-9)


REFUSED = [
    *(({"decay": -0.1}, "decay: .*at least 0"), ({"decay": 1e-7}, "decay: .*from 1e-06 to 1")),
    *(({"decay": 1.1}, "decay: .*without leak"), ({"decay": "0.5"}, "decay: .*'0.5'")),
    *(({"decay": []}, "decay: .*none"), ({"decay": [0.5, 11]}, "decay: .*from -10 to 10, got 11")),
    ({"decay": [0.5, (0.5, 0.5)]}, "decay: .*0.5, 0.5"),
    *(({"threshold": value}, "threshold: .*above 0, got") for value in (0.0, math.inf)),
    ({"threshold": (0.5, 1.0)}, "threshold: .*0.5, 1.0"),
    ({"v_reset": -1.0, "threshold": -2.0}, "threshold: .*above -1, got -2"),
    ({"v_reset": 2.0, "threshold": -1.0}, "threshold: .*above 0, got -1"),
    ({"reset": "zero"}, "reset: .*'hard', 'soft' or 'none', got 'zero'"),
    *(({"reset": None}, "reset: .*got None"), ({"gain": 0}, "gain: .*above 0")),
    ({"gain": 1e9}, "gain: .*from 0.0001 to 10000"),
    ({"constant": 1e9}, "constant: .*from -10000 to 10000"),
    *(({name: math.nan}, f"{name}: .*finite") for name in ("constant", "floor")),
    *(({"v_start": "x"}, "v_start: .*finite"), ({"reset_by": 1.0}, "reset_by: .*soft")),
    ({"v_reset": 0.5, "reset": "soft"}, "v_reset: .*not hard"),
    ({"reset_by": 0, "reset": "soft"}, "reset_by: .*above 0"),
    *(({"amplitude": 0}, "amplitude: .*above 0"), ({"max_spikes": 0}, "max_spikes: .*>= 1")),
    ({"max_spikes": 2, "strict": True}, "max_spikes: .*1, unless"),
    ({"floor": 0.5}, "floor: .*at most v_reset, 0"),
    ({"floor": -0.25, "v_reset": -0.5}, "floor: .*at most v_reset, -0.5"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED)
def test_parameters_out_of_range_are_refused(options, words):
    with pytest.raises(ValueError, match=f"^{words}"):
        Dynamics(**options)


FURTHER = {
    "gain": {"gain": 0.5},
    "constant": {"constant": 0.3},
    "strict": {"strict": True},
    "v_reset": {"v_reset": -0.5},
    "v_start": {"v_start": 0.75},
    "rest and start": {"v_reset": 0.25, "v_start": 0.0},
    "reset_by": {"reset": "soft", "reset_by": 1.5},
    "soft": {"reset": "soft", "gain": 0.5, "constant": 0.1, "v_start": 0.5},
    "all": {"gain": 2.0, "constant": -0.2, "strict": True, "v_reset": 0.25, "v_start": 0.5},
    "max_spikes": {"max_spikes": 2},
    "several soft": {"max_spikes": None, "reset": "soft"},
    "floor": {"floor": -0.25},
    "all of sinabs": {"max_spikes": None, "reset": "soft", "floor": -0.5, "gain": 2.0},
    "floor alone": {"reset": "none", "floor": 0.0},
}


def by_hand(dynamics, currents):
    """Potentials and spikes of one neuron, in plain Python."""
    v, potentials, spikes = dynamics.v_start, [], []
    for x in currents:
        u = dynamics.decay * v + dynamics.gain * x + dynamics.constant
        s = u > dynamics.threshold if dynamics.strict else u >= dynamics.threshold
        if dynamics.max_spikes != 1:
            s = min(int(max(u, 0) / dynamics.threshold), dynamics.max_spikes or math.inf)
        if dynamics.reset == "hard":
            v = dynamics.v_reset if s else u
        elif dynamics.reset == "soft":
            v = u - (dynamics.threshold if dynamics.reset_by is None else dynamics.reset_by) * s
        else:
            v = u
        v = v if dynamics.floor is None else max(v, dynamics.floor)
        potentials.append(u)
        spikes.append(float(s))
    return potentials, spikes


@pytest.mark.parametrize("decay", [1.0, 0.5])
@pytest.mark.parametrize("name", FURTHER)
def test_further_parameters_obey_their_equations_and_are_told(name, decay):
    dynamics = Dynamics(decay, **FURTHER[name])
    assert not dynamics.is_standard
    assert eval(repr(dynamics), {"Dynamics": Dynamics}) == dynamics
    assert all(f"{field}=" in repr(dynamics) for field in FURTHER[name])
    # In steps of 1/8 all potentials are exact, and many lie at the threshold.
    currents = (torch.randint(-8, 24, (12, 50, 1), dtype=torch.float64) / 8).squeeze(2)
    u = torch.empty_like(currents)
    spikes = dynamics.simulate(currents, u)
    assert torch.equal(spikes, dynamics.simulate(currents))
    for i in range(50):
        potentials, fired = by_hand(dynamics, currents[:, i].tolist())
        assert u[:, i].tolist() == pytest.approx(potentials, abs=1e-12)
        assert spikes[:, i].tolist() == fired
    assert not torch.equal(spikes, Dynamics(decay, reset=dynamics.reset).simulate(currents))
    assert torch.equal(dynamics.fire(u), spikes)


def test_by_default_they_change_nothing_and_are_not_told():
    plain = Dynamics(0.5, 1.0, "hard")
    zero = {"constant": 0, "v_reset": 0, "v_start": 0}
    assert Dynamics(0.5, 1.0, gain=1, strict=False, reset_by=None, **zero) == plain
    assert repr(plain) == "Dynamics(decay=0.5, threshold=1.0, reset='hard')"
    assert plain.is_standard
    current = torch.randn(6, 100)
    assert plain.effective(current).equal(current)
    assert plain.standard == plain
    assert Dynamics(v_reset=-0.5).v_start == -0.5
    assert Dynamics(v_reset=-0.5, v_start=0).v_start == 0


OTHERS = ("gain", "constant", "v_reset", "all")
ALIKE = [Dynamics(0.5, **FURTHER[name] | {"strict": False, "v_start": None}) for name in OTHERS]
ALIKE += [Dynamics(0.5, reset="soft", reset_by=d, v_start=1.0 - d, gain=0.5) for d in (0.5, 2.0)]


@pytest.mark.parametrize("dynamics", ALIKE, ids=repr)
def test_the_standard_dynamics_fire_by_effective_currents_as_the_others_do(dynamics):
    currents = torch.randint(-8, 24, (12, 50), dtype=torch.float64) / 8
    spikes = dynamics.standard.simulate(dynamics.effective(currents))
    assert torch.equal(dynamics.simulate(currents), spikes)
    assert spikes.any()
    # What a soft reset takes is the threshold of the standard dynamics.
    assert dynamics.reset_by in (None, dynamics.standard.threshold)


def test_decay_zero_is_a_threshold_of_every_current_alone():
    current = torch.randn(6, 40)
    for reset in ("hard", "soft", "none"):
        spikes = Dynamics(0.0, 0.5, reset, strict=True).simulate(current)
        assert torch.equal(spikes, (current > 0.5).float())
