"""The calculator alone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pgbooking import reference
from pgbooking.reference_calendar import load_calendar
from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Figure, median_seconds

ALONE = UUID("00000000-0000-4000-8000-000000000002")
FIRST = datetime.now(UTC).date() + timedelta(days=1)
LAST = FIRST + timedelta(days=29)

# One person, one type, thirty days with two appointments each.
SETUP = """
insert into booking.tenants (id, name, timezone, precompute_days, booking_horizon_days)
values ($tenant, 'Alone', 'Europe/Berlin', 0, 60);
insert into booking.locations (tenant_id, name) values ($tenant, 'Here');
insert into booking.appointment_types (tenant_id, code, name, duration_minutes)
values ($tenant, 'H', 'An hour', 60);
insert into booking.staff (tenant_id, display_name) values ($tenant, 'Somebody');
insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)
select $tenant, s.id, t.id
from booking.staff s
join booking.appointment_types t on t.tenant_id = s.tenant_id
where s.tenant_id = $tenant;
insert into booking.working_hours (tenant_id, staff_id, location_id, weekday, start_time, end_time)
select $tenant, s.id, l.id, weekday, '09:00', '17:00'
from booking.staff s
join booking.locations l on l.tenant_id = s.tenant_id
cross join generate_series(1, 7) as weekday
where s.tenant_id = $tenant;
insert into booking.appointments (
  tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time
)
select $tenant, s.id, l.id, t.id, start, start + interval '1 hour'
from booking.staff s
join booking.locations l on l.tenant_id = s.tenant_id
join booking.appointment_types t on t.tenant_id = s.tenant_id
cross join generate_series(0, 29) as n
cross join unnest(array['10:00', '14:00']::time[]) as local_time
cross join lateral (
  select (($first::date + n) + local_time) at time zone 'Europe/Berlin' as start
) as at
where s.tenant_id = $tenant;
"""
CALCULATE = "select count(*) from booking.calculate_slots(%s, null, %s, %s)"
# As many candidates, each with its claim and one question whether it is free, and nothing else.
BARE = """
with busy as materialized (
  select range_agg(a.claim) as periods from booking.appointments a where a.tenant_id = %s
)
select count(*)
from (
  select start, start + interval '60 minutes' as ends,
    tstzrange(start, start + interval '60 minutes') as claim,
    not b.periods && tstzrange(start, start + interval '60 minutes') as is_free,
    start - interval '0 minutes' as bookable_until
  from busy b
  cross join generate_series(
    %s::timestamptz, %s::timestamptz + (%s::integer - 1) * interval '15 minutes',
    interval '15 minutes'
  ) as start
  offset 0
) as slots
where is_free is not null and claim is not null and bookable_until is not null
"""


def figures(bench: Bench) -> Iterator[Figure]:
    script = SETUP.replace("$tenant", f"'{ALONE}'::uuid").replace("$first", f"'{FIRST}'")
    bench.connection.execute(script.encode())
    bench.settle()
    calculate = [ALONE, FIRST, LAST]
    candidates = bench.value(CALCULATE, *calculate)
    took = median_seconds(lambda: bench.value(CALCULATE, *calculate), bench.repeats)

    calendar = load_calendar(bench.connection, ALONE, FIRST, LAST)
    [person] = [row.id for row in calendar.staff]
    grid = reference.calculate_slots(calendar, person, FIRST, LAST)
    assert len(grid) == candidates
    independent = median_seconds(
        lambda: reference.calculate_slots(calendar, person, FIRST, LAST), min(3, bench.repeats)
    )
    yield Figure(
        "calculation alone: one person, one type, 30 days with 60 appointments",
        took, "the independent calculator", independent, 100, "times faster", work=candidates,
    )  # fmt: skip

    bare = [ALONE, FIRST, FIRST, candidates]
    yield Figure(
        "… and per candidate",
        took / candidates,
        "`generate_series` with range arithmetic",
        median_seconds(lambda: bench.value(BARE, *bare), bench.repeats) / candidates,
        1.5,
    )
