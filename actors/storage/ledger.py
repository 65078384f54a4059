"""The ledger and the calls' accounts as stored: read into the book, and written from it.

Functions of a connection: the caller gives the transaction. The ledger and the
bills are the truth; accounts, spending and model totals are kept beside them in
the same transaction, and `ledger_check` proves that they agree.

All that a transaction has to write goes in one statement for each table, so
what a commit costs hardly depends on how many calls share it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.engine import upsert_all
from actors.storage.prepared import Prepared
from actors.storage.schema import accounts, ledger, model_totals, spending, usage
from reception.money.account import Account, CallCost
from reception.money.case import RESPONSE, TRANSCRIPTION, Bill, Case, Changes, Posting
from reception.money.scopes import Owner, Scope
from reception.money.windows import LONGEST_S
from reception.provider.base import Usage

_TOKENS = tuple(field.name for field in fields(Usage))
_ACCOUNT = tuple(field.name for field in fields(Account))
_OWNER = tuple(field.name for field in fields(Owner))

# Statements are built once: building one costs more than running it.

_SESSIONS: sa.BindParameter[Any] = sa.bindparam("sessions", expanding=True)
_ACCOUNTS = sa.select(accounts).where(accounts.c.session_id.in_(_SESSIONS))
_IS_THERE = Prepared(
    sa.select(sa.literal_column("1")).where(accounts.c.session_id == sa.bindparam("session"))
)
_HOLDING = sa.select(accounts).where(accounts.c.closed.is_(False), accounts.c.held_micros > 0)
_BILLS = sa.select(usage).where(usage.c.session_id.in_(_SESSIONS))
_SPENDING = sa.select(spending).where(
    spending.c.scope.in_(sa.bindparam("scopes", expanding=True)),
    spending.c.slot_s >= sa.bindparam("since"),
)
_LATEST = sa.select(ledger.c.at_s).order_by(ledger.c.id.desc()).limit(1)
_LATEST_BILL = sa.select(usage.c.at_s).order_by(usage.c.id.desc()).limit(1)
_POST = Prepared(sa.insert(ledger), [each.name for each in ledger.c if each.name != "id"])
_NOTE = Prepared(sa.insert(usage), [each.name for each in usage.c if each.name != "id"])
_PIECE = 500  # SQLite takes 32,766 values in a statement, older ones 999

_CHANGING = ("model", "held_micros", "tail_micros", "total_micros", "closed", "wrapping",
             "active_at_s", "entries")  # fmt: skip


# ------------------------------------------------------------------ reading


def load(connection: Connection, sessions: Iterable[str]) -> list[Case]:
    """The accounts that there are of these calls, with their bills."""
    wanted = list(sessions)
    if len(wanted) == 1 and not _IS_THERE.read(connection, {"session": wanted[0]}):
        return []  # as a rule: a call is opened
    found: list[Case] = []
    for first in range(0, len(wanted), _PIECE):
        piece = {"sessions": wanted[first : first + _PIECE]}
        found += _with_bills(connection, connection.execute(_ACCOUNTS, piece).all())
    return found


def load_holding(connection: Connection) -> list[Case]:
    """All accounts with a hold."""
    rows = connection.execute(_HOLDING).all()
    return [
        case
        for first in range(0, len(rows), _PIECE)
        for case in _with_bills(connection, rows[first : first + _PIECE])
    ]


def load_spending(
    connection: Connection, scopes: list[Scope], now_s: float
) -> dict[Scope, dict[int, int]]:
    """The spending of scopes by slot, as far back as any window reaches."""
    found: dict[Scope, dict[int, int]] = {scope: {} for scope in scopes}
    for first in range(0, len(scopes), _PIECE):
        piece = {"scopes": scopes[first : first + _PIECE], "since": int(now_s - LONGEST_S)}
        for row in connection.execute(_SPENDING, piece):
            found[row.scope][row.slot_s] = row.micros
    return found


def latest(connection: Connection) -> float:
    """The time of what was last written; 0 if nothing was."""
    times = (connection.execute(each).scalar() for each in (_LATEST, _LATEST_BILL))
    return max(float(at_s or 0.0) for at_s in times)


def call_cost(connection: Connection, session_id: str) -> CallCost:
    """What a call has cost; all zero for one that is not known."""
    found = load(connection, (session_id,))
    return found[0].cost() if found else CallCost()


def _with_bills(connection: Connection, rows: Iterable[Any]) -> list[Case]:
    by_session = {row.session_id: row for row in rows}
    bills: dict[str, dict[tuple[str, str], Bill]] = {session: {} for session in by_session}
    found = connection.execute(_BILLS, {"sessions": list(bills)}) if bills else ()
    for row in found:
        tokens = Usage(**{name: getattr(row, name) for name in _TOKENS})
        bill = Bill(row.kind, row.response_id, row.model, tokens, row.audio_ms, row.cost_micros)
        bills[row.session_id][bill.key] = bill
    return [
        Case(
            Owner(**{name: getattr(row, name) for name in _OWNER}),
            row.opened_at_s,
            row.active_at_s,
            Account(row.held_micros, row.tail_micros, row.total_micros, row.closed, row.wrapping),
            row.entries,
            bills[session],
        )
        for session, row in by_session.items()
    ]


# ------------------------------------------------------------------ writing


def write(connection: Connection, changes: Changes, epoch: int) -> None:
    """Writes down what the book did, as the singleton of `epoch`."""
    if changes.cases:
        rows = [_account(case) for case in changes.cases.values()]
        upsert_all(connection, accounts, rows, replace=_CHANGING)
    if changes.postings:
        _POST.write(connection, [_posting(each, epoch) for each in changes.postings])
    if changes.bills:
        _NOTE.write(connection, [_bill(*each) for each in changes.bills])
        upsert_all(connection, model_totals, _totals(changes), add=_SUMS)
    if changes.spending:
        rows = [
            {"scope": scope, "slot_s": slot, "micros": micros}
            for (scope, slot), micros in sorted(changes.spending.items())
        ]
        upsert_all(connection, spending, rows, add=("micros",))


def _account(case: Case) -> dict[str, Any]:
    owner, account = case.owner, case.account
    row: dict[str, Any] = {name: getattr(owner, name) for name in _OWNER}
    for name in _ACCOUNT:
        row[name] = getattr(account, name)
    for name in ("opened_at_s", "active_at_s", "entries"):
        row[name] = getattr(case, name)
    return row


def _posting(posting: Posting, epoch: int) -> dict[str, Any]:
    owner, entry = posting.case.owner, posting.entry
    return {
        "idempotency_key": f"{owner.session_id}/{posting.number}",
        "epoch": epoch,
        "session_id": owner.session_id,
        "tenant": owner.tenant,
        "kind": entry.kind.value,
        "debit": entry.debit,
        "credit": entry.credit,
        "amount_micros": entry.amount_micros,
        "model": owner.model,
        "at_s": posting.at_s,
    }


def _bill(session_id: str, bill: Bill, at_s: float) -> dict[str, Any]:
    return _tokens(bill.tokens) | {
        "session_id": session_id,
        "response_id": bill.used_id,
        "kind": bill.kind,
        "model": bill.model,
        "audio_ms": bill.audio_ms,
        "cost_micros": bill.cost_micros,
        "at_s": at_s,
    }


_SUMS = ("responses", "transcriptions", *_TOKENS, "cost_micros")


def _totals(changes: Changes) -> list[dict[str, Any]]:
    models: dict[str, dict[str, Any]] = {}
    for _, bill, _ in changes.bills:
        sums = models.setdefault(bill.model, {"model": bill.model} | dict.fromkeys(_SUMS, 0))
        sums["responses"] += bill.kind == RESPONSE
        sums["transcriptions"] += bill.kind == TRANSCRIPTION
        sums["cost_micros"] += bill.cost_micros
        for name in _TOKENS:
            sums[name] += getattr(bill.tokens, name)
    return [models[name] for name in sorted(models)]


def _tokens(tokens: Usage) -> dict[str, Any]:
    return {name: getattr(tokens, name) for name in _TOKENS}
