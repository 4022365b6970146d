"""`pgbooking jobs list` and `jobs run`: what runs, how the last run went, and a run by hand."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from pgbooking.jobs import cron_name
from tests.cli.conftest import Answer, Run, run, run_without_database
from tests.conftest import Connect
from tests.operations.job_work import JOBS, queue
from tests.salon import Salon

__all__ = ["run", "run_without_database"]

Session = psycopg.Connection[Any]

DRAIN = "drain_refresh_queue"


def job(answer: Answer, name: str = DRAIN) -> dict[str, Any]:
    """One job of `list --json`."""
    (found,) = (each for each in answer.json if each["name"] == name)
    assert isinstance(found, dict)
    return found


def job_line(answer: Answer, name: str = DRAIN) -> str:
    """One line of the table."""
    return next(line.rstrip() for line in answer.out.splitlines() if line.startswith(f"{name} "))


def run_long_ago(db: Session, minutes: int, finished: str, error: str | None = None) -> None:
    """A run that began so many minutes ago."""
    db.execute(
        "insert into booking.job_runs (job_name, started_at, finished_at, rows_affected, error)"
        " values (%s, now() - make_interval(mins => %s),"
        " now() - make_interval(mins => %s) + %s::interval, 1234, %s)",
        (DRAIN, minutes, minutes, finished, error),
    )


def test_list_names_every_job_its_schedule_and_that_it_never_ran(run: Run) -> None:
    answer = run("jobs", "list")
    assert answer.code == 0
    for name in JOBS:
        assert job_line(answer, name).split()[-2:] == ["never", "waiting"]
    listed = run("jobs", "list", "--json").json
    assert {each["name"]: each["schedule"] for each in listed} == {
        "cleanup_expired_slot_reservations": "*/5 * * * *",
        "delete_old_records": "17 3 * * *",
        "drain_refresh_queue": "* * * * *",
        "nightly_refresh": "7 * * * *",
        "queue_reminders": "* * * * *",
        "release_unpaid_appointments": "* * * * *",
        "roll_up": "27 * * * *",
    }
    assert all(each["description"] and each["is_enabled"] for each in listed)
    assert all(each["cron_schedule"] is each["leader_pid"] is None for each in listed)


def test_list_tells_the_last_run(db: Session, run: Run) -> None:
    run_long_ago(db, 8, "1 second", "not this one")
    run_long_ago(db, 5, "2.5 seconds")
    assert job_line(run("jobs", "list")).endswith("2.5 s  1,234  ok")
    found = job(run("jobs", "list", "--json"))
    assert (found["last_rows"], found["last_seconds"], found["last_error"]) == (1234, 2.5, None)
    assert found["last_started_at"].endswith("+00:00")
    assert (found["is_late"], found["is_running"]) == (False, False)


def test_list_tells_an_error(db: Session, run: Run) -> None:
    run_long_ago(db, 5, "1 second", "disk on fire")
    answer = run("jobs", "list")
    assert job_line(answer).endswith("failed")
    assert answer.out.endswith(f"{DRAIN} failed: disk on fire\n")


def test_list_tells_that_a_job_is_late_or_disabled(db: Session, run: Run) -> None:
    db.execute("update booking.jobs set late_after_minutes = 30")
    run_long_ago(db, 29, "1 second")
    assert not job(run("jobs", "list", "--json"))["is_late"]
    db.execute("update booking.job_runs set started_at = started_at - interval '2 minutes'")
    assert job(run("jobs", "list", "--json"))["is_late"]
    assert job_line(run("jobs", "list")).endswith("late")
    db.execute("update booking.jobs set is_enabled = false")
    assert not job(run("jobs", "list", "--json"))["is_late"]
    assert job_line(run("jobs", "list")).endswith("disabled")


def test_list_tells_a_run_under_way_from_one_that_was_cut_off(
    db: Session, connect: Connect, run: Run
) -> None:
    db.execute("insert into booking.job_runs (job_name, rows_affected) values (%s, 3)", (DRAIN,))
    assert job_line(run("jobs", "list")).endswith("interrupted")
    holder = connect()
    holder.execute("select pg_advisory_lock(hashtext('booking.jobs'), hashtext(%s))", (DRAIN,))
    assert job_line(run("jobs", "list")).endswith("running")
    assert job(run("jobs", "list", "--json"))["is_running"]


def test_list_tells_that_a_scheduler_leads(connect: Connect, run: Run) -> None:
    leader = connect()
    leader.execute("select pg_advisory_lock(hashtext('booking.jobs'), 0)")
    pid = leader.info.backend_pid
    assert f"scheduler (session {pid})" in job_line(run("jobs", "list"))
    assert job(run("jobs", "list", "--json"))["leader_pid"] == pid


def test_run_says_how_many_rows_and_how_long(salon: Salon, run: Run) -> None:
    queue(salon, salon.person)
    answer = run("jobs", "run", DRAIN)
    assert answer.code == 0
    assert answer.out.startswith(f"{DRAIN}: 1 rows in 0.")
    done = run("jobs", "run", DRAIN, "--json").json
    assert (done["name"], done["rows"]) == (DRAIN, 0)
    assert 0 <= done["seconds"] < 10


def test_run_of_an_unknown_job_names_the_known(run: Run) -> None:
    answer = run("jobs", "run", "tea")
    assert answer.code == 2
    assert answer.err == (
        f"Error: There is no job 'tea'.\nHint:  The jobs are: {', '.join(sorted(JOBS))}\n"
    )


def test_run_of_a_failing_job_says_its_error(db: Session, run: Run) -> None:
    db.execute("update booking.jobs set command = 'select 1 / 0'")
    answer = run("jobs", "run", DRAIN)
    assert answer.code == 1
    assert answer.err.startswith(f'Error: job "{DRAIN}" failed: division by zero\n')


def test_run_of_a_job_that_is_running_or_disabled_says_so(
    db: Session, connect: Connect, run: Run
) -> None:
    connect().execute("select pg_advisory_lock(hashtext('booking.jobs'), hashtext(%s))", (DRAIN,))
    answer = run("jobs", "run", DRAIN)
    assert answer.code == 1
    assert answer.err == f"Error: The job {DRAIN} is running already, in another session.\n"
    db.execute("update booking.jobs set is_enabled = false")
    answer = run("jobs", "run", DRAIN)
    assert answer.code == 1
    assert answer.err.startswith(f"Error: The job {DRAIN} is disabled.\n")


def test_install_without_pg_cron_points_to_the_scheduler(run: Run) -> None:
    for command in ("install", "remove"):
        answer = run("jobs", command)
        assert answer.code == 1
        assert "has no pg_cron" in answer.err
        assert "pgbooking scheduler" in answer.err


@pytest.mark.parametrize("database", ["salon", "d" * 63, "ü" * 31])
def test_names_in_pg_cron_are_unique_in_the_cluster_and_short_enough(database: str) -> None:
    names = {cron_name(each, job) for each in (database, database[:-1] + "x") for job in JOBS}
    assert len(names) == 2 * len(JOBS)
    assert all(len(name.encode()) <= 63 for name in names)
    assert all(name.startswith("pgbooking ") for name in names)
