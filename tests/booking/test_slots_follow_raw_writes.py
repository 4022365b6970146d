"""Promise P2: what is written by hand is in the slots when it is committed."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.booking.booked import ADA, OTHER_SESSION, call, create, reserve, slot_at
from tests.salon import TEN, Salon, set_clock


def starts(salon: Salon, type_id: UUID, day: str = "2026-03-03") -> list[str]:
    """The local starts that are offered that day."""
    rows = salon.db.execute(
        "select to_char(s.start_time at time zone 'Europe/Berlin', 'HH24:MI')"
        " from booking.availability_slots s"
        " join booking.appointment_types t on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
        " where s.tenant_id = %s and s.staff_id = %s and t.id = %s and s.is_available"
        " and (s.reserved_until is null or s.reserved_until <= booking.now())"
        " and (s.start_time at time zone 'Europe/Berlin')::date = %s order by s.start_time",
        (salon.tenant, salon.person, type_id, day),
    ).fetchall()
    return [row[0] for row in rows]


def test_a_day_is_published_from_opening_to_the_last_start_that_fits(salon: Salon) -> None:
    offered = starts(salon, salon.cut)
    assert offered[:3] == ["09:00", "09:15", "09:30"]
    assert offered[-1] == "16:30"
    assert len(offered) == 31


def test_an_appointment_takes_its_time_and_gives_it_back(salon: Salon) -> None:
    before = starts(salon, salon.cut)
    appointment = salon.appointment(TEN, minutes=30)
    assert sorted(set(before) - set(starts(salon, salon.cut))) == ["09:45", "10:00", "10:15"]
    salon.db.execute(
        "update booking.appointments set status = 'cancelled' where id = %s", (appointment,)
    )
    assert starts(salon, salon.cut) == before


def test_a_move_frees_the_old_day_and_takes_the_new_one(salon: Salon) -> None:
    salon.appointment(TEN)
    salon.db.execute(
        "update booking.appointments"
        " set start_time = start_time + interval '24 hours',"
        "     end_time = end_time + interval '24 hours'"
    )
    assert "10:00" in starts(salon, salon.cut, "2026-03-03")
    assert "10:00" not in starts(salon, salon.cut, "2026-03-04")
    assert salon.differences() == []


def test_moving_by_hand_takes_an_appointment_off_its_slot(salon: Salon) -> None:
    salon.insert("appointments", **salon.slot(salon.course))
    salon.db.execute("update booking.appointments set end_time = end_time + interval '5 minutes'")
    row = salon.db.execute("select slot_id, shape_id, seat, capacity from booking.appointments")
    assert row.fetchone() == (None, None, 1, 1)
    assert salon.differences() == []


def test_notes_and_payments_leave_calendar_and_slots_alone(salon: Salon) -> None:
    salon.appointment()
    before = salon.db.execute("select revision from booking.calendars").fetchone()
    salon.db.execute(
        "update booking.appointments set notes = 'left-handed', payment_status = 'paid'"
    )
    assert salon.db.execute("select revision from booking.calendars").fetchone() == before


def test_busy_times_come_and_go(salon: Salon) -> None:
    before = starts(salon, salon.cut)
    salon.insert(
        "busy_times",
        staff_id=salon.person,
        start_time=TEN + timedelta(minutes=7),
        end_time=TEN + timedelta(minutes=8),
    )
    assert sorted(set(before) - set(starts(salon, salon.cut))) == ["09:45", "10:00"]
    salon.db.execute("delete from booking.busy_times")
    assert starts(salon, salon.cut) == before


def test_a_season_changes_only_its_own_dates(salon: Salon) -> None:
    salon.insert(
        "working_hours",
        staff_id=salon.person,
        location_id=salon.location,
        weekday=3,
        start_time="20:00",
        end_time="21:00",
        valid_from="2026-03-10",
    )
    assert "20:00" not in starts(salon, salon.cut, "2026-03-04")
    assert "20:00" in starts(salon, salon.cut, "2026-03-11")


def test_a_holiday_for_everyone_closes_and_reopens(salon: Salon) -> None:
    salon.insert(
        "schedule_exceptions", first_date="2026-03-03", last_date="2026-03-03", kind="closed"
    )
    assert starts(salon, salon.cut) == []
    assert starts(salon, salon.cut, "2026-03-04")
    salon.db.execute("delete from booking.schedule_exceptions")
    assert starts(salon, salon.cut)


@pytest.mark.parametrize("table", ["tenants", "staff", "locations", "appointment_types"])
def test_what_is_deactivated_has_no_slots(salon: Salon, table: str) -> None:
    salon.db.execute(f"update booking.{table} set is_active = false".encode())
    assert starts(salon, salon.cut) == []
    assert salon.differences() == []
    salon.db.execute(f"update booking.{table} set is_active = true".encode())
    assert starts(salon, salon.cut)
    assert salon.differences() == []


def test_types_of_equal_measures_share_a_shape_and_its_slots(salon: Salon) -> None:
    other = salon.insert("appointment_types", code="trim", name="Trim", duration_minutes=30)
    shapes = salon.db.execute(
        "select count(distinct shape_id) from booking.appointment_types where id = any (%s)",
        ([salon.cut, other],),
    ).fetchone()
    assert shapes == (1,)
    salon.db.execute(
        "update booking.appointment_types set duration_minutes = 45 where id = %s", (other,)
    )
    assert salon.db.execute("select count(*) from booking.slot_shapes").fetchone() == (3,)
    assert starts(salon, salon.cut)[-1] == "16:30"


def test_a_slot_keeps_its_id_when_it_is_made_anew(salon: Salon) -> None:
    ids = "select array_agg(id order by id) from booking.availability_slots"
    before = salon.db.execute(ids).fetchone()
    salon.db.execute("delete from booking.availability_slots")
    salon.db.execute("select booking.refresh_slots(%s, null, null, null)", (salon.tenant,))
    assert salon.db.execute(ids).fetchone() == before


def work_at_night(salon: Salon) -> None:
    """From ten in the evening to six in the morning, gapless."""
    salon.db.execute("update booking.tenants set slot_alignment = 'gapless'")
    salon.db.execute("update booking.working_hours set start_time = '22:00', end_time = '06:00'")


def test_an_evening_appointment_moves_the_grid_of_the_following_morning(salon: Salon) -> None:
    work_at_night(salon)
    before = starts(salon, salon.cut, "2026-03-04")
    salon.appointment(TEN + timedelta(hours=12, minutes=5), minutes=7)
    after = starts(salon, salon.cut, "2026-03-04")
    assert before[:2] == ["00:00", "00:15"]
    assert after[:2] == ["00:12", "00:27"]
    assert salon.differences() == []


def test_an_end_that_buffers_push_past_midnight_begins_no_grid(salon: Salon) -> None:
    salon.db.execute("update booking.tenants set slot_alignment = 'gapless'")
    salon.db.execute("update booking.working_hours set start_time = '00:00', end_time = '24:00'")
    salon.db.execute(
        "update booking.appointment_types set buffer_before_minutes = 30, slot_step_minutes = 7"
        " where code = 'cut'"
    )
    salon.insert(
        "busy_times",
        staff_id=salon.person,
        start_time=TEN + timedelta(hours=10),
        end_time=TEN + timedelta(hours=13, minutes=45),
    )
    assert starts(salon, salon.cut, "2026-03-04")[:2] == ["00:21", "00:28"]
    assert salon.differences() == []


def test_a_long_type_is_recalculated_as_far_back_as_it_reaches(salon: Salon) -> None:
    work_at_night(salon)
    salon.db.execute("update booking.working_hours set end_time = '22:00'")
    salon.db.execute(
        "update booking.appointment_types"
        " set duration_minutes = 1300, buffer_before_minutes = 1440,"
        " buffer_after_minutes = 1440 where code = 'cut'"
    )
    salon.appointment(TEN + timedelta(days=5), minutes=10)
    assert salon.differences() == []


def test_a_tail_of_the_night_before_is_cut_by_a_break_over_midnight(salon: Salon) -> None:
    work_at_night(salon)
    salon.insert("breaks", staff_id=salon.person, weekday=2, start_time="23:30", end_time="00:40")
    assert starts(salon, salon.cut, "2026-03-04")[:2] == ["00:40", "00:55"]
    assert salon.differences() == []


# Holds


def test_a_hold_hides_every_slot_it_overlaps_until_it_expires(salon: Salon) -> None:
    before = starts(salon, salon.cut)
    salon.hold(salon.cut)
    assert sorted(set(before) - set(starts(salon, salon.cut))) == ["09:45", "10:00", "10:15"]
    set_clock(salon.db, "2026-03-02 07:10+01")
    assert starts(salon, salon.cut) == before, "an expired hold is free at once, without a cleanup"


def test_an_appointment_by_hand_beats_the_holds_it_overlaps_and_no_others(salon: Salon) -> None:
    salon.hold(salon.cut)
    apart = salon.hold(salon.cut, TEN + timedelta(hours=2), session_hash=b"t" * 32)
    salon.appointment(TEN + timedelta(minutes=10))
    assert salon.db.execute("select id from booking.slot_reservations").fetchall() == [(apart,)]
    assert salon.differences() == []


def test_moving_an_appointment_onto_a_hold_beats_it_too(salon: Salon) -> None:
    appointment = salon.appointment(TEN - timedelta(hours=1))
    salon.hold(salon.cut)
    salon.db.execute(
        "update booking.appointments set start_time = start_time + interval '1 hour',"
        " end_time = end_time + interval '1 hour' where id = %s",
        (appointment,),
    )
    assert salon.db.execute("select count(*) from booking.slot_reservations").fetchone() == (0,)
    assert salon.differences() == []


def test_holds_of_a_class_are_counted_as_seats(salon: Salon) -> None:
    salon.db.execute("update booking.appointment_types set capacity = 2 where code = 'course'")
    salon.hold(salon.course, seat=1)
    assert salon.available(salon.course)
    salon.hold(salon.course, seat=2, session_hash=b"t" * 32)
    assert not salon.available(salon.course)
    with pytest.raises(psycopg.errors.ExclusionViolation, match="all 2 seats"):
        salon.insert("appointments", **salon.slot(salon.course))
    set_clock(salon.db, "2026-03-02 07:10+01")
    salon.insert("appointments", **salon.slot(salon.course))
    assert salon.available(salon.course)
    assert salon.differences() == []


def test_a_hold_cannot_be_placed_on_an_appointment(salon: Salon) -> None:
    salon.appointment(TEN + timedelta(minutes=10))
    with pytest.raises(psycopg.errors.ExclusionViolation, match="overlap a live appointment"):
        salon.hold(salon.cut)


def test_two_sessions_cannot_hold_overlapping_slots(salon: Salon) -> None:
    salon.hold(salon.cut)
    with pytest.raises(psycopg.errors.ExclusionViolation):
        salon.hold(salon.cut, TEN + timedelta(minutes=15), session_hash=b"t" * 32)
    set_clock(salon.db, "2026-03-02 07:10+01")
    salon.hold(
        salon.cut,
        TEN + timedelta(minutes=15),
        session_hash=b"t" * 32,
        expires_at=datetime(2026, 3, 2, 7, tzinfo=UTC),
    )


def test_a_held_slot_whose_hours_go_stays_hidden_when_the_hold_expires(salon: Salon) -> None:
    salon.hold(salon.cut)
    salon.db.execute("delete from booking.working_hours")
    row = salon.db.execute(
        "select is_available, reserved_until from booking.availability_slots"
    ).fetchall()
    assert row == [(False, datetime(2026, 3, 2, 6, 10, tzinfo=UTC))]
    salon.db.execute("delete from booking.slot_reservations")
    assert salon.db.execute("select count(*) from booking.availability_slots").fetchone() == (0,)


def test_several_expired_holds_can_be_prolonged_together(salon: Salon) -> None:
    for hours in (0, 1):
        salon.hold(salon.cut, TEN + timedelta(hours=hours))
    set_clock(salon.db, "2026-03-02 08:00+01")
    salon.db.execute("update booking.slot_reservations set expires_at = '2026-03-02 09:00+01'")
    assert not salon.available(salon.cut)
    assert salon.differences() == []


# Classes and what an upsert leaves behind


def test_an_upsert_of_a_class_leaves_its_shape_alone(salon: Salon) -> None:
    before = starts(salon, salon.course)
    upsert = (
        "insert into booking.appointment_types"
        " (tenant_id, code, name, duration_minutes, capacity, slot_step_minutes)"
        " values (%s, 'course', 'Course II', 60, 10, 20) on conflict (tenant_id, code) do "
    )
    salon.db.execute((upsert + "nothing").encode(), (salon.tenant,))
    assert starts(salon, salon.course) == before
    salon.db.execute((upsert + "update set name = excluded.name").encode(), (salon.tenant,))
    assert starts(salon, salon.course) == before
    assert salon.differences() == []
    salon.db.execute(
        (upsert + "update set slot_step_minutes = excluded.slot_step_minutes").encode(),
        (salon.tenant,),
    )
    assert starts(salon, salon.course)[:2] == ["09:00", "09:20"]
    assert salon.differences() == []


def test_a_class_is_deactivated_and_never_deleted(salon: Salon) -> None:
    salon.db.execute("delete from booking.staff_appointment_types")
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match='"course" is or was a class'):
        salon.db.execute("delete from booking.appointment_types where code = 'course'")
    salon.db.execute("delete from booking.appointment_types where code = 'cut'")


# Refreshing


def written(db: psycopg.Connection[Any]) -> tuple[int, ...]:
    """Rows of availability_slots ever inserted, updated and deleted, as the server counts them."""
    db.execute("select pg_stat_force_next_flush()")
    row = db.execute(
        "select n_tup_ins, n_tup_upd, n_tup_del from pg_stat_user_tables"
        " where relid = 'booking.availability_slots'::regclass"
    ).fetchone()
    assert row is not None
    return tuple(row)


def test_a_refresh_that_finds_nothing_changed_writes_nothing(salon: Salon) -> None:
    salon.appointment()
    before = written(salon.db)
    assert salon.db.execute(
        "select * from booking.refresh_horizon(%s, null)", (salon.tenant,)
    ).fetchone() == (0, 0, 0)
    assert written(salon.db) == before


def test_a_night_writes_the_new_last_day_and_deletes_the_past_one(salon: Salon) -> None:
    a_day = salon.db.execute(
        "select count(*) from booking.availability_slots"
        " where (start_time at time zone 'Europe/Berlin')::date = '2026-03-02'"
    ).fetchone()
    assert a_day is not None
    before = written(salon.db)
    set_clock(salon.db, "2026-03-03 02:00+01")
    salon.db.execute("call booking.nightly_refresh()")
    after = written(salon.db)
    assert [new - old for new, old in zip(after, before, strict=True)] == [a_day[0], 0, a_day[0]]
    assert salon.db.execute(
        "select materialized_until::text from booking.calendars"
    ).fetchone() == ("2026-03-13",)
    assert salon.differences() == []


def test_what_is_written_for_a_far_day_costs_no_rows_now(salon: Salon) -> None:
    before = written(salon.db)
    salon.appointment(TEN + timedelta(days=200))
    assert written(salon.db) == before


def test_a_bulk_load_of_many_days_is_exact(salon: Salon) -> None:
    colleague = salon.add_person()
    salon.db.execute(
        "insert into booking.appointments"
        " (tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time)"
        " select %s, person, %s, %s, start, start + interval '20 minutes'"
        " from unnest(%s::uuid[]) as person, generate_series(%s, %s + interval '9 days', '7 hours')"
        " as start",
        (salon.tenant, salon.location, salon.cut, [salon.person, colleague], TEN, TEN),
    )
    assert salon.differences() == []


# Wide changes


def crowd(salon: Salon, size: int = 21) -> None:
    for number in range(size - 1):
        salon.add_person(f"S{number}")


def test_a_change_that_concerns_many_is_queued_with_its_reason_and_worked_off(
    salon: Salon,
) -> None:
    crowd(salon)
    salon.db.execute(
        "update booking.appointment_types set duration_minutes = 45 where code = 'cut'"
    )
    queue = "select count(*), min(reason) from booking.refresh_queue"
    assert salon.db.execute(queue).fetchone() == (21, "appointment_types changed")
    assert starts(salon, salon.cut) == []
    assert salon.differences() == [], "queued calendars are the visible exception"
    salon.db.execute("call booking.drain_refresh_queue()")
    assert salon.db.execute(queue).fetchone() == (0, None)
    assert starts(salon, salon.cut)[-1] == "16:15"
    assert salon.differences() == []


def test_until_the_queue_comes_by_booking_refuses_what_is_no_longer_true(salon: Salon) -> None:
    """The old, shorter slots are still there to be seen, and nothing of them can be had."""
    crowd(salon)
    before = slot_at(salon)
    held = slot_at(salon, TEN + timedelta(hours=2))
    reserve(salon, held, caller=ADA)
    salon.db.execute(
        "update booking.appointment_types set duration_minutes = 45 where code = 'cut'"
    )
    assert salon.db.execute(
        "select is_available from booking.availability_slots where id = %s", (before,)
    ).fetchone() == (True,)
    new = call(salon, "reserve_slot", slot_id=before, session_id=OTHER_SESSION)
    assert new.code == "slot_taken"
    assert create(salon, held, ADA).code == "appointment_conflict"
    assert salon.db.execute("select count(*) from booking.appointments").fetchone() == (0,)


def test_a_change_that_concerns_twenty_is_done_at_once(salon: Salon) -> None:
    crowd(salon, 20)
    salon.db.execute("update booking.tenants set slot_step_minutes = 30")
    assert salon.db.execute("select count(*) from booking.refresh_queue").fetchone() == (0,)
    assert starts(salon, salon.cut)[:2] == ["09:00", "09:30"]
    assert salon.differences() == []


def test_a_failing_calendar_keeps_its_error_and_stops_no_other(salon: Salon) -> None:
    crowd(salon)
    salon.db.execute("update booking.tenants set slot_step_minutes = 30")
    salon.db.execute(
        "create function booking.fail() returns trigger language plpgsql"
        " as $$ begin raise 'disk on fire'; end $$"
    )
    salon.db.execute(
        "create trigger fail before update or delete on booking.availability_slots"
        f" for each row when (old.staff_id = '{salon.person}')"
        " execute function booking.fail()"
    )
    salon.db.execute("call booking.drain_refresh_queue()")
    left = "select staff_id, attempts, last_error from booking.refresh_queue"
    assert salon.db.execute(left).fetchall() == [(salon.person, 1, "disk on fire")]
    salon.db.execute("drop trigger fail on booking.availability_slots")
    salon.db.execute("call booking.drain_refresh_queue()")
    assert salon.db.execute(left).fetchall() == []
    assert salon.differences() == []


def test_a_wide_change_in_repeatable_read_is_refused(salon: Salon) -> None:
    salon.db.execute("begin isolation level repeatable read")
    with pytest.raises(
        psycopg.errors.InvalidTransactionState, match="needs a READ COMMITTED transaction"
    ):
        salon.db.execute("update booking.appointment_types set duration_minutes = 45")
    salon.db.execute("rollback")


def test_a_zone_that_moves_a_booked_slot_into_the_window_publishes_it(salon: Salon) -> None:
    east = salon.insert("locations", name="East", timezone="Pacific/Kiritimati")
    shape = salon.slot(salon.cut)["shape_id"]
    salon.db.execute(
        "insert into booking.appointments (tenant_id, staff_id, location_id, appointment_type_id,"
        " shape_id, slot_id, start_time, end_time)"
        " select tenant, person, place, %s, shape,"
        "   booking.slot_id(tenant, person, place, start, shape), start, start + interval '30 min'"
        " from (values (%s::uuid, %s::uuid, %s::uuid, %s::uuid, %s::timestamptz))"
        "   as v(tenant, person, place, shape, start)",
        (salon.cut, salon.tenant, salon.person, east, shape, "2026-03-12 15:00+01"),
    )
    salon.db.execute(
        "update booking.locations set timezone = 'Europe/Berlin' where id = %s", (east,)
    )
    assert salon.differences() == []


def test_past_slots_of_a_place_go_with_it(salon: Salon) -> None:
    salon.db.execute("update booking.working_hours set valid_until = '2026-03-02'")
    set_clock(salon.db, "2026-03-03 07:00+01")
    salon.db.execute("delete from booking.working_hours")
    salon.db.execute("delete from booking.locations")
    assert salon.db.execute("select count(*) from booking.availability_slots").fetchone() == (0,)


def test_calendars_are_not_deleted_by_hand(salon: Salon) -> None:
    for statement in (b"delete from booking.calendars", b"truncate booking.calendars cascade"):
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            salon.db.execute(statement)


def test_deleting_a_person_takes_calendar_and_slots_along(salon: Salon) -> None:
    for table in ("working_hours", "staff_appointment_types", "staff"):
        salon.db.execute(f"delete from booking.{table}".encode())
    for table in ("calendars", "availability_slots"):
        assert salon.db.execute(f"select count(*) from booking.{table}".encode()).fetchone() == (0,)
