"""The database: SQLite or PostgreSQL behind one door, migrated when it is opened."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import DataError, IntegrityError, ProgrammingError, SQLAlchemyError

from actors.storage import schema
from actors.storage.prepared import Prepared
from reception.errors import Fenced, InvalidRequest, ReceptionError, Unavailable

HEAD = "0007"
"""The newest migration; a test compares it with migrations/versions."""

BUSY_TIMEOUT_MS = 10_000
CLOSE_TIMEOUT_S = 5.0
IDLE_MS = 4_000
"""A transaction that writes, and does nothing for so long, is taken back by PostgreSQL: a
process that stands still, or whose machine is gone, would hold its locks."""

_LOCK_STEP_S = 0.0005
_EPOCH_STEP_S = 0.1

_MIGRATIONS = Path(__file__).parent / "migrations"
_MIGRATION_LOCK = 0x52454350
_PRAGMAS = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)
_PATIENT = "SET LOCAL idle_in_transaction_session_timeout = 0"  # a view locks nothing


class Store:
    """An open database. Its methods block: call them from a thread.

    Every method raises Unavailable when the database can't be reached or can't
    do its work now, and a bare ReceptionError when it refuses what it is given.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._view: dict[str, Any] = {"reading": True}
        if engine.dialect.name == "postgresql":  # else each statement has a view of its own
            self._view["isolation_level"] = "REPEATABLE READ"
        self._in_use = 0  # connections
        self._returned = threading.Condition()

    @classmethod
    def open(cls, url: str) -> Self:
        """Opens the database at `url` and brings its tables up to date. Several
        processes may do so at once.

        Args:
            url: sqlite:///path or postgresql://user@host/database.

        Raises:
            InvalidRequest: no such kind of database.
            Unavailable: it can't be opened.
        """
        with faults():
            store = cls(_engine(url))
            try:
                store._migrate()
            except BaseException:
                store.engine.dispose()
                raise
            return store

    def close(self) -> None:
        """Gives all connections back, those too that other threads are about to.
        Idempotent."""
        with self._returned:
            self._returned.wait_for(lambda: self._in_use == 0, CLOSE_TIMEOUT_S)
        self.engine.dispose()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One writing transaction, durable when the block is left; SQLite's
        write lock is taken at its beginning."""
        with faults(), self._counted(), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view; writes nothing."""
        with faults(), self._counted(), self.engine.connect() as connection:
            connection.execution_options(**self._view)
            with connection.begin() as view:
                if connection.dialect.name == "postgresql":
                    connection.exec_driver_sql(_PATIENT)
                yield connection
                view.rollback()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        with self._returned:
            self._in_use += 1
        try:
            yield
        finally:
            with self._returned:
                self._in_use -= 1
                self._returned.notify_all()

    def take_epoch(self, singleton: str) -> int:
        """The next epoch of a singleton: from now on, older ones are refused, and one that
        stands still in the middle of a transaction holds nobody up (PostgreSQL)."""
        with self.transaction() as connection:
            epoch = _put_out(connection, singleton) + 1
            connection.execute(
                sa.update(schema.epochs)
                .where(schema.epochs.c.singleton == singleton)
                .values(epoch=epoch)
            )
            return epoch

    def _migrate(self) -> None:
        if self._version() == HEAD:
            return
        from alembic import command  # noqa: PLC0415 - slow to import, seldom needed
        from alembic.config import Config  # noqa: PLC0415 - as above

        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS))
        with self.engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def _version(self) -> str:
        with self.reading() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return ""
            return str(
                connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
            )


def check_epoch(connection: Connection, singleton: str, epoch: int | None) -> int:
    """Locks a singleton's epoch until the transaction's end and compares it:
    until then nobody else writes as this singleton.

    Args:
        epoch: the writer's; None to accept any (a writer that keeps nothing in
            memory between its transactions).

    Returns:
        The epoch now; 0 when none was ever taken.

    Raises:
        Fenced: there is a newer one.
    """
    if epoch is None:
        insert_if_new(connection, schema.epochs, {"singleton": singleton, "epoch": 0})
    found = _READ_EPOCH.read(connection, {"name": singleton})
    now = found[0][0] if found else None
    if epoch is not None and now != epoch:
        raise Fenced(f"{singleton} has epoch {now}, this writer has {epoch}: it was replaced")
    return int(now or 0)


def upsert(connection: Connection, table: sa.Table, values: dict[str, Any]) -> None:
    """Inserts a row, or updates the one with its primary key."""
    _upsert(connection.dialect.name, table, tuple(values), tuple(values), ()).write(
        connection, [values]
    )


def upsert_all(
    connection: Connection,
    table: sa.Table,
    rows: list[dict[str, Any]],
    *,
    replace: tuple[str, ...] = (),
    add: tuple[str, ...] = (),
) -> None:
    """Inserts rows, or updates those with their primary keys, in one statement.

    Args:
        rows: one or more, each with the same columns and a key of its own.
        replace: columns that get the new value in a row that is there.
        add: columns to which the value is added.
    """
    statement = _upsert(connection.dialect.name, table, tuple(rows[0]), (*replace, *add), add)
    statement.write(connection, rows)


def insert_if_new(connection: Connection, table: sa.Table, values: dict[str, Any]) -> bool:
    """Inserts a row unless one of its unique keys is there; whether it did."""
    return (
        connection.execute(_insert_if_new(connection.dialect.name, table), values).first()
        is not None
    )


def step_of(
    connection: Connection, at_s: sa.ColumnElement[Any], step_s: int
) -> sa.ColumnElement[int]:
    """The beginning of the step of `step_s` in which a time is; UNIX seconds."""
    quotient = at_s / step_s
    if connection.dialect.name == "postgresql":  # it rounds in a cast, SQLite cuts off
        quotient = sa.func.floor(quotient)
    return sa.cast(quotient, sa.BigInteger) * step_s


def _put_out(connection: Connection, singleton: str) -> int:
    """Locks a singleton's epoch and ends the transactions that hold it and do nothing
    (PostgreSQL: after a statement of many rows, which goes in a pipeline, IDLE_MS does not);
    the epoch."""
    insert_if_new(connection, schema.epochs, {"singleton": singleton, "epoch": 0})
    until_s = time.monotonic() + 2 * IDLE_MS / 1_000
    while (epoch := connection.execute(_FREE, {"name": singleton}).scalar()) is None:
        if time.monotonic() > until_s:
            raise Unavailable(f"database: the epoch of {singleton} is locked", retry_after_s=1.0)
        connection.exec_driver_sql("SELECT pg_stat_clear_snapshot()")
        connection.execute(_END_IDLE)
        time.sleep(_EPOCH_STEP_S)
    return int(epoch)


# Statements are built once: building one costs more than running it.

_EPOCH = (
    sa.select(schema.epochs.c.epoch)
    .where(schema.epochs.c.singleton == sa.bindparam("name"))
    .with_for_update()
)
_READ_EPOCH = Prepared(_EPOCH)
_FREE = _EPOCH.with_for_update(skip_locked=True)
_END_IDLE = sa.text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity JOIN pg_locks USING (pid) "
    "WHERE relation = 'epochs'::regclass AND state = 'idle in transaction' "
    "AND state_change < clock_timestamp() - :idle_ms * interval '1 millisecond'"
).bindparams(idle_ms=IDLE_MS)


@functools.cache
def _upsert(
    dialect: str,
    table: sa.Table,
    columns: tuple[str, ...],
    names: tuple[str, ...],
    add: tuple[str, ...],
) -> Prepared:
    insert = _insert(dialect)(table)
    keys = [column.name for column in table.primary_key]
    changes = {
        name: table.c[name] + insert.excluded[name] if name in add else insert.excluded[name]
        for name in names
        if name not in keys
    }
    return Prepared(insert.on_conflict_do_update(index_elements=keys, set_=changes), columns)


@functools.cache
def _insert_if_new(dialect: str, table: sa.Table) -> Any:
    return _insert(dialect)(table).on_conflict_do_nothing().returning(sa.literal(1))


def _insert(dialect: str) -> Any:
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql  # noqa: PLC0415 - the dialect in use only

        return postgresql
    from sqlalchemy.dialects.sqlite import insert as sqlite  # noqa: PLC0415 - the dialect in use only

    return sqlite


@contextlib.contextmanager
def faults() -> Iterator[None]:
    """Database errors as ours; the text of a statement is not shown, because
    its values may be anything."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        first = (str(cause).splitlines() or [""])[0][:200]
        text = f"database: {type(cause).__name__}: {first}"
        if isinstance(error, DataError | IntegrityError | ProgrammingError):
            raise ReceptionError(text) from error
        raise Unavailable(text, retry_after_s=1.0) from error


# ------------------------------------------------------------------ engines


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except SQLAlchemyError:
        raise InvalidRequest("the database URL makes no sense", field="database_url") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        return _sqlite(parsed)
    if backend in ("postgresql", "postgres"):
        return sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_size=4,
            connect_args={
                "connect_timeout": 10,
                "options": f"-c idle_in_transaction_session_timeout={IDLE_MS}",
            },
        )
    raise InvalidRequest(
        f"database {backend!r}: must be sqlite or postgresql", field="database_url"
    )


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise InvalidRequest("SQLite needs a file: sqlite:///path", field="database_url")
    try:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"database: {error}") from error
    engine = sa.create_engine(url, connect_args={"check_same_thread": False})

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, never by the driver
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("reading"):
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_writing(connection)

    return engine


def _begin_writing(connection: Connection) -> None:
    """Waits for SQLite's write lock in short steps. Left to itself SQLite waits
    in steps that grow to 100 ms, and whoever asks anew passes those who wait.
    """
    raw = connection.connection.driver_connection
    assert raw is not None
    deadline_s = time.monotonic() + BUSY_TIMEOUT_MS / 1_000
    raw.execute("PRAGMA busy_timeout=0")
    try:
        while True:
            try:
                raw.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not busy or time.monotonic() >= deadline_s:
                    raise Unavailable(f"database: {error}") from error
                time.sleep(_LOCK_STEP_S)
            else:
                return
    finally:
        raw.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
