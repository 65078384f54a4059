"""Statements that go with nearly every commit, given to the driver as they were compiled once.

SQLAlchemy's own way to run a statement costs 30 to 90 us of CPU, most of it in code that a
process which commits now and then does not have in its caches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement


class Prepared:
    """A statement all of whose values are bound by name.

    Args:
        statement: of plain columns: what it reads is as the driver has it.
        columns: that an insert gives.
    """

    def __init__(self, statement: ClauseElement, columns: Sequence[str] = ()) -> None:
        self._statement, self._columns = statement, list(columns) or None
        self._compiled: dict[str, tuple[str, list[str] | None]] = {}

    def read(self, connection: Connection, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        """All rows. Raises SQLAlchemyError, as `Connection.execute` does."""
        return self._run(connection, [values], reads=True)

    def write(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Once for each. Raises SQLAlchemyError."""
        self._run(connection, rows, reads=False)

    def _run(
        self, connection: Connection, rows: Sequence[dict[str, Any]], *, reads: bool
    ) -> list[tuple[Any, ...]]:
        """Telling those who listen to the engine's cursors."""
        text, order = self._text(connection)
        given = rows if order is None else [[row[name] for name in order] for row in rows]
        many = len(given) > 1
        listeners = connection.engine.dispatch
        cursor: Any = connection.connection.cursor()
        told = connection, cursor, text, given, None, many
        try:
            if listeners.before_cursor_execute:
                listeners.before_cursor_execute(*told)
            if many:
                cursor.executemany(text, given)
            else:
                cursor.execute(text, given[0])
            if listeners.after_cursor_execute:
                listeners.after_cursor_execute(*told)
            return cursor.fetchall() if reads else []
        except connection.dialect.loaded_dbapi.Error as error:
            raise _told(connection, cursor, error) from error
        finally:
            cursor.close()

    def _text(self, connection: Connection) -> tuple[str, list[str] | None]:
        """SQL, and the order of its values where the driver wants no names."""
        name = connection.dialect.name
        if name not in self._compiled:
            compiled: Any = self._statement.compile(
                dialect=connection.dialect, column_keys=self._columns
            )
            self._compiled[name] = str(compiled), compiled.positiontup
        return self._compiled[name]


def _told(connection: Connection, cursor: Any, error: Exception) -> BaseException:
    """The driver's error as SQLAlchemy has it."""
    driver: Any = connection.dialect.loaded_dbapi
    if connection.dialect.is_disconnect(error, connection.connection, cursor):  # type: ignore[arg-type]
        connection.invalidate(error)
    return DBAPIError.instance(
        None, None, error, driver.Error, hide_parameters=True, dialect=connection.dialect
    )
