"""Noise suppression by the CPU of an audio worker: by literal clocks, then simulated."""

from __future__ import annotations

import random
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.media.adaptation import PLANS, Adaptation, Level, Load, Targets
from reception.media.suppression import Suppression, SuppressionChanged


def fed(switch: Suppression, cpu: float, from_s: int, to_s: int) -> list[SuppressionChanged]:
    changes = [
        switch.observe(cpu, float(at_s), level_changed=False) for at_s in range(from_s, to_s)
    ]
    return [change for change in changes if change is not None]


@pytest.mark.parametrize(("cpu", "on"), [(69.9, True), (70.0, False), (100.0, False)])
def test_it_goes_with_the_threshold_after_two_seconds(cpu: float, on: bool) -> None:
    switch = Suppression(Targets())
    fed(switch, cpu, 0, 2)
    assert switch.on
    fed(switch, cpu, 2, 60)
    assert switch.on is on


def test_each_change_says_why() -> None:
    switch = Suppression(Targets())
    assert fed(switch, 72.34, 0, 3) == [
        SuppressionChanged(2.0, False, "cpu_percent 72.3 >= 70.0 for 2 s")
    ]
    assert fed(switch, 48.94, 3, 34) == [
        SuppressionChanged(33.0, True, "cpu_percent 48.9 < 49.0 for 30 s")
    ]


def test_a_short_peak_changes_nothing() -> None:
    switch = Suppression(Targets())
    for at_s in range(0, 99, 3):
        assert not fed(switch, 100.0, at_s, at_s + 2)
        assert not fed(switch, 20.0, at_s + 2, at_s + 3)


def test_between_calm_and_the_threshold_it_stays_as_it_is() -> None:
    switch = Suppression(Targets())
    assert not fed(switch, 60.0, 0, 3_600)
    fed(switch, 80.0, 3_600, 3_603)
    assert not fed(switch, 60.0, 3_603, 7_200)
    assert not switch.on


def test_it_comes_back_later_where_the_last_return_did_not_last() -> None:
    switch, returns = Suppression(Targets()), []
    at_s = 0
    for _ in range(7):
        [off] = fed(switch, 75.0, at_s, at_s + 3)
        back = fed(switch, 20.0, at_s + 3, at_s + 1_200)
        returns.append(back[0].at_s - off.at_s - 1)
        at_s = int(back[0].at_s) + 1
    assert returns == [30, 60, 120, 240, 480, 960, 960]
    assert not fed(switch, 20.0, at_s, at_s + 200)
    fed(switch, 75.0, at_s + 200, at_s + 203)
    assert fed(switch, 20.0, at_s + 203, at_s + 240)  # that one lasted


def test_it_waits_for_a_level_that_has_just_come_back() -> None:
    switch = Suppression(Targets())
    fed(switch, 75.0, 0, 3)
    assert not fed(switch, 20.0, 3, 33)
    assert switch.observe(20.0, 33.0, level_changed=True) is None
    assert not fed(switch, 20.0, 34, 63)
    assert switch.observe(20.0, 63.0, level_changed=False) is not None


def test_a_level_that_changes_does_not_keep_it() -> None:
    """Both have the same bound: what is too much goes at once."""
    switch = Suppression(Targets())
    fed(switch, 75.0, 0, 2)
    assert switch.observe(75.0, 2.0, level_changed=True) is not None


def test_an_operators_level_has_it() -> None:
    switch = Suppression(Targets())
    fed(switch, 75.0, 0, 3)
    switch.restore()
    assert switch.on
    assert not fed(switch, 75.0, 3, 5)


def test_it_leaves_the_rest_of_the_plan_as_it_is() -> None:
    switch = Suppression(Targets())
    assert [switch.plan(plan) for plan in PLANS] == list(PLANS)
    fed(switch, 75.0, 0, 3)
    assert not any(switch.plan(plan).suppression for plan in PLANS)
    assert [switch.plan(plan).level for plan in PLANS] == list(Level)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=300))
def test_whatever_the_load_changes_are_apart(loads: list[tuple[float, bool]]) -> None:
    targets = Targets(calm_s=5.0, longest_calm_s=40.0)
    switch, last_s = Suppression(targets), -inf
    for at_s, (cpu, level_changed) in enumerate(loads):
        before = switch.on
        change = switch.observe(cpu, float(at_s), level_changed=level_changed)
        assert switch.on is (before if change is None else change.suppression)
        if change is not None:
            assert change.suppression is not before
            assert at_s - last_s >= (targets.calm_s if change.suppression else targets.rise_s)
            last_s = at_s


# ---------------------------------------------------------------- simulations


class Worker:
    """A worker of calls that all want suppression: its CPU follows from the level and the
    switch, as `Effort` asks them."""

    COST_PERCENT = (1.1, 1.0, 0.6, 0.4)  # of a core for each call, by level
    SUPPRESSION_PERCENT = 0.45

    def __init__(self, calls: float, seed: int) -> None:
        self._calls, self._dice = calls, random.Random(seed)
        self.adaptation, self.switch = Adaptation(Targets()), Suppression(Targets())
        self.now_s = 0
        self.changes: list[int] = []

    def run(self, seconds: int) -> None:
        for at_s in range(self.now_s, self.now_s + seconds):
            plan = self.switch.plan(self.adaptation.plan)
            cost = self.COST_PERCENT[plan.level] + self.SUPPRESSION_PERCENT * plan.suppression
            cpu = min(100.0, max(0.0, self._calls * cost + self._dice.gauss(0.0, 2.0)))
            change = self.adaptation.observe(Load(cpu_percent=cpu), float(at_s))
            switch = self.switch.observe(cpu, float(at_s), level_changed=change is not None)
            self.changes += [at_s] * ((change is not None) + (switch is not None))
        self.now_s += seconds


@pytest.mark.parametrize("seed", range(3))
def test_where_doing_without_is_enough_it_does_without_and_nothing_swings(seed: int) -> None:
    """46 calls are 71 % with suppression, 51 % without at quality, 46 % at balanced."""
    worker = Worker(46.0, seed)
    worker.run(3_600)
    assert not worker.switch.plan(worker.adaptation.plan).suppression
    assert worker.adaptation.level is Level.QUALITY
    assert len(worker.changes) <= 4
    worker._calls = 10.0
    worker.run(300)
    assert worker.switch.plan(worker.adaptation.plan).suppression


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("calls", [44.0, 50.0, 62.0, 80.0, 130.0])
@pytest.mark.simulation
def test_a_load_between_with_and_without_does_not_swing(calls: float, seed: int) -> None:
    """The worst: a return brings the load back, so that level and switch wait twice as
    long each time, up to 960 s."""
    worker = Worker(calls, seed)
    worker.run(2 * 3_600)
    before = len(worker.changes)
    worker.run(3_600)
    assert before <= 30
    assert len(worker.changes) - before <= 8
