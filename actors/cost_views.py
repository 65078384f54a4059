"""What the cost singleton shows: limits, totals, reports, the forecast, alerts, proofs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from sqlalchemy.engine import Connection

from actors.budgets import Budgets
from actors.forecasts import MAX_KEPT, Forecasts
from actors.overview import Overview
from actors.reports import MAX_PAGE_SIZE, Wanted
from actors.storage import alerts, ledger, ledger_check, ledger_view, records_check
from actors.storage.books import Books
from actors.storage.engine import Store
from actors.storage.reader import Reader
from reception.errors import InvalidRequest
from reception.money.account import CallCost
from reception.money.overview import to_foresee
from reception.money.savings.comparison import Answered, Comparison
from reception.money.savings.comparison import compare as undone
from reception.money.scopes import GLOBAL, each_of_kind, parse_scope
from reception.money.usage_export import Export, compare


class MoneyViews:
    """Only reads; each answer is of one moment of the database.

    Args:
        clock: UNIX time in seconds.
        zone: of the budgets, by name.
    """

    def __init__(
        self, store: Store, books: Books, budgets: Budgets, clock: Callable[[], float], zone: str
    ) -> None:
        self._books, self._budgets, self._clock, self._zone = books, budgets, clock, zone
        self._reader = Reader(store)
        self._forecasts = Forecasts(budgets.limits, zone)

    # ------------------------------------------------------------- how it stands

    async def limits(self) -> list[dict[str, Any]]:
        """Every limit with what is posted and held in it now; one that is for
        each of a kind once for each scope in which something is. Micro-dollars."""
        return await self._reader.run(
            partial(ledger_view.standings, limits=self._budgets.limits, now_s=self._clock())
        )

    async def policies(self) -> dict[str, dict[str, int]]:
        """The policies that were set, by tenant."""
        return await self._reader.run(self._budgets.policies)

    async def call_cost(self, session_id: str) -> CallCost:
        """What a call has cost so far."""
        return await self._reader.run(partial(ledger.call_cost, session_id=session_id))

    async def totals(self) -> dict[str, Any]:
        """All money, by window and by model; micro-dollars."""
        view = partial(ledger_view.totals, limits=self._budgets.limits, now_s=self._clock())
        return await self._reader.run(view) | {"prices": self._books.terms.prices.version}

    async def check(self) -> list[str]:
        """Where the ledger and the sums beside it disagree; [] is good."""
        return await self._reader.run(ledger_check.faults)

    async def verify(self) -> list[str]:
        """What `check` finds, and calls whose record has another cost than their
        account; [] is good."""

        def read(connection: Connection) -> list[str]:
            return [*ledger_check.faults(connection), *records_check.differences(connection)]

        return await self._reader.run(read)

    async def against_export(self, export: Export, provider: str = "") -> list[str]:
        """Where a provider counted other tokens than we did (`usage_export`); [] is good.

        Args:
            provider: only calls of this one are compared; "" for all.
        """
        also = sorted({model for _, model in export.counts})

        def read(connection: Connection) -> list[str]:
            since_s, until_s = export.since_s, export.until_s
            ours = records_check.tokens_by_day(connection, since_s, until_s, also, provider)
            return compare(export, ours)

        return await self._reader.run(read)

    # ------------------------------------------------------------- alerts

    async def alerts(
        self, after_id: int = 0, since_s: float = 0.0, at_most: int = alerts.MAX_ALERTS
    ) -> dict[str, list[dict[str, Any]]]:
        """Alerts of limits: those `in_force`, and those `told`, oldest first.

        Args:
            after_id: only what was told after the alert with this id.
            since_s: UNIX time; only what was told from then on.
            at_most: 1 to alerts.MAX_ALERTS.

        Raises:
            InvalidRequest: a bound is passed.
        """
        if not 1 <= at_most <= alerts.MAX_ALERTS:
            raise InvalidRequest(
                f"at_most is {at_most}: must be 1 to {alerts.MAX_ALERTS}", field="at_most"
            )
        now_s = self._clock()

        def read(connection: Connection) -> dict[str, list[dict[str, Any]]]:
            return {
                "in_force": alerts.in_force(connection, now_s),
                "told": alerts.listing(connection, after_id, since_s, at_most),
            }

        return await self._reader.run(read)

    # ------------------------------------------------------------- what will be

    async def forecast(self, scope: str = GLOBAL) -> dict[str, Any]:
        """What a scope will have spent at the end of each window that limits it (a
        rolling one: what is in it one length of it from now, and its `course` until then),
        when each limit will be hit, and what one more call at a time costs. Micro-dollars;
        None is "unknown": there is not enough history.

        Args:
            scope: "global", or as "tenant:acme".

        Raises:
            InvalidRequest: it is no scope, or one for each of a kind.
        """
        found = parse_scope(scope)
        if found == each_of_kind(found) != GLOBAL:
            raise InvalidRequest(
                f"scope is {scope!r}: must be that of one, as in tenant:acme", field="scope"
            )
        work = partial(self._forecasts.of, scope=found, now_s=self._clock())
        return await self._reader.run(work)

    # ------------------------------------------------------------- what was

    async def would_have_cost(self, answered: Sequence[Answered], head_tokens: int) -> Comparison:
        """What a call's answers cost, and would have cost with nothing saved.

        Args:
            head_tokens: of instructions and tools.

        Raises:
            InvalidRequest: a model has no price.
        """
        return undone(answered, head_tokens, self._books.terms.prices, self._clock())

    async def report(
        self,
        by: str,
        since: str = "",
        until: str = "",
        page_size: int = MAX_PAGE_SIZE,
        page_token: str = "",
    ) -> dict[str, Any]:
        """What calls that began in a span have cost and used (`reception.money.reports`).

        Args:
            by: one of reports.BY.
            since, until: as reports.parse_time, in the budgets' zone; "" for the last
                30 days.
            page_size: rows, of calls only: 1 to MAX_PAGE_SIZE.
            page_token: what the page before gave; "" for the first.

        Returns:
            `rows`, the `total` of the whole span, how many groups were `left_out` (the
            cheapest, beyond 10,000), and the `next_page_token` ("" for none).

        Raises:
            InvalidRequest: names the argument, its value and its bound.
        """
        wanted = Wanted.of(by, since, until, page_size, page_token, self._clock(), self._zone)
        return await self._reader.run(wanted.read)

    async def overview(self, by: str, since: str = "", until: str = "") -> dict[str, Any]:
        """What is shown at a glance: rows over time with what money went for (`parts`,
        `profiles`, `tenants`, `saved`), the `top` of owners and calls, the nearest
        `limits`, and `forecasts` by scope (the first few scopes'; made one after
        another, so that each is of its own moment).

        Args:
            by: one of reports.TIMES.
            since, until: as for `report`.

        Raises:
            InvalidRequest: names the argument, its value and its bound.
        """
        wanted = Overview.of(by, since, until, self._clock(), self._zone)
        read = partial(wanted.read, limits=self._budgets.limits, prices=self._books.terms.prices)
        found = await self._reader.run(read)
        scopes = to_foresee(found["limits"], MAX_KEPT)
        return found | {"forecasts": {scope: await self.forecast(scope) for scope in scopes}}
