"""Publishing: the first time, again, one person's, and how much room it takes."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from tests.benchmarks.bench import TENANT, Bench
from tests.benchmarks.figures import Figure

# In the table's own order.
COLUMNS = """
  tenant_id, staff_id, location_id, shape_id, start_time, end_time, bookable_from, bookable_until,
  reserved_until, calculated_at, appointment_id, duration_minutes, capacity, seats_left,
  is_available, claim, reserved_by_session
"""
COPY = f"insert into bench.slots ({COLUMNS}) select {COLUMNS} from booking.availability_slots"
HOURS = "update booking.working_hours set end_time = %s where tenant_id = %s and staff_id = %s"
TIMES = 3


def figures(bench: Bench) -> Iterator[Figure]:
    """Measured in this order, because the first publication needs an empty table."""
    first = publish(bench)
    slots = bench.value("select count(*) from booking.availability_slots")
    bench.settle()
    bare = statistics.median(_copied(bench) for _ in range(TIMES))
    yield Figure(
        "first publication", first, "`insert … select` of the same rows", bare, 1.3, work=slots,
        remark=f"{slots:,} slots",
    )  # fmt: skip
    bench.connection.execute("truncate bench.slots")
    yield Figure(
        "bytes per slot, indexes included",
        bench.value("select pg_total_relation_size('booking.availability_slots')") / slots,
        "",
        0,
        260,
        "bytes",
    )

    bench.settle()
    written = bench.slots_written()
    again = statistics.median(publish(bench) for _ in range(TIMES))
    rows = bench.slots_written() - written
    yield Figure(
        "no-change refresh", again, "first publication", first, 0.3, work=slots,
        remark=f"{rows} rows written",
    )  # fmt: skip

    yield _hours_changed(bench)


def publish(bench: Bench) -> float:
    return bench.timed("select * from booking.refresh_horizon(%s, null)", [TENANT])


def _copied(bench: Bench) -> float:
    bench.connection.execute("truncate bench.slots")
    bench.connection.execute("checkpoint")
    return bench.timed(COPY)


def _hours_changed(bench: Bench) -> Figure:
    """An hour more on every day, and back; beside it everything of one person from nothing."""
    people = bench.people()[: bench.repeats]
    changed, published = [], []
    for person in people:
        with bench.connection.transaction(force_rollback=True):
            bench.connection.execute(
                "delete from booking.availability_slots where tenant_id = %s and staff_id = %s",
                [TENANT, person],
            )
            publish_one = "select * from booking.refresh_horizon(%s, array[%s::uuid])"
            published.append(bench.timed(publish_one, [TENANT, person]))
    for person in people:
        for end_time in ("18:00", "17:00"):
            changed.append(bench.timed(HOURS, [end_time, TENANT, person]))
    return Figure(
        "hours of one person changed",
        statistics.median(changed),
        "first publication of that person",
        statistics.median(published),
        1.2,
    )
