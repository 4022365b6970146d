"""pgbooking backfill: publishes anew, one calendar a transaction, and stopping loses nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from tests.cli.conftest import SALON_NOW, Run
from tests.salon import TEN, Salon

NOW = ("--now", SALON_NOW)


@pytest.fixture
def people(salon: Salon) -> list[Any]:
    """The ids of three people, in the order in which calendars are worked off."""
    return sorted([salon.person, salon.add_person("Ben"), salon.add_person("Cleo")])


def test_what_is_missing_extra_or_wrong_is_put_right_and_counted(
    run: Run, salon: Salon, people: list[Any]
) -> None:
    spoil(salon)
    assert len(salon.differences()) == 3
    report = run("backfill", "--json", *NOW).json
    assert (report["calendars"], report["waiting"], report["failed"]) == (3, 0, [])
    assert (report["inserted"], report["updated"], report["deleted"]) == (1, 1, 1)
    assert salon.differences() == []


def test_where_nothing_is_wrong_nothing_is_written(
    run: Run, salon: Salon, people: list[Any]
) -> None:
    report = run("backfill", "--json", *NOW).json
    assert report["calendars"] == 3
    assert (report["inserted"], report["updated"], report["deleted"]) == (0, 0, 0)


def test_a_person_is_named_by_name_external_id_or_id(
    run: Run, salon: Salon, people: list[Any]
) -> None:
    salon.db.execute("update booking.staff set external_id = 'E7' where display_name = 'Ben'")
    for name in ("Ben", "E7", people[0]):
        report = run("backfill", "--tenant", salon.tenant, "--staff", name, "--json", *NOW).json
        assert report["calendars"] == 1


def test_only_the_dates_asked_for_are_published_anew(run: Run, salon: Salon) -> None:
    salon.db.execute("delete from booking.availability_slots")
    some = run("backfill", "--from", "2026-03-04", "--to", "2026-03-05", "--json", *NOW).json
    days = salon.db.execute(
        "select distinct (start_time at time zone 'Europe/Berlin')::date::text"
        " from booking.availability_slots order by 1"
    ).fetchall()
    assert days == [("2026-03-04",), ("2026-03-05",)]
    rest = run("backfill", "--from", "2026-03-04", "--json", *NOW).json
    assert rest["inserted"] == some["inserted"] / 2 * 7  # to the twelfth: the horizon is ten days


def test_a_calendar_that_was_queued_for_another_reason_is_done_whole(
    run: Run, salon: Salon
) -> None:
    salon.db.execute("delete from booking.availability_slots")
    salon.db.execute(
        "insert into booking.refresh_queue (tenant_id, staff_id, reason) values (%s, %s, 'wide')",
        [salon.tenant, salon.person],
    )
    run("backfill", "--from", "2026-03-04", "--to", "2026-03-05", *NOW)
    assert salon.differences() == []
    assert queued(salon.db) == 0


def test_ctrl_c_keeps_what_is_done_queues_the_rest_and_says_how_to_go_on(
    run: Run, interrupted_when_blocked: Run, salon: Salon, people: list[Any]
) -> None:
    salon.db.execute("delete from booking.availability_slots")
    with psycopg.connect(salon.db.info.dsn) as other:
        other.execute(
            "select booking.lock_calendars(%s, array[%s]::uuid[])", [salon.tenant, people[1]]
        )
        stopped = interrupted_when_blocked("backfill", *NOW)
    assert stopped.code == 1
    assert "1 calendars refreshed" in stopped.out
    assert "2 calendars wait in the queue. Run pgbooking backfill again" in stopped.out
    done = salon.db.execute("select distinct staff_id from booking.availability_slots").fetchall()
    assert done == [(people[0],)]
    assert queued(salon.db) == 2

    report = run("backfill", "--json", *NOW).json
    assert (report["calendars"], report["waiting"]) == (3, 0)
    assert salon.differences() == []


def test_what_a_killed_run_leaves_is_done_by_the_queue(
    interrupted_when_blocked: Run, salon: Salon, people: list[Any]
) -> None:
    salon.db.execute("delete from booking.availability_slots")
    with psycopg.connect(salon.db.info.dsn) as other:
        other.execute(
            "select booking.lock_calendars(%s, array[%s]::uuid[])", [salon.tenant, people[0]]
        )
        interrupted_when_blocked("backfill", *NOW)
    assert queued(salon.db) == 3
    salon.db.execute("call booking.drain_refresh_queue()")
    assert queued(salon.db) == 0
    assert salon.differences() == []


def test_a_calendar_that_fails_stays_queued_with_its_error_and_stops_no_other(
    run: Run, salon: Salon, people: list[Any]
) -> None:
    salon.db.execute("delete from booking.availability_slots")
    salon.db.execute(
        f"alter table booking.availability_slots add constraint nobody_likes_this_person"
        f" check (staff_id <> '{people[1]}')".encode()
    )
    answer = run("backfill", "--json", *NOW)
    assert answer.code == 1
    assert (answer.json["calendars"], answer.json["waiting"]) == (2, 1)
    (failed,) = answer.json["failed"]
    assert failed["staff_id"] == str(people[1])
    entry = salon.db.execute("select attempts, last_error from booking.refresh_queue").fetchone()
    assert entry == (1, "availability_slots keeps a rule: nobody likes this person.")


def test_a_calendar_that_another_session_is_doing_is_left_to_it(
    run: Run, salon: Salon, people: list[Any]
) -> None:
    salon.db.execute(
        "insert into booking.refresh_queue (tenant_id, staff_id, reason) values (%s, %s, 'wide')",
        [salon.tenant, people[0]],
    )
    with psycopg.connect(salon.db.info.dsn) as other:
        other.execute("select from booking.refresh_queue for update")
        answer = run("backfill", "--json", *NOW)
    assert answer.code == 0
    assert (answer.json["calendars"], answer.json["waiting"]) == (2, 1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--tenant", "nobody"), "There is no tenant 'nobody'."),
        (("--staff", "Zoe"), "Salon has no staff member 'Zoe'."),
        (("--from", "2026-03-05", "--to", "2026-03-04"), "--to 2026-03-04 is before --from"),
        (("--from", "2030-01-01"), "--from 2030-01-01 lies outside the dates that are published"),
        (("--to", "2026-03-01"), "--to 2026-03-01 lies outside the dates that are published"),
        (("--from", "tomorrow"), "'tomorrow' is not a date like 2018-04-01"),
    ],
)
def test_what_cannot_be_meant_is_exit_code_2(
    run: Run, salon: Salon, arguments: tuple[str, ...], complaint: str
) -> None:
    answer = run("backfill", *arguments, *NOW)
    assert answer.code == 2
    assert complaint in answer.err
    assert queued(salon.db) == 0


def test_a_person_without_a_tenant_is_exit_code_2_where_there_are_several(
    run: Run, salon: Salon
) -> None:
    salon.db.execute("insert into booking.tenants (name, timezone) values ('Two', 'UTC')")
    answer = run("backfill", "--staff", "Ada", *NOW)
    assert answer.code == 2
    assert "--tenant" in answer.err


def test_a_name_that_two_people_have_asks_for_an_id(run: Run, salon: Salon) -> None:
    other = salon.add_person("Ada")
    answer = run("backfill", "--staff", "Ada", *NOW)
    assert answer.code == 2
    assert str(other) in answer.err


def test_people_read_how_many_rows_it_took(run: Run, salon: Salon) -> None:
    spoil(salon)
    printed = run("backfill", *NOW).out
    assert "1 calendars refreshed: 1 slots inserted, 1 updated, 1 deleted." in printed


def spoil(salon: Salon) -> None:
    """Make one slot missing, one wrong and one extra, behind the triggers' back."""
    slot = "start_time = %s and duration_minutes = 30 and staff_id = %s"
    for hour, statement in (
        (9, f"delete from booking.availability_slots where {slot}"),
        (10, f"update booking.availability_slots set is_available = false where {slot}"),
        (
            11,
            "insert into booking.availability_slots (tenant_id, staff_id, location_id, shape_id,"
            " start_time, end_time, duration_minutes, claim, capacity, seats_left, is_available,"
            " bookable_until, calculated_at) select tenant_id, staff_id, location_id, shape_id,"
            " start_time + interval '7 minutes', end_time + interval '7 minutes',"
            " duration_minutes, claim, capacity, seats_left, is_available, bookable_until,"
            f" calculated_at from booking.availability_slots where {slot}",
        ),
    ):
        start = TEN + timedelta(days=2, hours=hour - 10)
        changed = salon.db.execute(statement.encode(), [start, salon.person]).rowcount
        assert changed == 1


def queued(db: psycopg.Connection) -> int:
    """How many calendars are in the queue."""
    return db.execute("select from booking.refresh_queue").rowcount
