"""A real salon's bookings as the tables of an old system, for those who have them.

PGBOOKING_SALON_DATA is a folder with bookings.csv (Code, Staff, Service, Date, Time). The clock
stands at 1 April 2018, so that most of them lie ahead.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.adoption.conftest import Legacy
from tests.cli.conftest import Run
from tests.cli.test_real_salon import deduced_hours, start_and_minutes
from tests.postgres import Server
from tests.salon import set_clock

NOW = "2018-04-01T08:00-05:00"
CLOCK = ("--now", NOW)

TABLES = """
create schema till;
create table till.stylists (name text primary key);
create table till.services (code text primary key, minutes integer not null);
create table till.hours (id serial primary key, stylist text, weekday integer, opens time,
  closes time);
create table till.bookings (id serial primary key, client text, stylist text not null,
  service text not null, day date not null, at time not null, minutes integer not null);
"""

MAP = """
[tenant]
slug = "salon"
name = "Hair salon"
time_zone = "America/Winnipeg"

[services]
table = "till.services"
[services.columns]
name = "code"
duration_minutes = "minutes"

[staff]
table = "till.stylists"
[staff.columns]
name = "name"

[hours]
table = "till.hours"
[hours.columns]
staff = "stylist"
weekday = "weekday"
start_time = "opens"
end_time = "closes"

[appointments]
table = "till.bookings"
[appointments.columns]
staff = "stylist"
service = "service"
date = "day"
time = "at"
duration_minutes = "minutes"
customer = "client"
"""


@pytest.fixture
def database_url(server: Server) -> Iterator[str]:
    """pgbooking, and nothing else yet."""
    with server.database(server.template) as url:
        yield url


def test_a_real_salon_moves_over_and_back_and_every_overlap_is_explained(
    db: psycopg.Connection[Any], run: Run, tmp_path: Path
) -> None:
    path = Path(os.environ["PGBOOKING_SALON_DATA"]) / "bookings.csv"
    bookings = load(db, path, deduced_hours(path, tmp_path / "hours.csv"))
    map_ = tmp_path / "salon.toml"
    map_.write_text(MAP)

    def adopt(*options: object) -> Any:
        return run("adopt", *options, "--json", *CLOCK).json

    report = adopt("--map", map_, "--apply")
    assert (report["changed"], report["failing"]) == (len(bookings), [])
    assert run("verify", "--independent", *CLOCK).code == 0

    ahead = [
        each for each in bookings if each[3] > datetime.fromisoformat(NOW).replace(tzinfo=None)
    ]
    left_over = first_come(ahead)
    assert left_over, "the salon did overlap"
    for step in (("--switch", "--dry-run"), ("--switch",)):
        report = adopt(*step)
        assert report["changed"] == len(ahead) - len(left_over)
        assert {int(each["external_id"]) for each in report["not_booked"]} == set(left_over)
        for each in report["not_booked"]:
            other = int(each["reason"].split(",")[0].removeprefix("overlaps row "))
            assert overlaps(bookings[int(each["external_id"]) - 1], bookings[other - 1])
    print(f"{len(bookings)} bookings, {len(ahead)} ahead, {len(left_over)} overlap")
    assert run("verify", "--independent", *CLOCK).code == 0
    assert adopt("--back")["changed"] == len(ahead) - len(left_over)
    assert run("verify", "--independent", *CLOCK).code == 0
    assert adopt("--switch")["changed"] == len(ahead) - len(left_over)
    set_clock(db, NOW)
    cancelled = db.execute(
        "update booking.appointments set status = 'cancelled'"
        " where start_time > '2018-06-01' returning external_id"
    ).rowcount
    left = db.execute("select count(*) from till.bookings").fetchone()
    assert left == (len(bookings) - cancelled,)
    assert Legacy(db, run).queue() == []
    assert run("adopt", "--finish", "--yes", *CLOCK).code == 0
    assert run("verify", "--independent", *CLOCK).code == 0


Booking = tuple[int, str, datetime, datetime]


def load(db: psycopg.Connection[Any], bookings: Path, hours: Path) -> list[Booking]:
    """The till's own tables. Returns key, stylist, start and end, in the order of the keys."""
    db.execute(TABLES.encode())
    rows = list(csv.DictReader(bookings.open()))
    loaded = []
    services: dict[str, int] = {}
    with db.cursor() as cursor:
        for key, row in enumerate(rows, start=1):
            start, minutes = start_and_minutes(row)
            services[row["Service"]] = minutes
            loaded.append((key, row["Staff"], start, start + timedelta(minutes=minutes)))
        cursor.executemany("insert into till.services values (%s, %s)", list(services.items()))
        cursor.executemany(
            "insert into till.stylists values (%s)",
            [(each,) for each in {r["Staff"] for r in rows}],
        )
        cursor.executemany(
            "insert into till.hours (stylist, weekday, opens, closes) values (%s, %s, %s, %s)",
            [tuple(row.values()) for row in csv.DictReader(hours.open())],
        )
        cursor.executemany(
            "insert into till.bookings (client, stylist, service, day, at, minutes)"
            " values (%s, %s, %s, %s, %s, %s)",
            [
                (row["Code"], staff, row["Service"], start.date(), start.time(),
                 int((end - start).total_seconds() // 60))
                for row, (_, staff, start, end) in zip(rows, loaded, strict=True)
            ],
        )  # fmt: skip
    return loaded


def first_come(bookings: list[Booking]) -> list[int]:
    """Keys of those that find their time taken, told by nothing but the list itself."""
    taken: dict[str, list[Booking]] = defaultdict(list)
    left_over = []
    for booking in sorted(bookings, key=lambda each: (each[2], str(each[0]))):
        if any(overlaps(booking, other) for other in taken[booking[1]]):
            left_over.append(booking[0])
        else:
            taken[booking[1]].append(booking)
    return left_over


def overlaps(one: Booking, other: Booking) -> bool:
    """Whether they are of one stylist and meet."""
    return one[1] == other[1] and one[2] < other[3] and other[2] < one[3]
