"""The cost singleton's book and its database, in step.

Surrounds the writer's transactions: before the requests of a commit the book
learns what they need from the database, after them what it did is written, all
in the transaction in which the epoch is checked. If that fails, or if it is not
known whether it succeeded, the book is thrown away and read anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy.engine import Connection

from actors.prices import later
from actors.storage import alerts, ledger, ledger_check, limits, prices
from reception.money.alerts import Alert, LimitAlerts
from reception.money.book import Book
from reception.money.case import RESPONSE, Bill, Case, Terms
from reception.money.leases import is_lease
from reception.money.lender import Lender
from reception.money.limits import Limit, LimitTable
from reception.money.reconciliation import is_invoiced
from reception.money.scopes import GLOBAL, Owner, Scope
from reception.money.told_once import ToldOnce
from reception.provider.base import Usage

log = structlog.get_logger()

T = TypeVar("T")


class Ask(Generic[T]):
    """A request to the book, as work for the writer.

    Args:
        do: may also write something of its own, once it can't fail any more.
        owners: of the accounts that it is about; of one that may not be there yet with
            all that it is to have, else the session id is enough.
    """

    def __init__(self, books: Books, do: Callable[[Lender, Connection], T], *owners: Owner) -> None:
        self._books, self._do, self.owners = books, do, owners

    def __call__(self, connection: Connection) -> T:
        return self._do(self._books.book, connection)


class Books:
    """Belongs to the writer's thread.

    Args:
        terms: how much is held.
        defaults: limits that hold where no others are set.
        cooldown_s: after which an alert of a limit may be told again.
        proves: the sums, when the book is first read.
    """

    def __init__(
        self,
        terms: Terms,
        defaults: tuple[Limit, ...],
        cooldown_s: float = 0.0,
        *,
        proves: bool = True,
    ) -> None:
        self._proves = proves
        self.terms, self._defaults, self._cooldown_s = terms, defaults, cooldown_s
        self._shipped = terms.prices
        self.faults: list[str] = []
        self._book: Lender | None = None
        self._revision = limits.Revision(-1, -1)
        self._alerts = LimitAlerts(cooldown_s)
        self._once = ToldOnce(cooldown_s)
        self._changed: set[Scope] = set()  # since the last look
        self._changed_calls: dict[str, Case] = {}
        self._all_changed = False

    @property
    def book(self) -> Lender:
        """The book, within a transaction."""
        assert self._book is not None
        return self._book

    @property
    def changed(self) -> bool:
        """Whether there is something to look at; asked by other threads too."""
        return bool(self._changed or self._all_changed)

    def begin(self, connection: Connection, works: Sequence[Callable[[Connection], Any]]) -> None:
        """Makes sure that the book knows all that `works` will ask for."""
        book = self._book
        revision = limits.revision(connection)
        if book is None:
            if self._proves:
                self._prove(connection)
            book = self._read(connection)
        elif revision.book != self._revision.book:
            book = self._read(connection)
        elif revision != self._revision:
            self.read_prices(connection)
            book.terms = self.terms
            set_limits, book.policies = limits.load(connection)
            book.sums.limits = LimitTable((*self._defaults, *set_limits))
            self._all_changed = True
        self._book, self._revision = book, revision
        owners = [owner for work in works if isinstance(work, Ask) for owner in work.owners]
        strange = {each.session_id for each in owners if book.scopes(each.session_id) is None}
        for case in ledger.load(connection, strange) if strange else ():
            book.learn(case)
        scopes = set(book.sums.strange((GLOBAL,)))
        for owner in owners:
            owned = book.scopes(owner.session_id) or owner.scopes()
            scopes.update(book.sums.strange(owned))
        _learn(connection, book, scopes)

    def read_prices(self, connection: Connection) -> None:
        """Takes the price table that counts."""
        table = later(self._shipped, prices.current(connection))
        if table.version != self.terms.prices.version:
            self.terms = self.terms.at(table)

    def end(self, connection: Connection, epoch: int) -> None:
        """Writes what the book did."""
        changes = self.book.forget()
        for case in changes.cases.values():
            self._changed.update(case.scopes)
            if not (is_lease(case.owner.session_id) or is_invoiced(case.owner.session_id)):
                self._changed_calls[case.owner.session_id] = case
        ledger.write(connection, changes, epoch)

    def look(self, connection: Connection, now_s: float) -> tuple[Alert, ...]:
        """Work for the writer: which limits came near, or are near no more, since
        the last look. What is told is kept in the same transaction."""
        book = self.book
        scopes = self._changed | self._alerts.scopes()
        if self._all_changed:
            scopes.update(book.sums.holding(), alerts.spent_scopes(connection, now_s))
        _learn(connection, book, set(book.sums.strange(tuple(scopes))))
        readings = book.readings(sorted(scopes), now_s)
        calls = book.call_readings(self._changed_calls.values(), now_s)
        told = (
            *self._alerts.observe(book.now_s, readings),
            *self._once.calls(book.now_s, calls),
        )
        if told:
            alerts.save(connection, told, self._alerts, book.now_s - self._cooldown_s)
        self._changed, self._changed_calls, self._all_changed = set(), {}, False
        return told

    def differs(
        self,
        connection: Connection,
        now_s: float,
        provider: str,
        what: str,
        ours: int,
        theirs: int,
    ) -> tuple[Alert, ...]:
        """Work for the writer: a provider counts otherwise than we do. What is told is kept
        in the same transaction."""
        told = tuple(self._once.counts(now_s, f"provider:{provider}", what, ours, theirs))
        if told:
            alerts.save(connection, told, self._alerts, now_s - self._cooldown_s)
        return told

    def lost(self) -> None:
        """The transaction came to nothing, or nobody knows."""
        self._book = None

    def rehearse(self, connection: Connection, now_s: float) -> None:
        """One call through a book of its own, for the statements' sake."""
        book = Book(LimitTable(()), {}, self.terms, now_s)
        model = next(iter(self.terms.prices.models))
        owner = Owner("rehearsal", model=model)
        ledger.load(connection, (owner.session_id,))
        ledger.load_spending(connection, list(owner.scopes()), now_s)
        book.open(owner, now_s)
        book.use(owner.session_id, Bill(RESPONSE, "rehearsal", model, Usage(), 0, 0), now_s)
        ledger.write(connection, book.forget(), 0)

    def _prove(self, connection: Connection) -> None:
        """Notes where what was written down does not add up."""
        self.faults = ledger_check.faults(connection)
        for fault in self.faults:
            log.error("the ledger does not add up", fault=fault)

    def _read(self, connection: Connection) -> Lender:
        """The book as it was written down."""
        self.read_prices(connection)
        set_limits, policies = limits.load(connection)
        table = LimitTable((*self._defaults, *set_limits))
        book = Lender(table, policies, self.terms, ledger.latest(connection))
        for case in ledger.load_holding(connection):
            book.learn(case)
        self._alerts.restore(alerts.load_states(connection))
        since_s = book.now_s - max(self.terms.expiry_s, self._cooldown_s)
        self._once.restore(alerts.told_once(connection, since_s))
        self._changed_calls = {}
        self._all_changed = True
        return book


def _learn(connection: Connection, book: Book, scopes: set[Scope]) -> None:
    """What these have spent."""
    if scopes:
        found = ledger.load_spending(connection, sorted(scopes), book.now_s)
        for scope, slots in found.items():
            book.sums.learn(scope, slots)
