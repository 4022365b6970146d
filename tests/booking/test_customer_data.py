"""A customer's rights: to get what is kept about them, and to have it erased."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors, sql

from tests.api import SERVICE
from tests.booking.booked import (
    ADA,
    BOB,
    OTHER_SESSION,
    SESSION,
    Booking,
    add_service,
    appointment,
    assert_refused,
    audit_rows,
    book,
    call,
    changes_since,
    create,
    direct_connection,
    everything,
    holds,
    reserve,
    rows,
    slot_at,
    staff_of,
    user_of,
)
from tests.salon import TEN, Salon, make_salon, set_clock

DATA = {
    "name": "Zenobia Quux",
    "email": "Zenobia@Quux.example",
    "phone": "+99 123456789",
    "allergies": ["ammonia"],
}
OTHER_DATA = {"name": "Bob", "email": "bob@example.org"}


def export(
    salon: Salon, customer_id: UUID | None = None, email: str | None = None
) -> dict[str, Any]:
    """What is kept about a customer."""
    row = salon.db.execute(
        "select booking.export_customer(%s, %s, %s)", (salon.tenant, customer_id, email)
    ).fetchone()
    assert row is not None
    assert isinstance(row[0], dict)
    return row[0]


def erase(salon: Salon, customer_id: UUID | None = None, email: str | None = None) -> int:
    """Erase a customer; returns of how many appointments."""
    row = salon.db.execute(
        "select booking.erase_customer(%s, %s, %s)", (salon.tenant, customer_id, email)
    ).fetchone()
    assert row is not None
    return int(row[0])


def numbers(exported: dict[str, Any]) -> list[UUID]:
    """The appointments of an export."""
    return [UUID(row["id"]) for row in exported["appointments"]]


def guest(salon: Salon, hours: int, **data: object) -> Booking:
    """A guest's booking so many hours after ten."""
    slot = slot_at(salon, TEN + timedelta(hours=hours))
    return book(salon, slot, SERVICE, user_data=DATA | data)


# Export


def test_everything_about_a_customer_is_exported(salon: Salon) -> None:
    booking = book(salon, user_data=DATA, notes="A note", idempotency_key="key")
    later = slot_at(salon, TEN + timedelta(hours=1))
    reserve(salon, later, caller=ADA)
    exported = export(salon, user_of(ADA))
    assert exported.keys() == {"tenant_id", "exported_at", "appointments", "holds", "attempts"}
    assert exported["tenant_id"] == str(salon.tenant)
    assert exported["exported_at"] == "2026-03-02T06:00:00Z"
    (row,) = exported["appointments"]
    assert (
        row.items()
        >= {
            "id": str(booking.appointment),
            "status": "confirmed",
            "customer": DATA,
            "customer_id": str(user_of(ADA)),
            "notes": "A note",
            "staff": "Ada",
            "location": "Mitte",
            "service": "Cut",
            "price_cents": 0,
            "cancel_reason": None,
        }.items()
    )
    assert exported["holds"] == [
        {"start_time": "2026-03-03T10:00:00Z", "reserved_until": "2026-03-02T06:10:00Z"}
    ]
    assert [(attempt["action"], attempt["outcome"]) for attempt in exported["attempts"]] == [
        ("reserve_slot", "success"),
        ("create_appointment", "success"),
        ("reserve_slot", "success"),
    ]


def test_but_no_secret_and_nothing_of_our_machinery(salon: Salon) -> None:
    book(salon, idempotency_key="key")
    (row,) = export(salon, user_of(ADA))["appointments"]
    hidden = {"claim", "request_hash", "manage_token_hash", "slot_id", "shape_id"}
    assert not hidden & row.keys()


def test_an_export_holds_cancelled_and_past_appointments_in_their_order(salon: Salon) -> None:
    late = book(salon, slot_at(salon, TEN + timedelta(hours=2)))
    early = book(salon)
    call(salon, "cancel_appointment", ADA, appointment_id=early.appointment)
    set_clock(salon.db, "2026-05-01 12:00+02")
    assert numbers(export(salon, user_of(ADA))) == [early.appointment, late.appointment]


def test_a_guest_is_known_by_their_address_however_it_is_written(salon: Salon) -> None:
    one = guest(salon, 0)
    other = guest(salon, 1, email="zenobia@quux.EXAMPLE")
    guest(salon, 2, email="zenobia@quux.example.org")
    guest(salon, 3, email="b.zenobia@quux.example")
    for email in ("zenobia@quux.example", " ZENOBIA@quux.example "):
        assert numbers(export(salon, email=email)) == [one.appointment, other.appointment]
    assert export(salon, email="%") == export(salon, email="nobody@example.org")
    assert export(salon, email="%")["appointments"] == []


def test_what_a_user_booked_is_no_guests_though_the_address_is_the_same(salon: Salon) -> None:
    booking = book(salon, user_data=DATA)
    assert export(salon, email="zenobia@quux.example")["appointments"] == []
    assert erase(salon, email="zenobia@quux.example") == 0
    assert appointment(salon, booking.appointment)["customer"] == DATA


def test_both_together_are_one_customer(salon: Salon) -> None:
    mine = book(salon, user_data=DATA)
    as_guest = guest(salon, 1)
    both = export(salon, user_of(ADA), "zenobia@quux.example")
    assert numbers(both) == [mine.appointment, as_guest.appointment]


def test_nothing_of_others_is_exported(salon: Salon) -> None:
    other = make_salon(salon.db)
    mine = book(salon)
    book(salon, slot_at(salon, TEN + timedelta(hours=1)), BOB, user_data=OTHER_DATA)
    book(other)
    reserve(salon, slot_at(salon, TEN + timedelta(hours=2)), OTHER_SESSION, BOB)
    reserve(other, slot_at(other, TEN + timedelta(hours=2)), caller=ADA)
    exported = export(salon, user_of(ADA))
    assert numbers(exported) == [mine.appointment]
    assert exported["holds"] == []
    assert len(exported["attempts"]) == 2


def test_a_stranger_has_nothing(salon: Salon) -> None:
    book(salon)
    exported = export(salon, uuid4())
    assert (exported["appointments"], exported["holds"], exported["attempts"]) == ([], [], [])


@pytest.mark.parametrize("function", ["export_customer", "erase_customer"])
def test_nobody_in_particular_is_an_error_and_not_everybody(salon: Salon, function: str) -> None:
    guest(salon, 0)
    with pytest.raises(errors.InvalidParameterValue, match="expected one of them"):
        salon.db.execute(
            sql.SQL("select booking.{}(%s)").format(sql.Identifier(function)), (salon.tenant,)
        )


@pytest.mark.parametrize("function", ["export_customer", "erase_customer"])
@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_callers_may_not_call_them(salon: Salon, function: str, role: str) -> None:
    with salon.db.transaction():
        salon.db.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
        with pytest.raises(errors.InsufficientPrivilege), salon.db.transaction():
            salon.db.execute(
                sql.SQL("select booking.{}(%s, %s)").format(sql.Identifier(function)),
                (salon.tenant, user_of(ADA)),
            )


# Erasing


def assert_is_nowhere(salon: Salon, *texts: str, but_in: str = "") -> None:
    """No row of any table but one contains any of these texts."""
    tables = rows(salon, "select tablename from pg_catalog.pg_tables where schemaname = 'booking'")
    assert len(tables) > 20
    for table in tables:
        name = table["tablename"]
        for text in texts:
            found = rows(
                salon,
                f"select from booking.{name} as t where to_jsonb(t)::text ilike %s",
                f"%{text}%",
            )
            assert found == [] or name == but_in, (name, text)


def test_the_appointment_stays_and_the_person_goes(salon: Salon) -> None:
    booking = book(salon, user_data=DATA, notes="A note", idempotency_key="the-key")
    call(
        salon,
        "cancel_appointment",
        ADA,
        appointment_id=book(
            salon, slot_at(salon, TEN + timedelta(hours=1)), user_data=DATA
        ).appointment,
        reason="zenobia is ill",
    )
    before = appointment(salon, booking.appointment)
    assert erase(salon, user_of(ADA)) == 2
    after = appointment(salon, booking.appointment)
    changed = {column for column, value in before.items() if after[column] != value}
    assert changed - {"updated_at"} == {
        "customer",
        "customer_id",
        "notes",
        "idempotency_key",
        "request_hash",
        "manage_token_hash",
    }
    assert (after["customer"], after["status"]) == ({}, "confirmed")
    assert not salon.available(salon.cut)
    assert salon.differences() == []
    assert_is_nowhere(salon, "zenobia", "quux", "123456789", "ammonia", "A note", "the-key")
    assert_is_nowhere(salon, str(user_of(ADA)), but_in="audit_log")
    assert numbers(export(salon, user_of(ADA))) == []


def test_a_guest_is_erased_by_address(salon: Salon) -> None:
    booking = guest(salon, 0)
    assert erase(salon, email=" zenobia@QUUX.example") == 1
    assert_is_nowhere(salon, "zenobia", "quux", "123456789")
    assert appointment(salon, booking.appointment)["status"] == "confirmed"
    assert salon.differences() == []


def test_the_token_and_the_user_open_nothing_any_more(salon: Salon) -> None:
    booking = book(salon, idempotency_key="key")
    erase(salon, user_of(ADA))
    by_user = call(salon, "cancel_appointment", ADA, appointment_id=booking.appointment)
    assert_refused(by_user, "not_found", 404)
    by_token = call(
        salon,
        "cancel_appointment",
        appointment_id=booking.appointment,
        manage_token=booking.token,
    )
    assert_refused(by_token, "not_found", 404)
    replayed = create(salon, booking.slot, idempotency_key="key")
    assert_refused(replayed, "reservation_expired", 409)
    staff = call(salon, "cancel_appointment", staff_of(salon), appointment_id=booking.appointment)
    assert staff.success


def test_their_holds_go_and_the_slots_are_free(salon: Salon) -> None:
    slot = slot_at(salon)
    reserve(salon, slot, caller=ADA)
    later = slot_at(salon, TEN + timedelta(hours=1))
    reserve(salon, later, OTHER_SESSION, BOB)
    assert erase(salon, user_of(ADA)) == 0
    assert [hold["slot_id"] for hold in holds(salon)] == [later]
    assert salon.available(salon.cut)
    assert salon.differences() == []
    reserve(salon, slot, OTHER_SESSION, BOB)


def test_who_cancelled_is_forgotten_only_where_it_was_they(salon: Salon) -> None:
    mine = book(salon)
    call(salon, "cancel_appointment", ADA, appointment_id=mine.appointment)
    theirs = book(salon, slot_at(salon, TEN + timedelta(hours=1)))
    staff = staff_of(salon)
    call(salon, "cancel_appointment", staff, appointment_id=theirs.appointment)
    erase(salon, user_of(ADA))
    assert appointment(salon, mine.appointment)["cancelled_by"] is None
    assert appointment(salon, theirs.appointment)["cancelled_by"] == user_of(staff)


def test_what_they_cancelled_for_others_forgets_them_too(salon: Salon) -> None:
    other = make_salon(salon.db)
    bookings = [book(tenant, caller=SERVICE, user_data=OTHER_DATA) for tenant in (salon, other)]
    for booking in bookings:
        assert call(
            salon,
            "cancel_appointment",
            ADA,
            appointment_id=booking.appointment,
            manage_token=booking.token,
            reason="Bob is ill",
        ).success
    assert erase(salon, user_of(ADA)) == 0
    here, elsewhere = (appointment(salon, booking.appointment) for booking in bookings)
    assert (here["cancelled_by"], here["cancel_reason"]) == (None, None)
    assert (here["status"], here["customer"]) == ("cancelled", OTHER_DATA)
    assert elsewhere["cancelled_by"] == user_of(ADA), "another tenant's customer is another matter"


def test_the_books_keep_price_and_payment(salon: Salon) -> None:
    add_service(salon, "shave", price_cents=1500, requires_payment=True)
    booking = book(salon, appointment_type="shave")
    call(
        salon,
        "record_payment",
        SERVICE,
        appointment_id=booking.appointment,
        payment_status="paid",
        payment_reference="ref-1",
    )
    erase(salon, user_of(ADA))
    kept = appointment(salon, booking.appointment)
    assert (kept["price_cents"], kept["payment_status"]) == (1500, "paid")
    assert kept["payment_reference"] == "ref-1"


def test_nobody_else_is_erased(salon: Salon) -> None:
    other = make_salon(salon.db)
    book(salon, caller=BOB, user_data=OTHER_DATA)
    guest(salon, 1)
    book(other)
    reserve(other, slot_at(other, TEN + timedelta(hours=2)), SESSION, ADA)
    reserve(salon, slot_at(salon, TEN + timedelta(hours=2)), OTHER_SESSION, BOB)
    before = everything(salon)
    assert erase(salon, user_of(ADA), "zenobia@quux.example.org") == 0
    assert changes_since(salon, before) == []


def test_an_erasure_is_on_record_without_the_person(salon: Salon) -> None:
    guest(salon, 0)
    guest(salon, 1)
    before = len(audit_rows(salon))
    caller = staff_of(salon)
    with direct_connection(salon, caller):
        erase(salon, email="zenobia@quux.example")
    (row,) = audit_rows(salon)[before:]
    assert (
        row.items()
        >= {
            "tenant_id": salon.tenant,
            "action": "erase_customer",
            "outcome": "success",
            "actor_id": user_of(caller),
            "actor_role": "authenticated",
            "details": {"appointments": 2},
        }.items()
    )


def test_nothing_is_told_and_nobody_is_written_to_any_more(salon: Salon) -> None:
    booking = book(salon, user_data=DATA)
    erase(salon, user_of(ADA))
    (event,) = rows(salon, "select kind, appointment_id, customer from booking.take_events()")
    assert event == {"kind": "booked", "appointment_id": booking.appointment, "customer": {}}


def test_erasing_again_finds_nobody(salon: Salon) -> None:
    book(salon, user_data=DATA)
    assert erase(salon, user_of(ADA), "zenobia@quux.example") == 1
    assert erase(salon, user_of(ADA), "zenobia@quux.example") == 0
