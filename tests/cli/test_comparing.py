"""pgbooking verify --legacy-…: what another system offers, against what is published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from uuid import UUID

import psycopg

from pgbooking.compare_causes import WORDS
from tests.cli.conftest import Run
from tests.cli.old_system import NOW, TUESDAY, Starts, at, counted, local, published, rows_of, write
from tests.salon import TEN, Salon

# Each cause, on purpose: a person for each, who works 9 to 17, cuts, and whom the old system offers
# whenever pgbooking does; then one of the two changes.


@dataclass
class Case:
    """One person of the table."""

    salon: Salon
    person: UUID
    starts: Starts
    service: str = "cut"

    def without(self, *clocks: str, day: date | None = TUESDAY) -> None:
        """The old system does not offer these times (of every day)."""
        left_out = set(clocks)
        self.starts = [
            each
            for each in self.starts
            if f"{each:%H:%M}" not in left_out or (day and each.date() != day)
        ]

    def appointment(self, start: datetime) -> None:
        self.salon.appointment(start, staff_id=self.person)

    def offers(self, code: str, **columns: object) -> UUID:
        """The person offers that instead of cuts, and so does the old system."""
        made = self.salon.insert(
            "appointment_types", code=code, name=code, duration_minutes=30, **columns
        )
        self.salon.db.execute(
            "update booking.staff_appointment_types set appointment_type_id = %s"
            " where staff_id = %s and appointment_type_id = %s",
            (made, self.person, self.salon.cut),
        )
        self.service = code
        return made

    def forget(self, start: datetime) -> None:
        """A published slot gets lost."""
        self.salon.db.execute(
            "delete from booking.availability_slots where staff_id = %s and start_time = %s",
            (self.person, start),
        )


def nothing_differs(case: Case) -> None:
    pass


def the_past(case: Case) -> None:
    case.starts.append(at("06:30", date(2026, 3, 2)))


def not_offered(case: Case) -> None:
    case.salon.db.execute(
        "delete from booking.staff_appointment_types where staff_id = %s", (case.person,)
    )
    case.starts = [at("10:00"), at("20:00")]


def inactive(case: Case) -> None:
    case.salon.db.execute(
        "update booking.staff set is_active = false where id = %s", (case.person,)
    )
    case.starts = [at("10:00")]


def appointment(case: Case) -> None:
    case.appointment(TEN)


def appointment_beside_the_grid(case: Case) -> None:
    """What is really taken is worse than a start beside the grid."""
    case.appointment(TEN)
    case.without("09:45", "10:00", "10:15")
    case.starts.append(at("10:05"))


def appointment_after_hours(case: Case) -> None:
    case.appointment(at("18:00"))
    case.starts.append(at("18:00"))


def busy(case: Case) -> None:
    case.salon.insert(
        "busy_times", staff_id=case.person, start_time=at("14:00"), end_time=at("14:30")
    )


def a_break(case: Case) -> None:
    case.salon.insert(
        "breaks", staff_id=case.person, weekday=2, start_time="12:00", end_time="13:00"
    )


def a_break_nobody_works_in(case: Case) -> None:
    case.salon.insert(
        "breaks", staff_id=case.person, weekday=2, start_time="19:00", end_time="20:00"
    )
    case.starts.append(at("19:00"))


def closed(case: Case) -> None:
    case.salon.insert(
        "schedule_exceptions",
        staff_id=case.person, kind="closed", first_date="2026-03-04", last_date="2026-03-04",
    )  # fmt: skip


def closed_afternoon(case: Case) -> None:
    case.salon.insert(
        "schedule_exceptions",
        staff_id=case.person, kind="closed", first_date="2026-03-04", last_date="2026-03-04",
        start_time="16:45", end_time="24:00",
    )  # fmt: skip


def other_hours(case: Case) -> None:
    case.starts += [at("08:30"), at("18:00")]


def no_hours(case: Case) -> None:
    case.salon.db.execute("delete from booking.working_hours where staff_id = %s", (case.person,))
    case.starts = [at("10:00")]


def past_closing(case: Case) -> None:
    case.starts.append(at("16:45"))


def buffers(case: Case) -> None:
    case.starts = published(case.salon, case.person, case.offers("wax", buffer_after_minutes=15))
    case.appointment(TEN)


def travel(case: Case) -> None:
    """Somebody is elsewhere until 9:45, an hour away; what begins before that is taken anyway."""
    away = case.salon.insert("locations", name="Spandau")
    case.salon.insert(
        "travel_times", from_location_id=away, to_location_id=case.salon.location, minutes=60
    )
    case.salon.db.execute("call booking.drain_refresh_queue()")
    case.salon.appointment(at("09:00"), 45, staff_id=case.person, location_id=away)


def day_limit(case: Case) -> None:
    case.salon.db.execute(
        "update booking.staff set max_appointments_per_day = 1 where id = %s", (case.person,)
    )
    case.appointment(at("16:30"))


def compact(case: Case) -> None:
    """After an appointment until 9:30 only the first start and the last."""
    case.salon.db.execute(
        "update booking.staff set compact_schedule = true where id = %s", (case.person,)
    )
    case.appointment(at("09:00"))


def off_grid(case: Case) -> None:
    case.starts.append(at("10:05"))


def notice(case: Case) -> None:
    case.offers("perm", min_notice_minutes=180)


def advance(case: Case) -> None:
    case.offers("early", max_advance_days=1)


def horizon(case: Case) -> None:
    case.starts.append(at("10:00", date(2026, 3, 6)))


def held(case: Case) -> None:
    replace(case.salon, person=case.person).hold(case.salon.cut, TEN)


def queued(case: Case) -> None:
    case.forget(TEN)
    case.without("11:00")
    case.salon.db.execute(
        "insert into booking.refresh_queue (tenant_id, staff_id, reason) values (%s, %s, 'test')",
        (case.salon.tenant, case.person),
    )


def stale(case: Case) -> None:
    case.forget(TEN)


def stale_extra(case: Case) -> None:
    case.appointment(TEN)
    case.salon.db.execute(
        "update booking.availability_slots set is_available = true"
        " where staff_id = %s and start_time = %s",
        (case.person, TEN),
    )
    case.without("09:45", "10:00", "10:15")


def old_offers_something_else(case: Case) -> None:
    case.salon.db.execute(
        "insert into booking.staff_appointment_types values (%s, %s, %s)",
        (case.salon.tenant, case.person, case.salon.course),
    )
    case.starts = published(case.salon, case.person, case.salon.course)
    case.service = "course"


def old_begins_later_and_ends_earlier(case: Case) -> None:
    case.without("09:00", "09:15", "09:30", "09:45", "16:15", "16:30")


def old_has_a_day_off(case: Case) -> None:
    case.starts = [each for each in case.starts if each.date() != TUESDAY]


def old_steps_by_half_hours(case: Case) -> None:
    case.starts = [each for each in case.starts if each.minute in {0, 30}]


def old_steps_by_hours(case: Case) -> None:
    """Also between two starts that leave half an hour."""
    case.starts = [each for each in case.starts if each.minute == 0]


def old_has_an_appointment(case: Case) -> None:
    case.without("11:45", "12:00", "12:15")


def old_has_a_break(case: Case) -> None:
    case.without("11:45", "12:00", "12:15", day=None)


def a_hole_that_nothing_fits_in(case: Case) -> None:
    case.without("10:15")


CASES: dict[Callable[[Case], None], dict[str, int]] = {
    nothing_differs: {},
    the_past: {"in_the_past": 1},
    not_offered: {"not_offered": 2},
    inactive: {"not_offered": 1},
    appointment: {"appointment": 3},
    appointment_beside_the_grid: {"appointment": 1},
    appointment_after_hours: {"appointment": 1},
    busy: {"busy_time": 3},
    a_break: {"break_ignored": 5},
    a_break_nobody_works_in: {"outside_hours": 1},
    closed: {"closed_day": 31},
    closed_afternoon: {"closed_day": 1},
    other_hours: {"outside_hours": 2},
    no_hours: {"outside_hours": 1},
    past_closing: {"past_closing": 1},
    buffers: {"buffers_ignored": 1, "appointment": 3},
    travel: {"appointment": 3, "travel_ignored": 4},
    day_limit: {"appointment": 2, "day_limit_ignored": 29},
    compact: {"appointment": 2, "compact_ignored": 27},
    off_grid: {"off_grid": 1},
    notice: {"too_late": 5},
    advance: {"beyond_horizon": 93},
    horizon: {"beyond_horizon": 1},
    held: {"held": 3},
    queued: {"queued": 2},
    stale: {"stale": 1},
    stale_extra: {"stale": 1},
    old_offers_something_else: {"old_not_offered": 124},
    old_begins_later_and_ends_earlier: {"old_hours": 6},
    old_has_a_day_off: {"old_hours": 31},
    old_steps_by_half_hours: {"old_grid": 60},
    old_steps_by_hours: {"old_grid": 92},
    old_has_an_appointment: {"old_has_it_taken": 3},
    old_has_a_break: {"old_break": 12},
    a_hole_that_nothing_fits_in: {"unexplained": 1},
}


def hire(salon: Salon, names: list[str]) -> dict[str, UUID]:
    """All at once, which publishes their slots but once."""
    salon.db.execute(
        "insert into booking.staff (tenant_id, display_name) select %s, unnest(%s::text[])",
        (salon.tenant, names),
    )
    salon.db.execute(
        "insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)"
        " select tenant_id, id, %s from booking.staff where display_name = any (%s)",
        (salon.cut, names),
    )
    salon.db.execute(
        "insert into booking.working_hours"
        " (tenant_id, staff_id, location_id, weekday, start_time, end_time)"
        " select tenant_id, id, %s, weekday, '09:00', '17:00'"
        " from booking.staff, generate_series(1, 7) as weekday where display_name = any (%s)",
        (salon.location, names),
    )
    salon.db.execute("call booking.drain_refresh_queue()")
    return dict(salon.db.execute("select display_name, id from booking.staff").fetchall())


def test_each_cause_is_told_and_counted(
    run: Run, salon: Salon, db: psycopg.Connection, tmp_path: Path
) -> None:
    """Everybody of the table in one salon and one run, because that is much faster."""
    db.execute("update booking.tenants set booking_horizon_days = 3")
    people = hire(salon, [prepare.__name__ for prepare in CASES])
    cases: dict[str, Case] = {}
    for prepare in CASES:
        person = people[prepare.__name__]
        case = Case(salon, person, published(salon, person, salon.cut))
        assert len(case.starts) == 4 * 31
        prepare(case)
        cases[prepare.__name__] = case
    rows = [
        (name, case.service, start) for name, case in cases.items() for start in local(case.starts)
    ]
    path = write(tmp_path / "old.csv", rows)
    answer = run("verify", "--legacy-csv", path, "--to", "2026-03-06", "--json", *NOW)
    assert answer.code == 1
    assert answer.json["legacy"]["rejected"] == []
    names = {str(case.person): name for name, case in cases.items()}
    found: dict[str, dict[str, int]] = {name: {} for name in cases}
    for difference in answer.json["legacy"]["differences"]:
        of_person = found[names[difference["staff_id"]]]
        of_person[difference["cause"]] = of_person.get(difference["cause"], 0) + 1
    assert found == {prepare.__name__: causes for prepare, causes in CASES.items()}
    everyone: Counter[str] = Counter()
    for causes in CASES.values():
        everyone.update(causes)
    assert counted(answer.json) == dict(everyone)


def test_no_cause_is_without_a_case() -> None:
    assert {cause for causes in CASES.values() for cause in causes} == set(WORDS)


def test_a_reason_names_person_time_zone_service_rule_and_row(
    run: Run, salon: Salon, tmp_path: Path
) -> None:
    rows = rows_of(salon)
    rows.remove(("Ada", "cut", "2026-03-03T11:45"))
    rows.append(("Ada", "cut", "2026-03-03T16:45"))
    late = salon.appointment(at("18:00"))
    rows.append(("Ada", "cut", "2026-03-03T18:00"))
    answer = run("verify", "--legacy-csv", write(tmp_path / "old.csv", rows), "--json", *NOW)
    hours = salon.db.execute("select id from booking.working_hours where weekday = 2").fetchall()
    of_tuesday = f"(working_hours {hours[0][0]})"
    day = "Ada, Tue 3 Mar 2026,"
    found = answer.json["legacy"]["differences"]
    assert [each["reason"] for each in found] == [
        f"{day} 11:45 (Europe/Berlin), cut: the old system offers all of this time, but not this"
        " start. Here it is working time: Tue 3 Mar 2026,"
        f" 09:00 to 17:00. {of_tuesday}",
        f"{day} 16:45 (Europe/Berlin), cut: the old system offers past closing. It would end Tue"
        f" 3 Mar 2026, 17:15, but working time ends Tue 3 Mar 2026, 17:00. {of_tuesday}",
        f"{day} 18:00 (Europe/Berlin), cut: the old system offers a time that an appointment takes."
        f" Another appointment, buffers included: Tue 3 Mar 2026, 18:00 to 18:30. (appointments"
        f" {late}) Besides: Ada does not work at Mitte then. Working time that day: 09:00 to"
        " 17:00.",
    ]
    assert [each["kind"] for each in found] == ["extra", "missing", "missing"]
    assert found[1]["expected"]["rule"] == "fit"
    assert found[1]["expected"]["line"] == len(rows)
    assert found[0]["published"]["evidence"] == [{"table": "working_hours", "id": str(hours[0][0])}]
    recorded = salon.db.execute(
        "select promise, kind, cause, reason, slot_id is not null"
        " from booking.verification_differences order by start_time"
    ).fetchall()
    assert recorded == [
        ("legacy", each["kind"], each["cause"], each["reason"], True) for each in found
    ]
    (runs,) = salon.db.execute(
        "select compared_with, is_independent, calendars, slots, differences"
        " from booking.verification_runs"
    ).fetchall()
    assert runs == ("legacy", False, 1, 341, 3)


def test_with_buffers_a_reason_tells_how_long_it_takes(
    run: Run, salon: Salon, tmp_path: Path
) -> None:
    salon.db.execute(
        "update booking.appointment_types set buffer_after_minutes = 15 where code = 'cut'"
    )
    rows = rows_of(salon)
    salon.appointment()
    answer = run("verify", "--legacy-csv", write(tmp_path / "old.csv", rows), "--json", *NOW)
    early, *_ = answer.json["legacy"]["differences"]
    assert early["cause"] == "buffers_ignored"
    assert "With its own it takes Tue 3 Mar 2026, 09:30 to 10:15. Another" in early["reason"]
