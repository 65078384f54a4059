"""How long the next answer may be by what is held for the call, and that nothing is left."""

from __future__ import annotations

from reception.call import messages as m
from reception.call.states import TALKING, State
from reception.call.talk.course import Course
from reception.money.allowance import Allowance, Means
from reception.money.bounds import MOST_TOKENS
from reception.money.policy import Step
from reception.provider import base as p

WAIT_S = 4.0
"""For bills: a ledger that begins anew is back within 3 s."""


def measure(call: Course) -> None:
    """Finds the bound of an answer that begins now."""
    bills = call.bills
    call.thrift.afford(bills.room.tokens(bills.count.next_input()) if bills.room else 0)


def keep(call: Course) -> None:
    """The provider knows the bound in time. While it makes an answer and nobody speaks it
    begins no other, so that it is not told what would be true of that."""
    measure(call)
    if call.floor.response is None or call.state is State.CALLER_SPEAKING:
        tell(call)


def tell(call: Course) -> None:
    """The bound, where the provider's session knows another."""
    if call.connection.up and call.state in TALKING and call.thrift.bound_changes():
        call.tell_provider(p.Bound(call.thrift.bound))


def began(call: Course, response_id: str) -> bool:
    """An answer is being made: it may be as long as its session's are, or as it was asked
    for. True: there is nothing left for it."""
    bills, bound = call.bills, call.thrift.bound or MOST_TOKENS
    asked, bills.asked = bills.asked, 0
    dry = not asked and runs_dry(call)
    if bills.room:
        bills.room.began(response_id, bills.count.next_input(), max(asked, bound))
    return dry


def ended(call: Course, response_id: str, usage: p.Usage | None) -> None:
    """Nothing more of an answer is made; `usage` is to be billed, None for nothing."""
    if call.bills.room:
        call.bills.room.ended(response_id, usage)


def lost(call: Course) -> None:
    """The provider's session is gone."""
    call.bills.asked, call.bills.waits = 0, False
    if call.bills.room:
        call.bills.room.lost()


def told(call: Course, means: Means | None, response_id: str) -> None:
    """An answer was billed. Without means no limit is over the call any more."""
    bills = call.bills
    if means is None:
        bills.room = None
    elif bills.room is None:
        bills.room = Allowance(means)
    else:
        bills.room.told(means, response_id)


def runs_dry(call: Course) -> bool:
    """Whether nothing is left for an answer that begins now. It waits for the bills of those
    before it, once and not for long; else the call comes to its end."""
    bills = call.bills
    measure(call)
    if call.wrapping or call.state not in TALKING or not call.thrift.dry:
        bills.waits = False
        return False
    if bills.room and bills.room.owing and not bills.waits:
        bills.waits = True
        call.later("bills", WAIT_S)
        return True
    call.thrift.take((Step.WRAP_UP,))
    call.tell(m.TellBudget(Step.WRAP_UP, call.at_ms))
    wrap_up(call, taken_over=True)
    return True


def wrap_up(call: Course, *, taken_over: bool) -> None:
    """Nothing new is begun. taken_over: no person is asked to take the call."""
    call.wrapping, call.taken_over = True, taken_over
    call.tell(m.Listen(False))
