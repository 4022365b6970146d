"""Lints over the catalog of a migrated database. Each exception is named here, with its reason."""

from __future__ import annotations

import re

import psycopg
import pytest

# Functions without `set search_path`: a pin would forbid the one thing that each of them is for.
UNPINNED = {
    "api.pre_request": "asks which schema the request is for",
    "booking.analysed_tenants": "inlined into views",
    "booking.appointments_by_day": "inlined into views",
    "booking.attempts_by_day": "inlined into views",
    "booking.bookable_from": "inlined into the calculator",
    "booking.bookings_by_day": "inlined into views",
    "booking.claim_of": "inlined into a generated column",
    "booking.drain_refresh_queue": "commits per calendar",
    "booking.first_instant": "inlined into the calculator",
    "booking.holds_by_day": "inlined into views",
    "booking.iso_time": "inlined into listings: two thousand in a page",
    "booking.is_slot_id": "inlined into a constraint",
    "booking.is_whole_minute": "inlined into constraints",
    "booking.local_period": "inlined into the calculator",
    "booking.nightly_refresh": "commits per calendar",
    "booking.run_job": "commits per step",
    "booking.slot_id": "inlined: a million a night",
    "booking.supply_by_day": "inlined into views",
    "booking.whole_minutes": "inlined into a generated column",
    "booking.widened": "inlined into index conditions",
}

# Tables without a policy: row-level security then refuses everybody but their owner.
NOBODY = "only the owner's functions touch it"
WITHOUT_POLICY = {
    "accepted_causes": NOBODY,
    "audit_log": NOBODY,
    "calendars": NOBODY,
    "events": NOBODY,
    "job_runs": NOBODY,
    "jobs": NOBODY,
    "members": NOBODY,
    "price_rules": NOBODY,
    "rate_limits": NOBODY,
    "refresh_queue": NOBODY,
    "rollups": NOBODY,
    "searches": NOBODY,
    "settings": NOBODY,
    "slot_reservations": NOBODY,
    "slot_shapes": NOBODY,
    "tenant_slugs": NOBODY,
    "travel_times": NOBODY,
    "verification_differences": NOBODY,
    "verification_runs": NOBODY,
}

# Tables whose primary key does not begin with tenant_id.
KEYED_OTHERWISE = {
    "tenants": "is the tenant",
    "tenant_slugs": "a slug is unique in the installation",
    "settings": "one row for the installation",
    "jobs": "run for every tenant",
    "job_runs": "run for every tenant",
    "rate_limits": "counts clients, before any tenant is known",
}

# Columns that name a row of the tenant without a foreign key.
ANY_TIME = "what is on record stays, whatever becomes of what it names"
NO_FOREIGN_KEY = {
    "audit_log.appointment_id": ANY_TIME,
    "audit_log.staff_id": ANY_TIME,
    "availability_slots.appointment_id": "calculated, and verified (verify_p5.sql)",
    "availability_slots.location_id": "calculated, and verified (verify_p5.sql)",
    "availability_slots.shape_id": "calculated, and verified (verify_p5.sql)",
    "availability_slots.staff_id": "calculated, and verified (verify_p5.sql)",
    "daily_appointments.appointment_type_id": ANY_TIME,
    "daily_appointments.location_id": ANY_TIME,
    "daily_appointments.staff_id": ANY_TIME,
    "daily_attempts.appointment_type_id": ANY_TIME,
    "daily_attempts.staff_id": ANY_TIME,
    "daily_bookings.appointment_type_id": ANY_TIME,
    "daily_bookings.staff_id": ANY_TIME,
    "daily_holds.location_id": ANY_TIME,
    "daily_holds.staff_id": ANY_TIME,
    "daily_supply.location_id": ANY_TIME,
    "daily_supply.staff_id": ANY_TIME,
    "searches.appointment_type_id": ANY_TIME,
    "searches.staff_id": ANY_TIME,
    "verification_differences.staff_id": ANY_TIME,
}

# Constraints read as sentences: subject, then one of these, then the rest.
VERBS = re.compile(
    r"_(is|are|has|have|means|names|come|comes|belongs|begins|ends|finishes|goes|holds|exists|holds)(_|$)"
)


def names(db: psycopg.Connection, query: str) -> list[str]:
    """The first column of a query's rows."""
    return [row[0] for row in db.execute(query).fetchall()]


def test_every_function_pins_its_search_path_but_the_named_ones(
    module_db: psycopg.Connection,
) -> None:
    unpinned = names(
        module_db,
        """
        select p.pronamespace::regnamespace || '.' || p.proname
        from pg_proc as p
        where p.pronamespace in ('booking'::regnamespace, 'api'::regnamespace)
          and not coalesce('search_path=""' = any (p.proconfig), false)
        """,
    )
    assert sorted(unpinned) == sorted(UNPINNED)


def test_what_is_not_pinned_is_plain_sql_or_a_procedure(module_db: psycopg.Connection) -> None:
    others = names(
        module_db,
        """
        select p.oid::regprocedure::text
        from pg_proc as p
        join pg_language as l on l.oid = p.prolang
        where p.pronamespace in ('booking'::regnamespace, 'api'::regnamespace)
          and not coalesce('search_path=""' = any (p.proconfig), false)
          and not (p.prokind = 'p' or l.lanname = 'sql')
        """,
    )
    assert others == []


def test_row_level_security_is_on_for_every_table(module_db: psycopg.Connection) -> None:
    assert (
        names(
            module_db,
            """
        select oid::regclass::text from pg_class
        where relkind in ('r', 'p') and not relrowsecurity
          and relnamespace in ('booking'::regnamespace, 'api'::regnamespace)
        """,
        )
        == []
    )


def test_every_table_has_a_policy_or_a_reason_for_none(module_db: psycopg.Connection) -> None:
    without = names(
        module_db,
        """
        select c.relname from pg_class as c
        where c.relkind in ('r', 'p') and c.relnamespace = 'booking'::regnamespace
          and not exists (select from pg_policy as p where p.polrelid = c.oid)
        """,
    )
    assert sorted(without) == sorted(WITHOUT_POLICY)


def test_every_policy_names_its_roles(module_db: psycopg.Connection) -> None:
    assert (
        names(
            module_db,
            """
            select polname || ' on ' || polrelid::regclass from pg_policy
            where 0 = any (polroles)
            """,
        )
        == []
    )


def test_behind_every_foreign_key_stands_an_index(module_db: psycopg.Connection) -> None:
    # tenant_id and the row's id are selective enough; longer keys need no longer index.
    assert (
        names(
            module_db,
            """
        select c.conrelid::regclass || ': ' || c.conname
        from pg_constraint as c
        where c.contype = 'f' and c.connamespace = 'booking'::regnamespace
          and not exists (
            select from pg_index as i
            where i.indrelid = c.conrelid
              and (
                i.indpred is null
                or pg_get_expr(i.indpred, i.indrelid) ~ '^\\(\\w+ IS NOT NULL\\)$'
              )
              and (i.indkey::int2[])[0:least(cardinality(c.conkey), 2) - 1] <@ c.conkey[1:2]
          )
        """,
        )
        == []
    )


def test_everything_in_api_is_commented_and_every_table(module_db: psycopg.Connection) -> None:
    assert (
        names(
            module_db,
            """
        select c.oid::regclass::text from pg_class as c
        where (
            c.relnamespace = 'api'::regnamespace
            or c.relnamespace = 'booking'::regnamespace and c.relkind in ('r', 'p')
          )
          and c.relkind in ('r', 'p', 'v', 'm')
          and obj_description(c.oid, 'pg_class') is null
        union all
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace = 'api'::regnamespace and obj_description(p.oid, 'pg_proc') is null
        union all
        select t.oid::regtype::text from pg_type as t
        where t.typnamespace = 'api'::regnamespace and t.typtype in ('d', 'e')
          and obj_description(t.oid, 'pg_type') is null
        """,
        )
        == []
    )


def test_a_comment_in_api_begins_with_a_short_summary(module_db: psycopg.Connection) -> None:
    """PostgREST publishes the first line as the summary and the others as the description."""
    assert (
        names(
            module_db,
            """
        select d.objoid::text || ': ' || split_part(d.description, E'\n', 1)
        from pg_description as d
        where d.objsubid = 0
          and (
            d.objoid in (select oid from pg_class where relnamespace = 'api'::regnamespace)
            or d.objoid in (select oid from pg_proc where pronamespace = 'api'::regnamespace)
          )
          and (
            length(split_part(d.description, E'\n', 1)) > 60
            or split_part(d.description, E'\n', 2) = ''
          )
        """,
        )
        == []
    )


def test_public_may_execute_nothing_and_enter_no_schema(module_db: psycopg.Connection) -> None:
    assert (
        names(
            module_db,
            """
        select p.oid::regprocedure || ' ' || a.privilege_type
        from pg_proc as p
        cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where p.pronamespace in ('booking'::regnamespace, 'api'::regnamespace) and a.grantee = 0
        union all
        select c.oid::regclass || ' ' || a.privilege_type
        from pg_class as c
        cross join lateral aclexplode(c.relacl) as a
        where c.relnamespace in ('booking'::regnamespace, 'api'::regnamespace) and a.grantee = 0
        union all
        select n.nspname || ' ' || a.privilege_type
        from pg_namespace as n
        cross join lateral aclexplode(n.nspacl) as a
        where n.nspname in ('booking', 'api') and a.grantee = 0
        """,
        )
        == []
    )


def test_a_function_made_tomorrow_is_not_executable_by_public(
    module_db: psycopg.Connection,
) -> None:
    module_db.execute("set local role booking_owner")
    module_db.execute("create function booking.tomorrow() returns int language sql return 1")
    row = module_db.execute(
        "select has_function_privilege('anon', 'booking.tomorrow()', 'execute')"
    ).fetchone()
    assert row == (False,)


def test_booking_owner_owns_everything_and_is_no_superuser(module_db: psycopg.Connection) -> None:
    assert (
        names(
            module_db,
            """
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace in ('booking'::regnamespace, 'api'::regnamespace)
          and p.proowner <> 'booking_owner'::regrole
        union all
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace in ('booking'::regnamespace, 'api'::regnamespace)
          and c.relowner <> 'booking_owner'::regrole
        union all
        select rolname from pg_roles
        where rolname in ('booking_owner', 'anon', 'authenticated', 'service_role', 'authenticator')
          and (rolsuper or rolbypassrls)
        """,
        )
        == []
    )


def test_every_primary_key_begins_with_the_tenant(module_db: psycopg.Connection) -> None:
    otherwise = names(
        module_db,
        """
        select c.relname
        from pg_class as c
        left join pg_constraint as k on k.conrelid = c.oid and k.contype = 'p'
        left join pg_attribute as a on a.attrelid = c.oid and a.attnum = k.conkey[1]
        where c.relkind in ('r', 'p') and c.relnamespace = 'booking'::regnamespace
          and a.attname is distinct from 'tenant_id'
        """,
    )
    assert sorted(otherwise) == sorted(KEYED_OTHERWISE)


def test_foreign_keys_lead_from_tenant_to_tenant(module_db: psycopg.Connection) -> None:
    # job_runs belongs to the installation, like the jobs that it names.
    assert (
        names(
            module_db,
            """
        select k.conrelid::regclass || ': ' || k.conname
        from pg_constraint as k
        join pg_attribute as here on here.attrelid = k.conrelid and here.attnum = k.conkey[1]
        join pg_attribute as there on there.attrelid = k.confrelid and there.attnum = k.confkey[1]
        where k.contype = 'f' and k.connamespace = 'booking'::regnamespace
          and k.conrelid <> 'booking.job_runs'::regclass
          and not (
            here.attname = 'tenant_id'
            and (
              there.attname = 'tenant_id' and cardinality(k.conkey) > 1
              or k.confrelid = 'booking.tenants'::regclass and cardinality(k.conkey) = 1
            )
          )
        """,
        )
        == []
    )


def test_whatever_names_a_row_of_the_tenant_is_a_foreign_key(
    module_db: psycopg.Connection,
) -> None:
    named = names(
        module_db,
        """
        select c.relname || '.' || a.attname
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and not a.attisdropped
        where c.relkind in ('r', 'p') and c.relnamespace = 'booking'::regnamespace
          and a.attname ~ '_?(staff|location|appointment_type|group_type|shape|appointment|run)_id$'
          and not exists (
            select from pg_constraint as k
            join pg_attribute as t on t.attrelid = c.oid and t.attname = 'tenant_id'
            where k.conrelid = c.oid and k.contype = 'f' and k.conkey[1] = t.attnum
              and a.attnum = any (k.conkey)
          )
        """,
    )
    assert sorted(named) == sorted(NO_FOREIGN_KEY)


def test_every_table_survives_a_crash_but_the_named_one(module_db: psycopg.Connection) -> None:
    # What the rate limiter has counted is worth no write to disk.
    unlogged = names(
        module_db,
        """
        select c.relname from pg_class as c
        where c.relkind in ('r', 'p') and c.relnamespace = 'booking'::regnamespace
          and c.relpersistence <> 'p'
        """,
    )
    assert unlogged == ["rate_limits"]


def test_no_foreign_key_sets_null_and_none_is_about_slot_ids(
    module_db: psycopg.Connection,
) -> None:
    assert (
        names(
            module_db,
            """
        select k.conrelid::regclass || ': ' || k.conname
        from pg_constraint as k
        where k.contype = 'f' and k.connamespace = 'booking'::regnamespace
          and (
            k.confdeltype in ('n', 'd')
            or exists (
              select from pg_attribute as a
              where a.attrelid = k.conrelid and a.attnum = any (k.conkey) and a.attname = 'slot_id'
            )
          )
        """,
        )
        == []
    )


def test_constraints_are_called_by_the_truth_they_keep(module_db: psycopg.Connection) -> None:
    # Primary keys and a plain reference to the tenant keep the names that PostgreSQL gives them;
    # PostgreSQL 18 names NOT NULL constraints too (contype n).
    constraints = names(
        module_db,
        """
        select k.conname from pg_constraint as k
        where k.connamespace = 'booking'::regnamespace and k.contype in ('c', 'x', 'u', 'f')
          and k.conname not in (
            select r.relname || '_' || a.attname || '_fkey'
            from pg_class as r
            join pg_attribute as a on a.attrelid = r.oid
            where k.conkey = array[a.attnum] and r.oid = k.conrelid
          )
        """,
    )
    assert [name for name in constraints if not VERBS.search(name)] == []


def test_indexes_are_called_by_table_and_columns(module_db: psycopg.Connection) -> None:
    assert (
        names(
            module_db,
            """
        select i.indexrelid::regclass::text
        from pg_index as i
        join pg_class as x on x.oid = i.indexrelid
        join pg_class as t on t.oid = i.indrelid
        where t.relnamespace = 'booking'::regnamespace
          and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)
          and not (starts_with(x.relname, t.relname || '_') and x.relname like '%\\_idx')
        """,
        )
        == []
    )


def test_views_in_api_run_with_the_rights_of_their_caller(module_db: psycopg.Connection) -> None:
    assert (
        names(
            module_db,
            """
        select oid::regclass::text from pg_class
        where relkind in ('v', 'm') and relnamespace = 'api'::regnamespace
          and not coalesce('security_invoker=true' = any (reloptions), false)
        """,
        )
        == []
    )


def test_no_function_in_api_runs_with_the_rights_of_its_owner(
    module_db: psycopg.Connection,
) -> None:
    assert (
        names(
            module_db,
            """
        select oid::regprocedure::text from pg_proc
        where pronamespace = 'api'::regnamespace and prosecdef
        """,
        )
        == []
    )


def test_arguments_in_booking_begin_with_p(module_db: psycopg.Connection) -> None:
    assert (
        names(
            module_db,
            """
        select p.oid::regprocedure || ' ' || a.name
        from pg_proc as p
        cross join lateral unnest(
          p.proargnames[1:cardinality(coalesce(p.proallargtypes, p.proargtypes::oid[]))],
          p.proargmodes
        ) as a (name, mode)
        where p.pronamespace = 'booking'::regnamespace
          and coalesce(a.mode, 'i') in ('i', 'b', 'v')
          and a.name not like 'p\\_%'
        """,
        )
        == ["booking.custom_access_token_hook(jsonb) event"]  # Supabase's name for it
    )


def test_no_function_is_overloaded(module_db: psycopg.Connection) -> None:
    # The engine's rollback drops by name, and PostgREST would have to guess.
    assert (
        names(
            module_db,
            """
        select pronamespace::regnamespace || '.' || proname from pg_proc
        where pronamespace in ('booking'::regnamespace, 'api'::regnamespace)
        group by pronamespace, proname
        having count(*) > 1
        """,
        )
        == []
    )


def test_every_trigger_function_has_its_trigger(module_db: psycopg.Connection) -> None:
    assert (
        names(
            module_db,
            """
        select p.oid::regprocedure::text from pg_proc as p
        where p.prorettype = 'trigger'::regtype
          and p.pronamespace in ('booking'::regnamespace, 'api'::regnamespace)
          and not exists (select from pg_trigger as t where t.tgfoid = p.oid)
        """,
        )
        == []
    )


CLOCKS = re.compile(
    r"(?<!booking\.)\bnow\s*\(|\b(clock|transaction|statement)_timestamp\s*\(|\btimeofday\s*\("
    r"|\b(current_timestamp|current_date|current_time|localtime|localtimestamp)\b"
    r"|'(now|today|tomorrow|yesterday)'",
    re.IGNORECASE,
)

# Comments, and string literals but those that are read as the time.
NEITHER_CODE_NOR_A_CLOCK = re.compile(
    r"--[^\n]*|'(?!(?:now|today|tomorrow|yesterday)')[^']*'", re.IGNORECASE
)


def test_booking_now_is_the_only_clock(module_db: psycopg.Connection) -> None:
    texts = module_db.execute(
        """
        select p.oid::regprocedure::text, coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
        from pg_proc as p
        where p.pronamespace in ('booking'::regnamespace, 'api'::regnamespace)
          and p.oid <> 'booking.now()'::regprocedure
        union all
        select c.oid::regclass::text, pg_get_viewdef(c.oid)
        from pg_class as c
        where c.relkind in ('v', 'm')
          and c.relnamespace in ('booking'::regnamespace, 'api'::regnamespace)
        union all
        select d.adrelid::regclass || '.' || d.adnum, pg_get_expr(d.adbin, d.adrelid)
        from pg_attrdef as d
        join pg_class as c on c.oid = d.adrelid
        where c.relnamespace = 'booking'::regnamespace
        union all
        select p.polname || ' on ' || p.polrelid::regclass,
          concat_ws(
            ' ', pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
          )
        from pg_policy as p
        """
    ).fetchall()
    other_clocks = [
        (name, found.group())
        for name, text in texts
        if (found := CLOCKS.search(NEITHER_CODE_NOR_A_CLOCK.sub("", text)))
    ]
    assert other_clocks == []


@pytest.mark.parametrize(
    "text", ["select now()", "x < current_timestamp", "clock_timestamp ()", "timestamptz 'now'"]
)
def test_the_lint_knows_a_clock_when_it_sees_one(text: str) -> None:
    assert CLOCKS.search(text)
    assert not CLOCKS.search("booking.now() and nowhere()")
