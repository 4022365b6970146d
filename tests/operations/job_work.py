"""Something to do for each of the jobs, by the real clock, and what must hold afterwards."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg

from tests.salon import TEN, Salon

Session = psycopg.Connection[Any]

JOBS = {
    "cleanup_expired_slot_reservations",
    "delete_old_records",
    "drain_refresh_queue",
    "nightly_refresh",
    "queue_reminders",
    "release_unpaid_appointments",
    "roll_up",
}


def give_each_job_something_to_do(salon: Salon) -> None:
    """A step for each, and no two want the same calendar: who finds one locked skips it.

    The salon's clock stands in the past, so that each calendar's night is due by the real one.
    """
    db = salon.db
    unpaid, queued = salon.add_person("Ben"), salon.add_person("Cem")
    salon.add_person("Dora")
    salon.hold(salon.cut, TEN)
    salon.appointment(
        TEN, staff_id=unpaid, status="pending", payment_status="pending", payment_due_at=TEN
    )
    salon.appointment(datetime.now(UTC) + timedelta(hours=2), staff_id=unpaid)
    db.execute(
        "insert into booking.audit_log (tenant_id, occurred_at, action, outcome, actor_role)"
        " values (%s, now() - interval '500 days', 'book', 'success', 'anon')",
        (salon.tenant,),
    )
    # All days are rolled up but one.
    db.execute(
        "insert into booking.rollups (tenant_id, rolled_until)"
        " select id, least((now() at time zone timezone)::date,"
        "   (now() at time zone 'Etc/GMT+12')::date) - 2"
        " from booking.tenants"
    )
    db.execute("update booking.tenants set refresh_hour = 0")
    by_the_real_clock(db)
    db.execute(
        "select booking.refresh_horizon(%s, %s)", (salon.tenant, [salon.person, unpaid, queued])
    )
    queue(salon, queued)


def by_the_real_clock(db: Session) -> None:
    """Let the session's clock run again."""
    db.execute("select set_config('booking.fake_now', '', false)")


def queue(salon: Salon, person: UUID) -> None:
    """Have a person's calendar published anew, by the job."""
    salon.db.execute(
        "insert into booking.refresh_queue (tenant_id, staff_id, reason) values (%s, %s, 'test')",
        (salon.tenant, person),
    )


def hold_up(locker: Session, person: UUID) -> None:
    """Let whoever publishes this person's calendar wait until the locker's transaction ends: for
    a slot that is not as it should be."""
    wrong = (
        "select id from booking.availability_slots where staff_id = %s order by start_time, id"
        " limit 1"
    )
    with psycopg.connect(locker.info.dsn) as other:
        other.execute(
            "update booking.availability_slots set is_available = not is_available"
            f" where id = ({wrong})".encode(),
            (person,),
        )
    locker.execute("begin")
    locker.execute(f"{wrong} for update".encode(), (person,))


def undone(db: Session) -> list[str]:
    """Which of the jobs have not done what there was to do."""
    row = db.execute(
        "select array_remove(array["
        " case when exists (select from booking.slot_reservations)"
        "   then 'cleanup_expired_slot_reservations' end,"
        " case when exists (select from booking.audit_log"
        "   where occurred_at < now() - interval '1 year')"
        "   then 'delete_old_records' end,"
        " case when exists (select from booking.refresh_queue) then 'drain_refresh_queue' end,"
        " case when exists (select from booking.calendars where materialized_until < now())"
        "   then 'nightly_refresh' end,"
        " case when not exists (select from booking.events where kind = 'reminder_due')"
        "   then 'queue_reminders' end,"
        " case when exists (select from booking.appointments"
        "   where status = 'pending' and payment_due_at < now())"
        "   then 'release_unpaid_appointments' end,"
        " case when not exists (select from booking.rollups"
        "   where rolled_until >= (now() at time zone 'Etc/GMT+12')::date - 1)"
        "   then 'roll_up' end"
        "], null)"
    ).fetchone()
    assert row is not None
    return list(row[0])


def runs(db: Session) -> dict[str, list[tuple[int, str | None]]]:
    """Rows and error of each finished run of each job, oldest first."""
    found: dict[str, list[tuple[int, str | None]]] = {}
    for name, rows, error in db.execute(
        "select job_name, rows_affected, error from booking.job_runs"
        " where finished_at is not null order by id"
    ):
        found.setdefault(name, []).append((rows, error))
    return found


def job_locks(db: Session) -> int:
    """How many advisory locks are held in this database: a run's, or a leader's."""
    row = db.execute(
        "select count(*) from pg_catalog.pg_locks l where l.locktype = 'advisory' and l.database ="
        " (select oid from pg_catalog.pg_database where datname = current_database())"
    ).fetchone()
    assert row is not None
    return int(row[0])


def differences(salon: Salon) -> list[Any]:
    """What is published by the real clock and is not what the calculator says."""
    by_the_real_clock(salon.db)
    return salon.differences()


def run_job(db: Session, name: str) -> int | None:
    """Run it to its end; returns the id of the run."""
    row = db.execute("call booking.run_job(%s)", (name,)).fetchone()
    assert row is not None
    run_id: int | None = row[0]
    return run_id


def terminate(db: Session, pid: int) -> None:
    """Kill a backend, and return when it is gone: with it go its locks."""
    db.execute("select pg_terminate_backend(%s, 10000)", (pid,))
