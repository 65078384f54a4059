"""A call's account: what is held for it and what it spent, as ledger transfers.

Money moves between accounts: `available` (what the limits leave), `held`,
`spent`, and `overdraft` (what was spent although a limit left nothing). Each
entry debits one and credits another by the same amount, so the ledger always
sums to zero.

What is held for a call is a slice for the seconds to come and, from the start,
a closing tail for the goodbye or the transfer. The slice is filled again when
less than half of it is left: then what is left still covers one more answer.
If it can't be filled the call comes to its end, and spends its tail on that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from reception.money.allowance import Means
from reception.money.leases import Claim
from reception.money.policy import Step


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
    """One call's money in micro-dollars. `tail_micros` is the part of what is
    held that is kept for the end; `wrapping`: the end has begun."""

    held_micros: int = 0
    tail_micros: int = 0
    total_micros: int = 0
    closed: bool = False
    wrapping: bool = False


@dataclass(frozen=True, slots=True)
class Needs:
    """What a call is to have held, in micro-dollars: its slice and its tail."""

    slice_micros: int = 0
    tail_micros: int = 0


@dataclass(frozen=True, slots=True)
class Hold:
    """The answer to a call that wants to begin. `claim`: it begins without the ledger,
    which is to be told of it. `means`: as in Charge."""

    admitted: bool
    message: str = ""
    retry_after_s: float = 0.0
    held_micros: int = 0
    step: Step = Step.GO_ON
    claim: Claim | None = None
    means: Means | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """The answer to usage. `wrap_up`: no more money can be held, so the call is
    to come to its end politely. `due`: what its policy says is to be done, in order.
    `means`: what the next answers may cost; None where no limit is over the call."""

    cost_micros: int
    call_total_micros: int
    wrap_up: bool
    due: tuple[Step, ...] = ()
    means: Means | None = None

    @property
    def step(self) -> Step:
        """The furthest of the steps that are due."""
        return self.due[-1] if self.due else Step.GO_ON


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
    input_image: int = 0
    cached_image: int = 0


_HELD, _SPENT, _AVAILABLE, OVERDRAFT = "held", "spent", "available", "overdraft"
ACCOUNTS = (_AVAILABLE, _HELD, _SPENT, OVERDRAFT)


def open_hold(account: Account, needs: Needs) -> tuple[Account, tuple[Entry, ...]]:
    """A new call's account with its first slice and its tail held."""
    held = needs.slice_micros + needs.tail_micros
    after = replace(account, held_micros=held, tail_micros=needs.tail_micros)
    return after, _entries(Entry(Kind.HOLD, _HELD, _AVAILABLE, held))


def spend(
    account: Account, cost_micros: int, room_micros: int
) -> tuple[Account, tuple[Entry, ...]]:
    """Posts what something has cost: out of the hold, then out of what the
    limits leave, and if that is not enough out of the overdraft. What was used
    is owed: it is never left out.

    Args:
        room_micros: what every limit leaves beside all that is held.
    """
    settled = min(cost_micros, account.held_micros)
    covered = min(cost_micros - settled, room_micros)
    held = account.held_micros - settled
    after = replace(
        account,
        held_micros=held,
        tail_micros=min(account.tail_micros, held),
        total_micros=account.total_micros + cost_micros,
    )
    return after, _entries(
        Entry(Kind.SETTLE, _SPENT, _HELD, settled),
        Entry(Kind.USAGE, _SPENT, _AVAILABLE, covered),
        Entry(Kind.USAGE, _SPENT, OVERDRAFT, cost_micros - settled - covered),
    )


def missing(account: Account, needs: Needs) -> int:
    """What is to be held in addition (micro-dollars): nothing as long as half
    of the slice and the whole tail are there, or once the end has begun."""
    if account.closed or account.wrapping:
        return 0
    spendable = account.held_micros - account.tail_micros
    if 2 * spendable >= needs.slice_micros and account.tail_micros >= needs.tail_micros:
        return 0
    return max(0, needs.slice_micros + needs.tail_micros - account.held_micros)


def extend(
    account: Account, needs: Needs, room_micros: int
) -> tuple[Account, tuple[Entry, ...], bool]:
    """Holds what is missing, all of it or nothing.

    Returns:
        The account, the entries, and whether what should be held is.
    """
    more = missing(account, needs)
    if more > room_micros:
        return account, (), False
    if account.closed or account.wrapping:
        return account, (), True
    held = account.held_micros + more
    tail = max(account.tail_micros, min(needs.tail_micros, held))
    after = replace(account, held_micros=held, tail_micros=tail)
    return after, _entries(Entry(Kind.EXTEND, _HELD, _AVAILABLE, more)), True


def release(account: Account, *, close: bool) -> tuple[Account, tuple[Entry, ...]]:
    """Gives the rest of the hold back; `close` because the call is over."""
    entries = _entries(Entry(Kind.RELEASE, _AVAILABLE, _HELD, account.held_micros))
    after = replace(account, held_micros=0, tail_micros=0, closed=account.closed or close)
    return after, entries


def add(account: Account, micros: int) -> tuple[Account, tuple[Entry, ...]]:
    """Holds so much more, for a lease."""
    after = replace(account, held_micros=account.held_micros + micros)
    kind = Kind.EXTEND if account.held_micros else Kind.HOLD
    return after, _entries(Entry(kind, _HELD, _AVAILABLE, micros))


def hand_over(account: Account, micros: int) -> tuple[Account, tuple[Entry, ...]]:
    """Gives a part of the hold back, at most all of it: another account takes it."""
    after = replace(account, held_micros=account.held_micros - micros)
    return after, _entries(Entry(Kind.RELEASE, _AVAILABLE, _HELD, micros))


def adjust(
    account: Account, change_micros: int, room_micros: int
) -> tuple[Account, tuple[Entry, ...]]:
    """Corrects what a call has cost, by hand; holds are left alone."""
    after = replace(account, total_micros=account.total_micros + change_micros)
    if change_micros < 0:
        return after, _entries(Entry(Kind.ADJUST, _AVAILABLE, _SPENT, -change_micros))
    covered = min(change_micros, room_micros)
    return after, _entries(
        Entry(Kind.ADJUST, _SPENT, _AVAILABLE, covered),
        Entry(Kind.ADJUST, _SPENT, OVERDRAFT, change_micros - covered),
    )


def _entries(*entries: Entry) -> tuple[Entry, ...]:
    return tuple(entry for entry in entries if entry.amount_micros)
