"""A call's account: what is held for it and what it spent, as ledger transfers.

Money moves between three accounts: `available` (what the limits leave),
`held` and `spent`. Each entry debits one and credits another by the same
amount, so the ledger always sums to zero. A hold is never negative and is
resolved once: settled into `spent` or released to `available`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Kind(StrEnum):
    """What a ledger entry is.

    hold: the first hold of a call; extend: more of it; settle: spending out of
    the hold; usage: spending that no hold covered; release: the rest of a hold
    given back; adjust: a correction by hand.
    """

    HOLD = "hold"
    EXTEND = "extend"
    SETTLE = "settle"
    USAGE = "usage"
    RELEASE = "release"
    ADJUST = "adjust"


@dataclass(frozen=True, slots=True)
class Entry:
    """One transfer of `amount_micros` (more than 0) from `credit` to `debit`."""

    kind: Kind
    debit: str
    credit: str
    amount_micros: int


@dataclass(frozen=True, slots=True)
class Account:
    """One call's money in micro-dollars."""

    held_micros: int = 0
    total_micros: int = 0
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Hold:
    """The answer to a call that wants to begin."""

    admitted: bool
    message: str = ""
    retry_after_s: float = 0.0
    held_micros: int = 0


@dataclass(frozen=True, slots=True)
class Charge:
    """The answer to usage. `wrap_up`: no more money can be held, so the call is
    to come to its end politely."""

    cost_micros: int
    call_total_micros: int
    wrap_up: bool


@dataclass(frozen=True, slots=True)
class CallCost:
    """What a call has cost. Tokens count every response; cached ones are a part
    of the input ones."""

    total_micros: int = 0
    held_micros: int = 0
    closed: bool = False
    responses: int = 0
    input_text: int = 0
    input_audio: int = 0
    cached_text: int = 0
    cached_audio: int = 0
    output_text: int = 0
    output_audio: int = 0


_HOLD = {"debit": "held", "credit": "available"}
_SETTLE = {"debit": "spent", "credit": "held"}
_USAGE = {"debit": "spent", "credit": "available"}
_RELEASE = {"debit": "available", "credit": "held"}


def open_hold(slice_micros: int) -> tuple[Account, tuple[Entry, ...]]:
    """A new call's account with its first slice held."""
    return Account(held_micros=slice_micros), _entries(
        Entry(Kind.HOLD, **_HOLD, amount_micros=slice_micros)
    )


def post(
    account: Account, cost_micros: int, slice_micros: int, room_micros: int
) -> tuple[Account, tuple[Entry, ...], bool]:
    """Spends `cost_micros` and fills the hold up to a slice again.

    Args:
        slice_micros: what a call should have held.
        room_micros: what all limits leave once this cost is spent.

    Returns:
        The account, the entries, and whether the call must come to its end
        because the slice could not be held.
    """
    settled = min(cost_micros, account.held_micros)
    beyond = cost_micros - settled
    held = account.held_micros - settled
    missing = 0 if account.closed else max(0, slice_micros - held)
    extended = missing if missing <= room_micros else 0
    after = replace(
        account, held_micros=held + extended, total_micros=account.total_micros + cost_micros
    )
    entries = _entries(
        Entry(Kind.SETTLE, **_SETTLE, amount_micros=settled),
        Entry(Kind.USAGE, **_USAGE, amount_micros=beyond),
        Entry(Kind.EXTEND, **_HOLD, amount_micros=extended),
    )
    return after, entries, missing > extended


def release(account: Account, *, close: bool) -> tuple[Account, tuple[Entry, ...]]:
    """Gives the rest of the hold back; `close` because the call is over."""
    entries = _entries(Entry(Kind.RELEASE, **_RELEASE, amount_micros=account.held_micros))
    return replace(account, held_micros=0, closed=account.closed or close), entries


def _entries(*entries: Entry) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if entry.amount_micros)
