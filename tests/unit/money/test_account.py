"""A call's account: money is conserved whatever comes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reception.money.account import Account, Entry, Kind, open_hold, post, release

SLICE = 40


def test_the_first_hold() -> None:
    assert open_hold(SLICE) == (
        Account(held_micros=40),
        (Entry(Kind.HOLD, "held", "available", 40),),
    )


def test_a_model_that_needs_no_hold_has_no_entry() -> None:
    assert open_hold(0) == (Account(), ())


def test_a_cost_is_settled_and_the_hold_filled_again() -> None:
    account, entries, wrap_up = post(Account(held_micros=40), 15, SLICE, room_micros=100)
    assert account == Account(held_micros=40, total_micros=15)
    assert entries == (
        Entry(Kind.SETTLE, "spent", "held", 15),
        Entry(Kind.EXTEND, "held", "available", 15),
    )
    assert not wrap_up


def test_a_cost_beyond_the_hold_is_billed_too() -> None:
    account, entries, _ = post(Account(held_micros=40), 55, SLICE, room_micros=100)
    assert account == Account(held_micros=40, total_micros=55)
    assert [entry.kind for entry in entries] == [Kind.SETTLE, Kind.USAGE, Kind.EXTEND]
    assert entries[1] == Entry(Kind.USAGE, "spent", "available", 15)


def test_without_room_the_call_wraps_up_and_keeps_what_is_held() -> None:
    account, entries, wrap_up = post(Account(held_micros=40), 15, SLICE, room_micros=14)
    assert account == Account(held_micros=25, total_micros=15)
    assert [entry.kind for entry in entries] == [Kind.SETTLE]
    assert wrap_up


def test_room_for_exactly_the_missing_part_is_enough() -> None:
    account, _, wrap_up = post(Account(held_micros=40), 15, SLICE, room_micros=15)
    assert (account.held_micros, wrap_up) == (40, False)


def test_nothing_is_held_for_a_closed_call() -> None:
    closed = Account(total_micros=5, closed=True)
    account, entries, wrap_up = post(closed, 7, SLICE, room_micros=100)
    assert account == Account(total_micros=12, closed=True)
    assert entries == (Entry(Kind.USAGE, "spent", "available", 7),)
    assert not wrap_up


def test_release_gives_the_rest_back() -> None:
    account, entries = release(Account(held_micros=25, total_micros=15), close=True)
    assert account == Account(total_micros=15, closed=True)
    assert entries == (Entry(Kind.RELEASE, "available", "held", 25),)
    assert release(account, close=False) == (account, ())


def test_an_abandoned_hold_leaves_the_call_open() -> None:
    account, _ = release(Account(held_micros=25), close=False)
    assert account == Account()


steps = st.lists(
    st.one_of(
        st.tuples(st.integers(0, 200), st.integers(0, 300)),  # cost, room
        st.sampled_from(["expire", "close"]),
    ),
    max_size=30,
)


@given(st.integers(0, 100), steps)
def test_entries_always_lead_to_the_account(slice_micros: int, todo: list[object]) -> None:
    account, ledger = open_hold(slice_micros)
    spent = 0
    for step in todo:
        if isinstance(step, tuple):
            before = account.held_micros
            cost, room_micros = step
            account, entries, wrap_up = post(account, cost, slice_micros, room_micros)
            spent += cost
            extended = sum(e.amount_micros for e in entries if e.kind is Kind.EXTEND)
            assert extended <= room_micros
            assert wrap_up == (not account.closed and account.held_micros < slice_micros)
            assert account.held_micros == before - min(before, cost) + extended
        else:
            account, entries = release(account, close=step == "close")
        ledger += entries
        sums = dict.fromkeys(("available", "held", "spent"), 0)
        for entry in ledger:
            assert entry.amount_micros > 0
            sums[entry.debit] += entry.amount_micros
            sums[entry.credit] -= entry.amount_micros
        assert sum(sums.values()) == 0
        assert sums["held"] == account.held_micros >= 0
        assert sums["spent"] == account.total_micros == spent
        assert not (account.closed and account.held_micros)
