"""Rows of a query in place of a CSV file: of the system that pgbooking takes over from, mostly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from pgbooking.connection import connect, query
from pgbooking.csv_file import BadRow, CsvRow, check_names
from pgbooking.errors import EXIT_NOT_CONNECTED, EXIT_USAGE, Problem, explain

LEGACY_URL = "PGBOOKING_LEGACY_URL"
"""The setting that names the database of the system that pgbooking takes over from."""

ROWS_AT_A_TIME = 1000


class _AsText(Loader):
    """PostgreSQL's text of a value."""

    def load(self, data: Buffer) -> str:
        return bytes(data).decode()


class _AsTime(_AsText):
    """The same with a T between date and time, and an offset in hours and minutes."""

    def load(self, data: Buffer) -> str:
        text = super().load(data).replace(" ", "T", 1)
        return f"{text}:00" if text[-3] in "+-" else text


class QueryRows:
    """What a SELECT returns: columns by name, values as the text that a CSV file would have.

    That is PostgreSQL's own text, with dates and times in ISO 8601, offsets in full, and nothing
    for null: whatever it can say reaches the importer, which rejects what it does not understand.
    """

    name = "The query"
    unit = "row"

    times: ClassVar = {"timestamp", "timestamptz", "timetz"}

    def __init__(
        self,
        select: str,
        database_url: str | None,
        setting: str,
        within: psycopg.Connection | None = None,
    ) -> None:
        """`within` is the session to read in, in its transaction, where no other address is given;
        `setting` is what names the address."""
        self.select = select
        self.database_url = database_url
        self.setting = setting
        self.within = within
        self.header: list[str] = []

    def rows(self) -> Iterator[CsvRow | BadRow]:
        """Every row, in order; `header` is known once it has run.

        Read in a READ ONLY transaction, through a cursor on the server. Raises Problem with exit
        code 2 where the query cannot run, 3 where there is no connection.
        """
        try:
            with self._session() as session:
                yield from self._rows(session)
        except psycopg.Error as error:
            said = explain(error)
            if said.exit_code == EXIT_NOT_CONNECTED:
                hint = "It was that of the query: nothing has been written yet."
                raise Problem(said.message, hint, said.exit_code) from None
            primary = error.diag.message_primary or str(error).strip()
            raise Problem(
                f"{self.name} cannot run: {primary}.",
                error.diag.message_hint or "One SELECT that only reads is expected.",
                EXIT_USAGE,
            ) from None
        except UnicodeDecodeError:
            raise Problem(
                f"{self.name} returns text that is not UTF-8.",
                "Let it say how it is written: convert_from(name::bytea, 'LATIN1'), for example.",
                EXIT_USAGE,
            ) from None

    @contextmanager
    def _session(self) -> Iterator[psycopg.Connection]:
        """A session in a transaction that may only read."""
        if self.database_url is None and self.within is not None:
            yield self.within
            return
        with connect(self.database_url, self.setting) as session:
            session.read_only = True
            with session.transaction():
                yield session

    def _rows(self, connection: psycopg.Connection) -> Iterator[CsvRow]:
        with connection.cursor(name="import") as cursor:
            connection.execute(query("import_query_settings"))
            cursor.itersize = ROWS_AT_A_TIME
            cursor.execute(self.select.encode())
            columns = cursor.description or []
            self.header = [column.name for column in columns]
            check_names(self.name, self.header)
            for column in columns:
                known = connection.adapters.types.get(column.type_code)
                is_time = known is not None and known.name in self.times
                cursor.adapters.register_loader(column.type_code, _AsTime if is_time else _AsText)
            for line, values in enumerate(cursor, start=1):
                cells = [value or "" for value in values]
                yield CsvRow(line, dict(zip(self.header, cells, strict=True)))
