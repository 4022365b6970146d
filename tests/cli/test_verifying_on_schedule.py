"""pgbooking verify --schedule: again and again, until it is stopped."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgbooking import verify_schedule
from pgbooking.scheduler import trigger_of
from pgbooking.verify_schedule import next_after
from tests.cli.conftest import Run, Start
from tests.cli.old_system import NOW, rows_of, write
from tests.conftest import Connect
from tests.postgres import Server
from tests.salon import TEN, Salon

Meanwhile = Callable[[], object]


class Times:
    """A schedule whose times come at once, each after something has happened; at the end it stops
    the command as a terminal or systemd would."""

    def __init__(self, *meanwhile: Meanwhile, stop_by: int = signal.SIGTERM) -> None:
        self.meanwhile: Iterator[Meanwhile] = iter(meanwhile)
        self.stop_by = stop_by

    def get_next_fire_time(self, _last: datetime | None, now: datetime) -> datetime:
        happens = next(self.meanwhile, None)
        if happens:
            happens()
            return now
        os.kill(os.getpid(), self.stop_by)
        return now + timedelta(hours=1)


@pytest.fixture
def schedule(monkeypatch: pytest.MonkeyPatch) -> Callable[[Times], None]:
    """Lets a cron expression mean these times."""
    return lambda times: monkeypatch.setattr(verify_schedule, "trigger_of", lambda _: times)


def spoil(salon: Salon) -> None:
    salon.db.execute("delete from booking.availability_slots where start_time = %s", [TEN])


def lines(err: str) -> list[str]:
    """What was logged, without the times."""
    return [line.split(" ", 1)[1] for line in err.splitlines()]


@pytest.mark.parametrize("stop_by", [signal.SIGTERM, signal.SIGINT])
def test_it_verifies_at_once_and_at_each_time_and_ends_cleanly(
    run: Run, salon: Salon, schedule: Callable[[Times], None], stop_by: int
) -> None:
    schedule(Times(lambda: spoil(salon), stop_by=stop_by))
    answer = run("verify", "--schedule", "0 * * * *", *NOW)
    assert answer.code == 0
    assert lines(answer.err) == [
        "no differences from the calculator",
        "2 differences from the calculator",
        "stopped",
    ]
    found = salon.db.execute("select differences from booking.verification_runs").fetchall()
    assert sorted(found) == [(0,), (2,)]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_options_hold_for_each_run(
    run: Run, salon: Salon, schedule: Callable[[Times], None], tmp_path: Path
) -> None:
    path = write(tmp_path / "old.csv", [*rows_of(salon), ("Ada", "cut", "2026-03-03T10:05")])
    schedule(Times(lambda: spoil(salon)))
    options = ("--legacy-csv", path, "--independent", "--repair")
    answer = run("verify", "--schedule", "0 * * * *", *options, *NOW)
    legacy = "Salon: 1 differences from the old system, 1 not accepted: off_grid 1"
    assert lines(answer.err) == [
        f"no differences from the calculator; {legacy}",
        f"no differences from the calculator; 2 rows repaired before; {legacy}",
        "stopped",
    ]
    kinds = salon.db.execute(
        "select compared_with, count(*) from booking.verification_runs group by 1 order by 1"
    ).fetchall()
    assert kinds == [("calculator", 3), ("legacy", 2)]


def test_a_database_that_is_away_is_tried_again_at_the_next_time(
    run: Run,
    salon: Salon,
    server: Server,
    schedule: Callable[[Times], None],
    connect: Connect,
) -> None:
    name = salon.db.info.dbname

    def allow(connections: str) -> Meanwhile:
        return lambda: server.administer(
            f"alter database {name} with allow_connections {connections}"
        )

    schedule(Times(allow("false"), allow("true")))
    answer = run("verify", "--schedule", "0 * * * *", *NOW)
    assert answer.code == 0
    first, away, back, stopped = lines(answer.err)
    assert first == back == "no differences from the calculator"
    assert "Could not connect to the database" in away
    assert away.endswith("Trying again when it is time.")
    assert stopped == "stopped"


def test_each_line_can_be_json(run: Run, salon: Salon, schedule: Callable[[Times], None]) -> None:
    schedule(Times())
    first, _ = run("verify", "--schedule", "0 * * * *", "--json", *NOW).err.splitlines()
    assert '"event": "clean", "message": "no differences from the calculator"' in first


def test_a_process_of_its_own_waits_for_its_time_and_ends_when_asked_to(
    start: Start, salon: Salon
) -> None:
    process = start("verify", "--schedule", "0 0 1 1 *", *NOW)
    assert process.stderr is not None
    assert process.stderr.readline().endswith(" no differences from the calculator\n")
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    assert process.stderr.read().endswith(" stopped\n")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--schedule", "at tea"), "'at tea' is no cron expression"),
        (("--schedule", "0 0 30 2 *"), "The schedule has no more times."),
        (("--schedule", "0 * * * *", "--tenant", "nobody"), "There is no tenant 'nobody'."),
        (("--schedule", "0 * * * *", "--legacy-csv", "nowhere.csv"), "nowhere.csv cannot be read"),
    ],
)
def test_what_can_never_work_ends_at_once(
    run: Run,
    salon: Salon,
    options: tuple[str, ...],
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wait(*_: object) -> None:
        raise AssertionError("it waits for another time")

    monkeypatch.setattr(verify_schedule, "wait_until", wait)
    answer = run("verify", *options, *NOW)
    assert answer.code == 2
    assert sentence in answer.err


def test_without_apscheduler_it_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "apscheduler.triggers.combining", None)
    answer = run("verify", "--schedule", "0 * * * *")
    assert answer.code == 2
    assert "pip install 'pgbooking[scheduler]'" in answer.err


def test_the_next_time_is_after_the_last_even_where_that_is_now() -> None:
    trigger = trigger_of("* * * * *")
    last = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=5)
    assert next_after(trigger, last) == last + timedelta(minutes=1)
    long_ago = last - timedelta(days=1)
    assert next_after(trigger, long_ago) > datetime.now(UTC)
