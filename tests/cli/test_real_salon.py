"""A real salon's bookings, for those who have them: PGBOOKING_SALON_DATA is a folder with
bookings.csv (Code, Staff, Service, Date, Time), which is loaded by the documented example mapping.

Weekly hours are deduced from the bookings: for each person, and each weekday on which three or more
were made, from the earliest start to the latest end, whole hours around them.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import psycopg

from pgbooking.import_mapping import Kind, load_mapping
from tests.cli.conftest import Run
from tests.salon import set_clock

MAP = Path(__file__).parents[2] / "deploy" / "examples" / "salon.toml"
NOW = ("--now", "2018-04-01T08:00")


def test_what_can_be_loaded_is_and_sixty_days_are_published_exactly(
    run: Run, db: psycopg.Connection, tmp_path: Path
) -> None:
    bookings = Path(os.environ["PGBOOKING_SALON_DATA"]) / "bookings.csv"
    hours = deduced_hours(bookings, tmp_path / "hours.csv")
    assert run("import", "hours", hours, "--map", MAP, *NOW).code == 0
    answer = run("import", "appointments", bookings, "--map", MAP, "--json", *NOW)
    report = answer.json
    assert report["rows"] == len(list(csv.DictReader(bookings.open())))
    assert report["loaded"] + len(report["rejected"]) == report["rows"]
    assert report["loaded"] > 0.95 * report["rows"]
    assert all("overlaps line " in each["reason"] for each in report["rejected"])
    assert every_rejected_row_really_overlaps(bookings, report["rejected"])

    verified = run("verify", "--independent", "--json", *NOW)
    assert verified.code == 0
    assert verified.json["differences"] == 0
    published = db.execute(
        "select count(*), max((start_time at time zone 'America/Winnipeg')::date)::text"
        " from booking.availability_slots"
    ).fetchone()
    assert published
    assert published[0] == verified.json["tenants"][0]["slots"] > 10_000
    assert published[1] == "2018-05-31"

    again = run("import", "appointments", bookings, "--map", MAP, "--json", *NOW).json
    assert (again["loaded"], again["already_there"]) == (0, report["loaded"])
    assert again["rejected"] == report["rejected"]


def test_its_year_is_reported(run: Run, db: psycopg.Connection, tmp_path: Path) -> None:
    bookings = Path(os.environ["PGBOOKING_SALON_DATA"]) / "bookings.csv"
    hours = deduced_hours(bookings, tmp_path / "hours.csv")
    assert run("import", "hours", hours, "--map", MAP, *NOW).code == 0
    loaded = run("import", "appointments", bookings, "--map", MAP, "--json", *NOW).json["loaded"]
    set_clock(db, "2019-02-20T08:00Z")
    while db.execute("select booking.roll_up_next()").fetchone() != (0,):
        pass

    pictures = tmp_path / "report"
    dates = ("--from", "2018-03-01", "--to", "2019-02-19", "--now", "2019-02-20T08:00")
    answer = run("report", *dates, "--json", "--png", pictures, "--html", pictures / "salon.html")
    assert answer.code == 0, answer.err
    sections = answer.json["sections"]
    assert sections["cancellations"]["all"]["appointments"] == loaded
    assert sections["cancellations"]["period"] == "month"
    assert sum(each["booked"] for each in sections["heatmap"]["cells"]) > 0.9 * loaded
    people = sections["utilisation"]["people"]
    assert {each["staff"] for each in people} >= {"JJ", "JOANNE", "KELLY"}
    assert all(0 < each["utilisation_percent"] < 120 for each in people)
    # Nobody has booked through pgbooking.
    assert sections["funnel"]["all"]["bookings"] == sections["funnel"]["all"]["holds"] == 0
    assert len([*pictures.glob("*.png")]) == 5


def deduced_hours(bookings: Path, hours: Path) -> Path:
    """Write the hours that the bookings let one guess."""
    times: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for row in csv.DictReader(bookings.open()):
        start, minutes = start_and_minutes(row)
        minute = start.hour * 60 + start.minute
        times[row["Staff"], start.isoweekday()].append((minute, minute + minutes))
    with hours.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Staff", "Weekday", "Opens", "Closes"])
        for (staff, weekday), periods in sorted(times.items()):
            if len(periods) >= 3:
                opens = min(start for start, _ in periods) // 60
                closes = -(-max(end for _, end in periods) // 60)
                writer.writerow([staff, weekday, f"{opens:02}:00", f"{closes:02}:00"])
    return hours


def every_rejected_row_really_overlaps(bookings: Path, rejected: list[dict[str, str]]) -> bool:
    """By a look at the file itself: the two lines' times meet, and they are the same person's."""
    rows = [{}, {}, *csv.DictReader(bookings.open())]  # the first row is line 2
    for each in rejected:
        this, other = rows[int(each["line"])], rows[int(each["reason"].split()[-1])]
        start, minutes = start_and_minutes(this)
        other_start, other_minutes = start_and_minutes(other)
        gap = (start - other_start).total_seconds() / 60
        if this["Staff"] != other["Staff"] or not -minutes < gap < other_minutes:
            return False
    return True


def start_and_minutes(row: dict[str, str]) -> tuple[datetime, int]:
    """As the example mapping reads a booking."""
    mapping = load_mapping(MAP, Kind.APPOINTMENTS)
    start = datetime.strptime(f"{row['Date']} {row['Time']}", "%m/%d/%Y %I:%M:%S %p")  # noqa: DTZ007
    minutes = mapping.durations.get(row["Service"], mapping.default_duration_minutes)
    assert minutes
    return start, minutes
