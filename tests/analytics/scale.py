"""What analytics cost after years of bookings: each view beside itself with a thousandth of the
audit trail.

    python -m tests.analytics.scale                       ten million rows
    python -m tests.analytics.scale --rows 100000         fewer; --server 15, embedded

One tenant of ten people, three years of roll-ups (written directly), and the rows on the audit
trail that they might have been made from. For each view: time, pages and rows of the trail that a
look at the last 90 days takes, and one at all of them. Exits with 1 where a view reads a row more
of the longer trail.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from pgbooking import migrate
from tests.analytics.weeks import MONDAY, VIEWS
from tests.booking.booked import admin_of
from tests.postgres import Server, running_server
from tests.rls.acting import acting_as
from tests.salon import Salon, make_salon

DAYS = 3 * 365
PEOPLE = 10
SETTINGS = {"shared_buffers": "1GB", "max_wal_size": "8GB", "timezone": "UTC"}
REPEATS = 5
LAST_DAYS = 90

ROLL_UPS = """
create temporary table past_days as
select d.date::date, date_trunc('week', d.date)::date as week
from generate_series(
  (booking.now() at time zone 'Europe/Berlin')::date - {days},
  (booking.now() at time zone 'Europe/Berlin')::date - 1, interval '1 day'
) as d(date);

insert into booking.daily_attempts
  (tenant_id, date, hour, staff_id, appointment_type_id, action, code, attempts, timed, seconds)
select {tenant}, d.date, hour, s.id, {cut}, what.action, what.code, 5, what.timed, what.timed * 90
from past_days d
cross join generate_series(9, 16) as hour
cross join booking.staff s
cross join (
  values ('search', null, 0), ('search', 'without_result', 0), ('hold', null, 0),
    ('hold', 'slot_taken', 0), ('book', null, 1)
) as what(action, code, timed)
order by d.date;

insert into booking.daily_supply
  (tenant_id, date, week, hour, staff_id, location_id, offered, working_minutes)
select {tenant}, d.date, d.week, hour, s.id, {location}, 4, 60
from past_days d cross join generate_series(9, 16) as hour cross join booking.staff s
order by d.date;

insert into booking.daily_holds (tenant_id, held_on, date, hour, staff_id, location_id, held)
select {tenant}, d.date, d.date, hour, s.id, {location}, 2
from past_days d cross join generate_series(9, 16) as hour cross join booking.staff s
order by d.date;

insert into booking.daily_bookings (tenant_id, date, staff_id, appointment_type_id, bookings, kept)
select {tenant}, d.date, s.id, {cut}, 9, 8
from past_days d cross join booking.staff s
order by d.date;

insert into booking.daily_appointments
select {tenant}, gen_random_uuid(), d.date, d.week, hour, s.id, {location}, {cut},
  2, 1, 1, 0, 300, 1, 30, 0, 0, 600, 1, 1, 0, 0
from past_days d cross join generate_series(9, 16) as hour cross join booking.staff s
order by d.date;

insert into booking.rollups (tenant_id, rolled_until)
select {tenant}, (booking.now() at time zone 'Europe/Berlin')::date - 1;

-- What makes today's figures, the same on either trail.
insert into booking.audit_log
  (tenant_id, occurred_at, action, outcome, session_hash, slot_id, staff_id)
select {tenant}, booking.now() - n * interval '1 second', 'reserve_slot', 'success',
  sha256(n::text::bytea), gen_random_uuid(), {person}
from generate_series(1, 300) as n;
"""

PAST_ATTEMPTS = """
insert into booking.audit_log
  (tenant_id, occurred_at, action, outcome, session_hash, slot_id, staff_id)
select {tenant},
  booking.now() - interval '2 days' - interval '1 day' * ({days}::float8 * n / {rows}),
  'reserve_slot', 'success', sha256(n::text::bytea), gen_random_uuid(), {person}
from generate_series(1, {rows}) as n
"""


@dataclass(frozen=True)
class Cost:
    """Of one look: milliseconds (median), pages, and rows of the audit trail that were read."""

    milliseconds: float
    pages: int
    trail: int


@dataclass(frozen=True)
class Line:
    """A view and its range, on the short trail and the long one."""

    view: str
    range: str
    few: Cost
    many: Cost


def fill(salon: Salon, days: int) -> None:
    """Roll-ups of so many days; today has its own."""
    for number in range(1, PEOPLE):
        salon.add_person(f"Person {number}")
    run(salon, ROLL_UPS, days)


def add_attempts(salon: Salon, rows: int, days: int) -> None:
    """So many more rows on the audit trail, on days that are rolled up."""
    run(salon, PAST_ATTEMPTS, days, rows)
    salon.db.execute("vacuum analyze")


def run(salon: Salon, statements: str, days: int, rows: int = 0) -> None:
    names = {
        "tenant": f"'{salon.tenant}'::uuid",
        "cut": f"'{salon.cut}'::uuid",
        "location": f"'{salon.location}'::uuid",
        "person": f"'{salon.person}'::uuid",
        "days": days,
        "rows": rows,
    }
    salon.db.execute(statements.format(**names).encode())


def look(salon: Salon, view: str, condition: str) -> Cost:
    """What an admin's look at a view costs, once it is warm."""
    column = "week" if view == "staff_utilisation" else "date"
    query = f"select * from api.{view} where tenant_id = '{salon.tenant}'" + (
        f" and {column} {condition}" if condition else ""
    )
    times, pages, trail = [], 0, 0
    for _ in range(REPEATS + 1):
        with acting_as(salon.db, admin_of(salon), method="GET") as db:
            before = trail_rows(db)
            row = db.execute(
                f"explain (analyze, buffers, timing off, format json) {query}".encode()
            ).fetchone()
            assert row is not None
            plan: dict[str, Any] = row[0][0]
            times.append(plan["Execution Time"])
            pages = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
            trail = trail_rows(db) - before
    return Cost(statistics.median(times[1:]), pages, trail)


def trail_rows(db: psycopg.Connection[Any]) -> int:
    """Rows of the audit trail that this session has read lately, by scan or by index."""
    row = db.execute(
        "select seq_tup_read + coalesce(idx_tup_fetch, 0) from pg_stat_xact_user_tables"
        " where relid = 'booking.audit_log'::regclass"
    ).fetchone()
    assert row is not None
    return int(row[0])


def compare(server: Server, rows: int, days: int = DAYS) -> list[Line]:
    """Each view on a thousandth of the rows and on all of them."""
    ranges = {f"{LAST_DAYS} days": f">= '{MONDAY - timedelta(LAST_DAYS)}'", "all": ""}
    with server.database() as url:
        list(migrate.apply(url))
        with psycopg.connect(url, autocommit=True) as db:
            salon = make_salon(db)
            fill(salon, days)
            costs: list[dict[tuple[str, str], Cost]] = []
            for more in (rows // 1000, rows - rows // 1000):
                add_attempts(salon, more, days)
                costs.append(
                    {
                        (view, name): look(salon, view, condition)
                        for view in VIEWS
                        for name, condition in ranges.items()
                    }
                )
    few, many = costs
    return [Line(view, name, few[view, name], many[view, name]) for view, name in few]


def table(lines: list[Line], rows: int) -> Table:
    shown = Table(title=f"{rows // 1000:,} rows on the audit trail, and {rows:,}")
    for column in ("view", "range", "ms", "ms", "ratio", "pages", "pages", "trail", "trail"):
        shown.add_column(column, justify="left" if column in ("view", "range") else "right")
    for each in lines:
        shown.add_row(
            each.view,
            each.range,
            f"{each.few.milliseconds:.1f}",
            f"{each.many.milliseconds:.1f}",
            f"{each.many.milliseconds / each.few.milliseconds:.2f}",
            f"{each.few.pages:,}",
            f"{each.many.pages:,}",
            f"{each.few.trail:,}",
            f"{each.many.trail:,}",
        )
    return shown


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--server", help="15 to 18, embedded, or a URL")
    chosen = parser.parse_args()
    with running_server(chosen.server, SETTINGS) as server:
        lines = compare(server, chosen.rows)
    Console().print(table(lines, chosen.rows))
    return int(any(each.many.trail > each.few.trail for each in lines))


if __name__ == "__main__":
    sys.exit(main())
