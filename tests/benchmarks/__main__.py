"""How long publishing and changing take: `make bench`, or `python -m tests.benchmarks --help`.

One tenant, everybody at work from 9 to 17 on every day of the horizon, three lengths of
appointments at a step of 15 minutes. Each figure stands beside one of the same run that says what
it is worth: publishing beside an `insert … select` of the same rows into an empty table with the
same indexes, a change beside the same change without our triggers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from rich.console import Console
from rich.table import Table

from pgbooking import migrate
from pgbooking.output import print_json
from pgbooking.server import embedded_server

TENANT = "00000000-0000-4000-8000-000000000001"
DURATIONS = (30, 60, 90)
SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")

COLUMNS = """
  tenant_id, staff_id, location_id, shape_id, start_time, end_time, bookable_from, bookable_until,
  reserved_until, calculated_at, appointment_id, duration_minutes, capacity, seats_left,
  is_available, claim, reserved_by_session
"""

SETUP = """
insert into booking.tenants (id, name, timezone, is_active, precompute_days, booking_horizon_days)
values ($tenant, 'Benchmark', 'Europe/Berlin', false, $days - 1, $days - 1);

insert into booking.locations (tenant_id, name) values ($tenant, 'Here');

insert into booking.appointment_types (tenant_id, code, name, duration_minutes)
select $tenant, 'M' || minutes, minutes || ' minutes', minutes
from unnest($durations::integer[]) as minutes;

insert into booking.staff (tenant_id, display_name)
select $tenant, 'Person ' || n from generate_series(1, $staff) as n;

insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)
select $tenant, s.id, t.id
from booking.staff s cross join booking.appointment_types t
order by s.id;

insert into booking.working_hours (tenant_id, staff_id, location_id, weekday, start_time, end_time)
select $tenant, s.id, l.id, weekday, '09:00', '17:00'
from booking.staff s cross join booking.locations l cross join generate_series(1, 7) as weekday
order by s.id;

-- Every third day an appointment at ten, every fifth something else at half past one.
insert into booking.appointments (
  tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time
)
select $tenant, s.id, l.id, t.id, day + interval '10 hours', day + interval '11 hours'
from booking.staff s
cross join booking.locations l
join booking.appointment_types t on t.duration_minutes = 60
cross join lateral (
  select (current_date + n)::timestamp at time zone 'Europe/Berlin' as day
  from generate_series(1, $days - 1, 3) as n
) as days
order by s.id, day;

insert into booking.busy_times (tenant_id, staff_id, start_time, end_time)
select $tenant, s.id, day + interval '13.5 hours', day + interval '14.25 hours'
from booking.staff s
cross join lateral (
  select (current_date + n)::timestamp at time zone 'Europe/Berlin' as day
  from generate_series(2, $days - 1, 5) as n
) as days
order by s.id, day;

-- As if it had always been active, with nothing published yet.
set session_replication_role = replica;
update booking.tenants set is_active = true;
reset session_replication_role;
create table public.bare_slots (like booking.availability_slots including all);
"""

# Free hours of different people, each some days from now.
FREE = """
select distinct on (s.staff_id) s.staff_id, s.location_id, t.id as appointment_type_id,
  s.start_time, s.end_time
from booking.availability_slots s
join booking.appointment_types t on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id
where s.is_available and s.duration_minutes = 60 and s.start_time > now() + interval '3 days'
order by s.staff_id, md5(s.id::text)
limit %s
"""

INSERT = """
insert into booking.appointments (
  tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time, source
)
values (%(tenant)s, %(staff_id)s, %(location_id)s, %(appointment_type_id)s, %(start_time)s,
  %(end_time)s, 'bench')
"""
CANCEL = """
update booking.appointments set status = 'cancelled'
where tenant_id = %(tenant)s and staff_id = %(staff_id)s and source = 'bench'
"""
HOURS = """
update booking.working_hours set end_time = '18:00'
where tenant_id = %(tenant)s and staff_id = %(staff_id)s
"""
HOURS_BACK = HOURS.replace("18:00", "17:00")
BUSY = """
insert into booking.busy_times (tenant_id, staff_id, start_time, end_time, source)
values (%(tenant)s, %(staff_id)s, %(start_time)s, %(end_time)s, 'bench')
"""
BUSY_GONE = """
delete from booking.busy_times
where tenant_id = %(tenant)s and staff_id = %(staff_id)s and source = 'bench'
"""
TIDY = "delete from booking.appointments where tenant_id = %(tenant)s and source = 'bench'"
WEEK = """
select id, start_time, end_time, duration_minutes, location_id from api.availability_slots
where tenant_id = %(tenant)s and staff_id = any (%(staff_ids)s) and duration_minutes = 60
  and start_time >= now() and start_time < now() + interval '7 days'
order by start_time
"""

# What anybody asks for, beside the view that PostgREST could read instead.
LISTING = """
select api.get_available_slots(%(tenant)s, current_date, current_date + %(days)s - 1,
  staff_id => %(staff_id)s, duration_minutes => %(minutes)s)
"""
NEXT = "select api.get_next_available(%(tenant)s)"
EXPLAIN = """
select api.explain_availability(%(tenant)s, %(staff_id)s, s.start_time)
from (
  select start_time from api.availability_slots
  where tenant_id = %(tenant)s and staff_id = %(staff_id)s
  order by start_time limit 1 offset 100
) as s
"""
VIEW = """
select id, staff_id, start_time, end_time, duration_minutes, location_id, seats_left
from api.availability_slots
where tenant_id = %(tenant)s and start_time >= current_date
  and start_time < current_date + %(days)s::integer
order by start_time, id limit %(limit)s
"""
VIEW_OF_ONE = VIEW.replace(
    "order by", "and staff_id = %(staff_id)s and duration_minutes = %(minutes)s order by"
)
RESERVE = "select api.reserve_slot(%s, %s) ->> 'success'"
UNLIMITED = """
update booking.settings set reads_per_minute = 1000000, reserves_per_minute = 1000000
"""

# What concerns more people than that is queued.
MOST_CALENDARS_AT_ONCE = 20
LONGER = "update booking.appointment_types set duration_minutes = 45 where code = 'M30'"
DRAIN = "call booking.drain_refresh_queue()"

CHANGES = [
    ("one appointment inserted", INSERT),
    ("that appointment cancelled", CANCEL),
    ("one person's hours changed", HOURS),
    ("… and changed back", HOURS_BACK),
    ("one busy time added", BUSY),
    ("… and removed", BUSY_GONE),
]


@dataclass(frozen=True)
class Written:
    """Rows of availability_slots, by pg_stat_user_tables."""

    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True)
class Figure:
    """Seconds (medians) of something and of what it is compared with."""

    name: str
    seconds: float
    written: Written | None = None
    beside: str | None = None
    beside_seconds: float | None = None

    @property
    def ratio(self) -> float | None:
        return None if self.beside_seconds is None else self.seconds / self.beside_seconds


@dataclass
class Results:
    """Everything that a run prints."""

    staff: int
    days: int
    shapes: int
    slots: int
    repeats: int
    settings: dict[str, str]
    differences_afterwards: int = -1
    figures: list[Figure] = field(default_factory=list)


class Benchmark:
    """One run, in a database of its own."""

    def __init__(self, connection: psycopg.Connection, staff: int, days: int, repeats: int) -> None:
        self.connection = connection
        self.staff = staff
        self.days = days
        self.repeats = repeats

    def run(self) -> Results:
        self._set_up()
        settings = {name: str(self._value(f"show {name}")) for name in SETTINGS}
        first, first_written = self._measured(self._publish)
        slots = int(self._value("select count(*) from booking.availability_slots"))
        results = Results(self.staff, self.days, len(DURATIONS), slots, self.repeats, settings)
        bare = statistics.median(self._timed(self._copy) for _ in range(3))
        results.figures.append(
            Figure("first publication", first, first_written, "insert of the same rows", bare)
        )
        self.connection.execute("vacuum analyze")
        again = [self._measured(self._publish) for _ in range(3)]
        results.figures.append(
            Figure(
                "refresh without a change",
                statistics.median(seconds for seconds, _ in again),
                again[0][1],
                "first publication",
                first,
            )
        )
        results.figures += self._changes()
        results.figures += self._reads()
        results.figures += self._calls()
        if self.staff > MOST_CALENDARS_AT_ONCE:
            results.figures.append(self._wide_change())
        results.differences_afterwards = int(
            self._value("select count(*) from booking.find_differences(%s)", TENANT)
        )
        return results

    def _set_up(self) -> None:
        parameters = {
            "$tenant": f"'{TENANT}'::uuid",
            "$days": str(self.days),
            "$staff": str(self.staff),
            "$durations": f"'{{{','.join(map(str, DURATIONS))}}}'",
        }
        script = SETUP
        for name, value in parameters.items():
            script = script.replace(name, value)
        self.connection.execute(script)
        self.connection.execute("vacuum analyze")
        self.connection.execute("checkpoint")

    def _publish(self) -> None:
        self.connection.execute("select * from booking.refresh_horizon(%s, null)", [TENANT])

    def _copy(self) -> None:
        self.connection.execute(
            f"insert into public.bare_slots ({COLUMNS}) "
            f"select {COLUMNS} from booking.availability_slots"
        )

    def _timed(self, step: Callable[[], None]) -> float:
        self.connection.execute("truncate public.bare_slots")
        self.connection.execute("checkpoint")
        return _seconds(step)

    def _changes(self) -> Iterator[Figure]:
        """Each change on different people, with our triggers and without; nothing is left of it."""
        with self.connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            places = [
                {"tenant": TENANT, **row} for row in cursor.execute(FREE, [self.repeats]).fetchall()
            ]
        bare = []
        with self._without_triggers():
            for _, statement in CHANGES:
                bare.append(statistics.median(self._each(statement, places)))
            self.connection.execute(TIDY, {"tenant": TENANT})
        for (name, statement), beside in zip(CHANGES, bare, strict=True):
            before = self._written()
            seconds = statistics.median(self._each(statement, places))
            after = self._written()
            written = Written(
                *(
                    round((new - old) / len(places))
                    for new, old in zip(vars(after).values(), vars(before).values(), strict=True)
                )
            )
            yield Figure(name, seconds, written, "without our triggers", beside)
        self.connection.execute(TIDY, {"tenant": TENANT})

    def _each(self, statement: str, places: list[dict[str, Any]]) -> list[float]:
        return [
            _seconds(lambda place=place: self.connection.execute(statement, place))  # type: ignore[misc]
            for place in places
        ]

    @contextlib.contextmanager
    def _without_triggers(self) -> Iterator[None]:
        """Constraints and foreign keys stay."""
        tables = ("appointments", "working_hours", "busy_times")
        for table in tables:
            self.connection.execute(f"alter table booking.{table} disable trigger user")
        try:
            yield
        finally:
            for table in tables:
                self.connection.execute(f"alter table booking.{table} enable trigger user")

    def _reads(self) -> Iterator[Figure]:
        """Through row-level security, as anonymous clients read."""
        staff = [row[0] for row in self.connection.execute("select id from booking.staff")]
        for name, staff_ids in (
            ("anon reads one person's week", staff[:1]),
            (f"anon reads {len(staff)} people's week", staff),
        ):
            with self.connection.transaction():
                self.connection.execute("set local role anon")
                parameters = {"tenant": TENANT, "staff_ids": staff_ids}
                times = [
                    _seconds(lambda: self.connection.execute(WEEK, parameters).fetchall())  # noqa: B023
                    for _ in range(self.repeats)
                ]
            yield Figure(name, statistics.median(times))

    def _calls(self) -> Iterator[Figure]:
        """Functions of the API as PostgREST calls them by GET, by anonymous callers."""
        people = [row[0] for row in self.connection.execute("select id from booking.staff")]
        one = {"tenant": TENANT, "staff_id": people[0], "minutes": None, "limit": 1001}
        everyone = one | {"staff_id": None}
        self.connection.execute(UNLIMITED)
        month = one | {"days": 31, "minutes": 60}
        for name, call, view, asked in (
            ("one person's month listed", LISTING, VIEW_OF_ONE, month),
            (f"{len(people)} people's 60 days, first page", LISTING, VIEW, everyone | {"days": 60}),
            ("the next five available", NEXT, VIEW, everyone | {"days": 60, "limit": 5}),
        ):
            yield Figure(
                name,
                self._read(call, asked, "anon"),
                beside="the view",
                beside_seconds=self._read(view, asked, "anon"),
            )
        yield Figure("one start explained", self._read(EXPLAIN, one, "service_role"))
        yield self._rate_limited()

    def _wide_change(self) -> Figure:
        """A service is given another length: what its owner waits for, and what the queue does."""
        before = self._written()
        waited = _seconds(lambda: self.connection.execute(LONGER))
        after = self._written()
        published = _seconds(lambda: self.connection.execute(DRAIN))
        written = Written(
            after.inserted - before.inserted,
            after.updated - before.updated,
            after.deleted - before.deleted,
        )
        return Figure(
            f"a service of {self.staff} people made longer",
            waited,
            written,
            "publishing their calendars",
            published,
        )

    def _read(self, statement: str, parameters: dict[str, Any], role: str) -> float:
        """The median of some read-only transactions, warm."""
        times = []
        for _ in range(self.repeats + 1):
            with self.connection.transaction():
                self.connection.execute("set transaction read only")
                self._call_as(role, "GET", "{}")
                times.append(
                    _seconds(lambda: self.connection.execute(statement, parameters).fetchall())
                )
        return statistics.median(times[1:])

    def _call_as(self, role: str, method: str, headers: str) -> None:
        self.connection.execute(
            "select set_config('request.jwt.claims', %s, true), set_config('role', %s, true),"
            " set_config('request.method', %s, true), set_config('request.headers', %s, true)",
            [f'{{"role": "{role}"}}', role, method, headers],
        )

    def _rate_limited(self) -> Figure:
        """Reserving by one client whose calls are counted, beside one who has no address."""
        with self.connection.cursor() as cursor:
            cursor.execute(
                "select distinct on (staff_id) id from api.availability_slots"
                " where is_available and start_time > now() + interval '1 day'"
                " order by staff_id, start_time"
            )
            slots = [row[0] for row in cursor.fetchall()]
        times: dict[str, list[float]] = {'{"x-forwarded-for": "192.0.2.1"}': [], "{}": []}
        self.connection.execute("update booking.settings set trusted_proxies = 1")
        for number in range(self.repeats * 5):
            for headers, taken in times.items():
                self.connection.execute("delete from booking.slot_reservations")
                self.connection.execute(
                    "update booking.settings set trusted_proxies = %s", [int(headers != "{}")]
                )
                taken.append(self._reserve(slots[number % len(slots)], headers))
        self.connection.execute("delete from booking.slot_reservations")
        counted, uncounted = (statistics.median(taken) for taken in times.values())
        return Figure(
            "reserve_slot, counted", counted, beside="not counted", beside_seconds=uncounted
        )

    def _reserve(self, slot: object, headers: str) -> float:
        """One call with its commit."""
        began = time.perf_counter()
        with self.connection.transaction():
            self._call_as("anon", "POST", headers)
            [(success,)] = self.connection.execute(
                RESERVE, [slot, "benchmark-session-0123456789"]
            ).fetchall()
        assert success == "true"
        return time.perf_counter() - began

    def _measured(self, step: Callable[[], None]) -> tuple[float, Written]:
        before = self._written()
        seconds = _seconds(step)
        after = self._written()
        return seconds, Written(
            after.inserted - before.inserted,
            after.updated - before.updated,
            after.deleted - before.deleted,
        )

    def _written(self) -> Written:
        self.connection.execute("select pg_stat_force_next_flush()")
        [row] = self.connection.execute(
            "select n_tup_ins, n_tup_upd, n_tup_del from pg_stat_user_tables "
            "where relid = 'booking.availability_slots'::regclass"
        ).fetchall()
        return Written(*row)

    def _value(self, statement: str, *parameters: object) -> Any:
        [(value,)] = self.connection.execute(statement, parameters).fetchall()
        return value


def print_results(results: Results) -> None:
    """The figures as a table."""
    console = Console(highlight=False, width=120)
    settings = ", ".join(f"{name} {value}" for name, value in results.settings.items())
    console.print(
        f"{results.staff} staff, {results.days} days, {results.shapes} shapes, a step of 15 "
        f"minutes: {results.slots:,} slots. Changes: medians of {results.repeats}.\n{settings}\n",
        soft_wrap=True,
    )
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name, justify in (
        ("", "left"),
        ("time", "right"),
        ("ratio", "right"),
        ("beside", "left"),
        ("time", "right"),
        ("slots +", "right"),
        ("~", "right"),
        ("-", "right"),
    ):
        table.add_column(name, justify="left" if justify == "left" else "right")
    for each in results.figures:
        table.add_row(
            each.name,
            _in_words(each.seconds),
            "" if each.ratio is None else f"{each.ratio:,.2f}",
            each.beside or "",
            "" if each.beside_seconds is None else _in_words(each.beside_seconds),
            *([f"{count:,}" for count in vars(each.written).values()] if each.written else []),
        )
    console.print(table)
    console.print(
        f"\nAfterwards published and calculated differ in {results.differences_afterwards}."
    )


def _in_words(seconds: float) -> str:
    return f"{seconds:,.2f} s" if seconds >= 1 else f"{seconds * 1000:,.1f} ms"


def _seconds(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


@contextlib.contextmanager
def scratch_database(server_url: str | None) -> Iterator[str]:
    """A database of this run's own, on that server or on an embedded one; dropped at the end."""
    with contextlib.ExitStack() as stack:
        url = server_url or stack.enter_context(embedded_server())
        name = f"pgbooking_bench_{os.getpid()}"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"create database {name}")
            try:
                yield make_conninfo(url, dbname=name)
            finally:
                connection.execute(f"drop database {name} with (force)")


def main() -> int:
    """Run and print. The exit code is 1 where slots were not exact afterwards."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--staff", type=int, default=100)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=20, help="of each change")
    parser.add_argument("--tiny", action="store_true", help="3 staff, 7 days: that it runs")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    staff, days, repeats = (
        (3, 7, 3) if options.tiny else (options.staff, options.days, options.repeats)
    )
    with scratch_database(os.environ.get("DATABASE_URL")) as url:
        for _ in migrate.apply(url):
            pass
        with psycopg.connect(url, autocommit=True) as connection:
            results = Benchmark(connection, staff, days, min(repeats, staff)).run()
    if options.json:
        ratios = [{**vars(each), "ratio": each.ratio} for each in results.figures]
        print_json({**vars(results), "figures": ratios})
    else:
        print_results(results)
    return 1 if results.differences_afterwards else 0


if __name__ == "__main__":
    raise SystemExit(main())
