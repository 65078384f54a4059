"""Leases: a node spends without asking, and no limit is passed by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from reception.money.account import Hold
from reception.money.book import Book
from reception.money.case import RESPONSE, Bill, Case, Terms
from reception.money.leases import Lease, Purse
from reception.money.limits import LimitTable, make_limit
from reception.money.prices import parse_prices
from reception.money.scopes import OVERDRAFT, Owner
from reception.provider.base import Usage

NOON_S = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
MODEL = "m"  # 40 for a slice, 20 for a tail
PRICES = parse_prices(
    {
        "version": "1",
        "models": {
            MODEL: [
                {"valid_from": "2026-01-01", "text": {"input": 1}, "hold_usd_per_minute": "0.00008"}
            ]
        },
    }
)
LENGTH_S, MARGIN_S = 60.0, 10.0
NODE = Owner("lease:n1", tenant="acme")


def make(*limits: tuple[str, str, int]) -> Book:
    terms = Terms(PRICES, slice_s=30, tail_s=15, expiry_s=1_000.0)
    book = Book(LimitTable(make_limit(*limit) for limit in limits), {}, terms, NOON_S)
    for scope in NODE.scopes():
        book.sums.learn(scope, {})
    return book


def grant(book: Book, micros: int, now_s: float = NOON_S, owner: Owner = NODE) -> Lease | None:
    return book.lease(owner, micros, LENGTH_S, MARGIN_S, now_s)


def call(number: int, tenant: str = "acme") -> Owner:
    return Owner(f"s{number}", tenant=tenant, model=MODEL)


def bill(number: int, micros: int) -> Bill:
    return Bill(RESPONSE, f"r{number}", MODEL, Usage(), 0, micros)


def committed(book: Book) -> int:
    """What is posted and held for everybody."""
    [standing] = book.sums.standings(Case(Owner(""), NOON_S, NOON_S), book.now_s)
    return standing.posted_micros + standing.held_micros


# ------------------------------------------------------------------ the ledger's side


def test_a_lease_is_held_whole_or_not_at_all() -> None:
    book = make(("global", "hour", 200))
    assert grant(book, 201) is None
    lease = grant(book, 150)
    assert lease is not None
    assert (lease.micros, lease.length_s) == (150, LENGTH_S)
    assert grant(book, 150) == lease  # asked again: the same one
    assert committed(book) == 150
    assert not book.open(call(1), NOON_S).admitted
    assert book.close("lease:n1", NOON_S).held_micros == 0
    assert grant(book, 150) is None
    assert book.open(call(1), NOON_S).admitted


def test_a_limit_of_one_call_bounds_what_a_node_holds_for_one() -> None:
    book = make(("tenant:acme", "call-minute", 50), ("global", "call", 70))
    lease = grant(book, 1_000)
    assert lease is not None
    assert lease.call_micros == 50
    assert grant(make(), 1) == Lease(NODE, 1, LENGTH_S, 1 << 62)


def test_a_call_takes_its_hold_over_from_the_lease() -> None:
    book = make(("global", "hour", 100))
    grant(book, 100)
    for _ in range(2):
        assert book.claim("lease:n1", call(1), 60, NOON_S) == Hold(True, held_micros=60)
    assert committed(book) == 100
    assert not book.use("s1", bill(1, 15), NOON_S).wrap_up
    assert book.close("s1", NOON_S).total_micros == 15
    assert not book.claim("lease:n1", call(1), 60, NOON_S).admitted  # over
    assert not book.claim("lease:n1", call(2), 41, NOON_S).admitted
    assert not book.claim("lease:n2", call(2), 1, NOON_S).admitted
    assert not book.claim("lease:n1", call(2, "other"), 1, NOON_S).admitted
    assert book.claim("lease:n1", call(2), 40, NOON_S).admitted
    assert committed(book) == 15 + 40


def test_a_lease_is_given_back_a_margin_after_its_end() -> None:
    book = make(("global", "hour", 100))
    grant(book, 100)
    book.claim("lease:n1", call(1), 60, NOON_S + 50)  # does not make it last longer
    assert book.expire(NOON_S + LENGTH_S + MARGIN_S) == []
    assert book.expire(NOON_S + LENGTH_S + MARGIN_S + 1) == ["lease:n1"]
    assert committed(book) == 60


# ------------------------------------------------------------------ the node's side


def test_a_node_stops_by_its_own_clock() -> None:
    purse = Purse(Lease(NODE, 100, LENGTH_S, 80), asked_at_s=5.0)
    assert purse.hold(call(1), 60, 6.0)
    assert purse.hold(call(1), 60, 6.0)
    assert not purse.hold(call(2), 41, 6.0)
    assert purse.hold(call(2), 40, 64.9)
    assert purse.left_micros(64.9) == 0
    assert purse.may_go_on("s1", 64.9)
    assert not purse.may_go_on("s3", 64.9)
    assert not purse.may_go_on("s1", 65.0)
    assert not purse.hold(call(1), 60, 65.0)
    assert purse.left_micros(65.0) == 0


def test_what_was_claimed_is_not_there_again() -> None:
    purse = Purse(Lease(NODE, 100, LENGTH_S, 80), asked_at_s=0.0)
    assert not purse.hold(call(1), 81, 0.0)
    assert not purse.hold(call(1, "other"), 10, 0.0)
    assert purse.hold(call(1), 60, 0.0)
    assert purse.to_claim() == {"s1": 60}
    purse.claimed("s1")
    purse.claimed("s1")
    assert (purse.to_claim(), purse.left_micros(0.0)) == ({}, 40)


# ------------------------------------------------------------------ both


early_s, late_s = st.integers(0, 90), st.integers(55, 80)  # seconds; often the same
whenever_s = st.one_of(early_s, late_s)
held = st.tuples(early_s, st.integers(1, 60), st.integers(0, 60))  # when, how much, its cost


@given(
    rate=st.floats(0.93, 1.07),
    answer_s=st.floats(0, 5),
    holds=st.lists(
        st.tuples(early_s, st.integers(1, 60), st.integers(0, 60)), min_size=1, max_size=8
    ),
    told_s=late_s,
    others=st.lists(whenever_s, min_size=2, max_size=8),
)
def test_no_limit_is_passed_with_leases_out(
    rate: float,
    answer_s: float,
    holds: list[tuple[int, int, int]],
    told_s: int,
    others: list[int],
) -> None:
    """A node with a clock that runs a little wrong; its singleton is away until
    `told_s`, and other calls want the money all the time."""
    limit = 200
    book = make(("global", "hour", limit), ("tenant:acme", "rolling-hour", 190))
    lease = grant(book, 120, NOON_S + answer_s)
    assert lease is not None
    purse = Purse(lease, asked_at_s=1_000.0)
    spent: dict[str, int] = {}
    happens = [(at_s, "hold", number) for number, (at_s, _, _) in enumerate(holds)]
    happens += [(at_s, "other", number) for number, at_s in enumerate(others)]
    happens.append((told_s, "told", 0))
    freed_s = answer_s + LENGTH_S + MARGIN_S
    for at_s, what, number in sorted(happens):
        now_s, node_s = NOON_S + at_s, 1_000.0 + at_s * rate
        if what == "hold":
            _, micros, cost = holds[number]
            if purse.hold(call(number), micros, node_s):
                assert at_s < freed_s
                spent[f"s{number}"] = min(cost, micros)
        elif what == "other":
            book.expire(now_s)
            book.open(replace(call(100 + number), session_id=f"other{number}"), now_s)
        else:
            for session, micros in purse.to_claim().items():
                claimed = book.claim("lease:n1", call(int(session[1:])), micros, now_s)
                assert claimed.admitted or at_s > freed_s
                purse.claimed(session)
                book.use(session, bill(1, spent[session]), now_s)
        overdrawn = sum(m for (of, _), m in book.changes.spending.items() if of == OVERDRAFT)
        assert committed(book) <= limit + overdrawn
        assert not overdrawn or told_s > freed_s
        assert sum(purse.to_claim().values()) <= lease.micros
