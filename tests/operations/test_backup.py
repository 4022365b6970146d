"""A dump of one database, restored on another server: everything is there, and works."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import unified_diff
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgbooking import app, migrate, verify
from pgbooking.catalog import Definition, Privilege, differences
from pgbooking.connection import connected
from pgbooking.output import progress_bar
from tests.api import SERVICE, Api
from tests.load import Load, make_shop
from tests.postgres import Server
from tests.schema.dumps import normalised_dump

Session = psycopg.Connection[Any]
Format = Literal["plain", "custom"]

ONE_ROW_EACH = Path(__file__).parents[1] / "schema" / "one_row_each.sql"
# Roles belong to the server, which several test processes share.
MIGRATOR = f"pgbooking_backup_{os.getpid()}"
ROLES = ["booking_owner", "anon", "authenticated", "service_role", "authenticator"]


@dataclass(frozen=True)
class Original:
    """The database that is dumped."""

    server: Server
    url: str
    load: Load

    def dump(self, to: Path, format_: Format) -> Path:
        """As the README says: by the role that has migrated, which is no superuser."""
        return dump(self.server, make_conninfo(self.url, user=MIGRATOR), to, format_)


@pytest.fixture(scope="module")
def original(server: Server) -> Iterator[Original]:
    """A row at least in every table, and a shop that some clients have been busy in; migrated by
    a role that is no superuser."""
    with server.database() as url:
        server.administer(f"create role {MIGRATOR} login createrole")
        try:
            # The template's roles are the superuser's, who lets this one act as them.
            server.administer(f"grant booking_owner to {MIGRATOR}")
            yield Original(server, url, fill(server, url))
        finally:
            with psycopg.connect(url, autocommit=True) as db:
                db.execute(f"drop owned by {MIGRATOR} cascade")
            server.administer(f"drop role {MIGRATOR}")


def fill(server: Server, url: str) -> Load:
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f"grant create on database {db.info.dbname} to {MIGRATOR}")
        for _ in migrate.apply(make_conninfo(url, user=MIGRATOR)):
            pass
        load = Load(url, make_shop(db), clients=4)
        with load.running():
            deadline = time.monotonic() + 30
            while load.calls < 100 and load.is_working:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        assert load.broken_promises(db) == []
        db.execute(ONE_ROW_EACH.read_bytes())
    return load


@pytest.mark.parametrize(
    ("format_", "by"),
    [("custom", "superuser"), ("plain", "superuser"), ("custom", "migrator")],
)
def test_a_restored_database_has_everything_and_works(
    original: Original,
    fresh_server: Server,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    format_: Format,
    by: Literal["superuser", "migrator"],
) -> None:
    file = original.dump(tmp_path / "dump", format_)
    fresh_server.administer(f"create role {MIGRATOR} login createrole")
    with fresh_server.database() as url:
        as_restorer = url if by == "superuser" else make_conninfo(url, user=MIGRATOR)
        with psycopg.connect(url) as db:
            db.execute(f"grant create on database {db.info.dbname} to {MIGRATOR}")
        for _ in range(2):
            psql(fresh_server, as_restorer, roles_sql(capsys))
        restore(fresh_server, as_restorer, file, format_)

        assert rows(url) == rows(original.url)
        restored = declared(fresh_server, url)
        assert list(unified_diff(declared(original.server, original.url), restored, n=0)) == []
        with psycopg.connect(url) as db, psycopg.connect(original.url) as original_db:
            assert roles(db) == roles(original_db)
            assert differences(db, Privilege) == []
            assert differences(db, Definition) == []
        status = migrate.status(as_restorer)
        assert (status.pending, status.problems) == ([], [])
        assert found_by_verify(url) == 0

        with psycopg.connect(url, autocommit=True) as db:
            book_and_cancel(db, original.load)
        assert found_by_verify(url) == 0


def book_and_cancel(db: Session, load: Load) -> None:
    """What a client does: lists, holds and books; and cancels what was booked before the dump."""
    api = Api(db)
    session_id = str(uuid4())
    today = datetime.now(UTC).date()
    listed = api.call(
        "get_available_slots",
        method="GET",
        tenant_id=load.shop.tenant,
        start_date=today,
        end_date=today + timedelta(days=3),
        appointment_type="cut",
    )
    wanted = {"slot_id": listed.body["slots"][-1]["id"], "appointment_type": "cut"}
    assert api.call("reserve_slot", session_id=session_id, **wanted).success
    booked = api.call(
        "create_appointment",
        SERVICE,
        session_id=session_id,
        user_data={"name": "Ada Lovelace", "email": "ada@example.org"},
        **wanted,
    )
    assert booked.success
    # Others may have cancelled it by hand since.
    live = db.execute(
        "select id from booking.appointments"
        " where status in ('pending', 'confirmed') and start_time > booking.now()"
    ).fetchall()
    earlier = next(
        booking
        for client in load.clients
        for booking in client.bookings
        if (booking.appointment_id,) in live
    )
    cancelled = api.call(
        "cancel_appointment",
        appointment_id=earlier.appointment_id,
        manage_token=earlier.manage_token,
    )
    assert cancelled.success


def test_pg_cron_and_its_jobs_stay_behind(
    need_extension: Callable[[str], None], fresh_server: Server, tmp_path: Path
) -> None:
    """The jobs name the old server's database and login; and pg_cron can be in one database of a
    server only, and lets nobody but superusers dump it."""
    need_extension("pg_cron")
    fresh_server.administer(f"create role {MIGRATOR} login createrole")
    fresh_server.administer(f"grant create on database postgres to {MIGRATOR}")
    fresh_server.administer("create extension pg_cron")
    fresh_server.administer(f"grant usage on schema cron to {MIGRATOR}")
    as_migrator = make_conninfo(fresh_server.url, user=MIGRATOR)
    for _ in migrate.apply(as_migrator):
        pass
    with psycopg.connect(as_migrator) as connection:
        connection.execute("select cron.schedule('a job', '0 0 1 1 *', 'select 1')")

    file = dump(fresh_server, as_migrator, tmp_path / "dump", "custom")
    with fresh_server.database() as url:
        with psycopg.connect(url) as db:
            db.execute(f"grant create on database {db.info.dbname} to {MIGRATOR}")
        restore(fresh_server, make_conninfo(url, user=MIGRATOR), file, "custom")
        assert migrate.status(url).pending == []
        with psycopg.connect(url) as db:
            found = db.execute("select extname from pg_catalog.pg_extension order by 1").fetchall()
    assert found == [("btree_gist",), ("plpgsql",)]


def test_sql_wants_to_know_what_for(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments in ([], ["--roles", "--supabase", str(tmp_path)]):
        with pytest.raises(SystemExit) as stop:
            app.main(["sql", *arguments])
        assert stop.value.code == 2
        assert "--supabase DIR, or --roles" in capsys.readouterr().err


# The programs.


def roles_sql(capsys: pytest.CaptureFixture[str]) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        app.main(["sql", "--roles"])
    assert not stop.value.code
    return capsys.readouterr().out


def dump(server: Server, url: str, to: Path, format_: Format) -> Path:
    """As the README says. Not with --extension=…, which leaves default privileges out."""
    options = [f"--format={format_}", "--exclude-schema=cron", f"--file={to}", f"--dbname={url}"]
    run(server, "pg_dump", *options)
    return to


def restore(server: Server, url: str, file: Path, format_: Format) -> None:
    """As the README says: everything or nothing, and without pg_cron."""
    if format_ == "plain":
        psql(server, url, file.read_text())
        return
    contents = run(server, "pg_restore", "--list", str(file)).splitlines(keepends=True)
    list_ = file.with_suffix(".list")
    list_.write_text("".join(line for line in contents if not re.search(r"\b(pg_)?cron\b", line)))
    options = ["--exit-on-error", "--single-transaction", f"--use-list={list_}", f"--dbname={url}"]
    run(server, "pg_restore", *options, str(file))


def psql(server: Server, url: str, text: str) -> None:
    options = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction"]
    run(server, "psql", *options, f"--dbname={url}", text=text)


def run(server: Server, program: str, *arguments: str, text: str | None = None) -> str:
    done = subprocess.run(
        [f"{server.binaries}/{program}", *arguments], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# What is compared.


def rows(url: str) -> dict[str, list[str]]:
    """Every row of every table, as text. There is no empty table."""
    found = {}
    with psycopg.connect(url) as db:
        tables = db.execute(
            "select schemaname, tablename from pg_catalog.pg_tables"
            " where schemaname in ('booking', 'booking_migrations') and tablename <> 'yoyo_lock'"
        ).fetchall()
        for schema, table in tables:
            query = sql.SQL("select t::text from {} t order by 1")
            values = db.execute(query.format(sql.Identifier(schema, table))).fetchall()
            assert values, f"nothing in {schema}.{table}"
            found[f"{schema}.{table}"] = [value for (value,) in values]
    assert found
    return found


def declared(server: Server, url: str) -> list[str]:
    """The schema, without parentheses: PostgreSQL reads `a and b and c` nested from a migration and
    flat from a dump."""
    without = str.maketrans("", "", "()")
    lines = (line.translate(without) for line in normalised_dump(server, url))
    return [line for line in lines if " ON DATABASE " not in line]


def roles(db: Session) -> list[tuple[Any, ...]]:
    """The roles, what they may, and who may act as them, apart from who migrates."""
    return db.execute(
        "select r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, r.rolcanlogin,"
        " r.rolbypassrls, array(select m.member::regrole::text from pg_catalog.pg_auth_members m"
        "   where m.roleid = r.oid and m.member::regrole::text = any (%(roles)s) order by 1)"
        " from pg_catalog.pg_roles r where r.rolname = any (%(roles)s) order by 1",
        {"roles": ROLES},
    ).fetchall()


def found_by_verify(url: str) -> int:
    with connected(url) as connection, progress_bar() as bar:
        return verify.verify(connection, bar, independent=True).differences
