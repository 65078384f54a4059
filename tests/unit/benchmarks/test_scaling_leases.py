"""Doors that lease budget from a singleton that goes away, in simulated time."""

from __future__ import annotations

from benchmarks.scaling.leases import HELD, WARM_S, Lending, table
from benchmarks.scaling.model import Model

TINY = Model(nodes=10, calls=1_000)


def test_calls_go_on_while_the_singleton_is_away() -> None:
    lending = Lending(TINY, 1, 20.0)
    told = lending.run()
    away = told.away
    assert away["refused"] == 0
    assert away["on a lease"] > 2 * away["waited"]
    assert sum(told.claims.values()) > away["on a lease"]
    calm = sum(told.lease_messages[second] for second in range(120, int(WARM_S)))
    assert 1.5 < calm / 10 < 2.5  # of a door in two minutes
    assert told.left_micros > HELD


def test_none_goes_on_without_a_lease_and_no_limit_is_passed() -> None:
    told = Lending(TINY, 1, 0.6).run()  # calls are refused for money
    assert 0 <= told.left_micros < HELD
    assert 0 < told.leased_micros <= 0.1 * 0.6 * TINY.calls * HELD
    assert told.away["refused"] > 0


def test_it_is_told_in_a_table() -> None:
    assert table(Model(nodes=3, calls=300)).count("\n") == 5
