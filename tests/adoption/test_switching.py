"""The switch, what is written back, the way back, and the end."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.adoption.conftest import ANNA, BEN, CARLA, CLOCK, COLOUR, MAP, TODAY, Legacy
from tests.conftest import Connect
from tests.postgres import Server
from tests.salon import set_clock
from tests.schema.dumps import normalised_dump


def everything(legacy: Legacy) -> list[Any]:
    """Every row of both systems but what is on record of the attempts themselves."""
    tables = legacy.db.execute(
        "select c.oid::regclass::text from pg_class c where c.relkind = 'r' and"
        " c.relnamespace in ('shop'::regnamespace, 'booking'::regnamespace,"
        " 'booking_adoption'::regnamespace)"
        " and c.relname not in ('calendars', 'verification_runs', 'rate_limits') order by 1"
    ).fetchall()
    return [
        legacy.db.execute(f"select to_jsonb(t) from {table} t order by 1".encode()).fetchall()
        for (table,) in tables
    ]


def test_what_lies_ahead_becomes_appointments_with_all_that_the_old_system_knows(
    legacy: Legacy,
) -> None:
    past = legacy.book("06:00", days=0)
    key = legacy.book("10:00", 90, service=COLOUR)
    legacy.write("update shop.appointments set note = 'short' where id = %s", key)
    before = everything(legacy)
    tried = legacy.adopt("--switch", "--dry-run")
    assert (tried["code"], tried["changed"]) == (0, 1)
    assert everything(legacy) == before, "a dry run changes nothing"

    report = legacy.switch()
    assert (report["code"], report["changed"]) == (0, 1)
    appointment = legacy.appointment(key)
    assert appointment["customer"] == {"name": "Carla Conrad", "email": "carla@example.org"}
    assert (appointment["notes"], appointment["price_cents"]) == ("short", 8000)
    assert (appointment["source"], appointment["external_id"]) == ("legacy", str(key))
    assert legacy.appointment(past) is None
    assert legacy.db.execute("select from booking.events").rowcount == 0, "old news"
    assert legacy.is_clean()
    assert legacy.switch()["changed"] == 0, "done once"


def test_what_overlaps_stays_a_busy_time_and_is_listed_with_its_reason(legacy: Legacy) -> None:
    first = legacy.book("10:00", 60)
    second = legacy.book("10:30", 60)
    third = legacy.book("11:00", 60)
    legacy.write("delete from shop.services where id = 2")
    legacy.write("alter table shop.appointments drop constraint appointments_service_id_fkey")
    fourth = legacy.book("14:00", service=99)
    reasons = [
        (str(second), f"overlaps row {first}, Tue 3 Mar 2026, 10:00 to 11:00"),
        (str(fourth), 'service "99" is not known here'),
    ]
    for report in (legacy.adopt("--switch", "--dry-run"), legacy.switch(), legacy.adopt()):
        assert report["code"] == 1
        listed = [(each["external_id"], each["reason"]) for each in report["not_booked"]]
        assert listed == reasons
    assert legacy.is_clean()
    assert legacy.appointment(third)
    # Room is made there, so it can be one: the next time that it is written, or by switching again.
    legacy.write(
        "update shop.appointments set state = 'cancelled' where id in (%s, %s)", first, third
    )
    assert legacy.switch()["changed"] == 1
    assert legacy.appointment(second)["status"] == "confirmed"
    assert legacy.is_clean()


def test_a_class_shares_its_slot(legacy: Legacy) -> None:
    legacy.write("update booking.appointment_types set capacity = 3 where external_id = '2'")
    keys = [legacy.book("10:00", 90, service=COLOUR) for _ in range(4)]
    report = legacy.switch()
    assert [each["external_id"] for each in report["not_booked"]] == [str(keys[3])]
    seats = sorted(legacy.appointment(key)["seat"] for key in keys[:3])
    assert seats == [1, 2, 3]
    assert legacy.is_clean()


# What happens here is written there


def old(legacy: Legacy, key: object) -> Any:
    row = legacy.db.execute(
        "select to_jsonb(a) from shop.appointments a where a.id = %s", (key,)
    ).fetchone()
    return row and row[0]


def book_here(legacy: Legacy, start: str = "2026-03-03 15:00+01", **columns: object) -> Any:
    """An appointment of pgbooking's own; returns its id."""
    row: dict[str, object] = {
        "id": uuid4(),
        "customer": json.dumps({"name": "Carla", "email": "carla@example.org"}),
    } | columns
    legacy.db.execute(
        f"insert into booking.appointments (tenant_id, staff_id, location_id, appointment_type_id,"
        f" start_time, end_time, {', '.join(row)})"
        f" select s.tenant_id, s.id, l.id, t.id, %s, %s::timestamptz + interval '30 minutes',"
        f" {', '.join(['%s'] * len(row))} from booking.staff s join booking.locations l"
        f" using (tenant_id) join booking.appointment_types t using (tenant_id)"
        f" where s.external_id = '1' and t.code = 'cut'".encode(),
        (start, start, *row.values()),
    )
    return row["id"]


def change_here(legacy: Legacy, appointment_id: object, change: str) -> None:
    legacy.db.execute(
        f"update booking.appointments set {change} where id = %s".encode(), (appointment_id,)
    )


def key_of(legacy: Legacy, appointment_id: object) -> Any:
    row = legacy.db.execute(
        "select external_id from booking_adoption.links where row_id = %s", (appointment_id,)
    ).fetchone()
    return row and int(row[0])


def test_bookings_moves_and_cancellations_are_written_into_the_old_tables(legacy: Legacy) -> None:
    kept = legacy.book("10:00", state="arrived")
    legacy.switch()
    made = book_here(legacy, notes="new here")
    key = key_of(legacy, made)
    row = old(legacy, key)
    assert row | {"id": 0, "updated_at": 0} == {
        "id": 0,
        "tenant_id": 1,
        "user_id": ANNA,
        "service_id": 1,
        "customer_id": CARLA,
        "starts_at": "2026-03-03T15:00:00",
        "ends_at": "2026-03-03T15:30:00",
        "state": "booked",
        "note": "new here",
        "created_by": "pgbooking",
        "updated_at": 0,
    }
    change_here(legacy, made, "start_time = start_time + interval '1 hour',"
                " end_time = end_time + interval '2 hours'")  # fmt: skip
    assert (old(legacy, key)["starts_at"][11:], old(legacy, key)["ends_at"][11:]) == (
        "16:00:00",
        "17:30:00",
    )
    taken_over = legacy.appointment(kept)["id"]
    change_here(legacy, taken_over, "staff_id = (select id from booking.staff"
                " where external_id = '2')")  # fmt: skip
    assert (old(legacy, kept)["user_id"], old(legacy, kept)["state"]) == (BEN, "arrived")
    change_here(legacy, taken_over, "status = 'cancelled'")
    assert old(legacy, kept)["state"] == "cancelled"
    legacy.db.execute("delete from booking.appointments where id = %s", (made,))
    assert old(legacy, key) is None
    assert legacy.queue() == []
    assert legacy.is_clean()


def test_hours_and_busy_times_are_written_into_the_old_tables(legacy: Legacy) -> None:
    legacy.switch()
    legacy.write("update booking.working_hours set end_time = '16:00' where external_id = '1'")
    legacy.write(
        "insert into booking.working_hours (tenant_id, staff_id, location_id, weekday, start_time,"
        " end_time) select tenant_id, staff_id, location_id, 7, '10:00', '12:00'"
        " from booking.working_hours where external_id = '1'"
    )
    legacy.write("delete from booking.working_hours where external_id = '2'")
    legacy.write(
        "insert into booking.busy_times (tenant_id, staff_id, start_time, end_time)"
        " select tenant_id, id, '2026-03-03 12:00+01', '2026-03-03 13:00+01' from booking.staff"
        " where external_id = '1'"
    )
    hours = legacy.db.execute(
        "select dow, opens::text, closes::text from shop.working_hours"
        " where user_id in (1, 2) and dow in (0, 1) order by id"
    ).fetchall()
    assert hours == [(1, "09:00:00", "16:00:00"), (0, "10:00:00", "12:00:00")]
    absences = legacy.db.execute("select starts_at::text from shop.absences").fetchall()
    assert absences == [("2026-03-03 12:00:00",)]
    # And what is changed there comes back to the same rows.
    legacy.write("update shop.working_hours set closes = '13:00' where dow = 0")
    legacy.write("delete from shop.absences")
    assert legacy.db.execute(
        "select h.end_time::text from booking.working_hours h where h.weekday = 7"
    ).fetchall() == [("13:00:00",)]
    assert legacy.db.execute("select from booking.busy_times").rowcount == 0
    assert legacy.queue() == []
    assert legacy.is_clean()


def test_what_is_changed_there_still_comes_here(legacy: Legacy) -> None:
    legacy.switch()
    made = book_here(legacy)
    key = key_of(legacy, made)
    legacy.write(
        "update shop.appointments set starts_at = starts_at - interval '1 hour',"
        " ends_at = ends_at - interval '1 hour' where id = %s",
        key,
    )
    assert legacy.appointment(key)["start_time"] == "2026-03-03T14:00:00+00:00" or (
        legacy.is_clean()
    )
    new = legacy.book("10:00")
    assert legacy.appointment(new)["status"] == "confirmed"
    events = legacy.db.execute("select kind from booking.events order by created_at").fetchall()
    assert events == [("booked",), ("moved",), ("booked",)]
    clash = legacy.book("10:10")
    assert legacy.appointment(clash) is None
    legacy.write("update shop.appointments set state = 'cancelled' where id = %s", new)
    assert legacy.appointment(new)["status"] == "cancelled"
    assert legacy.switch()["changed"] == 1
    # A move onto somebody else's time cannot be followed: here it stays, and is listed.
    legacy.write(
        "update shop.appointments set starts_at = %s, ends_at = %s where id = %s",
        f"{TODAY.replace(day=3)} 10:15",
        f"{TODAY.replace(day=3)} 10:20",
        key,
    )
    assert [each[:2] for each in legacy.queue()] == [("appointments", str(key))]
    assert legacy.appointment(key)["duration_minutes"] == 30
    assert legacy.run("verify", "--independent", *CLOCK).code == 0


def test_a_booking_never_fails_or_waits_for_the_old_system(
    legacy: Legacy, connect: Connect
) -> None:
    kept = legacy.book("10:00")
    legacy.switch()
    legacy.write("alter table shop.appointments add constraint early check"
                 " (starts_at::time < '15:00')")  # fmt: skip
    made = book_here(legacy)
    with connect() as clerk, clerk.transaction():
        set_clock(clerk)
        clerk.execute("set local session_replication_role = replica")
        clerk.execute("update shop.appointments set note = 'being written' where id = %s", (kept,))
        legacy.write("set statement_timeout = '2s'")
        change_here(legacy, legacy.appointment(kept)["id"], "status = 'cancelled'")
    assert [each[:2] for each in legacy.queue()] == [
        ("appointments", str(made)),
        ("appointments", str(kept)),
    ]
    assert 'constraint "early"' in legacy.queue()[0][2]

    # What happened here is not undone by what stands there meanwhile.
    legacy.write("update shop.appointments set note = 'still booked' where id = %s", kept)
    assert legacy.appointment(kept)["status"] == "cancelled"
    assert legacy.run("adopt", "--back", *CLOCK).code == 1, "not before the old tables have it"
    assert legacy.appointment(kept)["status"] == "cancelled"

    legacy.write("alter table shop.appointments drop constraint early")
    assert legacy.switch()["code"] == 0
    assert old(legacy, kept)["state"] == "cancelled"
    assert old(legacy, key_of(legacy, made))["starts_at"] == "2026-03-03T15:00:00"
    assert legacy.is_clean()


def test_a_local_time_that_means_two_instants_is_not_written_as_the_wrong_one(
    legacy: Legacy,
) -> None:
    legacy.switch()
    made = book_here(legacy, "2026-10-25 02:30+02")
    ((section, row_id, error),) = legacy.queue()
    assert (section, row_id) == ("appointments", str(made))
    assert error.startswith("start local time 2026-10-25T02:30:00 comes twice in Europe/Berlin")
    change_here(
        legacy, made, "start_time = '2026-10-25 02:30+01', end_time = '2026-10-25 03:00+01'"
    )
    legacy.adopt("--switch")
    assert old(legacy, key_of(legacy, made))["starts_at"] == "2026-10-25T02:30:00"


def test_before_the_switch_and_in_the_past_nothing_is_written(legacy: Legacy) -> None:
    book_here(legacy)
    assert legacy.db.execute("select from shop.appointments").rowcount == 0
    legacy.db.execute("delete from booking.appointments")
    legacy.switch()
    book_here(legacy, "2026-03-01 10:00+01")
    assert legacy.db.execute("select from shop.appointments").rowcount == 0
    assert legacy.queue() == []


# Back, and the end


def test_back_undoes_the_switch_and_keeps_what_was_booked_here(legacy: Legacy) -> None:
    first, second = legacy.book("10:00"), legacy.book("11:00")
    legacy.switch()
    ids = [legacy.appointment(key)["id"] for key in (first, second)]
    made = book_here(legacy)
    change_here(legacy, ids[1], "start_time = start_time + interval '15 minutes',"
                " end_time = end_time + interval '15 minutes'")  # fmt: skip
    before = everything(legacy)
    assert legacy.adopt("--back", "--dry-run")["changed"] == 1
    assert everything(legacy) == before
    report = legacy.adopt("--back")
    assert (report["code"], report["changed"]) == (0, 1)
    assert legacy.appointment(first) is None
    assert legacy.appointment(second), "somebody has still to be told that it has moved"
    assert legacy.is_clean()
    legacy.write("update booking.events set processed_at = booking.now()")
    assert legacy.adopt("--back")["changed"] == 1
    assert legacy.appointment(second) is None
    assert legacy.is_clean()

    late = book_here(legacy, "2026-03-03 16:30+01")
    assert old(legacy, key_of(legacy, late)), "somebody has still come here"

    # Booked here: it stays what it is, follows its old row, and the old row follows it.
    key = key_of(legacy, made)
    legacy.write("update shop.appointments set user_id = 2 where id = %s", key)
    assert legacy.appointment(key)["id"] == str(made)
    change_here(legacy, made, "status = 'cancelled'")
    assert old(legacy, key)["state"] == "cancelled"
    assert legacy.is_clean()

    assert legacy.switch()["changed"] == 2
    assert [legacy.appointment(each)["id"] for each in (first, second)] == ids, "the same ids"
    assert legacy.is_clean()


def test_finishing_leaves_both_as_they_are_and_nothing_of_itself(
    legacy: Legacy, server: Server, database_url: str
) -> None:
    legacy.book("10:00")
    legacy.switch()
    legacy.book("10:10")
    assert legacy.adopt("--finish", "--dry-run")["notes"]
    assert legacy.run("adopt", "--finish", "--yes", *CLOCK).code == 0
    left = [line for line in normalised_dump(server, database_url) if "adoption" in line]
    assert left == []
    assert (
        legacy.db.execute("select from booking.jobs where name = 'follow_old_system'").rowcount == 0
    )
    legacy.book("15:00")
    assert legacy.db.execute("select from booking.appointments").rowcount == 1
    assert legacy.run("verify", *CLOCK).code == 0
    answer = legacy.run("adopt", *CLOCK)
    assert answer.code == 2
    assert answer.err.startswith("Error: Nothing is being adopted in this database.")


def test_the_end_waits_until_everything_is_in_step(legacy: Legacy) -> None:
    legacy.write("alter table shop.appointments drop constraint appointments_state_check")
    legacy.book("10:00", state="lost")
    answer = legacy.run("adopt", "--finish", "--yes", *CLOCK)
    assert answer.code == 1
    assert answer.err.startswith(
        'Error: 1 rows are not in step, the first because: status "lost" is not known'
    )


def test_one_tenant_can_go_first(legacy: Legacy) -> None:
    report = legacy.adopt("--switch", "--tenant", "quay")
    assert [(each["name"], each["calendars_switched"]) for each in report["tenants"]] == [
        ("Barber Quay", 1)
    ]
    (nord,) = legacy.adopt("--tenant", "nord")["tenants"]
    assert nord["calendars_switched"] == 0
    answer = legacy.run("adopt", "--switch", "--tenant", "west", *CLOCK)
    assert (answer.code, answer.err.splitlines()[0]) == (
        2,
        "Error: There is no tenant 'west' that is being adopted.",
    )


def test_somebody_new_begins_as_the_tenant_stands(legacy: Legacy) -> None:
    legacy.switch()
    legacy.write(
        "insert into shop.users (tenant_id, role, first_name, last_name)"
        " values (1, 'staff', 'Nora', 'Nolte')"
    )
    row = legacy.db.execute("select max(id) from shop.users").fetchone()
    assert row
    key = legacy.book("10:00", staff=row[0])
    assert legacy.appointment(key)["status"] == "confirmed"
    legacy.follow_queue()
    assert legacy.is_clean()


def test_a_role_that_is_no_superuser_can_do_it_all(legacy: Legacy, database_url: str) -> None:
    """It owns the old tables and is a member of booking_owner: what a migrating role is."""
    legacy.run("adopt", "--finish", "--yes", *CLOCK)
    role = f"migrator_{legacy.db.info.dbname}"
    legacy.write(f"create role {role} login createrole")
    try:
        legacy.write(f"grant booking_owner to {role}")
        legacy.write(f"grant create on database {legacy.db.info.dbname} to {role}")
        legacy.write(f"alter schema shop owner to {role}")
        for (table,) in legacy.db.execute(
            "select oid::regclass from pg_class where relnamespace = 'shop'::regnamespace"
            " and relkind = 'r'"
        ).fetchall():
            legacy.write(f"alter table {table} owner to {role}")
        url = psycopg.conninfo.make_conninfo(database_url, user=role)
        legacy.write("select set_config('booking.fake_now', '', false)")
        for step in (("--map", MAP, "--apply"), ("--switch",), ("--back",), ("--switch",)):
            answer = legacy.run("adopt", *step, "--database-url", url)
            assert (answer.code, answer.err) == (0, ""), answer
        drifted = legacy.run("doctor", "--database-url", url).out
        assert "adoption_" not in drifted
        answer = legacy.run("adopt", "--finish", "--yes", "--database-url", url)
        assert (answer.code, answer.err) == (0, "")
    finally:
        legacy.write(f"reassign owned by {role} to postgres")
        legacy.write(f"drop owned by {role}")
        legacy.write(f"drop role {role}")


@pytest.mark.parametrize("step", ["--switch", "--back"])
def test_a_step_that_is_stopped_goes_on_where_it_was(
    legacy: Legacy, connect: Connect, interrupted_when_blocked: Any, step: str
) -> None:
    legacy.book("10:00")
    legacy.book("10:00", staff=BEN)
    if step == "--back":
        legacy.switch()
    with connect() as booker, booker.transaction():
        booker.execute(
            "select booking.lock_calendars(tenant_id, array[id]) from booking.staff"
            " order by tenant_id desc, id desc limit 1"
        )
        answer = interrupted_when_blocked("adopt", step, *CLOCK)
    assert answer.code == 1
    assert "Stopped. What is done stays" in answer.out
    assert legacy.run("verify", *CLOCK).code == 0
    assert legacy.adopt(step)["code"] == 0
    assert legacy.is_clean()
