"""The provider's limits: heard, configured, set aside; then whole afternoons of calls."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.placement.admission.answer import Admitted, Answer, Cause, Refused, RetryWindow
from reception.placement.admission.priority import Priority, Shares
from reception.placement.admission.provider_limits import (
    CallUse,
    HeardLimits,
    Limit,
    NodeUse,
    ProviderLimits,
    ProviderRules,
)
from reception.provider.refusal import Outcome

EMERGENCY, NORMAL, BATCH = Priority
NOTHING = CallUse(0, 0)


def account(
    requests: int | None = None, tokens: int | None = None, sessions: int | None = None
) -> ProviderLimits:
    """A call is expected to use 5 requests and 1,000 tokens a minute."""
    return ProviderLimits(
        ProviderRules(
            requests,
            tokens,
            sessions,
            call_requests=5.0,
            call_tokens=1_000.0,
            shares=Shares(50, 90),
            reserve_s=10.0,
            silent_s=30.0,
            retry=RetryWindow(1.0, 15.0),
        )
    )


def admitted(limits: ProviderLimits, priority: Priority, now_s: float) -> int:
    """How many calls are let in, one after another."""
    for number in range(1_000):
        if isinstance(limits.admit(f"{priority}{now_s}-{number}", priority, now_s), Refused):
            return number
    return 1_000


def report(*calls: str, limits: tuple[Limit, ...] = (), node: str = "n1") -> NodeUse:
    return NodeUse(node, dict.fromkeys(calls, NOTHING), limits)


def refusal(answer: Answer) -> tuple[Cause, str]:
    assert isinstance(answer, Refused)
    return answer.cause, answer.reason


# ---------------------------------------------------------------- what was heard


def test_the_newest_of_each_limit_counts_by_when_it_was_heard() -> None:
    heard = HeardLimits()
    heard.hear([Limit("tokens", 100, 90, 6.0), Limit("requests", 10, 9, 6.0)], 20.0)
    heard.hear([Limit("tokens", 100, 80, 6.0, age_s=5.0)], 24.0)  # at 19 s
    heard.hear([Limit("requests", 10, 8, 6.0, age_s=3.0)], 24.0)  # at 21 s
    assert heard.report(25.0) == (
        Limit("tokens", 100, 90, 6.0, age_s=5.0),
        Limit("requests", 10, 8, 6.0, age_s=4.0),
    )


def test_a_node_is_all_of_its_workers() -> None:
    first = NodeUse(
        "",
        {"a": CallUse(1, 10)},
        (Limit("tokens", 100, 90, 6.0, age_s=3.0),),
        {Outcome.UP: 1, Outcome.FAILED: 2},
        "timeout",
    )
    second = NodeUse(
        "",
        {"b": CallUse(2, 20)},
        (Limit("tokens", 100, 70, 6.0, age_s=1.0),),
        {Outcome.FAILED: 1},
    )
    assert NodeUse.of("n", [first, second], 50.0) == NodeUse(
        "n",
        {"a": CallUse(1, 10), "b": CallUse(2, 20)},
        (Limit("tokens", 100, 70, 6.0, age_s=1.0),),
        {Outcome.UP: 1, Outcome.FAILED: 3},
        "timeout",
    )


def test_what_is_not_known_here_or_makes_no_sense_is_not_heard() -> None:
    heard = HeardLimits()
    heard.hear([Limit("images", 100, 90, 6.0), Limit("tokens", 0, 0, 6.0)], 1.0)
    assert heard.report(1.0) == ()
    heard.hear([Limit("tokens", 100, 90, 6.0, age_s=-50.0)], 1.0)
    assert heard.report(1.0) == (Limit("tokens", 100, 90, 6.0),)


# ---------------------------------------------------------------- admitting


def test_without_limits_everybody_is_admitted() -> None:
    assert admitted(account(), BATCH, 0.0) == 1_000


def test_tokens_a_minute_are_set_aside_up_to_the_share() -> None:
    limits = account(tokens=20_000)
    assert admitted(limits, BATCH, 0.0) == 10
    assert admitted(limits, NORMAL, 0.0) == 8
    assert refusal(limits.admit("n", NORMAL, 0.0)) == (
        Cause.PROVIDER_TOKENS,
        "the provider's tokens: 19000 expected, 18000 left for normal calls",
    )
    assert admitted(limits, EMERGENCY, 0.0) == 2
    assert limits.expected_per_minute(0.0) == {"requests": 100.0, "tokens": 20_000.0}


def test_requests_a_minute_and_sessions_are_limits_too() -> None:
    limits = account(requests=50)
    assert admitted(limits, NORMAL, 0.0) == 9
    assert refusal(limits.admit("n", NORMAL, 0.0))[0] is Cause.PROVIDER_REQUESTS
    limits = account(sessions=4)
    assert admitted(limits, BATCH, 0.0) == 2
    limits.merge(report("batch0.0-0", "batch0.0-1", "stranger"), 1.0)
    assert refusal(limits.admit("n", NORMAL, 1.0)) == (
        Cause.PROVIDER_SESSIONS,
        "the provider's sessions: 3, at most 3 for normal calls",
    )
    assert admitted(limits, EMERGENCY, 1.0) == 1
    assert limits.tally().refused == {
        (Cause.PROVIDER_SESSIONS, BATCH): 1,
        (Cause.PROVIDER_SESSIONS, NORMAL): 1,
        (Cause.PROVIDER_SESSIONS, EMERGENCY): 1,
    }


def test_an_account_that_allows_nothing_admits_nobody() -> None:
    assert admitted(account(tokens=0), EMERGENCY, 0.0) == 0
    assert admitted(account(sessions=0), EMERGENCY, 0.0) == 0


def test_the_lesser_of_what_is_configured_and_what_is_heard_counts() -> None:
    for configured, heard in ((5_000, 20_000), (20_000, 5_000), (None, 5_000)):
        limits = account(tokens=configured)
        limits.merge(report(limits=(Limit("tokens", heard, heard, 0.0),)), 0.0)
        assert admitted(limits, EMERGENCY, 0.0) == 5


# ---------------------------------------------------------------- places


def test_a_call_is_set_aside_until_it_is_reported_gives_up_or_expires() -> None:
    limits = account(tokens=3_000)
    for call_id in "abc":
        assert limits.admit(call_id, EMERGENCY, 0.0) == Admitted(10.0)
    assert limits.admit("a", EMERGENCY, 1.0) == Admitted(10.0)
    assert isinstance(limits.admit("d", EMERGENCY, 1.0), Refused)
    limits.merge(report("a"), 2.0)
    assert limits.admit("a", EMERGENCY, 2.0) == Admitted(inf)
    assert isinstance(limits.admit("d", EMERGENCY, 2.0), Refused)
    for _ in range(2):
        limits.gave_up("b")
    assert isinstance(limits.admit("d", EMERGENCY, 2.0), Admitted)
    assert limits.next_deadline_s() == 10.0
    assert limits.expected_per_minute(10.0)["tokens"] == 2_000.0  # c has expired
    limits.merge(report(), 11.0)  # a is over
    assert limits.expected_per_minute(11.0)["tokens"] == 1_000.0
    tally = limits.tally()
    assert (tally.admitted, tally.expired) == ({EMERGENCY: 4}, 1)


def test_nodes_are_added_up_and_one_that_is_silent_is_forgotten() -> None:
    limits = account(tokens=5_000)
    limits.merge(report("a", "b", node="n1"), 0.0)
    limits.merge(report("c", node="n2"), 10.0)
    assert admitted(limits, EMERGENCY, 10.0) == 2
    assert limits.expected_per_minute(29.0)["tokens"] == 3_000.0
    assert limits.expected_per_minute(30.0)["tokens"] == 1_000.0
    assert limits.expected_per_minute(40.0)["tokens"] == 0.0


# ---------------------------------------------------------------- what remains


def test_what_live_calls_use_until_the_reset_comes_off_what_remains() -> None:
    """Ten calls use 10,000 a minute, 5,000 in the half minute to the reset."""
    limits = account(tokens=100_000)
    live = [f"live{number}" for number in range(10)]
    limits.merge(report(*live, limits=(Limit("tokens", 100_000, 7_500, 30.0),)), 0.0)
    assert admitted(limits, EMERGENCY, 0.0) == 2
    assert refusal(limits.admit("e", EMERGENCY, 9.0)) == (
        Cause.PROVIDER_TOKENS,
        "the provider's tokens: 8000 expected, 7500 left for emergency calls",
    )


def test_a_refused_call_is_told_to_come_back_after_the_reset_or_a_minute() -> None:
    for reset_s, least_s in ((30.0, 18.0), (86_400.0, 60.0)):
        limits = account()
        limits.merge(report(limits=(Limit("tokens", 100_000, 500, reset_s),)), 0.0)
        refused = limits.admit("e", EMERGENCY, 12.0)
        assert isinstance(refused, Refused)
        assert least_s + 1.0 <= refused.retry_after_s < least_s + 15.0


def test_of_a_limit_for_a_day_the_next_minute_has_to_be_left() -> None:
    """And what two live calls have used since it was heard: 10 a minute."""
    limits = account()
    limits.merge(report("a", "b", limits=(Limit("requests", 1_000, 20, 80_000.0),)), 0.0)
    assert admitted(limits, EMERGENCY, 0.0) == 2
    limits.merge(report("a", "b"), 25.0)
    assert admitted(limits, EMERGENCY, 25.0) == 1


def test_what_remains_is_old_after_the_reset_and_the_limit_stays() -> None:
    limits = account()
    limits.merge(report(limits=(Limit("tokens", 8_000, 500, 30.0),)), 0.0)
    assert admitted(limits, EMERGENCY, 29.9) == 0
    assert admitted(limits, EMERGENCY, 30.0) == 8


def test_an_older_report_of_another_node_changes_nothing() -> None:
    limits = account()
    limits.merge(report(limits=(Limit("tokens", 8_000, 500, 30.0),), node="n1"), 10.0)
    older = Limit("tokens", 8_000, 8_000, 30.0, age_s=0.1)
    limits.merge(report(limits=(older,), node="n2"), 10.0)
    assert admitted(limits, EMERGENCY, 10.0) == 0


# ---------------------------------------------------------------- measured use


def used(call: str, tokens: int, requests: int = 0) -> NodeUse:
    return NodeUse("n1", {call: CallUse(requests, tokens)})


def test_a_call_counts_as_usual_for_a_minute_then_as_what_it_uses() -> None:
    limits = account()
    for now_s in range(0, 61, 20):
        limits.merge(used("a", 50 * now_s), float(now_s))
        expected = 1_000.0 if now_s < 60 else 3_000.0
        assert limits.expected_per_minute(float(now_s))["tokens"] == expected
    for now_s in range(61, 400):
        limits.merge(used("a", 3_000 + 100 * (now_s - 60)), float(now_s))
    assert limits.expected_per_minute(399.0)["tokens"] == pytest.approx(6_000.0, rel=0.01)
    for now_s in range(400, 1_000):
        limits.merge(used("a", 36_900), float(now_s))
    assert limits.expected_per_minute(999.0)["tokens"] == 1_000.0  # at least as usual


def test_a_report_that_comes_twice_or_counts_anew_changes_little() -> None:
    limits = account()
    for now_s in (0.0, 60.0, 60.0):
        limits.merge(used("a", int(50 * now_s)), now_s)
    assert limits.expected_per_minute(60.0)["tokens"] == 3_000.0
    limits.merge(used("a", 0), 61.0)
    limits.merge(used("a", 50), 62.0)
    assert limits.expected_per_minute(62.0)["tokens"] == pytest.approx(3_000.0, rel=0.02)


def test_what_is_usual_is_learned_from_the_busiest_minute_of_calls_that_ended() -> None:
    limits = account()
    for number in range(200):
        start_s = 100.0 * number
        limits.merge(used(f"call{number}", 0), start_s)
        limits.merge(used(f"call{number}", 4_000, 8), start_s + 60.0)
        limits.merge(used(f"call{number}", 4_000, 8), start_s + 90.0)
    limits.merge(report(), 20_000.0)
    limits.admit("a", NORMAL, 20_000.0)
    expected = limits.expected_per_minute(20_000.0)
    assert expected == pytest.approx({"tokens": 4_000.0, "requests": 8.0}, rel=0.05)


def test_calls_of_less_than_a_minute_teach_nothing() -> None:
    limits = account()
    limits.merge(used("a", 0), 0.0)
    limits.merge(used("a", 9_000), 59.0)
    limits.merge(report(), 61.0)
    limits.admit("b", NORMAL, 61.0)
    assert limits.expected_per_minute(61.0)["tokens"] == 1_000.0


# ---------------------------------------------------------------- any sequence

steps = st.one_of(
    st.tuples(st.just("admit"), st.integers(0, 30), st.sampled_from(list(Priority))),
    st.tuples(st.just("report"), st.integers(1, 3), st.integers(0, 5_000)),
    st.tuples(st.just("hear"), st.integers(0, 30_000), st.floats(0.0, 90.0)),
    st.tuples(st.just("wait"), st.floats(0.0, 40.0), st.none()),
)


@given(st.lists(steps, max_size=60))
def test_what_is_set_aside_for_admitted_calls_is_never_over_a_limit(
    todo: list[tuple[str, float, object]],
) -> None:
    """At each admission: what is expected in a minute within the share of every
    limit, calls within the share of sessions, and as much still remaining as
    those need who have not begun. `report`: a node has half of the admitted calls
    live, each of which used so much more."""
    limits, now_s = account(requests=100, tokens=30_000, sessions=12), 0.0
    share = {EMERGENCY: 1.0, NORMAL: 0.9, BATCH: 0.5}
    live: dict[int, dict[str, CallUse]] = {1: {}, 2: {}, 3: {}}
    seen_s = dict.fromkeys(live, -inf)
    waiting: dict[str, float] = {}
    remaining, fresh_s = 0.0, -1.0
    answers = 0
    for step, first, second in todo:
        waiting = {call: until_s for call, until_s in waiting.items() if until_s > now_s}
        for node, at_s in seen_s.items():
            if now_s - at_s >= 30.0:
                live[node] = {}
        calls = {call for each in live.values() for call in each}
        if step == "wait":
            now_s += first
        elif step == "hear" and isinstance(second, float):
            remaining, fresh_s = first, now_s + second
            heard = Limit("tokens", 30_000, int(first), second)
            live[1], seen_s[1] = dict(live[1]), now_s
            limits.merge(NodeUse("1", live[1], (heard,)), now_s)
        elif step == "report" and isinstance(second, int):
            node, seen_s[int(first)] = int(first), now_s
            mine = [*live[node], *waiting][::2]
            live[node] = {
                call: CallUse(0, live[node].get(call, NOTHING).tokens + second) for call in mine
            }
            waiting = {call: at_s for call, at_s in waiting.items() if call not in mine}
            limits.merge(NodeUse(str(node), live[node]), now_s)
        elif isinstance(second, Priority):
            call_id = f"call{first}"
            before = limits.expected_per_minute(now_s)
            answer = limits.admit(call_id, second, now_s)
            known = call_id in calls or call_id in waiting
            answers += not known
            assert isinstance(answer, Admitted) or not known
            if known or isinstance(answer, Refused):
                continue
            waiting[call_id] = answer.until_s
            expected = limits.expected_per_minute(now_s)
            assert expected["tokens"] <= 30_000 * share[second]
            assert expected["requests"] <= 100 * share[second]
            assert len(calls) + len(waiting) <= 12 * share[second]
            if now_s < fresh_s:
                of_each = expected["tokens"] - before["tokens"]
                assert len(waiting) * of_each <= remaining + 0.001
        tally = limits.tally()
        assert sum(tally.admitted.values()) + sum(tally.refused.values()) == answers


# ---------------------------------------------------------------- simulations


@dataclass
class Provider:
    """Refuses what is over its tokens a minute: `windows` are full again every
    minute, else it is a bucket that fills all the time."""

    per_minute: int
    windows: bool
    tokens: float = 0.0

    def second(self, now_s: int) -> None:
        if self.windows and now_s % 60 == 0:
            self.tokens = self.per_minute
        elif not self.windows:
            self.tokens = min(self.per_minute, self.tokens + self.per_minute / 60)

    def limit(self, now_s: int) -> Limit:
        """As it comes with each response."""
        missing = (self.per_minute - self.tokens) / self.per_minute
        reset_s = 60 - now_s % 60 if self.windows else 60 * missing
        return Limit("tokens", self.per_minute, int(self.tokens), reset_s)


@dataclass
class Speaking:
    """A call: each response is billed with 1,500 tokens and all turns before."""

    next_s: float
    end_s: float
    requests: int = 0
    tokens: int = 0

    def response(self) -> int:
        return 1_500 + 320 * self.requests


@dataclass
class Afternoon:
    """Far more callers than the account allows, from the first second on. A node
    tells what its calls used every second."""

    provider: Provider
    seed: int
    holding_s: float
    fixed: bool
    calls: dict[str, Speaking] = field(default_factory=dict)
    responses: int = 0
    refused: int = 0
    used: int = 0

    def run(self, seconds: int) -> Afternoon:
        dice = random.Random(self.seed)
        limits = ProviderLimits(ProviderRules(call_tokens=20_000.0))
        heard = HeardLimits()
        self.provider.tokens = self.provider.per_minute
        heard.hear([self.provider.limit(0)], 0.0)
        callers = 0
        for now_s in range(seconds):
            self.provider.second(now_s)
            limits.merge(
                NodeUse(
                    "n1",
                    {
                        name: CallUse(call.requests, call.tokens)
                        for name, call in self.calls.items()
                    },
                    heard.report(float(now_s)),
                ),
                float(now_s),
            )
            for _ in range(4):
                callers += 1
                if isinstance(limits.admit(f"c{callers}", NORMAL, float(now_s)), Admitted):
                    lasts_s = self.holding_s if self.fixed else dice.expovariate(1 / self.holding_s)
                    self.calls[f"c{callers}"] = Speaking(now_s + 1.0, now_s + lasts_s)
            for call in self.calls.values():
                if call.next_s <= now_s:
                    call.next_s = now_s + dice.uniform(10.0, 20.0)
                    self.respond(call)
                    heard.hear([self.provider.limit(now_s)], float(now_s))
            self.calls = {name: call for name, call in self.calls.items() if call.end_s > now_s}
        return self

    def respond(self, call: Speaking) -> None:
        tokens = call.response()
        self.responses += 1
        if tokens > self.provider.tokens:
            self.refused += 1
            return
        self.provider.tokens -= tokens
        self.used += tokens
        call.requests += 1
        call.tokens += tokens


@pytest.mark.simulation
@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize(("holding_s", "fixed"), [(60.0, False), (150.0, False), (180.0, True)])
def test_no_live_call_is_refused_by_the_provider(
    windows: bool, holding_s: float, fixed: bool
) -> None:
    """And what the account allows is mostly used: what is not is the difference
    between a call's busiest minute and its others."""
    afternoon = Afternoon(Provider(1_000_000, windows), 1, holding_s, fixed).run(3_000)
    assert afternoon.responses > 5_000
    assert afternoon.refused == 0
    assert afternoon.used >= 0.6 * 1_000_000 * 3_000 / 60
