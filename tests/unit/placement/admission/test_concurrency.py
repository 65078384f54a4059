"""The adaptive limit: by literal clocks, then with nodes that slow down under calls."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from math import nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.placement.admission.concurrency import AdaptiveLimit, LimitRules, NodeLoad

RULES = LimitRules(broken_s=2.0, kept_percent=90, grow_s=10.0, longest_grow_s=40.0)
WELL = NodeLoad(misses_per_s=1.0, lag_p95_ms=5.0, cpu_percent=40.0)
SLOW = NodeLoad(lag_p95_ms=20.0)
BETWEEN = NodeLoad(lag_p95_ms=17.0)


def observed(
    limit: AdaptiveLimit, load: NodeLoad, live: int, start_s: int, seconds: int
) -> list[int]:
    """The limit after each second of a load."""
    limits = []
    for now_s in range(start_s, start_s + seconds):
        limit.observe(load, live, float(now_s))
        limits.append(limit.limit)
    return limits


def test_it_begins_with_the_capacity_and_stays_while_all_is_well() -> None:
    limit = AdaptiveLimit(RULES, 100)
    assert observed(limit, WELL, 100, 0, 100) == [100] * 100


@pytest.mark.parametrize(
    ("load", "past"),
    [
        (NodeLoad(misses_per_s=5.0), "misses_per_s 5.0 >= 5.0"),
        (NodeLoad(lag_p95_ms=31.25), "lag_p95_ms 31.2 >= 20.0"),
        (NodeLoad(cpu_percent=99.0), "cpu_percent 99.0 >= 85.0"),
        (NodeLoad(6.0, 0.0, 90.0), "misses_per_s 6.0 >= 5.0, cpu_percent 90.0 >= 85.0"),
    ],
)
def test_a_bound_that_stays_broken_cuts_the_limit(load: NodeLoad, past: str) -> None:
    limit = AdaptiveLimit(RULES, 100)
    assert observed(limit, load, 50, 0, 2) == [100, 100]
    assert limit.past == ""
    assert observed(limit, load, 50, 2, 5) == [90, 90, 81, 81, 72]
    assert limit.past == past
    limit.observe(BETWEEN, 50, 7.0)
    assert limit.past == ""


def test_a_break_that_does_not_last_cuts_nothing() -> None:
    limit = AdaptiveLimit(RULES, 100)
    for start_s in range(0, 60, 3):
        observed(limit, SLOW, 100, start_s, 2)
        observed(limit, WELL, 100, start_s + 2, 1)
    assert limit.limit == 100


def test_it_is_not_cut_again_before_calls_have_ended_down_to_it() -> None:
    limit = AdaptiveLimit(RULES, 100)
    assert observed(limit, SLOW, 100, 0, 60)[-1] == 90
    assert observed(limit, SLOW, 91, 60, 60)[-1] == 90
    assert observed(limit, SLOW, 90, 120, 1) == [81]


def test_it_is_never_cut_below_the_floor() -> None:
    limit = AdaptiveLimit(LimitRules(floor=3), 5)
    assert observed(limit, SLOW, 0, 0, 60)[-1] == 3
    assert AdaptiveLimit(LimitRules(floor=3), 2).limit == 2


def cut(live: int = 90) -> AdaptiveLimit:
    """From 100 to 90, at 2 s."""
    limit = AdaptiveLimit(RULES, 100)
    observed(limit, SLOW, live, 0, 3)
    return limit


def test_it_grows_a_step_at_a_time_after_calm_back_to_the_capacity() -> None:
    limit = cut()
    grown = observed(limit, WELL, 90, 3, 56)
    assert (grown[9], grown[10], grown[20], grown[21]) == (90, 92, 92, 94)
    assert grown[-1] == 100
    assert observed(limit, WELL, 100, 59, 100)[-1] == 100


def test_a_small_node_grows_by_one() -> None:
    limit = AdaptiveLimit(RULES, 4)
    assert observed(limit, SLOW, 4, 0, 3)[-1] == 3
    assert observed(limit, WELL, 3, 3, 11)[-1] == 4


def test_it_does_not_grow_below_half_use_nor_near_a_bound() -> None:
    assert observed(cut(), WELL, 45, 3, 60)[-1] == 90
    assert observed(cut(), WELL, 46, 3, 11)[-1] == 92
    assert observed(cut(), BETWEEN, 90, 3, 60)[-1] == 90
    assert observed(cut(), NodeLoad(lag_p95_ms=nan), 90, 3, 60)[-1] == 90


def test_growth_that_does_not_last_makes_the_next_wait_longer() -> None:
    limit = cut()
    observed(limit, WELL, 90, 3, 11)  # 92 at 13 s
    observed(limit, SLOW, 92, 14, 3)
    assert limit.limit == 82
    grown = observed(limit, WELL, 82, 17, 21)
    assert (grown[19], grown[20]) == (82, 84)


def test_without_loads_for_a_while_what_was_seen_does_not_count() -> None:
    limit = AdaptiveLimit(RULES, 100)
    limit.observe(SLOW, 50, 0.0)
    limit.observe(SLOW, 50, 11.0)
    assert (limit.limit, limit.past) == (100, "")


loads = st.builds(NodeLoad, st.floats(0, 10), st.floats(0, 40), st.floats(0, 100))


@given(
    st.integers(0, 300),
    st.integers(0, 20),
    st.lists(st.tuples(loads, st.integers(0, 300), st.floats(0, 30)), max_size=60),
)
def test_whatever_is_measured_it_stays_between_floor_and_capacity(
    capacity: int, floor: int, seen: list[tuple[NodeLoad, int, float]]
) -> None:
    """And each change has its reason: down only past a bound and not below
    live calls' reach, up only when all is well and more than half is in use."""
    rules = LimitRules(floor=floor, grow_s=1.0)
    limit, now_s = AdaptiveLimit(rules, capacity), 0.0
    for load, live, passed_s in seen:
        now_s += passed_s
        before = limit.limit
        limit.observe(load, live, now_s)
        assert min(floor, capacity) <= limit.limit <= capacity
        if limit.limit < before:
            assert limit.past != ""
            assert live <= before
            assert limit.limit >= before * 0.9 - 1
        if limit.limit > before:
            assert limit.past == ""
            assert 2 * live > before
            assert load.lag_p95_ms < rules.calm * rules.lag_p95_ms


# ---------------------------------------------------------------- simulations

KNEE = 111.0  # a queue with so much room: 20 ms of lag at 100 calls


def queue(calls: int) -> float:
    """Lag that explodes near full use, as waiting does in an M/M/1 queue."""
    return 2.0 / (1.0 - calls / KNEE) if calls < KNEE - 1 else 200.0


def straight(calls: int) -> float:
    return 0.2 * calls


def wall(calls: int) -> float:
    return 3.0 if calls < 100 else 60.0


@dataclass
class Node:
    """Calls come at random and last 120 s in the mean; the lag follows their
    number, 10 % up or down. Every shape breaks the bound at 100 calls, half of
    the node's capacity by its rules."""

    lag_ms: Callable[[int], float]
    rate_per_s: float
    seed: int
    slower: Callable[[int], float] = lambda _: 1.0
    live: list[int] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    past_s: list[int] = field(default_factory=list)

    def run(self, seconds: int) -> Node:
        dice = random.Random(self.seed)
        limit, ends, next_s = AdaptiveLimit(LimitRules(), 200), list[float](), 0.0
        for now_s in range(seconds):
            while ends and ends[0] <= now_s:
                heapq.heappop(ends)
            while next_s <= now_s:
                next_s += dice.expovariate(self.rate_per_s)
                if len(ends) < limit.limit and not limit.past:
                    heapq.heappush(ends, now_s + dice.expovariate(1 / 120.0))
            load = self.lag_ms(round(len(ends) * self.slower(now_s))) * dice.uniform(0.9, 1.1)
            limit.observe(NodeLoad(lag_p95_ms=load), len(ends), float(now_s))
            self.live.append(len(ends))
            self.limits.append(limit.limit)
            if limit.past:
                self.past_s.append(now_s)
        return self

    def mean_live(self, since_s: int, until_s: int) -> float:
        return sum(self.live[since_s:until_s]) / (until_s - since_s)


@pytest.mark.simulation
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("rate_per_s", [2.0, 5.0])
@pytest.mark.parametrize("lag_ms", [queue, straight, wall])
def test_too_many_calls_settle_at_what_the_node_carries(
    lag_ms: Callable[[int], float], rate_per_s: float, seed: int
) -> None:
    """Two and a half and six times too many. From a quarter of an hour on, neither
    limit nor calls swing, and the bound is broken for 1 % of the time at most."""
    node = Node(lag_ms, rate_per_s, seed).run(7_200)
    assert 80 <= min(node.limits[900:]) <= max(node.limits[900:]) <= 110
    assert max(node.live[900:]) <= 106
    assert node.mean_live(900, 7_200) >= 80
    assert len([at_s for at_s in node.past_s if at_s >= 900]) <= 63


@pytest.mark.simulation
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("rate_per_s", [0.83, 1.0])
@pytest.mark.parametrize("lag_ms", [queue, straight, wall])
def test_calls_just_about_what_it_carries_fare_well(
    lag_ms: Callable[[int], float], rate_per_s: float, seed: int
) -> None:
    """The limit seldom binds then, so it runs ahead of the calls by up to their
    number; but calls come no faster than they go, and each time that they pass
    the bound it is put back within seconds."""
    node = Node(lag_ms, rate_per_s, seed).run(7_200)
    assert max(node.live) <= 112
    assert node.mean_live(900, 7_200) >= 80
    assert len(node.past_s) <= 7_200 * 0.04


@pytest.mark.simulation
@pytest.mark.parametrize("seed", [1, 2])
def test_few_calls_never_meet_the_limit(seed: int) -> None:
    node = Node(queue, 0.5, seed).run(9_000)
    assert set(node.limits) == {200}


@pytest.mark.simulation
@pytest.mark.parametrize("seed", [1, 2])
def test_it_follows_a_node_that_gets_slower_and_faster_again(seed: int) -> None:
    """From 3,000 s to 6,000 s it carries 60 calls."""

    def slower(now_s: int) -> float:
        return 100 / 60 if 3_000 <= now_s < 6_000 else 1.0

    node = Node(queue, 2.0, seed, slower).run(12_000)
    assert node.mean_live(900, 3_000) >= 85
    assert 48 <= node.mean_live(3_300, 6_000) <= 61  # as soon as calls have ended
    assert max(node.live[3_300:6_000]) <= 66
    assert node.mean_live(9_000, 12_000) >= 85
