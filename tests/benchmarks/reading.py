"""Reading, as anonymous clients do, warm: the view, the functions, and the path of before."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.pq import ExecStatus

from tests.benchmarks import direct_path
from tests.benchmarks.bench import TENANT, Bench
from tests.benchmarks.figures import Figure, median_seconds

FIRST = datetime.now(UTC).date() + timedelta(days=1)
LAST = FIRST + timedelta(days=6)
ZONE = "Europe/Berlin"

# One person's week: all lengths.
WEEK = """
select id, staff_id, start_time, end_time, duration_minutes, location_id, seats_left
from api.availability_slots
where tenant_id = %(tenant)s and staff_id = %(person)s
  and start_time >= %(first)s::date::timestamp at time zone 'Europe/Berlin'
  and start_time < (%(last)s::date + 1)::timestamp at time zone 'Europe/Berlin'
order by start_time, id
"""
# The same rows by the owner, who asks for them and meets no policy.
OWNERS_WEEK = """
select id, staff_id, start_time, end_time, duration_minutes, location_id, seats_left
from booking.availability_slots
where tenant_id = %(tenant)s and staff_id = %(person)s
  and start_time >= %(first)s::date::timestamp at time zone 'Europe/Berlin'
  and start_time < (%(last)s::date + 1)::timestamp at time zone 'Europe/Berlin'
  and is_available and bookable_until > %(now)s
  and (bookable_from is null or bookable_from <= %(now)s)
  and (reserved_until is null or reserved_until <= %(now)s)
order by start_time, id
"""
EVERYONES_WEEK = WEEK.replace("and staff_id = %(person)s", "and duration_minutes = 60")
TYPES = {
    "tenant": "uuid",
    "person": "uuid",
    "first": "date",
    "last": "date",
    "now": "timestamptz",
}
LISTING = "select api.get_available_slots(%(tenant)s, %(first)s, %(last)s, staff_id => %(person)s)"
NEXT = "select api.get_next_available(%(tenant)s)"


def figures(bench: Bench) -> Iterator[Figure]:
    [person, *_] = bench.people()
    now = bench.value("select booking.now()")
    asked = {"tenant": TENANT, "person": person, "first": FIRST, "last": LAST, "now": now}
    prepared: list[bytes] = []

    def read(statement: str, role: str | None = "anon") -> float:
        """As PostgREST does: a prepared statement, binary results, until the rows are there."""
        query, values = as_prepared(statement, asked)
        name = f"read_{len(prepared)}".encode()
        prepared.append(name)
        done = bench.connection.pgconn.prepare(name, query.encode())
        assert done.status == ExecStatus.COMMAND_OK, done.error_message

        def run() -> None:
            result = bench.connection.pgconn.exec_prepared(name, values, result_format=1)
            assert result.ntuples > 0, result.error_message

        with contextlib.nullcontext() if role is None else bench.as_caller(role):
            # The server plans anew five times and then keeps a plan.
            for _ in range(6):
                run()
            return median_seconds(run, bench.repeats)

    week = read(WEEK)
    yield Figure(
        "one person's week, as anon through the view", week,
        "the same rows by the owner", read(OWNERS_WEEK, None), 1.1,
    )  # fmt: skip
    yield Figure(
        "one person's week by get_available_slots, as JSON", read(LISTING), "the view", week, 3
    )
    yield Figure("next available over everybody", read(NEXT), "one person's week", week, 1)
    yield _everyones_week(bench, asked, read(EVERYONES_WEEK))


def as_prepared(statement: str, asked: dict[str, Any]) -> tuple[str, list[bytes]]:
    """The statement with $1, $2 … for its parameters, each of the type it has, and their values."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", statement)))
    for number, name in enumerate(names, 1):
        statement = statement.replace(f"%({name})s", f"${number}::{TYPES[name]}")
    return statement, [str(asked[name]).encode() for name in names]


def _everyones_week(bench: Bench, asked: dict[str, Any], through_the_view: float) -> Figure:
    found = direct_path.everyones_week(bench.connection, TENANT, FIRST, 60)
    with bench.as_caller("anon"):
        published = bench.connection.execute(EVERYONES_WEEK, asked).fetchall()
    assert sorted(found) == sorted((row[1], row[2], row[3]) for row in published)
    before = median_seconds(
        lambda: direct_path.everyones_week(bench.connection, TENANT, FIRST, 60),
        min(5, bench.repeats),
    )
    return Figure(
        "everyone's week, as anon through the view", through_the_view,
        "22 queries and calculation in the client", before, 40, "times faster", work=len(published),
        remark=f"{len(published):,} slots",
    )  # fmt: skip
