"""Makes the bills of each item of a provider's invoice what the invoice says.

- Billed as in the invoice: nothing is done.
- Billed otherwise: an adjustment in the call's account, by the difference to what stands
  (the bill and its earlier adjustments), at the price that counted when it was billed.
- Billed nowhere: a bill, in an account of the item's own, since nobody knows its call.
- If the call's own bill comes after that, or there are several: one stays, the others are
  taken back, first that of the item's own account.

So whoever does it again changes nothing, and a later invoice corrects an earlier one.
Nothing is changed that the invoice does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace

from reception.errors import InvalidRequest
from reception.money.book import Book
from reception.money.case import ADJUSTMENT, INVOICED, Bill, Case
from reception.money.invoice import Item
from reception.money.prices import PriceTable
from reception.money.scopes import Owner
from reception.money.usage_export import model_name
from reception.provider.base import Usage

NUMBER_DIGITS = 4
"""Of an item's adjustment, at the end of its id, so that ids of one item are not taken
for another's."""

_MAX_ADJUSTMENTS = 10**NUMBER_DIGITS


@dataclass(frozen=True, slots=True)
class Place:
    """An account in which an item is billed, and when it was (UNIX seconds)."""

    session_id: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Correction:
    """What an item lacks in our books.

    Attributes:
        bills: with their accounts' session ids; none if all is well, or can't be.
        new: it was billed nowhere.
        problem: why it can't be corrected.
    """

    item: Item
    bills: tuple[tuple[str, Bill], ...] = ()
    new: bool = False
    problem: str = ""

    @property
    def micros(self) -> int:
        return sum(bill.cost_micros for _, bill in self.bills)

    @property
    def tokens(self) -> int:
        return sum(bill.tokens.tokens for _, bill in self.bills)

    def __str__(self) -> str:
        name = f"{self.item.kind} {self.item.id}"
        if self.problem:
            return f"{name}: {self.problem}"
        what = "not billed before" if self.new else "billed otherwise"
        ms = sum(bill.audio_ms for _, bill in self.bills)
        return (
            f"{name}: {what} ({self.tokens:+d} tokens, {ms:+d} ms, {self.micros:+d} micro-dollars)"
        )


def account_of(item: Item) -> str:
    """The session id of an item's own account."""
    return f"{INVOICED}{item.kind}:{item.id}"


def is_invoiced(session_id: str) -> bool:
    """Whether an account is an item's and not a call's."""
    return session_id.startswith(INVOICED)


# ------------------------------------------------------------------ what is lacking


def correct(
    item: Item,
    places: Sequence[Place],
    case_of: Callable[[str], Case | None],
    prices: PriceTable,
    now_s: float,
) -> Correction:
    """What an item lacks.

    Args:
        places: where calls were billed for it, in the order in which they were.
        case_of: the account of a session id; asked for those of the places and the
            item's own.
        now_s: when it is billed, where nobody knows when it was made.
    """
    calls = [place for place in places if not is_invoiced(place.session_id)]
    own = case_of(account_of(item))
    if own is not None:
        calls.append(Place(account_of(item), own.opened_at_s))
    try:
        if not calls:
            return Correction(item, (_first_bill(item, prices, now_s),), new=True)
        bills = tuple(_changes(item, calls, case_of, prices))
    except InvalidRequest as error:
        return Correction(item, problem=f"it can't be corrected: {error.message}")
    problem = _forbidden(bills, case_of)
    return Correction(item, problem=problem) if problem else Correction(item, bills)


def _first_bill(item: Item, prices: PriceTable, now_s: float) -> tuple[str, Bill]:
    at_s = now_s if item.at_s is None else item.at_s
    model = _priced(item.model, prices)
    cost = item.cost(model, prices, at_s)
    return account_of(item), Bill(item.kind, item.id, model, item.tokens, item.audio_ms, cost)


def _changes(
    item: Item,
    places: Sequence[Place],
    case_of: Callable[[str], Case | None],
    prices: PriceTable,
) -> Iterator[tuple[str, Bill]]:
    """The item stays at the first place; elsewhere nothing of it does."""
    for place in places:
        case = case_of(place.session_id)
        assert case is not None, place
        bills = [bill for bill in case.bills.values() if _is_of(bill, item)]
        stands = _by_model(bills)
        wanted = _wanted(item, stands, prices, place.at_s) if place is places[0] else {}
        changes = [
            _plus(wanted.get(model, _nothing(model)), stands.get(model, _nothing(model)), -1)
            for model in sorted({*stands, *wanted})
        ]
        number = sum(bill.kind == ADJUSTMENT for bill in bills)
        for bill in sorted(changes, key=lambda bill: -bill.cost_micros):  # never below 0 meanwhile
            if any(_used(bill)):
                if number >= _MAX_ADJUSTMENTS:
                    raise InvalidRequest(f"it has {number} adjustments already")
                used_id = f"{account_of(item)}:{number:0{NUMBER_DIGITS}d}"
                yield place.session_id, replace(bill, used_id=used_id)
                number += 1


def _wanted(
    item: Item, stands: Mapping[str, Bill], prices: PriceTable, at_s: float
) -> dict[str, Bill]:
    """What is to stand of an item, by model; where it does the price is left as it was."""
    billed = (model for model in sorted(stands) if model_name(model) == model_name(item.model))
    model = next(billed, None) or _priced(item.model, prices)
    wanted = Bill(ADJUSTMENT, "", model, item.tokens, item.audio_ms, 0)
    stood = stands.get(model, _nothing(model))
    if _used(wanted) == _used(stood):
        return {model: stood}
    return {model: replace(wanted, cost_micros=item.cost(model, prices, at_s))}


def _is_of(bill: Bill, item: Item) -> bool:
    """Whether it bills an item, or corrects such a bill."""
    if bill.kind != ADJUSTMENT:
        return bill.key == item.key
    of, _, number = bill.used_id.rpartition(":")
    return of == account_of(item) and len(number) == NUMBER_DIGITS


def _by_model(bills: Iterable[Bill]) -> dict[str, Bill]:
    """The sums of bills."""
    sums: dict[str, Bill] = {}
    for bill in bills:
        sums[bill.model] = _plus(sums.get(bill.model, _nothing(bill.model)), bill, 1)
    return sums


def _nothing(model: str) -> Bill:
    return Bill(ADJUSTMENT, "", model, Usage(), 0, 0)


def _plus(bill: Bill, other: Bill, times: int) -> Bill:
    counts = zip(astuple(bill.tokens), astuple(other.tokens), strict=True)
    return replace(
        bill,
        tokens=Usage(*(one + times * more for one, more in counts)),
        audio_ms=bill.audio_ms + times * other.audio_ms,
        cost_micros=bill.cost_micros + times * other.cost_micros,
    )


def _used(bill: Bill) -> tuple[int, ...]:
    return (*astuple(bill.tokens), bill.audio_ms)


def _forbidden(bills: Sequence[tuple[str, Bill]], case_of: Callable[[str], Case | None]) -> str:
    """Corrections by hand may have left less than is to be taken back."""
    for session_id in sorted({session_id for session_id, _ in bills}):
        case = case_of(session_id)
        assert case is not None, session_id
        change = sum(bill.cost_micros for each, bill in bills if each == session_id)
        total = case.account.total_micros
        if total + change < 0:
            return (
                f"{-change} micro-dollars are to be taken back of {session_id}, which was "
                f"corrected by hand and has cost only {total}"
            )
    return ""


def _priced(model: str, prices: PriceTable) -> str:
    """A model's name as the price table has it: it may have no dates."""
    return model if model in prices.models else model_name(model)


# ------------------------------------------------------------------ into the book


def owner_of(item: Item, provider: str, prices: PriceTable) -> Owner:
    """Whose account an item's own is: it counts for all, and for its provider."""
    return Owner(account_of(item), model=_priced(item.model, prices), provider=provider)


def settle(book: Book, correction: Correction, provider: str, now_s: float) -> None:
    """Posts a correction that was found from what this book has."""
    item = correction.item
    for session_id, bill in correction.bills:
        if correction.new:
            began_s = now_s if item.at_s is None else item.at_s
            book.learn(Case(owner_of(item, provider, book.terms.prices), began_s, now_s))
            book.close(session_id, now_s)
            book.use(session_id, bill, now_s)
        else:
            book.adjust(session_id, bill, now_s)
