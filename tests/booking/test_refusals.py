"""Every refusal of the booking functions, produced on purpose: its JSON, status, headers and audit
row; and that the list below is complete, message by message, against what sql/ can say."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.api import ANON, SERVICE, STATUS, Answer, Caller, member
from tests.booking.booked import (
    ADA,
    OTHER_SESSION,
    SESSION,
    admin_of,
    audit_rows,
    call,
    create,
    everything,
    reserve,
    rows,
    slot_at,
    user_of,
)
from tests.booking.conftest import AUGUSTAS_DATA, Town, at, named, offered
from tests.booking.refusals_in_sql import functions, possible_refusals
from tests.salon import TEN, Salon, set_clock

UNKNOWN_TENANT = UUID(int=0)


@dataclass(frozen=True)
class Request:
    """What is asked, by whom, and the tenant under which it is on record."""

    tenant: UUID
    caller: Caller
    arguments: dict[str, Any]


def request(tenant: UUID, caller: Caller = ANON, **arguments: object) -> Request:
    """A request, written like a call."""
    return Request(tenant, caller, arguments)


@dataclass(frozen=True)
class Case:
    """One refusal: what the client reads, and how it comes to that."""

    function: str
    code: str
    message: str
    details: str | None
    hint: str | None
    prepare: Callable[[Town], Request]


CASES: list[Case] = []

Preparation = Callable[[Town], Request]


def refused(
    function: str,
    code: str,
    message: str,
    *,
    details: str | None = None,
    hint: str | None = None,
) -> Callable[[Preparation], Preparation]:
    """Enter a case into the table; the function below it brings it about."""

    def enter(prepare: Preparation) -> Preparation:
        CASES.append(Case(function, code, message, details, hint, prepare))
        return prepare

    return enter


TOO_BUSY = "Too many people are booking here at this moment."
IN_A_SECOND = "Try again in a second."
TAKEN = "This time is no longer available."
CONFLICT = "This time can no longer be booked."
ANOTHER_TIME = "Choose another time."
CALENDAR_CHANGED = "The calendar has changed since it was reserved."
NO_SLOT = "slot_id is not the id of a slot."
NOBODY = "Nobody is signed in, and there is no manage_token."
SIGN_IN = "Sign in, or send the manage_token that came with the booking."
NO_APPOINTMENT = "There is no such appointment."
COLLEAGUES = "This appointment is in a colleague's calendar."
CHANGEABLE = "Only pending and confirmed appointments can be moved or cancelled."
TOO_LATE = (
    "The appointment begins at 2026-03-03T15:00:00Z and can be changed until 60 minutes before."
)

LOCKED_CALENDARS = "update booking.calendars set revision = revision + 1"
LOCKED_APPOINTMENTS = "select from booking.appointments for update"
CLOSED = (
    "insert into booking.schedule_exceptions (tenant_id, first_date, last_date, kind)"
    " values (%s, '2026-03-03', '2026-03-03', 'closed')"
)

# reserve_slot


@refused(
    "reserve_slot",
    "invalid_request",
    "session_id is missing; expected 16 to 128 characters.",
)
def reserving_without_a_session(town: Town) -> Request:
    return request(town.salon.tenant, slot_id=town.slot("10:00"), session_id=None)


@refused(
    "reserve_slot",
    "invalid_request",
    "session_id is 6 characters long; expected 16 to 128 characters.",
)
def reserving_with_a_session_that_can_be_guessed(town: Town) -> Request:
    return request(town.salon.tenant, slot_id=town.slot("10:00"), session_id="secret")


@refused(
    "reserve_slot",
    "invalid_request",
    'appointment_type is "massage"; expected one that this slot can be booked for: "cut".',
)
def reserving_for_another_service(town: Town) -> Request:
    return request(
        town.salon.tenant,
        slot_id=town.slot("10:00"),
        session_id=SESSION,
        appointment_type="massage",
    )


@refused("reserve_slot", "slot_not_found", NO_SLOT)
def reserving_what_is_no_slot(town: Town) -> Request:
    return request(UNKNOWN_TENANT, slot_id=uuid4(), session_id=SESSION)


@refused("reserve_slot", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def reserving_what_is_held(town: Town) -> Request:
    return request(town.salon.tenant, slot_id=town.slot("11:00"), session_id="s" * 16)


@refused("reserve_slot", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def reserving_over_a_hold(town: Town) -> Request:
    return request(town.salon.tenant, ADA, slot_id=town.slot("11:15"), session_id=SESSION)


@refused("reserve_slot", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def reserving_what_is_booked(town: Town) -> Request:
    return request(town.salon.tenant, ADA, slot_id=town.dorotheas.slot, session_id=SESSION)


@refused("reserve_slot", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def reserving_a_seat_of_a_full_class(town: Town) -> Request:
    town.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    course = town.slot("09:00", town.salon.course)
    for number in (1, 2):
        reserve(town.salon, course, f"session-of-guest-{number}", appointment_type=None)
    return request(town.salon.tenant, slot_id=course, session_id=SESSION)


@refused("reserve_slot", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def reserving_a_slot_that_nobody_knows(town: Town) -> Request:
    unknown = named(town.salon, town.salon.cut, at("10:07"))["slot_id"]
    return request(UNKNOWN_TENANT, slot_id=unknown, session_id=SESSION)


@refused("reserve_slot", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def reserving_somebody_who_is_not_there(town: Town) -> Request:
    made_up = named(town.salon, town.salon.cut, person=uuid4())
    return request(town.salon.tenant, **made_up, session_id=SESSION)


@refused(
    "reserve_slot",
    "hold_limit_reached",
    "This session holds 1 times already.",
    hint="Book or release one of them first.",
)
def reserving_one_too_many(town: Town) -> Request:
    town.execute("update booking.tenants set max_holds_per_session = 1")
    return request(town.salon.tenant, ADA, slot_id=town.slot("10:00"), session_id=SESSION)


@refused(
    "reserve_slot",
    "appointment_conflict",
    CONFLICT,
    details=CALENDAR_CHANGED,
    hint=ANOTHER_TIME,
)
def reserving_again_what_has_been_withdrawn(town: Town) -> Request:
    again = request(
        town.salon.tenant,
        ADA,
        slot_id=town.slot("12:00"),
        session_id=SESSION,
        appointment_type="cut",
    )
    town.execute("update booking.appointment_types set is_active = false where code = 'cut'")
    return again


@refused("reserve_slot", "busy", TOO_BUSY, hint=IN_A_SECOND)
def reserving_while_the_calendar_is_locked(town: Town) -> Request:
    town.lock(LOCKED_CALENDARS)
    return request(town.salon.tenant, slot_id=town.slot("10:00"), session_id=SESSION)


# reserve_time


def time_of(town: Town, **changes: object) -> Request:
    """A visitor asks for a cut of anybody at ten, but for these changes."""
    arguments: dict[str, Any] = {
        "tenant_id": town.salon.tenant,
        "start_time": at("10:00"),
        "appointment_type": "cut",
        "session_id": SESSION,
    }
    return request(town.salon.tenant, **(arguments | changes))


@refused(
    "reserve_time",
    "invalid_request",
    "session_id is missing; expected 16 to 128 characters.",
)
def taking_a_time_without_a_session(town: Town) -> Request:
    return time_of(town, session_id=None)


@refused("reserve_time", "invalid_request", "start_time is missing; expected a time.")
def taking_no_time(town: Town) -> Request:
    return time_of(town, start_time=None)


@refused(
    "reserve_time",
    "invalid_request",
    "start_time is infinity; expected a time in the years 1900 to 9999.",
)
def taking_the_end_of_time(town: Town) -> Request:
    return time_of(town, start_time="infinity")


@refused(
    "reserve_time",
    "invalid_request",
    "tenant_id is missing; expected the id of a tenant.",
)
def taking_a_time_nowhere(town: Town) -> Request:
    return replace(time_of(town, tenant_id=None), tenant=UNKNOWN_TENANT)


@refused("reserve_time", "not_found", "There is no such tenant.")
def taking_a_time_of_nobody(town: Town) -> Request:
    return replace(time_of(town, tenant_id=uuid4()), tenant=UNKNOWN_TENANT)


@refused("reserve_time", "not_found", "There is no such place (location_id).")
def taking_a_time_at_anothers_place(town: Town) -> Request:
    return time_of(town, location_id=town.neighbour.location)


@refused(
    "reserve_time",
    "invalid_request",
    "appointment_type is missing; expected 1 to 100 characters.",
)
def taking_a_time_for_nothing(town: Town) -> Request:
    return time_of(town, appointment_type=None)


@refused(
    "reserve_time",
    "invalid_request",
    'appointment_type is "massage"; expected the code of one of this tenant\'s services.',
)
def taking_a_time_for_another_service(town: Town) -> Request:
    return time_of(town, appointment_type="massage")


@refused("reserve_time", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def taking_a_time_when_nobody_is_free(town: Town) -> Request:
    for person in (town.salon.person, town.colleague):
        town.salon.appointment(at("10:00"), staff_id=person)
    return time_of(town)


@refused("reserve_time", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def taking_a_time_that_everybody_holds(town: Town) -> Request:
    reserve(town.salon, town.slot("11:00", person=town.colleague), "session-of-guest-1")
    return time_of(town, start_time=at("11:00"))


@refused(
    "reserve_time",
    "hold_limit_reached",
    "This session holds 1 times already.",
    hint="Book or release one of them first.",
)
def taking_one_time_too_many(town: Town) -> Request:
    town.execute("update booking.tenants set max_holds_per_session = 1")
    return time_of(town)


@refused(
    "reserve_time",
    "appointment_conflict",
    CONFLICT,
    details=CALENDAR_CHANGED,
    hint=ANOTHER_TIME,
)
def taking_a_time_again_of_whom_no_longer_does_it(town: Town) -> Request:
    town.execute(
        "delete from booking.staff_appointment_types where staff_id = %s", town.salon.person
    )
    return time_of(town, start_time=at("12:00"))


@refused("reserve_time", "busy", TOO_BUSY, hint=IN_A_SECOND)
def taking_a_time_while_the_calendars_are_locked(town: Town) -> Request:
    town.lock(LOCKED_CALENDARS)
    return time_of(town)


# release_slot


@refused(
    "release_slot",
    "invalid_request",
    "session_id is 129 characters long; expected 16 to 128 characters.",
)
def releasing_with_an_endless_session(town: Town) -> Request:
    return request(town.salon.tenant, slot_id=town.slot("12:00"), session_id="s" * 129)


@refused("release_slot", "not_found", "This session holds no such slot.")
def releasing_what_another_session_holds(town: Town) -> Request:
    return request(town.salon.tenant, ADA, slot_id=town.slot("11:00"), session_id=SESSION)


@refused("release_slot", "busy", TOO_BUSY, hint=IN_A_SECOND)
def releasing_while_the_calendar_is_locked(town: Town) -> Request:
    town.lock(LOCKED_CALENDARS)
    return request(town.salon.tenant, slot_id=town.slot("12:00"), session_id=SESSION)


# create_appointment


def booking_of(town: Town, caller: Caller = ADA, **changes: object) -> Request:
    """Ada books what she holds, but for these changes."""
    arguments: dict[str, Any] = {
        "slot_id": town.slot("12:00"),
        "session_id": SESSION,
        "appointment_type": "cut",
        "user_data": AUGUSTAS_DATA,
    }
    return request(town.salon.tenant, caller, **(arguments | changes))


@refused(
    "create_appointment",
    "not_authenticated",
    "Nobody is signed in.",
    hint="Sign in; for guests the service books.",
)
def booking_as_nobody(town: Town) -> Request:
    return booking_of(town, Caller("authenticated"))


@refused(
    "create_appointment",
    "customer_limit_reached",
    "This customer has 1 open appointment here already; no more than 1 can be booked ahead.",
    hint="Cancel one of them, or book again once one of them is over.",
)
def booking_more_than_a_customer_may(town: Town) -> Request:
    town.execute("update booking.tenants set max_open_appointments_per_customer = 1")
    return booking_of(town)


@refused(
    "create_appointment",
    "invalid_request",
    "user_data is missing; expected an object with a name, and an email or a phone.",
)
def booking_without_a_customer(town: Town) -> Request:
    return booking_of(town, user_data=None)


@refused(
    "create_appointment",
    "invalid_request",
    "user_data is array; expected an object with a name, and an email or a phone.",
)
def booking_for_several_customers(town: Town) -> Request:
    return booking_of(town, user_data=[AUGUSTAS_DATA])


@refused(
    "create_appointment",
    "invalid_request",
    "user_data has 9068 bytes; expected at most 8192.",
)
def booking_with_a_novel(town: Town) -> Request:
    return booking_of(town, user_data=AUGUSTAS_DATA | {"novel": "x" * 9000})


@refused(
    "create_appointment",
    "invalid_request",
    'user_data.name is missing; expected something like "Ada Lovelace", at most 200 characters.',
)
def booking_without_a_name(town: Town) -> Request:
    return booking_of(town, user_data={"email": "byron@example.net"})


@refused(
    "create_appointment",
    "invalid_request",
    'user_data.email is not valid; expected something like "ada@example.org", at most 320'
    " characters.",
)
def booking_with_half_an_address(town: Town) -> Request:
    return booking_of(town, user_data=AUGUSTAS_DATA | {"email": "byron"})


@refused(
    "create_appointment",
    "invalid_request",
    'user_data.phone is 60 characters long; expected something like "+43 1 234 56 78", at most 50'
    " characters.",
)
def booking_with_an_endless_number(town: Town) -> Request:
    return booking_of(town, user_data=AUGUSTAS_DATA | {"phone": "1" * 60})


@refused(
    "create_appointment",
    "invalid_request",
    "user_data has neither email nor phone; expected one of them.",
)
def booking_for_whom_nobody_can_reach(town: Town) -> Request:
    return booking_of(town, user_data={"name": "Augusta Byron"})


@refused(
    "create_appointment",
    "invalid_request",
    "appointment_type is missing; expected 1 to 100 characters.",
)
def booking_nothing(town: Town) -> Request:
    return booking_of(town, appointment_type=None)


@refused(
    "create_appointment",
    "invalid_request",
    "session_id is missing; expected 16 to 128 characters.",
)
def booking_for_a_guest_without_a_session(town: Town) -> Request:
    return booking_of(town, SERVICE, session_id=None)


@refused(
    "create_appointment",
    "invalid_request",
    "notes is 2001 characters long; expected 0 to 2000 characters.",
)
def booking_with_endless_notes(town: Town) -> Request:
    return booking_of(town, notes="x" * 2001)


@refused(
    "create_appointment",
    "invalid_request",
    'idempotency_key is ""; expected 1 to 255 characters.',
)
def booking_with_an_empty_key(town: Town) -> Request:
    return booking_of(town, idempotency_key="")


@refused(
    "create_appointment",
    "invalid_request",
    'appointment_type is "course"; expected one that this slot can be booked for: "cut".',
)
def booking_for_another_service(town: Town) -> Request:
    return booking_of(town, appointment_type="course")


@refused("create_appointment", "slot_not_found", NO_SLOT)
def booking_what_is_no_slot(town: Town) -> Request:
    return replace(booking_of(town, slot_id=uuid4()), tenant=UNKNOWN_TENANT)


@refused(
    "create_appointment",
    "reservation_expired",
    "This slot is not held for you, or no longer.",
    hint="Reserve a slot, then book it.",
)
def booking_what_another_holds(town: Town) -> Request:
    return booking_of(town, slot_id=town.slot("11:00"))


@refused(
    "create_appointment",
    "reservation_expired",
    "This slot is not held for you, or no longer.",
    hint="Reserve a slot, then book it.",
)
def booking_what_has_expired(town: Town) -> Request:
    set_clock(town.salon.db, "2026-03-02 07:10+01")
    return booking_of(town)


@refused(
    "create_appointment",
    "idempotency_conflict",
    "This idempotency_key has come with another request.",
    hint="Use a new key for each booking.",
)
def booking_something_else_with_the_same_key(town: Town) -> Request:
    assert create(town.salon, town.slot("12:00"), idempotency_key="key").success
    return booking_of(town, idempotency_key="key", notes="Something else")


@refused(
    "create_appointment",
    "appointment_conflict",
    CONFLICT,
    details=CALENDAR_CHANGED,
    hint=ANOTHER_TIME,
)
def booking_a_day_that_has_been_closed(town: Town) -> Request:
    town.execute(CLOSED, town.salon.tenant)
    return booking_of(town)


@refused(
    "create_appointment",
    "appointment_conflict",
    CONFLICT,
    details=CALENDAR_CHANGED,
    hint=ANOTHER_TIME,
)
def booking_a_service_that_has_been_withdrawn(town: Town) -> Request:
    offered(town.salon, "trim", duration_minutes=30)
    town.execute("update booking.appointment_types set is_active = false where code = 'cut'")
    return booking_of(town)


@refused("create_appointment", "appointment_conflict", CONFLICT, hint=ANOTHER_TIME)
def booking_a_seat_of_a_class_with_fewer_seats_than_holds(town: Town) -> Request:
    town.execute("update booking.appointment_types set capacity = 3 where code = 'course'")
    course = town.slot("09:00", town.salon.course)
    for session_id in (SESSION, "session-of-guest-1", "session-of-guest-2"):
        reserve(town.salon, course, session_id, appointment_type=None)
    town.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    return booking_of(town, slot_id=course, appointment_type="course")


@refused("create_appointment", "busy", TOO_BUSY, hint=IN_A_SECOND)
def booking_while_the_calendar_is_locked(town: Town) -> Request:
    town.lock(LOCKED_CALENDARS)
    return booking_of(town)


# reschedule_appointment


def move_of(town: Town, caller: Caller = ADA, **changes: object) -> Request:
    """Ada moves her appointment to a free slot, but for these changes."""
    arguments: dict[str, Any] = {
        "appointment_id": town.adas.appointment,
        "slot_id": town.slot("10:00"),
    }
    return request(town.salon.tenant, caller, **(arguments | changes))


@refused(
    "reschedule_appointment",
    "invalid_request",
    "session_id is 6 characters long; expected 16 to 128 characters.",
)
def moving_with_a_session_that_can_be_guessed(town: Town) -> Request:
    return move_of(town, session_id="secret")


@refused("reschedule_appointment", "not_authenticated", NOBODY, hint=SIGN_IN)
def moving_as_nobody(town: Town) -> Request:
    return move_of(town, ANON)


@refused("reschedule_appointment", "not_found", NO_APPOINTMENT)
def moving_anothers_appointment(town: Town) -> Request:
    return move_of(town, appointment_id=town.dorotheas.appointment)


@refused("reschedule_appointment", "forbidden", COLLEAGUES)
def moving_an_appointment_of_a_colleague(town: Town) -> Request:
    return move_of(town, member(uuid4(), town.salon.tenant, "staff", town.colleague))


@refused("reschedule_appointment", "forbidden", "The new slot is in a colleague's calendar.")
def moving_an_appointment_to_a_colleague(town: Town) -> Request:
    caller = member(uuid4(), town.salon.tenant, "staff", town.salon.person)
    return move_of(town, caller, slot_id=town.slot("10:00", person=town.colleague))


@refused("reschedule_appointment", "slot_not_found", NO_SLOT)
def moving_to_what_is_no_slot(town: Town) -> Request:
    return move_of(town, slot_id=uuid4())


@refused("reschedule_appointment", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def moving_to_a_slot_of_another_tenant(town: Town) -> Request:
    return move_of(town, slot_id=slot_at(town.neighbour, at("10:00")))


@refused("reschedule_appointment", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def moving_to_what_is_booked(town: Town) -> Request:
    return move_of(town, slot_id=town.dorotheas.slot)


@refused("reschedule_appointment", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def moving_to_what_is_held(town: Town) -> Request:
    return move_of(town, slot_id=town.slot("11:00"))


@refused("reschedule_appointment", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def moving_over_a_hold(town: Town) -> Request:
    return move_of(town, slot_id=town.slot("11:15"))


@refused("reschedule_appointment", "slot_taken", TAKEN, hint=ANOTHER_TIME)
def moving_to_somebody_who_is_not_there(town: Town) -> Request:
    return move_of(town, **named(town.salon, town.salon.cut, person=uuid4()))


@refused(
    "reschedule_appointment",
    "invalid_request",
    "slot_id is a slot for another service; expected one for the appointment's own.",
)
def moving_to_a_slot_for_another_service(town: Town) -> Request:
    return move_of(town, slot_id=town.slot("09:00", town.salon.course))


@refused(
    "reschedule_appointment",
    "invalid_status",
    "The appointment is cancelled.",
    details=CHANGEABLE,
)
def moving_what_is_cancelled(town: Town) -> Request:
    town.execute("update booking.appointments set status = 'cancelled'")
    return move_of(town)


@refused("reschedule_appointment", "too_late", TOO_LATE, hint="Call the business.")
def moving_at_the_last_minute(town: Town) -> Request:
    town.execute("update booking.tenants set cancellation_notice_minutes = 60")
    slot = town.slot("16:30")
    set_clock(town.salon.db, "2026-03-03 15:00:01+01")
    return move_of(town, slot_id=slot)


@refused(
    "reschedule_appointment",
    "appointment_conflict",
    CONFLICT,
    details=CALENDAR_CHANGED,
    hint=ANOTHER_TIME,
)
def moving_to_a_held_slot_of_a_day_that_has_been_closed(town: Town) -> Request:
    move = move_of(town, slot_id=town.slot("12:00"), session_id=SESSION)
    town.execute(CLOSED, town.salon.tenant)
    return move


@refused("reschedule_appointment", "busy", TOO_BUSY, hint=IN_A_SECOND)
def moving_while_the_calendar_is_locked(town: Town) -> Request:
    town.lock(LOCKED_CALENDARS)
    return move_of(town)


# cancel_appointment


def cancellation_of(town: Town, caller: Caller = ADA, **changes: object) -> Request:
    """Ada cancels her appointment, but for these changes."""
    arguments: dict[str, Any] = {"appointment_id": town.adas.appointment}
    return request(town.salon.tenant, caller, **(arguments | changes))


@refused(
    "cancel_appointment",
    "invalid_request",
    "reason is 1001 characters long; expected 0 to 1000 characters.",
)
def cancelling_for_endless_reasons(town: Town) -> Request:
    return cancellation_of(town, reason="x" * 1001)


@refused("cancel_appointment", "not_authenticated", NOBODY, hint=SIGN_IN)
def cancelling_as_nobody(town: Town) -> Request:
    return replace(cancellation_of(town, ANON), tenant=UNKNOWN_TENANT)


@refused("cancel_appointment", "not_found", NO_APPOINTMENT)
def cancelling_anothers_appointment(town: Town) -> Request:
    foreign = cancellation_of(town, appointment_id=town.dorotheas.appointment)
    return replace(foreign, tenant=UNKNOWN_TENANT)


@refused("cancel_appointment", "forbidden", COLLEAGUES)
def cancelling_an_appointment_of_a_colleague(town: Town) -> Request:
    return cancellation_of(town, member(uuid4(), town.salon.tenant, "staff", town.colleague))


@refused(
    "cancel_appointment",
    "invalid_status",
    "The appointment is no-show.",
    details=CHANGEABLE,
)
def cancelling_what_was_missed(town: Town) -> Request:
    set_clock(town.salon.db, "2026-03-03 18:00+01")
    town.execute("update booking.appointments set status = 'no_show'")
    return cancellation_of(town)


@refused("cancel_appointment", "too_late", TOO_LATE, hint="Call the business.")
def cancelling_at_the_last_minute(town: Town) -> Request:
    town.execute("update booking.tenants set cancellation_notice_minutes = 60")
    set_clock(town.salon.db, "2026-03-03 15:00:01+01")
    return cancellation_of(town)


@refused("cancel_appointment", "busy", TOO_BUSY, hint=IN_A_SECOND)
def cancelling_while_the_calendar_is_locked(town: Town) -> Request:
    town.lock(LOCKED_CALENDARS)
    return cancellation_of(town)


# record_payment


def payment_of(town: Town, caller: Caller = SERVICE, **changes: object) -> Request:
    """The service records that Ada has paid, but for these changes."""
    arguments: dict[str, Any] = {
        "appointment_id": town.adas.appointment,
        "payment_status": "paid",
        "payment_reference": "pi_1",
    }
    return request(town.salon.tenant, caller, **(arguments | changes))


@refused("record_payment", "forbidden", "Payments are recorded by the service.")
def paying_with_a_token_that_is_not_the_services(town: Town) -> Request:
    # The function is granted to the service alone; its worker does not rely on that.
    return payment_of(town, Caller("service_role", {**ADA.claims, "role": "authenticated"}))


@refused(
    "record_payment",
    "invalid_request",
    'payment_status is "cash"; expected paid, failed or refunded.',
)
def paying_cash(town: Town) -> Request:
    return payment_of(town, payment_status="cash")


@refused(
    "record_payment",
    "invalid_request",
    "payment_reference is missing; expected 1 to 255 characters.",
)
def paying_without_a_reference(town: Town) -> Request:
    return payment_of(town, payment_reference=None)


@refused("record_payment", "not_found", NO_APPOINTMENT)
def paying_for_nothing(town: Town) -> Request:
    return replace(payment_of(town, appointment_id=uuid4()), tenant=UNKNOWN_TENANT)


@refused(
    "record_payment",
    "invalid_status",
    "The payment is not required and cannot become paid.",
)
def paying_what_costs_nothing(town: Town) -> Request:
    return payment_of(town)


@refused(
    "record_payment",
    "too_late",
    "The appointment is cancelled.",
    hint="Pay the money back.",
)
def paying_for_what_is_cancelled(town: Town) -> Request:
    town.execute("update booking.appointments set status = 'cancelled', payment_status = 'pending'")
    return payment_of(town)


@refused("record_payment", "busy", TOO_BUSY, hint=IN_A_SECOND)
def paying_while_the_appointment_is_locked(town: Town) -> Request:
    town.lock(LOCKED_APPOINTMENTS)
    return payment_of(town)


# set_working_hours


def week_of(town: Town, caller: Caller | None = None, **changes: object) -> Request:
    """An admin gives somebody a Monday, but for these changes."""
    arguments: dict[str, Any] = {
        "tenant_id": town.salon.tenant,
        "staff_id": town.salon.person,
        "hours": [monday(town)],
    }
    return request(town.salon.tenant, caller or admin_of(town.salon), **(arguments | changes))


def monday(town: Town, **changes: object) -> dict[str, Any]:
    """An entry of "hours"."""
    entry = {
        "location_id": str(town.salon.location),
        "weekday": 1,
        "start_time": "09:00",
        "end_time": "17:00",
    }
    return entry | changes


def id_array(*ids: UUID) -> str:
    """What PostgREST makes of a JSON list of ids."""
    return "{" + ",".join(map(str, ids)) + "}"


@refused("set_working_hours", "not_authenticated", "Nobody is signed in.", hint="Sign in.")
def setting_hours_as_nobody(town: Town) -> Request:
    return replace(week_of(town, Caller("authenticated")), tenant=UNKNOWN_TENANT)


@refused(
    "set_working_hours",
    "invalid_request",
    "tenant_id is missing; expected the id of a tenant.",
)
def setting_hours_of_no_tenant(town: Town) -> Request:
    return replace(week_of(town, tenant_id=None), tenant=UNKNOWN_TENANT)


@refused(
    "set_working_hours",
    "invalid_request",
    "staff_id is missing; expected the id of a person.",
)
def setting_hours_of_nobody(town: Town) -> Request:
    return week_of(town, staff_id=None)


@refused(
    "set_working_hours",
    "invalid_request",
    "valid_from is infinity; expected a date from 1900-01-01 to 9999-12-31.",
)
def setting_hours_from_the_end_of_time(town: Town) -> Request:
    return week_of(town, valid_from="infinity")


@refused(
    "set_working_hours",
    "invalid_request",
    "staff_id and copy_to_staff_ids name 11 people; expected at most 10.",
)
def setting_hours_of_too_many(town: Town) -> Request:
    return week_of(town, copy_to_staff_ids=id_array(*(uuid4() for _ in range(10))))


@refused("set_working_hours", "not_found", "There is no such person.")
def setting_hours_of_a_stranger(town: Town) -> Request:
    return week_of(town, copy_to_staff_ids=id_array(town.neighbour.person))


@refused("set_working_hours", "forbidden", "These are a colleague's working hours.")
def setting_hours_of_a_colleague(town: Town) -> Request:
    return week_of(town, member(uuid4(), town.salon.tenant, "staff", town.colleague))


@refused("set_working_hours", "invalid_request", "hours is missing; expected a list.")
def setting_no_hours(town: Town) -> Request:
    return week_of(town, hours=None)


@refused("set_working_hours", "invalid_request", "hours has 101 entries; expected at most 100.")
def setting_too_many_hours(town: Town) -> Request:
    return week_of(town, hours=[monday(town)] * 101)


@refused(
    "set_working_hours",
    "invalid_request",
    'hours[1].weekday is "8"; expected a number from 1 (Monday) to 7.',
)
def setting_hours_of_an_eighth_day(town: Town) -> Request:
    return week_of(town, hours=[monday(town), monday(town, weekday=8)])


@refused("set_working_hours", "busy", TOO_BUSY, hint=IN_A_SECOND)
def setting_hours_while_the_calendar_is_locked(town: Town) -> Request:
    town.lock(LOCKED_CALENDARS)
    return week_of(town)


# recalculate_availability


def recalculation_of(town: Town, caller: Caller = SERVICE, **changes: object) -> Request:
    """The service recalculates a day, but for these changes."""
    arguments: dict[str, Any] = {
        "tenant_id": town.salon.tenant,
        "start_date": "2026-03-03",
        "end_date": "2026-03-03",
    }
    return request(town.salon.tenant, caller, **(arguments | changes))


@refused("recalculate_availability", "forbidden", "Recalculating is for the service.")
def recalculating_with_a_token_that_is_not_the_services(town: Town) -> Request:
    # As with record_payment, the worker does not rely on the grant.
    admin = admin_of(town.salon)
    return recalculation_of(town, Caller("service_role", {**admin.claims, "role": "authenticated"}))


@refused(
    "recalculate_availability",
    "invalid_request",
    "tenant_id is missing; expected the id of a tenant.",
)
def recalculating_no_tenant(town: Town) -> Request:
    return replace(recalculation_of(town, tenant_id=None), tenant=UNKNOWN_TENANT)


@refused("recalculate_availability", "invalid_request", "end_date is missing; expected a date.")
def recalculating_without_an_end(town: Town) -> Request:
    return recalculation_of(town, end_date=None)


@refused(
    "recalculate_availability",
    "invalid_request",
    "start_date is -infinity; expected a date from 1900-01-01 to 9999-12-31.",
)
def recalculating_from_the_beginning_of_time(town: Town) -> Request:
    return recalculation_of(town, start_date="-infinity")


@refused(
    "recalculate_availability",
    "invalid_request",
    "end_date is 2026-03-02; expected no date before start_date, 2026-03-03.",
)
def recalculating_backwards(town: Town) -> Request:
    return recalculation_of(town, end_date="2026-03-02")


@refused(
    "recalculate_availability",
    "range_too_large",
    "start_date and end_date name 732 days; expected at most 731.",
    hint="Ask for fewer days at a time.",
)
def recalculating_too_much(town: Town) -> Request:
    return recalculation_of(town, start_date="2026-01-01", end_date="2028-01-02")


@refused("recalculate_availability", "not_found", "There is no such tenant.")
def recalculating_an_unknown_tenant(town: Town) -> Request:
    unknown = uuid4()
    return replace(recalculation_of(town, tenant_id=unknown), tenant=unknown)


@refused("recalculate_availability", "not_found", "There is no such person (staff_id).")
def recalculating_a_stranger(town: Town) -> Request:
    return recalculation_of(town, staff_id=town.neighbour.person)


@refused("recalculate_availability", "busy", TOO_BUSY, hint=IN_A_SECOND)
def recalculating_while_the_calendar_is_locked(town: Town) -> Request:
    town.lock(LOCKED_CALENDARS)
    return recalculation_of(town)


# What each of them must look like


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.prepare.__name__)
def test_it_is_an_answer_on_record_that_changes_nothing_and_names_nobody(
    town: Town, case: Case
) -> None:
    asked = case.prepare(town)
    before, recorded = everything(town.salon), audit_rows(town.salon)
    answer = call(town.salon, case.function, asked.caller, **asked.arguments)

    assert answer == Answer(
        STATUS[case.code],
        {
            "success": False,
            "code": case.code,
            "message": case.message,
            "details": case.details,
            "hint": case.hint,
        },
        {"Retry-After": "1"} if case.code == "busy" else {},
    )
    assert everything(town.salon) == before

    text = json.dumps(answer.body)
    said = json.dumps([asked.arguments, asked.caller.claims], default=str)
    assert [word for word in secrets(town) if word in text and word not in said] == []

    (record,) = [row for row in audit_rows(town.salon) if row not in recorded]
    session_id = asked.arguments.get("session_id")
    assert record.pop("address_hash") is not None
    assert record == {
        "id": record["id"],
        "tenant_id": asked.tenant,
        "occurred_at": record["occurred_at"],
        "action": case.function,
        "outcome": "refused",
        "code": case.code,
        "actor_id": user_of(asked.caller) if "sub" in asked.caller.claims else None,
        "actor_role": asked.caller.claims.get("role", asked.caller.role),
        "session_hash": hashlib.sha256(session_id.encode()).digest() if session_id else None,
        "slot_id": asked.arguments.get("slot_id"),
        "appointment_id": asked.arguments.get("appointment_id"),
        "staff_id": record["staff_id"],
        # What it was about.
        "details": {
            key: value
            for key, value in record["details"].items()
            if key in ("appointment_type_id", "location_id", "start_time")
        },
    }


def secrets(town: Town) -> list[str]:
    """What no refusal says to anyone who has not said it: customers and their appointments and
    holds, everything of the other tenant, and what constraints and indexes are called."""
    found = rows(
        town.salon,
        """
        select v.word
        from booking.appointments a,
          lateral (values (a.id::text), (a.customer_id::text)) as v(word)
        union
        select said.value from booking.appointments a, jsonb_each_text(a.customer) as said
        union
        select v.word
        from booking.slot_reservations h,
          lateral (values (h.id::text), (h.slot_id::text), (h.customer_id::text),
            (encode(h.session_hash, 'hex'))) as v(word)
        union
        select v.word
        from booking.tenants t
        join booking.locations l on l.tenant_id = t.id
        join booking.staff s on s.tenant_id = t.id
        join booking.appointment_types y on y.tenant_id = t.id,
          lateral (values (t.id::text), (t.name), (l.id::text), (l.name), (s.id::text),
            (s.display_name), (y.id::text)) as v(word)
        where t.id = %s
        union
        select conname::text from pg_catalog.pg_constraint
        where connamespace = 'booking'::regnamespace
        union
        select relname::text from pg_catalog.pg_class
        where relnamespace = 'booking'::regnamespace and relkind = 'i'
        """,
        town.neighbour.tenant,
    )
    words = [row["word"] for row in found if row["word"]]
    assert {"Dorothea Vogel", "Zenobia", "Konkurrenz"} <= set(words)
    return words


def test_what_only_a_constraint_has_seen_is_refused_in_the_same_words(salon: Salon) -> None:
    """A function that is blind to the holds of others meets their constraint, whose detail shows
    when and whose they are."""
    reserve(salon, slot_at(salon), OTHER_SESSION)
    taken = slot_at(salon, TEN + timedelta(minutes=15))
    plain = call(salon, "reserve_slot", slot_id=taken, session_id=SESSION)
    reserve(salon, slot_at(salon, TEN + timedelta(hours=4)), SESSION)
    salon.db.execute(
        """
        create or replace function booking.holds_in_the_way(
          p_tenant_id uuid, p_staff_id uuid, p_location_id uuid, p_slot_id uuid, p_claim tstzrange
        ) returns setof booking.slot_reservations language sql stable as
        'select h.* from booking.slot_reservations h where false'
        """
    )
    blind = call(salon, "reserve_slot", slot_id=taken, session_id=SESSION)
    assert (blind.status, blind.body) == (plain.status, plain.body)
    assert (plain.code, plain.body["details"]) == ("slot_taken", None)


# Whether the list is complete


NEVER_GIVEN = {
    # The service comes this far, and nobody else.
    ("record_payment", "not_authenticated", NOBODY),
    ("record_payment", "forbidden", COLLEAGUES),
    # The slot is one of those found, for a service that the person offers.
    ("reserve_time", "slot_not_found", NO_SLOT),
    (
        "reserve_time",
        "invalid_request",
        'appointment_type is "x"; expected one that this slot can be booked for: .',
    ),
}


def test_every_refusal_that_a_function_can_give_is_in_the_list() -> None:
    attempt = functions()["attempt"]
    workers = re.findall(r"when '(\w+)' then\s+v_answer := booking\.\1\(", attempt)
    assert len(workers) == len(re.findall(r"v_answer := booking\.(?!refusal\()", attempt))
    assert set(workers) == {case.function for case in CASES}

    shown = {(case.function, case.code, case.message) for case in CASES} | NEVER_GIVEN
    possible = {
        (worker, code, pattern) for worker in workers for code, pattern in possible_refusals(worker)
    }
    assert len(possible) > len(workers)
    missing = [
        (worker, code, pattern)
        for worker, code, pattern in possible
        if not any((worker, code) == case[:2] and re.fullmatch(pattern, case[2]) for case in shown)
    ]
    assert missing == []


def test_every_refusal_that_the_frame_gives_is_in_the_list() -> None:
    attempt = functions()["attempt"]
    shown = {(case.function, case.code) for case in CASES}
    of_constraints = re.findall(r"when '(\w+)' then '([a-z_]+)'\n", attempt)
    assert len(of_constraints) == 4
    assert set(of_constraints) <= shown
    for function, _ in shown:
        assert (function, "busy") in shown
    assert set(re.findall(r"v_code := '(\w+)'", attempt)) == {"busy"}
