"""Promise P1 against whoever can write SQL: constraints, not checks."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors

from tests.salon import TEN, Salon


def test_two_live_appointments_of_one_person_cannot_overlap(salon: Salon) -> None:
    salon.appointment(TEN, minutes=30)
    with pytest.raises(errors.ExclusionViolation):
        salon.appointment(TEN + timedelta(minutes=29), minutes=30)


def test_appointments_that_touch_do_not_overlap(salon: Salon) -> None:
    salon.appointment(TEN, minutes=30)
    salon.appointment(TEN + timedelta(minutes=30), minutes=30)
    salon.appointment(TEN - timedelta(minutes=30), minutes=30)


def test_buffers_of_neighbours_add_up(salon: Salon) -> None:
    salon.appointment(TEN, minutes=30, buffer_after_minutes=10)
    too_close = TEN + timedelta(minutes=45)
    with pytest.raises(errors.ExclusionViolation):
        salon.appointment(too_close, minutes=30, buffer_before_minutes=10)
    salon.appointment(too_close + timedelta(minutes=5), minutes=30, buffer_before_minutes=10)


@pytest.mark.parametrize("status", ["pending", "confirmed", "completed", "no_show"])
def test_every_status_but_cancelled_is_live(salon: Salon, status: str) -> None:
    salon.appointment(status=status)
    with pytest.raises(errors.ExclusionViolation):
        salon.appointment()


def test_a_cancelled_appointment_makes_room_and_cannot_come_back_into_it(salon: Salon) -> None:
    first = salon.appointment()
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    salon.appointment()
    with pytest.raises(errors.ExclusionViolation):
        salon.db.execute(
            "update booking.appointments set status = 'confirmed' where id = %s", (first,)
        )


@pytest.mark.parametrize(
    "change",
    [
        "start_time = start_time - interval '30 minutes'",
        "buffer_before_minutes = 10",
        "end_time = end_time + interval '1 minute', start_time = start_time - interval '1 minute'",
    ],
)
def test_no_update_can_make_them_overlap(salon: Salon, change: str) -> None:
    salon.appointment(TEN)
    second = salon.appointment(TEN + timedelta(minutes=30))
    with pytest.raises(errors.ExclusionViolation):
        salon.db.execute(
            f"update booking.appointments set {change} where id = %s".encode(), (second,)
        )


def test_handing_an_appointment_to_a_busy_colleague_is_refused(salon: Salon) -> None:
    colleague = salon.add_person()
    mine = salon.appointment()
    salon.appointment(staff_id=colleague)
    with pytest.raises(errors.ExclusionViolation):
        salon.db.execute(
            "update booking.appointments set staff_id = %s where id = %s", (colleague, mine)
        )


def test_two_people_can_be_booked_at_the_same_time(salon: Salon) -> None:
    salon.appointment()
    salon.appointment(staff_id=salon.add_person())


# Attacks on the slot id, by which the attendees of a class are told apart from everybody else


def test_an_appointments_id_cannot_be_a_slot_id(salon: Salon) -> None:
    attendee = salon.slot(salon.course)
    salon.insert("appointments", **attendee)
    with pytest.raises(errors.CheckViolation, match="appointment_id_is_not_a_slot_id"):
        salon.appointment(id=attendee["slot_id"])


def test_one_slot_id_cannot_stand_for_another_claim(salon: Salon) -> None:
    attendee = salon.slot(salon.course)
    salon.insert("appointments", **attendee)
    later = {"end_time": attendee["end_time"] + timedelta(minutes=30)}
    with pytest.raises(
        errors.ForeignKeyViolation, match="appointment_has_the_measures_of_its_shape"
    ):
        salon.insert("appointments", **(attendee | later))
    with pytest.raises(
        errors.ForeignKeyViolation, match="appointment_has_the_measures_of_its_shape"
    ):
        salon.insert("appointments", **(attendee | {"buffer_after_minutes": 5}))
    elsewhere = {key: attendee[key] + timedelta(hours=1) for key in ("start_time", "end_time")}
    with pytest.raises(errors.CheckViolation, match="slot_id_names_this_slot"):
        salon.insert("appointments", **(attendee | elsewhere))


def test_a_slot_id_without_its_shape_is_refused(salon: Salon) -> None:
    attendee = salon.slot(salon.course)
    with pytest.raises(errors.CheckViolation, match="slot_and_shape_come_together"):
        salon.insert("appointments", **(attendee | {"shape_id": None}))


def test_a_fraction_of_a_minute_does_not_slip_past_the_shape(salon: Salon) -> None:
    attendee = salon.slot(salon.course)
    longer = {"end_time": attendee["end_time"] + timedelta(seconds=1)}
    with pytest.raises(
        errors.ForeignKeyViolation, match="appointment_has_the_measures_of_its_shape"
    ):
        salon.insert("appointments", **(attendee | longer))


def test_a_single_slot_cannot_be_booked_twice(salon: Salon) -> None:
    slot = salon.slot(salon.cut)
    salon.insert("appointments", **slot)
    with pytest.raises(errors.IntegrityError):
        salon.insert("appointments", **slot)


def test_one_class_cannot_use_the_slots_of_another(salon: Salon) -> None:
    other = salon.insert(
        "appointment_types", code="yoga", name="Yoga", duration_minutes=60, capacity=5
    )
    with pytest.raises(errors.CheckViolation, match="a class has slots of its own"):
        salon.insert("appointments", **(salon.slot(salon.course) | {"appointment_type_id": other}))


@pytest.mark.parametrize(
    ("column", "value"), [("end_time", TEN), ("start_time", TEN + timedelta(hours=1))]
)
def test_an_empty_or_inverted_claim_is_refused(salon: Salon, column: str, value: Any) -> None:
    with pytest.raises(errors.IntegrityError, match="end_time_is_after_start_time"):
        salon.appointment(**{column: value})


def test_an_endless_claim_is_refused(salon: Salon) -> None:
    with pytest.raises(errors.CheckViolation, match="appointment_is_between_1900_and_9999"):
        salon.appointment(end_time="infinity")


# Seats


def test_an_eleventh_guest_of_ten_is_refused(salon: Salon) -> None:
    attendee = salon.slot(salon.course)
    for _ in range(10):
        salon.insert("appointments", **attendee)
    with pytest.raises(errors.ExclusionViolation, match="all 10 seats"):
        salon.insert("appointments", **attendee)
    seats = salon.db.execute(
        "select array_agg(seat order by seat), bool_and(capacity = 10) from booking.appointments"
    ).fetchone()
    assert seats == (list(range(1, 11)), True)
    assert not salon.available(salon.course)
    assert salon.differences() == []


def test_a_seat_that_is_written_is_not_the_seat_that_is_given(salon: Salon) -> None:
    attendee = salon.slot(salon.course)
    salon.insert("appointments", **attendee, seat=11, capacity=100)
    assert salon.db.execute("select seat, capacity from booking.appointments").fetchone() == (1, 10)


@pytest.mark.parametrize(
    "change", ["seat = 2", "seat = 11", "capacity = 20", "seat = 11, capacity = 20"]
)
def test_a_seat_cannot_be_moved_by_hand(salon: Salon, change: str) -> None:
    salon.insert("appointments", **salon.slot(salon.course))
    with pytest.raises(errors.CheckViolation, match="given out, not written"):
        salon.db.execute(f"update booking.appointments set {change}".encode())


def test_without_the_trigger_the_constraints_still_refuse_a_seat_too_many(salon: Salon) -> None:
    attendee = salon.slot(salon.course)
    salon.insert("appointments", **attendee)
    salon.db.execute("set session_replication_role = replica")
    with pytest.raises(errors.UniqueViolation, match="slot_id_seat"):
        salon.insert("appointments", **attendee, capacity=10, seat=1)
    with pytest.raises(errors.CheckViolation, match="seat_is_between_1_and_capacity"):
        salon.insert("appointments", **attendee, capacity=10, seat=11)


def test_the_lowest_free_seat_is_given_so_that_a_lowered_capacity_is_not_refilled_past(
    salon: Salon,
) -> None:
    attendee = salon.slot(salon.course)
    guests = [salon.insert("appointments", **attendee) for _ in range(5)]
    salon.db.execute("update booking.appointment_types set capacity = 3 where code = 'course'")
    assert salon.slot(salon.course)["slot_id"] == attendee["slot_id"], "a class keeps its name"
    with pytest.raises(errors.ExclusionViolation, match="all 3 seats"):
        salon.insert("appointments", **attendee)
    for guest in guests[:3]:
        salon.db.execute(
            "update booking.appointments set status = 'cancelled' where id = %s", (guest,)
        )
    salon.insert("appointments", **attendee)
    taken = salon.db.execute(
        "select array_agg(seat order by seat) from booking.appointments where status <> 'cancelled'"
    ).fetchone()
    assert taken == ([1, 4, 5],)
    with pytest.raises(errors.ExclusionViolation, match="all 3 seats"):
        salon.insert("appointments", **attendee)
    assert salon.differences() == []


def test_raising_the_capacity_of_a_class_that_fills_opens_seats_in_it(salon: Salon) -> None:
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    attendee = salon.slot(salon.course)
    for _ in range(2):
        salon.insert("appointments", **attendee)
    assert not salon.available(salon.course)
    salon.db.execute("update booking.appointment_types set capacity = 3 where code = 'course'")
    assert salon.available(salon.course)
    salon.insert("appointments", **attendee)
    assert salon.differences() == []


def test_nobody_else_fits_into_the_time_of_a_class(salon: Salon) -> None:
    salon.insert("appointments", **salon.slot(salon.course))
    with pytest.raises(errors.ExclusionViolation):
        salon.appointment(TEN + timedelta(minutes=30))
    assert not salon.available(salon.cut)


def test_coming_back_to_a_class_takes_a_free_seat_or_is_refused(salon: Salon) -> None:
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    attendee = salon.slot(salon.course)
    first = salon.insert("appointments", **attendee)
    salon.db.execute("update booking.appointments set status = 'cancelled'")
    salon.insert("appointments", **attendee)
    back = "update booking.appointments set status = 'confirmed' where id = %s returning seat"
    assert salon.db.execute(back, (first,)).fetchone() == (2,)
    salon.db.execute("update booking.appointments set status = 'cancelled' where id = %s", (first,))
    salon.insert("appointments", **attendee)
    with pytest.raises(errors.ExclusionViolation, match="all 2 seats"):
        salon.db.execute(back, (first,))


def test_an_appointment_of_another_tenants_staff_is_refused(
    salon: Salon, db: psycopg.Connection[Any]
) -> None:
    stranger = uuid4()
    db.execute(
        "insert into booking.tenants (id, name, timezone) values (%s, 'B', 'UTC')", (stranger,)
    )
    with pytest.raises(errors.ForeignKeyViolation):
        salon.appointment(tenant_id=stranger)
