"""reschedule_appointment: the new time is won before the old one is lost, or nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.api import ANON, SERVICE, Answer, Api, Caller, member
from tests.booking.booked import (
    ADA,
    BOB,
    OTHER_SESSION,
    SESSION,
    Booking,
    add_service,
    admin_of,
    appointment,
    assert_refused,
    audit_rows,
    book,
    call,
    changes_since,
    create,
    everything,
    holds,
    reserve,
    rows,
    slot_at,
    staff_of,
)
from tests.salon import TEN, Salon, make_salon, set_clock

NOON = TEN + timedelta(hours=2)
ELEVEN = TEN + timedelta(hours=1)
QUARTER_PAST = TEN + timedelta(minutes=15)


@pytest.fixture
def booking(salon: Salon) -> Booking:
    """Ada's cut at ten."""
    return book(salon)


@pytest.fixture
def seat(salon: Salon) -> Booking:
    """Ada's seat in the class at ten."""
    return book(salon, slot_at(salon, type_id=salon.course), appointment_type="course")


def move(
    salon: Salon, booking: Booking, slot: UUID, caller: Caller = ADA, **arguments: Any
) -> Answer:
    """Move a booking to another slot, or be refused."""
    return call(
        salon,
        "reschedule_appointment",
        caller,
        appointment_id=booking.appointment,
        slot_id=slot,
        **arguments,
    )


def is_at(salon: Salon, booking: Booking) -> datetime:
    """When the appointment begins."""
    start = appointment(salon, booking.appointment)["start_time"]
    assert isinstance(start, datetime)
    return start


def assert_stays(
    salon: Salon,
    booking: Booking,
    slot: UUID,
    code: str,
    status: int,
    caller: Caller = ADA,
    **arguments: Any,
) -> None:
    """The move is refused and leaves everything as it is."""
    before = everything(salon)
    assert_refused(move(salon, booking, slot, caller, **arguments), code, status)
    assert changes_since(salon, before) == []
    assert salon.differences() == []


def test_a_move_takes_the_new_slot_and_frees_the_old(salon: Salon, booking: Booking) -> None:
    before = appointment(salon, booking.appointment)
    slot = salon.slot(salon.cut, ELEVEN)
    answer = move(salon, booking, slot["slot_id"])
    assert (answer.status, answer.body) == (
        200,
        {
            "success": True,
            "appointment_id": str(booking.appointment),
            "slot_id": str(slot["slot_id"]),
            "staff_id": str(salon.person),
            "location_id": str(salon.location),
            "start_time": "2026-03-03T10:00:00Z",
            "end_time": "2026-03-03T10:30:00Z",
            "seat": 1,
            "message": answer.body["message"],
        },
    )
    after = appointment(salon, booking.appointment)
    assert after.items() >= slot.items()
    for column in ("customer", "customer_id", "status", "manage_token_hash", "created_at"):
        assert after[column] == before[column], column
    assert salon.available(salon.cut)
    assert not salon.available(salon.cut, ELEVEN)
    assert salon.differences() == []


# Who may


def named(salon: Salon, start: datetime) -> dict[str, Any]:
    """What the listing says of a slot, for those that have no row."""
    return {"staff_id": salon.person, "location_id": salon.location, "start_time": start}


def its_customer(salon: Salon) -> Caller:
    """Ada, who booked."""
    return ADA


def the_service(salon: Salon) -> Caller:
    """The server's own key."""
    return SERVICE


CALLERS: dict[str, Callable[[Salon], Caller]] = {
    "its customer": its_customer,
    "the person whose calendar it is": staff_of,
    "an admin": admin_of,
    "the service": the_service,
}


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_it_can_be_moved_by(
    salon: Salon, booking: Booking, caller: Callable[[Salon], Caller]
) -> None:
    assert move(salon, booking, slot_at(salon, ELEVEN), caller(salon)).success
    assert is_at(salon, booking) == ELEVEN


@pytest.mark.parametrize("caller", [ANON, BOB], ids=["anonymous", "signed in as another"])
def test_it_can_be_moved_with_its_token(salon: Salon, booking: Booking, caller: Caller) -> None:
    answer = move(salon, booking, slot_at(salon, ELEVEN), caller, manage_token=booking.token)
    assert answer.success
    assert is_at(salon, booking) == ELEVEN
    assert salon.differences() == []


def test_the_token_stays_valid_after_a_move(salon: Salon, booking: Booking) -> None:
    move(salon, booking, slot_at(salon, ELEVEN))
    back = move(salon, booking, booking.slot, ANON, manage_token=booking.token)
    assert back.success
    assert is_at(salon, booking) == TEN


def test_a_guests_booking_is_moved_by_its_token(salon: Salon) -> None:
    guests = book(salon, caller=SERVICE)
    assert_stays(salon, guests, slot_at(salon, ELEVEN), "not_found", 404)
    slot = slot_at(salon, ELEVEN)
    assert move(salon, guests, slot, ANON, manage_token=guests.token).success


def test_nobody_in_particular_is_not_authenticated(salon: Salon, booking: Booking) -> None:
    slot = slot_at(salon, ELEVEN)
    assert_stays(salon, booking, slot, "not_authenticated", 401, ANON)


def strangers(salon: Salon) -> dict[str, tuple[Caller, dict[str, Any]]]:
    """Who may not know of the appointment, and what they send along."""
    elsewhere = make_salon(salon.db)
    another = book(elsewhere)
    return {
        "another customer": (BOB, {}),
        "a wrong token": (ANON, {"manage_token": "0" * 64}),
        "an empty token": (ANON, {"manage_token": ""}),
        "the token of another appointment": (ANON, {"manage_token": another.token}),
        "a session's id as token": (ANON, {"manage_token": SESSION}),
        "another customer with a wrong token": (BOB, {"manage_token": another.token}),
        "another tenant's admin": (admin_of(elsewhere), {}),
        "another tenant's staff": (staff_of(elsewhere), {}),
        "another tenant's admin who names it": (admin_of(elsewhere), {"tenant_id": salon.tenant}),
        "its customer, naming another tenant": (ADA, {"tenant_id": elsewhere.tenant}),
        "a member without a role": (member(uuid4(), salon.tenant, "customer"), {}),
    }


def test_to_strangers_it_does_not_exist(salon: Salon, booking: Booking) -> None:
    slot = slot_at(salon, ELEVEN)
    unknown = Booking(uuid4(), booking.token, booking.slot)
    missing = move(salon, unknown, slot, BOB)
    assert_refused(missing, "not_found", 404)
    for who, (caller, arguments) in strangers(salon).items():
        before = everything(salon)
        assert move(salon, booking, slot, caller, **arguments) == missing, who
        assert changes_since(salon, before) == [], who


def test_a_colleagues_appointment_is_not_ones_to_move(salon: Salon, booking: Booking) -> None:
    colleague = salon.add_person()
    for person in (colleague, None):
        caller = member(uuid4(), salon.tenant, "staff", person)
        slot = slot_at(salon, ELEVEN, person=colleague)
        assert_stays(salon, booking, slot, "forbidden", 403, caller)


def test_nor_is_a_colleagues_calendar_to_move_ones_own_to(salon: Salon, booking: Booking) -> None:
    slot = slot_at(salon, ELEVEN, person=salon.add_person())
    caller = staff_of(salon)
    assert_stays(salon, booking, slot, "forbidden", 403, caller)


def test_staff_who_are_customers_move_like_customers(salon: Salon) -> None:
    colleague = salon.add_person()
    user = uuid4()
    caller = member(user, salon.tenant, "staff", colleague)
    mine = book(salon, caller=caller)
    assert move(salon, mine, slot_at(salon, ELEVEN), caller).success
    assert move(salon, mine, slot_at(salon, person=colleague), caller).success
    assert salon.differences() == []


# Where to


@pytest.mark.parametrize("minutes", [-15, 15])
def test_ones_own_time_does_not_stand_in_the_way(
    salon: Salon, booking: Booking, minutes: int
) -> None:
    start = TEN + timedelta(minutes=minutes)
    assert not salon.available(salon.cut, start)
    assert move(salon, booking, slot_at(salon, start)).success
    assert is_at(salon, booking) == start
    assert salon.differences() == []


def test_nor_do_its_buffers(salon: Salon) -> None:
    salon.db.execute("update booking.appointment_types set buffer_after_minutes = 30")
    booking = book(salon)
    slot = slot_at(salon, TEN + timedelta(minutes=45))
    assert move(salon, booking, slot).success
    assert salon.differences() == []


def test_a_move_to_where_it_is_changes_nothing(salon: Salon, booking: Booking) -> None:
    before = everything(salon)
    answer = move(salon, booking, booking.slot)
    assert answer.body["start_time"] == "2026-03-03T09:00:00Z"
    assert changes_since(salon, before) == []


def test_one_that_was_written_by_hand_is_moved_into_a_slot(salon: Salon) -> None:
    number = salon.appointment(TEN + timedelta(minutes=7), minutes=50)
    by_hand = Booking(number, "", uuid4())
    slot = salon.slot(salon.cut, ELEVEN)
    assert move(salon, by_hand, slot["slot_id"], staff_of(salon)).success
    assert appointment(salon, number).items() >= slot.items()
    assert salon.differences() == []


def test_the_held_slot_is_taken_and_the_hold_ends(salon: Salon, booking: Booking) -> None:
    slot = slot_at(salon, ELEVEN)
    reserve(salon, slot)
    assert move(salon, booking, slot, session_id=SESSION).success
    assert holds(salon) == []
    assert salon.differences() == []


def test_a_signed_in_customers_hold_needs_no_session(salon: Salon, booking: Booking) -> None:
    slot = slot_at(salon, ELEVEN)
    reserve(salon, slot, caller=ADA)
    assert move(salon, booking, slot).success
    assert holds(salon) == []


def test_holds_of_ones_session_that_the_new_time_overlaps_go(
    salon: Salon, booking: Booking
) -> None:
    reserve(salon, slot_at(salon, ELEVEN + timedelta(minutes=15)))
    assert move(salon, booking, slot_at(salon, ELEVEN), session_id=SESSION).success
    assert holds(salon) == []
    assert salon.differences() == []


def test_and_others_stay(salon: Salon, booking: Booking) -> None:
    later = slot_at(salon, ELEVEN + timedelta(minutes=30))
    reserve(salon, later)
    assert move(salon, booking, slot_at(salon, ELEVEN), session_id=SESSION).success
    assert [hold["slot_id"] for hold in holds(salon)] == [later]
    assert salon.differences() == []


@pytest.mark.parametrize("minutes", [0, 15], ids=["that very slot", "one that it overlaps"])
@pytest.mark.parametrize("session_id", [SESSION, None])
def test_what_another_session_holds_is_taken(
    salon: Salon, booking: Booking, minutes: int, session_id: str | None
) -> None:
    reserve(salon, slot_at(salon, ELEVEN + timedelta(minutes=minutes)), OTHER_SESSION, BOB)
    slot = slot_at(salon, ELEVEN)
    assert_stays(salon, booking, slot, "slot_taken", 409, session_id=session_id)


def test_and_free_when_that_hold_has_expired(salon: Salon, booking: Booking) -> None:
    slot = slot_at(salon, ELEVEN)
    reserve(salon, slot, OTHER_SESSION, BOB)
    set_clock(salon.db, "2026-03-02 07:10+01")
    assert move(salon, booking, slot).success
    assert salon.differences() == []


@pytest.mark.parametrize("minutes", [-30, 30])
def test_a_hold_that_only_touches_it_does_not_matter(
    salon: Salon, booking: Booking, minutes: int
) -> None:
    reserve(salon, slot_at(salon, ELEVEN + timedelta(minutes=minutes)), OTHER_SESSION, BOB)
    assert move(salon, booking, slot_at(salon, ELEVEN)).success
    assert len(holds(salon)) == 1
    assert salon.differences() == []


@pytest.mark.parametrize("minutes", [0, 15, -15])
def test_what_is_booked_is_taken(salon: Salon, booking: Booking, minutes: int) -> None:
    slot = slot_at(salon, ELEVEN)
    salon.appointment(ELEVEN + timedelta(minutes=minutes))
    assert_stays(salon, booking, slot, "slot_taken", 409)


NOT_BOOKABLE = {
    "no hours": "update booking.working_hours set end_time = '12:30'",
    "not on the grid": "update booking.tenants set slot_step_minutes = 240",
    "too near": "update booking.tenants set min_notice_minutes = 2880",
    "too far": "update booking.appointment_types set max_advance_days = 1",
    "busy elsewhere": "insert into booking.busy_times"
    " (tenant_id, staff_id, start_time, end_time, source)"
    " select tenant_id, id, '2026-03-03 12:59+01', '2026-03-03 14:00+01', 'diary'"
    " from booking.staff",
    "the tenant is inactive": "update booking.tenants set is_active = false",
    "the person is inactive": "update booking.staff set is_active = false",
    "the place is inactive": "update booking.locations set is_active = false",
}


@pytest.mark.parametrize("change", NOT_BOOKABLE.values(), ids=NOT_BOOKABLE)
def test_what_is_not_bookable_is_taken(salon: Salon, seat: Booking, change: str) -> None:
    slot = slot_at(salon, NOON, salon.course)
    salon.db.execute(change.encode())
    assert_stays(salon, seat, slot, "slot_taken", 409)
    assert_stays(salon, seat, slot, "slot_taken", 409, **named(salon, NOON))


def test_a_slot_of_another_tenant_is_taken(salon: Salon, booking: Booking) -> None:
    elsewhere = make_salon(salon.db)
    slot = slot_at(elsewhere, ELEVEN)
    assert_stays(salon, booking, slot, "slot_taken", 409)


def test_an_id_that_can_be_no_slots_is_not_found(salon: Salon, booking: Booking) -> None:
    assert_stays(salon, booking, uuid4(), "slot_not_found", 404)


@pytest.mark.parametrize("length", [15, 129])
def test_a_session_that_can_be_none_is_refused(salon: Salon, booking: Booking, length: int) -> None:
    slot = slot_at(salon, ELEVEN)
    assert_stays(salon, booking, slot, "invalid_request", 400, session_id="s" * length)


@pytest.mark.parametrize(
    "change",
    [
        "update booking.working_hours set start_time = '09:05'",
        "update booking.tenants set slot_step_minutes = 240",
        "update booking.tenants set min_notice_minutes = 2880",
    ],
)
def test_a_hold_keeps_what_it_was_granted(salon: Salon, booking: Booking, change: str) -> None:
    slot = slot_at(salon, ELEVEN)
    reserve(salon, slot)
    salon.db.execute(change.encode())
    assert_stays(salon, booking, slot, "slot_taken", 409, **named(salon, ELEVEN))
    assert move(salon, booking, slot, session_id=SESSION).success
    assert salon.differences() == []


def test_an_expired_hold_keeps_nothing(salon: Salon, booking: Booking) -> None:
    slot = slot_at(salon, ELEVEN)
    reserve(salon, slot)
    salon.db.execute("update booking.working_hours set start_time = '09:05'")
    set_clock(salon.db, "2026-03-02 07:10+01")
    assert_stays(salon, booking, slot, "slot_taken", 409, session_id=SESSION)


def test_a_held_slot_of_a_changed_calendar_is_a_conflict(salon: Salon, booking: Booking) -> None:
    slot = slot_at(salon, ELEVEN)
    reserve(salon, slot)
    salon.db.execute("update booking.working_hours set end_time = '11:15'")
    assert_stays(salon, booking, slot, "appointment_conflict", 409, session_id=SESSION)


def test_a_slot_for_another_service_does_not_fit(salon: Salon, booking: Booking) -> None:
    slot = slot_at(salon, ELEVEN, salon.course)
    assert_stays(salon, booking, slot, "invalid_request", 400)


def test_nor_does_one_of_somebody_who_does_not_offer_it(salon: Salon) -> None:
    shave = add_service(salon, "shave")
    booking = book(salon, appointment_type="shave")
    slot = slot_at(salon, person=salon.add_person())
    assert_stays(salon, booking, slot, "invalid_request", 400)
    assert appointment(salon, booking.appointment)["appointment_type_id"] == shave


def test_a_slot_beyond_the_published_days_is_found_by_what_the_listing_said(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set precompute_days = 3")
    booking = book(salon)
    start = TEN + timedelta(days=6)
    arguments = named(salon, start)
    (slot,) = rows(
        salon,
        "select booking.slot_id(tenant_id, staff_id, location_id, %s, shape_id) as id"
        " from booking.appointments",
        start,
    )
    assert rows(salon, "select from booking.availability_slots where start_time = %s", start) == []
    assert_stays(salon, booking, slot["id"], "slot_taken", 409)
    assert move(salon, booking, slot["id"], **arguments).success
    assert is_at(salon, booking) == start
    assert salon.differences() == []


@pytest.mark.parametrize(
    "start", ["infinity", "-infinity", "294276-12-30 00:00+00", "9999-12-31 23:00+00"]
)
def test_a_start_at_the_end_of_time_is_taken_and_on_record(
    salon: Salon, booking: Booking, start: str
) -> None:
    (slot,) = rows(
        salon,
        "select booking.slot_id(tenant_id, staff_id, location_id, %s::timestamptz, shape_id) as id"
        " from booking.appointments",
        start,
    )
    calls = len(audit_rows(salon))
    assert_stays(
        salon,
        booking,
        slot["id"],
        "slot_taken",
        409,
        staff_id=salon.person,
        location_id=salon.location,
        start_time=start,
    )
    assert len(audit_rows(salon)) == calls + 1


def test_a_signed_in_customers_own_hold_does_not_stand_in_the_way(
    salon: Salon, booking: Booking
) -> None:
    reserve(salon, slot_at(salon, ELEVEN + timedelta(minutes=15)), caller=ADA)
    assert move(salon, booking, slot_at(salon, ELEVEN)).success
    assert holds(salon) == []
    assert salon.differences() == []


# Grids that hang on the appointment itself


def test_gapless_starts_are_those_with_it_and_those_without_it(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set slot_alignment = 'gapless'")
    salon.db.execute("update booking.tenants set slot_step_minutes = 60")
    booking = book(salon)
    half_past = TEN + timedelta(minutes=30)
    assert salon.available(salon.cut, half_past), "where the appointment ends"
    assert move(salon, booking, slot_at(salon, half_past)).success
    assert salon.differences() == []
    assert rows(salon, "select from booking.availability_slots where start_time = %s", TEN)
    assert rows(salon, "select from booking.availability_slots where start_time = %s", ELEVEN)
    # Without it the grid is nine, ten, eleven, and its own time lies over half of ten and eleven.
    assert move(salon, booking, booking.slot).success
    assert is_at(salon, booking) == TEN
    assert salon.differences() == []


def test_gapless_a_start_that_only_appears_without_it_can_be_had(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set slot_alignment = 'gapless'")
    salon.db.execute("update booking.tenants set slot_step_minutes = 45")
    number = salon.appointment(TEN - timedelta(minutes=50), minutes=60)
    by_hand = Booking(number, "", uuid4())
    start = TEN + timedelta(minutes=30)
    assert rows(salon, "select from booking.availability_slots where start_time = %s", start) == []
    (slot,) = rows(
        salon,
        "select booking.slot_id(t.tenant_id, %s, %s, %s, t.shape_id) as id"
        " from booking.appointment_types t where t.id = %s",
        *(salon.person, salon.location, start, salon.cut),
    )
    arguments = named(salon, start)
    reserved = call(
        salon,
        "reserve_slot",
        slot_id=slot["id"],
        session_id=SESSION,
        tenant_id=salon.tenant,
        **arguments,
    )
    assert_refused(reserved, "slot_taken", 409)
    assert move(salon, by_hand, slot["id"], staff_of(salon), **arguments).success
    assert salon.differences() == []


def test_clock_starts_stand_by_the_clock(salon: Salon) -> None:
    salon.db.execute("update booking.working_hours set start_time = '09:05'")
    booking = book(salon, slot_at(salon, TEN + timedelta(minutes=5)))
    start = ELEVEN + timedelta(minutes=5)
    off_the_clock = slot_at(salon, start)
    salon.db.execute("update booking.tenants set slot_alignment = 'clock'")
    assert_stays(salon, booking, off_the_clock, "slot_taken", 409, **named(salon, start))
    assert move(salon, booking, slot_at(salon, TEN)).success
    assert salon.differences() == []


# Between people and places


def test_it_moves_to_a_colleague_and_both_calendars_follow(salon: Salon, booking: Booking) -> None:
    colleague = salon.add_person()
    revisions = "select staff_id, revision from booking.calendars order by staff_id"
    before = rows(salon, revisions)
    answer = move(salon, booking, slot_at(salon, QUARTER_PAST, person=colleague))
    assert answer.body["staff_id"] == str(colleague)
    moved = appointment(salon, booking.appointment)
    assert (moved["staff_id"], moved["start_time"]) == (colleague, QUARTER_PAST)
    after = rows(salon, revisions)
    assert [row["revision"] for row in after] == [row["revision"] + 1 for row in before]
    assert salon.available(salon.cut)
    assert salon.differences() == []


def test_a_busy_colleague_is_not_to_be_had(salon: Salon, booking: Booking) -> None:
    colleague = salon.add_person()
    slot = slot_at(salon, person=colleague)
    salon.appointment(staff_id=colleague)
    assert_stays(salon, booking, slot, "slot_taken", 409)


def test_a_move_waits_for_who_is_reserving_there(
    salon: Salon,
    booking: Booking,
    connect: Callable[[], psycopg.Connection[Any]],
    wait_until_blocked: Callable[[int], None],
) -> None:
    slot = slot_at(salon, person=salon.add_person())
    other = connect()
    set_clock(other)
    with ThreadPoolExecutor() as background:
        with salon.db.transaction():
            reserve(salon, slot, OTHER_SESSION, BOB)
            waiting = background.submit(
                Api(other).call,
                "reschedule_appointment",
                ADA,
                appointment_id=booking.appointment,
                slot_id=slot,
            )
            wait_until_blocked(other.info.backend_pid)
        assert_refused(waiting.result(), "slot_taken", 409)
    assert [hold["slot_id"] for hold in holds(salon)] == [slot]
    assert is_at(salon, booking) == TEN
    assert salon.differences() == []


def test_it_moves_to_another_place_and_its_zone(salon: Salon, booking: Booking) -> None:
    lisbon = salon.insert("locations", name="Baixa", timezone="Europe/Lisbon")
    salon.insert(
        "working_hours",
        staff_id=salon.person,
        location_id=lisbon,
        weekday=3,
        start_time="18:00",
        end_time="20:00",
    )
    start = datetime.fromisoformat("2026-03-04 18:30+00:00")
    answer = move(salon, booking, slot_at(salon, start, location=lisbon))
    assert (
        answer.body.items()
        >= {
            "location_id": str(lisbon),
            "start_time": "2026-03-04T18:30:00Z",
        }.items()
    )
    assert appointment(salon, booking.appointment)["location_id"] == lisbon
    assert salon.available(salon.cut)
    assert salon.differences() == []


# Classes


def attend(salon: Salon, start: datetime = TEN, number: int = 9) -> None:
    """Let so many guests attend the class of that start."""
    for _ in range(number):
        salon.insert("appointments", **salon.slot(salon.course, start))


def test_a_seat_moves_from_class_to_class(salon: Salon, seat: Booking) -> None:
    attend(salon, TEN, 2)
    attend(salon, NOON, 3)
    answer = move(salon, seat, slot_at(salon, NOON, salon.course))
    assert answer.body["seat"] == 4
    seats = rows(
        salon, "select start_time, seat from booking.appointments order by start_time, seat"
    )
    assert [row["seat"] for row in seats] == [2, 3, 1, 2, 3, 4]
    assert salon.differences() == []


def test_the_held_seat_is_the_one_that_is_taken(salon: Salon, seat: Booking) -> None:
    slot = slot_at(salon, NOON, salon.course)
    reserve(salon, slot, OTHER_SESSION, BOB, "course")
    reserve(salon, slot, appointment_type="course")
    assert call(salon, "release_slot", slot_id=slot, session_id=OTHER_SESSION).success
    assert move(salon, seat, slot, session_id=SESSION).body["seat"] == 2
    assert holds(salon) == []
    assert salon.differences() == []


def test_a_full_class_is_taken_and_a_held_last_seat_too(salon: Salon, seat: Booking) -> None:
    attend(salon, NOON, 9)
    slot = slot_at(salon, NOON, salon.course)
    reserve(salon, slot, OTHER_SESSION, BOB, "course")
    assert_stays(salon, seat, slot, "slot_taken", 409)
    assert create(salon, slot, BOB, session_id=None, appointment_type="course").success
    assert_stays(salon, seat, slot, "slot_taken", 409)


def test_within_its_class_it_keeps_its_seat(salon: Salon, seat: Booking) -> None:
    attend(salon, TEN, 9)
    before = everything(salon)
    assert move(salon, seat, seat.slot).body["seat"] == 1
    assert changes_since(salon, before) == []


def test_the_only_attendee_moves_over_the_classes_own_time(salon: Salon, seat: Booking) -> None:
    slot = slot_at(salon, TEN + timedelta(minutes=30), salon.course)
    assert move(salon, seat, slot).success
    assert salon.differences() == []


def test_and_cannot_where_others_attend(salon: Salon, seat: Booking) -> None:
    attend(salon, TEN, 1)
    slot = slot_at(salon, TEN + timedelta(minutes=30), salon.course)
    assert_stays(salon, seat, slot, "slot_taken", 409)


# When


def test_notice_binds_customers_and_not_staff(salon: Salon, booking: Booking) -> None:
    salon.db.execute("update booking.tenants set cancellation_notice_minutes = 120")
    slot = slot_at(salon, ELEVEN)
    set_clock(salon.db, "2026-03-03 08:00:00.000001+01")
    for caller, token in ((ADA, None), (ANON, booking.token)):
        assert_stays(salon, booking, slot, "too_late", 409, caller, manage_token=token)
    assert move(salon, booking, slot, staff_of(salon)).success
    assert salon.differences() == []


def test_until_it_is_so_near(salon: Salon, booking: Booking) -> None:
    salon.db.execute("update booking.tenants set cancellation_notice_minutes = 120")
    set_clock(salon.db, "2026-03-03 08:00+01")
    assert move(salon, booking, slot_at(salon, ELEVEN)).success


def test_once_it_has_begun_only_staff_move_it(salon: Salon, booking: Booking) -> None:
    slot = slot_at(salon, ELEVEN)
    set_clock(salon.db, "2026-03-03 10:00:00.000001+01")
    assert_stays(salon, booking, slot, "too_late", 409)
    assert move(salon, booking, slot, SERVICE).success


@pytest.mark.parametrize("status", ["cancelled", "completed", "no_show"])
@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_what_is_over_or_cancelled_stays_where_it_is(
    salon: Salon, booking: Booking, caller: Callable[[Salon], Caller], status: str
) -> None:
    slot = slot_at(salon, ELEVEN)
    set_clock(salon.db, "2026-03-03 10:00+01")
    salon.db.execute("update booking.appointments set status = %s", (status,))
    assert_stays(salon, booking, slot, "invalid_status", 409, caller(salon))


def test_what_is_cancelled_does_not_move_to_where_it_was(salon: Salon, booking: Booking) -> None:
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    assert_stays(salon, booking, booking.slot, "invalid_status", 409)
