"""The privilege matrix: who may do what, as the catalog of a migrated database says, beside what
was reviewed (privileges.csv).

    python -m pgbooking.privileges            write privileges.csv
    python -m pgbooking.privileges --check    exit 1 where the catalog says otherwise

Both migrate a new database on an embedded server and read that; --check reads the one at
DATABASE_URL instead, if there is one.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Literal

import psycopg

from pgbooking import migrate
from pgbooking.connection import connected
from pgbooking.errors import EXIT_FOUND, Problem
from pgbooking.output import print_error
from pgbooking.rows import fetch
from pgbooking.server import embedded_server

# Makes tokens on Supabase and is missing elsewhere; what it may do stands in the matrix.
SUPABASE_ROLE = "supabase_auth_admin"


@dataclass(frozen=True, order=True)
class Entry:
    """One line: what `role` may do with an object (`what`: which columns, or as whom a function
    runs), or, without a role, what else decides (row-level security, policies, columns)."""

    kind: str
    object: str
    role: str
    action: str
    what: str

    def __str__(self) -> str:
        return ", ".join(part for part in astuple(self) if part)


@dataclass(frozen=True, order=True)
class Difference:
    """A line that the catalog has and the matrix has not (extra), or the other way (missing)."""

    entry: Entry
    kind: Literal["extra", "missing"]

    def __str__(self) -> str:
        return f"{self.kind}: {self.entry}"


def differences(connection: psycopg.Connection) -> list[Difference]:
    """How the rights in this database differ from those that were reviewed. Writes nothing."""
    found, wanted = set(catalog(connection)), set(reviewed())
    if not _has_supabase_role(connection):
        wanted = {entry for entry in wanted if entry.role != SUPABASE_ROLE}
    extra = [Difference(entry, "extra") for entry in found - wanted]
    return sorted(extra + [Difference(entry, "missing") for entry in wanted - found])


def catalog(connection: psycopg.Connection) -> list[Entry]:
    """The matrix of this database, in its order."""
    with connection.transaction(force_rollback=True):
        connection.execute("set local search_path to ''")
        return fetch(connection, "privileges", Entry)


def reviewed() -> list[Entry]:
    """The matrix that ships with pgbooking."""
    return [Entry(**line) for line in csv.DictReader(io.StringIO(_file().read_text()))]


def write(entries: Sequence[Entry]) -> None:
    """Write privileges.csv."""
    with _file().open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Entry))
        writer.writerows(astuple(entry) for entry in entries)


def _file() -> Path:
    return Path(str(resources.files("pgbooking"))) / "privileges.csv"


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
                write(catalog(connection))
            return 0
        with connected(url) if url else _new_database() as connection:
            found = differences(connection)
    except Problem as problem:
        print_error(problem.message, problem.hint)
        return problem.exit_code
    for difference in found:
        print(difference)
    if found:
        print_error(
            f"{len(found)} lines differ from the reviewed privileges.",
            "Review them, then: python -m pgbooking.privileges",
        )
        return EXIT_FOUND
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
