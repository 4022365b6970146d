"""Adoption: pgbooking follows a live system's tables, takes over from it, and can give back.

    --map FILE --apply    triggers on the old tables, then a first copy: the old system leads
    --switch              pgbooking leads, calendar by calendar, and the old tables follow
    --back                the old system leads again
    --finish              the mirror goes, what is there stays

Everything lives in the schema booking_adoption, whose SQL stands in adoption/*.sql (the same for
everyone) and is written by adopt_sql from the map. Each step can be run again, and goes on where it
was stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from pgbooking import adopt_sql
from pgbooking.adopt_map import FIELDS, OF_PEOPLE, WRITTEN, AdoptionMap, Section
from pgbooking.adopt_sql import OldTable
from pgbooking.errors import EXIT_USAGE, Problem, explain
from pgbooking.rows import execute, fetch, fetch_one, fetch_value

if TYPE_CHECKING:
    from rich.progress import Progress

TABLES = "10_tables.sql"
TRIES = 30

# SQLSTATEs of a text that cannot be the name of a table here.
NO_NAME = {"42601", "42602", "0A000"}
CALENDAR_WAIT_SECONDS = 5.0

# Services before people, and who offers what last: until then there is nothing to publish.
COPIED_IN_ORDER = ["tenants", "locations", "services", "staff", "hours"]


@dataclass(frozen=True)
class TenantState:
    """One tenant that follows the old system. What is ahead has not ended yet."""

    id: UUID
    name: str
    timezone: str
    external_id: str
    is_switched: bool
    copied_at: datetime | None
    calendars: int
    calendars_copied: int
    calendars_switched: int
    busy_times_ahead: int
    appointments_ahead: int


@dataclass(frozen=True)
class Waiting:
    """A row that is not in step: it waits, or (is_failing) cannot be."""

    section: str
    tenant: str | None
    external_id: str | None
    row_id: UUID | None
    queued_at: datetime
    attempts: int
    last_error: str | None
    is_failing: bool


@dataclass(frozen=True)
class NotBooked:
    """An appointment of the old system that is a busy time though pgbooking leads, and why.

    `period` and times in `reason` are the tenant's local time.
    """

    staff: str
    external_id: str
    start_time: datetime
    end_time: datetime
    period: str
    reason: str


@dataclass
class AdoptionReport:
    """Where the adoption stands, and what the step that was run has done."""

    step: str
    dry_run: bool = False
    interrupted: bool = False
    calendars: int = 0
    changed: int = 0
    failed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_booked: list[NotBooked] = field(default_factory=list)
    tenants: list[TenantState] = field(default_factory=list)
    waiting: int = 0
    failing: list[Waiting] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left for people to look at."""
        return not (self.interrupted or self.failed or self.not_booked or self.failing)


@dataclass(frozen=True)
class _Installed:
    is_installed: bool
    is_ours: bool
    has_pgbooking: bool


@dataclass(frozen=True)
class _Relation:
    relation: str
    is_table: bool
    is_ours: bool
    hides_rows: bool
    has_parts: bool
    other_owner: str | None
    primary_key: list[str]


@dataclass(frozen=True)
class _Key:
    tenant: str | None
    external_id: str


@dataclass(frozen=True)
class _Calendar:
    tenant_id: UUID
    staff_id: UUID
    display_name: str
    is_switched: bool


@dataclass(frozen=True)
class _NotBooked:
    external_id: str
    start_time: datetime
    end_time: datetime
    period: str
    reason: str


@dataclass(frozen=True)
class _Trigger:
    name: str
    relation: str
    statement: str


def sql(connection: psycopg.Connection, adoption: AdoptionMap) -> str:
    """Everything that `apply` runs before it copies, for people to read."""
    tables = read_tables(connection, adoption)
    texts = ["begin;", *_installation(connection, adoption, tables), "commit;"]
    for table in tables:
        texts += adopt_sql.triggers(table).values()
    return "\n\n".join(texts)


def apply(
    connection: psycopg.Connection, adoption: AdoptionMap, bar: Progress, lock_timeout: float
) -> AdoptionReport:
    """Install the mirror, or bring it up to the map, and copy what is there.

    A trigger waits at most `lock_timeout` seconds for its table and is tried again after a pause.
    Raises Problem (exit code 2) where the map names what is not there, before anything is written.
    """
    _check_installed(connection, must_be=False)
    tables = read_tables(connection, adoption)
    with _waiting(connection, CALENDAR_WAIT_SECONDS):
        for text in _installation(connection, adoption, tables):
            connection.execute(text.encode())
        execute(connection, "adopt_job")
        if adoption.tenant:
            _copy_only_tenant(connection, adoption)
    wanted = _follow_triggers(tables)
    for trigger in _triggers(connection):
        if trigger.name.startswith(adopt_sql.TRIGGER) and trigger.name not in wanted:
            _run_shortly(connection, trigger.statement, lock_timeout)
    _make_triggers(connection, wanted, lock_timeout)

    report = AdoptionReport("apply")
    report.notes = [
        f"{each.relation} has parts: what is written to one of them directly is not followed "
        "until --apply runs again."
        for each in tables
        if each.has_parts
    ]
    try:
        _copy(connection, adoption, bar, report)
    except KeyboardInterrupt:
        report.interrupted = True
    return _with_state(connection, report, None)


def status(connection: psycopg.Connection, tenant: str | None) -> AdoptionReport:
    """Where the adoption stands. Changes nothing."""
    _check_installed(connection)
    report = AdoptionReport("status")
    report.failed = _missing_triggers(connection)
    _find_not_booked(connection, report, _tenants(connection, tenant))
    return _with_state(connection, report, tenant)


def switch(
    connection: psycopg.Connection,
    tenant: str | None,
    bar: Progress,
    lock_timeout: float,
    *,
    dry_run: bool,
) -> AdoptionReport:
    """From now on pgbooking leads, a calendar a transaction, and the old tables follow."""
    _check_installed(connection)
    tables = read_tables(connection, _installed_map(connection))
    report = AdoptionReport("switch", dry_run)
    for table in tables:
        reason = adopt_sql.unwritable(table)
        if table.name == "appointments" and reason:
            raise Problem(
                f"pgbooking cannot write appointments into {table.relation}: {reason}.",
                "Correct the map, and run pgbooking adopt --map … --apply.",
                EXIT_USAGE,
            )
        if table.name in WRITTEN and reason:
            report.notes.append(f"{table.relation} will not follow: {reason}.")
    if not dry_run:
        _follow_queue(connection, bar)
    missing = _missing_triggers(connection)
    if missing:
        raise Problem(missing[0], "pgbooking adopt --map … --apply", EXIT_USAGE)
    chosen = _tenants(connection, tenant)
    for each in chosen:
        if each.copied_at is None or each.calendars_copied < each.calendars:
            raise Problem(
                f"{each.name} is not copied yet.", "pgbooking adopt --map … --apply", EXIT_USAGE
            )
    if not dry_run:
        _make_triggers(connection, adopt_sql.write_triggers(tables), lock_timeout)
    _each_calendar(connection, chosen, "adopt_switch_calendar", True, bar, report)
    if not dry_run:
        _find_not_booked(connection, report, chosen)
    return _with_state(connection, report, tenant)


def back(
    connection: psycopg.Connection, tenant: str | None, bar: Progress, *, dry_run: bool
) -> AdoptionReport:
    """From now on the old system leads again, a calendar a transaction."""
    _check_installed(connection)
    report = AdoptionReport("back", dry_run)
    if not dry_run:
        _follow_queue(connection, bar)
    missing = [each for each in _queue(connection) if each.row_id is not None]
    if missing:
        raise Problem(
            f"{len(missing):,} rows of pgbooking are not in the old tables yet, the first because: "
            f"{missing[0].last_error}",
            "pgbooking adopt lists them. Put right what they say, and run this again.",
        )
    chosen = _tenants(connection, tenant)
    _each_calendar(connection, chosen, "adopt_back_calendar", False, bar, report)
    return _with_state(connection, report, tenant)


def finish(
    connection: psycopg.Connection, bar: Progress, lock_timeout: float, *, dry_run: bool
) -> AdoptionReport:
    """Remove the mirror: nothing follows anything any more. What is in either system stays."""
    _check_installed(connection)
    report = AdoptionReport("finish", dry_run)
    triggers = _triggers(connection)
    if dry_run:
        report.notes = [f"{each.statement};" for each in triggers]
        return _with_state(connection, report, None)
    _follow_queue(connection, bar)
    _refuse_to_leave(connection)
    for trigger in triggers:
        _run_shortly(connection, trigger.statement, lock_timeout)
    # What has come meanwhile.
    _follow_queue(connection, bar)
    _refuse_to_leave(connection)
    with connection.transaction():
        execute(connection, "adopt_forget_job")
        execute(connection, "adopt_drop")
    return report


def _refuse_to_leave(connection: psycopg.Connection) -> None:
    left = _queue(connection)
    if left:
        raise Problem(
            f"{len(left):,} rows are not in step, the first because: {left[0].last_error}",
            "pgbooking adopt lists them. Put right what they say, and run this again.",
        )


def read_tables(connection: psycopg.Connection, adoption: AdoptionMap) -> list[OldTable]:
    """The map's tables as the database has them.

    Raises Problem (exit code 2) that names the section, the field and what is wrong with it.
    """
    with connection.transaction():
        # As in the functions that are written: names must be qualified.
        connection.execute("set local search_path = ''")
        return [_read_table(connection, section) for section in adoption.sections.values()]


def _read_table(connection: psycopg.Connection, section: Section) -> OldTable:
    found = None
    try:
        with connection.transaction():
            found = fetch_one(connection, "adopt_old_table", _Relation, name=section.table)
    except psycopg.Error as error:
        if error.sqlstate not in NO_NAME:
            raise
    if found is None or not found.is_table:
        raise _not_in_map(section, f"there is no table {section.table!r}", 'Like "public.staff".')
    if not found.is_ours:
        raise _not_in_map(section, f"{found.relation} belongs to another role", "Log in as it.")
    if found.hides_rows:
        raise _not_in_map(
            section,
            f"{found.relation} hides rows from its owner (force row level security)",
            "Log in as a role with BYPASSRLS.",
        )
    key = adopt_sql.key_expression(section, found.primary_key)
    if key is None:
        raise _not_in_map(
            section,
            f"{found.relation} has no primary key of one column",
            f"Say in [{section.name}.columns] or [{section.name}.sql] what external_id is.",
        )
    read = {"external_id": key}
    for name in sorted(FIELDS[section.name] - {"external_id"}):
        value = adopt_sql.raw(section, name)
        if value is not None:
            read[name] = value
    types = {
        name: _type_of(connection, section, found.relation, name, value)
        for name, value in read.items()
    }
    for name in {"start", "end"} & set(types) if section.name in OF_PEOPLE else ():
        if types[name] not in {adopt_sql.LOCAL, adopt_sql.INSTANT}:
            raise _not_in_map(
                section,
                f"{name} is {types[name]}, and a timestamp was expected",
                f"In [{section.name}.sql], make it one.",
            )
    zone = section.time_zone
    if zone and not fetch_value(connection, "import_is_time_zone", time_zone=zone):
        raise _not_in_map(
            section,
            f"time_zone {zone!r} is not a name of the IANA time zone database",
            "For example: America/Winnipeg",
        )
    if section.where:
        _type_of(connection, section, found.relation, "where", section.where)
    for column in section.new:
        _type_of(
            connection,
            section,
            found.relation,
            f"new.{column}",
            f"r.{adopt_sql.identifier(column)}",
        )
    return OldTable(section, found.relation, key, types, found.other_owner, found.has_parts)


def _type_of(
    connection: psycopg.Connection, section: Section, relation: str, name: str, value: str
) -> str:
    """The type of SQL over a row of the table; it must be SQL, too."""
    try:
        with connection.transaction():
            row = connection.execute(adopt_sql.type_query(relation, value).encode()).fetchone()
    except psycopg.Error as error:
        if connection.broken:
            raise
        said = error.diag.message_primary or str(error)
        raise _not_in_map(section, f"{name}: {said}", error.diag.message_hint) from None
    found = str(row and row[0])
    return adopt_sql.WITHOUT_LENGTH.get(found, found)


def _not_in_map(section: Section, what: str, hint: str | None) -> Problem:
    return Problem(f"The map's [{section.name}]: {what}.", hint, EXIT_USAGE)


def _installation(
    connection: psycopg.Connection, adoption: AdoptionMap, tables: list[OldTable]
) -> list[str]:
    """The SQL files, but not once more the tables, which the old system may be writing to; then
    what is written from the map."""
    (found,) = fetch(connection, "adopt_installed", _Installed)
    folder = resources.files("pgbooking").joinpath("adoption")
    files = sorted(
        (
            each
            for each in folder.iterdir()
            if each.name.endswith(".sql") and not (found.is_installed and each.name == TABLES)
        ),
        key=lambda each: each.name,
    )
    return [
        # They call each other.
        "set local check_function_bodies = off;",
        *(each.read_text("utf-8") for each in files),
        *adopt_sql.statements(adoption, tables),
    ]


def _check_installed(connection: psycopg.Connection, *, must_be: bool = True) -> None:
    (found,) = fetch(connection, "adopt_installed", _Installed)
    if not found.has_pgbooking:
        raise Problem("pgbooking is not installed in this database.", "pgbooking migrate")
    if must_be and not found.is_installed:
        raise Problem(
            "Nothing is being adopted in this database.",
            "pgbooking adopt --map FILE --apply",
            EXIT_USAGE,
        )
    if not found.is_ours:
        raise Problem(
            "Another role has begun this adoption.", "Log in as the one that did.", EXIT_USAGE
        )


def _installed_map(connection: psycopg.Connection) -> AdoptionMap:
    content = fetch_value(connection, "adopt_map")
    return AdoptionMap(
        content["tenant"],
        {
            name: Section(**content["sections"][name])
            for name in FIELDS
            if name in content["sections"]
        },
    )


def _follow_triggers(tables: list[OldTable]) -> dict[str, tuple[str, str]]:
    return {
        name: (table.relation, statement)
        for table in tables
        for name, statement in adopt_sql.triggers(table).items()
    }


def _triggers(connection: psycopg.Connection) -> list[_Trigger]:
    return fetch(connection, "adopt_triggers", _Trigger)


def _make_triggers(
    connection: psycopg.Connection, wanted: dict[str, tuple[str, str]], lock_timeout: float
) -> None:
    """Make those that are missing; another session may be doing the same."""
    there = {each.name for each in _triggers(connection)}
    for name, (_, statement) in wanted.items():
        if name not in there:
            with suppress(psycopg.errors.DuplicateObject):
                _run_shortly(connection, statement, lock_timeout)


def _missing_triggers(connection: psycopg.Connection) -> list[str]:
    """What is not followed because its trigger is gone: somebody has made the table anew, or a
    --finish was stopped."""
    there = {each.name for each in _triggers(connection)}
    sections = _installed_map(connection).sections
    return [
        f"{section.table} is not followed: a trigger is missing."
        for section in sections.values()
        if not {f"{adopt_sql.TRIGGER}_{section.name}_{event}" for event in adopt_sql.EVENTS}
        <= there
    ]


def _run_shortly(connection: psycopg.Connection, statement: str, lock_timeout: float) -> None:
    """Run a statement that locks a table. Whoever comes while it waits waits behind it, so it gives
    up soon, and is tried again after a pause."""
    for tried in range(1, TRIES + 1):
        try:
            with _waiting(connection, lock_timeout):
                connection.execute(statement.encode())
            return
        except psycopg.errors.LockNotAvailable:
            if tried == TRIES:
                raise Problem(
                    f"In {TRIES} tries of {lock_timeout:g} s the table was never free for: "
                    f"{statement.splitlines()[0]}",
                    "Choose a quieter moment, or a longer --lock-timeout. What was done stays.",
                ) from None
            time.sleep(lock_timeout)


@contextmanager
def _waiting(connection: psycopg.Connection, seconds: float) -> Iterator[None]:
    """A transaction that waits no longer for any lock."""
    with connection.transaction():
        fetch_value(connection, "adopt_lock_timeout", milliseconds=str(round(seconds * 1000)))
        yield


def _copy_only_tenant(connection: psycopg.Connection, adoption: AdoptionMap) -> None:
    """In the transaction that installs: one that cannot be made leaves nothing behind."""
    content = {"is_active": "true", **adoption.tenant}
    try:
        fetch_value(connection, "adopt_only_tenant", content=Jsonb(content))
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in {"22", "23"}:
            raise
        said = explain(error)
        raise Problem(
            f"The map's [tenant]: {said.message.removesuffix('.')}.", said.hint, EXIT_USAGE
        ) from None


def _copy(
    connection: psycopg.Connection, adoption: AdoptionMap, bar: Progress, report: AdoptionReport
) -> None:
    for section in COPIED_IN_ORDER:
        if section in adoption.sections:
            keys = fetch(connection, "adopt_keys", _Key, section=section)
            task = bar.add_task(section, total=len(keys))
            for key in keys:
                fetch_value(connection, "adopt_copy_row", section=section, **vars(key))
                bar.advance(task)
    tenants = _tenants(connection, None)
    calendars = _calendars(connection, tenants)
    task = bar.add_task("calendars", total=len(calendars))
    for calendar in calendars:
        which = {"tenant_id": calendar.tenant_id, "staff_id": calendar.staff_id}
        try:
            with _waiting(connection, CALENDAR_WAIT_SECONDS):
                report.changed += fetch_value(connection, "adopt_copy_calendar", **which)
                fetch_value(connection, "adopt_copy_offers", **which)
            report.calendars += 1
        except psycopg.Error as error:
            if connection.broken:
                raise
            report.failed.append(f"{calendar.display_name}: {explain(error).message}")
        bar.advance(task)
    execute(connection, "adopt_copied", tenant_ids=[each.id for each in tenants])
    _follow_queue(connection, bar)


def _each_calendar(
    connection: psycopg.Connection,
    tenants: list[TenantState],
    query: str,
    is_switched: bool,
    bar: Progress,
    report: AdoptionReport,
) -> None:
    """Run a step on every calendar, each in a transaction, which a dry run takes back."""
    try:
        if not report.dry_run:
            execute(
                connection,
                "adopt_lead",
                tenant_ids=[each.id for each in tenants],
                is_switched=is_switched,
            )
        calendars = _calendars(connection, tenants)
        task = bar.add_task("calendars", total=len(calendars))
        for calendar in calendars:
            which = {"tenant_id": calendar.tenant_id, "staff_id": calendar.staff_id}
            try:
                with _waiting(connection, CALENDAR_WAIT_SECONDS):
                    report.changed += fetch_value(connection, query, **which)
                    if report.dry_run:
                        _add_not_booked(connection, report, calendar, is_switched)
                        raise psycopg.Rollback
                report.calendars += 1
            except psycopg.Error as error:
                if connection.broken:
                    raise
                report.failed.append(f"{calendar.display_name}: {explain(error).message}")
            bar.advance(task)
        if not report.dry_run:
            _follow_queue(connection, bar)
    except KeyboardInterrupt:
        report.interrupted = True


def _add_not_booked(
    connection: psycopg.Connection, report: AdoptionReport, calendar: _Calendar, is_switched: bool
) -> None:
    if is_switched:
        report.not_booked += [
            NotBooked(calendar.display_name, **vars(each))
            for each in fetch(
                connection,
                "adopt_not_booked",
                _NotBooked,
                tenant_id=calendar.tenant_id,
                staff_id=calendar.staff_id,
            )
        ]


def _find_not_booked(
    connection: psycopg.Connection, report: AdoptionReport, tenants: list[TenantState]
) -> None:
    for calendar in _calendars(connection, tenants):
        _add_not_booked(connection, report, calendar, calendar.is_switched)


def _follow_queue(connection: psycopg.Connection, bar: Progress) -> None:
    """Work off what waits now, and try what has failed once more."""
    execute(connection, "adopt_queue_due")
    waiting = len(_queue(connection))
    task = bar.add_task("queue", total=waiting)
    # No more than that, or busy writers would keep it here for ever.
    for _ in range(waiting):
        if not fetch_value(connection, "adopt_follow_queued"):
            break
        bar.advance(task)


def _queue(connection: psycopg.Connection) -> list[Waiting]:
    return fetch(connection, "adopt_queue", Waiting)


def _tenants(connection: psycopg.Connection, tenant: str | None) -> list[TenantState]:
    found = fetch(connection, "adopt_tenants", TenantState, tenant=tenant)
    if tenant is not None and not found:
        raise Problem(
            f"There is no tenant {tenant!r} that is being adopted.",
            "--tenant takes an id or a slug. pgbooking adopt lists them.",
            EXIT_USAGE,
        )
    return found


def _calendars(connection: psycopg.Connection, tenants: list[TenantState]) -> list[_Calendar]:
    return fetch(connection, "adopt_calendars", _Calendar, tenant_ids=[each.id for each in tenants])


def _with_state(
    connection: psycopg.Connection, report: AdoptionReport, tenant: str | None
) -> AdoptionReport:
    # Ctrl-C can leave a statement running, and then nothing more can be asked here.
    if connection.info.transaction_status is psycopg.pq.TransactionStatus.ACTIVE:
        connection.close()
        return report
    report.tenants = _tenants(connection, tenant)
    for each in _queue(connection):
        if each.is_failing:
            report.failing.append(each)
        else:
            report.waiting += 1
    return report


DONE = {
    "apply": "{calendars:,} calendars copied; {changed:,} busy times written.",
    "switch": "pgbooking leads {calendars:,} calendars; {changed:,} appointments booked.",
    "back": "The old system leads {calendars:,} calendars again; {changed:,} appointments are busy "
    "times.",
    "finish": "The mirror is gone. Both systems keep what they have. Where pg_cron runs the jobs: "
    "pgbooking jobs install",
}
SHOWN = 20


def print_report(report: AdoptionReport) -> None:
    """The report for people."""
    if report.step in DONE:
        done = DONE[report.step].format(**vars(report))
        print(f"Only tried, and taken back: {done}" if report.dry_run else done)
    for note in report.notes:
        print(note)
    for failure in report.failed:
        print(f"! {failure}")
    for tenant in report.tenants:
        leads = {0: "the old system", tenant.calendars: "pgbooking"}.get(
            tenant.calendars_switched, f"pgbooking {tenant.calendars_switched:,} of them,"
        )
        print(
            f"{tenant.name}: {tenant.calendars:,} calendars, {leads} leads; ahead: "
            f"{tenant.busy_times_ahead:,} busy times that follow the old system, "
            f"{tenant.appointments_ahead:,} appointments that both have."
        )
    _print_some(
        "Appointments of the old system that stay busy times",
        [
            f"{each.staff}, {each.period}, row {each.external_id}: {each.reason}"
            for each in report.not_booked
        ],
    )
    _print_some(
        "Not in step",
        [
            f"{each.section} {each.external_id or each.row_id or '?'}"
            f"{f' of {each.tenant}' if each.tenant else ''}: {each.last_error}"
            for each in report.failing
        ],
    )
    if report.waiting:
        print(f"{report.waiting:,} rows wait to be followed, by the job or this command.")
    if report.interrupted:
        print("Stopped. What is done stays; run the same command again to go on.")


def _print_some(title: str, lines: list[str]) -> None:
    if lines:
        print(f"{title}: {len(lines):,}")
    for line in lines[:SHOWN]:
        print(f"  {line}")
    if len(lines) > SHOWN:
        print(f"  … and {len(lines) - SHOWN:,} more: --json")
