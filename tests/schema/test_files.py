"""What the files of migrations/ and sql/ look like."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from pgbooking import adopt, engine
from pgbooking.sources import (
    Created,
    created_objects,
    migrations_folder,
    sql_files,
    sql_folder,
    without_texts,
)

VOLATILITY = re.compile(r"\b(immutable|stable|volatile)\b")
PARALLEL = re.compile(r"\bparallel (safe|restricted|unsafe)\b")
MIGRATION_NAME = re.compile(r"\d{4}\.[a-z][a-z0-9_]*(\.rollback)?\.sql")


def migration_files() -> list[Path]:
    """Forward and rollback files; not the hook."""
    return [file for file in migrations_folder().glob("*.sql") if file.name != "post-apply.sql"]


def hand_written_sql_files() -> list[Path]:
    """Every SQL file but the engine migrations, which repeat sql/."""
    return [
        *sorted(file for file in migration_files() if not engine.ENGINE.fullmatch(file.name)),
        *sql_files(),
        *sorted(Path(adopt.__file__).with_name("adoption").glob("*.sql")),
    ]


def create_function_statements(text: str) -> list[str]:
    """The `create function` statements of a text, without their bodies."""
    statements = without_texts(text).split(";")
    return [each.strip() for each in statements if re.match(r"\s*create\b.*\bfunction\b", each)]


def test_migrations_are_called_by_number_and_snake_case_name() -> None:
    assert [
        file.name for file in migration_files() if not MIGRATION_NAME.fullmatch(file.name)
    ] == []


def test_numbers_of_migrations_are_unique_and_have_no_gaps() -> None:
    forward = sorted(file.name for file in migration_files() if ".rollback." not in file.name)
    assert [int(name[:4]) for name in forward] == list(range(1, len(forward) + 1))


def test_each_migration_has_its_rollback() -> None:
    names = {file.name for file in migration_files()}
    forward = {name for name in names if not name.endswith(".rollback.sql")}
    assert {name.removesuffix(".sql") + ".rollback.sql" for name in forward} == names - forward


def test_each_migration_depends_on_the_one_before() -> None:
    forward = sorted(
        (file for file in migration_files() if ".rollback." not in file.name),
        key=lambda file: file.name,
    )
    for before, file in pairwise(forward):
        assert f"-- depends: {before.stem}\n" in file.read_text(), file.name


def test_yoyo_finds_no_python_in_migrations() -> None:
    assert list(migrations_folder().glob("*.py")) == []


def test_engine_and_checksums_are_what_make_engine_writes() -> None:
    assert engine.differences(migrations_folder(), sql_folder()) == []


def test_sql_is_at_most_100_columns_wide() -> None:
    too_wide = [
        f"{file.name}:{number}"
        for file in hand_written_sql_files()
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if len(line) > 100
    ]
    assert too_wide == []


def test_functions_say_how_volatile_and_how_parallel_they_are() -> None:
    silent = [
        f"{file.name}: {statement.splitlines()[0]}"
        for file in hand_written_sql_files()
        for statement in create_function_statements(file.read_text())
        if not VOLATILITY.search(statement) or not PARALLEL.search(statement)
    ]
    assert silent == []


def test_files_of_sql_open_with_a_comment() -> None:
    assert [file.name for file in sql_files() if not file.read_text().startswith("-- ")] == []


def test_files_of_sql_create_code_that_can_be_created_again() -> None:
    only_once = []
    for file in sql_files():
        text = without_texts(file.read_text()).lower()
        for created in created_objects(text):
            again = f"create or replace {created.kind} {created.name}"
            if created.kind == "policy" or f"create constraint trigger {created.name}" in text:
                again = f"drop {created.kind} if exists {created.name} on {created.table};"
            if again not in text:
                only_once.append(f"{file.name} lacks: {again}")
    assert only_once == []


def test_created_objects_are_not_looked_for_in_comments_and_texts() -> None:
    text = """
      -- create table booking.a ();
      create function booking.b() returns void language plpgsql as $body$ begin
        create table booking.c (); end $body$;
      comment on function booking.b is 'x; create table booking.d ()';
      create unique index e_idx on booking.e (id);
    """
    assert created_objects(text) == [
        Created("function", "booking.b"),
        Created("index", "e_idx"),
    ]
