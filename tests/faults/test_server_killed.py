"""kill -9 of the whole server, in the middle of the load: what was acknowledged is there after
recovery, and nothing is half done.

PGBOOKING_KILLS says how often. With pytest -s it prints what happened.
"""

from __future__ import annotations

import os
import random
import time

import psycopg
from psycopg.conninfo import make_conninfo

from pgbooking import migrate, verify
from pgbooking.connection import connected
from pgbooking.output import progress_bar
from tests.faults.conftest import MortalServer
from tests.load import Load, make_shop

KILLS = int(os.environ.get("PGBOOKING_KILLS", "2"))


def test_after_the_server_was_killed_what_was_acknowledged_is_there_and_nothing_by_half(
    mortal_server: MortalServer,
) -> None:
    url = make_conninfo(mortal_server.url, dbname="load")
    with psycopg.connect(mortal_server.url, autocommit=True) as connection:
        connection.execute("create database load")
    for _ in migrate.apply(url):
        pass
    with psycopg.connect(url, autocommit=True) as db:
        load = Load(url, make_shop(db))

    replayed = 0
    recovery = 0.0
    for _ in range(KILLS):
        some_more = load.calls + random.randint(50, 200)
        with load.running():
            while load.calls < some_more and load.is_working:
                time.sleep(random.uniform(0.001, 0.02))
            mortal_server.kill()
        recovery = max(recovery, mortal_server.start())
        with psycopg.connect(url, autocommit=True) as db:
            assert load.broken_promises(db) == []
            replayed += load.retry_bookings(db)
            assert load.broken_promises(db) == []
        assert found_by_verify(url) == 0

    print(f"{load.summary()}\n  of these, booked without an answer and replayed: {replayed}")
    print(f"  kills: {KILLS}, slowest recovery: {recovery:.1f} s")
    assert sum(len(client.cut_off) for client in load.clients) >= KILLS, "nothing was cut off"
    assert found_by_verify(url, independent=True) == 0


def found_by_verify(url: str, *, independent: bool = False) -> int:
    with connected(url) as connection, progress_bar() as bar:
        return verify.verify(connection, bar, independent=independent).differences
