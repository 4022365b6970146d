"""What an anonymous PostgREST caller sees, acting as PostgREST does: role, claims, read-only."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.api import ANON
from tests.rls.acting import acting_as
from tests.salon import TEN, Salon, insert, set_clock


def as_anon(
    db: psycopg.Connection[Any], method: str = "GET"
) -> AbstractContextManager[psycopg.Connection[Any]]:
    """A request by a caller without a token."""
    return acting_as(db, ANON, method=method)


def offered(salon: Salon, condition: str = "true") -> int:
    with as_anon(salon.db) as db:
        row = db.execute(
            f"select count(*) from availability_slots where {condition}".encode()
        ).fetchone()
    assert row is not None
    return int(row[0])


COLUMNS = {
    "availability_slots": "id, tenant_id, staff_id, location_id, shape_id, start_time, end_time,"
    " duration_minutes, seats_left, is_available",
    "locations": "id, tenant_id, name, timezone",
    "staff": "id, tenant_id, display_name",
    "appointment_types": "id, tenant_id, shape_id, code, name, duration_minutes, price_cents,"
    " currency, requires_payment, capacity",
    "staff_appointment_types": "tenant_id, staff_id, appointment_type_id",
}


@pytest.mark.parametrize("view", COLUMNS)
def test_the_public_views_show_exactly_these_columns(salon: Salon, view: str) -> None:
    with as_anon(salon.db) as db:
        cursor = db.execute(f"select * from {view}".encode())
        assert cursor.description is not None
        assert ", ".join(column.name for column in cursor.description) == COLUMNS[view]
        assert cursor.fetchall()


def test_the_public_views_are_all_there_is(salon: Salon) -> None:
    rows = salon.db.execute(
        "select c.relname from pg_class c where c.relnamespace = 'api'::regnamespace"
        " and has_table_privilege('anon', c.oid, 'select') order by 1"
    ).fetchall()
    assert [row[0] for row in rows] == sorted(COLUMNS)


def test_only_what_can_be_booked_now_is_offered(salon: Salon) -> None:
    everything = offered(salon)
    salon.appointment()
    without_booked = offered(salon)
    assert without_booked < everything
    salon.hold(salon.cut, TEN + timedelta(hours=3))
    assert offered(salon) < without_booked
    set_clock(salon.db, "2026-03-02 07:10+01")
    assert offered(salon) == without_booked
    assert offered(salon, "not is_available or seats_left < 1") == 0


def test_notice_and_advance_are_asked_when_reading(salon: Salon) -> None:
    monday = "start_time < '2026-03-03 00:00+01' and duration_minutes = 30"
    assert offered(salon, monday) == 31
    set_clock(salon.db, "2026-03-02 12:00+01")
    assert offered(salon, monday) == 18, "from 12:15 to 16:30"
    salon.db.execute("update booking.tenants set min_notice_minutes = 120")
    assert offered(salon, monday) == 10, "from 14:15 to 16:30"
    salon.db.execute("update booking.appointment_types set max_advance_days = 2")
    assert offered(salon, "start_time > '2026-03-04 12:00+01'") == 0
    assert offered(salon, "start_time = '2026-03-04 12:00+01' and duration_minutes = 30") == 1


def test_what_is_deactivated_is_hidden_at_once_whatever_the_queue_has_to_do(salon: Salon) -> None:
    for number in range(20):
        salon.add_person(f"S{number}")
    salon.db.execute("update booking.tenants set is_active = false")
    assert salon.db.execute("select count(*) from booking.refresh_queue").fetchone() == (21,)
    for view in COLUMNS:
        with as_anon(salon.db) as db:
            assert db.execute(f"select count(*) from {view}".encode()).fetchone() == (0,)


def test_inactive_people_places_and_types_have_no_public_names(salon: Salon) -> None:
    for table in ("staff", "locations", "appointment_types"):
        salon.db.execute(f"update booking.{table} set is_active = false".encode())
        with as_anon(salon.db) as db:
            assert db.execute(f"select count(*) from {table}".encode()).fetchone() == (0,)


def test_a_location_tells_its_tenants_zone_where_it_has_none(salon: Salon) -> None:
    with as_anon(salon.db) as db:
        assert db.execute("select timezone from locations").fetchone() == ("Europe/Berlin",)


def test_a_fake_clock_is_not_for_callers(salon: Salon) -> None:
    salon.db.execute("create role pgbooking_test_caller login in role anon")
    try:
        salon.db.execute("set session authorization pgbooking_test_caller")
        salon.db.execute("set role anon")
        set_clock(salon.db, "2026-03-02 16:00+01")
        row = salon.db.execute(
            "select abs(extract(epoch from booking.now() - clock_timestamp())) < 60"
        )
        assert row.fetchone() == (True,)
    finally:
        salon.db.execute("reset session authorization")
        salon.db.execute("drop role pgbooking_test_caller")


def test_a_strangers_rows_are_told_apart_by_tenant(salon: Salon) -> None:
    other = insert(salon.db, "tenants", name="B", timezone="UTC")
    insert(salon.db, "locations", tenant_id=other, name="B's place")
    with as_anon(salon.db) as db:
        rows = db.execute("select name from locations where tenant_id = %s", (salon.tenant,))
        assert rows.fetchall() == [("Mitte",)]
