"""Another system's answer, made of what is published here."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.cli.conftest import SALON_NOW
from tests.salon import Salon

NOW = ("--now", SALON_NOW)
BERLIN = ZoneInfo("Europe/Berlin")
TUESDAY = date(2026, 3, 3)
COLUMNS = ("staff", "service", "start")

Starts = list[datetime]


def at(clock: str, day: date = TUESDAY) -> datetime:
    return datetime.combine(day, time.fromisoformat(clock), BERLIN)


def local(starts: Iterable[datetime]) -> list[str]:
    return [f"{each.astimezone(BERLIN):%Y-%m-%dT%H:%M}" for each in starts]


def published(salon: Salon, person: UUID, type_id: UUID) -> Starts:
    rows = salon.db.execute(
        "select s.start_time from booking.availability_slots s"
        " join booking.appointment_types y on y.shape_id = s.shape_id and y.id = %s"
        " where s.staff_id = %s and s.is_available order by 1",
        (type_id, person),
    ).fetchall()
    return [row[0].astimezone(BERLIN) for row in rows]


def write(path: Path, rows: Iterable[Iterable[object]], columns: Iterable[str] = COLUMNS) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def counted(answer: Any) -> dict[str, int]:
    """Of the command's JSON: how many differences each cause has."""
    return {each["cause"]: each["differences"] for each in answer["legacy"]["causes"]}


def rows_of(salon: Salon, name: str = "Ada") -> list[tuple[str, str, str]]:
    """That person's cuts, as the old system offers them, too."""
    (person,) = salon.db.execute(
        "select id from booking.staff where display_name = %s", (name,)
    ).fetchall()[0]
    return [(name, "cut", start) for start in local(published(salon, person, salon.cut))]
