"""`make engine`: the newest migration, written from sql/.

sql/ is code: re-runnable files, one object each. This writes them, one after the other, into one
migration, and its rollback from what each file creates; so that stock yoyo applies the engine, and
a DBA reads exactly what will run. It also writes migrations/CHECKSUMS.

    python -m pgbooking.engine            write
    python -m pgbooking.engine --check    exit 1 where the files on disk differ
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import sqlparse

from pgbooking.errors import EXIT_FOUND, EXIT_USAGE, Problem
from pgbooking.output import print_error
from pgbooking.sources import created_objects, migrations_folder, sql_files, sql_folder

CHECKSUMS = "CHECKSUMS"
RELEASED = "# released"
CHECKSUMS_HEADER = (
    f'# sha256 of each migration. A file above a line "{RELEASED} …" is never edited again.'
)

HEADER = """\
-- The engine: everything in sql/, in its order. Written by `make engine`; edit sql/ instead.
-- depends: {previous}

set local role booking_owner;

set local check_function_bodies = off;
"""

ROLLBACK_HEADER = """\
-- Takes the engine away again, last object first. Written by `make engine`.

set local role booking_owner;
"""

# Everything else is state, and state belongs into a migration written by hand.
CODE = {"function", "procedure", "view", "trigger", "policy"}


def engine_files(migrations: Path, sql: Path) -> dict[Path, str]:
    """The engine migration, its rollback and CHECKSUMS: path → text.

    The migration takes the number after the newest migration written by hand.
    """
    released = released_files(migrations)
    previous = _newest_migration(migrations, released)
    number = int(previous[:4]) + 1
    path = migrations / f"{number:04d}.engine.sql"
    written = {
        path: engine_migration(sql, previous),
        path.with_suffix(".rollback.sql"): engine_rollback(sql),
    }
    return written | {migrations / CHECKSUMS: checksums(migrations, written)}


def engine_migration(sql: Path, previous: str) -> str:
    """The files of sql/ behind one header."""
    parts = [HEADER.format(previous=previous)]
    for file in sql_files(sql):
        parts.append(f"-- sql/{file.relative_to(sql).as_posix()}\n\n{file.read_text().strip()}\n")
    return "\n".join(parts)


def engine_rollback(sql: Path) -> str:
    """The revokes of 90_grants.sql, then a drop for each object, last one first."""
    revokes = []
    drops = []
    for file in sql_files(sql):
        text = file.read_text()
        if file.name == "90_grants.sql":
            revokes = _statements(text, "revoke")
        for created in created_objects(text):
            if created.kind not in CODE:
                raise Problem(
                    f"{file.relative_to(sql)} creates a {created.kind} ({created.name}).",
                    "sql/ is code only: functions, procedures, views, triggers, policies.",
                )
            drops.append(created.drop)
    return "\n".join([ROLLBACK_HEADER, *(f"{line}\n" for line in [*revokes, *reversed(drops)])])


def checksums(migrations: Path, written: dict[Path, str] | None = None) -> str:
    """CHECKSUMS anew: what was released is kept as it stands, the rest is calculated."""
    frozen = _released_lines(migrations)
    texts = {path: path.read_bytes() for path in _migration_files(migrations)}
    texts |= {path: text.encode() for path, text in (written or {}).items()}
    released = released_files(migrations)
    lines = frozen or [CHECKSUMS_HEADER]
    for path in sorted(texts, key=lambda path: path.name):
        if path.name not in released:
            lines.append(f"{hashlib.sha256(texts[path]).hexdigest()}  {path.name}")
    return "\n".join(lines) + "\n"


def released_files(migrations: Path) -> dict[str, str]:
    """The files that CHECKSUMS calls released, with their sha256."""
    entries = [line.split("  ", 1) for line in _released_lines(migrations) if line[:1] != "#"]
    return {name: digest for digest, name in entries}


def edited_releases(migrations: Path) -> list[str]:
    """Released files that are no longer what was released. There must be none."""
    return [
        name
        for name, digest in released_files(migrations).items()
        if not (migrations / name).is_file()
        or hashlib.sha256((migrations / name).read_bytes()).hexdigest() != digest
    ]


def write(migrations: Path, sql: Path) -> None:
    """Write the engine; an unreleased engine under another number goes away."""
    for stale in _unreleased_engine(migrations, released_files(migrations)):
        stale.unlink()
    for path, text in engine_files(migrations, sql).items():
        path.write_text(text)


def differences(migrations: Path, sql: Path) -> list[str]:
    """Names of the files that `write` would change, and of released ones that were edited."""
    wanted = engine_files(migrations, sql)
    differing = {
        path.name for path, text in wanted.items() if not path.is_file() or path.read_text() != text
    }
    stale = set(_unreleased_engine(migrations, released_files(migrations))) - set(wanted)
    return sorted(differing | {path.name for path in stale} | set(edited_releases(migrations)))


def _newest_migration(migrations: Path, released: dict[str, str]) -> str:
    unreleased_engine = {path.name for path in _unreleased_engine(migrations, released)}
    files = {path.name for path in _migration_files(migrations)} | set(released)
    names = [
        name.removesuffix(".sql")
        for name in files - unreleased_engine
        if re.match(r"\d{4}\.", name) and not name.endswith(".rollback.sql")
    ]
    if not names:
        raise Problem(f"There is no migration in {migrations}.", exit_code=EXIT_USAGE)
    return max(names)


def _unreleased_engine(migrations: Path, released: dict[str, str]) -> list[Path]:
    return [
        path
        for path in _migration_files(migrations)
        if re.fullmatch(r"\d{4}\.engine(\.rollback)?\.sql", path.name) and path.name not in released
    ]


def _migration_files(migrations: Path) -> list[Path]:
    return sorted(migrations.glob("*.sql"))


def _released_lines(migrations: Path) -> list[str]:
    """CHECKSUMS up to and with its last release marker."""
    path = migrations / CHECKSUMS
    lines = path.read_text().splitlines() if path.is_file() else []
    markers = [number for number, line in enumerate(lines) if line.startswith(RELEASED)]
    return lines[: markers[-1] + 1] if markers else []


def _statements(text: str, verb: str) -> list[str]:
    bare = (sqlparse.format(part, strip_comments=True).strip() for part in sqlparse.split(text))
    return [statement for statement in bare if statement.lower().startswith(f"{verb} ")]


def main(arguments: Sequence[str]) -> int:
    """Exit code 1: `--check` found a difference."""
    migrations, sql = migrations_folder(), sql_folder()
    try:
        if "--check" not in arguments:
            write(migrations, sql)
            return 0
        differing = differences(migrations, sql)
    except Problem as problem:
        print_error(problem.message, problem.hint)
        return problem.exit_code
    if differing:
        print_error(f"out of date: {', '.join(differing)}", "make engine")
        return EXIT_FOUND
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
