"""What `migrate`, `rollback` and `status` do when all is well, and when it is not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from yoyo.connections import parse_uri

from pgbooking import migrate
from pgbooking.errors import Problem
from pgbooking.sources import migrations_folder


@pytest.fixture
def two_migrations(tmp_path: Path) -> Path:
    """A folder of small migrations."""
    files = {
        "0001.one.sql": "create schema booking;\ncreate table booking.one (id int);",
        "0001.one.rollback.sql": "drop table booking.one;\ndrop schema booking;",
        "0002.two.sql": "-- depends: 0001.one\n\ncreate table booking.two (id int);",
        "0002.two.rollback.sql": "drop table booking.two;",
        "post-apply.sql": "notify pgrst, 'reload schema';",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def states(database_url: str, folder: Path) -> dict[str, str]:
    """Migration → state."""
    return {each.id: each.state for each in migrate.status(database_url, folder).migrations}


def test_migrating_twice_applies_once(empty_database_url: str, two_migrations: Path) -> None:
    assert states(empty_database_url, two_migrations) == {
        "0001.one": "pending",
        "0002.two": "pending",
    }
    assert list(migrate.apply(empty_database_url, two_migrations)) == ["0001.one", "0002.two"]
    assert list(migrate.apply(empty_database_url, two_migrations)) == []
    assert states(empty_database_url, two_migrations) == {
        "0001.one": "applied",
        "0002.two": "applied",
    }
    assert migrate.status(empty_database_url, two_migrations).problems == []


def test_status_and_dry_run_write_nothing(empty_database_url: str) -> None:
    migrate.status(empty_database_url)
    ids = migrate.pending(empty_database_url)
    text = migrate.texts(ids, "apply")
    files = [migrations_folder() / f"{each}.sql" for each in ids]
    positions = [text.index(file.read_text().strip()) for file in files]
    assert positions == sorted(positions)
    with psycopg.connect(empty_database_url) as connection:
        schemas = "select from pg_namespace where nspname ~ '^(booking|api)'"
        assert connection.execute(schemas).fetchall() == []


def test_the_sql_of_a_dry_run_is_what_migrate_does(
    empty_database_url: str, two_migrations: Path
) -> None:
    ids = migrate.pending(empty_database_url, two_migrations)
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(migrate.texts(ids, "apply", two_migrations).encode())
        assert connection.execute("select from booking.one, booking.two").fetchall() == []
        connection.execute(migrate.texts(ids[::-1], "rollback", two_migrations).encode())
        assert connection.execute("select to_regnamespace('booking')").fetchone() == (None,)


def test_a_migration_that_fails_leaves_nothing_of_itself(
    empty_database_url: str, two_migrations: Path
) -> None:
    (two_migrations / "0002.two.sql").write_text(
        "-- depends: 0001.one\n\ncreate table booking.two (id int);\nselect 1 / 0;"
    )
    with pytest.raises(Problem, match=r"0002\.two could not be applied: division by zero"):
        list(migrate.apply(empty_database_url, two_migrations))
    assert states(empty_database_url, two_migrations) == {
        "0001.one": "applied",
        "0002.two": "pending",
    }
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("select to_regclass('booking.two')").fetchone() == (None,)


def test_a_migration_without_its_mark_is_not_kept(
    empty_database_url: str, two_migrations: Path
) -> None:
    assert next(migrate.apply(empty_database_url, two_migrations)) == "0001.one"
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "alter table booking_migrations._yoyo_migration"
            " add constraint nothing_is_recorded_any_more check (migration_id <> '0002.two')"
        )
    with pytest.raises(Problem, match="nothing is recorded any more"):
        list(migrate.apply(empty_database_url, two_migrations))
    with psycopg.connect(empty_database_url) as connection:
        assert connection.execute("select to_regclass('booking.two')").fetchone() == (None,)


def test_status_finds_a_migration_that_was_edited_after_it_was_applied(
    empty_database_url: str, two_migrations: Path
) -> None:
    list(migrate.apply(empty_database_url, two_migrations))
    with (two_migrations / "0001.one.sql").open("a") as file:
        file.write("\n-- one more thing\n")
    report = migrate.status(empty_database_url, two_migrations)
    assert [each.state for each in report.migrations] == ["edited", "applied"]
    assert "0001.one was edited" in report.problems[0]


def test_status_finds_a_migration_that_is_applied_and_not_on_record(
    empty_database_url: str, two_migrations: Path
) -> None:
    list(migrate.apply(empty_database_url, two_migrations))
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            "delete from booking_migrations._yoyo_migration where migration_id = '0002.two'"
        )
    report = migrate.status(empty_database_url, two_migrations)
    assert [each.state for each in report.migrations] == ["applied", "unrecorded"]
    assert "--mark-applied 0002.two" in report.problems[0]

    migrate.mark_applied(empty_database_url, "0002.two", two_migrations)
    assert states(empty_database_url, two_migrations)["0002.two"] == "applied"
    assert migrate.status(empty_database_url, two_migrations).problems == []


def test_status_and_rollback_know_a_newer_version_when_they_see_one(
    empty_database_url: str, two_migrations: Path
) -> None:
    list(migrate.apply(empty_database_url, two_migrations))
    (two_migrations / "0002.two.sql").unlink()
    report = migrate.status(empty_database_url, two_migrations)
    assert report.migrations[-1].state == "unknown"
    with pytest.raises(Problem, match=r"0002\.two is applied here, and this version"):
        migrate.rollback_order(empty_database_url, two_migrations, last=1)


def test_a_second_run_says_who_holds_the_lock_and_how_to_break_it(
    empty_database_url: str, two_migrations: Path
) -> None:
    first = migrate.apply(empty_database_url, two_migrations)
    next(first)
    with pytest.raises(Problem, match=f"Process {os.getpid()} has been migrating .*--break-lock"):
        list(migrate.apply(empty_database_url, two_migrations, other_run_timeout=0.1))
    assert "--break-lock" in migrate.status(empty_database_url, two_migrations).problems[0]

    migrate.break_lock(empty_database_url)
    assert list(migrate.apply(empty_database_url, two_migrations)) == ["0002.two"]
    first.close()


def test_an_index_that_runs_out_of_the_roles_time_says_how_to_go_on(
    empty_database_url: str, two_migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = empty_database_url
    (two_migrations / "0002.two.sql").write_text(INDEX)
    list(migrate.apply(url, two_migrations, to="0001"))
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=50ms")
    with psycopg.connect(url) as writer:
        writer.execute("insert into booking.one values (1)")
        with pytest.raises(Problem, match=r"0002\.two could not be applied: canceling") as problem:
            list(migrate.apply(url, two_migrations))
        assert "PGOPTIONS='-c lock_timeout=0" in (problem.value.hint or "")
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=0")
    assert list(migrate.apply(url, two_migrations)) == ["0002.two"]


def test_rollback_chooses_the_last_ones_or_those_after_one_or_all(
    empty_database_url: str, two_migrations: Path
) -> None:
    list(migrate.apply(empty_database_url, two_migrations))

    def order(last: int | None = None, to: str | None = None) -> list[str]:
        return migrate.rollback_order(empty_database_url, two_migrations, last=last, to=to)

    assert order() == ["0002.two", "0001.one"]
    assert order(last=1) == ["0002.two"]
    assert order(to="0001") == order(to="0001.one") == ["0002.two"]
    with pytest.raises(Problem, match=r"0003 is no migration .*, nor a release \(none yet\)"):
        order(to="0003")


def test_migrating_and_rolling_back_go_as_far_as_a_migration_or_a_release(
    empty_database_url: str, two_migrations: Path
) -> None:
    (two_migrations / "CHECKSUMS").write_text(
        "# a header\n0  0001.one.rollback.sql\n0  0001.one.sql\n# released 0.1.0\n"
        "0  0002.two.rollback.sql\n0  0002.two.sql\n0  post-apply.sql\n"
    )
    url = empty_database_url
    for to in ("0.1.0", "0001", "0001.one"):
        assert migrate.pending(url, two_migrations, to=to) == ["0001.one"]
    with pytest.raises(Problem, match=r"0\.2\.0 is no migration .*, nor a release \(0\.1\.0\)"):
        list(migrate.apply(url, two_migrations, to="0.2.0"))
    assert list(migrate.apply(url, two_migrations, to="0.1.0")) == ["0001.one"]
    assert list(migrate.apply(url, two_migrations, to="0.1.0")) == []
    assert list(migrate.apply(url, two_migrations)) == ["0002.two"]
    assert [each.release for each in migrate.status(url, two_migrations).migrations] == [
        "0.1.0",
        None,
    ]
    assert migrate.rollback_order(url, two_migrations, to="0.1.0") == ["0002.two"]
    assert list(migrate.rollback(url, ["0002.two"], two_migrations)) == ["0002.two"]
    assert migrate.rollback_order(url, two_migrations, to="0.1.0") == []


def test_a_migration_waits_for_a_table_only_for_a_moment_and_is_tried_again(
    empty_database_url: str, two_migrations: Path
) -> None:
    url = empty_database_url
    (two_migrations / "0002.two.sql").write_text(
        "-- depends: 0001.one\n\nalter table booking.one add column name text;"
    )
    list(migrate.apply(url, two_migrations, to="0001"))
    with psycopg.connect(url) as reader, psycopg.connect(url, autocommit=True) as observer:
        reader.execute("select from booking.one")
        migrating = threading.Thread(
            target=lambda: list(migrate.apply(url, two_migrations, lock_timeout=0.1))
        )
        migrating.start()
        tries: set[object] = set()
        while len(tries) < 3 and migrating.is_alive():
            tries |= set(
                observer.execute(
                    "select l.waitstart from pg_catalog.pg_locks l"
                    " where not l.granted and l.relation = 'booking.one'::regclass"
                    " and l.waitstart is not null"
                ).fetchall()
            )
        reader.rollback()
        migrating.join()
    assert len(tries) >= 3
    assert migrate.pending(url, two_migrations) == []


def test_a_migration_that_cannot_lock_a_table_says_so_and_leaves_nothing(
    empty_database_url: str, two_migrations: Path
) -> None:
    url = empty_database_url
    (two_migrations / "0002.two.sql").write_text(
        "-- depends: 0001.one\n\ncreate table booking.two (id int);\ndrop table booking.one;"
    )
    list(migrate.apply(url, two_migrations, to="0001"))
    with psycopg.connect(url) as reader:
        reader.execute("select from booking.one")
        with pytest.raises(Problem, match=r"0002\.two could not be applied: in 30 tries of 0\.01"):
            list(migrate.apply(url, two_migrations, lock_timeout=0.01))
        assert reader.execute("select to_regclass('booking.two')").fetchone() == (None,)
    assert states(url, two_migrations) == {"0001.one": "applied", "0002.two": "pending"}


INDEX = """\
-- transactional: false
-- depends: 0001.one

drop index concurrently if exists booking.one_id_idx;

create index concurrently one_id_idx on booking.one (id);
"""


def test_an_index_is_built_without_a_transaction_and_once_more_after_it_was_stopped(
    empty_database_url: str, two_migrations: Path
) -> None:
    url = empty_database_url
    (two_migrations / "0002.two.sql").write_text(INDEX)
    (two_migrations / "0002.two.rollback.sql").write_text(
        "-- transactional: false\ndrop index concurrently booking.one_id_idx;"
    )
    assert "begin" not in migrate.texts(["0002.two"], "apply", two_migrations)
    list(migrate.apply(url, two_migrations, to="0001"))

    def is_valid() -> object:
        return watcher.execute(
            "select i.indisvalid from pg_catalog.pg_index i"
            " join pg_catalog.pg_class c on c.oid = i.indexrelid where c.relname = 'one_id_idx'"
        ).fetchone()

    with psycopg.connect(url, autocommit=True) as watcher, psycopg.connect(url) as writer:
        # It waits for whoever writes meanwhile, and is killed.
        writer.execute("insert into booking.one values (1)")
        problems: list[Problem] = []

        def build() -> None:
            try:
                list(migrate.apply(url, two_migrations))
            except Problem as problem:
                problems.append(problem)

        building = threading.Thread(target=build)
        building.start()
        while is_valid() is None and building.is_alive():
            pass
        watcher.execute(
            "select pg_terminate_backend(pid) from pg_catalog.pg_stat_activity"
            " where query like '%create index concurrently%' and pid <> pg_backend_pid()"
        )
        building.join()
        assert "0002.two could not be applied" in problems[0].message
        assert is_valid() == (False,)
        assert migrate.status(url, two_migrations).pending == ["0002.two"]

        writer.rollback()
        assert list(migrate.apply(url, two_migrations)) == ["0002.two"]
        assert is_valid() == (True,)
        assert list(migrate.rollback(url, ["0002.two"], two_migrations)) == ["0002.two"]
        assert is_valid() is None


def test_postgrest_is_told_after_migrating_and_after_rolling_back(
    empty_database_url: str, two_migrations: Path
) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as listener:
        listener.execute("listen pgrst")
        list(migrate.apply(empty_database_url, two_migrations))
        # The first may have been killed before it came to that.
        assert list(migrate.apply(empty_database_url, two_migrations)) == []
        ids = migrate.rollback_order(empty_database_url, two_migrations)
        assert list(migrate.rollback(empty_database_url, ids, two_migrations)) == ids
        payloads = [each.payload for each in listener.notifies(timeout=5, stop_after=3)]
    assert payloads == ["reload schema"] * 3


@pytest.mark.parametrize("schema", ["api", "booking"])
def test_a_schema_of_somebody_else_is_refused(empty_database_url: str, schema: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(f"create schema {schema}")
    with pytest.raises(Problem, match=f'schema "{schema}" exists already') as refusal:
        list(migrate.apply(empty_database_url))
    assert refusal.value.hint


def test_stock_yoyo_applies_and_rolls_back(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("create schema booking_migrations")

    def yoyo(*command: str) -> None:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "yoyo",
                *command,
                "--batch",
                f"--config={migrations_folder()}/yoyo.ini",
            ],
            env=os.environ | {"YOYO_DATABASE_URL": migrate.yoyo_url(empty_database_url)},
            check=True,
            capture_output=True,
        )

    yoyo("apply")
    assert migrate.status(empty_database_url).pending == []
    assert migrate.status(empty_database_url).problems == []
    yoyo("rollback", "--all")
    assert migrate.rollback_order(empty_database_url) == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p%40ss%25@h:5433/d", {"host": "h", "port": "5433", "password": "p@ss%"}),
        ("postgresql:///d?host=/run/my%20socket", {"host": "/run/my socket", "dbname": "d"}),
        ("postgresql://u@/d", {"user": "u", "dbname": "d"}),
        ("host=h dbname='my db' sslmode=require", {"dbname": "my db", "sslmode": "require"}),
    ],
)
def test_every_address_that_libpq_takes_reaches_yoyo(url: str, expected: dict[str, str]) -> None:
    parsed = parse_uri(migrate.yoyo_url(url))
    assert parsed.scheme == "postgresql+psycopg"
    assert parsed.args["schema"] == "booking_migrations"
    assert expected.items() <= parsed.args.items()
    assert not parsed.hostname
