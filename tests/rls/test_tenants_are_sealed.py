"""A tenant's people, and customers, read and write nothing of another tenant: in no view and no
function, by no id, foreign key, error message or waiting time."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.api import Answer, Api, Caller, customer
from tests.rls.acting import Result, run
from tests.rls.twins import (
    COPIED,
    HOUR,
    SCHEDULES,
    THEIR_WORD,
    USER,
    WRITTEN,
    Twins,
    fresh_twins,
    twins,
)
from tests.salon import TEN

__all__ = ["fresh_twins", "twins"]

# What a member may write, for a person at a place.
NEW_ROW: dict[str, dict[str, Any]] = {
    "appointments": {"start_time": TEN + 6 * HOUR, "end_time": TEN + 7 * HOUR},
    "working_hours": {"weekday": 1, "start_time": "18:00", "end_time": "19:00"},
    "breaks": {"weekday": 1, "start_time": "09:00", "end_time": "09:15"},
    "schedule_exceptions": {
        "first_date": "2026-03-07",
        "last_date": "2026-03-07",
        "kind": "closed",
    },
    "busy_times": {
        "start_time": TEN + 6 * HOUR,
        "end_time": TEN + 7 * HOUR,
        "source": "calendar",
        "external_id": "new",
    },
}
CHANGE = {
    "appointments": "notes = 'changed'",
    "working_hours": "end_time = '16:45'",
    "breaks": "end_time = '13:00'",
    "schedule_exceptions": "note = 'changed'",
    "busy_times": "source = 'changed'",
}


def new_row(twins: Twins, view: str, tenant: UUID, person: UUID | None) -> dict[str, Any]:
    """A row that its writer has every right to, if it is of their tenant."""
    row = {"tenant_id": tenant, "staff_id": person, **NEW_ROW[view]}
    if view in ("appointments", "working_hours"):
        row["location_id"] = twins.own.location
    if view == "appointments":
        row["appointment_type_id"] = twins.own.cut
    return row


def insert(twins: Twins, caller: Caller, view: str, row: dict[str, Any]) -> Result:
    statement = (
        f"insert into {view} ({', '.join(row)}) values ({', '.join(f'%({n})s' for n in row)})"
    )
    return run(twins.db, caller, statement, row)


def everything(twins: Twins, tenant: UUID) -> list[list[tuple[Any, ...]]]:
    """All that can be changed of a tenant."""
    tables = (*COPIED, "calendars", "availability_slots", "slot_reservations", "events")
    return [twins.rows(table, tenant) for table in tables]


# Reading


@pytest.mark.parametrize("view", WRITTEN)
def test_members_read_every_row_of_their_own_tenant_and_no_other(twins: Twins, view: str) -> None:
    for caller in twins.members:
        result = run(twins.db, caller, f"select * from {view}")
        assert result.rows == len(twins.rows(view, twins.own.tenant)) > 0
        assert str(twins.other) not in result.text
        assert THEIR_WORD not in result.text


@pytest.mark.parametrize("view", WRITTEN)
def test_no_question_finds_another_tenants_rows(twins: Twins, view: str) -> None:
    for caller in twins.outsiders:
        for condition in (
            "tenant_id = %(other)s",
            "tenant_id <> %(own)s",
            "id = %(only)s",
            "staff_id = %(person)s",
            "v::text like '%%' || %(secret)s || '%%'",
            "exists (select from {view} w where w.id = v.id and w.tenant_id <> v.tenant_id)",
        ):
            result = run(
                twins.db,
                caller,
                f"select * from {view} v where {condition.format(view=view)}",
                {
                    "other": twins.other,
                    "own": twins.own.tenant,
                    "only": twins.only_other_appointment,
                    "person": twins.only_other_person,
                    "secret": THEIR_WORD,
                },
            )
            assert (result.state, result.rows) == ("00000", 0), condition


def test_customers_see_their_own_appointments_and_no_schedules(twins: Twins) -> None:
    own = run(twins.db, customer(USER), "select tenant_id, customer_id from appointments")
    assert own.rows == 2
    assert own.text.count(str(twins.own.tenant)) == own.text.count(str(USER)) == 2
    for view in SCHEDULES:
        for caller in (customer(USER), Caller("authenticated")):
            assert run(twins.db, caller, f"select * from {view}").rows == 0


def test_who_is_staff_in_both_reads_both_and_mixes_nothing(twins: Twins) -> None:
    for view in WRITTEN:
        result = run(twins.db, twins.both, f"select * from {view}")
        both = [*twins.rows(view, twins.own.tenant), *twins.rows(view, twins.other)]
        assert result.rows == len(both)


# Writing


@pytest.mark.parametrize("view", WRITTEN)
def test_nothing_is_inserted_into_another_tenant(twins: Twins, view: str) -> None:
    for caller in twins.outsiders:
        for person in (twins.own.person, twins.only_other_person, None):
            result = insert(twins, caller, view, new_row(twins, view, twins.other, person))
            assert result.state == "42501"
            assert str(twins.only_other_person) not in result.text


@pytest.mark.parametrize("view", WRITTEN)
def test_nothing_of_another_tenant_is_changed_or_deleted(twins: Twins, view: str) -> None:
    before = everything(twins, twins.other)
    for caller in twins.outsiders:
        for condition in ("tenant_id = %(other)s", "id = %(only)s"):
            values = {"other": twins.other, "only": twins.only_other_appointment}
            for statement in (f"update {view} set {CHANGE[view]}", f"delete from {view}"):
                result = run(twins.db, caller, f"{statement} where {condition}", values, keep=True)
                if view == "appointments" and statement.startswith("delete"):
                    assert result.state == "42501"
                else:
                    assert (result.state, result.rows) == ("00000", 0)
    assert everything(twins, twins.other) == before


@pytest.mark.parametrize("view", WRITTEN)
def test_an_id_that_both_tenants_use_is_only_ones_own(fresh_twins: Twins, view: str) -> None:
    twins = fresh_twins
    before = everything(twins, twins.other)
    for (shared,) in twins.db.execute(
        f"select id from booking.{view} where tenant_id = %s".encode(), (twins.own.tenant,)
    ).fetchall():
        statement = f"update {view} set {CHANGE[view]} where id = %s"
        assert run(twins.db, twins.admin, statement, (shared,), keep=True).rows == 1
        if view != "appointments":
            statement = f"delete from {view} where id = %s"
            assert run(twins.db, twins.admin, statement, (shared,), keep=True).rows == 1
    assert everything(twins, twins.other) == before


@pytest.mark.parametrize("view", WRITTEN)
def test_no_row_moves_to_another_tenant(twins: Twins, view: str) -> None:
    for caller in (*twins.members, twins.both):
        for column in ("tenant_id", "id"):
            result = run(
                twins.db, caller, f"update {view} set {column} = %s", (twins.other,), keep=True
            )
            assert result.state == "42501"


@pytest.mark.parametrize("table", COPIED)
def test_nor_does_one_by_whoever_may_write_the_tables(twins: Twins, table: str) -> None:
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="never change"):
        twins.db.execute(
            f"update booking.{table} set tenant_id = %s where tenant_id = %s".encode(),
            (twins.other, twins.own.tenant),
        )


@pytest.mark.parametrize("view", ["appointments", "working_hours", "breaks", "schedule_exceptions"])
def test_a_place_of_another_tenant_is_as_good_as_none(twins: Twins, view: str) -> None:
    for caller in twins.members:
        results = []
        for place in (twins.only_other_location, uuid4()):
            row = new_row(twins, view, twins.own.tenant, twins.own.person) | {"location_id": place}
            result = insert(twins, caller, view, row)
            results.append((result.state, without_ids(result.text)))
            update = run(
                twins.db,
                caller,
                f"update {view} set location_id = %s where staff_id = %s",
                (place, twins.own.person),
            )
            results.append((update.state, without_ids(update.text)))
        assert results[:2] == results[2:]
        assert {state for state, _ in results} == {"23503"}


@pytest.mark.parametrize("view", WRITTEN)
def test_a_person_of_another_tenant_is_as_good_as_none(twins: Twins, view: str) -> None:
    results = []
    for person in (twins.only_other_person, uuid4()):
        result = insert(twins, twins.admin, view, new_row(twins, view, twins.own.tenant, person))
        results.append((result.state, without_ids(result.text)))
        update = run(twins.db, twins.admin, f"update {view} set staff_id = %s", (person,))
        results.append((update.state, without_ids(update.text)))
    assert results[:2] == results[2:]
    assert "00000" not in {state for state, _ in results}


def without_ids(text: str) -> str:
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", text)


# Staff and admins of one tenant


@pytest.mark.parametrize("view", WRITTEN)
def test_staff_write_their_own_calendar_and_admins_everyones(twins: Twins, view: str) -> None:
    for caller, person, may in (
        (twins.staff, twins.own.person, True),
        (twins.staff, twins.colleague, False),
        (twins.admin, twins.own.person, True),
        (twins.admin, twins.colleague, True),
        (twins.both, twins.own.person, True),
        (twins.both, twins.colleague, False),  # whom they are in the other tenant only
    ):
        row = new_row(twins, view, twins.own.tenant, person)
        assert (insert(twins, caller, view, row).state == "00000") is may

        where = "where tenant_id = %s and staff_id = %s"
        values = (twins.own.tenant, person)
        update = run(twins.db, caller, f"update {view} set {CHANGE[view]} {where}", values)
        assert (update.rows > 0) is may
        delete = run(twins.db, caller, f"delete from {view} {where}", values)
        assert (delete.rows > 0) is (may and view != "appointments")
        if caller is not twins.both and not may and view != "appointments":
            assert {update.state, delete.state} <= {"00000", "42501"}


@pytest.mark.parametrize("view", WRITTEN)
def test_staff_hand_nothing_over_to_a_colleague(twins: Twins, view: str) -> None:
    for caller in (twins.staff, twins.both):
        result = run(
            twins.db,
            caller,
            f"update {view} set staff_id = %s where tenant_id = %s and staff_id = %s",
            (twins.colleague, twins.own.tenant, twins.own.person),
        )
        assert result.state == "42501"


@pytest.mark.parametrize("view", ["breaks", "schedule_exceptions"])
def test_what_concerns_everyone_is_for_admins(twins: Twins, view: str) -> None:
    row = new_row(twins, view, twins.own.tenant, None)
    everyones = "where tenant_id = %s and staff_id is null"
    for caller, may in ((twins.admin, True), (twins.staff, False), (twins.both, False)):
        assert (insert(twins, caller, view, row).state == "00000") is may
        for statement in (
            f"update {view} set {CHANGE[view]} {everyones}",
            f"delete from {view} {everyones}",
        ):
            assert (run(twins.db, caller, statement, (twins.own.tenant,)).rows > 0) is may
    state = run(
        twins.db, twins.staff, f"update {view} set staff_id = null where staff_id = %s",
        (twins.own.person,),
    ).state  # fmt: skip
    assert state == "42501"


# Names of who is no longer there


def test_names_of_inactive_people_are_for_members(fresh_twins: Twins) -> None:
    twins = fresh_twins
    twins.db.execute("update booking.staff set is_active = false")
    twins.db.execute("update booking.locations set is_active = false")
    names = "select distinct staff_name, location_name from appointments"
    for caller in (*twins.members, twins.both):
        text = run(twins.db, caller, names).text
        assert "'Ada', 'Mitte'" in text
        assert "None" not in text
    assert run(twins.db, customer(USER), names).text == "(None, None)"
    for caller in (customer(USER), Caller("anon"), *twins.members):
        assert run(twins.db, caller, "select * from api.staff").rows == 0
    for caller in (customer(USER), Caller("anon")):
        assert run(twins.db, caller, "select display_name from booking.staff").rows == 0


# Error messages of refused writes


def test_an_overlap_does_not_tell_with_whom(twins: Twins) -> None:
    row = new_row(twins, "appointments", twins.own.tenant, twins.own.person)
    row |= {"start_time": TEN + timedelta(minutes=15), "end_time": TEN + timedelta(minutes=45)}
    for caller in twins.members:
        message, detail, hint, _ = insert(twins, caller, "appointments", row).text.split("\n")
        assert "one_person_is_in_one_place_at_a_time" in message
        assert (detail, hint) == ("Key conflicts with existing key.", "")


def test_a_second_row_of_that_key_does_not_show_the_first(twins: Twins) -> None:
    row = new_row(twins, "busy_times", twins.own.tenant, twins.own.person)
    result = insert(twins, twins.staff, "busy_times", row | {"external_id": "b1"})
    assert result.state == "23505"
    assert result.text.split("\n")[1:3] == ["", ""]
    theirs = f"{THEIR_WORD}%"
    (external_id,) = twins.db.execute(
        "select external_id from booking.busy_times where external_id like %s", (theirs,)
    ).fetchall()[0]
    assert insert(twins, twins.staff, "busy_times", row | {"external_id": external_id}).rows == 1


@pytest.mark.parametrize("view", WRITTEN)
def test_a_broken_rule_does_not_repeat_the_row(twins: Twins, view: str) -> None:
    for caller in twins.members:
        result = run(
            twins.db,
            caller,
            f"update {view} set start_time = '1800-01-01 00:00+00', end_time = '1700-01-01 00:00'"
            if view in ("appointments", "busy_times")
            else f"update {view} set start_time = '09:00:30'",
        )
        assert result.state == "23514", result
        assert result.text.split("\n")[1:3] == ["", ""]


def test_where_only_the_other_tenant_is_busy_there_is_room(fresh_twins: Twins) -> None:
    twins = fresh_twins
    start = TEN + 2 * HOUR
    row = new_row(twins, "appointments", twins.own.tenant, twins.own.person)
    row |= {"start_time": start, "end_time": start + HOUR}
    twins.db.execute(
        "insert into booking.appointments (tenant_id, staff_id, location_id, appointment_type_id,"
        " start_time, end_time) values (%s, %s, %s, %s, %s, %s)",
        (twins.other, twins.own.person, twins.own.location, twins.own.cut, start, start + HOUR),
    )
    assert insert(twins, twins.staff, "appointments", row).state == "00000"


# Functions


def calls(twins: Twins, ids: dict[str, UUID]) -> list[tuple[str, dict[str, Any]]]:
    """Each function, about these ids."""
    person = {"tenant_id": ids["tenant"], "staff_id": ids["person"]}
    own_person = {"tenant_id": twins.own.tenant, "staff_id": twins.own.person}
    days = {"start_date": "2026-03-03", "end_date": "2026-03-04"}
    hour = {"weekday": 1, "start_time": "09:00", "end_time": "10:00"}
    week = [hour | {"location_id": str(ids["location"])}]
    session = {"session_id": "session-of-a-stranger-01"}
    return [
        ("cancel_appointment", {"appointment_id": ids["appointment"]}),
        (
            "cancel_appointment",
            {"appointment_id": ids["appointment"], "tenant_id": ids["tenant"]},
        ),
        (
            "reschedule_appointment",
            {
                "appointment_id": ids["appointment"],
                "slot_id": twins.own.slot(twins.own.cut, TEN + 6 * HOUR)["slot_id"],
            },
        ),
        ("explain_availability", person | {"at": TEN}),
        ("explain_availability", own_person | {"at": TEN, "staff_id": ids["person"]}),
        ("set_working_hours", person | {"hours": []}),
        ("set_working_hours", own_person | {"hours": week}),
        (
            "set_working_hours",
            own_person | {"hours": [], "copy_to_staff_ids": [ids["person"]]},
        ),
        ("recalculate_availability", person | days),
        ("get_reservations", session),
        ("release_slot", session | {"slot_id": ids["slot"]}),
        ("release_slot", session | {"slot_id": ids["slot"], "tenant_id": ids["tenant"]}),
        (
            "create_appointment",
            session
            | {
                "slot_id": ids["slot"],
                "appointment_type": "cut",
                "user_data": {"name": "A", "email": "a@example.org"},
            },
        ),
        (
            "record_payment",
            {
                "appointment_id": ids["appointment"],
                "payment_status": "paid",
                "payment_reference": "x",
            },
        ),
    ]


def answer(twins: Twins, caller: Caller, function: str, arguments: dict[str, Any]) -> str:
    """What the caller gets, ids taken out."""
    given = arguments.copy()
    if "copy_to_staff_ids" in given:
        given["copy_to_staff_ids"] = "{" + ",".join(map(str, given["copy_to_staff_ids"])) + "}"
    api = Api(twins.db)
    try:
        got: Answer | tuple[Any, ...] = api.call(function, caller, **given)
    except psycopg.Error as error:
        diag = error.diag
        got = (error.sqlstate, diag.message_primary, diag.message_detail, diag.message_hint)
    return without_ids(str(got))


def test_in_every_function_foreign_is_missing(fresh_twins: Twins) -> None:
    twins = fresh_twins
    slot = twins.db.execute(
        "select id from booking.availability_slots where tenant_id = %s and not is_available",
        (twins.other,),
    ).fetchone()
    assert slot
    foreign = {
        "tenant": twins.other,
        "person": twins.only_other_person,
        "location": twins.only_other_location,
        "appointment": twins.only_other_appointment,
        "slot": slot[0],
    }
    missing = {name: uuid4() for name in foreign}
    missing["slot"] = UUID("00000000-0000-8000-8000-000000000000")
    before = everything(twins, twins.other)
    for caller in twins.outsiders:
        for one, two in zip(calls(twins, foreign), calls(twins, missing), strict=True):
            got = answer(twins, caller, *one)
            assert got == answer(twins, caller, *two)
            assert THEIR_WORD not in got
            if "get_reservations" not in one[0]:
                assert "'success': True" not in got, one
    assert everything(twins, twins.other) == before


def test_ids_that_both_tenants_use_lead_to_ones_own(fresh_twins: Twins) -> None:
    twins = fresh_twins
    before = everything(twins, twins.other)
    (shared,) = twins.db.execute(
        "select id from booking.appointments where tenant_id = %s and staff_id = %s",
        (twins.own.tenant, twins.own.person),
    ).fetchall()[0]
    assert answer(twins, twins.staff, "cancel_appointment", {"appointment_id": shared}).startswith(
        "Answer(status=200"
    )
    person = {"tenant_id": twins.own.tenant, "staff_id": twins.own.person}
    for function, arguments in (
        ("set_working_hours", person | {"hours": []}),
        ("explain_availability", person | {"at": TEN}),
    ):
        got = answer(twins, twins.staff, function, arguments)
        assert got.startswith("Answer(status=200")
        assert THEIR_WORD not in got
    assert everything(twins, twins.other) == before


# Waiting


def test_nobody_waits_for_another_tenants_locks(fresh_twins: Twins) -> None:
    twins = fresh_twins
    with psycopg.connect(twins.db.info.dsn) as busy, busy.transaction(force_rollback=True):
        busy.execute(
            "update booking.calendars set revision = 0 where tenant_id = %s", (twins.other,)
        )
        for table in ("tenants", *COPIED):
            key = "id" if table == "tenants" else "tenant_id"
            busy.execute(
                f"select 1 from booking.{table} where {key} = %s for update".encode(),
                (twins.other,),
            )
        twins.db.execute("set lock_timeout = '500ms'")
        twins.db.execute("set statement_timeout = '5s'")

        row = new_row(twins, "appointments", twins.other, twins.own.person)
        service = Caller("service_role")
        assert insert(twins, service, "appointments", row).state == "55P03", "they are locked"

        for view in WRITTEN:
            row = new_row(twins, view, twins.own.tenant, twins.own.person)
            assert insert(twins, twins.staff, view, row).state == "00000"
            assert run(twins.db, twins.admin, f"update {view} set {CHANGE[view]}").state == "00000"
            # A stranger's attempt fails before it waits.
            row = new_row(twins, view, twins.other, twins.own.person)
            assert insert(twins, twins.admin, view, row).state == "42501"
            for statement in (f"update {view} set {CHANGE[view]}", f"select * from {view}"):
                result = run(
                    twins.db, twins.admin, f"{statement} where tenant_id = %s", (twins.other,)
                )
                assert (result.state, result.rows) == ("00000", 0)

        foreign = {
            "tenant": twins.other,
            "person": twins.only_other_person,
            "location": twins.only_other_location,
            "appointment": twins.only_other_appointment,
            "slot": UUID("00000000-0000-8000-8000-000000000000"),
        }
        for caller in twins.outsiders:
            for function, arguments in calls(twins, foreign):
                got = answer(twins, caller, function, arguments)
                assert "'busy'" not in got
                assert "55P03" not in got
        (shared,) = twins.db.execute(
            "select id from booking.appointments where tenant_id = %s and staff_id = %s",
            (twins.own.tenant, twins.own.person),
        ).fetchall()[0]
        for function, arguments in (
            (
                "set_working_hours",
                {"tenant_id": twins.own.tenant, "staff_id": twins.own.person, "hours": []},
            ),
            ("cancel_appointment", {"appointment_id": shared}),
        ):
            assert answer(twins, twins.staff, function, arguments).startswith("Answer(status=200")


def test_whoever_books_in_two_tenants_waits_in_neither_for_the_other(fresh_twins: Twins) -> None:
    twins = fresh_twins
    session_id = "session-of-a-customer-01"
    twins.db.execute("update booking.tenants set max_open_appointments_per_customer = 9")
    slot = twins.own.slot(twins.own.cut, TEN + 6 * HOUR)["slot_id"]
    with psycopg.connect(twins.db.info.dsn) as busy, busy.transaction(force_rollback=True):
        busy.execute(
            "select booking.lock_session(%(other)s, sha256(%(session)s::bytea)),"
            " booking.lock_customer(%(other)s, %(user)s, '{}')",
            {"other": twins.other, "session": session_id.encode(), "user": USER},
        )
        api = Api(twins.db)
        visit = {"slot_id": slot, "session_id": session_id, "appointment_type": "cut"}
        assert api.call("reserve_slot", customer(USER), **visit).code is None
        data = {"name": "A", "email": "a@example.org"}
        booked = api.call("create_appointment", customer(USER), **visit, user_data=data)
        assert booked.code is None


# What happens there


def test_what_happens_in_one_tenant_moves_nothing_in_another(fresh_twins: Twins) -> None:
    twins = fresh_twins
    start = TEN + 6 * HOUR
    other = replace(twins.own, tenant=twins.other)
    held = twins.own.hold(twins.own.cut, start)
    other.hold(twins.own.cut, start, id=held)
    before = everything(twins, twins.own.tenant)
    theirs = twins.rows("availability_slots", twins.other)
    other.appointment(start - HOUR)
    other.appointment(start)
    other.insert(
        "busy_times",
        staff_id=twins.own.person,
        start_time=start + HOUR,
        end_time=start + 2 * HOUR,
        source="calendar",
    )
    for statement in (
        "update booking.appointments set end_time = end_time + interval '5 minutes'"
        " where tenant_id = %s",
        "update booking.working_hours set end_time = '20:00' where tenant_id = %s",
        "update booking.appointment_types set duration_minutes = 45, capacity = 1"
        " where tenant_id = %s",
        "update booking.staff set max_appointments_per_day = 1 where tenant_id = %s",
    ):
        twins.db.execute(statement.encode(), (twins.other,))
    assert twins.rows("availability_slots", twins.other) != theirs
    assert twins.rows("slot_reservations", twins.other) == []
    assert everything(twins, twins.own.tenant) == before
    # Nor when it is all calculated anew.
    assert twins.own.differences() == other.differences() == []


def test_a_slots_id_names_its_tenant(twins: Twins) -> None:
    row = twins.db.execute(
        "select count(distinct booking.slot_id(t.id, %(one)s, %(one)s, booking.now(), %(one)s))"
        " from booking.tenants t",
        {"one": uuid4()},
    ).fetchone()
    assert row == (2,)
