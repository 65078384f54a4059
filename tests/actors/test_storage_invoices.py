"""Where items of an invoice are billed: found by their ids, on real databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from actors.storage import invoices, schema
from actors.storage.engine import Store
from reception.money.case import RESPONSE, TRANSCRIPTION
from reception.money.reconciliation import Place
from reception.provider.base import Usage

ROOT = Path(__file__).parents[2]
INDEX = "usage_item"
NOTHING = dict.fromkeys(Usage.__dataclass_fields__, 0)
BILLS = 3_000


def bill(session: str, kind: str, item: str, at_s: float) -> dict[str, Any]:
    named = {"session_id": session, "kind": kind, "response_id": item, "at_s": at_s}
    return named | NOTHING | {"model": "m", "audio_ms": 0, "cost_micros": 1}


def fill(store: Store, *more: dict[str, Any]) -> None:
    many = [bill(f"s{n}", RESPONSE, f"r{n}", float(n)) for n in range(BILLS)]
    with store.transaction() as connection:
        connection.execute(sa.insert(schema.usage), [*many, *more])


def indexes(connection: sa.Connection) -> set[str | None]:
    return {each["name"] for each in sa.inspect(connection).get_indexes("usage")}


def test_items_are_found_by_kind_and_id_in_the_order_in_which_they_were_billed(
    store: Store,
) -> None:
    fill(store, bill("a", TRANSCRIPTION, "r7", 1.0), bill("a", RESPONSE, "r7", 9_000.0))
    with store.reading() as connection:
        found = invoices.places(connection, [(RESPONSE, f"r{n}") for n in (7, 2_000, 9_999)])
    assert found == {
        (RESPONSE, "r7"): [Place("s7", 7.0), Place("a", 9_000.0)],
        (RESPONSE, "r2000"): [Place("s2000", 2_000.0)],
    }


def test_nothing_else_is_read_for_them(sqlite_url: str) -> None:
    """SQLite's plan of the very statement, for one item and for as many as are asked for
    at once."""
    store = Store.open(sqlite_url)
    fill(store)
    asked: list[tuple[str, Any]] = []

    def note(*of: Any) -> None:
        asked.append((of[2], of[3]))

    sa.event.listen(store.engine, "before_cursor_execute", note)
    with store.reading() as connection:
        for count in (1, 500):
            invoices.places(connection, [(RESPONSE, f"r{n}") for n in range(count)])
    sa.event.remove(store.engine, "before_cursor_execute", note)
    selects = [each for each in asked if each[0].startswith("SELECT")]
    assert len(selects) == 2
    with store.reading() as connection:
        for statement, given in selects:
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", given).all()
            plan = [row.detail for row in rows]
            assert f"SEARCH usage USING INDEX {INDEX} (response_id=?)" in plan
            assert not [step for step in plan if step.startswith("SCAN usage")]
    store.close()


def test_the_index_comes_and_goes_with_its_migration(database_url: str) -> None:
    store = Store.open(database_url)
    fill(store)
    config = Config()
    config.set_main_option("script_location", str(ROOT / "actors/storage/migrations"))
    for move, there in (
        (lambda: command.downgrade(config, "0004"), False),
        (lambda: command.upgrade(config, "head"), True),
    ):
        with store.engine.begin() as connection:
            config.attributes["connection"] = connection
            move()
        with store.reading() as connection:
            assert (INDEX in indexes(connection)) is there
            rows = connection.scalar(sa.select(sa.func.count()).select_from(schema.usage))
            assert rows == BILLS
    store.close()
