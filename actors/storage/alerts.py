"""Alerts of limits as stored: each one that was told, and what was told of each window.

Functions of a connection. Both are written in one transaction, so that whoever goes on
from here tells nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.engine import upsert_all
from actors.storage.schema import alert_states, alerts, spending
from reception.money.alerts import Alert, LimitAlerts, Measure
from reception.money.scopes import Scope
from reception.money.told_once import MOST
from reception.money.windows import LONGEST_S, NEVER_S, OF_CALLS, Window

MAX_ALERTS = 1_000

_KEY = ("scope", "period", "start_s", "measure")
_STATE = (*_KEY, "end_s", "percent", "told")
_SPENDING = sa.select(spending.c.scope).distinct().where(spending.c.slot_s >= sa.bindparam("since"))
_RAISED = (
    sa.select(alerts.c.measure, alerts.c.percent, sa.func.count())
    .where(alerts.c.percent > alerts.c.from_percent, alerts.c.measure != Measure.USAGE.value)
    .group_by(alerts.c.measure, alerts.c.percent)
)


_ONCE = (
    sa.select(
        alerts.c.scope,
        alerts.c.period,
        alerts.c.measure,
        sa.func.max(alerts.c.percent),
        sa.func.max(alerts.c.at_s).label("told_s"),
    )
    .where(
        sa.or_(alerts.c.measure == Measure.USAGE.value, alerts.c.period.in_(OF_CALLS)),
        alerts.c.at_s >= sa.bindparam("since"),
    )
    .group_by(alerts.c.scope, alerts.c.period, alerts.c.measure)
    .order_by(sa.desc("told_s"))
    .limit(MOST)
)

# ------------------------------------------------------------------ the singleton's


def told_once(connection: Connection, since_s: float) -> list[tuple[str, str, str, int, float]]:
    """What was told since then, as `ToldOnce.restore` takes it."""
    found = connection.execute(_ONCE, {"since": since_s}).all()
    return [(row[0], row[1], row[2], row[3], row[4]) for row in reversed(found)]


def load_states(connection: Connection) -> Iterator[list[Any]]:
    """What was told, as `LimitAlerts.restore` takes it."""
    for row in connection.execute(sa.select(alert_states)).mappings():
        *state, told = (row[name] for name in _STATE)
        yield [*state, *json.loads(told)]


def save(
    connection: Connection, told: Sequence[Alert], state: LimitAlerts, forgotten_s: float
) -> None:
    """Keeps alerts and the state after them.

    Args:
        told: one or more.
        forgotten_s: of windows that ended before it no state is kept any more.
    """
    connection.execute(sa.insert(alerts), [_row(alert) for alert in told])
    changed = {(each.scope, each.window.name, each.window.start_s, each.measure) for each in told}
    rows = [
        dict(zip(_STATE, (*values[:6], json.dumps(values[6:])), strict=True))
        for values in state.snapshot()
        if tuple(values[:4]) in changed
    ]
    if rows:
        upsert_all(connection, alert_states, rows, replace=_STATE)
    connection.execute(sa.delete(alert_states).where(alert_states.c.end_s <= forgotten_s))


def spent_scopes(connection: Connection, now_s: float) -> Iterable[Scope]:
    """Those that spent something as far back as any window reaches."""
    found = connection.execute(_SPENDING, {"since": int(now_s - LONGEST_S)})
    return [Scope(scope) for scope in found.scalars()]


# ------------------------------------------------------------------ as shown


def listing(
    connection: Connection, after_id: int, since_s: float, at_most: int
) -> list[dict[str, Any]]:
    """Alerts in the order in which they were told.

    Args:
        after_id: only those that came after this one.
        since_s: UNIX time; only those from then on.
    """
    newer = alerts.select().where(alerts.c.id > after_id, alerts.c.at_s >= since_s)
    found = connection.execute(newer.order_by(alerts.c.id).limit(at_most)).mappings()
    return [{"id": row["id"]} | shown(_alert(row)) for row in found]


def in_force(connection: Connection, now_s: float) -> list[dict[str, Any]]:
    """Each limit's alert that has not fallen yet, the highest first."""
    raised = alert_states.select().where(alert_states.c.percent > 0, alert_states.c.end_s > now_s)
    order = (alert_states.c.percent.desc(), alert_states.c.scope, alert_states.c.period)
    found = connection.execute(raised.order_by(*order).limit(MAX_ALERTS)).mappings()
    return [
        {
            "scope": row["scope"],
            "window": row["period"],
            "ends_at_s": _end(row["end_s"]),
            "measure": row["measure"],
            "percent": row["percent"],
        }
        for row in found
    ]


def counts(connection: Connection) -> list[dict[str, Any]]:
    """How often an alert rose to each level."""
    return [
        {"measure": measure, "percent": percent, "count": int(count)}
        for measure, percent, count in connection.execute(_RAISED)
    ]


def shown(alert: Alert) -> dict[str, Any]:
    """An alert as plain values."""
    if alert.measure is Measure.USAGE:
        return {
            "at_s": alert.at_s,
            "scope": alert.scope,
            "measure": alert.measure.value,
            "what": alert.window.name,
            "percent": alert.percent,
            "tokens": alert.micros,
            "own_tokens": alert.limit_micros,
            "text": alert.text,
        }
    return {
        "at_s": alert.at_s,
        "scope": alert.scope,
        "window": alert.window.name,
        "ends_at_s": _end(alert.window.end_s),
        "measure": alert.measure.value,
        "percent": alert.percent,
        "from_percent": alert.from_percent,
        "micros": alert.micros,
        "limit_micros": alert.limit_micros,
        "text": alert.text,
    }


def _end(end_s: float) -> float | None:
    """A rolling window has none."""
    return end_s if end_s < NEVER_S else None


def _row(alert: Alert) -> dict[str, Any]:
    return {
        "at_s": alert.at_s,
        "scope": alert.scope,
        "period": alert.window.name,
        "start_s": alert.window.start_s,
        "end_s": alert.window.end_s,
        "measure": alert.measure.value,
        "percent": alert.percent,
        "from_percent": alert.from_percent,
        "micros": alert.micros,
        "limit_micros": alert.limit_micros,
    }


def _alert(row: Any) -> Alert:
    window = Window(row["period"], row["start_s"], row["end_s"])
    names = ("percent", "from_percent", "micros", "limit_micros")
    measured = (row[name] for name in names)
    return Alert(row["at_s"], row["scope"], window, Measure(row["measure"]), *measured)
