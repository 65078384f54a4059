"""Erlang's formulas against published tables, exact fractions and each other."""

from __future__ import annotations

from fractions import Fraction
from math import factorial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.placement.erlang import (
    erlang_b,
    erlang_c,
    mean_wait_s,
    sessions_needed,
    sessions_needed_to_wait,
)

# Load that so many sessions carry. At 2 % blocking: Lucent Technologies, "Read an
# Erlang table" (garywagoner.tripod.com/traffic/ERLANG.HTML); at the others:
# T. S. Rappaport, Wireless Communications, 2nd ed., table 3.4.
LUCENT = {5: 1.657, 15: 9.010, 25: 17.505, 37: 28.254, 49: 39.323, 75: 63.900,
          89: 77.342}  # fmt: skip
RAPPAPORT = {
    2: (0.153, 0.105, 0.065, 0.046),
    4: (0.869, 0.701, 0.535, 0.439),
    5: (1.36, 1.13, 0.900, 0.762),
    10: (4.46, 3.96, 3.43, 3.09),
    20: (12.0, 11.1, 10.1, 9.41),
    24: (15.3, 14.2, 13.0, 12.2),
    70: (56.1, 53.7, 51.0, 49.2),
    100: (84.1, 80.9, 77.4, 75.2),
}
ROWS = [(sessions, 0.02, load, 0.001) for sessions, load in LUCENT.items()] + [
    (sessions, blocking, load, 0.001 if load < 1 else 0.01 if load < 10 else 0.1)
    for sessions, loads in RAPPAPORT.items()
    for blocking, load in zip((0.01, 0.005, 0.002, 0.001), loads, strict=True)
]


@pytest.mark.parametrize(("sessions", "blocking", "load", "digit"), ROWS)
def test_erlang_b_and_its_inverse_are_those_of_the_tables(
    sessions: int, blocking: float, load: float, digit: float
) -> None:
    """To the last digit that they print."""
    assert erlang_b(load - digit, sessions) < blocking < erlang_b(load + digit, sessions)
    assert sessions_needed(load - digit, blocking) == sessions
    assert sessions_needed(load + digit, blocking) == sessions + 1


def test_fifteen_lines_at_one_per_cent() -> None:
    """erlang.com, calculator manual: 8.108 Erlang."""
    assert round(erlang_b(8.108, 15), 5) == 0.01
    assert (sessions_needed(8.108, 0.01), sessions_needed(8.2, 0.01)) == (15, 16)


def test_the_call_centre_of_the_textbooks_waits() -> None:
    """360 calls in half an hour of 4 minutes each, 55 agents: 48 Erlang, 23.9 %
    wait, 8.2 s on average (mitan.co.uk, The Erlang-C Formula). 10 Erlang and 14
    agents: 17.4 % (callcentrehelper.com, Erlang C made simple)."""
    assert erlang_c(48.0, 55) == pytest.approx(0.239, abs=0.0005)
    assert mean_wait_s(48.0, 55, 240.0) == pytest.approx(8.2, abs=0.05)
    assert erlang_c(10.0, 14) == pytest.approx(0.174, abs=0.0005)
    assert sessions_needed_to_wait(10.0, 0.175) == 14


@pytest.mark.parametrize("sessions", [1, 3, 10, 40, 150])
@pytest.mark.parametrize("load", [Fraction(1, 100), Fraction(5, 2), Fraction(30), Fraction(140)])
def test_the_recursion_is_the_formula(load: Fraction, sessions: int) -> None:
    terms = [load**k / factorial(k) for k in range(sessions + 1)]
    assert erlang_b(float(load), sessions) == pytest.approx(float(terms[-1] / sum(terms)))
    if load < sessions:
        last = terms[-1] * sessions / (sessions - load)
        waits = last / (sum(terms[:-1]) + last)
        assert erlang_c(float(load), sessions) == pytest.approx(float(waits))


def test_thousands_of_sessions_keep_their_digits() -> None:
    assert 0.005 < erlang_b(5_000.0, 5_000) < 0.02  # about sqrt(2 / (pi a))
    assert erlang_b(1e6, 1_000) == pytest.approx(0.999, abs=1e-5)
    assert erlang_b(1e-9, 100) == 0.0
    assert sessions_needed(10_000.0, 1e-9) < 10_700


def test_where_there_is_nothing() -> None:
    assert erlang_b(0.0, 0) == 1.0
    assert (erlang_b(0.0, 1), erlang_c(0.0, 1)) == (0.0, 0.0)
    assert (erlang_c(3.0, 3), mean_wait_s(3.0, 3, 60.0)) == (1.0, float("inf"))
    assert (sessions_needed(0.0, 0.01), sessions_needed_to_wait(0.0, 0.01)) == (1, 1)
    assert sessions_needed(5.0, 1.0) == 0


@pytest.mark.parametrize(
    ("load", "part", "named"),
    [(-1.0, 0.1, "load"), (float("nan"), 0.1, "load"), (float("inf"), 0.1, "load"),
     (1.0, 0.0, "blocking"), (1.0, 1.1, "blocking")],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(load: float, part: float, named: str) -> None:
    with pytest.raises(InvalidRequest, match=named) as refused:
        sessions_needed(load, part)
    assert refused.value.field == named


def test_no_fewer_than_no_sessions() -> None:
    with pytest.raises(InvalidRequest, match="sessions is -1"):
        erlang_b(1.0, -1)


@given(st.floats(0.001, 300), st.floats(0.0001, 0.5))
def test_the_inverse_is_the_fewest(load: float, part: float) -> None:
    needed = sessions_needed(load, part)
    assert erlang_b(load, needed) <= part < erlang_b(load, needed - 1)
    waiting = sessions_needed_to_wait(load, part)
    assert erlang_c(load, waiting) <= part < erlang_c(load, waiting - 1)
    assert waiting >= needed
