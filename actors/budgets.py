"""Limits and policies changed at run time, with who, when, before and after in the audit trail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy.engine import Connection

from actors.prices import read_prices
from actors.storage import audit, prices
from actors.storage import limits as stored
from actors.storage.engine import Store, check_epoch
from actors.storage.writer import Writer
from reception.errors import InvalidRequest
from reception.money.limits import Limit, LimitTable, make_limit
from reception.money.policy import parse_policy
from reception.money.scopes import MAX_SCOPE_CHARS
from reception.security.audit import AuditEvent

MAX_NAME_CHARS = 128
MAX_VERSION_CHARS = 64

_US_PER_S = 1_000_000
_AUDIT_CHAIN = "security"
"""Whose epoch whoever adds to the audit trail has locked until the commit."""


class Budgets:
    """Changes and shows limits and policies.

    A change is one transaction with its entry in the audit trail. Made by a
    process that is not the singleton it replaces nobody: the singleton sees a
    new revision with its next transaction.
    """

    def __init__(
        self, store: Store, writer: Writer, defaults: tuple[Limit, ...], zone: str
    ) -> None:
        self._store, self._writer = store, writer
        self._defaults, self._zone = defaults, zone

    async def set_limit(
        self, scope: str, window: str, micros: int | None, by: str, now_s: float, zone: str = ""
    ) -> None:
        """Sets a limit, or with None takes it away. Raises InvalidRequest."""
        check_name("by", by)
        check_name("scope", scope, most=MAX_SCOPE_CHARS)
        limit = make_limit(scope, window, 0 if micros is None else micros, zone or self._zone)

        def change(connection: Connection) -> None:
            if micros is None:
                before, after = stored.remove_limit(connection, limit), None
            else:
                before = stored.set_limit(connection, limit, by, now_s)
                after = stored.shown(limit)
            if before != after:
                detail = {"scope": scope, "window": window, "before": before, "after": after}
                event = AuditEvent(by, "set_limit", detail)
                note(connection, event, now_s, self._writer.epoch)

        await self._administer(change)

    async def set_policy(self, tenant: str, steps: dict[str, int], by: str, now_s: float) -> None:
        """Sets a tenant's policy. Raises InvalidRequest."""
        check_name("by", by)
        check_name("tenant", tenant)
        policy = parse_policy(steps)

        def change(connection: Connection) -> None:
            before = stored.set_policy(connection, tenant, policy, by, now_s)
            if before != steps:
                detail = {"tenant": tenant, "before": before, "after": steps}
                event = AuditEvent(by, "set_policy", detail)
                note(connection, event, now_s, self._writer.epoch)

        await self._administer(change)

    async def set_prices(self, text: str, by: str, now_s: float, version: str) -> str:
        """Replaces the price table of `version`. Raises InvalidRequest."""
        check_name("by", by)
        table = read_prices(text)
        table.check_calls()
        check_name("version", table.version, most=MAX_VERSION_CHARS)
        if table.version <= version:
            raise InvalidRequest(
                f"version is {table.version!r}: must be later than {version!r}", field="version"
            )

        def change(connection: Connection) -> None:
            missing = set(prices.models_in_use(connection)) - set(table.models)
            if missing:
                raise InvalidRequest(
                    f"models {', '.join(sorted(missing))} of live calls have no price in it",
                    field="models",
                )
            prices.add(connection, table.version, text, by, now_s)
            stored.revise(connection)
            detail = {"before": version, "after": table.version}
            event = AuditEvent(by, "set_prices", detail)
            note(connection, event, now_s, self._writer.epoch)

        await self._administer(change)
        return table.version

    def limits(self, connection: Connection) -> LimitTable:
        """What holds now."""
        return LimitTable((*self._defaults, *stored.load(connection)[0]))

    def policies(self, connection: Connection) -> dict[str, dict[str, int]]:
        """The policies that were set, by tenant."""
        return {
            tenant: {step.value: percent for step, percent in policy.steps}
            for tenant, policy in stored.load(connection)[1].items()
        }

    async def _administer(self, change: Callable[[Connection], None]) -> None:
        """In the singleton with its epoch, elsewhere beside it."""
        if self._writer.epoch:
            await self._writer.run(change)
        else:
            await asyncio.to_thread(self._write_beside, change)

    def _write_beside(self, change: Callable[[Connection], None]) -> None:
        with self._store.transaction() as connection:
            change(connection)


def note(connection: Connection, event: AuditEvent, now_s: float, epoch: int) -> None:
    """Adds to the audit trail in the transaction of what is noted."""
    check_epoch(connection, _AUDIT_CHAIN, None)
    audit.append(connection, event, int(now_s * _US_PER_S), epoch)


def check_name(field: str, value: str, least: int = 1, most: int = MAX_NAME_CHARS) -> None:
    """Raises InvalidRequest when a name is too short, too long, or no text that
    a database can keep."""
    if not least <= len(value) <= most:
        raise InvalidRequest(
            f"{field} has {len(value)} characters: must have {least} to {most}", field=field
        )
    if not value.isascii() and any("\ud800" <= each <= "\udfff" for each in value):
        raise InvalidRequest(f"{field} has half a character in it", field=field)
    if "\x00" in value:
        raise InvalidRequest(f"{field} has a NUL in it", field=field)
