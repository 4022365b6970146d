"""Named queries and what they return: typed rows, times in UTC."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from pgbooking.connection import query

Row = TypeVar("Row")


def fetch(
    connection: psycopg.Connection, name: str, row_type: type[Row], /, **parameters: object
) -> list[Row]:
    """Every row of queries/<name>.sql."""
    with connection.cursor(row_factory=_utc_row(row_type)) as cursor:
        return cursor.execute(query(name), parameters).fetchall()


def fetch_one(
    connection: psycopg.Connection, name: str, row_type: type[Row], /, **parameters: object
) -> Row | None:
    """The first row of queries/<name>.sql, or None."""
    with connection.cursor(row_factory=_utc_row(row_type)) as cursor:
        return cursor.execute(query(name), parameters).fetchone()


def fetch_values(connection: psycopg.Connection, name: str, /, **parameters: object) -> list[Any]:
    """The only column of queries/<name>.sql."""
    return [row[0] for row in connection.execute(query(name), parameters)]


def fetch_value(connection: psycopg.Connection, name: str, /, **parameters: object) -> Any:
    """The only value of queries/<name>.sql."""
    (value,) = fetch_values(connection, name, **parameters)
    return value


def execute(connection: psycopg.Connection, name: str, /, **parameters: object) -> int:
    """Run queries/<name>.sql and say how many rows it touched."""
    return connection.execute(query(name), parameters).rowcount


def copy_rows(connection: psycopg.Connection, name: str, rows: Iterable[Sequence[object]]) -> int:
    """Load rows by queries/<name>.sql, a COPY … FROM STDIN: one statement for all of them."""
    with connection.cursor() as cursor:
        with cursor.copy(query(name)) as copy:
            for row in rows:
                copy.write_row(row)
        return cursor.rowcount


def _utc_row(
    row_type: type[Row],
) -> Callable[[psycopg.Cursor[Any]], Callable[[Sequence[Any]], Row]]:
    """psycopg gives times in the session's zone, in which Python compares on the wall clock."""

    def factory(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Row]:
        make = class_row(row_type)(cursor)

        def make_utc(values: Sequence[Any]) -> Row:
            return make(
                [
                    value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo else value
                    for value in values
                ]
            )

        return make_utc

    return factory
