"""Connecting, and how what goes wrong reaches a user: a sentence and an exit code, no traceback."""

from __future__ import annotations

import psycopg
import pytest

from pgbooking import app, migrate
from pgbooking.connection import connected
from pgbooking.errors import explain
from tests.postgres import Server


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a command."""
    with pytest.raises(SystemExit) as stop:
        app.main(arguments)
    assert isinstance(stop.value.code, int)
    return stop.value.code, capsys.readouterr().err


def test_without_an_address_the_command_says_how_to_give_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    code, error = run(capsys, "status")
    assert code == 2
    assert "DATABASE_URL is not set" in error


def test_a_server_that_is_not_there_is_exit_code_3_and_no_password_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://ada:s3cret@127.0.0.1:1/salon")
    code, error = run(capsys, "status")
    assert code == 3
    assert error.startswith("Error: Could not connect to the database")
    assert "s3cret" not in error
    assert "Traceback" not in error


@pytest.mark.parametrize("address", ["s3cret", "postgresql://ada:s3cr%et@h/d", "mysql://s3cret@h"])
def test_an_address_that_cannot_be_read_is_not_repeated(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", address)
    code, error = run(capsys, "status")
    assert code == 2
    assert "s3cr" not in error


def test_sessions_are_called_pgbooking(database_url: str) -> None:
    with connected(database_url) as connection:
        assert connection.execute("show application_name").fetchone() == ("pgbooking",)


def test_now_sets_the_clock_of_the_session(database_url: str) -> None:
    with connected(database_url, now=app.parse_now("2018-04-01T08:00")) as connection:
        row = connection.execute("select booking.now() = '2018-04-01 08:00+00'").fetchone()
    assert row == (True,)


def test_now_is_refused_where_the_session_may_not(server: Server, database_url: str) -> None:
    role = f"plain_{psycopg.conninfo.conninfo_to_dict(database_url)['dbname']}"
    server.administer(f"create role {role} login")
    try:
        plain = psycopg.conninfo.make_conninfo(database_url, user=role)
        with (
            pytest.raises(Exception, match="--now works only for a superuser") as refusal,
            connected(plain, now=app.parse_now("2018-04-01T08:00")),
        ):
            pass
    finally:
        server.administer(f"drop role {role}")
    assert explain(refusal.value).exit_code == 2


def test_a_broken_constraint_is_told_as_the_truth_that_it_keeps(db: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation) as refusal:
        db.execute("insert into booking.tenants (name, timezone) values (' ', 'Europe/Vienna')")
    assert explain(refusal.value).message == "tenants keeps a rule: tenant name is not blank."


def test_a_database_without_pgbooking_is_told_to_migrate(empty_database_url: str) -> None:
    with (
        pytest.raises(psycopg.Error) as refusal,
        psycopg.connect(empty_database_url) as connection,
    ):
        connection.execute("select from booking.tenants")
    explanation = explain(refusal.value)
    assert "not installed" in explanation.message
    assert explanation.hint
    assert explanation.hint.startswith("pgbooking migrate")


def test_a_connection_that_breaks_is_exit_code_3(server: Server, database_url: str) -> None:
    with pytest.raises(psycopg.Error) as refusal, connected(database_url) as connection:
        server.administer(f"select pg_terminate_backend({connection.info.backend_pid})")
        connection.execute("select 1")
    assert explain(refusal.value).exit_code == 3


def test_even_a_fault_of_our_own_ends_in_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_database_url: str | None) -> None:
        raise KeyError("staff")

    monkeypatch.setattr(migrate, "status", broken)
    code, error = run(capsys, "status")
    assert code == 1
    assert "KeyError" in error
    assert "Traceback" not in error


def test_help_has_an_example_for_every_command() -> None:
    groups = [app.app, *(each.typer_instance for each in app.app.registered_groups)]
    commands = [command for group in groups if group for command in group.registered_commands]
    assert app.events_tail in [each.callback for each in commands]
    without = [each.callback for each in commands if "Example: " not in (each.epilog or "")]
    assert without == []
