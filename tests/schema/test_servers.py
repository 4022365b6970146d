"""The servers of the tests are what the tests take them for."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from tests.postgres import Server


def test_the_server_and_its_pg_dump_are_of_the_version_that_was_asked_for(server: Server) -> None:
    major = {"embedded": "18"}.get(server.kind, server.kind)
    with psycopg.connect(server.url) as connection:
        version = connection.info.server_version // 10000
    assert server.kind == "url" or str(version) == major
    assert server.kind == "url" or f"by pg_dump version {major}." in server.dump(server.url)


def test_pg_cron_is_loaded_where_there_is_one(
    server: Server, need_extension: Callable[[str], None]
) -> None:
    need_extension("pg_cron")
    with psycopg.connect(server.url) as connection:
        connection.execute("create extension pg_cron")
        job = connection.execute("select cron.schedule('nightly', '0 2 * * *', 'select 1')")
        assert job.fetchone()
        connection.rollback()


def test_the_zone_of_a_session_is_not_the_zone_of_a_tenant(db: psycopg.Connection) -> None:
    # What hangs on the zone of the session by mistake is found where that zone is an odd one.
    row = db.execute(
        "select extract(minute from now() at time zone current_setting('timezone') - now()"
        " at time zone 'UTC')"
    ).fetchone()
    assert row == (45,)
