"""Appointments, one and many, and a wide change: each beside the same without what is ours."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from tests.benchmarks.bench import TENANT, Bench
from tests.benchmarks.figures import Figure, seconds

# Free hours of different people, each some days from now.
FREE = """
select distinct on (s.staff_id) s.id as slot_id, s.staff_id, s.location_id,
  t.id as appointment_type_id, s.start_time, s.start_time + interval '45 minutes' as end_time
from booking.availability_slots s
join booking.appointment_types t on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id
where s.tenant_id = %s and s.is_available and s.reserved_until is null and s.duration_minutes = 60
  and s.start_time > now() + interval '3 days'
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
BARE_INSERT = INSERT.replace("booking.appointments", "bench.appointments")
TIDY = "delete from booking.appointments where tenant_id = %s and source = 'bench'"
HELD_BY = "benchmark-session-{}"
RESERVE = "select api.reserve_slot(%s, %s) ->> 'success'"
BOOK = "select api.create_appointment(%s, %s, 'M60', %s) ->> 'success'"
CUSTOMER = '{"name": "Ada Lovelace", "email": "ada@example.org"}'

# So many, spread over people and days, none of which overlap: every tenth quarter of an hour.
MANY = """
create table bench.many as
select s.tenant_id, s.staff_id, s.location_id, t.id as appointment_type_id, s.start_time,
  s.start_time + interval '30 minutes' as end_time, 'bench' as source
from booking.availability_slots s
join booking.appointment_types t on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id
where s.tenant_id = %s and s.duration_minutes = 30 and s.is_available
  and extract(minute from s.start_time) = 0
order by s.start_time, s.staff_id
limit %s
"""
LOAD = """
insert into booking.appointments (
  tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time, source
)
select tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time, source
from bench.many
order by staff_id, start_time
"""

# What concerns more people than that is queued.
MOST_CALENDARS_AT_ONCE = 20
CHANGE_LENGTH = """
update booking.appointment_types set duration_minutes = %s where tenant_id = %s and code = 'M30'
"""
DRAIN = "call booking.drain_refresh_queue()"


def figures(bench: Bench, many: int) -> Iterator[Figure]:
    places = [{"tenant": TENANT, **row} for row in bench.dicts(FREE, TENANT, bench.repeats)]
    yield _created(bench, places)
    yield _inserted(bench, places)
    yield _loaded(bench, many)
    if bench.staff > MOST_CALENDARS_AT_ONCE:
        yield _wide_change(bench)


def _created(bench: Bench, places: list[dict[str, Any]]) -> Figure:
    """Transactions of one call, commit included."""
    calls, bare = [], []
    for place in places:
        with bench.as_caller("anon", "POST"):
            session = HELD_BY.format(place["staff_id"])
            assert bench.value(RESERVE, place["slot_id"], session) == "true"
    for place in places:
        arguments = [place["slot_id"], CUSTOMER, HELD_BY.format(place["staff_id"])]

        def call(arguments: list[Any] = arguments) -> None:
            with bench.as_caller("authenticated", "POST", sub=str(uuid4())):
                assert bench.value(BOOK, *arguments) == "true"

        def insert(place: dict[str, Any] = place) -> None:
            bench.connection.execute(BARE_INSERT, place)

        calls.append(seconds(call))
        bare.append(seconds(insert))
    bench.connection.execute("delete from booking.appointments where source = 'api'")
    return Figure(
        "create_appointment, the whole call", statistics.median(calls),
        "INSERT into a like table without triggers", statistics.median(bare), 4,
    )  # fmt: skip


def _inserted(bench: Bench, places: list[dict[str, Any]]) -> Figure:
    """First with our triggers, then without them."""
    ours = [bench.timed(INSERT, place) for place in places]
    bench.connection.execute(TIDY, [TENANT])
    with bench.without_triggers("appointments"):
        bare = [bench.timed(INSERT, place) for place in places]
        bench.connection.execute(TIDY, [TENANT])
    return Figure(
        "45 minutes inserted by hand, three shapes", statistics.median(ours),
        "the same without our triggers", statistics.median(bare), 3,
    )  # fmt: skip


def _loaded(bench: Bench, many: int) -> Figure:
    bench.connection.execute(MANY, [TENANT, many])
    count = bench.value("select count(*) from bench.many")
    bench.settle()
    ours = bench.timed(LOAD)
    bench.connection.execute(TIDY, [TENANT])
    bench.settle()
    with bench.without_triggers("appointments"):
        bare = bench.timed(LOAD)
        bench.connection.execute(TIDY, [TENANT])
    bench.connection.execute("drop table bench.many")
    bench.settle()
    return Figure(
        "a bulk load of appointments", ours, "the same without our triggers", bare, 3, work=count,
        remark=f"{count:,} rows",
    )  # fmt: skip


def _wide_change(bench: Bench) -> Figure:
    """A service of everybody is given another length, and its old one back."""
    waited = bench.timed(CHANGE_LENGTH, [45, TENANT])
    published = bench.timed(DRAIN)
    bench.connection.execute(CHANGE_LENGTH, [30, TENANT])
    bench.connection.execute(DRAIN)
    bench.settle()
    return Figure(
        "a service of everybody made longer: its owner waits",
        waited, "publishing their calendars", published, 0.05,
    )  # fmt: skip
