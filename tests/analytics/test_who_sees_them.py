"""A tenant's analytics are for its admins and the service: nobody else sees a row, rolled up or
live, and no figure of one tenant comes from another's rows."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.analytics.weeks import THURSDAY, TUESDAY, VIEWS, at, clock, figures, roll_up
from tests.api import ANON, SERVICE, Api, Caller, customer, member
from tests.booking.booked import book, slot_at, staff_of
from tests.rls.acting import run
from tests.salon import TEN, Salon, insert

TABLES = (
    "daily_attempts",
    "daily_supply",
    "daily_holds",
    "daily_bookings",
    "daily_appointments",
)
LIVE = ("attempts", "supply", "holds", "bookings", "appointments")


@pytest.fixture
def other(salon: Salon) -> Any:
    """Another tenant, with an admin."""
    return insert(salon.db, "tenants", name="Elsewhere", timezone="Europe/Berlin")


@pytest.fixture(params=["live", "rolled up"])
def busy(salon: Salon, request: pytest.FixtureRequest) -> Salon:
    """Something of each kind, some of it cancelled, refused and searched for."""
    salon.db.execute("update booking.settings set search_sample = 1")
    Api(salon.db).call(
        "get_available_slots", tenant_id=salon.tenant, start_date=TUESDAY, end_date=TUESDAY
    )
    booked = book(salon, slot_at(salon, TEN))
    Api(salon.db).call(
        "reserve_slot", slot_id=booked.slot, session_id="somebody else...", appointment_type="cut"
    )
    salon.appointment(at(TUESDAY, "13:00"), 60)
    clock(salon, THURSDAY, "13:30")
    if request.param == "rolled up":
        assert roll_up(salon) == 3
    return salon


def test_admins_of_the_tenant_and_the_service_see_all_of_it(busy: Salon) -> None:
    for view in VIEWS:
        assert figures(busy, view), view
        assert figures(busy, view, caller=SERVICE), view


def test_members_elsewhere_staff_customers_and_strangers_see_nothing(
    busy: Salon, other: Any
) -> None:
    both = Caller(
        "authenticated",
        {
            "sub": str(uuid4()),
            "app_metadata": {
                "tenants": {
                    str(busy.tenant): {"role": "staff", "staff_id": str(busy.person)},
                    str(other): {"role": "admin", "staff_id": None},
                }
            },
            # Which the user can write.
            "user_metadata": {"tenants": {str(busy.tenant): {"role": "admin"}}},
        },
    )
    callers = (member(uuid4(), other, "admin"), staff_of(busy), customer(uuid4()), both)
    for caller in callers:
        for view in VIEWS:
            assert figures(busy, view, caller=caller) == [], (caller, view)
            # Nor where the tenant is asked for, or a condition that fails would tell of a row.
            answer = run(
                busy.db,
                caller,
                f"select 1 / (case when tenant_id = '{busy.tenant}' then 0 else 1 end)"
                f" from api.{view}",
            )
            assert (answer.state, answer.rows) == ("00000", 0), (caller, view)
        for table in TABLES:
            answer = run(busy.db, caller, f"select * from booking.{table}")
            assert (answer.state, answer.rows) == ("00000", 0), (caller, table)
        for name in LIVE:
            answer = run(busy.db, caller, f"select * from booking.live_{name}(%s)", [busy.tenant])
            assert (answer.state, answer.rows) == ("00000", 0), (caller, name)


def test_anonymous_callers_are_refused(busy: Salon) -> None:
    for relation in [*(f"api.{view}" for view in VIEWS), *(f"booking.{name}" for name in TABLES)]:
        assert run(busy.db, ANON, f"select * from {relation}").state == "42501", relation


def test_nobody_writes_them_or_reads_what_they_are_made_from(busy: Salon) -> None:
    admin = member(uuid4(), busy.tenant, "admin")
    for caller in (admin, SERVICE):
        for table in TABLES:
            answer = run(busy.db, caller, f"delete from booking.{table}")
            assert answer.state == "42501", table
        for table in ("searches", "rollups", "audit_log"):
            assert run(busy.db, caller, f"select * from booking.{table}").state == "42501", table
        for function in ("attempts_of", "supply_of", "holds_of", "bookings_of", "appointments_of"):
            answer = run(
                busy.db, caller, f"select booking.{function}(%s, '[2026-03-01, 2026-03-09)')",
                [busy.tenant],
            )  # fmt: skip
            assert answer.state == "42501", function


def test_no_column_is_about_a_customer(salon: Salon) -> None:
    columns = {
        name
        for (name,) in salon.db.execute(
            "select column_name from information_schema.columns where table_schema = 'api'"
            " and table_name = any (%s)",
            (list(VIEWS),),
        )
    }
    assert not [name for name in columns if "customer" in name or "session" in name]
    assert {name for name in columns if name.endswith("_id")} == {
        "tenant_id",
        "location_id",
        "staff_id",
        "appointment_type_id",
    }


def test_one_tenants_figures_come_from_its_own_rows(busy: Salon, other: Any) -> None:
    admin = member(uuid4(), other, "admin")
    roll_up(busy)
    assert {view: figures(busy, view, caller=admin) for view in VIEWS} == {
        view: [] for view in VIEWS
    }
    before = {view: figures(busy, view) for view in VIEWS}
    place = insert(busy.db, "locations", tenant_id=other, name="Elsewhere")
    person = insert(busy.db, "staff", tenant_id=other, display_name="Eve")
    service = insert(
        busy.db, "appointment_types", tenant_id=other, code="cut", name="Cut", duration_minutes=30
    )
    insert(
        busy.db,
        "appointments",
        tenant_id=other,
        staff_id=person,
        location_id=place,
        appointment_type_id=service,
        start_time=at(THURSDAY, "10:00"),
        end_time=at(THURSDAY, "11:00"),
    )
    assert {view: figures(busy, view) for view in VIEWS} == before
    assert figures(busy, "cancellations", "appointments", admin) == [{"appointments": 1}]
