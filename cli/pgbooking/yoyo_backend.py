"""yoyo's backend for psycopg 3, which keeps nothing in its session between transactions.

Through a pooler in transaction mode that may be another session. yoyo's own sets search_path when
it connects: its next transaction would not find the bookkeeping, and somebody else's would.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
from yoyo.backends.core.postgresql import PostgresqlPsycopgBackend


class Backend(PostgresqlPsycopgBackend):  # type: ignore[misc]
    """Each statement outside a transaction of its caller's is a transaction of its own."""

    def connect(self, dburi: Any) -> psycopg.Connection:
        connection: psycopg.Connection = super().connect(dburi)
        connection.prepare_threshold = None
        return connection

    def init_connection(self, connection: psycopg.Connection) -> None:
        pass

    def begin(self) -> None:
        super().begin()
        self.find_bookkeeping()

    def find_bookkeeping(self) -> None:
        """Name the schema of the bookkeeping for the rest of this transaction."""
        self.execute(f"set local search_path to {self.schema}")

    def execute(self, sql: str, params: Mapping[str, Any] | None = None) -> Any:
        if self._in_transaction:
            return super().execute(sql, params)
        with self.transaction():
            return super().execute(sql, params)
