"""Leases: a node spends without asking, and no limit is passed by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.errors import InvalidRequest
from reception.money.account import Hold
from reception.money.case import RESPONSE, Bill, Case, Terms
from reception.money.leases import Claim, Lease, LeaseRules, Purse
from reception.money.lender import Lender
from reception.money.limits import LimitTable, make_limit
from reception.money.policy import Policy, Step
from reception.money.prices import parse_prices
from reception.money.scopes import OVERDRAFT, Owner
from reception.provider.base import Usage

NOON_S = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
MODEL, FREE = "m", "free"  # m: 40 for a slice, 20 for a tail
PRICE = {"valid_from": "2026-01-01", "text": {"input": 1}, "hold_usd_per_minute": "0.00008"}
PRICES = parse_prices(
    {
        "version": "1",
        "models": {MODEL: [PRICE], FREE: [PRICE | {"hold_usd_per_minute": "0"}]},
    }
)
ALL = LeaseRules(calls=5, left_percent=100, percent=100, begin_s=15, setup_s=0, margin_s=10)
LENGTH_S, MARGIN_S, STEADY_S = 60.0, 10.0, 7.0  # 15 to begin, 30 of slice, 15 of tail
NODE = Owner("lease:n1", tenant="acme", model=MODEL)


def make(
    *limits: tuple[str, str, int],
    rules: LeaseRules = ALL,
    policies: dict[str, Policy] | None = None,
) -> Lender:
    terms = Terms(PRICES, slice_s=30, tail_s=15, expiry_s=1_000.0)
    table = LimitTable(make_limit(*limit) for limit in limits)
    book = Lender(table, policies or {}, terms, NOON_S, rules)
    for scope in NODE.scopes():
        book.sums.learn(scope, {})
    return book


def grant(
    book: Lender, calls: int = 1, steady_s: float = STEADY_S, owner: Owner = NODE
) -> Lease | None:
    return book.lease(owner, calls, NOON_S, steady_s)


def lent(book: Lender, calls: int = 1, **named: Any) -> int:
    lease = grant(book, calls, **named)
    return 0 if lease is None else lease.micros


def call(number: int, tenant: str = "acme", model: str = MODEL) -> Owner:
    return Owner(f"s{number}", tenant=tenant, model=model)


def claim(number: int, micros: int = 60, lease_id: str = "lease:n1", **named: str) -> Claim:
    return Claim(call(number, **named), lease_id, micros, 20, 30)


def bill(number: int, micros: int) -> Bill:
    return Bill(RESPONSE, f"r{number}", MODEL, Usage(), 0, micros)


def committed(book: Lender) -> int:
    """What is posted and held for everybody."""
    [standing] = book.sums.standings(Case(Owner(""), NOON_S, NOON_S), book.now_s)
    return standing.posted_micros + standing.held_micros


# ------------------------------------------------------------------ the ledger's side


def test_a_lease_is_for_whole_calls() -> None:
    book = make(("global", "hour", 200))
    assert grant(book, 9) == Lease(NODE, 180, 60, 20, 15.0, 30)
    assert (committed(book), book.sums.leased(NODE.scopes()[0])) == (180, 180)
    assert not book.open(call(1), NOON_S).admitted
    assert lent(book, owner=replace(NODE, session_id="lease:n2")) == 0
    book.give_back("lease:n1", NOON_S)
    assert (committed(book), book.sums.leased(NODE.scopes()[0])) == (0, 0)
    assert grant(book) is None  # closed
    assert book.open(call(1), NOON_S).admitted


def test_asked_for_again_it_is_filled_up_and_lasts_longer() -> None:
    book = make(("global", "hour", 200))
    assert [lent(book, calls) for calls in (1, 1, 3, 2)] == [60, 60, 180, 180]
    assert lent(book, 1, steady_s=STEADY_S + 50) == 180
    assert book.end_leases(STEADY_S + LENGTH_S + MARGIN_S + 1) == []
    assert book.end_leases(STEADY_S + 50 + LENGTH_S + MARGIN_S) == []
    assert book.end_leases(STEADY_S + 51 + LENGTH_S + MARGIN_S) == ["lease:n1"]
    assert committed(book) == 0


def test_no_more_calls_than_the_rules_say_and_nothing_without_limits() -> None:
    assert lent(make(), 99) == 5 * 60
    assert lent(make(("global", "hour", 10_000)), 99) == 5 * 60


def test_each_lease_has_a_share_of_what_is_left() -> None:
    rules = replace(ALL, left_percent=10)
    book = make(("tenant:acme", "day", 1_300), rules=rules)
    assert lent(book, 9) == 120
    assert lent(book, 9, owner=replace(NODE, session_id="lease:n2")) == 60
    book.open(call(1), NOON_S)
    book.use("s1", bill(1, 700), NOON_S)
    assert grant(book) is None  # a share of what is left now is less than it has
    assert lent(book, owner=replace(NODE, session_id="lease:n3")) == 0


def test_all_leases_have_a_share_of_each_limit() -> None:
    book = make(("global", "week", 1_500), rules=replace(ALL, percent=10))
    assert lent(book, 9) == 120
    assert lent(book, owner=replace(NODE, session_id="lease:n2")) == 0
    assert lent(book, 9) == 120


@pytest.mark.parametrize("window", ["call", "call-minute"])
def test_none_where_no_call_could_begin(window: str) -> None:
    assert grant(make(("tenant:acme", window, 59))) is None
    refusing = {"acme": Policy(((Step.REFUSE, 50),))}
    book = make(("global", "hour", 200), ("tenant:acme", window, 60), policies=refusing)
    assert lent(book, 1) == 60
    assert lent(book, 2) == 120
    assert grant(book) is None  # 40 % are left


def test_calls_that_cost_nothing_need_nothing() -> None:
    book = make(("global", "hour", 0))
    lease = grant(book, 3, owner=replace(NODE, model=FREE))
    assert lease == Lease(replace(NODE, model=FREE), 0, 0, 0, 15.0, 30)
    assert Purse(lease, 0.0).hold(call(1, model=FREE), 1.0) is not None
    assert book.end_leases(STEADY_S + 1_000) == []


def test_a_model_must_have_a_price() -> None:
    with pytest.raises(InvalidRequest, match="price"):
        grant(make(), owner=replace(NODE, model="x"))


def test_a_lease_ends_by_the_steady_clock_alone() -> None:
    book = make(("global", "hour", 100))
    grant(book)
    assert book.expire(NOON_S + 1e6) == []
    book.take(claim(1), NOON_S)  # does not make it last longer
    grant(book, owner=replace(NODE, session_id="lease:n2"))
    assert committed(book) == 60
    assert book.end_leases(STEADY_S + LENGTH_S + MARGIN_S + 1) == []
    assert committed(book) == 60


def test_a_book_that_is_read_anew_counts_from_when_it_looks() -> None:
    book, kept = make(("global", "hour", 100)), make(("global", "hour", 100))
    kept.lease(NODE, 1, NOON_S, STEADY_S)
    for case in kept.forget().cases.values():
        book.learn(case)
    assert book.end_leases(1_000.0) == []
    assert book.end_leases(1_000.0 + LENGTH_S + MARGIN_S) == []
    assert book.end_leases(1_001.0 + LENGTH_S + MARGIN_S) == ["lease:n1"]


# ------------------------------------------------------------------ claims


def test_a_call_takes_its_hold_over_from_the_lease() -> None:
    book = make(("global", "hour", 130))
    assert lent(book, 2) == 120
    for _ in range(2):
        assert book.take(claim(1), NOON_S) == Hold(True, held_micros=60)
    assert (committed(book), book.sums.leased(NODE.scopes()[0])) == (120, 60)
    assert not book.use("s1", bill(1, 15), NOON_S).wrap_up
    assert book.close("s1", NOON_S).total_micros == 15
    assert not book.take(claim(1), NOON_S).admitted  # over
    assert book.take(claim(2), NOON_S).admitted
    assert committed(book) == 15 + 60


def test_a_lease_that_is_used_up_is_over() -> None:
    book = make(("global", "hour", 130))
    assert lent(book, 2) == 120
    closed = []
    for number in (1, 2):
        assert book.take(claim(number), NOON_S).admitted
        closed.append(book.forget().cases[NODE.session_id].account.closed)
    assert closed == [False, True]
    assert book.end_leases(STEADY_S + 1_000) == []


@pytest.mark.parametrize(
    "odd",
    [
        claim(1, 61),
        claim(1, lease_id="lease:n2"),
        claim(1, tenant="other"),
        Claim(call(1)),
    ],
)
def test_else_it_is_held_for_as_for_any_other(odd: Claim) -> None:
    book = make(("global", "hour", 120))
    assert lent(book) == 60
    assert book.take(odd, NOON_S) == Hold(True, held_micros=60)
    assert committed(book) == 120


def test_a_call_for_which_there_is_nothing_ends_and_is_billed() -> None:
    book = make(("global", "hour", 60))
    assert lent(book) == 60
    hold = book.take(Claim(call(1)), NOON_S)
    assert not hold.admitted
    assert not book.take(Claim(call(1)), NOON_S).admitted
    charge = book.use("s1", bill(1, 5), NOON_S)
    assert charge.wrap_up
    assert book.changes.cases["s1"].owner.tenant == "acme"
    gone = book.take(Claim(call(2, model="gone")), NOON_S)
    assert not gone.admitted
    assert "price" in gone.message


# ------------------------------------------------------------------ the node's side


def test_a_node_stops_by_its_own_clock() -> None:
    purse = Purse(Lease(NODE, 130, 60, 20, 15.0, 30), asked_at_s=5.0)
    assert purse.lease_id == "lease:n1"
    for _ in range(2):
        assert purse.hold(call(1), 6.0) == claim(1)
    assert purse.has(19.9)
    assert not purse.has(20.0)
    assert purse.hold(call(2), 20.0) is None
    assert purse.hold(call(2), 19.9) == claim(2)
    assert not purse.has(19.9)
    assert purse.hold(call(3), 19.9) is None
    purse.renewed(Lease(NODE, 180, 60, 20, 15.0, 30), 30.0)
    assert purse.hold(call(3), 44.9) == claim(3)
    assert purse.hold(call(4), 44.9) is None


# ------------------------------------------------------------------ both

whenever_s = st.one_of(st.integers(0, 90), st.integers(55, 80))  # often the same


@given(
    rate=st.floats(0.93, 1.07),
    answer_s=st.floats(0, 5),
    holds=st.lists(
        st.tuples(whenever_s, st.integers(0, 60)), min_size=1, max_size=8
    ),  # when, and the call's cost
    told_s=st.integers(0, 80),
    others=st.lists(whenever_s, min_size=2, max_size=8),
)
def test_no_limit_is_passed_with_leases_out(
    rate: float,
    answer_s: float,
    holds: list[tuple[int, int]],
    told_s: int,
    others: list[int],
) -> None:
    """A node with a clock that runs a little wrong; its singleton is away until
    `told_s`, and other calls want the money all the time."""
    limit = 200
    book = make(("global", "hour", limit), ("tenant:acme", "rolling-hour", 190))
    lease = grant(book, 2, STEADY_S + answer_s)
    assert lease is not None
    purse = Purse(lease, asked_at_s=1_000.0)
    happens = [(at_s, "hold", number) for number, (at_s, _) in enumerate(holds)]
    happens += [(at_s, "other", number) for number, at_s in enumerate(others)]
    happens.append((told_s, "told", 0))
    freed_s = answer_s + LENGTH_S + MARGIN_S
    for at_s, what, number in sorted(happens):
        now_s, node_s = NOON_S + at_s, 1_000.0 + at_s * rate
        if what == "hold":
            if purse.hold(call(number), node_s):
                assert at_s + 45 < freed_s  # slice and tail are spent by then
        elif what == "other":
            book.end_leases(STEADY_S + at_s)
            book.open(replace(call(100 + number), session_id=f"other{number}"), now_s)
        else:
            for each in purse.taken.values():
                assert book.take(each, now_s).admitted or at_s > freed_s
                cost = holds[int(each.owner.session_id[1:])][1]
                book.use(each.owner.session_id, bill(1, cost), now_s)
        overdrawn = sum(m for (of, _), m in book.changes.spending.items() if of == OVERDRAFT)
        assert committed(book) <= limit + overdrawn
        assert not overdrawn or told_s > freed_s
        assert sum(each.micros for each in purse.taken.values()) <= lease.micros
