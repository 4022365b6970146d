"""The driving instructor: three places, the way between them, and rules that change with the day.

What is told are answers of schema api. Dates are counted from the database's clock, so that the
story holds on any day; where it does not, the demonstration ends with a Problem.
"""

from __future__ import annotations

import secrets
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import psycopg
from rich.markup import escape
from rich.table import Table

from pgbooking.demo import VISITOR, WEBSITE, Demo
from pgbooking.errors import Problem
from pgbooking.rows import copy_rows, execute, fetch_value
from pgbooking.tenants import Tenant, chosen_tenants

if TYPE_CHECKING:
    from rich.progress import Progress

SLUG = "demo-instructor"
NAME = "L-plates"
PERSON = "Nora"
TIMEZONE = "Europe/Berlin"
HORIZON_DAYS = 60
PRECOMPUTE_DAYS = 14
NOTICE_MINUTES = 12 * 60
DAY_LIMIT = 3
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
MINUTE = timedelta(minutes=1)
WIDTH = 100

TOWN, STATION, VILLAGE = PLACES = ("Town", "Station", "Village")
TRAVEL = (
    (TOWN, VILLAGE, 30),
    (VILLAGE, TOWN, 45),
    (TOWN, STATION, 15),
    (STATION, VILLAGE, 30),
)
"""Minutes. Into town there is traffic; the last two pairs take as long back."""

LESSON, SINGLE, MOTORWAY = "LESSON", "SINGLE", "MOTORWAY"
SERVICES = (
    (SINGLE, "Single lesson", 45, 60, None, 3500),
    (LESSON, "Double lesson", 90, None, None, 6500),
    (MOTORWAY, "Motorway drive", 135, 48 * 60, 21, 11000),
)
"""Code, name, minutes, minutes of notice, days ahead (None: as the school has it), cents."""

WINTER = {TOWN: ("09:00", "18:00"), STATION: ("09:00", "17:00"), VILLAGE: ("10:00", "16:00")}
SUMMER = {TOWN: ("11:00", "20:00"), STATION: ("10:00", "20:00"), VILLAGE: ("12:00", "19:00")}
OPEN_SATURDAY = ("12:00", "20:00")

SOON_MINUTES = 4 * 24 * 60
EVENING = ("16:00", "21:00")
EVENING_PERCENT, EVENING_PERCENT_LATER = 20, 50
WEEKEND_PERCENT = 10
SOON_PERCENT = -10


@dataclass(frozen=True)
class _Slot:
    """As listed; times in UTC."""

    id: UUID
    staff_id: UUID
    location_id: UUID
    start_time: datetime
    end_time: datetime
    price_cents: int
    currency: str


@dataclass(frozen=True)
class _Dates:
    """The days of the story: none within the discount's four days, the first week's Tuesday within
    the published ones.
    """

    today: date

    @property
    def week(self) -> date:
        """A Monday, 4 to 10 days from today."""
        return self.today + (4 + (3 - self.today.weekday()) % 7) * DAY

    @property
    def lessons(self) -> date:
        return self.week + 1 * DAY

    @property
    def holiday(self) -> date:
        return self.week + 3 * DAY

    @property
    def saturday(self) -> date:
        return self.week + 5 * DAY

    @property
    def summer(self) -> date:
        """The Monday on which summer hours begin, 25 to 31 days from today."""
        return self.week + 3 * WEEK

    @property
    def winter_ends(self) -> date:
        """The Sunday after: one week has both."""
        return self.summer + 6 * DAY

    @property
    def far(self) -> date:
        """The first working day from the 40th on."""
        day = self.today + 40 * DAY
        return day + (7 - day.weekday()) * DAY if day.weekday() > 4 else day

    @property
    def last(self) -> date:
        return self.today + HORIZON_DAYS * DAY


def _expect(holds: bool, what: str) -> None:
    """Raise Problem where the story does not go as it is told."""
    if not holds:
        raise Problem(f"The demonstration did not go as it should: {what}.")


class InstructorDemo(Demo):
    """One person between three places: what each booking leaves of the others."""

    connection: psycopg.Connection
    tenant: Tenant
    dates: _Dates
    places: dict[str, UUID]
    staff_id: UUID
    evening_rule_id: UUID

    def tell(self, connection: psycopg.Connection, bar: Progress) -> int:
        self.connection = connection
        self.zone = ZoneInfo(TIMEZONE)
        now: datetime = fetch_value(connection, "verify_now")
        self.dates = _Dates(now.astimezone(self.zone).date())
        with self._step("make the school and publish"):
            self._make()
        self._introduce()
        with self._step("1 seasons"):
            self._tell_seasons()
        with self._step("2 a free day"):
            free_day = self._tell_free_day()
        with self._step("3 a lesson in the village"):
            left, lesson = self._tell_village(free_day)
        with self._step("4 a full day"):
            self._tell_full_day(left, lesson)
        with self._step("5 a price"):
            self._tell_price()
        with self._step("6 a far day"):
            listed = self._tell_far_day()
        self._title(7, "Both calculators agree")
        self._say(f"The {PRECOMPUTE_DAYS} days that are published, and whatever is booked:")
        found = self._verify(connection, bar, self.tenant)
        with self._step("publish all days"):
            execute(connection, "demo_precompute", tenant_id=self.tenant.id, days=HORIZON_DAYS)
        self._tell_published_far_day(listed)
        return found + self._verify(connection, bar, self.tenant)

    # What there is.

    def _make(self) -> None:
        """A new tenant each time, in one transaction: its days are not booked yet."""
        tenant_id, self.staff_id, self.evening_rule_id = uuid4(), uuid4(), uuid4()
        self.places = {name: uuid4() for name in PLACES}
        services = [(uuid4(), *service) for service in SERVICES]
        dates = self.dates

        def copy(name: str, rows: Iterable[tuple[object, ...]]) -> None:
            copy_rows(self.connection, name, ((tenant_id, *row) for row in rows))

        with self.connection.transaction():
            number = fetch_value(self.connection, "demo_next_number", prefix=SLUG)
            slug = f"{SLUG}-{number}"
            execute(
                self.connection,
                "demo_make_tenant",
                tenant_id=tenant_id,
                name=NAME,
                slug=slug,
                timezone=TIMEZONE,
                min_notice_minutes=NOTICE_MINUTES,
                booking_horizon_days=HORIZON_DAYS,
                precompute_days=PRECOMPUTE_DAYS,
            )
            execute(
                self.connection,
                "demo_make_staff",
                tenant_id=tenant_id,
                staff_id=self.staff_id,
                display_name=PERSON,
                max_appointments_per_day=DAY_LIMIT,
            )
            copy("seed_locations", ((each, name) for name, each in self.places.items()))
            copy("demo_make_services", services)
            copy("seed_staff_appointment_types", ((self.staff_id, row[0]) for row in services))
            copy(
                "demo_make_travel_times",
                ((self.places[here], self.places[there], each) for here, there, each in TRAVEL),
            )
            copy(
                "seed_working_hours",
                (
                    (self.staff_id, self.places[place], weekday, *hours[place], *validity)
                    for hours, validity in (
                        (WINTER, (None, dates.winter_ends)),
                        (SUMMER, (dates.summer, None)),
                    )
                    for place in PLACES
                    for weekday in range(1, 6)
                ),
            )
            holiday, saturday = dates.holiday, dates.saturday
            copy(
                "seed_schedule_exceptions",
                (
                    (None, holiday, holiday, "closed", None, None, "Holiday"),
                    (self.staff_id, saturday, saturday, "open", *OPEN_SATURDAY, "Open Saturday"),
                ),
            )
            copy(
                "demo_make_price_rules",
                (
                    (uuid4(), None, None, None, SOON_MINUTES, SOON_PERCENT, 2, False),
                    (self.evening_rule_id, None, *EVENING, None, EVENING_PERCENT, 1, True),
                    (uuid4(), [6, 7], None, None, None, WEEKEND_PERCENT, 0, True),
                ),
            )
            execute(self.connection, "seed_activate", tenant_id=tenant_id)
        (self.tenant,) = chosen_tenants(self.connection, slug)

    def _introduce(self) -> None:
        ways = [
            f"  {here} to {there} {minutes} minutes"
            + ("" if (there, here) in {each[:2] for each in TRAVEL} else ", and as long back")
            for here, there, minutes in TRAVEL
        ]
        self._say(
            f"\n{self.tenant.name} ({self.tenant.slug}, {TIMEZONE}), today "
            f"{self._day(self.dates.today)} {self.dates.today.year}.\n"
            f"{PERSON} teaches at three places, at most {DAY_LIMIT} lessons a day, "
            "in a compact schedule.\nBy car it is\n" + "\n".join(ways)
        )

    # The story.

    def _tell_seasons(self) -> None:
        self._title(1, "The hours of the week, and how they change with the season")
        dates = self.dates
        self._say(
            f"First to last minute of double lessons, as anon gets them from "
            f"api.get_available_slots.\nSummer hours begin on {self._day(dates.summer)}, winter "
            f"hours end on {self._day(dates.winter_ends)}: one week has both.\n"
            f"{self._day(dates.holiday)} is a holiday for all, {self._day(dates.saturday)} an open "
            "Saturday.\n"
        )
        weeks = {
            "winter": dates.week,
            "both": dates.summer,
            "summer": dates.summer + WEEK,
        }
        weekdays = [f"{dates.week + n * DAY:%a}" for n in range(7)]
        table = Table("", "week of", "", *weekdays, box=None)
        hours: dict[tuple[str, str], list[str]] = {}
        for place in PLACES:
            for season, monday in weeks.items():
                slots = self._slots(monday, monday + 6 * DAY, place=place)
                hours[place, season] = days = [
                    self._from_to([each for each in slots if self._date(each) == monday + n * DAY])
                    for n in range(7)
                ]
                name = place if season == "winter" else ""
                table.add_row(name, f"{monday.day} {monday:%b}", season, *days)
        self.console.print(table)
        for place in PLACES:
            winter, both, summer = (hours[place, season] for season in weeks)
            _expect(winter[1] != both[1] != summer[1], "the seasons have the same hours")
            _expect(winter[3] == "-" != both[3], "the holiday is no holiday")
            _expect(winter[5] != "-" == both[5], "the open Saturday is not open")

        self._say(
            f"\nHow soon and how far ahead: {NOTICE_MINUTES // 60} hours and {HORIZON_DAYS} days, "
            "unless the service says otherwise.\n"
        )
        table = Table("service", box=None)
        for heading in ("minutes", "notice", "ahead", "first free time", "last free day"):
            table.add_column(heading, justify="right")
        first, last = {}, {}
        for code, name, minutes, notice, ahead, _ in SERVICES:
            first[code] = self._next(code)
            last[code] = self._date(self._slots(dates.today, dates.last, code, TOWN)[-1])
            table.add_row(
                name,
                str(minutes),
                f"{notice // 60} h" if notice else "-",
                f"{ahead} days" if ahead else "-",
                f"{self._day(self._date(first[code]))} {self._time(first[code].start_time)}",
                self._day(last[code]),
            )
        self.console.print(table)
        _expect(
            first[SINGLE].start_time <= first[LESSON].start_time <= first[MOTORWAY].start_time,
            "notice does not order the services",
        )
        _expect(last[MOTORWAY] < last[LESSON] == last[SINGLE], "days ahead do not")

    def _tell_free_day(self) -> dict[str, list[_Slot]]:
        self._title(2, "A free day at three places")
        day = self.dates.lessons
        self._say(
            f"{self._day(day)}: a quarter-hour each, [green]●[/] where a double lesson can begin.\n"
        )
        free_day = self._show(day)
        self._say("\nWhat it costs when, in Town:\n")
        soon = self._date(self._next(LESSON))
        prices = {}
        for each, label in (
            (soon, f"within {SOON_MINUTES // 60} hours"),
            (day, ""),
            (self.dates.saturday, "open Saturday"),
        ):
            slots = free_day[TOWN] if each == day else self._slots(each, each, place=TOWN)
            prices[each] = self._prices(slots)
            self._say(f"  {self._day(each):<11} {label:<16} {self._price_list(slots)}")
        self._say(
            f"\nFrom {EVENING[0]} it is {EVENING_PERCENT:+} %, on weekends {WEEKEND_PERCENT:+} %, "
            f"and the two stack.\nWhat begins within {SOON_MINUTES // 60} hours is "
            f"{SOON_PERCENT:+} %, and no other rule counts."
        )
        cheap, usual, weekend = prices.values()
        _expect(len(cheap) == 1 and max(cheap) < min(usual), "what is near is not cheaper")
        _expect(len(usual) == len(weekend) == 2, "the evening is not dearer")
        _expect(
            min(usual) < min(weekend) and max(usual) < max(weekend), "the weekend is not dearer"
        )
        return free_day

    def _tell_village(
        self, free_day: dict[str, list[_Slot]]
    ) -> tuple[dict[str, list[_Slot]], _Slot]:
        """What is left of the day, and the lesson that was booked."""
        self._title(3, "A lesson in the village")
        wanted = free_day[VILLAGE][len(free_day[VILLAGE]) // 2]
        self._book(wanted)
        self._say(
            f"reserve_slot as anon, create_appointment as service_role: Village, "
            f"{self._span(wanted)}.\nThat leaves the first and the last of each run of free "
            f"starts, after the way:\n"
        )
        left = self._show(self.dates.lessons)
        gaps = {}
        self._say("")
        for place in (TOWN, STATION):
            before = max(
                (each.end_time for each in left[place] if each.end_time <= wanted.start_time),
                default=None,
            )
            after = min(
                (each.start_time for each in left[place] if each.start_time >= wanted.end_time),
                default=None,
            )
            if before is None or after is None:
                raise Problem(f"{place} has nothing left before or after {self._span(wanted)}.")
            gaps[place] = (
                int((wanted.start_time - before) / MINUTE),
                int((after - wanted.end_time) / MINUTE),
            )
            self._say(
                f"  {place:<10} a lesson may end at {self._time(before)}, {gaps[place][0]} minutes "
                f"before, and begin at {self._time(after)}, {gaps[place][1]} after"
            )
        _expect(gaps[TOWN][0] < gaps[TOWN][1], "the way back from the village is not longer")
        _expect(gaps[STATION][0] == gaps[STATION][1], "one row is not both directions")
        for place in PLACES:
            _expect(len(left[place]) <= 4 < len(free_day[place]), "the schedule is not compact")

        self._say("\nWhy not another time? api.explain_availability tells the school:\n")
        kept = {each.id for each in left[TOWN]}
        gone = [each for each in free_day[TOWN] if each.id not in kept]
        near = [each for each in gone if each.start_time >= wanted.end_time]
        self._why_not(TOWN, near, "free", "travel_from")
        self._why_not(TOWN, gone, "compact")
        return left, wanted

    def _tell_full_day(self, left: dict[str, list[_Slot]], lesson: _Slot) -> None:
        """The last lesson in Town before the one in the village, and the first at the station
        after it.
        """
        self._title(4, "Until the day is full")
        for place in (TOWN, STATION):
            before = left
            wanted = (
                [each for each in left[TOWN] if each.end_time <= lesson.start_time][-1]
                if place == TOWN
                else next(each for each in left[STATION] if each.start_time >= lesson.end_time)
            )
            self._book(wanted)
            left = self._listed(self.dates.lessons)
            self._say(f"{place}, {self._span(wanted)}, is booked, too, which leaves\n")
            self._strips(left)
            self._say("")
        _expect(not any(left.values()), "the day limit does not hold")
        self._say(f"Nothing at any place: {PERSON} has her {DAY_LIMIT} lessons.\n")
        self._why_not(TOWN, before[TOWN], "day_limit")

    def _tell_price(self) -> None:
        self._title(5, "The price that was quoted")
        day = self.dates.saturday
        slots = self._slots(day, day, place=TOWN)
        dearest = max(self._prices(slots))
        wanted = next(each for each in slots if each.price_cents == dearest)
        self._say(
            f"Town, {self._day(day)}, {self._span(wanted)}. While a visitor holds it, evenings go "
            f"from {EVENING_PERCENT:+} % to {EVENING_PERCENT_LATER:+} %.\n"
        )
        session = secrets.token_urlsafe()
        held = self._reserve(wanted, session)
        execute(
            self.connection,
            "demo_raise_price",
            tenant_id=self.tenant.id,
            rule_id=self.evening_rule_id,
            percent=EVENING_PERCENT_LATER,
        )
        later = [
            each for each in self._slots(day, day, place=TOWN) if each.start_time >= wanted.end_time
        ]
        _expect(bool(later), "nothing is left that evening")
        booked = self._create(wanted, session)
        on_record = self._as(
            WEBSITE, "demo_price_on_record", appointment_id=booked["appointment_id"]
        )
        for label, cents in (
            ("listed", wanted.price_cents),
            ("held, by reserve_slot's answer", held["price_cents"]),
            (f"listed since, for {self._time(later[0].start_time)}", later[0].price_cents),
            ("booked, by create_appointment's", booked["price_cents"]),
            ("on record, in api.appointments", on_record),
        ):
            self._say(f"  {label:<34} {_money(cents, wanted.currency):>12}")
        _expect(later[0].price_cents > wanted.price_cents, "the new price is not listed")
        _expect(
            {held["price_cents"], booked["price_cents"], on_record} == {wanted.price_cents},
            "the quote was not kept",
        )

    def _tell_far_day(self) -> dict[str, list[_Slot]]:
        self._title(6, "A day that is not published yet")
        day = self.dates.far
        published = self._as(VISITOR, "demo_last_published", timezone=TIMEZONE)
        rows = self._rows(day)
        self._say(
            f"Slots are published up to {self._day(published)}. {self._day(day)}, "
            f"{(day - self.dates.today).days} days from today, has {rows} rows,\n"
            "and is calculated when somebody asks:\n"
        )
        free_day = self._show(day)
        wanted = free_day[TOWN][len(free_day[TOWN]) // 2]
        self._book(wanted)
        self._say(f"\nTown, {self._span(wanted)}, is reserved and booked by what was listed:\n")
        listed = self._show(day)
        self._say(f"\nStill {self._rows(day)} rows of that day: bookings are subtracted on read.")
        _expect(published < day and rows == self._rows(day) == 0, "that day has rows")
        _expect(0 < len(listed[TOWN]) < len(free_day[TOWN]), "the booking does not take its time")
        return listed

    def _tell_published_far_day(self, listed: dict[str, list[_Slot]]) -> None:
        day = self.dates.far
        published = self._listed(day)
        _expect(self._rows(day) > 0, "that day has no rows")
        _expect(published == listed, "the published day is not the one that was calculated")
        self._say(
            f"\nAll {HORIZON_DAYS} days published (precompute_days): {self._day(day)} has "
            f"{self._rows(day)} rows\nnow, and is listed as before, id for id."
        )

    # Calls, as clients make them.

    def _answer(self, caller: str, function: str, **arguments: object) -> dict[str, Any]:
        answer = self._call(self.connection, caller, function, self.tenant.id, **arguments)
        if not answer["success"]:
            raise Problem(f"{function} was refused: {answer['message']}", answer["hint"])
        return answer

    def _as(self, caller: str, name: str, **arguments: object) -> Any:
        """The only value of a query, asked by that caller."""
        with self.connection.transaction():
            execute(self.connection, "demo_call_as", role=caller, address=self.address)
            return fetch_value(self.connection, name, tenant_id=self.tenant.id, **arguments)

    def _slots(
        self, first: date, last: date, service: str = LESSON, place: str = TOWN
    ) -> list[_Slot]:
        """All pages of a listing; dates inclusive."""
        slots: list[_Slot] = []
        token = None
        while True:
            answer = self._answer(
                VISITOR,
                "get_available_slots",
                start_date=first,
                end_date=last,
                location_id=self.places[place],
                appointment_type=service,
                page_token=token,
            )
            slots += map(_slot, answer["slots"])
            token = answer.get("next_page_token")
            if token is None:
                return slots

    def _next(self, service: str) -> _Slot:
        slots = self._answer(VISITOR, "get_next_available", appointment_type=service)["slots"]
        _expect(bool(slots), f"there is no free time for {service}")
        return _slot(slots[0])

    def _listed(self, day: date) -> dict[str, list[_Slot]]:
        return {place: self._slots(day, day, place=place) for place in PLACES}

    def _reserve(self, slot: _Slot, session: str) -> dict[str, Any]:
        return self._answer(
            VISITOR,
            "reserve_listed_slot",
            slot_id=slot.id,
            session_id=session,
            appointment_type=LESSON,
            staff_id=slot.staff_id,
            location_id=slot.location_id,
            start_time=slot.start_time,
        )

    def _create(self, slot: _Slot, session: str) -> dict[str, Any]:
        return self._answer(
            WEBSITE,
            "create_appointment",
            slot_id=slot.id,
            session_id=session,
            appointment_type=LESSON,
        )

    def _book(self, slot: _Slot) -> None:
        session = secrets.token_urlsafe()
        held = self._reserve(slot, session)
        booked = self._create(slot, session)
        _expect(
            slot.price_cents == held["price_cents"] == booked["price_cents"],
            "listing, quote and booking differ in the price",
        )

    def _why_not(
        self,
        place: str,
        slots: Iterable[_Slot],
        name: str,
        evidence: str = "table",
    ) -> None:
        """The sentence of the first slot that this rule alone refuses, for a row that says that."""
        for slot in slots:
            answer = self._answer(
                WEBSITE,
                "explain_availability",
                staff_id=self.staff_id,
                at=slot.start_time,
                appointment_type=LESSON,
            )
            (candidate,) = (
                each
                for each in answer["candidates"]
                if each["location_id"] == str(self.places[place])
            )
            failed = [each for each in candidate["rules"] if each["passed"] is False]
            if [each["rule"] for each in failed] != [name]:
                continue
            if evidence in failed[0]["evidence"][0]:
                refused = f"{place} at {self._time(slot.start_time)}"
                self._wrap(
                    f"  {refused:<17} ✗ {name.replace('_', ' '):<17} {failed[0]['message']}", 40
                )
                return
        raise Problem(f"No time at {place} is refused by the rule {name} alone.")

    def _rows(self, day: date) -> int:
        rows: int = fetch_value(
            self.connection,
            "demo_rows_between",
            tenant_id=self.tenant.id,
            first_start=datetime(day.year, day.month, day.day, tzinfo=self.zone),
            end_of_starts=datetime(day.year, day.month, day.day, tzinfo=self.zone) + DAY,
        )
        return rows

    # How it is shown.

    def _wrap(self, text: str, indent: int) -> None:
        self._say(escape(textwrap.fill(text, WIDTH, subsequent_indent=" " * indent)))

    def _title(self, number: int, text: str) -> None:
        self._say(f"\n[bold]{number}. {text}[/]")

    def _show(self, day: date) -> dict[str, list[_Slot]]:
        listed = self._listed(day)
        self._strips(listed)
        return listed

    def _strips(self, listed: dict[str, list[_Slot]]) -> None:
        for place, slots in listed.items():
            self._strip(place, [each.start_time for each in slots], self.zone)

    def _prices(self, slots: list[_Slot]) -> set[int]:
        return {each.price_cents for each in slots}

    def _price_list(self, slots: list[_Slot]) -> str:
        """In order of the day: from when to when it costs what."""
        parts = []
        for cents, group in groupby(slots, key=lambda each: each.price_cents):
            first, *rest = group
            last = rest[-1] if rest else first
            parts.append(
                f"{_money(cents, first.currency)} {self._time(first.start_time)}"
                f" to {self._time(last.start_time)}"
            )
        return ", ".join(parts) or "nothing"

    def _from_to(self, slots: list[_Slot]) -> str:
        if not slots:
            return "-"
        return f"{self._hour(slots[0].start_time)}-{self._hour(slots[-1].end_time)}"

    def _span(self, slot: _Slot) -> str:
        return f"{self._time(slot.start_time)} to {self._time(slot.end_time)}"

    def _date(self, slot: _Slot) -> date:
        return slot.start_time.astimezone(self.zone).date()

    def _time(self, instant: datetime) -> str:
        return f"{instant.astimezone(self.zone):%H:%M}"

    def _hour(self, instant: datetime) -> str:
        return self._time(instant).removesuffix(":00")

    def _day(self, day: date) -> str:
        return f"{day:%a} {day.day} {day:%b}"


def _slot(listed: dict[str, Any]) -> _Slot:
    return _Slot(
        UUID(listed["id"]),
        UUID(listed["staff_id"]),
        UUID(listed["location_id"]),
        datetime.fromisoformat(listed["start_time"]),
        datetime.fromisoformat(listed["end_time"]),
        listed["price_cents"],
        listed["currency"],
    )


def _money(cents: int, currency: str) -> str:
    return f"{cents / 100:,.2f} {currency}"
