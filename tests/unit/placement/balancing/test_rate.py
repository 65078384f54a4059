"""Rates of what happened lately."""

from __future__ import annotations

import pytest

from reception.errors import InvalidRequest
from reception.placement.balancing.rate import Rate


def test_a_steady_rate_is_told_as_it_is() -> None:
    rate = Rate(tau_s=10.0)
    for tenth in range(1_000):
        rate.add(tenth / 10)
    assert rate.at(100.0) == pytest.approx(10.0, rel=0.01)


def test_what_is_long_ago_is_forgotten() -> None:
    rate = Rate(tau_s=10.0)
    rate.add(5.0)
    assert rate.at(5.0) == pytest.approx(0.1)
    assert rate.at(15.0) == pytest.approx(0.1 / 2.71828, rel=1e-4)
    assert rate.at(500.0) < 1e-9


def test_a_clock_that_steps_back_adds_nothing() -> None:
    rate = Rate(tau_s=10.0)
    rate.add(5.0)
    rate.add(4.0)
    assert rate.at(3.0) == pytest.approx(0.2)


def test_a_time_constant_is_above_zero() -> None:
    with pytest.raises(InvalidRequest, match="tau_s"):
        Rate(0.0)
