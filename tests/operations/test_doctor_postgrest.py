"""doctor on PostgREST's configuration file."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from pgbooking import app
from pgbooking.doctor_postgrest import Setting, postgrest_findings, read_config

SHIPPED = Path(__file__).parents[2] / "deploy" / "postgrest.conf"

# What is done to a line of the shipped file (None: it is left out) → level, and what is said.
FAULTS = {
    ('db-schemas = "api"', 'db-schemas = "public, booking"'): ("failure", "exposes booking"),
    ('db-schemas = "api"', 'db-schemas = "public"'): ("failure", "does not expose api"),
    ('db-schemas = "api"', None): ("failure", "does not expose api"),
    ('db-extra-search-path = ""', 'db-extra-search-path = "booking"'): ("failure", "callable"),
    ('db-anon-role = "anon"', 'db-anon-role = "service_role"'): ("failure", "another role's"),
    ('db-anon-role = "anon"', None): ("warning", "lets nobody in"),
    ('db-pre-request = "api.pre_request"', None): ("warning", "may be cached"),
    ("db-plan-enabled = false", "db-plan-enabled = true"): ("failure", "estimates"),
    ("db-max-rows = 1000", None): ("warning", "any size"),
    ('db-tx-end = "commit"', 'db-tx-end = "commit-allow-override"'): ("failure", "acknowledged"),
    ('db-tx-end = "commit"', 'db-tx-end = "rollback"  # for tests'): ("failure", "acknowledged"),
    ("db-pool = 20", "db-pool = 5000"): ("warning", "sessions to others"),
}


def test_the_shipped_file_is_as_it_should_be(module_db: psycopg.Connection) -> None:
    config = read_config(SHIPPED)
    assert config["db-schemas"] == Setting("db-schemas", "api")
    assert config["db-extra-search-path"].value == ""
    assert config["server-port"].value == "3000"
    assert list(postgrest_findings(module_db, config)) == []


@pytest.mark.parametrize(("line", "instead"), FAULTS)
def test_each_fault_is_found_and_its_advice_mends_it(
    module_db: psycopg.Connection, tmp_path: Path, line: str, instead: str | None
) -> None:
    text = SHIPPED.read_text()
    assert text.count(f"\n{line}\n") == 1
    file = tmp_path / "postgrest.conf"
    file.write_text(text.replace(f"\n{line}\n", f"\n{instead or ''}\n"))
    [found] = postgrest_findings(module_db, read_config(file))
    level, says = FAULTS[line, instead]
    assert (found.check, found.level) == ("postgrest", level)
    assert says in found.message

    assert found.advice
    advice = found.advice.removeprefix("In PostgREST's configuration: ")
    file.write_text(text.replace(f"\n{line}\n", f"\n{advice}\n"))
    assert list(postgrest_findings(module_db, read_config(file))) == []


def test_other_exposed_schemas_stay(module_db: psycopg.Connection) -> None:
    module_db.execute("alter role authenticator set pgrst.db_schemas = 'public, booking'")
    [found] = postgrest_findings(module_db, None)
    assert found.advice == (
        "alter role authenticator set pgrst.db_schemas = 'public, api';"
        " notify pgrst, 'reload config';"
    )


def test_what_the_database_says_wins_over_the_file(
    module_db: psycopg.Connection, tmp_path: Path
) -> None:
    module_db.execute("alter role authenticator set pgrst.db_plan_enabled = 'true'")
    assert list(postgrest_findings(module_db, read_config(SHIPPED))) == []  # db-config = false
    file = tmp_path / "postgrest.conf"
    file.write_text(SHIPPED.read_text().replace("db-config = false", ""))
    [found] = postgrest_findings(module_db, read_config(file))
    assert found.advice == (
        "alter role authenticator set pgrst.db_plan_enabled = 'false';"
        " notify pgrst, 'reload config';"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read: No such file or directory."),
        ("[postgrest]\n", "line 1 is no line of PostgREST's configuration."),
        ('\n# fine\ndb-schemas = "api\n', "line 3 is no line of PostgREST's configuration."),
    ],
    ids=["no file", "another format", "an open quote"],
)
def test_what_is_no_configuration_is_exit_code_2(
    database_url: str,
    tmp_path: Path,
    text: str | None,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "postgrest.conf"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("DATABASE_URL", database_url)
    with pytest.raises(SystemExit) as stop:
        app.main(["doctor", "--postgrest-config", str(file)])
    assert stop.value.code == 2
    assert says in capsys.readouterr().err
