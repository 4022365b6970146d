"""Who sees and writes appointments through api.appointments, acting as PostgREST does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from tests.api import ANON, SERVICE, Caller, customer, member
from tests.rls.acting import acting_as
from tests.salon import TEN, Salon, make_salon

USER = uuid4()
STRANGER = customer(uuid4())
HOUR = timedelta(hours=1)


def visible(salon: Salon, caller: Caller) -> set[UUID]:
    with acting_as(salon.db, caller, keep=True) as db:
        return {row[0] for row in db.execute("select id from appointments").fetchall()}


def update(salon: Salon, caller: Caller, assignment: str, appointment: UUID) -> int:
    with acting_as(salon.db, caller, keep=True) as db:
        return db.execute(
            f"update appointments set {assignment} where id = %s".encode(), (appointment,)
        ).rowcount


def book(salon: Salon, caller: Caller, staff_id: UUID, start: Any = TEN) -> None:
    with acting_as(salon.db, caller, keep=True) as db:
        db.execute(
            "insert into appointments"
            " (tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time)"
            " values (%s, %s, %s, %s, %s, %s)",
            (salon.tenant, staff_id, salon.location, salon.cut, start, start + HOUR),
        )


def status(salon: Salon, appointment: UUID) -> str:
    row = salon.db.execute(
        "select status from booking.appointments where id = %s", (appointment,)
    ).fetchone()
    assert row is not None
    return str(row[0])


@pytest.fixture
def own(salon: Salon) -> UUID:
    """An appointment of USER, an hour after ten."""
    return salon.appointment(TEN + HOUR, customer_id=USER)


def admin(salon: Salon) -> Caller:
    return member(uuid4(), salon.tenant, "admin")


def staff(salon: Salon, person: UUID | None = None) -> Caller:
    return member(uuid4(), salon.tenant, "staff", person or salon.person)


def test_customers_see_their_own_and_nobody_elses(salon: Salon, own: UUID) -> None:
    salon.appointment(customer_id=uuid4())
    assert visible(salon, customer(USER)) == {own}
    assert visible(salon, STRANGER) == set()


def test_guests_appointments_belong_to_no_customer(salon: Salon) -> None:
    salon.appointment()
    assert visible(salon, Caller("authenticated")) == set()


def test_anonymous_callers_see_nothing_at_all(salon: Salon, own: UUID) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        visible(salon, ANON)


def test_staff_and_admins_see_all_of_their_tenant(salon: Salon, own: UUID) -> None:
    other = salon.appointment(staff_id=salon.add_person())
    for caller in (staff(salon), admin(salon), SERVICE):
        assert visible(salon, caller) == {own, other}


def test_another_tenants_members_see_and_write_nothing(salon: Salon, own: UUID) -> None:
    elsewhere = make_salon(salon.db)
    for role in ("admin", "staff"):
        # Whoever made a person over there may have given them this person's id.
        caller = member(uuid4(), elsewhere.tenant, role, salon.person)
        assert visible(salon, caller) == set()
        assert update(salon, caller, "status = 'cancelled'", own) == 0
        with pytest.raises(errors.InsufficientPrivilege):
            book(salon, caller, salon.person)
    assert status(salon, own) == "confirmed"


def test_a_membership_in_another_tenant_does_not_lend_its_staff_id(salon: Salon, own: UUID) -> None:
    elsewhere = make_salon(salon.db)
    colleague = salon.add_person()
    memberships = {
        str(salon.tenant): {"role": "staff", "staff_id": str(colleague)},
        str(elsewhere.tenant): {"role": "staff", "staff_id": str(salon.person)},
    }
    caller = Caller("authenticated", {"app_metadata": {"tenants": memberships}})
    with pytest.raises(errors.InsufficientPrivilege):
        update(salon, caller, "status = 'cancelled'", own)
    with pytest.raises(errors.InsufficientPrivilege):
        book(salon, caller, salon.person)


def test_customers_write_nothing_directly(salon: Salon, own: UUID) -> None:
    assert update(salon, customer(USER), "status = 'cancelled'", own) == 0
    with pytest.raises(errors.InsufficientPrivilege):
        book(salon, customer(USER), salon.person)


def service(_: Salon) -> Caller:
    return SERVICE


@pytest.mark.parametrize("who", [staff, admin, service])
def test_staff_book_and_update_and_the_slots_follow(salon: Salon, who: Any) -> None:
    book(salon, who(salon), salon.person)
    (appointment,) = visible(salon, who(salon))
    assert not salon.available(salon.cut)
    assert update(salon, who(salon), "status = 'cancelled', cancel_reason = 'ill'", appointment)
    assert salon.available(salon.cut)
    assert salon.differences() == []


def test_staff_write_in_no_colleagues_calendar(salon: Salon, own: UUID) -> None:
    colleague = salon.add_person()
    assert update(salon, staff(salon, colleague), "status = 'cancelled'", own) == 0
    with pytest.raises(errors.InsufficientPrivilege):
        book(salon, staff(salon, colleague), salon.person)
    with pytest.raises(errors.InsufficientPrivilege):
        update(salon, staff(salon), f"staff_id = '{colleague}'", own)
    assert update(salon, admin(salon), f"staff_id = '{colleague}'", own) == 1


def test_what_has_begun_can_be_completed_or_missed(salon: Salon) -> None:
    begun = salon.appointment(TEN - 2 * HOUR * 24)
    for new in ("completed", "no_show", "confirmed", "no_show"):
        assert update(salon, staff(salon), f"status = '{new}'", begun) == 1
        assert status(salon, begun) == new


@pytest.mark.parametrize("new", ["completed", "no_show"])
def test_what_lies_ahead_can_be_neither(salon: Salon, own: UUID, new: str) -> None:
    with pytest.raises(errors.CheckViolation, match="begins at 2026-03-03T10:00:00Z"):
        update(salon, staff(salon), f"status = '{new}'", own)


def test_what_is_cancelled_is_not_completed(salon: Salon) -> None:
    begun = salon.appointment(TEN - 2 * HOUR * 24, status="cancelled")
    with pytest.raises(errors.CheckViolation, match="is cancelled"):
        update(salon, staff(salon), "status = 'completed'", begun)


@pytest.mark.parametrize(
    "assignment",
    [
        "id = gen_random_uuid()",
        "tenant_id = gen_random_uuid()",
        "seat = 2",
        "payment_status = 'paid'",
        "customer_id = null",
        "source = 'x'",
        "slot_id = null",
        "created_at = now()",
    ],
)
def test_some_columns_are_nobodys_to_write(salon: Salon, own: UUID, assignment: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        update(salon, admin(salon), assignment, own)


def test_secrets_are_not_in_the_view(salon: Salon) -> None:
    cursor = salon.db.execute("select * from api.appointments")
    assert cursor.description is not None
    columns = {column.name for column in cursor.description}
    assert not columns & {"manage_token_hash", "idempotency_key", "request_hash"}
    with (
        acting_as(salon.db, admin(salon), keep=True) as db,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        db.execute("select manage_token_hash from booking.appointments")


def test_names_and_zone_come_along(salon: Salon, own: UUID) -> None:
    with acting_as(salon.db, customer(USER), keep=True) as db:
        row = db.execute(
            "select staff_name, location_name, timezone, appointment_type_name from appointments"
        ).fetchone()
    assert row == ("Ada", "Mitte", "Europe/Berlin", "Cut")


def test_nobody_deletes(salon: Salon, own: UUID) -> None:
    with (
        acting_as(salon.db, admin(salon), keep=True) as db,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        db.execute("delete from appointments")
