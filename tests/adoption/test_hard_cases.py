"""What two live systems do to each other on bad days: found by breaking it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.adoption.conftest import ANNA, BEN, CLOCK, COLOUR, MAP, Legacy
from tests.adoption.test_following import busy
from tests.adoption.test_switching import book_here, change_here, key_of, old
from tests.conftest import Connect
from tests.salon import set_clock

EARLIER = "start_time = start_time - interval '1 hour', end_time = end_time - interval '1 hour'"


def clerk(legacy: Legacy, connect: Connect) -> Legacy:
    """Another session of the old system."""
    db = connect()
    set_clock(db)
    return Legacy(db, legacy.run)


# The old system never fails


def test_installing_again_waits_for_no_open_transaction_of_the_old_system(
    legacy: Legacy, connect: Connect
) -> None:
    writer = clerk(legacy, connect)
    with writer.db.transaction():
        writer.book("10:00", days=2, staff=BEN)
        report = legacy.adopt("--map", str(MAP), "--apply")
        assert [each.split(":")[0] for each in report["failed"]] == ["Ben Brandt"], "his calendar"
        writer.write("insert into shop.appointments (tenant_id, user_id, service_id, starts_at,"
                     " ends_at, created_by) select 1, 1, 1, '2026-03-05', '2026-03-06', 'x'"
                     " from generate_series(1, 51)")  # fmt: skip
    assert legacy.adopt("--map", str(MAP), "--apply")["code"] == 0
    assert legacy.strangers() == []


def test_a_transaction_of_two_bookings_holds_no_old_row_while_it_waits(
    legacy: Legacy, connect: Connect
) -> None:
    """Or the old system could be the one to fail in a deadlock."""
    anna, ben = legacy.book("10:00"), legacy.book("10:00", staff=BEN)
    legacy.switch()
    website = connect()
    set_clock(website)
    with website.transaction():
        change_here(Legacy(website, legacy.run), legacy.appointment(ben)["id"], EARLIER)
        legacy.write("set lock_timeout = '1s'")
        legacy.write("update shop.appointments set note = 'x' where id = %s", ben)
        change_here(Legacy(website, legacy.run), legacy.appointment(anna)["id"], EARLIER)
    legacy.write("update booking_adoption.queue set retry_at = '-infinity'")
    legacy.follow_queue()
    assert [old(legacy, key)["starts_at"][11:] for key in (anna, ben)] == ["09:00:00"] * 2
    assert legacy.is_clean()


def test_what_the_old_tables_check_at_the_end_does_not_fail_the_booking(legacy: Legacy) -> None:
    legacy.switch()
    legacy.write(
        "alter table shop.appointments add constraint known_service foreign key (service_id)"
        " references shop.services (id) deferrable initially deferred"
    )
    legacy.write("create function shop.refuse() returns trigger language plpgsql as"
                 " $$ begin raise exception 'not today'; end $$")  # fmt: skip
    legacy.write("create constraint trigger refuse after insert on shop.appointments"
                 " deferrable initially deferred for each row execute function shop.refuse()"
                 )  # fmt: skip
    made = book_here(legacy)
    assert legacy.queue() == [("appointments", str(made), "not today")]


def test_nothing_is_read_in_a_serializable_transaction_of_the_old_system(
    legacy: Legacy, connect: Connect
) -> None:
    """What the trigger read would count as the old system's own reading."""
    # Its foreign key would read as well.
    legacy.write("alter table shop.working_hours drop constraint working_hours_user_id_fkey")
    other = clerk(legacy, connect)
    with legacy.db.transaction():
        legacy.write("set transaction isolation level serializable")
        legacy.write("insert into shop.working_hours (user_id, dow, opens, closes)"
                     " values (1, 6, '10:00', '11:00')")  # fmt: skip
        with other.db.transaction():
            other.write("set transaction isolation level serializable")
            other.db.execute("select count(*) from shop.working_hours").fetchone()
            other.write("update shop.users set first_name = 'Ann' where id = 1")
    legacy.write("update booking_adoption.queue set retry_at = '-infinity'")
    legacy.follow_queue()
    assert legacy.queue() == []
    assert legacy.is_clean()


# What happened is not undone


def test_back_keeps_what_the_old_tables_have_not_heard_of_yet(
    legacy: Legacy, connect: Connect
) -> None:
    key = legacy.book("10:00")
    legacy.switch()
    with clerk(legacy, connect).db as other, other.transaction():
        other.execute("select from shop.appointments for update")
        change_here(legacy, legacy.appointment(key)["id"], EARLIER)
        legacy.write("update booking.events set processed_at = booking.now()")
        legacy.write(
            "select booking_adoption.back_calendar(tenant_id, id) from booking.staff"
            " where external_id = '1'"
        )
    legacy.write("update booking_adoption.queue set retry_at = '-infinity'")
    legacy.follow_queue()
    assert old(legacy, key)["starts_at"][11:] == "09:00:00"
    assert legacy.is_clean()


def test_copying_anew_does_not_undo_what_waits_to_be_written(
    legacy: Legacy, connect: Connect
) -> None:
    for start in ("12:00", "13:00"):
        legacy.write("insert into shop.absences (user_id, starts_at, ends_at) values (1, %s, %s)",
                     f"2026-03-03 {start}", f"2026-03-03 {start[:3]}30")  # fmt: skip
    legacy.switch()
    with clerk(legacy, connect).db as other, other.transaction():
        other.execute("select from shop.absences for update")
        other.execute("select from shop.working_hours for update")
        legacy.write(f"update booking.busy_times set {EARLIER} where external_id = '1'")
        legacy.write("delete from booking.busy_times where external_id = '2'")
        legacy.write("delete from booking.working_hours where external_id = '4'")
        legacy.adopt("--map", str(MAP), "--apply")
        left = legacy.db.execute("select external_id from booking.busy_times").fetchall()
        assert left == [("1",)]
    legacy.adopt("--map", str(MAP), "--apply")
    rows = legacy.db.execute("select id, starts_at::text from shop.absences").fetchall()
    assert rows == [(1, "2026-03-03 11:00:00")]
    assert legacy.db.execute("select from shop.working_hours where id = 4").rowcount == 0
    assert legacy.queue() == []
    assert legacy.is_clean()


def test_a_cancellation_there_comes_before_a_move_here_that_waits(
    legacy: Legacy, connect: Connect
) -> None:
    key = legacy.book("10:00")
    legacy.switch()
    other = clerk(legacy, connect)
    with other.db.transaction():
        other.write("select from shop.appointments for update")
        change_here(legacy, legacy.appointment(key)["id"], EARLIER)
        other.write("update shop.appointments set state = 'cancelled'")
    legacy.write("update booking_adoption.queue set retry_at = '-infinity'")
    legacy.follow_queue()
    legacy.write("update booking_adoption.queue set retry_at = '-infinity'")
    legacy.follow_queue()
    assert (old(legacy, key)["state"], legacy.appointment(key)["status"]) == ("cancelled",) * 2
    assert legacy.queue() == []
    assert legacy.is_clean()


def test_what_the_old_system_makes_of_a_row_is_followed(legacy: Legacy) -> None:
    legacy.switch()
    legacy.write("create function shop.round_up() returns trigger language plpgsql as $$ begin"
                 " new.ends_at := new.ends_at + interval '15 minutes';"
                 " insert into shop.absences (user_id, starts_at, ends_at)"
                 " values (new.user_id, new.ends_at, new.ends_at + interval '5 minutes');"
                 " return new; end $$")  # fmt: skip
    legacy.write("create trigger round_up before insert on shop.appointments"
                 " for each row execute function shop.round_up()")  # fmt: skip
    made = book_here(legacy)
    legacy.follow_queue()
    assert legacy.appointment(key_of(legacy, made))["duration_minutes"] == 45
    absences = legacy.db.execute(
        "select from booking.busy_times where source = 'legacy_busy_times'"
    ).rowcount
    assert absences == 1
    legacy.write("create or replace function shop.round_up() returns trigger language plpgsql"
                 " as $$ begin return null; end $$")  # fmt: skip
    other = book_here(legacy, "2026-03-03 11:00+01")
    assert legacy.queue() == [
        ("appointments", str(other), "a trigger of shop.appointments has thrown the row away")
    ]


def test_history_that_the_old_system_throws_away_is_kept(legacy: Legacy) -> None:
    key = legacy.book("10:00")
    legacy.switch()
    made = legacy.appointment(key)["id"]
    set_clock(legacy.db, "2026-04-01 10:00+02")
    legacy.write("update shop.appointments set state = 'done'")
    legacy.write("delete from shop.appointments")
    status = legacy.db.execute("select status from booking.appointments where id = %s", (made,))
    assert status.fetchone() == ("completed",)
    assert legacy.queue() == []


def test_what_was_booked_here_before_the_switch_is_written_then(legacy: Legacy) -> None:
    made = book_here(legacy)
    assert legacy.switch()["code"] == 0
    assert old(legacy, key_of(legacy, made))["starts_at"] == "2026-03-03T15:00:00"
    assert legacy.is_clean()


def test_a_second_adoption_knows_what_the_first_has_booked(legacy: Legacy) -> None:
    key = legacy.book("10:00")
    legacy.switch()
    assert legacy.run("adopt", "--finish", "--yes", *CLOCK).code == 0
    assert legacy.adopt("--map", str(MAP), "--apply")["changed"] == 0
    assert busy(legacy) == []
    assert legacy.appointment(key) is not None
    assert legacy.is_clean()


# Rows that concern others


def test_a_day_that_is_shifted_in_one_statement_is_followed(legacy: Legacy) -> None:
    keys = [legacy.book(f"{hour:02}:00", 60) for hour in range(9, 13)]
    legacy.switch()
    for shift in ("30 minutes", "-45 minutes"):
        legacy.write(
            "update shop.appointments set starts_at = starts_at + %s::interval,"
            " ends_at = ends_at + %s::interval",
            shift,
            shift,
        )
    assert legacy.queue() == []
    assert all(legacy.appointment(key)["status"] == "confirmed" for key in keys)
    assert legacy.is_clean()


def test_a_guest_of_a_class_is_moved_to_the_class_of_another_day(legacy: Legacy) -> None:
    legacy.write("update booking.appointment_types set capacity = 3 where external_id = '2'")
    keys = [legacy.book("10:00", 90, service=COLOUR) for _ in range(2)]
    others = [legacy.book("10:00", 90, service=COLOUR, days=2)]
    legacy.switch()
    legacy.write(
        "update shop.appointments set starts_at = starts_at + interval '1 day',"
        " ends_at = ends_at + interval '1 day' where id = %s",
        keys[0],
    )
    assert legacy.queue() == []
    assert legacy.appointment(keys[0])["slot_id"] == legacy.appointment(others[0])["slot_id"]
    assert legacy.is_clean()


def test_a_zone_or_a_length_that_changes_moves_what_hangs_on_it(legacy: Legacy) -> None:
    key = legacy.book("10:00")
    legacy.write("update shop.tenants set tz = 'Europe/London' where id = 1")
    legacy.follow_queue()
    assert busy(legacy, "Europe/London") == [(str(key), "10:00", "10:30")]
    assert legacy.is_clean()


def test_a_slug_is_taken_over_by_nobodys_row(legacy: Legacy) -> None:
    made = legacy.db.execute(
        "insert into booking.tenants (name, timezone) values ('Zen', 'Asia/Tokyo') returning id"
    ).fetchone()
    assert made
    legacy.write("insert into booking.tenant_slugs values ('zen', %s)", made[0])
    legacy.write("insert into shop.tenants (name, subdomain) values ('Not Zen', 'zen')")
    legacy.follow_queue()
    assert legacy.queue() == [("tenants", "3", 'the slug "zen" is another tenant\'s here')]
    name = legacy.db.execute("select name from booking.tenants where id = %s", (made[0],))
    assert name.fetchone() == ("Zen",)


def test_a_row_without_a_tenant_is_nobodys(legacy: Legacy) -> None:
    legacy.write("alter table shop.services alter tenant_id drop not null")
    legacy.write("insert into shop.services (title, minutes) values ('Perm', 60)")
    legacy.follow_queue()
    assert [each[2] for each in legacy.queue()] == ["tenant is empty"]
    assert legacy.db.execute(
        "select from booking.appointment_types where name = 'Perm'"
    ).rowcount == 0  # fmt: skip


def test_rows_that_go_with_a_person_go_here_and_lock_no_other_tenant(
    legacy: Legacy, connect: Connect
) -> None:
    with clerk(legacy, connect).db as other, other.transaction():
        other.execute("select from booking.tenants where name = 'Barber Quay' for update")
        legacy.write("delete from shop.users where id = %s", BEN)
        hours = legacy.db.execute(
            "select from booking.working_hours h join booking.staff s on s.id = h.staff_id"
            " where s.external_id = %s",
            (str(BEN),),
        )
        assert hours.rowcount == 0
    assert legacy.queue() == []


def test_a_row_that_cannot_be_read_keeps_the_time_that_it_had(legacy: Legacy) -> None:
    legacy.write("alter table shop.appointments drop constraint appointments_state_check")
    key = legacy.book("10:00")
    legacy.write("update shop.appointments set state = 'lost'")
    legacy.write(
        "insert into shop.appointments (tenant_id, user_id, service_id, starts_at, ends_at,"
        " created_by) values (1, 1, 1, '2026-03-03', 'infinity', 'x')"
    )
    report = legacy.adopt("--map", str(MAP), "--apply")
    assert report["failed"] == []
    assert {each["last_error"] for each in report["failing"]} == {
        'status "lost" is not known: the map says what it means',
        "it is not between the years 1900 and 9999",
    }
    assert busy(legacy) == [(str(key), "10:00", "10:30")]


# Who may do what


def test_triggers_of_an_old_table_run_as_its_owner(legacy: Legacy) -> None:
    owner = f"owner_{legacy.db.info.dbname}"
    legacy.run("adopt", "--finish", "--yes", *CLOCK)
    legacy.write(f"create role {owner}")
    try:
        legacy.write(f"grant all on schema shop to {owner}")
        legacy.write(f"grant all on all tables in schema shop to {owner}")
        legacy.write(f"grant all on all sequences in schema shop to {owner}")
        legacy.write(f"alter table shop.appointments owner to {owner}")
        legacy.write("create function shop.tell() returns trigger language plpgsql as"
                     " $$ begin new.note := current_user; return new; end $$")  # fmt: skip
        legacy.write("create trigger tell before insert on shop.appointments"
                     " for each row execute function shop.tell()")  # fmt: skip
        legacy.adopt("--map", str(MAP), "--apply")
        legacy.switch()
        made = book_here(legacy)
        assert legacy.queue() == []
        assert old(legacy, key_of(legacy, made))["note"] == owner
    finally:
        legacy.write(f"reassign owned by {owner} to postgres")
        legacy.write(f"drop owned by {owner}")
        legacy.write(f"drop role {owner}")


@pytest.mark.parametrize("kind", ["char(12)", "uuid", "varchar(40)", "bigint"])
def test_keys_of_every_kind_are_found(legacy: Legacy, kind: str) -> None:
    legacy.run("adopt", "--finish", "--yes", *CLOCK)
    value = "gen_random_uuid()" if kind == "uuid" else f"(1000 + (random() * 1000)::int)::{kind}"
    legacy.write(f"alter table shop.appointments alter id drop default, alter id type {kind}"
                 f" using {value}, alter id set default {value}")  # fmt: skip
    assert legacy.adopt("--map", str(MAP), "--apply")["code"] == 0
    legacy.write(
        "insert into shop.appointments (tenant_id, user_id, service_id, starts_at, ends_at,"
        " created_by) values (1, 1, 1, '2026-03-03 10:00', '2026-03-03 11:00', 'x')"
    )
    legacy.write("update shop.appointments set note = 'touched'")
    assert [each[1:] for each in busy(legacy)] == [("10:00", "11:00")]
    assert legacy.switch()["changed"] == 1
    legacy.write("update booking.appointments set status = 'cancelled'")
    row = legacy.db.execute("select state from shop.appointments").fetchone()
    assert row == ("cancelled",)


def test_a_table_that_hides_rows_even_from_its_owner_is_refused(
    legacy: Legacy, database_url: str
) -> None:
    legacy.run("adopt", "--finish", "--yes", *CLOCK)
    role = f"shop_{legacy.db.info.dbname}"
    legacy.write(f"create role {role} login")
    try:
        legacy.write(f"grant usage on schema shop to {role}")
        legacy.write(f"grant booking_owner to {role}")
        for (table,) in tables(legacy):
            legacy.write(f"alter table {table} owner to {role}")
        legacy.write("alter table shop.appointments force row level security")
        url = psycopg.conninfo.make_conninfo(database_url, user=role)
        answer = legacy.run("adopt", "--map", MAP, "--apply", "--database-url", url)
        assert answer.code == 2
        assert "shop.appointments hides rows from its owner" in answer.err
    finally:
        legacy.write(f"reassign owned by {role} to postgres")
        legacy.write(f"drop owned by {role}")
        legacy.write(f"drop role {role}")


def tables(legacy: Legacy) -> list[Any]:
    return legacy.db.execute(
        "select oid::regclass from pg_class where relnamespace = 'shop'::regnamespace"
        " and relkind = 'r'"
    ).fetchall()


def test_a_trigger_that_is_gone_is_told(legacy: Legacy) -> None:
    legacy.write("drop trigger pgbooking_follows_hours_update on shop.working_hours")
    assert legacy.adopt()["failed"] == ["shop.working_hours is not followed: a trigger is missing."]
    assert legacy.run("adopt", "--switch", *CLOCK).code == 2
    assert legacy.adopt("--map", str(MAP), "--apply")["code"] == 0
    assert legacy.switch()["code"] == 0
    assert legacy.book("10:00", staff=ANNA)
