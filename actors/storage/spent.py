"""What money went for over time, by the slot in which calls began. Functions of a connection."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.engine import step_of
from actors.storage.ledger_view import SCOPE_COLUMNS
from actors.storage.reports import BILLS, CALLS, began, saved_by
from actors.storage.schema import accounts, usage
from reception.money.savings.comparison import Measure
from reception.money.windows import SLOT_S
from reception.provider.base import Usage

_TOKENS = tuple(field.name for field in fields(Usage))
_MEASURES = tuple(measure.name.lower() for measure in Measure)


def by_bill(
    connection: Connection, since_s: float, until_s: float
) -> Iterator[tuple[float, str, str, Usage, int]]:
    """Bills of calls that began in a span, summed by slot (its beginning, UNIX
    seconds), kind and model: tokens and micro-dollars."""
    query = (
        sa.select(
            _slot(connection), usage.c.kind, usage.c.model,
            *(sa.func.sum(usage.c[name]) for name in _TOKENS), sa.func.sum(usage.c.cost_micros),
        )
        .select_from(BILLS)
        .where(began(since_s, until_s))
        .group_by("slot", usage.c.kind, usage.c.model)
    )  # fmt: skip
    for slot_s, kind, model, *tokens, micros in connection.execute(query):
        yield float(slot_s), kind, model, Usage(*map(int, tokens)), int(micros)


def by_owner(
    connection: Connection, kind: str, since_s: float, until_s: float
) -> Iterator[tuple[float, str, int]]:
    """What calls that began in a span cost, by slot and owner of a kind."""
    column = SCOPE_COLUMNS[kind]
    query = (
        sa.select(_slot(connection), column, sa.func.sum(accounts.c.total_micros))
        .where(began(since_s, until_s), accounts.c.total_micros != 0)
        .group_by("slot", column)
    )
    for slot_s, owner, micros in connection.execute(query):
        yield float(slot_s), owner, int(micros)


def saved(
    connection: Connection, since_s: float, until_s: float
) -> Iterator[tuple[float, str, int]]:
    """What calls that began in a span, and are over, saved, by slot and measure."""
    query = (
        sa.select(_slot(connection), *map(saved_by, _MEASURES))
        .select_from(CALLS)
        .where(began(since_s, until_s))
        .group_by("slot")
    )
    for slot_s, *sums in connection.execute(query):
        for measure, micros in zip(_MEASURES, sums, strict=True):
            if micros:
                yield float(slot_s), measure, int(micros)


def _slot(connection: Connection) -> sa.Label[Any]:
    return step_of(connection, accounts.c.opened_at_s, SLOT_S).label("slot")
