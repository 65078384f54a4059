"""Changing over only when it lasts, by literal clocks."""

from __future__ import annotations

from reception.hysteresis import Patience, Sustained


def test_a_condition_lasts_from_where_it_began_until_a_break() -> None:
    lasting = Sustained(gap_s=5.0)
    assert lasting.observe(True, 10.0) == 0.0
    assert lasting.observe(True, 12.0) == 2.0
    assert lasting.observe(False, 13.0) == 0.0
    assert lasting.observe(True, 14.0) == 0.0
    assert lasting.observe(True, 19.0) == 5.0


def test_a_gap_and_a_restart_begin_the_count_anew() -> None:
    lasting = Sustained(gap_s=5.0)
    lasting.observe(True, 10.0)
    assert lasting.observe(True, 15.25) == 0.0
    assert lasting.observe(True, 16.25) == 1.0
    lasting.restart()
    assert lasting.observe(True, 16.5) == 0.0


def test_returns_that_do_not_last_double_the_wait_up_to_its_bound() -> None:
    patience = Patience(10.0, 35.0)
    waits = []
    for now_s in (100.0, 200.0, 300.0):
        patience.returned(now_s)
        patience.relapsed(now_s + 39.9)
        waits.append(patience.wait_s)
    assert waits == [20.0, 35.0, 35.0]


def test_a_return_that_lasts_sets_the_wait_back() -> None:
    patience = Patience(10.0, 80.0)
    patience.returned(0.0)
    patience.relapsed(1.0)
    patience.relapsed(2.0)  # no return in between: nothing to learn
    assert patience.wait_s == 20.0
    patience.returned(50.0)
    patience.relapsed(90.0)
    assert patience.wait_s == 10.0
