"""The privilege matrix (pgbooking/privileges.csv) is what the catalog says, and each widening of a
right shows in it."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from pgbooking.catalog import SUPABASE_ROLE, Difference, Privilege, catalog, differences, reviewed

REVIEW = (
    "The rights have changed. If that is meant, review the lines and write the file anew: "
    "python -m pgbooking.catalog"
)

# What is done → the kind and the beginning of a line that the matrix does not have.
WIDENINGS = {
    "grant select (reserved_until) on booking.availability_slots to anon": (
        "table",
        "booking.availability_slots",
        "anon",
        "select",
    ),
    "grant update (payment_status) on booking.appointments to authenticated": (
        "table",
        "booking.appointments",
        "authenticated",
        "update",
    ),
    "grant select on booking.appointments to anon": (
        "table",
        "booking.appointments",
        "anon",
        "select",
    ),
    "grant maintain on booking.appointments to anon": (
        "table",
        "booking.appointments",
        "anon",
        "maintain",
    ),
    "grant truncate on booking.audit_log to service_role": (
        "table",
        "booking.audit_log",
        "service_role",
        "truncate",
    ),
    "grant select on booking.audit_log to public": (
        "table",
        "booking.audit_log",
        "PUBLIC",
        "select",
    ),
    "grant select on api.staff to anon with grant option": (
        "view",
        "api.staff",
        "anon",
        "select with grant option",
    ),
    "grant create on schema api to anon": ("schema", "api", "anon", "create"),
    "grant usage on schema booking to authenticator": (
        "schema",
        "booking",
        "authenticator",
        "usage",
    ),
    "grant execute on function api.create_appointment to anon": (
        "function",
        "api.create_appointment(",
        "anon",
        "execute",
    ),
    "grant execute on function booking.export_customer to pg_monitor": (
        "function",
        "booking.export_customer(",
        "pg_monitor",
        "execute",
    ),
    "alter policy members_read on booking.working_hours using (true)": (
        "policy",
        "booking.working_hours: members_read",
        "authenticated",
        "select",
    ),
    "alter policy members_insert on booking.appointments with check (true)": (
        "policy",
        "booking.appointments: members_insert",
        "authenticated",
        "insert",
    ),
    "alter policy service_does_all on booking.breaks to anon, service_role": (
        "policy",
        "booking.breaks: service_does_all",
        "anon, service_role",
        "all",
    ),
    "create policy anyone on booking.members for select using (true)": (
        "policy",
        "booking.members: anyone",
        "PUBLIC",
        "select",
    ),
    "create or replace view api.staff with (security_invoker = true) as"
    " select s.id, s.tenant_id, s.display_name, s.user_id from booking.staff s": (
        "view",
        "api.staff",
        "",
        "columns",
    ),
    "alter table booking.staff add column phone text": ("table", "booking.staff", "", "columns"),
    "alter view api.appointments set (security_invoker = off)": (
        "view",
        "api.appointments",
        "",
        "security_invoker",
    ),
    "alter view api.appointments reset (security_invoker)": (
        "view",
        "api.appointments",
        "",
        "security_invoker",
    ),
    "alter table booking.appointments disable row level security": (
        "table",
        "booking.appointments",
        "",
        "row-level security",
    ),
    "alter function booking.caller_claims() security definer": (
        "function",
        "booking.caller_claims()",
        "authenticated",
        "execute",
    ),
    "alter function booking.find_appointment security definer": (
        "function",
        "booking.find_appointment(",
        "(nobody)",
        "",
    ),
    "set local role booking_owner; create table booking.notes (id int)": (
        "table",
        "booking.notes",
        "(nobody)",
        "",
    ),
    "set local role booking_owner; create materialized view api.totals as select 1 as total": (
        "materialized view",
        "api.totals",
        "(nobody)",
        "",
    ),
    "set local role booking_owner; create sequence booking.numbers": (
        "sequence",
        "booking.numbers",
        "(nobody)",
        "",
    ),
    "create type api.mood as enum ('good')": ("type", "api.mood", "PUBLIC", "usage"),
    "create function booking.fresh() returns int language sql return 1": (
        "function",
        "booking.fresh()",
        "PUBLIC",
        "execute",
    ),
    "create function booking.fresh() returns int language sql return 1;"
    " revoke execute on function booking.fresh() from public;"
    " alter function booking.fresh() owner to booking_owner": (
        "function",
        "booking.fresh()",
        "(nobody)",
        "",
    ),
    "alter default privileges for role booking_owner grant execute on functions to public": (
        "default privileges",
        "new functions of booking_owner",
        "PUBLIC",
        "execute",
    ),
    "alter default privileges in schema api grant select on tables to anon": (
        "default privileges",
        "new objects (r) of ",
        "anon",
        "select",
    ),
    "grant service_role to anon": ("role", "anon", "anon", "member of"),
}


def test_the_matrix_is_what_the_catalog_says(module_db: psycopg.Connection) -> None:
    assert [str(each) for each in differences(module_db, Privilege)] == [], REVIEW


@pytest.mark.parametrize("statement", WIDENINGS)
def test_each_widening_shows(module_db: psycopg.Connection, statement: str) -> None:
    if "maintain" in statement and module_db.info.server_version < 170000:
        with pytest.raises(psycopg.errors.SyntaxError):
            module_db.execute(statement.encode())
        return
    kind, name, role, action = WIDENINGS[statement]
    new = [each.line for each in changes(module_db, statement) if each.kind == "extra"]
    assert [
        line
        for line in new
        if (line.kind, line.role, line.action) == (kind, role, action)
        and line.object.startswith(name)
    ], new


def test_what_is_taken_away_shows_too(module_db: psycopg.Connection) -> None:
    found = changes(module_db, "revoke select on api.staff from anon")
    assert [str(each) for each in found] == ["missing: view, api.staff, anon, select, (all)"]


def test_what_changes_no_right_changes_nothing(module_db: psycopg.Connection) -> None:
    for statement in (
        "comment on view api.staff is 'people'",
        "alter function booking.get_tenant cost 1000",
        "create index on booking.staff (display_name)",
        "set search_path to booking, api, public",
    ):
        assert changes(module_db, statement) == []
    assert module_db.execute("show search_path").fetchone() == ("booking, api, public",)


def changes(db: psycopg.Connection, statement: str) -> list[Difference[Privilege]]:
    """Which lines the statement adds to the differences."""
    before = differences(db, Privilege)
    db.execute(statement.encode())
    return [each for each in differences(db, Privilege) if each not in before]


def test_each_object_has_a_line(module_db: psycopg.Connection) -> None:
    rows = module_db.execute(
        "select n.nspname || '.' || o.name"
        " from pg_namespace n"
        " join lateral ("
        "   select relname from pg_class where relnamespace = n.oid and relkind in"
        "     ('r', 'p', 'v', 'm', 'S', 'f')"
        "   union all select proname || '(' from pg_proc where pronamespace = n.oid"
        " ) as o(name) on true"
        " where n.nspname in ('api', 'booking')"
    ).fetchall()
    with_rights = {line.object for line in reviewed(Privilege) if line.role}
    assert len(rows) > 150
    for (name,) in rows:
        if name.endswith("("):
            assert any(each.startswith(name) for each in with_rights), name
        else:
            assert name in with_rights, name


def test_the_file_is_in_order_and_says_nothing_twice() -> None:
    entries = reviewed(Privilege)
    assert len(set(entries)) == len(entries)
    assert entries == sorted(entries)


def test_the_matrix_knows_what_supabase_needs(module_db: psycopg.Connection) -> None:
    assert {
        (e.kind, e.object, e.action) for e in reviewed(Privilege) if e.role == SUPABASE_ROLE
    } == {
        ("schema", "booking", "usage"),
        ("function", "booking.custom_access_token_hook(event jsonb)", "execute"),
    }


def test_anonymous_callers_write_nothing_anywhere() -> None:
    actions = {(e.kind, e.action) for e in reviewed(Privilege) if e.role in ("anon", "PUBLIC")}
    assert actions == {
        ("schema", "usage"),
        ("table", "select"),
        ("view", "select"),
        ("policy", "select"),
        ("function", "execute"),
        ("default privileges", "usage"),  # of types, which hold nothing
        ("role", "member of"),
    }


def test_the_check_is_red_where_a_database_differs(database_url: str) -> None:
    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pgbooking.catalog", "--check"],
            env={"DATABASE_URL": database_url, "PYTHONPATH": ":".join(filter(None, sys.path))},
            capture_output=True,
            text=True,
        )

    passed = check()
    assert (passed.returncode, passed.stdout, passed.stderr) == (0, "", "")
    with psycopg.connect(database_url, autocommit=True) as db:
        db.execute("grant select on booking.members to anon")
        assert Privilege("table", "booking.members", "anon", "select", "(all)") in catalog(
            db, Privilege
        )
    failed = check()
    assert failed.returncode == 1
    assert failed.stdout == (
        "missing: table, booking.members, (nobody)\n"
        "extra: table, booking.members, anon, select, (all)\n"
    )
    assert "python -m pgbooking.catalog" in failed.stderr
