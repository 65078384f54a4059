"""The cost singleton: holds money for calls, bills what they use, keeps the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import astuple
from functools import partial
from typing import Any, TypeVar

import structlog
from sqlalchemy.engine import Connection

from actors.alerts import AlertWatch, Deliver, everywhere, to_log
from actors.budgets import Budgets, check_name, note
from actors.cost_views import MoneyViews
from actors.lending import Lending
from actors.owners import check_ids, whole
from actors.prices import load_prices
from actors.reconciling import Reconciling
from actors.settings import Settings
from actors.storage.books import Ask, Books
from actors.storage.engine import Store
from actors.storage.writer import Writer
from actors.webhook import Webhook
from reception.errors import InvalidRequest
from reception.money.account import CallCost, Charge, Hold
from reception.money.alerts import Alert
from reception.money.book import Book
from reception.money.case import ADJUSTMENT, INVOICED, RESPONSE, TRANSCRIPTION, Bill, Terms
from reception.money.invoice import Item
from reception.money.leases import Claim, Lease
from reception.money.lender import Lender
from reception.money.limits import default_limits
from reception.money.own_count import COUNTED
from reception.money.policy import Step
from reception.money.prices import PriceTable, whole_ms
from reception.money.purses import Wanted
from reception.money.scopes import Owner
from reception.provider.base import Usage
from reception.security.audit import AuditEvent

log = structlog.get_logger()

T = TypeVar("T")

SINGLETON = "cost"
HOLD_MARGIN_S = 300.0
"""A hold is given back when its call was not heard of for the longest call's
time and this much more."""

SWEEP_EVERY_S, SWEEP_FOR_MONEY_S = 60.0, 1.0
"""How often such holds are looked for: always, and when a call lacks money."""

MAX_COUNT = 10**12
"""Of tokens or milliseconds in one bill."""

_BROKEN = Hold(
    False, "the ledger does not add up: no new calls until it is mended (see the log)",
    step=Step.REFUSE,
)  # fmt: skip


def _ways(settings: Settings) -> Deliver:
    """Where alerts go."""
    if not settings.alert_webhook:
        return to_log
    secret = settings.alert_webhook_secret.get_secret_value()
    return everywhere(to_log, Webhook(settings.alert_webhook, secret))


class CostController(MoneyViews):
    """Every method may be sent again with the same arguments; the second time
    changes nothing and answers the same.

    Limits and policies may also be set by a process that is not the singleton
    (the command line): that replaces nobody, and holds from the next hold on.

    Args:
        settings: limits, prices and database.
        clock: UNIX time in seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        shipped = load_prices(settings)
        self._provider = settings.provider
        zone = settings.budget_timezone
        defaults = default_limits(settings.cost_limits_micros(), zone)
        self._store = Store.open(settings.database_url)
        expiry_s = settings.max_call_s + HOLD_MARGIN_S
        terms = Terms(shipped, settings.hold_slice_s, settings.hold_tail_s, expiry_s)
        self._books = Books(terms, defaults, settings.alert_cooldown_seconds)
        with self._store.reading() as connection:
            self._books.read_prices(connection)
        self._writer = Writer(self._store, SINGLETON, self._books)
        self._watch = AlertWatch(self._writer, self._books, clock, _ways(settings))
        self._refused_for = ""
        self._lending = Lending(self._books, settings.provider)
        self._reconciling = Reconciling(
            self._store,
            self._writer,
            self._books,
            SINGLETON,
            lambda: Books(self._books.terms, defaults, proves=False),
        )
        budgets = Budgets(self._store, self._writer, defaults, zone)
        super().__init__(self._store, self._books, budgets, clock, zone)

    @property
    def _prices(self) -> PriceTable:
        return self._books.terms.prices

    # ------------------------------------------------------------- a call

    async def open_call(self, owner: Owner) -> Hold:
        """Holds a call's first slice and its closing tail.

        Raises:
            InvalidRequest: the model has no price, is billed by time, or something of
                it would be free; or an id is too long.
        """
        owner = whole(owner, self._provider)
        now_s = self._clock()
        self._prices.check_call(owner.model, now_s)
        return await self._write(Ask(self._books, partial(self._open, owner, now_s), owner))

    async def usage(
        self,
        session_id: str,
        response_id: str,
        model: str,
        usage: Usage,
        claim: Claim | None = None,
        at_s: float | None = None,
    ) -> Charge:
        """Bills one response.

        Args:
            claim: of a call that began without this singleton.
            at_s: when it was used, at whose price; None for now. It counts in the
                windows of now in any case.

        Raises:
            InvalidRequest: the model has no price, or counts that can't be.
        """
        now_s = self._clock()
        cost = self._prices.cost(usage, model, self._prices.priced_at(model, at_s, now_s))
        bill = Bill(RESPONSE, response_id, model, usage, 0, cost)
        return await self._bill(session_id, bill, claim, now_s)

    async def transcription(
        self,
        session_id: str,
        item_id: str,
        model: str,
        seconds: float,
        input_tokens: int,
        output_tokens: int,
        claim: Claim | None = None,
        at_s: float | None = None,
    ) -> Charge:
        """Bills the transcription of one thing that the caller said.

        Args:
            claim, at_s: as `usage`.

        Raises:
            InvalidRequest: as `usage`.
        """
        now_s = self._clock()
        priced_s = self._prices.priced_at(model, at_s, now_s)
        cost = self._prices.transcription_cost(
            model, seconds, input_tokens, output_tokens, priced_s
        )
        tokens = Usage(input_audio=input_tokens, output_text=output_tokens)
        bill = Bill(TRANSCRIPTION, item_id, model, tokens, whole_ms(seconds), cost)
        return await self._bill(session_id, bill, claim, now_s)

    async def count_differs(self, session_id: str, what: str, ours: int, theirs: int) -> None:
        """A call's provider counts so many tokens, and we count so many: somebody is to know.

        Args:
            what: "output_audio" or "input_audio".

        Raises:
            InvalidRequest: an id is too long, or a count can't be.
        """
        check_ids(session_id)
        if what not in COUNTED or not (0 <= ours <= MAX_COUNT and 0 <= theirs <= MAX_COUNT):
            raise InvalidRequest(
                f"{what[:40]!r} is counted as {ours} and {theirs}: must be one of "
                f"{', '.join(COUNTED)}, and counts from 0 to {MAX_COUNT}",
                field="what",
            )

        now_s = self._clock()

        def differs(book: Book, connection: Connection) -> tuple[Alert, ...]:
            case = book.known(session_id)
            provider = case.owner.provider if case else self._provider
            return self._books.differs(connection, now_s, provider, what, ours, theirs)

        self._watch.tell(await self._write(Ask(self._books, differs, Owner(session_id))))

    async def change_model(self, session_id: str, model: str) -> bool:
        """Holds what a live call needs that is to go on with a dearer model; whether the
        limits allow it.

        Raises:
            InvalidRequest: as `open_call`.
        """
        check_name("model", model)
        now_s = self._clock()
        self._prices.check_call(model, now_s)
        return await self._write(
            self._lending.of_call(
                session_id, lambda book: book.change_model(session_id, model, now_s), None, now_s
            )
        )

    async def close_call(self, session_id: str, claim: Claim | None = None) -> CallCost:
        """Gives the rest of the hold back. What comes later is still billed; a
        call that was never opened can't be opened after this.

        Args:
            claim: as `usage`.
        """
        now_s = self._clock()
        return await self._write(
            self._lending.of_call(
                session_id, lambda book: book.close(session_id, now_s), claim, now_s
            )
        )

    async def adjust(
        self, session_id: str, adjustment_id: str, change_micros: int, by: str, reason: str
    ) -> CallCost:
        """Corrects by hand what a call has cost; once for each adjustment id.

        Args:
            change_micros: micro-dollars, negative to give some back.
            by: who asked for it.

        Raises:
            NotFound: there is no such call.
            InvalidRequest: it would have cost less than nothing, or a text is too long.
        """
        check_ids(session_id, adjustment_id)
        check_name("by", by)
        check_name("reason", reason)
        if adjustment_id.startswith(INVOICED):
            raise InvalidRequest(
                f"adjustment_id is {adjustment_id[:40]!r}: only an invoice's begin with "
                f"{INVOICED!r}",
                field="adjustment_id",
            )
        now_s = self._clock()
        bill = Bill(ADJUSTMENT, adjustment_id, "", Usage(), 0, change_micros)
        detail = {
            "session_id": session_id,
            "adjustment_id": adjustment_id,
            "micros": change_micros,
            "reason": reason,
        }

        def adjust(book: Book, connection: Connection) -> CallCost:
            cost, first = book.adjust(session_id, bill, now_s)
            if first:
                event = AuditEvent(by, "adjust", detail)
                note(connection, event, now_s, self._writer.epoch)
            return cost

        return await self._write(Ask(self._books, adjust, Owner(session_id)))

    async def reconcile(
        self, items: Sequence[Item], by: str, provider: str = "", dry_run: bool = False
    ) -> dict[str, Any]:
        """Makes the bills of each item of a provider's invoice what it says. Made by a
        process that is not the singleton this replaces nobody.

        Args:
            by: who asked for it.
            provider: whose invoice it is; "" for the deployment's.
            dry_run: only says what would be done.

        Returns:
            `items`: how many; of them `corrected` and `added` (billed nowhere before), by
            `micros` together; `corrections` and `differences` by name, 100 at most of each
            kind: what can't be corrected, and what is billed and not in the invoice.

        Raises:
            InvalidRequest: too many items, or a text is too long.
        """
        whose = provider or self._provider
        return await self._reconciling.run(items, by, whose, self._clock(), dry_run=dry_run)

    # ------------------------------------------------------------- leases of budget

    async def lease(
        self, wanted: tuple[Wanted, ...], back: tuple[str, ...] = ()
    ) -> tuple[Lease | None, ...]:
        """Sets money aside for calls like these, for a node that may then go on while
        this singleton does not answer (`reception.money.leases`). Asked for again a
        lease is filled up and lasts longer; None: there is no money for it.

        Args:
            wanted: whose calls they are and their model (the session id is the
                lease's), and how many.
            back: leases to close before that.

        Raises:
            InvalidRequest: an id is too long, or is none of a lease.
        """
        return await self._write(self._lending.lease(wanted, back, self._clock()))

    async def claim(self, claim: Claim) -> Hold:
        """Takes over a call that began without this singleton; if it is not admitted it
        is to come to its end.

        Raises:
            InvalidRequest: an id is too long.
        """
        return await self._write(self._lending.claim(claim, self._clock()))

    # ------------------------------------------------------------- limits

    async def set_limit(
        self, scope: str, window: str, micros: int | None, by: str, zone: str = ""
    ) -> None:
        """Sets a limit, or with None takes it away (a default one is back
        then). It holds from the next hold on; what is held already stays.

        Args:
            scope: "global", or as "tenant:acme", "tenant:*" for each tenant.
            window: hour, day, week, month, the same with "rolling-" before it,
                call or call-minute.
            micros: micro-dollars.
            by: who asked for it, for the audit trail.
            zone: of a calendar window; "" for the deployment's.

        Raises:
            InvalidRequest: names the argument and its bound.
        """
        await self._budgets.set_limit(scope, window, micros, by, self._clock(), zone)

    async def set_policy(self, tenant: str, steps: dict[str, int], by: str) -> None:
        """Sets what is done when a tenant's money runs out ("*": each tenant's
        that has no policy of its own).

        Args:
            steps: in order, each with the percentage of the tightest limit
                below which it is taken.

        Raises:
            InvalidRequest: names what is wrong.
        """
        await self._budgets.set_policy(tenant, steps, by, self._clock())

    async def set_prices(self, text: str, by: str) -> str:
        """Replaces the price table, in this process and after every restart
        until the deployment's file has a later version.

        Args:
            text: YAML as in config/prices.yaml, with a version of its own.

        Returns:
            The version.

        Raises:
            InvalidRequest: names what is wrong in it: also when it is no later
                than the table that counts, or lacks a model of a live call.
        """
        return await self._budgets.set_prices(text, by, self._clock(), self._prices.version)

    # ------------------------------------------------------------- the process

    async def warm_up(self) -> None:
        """Reads and proves the ledger, and makes the first call's bookkeeping as
        quick as any other's."""
        await self._writer.rehearse(partial(self._books.rehearse, now_s=self._clock()))

    async def ping(self) -> dict[str, Any]:
        """Takes over from a predecessor, if there is one; the epoch.

        Raises:
            Fenced: a successor has taken over.
        """
        epoch = await self._writer.begin()
        self._watch.begin()
        return {"epoch": epoch}

    def close(self) -> None:
        """Finishes writing and closes the database; blocks."""
        self._writer.close()
        self._store.close()

    # ------------------------------------------------------------- in the writer

    async def _write(self, ask: Ask[T]) -> T:
        self._watch.begin()
        return await self._writer.run(ask)

    def _open(self, owner: Owner, now_s: float, book: Lender, _: Connection) -> Hold:
        known = book.scopes(owner.session_id) is not None
        if self._books.faults and not (known or owner.exempt):
            return _BROKEN
        if book.sweep_is_due(now_s, SWEEP_EVERY_S):
            self._sweep(book, now_s)
        hold = book.open(owner, now_s)
        if hold.step is Step.REFUSE:
            if book.sweep_is_due(now_s, SWEEP_FOR_MONEY_S) and self._sweep(book, now_s):
                hold = book.open(owner, now_s)
            if hold.message != self._refused_for:  # once, not for each of the calls
                log.warning("calls are refused for money", reason=hold.message)
        self._refused_for = hold.message
        return hold

    def _sweep(self, book: Lender, now_s: float) -> list[str]:
        lost = book.expire(now_s)
        for session_id in lost:
            log.warning("abandoned hold given back", session_id=session_id)
        return lost + self._lending.end(book)

    async def _bill(self, session_id: str, bill: Bill, claim: Claim | None, now_s: float) -> Charge:
        check_ids(session_id, bill.used_id)
        check_name("model", bill.model, least=0)
        if max(bill.audio_ms, *astuple(bill.tokens)) > MAX_COUNT:
            raise InvalidRequest(f"a count is over {MAX_COUNT}", field="usage")
        return await self._write(
            self._lending.of_call(
                session_id, lambda book: book.use(session_id, bill, now_s), claim, now_s
            )
        )
