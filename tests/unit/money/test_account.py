"""A call's account: money is conserved whatever comes, and the tail is kept for the end."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reception.money.account import (
    ACCOUNTS,
    Account,
    Entry,
    Kind,
    Needs,
    adjust,
    extend,
    missing,
    open_hold,
    release,
    spend,
)

NEEDS = Needs(slice_micros=40, tail_micros=20)
OPEN = Account(held_micros=60, tail_micros=20)


def test_the_first_hold_is_a_slice_and_a_tail() -> None:
    assert open_hold(Account(), NEEDS) == (OPEN, (Entry(Kind.HOLD, "held", "available", 60),))


def test_a_model_that_needs_no_hold_has_no_entry() -> None:
    assert open_hold(Account(), Needs()) == (Account(), ())


def test_a_cost_is_settled_out_of_the_hold() -> None:
    account, entries = spend(OPEN, 15, room_micros=100)
    assert account == Account(held_micros=45, tail_micros=20, total_micros=15)
    assert entries == (Entry(Kind.SETTLE, "spent", "held", 15),)


def test_a_cost_beyond_the_slice_takes_from_the_tail_before_anything_else() -> None:
    account, entries = spend(OPEN, 45, room_micros=100)
    assert account == Account(held_micros=15, tail_micros=15, total_micros=45)
    assert entries == (Entry(Kind.SETTLE, "spent", "held", 45),)


def test_a_cost_beyond_the_hold_takes_what_the_limits_leave_and_then_overdraws() -> None:
    account, entries = spend(OPEN, 100, room_micros=25)
    assert account == Account(total_micros=100)
    assert entries == (
        Entry(Kind.SETTLE, "spent", "held", 60),
        Entry(Kind.USAGE, "spent", "available", 25),
        Entry(Kind.USAGE, "spent", "overdraft", 15),
    )


def test_nothing_is_missing_while_half_of_the_slice_and_the_tail_are_there() -> None:
    assert missing(OPEN, NEEDS) == 0
    assert missing(Account(held_micros=40, tail_micros=20), NEEDS) == 0
    assert missing(Account(held_micros=39, tail_micros=20), NEEDS) == 21
    assert missing(Account(held_micros=60, tail_micros=19), NEEDS) == 0
    assert missing(Account(held_micros=50, tail_micros=19), NEEDS) == 10


def test_a_hold_is_filled_again_as_a_whole() -> None:
    account, entries, held = extend(Account(held_micros=30, tail_micros=20), NEEDS, 30)
    assert (account, held) == (OPEN, True)
    assert entries == (Entry(Kind.EXTEND, "held", "available", 30),)


def test_a_hold_is_never_shrunk_to_fit() -> None:
    short = Account(held_micros=30, tail_micros=20)
    assert extend(short, NEEDS, 29) == (short, (), False)


def test_a_tail_that_grew_dearer_is_taken_out_of_a_large_hold() -> None:
    account, entries, held = extend(Account(held_micros=70, tail_micros=10), NEEDS, 0)
    assert (account, entries, held) == (Account(held_micros=70, tail_micros=20), (), True)


def test_nothing_more_is_held_for_a_call_that_ends() -> None:
    for ending in (Account(wrapping=True), Account(closed=True)):
        assert extend(ending, NEEDS, 1_000) == (ending, (), True)


def test_release_gives_the_rest_back() -> None:
    account, entries = release(replace(OPEN, total_micros=15), close=True)
    assert account == Account(total_micros=15, closed=True)
    assert entries == (Entry(Kind.RELEASE, "available", "held", 60),)
    assert release(account, close=False) == (account, ())


def test_an_abandoned_hold_leaves_the_call_open() -> None:
    assert release(OPEN, close=False)[0] == Account()


def test_corrections_both_ways() -> None:
    account = replace(OPEN, total_micros=50)
    less, entries = adjust(account, -20, room_micros=0)
    assert less == replace(account, total_micros=30)
    assert entries == (Entry(Kind.ADJUST, "available", "spent", 20),)
    more, entries = adjust(account, 20, room_micros=5)
    assert more == replace(account, total_micros=70)
    assert entries == (
        Entry(Kind.ADJUST, "spent", "available", 5),
        Entry(Kind.ADJUST, "spent", "overdraft", 15),
    )


money = st.integers(0, 300)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("spend"), money, money),
        st.tuples(st.just("extend"), st.builds(Needs, money, money), money),
        st.tuples(st.just("adjust"), st.integers(-50, 50), money),
        st.sampled_from([("expire",), ("close",), ("wrap",)]),
    ),
    max_size=30,
)


@given(st.builds(Needs, money, money), steps)
def test_entries_always_lead_to_the_account(needs: Needs, todo: list[tuple[object, ...]]) -> None:
    account, ledger = open_hold(Account(), needs)
    spent = 0
    for step in todo:
        before = account
        entries: tuple[Entry, ...] = ()
        match step:
            case ("spend", int() as cost, int() as room):
                account, entries = spend(account, cost, room)
                spent += cost
                assert _credited(entries, "available") <= room
            case ("extend", Needs() as now, int() as room):
                account, entries, held = extend(account, now, room)
                assert _credited(entries, "available") <= room
                if held and not (account.closed or account.wrapping):
                    assert missing(account, now) == 0
                    assert account.tail_micros >= now.tail_micros
                if not held:
                    assert account == before
            case ("adjust", int() as change, int() as room):
                account, entries = adjust(account, change, room)
                spent += change
            case ("wrap",):
                account = replace(account, wrapping=True)
            case (how,):
                account, entries = release(account, close=how == "close")
        ledger += entries
        assert all(entry.amount_micros > 0 for entry in entries)
        assert 0 <= account.tail_micros <= account.held_micros
        assert account.total_micros == spent
        sums = {name: _debited(ledger, name) - _credited(ledger, name) for name in ACCOUNTS}
        assert sum(sums.values()) == 0
        assert (sums["held"], sums["spent"]) == (account.held_micros, spent)
        assert not (account.closed and account.held_micros)


def _credited(entries: tuple[Entry, ...], account: str) -> int:
    return sum(entry.amount_micros for entry in entries if entry.credit == account)


def _debited(entries: tuple[Entry, ...], account: str) -> int:
    return sum(entry.amount_micros for entry in entries if entry.debit == account)
