"""The database itself: opening, migrations, append-only tables, epochs, errors."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from actors.storage import engine, schema
from actors.storage.engine import Store, check_epoch, insert_if_new, upsert, upsert_all
from reception.errors import Fenced, InvalidRequest, ReceptionError, Unavailable
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
LEDGER_ROW = {
    "idempotency_key": "a", "epoch": 1, "session_id": "s", "tenant": "t", "kind": "hold",
    "debit": "held", "credit": "available", "amount_micros": 5, "model": "m", "at_s": 1.0,
}  # fmt: skip
USAGE_ROW = {
    "session_id": "s", "response_id": "r", "kind": "response", "model": "m", "input_text": 0,
    "input_audio": 0, "cached_text": 0, "cached_audio": 0, "output_text": 0, "output_audio": 0,
    "audio_ms": 0, "cost_micros": 1, "at_s": 1.0,
}  # fmt: skip
AUDIT_ROW = {
    "seq": 1, "previous": b"", "hash": b"", "at_us": 1, "epoch": 1, "actor": "a", "action": "b",
    "detail": "{}",
}  # fmt: skip


def test_migrations_make_exactly_the_tables_of_the_schema(store: Store) -> None:
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "actors/storage/migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == engine.HEAD


def test_opening_again_keeps_everything(database_url: str) -> None:
    first = Store.open(database_url)
    with first.transaction() as connection:
        connection.execute(sa.insert(schema.ledger).values(**LEDGER_ROW))
    first.close()
    first.close()
    second = Store.open(database_url)
    with second.reading() as connection:
        assert connection.execute(sa.select(schema.ledger.c.amount_micros)).scalar_one() == 5
    second.close()


def test_several_processes_open_a_new_database_at_once(database_url: str) -> None:
    program = (
        "import sys; from actors.storage.engine import Store;"
        "print(Store.open(sys.argv[1]).take_epoch('x'))"
    )
    opening = [
        subprocess.Popen(
            [sys.executable, "-c", program, database_url],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    outcomes = [process.communicate(timeout=60) for process in opening]
    assert sorted(out.strip() for out, _ in outcomes) == ["1", "2", "3", "4"], outcomes


@pytest.mark.parametrize(
    ("table", "row"),
    [(schema.ledger, LEDGER_ROW), (schema.usage, USAGE_ROW), (schema.audit, AUDIT_ROW)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_append_only_tables_refuse_changes(
    store: Store, table: sa.Table, row: dict[str, object]
) -> None:
    assert table.name in schema.APPEND_ONLY
    with store.transaction() as connection:
        connection.execute(sa.insert(table).values(**row))
    for change in (sa.update(table).values(epoch=9), sa.delete(table)):
        if table is schema.usage and isinstance(change, sa.Update):
            change = sa.update(table).values(cost_micros=0)  # noqa: PLW2901 - it has no epoch
        with pytest.raises(ReceptionError, match="append-only"), store.transaction() as connection:
            connection.execute(change)
    with store.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one() == 1


def test_postgresql_refuses_to_empty_them(store: Store) -> None:
    if store.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no TRUNCATE")
    with pytest.raises(ReceptionError, match="append-only"), store.transaction() as connection:
        connection.execute(sa.text("TRUNCATE ledger"))


def test_sqlite_is_as_durable_as_it_can_be(sqlite_url: str) -> None:
    opened = Store.open(sqlite_url)
    with opened.reading() as connection:
        asked = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    opened.close()
    assert asked == {
        "journal_mode": "wal", "synchronous": 2, "busy_timeout": 10_000, "foreign_keys": 1,
    }  # fmt: skip


def test_money_can_not_be_negative(store: Store) -> None:
    with pytest.raises(ReceptionError), store.transaction() as connection:
        connection.execute(sa.insert(schema.ledger).values(**LEDGER_ROW | {"amount_micros": 0}))


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def fail() -> None:
        with store.transaction() as connection:
            connection.execute(sa.insert(schema.ledger).values(**LEDGER_ROW))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with store.reading() as connection:
        assert connection.execute(sa.select(schema.ledger)).all() == []


def test_who_reads_sees_the_database_as_of_one_moment(store: Store) -> None:
    count = sa.select(sa.func.count()).select_from(schema.ledger)
    with store.reading() as connection:
        assert connection.execute(count).scalar_one() == 0
        with store.transaction() as other:
            other.execute(sa.insert(schema.ledger).values(**LEDGER_ROW))
        assert connection.execute(count).scalar_one() == 0
    with store.reading() as connection:
        assert connection.execute(count).scalar_one() == 1


# ------------------------------------------------------------------ epochs


def test_it_is_closed_once_nobody_reads_any_more(store: Store) -> None:
    reads, may_end, order = threading.Event(), threading.Event(), []

    def look() -> None:
        with store.reading():
            reads.set()
            may_end.wait(PATIENCE_S)
        order.append("read")

    def close() -> None:
        store.close()
        order.append("closed")

    threads = [threading.Thread(target=each) for each in (look, close)]
    threads[0].start()
    assert reads.wait(PATIENCE_S)
    threads[1].start()
    threads[1].join(0.05)
    may_end.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert order == ["read", "closed"]


def test_an_epoch_is_taken_once(store: Store) -> None:
    assert [store.take_epoch("cost"), store.take_epoch("cost"), store.take_epoch("other")] == [
        1, 2, 1,
    ]  # fmt: skip


def test_an_old_epoch_is_refused(store: Store) -> None:
    old = store.take_epoch("cost")
    with store.transaction() as connection:
        assert check_epoch(connection, "cost", old) == old
    store.take_epoch("cost")
    with pytest.raises(Fenced, match="epoch 2"), store.transaction() as connection:
        check_epoch(connection, "cost", old)


def test_any_epoch_will_do_for_a_writer_without_memory(store: Store) -> None:
    with store.transaction() as connection:
        assert check_epoch(connection, "security", None) == 0
    store.take_epoch("security")
    with store.transaction() as connection:
        assert check_epoch(connection, "security", None) == 1


# ------------------------------------------------------------------ statements


def test_upsert_replaces_adds_and_keeps(store: Store) -> None:
    table = schema.epochs
    with store.transaction() as connection:
        upsert(connection, table, {"singleton": "a", "epoch": 3})
        upsert_all(connection, table, [{"singleton": "a", "epoch": 4}], add=("epoch",))
        assert connection.execute(sa.select(table.c.epoch)).scalar_one() == 7
        upsert(connection, table, {"singleton": "a", "epoch": 2})
        assert connection.execute(sa.select(table.c.epoch)).scalar_one() == 2
        assert not insert_if_new(connection, table, {"singleton": "a", "epoch": 9})
        assert connection.execute(sa.select(table.c.epoch)).scalar_one() == 2
        assert insert_if_new(connection, table, {"singleton": "b", "epoch": 9})


# ------------------------------------------------------------------ what can't be opened


@pytest.mark.parametrize(
    "url", ["mysql://localhost/x", "nonsense", "sqlite://", "sqlite:///:memory:"]
)
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        Store.open(url)
    assert caught.value.field == "database_url"


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="database"):
        Store.open(f"postgresql://nobody@/none?host={tmp_path}")


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        Store.open(f"sqlite:///{tmp_path}/file/reception.db")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "reception.db"
    path.write_text("this is a letter, not a database" * 100)
    with pytest.raises(Unavailable, match="not a database"):
        Store.open(f"sqlite:///{path}")
