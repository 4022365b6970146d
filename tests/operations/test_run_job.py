"""booking.run_job: one run of a job at a time, step by step, and what each job does and leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.conftest import Connect
from tests.operations.job_work import (
    JOBS,
    give_each_job_something_to_do,
    hold_up,
    job_locks,
    queue,
    run_job,
    runs,
    terminate,
    undone,
)
from tests.salon import Salon, make_salon, set_clock

Session = psycopg.Connection[Any]

DRAIN = "drain_refresh_queue"


def command(db: Session, text: str) -> None:
    """Let the queue's job do something else."""
    db.execute("update booking.jobs set command = %s where name = %s", (text, DRAIN))


def countdown(db: Session, *steps: str) -> None:
    """Let a step of the queue's job be each of these SQL expressions, one after the other."""
    db.execute("create table public.steps (n integer)")
    cases = " ".join(f"when {number} then {step}" for number, step in enumerate(steps))
    db.execute(
        "create function public.step() returns integer language plpgsql as $$ declare v integer;"
        " begin select count(*) into v from public.steps; insert into public.steps values (v);"
        f" return case v {cases} else 0 end; end $$".encode()
    )
    command(db, "select public.step()")


def queued(db: Session) -> list[UUID]:
    """Whose calendars wait."""
    return [row[0] for row in db.execute("select staff_id from booking.refresh_queue").fetchall()]


@dataclass
class StuckRun:
    """The queue's job, which has done one calendar and waits for another that the test locks."""

    pid: int
    done: UUID
    stuck: UUID
    outcome: Future[int | None]
    locker: Session


@pytest.fixture
def stuck_run(
    salon: Salon, connect: Connect, wait_until_blocked: Callable[[int], None]
) -> Iterator[StuckRun]:
    ben = salon.add_person("Ben")
    queue(salon, salon.person)
    set_clock(salon.db, "2026-03-02 07:01+01")
    queue(salon, ben)
    salon.db.execute(
        "update booking.refresh_queue set queued_at = queued_at + '1 minute' where staff_id = %s",
        (ben,),
    )
    locker, runner = connect(), connect()
    set_clock(runner)
    hold_up(locker, ben)
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(run_job, runner, DRAIN)
        wait_until_blocked(runner.info.backend_pid)
        yield StuckRun(runner.info.backend_pid, salon.person, ben, outcome, locker)
        locker.rollback()


# One run at a time


def test_two_runs_of_one_job_cannot_overlap(stuck_run: StuckRun, db: Session) -> None:
    notices: list[str | None] = []
    db.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    assert run_job(db, DRAIN) is None
    assert not stuck_run.outcome.done()
    assert notices == [f'job "{DRAIN}" is running already']
    assert db.execute("select count(*) from booking.job_runs").fetchone() == (1,)

    stuck_run.locker.rollback()
    assert stuck_run.outcome.result(10) is not None
    assert runs(db) == {DRAIN: [(2, None)]}
    assert run_job(db, DRAIN) is not None


def test_a_run_between_two_steps_is_not_taken_for_dead(db: Session, connect: Connect) -> None:
    countdown(db, *["1"] * 40)
    command(db, "select public.step() from pg_sleep(0.02)")
    runner = connect()
    with ThreadPoolExecutor(1) as thread:
        outcome = thread.submit(run_job, runner, DRAIN)
        while db.execute("select count(*) from booking.job_runs").fetchone() == (0,):
            pass
        tries = 0
        while not outcome.done():
            assert run_job(db, DRAIN) is None or outcome.done()
            tries += 1
    assert tries > 1
    assert runs(db)[DRAIN][0] == (40, None)


def test_a_cancel_at_any_moment_leaves_no_lock_behind(db: Session, connect: Connect) -> None:
    runner = connect()
    for number in range(20):
        # For long enough, and mostly between steps.
        [(end,)] = db.execute("select clock_timestamp() + interval '5 seconds'").fetchall()
        command(db, f"select (clock_timestamp() < '{end}')::integer")
        with ThreadPoolExecutor(1) as thread:
            outcome = thread.submit(run_job, runner, DRAIN)
            while db.execute(
                "select count(*) from booking.job_runs where finished_at is null"
                " and rows_affected > 0"
            ).fetchone() == (0,):
                assert not outcome.done()
            time.sleep(number / 10_000)
            db.execute("select pg_cancel_backend(%s)", (runner.info.backend_pid,))
            assert isinstance(outcome.exception(10), psycopg.errors.QueryCanceled)
        assert job_locks(db) == 0, "though the session lives on"
        db.execute("delete from booking.job_runs")


def test_another_job_runs_meanwhile(stuck_run: StuckRun, db: Session) -> None:
    assert run_job(db, "queue_reminders") is not None
    assert not stuck_run.outcome.done()


def test_what_a_step_did_others_see_before_the_run_ends(stuck_run: StuckRun, db: Session) -> None:
    assert queued(db) == [stuck_run.stuck]
    assert db.execute(
        "select rows_affected, finished_at, error from booking.job_runs"
    ).fetchall() == [(1, None, None)]


def test_the_rows_of_all_steps_are_counted_and_how_long_the_run_took(db: Session) -> None:
    countdown(db, "3", "2", "0", "7")
    run_id = run_job(db, DRAIN)
    assert db.execute(
        "select id, job_name, rows_affected, error, finished_at >= started_at from booking.job_runs"
    ).fetchall() == [(run_id, DRAIN, 5, None, True)]


def test_a_disabled_job_does_nothing(salon: Salon, db: Session) -> None:
    queue(salon, salon.person)
    db.execute("update booking.jobs set is_enabled = false")
    assert run_job(db, DRAIN) is None
    assert queued(db) == [salon.person]
    assert runs(db) == {}


def test_an_unknown_job_is_an_error_that_names_it(db: Session) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match='no job "tea"'):
        run_job(db, "tea")


def test_it_needs_membership_in_booking_owner(db: Session) -> None:
    db.execute("set role authenticated")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        run_job(db, DRAIN)


# Failing


def test_a_failing_job_keeps_its_error_raises_it_and_the_next_run_goes_on(db: Session) -> None:
    countdown(db, "2", "1 / (v - 1)")
    with pytest.raises(psycopg.errors.DivisionByZero) as failure:
        run_job(db, DRAIN)
    assert failure.value.diag.message_primary == f'job "{DRAIN}" failed: division by zero'
    assert runs(db) == {DRAIN: [(2, "division by zero")]}
    assert db.execute("select n from public.steps").fetchall() == [(0,)], "only the step went"
    assert job_locks(db) == 0

    command(db, "select 0")
    assert run_job(db, DRAIN) is not None
    assert runs(db) == {DRAIN: [(2, "division by zero"), (0, None)]}


def test_a_cancelled_run_takes_its_step_back_and_says_so(stuck_run: StuckRun, db: Session) -> None:
    db.execute("select pg_cancel_backend(%s)", (stuck_run.pid,))
    with pytest.raises(psycopg.errors.QueryCanceled, match=f'job "{DRAIN}" failed'):
        stuck_run.outcome.result(10)
    assert runs(db) == {DRAIN: [(1, "canceling statement due to user request")]}
    assert db.execute("select staff_id, attempts from booking.refresh_queue").fetchall() == [
        (stuck_run.stuck, 0)
    ]
    assert job_locks(db) == 0, "though its session lives on"

    stuck_run.locker.rollback()
    assert run_job(db, DRAIN) is not None
    assert queued(db) == []


def test_after_a_run_was_killed_the_next_one_says_so_and_goes_on(
    stuck_run: StuckRun, salon: Salon, db: Session
) -> None:
    terminate(db, stuck_run.pid)
    with pytest.raises(psycopg.OperationalError):
        stuck_run.outcome.result(10)
    assert job_locks(db) == 0
    assert queued(db) == [stuck_run.stuck]
    assert runs(db) == {}
    assert salon.differences() == []

    stuck_run.locker.rollback()
    run_job(db, DRAIN)
    assert runs(db) == {DRAIN: [(1, "interrupted"), (1, None)]}
    assert queued(db) == []
    assert salon.differences() == []


# What the jobs do


def test_each_job_does_what_there_is_to_do(salon: Salon, connect: Connect) -> None:
    give_each_job_something_to_do(salon)
    db = connect()
    for name in undone(db):
        run_job(db, name)
        assert [error for _, error in runs(db)[name]] == [None]
        assert name not in undone(db)
    assert len(runs(db)) == len(JOBS), "each had something to do"


def nights(db: Session, clock: str) -> int:
    """How many calendars the nightly refresh does at that moment."""
    set_clock(db, clock)
    run_id = run_job(db, "nightly_refresh")
    row = db.execute("select rows_affected from booking.job_runs where id = %s", (run_id,))
    [(done,)] = row.fetchall()
    return int(done)


def test_a_night_without_the_refresh_hour_is_done_at_the_hour_after_it(salon: Salon) -> None:
    # Berlin, 29 March 2026: 01:59 is followed by 03:00.
    assert nights(salon.db, "2026-03-28 01:00+00") == 1
    assert nights(salon.db, "2026-03-29 00:59+00") == 0
    assert nights(salon.db, "2026-03-29 01:00+00") == 1
    assert salon.differences() == []


def test_a_night_with_the_refresh_hour_twice_is_done_once(salon: Salon) -> None:
    # Berlin, 25 October 2026: 02:59 is followed by 02:00.
    assert nights(salon.db, "2026-10-24 21:00+00") == 1
    assert nights(salon.db, "2026-10-24 23:59+00") == 0
    assert nights(salon.db, "2026-10-25 00:07+00") == 1
    assert nights(salon.db, "2026-10-25 01:07+00") == 0
    assert nights(salon.db, "2026-10-25 22:07+00") == 0
    assert nights(salon.db, "2026-10-26 00:59+00") == 0
    assert nights(salon.db, "2026-10-26 01:07+00") == 1


def test_a_night_that_was_missed_is_made_up_for_at_any_hour(salon: Salon, connect: Connect) -> None:
    salon.db.execute("update booking.tenants set refresh_hour = 23")
    assert nights(salon.db, "2026-03-03 23:07+01") == 1
    writer = connect()
    writer.execute("begin")
    writer.execute("select from booking.calendars for update")
    assert nights(salon.db, "2026-03-04 23:07+01") == 0
    writer.execute("rollback")
    assert nights(salon.db, "2026-03-05 00:07+01") == 1
    assert nights(salon.db, "2026-03-05 22:07+01") == 0
    assert salon.differences() == []


def test_a_clock_that_was_put_back_is_followed(salon: Salon) -> None:
    assert nights(salon.db, "2026-03-08 03:00+01") == 1
    assert nights(salon.db, "2026-03-03 03:00+01") == 1
    assert nights(salon.db, "2026-03-03 04:00+01") == 0
    assert salon.differences() == []


def test_each_tenant_has_its_night_at_its_own_hour(salon: Salon) -> None:
    db = salon.db
    neighbour = make_salon(db)
    db.execute(
        "update booking.tenants set timezone = 'America/New_York', refresh_hour = 4 where id = %s",
        (neighbour.tenant,),
    )
    last_days = (
        "select materialized_until::text from booking.calendars where staff_id = any (%s)"
        " order by staff_id = %s"
    )

    def until() -> list[str]:
        people = [salon.person, neighbour.person]
        return [row[0] for row in db.execute(last_days, (people, neighbour.person))]

    assert until() == ["2026-03-12", "2026-03-12"]
    # Berlin 01:59, New York 19:59 the day before; then 02:00 and 20:00.
    assert nights(db, "2026-03-03 00:59+00") == 0
    assert nights(db, "2026-03-03 01:00+00") == 1
    assert until() == ["2026-03-13", "2026-03-12"]
    # New York 03:59 and 04:00.
    assert nights(db, "2026-03-03 08:59+00") == 0
    assert nights(db, "2026-03-03 09:00+00") == 1
    assert until() == ["2026-03-13", "2026-03-13"]
    assert nights(db, "2026-03-03 23:00+00") == 0
    assert salon.differences() == neighbour.differences() == []


def test_a_night_that_fails_is_queued_with_its_error_and_stops_no_other(salon: Salon) -> None:
    salon.add_person("Ben")
    break_calendar(salon)
    assert nights(salon.db, "2026-03-03 03:00+01") == 1
    assert salon.db.execute(
        "select staff_id, reason, last_error from booking.refresh_queue"
    ).fetchall() == [(salon.person, "nightly refresh failed", "disk on fire")]


def break_calendar(salon: Salon) -> None:
    """Let every write to the slots of the salon's first person fail."""
    salon.db.execute(
        "create function booking.fail() returns trigger language plpgsql"
        " as $$ begin raise 'disk on fire'; end $$"
    )
    salon.db.execute(
        "create trigger fail before update or delete on booking.availability_slots for each row"
        f" when (old.staff_id = '{salon.person}') execute function booking.fail()".encode()
    )


def test_a_failing_calendar_waits_for_its_next_turn_and_stops_no_other(salon: Salon) -> None:
    db = salon.db
    ben = salon.add_person("Ben")
    queue(salon, salon.person)
    queue(salon, ben)
    db.execute("update booking.availability_slots set is_available = false")
    break_calendar(salon)
    entry = "select staff_id, attempts, last_error, retry_at from booking.refresh_queue"

    def after_a_run_at(clock: str) -> list[Any]:
        set_clock(db, f"2026-03-02 {clock}+01")
        run_job(db, DRAIN)
        return db.execute(entry).fetchall()

    def at(clock: str) -> datetime:
        return datetime.fromisoformat(f"2026-03-02 {clock}+01:00")

    first = [(salon.person, 1, "disk on fire", at("07:02:00"))]
    second = [(salon.person, 2, "disk on fire", at("07:06:00"))]
    assert after_a_run_at("07:00") == first
    assert after_a_run_at("07:01:59") == first, "its turn has not come"
    assert after_a_run_at("07:02") == second
    assert after_a_run_at("07:05") == second
    assert {error for _, error in runs(db)[DRAIN]} == {None}, "the job itself does not fail"
    assert [rows for rows, _ in runs(db)[DRAIN]] == [2, 0, 1, 0]

    db.execute("drop trigger fail on booking.availability_slots")
    assert after_a_run_at("07:06") == []
    assert salon.differences() == []


def test_a_new_change_makes_a_failing_calendar_due_at_once(salon: Salon) -> None:
    db = salon.db
    db.execute(
        "insert into booking.staff (tenant_id, display_name)"
        " select %s, 'Nr. ' || n from generate_series(1, 20) as n",
        (salon.tenant,),
    )
    db.execute(
        "select booking.queue_failed(%s, %s, 'test', 'disk on fire')", (salon.tenant, salon.person)
    )
    run_job(db, DRAIN)
    assert queued(db) == [salon.person]
    # More people than are done at once.
    everyone = "array(select id from booking.staff)"
    db.execute(
        f"select booking.refresh_or_queue(%s, {everyone}, 'new prices')".encode(), (salon.tenant,)
    )
    run_job(db, DRAIN)
    assert queued(db) == []


# A record of each kind that settings let go, so many days old (of UTC) and a little more or not.
OLD_RECORDS = (
    "insert into booking.audit_log (tenant_id, occurred_at, action, outcome)"
    " values (%(tenant)s, %(today)s - interval '400 days' - %(more)s, %(label)s, 'success')",
    "insert into booking.searches (tenant_id, searched_at, has_result, stands_for)"
    " values (%(tenant)s, %(today)s - interval '400 days' - %(more)s, %(label)s = 'keep', 1)",
    "insert into booking.events (tenant_id, kind, appointment_id, payload, processed_at)"
    " values (%(tenant)s, 'payment', %(appointment)s, jsonb_build_object('is', %(label)s::text),"
    "   %(today)s - interval '30 days' - %(more)s)",
    # Its start has come, so no reminder of it can be written again.
    "insert into booking.events (tenant_id, kind, appointment_id, payload, processed_at)"
    " values (%(tenant)s, 'reminder_due', %(appointment)s, "
    "   jsonb_build_object('is', %(label)s::text, 'start_time', %(today)s - %(more)s),"
    "   %(today)s - interval '30 days' - %(more)s)",
    "insert into booking.job_runs (job_name, started_at, error)"
    " values ('queue_reminders', %(today)s - interval '20 days' - %(more)s, %(label)s)",
    "insert into booking.verification_runs (tenant_id, started_at, calendars)"
    " values (%(tenant)s, %(today)s - interval '90 days' - %(more)s,"
    "   case %(label)s when 'keep' then 1 else 0 end)",
    "insert into booking.rate_limits (bucket, key, tat)"
    " values ('reads', %(label)s, %(today)s - %(more)s)",
)

# However long ago they were written or processed.
KEPT_RECORDS = (
    "insert into booking.events (tenant_id, kind, appointment_id, payload, created_at)"
    " values (%(tenant)s, 'booked', %(appointment)s, jsonb_build_object('is', 'unprocessed'),"
    "   '2025-01-01')",
    "insert into booking.events (tenant_id, kind, appointment_id, payload, processed_at)"
    " values (%(tenant)s, 'reminder_due', %(appointment)s, jsonb_build_object('is', 'ahead',"
    "   'start_time', booking.now() + interval '1 microsecond'), '2025-01-01')",
)


def test_old_records_go_exactly_when_the_settings_say(salon: Salon) -> None:
    db = salon.db
    db.execute(
        "update booking.settings set audit_retention_days = 400, event_retention_days = 30,"
        " job_run_retention_days = 20, verification_retention_days = 90"
    )
    [(today,)] = db.execute("select date_trunc('day', booking.now(), 'UTC')").fetchall()
    of = {"tenant": salon.tenant, "appointment": salon.appointment(), "today": today}
    db.execute("delete from booking.events")
    for label, more in (("drop", "1 microsecond"), ("keep", "0")):
        for statement in OLD_RECORDS:
            db.execute(
                statement.replace("%(more)s", "%(more)s::interval").encode(),
                of | {"label": label, "more": more},
            )
    for statement in KEPT_RECORDS:
        db.execute(statement.encode(), of)

    run_job(db, "delete_old_records")
    assert runs(db)["delete_old_records"] == [(len(OLD_RECORDS), None)]

    def left(query: str) -> list[Any]:
        return [row[0] for row in db.execute(query.encode()).fetchall()]

    assert left("select action from booking.audit_log where action in ('keep', 'drop')") == ["keep"]
    assert left("select has_result from booking.searches") == [True]
    assert sorted(left("select payload ->> 'is' from booking.events")) == [
        "ahead", "keep", "keep", "unprocessed",
    ]  # fmt: skip
    assert left("select error from booking.job_runs where job_name = 'queue_reminders'") == ["keep"]
    assert left("select calendars from booking.verification_runs") == [1]
    assert left("select key from booking.rate_limits") == ["keep"]
