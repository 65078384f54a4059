"""What the book keeps of a call, and what of it is to be written down."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from reception.money.account import Account, CallCost, Entry, Needs
from reception.money.prices import PriceTable
from reception.money.scopes import Owner, Scope
from reception.money.windows import SLOT_S, slot_of
from reception.provider.base import Usage

RESPONSE = "response"
TRANSCRIPTION = "transcription"
ADJUSTMENT = "adjustment"

INVOICED = "invoice:"
"""What a provider's invoice made begins so: the ids of adjustments, and of the accounts
of what was not billed before (see reconciliation.py)."""

CORRECTS_RESPONSE = f"{INVOICED}{RESPONSE}:"
CORRECTS_TRANSCRIPTION = f"{INVOICED}{TRANSCRIPTION}:"

_TOKENS = tuple(each.name for each in fields(Usage))
_MAX_KNOWN = 1_000


@dataclass(frozen=True, slots=True)
class Bill:
    """A response, a transcription or a correction, and its cost. `used_id` is
    unique among the call's bills of this kind."""

    kind: str
    used_id: str
    model: str
    tokens: Usage
    audio_ms: int
    cost_micros: int

    @property
    def key(self) -> tuple[str, str]:
        return self.kind, self.used_id

    @property
    def of_response(self) -> bool:
        """Whether it is a response's, or corrects one's."""
        return self.kind == RESPONSE or (
            self.kind == ADJUSTMENT and self.used_id.startswith(CORRECTS_RESPONSE)
        )


@dataclass(slots=True)
class Case:
    """One call's account with its history. Times are UNIX seconds by the
    book's clock; `entries` counts those in the ledger."""

    owner: Owner
    opened_at_s: float
    active_at_s: float
    account: Account = field(default_factory=Account)
    entries: int = 0
    bills: dict[tuple[str, str], Bill] = field(default_factory=dict)
    scopes: tuple[Scope, ...] = field(init=False)
    dearest_micros: int = field(init=False)
    last_response: Bill | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.scopes = self.owner.scopes()
        self.dearest_micros = 0
        for bill in self.bills.values():
            self._note(bill)

    def add(self, bill: Bill) -> None:
        """Notes a bill that is not known yet."""
        self.bills[bill.key] = bill
        self._note(bill)

    def _note(self, bill: Bill) -> None:
        self.dearest_micros = max(self.dearest_micros, bill.cost_micros)
        if bill.kind == RESPONSE:
            self.last_response = bill

    def minutes(self, now_s: float) -> int:
        """How many minutes it has begun to last."""
        return 1 + max(0, int((now_s - self.opened_at_s) // 60))

    def cost(self) -> CallCost:
        """What it has cost so far."""
        found = [bill for bill in self.bills.values() if bill.of_response]
        tokens = {name: sum(getattr(each.tokens, name) for each in found) for name in _TOKENS}
        responses, account = sum(bill.kind == RESPONSE for bill in found), self.account
        return CallCost(
            account.total_micros, account.held_micros, account.closed, responses, **tokens
        )


@dataclass(frozen=True, slots=True)
class Posting:
    """An entry and its number in its call's account, which makes it unique."""

    case: Case
    number: int
    entry: Entry
    at_s: float


@dataclass(slots=True)
class Changes:
    """What is to be written in one transaction."""

    cases: dict[str, Case] = field(default_factory=dict)
    postings: list[Posting] = field(default_factory=list)
    bills: list[tuple[str, Bill, float]] = field(default_factory=list)
    spending: dict[tuple[Scope, int], int] = field(default_factory=dict)


class Terms:
    """How much is held: for how many seconds, at which prices.

    Args:
        slice_s: of a call's slice.
        tail_s: of its closing tail.
        expiry_s: a hold is given back when its call was not heard of for longer.
    """

    def __init__(self, prices: PriceTable, slice_s: int, tail_s: int, expiry_s: float) -> None:
        self.prices, self.slice_s, self.tail_s, self.expiry_s = prices, slice_s, tail_s, expiry_s
        self._known: dict[tuple[str, int], Needs] = {}

    def at(self, prices: PriceTable) -> Terms:
        """The same terms at other prices."""
        return Terms(prices, self.slice_s, self.tail_s, self.expiry_s)

    def needs(self, model: str, now_s: float) -> Needs:
        """What a call of `model` has to have held: at the price of now or of the
        time that the hold is for, whichever is higher.

        Raises:
            InvalidRequest: the model has no price.
        """
        slot = slot_of(now_s)
        known = self._known.get((model, slot))
        if known is None:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            ahead_s = slot + SLOT_S + self.slice_s + self.tail_s
            held = [
                Needs(
                    max(
                        self.prices.hold(model, self.slice_s, at_s),
                        2 * self.prices.price(model, at_s).hold_micros_per_answer,
                    ),
                    self.prices.hold(model, self.tail_s, at_s),
                )
                for at_s in (now_s, ahead_s)
            ]
            known = self._known[model, slot] = Needs(
                max(each.slice_micros for each in held), max(each.tail_micros for each in held)
            )
        return known
