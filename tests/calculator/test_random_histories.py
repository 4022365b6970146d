"""Promise P2 under fire: after any raw write by the owner the slots are the calculated ones.

Each sequence makes a tenant of its own (overnight and round-the-clock people, two zones, all three
alignments) and then writes at random: appointments by hand and from slots, moves, cancellations,
busy times, hours, breaks, exceptions, holds, people and their preferences, places, travel times,
types, the tenant, the clock. After each step the SQL calculator is asked, after the last one the
independent one, also of the days that are not published.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgbooking.reference import published_slots, slots_beyond
from pgbooking.reference_calendar import load_calendar
from tests.calculator.database import calculated_beyond, stored_slots

PARTS = 4  # for as many processes
SEQUENCES = int(os.environ.get("PGBOOKING_SEQUENCES", "200")) // PARTS
STEPS = 30
ZONES = ["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Chatham", "America/Havana"]
# Mid-season, and just before clocks change in the northern and the southern hemisphere.
MOMENTS = [
    "2026-06-10 06:30+00",
    "2026-03-06 20:15+00",
    "2026-03-27 22:00+00",
    "2026-10-30 23:10+00",
]


class History:
    """One tenant, and the random writes done to it.

    Ids are counted, not drawn, so that the same random numbers make the same history again.
    """

    number = 0

    def __init__(self, db: psycopg.Connection, rng: random.Random) -> None:
        self.db = db
        self.rng = rng
        self.log: list[str] = []
        History.number += 1
        self.ids = count(1)
        self.now = datetime.fromisoformat(rng.choice(MOMENTS)).astimezone(UTC)
        self.set_clock(self.now)
        zone, other_zone = rng.sample(ZONES, 2)
        self.tenant = self.new_id()
        self.run(
            "insert into booking.tenants (id, name, timezone, slot_alignment, slot_step_minutes,"
            " precompute_days, booking_horizon_days) values (%s, 'T', %s, %s, %s, %s, 8)",
            self.tenant,
            zone,
            rng.choice(["window", "clock", "gapless"]),
            rng.choice([15, 20, 30, 45]),
            rng.choice([3, 5, 10]),
        )
        self.locations = [
            self.insert("locations", name="L", timezone=zone) for zone in (None, other_zone)
        ]
        self.types = [
            self.insert(
                "appointment_types",
                code=code,
                name="A",
                duration_minutes=rng.choice([20, 30, 45, 60, 240]),
                buffer_before_minutes=rng.choice([0, 0, 10]),
                buffer_after_minutes=rng.choice([0, 0, 15]),
                capacity=capacity,
            )
            for code, capacity in (("one", 1), ("two", 1), ("class", 3))
        ]
        self.staff = [self.insert("staff", display_name="S") for _ in range(2)]
        # One statement for all, and one for a week: each would publish everything anew.
        self.run(
            "insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)"
            " select %s, s, t from unnest(%s::uuid[]) as s, unnest(%s::uuid[]) as t",
            self.tenant,
            self.staff,
            self.types,
        )
        # By day, over night, round the clock, and until midnight.
        shifts = [("09:00", "17:00"), ("21:30", "05:15"), ("00:00", "00:00"), ("18:00", "24:00")]
        for person in self.staff:
            start, end = rng.choice(shifts)
            location = rng.choice(self.locations)
            self.run(
                "insert into booking.working_hours"
                " (tenant_id, id, staff_id, location_id, weekday, start_time, end_time)"
                " select %s, i.id, %s, %s, i.weekday, %s, %s"
                " from unnest(%s::uuid[]) with ordinality as i (id, weekday)",
                *(self.tenant, person, location, start, end),
                [self.new_id() for _ in range(7)],
            )
        if rng.random() < 0.5:
            self.add_two_places(rng.choice(self.staff))

    # Writing

    def new_id(self) -> UUID:
        return UUID(f"{History.number:08x}-0000-4000-8000-{next(self.ids):012x}")

    def run(self, sql: str, *values: object) -> None:
        self.log.append(f"{sql} -- {[str(value) for value in values]}")
        self.db.execute(sql.encode(), values)

    def insert(self, table: str, **columns: object) -> UUID:
        row_id = self.new_id()
        row = {"tenant_id": self.tenant, "id": row_id, **columns}
        self.run(
            f"insert into booking.{table} ({', '.join(row)})"
            f" values ({', '.join(['%s'] * len(row))})",
            *row.values(),
        )
        return row_id

    def set_clock(self, now: datetime) -> None:
        self.now = now
        self.run("select set_config('booking.fake_now', %s, false)", now.isoformat())

    def pick(self, query: str) -> tuple[Any, ...] | None:
        """One row of a query of this tenant, which must order its rows."""
        rows = self.db.execute(query.encode(), (self.tenant,)).fetchall()
        return self.rng.choice(rows) if rows else None

    def change(self, table: str, column: str, value: object) -> None:
        row = self.pick(f"select id from booking.{table} where tenant_id = %s order by id")
        if row:
            self.run(
                f"update booking.{table} set {column} = %s where tenant_id = %s and id = %s",
                value,
                self.tenant,
                row[0],
            )

    def remove(self, table: str) -> None:
        row = self.pick(f"select id from booking.{table} where tenant_id = %s order by id")
        if row:
            self.run(
                f"delete from booking.{table} where tenant_id = %s and id = %s", self.tenant, row[0]
            )

    def moment(self) -> datetime:
        second = self.rng.choice([0, 0, 0, 17])
        minutes = self.rng.choice([5, 15, 1]) * self.rng.randrange(0, 600)
        return self.now.replace(second=0, microsecond=0) + timedelta(
            minutes=minutes, seconds=second
        )

    def times(self) -> tuple[str, str]:
        return self.rng.choice(
            [("08:00", "12:00"), ("22:00", "06:00"), ("00:00", "24:00"), ("13:30", "13:45")]
        )

    # Steps

    def book_by_hand(self) -> None:
        start = self.moment()
        self.insert(
            "appointments",
            staff_id=self.rng.choice(self.staff),
            location_id=self.rng.choice(self.locations),
            appointment_type_id=self.rng.choice(self.types),
            start_time=start,
            end_time=start + timedelta(minutes=self.rng.choice([5, 30, 45, 60, 300, 1500])),
            buffer_before_minutes=self.rng.choice([0, 0, 20]),
            buffer_after_minutes=self.rng.choice([0, 0, 20]),
            status=self.rng.choice(["confirmed", "confirmed", "pending", "cancelled"]),
        )

    def pick_slot(self) -> dict[str, Any] | None:
        """A published slot, and what taking it writes; a class that has begun, where one has."""
        found = self.pick(
            "select s.staff_id, s.location_id, t.id, s.shape_id, s.id, s.start_time, s.end_time,"
            " sh.buffer_before_minutes, sh.buffer_after_minutes"
            " from booking.availability_slots s"
            " join booking.slot_shapes sh on sh.tenant_id = s.tenant_id and sh.id = s.shape_id"
            " join booking.appointment_types t"
            "   on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
            " where s.tenant_id = %s"
            " order by t.id, s.start_time, s.staff_id, s.location_id"
            if self.rng.random() < 0.7
            else "select a.staff_id, a.location_id, a.appointment_type_id, a.shape_id, a.slot_id,"
            " a.start_time, a.end_time, a.buffer_before_minutes, a.buffer_after_minutes"
            " from booking.appointments a where a.tenant_id = %s and a.is_group order by a.id"
        )
        columns = (
            *("staff_id", "location_id", "appointment_type_id", "shape_id", "slot_id"),
            *("start_time", "end_time", "buffer_before_minutes", "buffer_after_minutes"),
        )
        return dict(zip(columns, found, strict=True)) if found else None

    def book_slot(self) -> None:
        slot = self.pick_slot()
        if slot:
            self.insert("appointments", **slot)

    def hold_slot(self) -> None:
        slot = self.pick_slot()
        if slot:
            del slot["end_time"], slot["buffer_before_minutes"], slot["buffer_after_minutes"]
            self.insert(
                "slot_reservations",
                seat=self.rng.choice([1, 1, 2]),
                session_hash=bytes([self.rng.randrange(3)]) * 32,
                expires_at=self.now + timedelta(minutes=self.rng.choice([5, 10, 600])),
                **slot,
            )

    def move(self) -> None:
        row = self.pick("select id from booking.appointments where tenant_id = %s order by id")
        if row:
            shift = timedelta(minutes=self.rng.choice([-30, 15, 60, 1440]))
            self.run(
                "update booking.appointments set start_time = start_time + %s,"
                " end_time = end_time + %s where tenant_id = %s and id = %s",
                shift,
                shift,
                self.tenant,
                row[0],
            )

    def move_all(self) -> None:
        self.run(
            "update booking.appointments set start_time = start_time + interval '3 hours',"
            " end_time = end_time + interval '3 hours' where tenant_id = %s and staff_id = %s",
            self.tenant,
            self.rng.choice(self.staff),
        )

    def change_appointment(self) -> None:
        column, value = self.rng.choice(
            [
                ("status", "cancelled"),
                ("status", "cancelled"),
                ("status", "confirmed"),
                ("status", "no_show"),
                ("staff_id", self.rng.choice(self.staff)),
                ("location_id", self.rng.choice(self.locations)),
                ("buffer_after_minutes", self.rng.choice([0, 45])),
            ]
        )
        self.change("appointments", column, value)

    def add_busy_time(self) -> None:
        start = self.moment()
        self.insert(
            "busy_times",
            staff_id=self.rng.choice(self.staff),
            start_time=start,
            end_time=start + timedelta(minutes=self.rng.choice([1, 45, 200, 3000])),
        )

    def change_busy_time(self) -> None:
        self.change("busy_times", "end_time", self.moment() + timedelta(days=3))

    def add_working_hours(
        self, person: UUID, location: UUID, weekday: int, start: str, end: str, **validity: object
    ) -> None:
        self.insert(
            "working_hours",
            staff_id=person,
            location_id=location,
            weekday=weekday,
            start_time=start,
            end_time=end,
            **validity,
        )

    def add_hours(self) -> None:
        today = self.now.date()
        self.add_working_hours(
            self.rng.choice(self.staff),
            self.rng.choice(self.locations),
            self.rng.randrange(1, 8),
            *self.times(),
            valid_from=self.rng.choice([None, today + timedelta(days=2)]),
            valid_until=self.rng.choice([None, today + timedelta(days=4)]),
        )

    def add_two_places(self, person: UUID) -> None:
        """Afternoons at both places, with a way between them."""
        for location in self.locations:
            self.add_working_hours(person, location, self.rng.randrange(1, 8), "13:00", "20:00")
        self.add_travel_time()

    def add_travel_time(self) -> None:
        start, end = self.rng.sample(self.locations, 2)
        self.insert(
            "travel_times",
            from_location_id=start,
            to_location_id=end,
            minutes=self.rng.choice([0, 10, 35, 90]),
        )

    def change_travel_time(self) -> None:
        self.change("travel_times", "minutes", self.rng.choice([5, 50, 600]))

    def change_hours(self) -> None:
        column, value = self.rng.choice(
            [
                ("start_time", "07:10"),
                ("end_time", "23:00"),
                ("weekday", self.rng.randrange(1, 8)),
                ("staff_id", self.rng.choice(self.staff)),
                ("location_id", self.rng.choice(self.locations)),
            ]
        )
        self.change("working_hours", column, value)

    def add_break(self) -> None:
        start, end = self.rng.choice([("12:00", "12:45"), ("23:30", "00:30"), ("03:00", "03:20")])
        self.insert(
            "breaks",
            staff_id=self.rng.choice([None, *self.staff]),
            location_id=self.rng.choice([None, *self.locations]),
            weekday=self.rng.choice([None, 1, 5, 7]),
            start_time=start,
            end_time=end,
        )

    def add_exception(self) -> None:
        first = self.now.date() + timedelta(days=self.rng.randrange(0, 5))
        start, end = self.rng.choice([(None, None), self.times(), ("22:00", "02:00")])
        self.insert(
            "schedule_exceptions",
            staff_id=self.rng.choice([None, *self.staff, *self.staff]),
            location_id=self.rng.choice([None, *self.locations]),
            first_date=first,
            last_date=first + timedelta(days=self.rng.choice([0, 0, 2])),
            kind=self.rng.choice(["open", "closed"]),
            start_time=start,
            end_time=end,
        )

    def change_exception(self) -> None:
        column, value = self.rng.choice(
            [("kind", "open"), ("kind", "closed"), ("first_date", self.now.date())]
        )
        self.change("schedule_exceptions", column, value)

    def change_master_data(self) -> None:
        choices: list[tuple[str, str, list[Any]]] = [
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
        ]
        table, column, values = self.rng.choice(choices)
        self.change(table, column, self.rng.choice(values))

    def change_tenant(self) -> None:
        choices: list[tuple[str, list[Any]]] = [
            ("slot_alignment", ["window", "clock", "gapless"]),
            ("slot_step_minutes", [15, 40]),
            ("min_notice_minutes", [0, 90]),
            ("timezone", ZONES),
            ("precompute_days", [2, 6]),
            ("booking_horizon_days", [4, 9]),
            ("is_active", [True, True, False]),
        ]
        column, values = self.rng.choice(choices)
        self.run(
            f"update booking.tenants set {column} = %s where id = %s",
            self.rng.choice(values),
            self.tenant,
        )

    def assign(self, person: UUID, type_id: UUID) -> None:
        self.run(
            "insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)"
            " values (%s, %s, %s)",
            self.tenant,
            person,
            type_id,
        )

    def change_assignment(self) -> None:
        person, type_id = self.rng.choice(self.staff), self.rng.choice(self.types)
        if self.rng.random() < 0.5:
            self.assign(person, type_id)
        else:
            self.run(
                "delete from booking.staff_appointment_types where tenant_id = %s and staff_id = %s"
                " and appointment_type_id = %s",
                self.tenant,
                person,
                type_id,
            )

    def let_time_pass(self) -> None:
        self.set_clock(self.now + timedelta(minutes=self.rng.choice([7, 90, 700])))

    def spend_a_night(self) -> None:
        self.set_clock(self.now + timedelta(hours=20))
        self.run("call booking.nightly_refresh(%s)", self.tenant)

    STEPS = (
        (book_by_hand, 4),
        (book_slot, 6),
        (hold_slot, 4),
        (move, 3),
        (move_all, 1),
        (change_appointment, 5),
        (lambda self: self.remove("appointments"), 1),
        (add_busy_time, 3),
        (change_busy_time, 1),
        (lambda self: self.remove("busy_times"), 1),
        (add_hours, 2),
        (change_hours, 2),
        (lambda self: self.remove("working_hours"), 1),
        (add_travel_time, 1),
        (change_travel_time, 1),
        (lambda self: self.remove("travel_times"), 1),
        (add_break, 2),
        (lambda self: self.remove("breaks"), 1),
        (add_exception, 3),
        (change_exception, 1),
        (lambda self: self.remove("schedule_exceptions"), 1),
        (lambda self: self.remove("slot_reservations"), 1),
        (change_master_data, 5),
        (change_tenant, 2),
        (change_assignment, 2),
        (let_time_pass, 2),
        (spend_a_night, 1),
    )

    def step(self) -> None:
        """One random write; that the tables refuse it is as good as that they take it."""
        doing = self.rng.choices(
            [step for step, _ in self.STEPS], weights=[weight for _, weight in self.STEPS]
        )[0]
        try:
            doing(self)
            OUTCOMES["taken"] += 1
        except psycopg.IntegrityError as refused:
            self.log.append(f"-- refused: {refused.sqlstate}")
            OUTCOMES["refused"] += 1

    def differences(self) -> list[tuple[object, ...]]:
        return self.db.execute(
            "select staff_id, start_time, kind, published, expected"
            " from booking.find_differences(%s)",
            (self.tenant,),
        ).fetchall()


OUTCOMES: Counter[str] = Counter()


@settings(
    max_examples=SEQUENCES,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
@given(rng=st.randoms(use_true_random=False))
def check_sequence(db: psycopg.Connection, rng: random.Random) -> None:
    history = History(db, rng)
    for _ in range(STEPS):
        history.step()
        assert not history.differences(), "\n".join(history.log)
    # Past dates are what the night before left behind; publish as of now, then compare everything.
    db.execute("call booking.nightly_refresh(%s)", (history.tenant,))
    until = history.now.date() + timedelta(days=20)
    calendar = load_calendar(db, history.tenant, history.now.date() - timedelta(days=1), until)
    for person, materialized_until in db.execute(
        "select staff_id, materialized_until from booking.calendars where tenant_id = %s",
        (history.tenant,),
    ).fetchall():
        expected = published_slots(calendar, person, history.now, materialized_until)
        stored = stored_slots(db, history.tenant, [person])
        assert stored == expected, "\n".join(history.log)
        OUTCOMES["slots compared"] += len(expected)
        beyond = slots_beyond(calendar, person, history.now, materialized_until)
        calculated = calculated_beyond(db, history.tenant, [person])
        assert calculated == beyond, "\n".join(history.log)
        OUTCOMES["slots calculated on request"] += len(beyond)
    OUTCOMES["sequences"] += 1


@pytest.mark.parametrize("part", range(PARTS))
def test_no_sequence_of_raw_writes_leaves_a_slot_that_is_not_the_calculated_one(
    db: psycopg.Connection, part: int
) -> None:
    OUTCOMES.clear()
    check_sequence(db)
    print(dict(OUTCOMES))
    assert OUTCOMES["sequences"] >= SEQUENCES
    assert 2 * OUTCOMES["taken"] > OUTCOMES["refused"], "many steps must do something"
    assert OUTCOMES["slots compared"] > SEQUENCES
    assert OUTCOMES["slots calculated on request"] > SEQUENCES
