"""Breaks the product on purpose, one thing at a time, and asks whether a test notices.

    make mutate                       every mutation
    make mutate ARGS="buffer seat"    those whose name contains one of the words

Each mutation is a copy of the project with a few texts replaced; the tests named with it must fail.
A text that is no longer there is an error: the list has to follow the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent
COPIED = ("cli", "migrations", "sql", "tests", "pyproject.toml", "README.md")

P1 = "tests/booking/test_live_appointments_never_overlap.py"
RAW = "tests/booking/test_slots_follow_raw_writes.py"
RACES = "tests/concurrency/test_two_sessions.py"
ANON = "tests/rls/test_anonymous_reads.py"
EXAMPLES = "tests/calculator/test_examples.py"


@dataclass(frozen=True)
class Mutation:
    """What is broken, by which replacements (file, old text, new text), and who must notice."""

    name: str
    replacements: tuple[tuple[str, str, str], ...]
    tests: str


MUTATIONS = [
    Mutation(
        "a trigger is dropped: busy times are not followed",
        (
            (
                "sql/50_triggers/busy_times.sql",
                "after insert on booking.busy_times\nreferencing new table as changed_rows\n"
                "for each statement execute function booking.busy_times_changed();",
                "after insert on booking.busy_times\nreferencing new table as changed_rows\n"
                "for each statement when (false) execute function booking.busy_times_changed();",
            ),
        ),
        RAW,
    ),
    Mutation(
        "one day less is recalculated",
        (
            (
                "sql/30_slots/refresh_around.sql",
                "at time zone z.zone)::date) + 1,",
                "at time zone z.zone)::date),",
            ),
        ),
        RAW,
    ),
    Mutation(
        "the longest claim is forgotten when recalculating",
        (
            ("sql/30_slots/refresh_around.sql", "(lower(p.period) - v_reach)", "lower(p.period)"),
            ("sql/30_slots/refresh_around.sql", "(upper(p.period) + v_reach)", "upper(p.period)"),
        ),
        RAW,
    ),
    Mutation(
        "the calendar is locked in the statement that looks",
        (
            (
                "sql/30_slots/refresh_slots.sql",
                "  perform booking.lock_calendars(p_tenant_id, v_staff_ids);\n",
                "",
            ),
            (
                "sql/30_slots/refresh_slots.sql",
                "  with bounds as materialized (\n    select * from",
                "  with locked as materialized (\n"
                "    select booking.lock_calendars(p_tenant_id, v_staff_ids)\n  ),\n"
                "  bounds as materialized (\n    select bound.* from locked,",
            ),
            (
                "sql/30_slots/refresh_slots.sql",
                "published_bounds(p_tenant_id, v_staff_ids, p_from, p_to)\n  ),\n  expected",
                "published_bounds(p_tenant_id, v_staff_ids, p_from, p_to) bound\n  ),\n  expected",
            ),
            (
                "sql/30_slots/refresh_dates.sql",
                "  perform booking.lock_calendars(p_tenant_id, p_staff_ids);\n",
                "",
            ),
            (
                "sql/30_slots/row_locks.sql",
                "  perform booking.lock_calendars(\n"
                "    new.tenant_id, case when tg_op = 'UPDATE' then array[old.staff_id] end || new.staff_id\n"
                "  );\n",
                "",
            ),
        ),
        RACES,
    ),
    Mutation(
        "the calendar is not locked at all",
        (
            (
                "sql/30_slots/lock_calendars.sql",
                "set revision = c.revision + 1\n    where",
                "set revision = c.revision + 1\n    where false and",
            ),
        ),
        RACES,
    ),
    Mutation(
        "the calendar's lock is a bare lock",
        (
            (
                "sql/30_slots/lock_calendars.sql",
                "    update booking.calendars c\n    set revision = c.revision + 1\n"
                "    where c.tenant_id = p_tenant_id and c.staff_id = v_staff_id\n"
                "      and not booking.is_own_version(c.xmin);\n",
                "    perform from booking.calendars c\n"
                "    where c.tenant_id = p_tenant_id and c.staff_id = v_staff_id for no key update;\n",
            ),
        ),
        RACES,
    ),
    Mutation(
        "a buffer is forgotten",
        (
            (
                "sql/20_calculator/calculate_slots.sql",
                "tstzrange(s.start - s.buffer_before, ",
                "tstzrange(s.start, ",
            ),
        ),
        EXAMPLES,
    ),
    Mutation(
        "pieces are not joined where they touch",
        (
            (
                "sql/20_calculator/calculate_slots.sql",
                "c.run_ends_at - o.duration",
                "c.ends_at - o.duration",
            ),
        ),
        EXAMPLES,
    ),
    Mutation(
        "a repeated midnight begins the date late",
        (
            (
                "sql/10_foundation/first_instant.sql",
                "then least(earlier.instant, later.instant)",
                "then later.instant",
            ),
        ),
        EXAMPLES,
    ),
    Mutation(
        "cancelled appointments still take time",
        (("sql/20_calculator/busy_time.sql", "where a.status <> 'cancelled'\n", ""),),
        RAW,
    ),
    Mutation(
        "the exclusion constraint is gone",
        (
            (
                "migrations/0005.appointments_and_slots.sql",
                ",\n  constraint one_person_is_in_one_place_at_a_time exclude using gist (\n"
                "    tenant_id with =,\n    staff_id with =,\n    claim with &&,\n"
                "    coalesce(slot_id, id) with <>\n  ) where (status <> 'cancelled')",
                "",
            ),
        ),
        P1,
    ),
    Mutation(
        "an appointment may call itself a slot",
        (
            (
                "migrations/0005.appointments_and_slots.sql",
                "  constraint appointment_id_is_not_a_slot_id check (not booking.is_slot_id(id)),\n",
                "",
            ),
        ),
        P1,
    ),
    Mutation(
        "a slot id need not name its slot",
        (
            (
                "migrations/0005.appointments_and_slots.sql",
                "  constraint slot_id_names_this_slot\n"
                "    check (slot_id = booking.slot_id(tenant_id, staff_id, location_id, start_time, shape_id)),\n"
                "  constraint appointment_id",
                "  constraint appointment_id",
            ),
        ),
        P1,
    ),
    Mutation(
        "one seat has two guests",
        (
            (
                "migrations/0005.appointments_and_slots.sql",
                "create unique index appointments_tenant_id_slot_id_seat_idx",
                "create index appointments_tenant_id_slot_id_seat_idx",
            ),
        ),
        P1,
    ),
    Mutation(
        "a class is filled past its seats",
        (("sql/50_triggers/appointments.sql", "cardinality(v_taken) >= new.capacity", "false"),),
        P1,
    ),
    Mutation(
        "holds survive the appointment that beats them",
        (("sql/30_slots/drop_beaten_holds.sql", "and h.claim && c.claim\n", "and false\n"),),
        RAW,
    ),
    Mutation(
        "a queued change that meets a drain is dropped",
        (
            (
                "sql/30_slots/refresh_or_queue.sql",
                "do update set reason = excluded.reason, queued_at = excluded.queued_at, attempts = 0;",
                "do nothing;",
            ),
        ),
        RACES,
    ),
    Mutation(
        "whoever is newly concerned does not share the tenant's lock",
        (
            (
                "sql/30_slots/row_locks.sql",
                "    perform from booking.tenants t where t.id = v_tenant_id for share;\n  end if;\n\n"
                "  perform booking.lock_calendars(v_tenant_id, array_remove",
                "    null;\n  end if;\n\n"
                "  perform booking.lock_calendars(v_tenant_id, array_remove",
            ),
        ),
        RACES,
    ),
    Mutation(
        "the tenant's lock leaves no trace for old snapshots",
        (
            (
                "sql/30_slots/refresh_or_queue.sql",
                "  update booking.tenants t set updated_at = booking.now() where t.id = p_tenant_id;\n",
                "  perform from booking.tenants t where t.id = p_tenant_id for no key update;\n",
            ),
        ),
        RACES,
    ),
    Mutation(
        "a gapless grid runs on past its piece",
        (
            (
                "sql/20_calculator/calculate_slots.sql",
                "        and upper(b.period) + o.buffer_before < c.ends_at\n",
                "",
            ),
        ),
        RAW,
    ),
    Mutation(
        "the policy shows what is taken",
        (
            (
                "sql/60_policies/availability_slots.sql",
                "  is_available\n  and bookable_until",
                "  bookable_until",
            ),
        ),
        ANON,
    ),
    Mutation(
        "the policy forgets holds",
        (
            (
                "sql/60_policies/availability_slots.sql",
                "  and (reserved_until is null or reserved_until <= (select booking.now()))\n",
                "",
            ),
        ),
        ANON,
    ),
    Mutation(
        "a private column is granted",
        (
            (
                "sql/90_grants.sql",
                "  seats_left, is_available\n) on",
                "  seats_left, is_available, appointment_id\n) on",
            ),
        ),
        ANON,
    ),
]


def is_caught(mutation: Mutation) -> bool:
    """Whether the mutation's tests fail in a copy of the project that has it."""
    with tempfile.TemporaryDirectory(prefix="pgbooking-mutation-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, copy / name)
        for file, old, new in mutation.replacements:
            text = (copy / file).read_text()
            if text.count(old) != 1:
                sys.exit(
                    f"{mutation.name}: {file} holds this {text.count(old)} times, not once:\n{old}"
                )
            (copy / file).write_text(text.replace(old, new))
        environment = os.environ | {"PYTHONPATH": str(copy / "cli")}
        subprocess.run(
            [sys.executable, "-m", "pgbooking.engine"], cwd=copy, env=environment, check=True
        )
        tests = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", mutation.tests],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        if tests.returncode not in (0, 1):
            sys.exit(f"{mutation.name}: the tests did not run:\n{tests.stdout}{tests.stderr}")
        return tests.returncode == 1


def main(words: list[str]) -> int:
    """Try the mutations whose name contains one of the words (or all); 1 if any survives."""
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    caught = 0
    for mutation in chosen:
        noticed = is_caught(mutation)
        caught += noticed
        print(f"{'caught  ' if noticed else 'SURVIVES'}  {mutation.name}", flush=True)
    print(f"{caught} of {len(chosen)} caught")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
