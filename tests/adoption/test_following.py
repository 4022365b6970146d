"""The old system leads: what its programs write is here at commit, and never their trouble."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from tests.adoption.conftest import ANNA, BEN, COLOUR, CUT, DAVE, MAP, TODAY, Legacy
from tests.conftest import Connect
from tests.salon import set_clock


def test_an_appointment_takes_its_time_and_gives_it_back(legacy: Legacy) -> None:
    first = legacy.book("10:00")
    second = legacy.book("10:15")
    assert busy(legacy) == [(str(first), "10:00", "10:30"), (str(second), "10:15", "10:45")]
    legacy.write("update shop.appointments set state = 'cancelled' where id = %s", first)
    legacy.write(
        "update shop.appointments set starts_at = starts_at + '1 hour',"
        " ends_at = ends_at + '1 hour' where id = %s",
        second,
    )
    assert busy(legacy) == [(str(second), "11:15", "11:45")]
    assert legacy.is_clean()
    legacy.write("update shop.appointments set state = 'arrived' where id = %s", first)
    legacy.write("delete from shop.appointments where id = %s", second)
    assert busy(legacy) == [(str(first), "10:00", "10:30")]
    assert legacy.queue() == []
    assert legacy.is_clean()


def test_an_appointment_given_to_another_person_moves_with_them(legacy: Legacy) -> None:
    key = legacy.book("10:00")
    legacy.write("update shop.appointments set user_id = %s where id = %s", BEN, key)
    assert legacy.is_clean()
    legacy.write(
        "update shop.appointments set tenant_id = 2, user_id = %s where id = %s", DAVE, key
    )
    assert [each[0] for each in busy(legacy, "America/New_York")] == [str(key)]
    assert legacy.is_clean()


def test_absences_and_hours_follow(legacy: Legacy) -> None:
    legacy.write(
        "insert into shop.absences (user_id, starts_at, ends_at) values (1, %s, %s)",
        f"{TODAY} 12:00",
        f"{TODAY} 13:00",
    )
    legacy.write("update shop.working_hours set closes = '12:00' where user_id = 1 and dow = 1")
    legacy.write("insert into shop.working_hours (user_id, dow, opens, closes)"
                 " values (1, 0, '10:00', '11:00')")  # fmt: skip
    legacy.write("delete from shop.working_hours where user_id = 1 and dow = 2")
    weekly = legacy.db.execute(
        "select h.weekday, h.start_time::text, h.end_time::text from booking.working_hours h"
        " join booking.staff s on s.id = h.staff_id where s.external_id = '1' order by 1"
    ).fetchall()
    assert weekly == [
        (1, "09:00:00", "12:00:00"),
        (3, "09:00:00", "17:00:00"),
        (4, "09:00:00", "17:00:00"),
        (5, "09:00:00", "17:00:00"),
        (7, "10:00:00", "11:00:00"),
    ]
    assert legacy.queue() == []
    assert legacy.is_clean()


def test_people_services_and_businesses_follow(legacy: Legacy) -> None:
    legacy.write(
        "insert into shop.tenants (name, subdomain, tz)"
        " values ('Nails', 'Nails-Tokyo', 'Asia/Tokyo')"
    )
    legacy.write("insert into shop.services (tenant_id, title, minutes) values (3, 'Polish', 45)")
    legacy.write(
        "insert into shop.users (tenant_id, role, first_name, last_name)"
        " values (3, 'staff', 'Fumi', 'Fuse')"
    )
    legacy.write(
        "insert into shop.working_hours (user_id, dow, opens, closes)"
        " select max(id), 1, '10:00', '18:00' from shop.users"
    )
    # What concerns many calendars is followed later, and what hangs on it waits for it.
    assert [each[0] for each in legacy.queue()] == ["tenants", "services", "staff", "hours"]
    legacy.follow_queue()
    assert legacy.queue() == []
    published = legacy.db.execute(
        "select n.name, n.timezone, l.name, p.display_name, t.code, count(*)"
        " from booking.availability_slots s join booking.tenants n on n.id = s.tenant_id"
        " join booking.tenant_slugs g on g.tenant_id = n.id and g.slug = 'nails-tokyo'"
        " join booking.staff p on p.id = s.staff_id"
        " join booking.locations l on l.id = s.location_id"
        " join booking.appointment_types t on t.shape_id = s.shape_id group by 1, 2, 3, 4, 5"
    ).fetchall()
    assert [row[:5] for row in published] == [
        ("Nails", "Asia/Tokyo", "Nails", "Fumi Fuse", "polish")
    ]
    legacy.write("update shop.services set is_active = false, title = 'Colour' where id = 1")
    legacy.write("update shop.users set role = 'customer' where id = 2")
    legacy.write("update shop.users set last_name = 'Adler' where id = 1")
    legacy.follow_queue()
    rows = legacy.db.execute(
        "select display_name, is_active from booking.staff order by display_name"
    ).fetchall()
    assert rows == [
        ("Anna Adler", True),
        ("Ben Brandt", False),
        ("Dave Doyle", True),
        ("Fumi Fuse", True),
    ]
    # Two services cannot have one code.
    assert [each[:2] for each in legacy.queue()] == [("services", "1")]
    assert legacy.is_clean()


def test_local_times_become_the_later_instant_where_clocks_change(legacy: Legacy) -> None:
    for local in ("2026-03-29 02:30", "2026-10-25 02:30", "2026-10-25 01:30"):
        legacy.write(
            "insert into shop.appointments (tenant_id, user_id, service_id, starts_at, ends_at,"
            " created_by) values (1, 1, 1, %s, %s::timestamp + '1 day', 'x')",
            local,
            local,
        )
    starts = legacy.db.execute(
        "select to_char(start_time at time zone 'UTC', 'MM-DD HH24:MI') from booking.busy_times"
        " order by external_id"
    ).fetchall()
    assert starts == [("03-29 01:30",), ("10-25 01:30",), ("10-24 23:30",)]


# What cannot be followed


BAD_ROWS = {
    "it ends before it begins": (
        "update shop.appointments set ends_at = starts_at - interval '1 hour'",
        "it ends (2026-03-03T08:00:00Z) before it begins (2026-03-03T09:00:00Z)",
    ),
    "nobody knows them": (
        "update shop.appointments set user_id = 3",
        'staff "3" is not known here',
    ),
    "nobody knows the word": (
        "update shop.appointments set state = 'lost'",
        'status "lost" is not known: the map says what it means',
    ),
}


@pytest.mark.parametrize(("change", "error"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_row_that_cannot_be_followed_is_kept_with_its_error_until_it_can(
    legacy: Legacy, change: str, error: str
) -> None:
    legacy.write("alter table shop.appointments drop constraint appointments_state_check")
    key = legacy.book("10:00")
    legacy.write(change)
    assert legacy.queue() == [("appointments", str(key), error)]
    assert busy(legacy) == [(str(key), "10:00", "10:30")], "it takes the time that it had"
    report = legacy.adopt()
    assert report["code"] == 1
    assert [each["last_error"] for each in report["failing"]] == [error]
    assert legacy.follow_queue() == 1, "tried again"
    assert legacy.follow_queue() == 0, "and then not at once"
    assert "1 rows of the old system and pgbooking are not in step" in legacy.run("doctor").out
    legacy.write(
        "update shop.appointments set user_id = 1, state = 'booked',"
        " ends_at = starts_at + '45 minutes'"
    )
    assert busy(legacy) == [(str(key), "10:00", "10:45")]
    assert legacy.adopt("--map", str(MAP), "--apply")["code"] == 0
    assert legacy.queue() == []
    assert legacy.is_clean()


def test_the_old_system_can_change_its_tables_and_what_the_map_no_longer_fits_is_queued(
    legacy: Legacy,
) -> None:
    key = legacy.book("10:00")
    legacy.write("alter table shop.users rename column email to mail")
    legacy.write("alter table shop.appointments drop column note")
    other = legacy.book("11:00")
    assert busy(legacy) == [(str(key), "10:00", "10:30")]
    assert legacy.queue() == [("appointments", str(other), "column r.note does not exist")]
    legacy.write("alter table shop.appointments add column note varchar(100)")
    legacy.write("alter table shop.users rename column mail to email")
    legacy.follow_queue()
    assert legacy.is_clean()


# Nobody waits


def test_the_old_system_does_not_wait_for_a_calendar_and_its_row_is_followed_later(
    legacy: Legacy, connect: Connect
) -> None:
    with connect() as booker, booker.transaction():
        booker.execute(
            "select booking.lock_calendars(tenant_id, array[id]) from booking.staff"
            " where external_id = '1'"
        )
        legacy.write("set statement_timeout = '2s'")
        key = legacy.book("10:00")
        other = legacy.book("10:00", staff=BEN)
        assert [each[:2] for each in legacy.queue()] == [("appointments", str(key))]
        told = legacy.db.execute("select sqlstate from booking_adoption.queue").fetchall()
        assert told == [("55P03",)], "not waited for until something else ended it"
        assert [each[0] for each in busy(legacy)] == [str(other)]
        report = legacy.adopt()
        assert (report["code"], report["waiting"], report["failing"]) == (0, 1, [])
        legacy.write("update booking_adoption.queue set queued_at = now() - interval '1 hour'")
        assert "1 rows of the old system wait to be followed" in legacy.run("doctor").out
        assert legacy.follow_queue() == 1
        assert len(legacy.queue()) == 1, "still locked"
    legacy.write("update booking_adoption.queue set retry_at = '-infinity'")
    assert legacy.follow_queue() == 1
    assert legacy.queue() == []
    assert legacy.is_clean()


def test_a_row_that_is_being_written_is_left_until_it_is(legacy: Legacy, connect: Connect) -> None:
    key = legacy.book("10:00")
    legacy.write(
        "insert into booking_adoption.queue (section, tenant, external_id)"
        " values ('appointments', '1', %s)",
        str(key),
    )
    with connect() as writer, writer.transaction():
        set_clock(writer)
        writer.execute("set local session_replication_role = replica")
        writer.execute("update shop.appointments set state = 'cancelled'")
        assert legacy.follow_queue() == 1
        assert [each[2] for each in legacy.queue()] == [
            'could not obtain lock on row in relation "appointments"'
        ]
    legacy.write("update booking_adoption.queue set retry_at = '-infinity'")
    legacy.follow_queue()
    assert busy(legacy) == []
    assert legacy.queue() == []


def test_a_row_that_is_deleted_while_it_is_copied_does_not_stay(
    legacy: Legacy, connect: Connect
) -> None:
    with legacy.db.transaction():
        legacy.write("set local session_replication_role = replica")
        key = legacy.book("10:00")
    with connect() as writer, writer.transaction():
        set_clock(writer)
        writer.execute("delete from shop.appointments where id = %s", (key,))
        legacy.write(
            "select booking_adoption.copy_calendar(tenant_id, id) from booking.staff"
            " where external_id = '1'"
        )
        assert [each[0] for each in busy(legacy)] == [str(key)], "it is there still"
    legacy.follow_queue()
    assert busy(legacy) == []
    assert legacy.queue() == []


def test_a_row_that_is_given_to_somebody_switched_while_it_is_copied_is_in_one_place(
    legacy: Legacy, connect: Connect
) -> None:
    copying = "select booking_adoption.{}_calendar(tenant_id, id) from booking.staff"
    legacy.write(copying.format("switch") + " where external_id = '1'")
    with legacy.db.transaction():
        legacy.write("set local session_replication_role = replica")
        key = legacy.book("10:00", staff=BEN)
    with connect() as copier, copier.transaction():
        set_clock(copier)
        copier.execute((copying.format("copy") + " where external_id = '2'").encode())
        legacy.write("update shop.appointments set user_id = %s where id = %s", ANNA, key)
        assert legacy.appointment(key)
    assert [each[0] for each in busy(legacy)] == [str(key)], "now it is in both"
    legacy.follow_queue()
    assert busy(legacy) == []
    assert legacy.queue() == []
    assert legacy.is_clean()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_strict_transactions_only_queue(legacy: Legacy, level: str) -> None:
    with legacy.db.transaction():
        legacy.write(f"set transaction isolation level {level}")
        key = legacy.book("10:00")
    assert legacy.queue() == [("appointments", str(key), None)]
    assert legacy.follow_queue() == 1
    assert legacy.queue() == []
    assert legacy.is_clean()


def test_many_rows_at_once_are_queued(legacy: Legacy) -> None:
    for hour in range(9, 15):
        legacy.book(f"{hour:02}:00")
    legacy.write(
        "insert into shop.appointments (tenant_id, user_id, service_id, starts_at, ends_at,"
        " created_by) select tenant_id, user_id, service_id, starts_at + n * interval '1 day',"
        " ends_at + n * interval '1 day', 'x' from shop.appointments cross join"
        " generate_series(1, 10) as n"
    )
    assert len(legacy.queue()) == 60
    assert legacy.adopt()["waiting"] == 60
    assert legacy.adopt("--map", str(MAP), "--apply")["changed"] == 60
    assert legacy.queue() == []
    legacy.write("truncate shop.appointments")
    assert len(legacy.queue()) == 66
    assert legacy.follow_queue() == 66
    assert busy(legacy) == []
    assert legacy.is_clean()


def test_a_writer_needs_no_rights_here_and_row_security_hides_nothing(
    legacy: Legacy, connect: Connect
) -> None:
    legacy.write("create role cashier")
    try:
        legacy.write("grant usage on schema shop to cashier")
        legacy.write("grant select, insert on all tables in schema shop to cashier")
        legacy.write("grant usage on all sequences in schema shop to cashier")
        for table in ("appointments", "users"):
            legacy.write(f"alter table shop.{table} enable row level security")
            legacy.write(f"create policy all_rows on shop.{table} to cashier using (true)")
        with connect() as writer:
            set_clock(writer)
            writer.execute("set role cashier")
            writer.execute(
                """set request.jwt.claims = '{"role": "authenticated", "sub": "nobody"}'"""
            )
            key = Legacy(writer, legacy.run).book("10:00")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                writer.execute("select booking_adoption.follow_queued()")
        assert busy(legacy) == [(str(key), "10:00", "10:30")]
    finally:
        legacy.write("drop owned by cashier")
        legacy.write("drop role cashier")


def test_writers_of_two_people_in_opposite_orders_never_fail(
    legacy: Legacy, connect: Connect
) -> None:
    """What would be deadlocks, were a calendar waited for; the table itself is taken in order."""
    errors: list[Exception] = []

    def write(order: list[int]) -> None:
        with connect() as db:
            set_clock(db)
            writer = Legacy(db, legacy.run)
            try:
                for day in range(1, 40):
                    with db.transaction():
                        for staff in order:
                            writer.book("12:00", days=day, staff=staff)
            except Exception as error:
                errors.append(error)

    writers = [
        threading.Thread(target=write, args=(order,))
        for order in ([ANNA, BEN], [BEN, ANNA], [ANNA, BEN], [BEN, ANNA])
    ]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert errors == []
    legacy.adopt("--map", str(MAP), "--apply")
    assert legacy.queue() == []
    assert legacy.strangers() == []


# The map


def busy(legacy: Legacy, zone: str = "Europe/Berlin") -> list[tuple[Any, ...]]:
    """Busy times that follow appointments: key, and local start and end."""
    return legacy.db.execute(
        "select external_id, to_char(start_time at time zone %s, 'HH24:MI'),"
        " to_char(end_time at time zone %s, 'HH24:MI') from booking.busy_times"
        " where source = 'legacy' order by start_time, external_id",
        (zone, zone),
    ).fetchall()


def test_what_is_followed_can_be_followed_anew(legacy: Legacy) -> None:
    """Triggers that did not run (a restore, replication): --apply again puts everything right."""
    kept, moved, gone = (legacy.book(start) for start in ("09:00", "10:00", "11:00"))
    with legacy.db.transaction():
        legacy.write("set local session_replication_role = replica")
        legacy.write("delete from shop.appointments where id = %s", gone)
        legacy.write("update shop.appointments set user_id = 2 where id = %s", moved)
        legacy.write("update shop.working_hours set closes = '15:00' where user_id = 1")
        legacy.write("delete from shop.working_hours where user_id = 2 and dow = 3")
        legacy.write("update shop.services set minutes = 45 where id = %s", CUT)
        legacy.write("update shop.users set is_active = false where id = %s", DAVE)
        new = legacy.book("12:00", service=COLOUR)
    assert [each[0] for each in busy(legacy)] == [str(kept), str(moved), str(gone)]
    report = legacy.adopt("--map", str(MAP), "--apply")
    assert (report["code"], report["changed"] > 0) == (0, True)
    assert {each[0] for each in busy(legacy)} == {str(kept), str(moved), str(new)}
    assert legacy.is_clean()
    assert legacy.adopt("--map", str(MAP), "--apply")["changed"] == 0
