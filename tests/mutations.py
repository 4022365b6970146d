"""Breaks the product on purpose, one thing at a time, and asks whether a test notices.

    make mutate                       every mutation
    make mutate ARGS="buffer seat"    those whose name contains one of the words

Each mutation is a copy of the project with a few texts replaced; the tests named with it must fail.
A text that is no longer there is an error: the list has to follow the code.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parent.parent
COPIED = ("cli", "deploy", "migrations", "sql", "tests", "pyproject.toml", "README.md")

P1 = "tests/booking/test_live_appointments_never_overlap.py"
RAW = "tests/booking/test_slots_follow_raw_writes.py"
RACES = "tests/concurrency/test_two_sessions.py"
ANON = "tests/rls/test_anonymous_reads.py"
EXAMPLES = "tests/calculator/test_examples.py"
RESERVING = "tests/booking/test_reserving_a_slot.py"
RESERVING_TIMES = "tests/booking/test_reserving_a_time.py"
RELEASING = "tests/booking/test_releasing_a_slot.py"
CREATING = "tests/booking/test_creating_an_appointment.py"
IDEMPOTENCY = "tests/booking/test_idempotency.py"
MOVING = "tests/booking/test_rescheduling.py"
CANCELLING = "tests/booking/test_cancelling.py"
STRANGERS = "tests/booking/test_strangers_change_nothing.py"
GROUPS = "tests/booking/test_group_slots.py"
AUDIT = "tests/booking/test_audit_log.py"
EVENTS = "tests/booking/test_events.py"
CLEANING = "tests/booking/test_cleaning_up_holds.py"
PRICES = "tests/booking/test_prices.py"
CUSTOMER_LIMIT = "tests/booking/test_customer_limit.py"
TRAVEL = "tests/booking/test_travel_times.py"
DAY_LIMITS = "tests/booking/test_day_limits.py"
COMPACT = "tests/booking/test_compact_schedules.py"
HYBRID = "tests/concurrency/test_hybrid.py"
INDEXES = "tests/faults/test_indexes_keep_every_row.py"
BOOKING_RACES = "tests/concurrency/test_booking_races.py"
TAIL = "tests/cli/test_events.py"
VERIFYING = "tests/cli/test_verifying.py"
COMPARING = "tests/cli/test_comparing.py"
ANSWERS = "tests/cli/test_comparing_answers.py"
LISTING = "tests/api/test_get_available_slots.py"
CACHING = "tests/api/test_caching.py"
HOURS = "tests/api/test_set_working_hours.py"
LIMITS = "tests/api/test_rate_limits.py"
JOBS = "tests/operations/test_run_job.py"
UPGRADE = "tests/operations/test_upgrade.py"
QUERIES = "tests/cli/test_importing_queries.py"
CALENDARS = "tests/cli/test_importing_calendars.py"
ROUND_TRIPS = "tests/cli/test_calendar_round_trips.py"
EXPORTING = "tests/cli/test_exporting.py"
FOLLOWING = "tests/adoption/test_following.py"
SWITCHING = "tests/adoption/test_switching.py"
HARD = "tests/adoption/test_hard_cases.py"
SEALED = "tests/rls/test_tenants_are_sealed.py"
SURFACE = "tests/rls/test_anonymous_surface.py"
CATALOG = "tests/schema/test_catalog.py"
ANALYTICS = "tests/analytics/test_who_sees_them.py"
STAIRS = "tests/schema/test_migrations_up_and_down.py"
MIGRATING = "tests/schema/test_migrating.py"
ENGINE_TESTS = "tests/schema/test_engine.py"
LASTING = "tests/booking/test_what_is_acknowledged_lasts.py"
VISITS = "tests/booking/test_booking_machine.py"
HISTORIES = "tests/calculator/test_calendar_machine.py"
FUZZ_CSV = "tests/fuzz/test_csv.py"
FUZZ_API = "tests/fuzz/test_api.py"


@dataclass(frozen=True)
class Mutation:
    """What is broken, of which promise, by which replacements (file, old text, new text), and who
    must notice."""

    name: str
    promise: str
    replacements: tuple[tuple[str, str, str], ...]
    tests: str


MUTATIONS = [
    Mutation(
        "a trigger is dropped: busy times are not followed",
        "P2",
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
        "P2",
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
        "P2",
        (
            ("sql/30_slots/refresh_around.sql", "(lower(p.period) - v_reach)", "lower(p.period)"),
            ("sql/30_slots/refresh_around.sql", "(upper(p.period) + v_reach)", "upper(p.period)"),
        ),
        RAW,
    ),
    Mutation(
        "the calendar is locked in the statement that looks",
        "P2",
        (
            (
                "sql/30_slots/refresh_slots.sql",
                "  perform booking.lock_calendars(p_tenant_id, v_staff_ids);\n",
                "",
            ),
            (
                "sql/30_slots/refresh_slots.sql",
                "    with expected as (\n",
                "    with locked as materialized (\n"
                "      select booking.lock_calendars(p_tenant_id, v_staff_ids)\n    ),\n"
                "    expected as (\n",
            ),
            (
                "sql/30_slots/refresh_slots.sql",
                "      from booking.expected_slots(",
                "      from locked, booking.expected_slots(",
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
        "P1",
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
        "P2",
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
        "P2",
        (
            (
                "sql/20_calculator/calculate_slots.sql",
                "          s.busy && tstzrange(s.start - s.buffer_before, ",
                "          s.busy && tstzrange(s.start, ",
            ),
        ),
        EXAMPLES,
    ),
    Mutation(
        "pieces are not joined where they touch",
        "P2",
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
        "P2",
        (
            (
                "sql/10_foundation/first_instant.sql",
                "    then least(\n",
                "    then greatest(\n",
            ),
        ),
        EXAMPLES,
    ),
    Mutation(
        "cancelled appointments still take time",
        "P2",
        (("sql/20_calculator/busy_time.sql", " and a.status <> 'cancelled'\n", "\n"),),
        RAW,
    ),
    Mutation(
        "the exclusion constraint is gone",
        "P1",
        (
            (
                "migrations/0011.appointments_exclusion.sql",
                ",\n  add constraint one_person_is_in_one_place_at_a_time exclude using gist (\n"
                "    greatest(tenant_id) with =,\n    greatest(staff_id) with =,\n"
                "    greatest(claim) with &&,\n"
                "    coalesce(slot_id, id) with <>\n  ) where (status <> 'cancelled')",
                "",
            ),
        ),
        P1,
    ),
    Mutation(
        "a query may scan the exclusion index of appointments",
        "P1",
        (
            (
                "migrations/0011.appointments_exclusion.sql",
                "    greatest(tenant_id) with =,\n    greatest(staff_id) with =,\n"
                "    greatest(claim) with &&,\n",
                "    tenant_id with =,\n    staff_id with =,\n    claim with &&,\n",
            ),
        ),
        f"{INDEXES}::test_nobody_is_booked_over_however_the_appointments_are_read",
    ),
    Mutation(
        "a query may scan the exclusion index of holds",
        "P1",
        (
            (
                "migrations/0012.slot_reservations_exclusion.sql",
                "greatest(slot_id) with <>",
                "slot_id with <>",
            ),
        ),
        f"{INDEXES}::test_the_planner_does_not_see_the_exclusion_indexes",
    ),
    Mutation(
        "busy times are found in a GiST index",
        "P2",
        (
            (
                "migrations/0013.busy_times_by_end.sql",
                "  on booking.busy_times (tenant_id, staff_id, end_time);",
                "  on booking.busy_times"
                " using gist (tenant_id, staff_id, tstzrange(start_time, end_time));",
            ),
        ),
        f"{INDEXES}::test_no_gist_index_has_a_column_that_a_query_could_name",
    ),
    Mutation(
        "an appointment may call itself a slot",
        "P1",
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
        "P1",
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
        "P1",
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
        "P1",
        (("sql/40_booking/free_seat.sql", "cardinality(v_taken) >= p_capacity", "false"),),
        P1,
    ),
    Mutation(
        "holds survive the appointment that beats them",
        "P2",
        (
            (
                "sql/30_slots/drop_beaten_holds.sql",
                "  where h.tenant_id = p_tenant_id and h.id = n.id\n",
                "  where false\n",
            ),
        ),
        RAW,
    ),
    Mutation(
        "a queued change that meets a drain is dropped",
        "P2",
        (
            (
                "sql/30_slots/refresh_or_queue.sql",
                "do update set reason = excluded.reason, queued_at = excluded.queued_at, attempts = 0,\n"
                "    retry_at = excluded.retry_at;",
                "do nothing;",
            ),
        ),
        RACES,
    ),
    Mutation(
        "whoever is newly concerned does not share the tenant's lock",
        "P2",
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
        "P2",
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
        "P2",
        (
            (
                "sql/20_calculator/calculate_slots.sql",
                "where e.ending + o.buffer_before < c.ends_at\n          and not",
                "where not",
            ),
        ),
        RAW,
    ),
    Mutation(
        "the policy shows what is taken",
        "P4",
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
        "P4",
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
        "P4",
        (
            (
                "sql/90_grants.sql",
                "  seats_left, is_available\n) on",
                "  seats_left, is_available, appointment_id\n) on",
            ),
        ),
        "tests/rls/test_anonymous_surface.py",
    ),
    # Holding, booking, moving, cancelling.
    Mutation(
        "a hold is not checked against other holds",
        "P1",
        (
            (
                "sql/40_booking/reserve_slot.sql",
                "    if v_are_others_in_the_way then\n",
                "    if false then\n",
            ),
            (
                "migrations/0012.slot_reservations_exclusion.sql",
                ",\n  add constraint one_person_is_held_once_at_a_time exclude using gist (\n"
                "    greatest(tenant_id) with =,\n    greatest(staff_id) with =,\n"
                "    greatest(claim) with &&,\n"
                "    greatest(slot_id) with <>\n  )",
                "",
            ),
        ),
        f"{BOOKING_RACES}::test_of_two_sessions_that_reserve_overlapping_slots_the_second_is_refused",
    ),
    Mutation(
        "what a queued calendar has published is believed",
        "P3",
        (
            (
                "sql/40_booking/current_slot.sql",
                "      where q.tenant_id = p_tenant_id and q.staff_id = p_staff_id\n",
                "      where false\n",
            ),
        ),
        f"{RESERVING}::test_a_queued_calendar_is_calculated",
    ),
    Mutation(
        "what was never published is not seen",
        "P3",
        (
            (
                "sql/40_booking/current_slot.sql",
                "        and tstzrange(b.start_time, b.end_time) && s.claim and",
                "        and false and",
            ),
        ),
        f"{RESERVING}::test_what_takes_time_is_seen_though_it_was_never_published",
    ),
    Mutation(
        "the holds of a neighbour are forgotten when hold columns are written",
        "P2",
        (
            (
                "sql/30_slots/refresh_holds.sql",
                "          greatest(o.others_expire_at, case\n",
                "          greatest(null, case\n",
            ),
        ),
        f"{RESERVING}::test_it_and_every_slot_that_it_overlaps_are_hidden_until_then",
    ),
    Mutation(
        "an expired hold still blocks",
        "P3",
        (
            (
                "sql/40_booking/holds_in_the_way.sql",
                "    and h.slot_id <> p_slot_id and h.expires_at > v_now\n",
                "    and h.slot_id <> p_slot_id\n",
            ),
        ),
        f"{RESERVING}::test_an_expired_hold_is_free_at_once_for_an_overlapping_slot",
    ),
    Mutation(
        "a session holds as much as it likes",
        "P1",
        (
            (
                "sql/40_booking/reserve_slot.sql",
                "    if v_holds >= v_most_holds then\n",
                "    if false then\n",
            ),
        ),
        f"{RESERVING}::test_a_session_holds_so_many_slots_and_no_more",
    ),
    Mutation(
        "a session is not locked",
        "P1",
        (
            (
                "sql/40_booking/reserve_slot.sql",
                "  perform booking.lock_session(p_slot.tenant_id, p_session_hash);\n",
                "",
            ),
        ),
        f"{BOOKING_RACES}::test_a_session_that_asks_two_people_at_once_stays_within_its_number_of_holds",
    ),
    Mutation(
        "a session that reserves a time is not locked",
        "P1",
        (
            (
                "sql/40_booking/reserve_time.sql",
                "  perform booking.lock_session(v_tenant_id, p_session_hash);\n",
                "",
            ),
        ),
        f"{BOOKING_RACES}::test_a_session_that_reserves_a_time_twice_at_once_gets_one_person",
    ),
    Mutation(
        "a time is taken if the first in turn is",
        "P1",
        (
            (
                "sql/40_booking/reserve_time.sql",
                "if v_code <> 'slot_taken' then",
                "if true then",
            ),
        ),
        f"{RESERVING_TIMES}::test_a_calendar_that_is_behind_is_passed_over",
    ),
    Mutation(
        "a week begins where the server is",
        "P3",
        (
            (
                "sql/40_booking/rank_free_people.sql",
                "date_trunc('week', p_start_time at time zone z.zone) as monday",
                "date_trunc('week', p_start_time at time zone 'UTC') as monday",
            ),
        ),
        f"{RESERVING_TIMES}::test_the_week_is_that_of_the_slots_place",
    ),
    Mutation(
        "attendees of a class count one by one",
        "P3",
        (
            (
                "sql/40_booking/rank_free_people.sql",
                "count(distinct a.start_time)",
                "count(*)",
            ),
        ),
        f"{RESERVING_TIMES}::test_a_class_counts_once_however_many_attend",
    ),
    Mutation(
        "reserving times has a count of its own",
        "P6",
        (
            (
                "sql/40_booking/attempt.sql",
                "case p_action when 'reserve_time' then 'reserve_slot' else p_action end",
                "p_action",
            ),
        ),
        f"{RESERVING_TIMES}::test_reserving_times_and_slots_is_counted_together",
    ),
    Mutation(
        "seats that are held are given out again",
        "P1",
        (
            (
                "sql/40_booking/free_seat.sql",
                "    where h.tenant_id = p_tenant_id and h.slot_id = p_slot_id\n"
                "      and h.expires_at > booking.now()\n",
                "    where false\n",
            ),
        ),
        f"{GROUPS}::test_each_hold_takes_a_seat_until_there_is_none",
    ),
    Mutation(
        "the hold columns alone are refreshed where the slot is off the grid",
        "P2",
        (
            (
                "sql/50_triggers/slot_reservations.sql",
                "not coalesce(s.is_available, tg_op = 'DELETE') as is_of_days",
                "false as is_of_days",
            ),
        ),
        f"{RELEASING}::test_a_slot_that_is_on_the_grid_no_more_goes_with_its_hold",
    ),
    Mutation(
        "an expired hold can be booked",
        "P3",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "      and h.expires_at > booking.now()\n    order by",
                "    order by",
            ),
            (
                "sql/40_booking/create_appointment.sql",
                "and h.id = v_hold.id and h.expires_at > v_now;",
                "and h.id = v_hold.id;",
            ),
        ),
        f"{CREATING}::test_and_not_from_then_on",
    ),
    Mutation(
        "a hold that expires while its session waits can be booked",
        "P3",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "and h.id = v_hold.id and h.expires_at > v_now;",
                "and h.id = v_hold.id;",
            ),
        ),
        f"{BOOKING_RACES}::test_a_hold_that_expires_while_its_session_waits_for_the_lock_is_no_more",
    ),
    Mutation(
        "the calculator is not asked again when a hold is booked",
        "P3",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "if not coalesce(v_state.is_free, false) then",
                "if false then",
            ),
        ),
        f"{CREATING}::test_where_the_tenant_changed_the_calendar_the_hold_is_not_booked",
    ),
    Mutation(
        "a hold stays when it is booked",
        "P3",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "  delete from booking.slot_reservations h\n"
                "  where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id;\n",
                "",
            ),
        ),
        f"{GROUPS}::test_the_seat_that_was_promised_is_the_seat_that_is_booked",
    ),
    Mutation(
        "an idempotency key answers to any request",
        "P7",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "      and a.request_hash = v_request_hash\n",
                "",
            ),
        ),
        f"{IDEMPOTENCY}::test_another_body_is_a_conflict",
    ),
    Mutation(
        "an idempotency key answers to any caller",
        "P5",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "where a.idempotency_key = v_key and a.customer_id is not distinct from v_caller_id\n",
                "where a.idempotency_key = v_key\n",
            ),
            (
                "sql/40_booking/create_appointment.sql",
                "where a.idempotency_key = p_key and a.customer_id is not distinct from booking.caller_id()\n",
                "where a.idempotency_key = p_key\n",
            ),
        ),
        f"{IDEMPOTENCY}::test_another_caller_cannot_replay_it",
    ),
    Mutation(
        "any manage token will do",
        "P4",
        (
            (
                "sql/40_booking/find_appointment.sql",
                "or a.manage_token_hash = v_token_hash",
                "or v_token_hash is not null",
            ),
            (
                "sql/40_booking/lock_appointment.sql",
                "v_appointment.manage_token_hash = sha256(convert_to(p_request ->> 'manage_token', 'UTF8'))",
                "p_request ->> 'manage_token' is not null",
            ),
        ),
        f"{STRANGERS}::test_a_token_opens_its_own_appointment_only",
    ),
    Mutation(
        "any customer will do",
        "P4",
        (
            (
                "sql/40_booking/find_appointment.sql",
                "a.customer_id = v_caller_id",
                "v_caller_id is not null",
            ),
            (
                "sql/40_booking/lock_appointment.sql",
                "v_appointment.customer_id = booking.caller_id()",
                "booking.caller_id() is not null",
            ),
        ),
        f"{STRANGERS}::test_anothers_appointment_looks_like_none",
    ),
    Mutation(
        "the notice of a cancellation is not asked for",
        "P3",
        (
            (
                "sql/40_booking/lock_appointment.sql",
                "if booking.now() > p_appointment.start_time - v_notice_minutes * interval '1 minute'\n",
                "if false\n",
            ),
        ),
        f"{CANCELLING}::test_notice_binds_customers_and_not_staff",
    ),
    Mutation(
        "an appointment stands in its own way when it moves",
        "P3",
        (
            (
                "sql/40_booking/reschedule_appointment.sql",
                "p_slot.start_time, v_appointment.id\n  ) s;",
                "p_slot.start_time\n  ) s;",
            ),
        ),
        f"{MOVING}::test_ones_own_time_does_not_stand_in_the_way",
    ),
    Mutation(
        "a refusal is not on record",
        "P6",
        (
            (
                "sql/40_booking/attempt.sql",
                "  insert into booking.audit_log (",
                "  if v_code is null then\n  insert into booking.audit_log (",
            ),
            (
                "sql/40_booking/attempt.sql",
                "  );\n  return v_answer;\n",
                "  );\n  end if;\n  return v_answer;\n",
            ),
        ),
        f"{AUDIT}::test_each_call_leaves_one_row",
    ),
    Mutation(
        "the audit trail can be changed",
        "P6",
        (
            (
                "sql/50_triggers/audit_log.sql",
                "before update or delete on booking.audit_log",
                "before delete on booking.audit_log",
            ),
        ),
        f"{AUDIT}::test_what_is_on_record_stays",
    ),
    Mutation(
        "nobody is told of a move",
        "P7",
        (
            (
                "sql/50_triggers/appointments.sql",
                "      when 'reschedule_appointment' then case when (c.row).status <> 'cancelled' then 'moved' end\n",
                "",
            ),
        ),
        f"{EVENTS}::test_a_move_is_told_once_with_where_it_came_from",
    ),
    Mutation(
        "consumers take each other's events",
        "P7",
        (("sql/40_booking/take_events.sql", "  for update of e skip locked;", "  ;"),),
        f"{EVENTS}::test_two_consumers_skip_each_others_events",
    ),
    Mutation(
        "the cleanup deletes holds that live",
        "P7",
        (
            (
                "sql/40_booking/cleanup_expired_slot_reservations.sql",
                "h.staff_id = any (v_staff_ids) and h.expires_at <= v_now;",
                "h.staff_id = any (v_staff_ids);",
            ),
        ),
        f"{CLEANING}::test_it_clears_what_has_expired_and_says_how_many",
    ),
    Mutation(
        "the cleanup waits for whoever writes a calendar",
        "P2",
        (
            (
                "sql/40_booking/cleanup_expired_slot_reservations.sql",
                "for no key update of c skip locked",
                "for no key update of c",
            ),
        ),
        f"{CLEANING}::test_a_calendar_that_is_being_written_is_left_to_the_next_call",
    ),
    Mutation(
        "the cleanup does not lock the calendar first",
        "P2",
        (
            (
                "sql/40_booking/cleanup_expired_slot_reservations.sql",
                "      for no key update of c skip locked\n",
                "",
            ),
        ),
        f"{CLEANING}::test_a_calendar_that_is_being_written_is_left_to_the_next_call",
    ),
    Mutation(
        "who waits for a lock in vain gets an error",
        "P6",
        (
            ("sql/40_booking/attempt.sql", "set lock_timeout = '2s'\n", ""),
            (
                "sql/40_booking/attempt.sql",
                "      when lock_not_available or serialization_failure or query_canceled then",
                "      when lock_not_available or serialization_failure then",
            ),
        ),
        f"{BOOKING_RACES}::test_who_waits_too_long_for_the_lock_is_told_so_and_it_is_on_record",
    ),
    # The command line.
    Mutation(
        "verify does not look at holds",
        "P1",
        (
            (
                "cli/pgbooking/queries/verify_p1.sql",
                "and h.expires_at > booking.now()\n",
                "and false\n",
            ),
        ),
        f"{VERIFYING}::test_p1_finds_a_live_hold_over_an_appointment",
    ),
    Mutation(
        "verify asks one calculator of everyone",
        "P3",
        (
            (
                "cli/pgbooking/queries/verify_p3.sql",
                "where (single.is_on_grid and single.is_available) is not true",
                "where false",
            ),
        ),
        f"{VERIFYING}::test_p3_finds_that_reserving_asks_another_calculator",
    ),
    Mutation(
        "a start beside the grid hides that its time is taken",
        "P2",
        (("cli/pgbooking/queries/compare_missing.sql", "(14, 'off_grid'", "(0, 'off_grid'"),),
        f"{COMPARING}::test_each_cause_is_told_and_counted",
    ),
    Mutation(
        "a comparison with its own database sees two moments",
        "P2",
        (
            (
                "cli/pgbooking/compare.py",
                "    with one_moment(connection):\n",
                "    with connection.transaction():\n",
            ),
        ),
        f"{ANSWERS}::test_both_are_looked_at_as_of_one_moment",
    ),
    Mutation(
        "events are marked before they are printed",
        "P7",
        (
            (
                "cli/pgbooking/events.py",
                "    with connection.transaction():\n        events = ",
                "    if connection:\n        events = ",
            ),
            (
                "cli/pgbooking/events.py",
                "            _print(events)\n            execute(",
                "            execute(",
            ),
            (
                "cli/pgbooking/events.py",
                "                ids=[event.id for event in events],\n            )\n",
                "                ids=[event.id for event in events],\n            )\n            _print(events)\n",
            ),
        ),
        f"{TAIL}::test_a_reader_that_goes_away_leaves_the_batch_to_the_next",
    ),
    Mutation(
        "events are taken in a transaction of their own",
        "P7",
        (
            (
                "cli/pgbooking/events.py",
                "    with connection.transaction():\n        events = ",
                "    if connection:\n        events = ",
            ),
        ),
        f"{TAIL}::test_two_consumers_share_the_work",
    ),
    Mutation(
        "a page begins after a start and not after a slot",
        "P2",
        (
            (
                "sql/30_slots/find_published_slots.sql",
                "any (p_shape_ids))\n      and s.start_time >= p_from and s.start_time < p_until\n"
                "      and (p_after_id is null or (s.start_time, s.id) > (p_after_start, p_after_id))",
                "any (p_shape_ids))\n      and s.start_time >= p_from and s.start_time < p_until\n"
                "      and (p_after_id is null or s.start_time > p_after_start)",
            ),
        ),
        f"{LISTING}::test_slots_of_the_same_start_are_cut_between_pages_too",
    ),
    Mutation(
        "dates are those of the tenant, wherever the place is",
        "P2",
        (
            (
                "sql/30_slots/find_published_slots.sql",
                "(s.start_time at time zone coalesce(l.timezone, t.timezone))::date\n"
                "          between p_first_date and p_last_date\n      )\n"
                "    order by s.start_time, s.id\n    limit p_limit;\n  end if;",
                "(s.start_time at time zone t.timezone)::date\n"
                "          between p_first_date and p_last_date\n      )\n"
                "    order by s.start_time, s.id\n    limit p_limit;\n  end if;",
            ),
        ),
        f"{LISTING}::test_dates_are_those_of_each_place",
    ),
    Mutation(
        "an inactive person is listed until the queue comes by",
        "P4",
        (
            (
                "sql/30_slots/find_published_slots.sql",
                "where p.tenant_id = p_tenant_id and p.is_active\n",
                "where p.tenant_id = p_tenant_id\n",
            ),
        ),
        f"{LISTING}::test_an_inactive_person_is_not_listed_beside_others",
    ),
    Mutation(
        "the ETag is of what was asked",
        "P2",
        (("sql/40_booking/answer.sql", "md5(v_body)", "md5(p_request::text)"),),
        f"{CACHING}::test_who_has_something_older_gets_what_is_new",
    ),
    Mutation(
        "hours that stay are written anew",
        "P2",
        (
            (
                "sql/40_booking/set_working_hours.sql",
                " and s.is_replaced and not s.is_wanted",
                " and s.is_replaced",
            ),
            (
                "sql/40_booking/set_working_hours.sql",
                "    where s.is_wanted and s.staff_id",
                "    where false and s.staff_id",
            ),
        ),
        f"{HOURS}::test_the_same_call_again_changes_no_row",
    ),
    Mutation(
        "the address is what the client says",
        "P6",
        (
            (
                "sql/10_foundation/client_address.sql",
                "    cardinality(v_entries) - (select s.trusted_proxies from booking.settings s) + 1\n",
                "    1\n",
            ),
        ),
        f"{LIMITS}::test_another_spelling_of_the_address_does_not_help",
    ),
    Mutation(
        "the rate limiter looks first and counts later",
        "P6",
        (
            (
                "sql/10_foundation/seconds_to_wait.sql",
                "  insert into booking.rate_limits as r (bucket, key, tat)\n",
                "  if not exists (\n"
                "    select from booking.rate_limits r where r.bucket = p_bucket and r.key = v_key\n"
                "      and r.tat > v_now + c_most - v_interval and r.tat <= v_now + c_most\n  ) then\n"
                "  insert into booking.rate_limits as r (bucket, key, tat)\n",
            ),
            (
                "sql/10_foundation/seconds_to_wait.sql",
                "  where r.tat <= v_now + c_most - v_interval or r.tat > v_now + 2 * c_most\n"
                "  returning r.tat into v_tat;\n  if found then\n    return 0;\n  end if;\n",
                "  returning r.tat into v_tat;\n    return 0;\n  end if;\n",
            ),
        ),
        f"{LIMITS}::test_of_sixty_four_at_once_exactly_ten_pass",
    ),
    Mutation(
        "whoever calls before the clock is put back waits for it",
        "P6",
        (
            (
                "sql/10_foundation/seconds_to_wait.sql",
                "  where r.tat <= v_now + c_most - v_interval or r.tat > v_now + 2 * c_most\n",
                "  where r.tat <= v_now + c_most - v_interval\n",
            ),
        ),
        f"{LIMITS}::test_a_clock_that_is_put_back_locks_nobody_out",
    ),
    Mutation(
        "two runs of one job overlap",
        "P2",
        (
            (
                "sql/80_jobs/run_job.sql",
                "if pg_catalog.pg_try_advisory_xact_lock(c_jobs, pg_catalog.hashtext(p_name)) then",
                "if true then",
            ),
        ),
        JOBS,
    ),
    Mutation(
        "a run between two steps is taken for dead",
        "P2",
        (
            (
                "sql/80_jobs/run_job.sql",
                "exit when v_open is null or v_open = v_open_before;",
                "exit;",
            ),
        ),
        JOBS,
    ),
    Mutation(
        "the lock of a job is its session's",
        "P2",
        (
            (
                "sql/80_jobs/run_job.sql",
                "      perform pg_catalog.pg_advisory_xact_lock(",
                "      perform pg_catalog.pg_advisory_lock(",
            ),
        ),
        JOBS,
    ),
    Mutation(
        "a job does everything in one transaction",
        "P2",
        (
            (
                "sql/80_jobs/run_job.sql",
                "    commit;\n    exit when v_error",
                "    exit when v_error",
            ),
        ),
        JOBS,
    ),
    Mutation(
        "the night begins at midnight everywhere",
        "P2",
        (
            (
                "sql/30_slots/nightly_refresh.sql",
                "((v_now at time zone t.timezone) - t.refresh_hour * interval '1 hour')::date",
                "(v_now at time zone t.timezone)::date",
            ),
        ),
        JOBS,
    ),
    Mutation(
        "reminders of starts that lie ahead are forgotten and written again",
        "P7",
        (
            (
                "sql/80_jobs/delete_old_records.sql",
                "(o.kind <> 'reminder_due' or (o.payload ->> 'start_time')::timestamptz <= v_today)",
                "true",
            ),
        ),
        JOBS,
    ),
    Mutation(
        "rolling back loses what the older release knows",
        "P8",
        (
            (
                "migrations/0008.jobs.rollback.sql",
                "where name in (",
                "where name = 'somebody_elses' or name in (",
            ),
        ),
        UPGRADE,
    ),
    Mutation(
        "a migration waits for a table, and bookings behind it",
        "P8",
        (("cli/pgbooking/migrate.py", "LOCK_TIMEOUT_SECONDS = 0.5", "LOCK_TIMEOUT_SECONDS = 10"),),
        UPGRADE,
    ),
    Mutation(
        "one unpaid appointment that cannot be released stops all others",
        "P7",
        (
            (
                "sql/40_booking/release_unpaid_appointments.sql",
                "      get stacked diagnostics v_error = message_text;\n",
                "      raise;\n",
            ),
        ),
        "tests/booking/test_payments.py",
    ),
    Mutation(
        "a query of another database may write",
        "P7",
        (
            (
                "cli/pgbooking/import_query.py",
                "session.read_only = True",
                "session.read_only = False",
            ),
        ),
        QUERIES,
    ),
    Mutation(
        "a query's times are told as its database likes",
        "P2",
        (
            (
                "cli/pgbooking/queries/import_query_settings.sql",
                "set local datestyle to iso",
                "select 1",
            ),
        ),
        QUERIES,
    ),
    Mutation(
        "an @ in a password is told as the host",
        "P4",
        (
            (
                "cli/pgbooking/connection.py",
                'if "@" in host:',
                'if host == "@":',
            ),
        ),
        QUERIES,
    ),
    Mutation(
        "calendars are removed from beyond the window",
        "P2",
        (
            (
                "cli/pgbooking/queries/import_calendar_busy_times.sql",
                "    and b.start_time < %(window_end)s and b.end_time > %(window_start)s\n",
                "",
            ),
        ),
        CALENDARS,
    ),
    Mutation(
        "what vanished from a calendar stays",
        "P2",
        (
            (
                "cli/pgbooking/queries/import_calendar_busy_times.sql",
                "where w.external_id = b.external_id)\n    and",
                "where true)\n    and",
            ),
        ),
        CALENDARS,
    ),
    Mutation(
        "what came from elsewhere vanishes with a calendar",
        "P2",
        (
            (
                "cli/pgbooking/queries/import_calendar_busy_times.sql",
                "    and right(b.external_id, length(%(scope)s)) = %(scope)s\n",
                "",
            ),
        ),
        CALENDARS,
    ),
    Mutation(
        "an event that cannot be read loses what it was",
        "P2",
        (
            (
                "cli/pgbooking/import_calendar.py",
                "        self.kept.add(event.uid)\n",
                "",
            ),
        ),
        CALENDARS,
    ),
    Mutation(
        "an unchanged calendar is written anew",
        "P2",
        (
            (
                "cli/pgbooking/queries/import_calendar_busy_times.sql",
                "    and (b.start_time, b.end_time) is distinct from (w.start_time, w.end_time)\n",
                "",
            ),
        ),
        ROUND_TRIPS,
    ),
    Mutation(
        "one event of two people is one busy time",
        "P2",
        (
            (
                "cli/pgbooking/import_calendar.py",
                'return f"/{self.staff_id}"',
                'return "/"',
            ),
        ),
        CALENDARS,
    ),
    Mutation(
        "local times of a calendar are read as UTC",
        "P2",
        (
            (
                "cli/pgbooking/import_calendar.py",
                'values = {"own_time_zone": own_zone, "is_all_day"',
                'values = {"own_time_zone": "UTC", "is_all_day"',
            ),
        ),
        ROUND_TRIPS,
    ),
    Mutation(
        "a recurrence rule may take for ever",
        "P2",
        (
            (
                "cli/pgbooking/calendar_events.py",
                "max(0.01, min(RULE_SECONDS, self.seconds_left))",
                "5",
            ),
        ),
        f"{CALENDARS}::test_an_endless_or_absurd_rule_is_bounded_and_the_other_events_count",
    ),
    Mutation(
        "a recurrence rule may recur without end",
        "P2",
        (
            (
                "cli/pgbooking/calendar_events.py",
                "if len(found) > self.occurrences_left:",
                "if False:",
            ),
        ),
        CALENDARS,
    ),
    Mutation(
        "a truncated calendar is taken for a whole one",
        "P2",
        (
            (
                "cli/pgbooking/calendar_file.py",
                "    if stack:\n        last",
                "    if not stack and number < 0:\n        last",
            ),
        ),
        CALENDARS,
    ),
    Mutation(
        "a zone that nobody knows is the local one",
        "P2",
        (
            (
                "cli/pgbooking/calendar_events.py",
                "each.tzinfo is None for each",
                "each.tzinfo is each for each",
            ),
        ),
        CALENDARS,
    ),
    Mutation(
        "cancelled events take time",
        "P2",
        (
            (
                "cli/pgbooking/calendar_events.py",
                '!= "CANCELLED"',
                '!= "OFF"',
            ),
        ),
        CALENDARS,
    ),
    Mutation(
        "holidays that are transparent are no holidays",
        "P2",
        (
            (
                "cli/pgbooking/import_calendar.py",
                "self.report.kind is Kind.HOLIDAYS or not",
                "not",
            ),
        ),
        CALENDARS,
    ),
    Mutation(
        "cancelled appointments are exported",
        "P2",
        (
            (
                "cli/pgbooking/queries/export_appointments.sql",
                " and a.status <> 'cancelled'",
                "",
            ),
        ),
        EXPORTING,
    ),
    Mutation(
        "an export tells who comes",
        "P4",
        (
            (
                "cli/pgbooking/export.py",
                "if with_customers and each.about",
                "if each.about",
            ),
        ),
        EXPORTING,
    ),
    Mutation(
        "adoption: an error reaches the old system",
        "P7",
        (
            (
                "cli/pgbooking/adoption/20_follow.sql",
                "      when query_canceled or assert_failure or others then\n",
                "      when query_canceled then\n",
            ),
        ),
        FOLLOWING,
    ),
    Mutation(
        "adoption: strict transactions are followed at once",
        "P2",
        (
            (
                "cli/pgbooking/adoption/20_follow.sql",
                "    or v_writing <> '' or current_setting('transaction_isolation') <> 'read committed'\n",
                "    or v_writing <> ''\n",
            ),
        ),
        FOLLOWING,
    ),
    Mutation(
        "adoption: a row of another tenant is still this one's",
        "P5",
        (
            (
                "cli/pgbooking/adoption/20_follow.sql",
                "    if v_content ->> 'tenant' <> v_tenant then\n",
                "    if false then\n",
            ),
        ),
        FOLLOWING,
    ),
    Mutation(
        "adoption: rows that give way to each other are tried once",
        "P2",
        (
            (
                "cli/pgbooking/adoption/20_follow.sql",
                "    exit when array_remove(v_keys, null) = '{}';",
                "    exit;",
            ),
        ),
        HARD,
    ),
    Mutation(
        "adoption: a stale old row undoes what happened here",
        "P7",
        (
            (
                "cli/pgbooking/adoption/20_follow.sql",
                "  if booking_adoption.is_to_be_written(p_section, p_tenant_id, p_key, p_row_id) then\n",
                "  if false then\n",
            ),
        ),
        SWITCHING,
    ),
    Mutation(
        "adoption: a row that is deleted while it is copied stays",
        "P2",
        (
            (
                "cli/pgbooking/adoption/30_master_data.sql",
                "  if p_id is null and not p_is_locked then\n",
                "  if false then\n",
            ),
        ),
        FOLLOWING,
    ),
    Mutation(
        "adoption: a zone that changes moves nothing",
        "P2",
        (
            (
                "cli/pgbooking/adoption/30_master_data.sql",
                "    perform booking_adoption.copy_later(v_tenant_id);\n",
                "    null;\n",
            ),
        ),
        HARD,
    ),
    Mutation(
        "adoption: history that is thrown away is cancelled",
        "P7",
        (
            (
                "cli/pgbooking/adoption/40_times.sql",
                "  if p_is_deleted and v_is_over then\n",
                "  if false then\n",
            ),
        ),
        HARD,
    ),
    Mutation(
        "adoption: a local time is written that means another instant",
        "P2",
        (
            (
                "cli/pgbooking/adoption/50_write.sql",
                "    <> (p_wanted ->> (p_which || '_at'))::timestamptz\n",
                "    is null\n",
            ),
        ),
        SWITCHING,
    ),
    Mutation(
        "adoption: a move here comes before a cancellation there",
        "P7",
        (
            (
                "cli/pgbooking/adoption/50_write.sql",
                "    and booking_adoption.find_row(p_section, v_old_key, false) ->> 'status' = 'cancelled'\n",
                "    and false\n",
            ),
        ),
        HARD,
    ),
    Mutation(
        "adoption: after --back nothing more is written",
        "P7",
        (
            (
                "cli/pgbooking/adoption/60_steps.sql",
                "  set is_switched = false where c.tenant_id",
                "  set is_switched = false, is_written = false where c.tenant_id",
            ),
        ),
        SWITCHING,
    ),
    Mutation(
        "adoption: --back forgets whom somebody has still to tell",
        "P7",
        (
            (
                "cli/pgbooking/adoption/60_steps.sql",
                " and e.processed_at is null\n",
                " and false\n",
            ),
        ),
        SWITCHING,
    ),
    Mutation(
        "adoption: --back turns back what is not written yet",
        "P7",
        (
            (
                "cli/pgbooking/adoption/60_steps.sql",
                "      and not booking_adoption.is_to_be_written('appointments', p_tenant_id, k.external_id, a.id)\n",
                "",
            ),
        ),
        HARD,
    ),
    Mutation(
        "adoption: a dry run is kept",
        "P7",
        (
            (
                "cli/pgbooking/adopt.py",
                "                        raise psycopg.Rollback\n",
                "",
            ),
        ),
        SWITCHING,
    ),
    Mutation(
        "adoption: old rows are held while a calendar is waited for",
        "P2",
        (
            (
                "cli/pgbooking/adopt_sql.py",
                '                    "deferrable initially deferred",\n',
                '                    "not deferrable",\n',
            ),
        ),
        HARD,
    ),
    Mutation(
        "adoption: a check at the end fails the booking",
        "P7",
        (
            (
                "cli/pgbooking/adopt_sql.py",
                "                \"  execute format('set constraints %s immediate', v_deferred);\",\n",
                "",
            ),
        ),
        HARD,
    ),
    Mutation(
        "adoption: the old system waits for a calendar",
        "P2",
        (
            (
                "cli/pgbooking/adoption/20_follow.sql",
                "  order by c.staff_id\n  for no key update nowait;",
                "  order by c.staff_id\n  for no key update;",
            ),
            (
                "cli/pgbooking/adoption/20_follow.sql",
                "set search_path = ''\nset lock_timeout = '10ms'\n",
                "set search_path = ''\n",
            ),
            (
                "cli/pgbooking/adopt_sql.py",
                "security definer\\nset lock_timeout = '10ms'",
                "security definer",
            ),
        ),
        FOLLOWING,
    ),
    Mutation(
        "prices: one that does not stack does not stand alone",
        "P3",
        (
            (
                "sql/40_booking/slot_prices.sql",
                "where f.rank = 1 or (f.first_stacks and f.stacks)",
                "where f.rank = 1 or f.stacks",
            ),
        ),
        PRICES,
    ),
    Mutation(
        "prices: a night shift counts on its first date only",
        "P2",
        (
            (
                "sql/20_calculator/day_loads.sql",
                "p_tenant_id, b.staff_ids, b.first_date - 2, b.last_date",
                "p_tenant_id, b.staff_ids, b.first_date, b.last_date",
            ),
        ),
        PRICES,
    ),
    Mutation(
        "prices: a quote follows the rules until it is booked",
        "P3",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "  if v_type.id is distinct from v_hold.appointment_type_id then\n",
                "  if true then\n",
            ),
        ),
        PRICES,
    ),
    Mutation(
        "customer limit: two bookings at once do not see each other",
        "P1",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "      perform booking.lock_customer("
                "v_hold.tenant_id, v_caller_id, p_request -> 'user_data');\n",
                "",
            ),
        ),
        BOOKING_RACES,
    ),
    Mutation(
        "customer limit: what is over counts for ever",
        "P1",
        (
            (
                "sql/40_booking/customer_limit.sql",
                "and a.status in ('pending', 'confirmed') and a.end_time > v_now;\n  else",
                "and a.status in ('pending', 'confirmed');\n  else",
            ),
        ),
        CUSTOMER_LIMIT,
    ),
    Mutation(
        "the way back takes no time of its own",
        "P1",
        (
            (
                "sql/20_calculator/travel_around.sql",
                "    coalesce(own.minutes, back.minutes), coalesce(back.minutes, own.minutes)\n",
                "    coalesce(own.minutes, back.minutes), coalesce(own.minutes, back.minutes)\n",
            ),
        ),
        f"{TRAVEL}::test_no_direct_write_leaves_less_than_the_way",
    ),
    Mutation(
        "travel is asked of nobody who writes by hand",
        "P1",
        (
            (
                "sql/30_slots/require_travel_time.sql",
                "  if v_reach = interval '0' then\n",
                "  if true then\n",
            ),
        ),
        f"{TRAVEL}::test_no_direct_write_leaves_less_than_the_way",
    ),
    Mutation(
        "travel is asked of what has not moved",
        "P1",
        (
            (
                "sql/50_triggers/appointments.sql",
                "      perform booking.require_travel_time(v_tenant_id, v_new_ids);\n"
                "      perform booking.drop_beaten_holds(v_tenant_id, v_staff_ids, v_claims);\n"
                "      perform booking.refresh_around(v_tenant_id, v_staff_ids, v_claims);\n"
                "    end loop;\n",
                "      perform booking.require_travel_time(v_tenant_id, v_new_ids);\n"
                "      perform booking.drop_beaten_holds(v_tenant_id, v_staff_ids, v_claims);\n"
                "      perform booking.refresh_around(v_tenant_id, v_staff_ids, v_claims);\n"
                "    end loop;\n"
                "    perform booking.require_travel_time(n.tenant_id, array[n.id])\n"
                "    from changed_rows n;\n",
            ),
        ),
        f"{TRAVEL}::test_a_way_that_comes_later_lets_what_is_booked_be",
    ),
    Mutation(
        "what is written by hand leaves the holds it cannot be reached from",
        "P2",
        (
            (
                "sql/30_slots/drop_beaten_holds.sql",
                "        and n.claim && booking.barred_period(\n",
                "        and n.claim && a.claim and n.claim && booking.barred_period(\n",
            ),
        ),
        f"{TRAVEL}::test_what_is_written_by_hand_takes_the_holds_it_cannot_be_reached_from",
    ),
    Mutation(
        "reserving asks no hold for the way",
        "P1",
        (
            (
                "sql/40_booking/holds_in_the_way.sql",
                "    and p_claim && booking.barred_period("
                "p_tenant_id, h.claim, h.location_id, p_location_id);\n",
                "    and p_claim && h.claim;\n",
            ),
        ),
        f"{BOOKING_RACES}"
        "::test_of_two_sessions_that_reserve_at_two_places_the_second_leaves_the_way",
    ),
    Mutation(
        "a change of holds is published without the longest way",
        "P2",
        (
            (
                "sql/30_slots/refresh_holds.sql",
                "  select v_way + interval '1 minute' * max(\n",
                "  select interval '1 minute' * max(\n",
            ),
        ),
        f"{TRAVEL}::test_a_hold_at_the_other_end_of_a_day_s_way_hides_the_day_before_and_after",
    ),
    Mutation(
        "each attendee counts towards the day",
        "P2",
        (
            (
                "sql/20_calculator/booked_time.sql",
                "      count(distinct b.attendance_id) as booked\n",
                "      count(*) as booked\n",
            ),
        ),
        f"{DAY_LIMITS}::test_a_class_is_one_however_many_come",
    ),
    Mutation(
        "reserving forgets the holds of a day that is full with them",
        "P1",
        (
            (
                "sql/40_booking/reserve_slot.sql",
                "    while not (v_state.capacity > 1 and v_state.booked > 0) and",
                "    while false and",
            ),
        ),
        f"{BOOKING_RACES}::test_the_last_place_of_a_day_is_reserved_once",
    ),
    Mutation(
        "moving forgets the holds of a day that is full with them",
        "P1",
        (
            (
                "sql/40_booking/reschedule_appointment.sql",
                "  if v_hold.id is null and not (v_state.capacity > 1 and v_state.booked > 0)\n",
                "  if false\n",
            ),
        ),
        f"{DAY_LIMITS}::test_nothing_moves_to_a_day_that_is_full_with_holds_of_others",
    ),
    Mutation(
        "a day that holds fill is published without the night before",
        "P2",
        (
            (
                "sql/50_triggers/slot_reservations.sql",
                "p.max_appointments_per_day is not null\n          or not coalesce",
                "not coalesce",
            ),
        ),
        f"{DAY_LIMITS}::test_what_is_held_past_midnight_takes_its_place_of_both_days",
    ),
    Mutation(
        "booking asks what a hold has granted",
        "P3",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "  if not coalesce(v_state.is_free, false) then\n",
                "  if not coalesce(v_state.is_available, false) then\n",
            ),
        ),
        f"{DAY_LIMITS}::test_what_is_held_can_be_booked_whatever_becomes_of_the_limit",
    ),
    Mutation(
        "the ends of what is free at one place are the ends at all",
        "P2",
        (
            (
                "sql/20_calculator/calculate_slots.sql",
                "        partition by s.staff_id, s.location_id, s.shape_id, "
                "(s.start at time zone s.zone)::date\n",
                "        partition by s.staff_id, s.shape_id, "
                "(s.start at time zone s.zone)::date\n",
            ),
        ),
        f"{COMPACT}::test_each_place_has_ends_of_its_own_the_way_included",
    ),
    Mutation(
        "days that are calculated are not counted",
        "P2",
        (
            (
                "sql/30_slots/find_open_slots.sql",
                "v_days := v_days + cardinality(v_staff_ids) * v_shapes * v_step_days;",
                "v_days := 0;",
            ),
        ),
        f"{HYBRID}::test_a_call_calculates_so_many_days_and_its_token_goes_on",
    ),
    Mutation(
        "one calendar that lags makes everybody's days be calculated",
        "P2",
        (
            (
                "sql/30_slots/find_open_slots.sql",
                "        and c.materialized_until < v_last_date\n",
                "",
            ),
        ),
        f"{HYBRID}::test_only_the_calendar_that_lags_is_calculated",
    ),
    Mutation(
        "a slot that is published meanwhile is taken",
        "P3",
        (
            (
                "sql/40_booking/reserve_slot.sql",
                "p_slot.calculated_at is null and not booking.has_row(p_slot) and (",
                "p_slot.calculated_at is null and (",
            ),
        ),
        f"{HYBRID}::test_a_far_slot_that_is_published_while_it_is_being_reserved_is_had",
    ),
    Mutation(
        "a call that an upgrade has cut in two is not made again",
        "P8",
        (
            (
                "sql/40_booking/attempt.sql",
                "        if v_try = 2 then\n          raise;",
                "        if true then\n          raise;",
            ),
        ),
        "tests/booking/test_calls_cut_in_two.py::"
        "test_reserving_is_done_once_more_and_is_on_record_once",
    ),
    Mutation(
        "a plan that has kept a replaced function's number is a fault",
        "P8",
        (("sql/40_booking/answer.sql", " or internal_error then", " then"),),
        "tests/booking/test_calls_cut_in_two.py::test_reading_is_done_once_more",
    ),
    Mutation(
        "holds of far days are forgotten",
        "P3",
        (
            (
                "sql/30_slots/find_open_slots.sql",
                "and (e.reserved_until is null or e.reserved_until <= v_now)",
                "and true",
            ),
        ),
        f"{HYBRID}::test_a_far_slot_is_reserved_booked_moved_and_cancelled_like_any_other",
    ),
    Mutation(
        "a far slot is asked for under the calendar's lock",
        "P4",
        (
            (
                "sql/40_booking/reserve_slot.sql",
                "      booking.is_published(p_slot) or not coalesce((",
                "      booking.is_published(p_slot) or false and not coalesce((",
            ),
        ),
        f"{HYBRID}::test_a_far_slot_that_is_none_is_refused_without_a_lock",
    ),
    Mutation(
        "the first day that is not published is left out",
        "P2",
        (
            (
                "sql/30_slots/find_open_slots.sql",
                "v_from := greatest(v_from, v_published_until);",
                "v_from := greatest(v_from, v_published_until + interval '1 day');",
            ),
        ),
        f"{HYBRID}::test_switching_the_stored_days_under_load_loses_nothing_and_renames_nothing",
    ),
    Mutation(
        "a compact schedule closes classes that have begun to fill",
        "P2",
        (
            (
                "sql/20_calculator/calculate_slots.sql",
                "s.is_compact and s.is_on_grid and not s.has_begun\n",
                "s.is_compact and s.is_on_grid\n",
            ),
        ),
        f"{COMPACT}::test_a_class_that_has_begun_to_fill_stays_open_amid_others",
    ),
    # P5: one tenant meets another. Ids may be the same in both (tests/rls/twins.py).
    Mutation(
        "members read every tenant's appointments",
        "P5",
        (
            (
                "sql/60_policies/appointments.sql",
                "  or tenant_id = any ((select booking.member_tenant_ids())::uuid[])\n);\n\n"
                "drop policy if exists members_insert",
                "  or cardinality((select booking.member_tenant_ids())::uuid[]) > 0\n);\n\n"
                "drop policy if exists members_insert",
            ),
        ),
        f"{SEALED}::test_members_read_every_row_of_their_own_tenant_and_no_other",
    ),
    Mutation(
        "members read every tenant's breaks",
        "P5",
        (
            (
                "sql/60_policies/breaks.sql",
                "using (tenant_id = any ((select booking.member_tenant_ids())::uuid[]));",
                "using (cardinality((select booking.member_tenant_ids())::uuid[]) > 0);",
            ),
        ),
        f"{SEALED}::test_no_question_finds_another_tenants_rows",
    ),
    Mutation(
        "who is a member somewhere may write everywhere",
        "P5",
        (
            (
                "sql/10_foundation/caller.sql",
                "v_membership jsonb := v_claims #> array['app_metadata', 'tenants', p_tenant_id::text];",
                "v_membership jsonb := (select m.membership from booking.caller_memberships() m limit 1);",
            ),
        ),
        f"{CANCELLING}::test_who_is_staff_elsewhere_is_a_customer_here",
    ),
    Mutation(
        "staff are in every tenant whom they are in one",
        "P5",
        (
            (
                "sql/10_foundation/caller.sql",
                "v_membership ->> 'role' = 'staff' and v_membership ->> 'staff_id' = p_staff_id::text",
                "v_membership ->> 'role' = 'staff' and p_staff_id = any (booking.member_staff_ids())",
            ),
        ),
        f"{SEALED}::test_staff_write_their_own_calendar_and_admins_everyones",
    ),
    Mutation(
        "who is a member somewhere is one everywhere",
        "P5",
        (
            (
                "sql/10_foundation/caller.sql",
                "    or v_claims #>> array['app_metadata', 'tenants', p_tenant_id::text, 'role']\n"
                "      in ('admin', 'staff'),",
                "    or exists (select from booking.caller_memberships()),",
            ),
        ),
        f"{SEALED}::test_in_every_function_foreign_is_missing",
    ),
    Mutation(
        "what users write about themselves makes them members",
        "P5",
        (
            (
                "sql/10_foundation/caller.sql",
                "  from booking.caller_claims() as c(claims)\n",
                "  from (\n"
                "    select coalesce(jsonb_set(\n"
                "      claims, '{app_metadata}', claims -> 'user_metadata'\n"
                "    ), claims)\n"
                "    from booking.caller_claims() as f(claims)\n"
                "  ) as c(claims)\n",
            ),
        ),
        "tests/rls/test_garbage_in_tokens.py::test_what_is_no_membership_gives_nothing",
    ),
    Mutation(
        "tokens name the memberships of everybody",
        "P5",
        (("sql/10_foundation/memberships.sql", "  where m.user_id = p_user_id\n", ""),),
        "tests/rls/test_token_hook.py::test_who_is_nobody_is_member_of_nothing",
    ),
    Mutation(
        "a break may name another tenant's place",
        "P5",
        (
            (
                "migrations/0004.hours.sql",
                "  constraint break_is_at_a_location_of_the_tenant\n"
                "    foreign key (tenant_id, location_id) references booking.locations (tenant_id, id),\n",
                "",
            ),
        ),
        f"{SEALED}::test_a_place_of_another_tenant_is_as_good_as_none",
    ),
    Mutation(
        "a member may be another tenant's person",
        "P5",
        (
            (
                "migrations/0003.tenants.sql",
                "  constraint member_role_is_admin_or_staff check (role in ('admin', 'staff')),\n"
                "  constraint member_is_staff_of_the_tenant\n"
                "    foreign key (tenant_id, staff_id) references booking.staff (tenant_id, id)\n",
                "  constraint member_role_is_admin_or_staff check (role in ('admin', 'staff'))\n",
            ),
        ),
        f"{CATALOG}::test_whatever_names_a_row_of_the_tenant_is_a_foreign_key",
    ),
    Mutation(
        "a foreign key leaves the tenant out",
        "P5",
        (
            (
                "migrations/0003.tenants.sql",
                "  constraint a_slot_id_means_one_claim unique (",
                "  constraint shape_id_is_unique unique (id),\n"
                "  constraint a_slot_id_means_one_claim unique (",
            ),
            (
                "migrations/0005.appointments_and_slots.sql",
                "  constraint held_shape_is_one_of_the_tenant\n"
                "    foreign key (tenant_id, shape_id) references booking.slot_shapes (tenant_id, id),\n",
                "  constraint held_shape_is_one_of_the_tenant\n"
                "    foreign key (shape_id) references booking.slot_shapes (id),\n",
            ),
        ),
        f"{CATALOG}::test_foreign_keys_lead_from_tenant_to_tenant",
    ),
    Mutation(
        "a key is unique in the installation",
        "P5",
        (
            (
                "migrations/0004.hours.sql",
                "busy_time_external_id_is_unique_in_its_source unique (tenant_id, source, external_id)",
                "busy_time_external_id_is_unique_in_its_source unique (source, external_id)",
            ),
        ),
        f"{VERIFYING}::test_an_exact_calendar_has_no_difference_by_either_calculator",
    ),
    Mutation(
        "a slot's id does not name its tenant",
        "P5",
        (
            (
                "migrations/0002.clock_and_names.sql",
                "    p_tenant_id::text || p_staff_id::text ||",
                "    p_staff_id::text ||",
            ),
        ),
        f"{SEALED}::test_a_slots_id_names_its_tenant",
    ),
    Mutation(
        "an appointment is found without its tenant",
        "P5",
        (
            (
                "sql/40_booking/find_appointment.sql",
                " and (v_tenant_id is null or a.tenant_id = v_tenant_id)\n",
                "\n",
            ),
        ),
        f"{STRANGERS}::test_a_payment_in_another_tenants_name_finds_nothing",
    ),
    Mutation(
        "a slot is found without its tenant",
        "P5",
        (
            (
                "sql/40_booking/find_slot.sql",
                "where s.id = v_slot_id and (v_tenant_id is null or s.tenant_id = v_tenant_id);",
                "where s.id = v_slot_id;",
            ),
        ),
        f"{STRANGERS}::test_in_another_tenants_name_nothing_is_reserved",
    ),
    Mutation(
        "a place is found without its tenant",
        "P5",
        (
            (
                "sql/40_booking/require_public.sql",
                "where l.tenant_id = p_tenant_id and l.id = p_location_id and l.is_active;",
                "where l.id = p_location_id and l.is_active;",
            ),
        ),
        f"{LISTING}::test_what_is_another_tenants_looks_like_what_is_not_there",
    ),
    Mutation(
        "another tenant's appointment is told from none",
        "P5",
        (
            (
                "sql/40_booking/lock_appointment.sql",
                "    perform booking.refuse('not_found', 'There is no such appointment.');\n",
                "    perform booking.refuse(case when exists (\n"
                "      select from booking.appointments a\n"
                "      where a.id = (p_request ->> 'appointment_id')::uuid\n"
                "    ) then 'forbidden' else 'not_found' end, 'There is no such appointment.');\n",
            ),
        ),
        f"{SEALED}::test_in_every_function_foreign_is_missing",
    ),
    Mutation(
        "a lock is on the calendars of that id in every tenant",
        "P5",
        (
            (
                "sql/30_slots/lock_calendars.sql",
                "    where c.tenant_id = p_tenant_id and c.staff_id = v_staff_id\n      and not",
                "    where c.staff_id = v_staff_id\n      and not",
            ),
        ),
        f"{SEALED}::test_nobody_waits_for_another_tenants_locks",
    ),
    Mutation(
        "a session's lock is one for all tenants",
        "P5",
        (("sql/40_booking/lock_session.sql", "p_tenant_id::text || encode(", "encode("),),
        f"{SEALED}::test_whoever_books_in_two_tenants_waits_in_neither_for_the_other",
    ),
    Mutation(
        "a customer's lock is one for all tenants",
        "P5",
        (
            (
                "sql/40_booking/customer_limit.sql",
                "      p_tenant_id || ' ' || booking.customer_key(",
                "      booking.customer_key(",
            ),
        ),
        f"{SEALED}::test_whoever_books_in_two_tenants_waits_in_neither_for_the_other",
    ),
    Mutation(
        "customer limit: appointments in other tenants count",
        "P5",
        (
            (
                "sql/40_booking/customer_limit.sql",
                "    where a.tenant_id = p_tenant_id and a.customer_id = p_customer_id\n",
                "    where a.customer_id = p_customer_id\n",
            ),
        ),
        f"{CUSTOMER_LIMIT}::test_another_tenants_do_not_count",
    ),
    Mutation(
        "all clients share one rate limit",
        "P5",
        (
            (
                "sql/10_foundation/seconds_to_wait.sql",
                "convert_to(v_settings.hash_salt::text || v_client, 'UTF8')",
                "convert_to(v_settings.hash_salt::text, 'UTF8')",
            ),
        ),
        f"{LIMITS}::test_another_address_is_free",
    ),
    Mutation(
        "an idempotency key is one for all tenants",
        "P5",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "caller_id()\n      and (p_tenant_id is null or a.tenant_id = p_tenant_id)\n",
                "caller_id()\n",
            ),
        ),
        f"{IDEMPOTENCY}::test_each_tenant_has_keys_of_its_own",
    ),
    Mutation(
        "what takes time in one tenant takes it in another",
        "P5",
        (
            (
                "sql/20_calculator/busy_time.sql",
                "    where a.tenant_id = p_tenant_id and a.staff_id = p.staff_id and",
                "    where a.staff_id = p.staff_id and",
            ),
        ),
        f"{SEALED}::test_what_happens_in_one_tenant_moves_nothing_in_another",
    ),
    Mutation(
        "what is written in one tenant takes holds in another",
        "P5",
        (
            (
                "sql/30_slots/drop_beaten_holds.sql",
                "  where h.tenant_id = p_tenant_id and h.id = n.id\n",
                "  where h.id = n.id\n",
            ),
        ),
        f"{SEALED}::test_what_happens_in_one_tenant_moves_nothing_in_another",
    ),
    Mutation(
        "a consumer gets the events of every tenant",
        "P5",
        (
            (
                "sql/40_booking/take_events.sql",
                " and (p_tenant_id is null or e.tenant_id = p_tenant_id)\n",
                "\n",
            ),
        ),
        f"{EVENTS}::test_a_consumer_can_ask_for_one_tenant",
    ),
    Mutation(
        "an event is finished in every tenant",
        "P5",
        (
            (
                "sql/40_booking/take_events.sql",
                "  where e.tenant_id = done.tenant_id and e.id = done.id",
                "  where e.id = done.id",
            ),
        ),
        f"{EVENTS}::test_an_event_is_finished_by_tenant_and_id",
    ),
    Mutation(
        "a customer's export tells of every tenant",
        "P5",
        (
            (
                "sql/40_booking/customer_data.sql",
                "  where a.tenant_id = p_tenant_id\n    and (\n      a.customer_id = p_customer_id",
                "  where (\n      a.customer_id = p_customer_id",
            ),
        ),
        "tests/booking/test_customer_data.py::test_nothing_of_others_is_exported",
    ),
    Mutation(
        "a row moves to another tenant",
        "P5",
        (
            (
                "sql/50_triggers/appointments.sql",
                "before update of tenant_id, id on booking.appointments\n"
                "for each row when (old.tenant_id <> new.tenant_id or old.id <> new.id)\n",
                "before update of tenant_id, id on booking.appointments\n"
                "for each row when (false)\n",
            ),
        ),
        f"{SEALED}::test_nor_does_one_by_whoever_may_write_the_tables",
    ),
    # P4: something is told that is nobody's business.
    Mutation(
        "customers read what others have booked",
        "P4",
        (
            (
                "sql/60_policies/appointments.sql",
                "  customer_id = (select booking.caller_id())\n",
                "  (select booking.caller_id()) is not null\n",
            ),
        ),
        "tests/rls/test_appointments.py::test_customers_see_their_own_and_nobody_elses",
    ),
    Mutation(
        "a view has a column too many",
        "P4",
        (
            (
                "sql/70_api/staff.sql",
                "select s.id, s.tenant_id, s.display_name\n",
                "select s.id, s.tenant_id, s.display_name, s.user_id\n",
            ),
            (
                "sql/90_grants.sql",
                "grant select (id, tenant_id, display_name, is_active)\n",
                "grant select (id, tenant_id, display_name, is_active, user_id)\n",
            ),
        ),
        f"{ANON}::test_the_public_views_show_exactly_these_columns",
    ),
    Mutation(
        "a view is no barrier to conditions that fail",
        "P4",
        (
            (
                "sql/70_api/staff.sql",
                "with (security_invoker = true, security_barrier = true)",
                "with (security_invoker = true)",
            ),
        ),
        f"{SURFACE}::test_a_condition_that_fails_tells_nothing_of_an_inactive_tenant",
    ),
    Mutation(
        "a view runs with the rights of its owner",
        "P4",
        (
            (
                "sql/70_api/availability_slots.sql",
                "create or replace view api.availability_slots with (security_invoker = true) as",
                "create or replace view api.availability_slots as",
            ),
        ),
        f"{ANON}::test_only_what_can_be_booked_now_is_offered",
    ),
    Mutation(
        "people of inactive tenants are named",
        "P4",
        (
            (
                "sql/70_api/staff.sql",
                "\n  and exists (select from booking.tenants t where t.id = s.tenant_id and t.is_active)",
                "",
            ),
        ),
        f"{ANON}::test_what_is_deactivated_is_hidden_at_once_whatever_the_queue_has_to_do",
    ),
    Mutation(
        "a function behind the frames is granted",
        "P4",
        (
            (
                "sql/90_grants.sql",
                "grant execute on function booking.answer to anon, authenticated, service_role;\n",
                "grant execute on function booking.answer to anon, authenticated, service_role;\n"
                "grant execute on function booking.find_appointment to anon;\n",
            ),
        ),
        f"{SURFACE}::test_every_function_outside_the_surface_is_refused",
    ),
    Mutation(
        "new functions are executable by everybody",
        "P4",
        (
            (
                "migrations/0001.roles_and_schemas.sql",
                "alter default privileges for role booking_owner revoke execute on functions from"
                " public;\n",
                "",
            ),
        ),
        f"{CATALOG}::test_public_may_execute_nothing_and_enter_no_schema",
    ),
    Mutation(
        "a table has no row-level security",
        "P4",
        (
            (
                "migrations/0003.tenants.sql",
                "alter table booking.members enable row level security;\n",
                "",
            ),
        ),
        f"{CATALOG}::test_row_level_security_is_on_for_every_table",
    ),
    Mutation(
        "an error's detail passes through",
        "P4",
        (
            (
                "sql/40_booking/attempt.sql",
                "      when unique_violation or exclusion_violation or foreign_key_violation then\n",
                "      when unique_violation or exclusion_violation or foreign_key_violation then\n"
                "        get stacked diagnostics v_details = pg_exception_detail;\n",
            ),
        ),
        "tests/booking/test_refusals.py"
        "::test_what_only_a_constraint_has_seen_is_refused_in_the_same_words",
    ),
    Mutation(
        "off duty is told from busy",
        "P4",
        (
            (
                "sql/40_booking/require_slot.sql",
                "  if p_slot.tenant_id is null then\n    perform booking.refuse_taken();\n",
                "  if p_slot.tenant_id is null then\n"
                "    perform booking.refuse('slot_not_found', 'There is no such slot.');\n",
            ),
        ),
        f"{STRANGERS}"
        "::test_what_another_holds_or_has_booked_is_taken_like_any_slot_that_does_not_exist",
    ),
    Mutation(
        "a session is told what others hold",
        "P4",
        (
            (
                "sql/40_booking/get_reservations.sql",
                "    where h.session_hash = sha256(convert_to(p_request ->> 'session_id', 'UTF8'))\n"
                "      and h.expires_at > booking.now()\n",
                "    where h.expires_at > booking.now()\n",
            ),
        ),
        f"{STRANGERS}::test_a_session_is_not_told_what_another_holds",
    ),
    Mutation(
        "a class that is full tells how full",
        "P4",
        (
            (
                "sql/70_api/availability_slots.sql",
                "greatest(s.seats_left, 1) as seats_left",
                "s.seats_left",
            ),
        ),
        ANON,
    ),
    Mutation(
        "who holds nothing waits for the lock and learns that somebody writes",
        "P4",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "      perform booking.lock_calendars(v_hold.tenant_id, array[v_hold.staff_id]);\n"
                "    end if;\n",
                "    end if;\n"
                "    perform booking.lock_calendars(p_slot.tenant_id, array[p_slot.staff_id]);\n",
            ),
        ),
        f"{STRANGERS}::test_strangers_are_refused_without_waiting_for_any_lock",
    ),
    Mutation(
        "an event tells who comes",
        "P4",
        (
            (
                "sql/50_triggers/appointments.sql",
                "      'source', (c.row).source\n    ) ||",
                "      'source', (c.row).source,\n      'customer', (c.row).customer\n    ) ||",
            ),
        ),
        f"{EVENTS}::test_nothing_of_the_customer_is_in_the_payload",
    ),
    Mutation(
        "edges keep what somebody signed in has read",
        "P4",
        (
            (
                "sql/10_foundation/cache_control.sql",
                "  select case booking.caller_role()\n    when 'anon' then",
                "  select case\n    when booking.caller_role() is not null then",
            ),
        ),
        f"{CACHING}::test_nobody_keeps_what_somebody_signed_in_reads",
    ),
    Mutation(
        "addresses can be read from the rate limiter's counts",
        "P4",
        (
            (
                "sql/10_foundation/seconds_to_wait.sql",
                "encode(sha256(convert_to(v_settings.hash_salt::text || v_client, 'UTF8')), 'hex')",
                "v_client",
            ),
        ),
        f"{LIMITS}::test_no_address_can_be_read_from_the_counts",
    ),
    Mutation(
        "callers set the clock",
        "P4",
        (
            (
                "migrations/0002.clock_and_names.sql",
                "\n    and (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = session_user)",
                "",
            ),
        ),
        f"{ANON}::test_a_fake_clock_is_not_for_callers",
    ),
    # P6: what happened is not on record.
    Mutation(
        "a direct write is not on record",
        "P6",
        (
            (
                "sql/50_triggers/appointments.sql",
                "    where c.action is not null and v_is_direct\n",
                "    where false\n",
            ),
        ),
        f"{AUDIT}::test_a_direct_write_is_on_record_when_it_succeeds",
    ),
    Mutation(
        "a direct write after a call is taken for the call's",
        "P6",
        (
            (
                "sql/40_booking/attempt.sql",
                "  perform set_config('booking.is_audited', '', true);\n\n  if v_code",
                "  if v_code",
            ),
        ),
        f"{AUDIT}::test_a_direct_write_after_a_call_in_the_same_transaction_is_on_record",
    ),
    Mutation(
        "a deleted appointment leaves no record",
        "P6",
        (
            (
                "sql/50_triggers/appointments.sql",
                "referencing old table as old_rows\n"
                "for each statement execute function booking.appointments_recorded();",
                "referencing old table as old_rows\n"
                "for each statement when (false) execute function booking.appointments_recorded();",
            ),
        ),
        AUDIT,
    ),
    Mutation(
        "of many rows of a statement one is on record",
        "P6",
        (
            (
                "sql/50_triggers/appointments.sql",
                "    where c.action is not null and v_is_direct\n",
                "    where c.action is not null and v_is_direct\n    limit 1\n",
            ),
        ),
        f"{AUDIT}::test_each_row_of_a_statement_is_on_record",
    ),
    Mutation(
        "a refusal is an exception and takes its record with it",
        "P6",
        (
            (
                "sql/40_booking/attempt.sql",
                "      when sqlstate 'PB001' then\n",
                "      when sqlstate 'PB001' then\n        raise;\n",
            ),
        ),
        f"{AUDIT}::test_each_call_leaves_one_row",
    ),
    Mutation(
        "busy is not on record",
        "P6",
        (
            (
                "sql/40_booking/attempt.sql",
                "  insert into booking.audit_log (",
                "  if v_code = 'busy' then\n    return v_answer;\n  end if;\n"
                "  insert into booking.audit_log (",
            ),
        ),
        f"{AUDIT}::test_busy_is_on_record_too",
    ),
    Mutation(
        "attempts at what nobody knows are not on record",
        "P6",
        (
            (
                "sql/40_booking/attempt.sql",
                "  insert into booking.audit_log (",
                "  if coalesce(v_tenant_id, v_appointment.tenant_id) is null then\n"
                "    return v_answer;\n  end if;\n"
                "  insert into booking.audit_log (",
            ),
        ),
        f"{RESERVING}::test_a_start_beyond_all_calendars_is_refused_and_on_record",
    ),
    Mutation(
        "a flood of calls fills the trail",
        "P6",
        (
            (
                "sql/40_booking/attempt.sql",
                "  if v_seconds > 0 then\n",
                "  if v_seconds > 0 then\n"
                "    insert into booking.audit_log (tenant_id, action, outcome, code)\n"
                "    values (c_unknown_tenant, p_action, 'refused', 'rate_limited');\n",
            ),
        ),
        f"{LIMITS}::test_the_eleventh_reservation_in_a_minute_is_429_and_leaves_no_record",
    ),
    Mutation(
        "the trail keeps addresses as they are",
        "P6",
        (
            (
                "sql/10_foundation/client_address.sql",
                "    select sha256(convert_to(s.hash_salt::text || v_network, 'UTF8'))",
                "    select convert_to(v_network::text, 'UTF8')",
            ),
        ),
        f"{AUDIT}::test_the_address_is_hashed_as_the_proxy_saw_it",
    ),
    Mutation(
        "old rows of the trail can be changed",
        "P6",
        (
            (
                "sql/50_triggers/audit_log.sql",
                "  if tg_op = 'DELETE' and old.occurred_at < v_kept_since then\n    return old;\n",
                "  if old.occurred_at < v_kept_since then\n    return coalesce(new, old);\n",
            ),
        ),
        f"{AUDIT}::test_and_even_then_they_cannot_be_changed",
    ),
    # P7: something is lost, or half of it is kept.
    Mutation(
        "a call does not wait until it is on disk",
        "P7",
        (
            (
                "sql/40_booking/attempt.sql",
                "begin\n  if current_setting('transaction_read_only') = 'on' then\n",
                "begin\n  perform set_config('synchronous_commit', 'off', true);\n"
                "  if current_setting('transaction_read_only') = 'on' then\n",
            ),
        ),
        f"{LASTING}::test_no_call_changes_how_its_transaction_is_committed",
    ),
    Mutation(
        "a write by hand does not wait until it is on disk",
        "P7",
        (
            (
                "sql/30_slots/refresh_around.sql",
                "begin\n",
                "begin\n  perform set_config('synchronous_commit', 'off', true);\n",
            ),
        ),
        f"{LASTING}::test_no_write_by_hand_changes_how_its_transaction_is_committed",
    ),
    Mutation(
        "events do not survive a crash",
        "P7",
        (
            (
                "migrations/0006.records.sql",
                "create table booking.events (",
                "create unlogged table booking.events (",
            ),
        ),
        f"{CATALOG}::test_every_table_survives_a_crash_but_the_named_one",
    ),
    Mutation(
        "holds do not survive a crash",
        "P7",
        (
            (
                "migrations/0005.appointments_and_slots.sql",
                "create table booking.slot_reservations (",
                "create unlogged table booking.slot_reservations (",
            ),
        ),
        f"{CATALOG}::test_every_table_survives_a_crash_but_the_named_one",
    ),
    Mutation(
        "a trigger is forgotten: nobody is told of a booking",
        "P7",
        (
            (
                "sql/50_triggers/appointments.sql",
                "after insert on booking.appointments\nreferencing new table as changed_rows\n"
                "for each statement execute function booking.appointments_recorded();",
                "after insert on booking.appointments\nreferencing new table as changed_rows\n"
                "for each statement when (false) execute function booking.appointments_recorded();",
            ),
        ),
        f"{EVENTS}::test_a_booking_is_told_once",
    ),
    Mutation(
        "a booking is kept though its event cannot be written",
        "P7",
        (
            (
                "sql/50_triggers/appointments.sql",
                "  with changes as materialized (\n",
                "  begin\n  with changes as materialized (\n",
            ),
            (
                "sql/50_triggers/appointments.sql",
                "  where event.kind is not null;\n",
                "  where event.kind is not null;\n"
                "  exception when others then\n    null;\n  end;\n",
            ),
        ),
        f"{EVENTS}::test_where_the_event_cannot_be_written_nothing_is_booked",
    ),
    Mutation(
        "a request that is sent again books again",
        "P7",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "  if v_key is not null and booking.was_booked(v_tenant_id, v_key) then\n",
                "  if false then\n",
            ),
        ),
        f"{IDEMPOTENCY}::test_the_same_request_gets_the_same_appointment_and_a_new_token",
    ),
    Mutation(
        "the key of a booking is not kept with it",
        "P7",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "    v_key, case when v_key is not null then v_request_hash end, v_token_hash, 'api'\n",
                "    null, null, v_token_hash, 'api'\n",
            ),
        ),
        f"{IDEMPOTENCY}::test_two_equal_requests_at_once_book_once",
    ),
    Mutation(
        "a refusal keeps what was done so far",
        "P7",
        (
            (
                "sql/40_booking/reserve_slot.sql",
                "  v_type := booking.offered_type(\n"
                "    p_slot.tenant_id, p_slot.staff_id, p_slot.shape_id,"
                " p_request ->> 'appointment_type', v_hold\n  );\n",
                "  begin\n"
                "    v_type := booking.offered_type(\n"
                "      p_slot.tenant_id, p_slot.staff_id, p_slot.shape_id,"
                " p_request ->> 'appointment_type', v_hold\n    );\n"
                "  exception when sqlstate 'PB001' then\n"
                "    return booking.refusal('invalid_request', sqlerrm);\n  end;\n",
            ),
        ),
        f"{RESERVING}::test_a_hold_is_kept_when_the_request_to_replace_it_is_not_valid",
    ),
    Mutation(
        "events that nobody has handled are thrown away",
        "P7",
        (
            (
                "sql/80_jobs/delete_old_records.sql",
                "    where o.processed_at < v_today -",
                "    where o.created_at < v_today -",
            ),
        ),
        f"{JOBS}::test_old_records_go_exactly_when_the_settings_say",
    ),
    Mutation(
        "a calendar that fails falls off the queue",
        "P7",
        (
            (
                "sql/30_slots/refresh_queued_calendar.sql",
                "  perform booking.queue_failed(p_tenant_id, p_staff_id, 'refresh failed', v_error);\n",
                "  delete from booking.refresh_queue q\n"
                "  where q.tenant_id = p_tenant_id and q.staff_id = p_staff_id;\n",
            ),
        ),
        f"{JOBS}::test_a_failing_calendar_waits_for_its_next_turn_and_stops_no_other",
    ),
    Mutation(
        "a migration and its mark are two transactions",
        "P7",
        (
            (
                "cli/pgbooking/migrate.py",
                "        if migration.use_transactions:\n            with session.transaction():\n",
                "        if migration.use_transactions:\n            if session:\n",
            ),
        ),
        f"{MIGRATING}::test_a_migration_without_its_mark_is_not_kept",
    ),
    # P8: the way back is not the way there.
    Mutation(
        "a rollback forgets a table",
        "P8",
        (("migrations/0006.records.rollback.sql", "drop table booking.rate_limits;\n\n", ""),),
        f"{STAIRS}::test_each_migration_goes_down_and_up_again_over_rows",
    ),
    Mutation(
        "a rollback forgets a column",
        "P8",
        (
            (
                "migrations/0010.imports_and_parallel_run.rollback.sql",
                "  drop column external_id,\n  drop column source;\n",
                "  drop column external_id;\n",
            ),
        ),
        f"{STAIRS}::test_each_migration_goes_down_and_up_again_over_rows",
    ),
    Mutation(
        "a rollback forgets a comment",
        "P8",
        (
            (
                "migrations/0008.jobs.rollback.sql",
                "comment on table booking.jobs is\n"
                "  'The one list of jobs: schedule is a cron expression in UTC, command the SQL to run.';\n",
                "",
            ),
        ),
        f"{STAIRS}::test_each_migration_goes_down_and_up_again_over_rows",
    ),
    Mutation(
        "a rollback forgets a default privilege",
        "P8",
        (
            (
                "migrations/0001.roles_and_schemas.rollback.sql",
                "alter default privileges for role booking_owner grant execute on functions to"
                " public;\n",
                "",
            ),
        ),
        f"{STAIRS}::test_each_migration_goes_down_and_up_again_over_rows",
    ),
    Mutation(
        "a rollback forgets an index",
        "P8",
        (
            (
                "migrations/0009.audit_log_by_time.rollback.sql",
                "drop index concurrently if exists booking.audit_log_occurred_at_idx;",
                "select 1;",
            ),
        ),
        f"{STAIRS}::test_each_migration_goes_down_and_up_again_over_rows",
    ),
    Mutation(
        "a migration fails where there are rows",
        "P8",
        (
            (
                "migrations/0008.jobs.sql",
                "add column retry_at timestamptz not null default '-infinity';",
                "add column retry_at timestamptz not null;",
            ),
        ),
        f"{STAIRS}::test_each_migration_goes_down_and_up_again_over_rows",
    ),
    Mutation(
        "a rollback deletes what the older release has written",
        "P8",
        (
            (
                "migrations/0010.imports_and_parallel_run.rollback.sql",
                "delete from booking.verification_runs where compared_with <> 'calculator';",
                "delete from booking.verification_runs;",
            ),
        ),
        f"{STAIRS}::test_what_the_older_release_knows_stays_and_what_it_would_misread_goes",
    ),
    Mutation(
        "a rollback leaves what the older release would misread",
        "P8",
        (
            (
                "migrations/0010.imports_and_parallel_run.rollback.sql",
                "delete from booking.verification_runs where compared_with <> 'calculator';\n",
                "",
            ),
        ),
        f"{STAIRS}::test_what_the_older_release_knows_stays_and_what_it_would_misread_goes",
    ),
    Mutation(
        "the engine's rollback forgets new functions",
        "P8",
        (
            (
                "cli/pgbooking/engine.py",
                "        + _statements(each.created.drop for each in reversed(made))\n"
                "        + (_section(GRANTS,",
                "        + (_section(GRANTS,",
            ),
        ),
        f"{STAIRS}::test_each_migration_goes_down_and_up_again_over_rows",
    ),
    Mutation(
        "the engine's rollback forgets grants",
        "P8",
        (
            (
                "cli/pgbooking/engine.py",
                "for each in dropped) + _statements(released.additions),",
                "for each in dropped),",
            ),
        ),
        f"{ENGINE_TESTS}::test_every_kind_of_change_goes_forward_and_back",
    ),
    Mutation(
        "the engine's rollback forgets that there was no comment",
        "P8",
        (
            (
                "cli/pgbooking/engine.py",
                "    gone = before.commented - piece.commented\n",
                "    gone = before.commented - before.commented\n",
            ),
        ),
        f"{ENGINE_TESTS}::test_every_kind_of_change_goes_forward_and_back",
    ),
    # Others of their kind: the clock, the lock, a trigger, a constraint.
    Mutation(
        "the policy asks the transaction's clock",
        "P3",
        (
            (
                "sql/60_policies/availability_slots.sql",
                "  and bookable_until > (select booking.now())\n",
                "  and bookable_until > (select pg_catalog.now())\n",
            ),
        ),
        f"{ANON}::test_only_what_can_be_booked_now_is_offered",
    ),
    Mutation(
        "booking asks the transaction's clock",
        "P3",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "  v_now := booking.now();\n",
                "  v_now := now();\n",
            ),
        ),
        f"{CREATING}::test_a_hold_can_be_booked_until_it_expires",
    ),
    Mutation(
        "reserving looks, then locks",
        "P1",
        (
            (
                "sql/40_booking/reserve_slot.sql",
                "  perform booking.lock_calendars(p_slot.tenant_id, array[p_slot.staff_id]);\n"
                "  v_now := booking.now();\n",
                "  v_now := booking.now();\n",
            ),
            (
                "sql/40_booking/reserve_slot.sql",
                "    -- What has expired goes as the hold comes (check_hold).\n",
                "    perform booking.lock_calendars(p_slot.tenant_id, array[p_slot.staff_id]);\n",
            ),
        ),
        f"{BOOKING_RACES}::test_reserving_a_time_that_is_being_closed_is_refused",
    ),
    Mutation(
        "a hold may lie on an appointment",
        "P1",
        (
            (
                "sql/50_triggers/slot_reservations.sql",
                "    where a.tenant_id = new.tenant_id and a.staff_id = new.staff_id\n",
                "    where false and a.tenant_id = new.tenant_id and a.staff_id = new.staff_id\n",
            ),
        ),
        f"{RACES}::test_a_hold_placed_while_the_time_is_booked_is_refused",
    ),
    Mutation(
        "a trigger is forgotten: holds are not published",
        "P2",
        (
            (
                "sql/50_triggers/slot_reservations.sql",
                "after insert on booking.slot_reservations\n"
                "referencing new table as changed_rows\nfor each statement execute",
                "after insert on booking.slot_reservations\n"
                "referencing new table as changed_rows\nfor each statement when (false) execute",
            ),
        ),
        f"{RESERVING}::test_it_and_every_slot_that_it_overlaps_are_hidden_until_then",
    ),
    Mutation(
        "travel to the next place is left out",
        "P3",
        (
            (
                "sql/20_calculator/calculate_slots.sql",
                "        else tstzrange(lower(b.period) - t.way_to, upper(b.period) + t.way_from)\n",
                "        else tstzrange(lower(b.period), upper(b.period) + t.way_from)\n",
            ),
        ),
        f"{TRAVEL}::test_what_is_booked_hides_what_cannot_be_reached_from_it",
    ),
    Mutation(
        "a machine's visit: any session books what another holds",
        "P3",
        (
            (
                "sql/40_booking/create_appointment.sql",
                "        else h.session_hash = p_session_hash\n",
                "        else true\n",
            ),
        ),
        VISITS,
    ),
    Mutation(
        "a machine's visit: a move keeps the hold that it has used",
        "P3",
        (
            (
                "sql/40_booking/reschedule_appointment.sql",
                "    where h.tenant_id = v_hold.tenant_id and h.id = v_hold.id;\n"
                "    perform set_config('booking.refresh_follows', '', true);",
                "    where false;\n    perform set_config('booking.refresh_follows', '', true);",
            ),
        ),
        VISITS,
    ),
    Mutation(
        "a machine's history: the buffer before is left out",
        "P2",
        (
            (
                "sql/20_calculator/calculate_slots.sql",
                "sh.buffer_before_minutes * interval '1 minute' as buffer_before,",
                "0 * interval '1 minute' as buffer_before,",
            ),
        ),
        HISTORIES,
    ),
    Mutation(
        "a machine's history: busy times that go are not followed",
        "P2",
        (
            (
                "sql/50_triggers/busy_times.sql",
                "after delete on booking.busy_times\nreferencing old table as changed_rows\n"
                "for each statement execute function booking.busy_times_changed();",
                "after delete on booking.busy_times\nreferencing old table as changed_rows\n"
                "for each statement when (false) execute function booking.busy_times_changed();",
            ),
        ),
        HISTORIES,
    ),
    Mutation(
        "years that Python cannot hold are imported",
        "P2",
        (
            (
                "cli/pgbooking/import_rows.py",
                "if moment and not FIRST_YEAR <= moment.year <= LAST_YEAR:",
                "if False:",
            ),
        ),
        FUZZ_CSV,
    ),
    Mutation(
        "anyone's people are explained to the admins of any tenant",
        "P5",
        (
            (
                "sql/40_booking/explain_availability.sql",
                "    and (booking.caller_claims() is null or booking.caller_is_member(s.tenant_id));",
                "    and true;",
            ),
        ),
        FUZZ_API,
    ),
    Mutation(
        "adoption: a row that became an appointment while it was copied stays a busy time",
        "P7",
        (
            (
                "cli/pgbooking/adoption/60_steps.sql",
                "        where c.tenant_id = p_tenant_id and c.is_switched\n",
                "        where false\n",
            ),
        ),
        f"{FOLLOWING}::"
        "test_a_row_that_is_given_to_somebody_switched_while_it_is_copied_is_in_one_place",
    ),
    Mutation(
        "staff see today's analytics",
        "P4",
        (
            (
                "sql/45_analytics/live_days.sql",
                "if not booking.caller_may_write(p_tenant_id, null) then",
                "if not booking.caller_is_member(p_tenant_id) then",
            ),
        ),
        ANALYTICS,
    ),
    Mutation(
        "everybody who is signed in reads what was rolled up of holds",
        "P5",
        (
            (
                "sql/60_policies/daily_holds.sql",
                "using (tenant_id = any ((select booking.member_tenant_ids('admin'))::uuid[]));",
                "using (true);",
            ),
        ),
        ANALYTICS,
    ),
    Mutation(
        "an admin of one tenant has every tenant's figures of today",
        "P5",
        (
            (
                "sql/45_analytics/live_days.sql",
                "if not booking.caller_may_write(p_tenant_id, null) then",
                "if booking.member_tenant_ids('admin') = '{}' then",
            ),
        ),
        ANALYTICS,
    ),
    Mutation(
        "a tenant's figures are made of every tenant's attempts",
        "P5",
        (
            (
                "sql/45_analytics/attempts.sql",
                "where a.tenant_id = p_tenant_id\n      and a.occurred_at",
                "where a.occurred_at",
            ),
        ),
        ANALYTICS,
    ),
]


class DidNotRunError(Exception):
    """No test has begun, or the last one does not end."""


def broken_files(mutation: Mutation, root: Path) -> dict[str, str]:
    """The files that the mutation changes, as it leaves them."""
    texts: dict[str, str] = {}
    for file, old, new in mutation.replacements:
        text = texts.get(file) or (root / file).read_text()
        if text.count(old) != 1:
            sys.exit(
                f"{mutation.name}: {file} holds this {text.count(old)} times, not once:\n{old}"
            )
        texts[file] = text.replace(old, new)
    return texts


def forge_checksum(path: Path, text: str) -> None:
    """Released migrations are not edited; let it look as if this had been released."""
    checksums = path.parent / "CHECKSUMS"
    if checksums.is_file():
        before, after = (
            hashlib.sha256(each).hexdigest() for each in (path.read_bytes(), text.encode())
        )
        checksums.write_text(checksums.read_text().replace(before, after))


def caught_by(mutation: Mutation) -> str | None:
    """The test that fails in a copy of the project that has the mutation; None if all pass.

    Raises DidNotRunError where the copy breaks before a test begins: that proves nothing.
    """
    with tempfile.TemporaryDirectory(prefix="pgbooking-mutation-") as folder:
        copy = Path(folder)
        ignored = shutil.ignore_patterns("__pycache__", "node_modules")
        for name in COPIED:
            source = PROJECT / name
            if source.is_dir():
                shutil.copytree(source, copy / name, ignore=ignored)
            else:
                shutil.copy(source, copy / name)
        for file, text in broken_files(mutation, copy).items():
            forge_checksum(copy / file, text)
            (copy / file).write_text(text)
        environment = os.environ | {
            "PYTHONPATH": str(copy / "cli"),
            "PGBOOKING_NO_SHRINKING": "1",
        }
        subprocess.run(
            [sys.executable, "-m", "pgbooking.engine"], cwd=copy, env=environment, check=True
        )
        try:
            tests = subprocess.run(
                [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", mutation.tests],
                cwd=copy,
                env=environment,
                capture_output=True,
                text=True,
                timeout=600,
            )
        except subprocess.TimeoutExpired as error:
            raise DidNotRunError("the tests take more than ten minutes") from error
        if tests.returncode == 0:
            return None
        failed = re.search("^FAILED [^ ]*::([a-z0-9_]+)", tests.stdout, re.MULTILINE)
        if tests.returncode != 1 or failed is None:
            raise DidNotRunError(f"{tests.stdout}{tests.stderr}")
        return failed[1]


def main(words: list[str]) -> int:
    """Try the mutations whose name contains one of the words (or all); 1 if any survives, 2 if there is none."""
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    if not chosen:
        print(f"no mutation's name contains {' or '.join(map(repr, words))}", file=sys.stderr)
        return 2
    caught = 0
    for mutation in chosen:
        try:
            test = caught_by(mutation)
        except DidNotRunError as error:
            print(f"NO TEST   {mutation.name}\n{error}", flush=True)
            continue
        caught += test is not None
        print(f"{'caught  ' if test else 'SURVIVES'}  {mutation.name}", flush=True)
        if test:
            print(f"            by {test}", flush=True)
    print(f"{caught} of {len(chosen)} caught")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
