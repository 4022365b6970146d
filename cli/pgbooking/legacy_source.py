"""What another system says, as rows of texts: of a read-only query, in its database or in ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.types.string import TextLoader

from pgbooking.connection import connect
from pgbooking.csv_file import BadRow, CsvRow
from pgbooking.errors import EXIT_NOT_CONNECTED, EXIT_USAGE, Problem, explain
from pgbooking.rows import fetch_value

LEGACY_URL = "PGBOOKING_LEGACY_URL"
FETCHED_AT_ONCE = 1000
TIMES = ("date", "time", "timetz", "timestamp", "timestamptz")


class LegacyQuery:
    """A query's rows as a CSV file would have them; `line` counts rows from 1."""

    def __init__(self, connection: psycopg.Connection, dsn: str | None, query: str) -> None:
        self.connection = connection
        self.dsn = dsn
        self.query = query
        self.path = Path("The query")
        self.header: list[str] = []

    def rows(self) -> Iterator[CsvRow | BadRow]:
        """Every row; `header` is known after the first."""
        cells = query_rows(self.dsn, self.connection, self.query, self.header)
        for line, each in enumerate(cells, start=1):
            yield CsvRow(line, each)


def query_rows(
    dsn: str | None, connection: psycopg.Connection, query: str, header: list[str]
) -> Iterator[dict[str, str]]:
    """The rows of a query by column name, nulls as empty texts, dates and times in ISO 8601.

    It runs in the database of `dsn`, else in `connection`, in its transaction if there is one; in
    either as a cursor in a read-only transaction, so it is one statement that writes nothing.
    `header` gets the columns' names. Raises Problem where it cannot run: exit code 2, or 3 where
    the database cannot be reached; never with the address in it.
    """
    with _read_only(dsn, connection) as session, session.cursor("legacy") as cursor:
        cursor.itersize = FETCHED_AT_ONCE
        for name in TIMES:
            cursor.adapters.register_loader(name, TextLoader)
        try:
            fetch_value(session, "legacy_iso_dates")
            cursor.execute(query.encode())
            header += _names(cursor)
            for row in cursor:
                yield {
                    name: "" if value is None else str(value).strip()
                    for name, value in zip(header, row, strict=True)
                }
        except psycopg.Error as error:
            raise _problem(error) from None


@contextmanager
def _read_only(dsn: str | None, connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A session in a transaction that may only read."""
    if dsn is None:
        yield connection
        return
    with connect(dsn, LEGACY_URL) as session:
        session.read_only = True
        with session.transaction():
            yield session


def _names(cursor: psycopg.ServerCursor) -> list[str]:
    names = [column.name for column in cursor.description or []]
    for name, times in Counter(names).items():
        if times > 1:
            raise Problem(f"The query has two columns called {name!r}.", None, EXIT_USAGE)
    return names


def _problem(error: psycopg.Error) -> Problem:
    """In the database's own words: what is undefined here is not pgbooking's."""
    reason = explain(error)
    if reason.exit_code == EXIT_NOT_CONNECTED:
        return Problem(f"The old system: {reason.message}", reason.hint, EXIT_NOT_CONNECTED)
    said = error.diag.message_primary or str(error)
    return Problem(f"The query cannot be run: {said}.", error.diag.message_hint, EXIT_USAGE)
