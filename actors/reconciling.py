"""Makes the ledger what a provider's itemised invoice says (`reception.money.reconciliation`).

What is lacking is found first, beside the writer; only that goes through it, in pieces,
each found anew in the transaction that posts it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.engine import Connection

from actors.budgets import check_name, note
from actors.storage import invoices, ledger
from actors.storage.books import Ask, Books
from actors.storage.engine import Store, check_epoch
from actors.storage.limits import revise_book
from actors.storage.reader import Reader
from actors.storage.writer import Writer
from reception.errors import InvalidRequest
from reception.money.invoice import MAX_ITEMS, Item, Key
from reception.money.lender import Lender
from reception.money.prices import PriceTable
from reception.money.reconciliation import Correction, Place, correct, owner_of, settle
from reception.money.scopes import Owner
from reception.security.audit import AuditEvent

BATCH = 25
"""Items that are corrected in one transaction: calls wait as long for theirs (20 ms)."""

LOOK = 500
"""Items whose accounts are looked at together."""

MAX_SHOWN = 100
MAX_PROVIDER_CHARS = 64

T = TypeVar("T")

Places = dict[Key, list[Place]]


@dataclass(frozen=True, slots=True)
class Found:
    """What an invoice and the ledger have of each other."""

    corrections: tuple[Correction, ...]
    places: Places
    missing: tuple[str, ...]


class Reconciling:
    """Belongs to a cost controller.

    Args:
        singleton: whose epoch the writer's writes carry.
        beside: makes books for a transaction beside the singleton.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        books: Books,
        singleton: str,
        beside: Callable[[], Books],
    ) -> None:
        self._store, self._writer, self._books = store, writer, books
        self._singleton, self._beside = singleton, beside
        self._reader = Reader(store)

    @property
    def _prices(self) -> PriceTable:
        return self._books.terms.prices

    async def run(
        self, items: Sequence[Item], by: str, provider: str, now_s: float, *, dry_run: bool
    ) -> dict[str, Any]:
        """What was corrected, or with `dry_run` would be, and what can't be.

        Raises:
            InvalidRequest: too many items, or a name is too long.
        """
        check_name("by", by)
        check_name("provider", provider, most=MAX_PROVIDER_CHARS)
        if len(items) > MAX_ITEMS:
            raise InvalidRequest(
                f"items are {len(items)}: must be at most {MAX_ITEMS}", field="invoice"
            )
        found = await self._reader.run(partial(self._look, items, provider, now_s))
        done = list(found.corrections)
        if not dry_run:
            todo = [each.item for each in done if each.bills]
            done = [each for each in done if not each.bills]
            for first in range(0, len(todo), BATCH):
                piece = todo[first : first + BATCH]
                done += await self._post(piece, found.places, by, provider, now_s)
        return _report(len(items), done, found.missing)

    # ------------------------------------------------------------- looking

    def _look(
        self, items: Sequence[Item], provider: str, now_s: float, connection: Connection
    ) -> Found:
        keys = [item.key for item in items]
        places = invoices.places(connection, keys)
        corrections: list[Correction] = []
        for first in range(0, len(items), LOOK):
            piece = items[first : first + LOOK]
            sessions = {each.session_id for each in self._owners(piece, places, provider)}
            cases = {each.owner.session_id: each for each in ledger.load(connection, sessions)}
            corrections += (
                correct(item, places.get(item.key, ()), cases.get, self._prices, now_s)
                for item in piece
            )
        times = [place.at_s for found in places.values() for place in found]
        missing, count = (
            invoices.not_among(connection, set(keys), min(times), max(times), provider, MAX_SHOWN)
            if times
            else ([], 0)
        )
        texts = [
            f"{kind} {id_} of session {session_id}: billed, and not in the invoice"
            for session_id, (kind, id_) in missing
        ]
        if count > len(texts):
            texts.append(f"and {count - len(texts)} more that are billed, and not in the invoice")
        return Found(tuple(corrections), places, tuple(texts))

    # ------------------------------------------------------------- writing

    async def _post(
        self, items: Sequence[Item], places: Places, by: str, provider: str, now_s: float
    ) -> list[Correction]:
        """In the singleton with its epoch, elsewhere beside it."""
        owners = self._owners(items, places, provider)

        def post(book: Lender, connection: Connection) -> list[Correction]:
            done: list[Correction] = []
            for item in items:
                prices = book.terms.prices
                found = correct(item, places.get(item.key, ()), book.known, prices, now_s)
                settle(book, found, provider, now_s)
                done.append(found)
            posted = [each for each in done if each.bills]
            if posted:
                detail = {
                    "provider": provider,
                    "items": [f"{each.item.kind} {each.item.id}" for each in posted],
                    "micros": sum(each.micros for each in posted),
                }
                event = AuditEvent(by, "reconcile", detail)
                note(connection, event, now_s, self._writer.epoch)
            return done

        if self._writer.epoch:
            return await self._writer.run(Ask(self._books, post, *owners))
        books = self._beside()
        return await asyncio.to_thread(self._post_beside, books, Ask(books, post, *owners))

    def _post_beside(self, books: Books, ask: Ask[T]) -> T:
        """Replaces nobody: the singleton reads its book anew then."""
        with self._store.transaction() as connection:
            epoch = check_epoch(connection, self._singleton, None)
            books.begin(connection, (ask,))
            done = ask(connection)
            books.end(connection, epoch)
            revise_book(connection)
        return done

    def _owners(self, items: Iterable[Item], places: Places, provider: str) -> list[Owner]:
        """The accounts that corrections of items are about."""
        calls = {place.session_id for item in items for place in places.get(item.key, ())}
        own = [owner_of(item, provider, self._prices) for item in items]
        return [*map(Owner, sorted(calls)), *own]


def _report(items: int, done: Sequence[Correction], missing: Sequence[str]) -> dict[str, Any]:
    corrected = [each for each in done if each.bills]
    problems = [str(each) for each in done if each.problem]
    return {
        "items": items,
        "corrected": sum(not each.new for each in corrected),
        "added": sum(each.new for each in corrected),
        "micros": sum(each.micros for each in corrected),
        "corrections": [str(each) for each in corrected[:MAX_SHOWN]],
        "differences": [*problems, *missing],
    }
