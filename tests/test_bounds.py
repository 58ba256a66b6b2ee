"""Numbers that could only overflow, wait for ever or fill the memory are refused where they are
told, with the bound; the bound itself is taken."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest

from art_snn import ASSG, CBA, EOT, IF, LIF, RGA, Direct, Extended, Frames, Poisson, StaticCurve
from art_snn.attacks import Attack
from art_snn.experiments import compare, cost, curves, demo, inspect, scaling, sweep, train
from art_snn.gradients import ATan, Exponential, FastSigmoid, Triangle
from art_snn.models.options import Options
from art_snn.training import Recipe

STEPS, DRAWS, SEED, MOST = 100_000, 10_000, 2**32 - 1, 2**31 - 1
HUGE = 10**20

compared, costed, recorded, shown, looked_at, grown, swept, trained = (
    partial(room.Settings, output=Path("unused"))
    for room in (compare, cost, curves, demo, inspect, scaling, sweep, train)
)
WHOLE = [
    (Direct, "steps", 1, STEPS),
    (Poisson, "steps", 1, STEPS),
    (Frames, "steps", 1, STEPS),
    (partial(Extended, RGA()), "steps", 1, STEPS),
    (partial(EOT, RGA()), "samples", 1, DRAWS),
    (CBA, "levels", 1, 2**16),
    (Attack, "iterations", 1, MOST),
    (Recipe, "epochs", 1, MOST),
    (Recipe, "batch_size", 1, MOST),
    (Recipe, "seed", 0, SEED),
    (Recipe, "crop_padding", 0, 1024),
    (Recipe, "cutout", 0, 1024),
    (Options, "in_channels", 1, 2**16),
    (Options, "classes", 1, MOST),
    (Options, "image_size", 1, 2**15),
    (compared, "eot", 1, DRAWS),
    (compared, "repeats", 1, MOST),
    (compared, "seed", 0, SEED),
    (compared, "samples", 1, MOST),
    (compared, "threads", 1, 1024),
    (costed, "batch_size", 1, MOST),
    (costed, "channels", 1, 2**16),
    (costed, "image_size", 1, 2**15),
    (recorded, "pairs", 1, MOST),
    (recorded, "seed", 0, SEED),
    (shown, "epochs", 1, MOST),
    (shown, "seed", 0, SEED),
    (shown, "test_images", 1, MOST),
    (looked_at, "batch_size", 1, MOST),
    (looked_at, "channels", 1, 2**16),
    (grown, "channels", 1, 2**16),
    (grown, "repeats", 1, MOST),
    (swept, "seed", 0, SEED),
    (trained, "threads", 1, 1024),
]
NUMBERS = [
    (LIF, "decay", 1e-6, 1),
    (LIF, "threshold", 1e-4, 1e4),
    (IF, "threshold", 1e-4, 1e4),
    (RGA, "beta", 1e-4, 1e4),
    (RGA, "gamma", 0, 1e4),
    (StaticCurve, "limit", 1, 1e4),
    (ASSG, "omega", 1e-3, 10),
    (ASSG, "relax", 0, 1e3),
    (ASSG, "restart", 0, 1e6),
    (Triangle, "width", 1e-3, 1e3),
    (ATan, "alpha", 1e-3, 1e3),
    (FastSigmoid, "k", 1e-3, 1e3),
    (Exponential, "gamma", 1e-3, 1e3),
    (Exponential, "height", 1e-3, 1e3),
    (Attack, "eps", 1e-6, 1e6),
    (Attack, "eps_step", 1e-6, 1e6),
    (Recipe, "learning_rate", 0, 100),
    (Recipe, "weight_decay", 0, 1),
    (Options, "width", 0, 64),
    (shown, "train_eps", 1e-6, 1e6),
]


def name_of(value):
    return value if isinstance(value, str) else None


@pytest.mark.parametrize(("make", "name", "least", "most"), WHOLE, ids=name_of)
def test_whole_numbers_are_taken_up_to_their_bound_and_refused_above(make, name, least, most):
    make(**{name: most})
    for value in (most + 1, HUGE, 10**5000):
        message = rf"^{name}: expected a whole number from {least} to {most}, got "
        with pytest.raises(ValueError, match=message):
            make(**{name: value})


@pytest.mark.parametrize(("make", "name", "low", "high"), NUMBERS, ids=name_of)
def test_numbers_are_taken_up_to_their_bounds_and_refused_beyond(make, name, low, high):
    make(**{name: high})
    beyond = [] if high == 1 and name == "decay" else [math.nextafter(high, math.inf), 1e300]
    if low > 0:
        make(**{name: low})
        beyond += [] if name == "limit" else [math.nextafter(low, 0), 1e-300]
    for value in beyond:
        message = rf".*{name}: expected a number from {low:g} to {high:g}, got "
        with pytest.raises(ValueError, match=message.replace("+", r"\+")):
            make(**{name: value})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Attack(eps=10**400), r"eps: expected a number above 0, got 1000.*\.\.\."),
        (lambda: grown(steps=(4, HUGE)), "steps: expected a whole number from 1 to 100000, got"),
        (lambda: shown(eps=(0.1, 1e300)), r"eps: expected a number from 1e-06 to 1e\+06, got 1e"),
    ],
)
def test_numbers_that_no_float_holds_and_each_of_several_are_bounded(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


def test_corners_of_a_polyline_that_would_meet_by_rounding_are_refused():
    assert StaticCurve(limit=math.inf).limit == math.inf
    rule = RGA(beta=math.nextafter(0.9, 1))
    assert rule.corners(0.1, 1.0)[-1] > rule.corners(0.1, 1.0)[-2]
    with pytest.raises(ValueError, match=r"^beta: expected more than 1 - decay = 0\.9"):
        rule.corners(0.1, 3.0)
