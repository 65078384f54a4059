"""Sums for reports, grouped in the database. Functions of a connection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.calls import ENDED
from actors.storage.engine import step_of
from actors.storage.ledger_view import OF_INVOICE, SCOPE_COLUMNS
from actors.storage.schema import accounts, calls, usage
from reception.money.case import (
    ADJUSTMENT,
    CORRECTS_RESPONSE,
    CORRECTS_TRANSCRIPTION,
    RESPONSE,
    TRANSCRIPTION,
)
from reception.money.reports import COMPLETED, Line
from reception.money.windows import SLOT_S
from reception.provider.base import Usage

MAX_GROUPS = 10_000

_OWNER = ("session_id", "call_id", "tenant", "key_id", "number", "profile", "provider", "model")
_TOKENS = tuple(field.name for field in fields(Usage))
_SUMS = tuple(field.name for field in fields(Line))
_OVER = calls.c.state == ENDED


def _sum(value: Any, where: Any = None) -> Any:
    summed = sa.func.sum(value)
    return sa.func.coalesce(summed if where is None else summed.filter(where), 0)


_ENDED_MS = (calls.c.ended_at_s - calls.c.accepted_at_s) * 1_000
# SQLite reads JSON from text as it is, and has no type of that name to cast to
_RECORD = sa.cast(calls.c.record, sa.Text().with_variant(sa.JSON(), "postgresql"))
_STATS = sa.type_coerce(_RECORD, sa.JSON)


def _saved(name: str) -> Any:
    return _sum(_STATS["stats", name].as_integer(), _OVER)


_MONEY = (
    sa.func.count().filter(sa.not_(OF_INVOICE)).label("calls"),
    sa.func.count().filter(_OVER).label("ended"),
    sa.func.count().filter(_OVER, calls.c.end_reason.in_(COMPLETED)).label("completed"),
    _sum(_ENDED_MS, _OVER).label("talk_ms"),
    _sum(accounts.c.total_micros).label("cost_micros"),
    _sum(accounts.c.total_micros, _OVER).label("ended_micros"),
    _saved("saved_micros").label("saved_micros"),
)


def _of(kind: str, corrects: str) -> sa.ColumnElement[bool]:
    """Bills of a kind, and what corrects them (Bill.of_response)."""
    fixes = usage.c.response_id.startswith(corrects, autoescape=True)
    return sa.or_(usage.c.kind == kind, (usage.c.kind == ADJUSTMENT) & fixes)


_OF_RESPONSE = _of(RESPONSE, CORRECTS_RESPONSE)
_OF_WORDS = _of(TRANSCRIPTION, CORRECTS_TRANSCRIPTION)
_USED = (
    sa.func.count().filter(usage.c.kind == RESPONSE).label("responses"),
    *(_sum(usage.c[name], _OF_RESPONSE).label(name) for name in _TOKENS),
    sa.func.count().filter(usage.c.kind == TRANSCRIPTION).label("transcriptions"),
    _sum(usage.c.audio_ms).label("transcribed_ms"),
    _sum(usage.c.input_audio, _OF_WORDS).label("transcription_input"),
    _sum(usage.c.output_text, _OF_WORDS).label("transcription_output"),
    _sum(usage.c.cost_micros, _OF_WORDS).label("transcription_micros"),
)
CALLS = accounts.outerjoin(calls, calls.c.session_id == accounts.c.session_id)
BILLS = usage.join(accounts, accounts.c.session_id == usage.c.session_id)


def saved_by(measure: str) -> Any:
    """The sum of what a measure saved in calls that are over, of CALLS."""
    return _saved(f"saved_{measure}_micros")


def began(since_s: float, until_s: float) -> sa.ColumnElement[bool]:
    """Accounts of calls that began in a span."""
    return (accounts.c.opened_at_s >= since_s) & (accounts.c.opened_at_s < until_s)


_TOOK_PLACE = sa.or_(calls.c.session_id.is_not(None), accounts.c.total_micros != 0)
"""Not those whose hold was given back before there was a call."""


def whole(connection: Connection, since_s: float, until_s: float) -> Line:
    """All calls that began in a span."""
    span = began(since_s, until_s)
    money = sa.select(*_MONEY).select_from(CALLS).where(span, _TOOK_PLACE)
    used = sa.select(*_USED).select_from(BILLS).where(span)
    return _line(
        connection.execute(money).mappings().one(), connection.execute(used).mappings().one()
    )


def by_owner(
    connection: Connection, kind: str, since_s: float, until_s: float
) -> tuple[list[tuple[str, Line]], int]:
    """Calls that began in a span, by tenant, key, number, profile or provider: the
    dearest first, at most MAX_GROUPS; and how many groups were left out."""
    groups = _grouped(connection, SCOPE_COLUMNS[kind], since_s, until_s)
    ordered = sorted(groups.items(), key=lambda item: (-item[1].cost_micros, item[0]))
    return ordered[:MAX_GROUPS], max(0, len(ordered) - MAX_GROUPS)


def by_slot(connection: Connection, since_s: float, until_s: float) -> list[tuple[float, Line]]:
    """Calls that began in a span, by the slot in which they did."""
    slot = step_of(connection, accounts.c.opened_at_s, SLOT_S)
    return [
        (float(at_s), line) for at_s, line in _grouped(connection, slot, since_s, until_s).items()
    ]


def by_call(
    connection: Connection,
    since_s: float,
    until_s: float,
    after: tuple[float, str] | None,
    at_most: int,
) -> list[tuple[dict[str, Any], Line]]:
    """Calls that began in a span, in the order in which they did.

    Args:
        after: beginning and session id of the call after which it begins.

    Returns:
        What tells each call apart (`began_at_s` among it), and its line.
    """
    place = (accounts.c.opened_at_s, accounts.c.session_id)
    query = _each_call(since_s, until_s).order_by(*place).limit(at_most)
    if after is not None:
        query = query.where(sa.tuple_(*place) > sa.tuple_(*(sa.literal(value) for value in after)))
    return _with_usage(connection, query)


def dearest(
    connection: Connection, since_s: float, until_s: float, at_most: int
) -> list[tuple[dict[str, Any], Line]]:
    """The calls that began in a span and cost most, the dearest first; as `by_call`."""
    dear = (accounts.c.total_micros.desc(), accounts.c.session_id)
    query = _each_call(since_s, until_s).order_by(*dear).limit(at_most)
    return _with_usage(connection, query)


def _each_call(since_s: float, until_s: float) -> sa.Select[Any]:
    return (
        sa.select(
            *(accounts.c[name] for name in _OWNER),
            accounts.c.opened_at_s.label("began_at_s"),
            sa.func.coalesce(sa.func.max(calls.c.end_reason), "").label("end_reason"),
            *_MONEY,
        )
        .select_from(CALLS)
        .where(began(since_s, until_s), _TOOK_PLACE)
        .group_by(accounts.c.session_id)
    )


def _with_usage(connection: Connection, query: sa.Select[Any]) -> list[tuple[dict[str, Any], Line]]:
    found = connection.execute(query).mappings().all()
    used = _used(connection, [row["session_id"] for row in found])
    names = (*_OWNER, "began_at_s", "end_reason")
    return [
        ({name: row[name] for name in names}, _line(row, used.get(row["session_id"], {})))
        for row in found
    ]


def _used(connection: Connection, sessions: list[str]) -> dict[str, Mapping[Any, Any]]:
    query = (
        sa.select(usage.c.session_id, *_USED)
        .where(usage.c.session_id.in_(sessions))
        .group_by(usage.c.session_id)
    )
    return {row["session_id"]: row for row in connection.execute(query).mappings()}


def _grouped(
    connection: Connection, key: sa.ColumnElement[Any], since_s: float, until_s: float
) -> dict[Any, Line]:
    span, key = began(since_s, until_s), key.label("grouped_by")
    money = sa.select(key, *_MONEY).select_from(CALLS).where(span, _TOOK_PLACE)
    used = sa.select(key, *_USED).select_from(BILLS).where(span)
    by_key = {
        row["grouped_by"]: row for row in connection.execute(used.group_by("grouped_by")).mappings()
    }
    return {
        row["grouped_by"]: _line(row, by_key.get(row["grouped_by"], {}))
        for row in connection.execute(money.group_by("grouped_by")).mappings()
    }


def _line(*rows: Mapping[Any, Any]) -> Line:
    found: dict[str, Any] = {}
    for row in rows:
        found |= row
    return Line(**{name: round(found.get(name, 0)) for name in _SUMS})
