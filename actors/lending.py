"""Leases of budget and the calls that began without the ledger, as work for the cost
singleton."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import structlog
from sqlalchemy.engine import Connection

from actors.owners import check_ids, whole
from actors.storage.books import Ask, Books
from reception.errors import InvalidRequest
from reception.money.account import Hold
from reception.money.leases import Claim, Lease
from reception.money.lender import Lender
from reception.money.purses import Wanted
from reception.money.scopes import Owner

log = structlog.get_logger()

T = TypeVar("T")

MAX_AT_ONCE = 1_000


class Lending:
    """Makes requests to the book.

    Args:
        provider: of owners that name none.
        steady: a clock that is never set.
    """

    def __init__(
        self, books: Books, provider: str, steady: Callable[[], float] = time.monotonic
    ) -> None:
        self._books, self._provider, self._steady = books, provider, steady

    def lease(
        self, wanted: tuple[Wanted, ...], back: tuple[str, ...], now_s: float
    ) -> Ask[tuple[Lease | None, ...]]:
        """Closes leases, then grants others. Raises InvalidRequest."""
        if len(wanted) + len(back) > MAX_AT_ONCE:
            raise InvalidRequest(f"at most {MAX_AT_ONCE} leases at once", field="wanted")
        closed = [whole(Owner(each), self._provider, leases=True) for each in back]
        owners = [whole(owner, self._provider, leases=True) for owner, _ in wanted]

        def grant(book: Lender, _: Connection) -> tuple[Lease | None, ...]:
            for lease_id in back:
                book.give_back(lease_id, now_s)
            counts = (calls for _, calls in wanted)
            return tuple(map(lambda *args: self._lease(book, now_s, *args), owners, counts))

        return Ask(self._books, grant, *closed, *owners)

    def _lease(self, book: Lender, now_s: float, owner: Owner, calls: int) -> Lease | None:
        if self._books.faults:
            return None
        try:
            return book.lease(owner, calls, now_s, self._steady())
        except InvalidRequest:  # its model has no price any more
            return None

    def end(self, book: Lender) -> list[str]:
        """Gives back what is left of leases that are over."""
        ended = book.end_leases(self._steady())
        for lease_id in ended:
            log.warning("abandoned lease given back", lease_id=lease_id)
        return ended

    def of_call(
        self, session_id: str, do: Callable[[Lender], T], claim: Claim | None, now_s: float
    ) -> Ask[T]:
        """Something about a call, which is taken over first if it began without the
        ledger. Raises InvalidRequest."""
        check_ids(session_id)
        if claim is None:
            return Ask(self._books, lambda book, _: do(book), Owner(session_id))
        if claim.owner.session_id != session_id:
            raise InvalidRequest("claim is another call's", field="claim")
        found = replace(claim, owner=whole(claim.owner, self._provider))

        def both(book: Lender, _: Connection) -> T:
            book.take(found, now_s)
            return do(book)

        owners = [found.owner, Owner(found.lease_id)] if found.lease_id else [found.owner]
        return Ask(self._books, both, *owners)

    def claim(self, claim: Claim, now_s: float) -> Ask[Hold]:
        """Takes a call over, and only that. Raises InvalidRequest."""
        return self.of_call(
            claim.owner.session_id, lambda book: book.take(claim, now_s), claim, now_s
        )
