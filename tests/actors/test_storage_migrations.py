"""Databases of earlier versions keep what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from actors.storage import ledger, ledger_check, schema
from actors.storage.engine import Store, _engine
from reception.money.account import Account
from reception.money.scopes import Owner

ROOT = Path(__file__).parents[2]
FIRST, SECOND = 1_795_521_600, 1_795_522_500  # slots
CALLS = (("s1", "acme", "k1", False, 40), ("s2", "acme", "k2", True, 0), ("s3", "", "", True, 0))
BILLS = (("s1", "r1", FIRST + 1.5, 7), ("s1", "r2", SECOND + 899.99, 5),
         ("s2", "r1", FIRST + 899.9, 11), ("s3", "r1", FIRST, 13))  # fmt: skip


def at_revision(url: str, revision: str) -> sa.Engine:
    """An empty database as an earlier version had it."""
    engine = _engine(sa.make_url(url).render_as_string(hide_password=False))
    with engine.begin() as connection:
        command.upgrade(migrations(connection), revision)
    return engine


def migrations(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "actors/storage/migrations"))
    config.attributes["connection"] = connection
    return config


def live_calls(connection: sa.Connection) -> dict[str, str]:
    return {row.session_id: row.call_id for row in connection.execute(sa.select(schema.live_calls))}


def go_live(connection: sa.Connection, session_id: str, call_id: str) -> None:
    row: dict[str, object] = dict.fromkeys(schema.live_calls.c.keys(), "")
    row |= {"session_id": session_id, "call_id": call_id, "checkpoint": b""}
    connection.execute(sa.insert(schema.live_calls), row | {"generation": 1, "told_at_s": 1.0})


def fill_first(connection: sa.Connection) -> None:
    """Calls and bills in the tables of revision 0001."""
    for session, tenant, key, closed, held in CALLS:
        total = sum(cost for of, _, _, cost in BILLS if of == session)
        connection.execute(
            sa.text(
                "INSERT INTO accounts VALUES (:session, 'c', :tenant, :key, 'm', :held, :total, "
                ":closed, 1, 2, 0)"
            ),
            {"session": session, "tenant": tenant, "key": key, "closed": closed, "held": held,
             "total": total},
        )  # fmt: skip
    number = 0
    for session, response, at_s, cost in BILLS:
        number += 1
        connection.execute(
            sa.text(
                "INSERT INTO usage VALUES (:id, :session, :response, 'response', 'm', 0, 0, 0, 0, "
                "0, 0, 0, :cost, :at)"
            ),
            {"id": number, "session": session, "response": response, "cost": cost, "at": at_s},
        )
        _post(connection, number, session, ("usage", "spent", "available"), cost)
    _post(connection, number + 1, "s1", ("hold", "held", "available"), 40)
    for slot in (FIRST, SECOND):
        micros = sum(cost for _, _, at_s, cost in BILLS if at_s // 900 * 900 == slot)
        connection.execute(sa.text(f"INSERT INTO spending VALUES ({slot}, {micros})"))
    connection.execute(
        sa.text(f"INSERT INTO model_totals VALUES ('m', 4, 0, 0, 0, 0, 0, 0, 0, {7 + 5 + 11 + 13})")
    )
    entries = {"s1": 3, "s2": 1, "s3": 1}
    for session, count in entries.items():
        connection.execute(
            sa.text(f"UPDATE accounts SET entries = {count} WHERE session_id = '{session}'")
        )


def _post(
    connection: sa.Connection, number: int, session: str, moved: tuple[str, str, str], micros: int
) -> None:
    kind, debit, credit = moved
    connection.execute(
        sa.text(
            f"INSERT INTO ledger VALUES ({number}, 'key{number}', 1, '{session}', 't', '{kind}', "
            f"'{debit}', '{credit}', {micros}, 'm', {SECOND})"
        )
    )


def test_spending_is_kept_and_told_apart_by_tenant_and_key(database_url: str) -> None:
    engine = at_revision(database_url, "0002")
    with engine.begin() as connection:
        fill_first(connection)
    engine.dispose()
    store = Store.open(database_url)
    with store.reading() as connection:
        spending = {
            (row.scope, row.slot_s): row.micros
            for row in connection.execute(sa.select(schema.spending))
        }
        [case] = ledger.load_holding(connection)
        assert ledger_check.faults(connection) == []
    store.close()
    assert spending == {
        ("global", FIRST): 31, ("global", SECOND): 5,
        ("tenant:acme", FIRST): 18, ("tenant:acme", SECOND): 5,
        ("key:k1", FIRST): 7, ("key:k1", SECOND): 5, ("key:k2", FIRST): 11,
    }  # fmt: skip
    assert case.owner == Owner("s1", "c", "acme", "k1", "m")
    assert case.account == Account(held_micros=40, total_micros=12)
    assert {key: bill.cost_micros for key, bill in case.bills.items()} == {
        ("response", "r1"): 7, ("response", "r2"): 5,
    }  # fmt: skip


def test_live_calls_that_share_a_call_id_go_on_and_no_more_can(database_url: str) -> None:
    engine = at_revision(database_url, "0005")
    with engine.begin() as connection:
        for session_id in ("s2", "s1", "s3"):
            go_live(connection, session_id, "same")
        go_live(connection, "s4", "other")
    Store.open(database_url).close()
    with engine.begin() as connection:
        expected = {"s1": "same", "s2": "same#s2", "s3": "same#s3", "s4": "other"}
        assert live_calls(connection) == expected
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        go_live(connection, "s5", "same")
    with engine.begin() as connection:
        command.downgrade(migrations(connection), "0005")
    with engine.begin() as connection:
        go_live(connection, "s5", "same")
        assert live_calls(connection) == expected | {"s5": "same"}
    engine.dispose()
