"""Numbers that could only overflow, wait for ever or fill the memory are refused where they are
told, with the bound; the bound itself is taken."""

import math
import re
from functools import partial

import pytest

from art_snn import ASSG, CBA, EOT, IF, LIF, RGA, Direct, Extended, Frames, Poisson, StaticCurve
from art_snn.app.settings import Compare, Cost, Inspect, Train
from art_snn.dynamics import Dynamics
from art_snn.gradients import ATan, Exponential, FastSigmoid, Triangle
from art_snn.models import Options
from art_snn.training import Recipe

STEPS, DRAWS, SEED, MOST = 100_000, 10_000, 2**32 - 1, 2**31 - 1
HUGE = 10**20

WHOLE = {
    (1, STEPS): [(make, "steps") for make in (Direct, Poisson, Frames, partial(Extended, RGA()))],
    (1, DRAWS): [(partial(EOT, RGA()), "samples"), (Compare, "eot")],
    (1, MOST): [
        *((Recipe, "epochs batch_size"), (Options, "classes"), (Compare, "repeats samples")),
        *((Cost, "batch_size repeats"), (Inspect, "batch_size")),
    ],
    (0, SEED): [(make, "seed") for make in (Recipe, Compare)],
    (0, 1024): [(Recipe, "crop_padding cutout")],
    (1, 1024): [(Compare, "threads"), (Train, "threads")],
    (1, 2**16): [(CBA, "levels"), (Options, "in_channels")]
    + [(make, "channels") for make in (Cost, Inspect)],
    (1, 2**15): [(Options, "image_size"), (Cost, "image_size")],
}
SURROGATES = [(Triangle, "width"), (ATan, "alpha"), (FastSigmoid, "k")]
SURROGATES += [(Exponential, "gamma height")]
NUMBERS = {
    (1e-6, 1): [(LIF, "decay")],
    (1e-4, 1e4): [(LIF, "threshold"), (IF, "threshold"), (RGA, "beta")],
    (0, 1e4): [(RGA, "gamma")],
    (1, 1e4): [(StaticCurve, "limit")],
    (1e-3, 10): [(ASSG, "omega")],
    (0, 1e3): [(ASSG, "relax")],
    (0, 1e6): [(ASSG, "restart")],
    (1e-3, 1e3): SURROGATES,
    (0, 100): [(Recipe, "learning_rate")],
    (0, 1): [(Recipe, "weight_decay")],
    (0, 64): [(Options, "width")],
}


def rows(table):
    """One row for every name: make, name, least, most."""
    pairs = [(bounds, *pair) for bounds, several in table.items() for pair in several]
    return [(make, name, *bounds) for bounds, make, names in pairs for name in names.split()]


def name_of(value):
    return value if isinstance(value, str) else None


@pytest.mark.parametrize(("make", "name", "least", "most"), rows(WHOLE), ids=name_of)
def test_whole_numbers_are_taken_up_to_their_bound_and_refused_above(make, name, least, most):
    make(**{name: most})
    for value in (most + 1, HUGE, 10**5000):
        with pytest.raises(ValueError, match=rf"^{name}: .*from {least} to {most}, got "):
            make(**{name: value})


@pytest.mark.parametrize(("make", "name", "low", "high"), rows(NUMBERS), ids=name_of)
def test_numbers_are_taken_up_to_their_bounds_and_refused_beyond(make, name, low, high):
    make(**{name: high})
    beyond = [] if high == 1 and name == "decay" else [math.nextafter(high, math.inf), 1e300]
    if low > 0:
        make(**{name: low})
        beyond += [] if name == "limit" else [math.nextafter(low, 0), 1e-300]
    for value in beyond:
        message = rf"{name}: .*from {low:g} to {high:g}, got "
        with pytest.raises(ValueError, match=message.replace("+", r"\+")):
            make(**{name: value})


def test_a_number_that_no_float_holds_is_bounded():
    with pytest.raises(ValueError, match=r"^learning_rate: expected .*, got 1000.*\.\.\."):
        Recipe(learning_rate=10**400)


def test_corners_of_a_polyline_that_would_meet_by_rounding_are_refused():
    assert StaticCurve(limit=math.inf).limit == math.inf
    rule = RGA(beta=math.nextafter(0.9, 1))
    assert rule.corners(0.1, 1.0)[-1] > rule.corners(0.1, 1.0)[-2]
    assert rule.objection(Dynamics(0.1)) is None
    assert re.match(r"beta: .*1 - decay = 0\.9", rule.objection(Dynamics(0.1, 3.0)))
