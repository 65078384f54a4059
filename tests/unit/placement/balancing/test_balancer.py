"""The balancer: shares, states, slots, ejection, panic and zones, by literal clocks."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.placement.balancing.balancer import Balancer, BalancerRules, State
from reception.placement.balancing.outliers import OutlierRules
from reception.placement.balancing.pickers import PICKERS
from reception.placement.balancing.weights import WeightRules
from tests.unit.placement.balancing.nodes import balancer, place, report


def shares(at: Balancer, now_s: float, times: int = 300, **wanted: Any) -> dict[str | None, float]:
    """Of picks that are not placed: nothing changes meanwhile."""
    got = Counter(at.pick(now_s, **wanted) for _ in range(times))
    return {node_id: count / times for node_id, count in got.items()}


def states(at: Balancer, now_s: float) -> dict[str, State]:
    return {row.node_id: row.state for row in at.view(now_s)}


def near(expected: float | dict[str, float]) -> Any:
    return pytest.approx(expected, abs=0.01)


# ---------------------------------------------------------------- shares


def test_nobody_to_pick() -> None:
    assert balancer().pick(0.0) is None
    assert balancer().view(0.0) == []


def test_one_to_two_to_four_within_two_per_cent_over_700_calls() -> None:
    at = balancer(*(report(each, 0.0, capacity=n) for each, n in (("a", 1000), ("b", 2000),
                    ("c", 4000))))  # fmt: skip
    got = Counter(place(at, 1.0) for _ in range(700))
    assert got["a"] == pytest.approx(100, rel=0.02)
    assert got["b"] == pytest.approx(200, rel=0.02)
    assert got["c"] == pytest.approx(400, rel=0.02)


def test_one_report_is_enough_to_lower_a_share() -> None:
    at = balancer(report("a", 0.0, live=30), report("b", 0.0, live=30))
    assert shares(at, 0.5) == near({"a": 0.5, "b": 0.5})
    at.heard(report("b", 1.0, live=60), 1.1)  # twice the utilisation: 0.4 free beside 0.7
    assert shares(at, 1.2) == near({"a": 7 / 11, "b": 4 / 11})
    at.heard(report("b", 2.0, live=30, lag_ms=60.0), 2.1)  # the same by its event loop
    assert shares(at, 2.2) == near({"a": 7 / 11, "b": 4 / 11})


def test_calls_count_before_they_are_reported() -> None:
    at = balancer(report("a", 0.0, capacity=10), report("b", 0.0, capacity=10))
    for _ in range(5):
        at.placed("a", 0.5)
    assert shares(at, 0.5) == near({"a": 1 / 3, "b": 2 / 3})


def test_what_is_no_news_changes_nothing() -> None:
    at = balancer(report("a", 2.0, live=10))
    for old in (report("a", 2.0, live=90), report("a", 1.0, live=90)):
        at.heard(old, 3.0)
    assert at.view(3.0)[0].active == 10


def test_a_report_from_the_future_is_one_of_now() -> None:
    at = balancer()
    at.heard(report("a", 50.0), 10.0)
    at.heard(report("a", 11.0, live=7), 11.0)
    assert at.view(11.0)[0].active == 7


# ---------------------------------------------------------------- slots


def test_a_node_gets_what_it_has_room_for_and_no_more_until_it_reports() -> None:
    at = balancer(report("a", 0.0, capacity=10, live=4, reserved=2))
    assert [place(at, 1.0) for _ in range(6)] == ["a"] * 4 + [None] * 2
    assert states(at, 1.0) == {"a": State.FULL}
    at.heard(report("a", 1.04, capacity=10, live=5), 1.1)  # may be stamped too late
    assert place(at, 1.1) == "a"
    assert place(at, 1.1) is None
    at.heard(report("a", 2.0, capacity=10, live=9), 2.1)
    assert [place(at, 2.1), place(at, 2.1)] == ["a", None]


def test_a_placement_under_way_is_in_no_report() -> None:
    at = balancer(report("a", 0.0, capacity=2))
    at.placed("a", 0.5)
    at.placed("a", 0.5)
    at.heard(report("a", 1.0, capacity=2), 1.0)
    assert at.pick(1.0) is None
    at.answered("a", 0.7, 1.2)
    at.heard(report("a", 2.0, capacity=2, live=1), 2.0)
    assert at.pick(2.0) is None
    at.answered("a", 2.5, 3.0)
    at.heard(report("a", 4.0, capacity=2, live=1), 4.0)
    assert at.pick(4.0) == "a"


@pytest.mark.parametrize("outcome", ["failed", "withdrawn"])
def test_a_slot_is_free_once_a_report_says_so(outcome: str) -> None:
    at = balancer(report("a", 0.0, capacity=1))
    at.placed("a", 0.5)
    getattr(at, outcome)("a", 0.6)
    assert at.pick(0.6) is None
    at.heard(report("a", 1.0, capacity=1), 1.0)
    assert at.pick(1.0) == "a"


def test_a_call_that_ends_before_it_was_reported_frees_its_slot_at_once() -> None:
    at = balancer(report("a", 0.0, capacity=2))
    assert [place(at, 0.5), place(at, 0.6), place(at, 0.7)] == ["a", "a", None]
    at.ended("a", 0.5)
    at.ended("a", 0.5)  # told twice
    assert [place(at, 0.7), place(at, 0.7)] == ["a", None]
    at.heard(report("a", 1.0, capacity=2, live=2), 1.0)
    at.ended("a", 0.6)  # the next report says so
    assert place(at, 1.0) is None


def test_a_placement_without_an_outcome_is_forgotten_in_the_end() -> None:
    at = balancer(report("a", 0.0, capacity=1), placing_s=30.0)
    at.placed("a", 0.5)
    at.heard(report("a", 30.0, capacity=1), 30.0)
    assert at.pick(30.0) is None
    at.heard(report("a", 31.0, capacity=1), 31.0)
    assert at.pick(31.0) == "a"
    at.answered("a", 40.0, 40.0)  # after all
    at.heard(report("a", 39.0, capacity=1), 40.0)
    assert at.pick(40.0) is None


def test_what_is_told_of_nodes_that_left_is_ignored() -> None:
    at = balancer(report("a", 0.0), report("b", 0.0))
    at.placed("b", 0.0)
    at.left("b")
    at.left("b")
    at.placed("b", 0.5)
    at.answered("b", 0.1, 0.5)
    at.failed("b", 0.5)
    at.broke("b", 0.5)
    at.withdrawn("b", 0.5)
    at.ended("b", 0.5)
    assert shares(at, 0.5) == {"a": 1.0}
    at.heard(report("b", 1.0), 1.0)
    assert at.view(1.0)[1].active == 0


def test_nothing_is_left_of_a_node_that_left() -> None:
    at = balancer(report("a", 0.0), report("b", 0.0), name="smooth_weighted")
    at.failed("b", 0.1)
    at.broke("b", 0.2)
    at.left("b")
    at.heard(report("b", 0.15), 0.3)  # another one of that name
    assert states(at, 0.3) == {"a": State.READY, "b": State.READY}
    assert shares(at, 0.3, times=20) == near({"a": 0.5, "b": 0.5})


# ---------------------------------------------------------------- who may get calls


ANY_REPORT = st.builds(
    lambda capacity, live, reserved, lag_ms, misses, ready: report(
        capacity=capacity, live=live, reserved=reserved, lag_ms=lag_ms, misses_per_s=misses,
        ready=ready,
    ),
    st.integers(0, 4), st.integers(0, 4), st.integers(0, 2), st.sampled_from([0.0, 99.0, 100.0]),
    st.sampled_from([0.0, 2.4, 10.0]), st.booleans(),
)  # fmt: skip


@given(st.sampled_from(PICKERS), st.lists(ANY_REPORT, max_size=6), st.sets(st.integers(0, 5)))
def test_no_algorithm_picks_an_excluded_full_or_not_ready_node(name, told, excluded) -> None:
    allowed: set[str] = set()
    at, exclude = balancer(name=name), {f"n{each}" for each in excluded}
    for number, each in enumerate(told):
        node_id = f"n{number}"
        at.heard(_renamed(each, node_id), 0.0)
        room = each.live + each.reserved < each.capacity
        well = each.lag_ms < 100 and each.misses_per_s < 2.5 * max(1, each.live)
        if each.ready and room and well and node_id not in exclude:
            allowed.add(node_id)
    for _ in range(10):
        picked = at.pick(1.0, exclude=exclude)
        assert picked in allowed if allowed else picked is None


def _renamed(told, node_id: str):
    return report(**{each: getattr(told, each) for each in told.__slots__} | {"node_id": node_id})


@pytest.mark.parametrize("name", PICKERS)
def test_a_dead_node_is_not_picked_once_its_link_broke(name: str) -> None:
    at = balancer(report("a", 0.0), report("dead", 0.0), report("b", 0.0), name=name)
    at.placed("dead", 1.0)
    at.broke("dead", 1.0)
    at.failed("dead", 1.0)
    at.heard(report("dead", 0.9), 1.1)  # was on its way
    for tenth in range(10, 2000):
        now_s = tenth / 10
        for node_id in ("a", "b"):
            at.heard(report(node_id, now_s), now_s)
        assert place(at, now_s) in ("a", "b")


@pytest.mark.parametrize("name", PICKERS)
def test_a_node_that_keeps_failing_is_not_picked(name: str) -> None:
    at = balancer(report("a", 0.0), report("bad", 0.0), report("b", 0.0), name=name)
    failures = 0
    for tenth in range(290):
        now_s = tenth / 10
        for node_id in ("a", "b", "bad"):
            at.heard(report(node_id, now_s), now_s)
        picked = at.pick(now_s)
        assert picked is not None
        at.placed(picked, now_s)
        if picked == "bad":
            failures += 1
            at.failed("bad", now_s)
        else:
            at.answered(picked, 0.1, now_s)
    assert failures <= 5
    assert name == "peak_ewma" or failures == 5  # which keeps away from it by itself


def test_a_node_comes_back_by_itself_and_slowly() -> None:
    rules = OutlierRules(failures=1), WeightRules(slow_start_s=20.0)
    at = balancer(outliers=rules[0], weights=rules[1])
    seen: dict[int, tuple[State, float]] = {}
    for second in range(80):
        now_s = float(second)
        for node_id in ("a", "b"):
            at.heard(report(node_id, now_s), now_s)
        if second == 25:
            at.placed("b", now_s)
            at.failed("b", now_s)
        if second >= 25 and second % 5 == 0:
            seen[second] = states(at, now_s)["b"], shares(at, now_s).get("b", 0.0)
    assert [seen[at_s] for at_s in (25, 50)] == [(State.EJECTED, 0.0)] * 2
    assert seen[55] == (State.SLOW_START, near(0.1 / 1.1))
    assert seen[65] == (State.SLOW_START, near(0.5 / 1.5))
    assert seen[75] == (State.READY, near(0.5))


def test_an_error_share_far_from_the_others_ejects() -> None:
    at = balancer(report("a", 0.0, calls_per_s=1.0), report("b", 0.0, calls_per_s=1.0))
    at.heard(report("b", 1.0, calls_per_s=1.0, errors_per_s=0.2), 1.0)
    assert states(at, 1.0)["b"] == State.READY
    at.heard(report("b", 2.0, calls_per_s=1.0, errors_per_s=0.3), 2.0)
    assert states(at, 2.0)["b"] == State.EJECTED
    assert shares(at, 2.0) == {"a": 1.0}


# ---------------------------------------------------------------- age


def test_a_new_node_gets_its_share_little_by_little() -> None:
    at = balancer(weights=WeightRules(slow_start_s=20.0))

    def at_time(now_s: float) -> tuple[State, float]:
        for node_id in ("a", "new")[: 1 + (now_s >= 100.0)]:
            at.heard(report(node_id, now_s), now_s)
        return states(at, now_s).get("new", State.UNKNOWN), shares(at, now_s).get("new", 0.0)

    assert at_time(0.0) == (State.UNKNOWN, 0.0)
    for second in range(4, 100, 5):
        at.heard(report("a", float(second)), float(second))
    for now_s, part in ((100.0, 0.1), (101.0, 0.1), (105.0, 0.25), (110.0, 0.5)):
        assert at_time(now_s) == (State.SLOW_START, near(part / (1 + part)))
    at_time(115.0)
    assert at_time(120.0) == (State.READY, near(0.5))


def test_slow_start_begins_when_a_node_is_ready_and_again_after_a_silence() -> None:
    at = balancer(weights=WeightRules(slow_start_s=20.0))
    at.heard(report("a", 0.0, ready=False), 0.0)
    assert states(at, 0.0) == {"a": State.NOT_READY}
    for now_s in range(1, 30):
        at.heard(report("a", float(now_s), ready=now_s >= 9), float(now_s))
        if now_s >= 9:
            assert states(at, now_s)["a"] is State.SLOW_START or now_s == 29
    assert states(at, 29.0) == {"a": State.READY}
    at.heard(report("a", 30.0, ready=False), 30.0)  # drains
    at.heard(report("a", 31.0), 31.0)  # and does not
    assert states(at, 31.0) == {"a": State.READY}
    at.heard(report("a", 40.0), 40.0)
    assert states(at, 40.0) == {"a": State.SLOW_START}


def test_a_stale_report_loses_its_weight_and_then_counts_as_unknown() -> None:
    at = balancer(*(report(each, 0.0) for each in "abc"))

    def at_time(now_s: float) -> tuple[State, float]:
        at.heard(report("a", now_s), now_s)
        at.heard(report("b", now_s), now_s)
        return states(at, now_s)["c"], shares(at, now_s).get("c", 0.0)

    assert at_time(3.5) == (State.READY, near(1 / 3))
    assert at_time(5.0) == (State.STALE, near(0.2))
    assert at_time(6.5) == (State.UNKNOWN, 0.0)
    at.heard(report("c", 7.0), 7.0)
    assert at_time(7.0) == (State.READY, near(1 / 3))


# ---------------------------------------------------------------- panic


SUSPICIOUS = OutlierRules(failures=1, most_share=1.0)


def eject(at: Balancer, *node_ids: str) -> None:
    for node_id in node_ids:
        at.placed(node_id, 0.0)
        at.failed(node_id, 0.0)
        at.heard(report(node_id, 0.5), 0.5)


def test_when_too_few_are_left_all_are_used_as_if_they_were_well() -> None:
    at = balancer(*(report(each, 0.0) for each in "abcd"), outliers=SUSPICIOUS)
    eject(at, "a", "b")
    assert set(shares(at, 1.0)) == {"c", "d"}  # half of them is enough
    eject(at, "c")
    got = shares(at, 1.0)
    assert set(got) == set("abcd")
    assert got["d"] < 0.3
    assert states(at, 1.0) == dict.fromkeys("abc", State.EJECTED) | {"d": State.READY}


def test_when_no_reports_come_nodes_are_used_as_they_last_said() -> None:
    at = balancer(report("a", 0.0, live=50), report("b", 0.0), report("c", 0.0, ready=False),
                  report("d", 0.0, live=100), report("e", 0.0))  # fmt: skip
    at.broke("e", 0.1)
    assert shares(at, 100.0) == near({"a": 1 / 3, "b": 2 / 3})
    assert set(states(at, 20.0).values()) == {State.UNKNOWN, State.EJECTED}


def test_draining_nodes_are_no_reason_to_panic() -> None:
    at = balancer(*(report(each, 0.0) for each in "ab"), outliers=SUSPICIOUS)
    for number in range(8):
        at.heard(report(f"draining{number}", 0.0, ready=False), 0.0)
    eject(at, "a")
    assert shares(at, 1.0) == {"b": 1.0}


def test_without_a_panic_threshold_nobody_is_used_against_better_knowledge() -> None:
    at = balancer(report("a", 0.0), outliers=SUSPICIOUS, panic_share=0.0)
    eject(at, "a")
    assert at.pick(1.0) is None


# ---------------------------------------------------------------- zones


def zones(live_near: int, live_far: int = 0, **rules) -> Balancer:
    return balancer(
        *(report(f"near{n}", 0.0, zone="near", live=live_near) for n in range(2)),
        *(report(f"far{n}", 0.0, zone="far", live=live_far) for n in range(2)),
        **rules,
    )


def stays(at: Balancer, zone: str = "near", times: int = 2000) -> float:
    got = shares(at, 1.0, times, zone=zone)
    return sum(part for node_id, part in got.items() if node_id and node_id.startswith("near"))


def test_calls_stay_in_their_zone_while_enough_of_it_is_free() -> None:
    for live in (0, 50, 74):
        at = zones(live)
        assert stays(at) == 1.0
        assert shares(at, 1.0, zone="near") == near({"near0": 0.5, "near1": 0.5})


@pytest.mark.parametrize("live", [80, 90, 95, 99])
def test_below_they_spill_over_in_proportion(live: int) -> None:
    """A part of what is free / 0.25 stays; the rest goes where room is, here too."""
    free = (100 - live) / 100
    stay = free / 0.25
    assert stays(zones(live)) == pytest.approx(stay + (1 - stay) * free / (free + 1), abs=0.04)


def test_a_full_zone_sends_all_away_and_a_fuller_neighbour_gets_little() -> None:
    assert stays(zones(100)) == 0.0
    assert stays(zones(90, live_far=99)) > 0.9


def test_full_and_ejected_nodes_count_as_their_zone_s_capacity() -> None:
    """One idle node of four: a quarter of the zone is free, or an eighth."""
    full = [report(f"near{n}", 0.0, zone="near", live=100) for n in range(3)]
    far = [report(f"far{n}", 0.0, zone="far") for n in range(8)]
    assert stays(balancer(*full, report("near3", 0.0, zone="near"), *far)) == 1.0
    half = balancer(*full, report("near3", 0.0, zone="near", live=50), *far)
    assert stays(half) == pytest.approx(0.5 + 0.5 * 0.5 / 8.5, abs=0.04)


def test_no_zone_or_one_without_nodes_is_no_preference() -> None:
    assert stays(zones(0), zone="") == near(0.5)
    assert stays(zones(0), zone="elsewhere") == near(0.5)
    at = zones(0)
    got = shares(at, 1.0, zone="near", exclude={"near0", "near1"})
    assert got == near({"far0": 0.5, "far1": 0.5})


# ---------------------------------------------------------------- what is shown


def test_the_view_has_every_node_with_its_reason() -> None:
    at = balancer(
        report("a", 6.0, live=20, zone="z", version="2.1"),
        report("stale", 1.0),
        report("silent", 0.0),
        report("drains", 6.0, live=5, ready=False),
        report("full", 6.0, live=100),
        report("out", 6.0),
    )
    at.placed("a", 6.0)
    at.broke("out", 6.5)
    rows = {row.node_id: row for row in at.view(7.0)}
    assert {node_id: row.state.value for node_id, row in rows.items()} == {
        "a": "ready", "stale": "stale", "silent": "unknown", "drains": "not ready",
        "full": "full", "out": "ejected",
    }  # fmt: skip
    first = rows["a"]
    assert (first.zone, first.version, first.active, first.capacity) == ("z", "2.1", 21, 100)
    assert (first.utilisation, first.age_s) == (0.21, 1.0)
    assert first.weight == pytest.approx(79.0)
    assert rows["stale"].weight == pytest.approx(100 / 6)
    assert sum(row.share for row in rows.values()) == pytest.approx(1.0)
    assert first.share == pytest.approx(79 / (79 + 100 / 6))
    assert rows["full"].weight == rows["full"].share == 0.0


def test_the_view_of_a_cluster_without_room_has_no_shares() -> None:
    at = balancer(report("a", 0.0, live=100))
    assert [row.share for row in at.view(0.0)] == [0.0]


@pytest.mark.parametrize(
    ("field", "value"),
    [("panic_share", 1.1), ("zone_free_share", -0.1), ("placing_s", 0.0), ("clock_error_s", -1.0)],
)
def test_rules_that_make_no_sense_are_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"{field} is {value}: must be") as refused:
        BalancerRules(**{field: value})
    assert refused.value.field == field
