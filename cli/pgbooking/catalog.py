"""What the catalog of a migrated database says, beside what was reviewed: who may do what
(privileges.csv), and how each object is defined (objects.csv).

    python -m pgbooking.catalog            write both files
    python -m pgbooking.catalog --check    exit 1 where the catalog says otherwise

Both migrate a new database on an embedded server and read that; --check reads the one at
DATABASE_URL instead, if there is one.
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Generic, Literal, TypeVar

import psycopg

from pgbooking import migrate
from pgbooking.connection import connected
from pgbooking.errors import EXIT_FOUND, Problem
from pgbooking.output import print_error
from pgbooking.rows import fetch
from pgbooking.server import embedded_server

# Makes tokens on Supabase and is missing elsewhere; what it may do stands in the matrix.
SUPABASE_ROLE = "supabase_auth_admin"

# `pgbooking sql --supabase --realtime` adds these to what the migrations make.
REALTIME = {"booking.broadcast_revision()", "booking.calendars: calendars_broadcast_revision"}

# How the catalog prints definitions, whatever the session's own settings are.
PRINTING = {"search_path": "", "timezone": "UTC", "datestyle": "ISO", "intervalstyle": "postgres"}


@dataclass(frozen=True, order=True)
class Privilege:
    """What `role` may do with an object (`what`: which columns, or as whom a function runs), or,
    without a role, what else decides (row-level security, policies, columns)."""

    kind: str
    object: str
    role: str
    action: str
    what: str

    def __str__(self) -> str:
        return ", ".join(part for part in astuple(self) if part)


@dataclass(frozen=True, order=True)
class Definition:
    """How an object is defined: SQL where it is short, else in words, its body as a hash."""

    kind: str
    object: str
    definition: str

    def __str__(self) -> str:
        return ", ".join(part for part in astuple(self) if part)


Line = TypeVar("Line", Privilege, Definition)

# The query that reads them, and the file beside this one that holds them.
NAMES: dict[type, str] = {Privilege: "privileges", Definition: "objects"}


@dataclass(frozen=True, order=True)
class Difference(Generic[Line]):
    """A line that the catalog has and the file has not (extra), or the other way (missing)."""

    line: Line
    kind: Literal["extra", "missing"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.line}"


def differences(connection: psycopg.Connection, line_type: type[Line]) -> list[Difference[Line]]:
    """How this database differs from what was reviewed. Writes nothing."""
    found, wanted = set(catalog(connection, line_type)), set(reviewed(line_type))
    if not _has_supabase_role(connection):
        wanted = {each for each in wanted if getattr(each, "role", None) != SUPABASE_ROLE}
    extra = [Difference(each, "extra") for each in found - wanted if each.object not in REALTIME]
    return sorted(extra + [Difference(each, "missing") for each in wanted - found])


def catalog(connection: psycopg.Connection, line_type: type[Line]) -> list[Line]:
    """What this database says, in the order of the file."""
    with connection.transaction(force_rollback=True):
        for name, value in PRINTING.items():
            connection.execute("select set_config(%s, %s, true)", [name, value])
        return fetch(connection, NAMES[line_type], line_type)


def reviewed(line_type: type[Line]) -> list[Line]:
    """What ships with pgbooking."""
    with _file(line_type).open(newline="") as file:
        return [line_type(**line) for line in csv.DictReader(file)]


def write(connection: psycopg.Connection, line_type: type[Line]) -> None:
    """Write the file from this database."""
    with _file(line_type).open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(line_type))
        writer.writerows(astuple(line) for line in catalog(connection, line_type))


def _file(line_type: type) -> Path:
    return Path(str(resources.files("pgbooking"))) / f"{NAMES[line_type]}.csv"


def _has_supabase_role(connection: psycopg.Connection) -> bool:
    row = connection.execute("select to_regrole(%s) is not null", [SUPABASE_ROLE]).fetchone()
    return row == (True,)


@contextmanager
def _new_database() -> Iterator[psycopg.Connection]:
    """One that has just been migrated, and every role."""
    with embedded_server() as url, connected(url) as connection:
        connection.execute(f"create role {SUPABASE_ROLE}")
        for _ in migrate.apply(url):
            pass
        yield connection


def main(arguments: Sequence[str]) -> int:
    """Exit code 1: `--check` found a difference."""
    url = os.environ.get("DATABASE_URL")
    try:
        if "--check" not in arguments:
            with _new_database() as connection:
                write(connection, Privilege)
                write(connection, Definition)
            return 0
        with connected(url) if url else _new_database() as connection:
            found = [*differences(connection, Privilege), *differences(connection, Definition)]
    except Problem as problem:
        print_error(problem.message, problem.hint)
        return problem.exit_code
    for difference in found:
        print(difference)
    if found:
        print_error(
            f"{len(found)} lines differ from what was reviewed.",
            "Review them, then: python -m pgbooking.catalog",
        )
        return EXIT_FOUND
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
