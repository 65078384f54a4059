"""The cost singleton: holds money for calls, bills what they use, keeps the ledger."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import sqlalchemy as sa
import structlog
import yaml
from sqlalchemy.engine import Connection

from actors.settings import Settings
from actors.storage import ledger
from actors.storage.engine import Store
from actors.storage.ledger import RESPONSE, TRANSCRIPTION, Owner, Stamp, Used
from actors.storage.reader import Reader
from actors.storage.schema import accounts, model_totals
from actors.storage.writer import Writer
from reception.errors import InvalidRequest
from reception.money import account as money
from reception.money.account import CallCost, Charge, Hold
from reception.money.prices import PriceTable, parse_prices
from reception.money.windows import Budget, room, windows_at, zone_of
from reception.provider.base import Usage

log = structlog.get_logger()

SINGLETON = "cost"
HOLD_MARGIN_S = 300.0
"""A hold is given back when its call was not heard of for the longest call's
time and this much more."""

MAX_ID_CHARS = 256


class CostController:
    """Every method may be sent again with the same arguments; the second time
    changes nothing and answers the same.

    Args:
        settings: limits, prices and database.
        clock: UNIX time in seconds.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._prices = load_prices(settings)
        self._limits = settings.cost_limits_micros()
        self._zone = zone_of(settings.budget_timezone)
        self._slice_s = settings.hold_slice_s
        self._hold_expiry_s = settings.max_call_s + HOLD_MARGIN_S
        self._store = Store.open(settings.database_url)
        self._writer = Writer(self._store, SINGLETON)
        self._reader = Reader(self._store)

    # ------------------------------------------------------------- a call

    async def open_call(
        self, session_id: str, call_id: str, tenant: str, key_id: str, model: str
    ) -> Hold:
        """Holds the first slice of a call's money.

        Raises:
            InvalidRequest: the model has no price, or an id is too long.
        """
        _check_ids(session_id=session_id, call_id=call_id, tenant=tenant, key_id=key_id)
        owner = Owner(session_id, call_id, tenant, key_id, model)
        now_s = self._clock()
        wanted = self._prices.hold(model, self._slice_s, now_s)
        return await self._writer.run(partial(self._open, owner=owner, wanted=wanted, now_s=now_s))

    async def usage(self, session_id: str, response_id: str, model: str, usage: Usage) -> Charge:
        """Bills one response.

        Raises:
            InvalidRequest: the model has no price, or counts that can't be.
        """
        now_s = self._clock()
        cost = self._prices.cost(usage, model, now_s)
        return await self._bill(
            session_id, Used(RESPONSE, response_id, model, usage, 0, cost), now_s
        )

    async def transcription(
        self,
        session_id: str,
        item_id: str,
        model: str,
        seconds: float,
        input_tokens: int,
        output_tokens: int,
    ) -> Charge:
        """Bills the transcription of one thing that the caller said.

        Raises:
            InvalidRequest: as `usage`.
        """
        now_s = self._clock()
        cost = self._prices.transcription_cost(model, seconds, input_tokens, output_tokens, now_s)
        tokens = Usage(input_audio=input_tokens, output_text=output_tokens)
        audio_ms = int(Decimal(str(seconds)) * 1_000)
        return await self._bill(
            session_id, Used(TRANSCRIPTION, item_id, model, tokens, audio_ms, cost), now_s
        )

    async def close_call(self, session_id: str) -> CallCost:
        """Gives the rest of the hold back. What comes later is still billed; a
        call that was never opened can't be opened after this."""
        _check_ids(session_id=session_id)
        return await self._writer.run(
            partial(self._close, session_id=session_id, now_s=self._clock())
        )

    async def call_cost(self, session_id: str) -> CallCost:
        """What a call has cost so far."""
        return await self._reader.run(partial(ledger.call_cost, session_id=session_id))

    # ------------------------------------------------------------- all calls

    async def totals(self) -> dict[str, Any]:
        """All money, by window and by model; micro-dollars."""
        return await self._reader.run(self._totals)

    async def check(self) -> list[str]:
        """Where the ledger and the sums beside it disagree; [] is good."""
        return await self._reader.run(ledger.faults)

    async def warm_up(self) -> None:
        """Makes the first call's bookkeeping as quick as any other's."""
        await self._writer.rehearse(self._rehearse)

    async def ping(self) -> dict[str, Any]:
        """Takes over from a predecessor, if there is one; the epoch.

        Raises:
            Fenced: a successor has taken over.
        """
        return {"epoch": await self._writer.begin()}

    def close(self) -> None:
        """Finishes writing and closes the database; blocks."""
        self._writer.close()
        self._store.close()

    # ------------------------------------------------------------- in the writer

    def _open(self, connection: Connection, *, owner: Owner, wanted: int, now_s: float) -> Hold:
        known = ledger.load(connection, owner.session_id)
        if known is not None:
            was = known[1]
            if was.closed:
                return Hold(False, "this call is over")
            return Hold(True, held_micros=was.held_micros)
        self._give_back_abandoned(connection, now_s)
        budgets = self._budgets(connection, now_s)
        free = room(budgets, ledger.held(connection), wanted, now_s)
        if free.micros < wanted:
            log.warning("call refused for money", window=free.window, wanted_micros=wanted)
            text = f"the {free.window}'s budget is used up"
            return Hold(False, text, retry_after_s=free.retry_after_s)
        ledger.create(connection, owner, now_s)
        account, entries = money.open_hold(wanted)
        ledger.record(connection, owner, account, entries, self._stamp(now_s))
        return Hold(True, held_micros=account.held_micros)

    def _rehearse(self, connection: Connection) -> None:
        now_s = self._clock()
        self._give_back_abandoned(connection, now_s)
        used = Used(RESPONSE, "rehearsal", "", Usage(), 0, 0)
        self._load_or_create(connection, "rehearsal", "", now_s)
        ledger.add_usage(connection, "rehearsal", used, now_s)
        room(self._budgets(connection, now_s), ledger.held(connection), 0, now_s)
        self._close(connection, session_id="rehearsal", now_s=now_s)

    async def _bill(self, session_id: str, used: Used, now_s: float) -> Charge:
        _check_ids(session_id=session_id, used_id=used.used_id)
        return await self._writer.run(
            partial(self._post, session_id=session_id, used=used, now_s=now_s)
        )

    def _post(self, connection: Connection, *, session_id: str, used: Used, now_s: float) -> Charge:
        owner, account = self._load_or_create(connection, session_id, used.model, now_s)
        before = ledger.add_usage(connection, session_id, used, now_s)
        slice_micros = 0 if account.closed else self._prices.hold(owner.model, self._slice_s, now_s)
        if before is not None:
            return Charge(before, account.total_micros, account.held_micros < slice_micros)
        budgets = self._budgets(connection, now_s)  # this cost is in them already
        held_after = ledger.held(connection) - min(account.held_micros, used.cost_micros)
        free = room(budgets, held_after, slice_micros, now_s)
        account, entries, wrap_up = money.post(account, used.cost_micros, slice_micros, free.micros)
        ledger.record(connection, owner, account, entries, self._stamp(now_s))
        return Charge(used.cost_micros, account.total_micros, wrap_up)

    def _close(self, connection: Connection, *, session_id: str, now_s: float) -> CallCost:
        owner, account = self._load_or_create(connection, session_id, "", now_s)
        if not account.closed:
            account, entries = money.release(account, close=True)
            ledger.record(connection, owner, account, entries, self._stamp(now_s))
        return ledger.call_cost(connection, session_id)

    def _load_or_create(
        self, connection: Connection, session_id: str, model: str, now_s: float
    ) -> tuple[Owner, money.Account]:
        """An account for whatever comes: bills are never refused because the
        call's opening is not known."""
        known = ledger.load(connection, session_id)
        if known is not None:
            return known
        owner = Owner(session_id, model=model)
        return owner, ledger.create(connection, owner, now_s)

    def _give_back_abandoned(self, connection: Connection, now_s: float) -> None:
        for session_id in ledger.abandoned(connection, now_s - self._hold_expiry_s):
            known = ledger.load(connection, session_id)
            if known is not None:
                owner, account = known
                account, entries = money.release(account, close=False)
                ledger.record(connection, owner, account, entries, self._stamp(now_s))
                log.warning("abandoned hold given back", session_id=session_id)

    def _stamp(self, now_s: float) -> Stamp:
        return Stamp(self._writer.epoch, now_s)

    def _budgets(self, connection: Connection, now_s: float) -> tuple[Budget, ...]:
        return ledger.budgets(connection, windows_at(now_s, self._zone), self._limits)

    # ------------------------------------------------------------- in a reader

    def _totals(self, connection: Connection) -> dict[str, Any]:
        held = ledger.held(connection)
        calls = connection.execute(
            sa.select(
                sa.func.count(),
                sa.func.count().filter(accounts.c.closed.is_(False)),
            ).select_from(accounts)
        ).one()
        models = {
            row["model"]: {name: int(value) for name, value in row.items() if name != "model"}
            for row in connection.execute(sa.select(model_totals)).mappings()
        }
        return {
            "posted_micros": sum(model["cost_micros"] for model in models.values()),
            "held_micros": held,
            "windows": {
                budget.window.name: {
                    "posted_micros": budget.posted_micros,
                    "held_micros": held,
                    "limit_micros": budget.limit_micros,
                    "ends_at_s": budget.window.end_s,
                }
                for budget in self._budgets(connection, self._clock())
            },
            "calls": int(calls[0]),
            "open_calls": int(calls[1]),
            "models": models,
            "prices": self._prices.version,
        }


def load_prices(settings: Settings) -> PriceTable:
    """The price table of the settings.

    Raises:
        InvalidRequest: names the file and what is wrong in it.
    """
    path = settings.prices_path
    try:
        with path.open(encoding="utf-8") as file:
            return parse_prices(yaml.safe_load(file))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidRequest(f"{path}: {error}", field="REALTIME_PRICES_PATH") from error
    except InvalidRequest as error:
        raise InvalidRequest(f"{path}: {error.message}", field=error.field) from error


def _check_ids(**ids: str) -> None:
    for name, value in ids.items():
        if len(value) > MAX_ID_CHARS or (name in ("session_id", "used_id") and not value):
            raise InvalidRequest(
                f"{name} has {len(value)} characters: must have 1 to {MAX_ID_CHARS}", field=name
            )
