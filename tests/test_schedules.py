import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.fitting.schedules import Constant, Cosine, Linear, OneCycle, Schedule

# The factor once warm, `at` from 0 to 1.
FORMULAS = {
    "constant": lambda at: 1.0,
    "linear": lambda at: 1 - at,
    "cosine": lambda at: math.cos(math.pi * at / 2) ** 2,  # the half-angle form
    "one_cycle": lambda at: math.cos(math.pi * at / 2) ** 2,
}
START = {"constant": 0, "linear": 0, "cosine": 0, "one_cycle": 1 / 25}

each_name = pytest.mark.parametrize("name", Schedule.kinds)
many = settings(deadline=None, database=None, max_examples=50)
shares = st.floats(0, 1)
warmups = st.floats(0.01, 0.99)


def test_every_schedule_has_a_formula():
    assert set(Schedule.kinds) == set(FORMULAS) == set(START)


@each_name
@many
@given(at=shares)
def test_schedule_without_warm_up_is_its_formula(name, at):
    schedule = Schedule.kinds[name](warmup=0)
    assert schedule.factor(at) == pytest.approx(FORMULAS[name](at), abs=1e-12)


@each_name
@many
@given(at=shares, warmup=warmups)
def test_schedule_is_its_formula_once_warm(name, at, warmup):
    schedule = Schedule.kinds[name](warmup=warmup)
    moment = warmup + at * (1 - warmup)
    assert schedule.factor(moment) == pytest.approx(FORMULAS[name](at), abs=1e-9)


@each_name
@many
@given(at=shares, warmup=warmups)
def test_warm_up_rises_straight_from_the_start_to_one(name, at, warmup):
    factor = Schedule.kinds[name](warmup=warmup).factor(at * warmup)
    assert factor == pytest.approx(np.interp(at, [0, 1], [START[name], 1]), abs=1e-9)


@each_name
@many
@given(at=shares, warmup=st.floats(0, 0.99))
def test_factor_lies_between_zero_and_one(name, at, warmup):
    assert -1e-12 <= Schedule.kinds[name](warmup=warmup).factor(at) <= 1 + 1e-12


@each_name
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_factor_does_not_jump(name, warmup):
    schedule = Schedule.kinds[name](warmup=warmup)
    factors = [schedule.factor(at) for at in np.linspace(0, 1, 1001)]
    assert np.abs(np.diff(factors)).max() < 0.02


@each_name
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_factor_reaches_one_and_never_rises_after_it(name, warmup):
    schedule = Schedule.kinds[name](warmup=warmup)
    assert schedule.factor(warmup) == 1
    factors = [schedule.factor(at) for at in np.linspace(warmup, 1, 201)]
    assert all(np.diff(factors) <= 1e-12)


@pytest.mark.parametrize("kind", [Linear, Cosine, OneCycle])
def test_falling_schedule_ends_at_zero(kind):
    assert kind().factor(1) == pytest.approx(0, abs=1e-12)


def test_schedules_start_where_they_are_said_to():
    assert [kind().factor(0) for kind in (Constant, Linear, Cosine)] == [1, 1, 1]
    assert OneCycle().factor(0) == 1 / 25
    assert OneCycle().factor(0.25) == 1
    assert OneCycle().factor(0.125) == pytest.approx((1 + 1 / 25) / 2)
