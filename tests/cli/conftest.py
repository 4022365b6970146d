"""Commands, run as a user runs them, and what they answer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import psycopg
import pytest

from pgbooking import app
from tests.postgres import wait_until_blocked

# Data of a real salon, for those who have them: a folder with bookings.csv.
collect_ignore = [] if os.environ.get("PGBOOKING_SALON_DATA") else ["test_real_salon.py"]

SALON_NOW = "2026-03-02T07:00+01:00"


@dataclass(frozen=True)
class Answer:
    """A command's exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Answer]
Write = Callable[[str, str], Path]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and says where it is."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


@pytest.fixture
def run(database_url: str, run_without_database: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in the test's database."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    return run_without_database


@pytest.fixture
def module_run(
    module_database_url: str, run_without_database: Run, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs a command in the module's database."""
    monkeypatch.setenv("DATABASE_URL", module_database_url)
    return run_without_database


@pytest.fixture
def run_without_database(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs a command. No traceback may reach the user."""
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run_command(*arguments: object) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            app.main([str(each) for each in arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        assert "in a way it should not" not in printed.err
        assert isinstance(stop.value.code, int)
        return Answer(stop.value.code, printed.out, printed.err)

    return run_command


@pytest.fixture
def start(database_url: str) -> Iterator[Start]:
    """Starts a command in a process of its own; stdout is a pipe or what is given, stdin too."""
    started = []

    def start_command(
        *arguments: object, stdout: int = subprocess.PIPE, stdin: TextIO | None = None
    ) -> subprocess.Popen[str]:
        process = process_of(database_url, *arguments, stdout=stdout, stdin=stdin)
        started.append(process)
        return process

    yield start_command
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def interrupted_when_blocked(start: Start, db: psycopg.Connection) -> Run:
    """Runs a command in a process of its own, and presses Ctrl-C when it waits for a lock."""

    def run_command(*arguments: object) -> Answer:
        process = start(*arguments)
        wait_until_blocked(db, backend_of(db))
        process.send_signal(signal.SIGINT)
        return answer_of(process)

    return run_command


def process_of(
    database_url: str,
    *arguments: object,
    stdout: int = subprocess.PIPE,
    stdin: TextIO | None = None,
) -> subprocess.Popen[str]:
    """A command in a process of its own, in that database."""
    return subprocess.Popen(
        [sys.executable, "-m", "pgbooking.app", *map(str, arguments)],
        env=os.environ | {"DATABASE_URL": database_url, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer_of(process: subprocess.Popen[str], seconds: float = 30) -> Answer:
    """What a started command answers, once it has ended. No traceback may reach the user."""
    out, err = process.communicate(timeout=seconds)
    assert "Traceback" not in err
    return Answer(process.returncode, out, err)


def backend_of(db: psycopg.Connection) -> int:
    """The pid of the command's session."""
    for _ in range(2000):
        row = db.execute(
            "select pid from pg_catalog.pg_stat_activity"
            " where datname = current_database() and application_name = 'pgbooking'"
        ).fetchone()
        if row:
            return int(row[0])
        time.sleep(0.01)
    raise AssertionError("the command has not connected")
