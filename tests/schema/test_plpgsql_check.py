"""plpgsql_check over every PL/pgSQL routine, trigger functions with each of their triggers."""

from __future__ import annotations

import re
from collections.abc import Callable

import psycopg

FINDINGS = """
select c.routine || ' line ' || coalesce(f.lineno::text, '?') || ': ' || f.level || ' ' || f.message
  || coalesce(' (' || f.detail || ')', '')
from (
  select p.oid as routine_id, p.oid::regprocedure::text as routine, 0::regclass as relation,
    null::name as old_table, null::name as new_table
  from pg_proc as p
  where p.prorettype <> 'trigger'::regtype
    and p.prolang = (select oid from pg_language where lanname = 'plpgsql')
    and p.pronamespace::regnamespace::text = any (%(schemas)s)
  union all
  -- A function that serves several events names the rows of each of them.
  select p.oid, p.oid::regprocedure || ' as trigger ' || t.tgname, t.tgrelid::regclass,
    max(t.tgoldtable::text) over (partition by p.oid)::name,
    max(t.tgnewtable::text) over (partition by p.oid)::name
  from pg_proc as p
  join pg_trigger as t on t.tgfoid = p.oid
  where p.prolang = (select oid from pg_language where lanname = 'plpgsql')
    and p.pronamespace::regnamespace::text = any (%(schemas)s)
) as c
cross join lateral plpgsql_check_function_tb(
  funcoid => c.routine_id, relid => c.relation, fatal_errors => false, other_warnings => true,
  extra_warnings => true, performance_warnings => false, security_warnings => true,
  oldtable => c.old_table, newtable => nullif(c.new_table, c.old_table)
) as f
order by 1
"""


def findings(db: psycopg.Connection, *schemas: str) -> list[str]:
    """What plpgsql_check says of the routines of these schemas."""
    db.execute("create extension if not exists plpgsql_check")
    rows = db.execute(FINDINGS.encode(), {"schemas": list(schemas)}).fetchall()
    return [row[0] for row in rows]


# run_job runs what booking.jobs says, with its caller's rights. now() is STABLE so that indexes can
# be asked for it. What an older release still passes stays a parameter.
ON_PURPOSE = re.compile(
    r".* extra unused parameter \"p_grid_stands\""
    r"|booking\.run_job\(.*text type variable is not sanitized"
    r"|booking\.now\(\) line \d+: warning routine is marked as STABLE, but expression is VOLATILE"
)


def test_plpgsql_check_finds_nothing(
    db: psycopg.Connection, need_extension: Callable[[str], None]
) -> None:
    need_extension("plpgsql_check")
    found = findings(db, "api", "booking")
    assert [each for each in found if not ON_PURPOSE.match(each)] == []


def test_plpgsql_check_is_really_asked(
    db: psycopg.Connection, need_extension: Callable[[str], None]
) -> None:
    need_extension("plpgsql_check")
    db.execute(
        "create function booking.broken() returns void language plpgsql volatile"
        " as $$ begin perform no_such_column from booking.staff; end $$"
    )
    assert any("no_such_column" in each for each in findings(db, "booking"))
