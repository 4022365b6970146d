"""What is not on the public surface is refused to anonymous callers: every table, column, function
and sequence, in whatever way they ask."""

from __future__ import annotations

import re
from datetime import timedelta

import psycopg
import pytest
from psycopg import errors

from tests.api import ANON
from tests.rls.acting import acting_as, run
from tests.salon import TEN, Salon

SLOTS = {
    "id",
    "tenant_id",
    "staff_id",
    "location_id",
    "shape_id",
    "start_time",
    "end_time",
    "duration_minutes",
    "seats_left",
    "is_available",
}
TYPES = {
    "id",
    "tenant_id",
    "shape_id",
    "code",
    "name",
    "duration_minutes",
    "price_cents",
    "currency",
    "requires_payment",
    "capacity",
}
OFFERS = {"tenant_id", "staff_id", "appointment_type_id"}

# The views, and of the tables beneath them what the views show or join by.
READABLE = {
    "api.availability_slots": SLOTS,
    "api.locations": {"id", "tenant_id", "name", "timezone"},
    "api.staff": {"id", "tenant_id", "display_name"},
    "api.appointment_types": TYPES,
    "api.staff_appointment_types": OFFERS,
    "booking.availability_slots": SLOTS,
    "booking.tenants": {"id", "timezone", "is_active"},
    "booking.locations": {"id", "tenant_id", "name", "timezone", "is_active"},
    "booking.staff": {"id", "tenant_id", "display_name", "is_active"},
    "booking.appointment_types": TYPES | {"is_active"},
    "booking.staff_appointment_types": OFFERS,
}

SYSTEM_COLUMNS = {"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"}

CALLABLE = {
    "api.pre_request",
    "api.get_tenant",
    "api.get_available_slots",
    "api.get_available_times",
    "api.get_next_available",
    "api.get_reservations",
    "api.reserve_slot",
    "api.reserve_time",
    "api.release_slot",
    "api.reschedule_appointment",
    "api.cancel_appointment",
    "booking.answer",  # the two frames that they call
    "booking.attempt",
    "booking.cache_control",  # asked by pre_request
    "booking.now",  # asked by the policies
}

WAYS_TO_ASK = [
    "select {column} from {relation}",
    "select 1 from {relation} where {column} is null",
    "select 1 from {relation} order by {column}::text",
    "select count(*) from {relation} group by {column}::text",
    "select count({column}) from {relation}",
    "select 1 from api.staff s join {relation} r on r.{column}::text = s.id::text",
    "select (select max(r.{column}::text) from {relation} r) from api.staff",
    "explain select {column} from {relation}",
    "explain select 1 from {relation} where {column} is null",
]


def relations(db: psycopg.Connection) -> dict[str, list[str]]:
    """Every table and view → its columns; of tables also the system's."""
    rows = db.execute(
        "select c.oid::regclass::text, array_agg(a.attname::text)"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid and not a.attisdropped"
        " where c.relnamespace in ('booking'::regnamespace, 'api'::regnamespace)"
        "   and c.relkind in ('r', 'p', 'v', 'm') group by c.oid"
    ).fetchall()
    return dict(rows)


def refused(db: psycopg.Connection, statement: str) -> bool:
    """Whether an anonymous caller gets "permission denied" and no more."""
    result = run(db, ANON, statement)
    return result.state == "42501" and result.text.startswith("permission denied for ")


@pytest.mark.parametrize("way", WAYS_TO_ASK)
def test_every_column_outside_the_surface_is_refused(shared_salon: Salon, way: str) -> None:
    found = relations(shared_salon.db)
    assert len(found) > 35
    assert set(READABLE) <= set(found)
    for relation, columns in found.items():
        for column in columns:
            statement = way.format(relation=relation, column=column)
            is_public = column in READABLE.get(relation, set())
            assert refused(shared_salon.db, statement) is not is_public, statement


def test_what_is_on_the_surface_is_there(shared_salon: Salon) -> None:
    for relation, columns in READABLE.items():
        result = run(shared_salon.db, ANON, f"select {', '.join(columns)} from {relation}")
        assert result.state == "00000"
        assert result.rows > 0, relation


def test_no_table_can_be_read_whole_or_written(shared_salon: Salon) -> None:
    for relation, columns in relations(shared_salon.db).items():
        column = next(each for each in columns if each not in SYSTEM_COLUMNS)
        statements = [
            f"delete from {relation}",
            f"insert into {relation} default values",
            f"update {relation} set {column} = {column}",
            f"lock {relation} in share mode",
        ]
        if relation.startswith("booking."):
            statements += [
                f"select * from {relation}",
                f"select r from {relation} r",
                f"truncate {relation}",
                f"merge into {relation} using (select) x on true when matched then delete",
            ]
        for statement in statements:
            state = run(shared_salon.db, ANON, statement).state
            # Some views and generated columns are not writable for anybody, which is asked first.
            is_for_nobody = relation.startswith("api.") or "update" in statement
            others = ("428C9", "55000", "0A000") if is_for_nobody else ()
            assert state in ("42501", *others), statement


def test_a_write_to_the_slots_is_a_refusal_and_no_fault(shared_salon: Salon) -> None:
    for statement in (
        "insert into api.availability_slots (tenant_id) values (null)",
        "update api.availability_slots set is_available = false",
        "delete from api.availability_slots",
    ):
        assert run(shared_salon.db, ANON, statement).state == "42501", statement


def test_every_function_outside_the_surface_is_refused(shared_salon: Salon) -> None:
    rows = shared_salon.db.execute(
        "select p.pronamespace::regnamespace || '.' || p.proname, p.prokind,"
        "   array(select 'null::' || format_type(t, null) from unnest(p.proargtypes::oid[]) t)"
        " from pg_proc p"
        " where p.pronamespace in ('booking'::regnamespace, 'api'::regnamespace)"
    ).fetchall()
    assert len(rows) > 100
    for name, kind, arguments in rows:
        verb = "call" if kind == "p" else "select"
        statement = f"{verb} {name}({', '.join(arguments)})"
        result = run(shared_salon.db, ANON, statement)
        # The function itself, and not one that it asks first.
        denied = rf"permission denied for (function|procedure) {name.partition('.')[2]}\b"
        is_refused = result.state == "42501" and bool(re.match(denied, result.text))
        assert is_refused is (name not in CALLABLE), (statement, result)


def test_every_sequence_is_refused(shared_salon: Salon) -> None:
    rows = shared_salon.db.execute(
        "select oid::regclass::text from pg_class where relkind = 'S'"
        " and relnamespace in ('booking'::regnamespace, 'api'::regnamespace)"
    ).fetchall()
    assert rows
    for (name,) in rows:
        for statement in (
            f"select last_value from {name}",
            f"select nextval('{name}')",
            f"select setval('{name}', 1)",
        ):
            assert refused(shared_salon.db, statement), statement


def test_nothing_can_be_created_and_no_other_role_taken(shared_salon: Salon) -> None:
    for statement in (
        "create table api.t (x int)",
        "create function api.f() returns int language sql return 1",
        "create view booking.v as select 1",
        "alter role anon superuser",
        "set role booking_owner",
    ):
        with (
            psycopg.connect(shared_salon.db.info.dsn, autocommit=True) as db,
            pytest.raises(errors.InsufficientPrivilege),
        ):
            db.execute("set session authorization authenticator")
            db.execute("set role anon")
            db.execute(statement.encode())


def test_the_planners_statistics_are_hidden(shared_salon: Salon) -> None:
    shared_salon.db.execute("analyze booking.availability_slots")
    assert (
        run(shared_salon.db, ANON, "select 1 from pg_stats where schemaname = 'booking'").rows == 0
    )
    assert run(shared_salon.db, ANON, "select 1 from pg_statistic").state == "42501"


def test_a_filter_that_fails_does_not_tell_what_is_hidden(salon: Salon) -> None:
    # A division by zero where the start is that of a slot which somebody holds.
    start = TEN + timedelta(hours=3)
    statement = (
        "select count(*) from {} where 1 / (extract(epoch from start_time)::bigint"
        f" - {int(start.timestamp())}) > 1"
    )
    for relation in ("api.availability_slots", "booking.availability_slots"):
        assert run(salon.db, ANON, statement.format(relation)).state == "22012", "it is offered"
    salon.hold(salon.cut, start)
    for relation in ("api.availability_slots", "booking.availability_slots"):
        assert run(salon.db, ANON, statement.format(relation)).state == "00000"


def test_reading_writes_nothing(salon: Salon) -> None:
    for view in ("availability_slots", "staff", "locations", "appointment_types"):
        with acting_as(salon.db, ANON, method="GET") as db:
            db.execute(f"select * from {view}".encode())
            row = db.execute("select pg_current_xact_id_if_assigned() is null").fetchone()
            assert row == (True,)


@pytest.mark.parametrize(
    ("view", "column"),
    [("staff", "display_name"), ("locations", "name"), ("appointment_types", "name")],
)
def test_a_condition_that_fails_tells_nothing_of_an_inactive_tenant(
    salon: Salon, view: str, column: str
) -> None:
    salon.db.execute("update booking.tenants set is_active = false")
    result = run(
        salon.db,
        ANON,
        f"select 1 from api.{view} where tenant_id = '{salon.tenant}' and {column} like '\\'",
    )
    assert (result.state, result.rows) == ("00000", 0)
