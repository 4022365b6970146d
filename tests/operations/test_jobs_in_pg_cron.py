"""`pgbooking jobs install` and `remove`: pg_cron's list follows booking.jobs, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pgbooking import jobs, migrate
from pgbooking.connection import connected
from pgbooking.errors import Problem
from tests import postgres
from tests.cli.conftest import Answer, Run, run, run_without_database
from tests.operations.cron_server import cron_server
from tests.operations.job_work import JOBS
from tests.postgres import Server

__all__ = ["run", "run_without_database"]

Session = psycopg.Connection[Any]

DRAIN = "drain_refresh_queue"


@pytest.fixture(scope="module")
def own_server(server: Server) -> Iterator[Server]:
    with cron_server(server.kind) as own, postgres.template_database(own):
        # pgbooking in the very database that has pg_cron, too. Roles belong to the cluster.
        for _ in migrate.apply(own.url):
            pass
        own.administer("create role runner login in role booking_owner")
        own.administer("create role stranger login")
        yield own


@pytest.fixture
def database_url(own_server: Server) -> Iterator[str]:
    """A database beside the one that has pg_cron."""
    with own_server.database(own_server.template) as url:
        yield url
    with psycopg.connect(own_server.url) as connection:
        connection.execute("delete from cron.job")


@pytest.fixture
def cron(own_server: Server, database_url: str) -> Iterator[Session]:
    """A superuser session in the database that has pg_cron; the command finds it by its URL."""
    with psycopg.connect(own_server.url, autocommit=True) as connection:
        yield connection


@pytest.fixture(autouse=True)
def _cron_url(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGBOOKING_CRON_URL", own_server.url)


def as_role(url: str, role: str) -> str:
    return make_conninfo(url, user=role)


def cron_jobs(cron: Session) -> list[Any]:
    return cron.execute("select * from cron.job order by jobid").fetchall()


def scheduled(cron: Session) -> dict[str, tuple[str, str, str, str]]:
    """Name → schedule, command, database, role."""
    rows = cron.execute(
        "select jobname, schedule, command, database, username from cron.job where active"
    ).fetchall()
    return {row[0]: tuple(row[1:]) for row in rows}


def names(answer: Answer, verb: str) -> set[str]:
    """What the command says it did that to."""
    assert answer.code == 0, answer.err
    return {line.split()[1] for line in answer.out.splitlines() if line.startswith(f"{verb} ")}


def test_install_schedules_every_enabled_job_as_the_login_role(
    run: Run, db: Session, cron: Session, database_url: str
) -> None:
    db.execute("update booking.jobs set is_enabled = false where name = 'queue_reminders'")
    answer = run("jobs", "install", "--database-url", as_role(database_url, "runner"))
    assert names(answer, "scheduled") == JOBS - {"queue_reminders"}
    database = db.info.dbname
    assert f"pg_cron runs them in the database {database} as runner." in answer.out
    found = scheduled(cron)
    assert found[f"pgbooking {database}: {DRAIN}"] == (
        "* * * * *", f"call booking.run_job('{DRAIN}')", database, "runner",
    )  # fmt: skip
    assert {row[2:] for row in found.values()} == {(database, "runner")}
    assert len(found) == len(JOBS) - 1


def test_a_second_install_changes_nothing(run: Run, cron: Session) -> None:
    run("jobs", "install")
    before = cron_jobs(cron)
    answer = run("jobs", "install", "--json")
    assert set(answer.json["unchanged"]) == JOBS
    assert answer.json["scheduled"] == answer.json["removed"] == []
    assert cron_jobs(cron) == before


def test_install_follows_what_was_changed_disabled_and_deleted(
    run: Run, db: Session, cron: Session
) -> None:
    run("jobs", "install")
    db.execute("update booking.jobs set schedule = '*/2 * * * *' where name = %s", (DRAIN,))
    db.execute("update booking.jobs set is_enabled = false where name = 'queue_reminders'")
    db.execute("delete from booking.jobs where name = 'nightly_refresh'")
    cron.execute("update cron.job set active = false where command like '%delete_old%'")
    answer = run("jobs", "install")
    assert names(answer, "scheduled") == {DRAIN, "delete_old_records"}
    assert names(answer, "removed") == {"queue_reminders", "nightly_refresh"}
    assert names(answer, "unchanged") == {
        "cleanup_expired_slot_reservations",
        "release_unpaid_appointments",
        "roll_up",
    }
    found = scheduled(cron)
    assert found[f"pgbooking {db.info.dbname}: {DRAIN}"][0] == "*/2 * * * *"
    assert len(found) == len(JOBS) - 2


def test_install_as_another_role_leaves_no_job_of_the_first(
    run: Run, cron: Session, database_url: str
) -> None:
    run("jobs", "install")
    answer = run("jobs", "install", "--database-url", as_role(database_url, "runner"))
    assert names(answer, "scheduled") == JOBS
    assert {row[3] for row in scheduled(cron).values()} == {"runner"}
    assert len(scheduled(cron)) == len(JOBS)


def test_a_job_that_pg_cron_connects_to_the_wrong_host_for_is_scheduled_anew(
    run: Run, cron: Session
) -> None:
    run("jobs", "install")
    cron.execute("update cron.job set nodename = 'elsewhere' where command like '%queue_rem%'")
    assert names(run("jobs", "install"), "scheduled") == {"queue_reminders"}


def test_two_databases_of_a_cluster_do_not_collide_and_remove_takes_only_ones_own(
    run: Run, own_server: Server, cron: Session
) -> None:
    cron.execute("select cron.schedule('vacuum', '0 4 * * *', 'vacuum')")
    cron.execute("select cron.schedule('pgbooking x: theirs', '0 4 * * *', 'select 1')")
    run("jobs", "install")
    theirs = scheduled(cron)
    with own_server.database(own_server.template) as another_url:
        assert names(run("jobs", "install", "--database-url", another_url), "scheduled") == JOBS
        assert len(scheduled(cron)) == 2 + 2 * len(JOBS)
        answer = run("jobs", "remove", "--database-url", another_url)
        assert names(answer, "removed") == JOBS
        assert scheduled(cron) == theirs
        assert run("jobs", "remove", "--database-url", another_url).out == "Nothing to do.\n"
    run("jobs", "remove")
    assert set(scheduled(cron)) == {"vacuum", "pgbooking x: theirs"}


def test_list_tells_what_pg_cron_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("jobs", "install")
    listed = run("jobs", "list", "--json").json
    assert {each["cron_schedule"] == each["schedule"] for each in listed} == {True}
    assert " pg_cron " in run("jobs", "list").out
    monkeypatch.delenv("PGBOOKING_CRON_URL")
    assert " nowhere " in run("jobs", "list").out


# In the very database that has pg_cron


def test_install_where_pg_cron_is_needs_no_more_than_its_schema(
    run: Run, own_server: Server, cron: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PGBOOKING_CRON_URL")
    here = ("--database-url", as_role(own_server.url, "runner"))
    answer = run("jobs", "install", *here)
    assert answer.code == 1
    assert "The role runner may not use pg_cron." in answer.err
    assert "grant usage on schema cron to runner" in answer.err
    cron.execute("grant usage on schema cron to runner")
    try:
        assert names(run("jobs", "install", *here), "scheduled") == JOBS
        assert names(run("jobs", "install", *here), "unchanged") == JOBS
        assert {row[2:] for row in scheduled(cron).values()} == {("postgres", "runner")}
        assert " pg_cron " in run("jobs", "list", *here).out
        assert names(run("jobs", "remove", *here), "removed") == JOBS
        assert scheduled(cron) == {}
    finally:
        cron.execute("revoke usage on schema cron from runner")


# Refused


def test_a_role_that_cannot_run_jobs_is_refused(run: Run, cron: Session, database_url: str) -> None:
    answer = run("jobs", "install", "--database-url", as_role(database_url, "stranger"))
    assert answer.code == 1
    assert "The role stranger cannot run the jobs: it is no member of booking_owner" in answer.err
    assert scheduled(cron) == {}


def test_a_role_without_rights_in_pg_cron_is_refused(
    run: Run, own_server: Server, cron: Session, database_url: str
) -> None:
    cron.execute("grant usage on schema cron to runner")
    try:
        answer = run(
            "jobs", "install", "--database-url", as_role(database_url, "runner"),
            "--cron-url", as_role(own_server.url, "runner"),
        )  # fmt: skip
    finally:
        cron.execute("revoke usage on schema cron from runner")
    assert answer.code == 1
    assert "The role runner may not schedule jobs that run in the database" in answer.err
    assert "superuser" in answer.err
    assert scheduled(cron) == {}


def test_a_role_that_was_granted_it_schedules_its_own_jobs_from_another_database(
    run: Run, own_server: Server, cron: Session, database_url: str
) -> None:
    elsewhere = "function cron.schedule_in_database(text, text, text, text, text, boolean)"
    cron.execute("grant usage on schema cron to runner")
    cron.execute(f"grant execute on {elsewhere} to runner".encode())
    try:
        answer = run(
            "jobs", "install", "--database-url", as_role(database_url, "runner"),
            "--cron-url", as_role(own_server.url, "runner"),
        )  # fmt: skip
    finally:
        cron.execute("revoke usage on schema cron from runner")
        cron.execute(f"revoke execute on {elsewhere} from runner".encode())
    assert names(answer, "scheduled") == JOBS
    assert {row[3] for row in scheduled(cron).values()} == {"runner"}


def test_a_role_that_cannot_log_in_is_refused(cron: Session, database_url: str) -> None:
    with connected(as_role(database_url, "runner")) as connection:
        cron.execute("alter role runner nologin")
        try:
            with pytest.raises(
                Problem, match="The role runner cannot run the jobs: it has no LOGIN"
            ):
                jobs.install(connection, cron.info.dsn)
        finally:
            cron.execute("alter role runner login")


def test_a_pg_cron_in_another_time_zone_is_told(
    run: Run, cron: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    usable = jobs._usable_cron
    # A setting of pg_cron 1.5.
    monkeypatch.setattr(
        jobs, "_usable_cron", lambda *given: replace(usable(*given), timezone="Europe/Berlin")
    )
    answer = run("jobs", "install")
    assert "pg_cron reads schedules in Europe/Berlin (cron.timezone), not in UTC." in answer.out
    assert len(scheduled(cron)) == len(JOBS)


def test_a_schedule_that_pg_cron_does_not_understand_changes_nothing(
    run: Run, db: Session, cron: Session
) -> None:
    db.execute("update booking.jobs set schedule = 'at tea' where name = %s", (DRAIN,))
    answer = run("jobs", "install")
    assert answer.code == 1
    assert f"the schedule 'at tea' of the job {DRAIN}" in answer.err
    assert scheduled(cron) == {}


def test_a_cron_url_to_another_server_or_without_pg_cron_is_refused(
    run: Run, server: Server, cron: Session, database_url: str
) -> None:
    answer = run("jobs", "install", "--cron-url", database_url)
    assert answer.code == 1
    assert "has no pg_cron, but postgres has it." in answer.err
    assert "pgbooking scheduler" in answer.err
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGBOOKING_CRON_URL", cron.info.dsn)
        answer = run("jobs", "install", "--database-url", server.url_of(server.template))
    assert answer.code == 2
    assert "--cron-url leads to another server than DATABASE_URL." in answer.err
