"""From a report to a weight."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.placement.balancing.weights import (
    WeightRules,
    error_share,
    freshness,
    headroom,
    slow_start,
    utilisation,
)
from tests.unit.placement.balancing.nodes import report
from tests.unit.placement.balancing.test_report import REPORTS

RULES = WeightRules()


@pytest.mark.parametrize(
    ("measured", "active", "share"),
    [
        ({}, 0, 0.0),
        ({}, 30, 0.3),
        ({"cpu": 1.0}, 0, 0.8),
        ({"memory": 0.95}, 0, 1.0),
        ({"memory": 0.38}, 30, 0.4),
        ({"lag_ms": 50.0}, 30, 0.5),
        ({"lag_ms": 200.0}, 0, 2.0),
        ({"live": 20, "misses_per_s": 25.0}, 20, 0.5),  # of 2.5 for each of 20 calls
        ({"live": 5, "misses_per_s": 10.0}, 20, 0.8),  # those that are under way miss none
        ({"misses_per_s": 5.0}, 0, 2.0),  # no call: as one
        ({}, 100, 1.0),
        ({}, 150, 1.5),
        ({"capacity": 0}, 0, 1.0),
        ({"capacity": 0}, 3, 3.0),
    ],
)
def test_utilisation_is_the_largest_share_of_a_bound(measured, active, share) -> None:
    assert utilisation(RULES, report(**measured), active) == pytest.approx(share)


def test_a_busy_processor_alone_never_fills_a_node() -> None:
    assert headroom(RULES, report(cpu=1.0), 0) == pytest.approx(0.2)


def test_errors_take_weight_as_in_a58() -> None:
    """A58: rate / (utilisation + penalty * errors / calls), at half use: a quarter
    of errors takes a third away."""
    clean, failing = (report(calls_per_s=4.0, errors_per_s=errors) for errors in (0.0, 1.0))
    assert headroom(RULES, failing, 50) / headroom(RULES, clean, 50) == pytest.approx(
        (1 / (0.5 + 1 / 4)) / (1 / 0.5)
    )
    assert error_share(report(errors_per_s=1.0)) == 0.0
    assert error_share(report(calls_per_s=1.0, errors_per_s=3.0)) == 1.0


@given(REPORTS, st.integers(0, 2_000_000), st.integers(1, 100))
def test_more_calls_never_leave_more_room(told, active, more) -> None:
    room = headroom(RULES, told, active)
    assert 0 <= headroom(RULES, told, active + more) <= room <= 1
    assert (room == 0) == (utilisation(RULES, told, active) >= 1)
    if active >= told.capacity:
        assert room == 0


def test_a_report_ages() -> None:
    ages = (-1.0, 0.0, 3.5, 5.0, 6.5, 100.0)
    assert [freshness(RULES, age_s) for age_s in ages] == [1.0, 1.0, 1.0, 0.5, 0.0, 0.0]


def test_slow_start_is_envoys() -> None:
    """https://www.envoyproxy.io, slow start mode: max(10 %, (t / window) ** (1 / a))."""
    assert [slow_start(RULES, t) for t in (0.0, 1.5, 15.0, 30.0)] == [0.1, 0.1, 0.5, 1.0]
    early = WeightRules(aggression=2.0)
    assert slow_start(early, 7.5) == pytest.approx(0.5)
    assert slow_start(RULES, -1.0) == slow_start(RULES, float("-inf")) == 0.1
    assert slow_start(WeightRules(slow_start_s=0.0), 0.0) == 1.0


@pytest.mark.parametrize(
    ("field", "value"),
    [("cpu", 0.0), ("memory", -1.0), ("lag_ms", 0.0), ("misses_per_call", float("nan")),
     ("aggression", 0.0), ("error_penalty", -1.0), ("stale_after_s", -1.0), ("slow_start_s", -1.0),
     ("slow_start_floor", 0.0), ("expires_after_s", 3.5)],
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(field: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=f"{field} is {value}: must be") as refused:
        WeightRules(**{field: value})
    assert refused.value.field == field
