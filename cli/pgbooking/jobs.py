"""Jobs: what booking.jobs lists, run by pg_cron, by `pgbooking scheduler`, or by hand.

Whoever starts a run, the database keeps the book (booking.job_runs) and lets no two runs of one job
overlap. They run as the login role of DATABASE_URL.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import psycopg

from pgbooking.connection import connected
from pgbooking.errors import EXIT_USAGE, Problem
from pgbooking.rows import execute, fetch, fetch_one, fetch_value, fetch_values

LONGEST_CRON_NAME = 63
UTC_NAMES = {"GMT", "UTC", "Etc/UTC"}


@dataclass(frozen=True)
class Job:
    """A row of booking.jobs and its last run. Times in UTC; `schedule` is cron's, in UTC, too.

    `is_late`: enabled, and its last run began longer ago than booking.jobs allows, or never.
    """

    name: str
    description: str
    schedule: str
    command: str
    is_enabled: bool
    last_started_at: datetime | None
    last_finished_at: datetime | None
    last_rows: int | None
    last_error: str | None
    is_running: bool
    is_late: bool

    @property
    def last_seconds(self) -> float | None:
        """How long the last run took, if it came to an end."""
        if self.last_started_at and self.last_finished_at:
            return (self.last_finished_at - self.last_started_at).total_seconds()
        return None

    @property
    def was_cut_off(self) -> bool:
        """Its last run was killed. The next one will say so in booking.job_runs."""
        return bool(self.last_started_at and not self.last_finished_at and not self.is_running)


@dataclass(frozen=True)
class Run:
    """A run that came to an end without an error."""

    name: str
    rows: int
    seconds: float


@dataclass(frozen=True)
class Runner:
    """Who runs the jobs, and in which database of which cluster."""

    name: str
    can_login: bool
    is_member: bool
    database: str
    cluster: int


@dataclass(frozen=True)
class CronJob:
    """A row of cron.job that runs one of this database's jobs."""

    id: int
    name: str | None
    schedule: str
    command: str
    user_name: str
    is_active: bool
    is_host_right: bool


@dataclass(frozen=True)
class ListedJob:
    """A job, and where it is scheduled: by pg_cron, and in the session of a leading scheduler."""

    job: Job
    cron_schedule: str | None
    leader_pid: int | None

    @property
    def where(self) -> str:
        """In words."""
        places = []
        if self.cron_schedule is not None:
            places.append("pg_cron")
        if self.leader_pid is not None:
            places.append(f"scheduler (session {self.leader_pid})")
        return ", ".join(places) or "nowhere"

    def as_json(self) -> dict[str, object]:
        """One flat object."""
        return {
            **vars(self.job),
            "last_seconds": self.job.last_seconds,
            "cron_schedule": self.cron_schedule,
            "leader_pid": self.leader_pid,
        }


@dataclass
class InstallReport:
    """What pg_cron has of this database's jobs now, by job name; `removed` were there before."""

    database: str
    user_name: str
    scheduled: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Cron:
    user_name: str
    database: str
    cluster: int
    may_use: bool
    timezone: str | None


def listed(connection: psycopg.Connection) -> list[Job]:
    """Every job, by name, with its last run."""
    return fetch(connection, "jobs_listed", Job)


def with_places(connection: psycopg.Connection, cron_url: str | None) -> list[ListedJob]:
    """Every job, and where it is scheduled. Without `cron_url` only this database is asked."""
    cron = _schedules(connection, cron_url)
    leader_pid = leader(connection)
    return [
        ListedJob(job, cron.get(command_of(job.name)), leader_pid if job.is_enabled else None)
        for job in listed(connection)
    ]


def leader(connection: psycopg.Connection) -> int | None:
    """The pid of the session in which a scheduler leads."""
    pids = fetch_values(connection, "jobs_leader")
    return pids[0] if pids else None


def run(connection: psycopg.Connection, name: str) -> Run | None:
    """Run a job now, to its end. None: it is running already, or disabled.

    The connection must be in autocommit: the job commits step by step.
    Raises Problem with the job's error; what it did before that stays.
    """
    try:
        run_id = fetch_value(connection, "jobs_run", name=name)
    except psycopg.Error as error:
        if error.sqlstate is None or connection.broken:
            raise
        raise Problem(
            error.diag.message_primary or str(error),
            "The steps before it were kept; the next run goes on from there.",
        ) from error
    return run_id and fetch_one(connection, "jobs_run_result", Run, run_id=run_id)


def run_by_hand(connection: psycopg.Connection, name: str) -> Run:
    """Run a job now, to its end. Raises Problem where that cannot be, or the job fails."""
    jobs = {job.name: job for job in listed(connection)}
    if name not in jobs:
        raise Problem(f"There is no job {name!r}.", f"The jobs are: {', '.join(jobs)}", EXIT_USAGE)
    done = run(connection, name)
    if done is None and not jobs[name].is_enabled:
        raise Problem(
            f"The job {name} is disabled.",
            "booking.jobs says so: set its is_enabled to true.",
        )
    if done is None:
        raise Problem(f"The job {name} is running already, in another session.")
    return done


def runner(connection: psycopg.Connection) -> Runner:
    """The login role of the connection. Raises Problem where it cannot run the jobs."""
    who = fetch_one(connection, "jobs_runner", Runner)
    if who is None or not who.is_member:
        raise Problem(
            f"The role {who.name if who else connection.info.user} cannot run the jobs: "
            "it is no member of booking_owner.",
            "Let DATABASE_URL name the role that migrated this database.",
        )
    if not who.can_login:
        raise Problem(
            f"The role {who.name} cannot run the jobs: it has no LOGIN.",
            "Let DATABASE_URL name the role that migrated this database.",
        )
    return who


def install(connection: psycopg.Connection, cron_url: str | None) -> InstallReport:
    """Make pg_cron run what booking.jobs lists and enables, and nothing else of ours.

    `cron_url` names the database that has pg_cron, where that is not this one.
    Raises Problem where there is no pg_cron, or where its roles do not suffice.
    """
    who = runner(connection)
    report = InstallReport(who.database, who.name)
    wanted = {command_of(job.name): job for job in listed(connection) if job.is_enabled}
    with _cron_connection(connection, cron_url) as cron_session, cron_session.transaction():
        cron = _usable_cron(cron_session, who)
        if cron.timezone not in {None, *UTC_NAMES}:
            report.notes.append(
                f"pg_cron reads schedules in {cron.timezone} (cron.timezone), not in UTC."
            )
        for scheduled in cron_jobs(cron_session, who.database):
            job = wanted.get(scheduled.command)
            if job is not None and _is_as_wanted(scheduled, job, who):
                report.unchanged.append(job.name)
                del wanted[scheduled.command]
            else:
                execute(cron_session, "jobs_cron_unschedule", id=scheduled.id)
                if job is None:
                    report.removed.append(_job_name(scheduled.command))
        for command, job in wanted.items():
            _schedule(cron_session, cron, who, job, command)
            report.scheduled.append(job.name)
    return report


def remove(connection: psycopg.Connection, cron_url: str | None) -> list[str]:
    """Take this database's jobs, and no others, from pg_cron; returns their names."""
    who = runner(connection)
    with _cron_connection(connection, cron_url) as cron_session, cron_session.transaction():
        _usable_cron(cron_session, who)
        scheduled = cron_jobs(cron_session, who.database)
        for job in scheduled:
            execute(cron_session, "jobs_cron_unschedule", id=job.id)
    return [_job_name(job.command) for job in scheduled]


def cron_jobs(connection: psycopg.Connection, database: str) -> list[CronJob]:
    """What the pg_cron of this connection runs in that database, as far as its role sees it."""
    return fetch(connection, "jobs_cron_scheduled", CronJob, database=database)


def has_cron(connection: psycopg.Connection) -> bool:
    """Whether pg_cron's extension is in this very database, and the role may look at it."""
    cron = fetch_one(connection, "jobs_cron", _Cron)
    return cron is not None and cron.may_use


def command_of(job_name: str) -> str:
    """What pg_cron runs. Names are lower-case words: booking.jobs sees to that."""
    return f"call booking.run_job('{job_name}')"


def cron_name(database: str, job_name: str) -> str:
    """What pg_cron calls the job: no two databases of a cluster use the same name.

    pg_cron before 1.5 cuts names off after 63 bytes, without a word.
    """
    name = f"pgbooking {database}: {job_name}"
    if len(name.encode()) <= LONGEST_CRON_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name.encode()[: LONGEST_CRON_NAME - 13].decode(errors='ignore')} {digest}"


def print_jobs(jobs: Sequence[ListedJob]) -> None:
    """A table for people."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("job", "schedule (UTC)", "where", "last run (UTC)", "took", "rows", "state"):
        justify: Literal["left", "right"] = "right" if column in {"took", "rows"} else "left"
        table.add_column(column, justify=justify, no_wrap=True)
    for each in jobs:
        job = each.job
        table.add_row(
            job.name,
            job.schedule,
            each.where,
            f"{job.last_started_at:%Y-%m-%d %H:%M:%S}" if job.last_started_at else "never",
            "" if job.last_seconds is None else f"{job.last_seconds:.1f} s",
            "" if job.last_rows is None else f"{job.last_rows:,}",
            _state(job),
        )
    # As wide as it needs: a file, a pipe or a narrow terminal loses nothing.
    console = Console(width=Console(width=1000).measure(table).maximum)
    console.print(table)
    # Too long for a table.
    for each in jobs:
        if each.job.last_error:
            print(f"{each.job.name} failed: {each.job.last_error}")


def print_report(report: InstallReport) -> None:
    """What install did."""
    for verb, names in (
        ("scheduled", report.scheduled),
        ("removed", report.removed),
        ("unchanged", report.unchanged),
    ):
        for name in names:
            print(f"{verb:9} {name}")
    for note in report.notes:
        print(f"Note: {note}")
    print(f"pg_cron runs them in the database {report.database} as {report.user_name}.")


def _state(job: Job) -> str:
    words = []
    if not job.is_enabled:
        words.append("disabled")
    if job.is_running:
        words.append("running")
    if job.was_cut_off:
        words.append("interrupted")
    if job.last_error:
        words.append("failed")
    if job.is_late:
        words.append("late" if job.last_started_at else "waiting")
    return ", ".join(words) or "ok"


def _schedules(connection: psycopg.Connection, cron_url: str | None) -> dict[str, str]:
    """Command → pg_cron's schedule, of what is active there."""
    database = connection.info.dbname
    if cron_url is None and not has_cron(connection):
        return {}
    with _cron_connection(connection, cron_url) as cron_session:
        return {
            job.command: job.schedule for job in cron_jobs(cron_session, database) if job.is_active
        }


@contextmanager
def _cron_connection(
    connection: psycopg.Connection, cron_url: str | None
) -> Iterator[psycopg.Connection]:
    if cron_url is None:
        yield connection
    else:
        with connected(cron_url) as cron_session:
            yield cron_session


def _usable_cron(cron_session: psycopg.Connection, who: Runner) -> _Cron:
    cron = fetch_one(cron_session, "jobs_cron", _Cron)
    if cron is None:
        elsewhere = fetch_value(cron_session, "jobs_cron_database")
        raise Problem(
            f"The database {cron_session.info.dbname} has no pg_cron"
            + (f", but {elsewhere} has it." if elsewhere else "."),
            "--cron-url names the database that has it. Without pg_cron: pgbooking scheduler.",
        )
    if cron.cluster != who.cluster:
        raise Problem(
            "--cron-url leads to another server than DATABASE_URL.",
            "pg_cron runs jobs in the databases of its own server only.",
            EXIT_USAGE,
        )
    if not cron.may_use:
        raise Problem(
            f"The role {cron.user_name} may not use pg_cron.",
            f"As superuser: grant usage on schema cron to {cron.user_name}",
        )
    return cron


def _is_as_wanted(scheduled: CronJob, job: Job, who: Runner) -> bool:
    return (
        scheduled.schedule == job.schedule
        and scheduled.user_name == who.name
        and scheduled.name == cron_name(who.database, job.name)
        and scheduled.is_active
        and scheduled.is_host_right
    )


def _schedule(
    cron_session: psycopg.Connection, cron: _Cron, who: Runner, job: Job, command: str
) -> None:
    name = cron_name(who.database, job.name)
    try:
        if (cron.database, cron.user_name) == (who.database, who.name):
            execute(
                cron_session,
                "jobs_cron_schedule",
                name=name,
                schedule=job.schedule,
                command=command,
            )
        else:
            execute(
                cron_session,
                "jobs_cron_schedule_elsewhere",
                name=name,
                schedule=job.schedule,
                command=command,
                database=who.database,
                user_name=who.name,
            )
    except psycopg.errors.InvalidParameterValue as error:
        raise Problem(
            f"pg_cron does not understand the schedule {job.schedule!r} of the job {job.name}.",
            "booking.jobs.schedule has five fields: minute hour day month weekday.",
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise Problem(
            f"The role {cron.user_name} may not schedule jobs that run in the database "
            f"{who.database} as {who.name}: {error.diag.message_primary}.",
            "Let --cron-url name a superuser, or grant it: "
            "grant execute on function cron.schedule_in_database to …",
        ) from error


def _job_name(command: str) -> str:
    return command.split("'")[1]
