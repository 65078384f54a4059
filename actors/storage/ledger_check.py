"""Proves that accounts, spending and totals are what the ledger and the bills add up to."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.engine import step_of
from actors.storage.schema import accounts, ledger, model_totals, spending, usage
from reception.money import account
from reception.money.scopes import EXEMPT, GLOBAL, KINDS, OVERDRAFT
from reception.money.windows import SLOT_S

_SHOWN = 10
_COLUMNS = (accounts.c.tenant, accounts.c.key_id, accounts.c.number, accounts.c.profile,
            accounts.c.provider)  # fmt: skip


def faults(connection: Connection) -> list[str]:
    """Where the sums do not agree with a replay of the ledger and the bills;
    [] if all do. Names at most ten calls and ten scopes."""
    return [
        *_accounts_against_ledger(connection),
        *_spending_against_bills(connection),
        *_whole(connection),
    ]


def _accounts_against_ledger(connection: Connection) -> list[str]:
    """Each call's balances, replayed from its entries."""
    said = sa.select(
        accounts.c.session_id,
        accounts.c.held_micros.label("held"),
        accounts.c.total_micros.label("total"),
        accounts.c.entries.label("entries"),
    )
    replayed = sa.select(
        ledger.c.session_id,
        -_moved("held"),
        -_moved("spent"),
        sa.literal(-1),
    )
    both = sa.union_all(said, replayed).subquery()
    sums = [sa.func.sum(both.c[name]).label(name) for name in ("held", "total", "entries")]
    differ = (
        sa.select(both.c.session_id, *sums)
        .group_by(both.c.session_id)
        .having(sa.or_(*(each != 0 for each in sums)))
        .limit(_SHOWN)
    )
    return [
        f"call {row.session_id}: its account has {row.held} held, {row.total} spent and "
        f"{row.entries} entries more than the ledger"
        for row in connection.execute(differ)
    ]


def _spending_against_bills(connection: Connection) -> list[str]:
    """Each scope's and slot's spending, replayed from the bills of its calls."""
    slot = step_of(connection, usage.c.at_s, SLOT_S).label("slot_s")
    cost = (-usage.c.cost_micros).label("micros")
    joined = usage.join(accounts, accounts.c.session_id == usage.c.session_id)
    limited = accounts.c.exempt.is_(False)
    replayed = [
        sa.select(sa.literal(str(GLOBAL)).label("scope"), slot, cost)
        .select_from(joined)
        .where(limited),
        sa.select(sa.literal(str(EXEMPT)).label("scope"), slot, cost)
        .select_from(joined)
        .where(accounts.c.exempt.is_(True)),
    ]
    replayed.append(
        sa.select(
            sa.literal(str(OVERDRAFT)).label("scope"),
            step_of(connection, ledger.c.at_s, SLOT_S).label("slot_s"),
            (-ledger.c.amount_micros).label("micros"),
        ).where(ledger.c.credit == account.OVERDRAFT)
    )
    for kind, column in zip(KINDS, _COLUMNS, strict=True):
        scope = (sa.literal(f"{kind}:") + column).label("scope")
        replayed.append(
            sa.select(scope, slot, cost).select_from(joined).where(limited, column != "")
        )
    both = sa.union_all(
        sa.select(spending.c.scope, spending.c.slot_s, spending.c.micros), *replayed
    ).subquery()
    micros = sa.func.sum(both.c.micros).label("micros")
    differ = (
        sa.select(both.c.scope, both.c.slot_s, micros)
        .group_by(both.c.scope, both.c.slot_s)
        .having(micros != 0)
        .limit(_SHOWN)
    )
    return [
        f"{row.scope} in the slot of {row.slot_s}: its spending is {row.micros} more than its bills"
        for row in connection.execute(differ)
    ]


def _whole(connection: Connection) -> list[str]:
    moved = {name: _sum(connection, _moved(name), ledger) for name in account.ACCOUNTS}
    bills = _sum(connection, usage.c.cost_micros, usage)
    pairs = {
        "ledger spent and bills": (moved["spent"], bills),
        "bills and model totals": (
            bills, _sum(connection, model_totals.c.cost_micros, model_totals),
        ),
        "the ledger's sum and 0": (sum(moved.values()), 0),
        "held by closed calls and 0": (
            _sum(connection, accounts.c.held_micros, accounts, accounts.c.closed.is_(True)), 0,
        ),
    }  # fmt: skip
    found = [f"{name} differ: {a} and {b}" for name, (a, b) in pairs.items() if a != b]
    tails = sa.select(sa.func.count()).where(accounts.c.tail_micros > accounts.c.held_micros)
    if connection.execute(tails).scalar_one():
        found.append("a call's closing tail is more than what it has held")
    return found


def _moved(name: str) -> sa.ColumnElement[int]:
    """What an entry adds to an account."""
    return sa.case(
        (ledger.c.debit == name, ledger.c.amount_micros),
        (ledger.c.credit == name, -ledger.c.amount_micros),
        else_=0,
    )


def _sum(
    connection: Connection,
    column: sa.ColumnElement[int],
    table: sa.Table,
    where: sa.ColumnElement[bool] | None = None,
) -> int:
    total: sa.Select[Any] = sa.select(sa.func.coalesce(sa.func.sum(column), 0)).select_from(table)
    if where is not None:
        total = total.where(where)
    return int(connection.execute(total).scalar_one())
