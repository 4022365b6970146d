"""The database of one run, and what all measurements have in common."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from tests.benchmarks.figures import seconds

TENANT = UUID("00000000-0000-4000-8000-000000000001")
DURATIONS = (30, 60, 90)
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Bench:
    """One tenant of that size in a database of its own."""

    connection: psycopg.Connection[Any]
    url: str
    staff: int
    days: int
    repeats: int

    def set_up(self) -> None:
        """The tenant, with nothing published."""
        script = (FOLDER / "tenant.sql").read_text()
        for name, value in (
            ("$tenant", f"'{TENANT}'::uuid"),
            ("$days", str(self.days)),
            ("$staff", str(self.staff)),
            ("$durations", f"'{{{','.join(map(str, DURATIONS))}}}'"),
        ):
            script = script.replace(name, value)
        self.connection.execute(script.encode())
        self.settle()

    def settle(self) -> None:
        """What would go on beside the next measurement is done before it."""
        self.connection.execute("vacuum analyze")
        self.connection.execute("checkpoint")

    def value(self, statement: str, *parameters: object) -> Any:
        """The one value that a statement returns."""
        [(value,)] = self.connection.execute(statement.encode(), parameters).fetchall()
        return value

    def dicts(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement.encode(), parameters).fetchall()

    def people(self) -> list[UUID]:
        rows = self.connection.execute(
            "select id from booking.staff where tenant_id = %s order by id", [TENANT]
        )
        return [row[0] for row in rows]

    @contextmanager
    def as_caller(self, role: str, method: str = "GET", **claims: object) -> Iterator[None]:
        """A transaction as PostgREST begins one; GET may not write."""
        with self.connection.transaction():
            if method == "GET":
                self.connection.execute("set transaction read only")
            self.connection.execute(
                "select set_config('request.jwt.claims', %s, true), set_config('role', %s, true),"
                " set_config('request.method', %s, true),"
                " set_config('request.headers', '{}', true)",
                [json.dumps({"role": role, **claims}), role, method],
            )
            self.connection.execute("select api.pre_request()")
            yield

    @contextmanager
    def without_triggers(self, *tables: str) -> Iterator[None]:
        """Constraints, indexes and foreign keys stay."""
        for table in tables:
            self.connection.execute(f"alter table booking.{table} disable trigger user")
        try:
            yield
        finally:
            for table in tables:
                self.connection.execute(f"alter table booking.{table} enable trigger user")

    def slots_written(self) -> int:
        """Rows of availability_slots inserted, updated and deleted so far."""
        self.connection.execute("select pg_stat_force_next_flush()")
        return int(
            self.value(
                "select n_tup_ins + n_tup_upd + n_tup_del from pg_stat_user_tables"
                " where relid = 'booking.availability_slots'::regclass"
            )
        )

    def timed(self, statement: str, parameters: list[Any] | dict[str, Any] | None = None) -> float:
        """Seconds until the server has answered."""
        return seconds(lambda: self.connection.execute(statement.encode(), parameters))
