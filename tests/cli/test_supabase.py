"""`pgbooking sql --supabase`: the files, and a project that they are pushed to.

The project is a server on which Supabase's roles and schemas have been made the way Supabase makes
them, as far as they matter here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlparse
from psycopg.conninfo import make_conninfo

from pgbooking import migrate, supabase
from pgbooking.sources import migrations_folder, sql_files, without_texts
from tests import postgres
from tests.api import Api, customer
from tests.cli.conftest import Run
from tests.postgres import Server
from tests.salon import Salon, make_salon
from tests.schema.dumps import MEANINGLESS, normalised_dump

TEMPLATE = "project_template"
REALTIME = "20260101235959_pgbooking_realtime.sql"
SESSION = "session-0123456789"

# "project" stands for Supabase's role postgres; by "cli_login" its command line logs in.
ROLES = """
    create role project login createrole bypassrls;
    create role cli_login login noinherit in role project;
    create role anon;
    create role authenticated;
    create role service_role bypassrls;
    create role authenticator login noinherit in role anon, authenticated, service_role;
    create role supabase_auth_admin;
    create role supabase_realtime_admin;
"""

# realtime.send as it is there: who may not write a message gets a warning and no error.
SCHEMAS = """
    create schema extensions authorization project;
    grant usage on schema extensions to anon, authenticated, service_role;
    create schema supabase_migrations authorization project;
    create table supabase_migrations.schema_migrations (version text primary key, name text);
    alter table supabase_migrations.schema_migrations owner to project;
    create schema realtime;
    grant usage on schema realtime to project, anon, authenticated, service_role;
    create table realtime.messages (topic text, event text, payload jsonb, private boolean);
    alter table realtime.messages owner to supabase_realtime_admin;
    alter table realtime.messages enable row level security;
    grant select, insert on realtime.messages to project, anon, authenticated, service_role;
    create function realtime.send(
      payload jsonb, event text, topic text, private boolean default true
    ) returns void language plpgsql as $$
    begin
      begin
        insert into realtime.messages (payload, event, topic, private)
        values (payload, event, topic, private);
      exception when others then
        raise warning 'ErrorSendingBroadcastMessage: %', sqlerrm;
      end;
    end $$;
"""


@pytest.fixture(scope="module")
def project_server(server: Server) -> Iterator[Server]:
    """A server with Supabase's roles, and a template database that all migrations are pushed to."""
    if server.kind == "url":
        pytest.skip("needs a server that it can start itself")
    with postgres.running_server(server.kind) as another:
        another.administer(ROLES)
        another.administer(f"create database {TEMPLATE} owner project")
        make_project(another.url_of(TEMPLATE))
        push(another.url_of(TEMPLATE), supabase.files(realtime=False))
        yield another


@pytest.fixture
def project_url(project_server: Server) -> Iterator[str]:
    """A project of this test's own, as superuser: a clone of the template."""
    with project_server.database(TEMPLATE) as url:
        yield url


@pytest.fixture
def database_url(project_url: str) -> str:
    """Where commands run, and as whom."""
    return as_project(project_url)


@pytest.fixture
def project(project_url: str) -> Iterator[psycopg.Connection]:
    """A superuser session in the test's project."""
    with psycopg.connect(project_url, autocommit=True) as session:
        yield session


@pytest.fixture
def live_salon(project: psycopg.Connection, project_url: str) -> Salon:
    """A small tenant in a project with Realtime, and no message yet."""
    push(project_url, {REALTIME: supabase.files(realtime=True)[REALTIME]})
    salon = make_salon(project)
    project.execute("delete from realtime.messages")
    return salon


@pytest.fixture
def two_migrations(tmp_path: Path) -> Path:
    """A folder of small migrations."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001.one.sql").write_text("create table one (id int);\n")
    (folder / "0002.two.sql").write_text("-- depends: 0001.one\n\ncreate table two (id int);\n")
    (folder / "post-apply.sql").write_text("notify pgrst;\n")
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A project's supabase/migrations."""
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    return folder


def as_project(url: str) -> str:
    """The same database as the role that migrates it, which is no superuser."""
    return make_conninfo(url, user="project")


def make_project(url: str) -> None:
    """Supabase's schemas in a new database."""
    with psycopg.connect(url) as session:
        session.execute(SCHEMAS)


def push(url: str, files: Mapping[str, str]) -> None:
    """What `supabase db push` does (2.122 and 3.1 were watched doing it): a temporary login takes
    the project's role; a file's statements and its record are one pipeline, so one transaction."""
    with psycopg.connect(make_conninfo(url, user="cli_login"), autocommit=True) as session:
        session.execute("set session role project")
        for file, text in files.items():
            session.execute("reset all")
            version, _, name = file.removesuffix(".sql").partition("_")
            with session.pipeline():
                for statement in sqlparse.split(text):
                    session.execute(statement.encode())
                session.execute(
                    "insert into supabase_migrations.schema_migrations values (%s, %s)",
                    [version, name],
                )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of the folder, hidden ones included."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rows(session: psycopg.Connection[Any], query: str) -> list[tuple[Any, ...]]:
    """The rows of a query."""
    return session.execute(query.encode()).fetchall()


# The files.


def test_names_have_fixed_times_in_the_order_of_the_migrations(two_migrations: Path) -> None:
    assert list(supabase.files(realtime=True, migrations=two_migrations)) == [
        "20260101000000_pgbooking_bookkeeping.sql",
        "20260101000001_pgbooking_one.sql",
        "20260101000002_pgbooking_two.sql",
        REALTIME,
    ]


def test_every_migration_has_its_file_with_its_whole_text() -> None:
    migrations = sorted(
        path
        for path in migrations_folder().glob("[0-9]*.sql")
        if not path.name.endswith(".rollback.sql")
    )
    files = supabase.files(realtime=False)
    assert list(files) == sorted(files)
    _, *others = files.items()
    for path, (name, text) in zip(migrations, others, strict=True):
        assert name.endswith(f"_pgbooking_{path.stem.split('.')[1]}.sql")
        assert without_concurrently(path.read_text()) in text
        if "transactional: false" in path.read_text():
            assert "set local lock_timeout = '500ms';" in text


def without_concurrently(text: str) -> str:
    """`supabase db push` runs each file in one transaction."""
    return text.replace("-- transactional: false\n", "").replace(" concurrently", "").strip()


def test_what_has_been_written_once_is_written_the_same_for_ever(two_migrations: Path) -> None:
    # A release has put these texts into people's repositories. If this fails, undo the change to
    # deploy/supabase/ or supabase.py; before the first release, write the new sums here.
    files = supabase.files(realtime=True, migrations=two_migrations)
    sums = {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in files.items()}
    assert sums == {
        "20260101000000_pgbooking_bookkeeping.sql": "dab857907089f41c",
        "20260101000001_pgbooking_one.sql": "1c477598f476650e",
        "20260101000002_pgbooking_two.sql": "d4f2c3e9fe60df23",
        "20260101235959_pgbooking_realtime.sql": "0d25749529e7128f",
    }


def test_no_file_ends_its_transaction_or_speaks_to_psql() -> None:
    for name, text in supabase.files(realtime=True).items():
        statements = [each.split() for each in without_texts(text).split(";") if each.split()]
        first_words = {words[0].lower() for words in statements}
        assert first_words & {"begin", "start", "commit", "end", "rollback", "abort"} == set(), name
        assert not [word for word in first_words if word.startswith("\\")], name


def test_no_update_or_delete_lacks_a_where() -> None:
    # Supabase loads safeupdate for the API's login, which refuses them, in functions too.
    changes = re.compile(r"\b(?:update|delete\s+from)\s+(?:booking|api)\.\w+[^;]*")
    for file in sql_files():
        text = re.sub(r"--[^\n]*|'[^']*'", "", file.read_text())
        for change in changes.findall(text):
            outside, inside = change, ""
            while outside != inside:
                inside, outside = outside, re.sub(r"\([^()]*\)", "", outside)
            assert " where " in " ".join(outside.split()), f"{file.name}: {change}"


def test_a_second_run_writes_nothing(run: Run, target: Path) -> None:
    first = run("sql", "--supabase", target, "--realtime")
    assert first.code == 0
    files = supabase.files(realtime=True)
    assert first.out.splitlines() == [f"wrote {name}" for name in files]
    assert contents(target) == {name: text.encode() for name, text in files.items()}

    times = {path: path.stat().st_mtime_ns for path in target.iterdir()}
    assert run("sql", "--supabase", target, "--realtime").out == "Nothing to do.\n"
    answer = run("sql", "--supabase", target, "--json")
    assert answer.json["written"] == []
    assert {path: path.stat().st_mtime_ns for path in target.iterdir()} == times


def test_a_newer_version_only_adds_files(two_migrations: Path, target: Path) -> None:
    newer = two_migrations / "0002.two.sql"
    text = newer.read_text()
    newer.unlink()
    supabase.write(target, realtime=True, migrations=two_migrations)
    (target / "20261224180000_of_somebody_else.sql").write_text("select 1;")
    before = contents(target)

    newer.write_text(text)
    report = supabase.write(target, realtime=False, migrations=two_migrations)
    assert report.written == ["20260101000002_pgbooking_two.sql"]
    after = contents(target)
    assert after.keys() - before.keys() == set(report.written)
    assert before.items() <= after.items()


def test_a_changed_file_is_reported_and_nothing_is_written(run: Run, target: Path) -> None:
    run("sql", "--supabase", target)
    changed, missing, *_ = sorted(target.iterdir())
    changed.write_text("select 1;\n")
    missing.unlink()
    before = contents(target)
    answer = run("sql", "--supabase", target)
    assert answer.code == 1
    assert answer.out == ""
    assert f"Nothing was written, for this is not what pgbooking writes: {changed.name}." in (
        answer.err
    )
    assert contents(target) == before


def test_another_file_with_the_time_of_ours_is_reported(run: Run, target: Path) -> None:
    (target / "20260101000001_mine.sql").write_text("select 1;\n")
    answer = run("sql", "--supabase", target)
    assert answer.code == 1
    assert "20260101000001_mine.sql" in answer.err
    assert len(contents(target)) == 1


def test_line_ends_that_git_has_changed_are_no_difference(run: Run, target: Path) -> None:
    run("sql", "--supabase", target)
    for path in target.iterdir():
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert run("sql", "--supabase", target).out == "Nothing to do.\n"


def test_a_run_that_breaks_off_leaves_no_file_half_written(
    run: Run, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(path: Path, to: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", stop)
        answer = run("sql", "--supabase", target)
    assert answer.code == 1
    assert "No space left on device" in answer.err
    assert list(target.glob("[0-9]*")) == []

    assert run("sql", "--supabase", target).code == 0
    assert set(contents(target)) == set(supabase.files(realtime=False))


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_folder_is_refused_in_a_sentence(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    answer = run("sql", "--supabase", tmp_path / name)
    assert answer.code == 2
    assert answer.err.splitlines()[0] == (
        f"Error: {tmp_path / name} is not a folder; expected is the project's supabase/migrations."
    )
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_sql_for_nobody_is_refused(run: Run) -> None:
    answer = run("sql", "--realtime")
    assert answer.code == 2
    assert "--supabase DIR" in answer.err


# A project after a push.


def test_status_and_migrate_know_what_was_pushed(run: Run) -> None:
    assert run("status").code == 0
    assert run("migrate").out == "Nothing to do.\n"


def test_what_was_pushed_is_what_migrate_makes(project_server: Server, project_url: str) -> None:
    with project_server.database() as migrated:
        project_server.administer(
            f"alter database {psycopg.conninfo.conninfo_to_dict(migrated)['dbname']}"
            " owner to project"
        )
        make_project(migrated)
        assert list(migrate.apply(as_project(migrated)))
        assert normalised_dump(project_server, project_url) == (
            normalised_dump(project_server, migrated)
        )
        assert bookkeeping(project_server, project_url) == bookkeeping(project_server, migrated)


def bookkeeping(server: Server, url: str) -> list[Any]:
    """yoyo's tables and what stands in them, but for who and when."""
    dump = server.dump(url, "--schema=booking_migrations").splitlines()
    with psycopg.connect(url) as session:
        return [
            *(line for line in dump if line and not line.startswith(MEANINGLESS)),
            *rows(session, "select version from booking_migrations._yoyo_version"),
            *rows(
                session,
                "select m.migration_id, m.migration_hash, l.operation, l.comment"
                " from booking_migrations._yoyo_migration as m"
                " full join booking_migrations._yoyo_log as l using (migration_id, migration_hash)"
                " order by 1",
            ),
            *rows(session, "select * from booking_migrations.yoyo_lock"),
        ]


def test_a_file_that_fails_leaves_neither_itself_nor_its_record(project_server: Server) -> None:
    files = supabase.files(realtime=False)
    *others, last = files
    with project_server.database() as url:
        project_server.administer(
            f"alter database {psycopg.conninfo.conninfo_to_dict(url)['dbname']} owner to project"
        )
        make_project(url)
        push(url, {name: files[name] for name in others})
        before = normalised_dump(project_server, url)
        with pytest.raises(psycopg.errors.DivisionByZero):
            push(url, {last: files[last] + "\nselect 1 / 0;"})
        assert normalised_dump(project_server, url) == before
        assert len(migrate.pending(as_project(url))) == 1


def test_anonymous_visitors_read_and_reserve_and_customers_book(
    project: psycopg.Connection,
) -> None:
    salon = make_salon(project)
    api = Api(project)
    with project.transaction():
        project.execute("set local role anon")
        seen = project.execute(
            "select count(*) from api.availability_slots where tenant_id = %s", [salon.tenant]
        ).fetchone()
    assert seen is not None
    assert seen[0] > 0

    slot_id = salon.slot(salon.cut)["slot_id"]
    held = api.call("reserve_slot", slot_id=slot_id, session_id=SESSION)
    assert held.success
    booked = api.call(
        "create_appointment",
        customer(uuid4()),
        slot_id=slot_id,
        session_id=SESSION,
        appointment_type="cut",
        user_data={"name": "Ada", "email": "ada@example.org"},
    )
    assert booked.success


def test_the_extension_is_where_supabase_keeps_extensions(project: psycopg.Connection) -> None:
    assert rows(
        project,
        "select extnamespace::regnamespace::text from pg_extension where extname = 'btree_gist'",
    ) == [("extensions",)]


# Realtime.


def messages(salon: Salon) -> list[tuple[Any, ...]]:
    """What was sent, oldest first, and forgotten here."""
    return rows(salon.db, "delete from realtime.messages returning topic, event, payload, private")


def message(salon: Salon, person: object) -> tuple[Any, ...]:
    """What is to be sent of that calendar as it is now."""
    row = salon.db.execute(
        "select revision from booking.calendars where staff_id = %s", [person]
    ).fetchone()
    assert row is not None
    return (
        f"availability:{salon.tenant}",
        "calendar_changed",
        {"tenant_id": str(salon.tenant), "staff_id": str(person), "revision": row[0]},
        False,
    )


def test_a_hold_is_broadcast_once_and_says_only_which_calendar(live_salon: Salon) -> None:
    held = Api(live_salon.db).call(
        "reserve_slot", slot_id=live_salon.slot(live_salon.cut)["slot_id"], session_id=SESSION
    )
    assert held.success
    assert messages(live_salon) == [message(live_salon, live_salon.person)]


def test_each_calendar_that_a_transaction_changes_is_broadcast_once(live_salon: Salon) -> None:
    ben = live_salon.add_person()
    messages(live_salon)
    with live_salon.db.transaction():
        for person in (live_salon.person, ben):
            taken = live_salon.appointment(staff_id=person)
            live_salon.db.execute(
                "update booking.appointments set notes = 'x' where id = %s", [taken]
            )
    assert sorted(messages(live_salon), key=str) == sorted(
        [message(live_salon, live_salon.person), message(live_salon, ben)], key=str
    )


def test_what_is_rolled_back_or_changes_no_calendar_is_not_broadcast(live_salon: Salon) -> None:
    with live_salon.db.transaction(force_rollback=True):
        live_salon.appointment()
    live_salon.db.execute("update booking.tenants set payment_due_minutes = 31")
    live_salon.db.execute("update booking.calendars set materialized_until = materialized_until")
    assert messages(live_salon) == []


@pytest.mark.parametrize(
    "breaking",
    [
        "drop schema realtime cascade",
        "drop function realtime.send",
        "revoke usage on schema realtime from project",
        "create or replace function realtime.send("
        " payload jsonb, event text, topic text, private boolean default true"
        ") returns void language plpgsql as $$ begin raise 'out of order'; end $$",
        "revoke insert on realtime.messages from project",
    ],
)
def test_no_booking_fails_for_want_of_a_broadcast(live_salon: Salon, breaking: str) -> None:
    live_salon.db.execute(breaking.encode())
    warnings: list[str | None] = []
    live_salon.db.add_notice_handler(lambda notice: warnings.append(notice.severity_nonlocalized))
    held = Api(live_salon.db).call(
        "reserve_slot", slot_id=live_salon.slot(live_salon.cut)["slot_id"], session_id=SESSION
    )
    assert held.success
    assert "WARNING" in warnings


def test_nobody_calls_the_broadcast_by_hand(live_salon: Salon) -> None:
    assert (
        rows(
            live_salon.db,
            "select rolname from pg_roles where not rolsuper and rolname not like 'pg\\_%'"
            " and rolname not in ('project', 'cli_login')"
            " and has_function_privilege(oid, 'booking.broadcast_revision()', 'execute')",
        )
        == []
    )
