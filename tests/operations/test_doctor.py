"""doctor finds nothing on a healthy database, and each fault that is planted; its advice mends."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgbooking import app, doctor, jobs, migrate
from pgbooking.doctor_finding import Finding
from tests.faults.conftest import MortalServer, running_mortal_server
from tests.postgres import Server, wait_until_blocked
from tests.salon import insert

Session = psycopg.Connection[Any]


@dataclass(frozen=True)
class Shop:
    """A healthy database on a server of its own, which keeps what it acknowledges: migrated by the
    role "pgbooking", which is no superuser. `db` is a superuser's session in it."""

    url: str
    db: Session
    binaries: str

    @property
    def url_of_migrator(self) -> str:
        """The address for the role that migrated it."""
        return make_conninfo(self.url, user="pgbooking")

    def examine(self, url: str | None = None) -> list[Finding]:
        """What doctor finds, but for what is as it should be."""
        with psycopg.connect(url or self.url, autocommit=True) as connection:
            report = doctor.examine(connection, url or self.url)
        return [finding for finding in report.findings if finding.level != "ok"]


@pytest.fixture(scope="module")
def shop(server: Server) -> Iterator[Shop]:
    """One that the tests of this module share: each leaves it as it was."""
    has_pg_cron = any(Path(server.binaries).parent.glob("lib/pg_cron.so"))
    pg_cron = "shared_preload_libraries = pg_cron\ncron.database_name = shop\n"
    with running_mortal_server(server, pg_cron if has_pg_cron else "") as mortal:
        yield from _open_shop(mortal, server.binaries)


def _open_shop(mortal: MortalServer, binaries: str) -> Iterator[Shop]:
    with psycopg.connect(mortal.url, autocommit=True) as administrator:
        administrator.execute("create role pgbooking login createrole")
        administrator.execute("grant pg_read_all_stats to pgbooking")
        administrator.execute("create database shop owner pgbooking")
    url = make_conninfo(mortal.url, dbname="shop")
    for _ in migrate.apply(make_conninfo(url, user="pgbooking")):
        pass
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("alter role anon set statement_timeout = '3s'")
        db.execute("alter role authenticated set statement_timeout = '8s'")
        _fill(db)
        _run_all_jobs(db)
        yield Shop(url, db, binaries)


def _fill(db: Session) -> None:
    """A person who works, and one appointment. The night is due from midnight on."""
    tenant = insert(
        db, "tenants", name="Shop", timezone="UTC", booking_horizon_days=3, refresh_hour=0
    )
    location = insert(db, "locations", tenant_id=tenant, name="Here")
    cut = insert(
        db, "appointment_types", tenant_id=tenant, code="cut", name="Cut", duration_minutes=30
    )
    person = insert(db, "staff", tenant_id=tenant, display_name="Ada")
    db.execute(
        "insert into booking.staff_appointment_types (tenant_id, staff_id, appointment_type_id)"
        " values (%s, %s, %s)",
        (tenant, person, cut),
    )
    db.execute(
        "insert into booking.working_hours"
        " (tenant_id, staff_id, location_id, weekday, start_time, end_time)"
        " select %s, %s, %s, weekday, '09:00', '17:00' from generate_series(1, 7) as weekday",
        (tenant, person, location),
    )
    db.execute(
        "insert into booking.appointments"
        " (tenant_id, staff_id, location_id, appointment_type_id, start_time, end_time)"
        " select %s, %s, %s, %s, d, d + interval '1 hour'"
        " from (select date_trunc('day', now(), 'UTC') + interval '2 days 12 hours') as t(d)",
        (tenant, person, location, cut),
    )


def _run_all_jobs(db: Session) -> None:
    for job in jobs.listed(db):
        assert jobs.run(db, job.name) is not None


@dataclass(frozen=True)
class Fault:
    """What to do to a healthy database, what doctor then finds, and what mends it: its own advice,
    or where that is no command, SQL."""

    plant: list[str]
    checks: list[str]
    level: str = "failure"
    says: str = ""
    cure: list[str] = field(default_factory=list)


# A statement that turns a word of a function's body into another, as someone who edits it would.
EDITED = """
do $$
begin
  execute replace(
    pg_get_functiondef('booking.offered_type'::regproc), 'is_active', 'is_active and true'
  );
end
$$
"""
OLD_HOLD = """
insert into booking.slot_reservations
  (tenant_id, slot_id, staff_id, location_id, shape_id, start_time, claim, session_hash, expires_at)
select tenant_id, id, staff_id, location_id, shape_id, start_time, claim, sha256('x'),
  now() - interval '2 hours'
from booking.availability_slots
where is_available
order by start_time desc
limit 1
"""
QUEUED = """
insert into booking.refresh_queue (tenant_id, staff_id, reason, queued_at, attempts, last_error)
select tenant_id, staff_id, 'test', now() - interval '1 hour', {}
from booking.calendars
"""

FAULTS = {
    "anon bypasses row-level security": Fault(["alter role anon bypassrls"], ["roles"]),
    "booking_owner can log in": Fault(["alter role booking_owner login"], ["roles"]),
    "service_role is a superuser": Fault(["alter role service_role superuser"], ["roles"]),
    "authenticator inherits": Fault(["alter role authenticator inherit"], ["roles"]),
    "anon is a member of service_role": Fault(["grant service_role to anon"], ["roles"]),
    "a table belongs to somebody else": Fault(
        # Who owns it may do everything, which the matrix does not know of either.
        ["alter table booking.members owner to pgbooking"],
        ["owners", "privileges"],
        cure=["alter table booking.members owner to booking_owner"],
    ),
    "anon may read the members": Fault(
        ["grant select on booking.members to anon"], ["privileges"], says="may select"
    ),
    "anon may read one column more": Fault(
        ["grant select (reserved_until) on booking.availability_slots to anon"],
        ["privileges"],
        says="reserved_until",
    ),
    "anon may not reserve": Fault(
        ["revoke execute on function api.reserve_slot from anon"], ["privileges"], says="may not"
    ),
    "everybody may call what is made from now on": Fault(
        ["alter default privileges for role booking_owner grant execute on functions to public"],
        ["privileges"],
    ),
    "row-level security is switched off": Fault(
        ["alter table booking.appointments disable row level security"], ["row_level_security"]
    ),
    "a policy lets everybody in": Fault(
        ["alter policy members_insert on booking.appointments with check (true)"], ["policies"]
    ),
    "a policy is missing": Fault(
        ["drop policy members_read_all on booking.staff"], ["policies"], says="missing"
    ),
    "a policy was added": Fault(
        ["create policy anyone on booking.members using (true)"], ["policies"], says="not part"
    ),
    "a function was edited": Fault([EDITED], ["functions"], says="differs"),
    "a function runs as its definer": Fault(
        ["alter function booking.erase_customer security definer"], ["functions"], says="differs"
    ),
    "a function is missing": Fault(
        ["drop function api.get_tenant"], ["functions"], says="api.get_tenant(slug text) is missing"
    ),
    "a function was added": Fault(
        [
            "create function booking.mine() returns int language sql return 1",
            "alter function booking.mine() owner to booking_owner",
        ],
        ["functions"],
        says="not part",
    ),
    "a view was edited": Fault(
        [
            "create or replace view api.staff"
            " with (security_invoker = true, security_barrier = true) as"
            " select s.id, s.tenant_id, s.display_name from booking.staff s"
        ],
        ["views"],
        says="differs",
    ),
    "a view does not run as its caller": Fault(
        ["alter view api.appointments set (security_invoker = off)"], ["views"], says="its caller"
    ),
    "a trigger is missing": Fault(
        ["drop trigger staff_3_touch_updated_at on booking.staff"], ["triggers"], says="missing"
    ),
    "a trigger is disabled": Fault(
        ["alter table booking.staff disable trigger staff_3_touch_updated_at"],
        ["triggers"],
        says="disabled",
    ),
    "a table's foreign key is not kept": Fault(
        ["alter table booking.tenant_slugs disable trigger all"], ["triggers"], says="foreign key"
    ),
    "a constraint is missing": Fault(
        ["alter table booking.appointments drop constraint end_time_is_after_start_time"],
        ["constraints"],
        says="missing",
    ),
    "people may be in two places at a time": Fault(
        ["alter table booking.appointments drop constraint one_person_is_in_one_place_at_a_time"],
        ["constraints"],
        says="missing",
    ),
    "a constraint was weakened": Fault(
        [
            "alter table booking.tenants drop constraint hold_minutes_is_1_to_1440,"
            " add constraint hold_minutes_is_1_to_1440 check (hold_minutes between 0 and 1440)"
        ],
        ["constraints"],
        says="differs",
    ),
    "a constraint was not validated": Fault(
        [
            "alter table booking.tenants drop constraint hold_minutes_is_1_to_1440,"
            " add constraint hold_minutes_is_1_to_1440"
            " check (hold_minutes between 1 and 1440) not valid"
        ],
        ["constraints"],
        says="never validated",
    ),
    "an index is missing": Fault(
        ["drop index booking.appointments_tenant_id_staff_id_start_time_idx"],
        ["indexes"],
        says="missing",
    ),
    "an index is not valid": Fault(
        [
            "update pg_catalog.pg_index set indisvalid = false"
            " where indexrelid = 'booking.events_created_at_idx'::regclass"
        ],
        ["indexes"],
        says="not valid",
    ),
    "an index was added": Fault(
        ["create index mine on booking.appointments (created_at)"], ["indexes"], "warning"
    ),
    "a column has another default": Fault(
        ["alter table booking.tenants alter column hold_minutes set default 99"], ["columns"]
    ),
    "a column may be null": Fault(
        ["alter table booking.tenants alter column timezone drop not null"], ["columns"]
    ),
    "a column was added": Fault(["alter table booking.staff add column phone text"], ["columns"]),
    "a table is not kept in a crash": Fault(
        ["alter table booking.events set unlogged"], ["tables"], says="differs"
    ),
    "a table was added": Fault(
        ["create table booking.mine ()", "alter table booking.mine owner to booking_owner"],
        ["tables"],
        cure=["drop table booking.mine"],
    ),
    "a migration was edited": Fault(
        [
            "update booking_migrations._yoyo_log set comment = 'sha256 0'"
            " where migration_id = '0003.tenants'"
        ],
        ["migrations"],
        says="0003.tenants was edited",
        cure=[
            "update booking_migrations._yoyo_log set comment = null"
            " where migration_id = '0003.tenants'"
        ],
    ),
    "a migration is not on record": Fault(
        [
            "delete from booking_migrations._yoyo_migration where migration_id ="
            # The newest of which something can be seen.
            " (select max(migration_id) from booking_migrations._yoyo_migration"
            " where migration_id like '%.engine')"
        ],
        ["migrations"],
        says="a run was killed",
    ),
    "a killed run left its lock": Fault(
        ["insert into booking_migrations.yoyo_lock (locked, ctime, pid) values (1, now(), 4711)"],
        ["migrations"],
        says="Process 4711",
    ),
    "no job has ever run": Fault(
        ["truncate booking.job_runs"],
        ["jobs"],
        "warning",
        says="No job has ever run",
        cure=[
            f"call booking.run_job('{name}')"
            for name in (
                "nightly_refresh",
                "drain_refresh_queue",
                "cleanup_expired_slot_reservations",
                "release_unpaid_appointments",
                "queue_reminders",
                "delete_old_records",
                "roll_up",
            )
        ],
    ),
    "a job is late": Fault(
        [
            "update booking.job_runs set started_at = started_at - interval '20 minutes'"
            " where job_name = 'drain_refresh_queue'"
        ],
        ["jobs"],
        says="is late",
    ),
    "a job fails": Fault(
        [
            "insert into booking.job_runs (job_name, finished_at, error)"
            " values ('queue_reminders', now() + interval '1 second', 'the moon is full')"
        ],
        ["jobs"],
        says="the moon is full",
    ),
    "a job has never run": Fault(
        ["delete from booking.job_runs where job_name = 'delete_old_records'"],
        ["jobs"],
        "warning",
        says="has not run yet",
    ),
    "a job is switched off": Fault(
        ["update booking.jobs set is_enabled = false where name = 'queue_reminders'"],
        ["jobs"],
        "warning",
    ),
    "the queue is not worked off": Fault([QUEUED.format("0, null")], ["queue"], says="wait"),
    "a tenant's days cannot be rolled up": Fault(
        [
            "insert into booking.rollups (tenant_id, rolled_until, last_error)"
            " select id, '2026-01-01', 'no such zone' from booking.tenants"
            " on conflict (tenant_id) do update"
            " set last_error = excluded.last_error, rolled_until = excluded.rolled_until"
        ],
        ["analytics"],
        says="no such zone",
    ),
    "a calendar fails": Fault([QUEUED.format("4, 'no such zone'")], ["queue"], says="no such zone"),
    "a night was left out": Fault(
        ["update booking.calendars set materialized_until = materialized_until - 3"],
        ["calendars"],
        "warning",
    ),
    "expired holds stay": Fault(
        ["set session_replication_role = replica", OLD_HOLD, "reset session_replication_role"],
        ["holds"],
        "warning",
    ),
    "nobody takes the events": Fault(
        [
            "insert into booking.events (tenant_id, kind, appointment_id, created_at)"
            " select tenant_id, 'moved', id, now() - interval '2 hours' from booking.appointments"
        ],
        ["events"],
        "warning",
        cure=["update booking.events set processed_at = now()"],
    ),
    "the rate limiter forgets nobody": Fault(
        ["update pg_catalog.pg_class set reltuples = 2e6 where relname = 'rate_limits'"],
        ["rate_limits"],
        "warning",
        cure=["analyze booking.rate_limits"],
    ),
    "the audit trail is kept for too long": Fault(
        [
            "insert into booking.audit_log (tenant_id, action, outcome, occurred_at)"
            " values ('00000000-0000-0000-0000-000000000000', 'reserve', 'refused',"
            " now() - interval '500 days')"
        ],
        ["retention"],
        "warning",
        says="audit_log",
    ),
    "runs of jobs are kept for too long": Fault(
        [
            "insert into booking.job_runs (job_name, started_at, finished_at)"
            " select 'queue_reminders', d, d from (select now() - interval '50 days') as t(d)"
        ],
        ["retention"],
        "warning",
        says="job_runs",
    ),
    "autovacuum leaves a table out": Fault(
        ["alter table booking.calendars set (autovacuum_enabled = off)"], ["vacuum"], "warning"
    ),
    "autovacuum is off": Fault(
        ["alter system set autovacuum = off", "select pg_reload_conf()"],
        ["server_settings"],
        "warning",
    ),
    "transactions are serializable": Fault(
        [
            "alter system set default_transaction_isolation = 'serializable'",
            "select pg_reload_conf()",
        ],
        ["server_settings"],
    ),
    "a database acknowledges what it has not kept": Fault(
        ["alter database shop set synchronous_commit = off"], ["role_settings"]
    ),
    "a role lives in another time": Fault(
        ["alter role pgbooking in database shop set booking.fake_now = '2026-01-01'"],
        ["role_settings"],
    ),
    "a role is refused by row-level security": Fault(
        ["alter role authenticated set row_security = off"], ["role_settings"]
    ),
    "requests may take for ever": Fault(
        ["alter role authenticated reset statement_timeout"], ["timeouts"], "warning"
    ),
    "requests are cut off too early": Fault(
        ["alter role anon set statement_timeout = '1s'"], ["timeouts"], "warning", says="cut off"
    ),
    "there are no settings": Fault(["delete from booking.settings"], ["settings"]),
    "addresses are not known": Fault(
        ["update booking.settings set trusted_proxies = 0"], ["settings"], "warning"
    ),
    "PostgREST exposes the tables": Fault(
        ["alter role authenticator set pgrst.db_schemas = 'api, booking'"], ["postgrest"]
    ),
    "PostgREST lets clients roll back": Fault(
        ["alter role authenticator in database shop set pgrst.db_tx_end = 'commit-allow-override'"],
        ["postgrest"],
    ),
}

COMMAND = re.compile(
    r"\b(psql|pgbooking|alter|analyze|create|drop|grant|insert|reindex|revoke|select|update|vacuum)"
    r" .+",
    re.IGNORECASE,
)


def carry_out(shop: Shop, finding: Finding, monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what the advice says, word for word."""
    assert finding.advice
    for line in finding.advice.splitlines():
        command = COMMAND.search(line)
        assert command, f"no command: {line}"
        if command[1] == "pgbooking":
            monkeypatch.setenv("DATABASE_URL", shop.url)
            with pytest.raises(SystemExit) as stop:
                app.main(command[0].split()[1:])
            assert stop.value.code == 0
        elif command[1] == "psql":
            path = f"{shop.binaries}:{os.environ['PATH']}"
            environment = os.environ | {"DATABASE_URL": shop.url, "PATH": path}
            subprocess.run(["bash", "-c", command[0]], check=True, env=environment)  # noqa: S607
        else:
            for statement in filter(None, command[0].split(";")):
                shop.db.execute(statement.encode())
        if "says where it is scheduled" in finding.advice:
            break


def wait_for_nothing(shop: Shop) -> list[Finding]:
    """What doctor still finds. A reload takes a moment to reach new sessions."""
    deadline = time.monotonic() + 5
    while (found := shop.examine()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def wait_for_something(shop: Shop) -> list[Finding]:
    """What doctor finds, as soon as it finds anything."""
    deadline = time.monotonic() + 5
    while not (found := shop.examine()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def test_a_healthy_database_has_nothing(shop: Shop) -> None:
    assert shop.examine() == []
    assert shop.examine(shop.url_of_migrator) == []


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_found_and_its_advice_mends_it(
    shop: Shop, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = FAULTS[name]
    for statement in fault.plant:
        shop.db.execute(statement.encode())
    found = wait_for_something(shop)

    assert [finding.check for finding in found] == fault.checks
    assert {finding.level for finding in found} == {fault.level}
    assert fault.says in found[0].message

    for statement in fault.cure:
        shop.db.execute(statement.encode())
    if not fault.cure:
        carry_out(shop, found[0], monkeypatch)
    assert wait_for_nothing(shop) == []


def test_a_grant_that_inherits_is_found(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    if shop.db.info.server_version < 160000:
        with pytest.raises(psycopg.errors.SyntaxError):
            shop.db.execute("grant anon to authenticator with inherit true")
        return
    shop.db.execute("grant anon to authenticator with inherit true")
    [found] = shop.examine()
    assert found.message == "The role authenticator has the rights of anon without becoming it."
    carry_out(shop, found, monkeypatch)
    assert shop.examine() == []


MANY_ROWS = """
insert into booking.rate_limits (bucket, key, tat)
select 'read', number, now() from generate_series(1, 20000) as number
"""


@pytest.mark.parametrize(
    ("statements", "says"),
    [
        (
            [MANY_ROWS, "delete from booking.rate_limits"],
            "about 20000 dead rows beside 0 live",
        ),
        ([MANY_ROWS], "about 20000 rows and was never analyzed"),
    ],
    ids=["dead", "never analyzed"],
)
def test_what_vacuum_has_left_undone_is_found(
    shop: Shop, statements: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.db.execute("select pg_stat_reset()")
    with psycopg.connect(shop.url) as other:
        # Or autovacuum might be quicker than this test.
        other.execute("lock table booking.rate_limits in share update exclusive mode")
        for statement in statements:
            shop.db.execute(statement.encode())
        shop.db.execute("select pg_stat_force_next_flush()")
        [found] = shop.examine()
    assert (found.check, found.level) == ("vacuum", "warning")
    assert says in found.message
    carry_out(shop, found, monkeypatch)
    assert shop.examine() == []
    shop.db.execute("truncate booking.rate_limits")


def test_a_session_that_holds_others_up_is_found(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        ThreadPoolExecutor() as thread,
        psycopg.connect(shop.url, autocommit=True) as waiting,
        # Closed first, so that a failing test does not wait for ever.
        contextlib.closing(psycopg.connect(shop.url, application_name="report")) as idle,
    ):
        idle.execute("select from booking.calendars for update")
        booked = thread.submit(waiting.execute, "update booking.calendars set revision = revision")
        wait_until_blocked(shop.db, waiting.info.backend_pid)
        found = wait_for_something(shop)

        assert [(each.check, each.level) for each in found] == [("sessions", "failure")]
        assert f"Session {idle.info.backend_pid} (postgres, report)" in found[0].message
        assert "for which 1 sessions wait" in found[0].message
        carry_out(shop, found[0], monkeypatch)
        booked.result(10)
    assert shop.examine() == []


def test_what_other_roles_do_is_not_seen_without_the_right(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.db.execute("revoke pg_read_all_stats from pgbooking")
    [found] = shop.examine(shop.url_of_migrator)
    assert (found.check, found.level) == ("sessions", "warning")
    carry_out(shop, found, monkeypatch)
    assert shop.examine(shop.url_of_migrator) == []


CRON_FAULTS = {
    "missing": "select cron.unschedule(jobid) from cron.job where command like '%queue_reminders%'",
    "not active": "update cron.job set active = false where command like '%queue_reminders%'",
    "at 1 1 1 1 1": "update cron.job set schedule = '1 1 1 1 1' where command like '%reminders%'",
    "as anon": "update cron.job set username = 'anon' where command like '%queue_reminders%'",
    "another host": "update cron.job set nodename = 'elsewhere' where command like '%reminders%'",
}


def test_what_is_wrong_with_our_jobs_in_pg_cron_is_found(
    shop: Shop, need_extension: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    need_extension("pg_cron")
    shop.db.execute("create extension pg_cron")
    assert shop.examine() == []  # They may run by the scheduler.
    jobs.install(shop.db, None)
    assert shop.examine() == []
    for says, plant in CRON_FAULTS.items():
        shop.db.execute(plant.encode())
        [found] = shop.examine()
        assert (found.check, found.level) == ("pg_cron", "failure")
        assert says in found.message
        carry_out(shop, found, monkeypatch)
        assert shop.examine() == []
    shop.db.execute("drop extension pg_cron")
