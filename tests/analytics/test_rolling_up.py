"""The job that rolls days up: each once, whoever else is at it, and nobody waits for a tenant that
fails."""

from __future__ import annotations

from datetime import timedelta

import psycopg

from tests.analytics.weeks import THURSDAY, at, clock, roll_up
from tests.salon import Salon, insert, set_clock


def test_a_tenant_that_fails_stops_no_other_and_keeps_its_error(salon: Salon) -> None:
    broken = insert(salon.db, "tenants", name="Broken", timezone="Europe/Berlin")
    clock(salon, THURSDAY, "13:30")
    roll_up(salon)
    salon.db.execute(
        "alter table booking.daily_attempts add constraint never_is_this"
        f" check (tenant_id <> '{broken}')".encode()
    )
    salon.db.execute(
        "insert into booking.searches (tenant_id, searched_at, has_result, stands_for)"
        " values (%s, %s, true, 1)",
        (broken, at(THURSDAY, "14:00")),
    )
    clock(salon, THURSDAY + timedelta(days=1), "13:30")
    assert roll_up(salon) == 1
    rows = salon.db.execute(
        "select tenant_id, rolled_until, last_error is null from booking.rollups"
    ).fetchall()
    assert set(rows) == {
        (salon.tenant, THURSDAY, True),
        (broken, THURSDAY - timedelta(days=1), False),
    }
    # Mended, it goes on by itself.
    salon.db.execute("alter table booking.daily_attempts drop constraint never_is_this")
    clock(salon, THURSDAY + timedelta(days=1), "14:00")
    assert roll_up(salon) == 0
    clock(salon, THURSDAY + timedelta(days=1), "14:31")
    assert roll_up(salon) == 1


def test_two_runs_of_the_job_do_each_day_once(salon: Salon, database_url: str) -> None:
    clock(salon, THURSDAY, "13:30")
    assert roll_up(salon) == 0
    clock(salon, THURSDAY + timedelta(days=1), "13:30")
    step = "select booking.roll_up_next()"
    with psycopg.connect(database_url, autocommit=True) as second:
        set_clock(second, str(at(THURSDAY + timedelta(days=1), "13:30")))
        with salon.db.transaction():
            assert salon.db.execute(step).fetchall() == [(1,)]
            # The tenant is taken, and nobody waits for it.
            assert second.execute(step).fetchall() == [(0,)]
        assert second.execute(step).fetchall() == [(0,)]
    assert salon.db.execute(
        "select date, count(*), sum(working_minutes) from booking.daily_supply group by date"
    ).fetchall() == [(THURSDAY, 8, 480)]
