"""Migrations: yoyo's Python API on psycopg 3, its bookkeeping in schema "booking_migrations".

Each migration and its mark are one transaction here, so that a crash leaves neither half (stock
yoyo marks afterwards). Next to each mark stands the sha256 of the text that was applied.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode

import psycopg
from psycopg import conninfo

from pgbooking.connection import APPLICATION_NAME, checked_url, connected
from pgbooking.errors import EXIT_USAGE, Problem, explain
from pgbooking.rows import fetch, fetch_one, fetch_values
from pgbooking.sources import created_objects, migrations_folder

SCHEMA = "booking_migrations"

# It logs each error with its traceback; we tell what happened ourselves.
logging.getLogger("yoyo").setLevel(logging.CRITICAL)

OTHER_RUN_SECONDS = 10.0
"""How long to wait for another run to end."""

LOCK_TIMEOUT_SECONDS = 0.5
TRIES = 30
CANNOT_LOCK = (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected)

Direction = Literal["apply", "rollback"]
State = Literal["applied", "pending", "edited", "unrecorded", "unknown"]


@dataclass(frozen=True)
class Recorded:
    """A migration that yoyo has on record."""

    migration_id: str
    applied_at: datetime
    sha256: str | None


@dataclass(frozen=True)
class MigrationStatus:
    """One migration: `edited` since it was applied here, `unrecorded` though its objects exist,
    `unknown` to this version of pgbooking. `release`: the first that has it, if it is released."""

    id: str
    release: str | None
    state: State
    applied_at: datetime | None


@dataclass(frozen=True)
class Status:
    """Every migration, and in words what is wrong and the way out."""

    migrations: list[MigrationStatus]
    problems: list[str] = field(default_factory=list)

    @property
    def pending(self) -> list[str]:
        """Ids of what `migrate` would apply, in order."""
        return [each.id for each in self.migrations if each.state == "pending"]


@dataclass(frozen=True)
class _Lock:
    pid: int
    locked_at: datetime


def status(database_url: str | None, folder: Path | None = None) -> Status:
    """Compare the migrations on disk with what the database has on record. Writes nothing."""
    with connected(database_url) as connection:
        recorded = _recorded(connection)
        lock = _lock(connection)
        released_in = {
            migration_id: version
            for version, ids in reversed(releases(folder).items())
            for migration_id in ids
        }
        found: list[MigrationStatus] = []
        problems: list[str] = []
        earlier: set[str] = set()
        for migration in _migrations(folder):
            text = Path(migration.path).read_text()
            record = recorded.pop(migration.id, None)
            objects = {each.name for each in created_objects(text) if "." in each.name}
            state = _state(connection, record, text, objects - earlier, bool(problems))
            earlier |= objects
            applied_at = record.applied_at if record else None
            release = released_in.get(migration.id)
            found.append(MigrationStatus(migration.id, release, state, applied_at))
            if state == "edited":
                problems.append(
                    f"{migration.id} was edited after it was applied here. Put the released file "
                    "back, or roll back to before it and migrate again."
                )
            elif state == "unrecorded":
                problems.append(
                    f"{migration.id} seems to be applied but is not on record: a run was killed "
                    "between the two. Record it: pgbooking migrate --mark-applied "
                    f"{migration.id}"
                )
    for record in recorded.values():
        found.append(MigrationStatus(record.migration_id, None, "unknown", record.applied_at))
        problems.append(
            f"{record.migration_id} is applied here, and this version of pgbooking does not know "
            "it: the database was migrated by a newer one. Use that version."
        )
    if lock:
        problems.append(_lock_in_words(lock))
    return Status(found, problems)


def releases(folder: Path | None = None) -> dict[str, list[str]]:
    """Version → ids of the migrations that lead to it, from the first on; oldest release first."""
    checksums = Path(folder or migrations_folder()) / "CHECKSUMS"
    found: dict[str, list[str]] = {}
    ids: list[str] = []
    for line in checksums.read_text().splitlines() if checksums.is_file() else []:
        words = line.split()
        if line.startswith("# released "):
            found[words[2]] = list(ids)
        elif line[:1] != "#" and words[1] != "post-apply.sql" and ".rollback." not in words[1]:
            ids.append(words[1].removesuffix(".sql"))
    return found


def pending(
    database_url: str | None, folder: Path | None = None, *, to: str | None = None
) -> list[str]:
    """Ids of the migrations that are not applied, in the order in which they would be; `to` is
    the last of them: an id, its number, or a release."""
    with connected(database_url) as connection:
        recorded = _recorded(connection)
    known = [each.id for each in _migrations(folder)]
    if to is not None:
        known = known[: known.index(_named(to, known, folder)) + 1]
    return [each for each in known if each not in recorded]


def apply(
    database_url: str | None,
    folder: Path | None = None,
    *,
    to: str | None = None,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS,
    other_run_timeout: float = OTHER_RUN_SECONDS,
) -> Generator[str, None, None]:
    """Apply what is pending (up to `to`: an id, its number, or a release), and yield each id when
    it is done; then tell PostgREST.

    A migration waits at most `lock_timeout` seconds for a table, because whoever comes meanwhile
    waits behind it, and is tried again a few times after a pause.

    Raises Problem where another run is at work for longer than `other_run_timeout` seconds, and
    where a migration fails: of that one nothing is kept.
    """
    with _locked(database_url, other_run_timeout) as backend:
        ids = pending(database_url, folder, to=to)
        migrations = backend.to_apply(_migrations(folder).filter(lambda each: each.id in ids))
        yield from _run(backend, migrations, "apply", lock_timeout)


def rollback_order(
    database_url: str | None,
    folder: Path | None = None,
    *,
    last: int | None = None,
    to: str | None = None,
) -> list[str]:
    """Ids of the applied migrations to take back, newest first: the `last` so many, or those after
    `to` (an id, its number, or a release), or all of them."""
    with connected(database_url) as connection:
        recorded = _recorded(connection)
    known = [each.id for each in _migrations(folder)]
    strangers = [each for each in recorded if each not in known]
    if strangers:
        raise Problem(
            f"{strangers[0]} is applied here, and this version of pgbooking does not know it.",
            "Roll back with the version that applied it.",
        )
    applied = [each for each in reversed(known) if each in recorded]
    if to is None:
        return applied[:last]
    return applied[: applied.index(_named(to, applied, folder))]


def rollback(
    database_url: str | None,
    ids: list[str],
    folder: Path | None = None,
    *,
    lock_timeout: float = LOCK_TIMEOUT_SECONDS,
    other_run_timeout: float = OTHER_RUN_SECONDS,
) -> Generator[str, None, None]:
    """Roll these migrations back, as `apply` applies them, and yield each id when it is done; then
    tell PostgREST."""
    with _locked(database_url, other_run_timeout) as backend:
        migrations = backend.to_rollback(_migrations(folder).filter(lambda each: each.id in ids))
        yield from _run(backend, migrations, "rollback", lock_timeout)


def texts(ids: list[str], direction: Direction, folder: Path | None = None) -> str:
    """The SQL that would run, whole files in this order, each in its transaction if it has one."""
    suffix = ".sql" if direction == "apply" else ".rollback.sql"
    written = []
    for migration_id in ids:
        file = Path(folder or migrations_folder()) / f"{migration_id}{suffix}"
        text = file.read_text().strip()
        if "-- transactional: false" not in text:
            text = f"begin;\n\n{text}\n\ncommit;"
        written.append(f"-- {file.name}\n{text}\n")
    return "\n".join(written)


def mark_applied(database_url: str | None, migration_id: str, folder: Path | None = None) -> None:
    """Put a migration on record without running it."""
    with _locked(database_url, OTHER_RUN_SECONDS) as backend:
        matches = [each for each in _migrations(folder) if each.id == migration_id]
        if not matches:
            raise Problem(f"There is no migration {migration_id}.", "pgbooking status", EXIT_USAGE)
        with backend.transaction():
            _record(backend, matches[0], "mark")


def break_lock(database_url: str | None) -> None:
    """Remove the lock that a killed run has left."""
    with _backend(database_url) as backend:
        backend.break_lock()


def yoyo_url(database_url: str) -> str:
    """The same database for yoyo: psycopg 3, and the schema of its bookkeeping.

    Everything travels as a query argument, which reaches psycopg as it is: unix sockets, several
    hosts and addresses without a host included.
    """
    parameters = dict(conninfo.conninfo_to_dict(database_url))
    parameters |= {"application_name": APPLICATION_NAME, "schema": SCHEMA}
    return f"postgresql+psycopg:///?{urlencode(parameters)}"


def print_status(report: Status) -> None:
    """The report for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table("migration", "release", "state", "applied at", box=None)
    for each in report.migrations:
        applied_at = f"{each.applied_at:%Y-%m-%d %H:%M} UTC" if each.applied_at else ""
        table.add_row(each.id, each.release, each.state, applied_at)
    console = Console()
    console.print(table)
    for problem in report.problems:
        console.print(f"! {problem}", markup=False, soft_wrap=True)


def _named(name: str, ids: list[str], folder: Path | None) -> str:
    """Which of the ids is meant: by itself, by its number, or as the last one of a release."""
    for each in ids:
        if name in (each, each.split(".")[0]):
            return each
    of_release = releases(folder).get(name, [])
    if of_release and of_release[-1] in ids:
        return of_release[-1]
    known = ", ".join(releases(folder)) or "none yet"
    raise Problem(
        f"{name} is no migration that could be meant here, nor a release ({known}).",
        "pgbooking status",
        EXIT_USAGE,
    )


def _run(
    backend: Any, migrations: Any, direction: Direction, lock_timeout: float
) -> Generator[str, None, None]:
    try:
        for migration in migrations:
            _run_one(backend, migration, direction, lock_timeout)
            yield migration.id
    finally:
        # migrations/post-apply.sql; stock yoyo runs it itself, though never on a rollback. Where
        # nothing was pending, too: an earlier run may have been killed before it came to this.
        for hook in migrations.post_apply:
            with backend.copy() as session:
                hook.process_steps(session, "apply")


def _run_one(backend: Any, migration: Any, direction: Direction, lock_timeout: float) -> None:
    """One migration and its mark; in one transaction, unless it declines one."""
    migration.load()
    verb = "applied" if direction == "apply" else "rolled back"
    for tried in range(1, TRIES + 1):
        try:
            _try_one(backend, migration, direction, lock_timeout)
        except CANNOT_LOCK as error:
            if not migration.use_transactions:
                raise _not_built(migration.id, verb, error) from error
            if tried == TRIES:
                raise Problem(
                    f"{migration.id} could not be {verb}: in {TRIES} tries of {lock_timeout:g} "
                    "seconds somebody else kept a table locked.",
                    "Nothing of it was kept; what was done before it stays. Look for a long "
                    "transaction in pg_stat_activity (xact_start), and run the command again.",
                ) from error
            # Whoever has queued up behind the lock that was not to be had goes first.
            time.sleep(lock_timeout)
        except psycopg.Error as error:
            if isinstance(error, psycopg.errors.QueryCanceled) and not migration.use_transactions:
                raise _not_built(migration.id, verb, error) from error
            explanation = explain(error)
            raise Problem(
                f"{migration.id} could not be {verb}: {explanation.message}",
                explanation.hint,
                explanation.exit_code,
            ) from error
        else:
            return


def _not_built(migration_id: str, verb: str, error: psycopg.Error) -> Problem:
    return Problem(
        f"{migration_id} could not be {verb}: {error.diag.message_primary or error}.",
        "It waits for older transactions, and holds nobody up meanwhile. Run the command again, "
        "without time limits of the role: PGOPTIONS='-c lock_timeout=0 -c statement_timeout=0'",
    )


def _try_one(backend: Any, migration: Any, direction: Direction, lock_timeout: float) -> None:
    with backend.copy() as session, contextlib.redirect_stdout(sys.stderr):
        if migration.use_transactions:
            with session.transaction():
                session.execute(f"set local lock_timeout = {round(lock_timeout * 1000)}")
                migration.process_steps(session, direction)
                _record(session, migration, direction)
        else:
            # These wait for old transactions, and hold nobody up meanwhile.
            migration.process_steps(session, direction)
            with session.transaction():
                _record(session, migration, direction)


def _record(session: Any, migration: Any, operation: str) -> None:
    # The migration may have changed both; the bookkeeping belongs to whoever migrates.
    session.execute("reset role")
    session.find_bookkeeping()
    entry = session.get_log_data(migration, operation)
    session.execute(session.format_sql(session.log_migration_sql), entry)
    if operation == "rollback":
        session.unmark_one(migration, log=False)
        return
    session.execute(
        f"update {session.log_table_quoted} set comment = :comment where id = :id",  # noqa: S608
        {"comment": f"sha256 {_sha256(Path(migration.path).read_text())}", "id": entry["id"]},
    )
    session.mark_one(migration, log=False)


@contextlib.contextmanager
def _locked(database_url: str | None, other_run_timeout: float) -> Iterator[Any]:
    from yoyo.exceptions import LockTimeout

    with _backend(database_url) as backend:
        try:
            with backend.lock(timeout=other_run_timeout):
                yield backend
        except LockTimeout:
            with connected(database_url) as connection:
                lock = _lock(connection)
            raise Problem(
                _lock_in_words(lock) if lock else "Another migration was running.",
                None if lock else "It has finished by now. Run the command again.",
            ) from None


@contextlib.contextmanager
def _backend(database_url: str | None) -> Iterator[Any]:
    from yoyo import default_migration_table
    from yoyo.connections import parse_uri

    from pgbooking.yoyo_backend import Backend

    with connected(database_url) as connection:
        if not _exists(connection, SCHEMA):
            connection.execute(f"create schema if not exists {SCHEMA}")
    uri = parse_uri(yoyo_url(checked_url(database_url)))
    with Backend(uri, default_migration_table) as backend:
        backend.init_database()
        yield backend


def _migrations(folder: Path | None) -> Any:
    """Every migration by number, which is also the order in which they depend on each other."""
    from yoyo import read_migrations

    return read_migrations(str(folder or migrations_folder()))


def _recorded(connection: psycopg.Connection) -> dict[str, Recorded]:
    if not _exists(connection, f"{SCHEMA}._yoyo_migration"):
        return {}
    return {row.migration_id: row for row in fetch(connection, "migrations_recorded", Recorded)}


def _lock(connection: psycopg.Connection) -> _Lock | None:
    if not _exists(connection, f"{SCHEMA}.yoyo_lock"):
        return None
    return fetch_one(connection, "migrations_lock", _Lock)


def _lock_in_words(lock: _Lock) -> str:
    return (
        f"Process {lock.pid} has been migrating this database since "
        f"{lock.locked_at:%Y-%m-%d %H:%M:%S} UTC. If it is not running any more, remove its lock: "
        "pgbooking migrate --break-lock"
    )


def _state(
    connection: psycopg.Connection,
    record: Recorded | None,
    text: str,
    objects: set[str],
    after_a_problem: bool,
) -> State:
    if record:
        return "edited" if record.sha256 not in {None, _sha256(text)} else "applied"
    if objects and not after_a_problem and _existing(connection, objects) == objects:
        return "unrecorded"
    return "pending"


def _exists(connection: psycopg.Connection, name: str) -> bool:
    return bool(_existing(connection, {name}))


def _existing(connection: psycopg.Connection, names: set[str]) -> set[str]:
    return set(fetch_values(connection, "migrations_objects", names=sorted(names)))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
