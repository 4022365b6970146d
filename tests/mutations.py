"""Breaks the product on purpose, one thing at a time, and asks whether a test notices.

    make mutate                       every mutation
    make mutate ARGS="buffer seat"    those whose name contains one of the words

Each mutation is a copy of the project with a few texts replaced; the tests named with it must fail.
A text that is no longer there is an error: the list has to follow the code.
"""

from __future__ import annotations

import hashlib
import os
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
VISITS = "tests/booking/test_booking_machine.py"
HISTORIES = "tests/calculator/test_calendar_machine.py"
FUZZ_CSV = "tests/fuzz/test_csv.py"
FUZZ_API = "tests/fuzz/test_api.py"


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
                "          s.busy && tstzrange(s.start - s.buffer_before, ",
                "          s.busy && tstzrange(s.start, ",
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
                "    then least(\n",
                "    then greatest(\n",
            ),
        ),
        EXAMPLES,
    ),
    Mutation(
        "cancelled appointments still take time",
        (("sql/20_calculator/busy_time.sql", "where a.status <> 'cancelled' and ", "where "),),
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
        (("sql/40_booking/free_seat.sql", "cardinality(v_taken) >= p_capacity", "false"),),
        P1,
    ),
    Mutation(
        "holds survive the appointment that beats them",
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
                "where e.ending + o.buffer_before < c.ends_at\n          and not",
                "where not",
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
        "tests/rls/test_anonymous_surface.py",
    ),
    # Holding, booking, moving, cancelling.
    Mutation(
        "a hold is not checked against other holds",
        (
            (
                "sql/40_booking/reserve_slot.sql",
                "    if v_are_others_in_the_way then\n",
                "    if false then\n",
            ),
            (
                "migrations/0005.appointments_and_slots.sql",
                ",\n  constraint one_person_is_held_once_at_a_time exclude using gist (\n"
                "    tenant_id with =,\n    staff_id with =,\n    claim with &&,\n"
                "    slot_id with <>\n  )",
                "",
            ),
        ),
        f"{BOOKING_RACES}::test_of_two_sessions_that_reserve_overlapping_slots_the_second_is_refused",
    ),
    Mutation(
        "what a queued calendar has published is believed",
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
        (
            (
                "sql/40_booking/current_slot.sql",
                "        and tstzrange(b.start_time, b.end_time) && s.claim\n",
                "        and false\n",
            ),
        ),
        f"{RESERVING}::test_what_takes_time_is_seen_though_it_was_never_published",
    ),
    Mutation(
        "the holds of a neighbour are forgotten when hold columns are written",
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
        (("sql/40_booking/take_events.sql", "  for update of e skip locked;", "  ;"),),
        f"{EVENTS}::test_two_consumers_skip_each_others_events",
    ),
    Mutation(
        "the cleanup deletes holds that live",
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
        (("cli/pgbooking/queries/compare_missing.sql", "(14, 'off_grid'", "(0, 'off_grid'"),),
        f"{COMPARING}::test_each_cause_is_told_and_counted",
    ),
    Mutation(
        "a comparison with its own database sees two moments",
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
        (("sql/40_booking/answer.sql", "md5(v_body)", "md5(p_request::text)"),),
        f"{CACHING}::test_who_has_something_older_gets_what_is_new",
    ),
    Mutation(
        "hours that stay are written anew",
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
        (("cli/pgbooking/migrate.py", "LOCK_TIMEOUT_SECONDS = 0.5", "LOCK_TIMEOUT_SECONDS = 10"),),
        UPGRADE,
    ),
    Mutation(
        "one unpaid appointment that cannot be released stops all others",
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
        (
            (
                "cli/pgbooking/calendar_events.py",
                "max(0.01, min(RULE_SECONDS, self.seconds_left))",
                "60",
            ),
        ),
        CALENDARS,
    ),
    Mutation(
        "a recurrence rule may recur without end",
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
        (("sql/40_booking/answer.sql", " or internal_error then", " then"),),
        "tests/booking/test_calls_cut_in_two.py::test_reading_is_done_once_more",
    ),
    Mutation(
        "holds of far days are forgotten",
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
        (
            (
                "sql/20_calculator/calculate_slots.sql",
                "s.is_compact and s.is_on_grid and not s.has_begun\n",
                "s.is_compact and s.is_on_grid\n",
            ),
        ),
        f"{COMPACT}::test_a_class_that_has_begun_to_fill_stays_open_amid_others",
    ),
    Mutation(
        "a machine's visit: any session books what another holds",
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
        "a machine's history: whose hours they were is not recalculated",
        (
            (
                "sql/30_slots/schedule_changed.sql",
                "      select to_jsonb(o) from old_rows o union select to_jsonb(n) from changed_rows n\n",
                "      select to_jsonb(n) from changed_rows n\n",
            ),
        ),
        HISTORIES,
    ),
    Mutation(
        "years that Python cannot hold are imported",
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
        (
            (
                "sql/40_booking/explain_availability.sql",
                "    and (booking.caller_claims() is null or booking.caller_is_member(s.tenant_id));",
                "    and true;",
            ),
        ),
        FUZZ_API,
    ),
]


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


def is_caught(mutation: Mutation) -> bool:
    """Whether the mutation's tests fail in a copy of the project that has it."""
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
    """Try the mutations whose name contains one of the words (or all); 1 if any survives, 2 if there is none."""
    chosen = [m for m in MUTATIONS if not words or any(word in m.name for word in words)]
    if not chosen:
        print(f"no mutation's name contains {' or '.join(map(repr, words))}", file=sys.stderr)
        return 2
    caught = 0
    for mutation in chosen:
        noticed = is_caught(mutation)
        caught += noticed
        print(f"{'caught  ' if noticed else 'SURVIVES'}  {mutation.name}", flush=True)
    print(f"{caught} of {len(chosen)} caught")
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
