"""What `make engine` makes of sql/: the difference from the last release, and the way back."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from pgbooking import engine, migrate
from pgbooking.errors import Problem
from pgbooking.sources import sql_files, sql_folder
from tests.postgres import Server
from tests.schema.dumps import normalised_dump

RELEASED = {
    "10_a.sql": """
-- Says one.
create or replace function booking.a() returns int language sql stable parallel safe
as $$ select 1; -- one
$$;

comment on function booking.a is 'a; one';
""",
    "11_unchanged.sql": """
create or replace function booking.unchanged() returns int language sql as $$ select 0 $$;
-- A last word.
""",
    "14_comments.sql": """
create or replace function booking.told() returns int language sql as $$ select 0 $$;

comment on function booking.told() is 'told';

create or replace function booking.untold() returns int language sql as $$ select 0 $$;
""",
    "12_gone.sql": """
create or replace function booking.gone() returns int language sql as $$ select 0 $$;
""",
    "50_t.sql": """
-- Trigger functions and triggers.
create or replace function booking.t_changed() returns trigger language plpgsql
as $$ begin return null; end $$;

create or replace trigger t_changed after insert on booking.t
for each statement execute function booking.t_changed();

create or replace trigger t_gone after insert on booking.t
for each statement execute function booking.t_changed();
""",
    "60_u.sql": """
drop policy if exists everyone_reads on booking.u;

create policy everyone_reads on booking.u for select using (true);
""",
    "70_v.sql": "create or replace view booking.v as select 1 as one;",
    "90_grants.sql": """
revoke all on all tables in schema booking from reader;
revoke all on all functions in schema booking from reader;

grant select on booking.v to reader;
grant execute on function booking.a, booking.gone to reader;
""",
}

TABLES = """
set local role booking_owner;
create table booking.t (id int);
create table booking.u (id int);
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A project's migrations and sql/, released as 0.1.0."""
    migrations, sql = tmp_path / "migrations", tmp_path / "sql"
    migrations.mkdir()
    sql.mkdir()
    (migrations / "0001.tables.sql").write_text(TABLES)
    (migrations / "0001.tables.rollback.sql").write_text("drop table booking.t, booking.u;")
    for name, text in RELEASED.items():
        (sql / name).write_text(text)
    engine.write(migrations, sql)
    engine.release(migrations, "0.1.0")
    return migrations, sql


def unreleased(migrations: Path) -> dict[str, str]:
    """The engine migrations that are not released: name → text without comments and settings."""
    released = engine.released_files(migrations)
    return {
        file.name.removesuffix(".sql"): "\n".join(
            line
            for line in file.read_text().splitlines()
            if line and not line.startswith(("-- ", "set local "))
        )
        for file in sorted(migrations.glob("*.engine*"), key=lambda file: file.stem)
        if file.name not in released
    }


def test_nothing_is_written_where_nothing_differs_but_comments(folders: tuple[Path, Path]) -> None:
    migrations, sql = folders
    (sql / "10_a.sql").write_text(RELEASED["10_a.sql"].replace("-- Says one.", "-- It says one."))
    assert engine.differences(migrations, sql) == []
    engine.write(migrations, sql)
    assert unreleased(migrations) == {}


def test_only_what_differs_is_written_tables_apart(folders: tuple[Path, Path]) -> None:
    migrations, sql = folders
    (sql / "10_a.sql").write_text(RELEASED["10_a.sql"].replace("select 1", "select 2"))
    (sql / "50_t.sql").write_text(RELEASED["50_t.sql"].replace("after insert", "after update"))
    (sql / "60_u.sql").write_text(RELEASED["60_u.sql"].replace("(true)", "(id > 0)"))
    engine.write(migrations, sql)
    assert engine.differences(migrations, sql) == []

    written = unreleased(migrations)
    assert list(written) == [
        "0006.engine",
        "0006.engine.rollback",
        "0007.engine_t",
        "0007.engine_t.rollback",
        "0008.engine_u",
        "0008.engine_u.rollback",
    ]
    assert "booking.a()" in written["0006.engine"]
    assert "select 2" in written["0006.engine"]
    assert "select 1" in written["0006.engine.rollback"]
    assert "unchanged" not in written["0006.engine"] + written["0006.engine.rollback"]
    assert "trigger" not in written["0006.engine"] + written["0008.engine_u"]
    assert "grant" not in "".join(written.values())
    for table, mode in (("t", "share row exclusive"), ("u", "access exclusive")):
        number = {"t": 7, "u": 8}[table]
        for way in ("", ".rollback"):
            text = written[f"000{number}.engine_{table}{way}"]
            assert "set local lock_timeout = '500ms'" in text
            assert f"lock table booking.{table} in {mode} mode;" in text
    assert "-- depends: 0007.engine_t\n" in (migrations / "0008.engine_u.sql").read_text()


def test_every_kind_of_change_goes_forward_and_back(
    server: Server, database_url: str, folders: tuple[Path, Path]
) -> None:
    """Applied and rolled back on a real database, one by one, by dump."""
    migrations, sql = folders
    with server.database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create schema booking authorization booking_owner")
            connection.execute(
                "do $$ begin create role reader; exception when duplicate_object then end $$"
            )
        assert len(list(migrate.apply(url, migrations))) == 5
        before = normalised_dump(server, url)

        # A signature, a new function, one that is gone, which of two functions has a comment;
        # triggers, a policy, views, grants.
        told, comment, untold = RELEASED["14_comments.sql"].split("\n\n")
        comment = comment.replace("booking.told", "booking.untold")
        (sql / "14_comments.sql").write_text("\n\n".join([told, untold, comment]))
        (sql / "10_a.sql").write_text(
            RELEASED["10_a.sql"].replace("booking.a() returns int", "booking.a() returns bigint")
        )
        (sql / "12_gone.sql").unlink()
        (sql / "13_new.sql").write_text(
            "create or replace function booking.n() returns int language sql as $$ select 0 $$;\n"
            "create or replace view booking.w as select booking.n();\n"
        )
        (sql / "50_t.sql").write_text(
            RELEASED["50_t.sql"].replace("t_gone", "t_new").replace("return null", "return new")
        )
        (sql / "60_u.sql").write_text(RELEASED["60_u.sql"].replace("(true)", "(id > 0)"))
        (sql / "70_v.sql").write_text("create or replace view booking.v as select 2 as two;")
        (sql / "90_grants.sql").write_text(
            RELEASED["90_grants.sql"].replace("booking.gone", "booking.n")
        )
        engine.write(migrations, sql)
        assert [name for name in unreleased(migrations) if "rollback" not in name] == [
            "0006.engine",
            "0007.engine_t",
            "0008.engine_u",
            "0009.engine_v_view",
            "0010.engine_afterwards",
        ]

        dumps = [before]
        for _ in migrate.apply(url, migrations):
            dumps.append(normalised_dump(server, url))
        with server.database() as declared:
            with psycopg.connect(declared, autocommit=True) as connection:
                connection.execute("create schema booking authorization booking_owner")
                connection.execute(TABLES.encode())
                connection.execute("set role booking_owner")
                for file in sorted(sql.glob("*.sql")):
                    connection.execute(file.read_bytes())
            assert normalised_dump(server, declared) == dumps[-1]
        while len(dumps) > 1:
            dumps.pop()
            [_] = migrate.rollback(url, migrate.rollback_order(url, migrations, last=1), migrations)
            assert normalised_dump(server, url) == dumps[-1]


def test_the_next_release_starts_from_this_one(folders: tuple[Path, Path]) -> None:
    migrations, sql = folders
    (sql / "12_gone.sql").unlink()
    (sql / "90_grants.sql").write_text(RELEASED["90_grants.sql"].replace(", booking.gone", ""))
    (sql / "10_a.sql").write_text(
        RELEASED["10_a.sql"].replace("a() returns int", "a(x int) returns int")
    )
    engine.write(migrations, sql)
    engine.release(migrations, "0.2.0")
    released, wanted = engine.released_code(migrations), engine.wanted_code(sql)
    assert engine.engine_migrations(released, wanted) == []
    assert set(released.pieces) == set(wanted.pieces)
    engine.release(migrations, "0.3.0")
    assert "0.3.0" not in (migrations / "CHECKSUMS").read_text(), "an empty release"


def test_sql_may_not_create_state(tmp_path: Path) -> None:
    (tmp_path / "t.sql").write_text("create table booking.t (id int);")
    with pytest.raises(Problem, match=r"t\.sql creates a table \(booking\.t\)"):
        engine.wanted_code(tmp_path)


@pytest.mark.parametrize("statement", ["update booking.t set id = 1", "grant all on t to public"])
def test_sql_may_not_do_anything_else(tmp_path: Path, statement: str) -> None:
    (tmp_path / "t.sql").write_text(f"-- Oops.\n{statement};")
    with pytest.raises(Problem, match=f"makes no object: {statement}"):
        engine.wanted_code(tmp_path)


def test_a_released_migration_that_was_edited_or_lost_is_found(folders: tuple[Path, Path]) -> None:
    migrations, sql = folders
    # Unreleased: an edit only needs another `make engine`.
    (migrations / "0006.more.sql").write_text("create table booking.w (id int);")
    (migrations / "0006.more.rollback.sql").write_text("drop table booking.w;")
    assert engine.differences(migrations, sql) == ["CHECKSUMS"]
    engine.write(migrations, sql)
    assert engine.differences(migrations, sql) == []

    # Released: neither an edit nor the loss of a file is forgiven.
    (migrations / "0001.tables.sql").write_text("create table t ();")
    (migrations / "0002.engine.rollback.sql").unlink()
    edited = ["0001.tables.sql", "0002.engine.rollback.sql"]
    assert engine.differences(migrations, sql) == edited
    with pytest.raises(Problem, match=", ".join(edited)):
        engine.write(migrations, sql)


def test_every_statement_of_sql_is_an_object_or_a_grant() -> None:
    code = engine.wanted_code(sql_folder())
    written = {piece.file for piece in code.pieces.values()} | {engine.GRANTS}
    assert written == {file.relative_to(sql_folder()).as_posix() for file in sql_files()}
