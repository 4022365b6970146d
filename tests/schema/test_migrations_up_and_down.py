"""P8: each migration, applied and rolled back, leaves the catalog as it was, with data in it."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import psycopg

from pgbooking import engine, migrate
from pgbooking.sources import migrations_folder
from tests.postgres import Server
from tests.salon import insert
from tests.schema.dumps import apply_sql_folder, normalised_dump

ONE_ROW_EACH = Path(__file__).with_name("one_row_each.sql")


def migrate_one(database_url: str) -> str:
    """Apply the next migration only."""
    with contextlib.closing(migrate.apply(database_url)) as steps:
        return next(steps)


def roll_back_one(database_url: str) -> str:
    """Roll the newest migration back."""
    newest = migrate.rollback_order(database_url, last=1)
    [rolled_back] = migrate.rollback(database_url, newest)
    return rolled_back


def test_each_migration_goes_down_and_up_again_over_rows(
    server: Server, empty_database_url: str
) -> None:
    url = empty_database_url
    dumps = [normalised_dump(server, url)]
    for migration_id in migrate.pending(url):
        assert migrate_one(url) == migration_id
        dumps.append(normalised_dump(server, url))
        roll_back_one(url)
        assert normalised_dump(server, url) == dumps[-2], f"{migration_id} down, without rows"
        migrate_one(url)
        assert normalised_dump(server, url) == dumps[-1], f"{migration_id} up again"

    with psycopg.connect(url) as connection:
        connection.execute(ONE_ROW_EACH.read_bytes())
    while len(dumps) > 1:
        after = dumps.pop()
        migration_id = roll_back_one(url)
        assert normalised_dump(server, url) == dumps[-1], f"{migration_id} down, over rows"
        migrate_one(url)
        assert normalised_dump(server, url) == after, f"{migration_id} up again, over rows"
        roll_back_one(url)
    assert migrate.rollback_order(url) == []


def test_what_the_older_release_knows_stays_and_what_it_would_misread_goes(
    empty_database_url: str,
) -> None:
    url = empty_database_url
    newest = "0010.imports_and_parallel_run"
    list(migrate.apply(url, to=newest))
    with psycopg.connect(url) as connection:
        tenant = insert(connection, "tenants", name="Salon", timezone="Europe/Berlin")
        own, other = (
            insert(connection, "verification_runs", tenant_id=tenant, compared_with=compared_with)
            for compared_with in ("calculator", "legacy")
        )
        for run in (own, other):
            insert(
                connection,
                "verification_differences",
                tenant_id=tenant,
                run_id=run,
                promise="P2",
                kind="extra",
                reason="published, though there is no such slot",
            )
    assert roll_back_one(url) == newest
    with psycopg.connect(url) as connection:
        for column, table in (("id", "runs"), ("run_id", "differences")):
            found = connection.execute(f"select {column} from booking.verification_{table}")
            assert found.fetchall() == [(own,)], table


def test_the_rows_of_the_stairway_test_reach_every_table(db: psycopg.Connection) -> None:
    db.execute(ONE_ROW_EACH.read_bytes())
    tables = db.execute(
        "select relname from pg_class"
        " where relkind = 'r' and relnamespace = 'booking'::regnamespace"
    ).fetchall()
    empty = [
        name
        for (name,) in tables
        if db.execute(f"select from booking.{name} limit 1").fetchone() is None
    ]
    assert empty == []


def test_all_migrations_equal_the_state_migrations_and_sql(
    server: Server, database_url: str, tmp_path: Path
) -> None:
    # Those after a release depend on its engine; here each depends on the state before it.
    previous = ""
    for file in sorted(migrations_folder().glob("*.sql")):
        if engine.ENGINE.fullmatch(file.name):
            continue
        text = re.sub("(?m)^-- depends: .*", f"-- depends: {previous}", file.read_text())
        (tmp_path / file.name).write_text(text)
        if ".rollback." not in file.name:
            previous = file.stem
    with server.database() as declared:
        assert list(migrate.apply(declared, tmp_path))
        apply_sql_folder(declared)
        assert normalised_dump(server, declared) == normalised_dump(server, database_url)


def test_sql_run_again_changes_nothing(server: Server, database_url: str) -> None:
    before = normalised_dump(server, database_url)
    apply_sql_folder(database_url)
    assert normalised_dump(server, database_url) == before


def test_a_role_that_is_no_superuser_can_migrate_and_roll_back(fresh_server: Server) -> None:
    with fresh_server.database() as as_superuser:
        before = normalised_dump(fresh_server, as_superuser)
        fresh_server.administer("create role migrator login createrole")
        database = psycopg.conninfo.conninfo_to_dict(as_superuser)["dbname"]
        fresh_server.administer(f"grant create on database {database} to migrator")
        as_migrator = psycopg.conninfo.make_conninfo(as_superuser, user="migrator")

        applied = list(migrate.apply(as_migrator))
        assert migrate.status(as_migrator).problems == []
        assert migrate.status(as_migrator).pending == []

        taken_back = list(migrate.rollback(as_migrator, migrate.rollback_order(as_migrator)))
        assert taken_back == applied[::-1]
        database_privilege = f"GRANT CREATE ON DATABASE {database} TO migrator;"
        after = normalised_dump(fresh_server, as_superuser)
        assert [line for line in after if line != database_privilege] == before
