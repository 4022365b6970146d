"""`pgbooking scheduler`, in processes of its own: it runs what is due, leads alone, survives the
server's troubles, and ends cleanly."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from apscheduler.triggers.interval import IntervalTrigger
from psycopg.conninfo import make_conninfo

from pgbooking import jobs, migrate, scheduler
from pgbooking.signals import Stop
from tests.conftest import Connect
from tests.faults.conftest import MortalServer, mortal_server
from tests.left_out import NO_PGBOUNCER
from tests.operations import pgbouncer
from tests.operations.job_work import (
    JOBS,
    differences,
    give_each_job_something_to_do,
    hold_up,
    job_locks,
    queue,
    run_job,
    runs,
    terminate,
    undone,
)
from tests.salon import Salon

__all__ = ["mortal_server"]

Session = psycopg.Connection[Any]

DRAIN = "drain_refresh_queue"


@dataclass
class Scheduler:
    """A process, and the lines of its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def lines(self, event: str | None = None) -> list[dict[str, Any]]:
        """What it said, of that kind; anything but a line of JSON is an error."""
        said = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in said if event in {None, line["event"]}]

    def wait_for(self, event: str, times: int = 1) -> dict[str, Any]:
        """The last line of that kind, once it has said so many."""
        wait_until(
            lambda: len(self.lines(event)) >= times, f"{event!r} is said", self.log.read_text
        )
        return self.lines(event)[-1]

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


Start = Callable[..., Scheduler]


def wait_until(
    is_so: Callable[[], Any], what: str, details: Callable[[], object] = lambda: ""
) -> Any:
    """Look again and again until it is so; fail where that takes too long."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if value := is_so():
            return value
        time.sleep(0.02)
    raise AssertionError(f"it is not so that {what}: {details()}")


@pytest.fixture
def start(database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Starts a scheduler, in the test's database where no other is given."""
    started: list[Scheduler] = []

    def start_scheduler(*options: object, url: str = database_url) -> Scheduler:
        log = tmp_path / f"log{len(started)}"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "pgbooking.app", "scheduler", "--json", *map(str, options)],
                env=os.environ | {"DATABASE_URL": url, "PYTHONPATH": os.pathsep.join(sys.path)},
                stderr=file,
            )
        started.append(Scheduler(process, log))
        return started[-1]

    yield start_scheduler
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def blocking(salon: Salon, connect: Connect) -> Iterator[Session]:
    """The queue's job has one calendar to do, and one that it cannot publish until this session
    commits."""
    ben = salon.add_person("Ben")
    queue(salon, salon.person)
    queue(salon, ben)
    salon.db.execute(
        "update booking.refresh_queue set queued_at = queued_at + interval '1 minute'"
        " where staff_id = %s",
        (ben,),
    )
    # Its night is done, or that job would wait, too.
    salon.db.execute("update booking.jobs set is_enabled = false where name = 'nightly_refresh'")
    locker = connect()
    hold_up(locker, ben)
    yield locker


def wait_for_blocked_run(db: Session) -> int:
    """The pid of the run that waits for the lock."""
    pid = wait_until(
        lambda: db.execute(
            "select min(pid) from pg_catalog.pg_stat_activity"
            " where datname = current_database() and wait_event_type = 'Lock'"
        ).fetchall()[0][0],
        "a run waits for the lock",
    )
    return int(pid)


def is_running(db: Session) -> bool:
    """Whether another session runs a job."""
    return db.execute(
        "select from pg_catalog.pg_stat_activity where datname = current_database()"
        " and query like '%call booking.run_job%' and state = 'active' and pid <> pg_backend_pid()"
    ).fetchall() != []  # fmt: skip


def waiting(db: Session) -> int:
    """How many calendars wait in the queue."""
    [(number,)] = db.execute("select count(*) from booking.refresh_queue").fetchall()
    return int(number)


def leader(db: Session) -> int | None:
    """The pid of the leading session."""
    row = db.execute(
        "select l.pid from pg_catalog.pg_locks l where l.locktype = 'advisory' and l.granted"
        " and l.classid = hashtext('booking.jobs')::oid and l.objid = 0 and l.database ="
        " (select oid from pg_catalog.pg_database where datname = current_database())"
    ).fetchone()
    return row and int(row[0])


def test_it_does_at_once_what_fell_due_while_none_was_up(salon: Salon, start: Start) -> None:
    give_each_job_something_to_do(salon)
    db = salon.db
    assert set(undone(db)) == JOBS
    scheduler = start()
    wait_until(lambda: not undone(db), "each job is done", lambda: undone(db))
    wait_until(lambda: not is_running(db), "no run is under way")
    assert scheduler.stop() == 0
    assert runs(db) == {name: [(1, None)] for name in JOBS}
    assert {line["job"] for line in scheduler.lines("done")} == JOBS
    assert {line["rows"] for line in scheduler.lines("done")} == {1}
    assert [line["event"] for line in scheduler.lines()][:2] == ["start", "leader"]
    assert [line["event"] for line in scheduler.lines()][-1] == "stop"
    assert job_locks(db) == 0
    assert differences(salon) == []


def test_what_ran_on_time_is_not_run_again_at_the_start(db: Session, start: Start) -> None:
    db.execute("update booking.jobs set schedule = '7 3 * * *'")
    for name in JOBS:
        run_job(db, name)
    db.execute("update booking.job_runs set started_at = started_at - interval '2 days',"
        " finished_at = finished_at - interval '2 days' where job_name = %s", (DRAIN,)
    )  # fmt: skip
    scheduler = start()
    wait_until(lambda: len(runs(db)[DRAIN]) == 2, "the job that was missed runs")
    assert scheduler.stop() == 0
    assert {name for name, each in runs(db).items() if len(each) > 1} == {DRAIN}


def test_it_runs_a_job_again_and_again_until_it_stops(
    db: Session, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A cron expression would mean a minute's wait.
    monkeypatch.setattr(scheduler, "trigger_of", lambda _: IntervalTrigger(seconds=1))
    for name in JOBS:
        run_job(db, name)
    service = scheduler.Service(database_url, scheduler.Log(as_json=False), is_leading=True)
    try:
        service.follow(jobs.listed(db))
        service.timer.resume()
        wait_until(lambda: len(runs(db)[DRAIN]) == 3, "it has run twice more")
    finally:
        service.stop(10)
    number = len(runs(db)[DRAIN])
    service.start_run(DRAIN)
    assert len(runs(db)[DRAIN]) == number


def test_a_failing_job_says_so_and_stops_no_other(db: Session, start: Start) -> None:
    db.execute("update booking.jobs set command = 'select 1 / 0' where name = %s", (DRAIN,))
    scheduler = start()
    line = scheduler.wait_for("failed")
    assert line["message"] == f'job "{DRAIN}" failed: division by zero'
    assert line["job"] == DRAIN
    wait_until(lambda: set(runs(db)) == JOBS, "all have run")
    assert scheduler.stop() == 0


def test_a_schedule_that_is_none_is_said_and_stops_no_other(db: Session, start: Start) -> None:
    db.execute("update booking.jobs set schedule = 'at tea' where name = %s", (DRAIN,))
    scheduler = start()
    assert (
        f"{DRAIN} has no cron expression, but 'at tea'" in scheduler.wait_for("failed")["message"]
    )
    wait_until(lambda: set(runs(db)) == JOBS - {DRAIN}, "the others have run")
    assert scheduler.stop() == 0


# One leads


def test_one_leads_and_another_takes_over_when_it_is_killed(db: Session, start: Start) -> None:
    first = start()
    first.wait_for("leader")
    second = start()
    assert f"session {leader(db)} leads" in second.wait_for("standby")["message"]
    assert second.lines("leader") == []
    first.process.kill()
    second.wait_for("leader")
    assert second.stop() == 0
    assert leader(db) is None


def test_a_standby_stops_at_once(db: Session, start: Start) -> None:
    start().wait_for("leader")
    standby = start()
    standby.wait_for("standby")
    assert standby.stop() == 0


def test_a_leader_that_loses_its_session_stands_by_and_connects_again(
    db: Session, start: Start
) -> None:
    scheduler = start()
    scheduler.wait_for("leader")
    pid = leader(db)
    assert pid
    terminate(db, pid)
    scheduler.wait_for("leader", 2)
    assert [line["event"] for line in scheduler.lines() if "job" not in line] == [
        "start", "leader", "standby", "disconnected", "connected", "leader",
    ]  # fmt: skip
    assert leader(db) not in {None, pid}
    assert scheduler.stop() == 0


def test_a_server_that_goes_away_is_waited_for_and_said_once(
    mortal_server: MortalServer, start: Start
) -> None:
    for _ in migrate.apply(mortal_server.url):
        pass
    scheduler = start(url=mortal_server.url)
    scheduler.wait_for("leader")
    mortal_server.stop()
    scheduler.wait_for("disconnected")
    mortal_server.start()
    scheduler.wait_for("leader", 2)
    said = [line["event"] for line in scheduler.lines() if "job" not in line]
    assert said[:4] == ["start", "leader", "standby", "disconnected"]
    assert said[-2:] == ["connected", "leader"]
    assert len({line["message"] for line in scheduler.lines("disconnected")}) == len(
        scheduler.lines("disconnected")
    )
    assert scheduler.stop() == 0


class StopAfterSeven(Stop):
    """Asks to stop after seven waits, none of which takes any time."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        if len(self.waits) == 7:
            self.set()
        return self.is_set()


def test_a_server_that_cannot_be_reached_is_tried_less_and_less_often_and_said_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log, stop = scheduler.Log(as_json=False), StopAfterSeven()
    service = scheduler.Service(f"postgresql://nobody@/nowhere?host={tmp_path}", log)
    scheduler.lead_until(stop, service, log)
    service.stop(0)
    assert stop.waits == [1, 2, 4, 8, 16, 30, 30]
    (line,) = capfd.readouterr().err.splitlines()
    assert "Could not connect to the database" in line
    assert line.endswith("Trying again.")


# The end


def test_at_the_end_runs_may_finish(salon: Salon, blocking: Session, start: Start) -> None:
    scheduler = start()
    wait_for_blocked_run(salon.db)
    scheduler.process.send_signal(signal.SIGTERM)
    assert scheduler.wait_for("waiting")["message"] == f"waiting for {DRAIN}"
    blocking.commit()
    assert scheduler.process.wait(15) == 0
    assert runs(salon.db)[DRAIN] == [(2, None)]
    assert scheduler.lines("cancel") == []


def test_at_the_end_runs_that_do_not_finish_are_cancelled_and_say_so(
    salon: Salon, blocking: Session, start: Start
) -> None:
    scheduler = start("--grace", "0.2")
    wait_for_blocked_run(salon.db)
    assert scheduler.stop() == 0
    assert [line["job"] for line in scheduler.lines("cancel")] == [DRAIN]
    assert runs(salon.db)[DRAIN] == [(1, "canceling statement due to user request")]
    assert waiting(salon.db) == 1
    assert job_locks(salon.db) == 0

    blocking.commit()
    run_job(salon.db, DRAIN)
    assert waiting(salon.db) == 0
    assert differences(salon) == []


def test_killed_in_the_middle_of_a_run_it_leaves_nothing_by_half_and_the_next_one_goes_on(
    salon: Salon, blocking: Session, start: Start
) -> None:
    db = salon.db
    scheduler = start()
    pid = wait_for_blocked_run(db)
    scheduler.process.kill()
    scheduler.process.wait()
    assert waiting(db) == 1, "the step before it was kept"
    # The server notices only that nobody listens any more, and may finish the run first.
    terminate(db, pid)
    assert job_locks(db) == 0
    assert differences(salon) == []
    blocking.commit()

    start()
    wait_until(lambda: waiting(db) == 0, "the next run goes on")
    wait_until(lambda: not is_running(db), "no run is under way")
    assert runs(db)[DRAIN] == [(1, "interrupted"), (1, None)]
    assert differences(salon) == []


def test_the_run_of_a_killed_scheduler_may_go_on_to_its_end(
    salon: Salon, blocking: Session, start: Start
) -> None:
    db = salon.db
    scheduler = start()
    wait_for_blocked_run(db)
    scheduler.process.kill()
    scheduler.process.wait()
    blocking.commit()
    wait_until(lambda: not is_running(db), "no run is under way")
    assert waiting(db) == 0
    assert job_locks(db) == 0
    assert differences(salon) == []
    assert run_job(db, DRAIN) is not None
    assert [error for _, error in runs(db)[DRAIN]][-1] is None


# Refused


def refused(scheduler: Scheduler) -> tuple[int, str]:
    """Its exit code, and the last thing it said."""
    code = scheduler.process.wait(20)
    text = scheduler.log.read_text()
    assert "Traceback" not in text
    return code, text


def test_a_role_that_cannot_run_jobs_is_refused(
    db: Session, database_url: str, start: Start
) -> None:
    db.execute("create role pgbooking_test_stranger login")
    try:
        stranger = make_conninfo(database_url, user="pgbooking_test_stranger")
        code, text = refused(start(url=stranger))
        assert code == 1
        assert "The role pgbooking_test_stranger cannot run the jobs: it is no member" in text
    finally:
        db.execute("drop role pgbooking_test_stranger")


def test_a_pooler_is_refused(database_url: str, start: Start) -> None:
    if pgbouncer.binary() is None:
        pytest.skip(NO_PGBOUNCER)
    with pgbouncer.running_pgbouncer(database_url) as pooled:
        code, text = refused(start(url=pooled))
    assert code == 2
    assert "The scheduler needs a session of its own" in text
