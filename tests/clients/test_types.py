"""deploy/typescript says what the database says: its columns, its arguments, its answers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.clients import node
from tests.clients.recorded import Recorded, visit
from tests.salon import Salon

# Full: optional keys are there, too.
IMPORTS = """
import type { Answers, Refusal } from './database'

type Full<T> = T extends (infer Item)[] ? Full<Item>[]
  : T extends object ? { [Key in keyof T]-?: Full<T[Key]> }
  : T
"""


@pytest.fixture(autouse=True)
def needed() -> None:
    node.need_node()


def test_the_generated_types_are_those_of_the_database(module_database_url: str) -> None:
    assert node.generated_types(module_database_url) == node.SCHEMA.read_text(), "run: make types"


def test_a_place_without_a_time_zone_shows_one(salon: Salon) -> None:
    row = salon.db.execute("select timezone from api.locations").fetchone()
    assert row == ("Europe/Berlin",)


def test_the_codes_of_refusals_are_the_databases(module_db: psycopg.Connection) -> None:
    row = module_db.execute(
        "select prosrc from pg_catalog.pg_proc where proname = 'refusal_status'"
    ).fetchone()
    assert row is not None
    declared = re.findall(r"^  \| '(\w+)'$", node.ENVELOPES.read_text(), re.MULTILINE)
    assert sorted(declared) == sorted(re.findall(r"'(\w+)'", row[0]))


def test_recorded_answers_have_the_declared_keys_and_no_others(
    salon: Salon, tmp_path: Path
) -> None:
    recorded = list(visit(salon))
    functions = functions_of(salon.db)
    assert {name for name, answer in recorded if answer.success} == functions
    assert {name for name, answer in recorded if not answer.success} == functions

    lines = [satisfies(each[1].body, type_of(each)) for each in recorded]
    lines += [satisfies(body, f"Full<{name}>") for name, body in full_answers(recorded)]
    assert node.errors(tmp_path, recorded="\n".join([IMPORTS, *lines])) == ""


def test_a_missing_or_undeclared_key_is_an_error(salon: Salon, tmp_path: Path) -> None:
    lines = []
    for name, body in full_answers(list(visit(salon))):
        lines.append(satisfies(body | {"undeclared": 1}, name))
        for missing in body:
            rest = {key: value for key, value in body.items() if key != missing}
            lines.append(satisfies(rest, f"Full<{name}>"))
    assert len(lines) > 60
    refused = [f"// @ts-expect-error\n{line}" for line in lines]
    assert node.errors(tmp_path, refused="\n".join([IMPORTS, *refused])) == ""


def satisfies(body: object, name: str) -> str:
    """A statement that compiles if the body has the keys and values of that type."""
    return f"void ({json.dumps(body)} satisfies {name})"


def type_of(recorded: Recorded) -> str:
    """The type of an answer."""
    function, answer = recorded
    return f"Answers['{function}']" if answer.success else "Refusal"


def full_answers(recorded: list[Recorded]) -> list[tuple[str, dict[str, Any]]]:
    """The first success of each function has every optional key; but evidence differs by rule."""
    first: dict[str, dict[str, Any]] = {}
    for each in recorded:
        if each[1].success and each[0] != "explain_availability":
            first.setdefault(type_of(each), each[1].body)
    return list(first.items())


def functions_of(db: psycopg.Connection) -> set[str]:
    """The functions that clients call."""
    rows = db.execute(
        "select proname from pg_catalog.pg_proc"
        " where pronamespace = 'api'::regnamespace and proname <> 'pre_request'"
    )
    return {row[0] for row in rows}
