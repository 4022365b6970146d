"""Sixteen clients do everything at once, at random; the promises hold at every moment.

PGBOOKING_LOAD_SECONDS says for how long, or up to ten times that until everything that is to be
seen has happened: a machine that is busy does less. With pytest -s it prints what happened.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import psycopg

from pgbooking import verify
from pgbooking.connection import connected
from pgbooking.output import progress_bar
from tests.load import Load, make_shop, overlaps

Session = psycopg.Connection[Any]

SECONDS = float(os.environ.get("PGBOOKING_LOAD_SECONDS", "6"))


def test_under_a_random_load_nothing_ever_overlaps_and_everything_is_on_record(
    connect: Callable[[], Session], database_url: str
) -> None:
    db = connect()
    shop = make_shop(db)
    load = Load(database_url, shop)
    observer = connect()
    observer.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    snapshots = 0
    began = time.monotonic()
    with load.running():
        while load.is_working and (
            time.monotonic() < began + SECONDS
            or (time.monotonic() < began + 10 * SECONDS and not outcomes(load) >= EVERY_OUTCOME)
        ):
            with observer.transaction():
                assert overlaps(observer) == []
                if snapshots % 10 == 0:
                    assert differences(observer, shop.tenant) == []
            snapshots += 1

    print(f"{load.summary()}\n  snapshots: {snapshots}")
    assert outcomes(load) >= EVERY_OUTCOME, "the load has become too tame to prove anything"

    db.execute("call booking.drain_refresh_queue()")
    assert load.broken_promises(db) == []
    assert differences(db, shop.tenant) == []
    assert deadlocks(db) == 0
    with connected(database_url) as connection, progress_bar() as bar:
        report = verify.verify(connection, bar, independent=True)
    assert report.differences == 0, report


EVERY_OUTCOME = {
    ("reserve_slot", None),
    ("reserve_slot", "slot_taken"),
    ("release_slot", None),
    ("create_appointment", None),
    ("create_appointment", "reservation_expired"),
    ("reschedule_appointment", None),
    ("cancel_appointment", None),
}


def outcomes(load: Load) -> set[tuple[str, str | None]]:
    """What calls have been answered with so far."""
    return {outcome for client in load.clients for outcome in list(client.answered)}


def differences(db: Session, tenant: object) -> list[tuple[Any, ...]]:
    return db.execute(
        "select kind, staff_id, start_time, published, expected from booking.find_differences(%s)",
        (tenant,),
    ).fetchall()


def deadlocks(db: Session) -> int:
    """Deadlocks in this database since it was made; functions that retry hide theirs."""
    row = db.execute(
        "select deadlocks from pg_catalog.pg_stat_database where datname = current_database()"
    ).fetchone()
    assert row is not None
    return int(row[0])
