"""Look a database over: what is wrong or soon will be, and what to do about each of it.

Writes nothing, and takes no lock that a booking would wait for. What it reads is the catalog, the
server's statistics, and rows that an index finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg
from rich.console import Console
from rich.text import Text

from pgbooking import doctor_drift, jobs, migrate
from pgbooking.doctor_finding import LEVELS, Finding, Level
from pgbooking.doctor_postgrest import postgrest_findings, read_config
from pgbooking.errors import UNDEFINED
from pgbooking.rows import fetch, fetch_one, fetch_values

MARKS = {"failure": ("✗", "bold red"), "warning": ("!", "yellow"), "ok": ("✓", "green")}

# What one question may take of a database that is busy, as PostgreSQL reads it.
LIMITS = {"lock_timeout": "2s", "statement_timeout": "30s", "jit": "off"}

# PostgreSQL's codes for a question that was given up: it may not be asked, or takes too long.
NOT_ALLOWED = "42501"
OTHER_ROLE = "Ask as the role that migrated this database, or as a superuser."
TOO_LONG = {"55P03", "57014"}

# So many findings of one check are shown to people; --json has them all.
SHOWN_FINDINGS = 5


@dataclass
class Report:
    """Every finding, in the order of the checks."""

    findings: list[Finding] = field(default_factory=list)

    def count(self, level: Level) -> int:
        """How many findings are of that level."""
        return sum(finding.level == level for finding in self.findings)


@dataclass(frozen=True)
class _Question:
    """One query or function, the checks of which it may tell, and whether it needs a database of
    exactly this version."""

    ask: str | Callable[[psycopg.Connection], Iterable[Finding]]
    checks: tuple[str, ...]
    needs_this_version: bool = False


@dataclass(frozen=True)
class _Lock:
    pid: int
    locked_at: datetime
    sessions: list[int]


def examine(
    connection: psycopg.Connection, database_url: str | None, postgrest_config: Path | None = None
) -> Report:
    """Every check of the database at `database_url`, to which `connection` leads.

    Raises Problem where `postgrest_config` cannot be read as PostgREST's configuration.
    """
    config = None if postgrest_config is None else read_config(postgrest_config)
    migrations = _Question(_migration_lock, ("migrations",))
    findings = _answers(connection, migrations)
    is_this_version = True
    try:
        status = migrate.status(database_url)
    except psycopg.errors.InsufficientPrivilege as error:
        findings = [_not_checked(migrations, f"{error.diag.message_primary}.", OTHER_ROLE)]
    else:
        states = {each.state for each in status.migrations}
        if states == {"pending"}:
            message = "pgbooking is not installed in this database."
            findings.append(Finding("migrations", "failure", message, "pgbooking migrate"))
            return Report(findings)
        findings += _migrations(status)
        is_this_version = not states & {"pending", "unknown"}
    questions = [
        *QUESTIONS,
        _Question(lambda session: postgrest_findings(session, config), ("postgrest",)),
    ]
    left_out: set[str] = set()
    for question in questions:
        if question.needs_this_version and not is_this_version:
            reason = "the database is at another version than this pgbooking."
            findings.append(_not_checked(question, reason))
            left_out.update(question.checks)
        else:
            findings += _answers(connection, question)
    said = left_out | {finding.check for finding in findings}
    findings += [Finding(check, "ok", text) for check, text in CHECKS.items() if check not in said]
    order = list(CHECKS)
    return Report(sorted(findings, key=lambda finding: order.index(finding.check)))


def print_report(report: Report) -> None:
    """The report for people: what is wrong first."""
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(finding.check) for finding in report.findings)
    for level in LEVELS:
        shown: dict[str, int] = {}
        for finding in report.findings:
            if finding.level != level:
                continue
            shown[finding.check] = shown.get(finding.check, 0) + 1
            if shown[finding.check] <= SHOWN_FINDINGS:
                _print_finding(console, finding, width)
        for check, number in shown.items():
            if number > SHOWN_FINDINGS:
                more = f"… and {number - SHOWN_FINDINGS:,} more {check}: --json"
                console.print(Text(f"  {'':{width}}  {more}", "dim"))
    counts = [(report.count(level), level) for level in LEVELS]
    console.print(
        f"{_counted(*counts[0])}, {_counted(*counts[1])}, {report.count('ok')} ok.", style="bold"
    )


def _print_finding(console: Console, finding: Finding, width: int) -> None:
    name = finding.check.replace("_", " ")
    console.print(Text.assemble(MARKS[finding.level], f" {name:{width}}  {finding.message}"))
    for line in (finding.advice or "").splitlines():
        console.print(Text(f"  {'':{width}}  {line}", "cyan"))


def _counted(number: int, level: str) -> str:
    return f"{number} {level}{'' if number == 1 else 's'}"


def _answers(connection: psycopg.Connection, question: _Question) -> list[Finding]:
    """What the question finds, or that it could not be asked."""
    try:
        with _reading(connection):
            if isinstance(question.ask, str):
                return fetch(connection, question.ask, Finding)
            return list(question.ask(connection))
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state not in {NOT_ALLOWED, *TOO_LONG, *UNDEFINED}:
            raise
        advice = None
        if state == NOT_ALLOWED:
            advice = OTHER_ROLE
        elif state in TOO_LONG:
            advice = "Ask again when the database is less busy."
        return [_not_checked(question, f"{error.diag.message_primary}.", advice)]


def _not_checked(question: _Question, reason: str, advice: str | None = None) -> Finding:
    message = f"Not checked ({', '.join(question.checks)}): {reason}"
    return Finding(question.checks[0], "warning", message, advice)


@contextmanager
def _reading(connection: psycopg.Connection) -> Iterator[None]:
    """A transaction that writes nothing and soon gives up waiting."""
    connection.read_only = True
    try:
        with connection.transaction():
            for name, value in LIMITS.items():
                connection.execute("select set_config(%s, %s, true)", [name, value])
            yield
    finally:
        connection.read_only = None


def _migrations(status: migrate.Status) -> Iterator[Finding]:
    pending = status.pending
    if pending:
        yield Finding(
            "migrations", "failure", f"Pending: {', '.join(pending)}.", "pgbooking migrate"
        )
    for each in status.migrations:
        match each.state:
            case "edited":
                what = "was edited after it was applied here"
                advice = "Put the released file back: install pgbooking anew."
            case "unrecorded":
                what = "seems to be applied but is not on record: a run was killed between the two"
                advice = f"pgbooking migrate --mark-applied {each.id}"
            case "unknown":
                what = "was applied by a newer version of pgbooking"
                advice = "Use that version."
            case _:
                continue
        yield Finding("migrations", "failure", f"{each.id} {what}.", advice)


def _migration_lock(connection: psycopg.Connection) -> Iterator[Finding]:
    """A lock is a row that stays when its run is killed. Its pid is the client's, so that only the
    sessions there are tell whether it still runs."""
    if not fetch_values(connection, "migrations_objects", names=[f"{migrate.SCHEMA}.yoyo_lock"]):
        return
    lock = fetch_one(connection, "doctor_migration_lock", _Lock)
    if lock is None:
        return
    message = f"Process {lock.pid} has been migrating since {lock.locked_at:%Y-%m-%d %H:%M:%S} UTC"
    if lock.sessions:
        pids = ", ".join(map(str, lock.sessions))
        yield Finding(
            "migrations",
            "warning",
            f"{message}, and pgbooking has sessions here that may be its (pid {pids}).",
            "Wait for it. If it was killed: pgbooking migrate --break-lock",
        )
    else:
        yield Finding(
            "migrations",
            "failure",
            f"{message}, but no session of pgbooking is connected: that run was killed.",
            "pgbooking migrate --break-lock",
        )


def _jobs(connection: psycopg.Connection) -> Iterator[Finding]:
    listed = jobs.listed(connection)
    if all(job.last_started_at is None for job in listed):
        yield Finding(
            "jobs",
            "warning",
            "No job has ever run.",
            "pgbooking jobs install, where the server has pg_cron; else keep pgbooking scheduler "
            "running.",
        )
        return
    for job in listed:
        began = job.last_started_at
        if not job.is_enabled:
            yield Finding(
                "jobs",
                "warning",
                f"{job.name} is switched off.",
                f"update booking.jobs set is_enabled = true where name = '{job.name}';",  # noqa: S608
            )
        elif began is None:
            message = f"{job.name} has not run yet (schedule: {job.schedule})."
            yield Finding("jobs", "warning", message, f"pgbooking jobs run {job.name}")
        elif job.is_late:
            yield Finding(
                "jobs",
                "failure",
                f"{job.name} last began at {began:%Y-%m-%d %H:%M} UTC and is late "
                f"(schedule: {job.schedule}).",
                f"pgbooking jobs run {job.name}\n"
                "pgbooking jobs list says where it is scheduled: is that running?",
            )
        if job.is_enabled and job.last_error:
            yield Finding(
                "jobs",
                "failure",
                f"{job.name} failed at {began:%Y-%m-%d %H:%M} UTC: {job.last_error}",
                f"Mend what the error says, then: pgbooking jobs run {job.name}",
            )


def _cron(connection: psycopg.Connection) -> Iterator[Finding]:
    """Jobs in the pg_cron of this database: all of them and as they should be, or none (they may
    run by the scheduler, or by the pg_cron of another database)."""
    if not jobs.has_cron(connection):
        return
    scheduled = {each.command: each for each in jobs.cron_jobs(connection, connection.info.dbname)}
    if not scheduled:
        return
    users = fetch_values(connection, "doctor_job_users")
    for job in jobs.listed(connection):
        if not job.is_enabled:
            continue
        found = scheduled.get(jobs.command_of(job.name))
        if found is None:
            fault = f"{job.name} is missing in pg_cron, which has others of pgbooking's jobs."
        elif not found.is_active:
            fault = f"{job.name} is not active in pg_cron."
        elif found.user_name not in users:
            fault = f"pg_cron runs {job.name} as {found.user_name}, which cannot run it."
        elif not found.is_host_right:
            fault = f"pg_cron connects to another host than its own to run {job.name}."
        elif found.schedule != job.schedule:
            fault = f"pg_cron runs {job.name} at {found.schedule}, not at {job.schedule}."
        else:
            continue
        yield Finding("pg_cron", "failure", fault, "pgbooking jobs install")


def _adoption(connection: psycopg.Connection) -> Iterator[Finding]:
    """Only while a live system is moved over."""
    if fetch_values(connection, "migrations_objects", names=["booking_adoption.queue"]):
        yield from fetch(connection, "doctor_adoption", Finding)


QUESTIONS = (
    _Question("doctor_server", ("postgresql", "extensions")),
    _Question("doctor_roles", ("roles",)),
    _Question("doctor_owners", ("owners",)),
    _Question(
        doctor_drift.findings,
        (
            "tables",
            "columns",
            "functions",
            "views",
            "triggers",
            "constraints",
            "indexes",
            "privileges",
            "policies",
            "row_level_security",
        ),
        needs_this_version=True,
    ),
    _Question("doctor_states", ("triggers", "constraints", "indexes")),
    _Question("doctor_installation", ("settings",)),
    _Question(_jobs, ("jobs",), needs_this_version=True),
    _Question(_cron, ("pg_cron",), needs_this_version=True),
    _Question("doctor_queue", ("queue",)),
    _Question("doctor_rollups", ("analytics",), needs_this_version=True),
    _Question(_adoption, ("adoption",)),
    _Question("doctor_calendars", ("calendars",)),
    _Question("doctor_rows", ("holds", "events", "rate_limits")),
    _Question("doctor_retention", ("retention",), needs_this_version=True),
    _Question("doctor_upkeep", ("vacuum", "transaction_ids")),
    _Question("doctor_sessions", ("sessions",)),
    _Question("doctor_server_settings", ("server_settings",)),
    _Question("doctor_role_settings", ("role_settings",)),
    _Question("doctor_timeouts", ("timeouts",)),
)

# Every check, in the order of the report, and what it says where nothing was found.
CHECKS = {
    "postgresql": "",
    "extensions": "",
    "migrations": "Every migration is applied as released.",
    "roles": "The roles can do what they should, and no more.",
    "owners": "Everything belongs to booking_owner.",
    "privileges": "Everybody may do what was reviewed, and nothing else.",
    "policies": "The policies are those of this release.",
    "row_level_security": "Row-level security is on for every table.",
    "tables": "The tables are those of this release.",
    "columns": "The columns are those of this release.",
    "functions": "The functions are those of this release.",
    "views": "The views are those of this release.",
    "triggers": "The triggers are those of this release, and enabled.",
    "constraints": "The constraints are those of this release, and validated.",
    "indexes": "The indexes are those of this release, and valid.",
    "settings": "booking.settings has its row, and calls are limited by address.",
    "jobs": "Every job has run in time, without an error.",
    "pg_cron": "pg_cron has every job as it should be, or none.",
    "queue": "",
    "analytics": "Every day that is over can be rolled up.",
    "adoption": "No system is being moved over, or every row of it is in step.",
    "calendars": "Every calendar was published last night.",
    "holds": "No hold that expired long ago is left.",
    "events": "No event waits for long.",
    "rate_limits": "The table of the rate limiter is small.",
    "retention": "No record is kept for longer than booking.settings says.",
    "vacuum": "No table is bloated, none was forgotten.",
    "transaction_ids": "The oldest transaction id is young enough.",
    "unused_indexes": "No large index is unused.",
    "sessions": "No session holds others up.",
    "server_settings": "",
    "role_settings": "No database or role has a setting that hurts.",
    "timeouts": "Requests are cut off in time, and not before booking has answered.",
    "postgrest": "What is known of PostgREST's configuration is as it should be.",
}
