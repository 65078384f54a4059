"""The rate limiter never lets in more than its rates allow."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from reception.security.gcra import NS_PER_S, Rate, take

MINUTE = Rate("minute", 3, 60 * NS_PER_S)
HOUR = Rate("hour", 5, 3_600 * NS_PER_S)
START_NS = 1_700_000_000 * NS_PER_S


def test_a_burst_up_to_the_count_then_one_for_each_interval() -> None:
    tats: Mapping[str, int] = {}
    for _ in range(3):
        verdict = take((MINUTE,), tats, START_NS)
        assert verdict.refused_by == ""
        tats = verdict.tats
    refused = take((MINUTE,), tats, START_NS)
    assert (refused.refused_by, refused.retry_after_ns) == ("minute", 20 * NS_PER_S)
    assert refused.tats == tats
    assert take((MINUTE,), tats, START_NS + 20 * NS_PER_S - 1).refused_by == "minute"
    assert take((MINUTE,), tats, START_NS + 20 * NS_PER_S).refused_by == ""


def test_a_refusal_by_one_rate_takes_nothing_from_the_other() -> None:
    tats: Mapping[str, int] = {}
    for at_ns in range(0, 5 * 60, 60):
        tats = take((MINUTE, HOUR), tats, START_NS + at_ns * NS_PER_S).tats
    refused = take((MINUTE, HOUR), tats, START_NS + 300 * NS_PER_S)
    assert refused.refused_by == "hour"
    assert refused.tats["minute"] == tats["minute"]


def test_the_longest_wait_is_told() -> None:
    tats = {"minute": START_NS + 60 * NS_PER_S, "hour": START_NS + 3_600 * NS_PER_S}
    verdict = take((MINUTE, HOUR), tats, START_NS)
    assert (verdict.refused_by, verdict.retry_after_ns) == ("hour", 720 * NS_PER_S)


def test_without_rates_everything_passes() -> None:
    assert take((), {}, START_NS).refused_by == ""


def test_waiting_as_told_is_enough() -> None:
    tats = {"minute": START_NS + 59 * NS_PER_S}
    verdict = take((MINUTE,), tats, START_NS)
    assert take((MINUTE,), tats, START_NS + verdict.retry_after_ns).refused_by == ""


@given(
    st.integers(1, 20),
    st.integers(1, 10**9),
    st.lists(st.integers(-(10**8), 10**9), min_size=1, max_size=200),
)
def test_never_more_than_burst_and_rate(count: int, period_ns: int, gaps: list[int]) -> None:
    """In any span of n periods at most count x (n + 1) pass, also when the clock
    jumps back."""
    rate = Rate("r", count, period_ns)
    tats: Mapping[str, int] = {}
    now_ns, passed = START_NS, []
    for gap in gaps:
        now_ns += gap
        verdict = take((rate,), tats, now_ns)
        if not verdict.refused_by:
            passed.append(now_ns)
            tats = verdict.tats
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            span_ns = max(0, max(passed[first : last + 1]) - min(passed[first : last + 1]))
            assert last - first + 1 <= count + -(-span_ns * count // period_ns)
