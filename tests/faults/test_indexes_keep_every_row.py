"""A bug of PostgreSQL's cannot break promise P1: a scan of a GiST index that is begun again after a
page was split marks live entries dead, and an exclusion constraint then lets rows overlap.

Here that scan is made on purpose, in 15 as in 18. pgbooking has no GiST index that a query can
scan.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from tests.conftest import Connect
from tests.postgres import wait_until_blocked
from tests.salon import TEN, Salon

# In no order, so that after the split other entries have the places that dead ones had.
ADD_DAYS = """
  insert into booking.appointments
    (tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time)
  select %(tenant)s, %(person)s, %(location)s, %(cut)s, start_time, start_time + interval '1 hour'
  from (
    select n, %(start)s::timestamptz + n * interval '1 day' as start_time
    from generate_series({}, {}) as n
  ) as days
  order by md5(n::text)
"""

# Looked at three times; before the second look somebody else may do something.
LOOK_AGAIN = """
  select (
    select count(*)
    from booking.appointments a
    where a.tenant_id = %(tenant)s and a.staff_id = %(person)s and a.status <> 'cancelled'
      and a.claim && tstzrange(%(start)s::timestamptz, looks.until)
  )
  from (
    select %(start)s::timestamptz + n * interval '1000 days' as until,
      case n when 2 then pg_advisory_xact_lock(42) end
    from generate_series(1, 3) as n
    offset 0
  ) as looks
"""

# What a planner might choose for a large table.
ONLY_PLAIN_INDEX_SCANS = (
    "set enable_seqscan = off; set enable_bitmapscan = off; set enable_material = off;"
    " set enable_memoize = off"
)


def test_nobody_is_booked_over_however_the_appointments_are_read(
    salon: Salon, connect: Connect
) -> None:
    values = vars(salon) | {"start": TEN + timedelta(days=365)}
    # These fit on one page of the index, together with those that are no longer live.
    salon.db.execute(ADD_DAYS.format(1, 50).encode(), values)
    salon.db.execute(
        "update booking.appointments set status = 'cancelled'"
        " where extract(day from start_time)::integer % 2 = 0"
    )
    reader = connect()
    reader.execute(ONLY_PLAIN_INDEX_SCANS)
    with ThreadPoolExecutor() as threads:
        salon.db.execute("select pg_advisory_lock(42)")
        looking = threads.submit(lambda: reader.execute(LOOK_AGAIN.encode(), values).fetchall())
        try:
            wait_until_blocked(salon.db, reader.info.backend_pid)
            salon.db.execute(ADD_DAYS.format(51, 200).encode(), values)
        finally:
            salon.db.execute("select pg_advisory_unlock(42)")
        assert len(looking.result()) == 3

    booked_over = []
    for (start,) in salon.db.execute(
        "select start_time from booking.appointments where status <> 'cancelled'"
    ).fetchall():
        try:
            salon.appointment(start + timedelta(minutes=10))
        except psycopg.errors.ExclusionViolation:
            continue
        booked_over.append(start)
    assert booked_over == []


def test_no_gist_index_has_a_column_that_a_query_could_name(db: psycopg.Connection) -> None:
    found = db.execute(
        "select c.relname, i.indkey::text from pg_index i"
        " join pg_class c on c.oid = i.indexrelid"
        " join pg_am m on m.oid = c.relam and m.amname = 'gist'"
        " join pg_namespace n on n.oid = c.relnamespace and n.nspname = 'booking'"
        " order by 1"
    ).fetchall()
    # Expressions have no column number.
    assert found == [
        ("one_person_is_held_once_at_a_time", "0 0 0 0"),
        ("one_person_is_in_one_place_at_a_time", "0 0 0 0"),
    ]


@pytest.mark.parametrize(
    "query",
    [
        "appointments x where x.tenant_id = %(tenant)s and x.staff_id = %(person)s"
        " and x.status <> 'cancelled' and x.claim && tstzrange(%(ten)s, null)",
        "appointments x where x.staff_id = %(person)s and x.status <> 'cancelled'",
        "appointments x where x.status <> 'cancelled' and x.claim @> %(ten)s::timestamptz",
        "slot_reservations x where x.tenant_id = %(tenant)s and x.staff_id = %(person)s"
        " and x.claim && tstzrange(%(ten)s, null)",
        "slot_reservations x where x.slot_id = %(person)s",
    ],
)
def test_the_planner_does_not_see_the_exclusion_indexes(
    db: psycopg.Connection, salon: Salon, query: str
) -> None:
    db.execute(ONLY_PLAIN_INDEX_SCANS)
    values = {"tenant": salon.tenant, "person": salon.person, "ten": TEN}
    plan = db.execute(f"explain select from booking.{query}".encode(), values).fetchall()
    assert "one_person_is" not in str(plan)
