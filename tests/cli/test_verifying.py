"""pgbooking verify: finds what is broken in each promise, records it, and repairs slots."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.range import Range

from pgbooking import verify
from pgbooking.connection import connected
from pgbooking.output import progress_bar
from tests.cli.conftest import SALON_NOW, Answer, Run
from tests.cli.test_backfilling import spoil
from tests.salon import TEN, Salon

NOW = ("--now", SALON_NOW)


def test_an_exact_calendar_has_no_difference_by_either_calculator(run: Run, salon: Salon) -> None:
    salon.appointment()
    salon.hold(salon.cut, TEN + timedelta(hours=2))
    salon.insert("appointments", **salon.slot(salon.course, TEN + timedelta(hours=4)))
    answer = run("verify", "--independent", "--json", *NOW)
    assert answer.code == 0
    assert answer.json["differences"] == 0
    (tenant,) = answer.json["tenants"]
    assert tenant["calendars"] == 1
    assert tenant["slots"] == salon.db.execute("select from booking.availability_slots").rowcount
    assert tenant["is_independent"]


@pytest.mark.parametrize("options", [(), ("--independent",)])
def test_missing_extra_and_wrong_slots_are_each_told_in_words(
    run: Run, salon: Salon, options: tuple[str, ...]
) -> None:
    spoil(salon)
    answer = run("verify", "--json", *options, *NOW)
    assert answer.code == 1
    says = "the SQL calculator"
    says += " and the independent calculator say" if options else " says"
    assert [(each["kind"], each["reason"]) for each in found(answer, "P2")] == [
        (
            "missing",
            f"Ada, 2026-03-05 09:00 (Europe/Berlin): not published, though {says} it should be.",
        ),
        (
            "wrong",
            f"Ada, 2026-03-05 10:00 (Europe/Berlin): {says} otherwise: "
            "is_available is False and should be True.",
        ),
        (
            "extra",
            f"Ada, 2026-03-05 11:07 (Europe/Berlin): published, though {says} there is no such "
            "slot.",
        ),
    ]


def blind_the_calculator(salon: Salon) -> None:
    """The calculator leaves out ten o'clock on Thursday."""
    salon.db.execute("alter function booking.calculate_slots rename to true_slots")
    salon.db.execute(
        """
        create function booking.calculate_slots(
          p_tenant_id uuid, p_staff_ids uuid[], p_from date, p_to date,
          p_asked_start timestamptz default null, p_without_appointment_id uuid default null,
          p_shape_ids uuid[] default null
        ) returns table (
          staff_id uuid, location_id uuid, shape_id uuid, start_time timestamptz,
          end_time timestamptz, duration_minutes integer, claim tstzrange, capacity integer,
          booked integer, is_free boolean, is_within_limit boolean, is_available boolean,
          bookable_from timestamptz, bookable_until timestamptz, is_on_grid boolean
        ) language sql stable as
        'select * from booking.true_slots($1, $2, $3, $4, $5, $6, $7) t
         where t.start_time <> ''2026-03-05 10:00+01'''
        """
    )
    salon.db.execute("revoke execute on all functions in schema booking from public")


def test_the_second_calculator_sees_what_the_first_is_blind_to(run: Run, salon: Salon) -> None:
    """The calculator itself is broken, so what it says is what is published."""
    blind_the_calculator(salon)
    run("backfill", *NOW)
    assert run("verify", *NOW).code == 0
    answer = run("verify", "--independent", "--json", *NOW)
    assert answer.code == 1
    assert {(each["kind"], each["promise"]) for each in found(answer, "P2")} == {("missing", "P2")}
    assert "the independent calculator says" in found(answer, "P2")[0]["reason"]


def test_days_that_are_calculated_when_asked_for_are_verified_too(run: Run, salon: Salon) -> None:
    """Two days are published of the ten that can be booked."""
    salon.db.execute(
        "update booking.tenants set precompute_days = 1, booking_horizon_days = 9 where id = %s",
        (salon.tenant,),
    )
    answer = run("verify", "--independent", "--json", *NOW)
    (tenant,) = answer.json["tenants"]
    assert (answer.code, tenant["differences"]) == (0, [])
    assert tenant["slots_beyond"] == 4 * tenant["slots"] > 0

    blind_the_calculator(salon)
    differences = found(run("verify", "--independent", "--json", *NOW), "P2")
    assert {each["start_time"] for each in differences} == {"2026-03-05T09:00:00+00:00"}
    assert all("not calculated on request, though" in each["reason"] for each in differences)


def test_each_run_and_each_difference_is_on_record(run: Run, salon: Salon) -> None:
    run("verify", *NOW)
    spoil(salon)
    (tenant,) = run("verify", "--independent", "--json", *NOW).json["tenants"]
    runs = salon.db.execute(
        "select differences, is_independent, calendars, slots > 0, finished_at is not null"
        " from booking.verification_runs order by differences"
    ).fetchall()
    assert runs == [(0, False, 1, True, True), (3, True, 1, True, True)]
    recorded = salon.db.execute(
        "select promise, kind, staff_id, published is null, expected is null, reason"
        " from booking.verification_differences where run_id = %s order by start_time",
        [tenant["run_id"]],
    ).fetchall()
    assert [row[:5] for row in recorded] == [
        ("P2", "missing", salon.person, True, False),
        ("P2", "wrong", salon.person, False, False),
        ("P2", "extra", salon.person, False, True),
    ]
    assert [row[5] for row in recorded] == [each["reason"] for each in tenant["differences"]]


def test_repair_writes_what_differs_and_verifies_again(run: Run, salon: Salon) -> None:
    spoil(salon)
    answer = run("verify", "--repair", "--json", *NOW)
    assert answer.code == 0
    assert answer.json["differences"] == 0
    before = answer.json["before_repair"]
    assert before["rows_written"] == 3
    assert len(before["report"]["tenants"][0]["differences"]) == 3
    assert salon.differences() == []
    repaired = salon.db.execute(
        "select repaired, differences from booking.verification_runs order by differences desc"
    ).fetchall()
    assert repaired == [(3, 3), (0, 0)]


def test_people_read_the_differences_and_the_repair(run: Run, salon: Salon) -> None:
    spoil(salon)
    printed = run("verify", "--repair", *NOW).out
    assert "P2 missing: Ada, 2026-03-05 09:00 (Europe/Berlin)" in printed
    assert "Repaired: 3 rows written. Verified again:" in printed
    assert printed.endswith("P1 to P5 hold.\n")


def test_queued_calendars_are_left_out_and_said_to_be(run: Run, salon: Salon) -> None:
    spoil(salon)
    salon.add_person()
    salon.db.execute(
        "insert into booking.refresh_queue (tenant_id, staff_id, reason) values (%s, %s, 'wide')",
        [salon.tenant, salon.person],
    )
    answer = run("verify", "--independent", *NOW)
    assert answer.code == 0
    assert "1 calendars wait in the queue and were left out." in answer.out


def test_only_the_person_asked_for_is_compared(run: Run, salon: Salon) -> None:
    salon.add_person("Ben")
    spoil(salon)
    assert run("verify", "--tenant", salon.tenant, "--staff", "Ben", *NOW).code == 0
    assert run("verify", "--tenant", salon.tenant, "--staff", "Ada", *NOW).code == 1


def test_a_writer_at_work_causes_no_false_alarm(
    salon: Salon, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the calculators' looks an appointment goes in; both still see the moment before."""
    look = verify._independent_differences

    def look_after_a_change(*arguments: Any) -> Any:
        salon.appointment()
        return look(*arguments)

    monkeypatch.setattr(verify, "_independent_differences", look_after_a_change)
    now = TEN - timedelta(hours=27)
    with connected(database_url, now=now) as connection, progress_bar() as bar:
        report = verify.verify(connection, bar, independent=True)
    assert report.differences == 0
    assert not salon.available(salon.cut)


# The other promises


def test_p1_finds_overlaps_that_a_lost_constraint_let_in(run: Run, salon: Salon) -> None:
    salon.db.execute(
        "alter table booking.appointments drop constraint one_person_is_in_one_place_at_a_time"
    )
    salon.appointment()
    later = salon.appointment(TEN + timedelta(minutes=15))
    answer = run("verify", "--json", *NOW)
    assert answer.code == 1
    (difference,) = found(answer, "P1")
    assert f"appointment {later} takes" in difference["reason"]


def test_p1_finds_a_seat_given_out_twice(run: Run, salon: Salon) -> None:
    salon.db.execute("drop index booking.appointments_tenant_id_slot_id_seat_idx")
    for _ in range(2):
        salon.insert("appointments", **salon.slot(salon.course))
    salon.db.execute("alter table booking.appointments disable trigger user")
    salon.db.execute("update booking.appointments set seat = 1")
    answer = run("verify", "--json", *NOW)
    (difference,) = found(answer, "P1")
    assert "seat 1 of slot" in difference["reason"]


@pytest.fixture
def unguarded(salon: Salon) -> Salon:
    """A salon that has lost what keeps holds apart from each other and from appointments."""
    for statement in (
        "alter table booking.slot_reservations disable trigger user",
        "alter table booking.slot_reservations drop constraint one_person_is_held_once_at_a_time",
        "alter table booking.slot_reservations drop constraint one_seat_has_one_hold",
    ):
        salon.db.execute(statement.encode())
    return salon


def hold_unasked(
    salon: Salon, type_id: UUID, start: datetime = TEN, session: bytes = b"s", **columns: object
) -> UUID:
    """Hold that start whatever is there, and without its slots being told."""
    minutes = 60 if type_id == salon.course else 30
    columns.setdefault("claim", Range(start, start + timedelta(minutes=minutes)))
    return salon.hold(type_id, start, session_hash=session * 32, **columns)


def test_p1_finds_a_live_hold_over_an_appointment(run: Run, unguarded: Salon) -> None:
    unguarded.appointment()
    hold = hold_unasked(unguarded, unguarded.cut, TEN + timedelta(minutes=15))
    answer = run("verify", "--json", *NOW)
    assert answer.code == 1
    (difference,) = found(answer, "P1")
    assert f"hold {hold} takes" in difference["reason"]


def test_p1_finds_two_live_holds_of_one_time(run: Run, unguarded: Salon) -> None:
    hold_unasked(unguarded, unguarded.cut)
    later = hold_unasked(unguarded, unguarded.cut, TEN + timedelta(minutes=15), b"t")
    (difference,) = found(run("verify", "--json", *NOW), "P1")
    assert f"hold {later} takes" in difference["reason"]


def test_p1_finds_a_hold_of_a_slot_that_is_booked(run: Run, unguarded: Salon) -> None:
    unguarded.insert("appointments", **unguarded.slot(unguarded.cut))
    hold_unasked(unguarded, unguarded.cut)
    (difference,) = found(run("verify", "--json", *NOW), "P1")
    assert "though the same person is taken until" in difference["reason"]


def test_p1_takes_no_notice_of_expired_holds(run: Run, unguarded: Salon) -> None:
    unguarded.appointment()
    for session in (b"s", b"t"):
        expired = TEN - timedelta(days=2)
        hold_unasked(unguarded, unguarded.cut, TEN, session, expires_at=expired)
    assert found(run("verify", "--json", *NOW), "P1") == []


@pytest.mark.parametrize("other", ["attendee", "hold"])
def test_p1_finds_a_seat_that_is_held_and_somebody_elses(
    run: Run, unguarded: Salon, other: str
) -> None:
    unguarded.insert("appointments", **unguarded.slot(unguarded.course))
    seat = 1 if other == "attendee" else 2
    for session in (b"s", b"t")[: 1 if other == "attendee" else 2]:
        hold_unasked(unguarded, unguarded.course, TEN, session, seat=seat, capacity=10)
    (difference,) = found(run("verify", "--json", *NOW), "P1")
    assert f"seat {seat} of slot" in difference["reason"]
    assert "is given out 2 times" in difference["reason"]


def test_p1_and_p3_let_a_class_be_a_class(run: Run, salon: Salon) -> None:
    for _ in range(3):
        salon.insert("appointments", **salon.slot(salon.course))
    salon.hold(salon.course, seat=4)
    assert run("verify", "--independent", *NOW).code == 0


def test_p3_finds_a_slot_that_is_offered_over_an_appointment(run: Run, salon: Salon) -> None:
    salon.appointment()
    salon.db.execute(
        "update booking.availability_slots set is_available = true"
        " where start_time = %s and duration_minutes = 30",
        [TEN],
    )
    answer = run("verify", "--json", *NOW)
    (difference,) = found(answer, "P3")
    assert "offered though appointment" in difference["reason"]
    assert run("verify", "--repair", *NOW).code == 0


def test_p3_finds_slots_that_are_offered_over_a_live_hold(run: Run, salon: Salon) -> None:
    hold = salon.hold(salon.cut)
    salon.db.execute("update booking.availability_slots set reserved_until = null")
    differences = found(run("verify", "--json", *NOW), "P3")
    assert {each["reason"] for each in differences} == {
        f"the slot is offered though hold {hold} takes that time"
    }


def test_p3_finds_a_full_class_that_is_offered(run: Run, salon: Salon) -> None:
    """Nine attendees and a live hold fill it."""
    for _ in range(9):
        salon.insert("appointments", **salon.slot(salon.course))
    salon.hold(salon.course, seat=10)
    assert run("verify", *NOW).code == 0
    salon.db.execute(
        "update booking.availability_slots s set reserved_until = null"
        " where s.id = (select h.slot_id from booking.slot_reservations h)"
    )
    (difference,) = found(run("verify", "--json", *NOW), "P3")
    assert difference["reason"] == "the slot is offered though 10 of its 10 seats are taken"


@pytest.mark.parametrize(
    ("is_on_grid", "is_available", "condition", "reason"),
    [
        ("is_on_grid", "is_available", "where false", "there is no such start"),
        ("false", "is_available", "", "it is not on the grid"),
        ("is_on_grid", "false", "", "it is not available"),
    ],
)
def test_p3_finds_that_reserving_asks_another_calculator(
    run: Run, salon: Salon, is_on_grid: str, is_available: str, condition: str, reason: str
) -> None:
    """What reserving asks of a single start is broken, and what is published is not."""
    salon.db.execute("alter function booking.calculate_slot rename to true_slot")
    salon.db.execute(
        f"""
        create function booking.calculate_slot(
          p_tenant_id uuid, p_staff_id uuid, p_location_id uuid, p_shape_id uuid,
          p_start_time timestamptz, p_without_appointment_id uuid default null
        ) returns table (
          end_time timestamptz, claim tstzrange, capacity integer, booked integer,
          is_on_grid boolean, is_free boolean, is_within_limit boolean, is_available boolean,
          is_bookable boolean
        ) language sql stable as
        'select end_time, claim, capacity, booked, {is_on_grid}, is_free, is_within_limit,
           {is_available}, is_bookable
         from booking.true_slot($1, $2, $3, $4, $5, $6) {condition}'
        """.encode()
    )
    salon.db.execute("revoke execute on all functions in schema booking from public")
    of_cut_and_class = found(run("verify", "--json", *NOW), "P3")
    assert [(each["start_time"], each["reason"]) for each in of_cut_and_class] == [
        (
            "2026-03-02T08:00:00+00:00",
            f"the slot is offered though reserving it is refused: {reason}",
        )
    ] * 2


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (
            "alter table booking.busy_times disable row level security",
            "booking.busy_times has no row-level security",
        ),
        (
            "grant select (customer) on booking.appointments to anon",
            "anon may read booking.appointments.customer, which no view that it may read shows",
        ),
        ("grant insert on booking.appointments to public", "anon may write booking.appointments"),
        (
            "grant execute on function booking.materialization_end(uuid) to public",
            "booking.materialization_end(uuid) is executable by PUBLIC",
        ),
    ],
)
def test_p4_finds_a_leak_in_the_catalog(
    run: Run, salon: Salon, statement: str, reason: str
) -> None:
    salon.db.execute(statement.encode())
    answer = run("verify", "--json", *NOW)
    assert answer.code == 1
    assert [each["reason"] for each in answer.json["installation"]] == [reason]
    recorded = salon.db.execute("select promise, reason from booking.verification_differences")
    assert recorded.fetchall() == [("P4", reason)]


def test_p5_finds_a_key_that_does_not_start_with_the_tenant(run: Run, salon: Salon) -> None:
    salon.db.execute("create unique index stray_key on booking.staff (user_id)")
    salon.db.execute("create table booking.stray (tenant_id uuid, id uuid)")
    salon.db.execute("alter table booking.stray enable row level security")
    answer = run("verify", "--json", *NOW)
    assert [each["reason"] for each in answer.json["installation"]] == [
        "booking.stray has no primary key",
        "the key booking.stray_key of booking.staff does not start with tenant_id",
    ]


def test_p5_finds_a_slot_of_another_tenants_person(run: Run, salon: Salon) -> None:
    salon.db.execute(
        "update booking.availability_slots set staff_id = gen_random_uuid()"
        " where start_time = %s and duration_minutes = 30",
        [TEN],
    )
    answer = run("verify", "--json", *NOW)
    (difference,) = found(answer, "P5")
    assert difference["reason"] == "the slot's staff_id is nothing of this tenant"


# Usage


def test_without_tenants_nothing_is_found(run: Run) -> None:
    answer = run("verify")
    assert answer.code == 0
    assert "no tenant yet" in answer.out


def test_an_unknown_tenant_is_exit_code_2(run: Run) -> None:
    answer = run("verify", "--tenant", "nobody")
    assert answer.code == 2
    assert "no tenant 'nobody'" in answer.err


def test_a_database_without_pgbooking_is_told_to_migrate(
    run: Run, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", empty_database_url)
    answer = run("verify")
    assert answer.code == 1
    assert "pgbooking migrate" in answer.err


def test_a_role_that_may_not_read_is_told_so(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "DATABASE_URL",
        psycopg.conninfo.make_conninfo(database_url, user="authenticator"),
    )
    answer = run("verify")
    assert answer.code == 1
    assert "permission denied" in answer.err


def found(answer: Answer, promise: str) -> list[dict[str, Any]]:
    """The tenant's differences of a promise, by time."""
    (tenant,) = answer.json["tenants"]
    return sorted(
        (each for each in tenant["differences"] if each["promise"] == promise),
        key=lambda each: str(each["start_time"]),
    )
