"""What the README shows: its SQL runs, its calls name real parameters, its codes are ours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl
from uuid import uuid4

import psycopg
import pytest

from tests.cli.conftest import Run
from tests.salon import Salon

README = (Path(__file__).parents[2] / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SQL = [text for language, text in BLOCKS if language == "sql"]


def test_every_kind_of_example_is_found() -> None:
    assert len(SQL) >= 6
    assert len(list(curl_calls())) == 13


@pytest.mark.parametrize("text", SQL, ids=lambda text: text.split("(")[0].splitlines()[0])
def test_the_sql_runs(text: str, salon: Salon) -> None:
    known = {
        "tenant": salon.tenant,
        "staff": salon.person,
        "location": salon.location,
        "type": salon.cut,
        "appointment": salon.appointment(),
        "user": uuid4(),
    }
    for name in set(re.findall(r"<(\w+)>", text)):
        text = text.replace(f"<{name}>", str(known[name]))
    execute_each(salon.db, text)


def test_the_consumer_in_sql_finishes_what_it_takes(salon: Salon) -> None:
    salon.appointment()
    (consumer,) = [text for text in SQL if "take_events" in text]
    execute_each(salon.db, consumer)
    left = salon.db.execute("select from booking.events where processed_at is null")
    assert left.rowcount == 0


def execute_each(db: psycopg.Connection, text: str) -> None:
    """One statement at a time, as psql sends them; procedures that commit accept nothing else."""
    for statement in re.sub(r" *--.*", "", text).split(";\n"):
        db.execute(statement.encode())


def curl_calls() -> Iterator[tuple[str, list[str]]]:
    """Functions and the keys that curl sends, as JSON or in the address."""
    for function, body in re.findall(r"/rpc/(\w+)\"[^\n]* --json '(.*?)'", README, re.DOTALL):
        yield function, list(json.loads(body))
    for function, query in re.findall(r"^curl \"\$API/rpc/(\w+)\?(.*)\"$", README, re.MULTILINE):
        yield function, [name for name, _ in parse_qsl(query)]


@pytest.mark.parametrize(("function", "keys"), [*curl_calls()])
def test_the_calls_name_parameters_and_leave_none_out_that_is_needed(
    module_db: psycopg.Connection, function: str, keys: list[str]
) -> None:
    row = module_db.execute(
        "select proargnames, pronargs - pronargdefaults from pg_catalog.pg_proc"
        " where pronamespace = 'api'::regnamespace and proname = %s",
        [function],
    ).fetchone()
    assert row is not None
    names, needed = row
    assert set(names[:needed]) <= set(keys) <= set(names)


def test_each_code_has_the_status_that_the_database_gives_it(
    module_db: psycopg.Connection,
) -> None:
    rows = re.findall(r"^\| (`.*?`) \| (\d{3}) \|", README, re.MULTILINE)
    told = {code: int(status) for codes, status in rows for code in re.findall(r"`(\w+)`", codes)}
    assert len(told) == 16
    for code, status in told.items():
        given = module_db.execute("select booking.refusal_status(%s)", [code]).fetchone()
        assert given == (status,)


def test_each_code_that_a_function_can_give_is_told() -> None:
    given: set[str] = set()
    for path in (Path(__file__).parents[2] / "sql" / "40_booking").glob("*.sql"):
        text = path.read_text()
        given |= set(re.findall(r"booking\.refuse\(\s*'(\w+)'", text))
        given |= set(re.findall(r"v_code := '(\w+)'", text))
    assert {"busy", "slot_taken", "too_late"} < given
    assert {code for code in given if f"`{code}`" not in README} == set()


def test_the_commands_exist_with_their_options(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    commands = re.findall(r"^pgbooking ([^|#\n]+)", README, re.MULTILINE)
    assert len(commands) > 8
    for command in commands:
        words = command.split()
        subcommand = words[: 2 if words[0] in {"events", "jobs"} else 1]
        answer = run(*subcommand, "--help")
        assert answer.code == 0
        assert {word for word in words if word.startswith("--")} <= set(answer.out.split())
