"""The soak (`make soak`) runs, comes to its verdict, and would notice what stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from pgbooking.signals import Stop
from tests.booking.booked import book
from tests.conftest import Connect
from tests.faults import soak
from tests.faults.soak import Options, Verdict
from tests.postgres import Server
from tests.salon import Salon


def test_a_few_seconds_of_it_find_nothing(server: Server) -> None:
    told: list[str] = []
    options = Options(minutes=0.1, every=0.03, quiet_minutes=0, shops=1)
    verdict = soak.run(server, options, Stop(), told.append)
    assert verdict.missed == 0, verdict.lines
    assert verdict.lines[0].startswith("minutes: 0.1 of 0.1")
    assert len([line for line in verdict.lines if line.endswith("  meets")]) > 20
    table = told[told.index(soak.head()) + 1 :]
    assert [float(line.split()[0]) for line in table[:2]] == [0.0, 0.1]


def test_ctrl_c_ends_it_early_and_it_reports_what_it_has_seen(server: Server) -> None:
    if server.kind == "url":
        pytest.skip("needs a server that it can start itself")
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.soak", "--shops", "1", "--every", "0.02"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline().rstrip() == soak.head()
        process.stdout.readline()
    finally:
        process.send_signal(signal.SIGINT)
        told = process.communicate()[0].splitlines()
    assert process.returncode == 0, told
    verdict = next(line for line in told if line.startswith("minutes: "))
    assert verdict.endswith(" of 60  too short to tell")
    assert "busy, differences found by verify --independent: 0  meets" in told


def test_what_stays_behind_when_all_is_old_is_named(
    connect: Connect, database_url: str, salon: Salon
) -> None:
    book(salon)
    assert soak.left_when_all_is_old(database_url) == ["events: 1"]
    db = connect()
    assert soak.handle_events(db) == 1
    assert soak.handle_events(db) == 0
    assert soak.left_when_all_is_old(database_url) == []


def test_a_line_that_misses_is_counted_and_one_that_cannot_tell_is_not() -> None:
    verdict = Verdict()
    for meets in (True, None, False):
        verdict.add("holds", 0, meets=meets)
    assert verdict.missed == 1
    assert verdict.lines == [
        "holds: 0  meets",
        "holds: 0  too short to tell",
        "holds: 0  misses",
    ]


def test_holds_are_made_to_expire_where_nobody_waits_for_them(salon: Salon) -> None:
    salon.hold(salon.cut)
    soak.let_holds_expire(salon.db)
    cleared = salon.db.execute("select booking.cleanup_expired_slot_reservations()").fetchone()
    assert cleared == (1,)
