"""Random calendars: what explain_slot says of a start is what everything else says of it.

A fifteenth of PGBOOKING_CASES calendars. Of each, some starts of the grid are asked for, and some
instants that are on no grid, outside hours, booked or held; for any person, place and service. The
verdicts are held against calculate_slot, against the independent calculator, against what is
published, and against reserve_slot. How many verdicts of each kind a run saw is printed at the end.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from pgbooking import reference
from pgbooking.reference import GridSlot, Period, PublishedSlot
from pgbooking.reference_calendar import (
    Appointment,
    AppointmentType,
    Calendar,
    Hold,
    load_calendar,
)
from tests.calculator import database
from tests.calculator.calendars import MINUTE, MadeUpCalendar, insert
from tests.calculator.strategies import made_up_calendars

CASES = -(-int(os.environ.get("PGBOOKING_CASES", "2000")) // 15)
ALIGNMENTS = ("window", "clock", "gapless")
CANDIDATES = 40  # of each calendar
RESERVED = 6  # of those
# Below this many calendars chance decides which verdicts there are.
CASES_THAT_SAY_SOMETHING = 60

DAY = timedelta(days=1)
RULES = (
    "active",
    "working_time",
    "starts",
    "fit",
    "free",
    "day_limit",
    "compact",
    "bookable",
    "not_held",
)
# Of each rule; None is "not asked".
VERDICTS = {
    *((rule, passed) for rule in RULES for passed in (True, False)),
    ("starts", None),
    ("fit", None),
    ("compact", None),
    ("bookable at all", True),
    ("bookable at all", False),
}


@dataclass(frozen=True)
class Candidate:
    """A start, and what it would be taken for."""

    staff_id: UUID
    location_id: UUID
    type_id: UUID
    at: datetime


@dataclass(frozen=True)
class Rule:
    """One line of an explanation."""

    passed: bool | None
    message: str
    evidence: list[dict[str, Any]]


@dataclass(frozen=True)
class Explained:
    """What explain_slot and calculate_slot say of a candidate."""

    candidate: Candidate
    rules: dict[str, Rule]
    state: dict[str, Any] | None

    @property
    def passed(self) -> dict[str, bool | None]:
        return {name: rule.passed for name, rule in self.rules.items()}

    @property
    def is_available(self) -> bool:
        return all(self.passed.values())

    @property
    def has_a_slot(self) -> bool:
        """Rules 1 and 3, which decide whether there is a row."""
        return all(self.passed[rule] for rule in ("active", "working_time", "fit"))


def test_explanations_agree_with_calculators_and_with_reserving(
    module_db: psycopg.Connection, record_property: Callable[[str, object], None]
) -> None:
    seen: Counter[tuple[str, bool | None]] = Counter()

    @settings(
        max_examples=CASES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(st.sampled_from(ALIGNMENTS).flatmap(made_up_calendars), st.integers(0, 2**32))
    def agree(made_up: MadeUpCalendar, seed: int) -> None:
        for explained in compare(module_db, made_up, Random(seed)):
            seen.update(explained.passed.items())
            seen["bookable at all", explained.is_available] += 1

    agree()
    record_property("verdicts", [[*verdict, count] for verdict, count in seen.items()])
    if CASES >= CASES_THAT_SAY_SOMETHING:
        assert VERDICTS - seen.keys() == set()


def compare(
    connection: psycopg.Connection, made_up: MadeUpCalendar, random: Random
) -> list[Explained]:
    """Fail where an explanation disagrees with anything."""
    with connection.transaction(force_rollback=True):
        insert(connection, made_up)
        calendar = load_calendar(
            connection,
            made_up.calendar.tenant.id,
            made_up.from_date - DAY,
            max(made_up.to_date, made_up.materialized_until),
        )
        people = [person.id for person in calendar.staff]
        grid = [
            slot
            for staff_id in people
            for slot in reference.calculate_slots(
                calendar, staff_id, made_up.from_date, made_up.to_date
            )
        ]
        published = database.refreshed_slots(connection, made_up, people)
        explanations = explain(connection, calendar, candidates(random, made_up, calendar, grid))
        judge = Judge(made_up, calendar, grid, published, ids_of_rows(connection))
        for explained in explanations:
            judge.judge(explained)
        random.shuffle(explanations)
        for explained in sorted(explanations, key=lambda each: not each.is_available)[:RESERVED]:
            assert can_be_reserved(connection, calendar, explained.candidate) == (
                explained.is_available
            ), explained
    return explanations


def candidates(
    random: Random, made_up: MadeUpCalendar, calendar: Calendar, grid: list[GridSlot]
) -> list[Candidate]:
    """Half of them starts of the grid, half other instants near whatever happens; each once."""
    first = datetime.combine(made_up.from_date, datetime.min.time(), UTC)
    minutes = (made_up.to_date - made_up.from_date + DAY) // MINUTE
    rows: list[Appointment | Hold] = [*calendar.appointments, *calendar.holds]
    booked = [
        row
        for row in rows
        if row.shape_id and first - DAY <= row.start_time < first + minutes * MINUTE + DAY
    ]
    types: dict[UUID | None, list[AppointmentType]] = {}
    for row in calendar.appointment_types:
        types.setdefault(row.shape_id, []).append(row)

    def on_the_grid() -> Candidate:
        slot = random.choice(grid)
        service = random.choice(types[slot.shape_id])
        return Candidate(slot.staff_id, slot.location_id, service.id, slot.start_time)

    def after_a_slot() -> Candidate:
        slot = random.choice(grid)
        service = random.choice(calendar.appointment_types)
        return Candidate(slot.staff_id, slot.location_id, service.id, slot.end_time)

    def booked_or_held() -> Candidate:
        row = random.choice(booked)
        its_types = types.get(row.shape_id, calendar.appointment_types)
        return Candidate(row.staff_id, row.location_id, random.choice(its_types).id, row.start_time)

    def anywhere() -> Candidate:
        at = first + random.randrange(-600, minutes + 600) * MINUTE
        if random.random() < 0.1:
            at += timedelta(seconds=random.randrange(60))
        return Candidate(
            random.choice(calendar.staff).id,
            random.choice(calendar.locations).id,
            random.choice(calendar.appointment_types).id,
            at,
        )

    ways = [anywhere]
    ways += [on_the_grid, on_the_grid, on_the_grid, after_a_slot] if grid else []
    ways += [booked_or_held] if booked else []
    return list(dict.fromkeys(random.choice(ways)() for _ in range(CANDIDATES)))


def explain(
    connection: psycopg.Connection, calendar: Calendar, asked: list[Candidate]
) -> list[Explained]:
    """Ask explain_slot, and calculate_slot beside it."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            "select e.rules, s.is_on_grid, s.is_free, s.is_within_limit, s.is_available,"
            " s.is_bookable"
            " from unnest(%s::uuid[], %s::uuid[], %s::uuid[], %s::timestamptz[]) with ordinality"
            "   as c(staff_id, location_id, type_id, at, number)"
            " join booking.appointment_types t on t.tenant_id = %s and t.id = c.type_id"
            " cross join lateral ("
            "   select jsonb_object_agg(x.rule, to_jsonb(x)) as rules"
            "   from booking.explain_slot(t.tenant_id, c.staff_id, c.location_id, t.id, c.at) x"
            " ) as e"
            " left join lateral booking.calculate_slot("
            "   t.tenant_id, c.staff_id, c.location_id, t.shape_id, c.at"
            " ) as s on true"
            " order by c.number",
            [
                [each.staff_id for each in asked],
                [each.location_id for each in asked],
                [each.type_id for each in asked],
                [each.at for each in asked],
                calendar.tenant.id,
            ],
        ).fetchall()
    return [
        Explained(
            candidate,
            {
                name: Rule(rule["passed"], rule["message"], rule["evidence"])
                for name, rule in row.pop("rules").items()
            },
            None if row["is_on_grid"] is None else row,
        )
        for candidate, row in zip(asked, rows, strict=True)
    ]


def ids_of_rows(connection: psycopg.Connection) -> dict[str, set[str]]:
    """The rows that there are, by table."""
    tables = (
        "tenants",
        "staff",
        "locations",
        "appointment_types",
        "working_hours",
        "breaks",
        "schedule_exceptions",
        "busy_times",
        "appointments",
        "slot_reservations",
    )
    query = " union all ".join(
        f"select '{table}', array_agg(id::text) from booking.{table}" for table in tables
    )
    return {table: set(ids or ()) for table, ids in connection.execute(query.encode()).fetchall()}


@dataclass(frozen=True)
class Judge:
    """What explanations are held against."""

    made_up: MadeUpCalendar
    calendar: Calendar
    grid: list[GridSlot]
    published: list[PublishedSlot]
    ids: dict[str, set[str]]

    def judge(self, explained: Explained) -> None:
        assert set(explained.rules) == set(RULES), explained
        assert all(rule.message.endswith(".") for rule in explained.rules.values()), explained
        self.judge_by_calculate_slot(explained)
        self.judge_by_the_independent_calculator(explained)
        self.judge_by_what_is_published(explained)
        self.judge_evidence(explained)

    def judge_by_calculate_slot(self, explained: Explained) -> None:
        passed, state = explained.passed, explained.state
        if state is None:
            assert not explained.has_a_slot, explained
            assert passed["starts"] is None, explained
        else:
            # Another service of the same shape may have the slots that an inactive one has not.
            assert passed["working_time"] and passed["fit"], explained
            assert passed["starts"] == state["is_on_grid"], explained
            assert passed["free"] == state["is_free"], explained
            assert passed["day_limit"] == state["is_within_limit"], explained
            if passed["starts"] and state["is_free"] and state["is_within_limit"]:
                assert passed["compact"] == state["is_available"], explained
            else:
                assert passed["compact"] is not False, explained
            assert passed["bookable"] == state["is_bookable"], explained
        assert passed["free"] is not None and passed["bookable"] is not None, explained
        assert (passed["fit"] is None) == (not passed["working_time"]), explained

    def judge_by_the_independent_calculator(self, explained: Explained) -> None:
        candidate, passed = explained.candidate, explained.passed
        calendar = self.calendar
        service = next(x for x in calendar.appointment_types if x.id == candidate.type_id)
        shape = next(x for x in calendar.slot_shapes if x.id == service.shape_id)
        location = next(x for x in calendar.locations if x.id == candidate.location_id)
        person = next(x for x in calendar.staff if x.id == candidate.staff_id)
        is_offered = any(
            x.staff_id == person.id and x.appointment_type_id == service.id
            for x in calendar.assignments
        )
        assert passed["active"] == (
            calendar.tenant.is_active
            and person.is_active
            and location.is_active
            and service.is_active
            and is_offered
        ), explained

        ends = candidate.at + shape.duration_minutes * MINUTE
        day = candidate.at.date()
        pieces = reference._pieces(calendar, person.id, location, day - DAY, day + DAY)
        assert passed["working_time"] == any(
            piece.start <= candidate.at < piece.end for piece in pieces
        ), explained
        if passed["working_time"]:
            assert passed["fit"] == (runs_until(pieces, candidate.at) >= ends), explained

        taken = reference._TakenTime(calendar, person.id, location.id, day - DAY, day + DAY)
        slot = reference._grid_slot(calendar, person.id, location, shape, candidate.at, taken)
        assert passed["free"] == slot.is_free, explained
        has_room = reference._has_room(
            person, slot, reference._BookedDays(calendar, person.id, calendar.zone(location))
        )
        assert passed["day_limit"] == (
            has_room or reference._has_started(calendar, shape.id, slot.booked)
        ), explained

        date = candidate.at.astimezone(calendar.zone(location)).date()
        today = self.made_up.now.astimezone(calendar.zone(location)).date()
        assert passed["bookable"] == (
            is_between_bounds(slot, self.made_up.now)
            and date <= today + DAY * calendar.tenant.booking_horizon_days
        ), explained

        if not self.made_up.from_date <= date <= self.made_up.to_date or not passed["active"]:
            return
        on_grid = [each for each in self.grid if names(each, candidate, shape.id)]
        assert bool(on_grid) == bool(explained.has_a_slot and passed["starts"]), explained
        for each in on_grid:
            rules = ("free", "day_limit", "compact")
            assert each.is_available == all(passed[rule] for rule in rules), explained

    def judge_by_what_is_published(self, explained: Explained) -> None:
        candidate, now = explained.candidate, self.made_up.now
        shape_id = next(
            x.shape_id for x in self.calendar.appointment_types if x.id == candidate.type_id
        )
        row = next((x for x in self.published if names(x, candidate, shape_id)), None)
        if row is not None:
            is_held = row.reserved_until is not None and row.reserved_until > now
            assert explained.passed["not_held"] == (not is_held), explained
        date = candidate.at.astimezone(zone_of(self.calendar, candidate)).date()
        if (
            now.astimezone(zone_of(self.calendar, candidate)).date()
            <= date
            <= self.made_up.materialized_until
        ):
            is_open = (
                row is not None and row.is_available and not is_held and is_between_bounds(row, now)
            )
            assert explained.is_available == bool(is_open and explained.passed["active"]), explained

    def judge_evidence(self, explained: Explained) -> None:
        candidate, rules = explained.candidate, explained.rules
        for name, rule in rules.items():
            if name != "bookable":
                for row in rule.evidence:
                    assert row["id"] in self.ids[row["table"]], explained
        for name in ("active", "fit", "free", "day_limit", "compact", "not_held"):
            assert (rules[name].passed is False) == bool(rules[name].evidence), explained
        assert rules["bookable"].evidence, explained

        rule = rules["working_time"]
        location = next(x for x in self.calendar.locations if x.id == candidate.location_id)
        is_in_a_window = any(
            window.start <= candidate.at < window.end
            for day in reference._days(candidate.at.date() - 4 * DAY, candidate.at.date() + 4 * DAY)
            for window in reference._windows(self.calendar, candidate.staff_id, location, day)
        )
        tables = {row["table"] for row in rule.evidence}
        if rule.passed:
            assert tables, explained
            assert tables <= {"working_hours", "schedule_exceptions"}, explained
        elif is_in_a_window:
            assert rule.message.startswith(("Break: ", "Closed: ")), explained
            assert tables & {"breaks", "schedule_exceptions"}, explained


def runs_until(pieces: list[Period], at: datetime) -> datetime:
    """Where working time ends that has not ended at that moment, pieces joined where they touch."""
    end = at
    for piece in sorted(pieces):
        if piece.start <= end < piece.end:
            end = piece.end
    return end


def is_between_bounds(slot: GridSlot | PublishedSlot, now: datetime) -> bool:
    return now < slot.bookable_until and (slot.bookable_from is None or slot.bookable_from <= now)


def names(slot: GridSlot | PublishedSlot, candidate: Candidate, shape_id: UUID) -> bool:
    return (slot.staff_id, slot.location_id, slot.shape_id, slot.start_time) == (
        candidate.staff_id,
        candidate.location_id,
        shape_id,
        candidate.at,
    )


def zone_of(calendar: Calendar, candidate: Candidate) -> ZoneInfo:
    return calendar.zone(next(x for x in calendar.locations if x.id == candidate.location_id))


def can_be_reserved(
    connection: psycopg.Connection, calendar: Calendar, candidate: Candidate
) -> bool:
    """Try it, with a session that holds nothing, and take it back."""
    shape_id = next(x.shape_id for x in calendar.appointment_types if x.id == candidate.type_id)
    request = {
        "session_id": uuid4(),
        "tenant_id": calendar.tenant.id,
        "staff_id": candidate.staff_id,
        "location_id": candidate.location_id,
        "start_time": candidate.at.isoformat(),
        "appointment_type": candidate.type_id,  # calendars.py: its code is its id
    }
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(
                "select booking.reserve_slot("
                "   booking.find_slot(r.request, r.session), r.session, r.request"
                " ) from ("
                "   select sha256('a new session') as session, %s || jsonb_build_object("
                "     'slot_id', booking.slot_id(%s, %s, %s, %s, %s)) as request"
                " ) as r",
                [
                    Jsonb({key: str(value) for key, value in request.items()}),
                    calendar.tenant.id,
                    candidate.staff_id,
                    candidate.location_id,
                    candidate.at,
                    shape_id,
                ],
            )
    except psycopg.Error as error:
        if error.sqlstate != "PB001":
            raise
        return False
    return True
