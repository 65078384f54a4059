"""The ledger and the calls' accounts: what was held, spent and given back.

Functions of a connection: the caller gives the transaction. The ledger is the
truth; accounts, spending and model totals are kept beside it in the same
transaction, and `faults` proves that they agree.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from actors.storage.engine import insert_if_new, upsert
from actors.storage.schema import accounts, ledger, model_totals, spending, usage
from reception.money.account import Account, CallCost, Entry
from reception.money.windows import WINDOWS, Budget, Window, slot_of
from reception.provider.base import Usage

RESPONSE = "response"
TRANSCRIPTION = "transcription"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose account it is and what it is for."""

    session_id: str
    call_id: str = ""
    tenant: str = ""
    key_id: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Stamp:
    """The epoch of the writer and the time of the writing."""

    epoch: int
    at_s: float


@dataclass(frozen=True, slots=True)
class Used:
    """One bill: a response or a transcription, and its cost. `used_id` is
    unique among the call's bills of this kind."""

    kind: str
    used_id: str
    model: str
    tokens: Usage
    audio_ms: int
    cost_micros: int


# Statements are built once: building one costs more than running it.

_SESSION: sa.BindParameter[str] = sa.bindparam("session")
_ACCOUNT = sa.select(accounts).where(accounts.c.session_id == _SESSION).with_for_update()
_LOOK = sa.select(accounts).where(accounts.c.session_id == _SESSION)
_UPDATE = (
    sa.update(accounts)
    .where(accounts.c.session_id == _SESSION)
    .values(
        held_micros=sa.bindparam("held"),
        total_micros=sa.bindparam("total"),
        closed=sa.bindparam("over"),
        active_at_s=sa.bindparam("now"),
        entries=accounts.c.entries + sa.bindparam("more"),
    )
    .returning(accounts.c.entries)
)
_OLD_COST = sa.select(usage.c.cost_micros).where(
    usage.c.session_id == _SESSION,
    usage.c.kind == sa.bindparam("bill"),
    usage.c.response_id == sa.bindparam("response"),
)
_SPENT = sa.select(
    *(
        sa.func.coalesce(
            sa.func.sum(spending.c.micros).filter(
                spending.c.slot_s >= sa.bindparam(f"{name}_start"),
                spending.c.slot_s < sa.bindparam(f"{name}_end"),
            ),
            0,
        ).label(name)
        for name in WINDOWS
    )
).where(spending.c.slot_s >= sa.bindparam("first"))
_HELD = sa.select(sa.func.coalesce(sa.func.sum(accounts.c.held_micros), 0)).where(
    accounts.c.closed.is_(False)
)
_ABANDONED = (
    sa.select(accounts.c.session_id)
    .where(
        accounts.c.closed.is_(False),
        accounts.c.held_micros > 0,
        accounts.c.active_at_s < sa.bindparam("before"),
    )
    .limit(100)
)
_TOKENS = tuple(field.name for field in fields(Usage))
_CALL_TOKENS = sa.select(
    sa.func.count().label("responses"),
    *(sa.func.coalesce(sa.func.sum(usage.c[name]), 0).label(name) for name in _TOKENS),
).where(usage.c.session_id == _SESSION, usage.c.kind == RESPONSE)


def load(connection: Connection, session_id: str) -> tuple[Owner, Account] | None:
    """A call's account, locked until the transaction's end."""
    row = connection.execute(_ACCOUNT, {"session": session_id}).one_or_none()
    if row is None:
        return None
    owner = Owner(row.session_id, row.call_id, row.tenant, row.key_id, row.model)
    return owner, Account(row.held_micros, row.total_micros, row.closed)


def create(connection: Connection, owner: Owner, now_s: float) -> Account:
    """A new empty account."""
    row = asdict(owner) | {
        "held_micros": 0,
        "total_micros": 0,
        "closed": False,
        "opened_at_s": now_s,
        "active_at_s": now_s,
        "entries": 0,
    }
    connection.execute(sa.insert(accounts), row)
    return Account()


def record(
    connection: Connection,
    owner: Owner,
    account: Account,
    entries: tuple[Entry, ...],
    stamp: Stamp,
) -> None:
    """Saves an account as it is now, and the entries that led there.

    An entry's idempotency key is its number in the account: the account is
    locked, so two writers can't give the same one.
    """
    change = {
        "session": owner.session_id,
        "held": account.held_micros,
        "total": account.total_micros,
        "over": account.closed,
        "now": stamp.at_s,
        "more": len(entries),
    }
    number = connection.execute(_UPDATE, change).scalar_one() - len(entries)
    if not entries:
        return
    rows = [
        {
            "idempotency_key": f"{owner.session_id}/{number + index}",
            "epoch": stamp.epoch,
            "session_id": owner.session_id,
            "tenant": owner.tenant,
            "kind": entry.kind.value,
            "debit": entry.debit,
            "credit": entry.credit,
            "amount_micros": entry.amount_micros,
            "model": owner.model,
            "at_s": stamp.at_s,
        }
        for index, entry in enumerate(entries)
    ]
    connection.execute(sa.insert(ledger), rows)


def add_usage(connection: Connection, session_id: str, used: Used, now_s: float) -> int | None:
    """Notes one bill and adds it to the sums of its time and its model.

    Returns:
        None, or if this bill is noted already what it cost then.
    """
    tokens = asdict(used.tokens)
    row = tokens | {
        "session_id": session_id,
        "response_id": used.used_id,
        "kind": used.kind,
        "model": used.model,
        "audio_ms": used.audio_ms,
        "cost_micros": used.cost_micros,
        "at_s": now_s,
    }
    if not insert_if_new(connection, usage, row):
        known = {"session": session_id, "bill": used.kind, "response": used.used_id}
        return int(connection.execute(_OLD_COST, known).scalar_one())
    cost = used.cost_micros
    upsert(connection, spending, {"slot_s": slot_of(now_s), "micros": cost}, add=("micros",))
    sums = tokens | {
        "responses": int(used.kind == RESPONSE),
        "transcriptions": int(used.kind == TRANSCRIPTION),
        "cost_micros": cost,
    }
    upsert(connection, model_totals, {"model": used.model} | sums, add=tuple(sums))
    return None


# ------------------------------------------------------------------ sums


def budgets(
    connection: Connection, windows: tuple[Window, ...], limits: dict[str, int]
) -> tuple[Budget, ...]:
    """Each window with its limit and what was spent in it, in one query."""
    bounds = {f"{window.name}_start": window.start_s for window in windows}
    bounds |= {f"{window.name}_end": window.end_s for window in windows}
    bounds["first"] = min(window.start_s for window in windows)
    row = connection.execute(_SPENT, bounds).one()
    return tuple(
        Budget(window, limits[window.name], int(getattr(row, window.name))) for window in windows
    )


def held(connection: Connection) -> int:
    """The sum of all holds, in micro-dollars."""
    return int(connection.execute(_HELD).scalar_one())


def abandoned(connection: Connection, before_s: float) -> list[str]:
    """Open calls with a hold that have not been heard of since `before_s`, a
    hundred at most."""
    return list(connection.execute(_ABANDONED, {"before": before_s}).scalars())


def call_cost(connection: Connection, session_id: str) -> CallCost:
    """What a call has cost; all zero for one that is not known."""
    row = connection.execute(_LOOK, {"session": session_id}).one_or_none()
    if row is None:
        return CallCost()
    sums = connection.execute(_CALL_TOKENS, {"session": session_id}).mappings().one()
    tokens = {name: int(value) for name, value in sums.items()}
    return CallCost(row.total_micros, row.held_micros, row.closed, **tokens)


def faults(connection: Connection) -> list[str]:
    """Where the sums do not agree with the ledger and the bills; [] if all do."""
    ledger_sum = {
        account: _sum(connection, ledger, ledger.c.amount_micros, ledger.c.debit == account)
        - _sum(connection, ledger, ledger.c.amount_micros, ledger.c.credit == account)
        for account in ("available", "held", "spent")
    }
    bills = _sum(connection, usage, usage.c.cost_micros)
    pairs = {
        "ledger held and accounts held": (
            ledger_sum["held"],
            _sum(connection, accounts, accounts.c.held_micros),
        ),
        "ledger spent and accounts total": (
            ledger_sum["spent"],
            _sum(connection, accounts, accounts.c.total_micros),
        ),
        "ledger spent and bills": (ledger_sum["spent"], bills),
        "bills and spending": (bills, _sum(connection, spending, spending.c.micros)),
        "bills and model totals": (
            bills,
            _sum(connection, model_totals, model_totals.c.cost_micros),
        ),
        "the ledger's sum and 0": (sum(ledger_sum.values()), 0),
        "held by closed calls and 0": (
            _sum(connection, accounts, accounts.c.held_micros, accounts.c.closed.is_(True)),
            0,
        ),
    }
    return [f"{name} differ: {a} and {b}" for name, (a, b) in pairs.items() if a != b]


def _sum(
    connection: Connection,
    table: sa.Table,
    column: sa.Column[int],
    where: sa.ColumnElement[bool] | None = None,
) -> int:
    total = sa.select(sa.func.coalesce(sa.func.sum(column), 0)).select_from(table)
    if where is not None:
        total = total.where(where)
    return int(connection.execute(total).scalar_one())
