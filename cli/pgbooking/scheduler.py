"""The scheduler: runs the jobs of booking.jobs where there is no pg_cron, in the foreground.

Any number may run; one leads, by an advisory lock that its session holds, and the others stand by.
The leader has APScheduler start each job when its schedule, a cron expression in UTC, says so, in a
session of its own. It reads booking.jobs again and again, so that what is changed there counts from
then on. What fell due while nobody led is done once, at once.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg

from pgbooking import jobs
from pgbooking.connection import connected, require_session
from pgbooking.errors import EXIT_NOT_CONNECTED, EXIT_USAGE, Problem, explain
from pgbooking.rows import fetch_value
from pgbooking.signals import Stop, stop_on_signals

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

LOOK_SECONDS = 1.0
"""How often the session is looked at; that it was cut off is noticed at once."""

READ_SECONDS = 30.0
"""How often the leader reads booking.jobs."""

STANDBY_SECONDS = 3.0
"""How often a standby tries to lead."""

LONGEST_WAIT_SECONDS = 30.0
"""The waits between attempts to reach the server double up to this."""

CANCEL_SECONDS = 5.0
"""How long a cancelled run may take to put itself on record."""

# As cron counts them.
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def run(database_url: str | None, *, grace_seconds: float, as_json: bool = False) -> None:
    """Lead or stand by until SIGTERM or SIGINT; then let runs end for so long, and cancel the rest.

    A server that cannot be reached, or goes away, is waited for. Raises Problem where the address
    or the role is of no use, and behind a pooler: the lock is a session's.
    """
    log = Log(as_json)
    service = Service(database_url, log)
    try:
        with stop_on_signals() as stop:
            log("start", "scheduler started")
            lead_until(stop, service, log)
    finally:
        service.stop(grace_seconds)
    log("stop", "scheduler stopped")


def lead_until(stop: Stop, service: Service, log: Log) -> None:
    """Connect, lead or stand by, and connect again, longer apart each time, until asked to stop."""
    wait, said = 1.0, ""
    while not stop.is_set():
        try:
            with connected(service.database_url) as connection:
                if said:
                    log("connected", "the database answers again")
                wait, said = 1.0, ""
                try:
                    service.serve(connection, stop)
                finally:
                    service.stand_by()
        except (Problem, psycopg.Error) as error:
            reason = explain(error)
            if reason.exit_code != EXIT_NOT_CONNECTED:
                raise
            if reason.message != said:
                said = reason.message
                log("disconnected", f"{said} Trying again.")
            stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)


@dataclass
class Log:
    """A line to stderr for each thing worth knowing, with its time in UTC."""

    as_json: bool

    def __call__(self, event: str, message: str, **values: object) -> None:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        if self.as_json:
            line = json.dumps({"time": now, "event": event, "message": message, **values})
        else:
            line = f"{now} {message}"
        # One write: runs log from threads of their own.
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


@dataclass
class Service:
    """One process: APScheduler's thread starts the runs, each in another thread."""

    database_url: str | None
    log: Log
    timer: BackgroundScheduler = field(init=False)
    schedules: dict[str, str] = field(default_factory=dict)
    running: dict[str, psycopg.Connection | None] = field(default_factory=dict)
    is_leading: bool = False

    def __post_init__(self) -> None:
        self.timer = _new_timer()
        self.timer.start(paused=True)

    def serve(self, connection: psycopg.Connection, stop: Stop) -> None:
        """Stand by until this session leads, then lead, until asked to stop."""
        jobs.runner(connection)
        require_session(connection, "The scheduler")
        self._wait_for_lead(connection, stop)
        if stop.is_set():
            return
        self.is_leading = True
        self.log("leader", f"leading, session {connection.info.backend_pid}")
        self._warn_of_pg_cron(connection)
        self.timer.resume()
        read_at = 0.0
        while not stop.is_set():
            if time.monotonic() >= read_at:
                self.follow(jobs.listed(connection))
                read_at = time.monotonic() + READ_SECONDS
            _watch(connection, LOOK_SECONDS)

    def follow(self, listed: list[jobs.Job]) -> None:
        """Let the timer start what is listed and enabled, as scheduled, and nothing else."""
        wanted = {job.name: job for job in listed if job.is_enabled}
        for name in self.schedules.keys() - wanted.keys():
            self._forget(name)
        for name, job in wanted.items():
            if self.schedules.get(name) != job.schedule:
                self._forget(name)
                self.schedules[name] = job.schedule
                self._schedule(job)

    def stand_by(self) -> None:
        """Start no more runs. Those that are under way end by themselves: nobody can repeat them
        meanwhile."""
        if self.is_leading:
            self.is_leading = False
            self.timer.pause()
            self.timer.remove_all_jobs()
            self.schedules.clear()
            self.log("standby", "leading no more")

    def stop(self, grace_seconds: float) -> None:
        """Start no more runs, wait so long for those under way, then cancel them."""
        self.is_leading = False
        self.timer.pause()
        if self.running:
            self.log("waiting", f"waiting for {', '.join(sorted(self.running))}")
        self._wait_for_runs(grace_seconds)
        for name, connection in list(self.running.items()):
            if connection is not None:
                self.log("cancel", f"{name} is cancelled", job=name)
                connection.cancel_safe(timeout=CANCEL_SECONDS)
        self._wait_for_runs(CANCEL_SECONDS)
        self.timer.shutdown(wait=False)

    def start_run(self, name: str) -> None:
        """One run, in a session and a thread of its own. What it did or why it failed is logged."""
        self.running[name] = None
        began = time.monotonic()
        try:
            with connected(self.database_url) as connection:
                self.running[name] = connection
                # The end may have come while it connected.
                done = jobs.run(connection, name) if self.is_leading else None
        except (Problem, psycopg.Error) as error:
            reason = explain(error)
            seconds = round(time.monotonic() - began, 3)
            self.log(
                "failed",
                # The database says which job it was.
                reason.message if name in reason.message else f"{name}: {reason.message}",
                job=name,
                seconds=seconds,
            )
        else:
            if done and done.rows:
                self.log(
                    "done",
                    f"{name}: {done.rows:,} rows in {done.seconds:.1f} s",
                    job=name,
                    rows=done.rows,
                    seconds=done.seconds,
                )
        finally:
            del self.running[name]

    def _schedule(self, job: jobs.Job) -> None:
        try:
            trigger = trigger_of(job.schedule)
        except ValueError as error:
            self.log(
                "failed",
                f"{job.name} has no cron expression, but {job.schedule!r}: {error}",
                job=job.name,
            )
            return
        now = datetime.now(UTC)
        self.timer.add_job(
            self.start_run,
            trigger,
            args=[job.name],
            id=job.name,
            next_run_time=max(now, next_due(trigger, job) or now),
        )

    def _forget(self, name: str) -> None:
        if self.schedules.pop(name, None) and self.timer.get_job(name):
            self.timer.remove_job(name)

    def _wait_for_lead(self, connection: psycopg.Connection, stop: Stop) -> None:
        said = False
        while not stop.is_set() and not fetch_value(connection, "scheduler_lead"):
            if not said:
                said = True
                self.log("standby", f"standing by: session {jobs.leader(connection)} leads")
            until = time.monotonic() + STANDBY_SECONDS
            while not stop.is_set() and time.monotonic() < until:
                _watch(connection, LOOK_SECONDS)

    def _warn_of_pg_cron(self, connection: psycopg.Connection) -> None:
        if jobs.has_cron(connection) and jobs.cron_jobs(connection, connection.info.dbname):
            self.log(
                "pg_cron",
                "pg_cron runs these jobs, too. That does no harm: a job never runs twice at a time."
                " pgbooking jobs remove takes them from it.",
            )

    def _wait_for_runs(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self.running and time.monotonic() < until:
            time.sleep(0.05)


def next_due(trigger: Any, job: jobs.Job) -> datetime | None:
    """When the job should have begun, or should begin, after its last run; None: at once.

    A run that was cut off counts as none.
    """
    if job.last_started_at is None or job.was_cut_off:
        return None
    due: datetime | None = trigger.get_next_fire_time(None, job.last_started_at)
    return due


def trigger_of(schedule: str) -> Any:
    """APScheduler's trigger for a cron expression, in UTC. Raises ValueError where it is none.

    As in cron, a day has to be one of the days of the month *or* one of the weekdays where both
    are restricted; APScheduler's own would want both.
    """
    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger

    fields = schedule.split()
    if len(fields) != 5:
        raise ValueError(f"it has {len(fields)} fields, not minute hour day month weekday")
    minute, hour, day, month, weekday = fields
    days = {"day": day, "day_of_week": weekdays(weekday)}
    chosen = [days]
    if not day.startswith("*") and not weekday.startswith("*"):
        chosen = [{"day": days["day"]}, {"day_of_week": days["day_of_week"]}]
    triggers = [
        CronTrigger(minute=minute, hour=hour, month=month, timezone=UTC, **each) for each in chosen
    ]
    return triggers[0] if len(triggers) == 1 else OrTrigger(triggers)


def weekdays(text: str) -> str:
    """Cron's weekdays by name: APScheduler calls Monday 0, cron Sunday (and 7)."""
    chosen = set()
    for part in text.lower().split(","):
        span, _, step = part.partition("/")
        first, dash, last = ("0-6" if span == "*" else span).partition("-")
        numbers = range(_weekday(first), _weekday(last if dash else first) + 1, int(step or 1))
        chosen |= {number % 7 for number in numbers}
        if not numbers:
            raise ValueError(f"the weekdays {part!r} end before they begin")
    return ",".join(WEEKDAYS[number] for number in sorted(chosen))


def _weekday(text: str) -> int:
    if text in WEEKDAYS:
        return WEEKDAYS.index(text)
    if text in {"0", "1", "2", "3", "4", "5", "6", "7"}:
        return int(text)
    raise ValueError(f"{text!r} is no weekday")


def without_apscheduler() -> Problem:
    """What to say where the extra is not installed."""
    return Problem(
        "APScheduler is not installed.", "pip install 'pgbooking[scheduler]'", EXIT_USAGE
    )


def _new_timer() -> BackgroundScheduler:
    try:
        from apscheduler.schedulers.background import BackgroundScheduler
    except ImportError:
        raise without_apscheduler() from None
    # It warns of each run that is left out because the one before goes on: that is as it should be.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    return BackgroundScheduler(
        timezone=UTC,
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )


def _watch(connection: psycopg.Connection, seconds: float) -> None:
    """Wait so long. Raises OperationalError as soon as the server has closed the connection."""
    for _ in connection.notifies(timeout=seconds):
        pass
