"""Promise P2 under fire: after any raw write by the owner the slots are the independent ones.

Each sequence makes a tenant of its own (overnight and round-the-clock people, two zones, all three
alignments) and then writes at random: appointments by hand and from slots, moves, cancellations,
busy times, hours, breaks, exceptions, holds, people and their preferences, places, travel times,
types, the tenant, the clock. After each step what is published is what the independent calculator
says, and now and then what a listing calculates of later days.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from pgbooking.reference import PublishedSlot, published_slots, slots_beyond
from pgbooking.reference_calendar import Calendar, load_calendar
from tests.calculator.database import calculated_beyond, stored_slots
from tests.machines import PARTS, SEQUENCES, run_machine

STEPS = 20
OUTCOMES: Counter[str] = Counter()

ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham", "America/Havana"]
# Mid-season, and just before clocks change in the northern and the southern hemisphere.
MOMENTS = [
    "2026-06-10 06:30+00",
    "2026-03-06 20:15+00",
    "2026-03-27 22:00+00",
    "2026-10-30 23:10+00",
]
# By day, over night, round the clock, and until midnight.
SHIFTS = [("09:00", "17:00"), ("21:30", "05:15"), ("00:00", "00:00"), ("18:00", "24:00")]
TIMES = [("08:00", "12:00"), ("22:00", "06:00"), ("00:00", "24:00"), ("13:30", "13:45")]

OF_APPOINTMENTS: list[tuple[str, Any]] = [
    *(("status", status) for status in ("cancelled", "cancelled", "confirmed", "no_show")),
    *(("staff_id", number) for number in (0, 1)),
    *(("location_id", number) for number in (0, 1)),
    *(("buffer_after_minutes", minutes) for minutes in (0, 45)),
]
OF_HOURS: list[tuple[str, Any]] = [
    ("start_time", "07:10"),
    ("end_time", "23:00"),
    *(("weekday", weekday) for weekday in (1, 5, 7)),
    *(("staff_id", number) for number in (0, 1)),
    *(("location_id", number) for number in (0, 1)),
]
OF_OTHERS: list[tuple[str, str, list[Any]]] = [
    ("staff", "is_active", [True, True, False]),
    ("staff", "max_appointments_per_day", [None, 1, 2]),
    ("staff", "compact_schedule", [False, True, True]),
    ("locations", "is_active", [True, True, False]),
    ("locations", "timezone", [None, *ZONES]),
    ("appointment_types", "is_active", [True, True, False]),
    ("appointment_types", "duration_minutes", [15, 30, 50, 90]),
    ("appointment_types", "buffer_before_minutes", [0, 10]),
    ("appointment_types", "buffer_after_minutes", [0, 25]),
    ("appointment_types", "slot_step_minutes", [None, 10, 60]),
    ("appointment_types", "min_notice_minutes", [None, 60, 3000]),
    ("appointment_types", "max_advance_days", [None, 1, 3]),
    ("appointment_types", "capacity", [1, 2, 5]),
    ("tenants", "slot_alignment", ["window", "clock", "gapless"]),
    ("tenants", "slot_step_minutes", [20, 40]),
    ("tenants", "min_notice_minutes", [0, 90]),
    ("tenants", "timezone", ZONES),
    ("tenants", "precompute_days", [0, 3]),
    ("tenants", "booking_horizon_days", [2, 6]),
    ("tenants", "is_active", [True, True, False]),
]

numbers = st.integers(0, 1)
maybe_numbers = st.sampled_from((None, 0, 1))
moments = st.builds(
    lambda unit, steps, seconds: timedelta(minutes=unit * steps, seconds=seconds),
    st.sampled_from((5, 15, 1)),
    st.integers(0, 599),
    st.sampled_from((0, 0, 0, 17)),
)
weekdays = st.integers(1, 7)
times = st.sampled_from(TIMES)


def minutes_of(*choices: int) -> st.SearchStrategy[timedelta]:
    return st.sampled_from([timedelta(minutes=minutes) for minutes in choices])


class History(RuleBasedStateMachine):
    """One tenant, and the random writes done to it.

    Ids are counted, not drawn, so that the same choices make the same history again.
    """

    number = 0

    appointments = Bundle("appointments")
    holds = Bundle("holds")
    busy_times = Bundle("busy_times")
    hours = Bundle("hours")
    breaks = Bundle("breaks")
    exceptions = Bundle("exceptions")
    ways = Bundle("ways")

    def __init__(self, db: psycopg.Connection) -> None:
        super().__init__()
        self.db = db
        History.number += 1
        self.ids = count(1)

    def teardown(self) -> None:
        OUTCOMES["sequences"] += 1

    @initialize(
        target=hours,
        now=st.sampled_from(MOMENTS),
        zones=st.permutations(ZONES),
        alignment=st.sampled_from(("window", "clock", "gapless")),
        step=st.sampled_from((20, 30, 45)),
        precompute_days=st.integers(1, 2),
        lengths=st.tuples(*[st.sampled_from((20, 30, 45, 60, 240))] * 3),
        buffers=st.tuples(*[st.sampled_from(((0, 0), (10, 0), (0, 15), (10, 15)))] * 3),
        shifts=st.tuples(*[st.tuples(st.sampled_from(SHIFTS), numbers)] * 2),
        two_places=st.one_of(st.none(), st.tuples(numbers, weekdays, weekdays)),
    )
    def open(
        self,
        now: str,
        zones: list[str],
        alignment: str,
        step: int,
        precompute_days: int,
        lengths: tuple[int, ...],
        buffers: tuple[tuple[int, int], ...],
        shifts: tuple[tuple[tuple[str, str], int], ...],
        two_places: tuple[int, int, int] | None,
    ) -> Any:
        self.set_clock(datetime.fromisoformat(now).astimezone(UTC))
        self.tenant = self.new_id()
        self.run(
            "insert into booking.tenants (id, name, timezone, slot_alignment, slot_step_minutes,"
            " precompute_days, booking_horizon_days) values (%s, 'T', %s, %s, %s, %s, 5)",
            *(self.tenant, zones[0], alignment, step, precompute_days),
        )
        self.locations = [
            self.insert("locations", name="L", timezone=zone) for zone in (None, zones[1])
        ]
        self.types = [
            self.insert(
                "appointment_types",
                code=code,
                name="A",
                duration_minutes=minutes,
                buffer_before_minutes=before,
                buffer_after_minutes=after,
                capacity=capacity,
            )
            for (code, capacity), minutes, (before, after) in zip(
                (("one", 1), ("two", 1), ("class", 3)), lengths, buffers, strict=True
            )
        ]
        self.staff = [self.insert("staff", display_name="S") for _ in range(2)]
        # One statement for all, and one for a week: each would publish everything anew.
        self.run(
            "insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)"
            " select %s, s, t from unnest(%s::uuid[]) as s, unnest(%s::uuid[]) as t",
            *(self.tenant, self.staff, self.types),
        )
        weeks = []
        for person, ((start, end), place) in zip(self.staff, shifts, strict=True):
            week = [self.new_id() for _ in range(7)]
            weeks += week
            self.run(
                "insert into booking.working_hours"
                " (tenant_id, id, staff_id, location_id, weekday, start_time, end_time)"
                " select %s, i.id, %s, %s, i.weekday, %s, %s"
                " from unnest(%s::uuid[]) with ordinality as i (id, weekday)",
                *(self.tenant, person, self.locations[place], start, end, week),
            )
        if two_places is not None:
            # Afternoons at both places, with a way between them.
            number, *days = two_places
            for place, weekday in enumerate(days):
                self.add_working_hours(number, place, weekday, "13:00", "20:00")
            self.insert(
                "travel_times",
                from_location_id=self.locations[0],
                to_location_id=self.locations[1],
                minutes=35,
            )
        return multiple(*weeks)

    # Appointments and holds

    @rule(
        target=appointments,
        person=numbers,
        place=numbers,
        type_number=st.integers(0, 2),
        moment=moments,
        length=minutes_of(5, 30, 45, 60, 300, 1500),
        before=st.sampled_from((0, 0, 20)),
        after=st.sampled_from((0, 0, 20)),
        status=st.sampled_from(("confirmed", "confirmed", "pending", "cancelled")),
    )
    def book_by_hand(
        self,
        person: int,
        place: int,
        type_number: int,
        moment: timedelta,
        length: timedelta,
        before: int,
        after: int,
        status: str,
    ) -> Any:
        return self.try_insert(
            "appointments",
            staff_id=self.staff[person],
            location_id=self.locations[place],
            appointment_type_id=self.types[type_number],
            start_time=self.minute + moment,
            end_time=self.minute + moment + length,
            buffer_before_minutes=before,
            buffer_after_minutes=after,
            status=status,
        )

    @rule(target=appointments, number=st.integers(0, 9999), begun=st.booleans())
    def book_slot(self, number: int, begun: bool) -> Any:
        slot = self.slot(number, begun)
        return self.try_insert("appointments", **slot) if slot else multiple()

    @rule(
        target=holds,
        number=st.integers(0, 9999),
        begun=st.booleans(),
        seat=st.sampled_from((1, 1, 2)),
        session=st.integers(0, 2),
        length=minutes_of(5, 10, 600),
    )
    def hold_slot(
        self, number: int, begun: bool, seat: int, session: int, length: timedelta
    ) -> Any:
        slot = self.slot(number, begun)
        if not slot:
            return multiple()
        del slot["end_time"], slot["buffer_before_minutes"], slot["buffer_after_minutes"]
        return self.try_insert(
            "slot_reservations",
            seat=seat,
            session_hash=bytes([session]) * 32,
            expires_at=self.now + length,
            **slot,
        )

    @rule(row=appointments, shift=minutes_of(-30, 15, 60, 1440))
    def move(self, row: UUID, shift: timedelta) -> None:
        self.try_run(
            "update booking.appointments set start_time = start_time + %s,"
            " end_time = end_time + %s where tenant_id = %s and id = %s",
            *(shift, shift, self.tenant, row),
        )

    @rule(person=numbers)
    def move_all(self, person: int) -> None:
        self.try_run(
            "update booking.appointments set start_time = start_time + interval '3 hours',"
            " end_time = end_time + interval '3 hours' where tenant_id = %s and staff_id = %s",
            *(self.tenant, self.staff[person]),
        )

    @rule(row=appointments, change=st.sampled_from(OF_APPOINTMENTS))
    def change_appointment(self, row: UUID, change: tuple[str, Any]) -> None:
        self.change("appointments", row, *change)

    @rule(row=consumes(appointments))
    def remove_appointment(self, row: UUID) -> None:
        self.remove("appointments", row)

    @rule(row=consumes(holds))
    def remove_hold(self, row: UUID) -> None:
        self.remove("slot_reservations", row)

    # Calendars

    @rule(target=busy_times, person=numbers, moment=moments, length=minutes_of(1, 45, 200, 3000))
    def add_busy_time(self, person: int, moment: timedelta, length: timedelta) -> Any:
        return self.try_insert(
            "busy_times",
            staff_id=self.staff[person],
            start_time=self.minute + moment,
            end_time=self.minute + moment + length,
        )

    @rule(row=busy_times, moment=moments)
    def change_busy_time(self, row: UUID, moment: timedelta) -> None:
        self.change("busy_times", row, "end_time", self.minute + moment + timedelta(days=3))

    @rule(row=consumes(busy_times))
    def remove_busy_time(self, row: UUID) -> None:
        self.remove("busy_times", row)

    @rule(
        target=hours,
        person=numbers,
        place=numbers,
        weekday=weekdays,
        start_and_end=times,
        days_from=st.sampled_from((None, 2)),
        days_until=st.sampled_from((None, 4)),
    )
    def add_hours(
        self,
        person: int,
        place: int,
        weekday: int,
        start_and_end: tuple[str, str],
        days_from: int | None,
        days_until: int | None,
    ) -> Any:
        today = self.now.date()
        return self.add_working_hours(
            person,
            place,
            weekday,
            *start_and_end,
            valid_from=days_from and today + timedelta(days=days_from),
            valid_until=days_until and today + timedelta(days=days_until),
        )

    def add_working_hours(
        self, person: int, place: int, weekday: int, start: str, end: str, **validity: object
    ) -> Any:
        return self.try_insert(
            "working_hours",
            staff_id=self.staff[person],
            location_id=self.locations[place],
            weekday=weekday,
            start_time=start,
            end_time=end,
            **validity,
        )

    @rule(row=hours, change=st.sampled_from(OF_HOURS))
    def change_hours(self, row: UUID, change: tuple[str, Any]) -> None:
        self.change("working_hours", row, *change)

    @rule(row=consumes(hours))
    def remove_hours(self, row: UUID) -> None:
        self.remove("working_hours", row)

    @rule(
        target=breaks,
        person=maybe_numbers,
        place=maybe_numbers,
        weekday=st.sampled_from((None, 1, 5, 7)),
        start_and_end=st.sampled_from((("12:00", "12:45"), ("23:30", "00:30"), ("03:00", "03:20"))),
    )
    def add_break(
        self,
        person: int | None,
        place: int | None,
        weekday: int | None,
        start_and_end: tuple[str, str],
    ) -> Any:
        return self.try_insert(
            "breaks",
            staff_id=None if person is None else self.staff[person],
            location_id=None if place is None else self.locations[place],
            weekday=weekday,
            start_time=start_and_end[0],
            end_time=start_and_end[1],
        )

    @rule(row=consumes(breaks))
    def remove_break(self, row: UUID) -> None:
        self.remove("breaks", row)

    @rule(
        target=exceptions,
        person=maybe_numbers,
        place=maybe_numbers,
        first=st.integers(0, 4),
        days=st.sampled_from((0, 0, 2)),
        kind=st.sampled_from(("open", "closed")),
        start_and_end=st.sampled_from(((None, None), ("22:00", "02:00"), *TIMES)),
    )
    def add_exception(
        self,
        person: int | None,
        place: int | None,
        first: int,
        days: int,
        kind: str,
        start_and_end: tuple[str | None, str | None],
    ) -> Any:
        first_date = self.now.date() + timedelta(days=first)
        return self.try_insert(
            "schedule_exceptions",
            staff_id=None if person is None else self.staff[person],
            location_id=None if place is None else self.locations[place],
            first_date=first_date,
            last_date=first_date + timedelta(days=days),
            kind=kind,
            start_time=start_and_end[0],
            end_time=start_and_end[1],
        )

    @rule(row=exceptions, kind=st.sampled_from(("open", "closed", None)))
    def change_exception(self, row: UUID, kind: str | None) -> None:
        """Another kind, or (None) it begins today."""
        if kind:
            self.change("schedule_exceptions", row, "kind", kind)
        else:
            self.change("schedule_exceptions", row, "first_date", self.now.date())

    @rule(row=consumes(exceptions))
    def remove_exception(self, row: UUID) -> None:
        self.remove("schedule_exceptions", row)

    @rule(target=ways, start=numbers, minutes=st.sampled_from((0, 10, 35, 90)))
    def add_travel_time(self, start: int, minutes: int) -> Any:
        return self.try_insert(
            "travel_times",
            from_location_id=self.locations[start],
            to_location_id=self.locations[1 - start],
            minutes=minutes,
        )

    @rule(row=ways, minutes=st.sampled_from((5, 50, 600)))
    def change_travel_time(self, row: UUID, minutes: int) -> None:
        self.change("travel_times", row, "minutes", minutes)

    @rule(row=consumes(ways))
    def remove_travel_time(self, row: UUID) -> None:
        self.remove("travel_times", row)

    # The tenant, its people, places and services

    @rule(
        change=st.sampled_from(OF_OTHERS).flatmap(
            lambda each: st.tuples(st.just(each[0]), st.just(each[1]), st.sampled_from(each[2]))
        ),
        number=st.integers(0, 2),
    )
    def change_others(self, change: tuple[str, str, Any], number: int) -> None:
        table, column, value = change
        if table == "tenants":
            self.try_run(
                f"update booking.tenants set {column} = %s where id = %s", value, self.tenant
            )
        else:
            ids = {
                "staff": self.staff,
                "locations": self.locations,
                "appointment_types": self.types,
            }[table]
            self.change(table, ids[number % len(ids)], column, value)

    @rule(person=numbers, type_number=st.integers(0, 2), is_offered=st.booleans())
    def change_assignment(self, person: int, type_number: int, is_offered: bool) -> None:
        self.try_run(
            "insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)"
            " values (%s, %s, %s)"
            if is_offered
            else "delete from booking.staff_appointment_types where tenant_id = %s"
            " and staff_id = %s and appointment_type_id = %s",
            *(self.tenant, self.staff[person], self.types[type_number]),
        )

    # Time

    @rule(passed=minutes_of(7, 90, 700))
    def let_time_pass(self, passed: timedelta) -> None:
        self.set_clock(self.now + passed)

    @rule()
    def spend_a_night(self) -> None:
        """Past days go; what later days are listed to have is what the independent one says."""
        self.set_clock(self.now + timedelta(hours=20))
        self.run("call booking.nightly_refresh(%s)", self.tenant)
        calendar = self.read_calendar()
        for person, until in self.published_until():
            stored = stored_slots(self.db, self.tenant, [person])
            assert stored == list(self.from_today_on(calendar, stored))
            beyond = slots_beyond(calendar, person, self.now, until)
            assert calculated_beyond(self.db, self.tenant, [person]) == beyond
            OUTCOMES["slots calculated on request"] += len(beyond)

    # After each step

    @invariant()
    def what_is_published_is_what_the_independent_calculator_says(self) -> None:
        calendar = self.read_calendar()
        for person, until in self.published_until():
            # Past days are what the night before left behind.
            stored = list(
                self.from_today_on(calendar, stored_slots(self.db, self.tenant, [person]))
            )
            expected = published_slots(calendar, person, self.now, until)
            assert stored == expected
            OUTCOMES["slots compared"] += len(expected)

    def read_calendar(self) -> Calendar:
        today = self.now.date()
        return load_calendar(
            self.db, self.tenant, today - timedelta(days=1), today + timedelta(days=12)
        )

    def published_until(self) -> list[Any]:
        return self.db.execute(
            "select staff_id, materialized_until from booking.calendars where tenant_id = %s"
            " order by staff_id",
            (self.tenant,),
        ).fetchall()

    def from_today_on(
        self, calendar: Calendar, slots: Iterable[PublishedSlot]
    ) -> Iterable[PublishedSlot]:
        zones = {row.id: calendar.zone(row) for row in calendar.locations}
        for slot in slots:
            zone = zones[slot.location_id]
            if slot.start_time.astimezone(zone).date() >= self.now.astimezone(zone).date():
                yield slot

    # Writing

    @property
    def minute(self) -> datetime:
        return self.now.replace(second=0, microsecond=0)

    def new_id(self) -> UUID:
        return UUID(f"{History.number:08x}-0000-4000-8000-{next(self.ids):012x}")

    def run(self, sql: str, *values: object) -> None:
        self.db.execute(sql.encode(), values)

    def try_run(self, sql: str, *values: object) -> bool:
        """That the tables refuse it is as good as that they take it."""
        try:
            self.run(sql, *values)
        except psycopg.IntegrityError:
            OUTCOMES["refused"] += 1
            return False
        OUTCOMES["taken"] += 1
        return True

    def insert(self, table: str, **columns: object) -> UUID:
        row_id = self.new_id()
        self.run(*self.insertion(table, row_id, columns))
        return row_id

    def try_insert(self, table: str, **columns: object) -> Any:
        row_id = self.new_id()
        return row_id if self.try_run(*self.insertion(table, row_id, columns)) else multiple()

    def insertion(self, table: str, row_id: UUID, columns: dict[str, object]) -> tuple[Any, ...]:
        row = {"tenant_id": self.tenant, "id": row_id, **columns}
        return (
            f"insert into booking.{table} ({', '.join(row)})"
            f" values ({', '.join(['%s'] * len(row))})",
            *row.values(),
        )

    def change(self, table: str, row: UUID, column: str, value: Any) -> None:
        if column == "staff_id":
            value = self.staff[value]
        if column == "location_id":
            value = self.locations[value]
        self.try_run(
            f"update booking.{table} set {column} = %s where tenant_id = %s and id = %s",
            *(value, self.tenant, row),
        )

    def remove(self, table: str, row: UUID) -> None:
        self.try_run(
            f"delete from booking.{table} where tenant_id = %s and id = %s", self.tenant, row
        )

    def set_clock(self, now: datetime) -> None:
        self.now = now
        self.run("select set_config('booking.fake_now', %s, false)", now.isoformat())

    def slot(self, number: int, begun: bool) -> dict[str, Any] | None:
        """A published slot, and what taking it writes; a class that has begun to fill, if any."""
        columns = (
            *("staff_id", "location_id", "appointment_type_id", "shape_id", "slot_id"),
            *("start_time", "end_time", "buffer_before_minutes", "buffer_after_minutes"),
        )
        published = (
            "select s.staff_id, s.location_id, t.id, s.shape_id, s.id, s.start_time, s.end_time,"
            " sh.buffer_before_minutes, sh.buffer_after_minutes"
            " from booking.availability_slots s"
            " join booking.slot_shapes sh on sh.tenant_id = s.tenant_id and sh.id = s.shape_id"
            " join booking.appointment_types t"
            "   on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
            " where s.tenant_id = %s"
            " order by t.id, s.start_time, s.staff_id, s.location_id"
        )
        attended = (
            f"select {', '.join(columns)} from booking.appointments"
            " where tenant_id = %s and is_group order by id"
        )
        for query in (attended, published) if begun else (published,):
            found = self.db.execute(query.encode(), (self.tenant,)).fetchall()
            if found:
                return dict(zip(columns, found[number % len(found)], strict=True))
        return None


@pytest.mark.parametrize("part", range(PARTS))
def test_no_sequence_of_raw_writes_leaves_a_slot_that_is_not_the_calculated_one(
    db: psycopg.Connection, part: int
) -> None:
    OUTCOMES.clear()
    run_machine(lambda: History(db), STEPS)
    print(dict(OUTCOMES))
    assert OUTCOMES["sequences"] >= SEQUENCES
    assert 2 * OUTCOMES["taken"] > OUTCOMES["refused"], "many steps must do something"
    assert OUTCOMES["slots compared"] > SEQUENCES
