"""What the rules of the design (§4) say, one example each, asked of both calculators."""

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import psycopg
import pytest

from pgbooking import reference
from tests.calculator import database
from tests.calculator.calendars import MINUTE, insert
from tests.calculator.examples import (
    ANNA,
    AWAY,
    BEN,
    EVERY_DAY,
    HOME,
    Booked,
    Example,
    Held,
    Service,
    busy,
    closed,
    hours,
    moment,
    opened,
    pause,
    shape_id,
    travel,
    written,
)

WORKING_TIME = [
    Example(
        "weekly hours give starts on their weekday",
        dates="2025-01-05..2025-01-12",
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "overnight hours reach into the next date",
        hours=hours("Mon", "22:00-02:00"),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 22:00 23:00 | 2025-01-07 00:00 01:00",
    ),
    Example(
        "the tail of a night is found when only its own date is asked for",
        hours=hours("Mon", "22:00-02:00"),
        dates="2025-01-07",
        starts="2025-01-07 00:00 01:00",
    ),
    Example(
        "24:00 is the end of the date",
        hours=hours("Mon", "22:00-24:00"),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 22:00 23:00",
    ),
    Example(
        "hours from 00:00 to 00:00 are the whole date",
        hours=hours("Mon", "00:00-00:00"),
        services=(Service(480),),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 00:00 08:00 16:00",
    ),
    Example(
        "a slot may begin before midnight and end in the next date's window",
        hours=hours("Mon", "22:00-24:00") + hours("Tue", "00:00-02:00"),
        services=(Service(90, step=60),),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 22:00 23:00 | 2025-01-07 00:00",
    ),
    Example(
        "a piece keeps its own grid where it touches that of the date before",
        hours=hours("Mon Tue", "00:00-24:00"),
        services=(Service(600),),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 00:00 10:00 20:00 | 2025-01-07 00:00 10:00",
    ),
    Example(
        "overlapping windows of two dates give both grids, and equal starts once",
        hours=hours("Mon", "22:00-03:00") + hours("Tue", "00:30-04:00"),
        dates="2025-01-07",
        starts="2025-01-07 00:00 00:30 01:00 01:30 02:00 02:30",
    ),
    Example(
        "overlapping hours of one date are one window",
        hours=hours("Mon", "09:00-11:00") + hours("Mon", "10:00-12:00"),
        services=(Service(60, step=45),),
        starts="2025-01-06 09:00 09:45 10:30",
    ),
    Example(
        "touching hours of one date are one window",
        hours=hours("Mon", "09:00-10:00") + hours("Mon", "10:00-12:00"),
        services=(Service(60, step=45),),
        starts="2025-01-06 09:00 09:45 10:30",
    ),
    Example(
        "two windows have a grid each",
        hours=hours("Mon", "09:00-10:30") + hours("Mon", "13:10-14:30"),
        starts="2025-01-06 09:00 13:10",
    ),
    Example(
        "both validity dates of hours are inclusive",
        hours=hours("Mon", "09:00-10:00", valid_from="2025-01-13", valid_until="2025-01-20"),
        dates="2025-01-06..2025-01-27",
        starts="2025-01-13 09:00 | 2025-01-20 09:00",
    ),
    Example(
        "seasons that overlap are united on the dates that both have",
        hours=hours(EVERY_DAY, "09:00-10:00", valid_until="2025-01-07")
        + hours(EVERY_DAY, "10:00-12:00", valid_from="2025-01-07", valid_until="2025-01-08"),
        services=(Service(60, step=40),),
        dates="2025-01-06..2025-01-09",
        starts="2025-01-06 09:00 | 2025-01-07 09:00 09:40 10:20 11:00 | 2025-01-08 10:00 10:40",
    ),
    Example(
        "hours that change with the season change between two of the dates asked for",
        hours=hours(EVERY_DAY, "09:00-11:00", valid_until="2025-01-07")
        + hours(EVERY_DAY, "14:00-16:00", valid_from="2025-01-08"),
        dates="2025-01-07..2025-01-08",
        starts="2025-01-07 09:00 10:00 | 2025-01-08 14:00 15:00",
    ),
    Example(
        "the night on which a season ends has its tail",
        hours=hours(EVERY_DAY, "22:00-01:00", valid_until="2025-01-06"),
        dates="2025-01-06..2025-01-08",
        starts="2025-01-06 00:00 22:00 23:00 | 2025-01-07 00:00",
    ),
    Example(
        "hours of another person or place do not matter",
        hours=hours("Mon", "09:00-10:00")
        + hours("Mon", "10:00-11:00", staff=BEN)
        + hours("Mon", "11:00-12:00", at=AWAY),
        starts="2025-01-06 09:00",
    ),
    Example(
        "a tenant that is not active has no slots",
        inactive=("tenant",),
        starts="",
    ),
    Example("a person who is not active has no slots", inactive=(ANNA,), starts=""),
    Example("a place that is not active has no slots", inactive=(HOME,), starts=""),
    Example(
        "a type that is not active has no slots",
        services=(Service(60, is_active=False),),
        starts="",
    ),
    Example(
        "a type that the person does not offer has no slots",
        services=(Service(60, offered_by=(BEN,)),),
        starts="",
    ),
]

BREAKS = [
    Example(
        "a break cuts the window and the second piece has its own grid",
        breaks=(pause("10:10-10:30"),),
        services=(Service(60, step=30),),
        starts="2025-01-06 09:00 10:30 11:00",
    ),
    Example(
        "a break without person and place is everyone's, everywhere",
        breaks=(pause("10:00-11:00", staff=None, at=None),),
        starts="2025-01-06 09:00 11:00",
    ),
    Example(
        "a break of another person, place, weekday or season does not matter",
        breaks=(
            pause("10:00-11:00", staff=BEN),
            pause("10:00-11:00", at=AWAY),
            pause("10:00-11:00", weekday="Tue"),
            pause("10:00-11:00", valid_until="2025-01-05"),
            pause("10:00-11:00", valid_from="2025-01-07"),
        ),
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "a break of a season is cut from its first date to its last",
        hours=hours(EVERY_DAY, "09:00-11:00"),
        breaks=(pause("10:00-11:00", valid_from="2025-01-07", valid_until="2025-01-08"),),
        dates="2025-01-06..2025-01-09",
        starts="2025-01-06 09:00 10:00 | 2025-01-07 09:00 | 2025-01-08 09:00"
        " | 2025-01-09 09:00 10:00",
    ),
    Example(
        "a break over midnight cuts both dates",
        hours=hours("Mon", "22:00-02:00"),
        services=(Service(30),),
        breaks=(pause("23:30-00:30"),),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 22:00 22:30 23:00 | 2025-01-07 00:30 01:00 01:30",
    ),
    Example(
        "a break of the next date cuts the tail of the night before",
        hours=hours("Mon", "22:00-04:00"),
        breaks=(pause("01:00-02:00", weekday="Tue"),),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 22:00 23:00 | 2025-01-07 00:00 02:00 03:00",
    ),
    Example(
        "a break of the date on which a night begins leaves its tail alone",
        hours=hours("Mon", "22:00-04:00"),
        breaks=(pause("01:00-02:00", weekday="Mon"),),
        dates="2025-01-07",
        starts="2025-01-07 00:00 01:00 02:00 03:00",
    ),
]

EXCEPTIONS = [
    Example(
        "a closed date has no slots",
        exceptions=(closed("2025-01-06"),),
        dates="2025-01-06..2025-01-13",
        starts="2025-01-13 09:00 10:00 11:00",
    ),
    Example(
        "closed hours are cut out like a break",
        exceptions=(closed("2025-01-01..2025-01-31", "10:00-11:00"),),
        starts="2025-01-06 09:00 11:00",
    ),
    Example(
        "a closed date without person and place is everyone's, everywhere",
        exceptions=(closed("2025-01-06", staff=None, at=None),),
        starts="",
    ),
    Example(
        "a closed date of another person or place does not matter",
        exceptions=(
            closed("2025-01-06", staff=BEN, at=None),
            closed("2025-01-06", staff=None, at=AWAY),
        ),
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "a closed date of the place is everyone's there",
        exceptions=(closed("2025-01-06", staff=None),),
        starts="",
    ),
    Example(
        "a closed date of the person is hers everywhere",
        exceptions=(closed("2025-01-06", at=None),),
        starts="",
    ),
    Example(
        "a holiday of several days closes its first and its last",
        hours=hours(EVERY_DAY, "09:00-10:00"),
        exceptions=(closed("2025-01-07..2025-01-08", staff=None, at=None),),
        dates="2025-01-06..2025-01-09",
        starts="2025-01-06 09:00 | 2025-01-09 09:00",
    ),
    Example(
        "a closed date leaves the tail of its night to the next date",
        hours=hours("Mon", "22:00-02:00"),
        exceptions=(closed("2025-01-06"),),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-07 00:00 01:00",
    ),
    Example(
        "a closed date takes the tail of the night before",
        hours=hours("Mon", "22:00-02:00"),
        exceptions=(closed("2025-01-07"),),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 22:00 23:00",
    ),
    Example(
        "closed hours may reach over midnight",
        hours=hours("Mon", "22:00-02:00"),
        exceptions=(closed("2025-01-06", "23:00-01:00"),),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 22:00 | 2025-01-07 01:00",
    ),
    Example(
        "open hours replace the weekly ones",
        exceptions=(opened("2025-01-06", "14:00-16:00"),),
        starts="2025-01-06 14:00 15:00",
    ),
    Example(
        "open hours make a working day of a free one",
        exceptions=(opened("2025-01-07", "14:00-15:00"),),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 09:00 10:00 11:00 | 2025-01-07 14:00",
    ),
    Example(
        "an open date without hours is open all day",
        exceptions=(opened("2025-01-06"),),
        services=(Service(480),),
        starts="2025-01-06 00:00 08:00 16:00",
    ),
    Example(
        "several open rows of a date are united",
        exceptions=(opened("2025-01-06", "14:00-15:00"), opened("2025-01-06", "15:00-16:00")),
        services=(Service(120),),
        starts="2025-01-06 14:00",
    ),
    Example(
        "open hours may reach over midnight, and leave the night before alone",
        hours=hours("Mon", "22:00-01:00"),
        exceptions=(opened("2025-01-07", "23:00-01:00"),),
        dates="2025-01-07..2025-01-08",
        starts="2025-01-07 00:00 23:00 | 2025-01-08 00:00",
    ),
    Example(
        "breaks and closed hours are cut from open hours too",
        exceptions=(
            opened("2025-01-06", "14:00-19:00"),
            closed("2025-01-06", "15:00-16:00"),
        ),
        breaks=(pause("17:00-18:00"),),
        starts="2025-01-06 14:00 16:00 18:00",
    ),
    Example(
        "open hours that name person and place need no weekly hours",
        hours=(),
        exceptions=(opened("2025-01-06", "14:00-15:00"),),
        starts="2025-01-06 14:00",
    ),
    Example(
        "open hours of a place are for all who have hours there, in whatever season",
        hours=hours("Fri", "09:00-10:00", valid_until="2020-01-01"),
        exceptions=(opened("2025-01-06", "14:00-15:00", staff=None),),
        starts="2025-01-06 14:00",
    ),
    Example(
        "open hours of a place are not for those who have hours elsewhere",
        hours=hours("Mon", "09:00-10:00", at=AWAY),
        exceptions=(opened("2025-01-06", "14:00-15:00", staff=None),),
        starts="",
    ),
    Example(
        "open hours of a person are wherever they have hours",
        hours=hours("Fri", "09:00-10:00", at=AWAY),
        exceptions=(opened("2025-01-06", "14:00-15:00", at=None),),
        at=AWAY,
        starts="2025-01-06 14:00",
    ),
    Example(
        "open hours of a person are nowhere else",
        hours=hours("Fri", "09:00-10:00", at=AWAY),
        exceptions=(opened("2025-01-06", "14:00-15:00", at=None),),
        starts="",
    ),
    Example(
        "open hours of everyone everywhere are for whoever has hours there",
        exceptions=(opened("2025-01-06", "14:00-15:00", staff=None, at=None),),
        starts="2025-01-06 14:00",
    ),
    Example(
        "open hours of everyone everywhere are not for who has no hours there",
        exceptions=(opened("2025-01-06", "14:00-15:00", staff=None, at=None),),
        at=AWAY,
        starts="",
    ),
    Example(
        "open hours of another person or place replace nothing",
        exceptions=(
            opened("2025-01-06", "14:00-15:00", staff=BEN),
            opened("2025-01-06", "15:00-16:00", at=AWAY),
            opened("2025-01-06", "16:00-17:00", staff=None, at=AWAY),
        ),
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "open hours of all kinds of rows are united",
        exceptions=(
            opened("2025-01-06", "13:00-14:00"),
            opened("2025-01-06", "14:00-15:00", staff=None),
            opened("2025-01-06", "15:00-16:00", at=None),
            opened("2025-01-06", "16:00-17:00", staff=None, at=None),
        ),
        services=(Service(240),),
        starts="2025-01-06 13:00",
    ),
    Example(
        "a date that is open and closed is closed",
        exceptions=(opened("2025-01-06", "14:00-15:00"), closed("2025-01-06", staff=None)),
        starts="",
    ),
    Example(
        "open hours of several dates replace those of each",
        hours=hours(EVERY_DAY, "09:00-10:00"),
        exceptions=(opened("2025-01-07..2025-01-08", "14:00-15:00"),),
        dates="2025-01-06..2025-01-09",
        starts="2025-01-06 09:00 | 2025-01-07 14:00 | 2025-01-08 14:00 | 2025-01-09 09:00",
    ),
]

# Berlin: 2025-03-30 02:00 becomes 03:00 at 01:00 UTC, 2025-10-26 03:00 becomes 02:00 at 01:00 UTC.
BERLIN = Example("", zone="Europe/Berlin", hours=hours("Sun", "01:00-05:00"), starts="")
SPRING = replace(BERLIN, dates="2025-03-30", now="2025-03-29 00:00")
AUTUMN = replace(
    BERLIN, hours=hours("Sun", "01:00-04:00"), dates="2025-10-26", now="2025-10-25 00:00"
)

CLOCK_CHANGES = [
    replace(
        SPRING,
        sentence="window: the skipped hour takes no time",
        starts="2025-03-30 00:00 01:00 02:00",
    ),
    replace(
        SPRING,
        sentence="gapless: the skipped hour takes no time",
        alignment="gapless",
        starts="2025-03-30 00:00 01:00 02:00",
    ),
    replace(
        SPRING,
        sentence="window: steps are elapsed minutes",
        services=(Service(60, step=120),),
        starts="2025-03-30 00:00 02:00",
    ),
    replace(
        SPRING,
        sentence="clock: a skipped hour has no starts",
        alignment="clock",
        services=(Service(60, step=120),),
        starts="2025-03-30 02:00",
    ),
    replace(
        SPRING,
        sentence="a window that begins in the skipped hour begins as late after it",
        hours=hours("Sun", "02:30-05:00"),
        services=(Service(30),),
        starts="2025-03-30 01:30 02:00 02:30",
    ),
    replace(
        SPRING,
        sentence="a window that ends before it begins vanishes",
        hours=hours("Sun", "02:30-03:15"),
        services=(Service(10),),
        starts="",
    ),
    replace(
        SPRING,
        sentence="a break in the skipped hour takes no time",
        breaks=(pause("02:00-03:00"),),
        starts="2025-03-30 00:00 01:00 02:00",
    ),
    replace(
        SPRING,
        sentence="a break that ends before it begins vanishes",
        services=(Service(30),),
        hours=hours("Sun", "03:00-05:00"),
        breaks=(pause("02:30-03:15"),),
        starts="2025-03-30 01:00 01:30 02:00 02:30",
    ),
    replace(
        SPRING,
        sentence="a night over the skipped hour is an hour shorter",
        hours=hours("Sat", "22:00-03:00"),
        dates="2025-03-29..2025-03-30",
        starts="2025-03-29 21:00 22:00 23:00 | 2025-03-30 00:00",
    ),
    replace(
        AUTUMN,
        sentence="window: the repeated hour is worked twice",
        starts="2025-10-25 23:00 | 2025-10-26 00:00 01:00 02:00",
    ),
    replace(
        AUTUMN,
        sentence="gapless: the repeated hour is worked twice",
        alignment="gapless",
        busy=(busy("2025-10-26 00:00", "2025-10-26 00:20"),),
        starts="2025-10-25 23:00 | 2025-10-26 00:00x 00:20 01:20",
    ),
    replace(
        AUTUMN,
        sentence="clock: a repeated hour counts twice",
        alignment="clock",
        services=(Service(60, step=120),),
        starts="2025-10-26 00:00 01:00",
    ),
    replace(
        AUTUMN,
        sentence="a window that begins in the repeated hour begins the second time",
        hours=hours("Sun", "02:00-04:00"),
        starts="2025-10-26 01:00 02:00",
    ),
    replace(
        AUTUMN,
        sentence="a window that ends in the repeated hour ends the second time",
        hours=hours("Sun", "01:00-02:30"),
        services=(Service(30),),
        starts="2025-10-25 23:00 23:30 | 2025-10-26 00:00 00:30 01:00",
    ),
    replace(
        AUTUMN,
        sentence="a break in the repeated hour is taken the second time",
        breaks=(pause("02:00-03:00"),),
        starts="2025-10-25 23:00 | 2025-10-26 00:00 02:00",
    ),
    Example(
        "clocks may change by half an hour (02:00 becomes 02:30 at 15:30 UTC)",
        zone="Australia/Lord_Howe",
        alignment="clock",
        hours=hours("Sun", "01:00-04:00"),
        services=(Service(30, step=60), Service(30)),
        dates="2025-10-05",
        starts="2025-10-04 14:30 16:00",
    ),
    Example(
        "a date that begins twice begins its hours the second time (00:00 again at 05:00 UTC)",
        zone="America/Havana",
        hours=hours("Sun", "00:00-02:00"),
        dates="2025-11-02",
        starts="2025-11-02 05:00 06:00",
    ),
    Example(
        "a date whose midnight is skipped begins at its first instant (01:00 at 05:00 UTC)",
        zone="America/Havana",
        hours=hours("Sun", "00:00-03:00"),
        dates="2025-03-09",
        starts="2025-03-09 05:00 06:00",
    ),
]

STARTS = [
    Example(
        "window: every step from the window's start",
        hours=hours("Mon", "09:10-12:00"),
        services=(Service(60, step=40),),
        starts="2025-01-06 09:10 09:50 10:30",
    ),
    Example(
        "clock: minutes of the day divisible by the step",
        alignment="clock",
        hours=hours("Mon", "09:10-12:00"),
        services=(Service(60, step=40),),
        starts="2025-01-06 09:20 10:00 10:40",
    ),
    Example(
        "clock: minutes on the wall, whatever the zone's offset",
        alignment="clock",
        zone="Asia/Kathmandu",
        hours=hours("Mon", "09:10-12:00"),
        starts="2025-01-06 04:15 05:15",
    ),
    Example(
        "a slot belongs to the local date of its start",
        away_zone="America/New_York",
        at=AWAY,
        hours=hours("Mon", "20:00-22:00", at=AWAY),
        starts="2025-01-07 01:00 02:00",
    ),
    Example(
        "gapless: without appointments every step from the window's start",
        alignment="gapless",
        hours=hours("Mon", "09:10-12:00"),
        services=(Service(60, step=40),),
        starts="2025-01-06 09:10 09:50 10:30",
    ),
    Example(
        "gapless: the end of an appointment is an origin",
        alignment="gapless",
        services=(Service(30),),
        booked=(Booked("2025-01-06 09:35", "2025-01-06 10:05"),),
        starts="2025-01-06 09:00 09:30x 10:00x 10:05 10:35 11:05",
    ),
    Example(
        "gapless: buffer before lies between the end and the origin",
        alignment="gapless",
        services=(Service(30, before=10),),
        booked=(Booked("2025-01-06 09:35", "2025-01-06 10:05"),),
        starts="2025-01-06 09:00 09:30x 10:00x 10:15 10:45 11:15",
    ),
    Example(
        "gapless: the buffer after an appointment moves the origin",
        alignment="gapless",
        services=(Service(30, after=5),),
        booked=(Booked("2025-01-06 09:30", service=0),),
        starts="2025-01-06 09:00x 09:30x 10:00x 10:05 10:35 11:05",
    ),
    Example(
        "gapless: the end of a busy time is an origin, to the second",
        alignment="gapless",
        services=(Service(30),),
        busy=(busy("2025-01-06 09:20", "2025-01-06 09:40:30"),),
        starts="2025-01-06 09:00x 09:30x 09:40:30 10:10:30 10:40:30 11:10:30",
    ),
    Example(
        "gapless: what ends as the piece begins counts, what ends before does not",
        alignment="gapless",
        services=(Service(30, before=10),),
        busy=(
            busy("2025-01-06 08:00", "2025-01-06 09:00"),
            busy("2025-01-06 08:00", "2025-01-06 08:55"),
        ),
        starts="2025-01-06 09:00x 09:10 09:40 10:10 10:40 11:10",
    ),
    Example(
        "gapless: what ends as the piece ends does not count",
        alignment="gapless",
        breaks=(pause("10:00-10:30"),),
        services=(Service(30, before=5),),
        busy=(busy("2025-01-06 09:50", "2025-01-06 10:00"),),
        starts="2025-01-06 09:00 09:30x 10:30 11:00 11:30",
    ),
    Example(
        "gapless: steps end with the piece where the next origin lies beyond it",
        alignment="gapless",
        hours=hours("Mon", "20:00-24:00") + hours("Tue", "00:00-01:00"),
        services=(Service(10, step=50, before=45),),
        busy=(busy("2025-01-06 22:50", "2025-01-06 23:30"),),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 20:00 20:50 21:40 22:30 23:20x | 2025-01-07 00:00x 00:50",
    ),
    Example(
        "gapless: appointments at another place count too",
        alignment="gapless",
        services=(Service(60),),
        booked=(Booked("2025-01-06 09:00", "2025-01-06 09:20", at=AWAY),),
        starts="2025-01-06 09:00x 09:20 10:20",
    ),
    Example(
        "gapless: cancelled appointments, other people and holds move nothing",
        alignment="gapless",
        booked=(
            Booked("2025-01-06 09:00", "2025-01-06 09:20", status="cancelled"),
            Booked("2025-01-06 09:00", "2025-01-06 09:20", staff=BEN),
        ),
        held=(Held("2025-01-06 09:25", expires="2025-01-06 00:10"),),
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "gapless: a class does not move its own grid",
        alignment="gapless",
        services=(Service(30, step=20, seats=2),),
        booked=(Booked("2025-01-06 09:20", service=0),),
        starts="2025-01-06 09:00x 09:20 09:40x 10:00 10:20 10:40 11:00 11:20",
    ),
    Example(
        "gapless: a class moves the grids of others",
        alignment="gapless",
        services=(Service(30, seats=2), Service(45)),
        booked=(Booked("2025-01-06 09:30", service=0),),
        service=1,
        starts="2025-01-06 09:00x 09:45x 10:00 10:45",
    ),
    Example(
        "a class that someone attends stays where the grid has left it",
        services=(Service(60, seats=3),),
        booked=(Booked("2025-01-06 09:30", service=0),),
        starts="2025-01-06 09:00x 09:30 10:00x 11:00",
    ),
    Example(
        "a class that someone attends goes when it no longer fits",
        hours=hours("Mon", "10:00-12:00"),
        services=(Service(60, seats=3),),
        booked=(Booked("2025-01-06 09:30", service=0),),
        starts="2025-01-06 10:00x 11:00",
    ),
    Example(
        "a class whose attendees cancelled does not stay",
        services=(Service(60, seats=3),),
        booked=(Booked("2025-01-06 09:30", service=0, status="cancelled"),),
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "a single appointment does not keep its start on the grid",
        booked=(Booked("2025-01-06 09:30", service=0),),
        starts="2025-01-06 09:00x 10:00x 11:00",
    ),
]

FIT_AND_FREE = [
    Example(
        "a slot ends within working time",
        services=(Service(90, step=30),),
        starts="2025-01-06 09:00 09:30 10:00 10:30",
    ),
    Example(
        "buffers may reach outside working time",
        services=(Service(60, before=30, after=30),),
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "claims that touch do not overlap",
        booked=(Booked("2025-01-06 10:00", "2025-01-06 11:00"),),
        starts="2025-01-06 09:00 10:00x 11:00",
    ),
    Example(
        "one second of overlap is enough",
        busy=(busy("2025-01-06 09:59:59", "2025-01-06 10:00"),),
        starts="2025-01-06 09:00x 10:00 11:00",
    ),
    Example(
        "the buffers of neighbours add up",
        hours=hours("Mon", "08:00-13:00"),
        services=(Service(30, before=10, after=20),),
        booked=(Booked("2025-01-06 10:00", service=0),),
        # The claim is 09:50 to 10:50, so that free starts end before 09:00 or begin from 11:00.
        starts="2025-01-06 08:00 08:30 09:00 09:30x 10:00x 10:30x 11:00 11:30 12:00 12:30",
    ),
    Example(
        "a person is taken by an appointment at another place",
        booked=(Booked("2025-01-06 10:00", "2025-01-06 11:00", at=AWAY),),
        starts="2025-01-06 09:00 10:00x 11:00",
    ),
    Example(
        "cancelled appointments and those of others take nothing",
        booked=(
            Booked("2025-01-06 09:00", service=0, status="cancelled"),
            Booked("2025-01-06 10:00", service=0, staff=BEN),
        ),
        busy=(busy("2025-01-06 11:00", "2025-01-06 12:00", staff=BEN),),
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "completed and missed appointments still take their time",
        booked=(
            Booked("2025-01-06 09:00", service=0, status="completed"),
            Booked("2025-01-06 10:00", service=0, status="no_show"),
            Booked("2025-01-06 11:00", service=0, status="pending"),
        ),
        starts="2025-01-06 09:00x 10:00x 11:00x",
    ),
    Example(
        "a class is free while seats are left",
        services=(Service(60, seats=2),),
        booked=(
            Booked("2025-01-06 09:00", service=0),
            Booked("2025-01-06 10:00", service=0),
            Booked("2025-01-06 10:00", service=0),
        ),
        starts="2025-01-06 09:00 10:00x 11:00",
    ),
    Example(
        "a class is not free while something else is in its time",
        services=(Service(60, seats=2),),
        booked=(Booked("2025-01-06 09:00", service=0),),
        busy=(busy("2025-01-06 09:30", "2025-01-06 09:40"),),
        starts="2025-01-06 09:00x 10:00 11:00",
    ),
    Example(
        "a class takes the time of other services",
        services=(Service(60, seats=2), Service(60)),
        booked=(Booked("2025-01-06 09:00", service=0),),
        service=1,
        starts="2025-01-06 09:00x 10:00 11:00",
    ),
    Example(
        "holds take nothing, because they expire by the clock",
        held=(Held("2025-01-06 09:00", expires="2025-01-06 00:10"),),
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "a person who works round the clock is booked round the clock",
        hours=hours(EVERY_DAY, "00:00-24:00"),
        services=(Service(480),),
        booked=(Booked("2025-01-06 20:00", "2025-01-07 04:00"),),
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 00:00 08:00 16:00x | 2025-01-07 00:00x 08:00 16:00",
    ),
]

# An appointment away from home, seen from home.
AWAY_AT_TEN = (Booked("2025-01-06 10:00", "2025-01-06 10:30", at=AWAY),)
AWAY_FIRST = (Booked("2025-01-06 09:00", "2025-01-06 09:20", at=AWAY),)

TRAVEL = [
    Example(
        "travel to an appointment elsewhere and back from it takes time, one row for both ways",
        hours=hours("Mon", "08:00-13:00"),
        services=(Service(30),),
        booked=AWAY_AT_TEN,
        travel=(travel(30),),
        starts="2025-01-06 08:00 08:30 09:00 09:30x 10:00x 10:30x 11:00 11:30 12:00 12:30",
    ),
    Example(
        "the row of the way back stands for both ways, too",
        hours=hours("Mon", "08:00-13:00"),
        services=(Service(30),),
        booked=AWAY_AT_TEN,
        travel=(travel(30, AWAY, HOME),),
        starts="2025-01-06 08:00 08:30 09:00 09:30x 10:00x 10:30x 11:00 11:30 12:00 12:30",
    ),
    Example(
        "with a row for each way, the way there counts before and the way back after",
        hours=hours("Mon", "08:00-12:00"),
        services=(Service(30, step=15),),
        booked=AWAY_AT_TEN,
        travel=(travel(60), travel(15, AWAY, HOME)),
        starts="2025-01-06 08:00 08:15 08:30 08:45x 09:00x 09:15x 09:30x 09:45x 10:00x 10:15x"
        " 10:30x 10:45 11:00 11:15 11:30",
    ),
    Example(
        "for a slot away, the ways to and from an appointment at home change places",
        hours=hours("Mon", "09:00-12:15", at=AWAY),
        services=(Service(30, step=15),),
        booked=(Booked("2025-01-06 10:00", "2025-01-06 10:30"),),
        travel=(travel(60), travel(15, AWAY, HOME)),
        at=AWAY,
        starts="2025-01-06 09:00 09:15 09:30x 09:45x 10:00x 10:15x 10:30x 10:45x 11:00x 11:15x"
        " 11:30 11:45",
    ),
    Example(
        "a row of no minutes is a row",
        services=(Service(30),),
        booked=AWAY_AT_TEN,
        travel=(travel(0), travel(60, AWAY, HOME)),
        starts="2025-01-06 09:00 09:30 10:00x 10:30x 11:00x 11:30",
    ),
    Example(
        "travel lies between buffers",
        hours=hours("Mon", "08:00-12:30"),
        services=(Service(30, before=10, after=20),),
        booked=(Booked("2025-01-06 10:00", service=0, at=AWAY),),
        travel=(travel(30),),
        # The claim is 09:50 to 10:50, so that claims at home end by 09:20 or begin from 11:20 on.
        starts="2025-01-06 08:00 08:30 09:00x 09:30x 10:00x 10:30x 11:00x 11:30 12:00",
    ),
    Example(
        "nobody travels between appointments at one place",
        booked=(Booked("2025-01-06 10:00", "2025-01-06 11:00"),),
        travel=(travel(30),),
        starts="2025-01-06 09:00 10:00x 11:00",
    ),
    Example(
        "nobody travels to busy times, cancelled appointments and those of others",
        services=(Service(30),),
        booked=(
            Booked("2025-01-06 09:00", "2025-01-06 09:30", at=AWAY, status="cancelled"),
            Booked("2025-01-06 11:00", "2025-01-06 11:30", at=AWAY, staff=BEN),
        ),
        busy=(busy("2025-01-06 10:00", "2025-01-06 10:30"),),
        travel=(travel(30),),
        starts="2025-01-06 09:00 09:30 10:00x 10:30 11:00 11:30",
    ),
    Example(
        "holds take no travel, because they expire by the clock",
        held=(Held("2025-01-06 10:00", expires="2025-01-06 00:10", at=AWAY),),
        travel=(travel(60),),
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "a class is not its own elsewhere",
        hours=hours("Mon", "08:00-13:00"),
        services=(Service(60, seats=3),),
        booked=(Booked("2025-01-06 10:00", service=0, at=AWAY),),
        travel=(travel(30),),
        starts="2025-01-06 08:00 09:00x 10:00x 11:00x 12:00",
    ),
    Example(
        "a class that someone attends is not free without the time to travel from it",
        services=(Service(60, seats=3),),
        booked=(
            Booked("2025-01-06 10:00", service=0),
            Booked("2025-01-06 11:15", "2025-01-06 12:00", at=AWAY),
        ),
        travel=(travel(30),),
        starts="2025-01-06 09:00 10:00x 11:00x",
    ),
    Example(
        "travel reaches into the next date",
        hours=hours("Tue", "00:00-02:00"),
        services=(Service(30),),
        booked=(Booked("2025-01-06 23:30", "2025-01-07 00:00", at=AWAY),),
        travel=(travel(45),),
        dates="2025-01-07",
        starts="2025-01-07 00:00x 00:30x 01:00 01:30",
    ),
    Example(
        "gapless: the end of the way back is an origin",
        alignment="gapless",
        services=(Service(30),),
        booked=AWAY_FIRST,
        travel=(travel(30),),
        starts="2025-01-06 09:00x 09:30x 09:50 10:20 10:50 11:20",
    ),
    Example(
        "gapless: the way from the appointment to the slot counts",
        alignment="gapless",
        services=(Service(30),),
        booked=AWAY_FIRST,
        travel=(travel(60), travel(15, AWAY, HOME)),
        starts="2025-01-06 09:00x 09:30x 09:35 10:05 10:35 11:05",
    ),
    Example(
        "gapless: buffer before comes after the travel",
        alignment="gapless",
        services=(Service(30, before=10),),
        booked=AWAY_FIRST,
        travel=(travel(35),),
        starts="2025-01-06 09:00x 09:30x 10:00x 10:05 10:35 11:05",
    ),
    Example(
        "gapless: what ends before the piece moves nothing, though its travel ends inside",
        alignment="gapless",
        services=(Service(30),),
        booked=(Booked("2025-01-06 08:00", "2025-01-06 08:50", at=AWAY),),
        travel=(travel(30),),
        starts="2025-01-06 09:00x 09:30 10:00 10:30 11:00 11:30",
    ),
    Example(
        "gapless: what ends inside the piece moves nothing when its travel ends beyond",
        alignment="gapless",
        services=(Service(30),),
        breaks=(pause("10:00-10:05"),),
        booked=(Booked("2025-01-06 09:20", "2025-01-06 09:40", at=AWAY),),
        travel=(travel(30),),
        starts="2025-01-06 09:00x 09:30x 10:05x 10:35 11:05",
    ),
    Example(
        "gapless: nobody travels from busy times and from appointments at the same place",
        alignment="gapless",
        services=(Service(30),),
        booked=(Booked("2025-01-06 10:50", "2025-01-06 11:00"),),
        busy=(busy("2025-01-06 09:00", "2025-01-06 09:20"),),
        travel=(travel(30),),
        starts="2025-01-06 09:00x 09:20 09:50 10:20 10:50x 11:00 11:30",
    ),
]

DAY_LIMITS = [
    Example(
        "a day of one appointment at most is full with one, at whatever time",
        hours=hours("Mon Tue", "09:00-12:00"),
        booked=(Booked("2025-01-06 20:00"),),
        most_per_day=1,
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 09:00o 10:00o 11:00o | 2025-01-07 09:00 10:00 11:00",
    ),
    Example(
        "a day of two at most has room beside one",
        booked=(Booked("2025-01-06 10:00", service=0),),
        most_per_day=2,
        starts="2025-01-06 09:00 10:00x 11:00",
    ),
    Example(
        "appointments by hand count one by one",
        booked=(Booked("2025-01-06 20:00"), Booked("2025-01-06 21:00")),
        most_per_day=2,
        starts="2025-01-06 09:00o 10:00o 11:00o",
    ),
    Example(
        "appointments at other places count",
        booked=(Booked("2025-01-06 20:00", at=AWAY),),
        most_per_day=1,
        starts="2025-01-06 09:00o 10:00o 11:00o",
    ),
    Example(
        "completed and missed appointments count",
        booked=(
            Booked("2025-01-06 20:00", status="completed"),
            Booked("2025-01-06 21:00", status="no_show"),
            Booked("2025-01-06 22:00", status="pending"),
        ),
        most_per_day=3,
        starts="2025-01-06 09:00o 10:00o 11:00o",
    ),
    Example(
        "cancelled appointments, those of others, busy times and holds do not count",
        booked=(
            Booked("2025-01-06 20:00", status="cancelled"),
            Booked("2025-01-06 21:00", staff=BEN),
        ),
        busy=(busy("2025-01-06 22:00", "2025-01-06 23:00"),),
        held=(Held("2025-01-06 10:00", expires="2025-01-06 00:10"),),
        most_per_day=1,
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "a person's limit does not bind others",
        hours=hours("Mon", "09:00-12:00", staff=BEN),
        booked=(Booked("2025-01-06 20:00", staff=BEN),),
        most_per_day=1,
        of=BEN,
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "all who attend one class count once",
        services=(Service(60, seats=3), Service(60)),
        booked=(Booked("2025-01-06 09:00", service=0), Booked("2025-01-06 09:00", service=0)),
        most_per_day=2,
        service=1,
        starts="2025-01-06 09:00x 10:00 11:00",
    ),
    Example(
        "two classes at different times are two",
        services=(Service(60, seats=3), Service(60)),
        booked=(Booked("2025-01-06 09:00", service=0), Booked("2025-01-06 10:00", service=0)),
        most_per_day=2,
        service=1,
        starts="2025-01-06 09:00x 10:00x 11:00o",
    ),
    Example(
        "a class that someone attends takes more on a full day, other classes do not begin",
        services=(Service(60, seats=3),),
        booked=(Booked("2025-01-06 09:00", service=0),),
        most_per_day=1,
        starts="2025-01-06 09:00 10:00o 11:00o",
    ),
    Example(
        "a slot over midnight needs room on both dates, one that ends at midnight on its own",
        hours=hours("Mon", "22:00-02:00"),
        services=(Service(60, step=30),),
        booked=(Booked("2025-01-07 12:00"),),
        most_per_day=1,
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 22:00 22:30 23:00 23:30o | 2025-01-07 00:00o 00:30o 01:00o",
    ),
    Example(
        "an appointment over midnight counts on both dates",
        hours=hours(EVERY_DAY, "09:00-10:00"),
        booked=(Booked("2025-01-06 23:00", "2025-01-07 01:00"),),
        most_per_day=1,
        dates="2025-01-06..2025-01-08",
        starts="2025-01-06 09:00o | 2025-01-07 09:00o | 2025-01-08 09:00",
    ),
    Example(
        "an appointment until midnight counts on its own date",
        hours=hours(EVERY_DAY, "09:00-10:00"),
        booked=(Booked("2025-01-06 23:00", "2025-01-07 00:00"),),
        most_per_day=1,
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 09:00o | 2025-01-07 09:00",
    ),
    Example(
        "buffers over midnight do not count",
        hours=hours(EVERY_DAY, "09:00-10:00"),
        services=(Service(60, after=60),),
        booked=(Booked("2025-01-06 22:30", service=0),),
        most_per_day=1,
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 09:00o | 2025-01-07 09:00",
    ),
    Example(
        "the day is that of the slot's place (21:00 on Monday is 02:00 UTC on Tuesday)",
        zone="America/New_York",
        hours=hours("Mon Tue", "09:00-10:00"),
        booked=(Booked("2025-01-07 02:00"),),
        most_per_day=1,
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 14:00o | 2025-01-07 14:00",
    ),
    Example(
        "the day is that of the slot's place for an appointment elsewhere, too",
        zone="America/New_York",
        away_zone="Asia/Kathmandu",
        hours=hours("Mon Tue", "09:00-10:00"),
        booked=(Booked("2025-01-07 02:00", at=AWAY),),
        most_per_day=1,
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 14:00o | 2025-01-07 14:00",
    ),
]

COMPACT = [
    Example(
        "a day without appointments offers all its starts",
        booked=(
            Booked("2025-01-06 20:00", status="cancelled"),
            Booked("2025-01-06 20:00", staff=BEN),
            Booked("2025-01-07 09:00"),
        ),
        busy=(busy("2025-01-06 20:00", "2025-01-06 21:00"),),
        held=(Held("2025-01-06 10:00", expires="2025-01-06 00:10"),),
        compact=True,
        starts="2025-01-06 09:00 10:00 11:00",
    ),
    Example(
        "of each run of free starts the first and the last are offered",
        hours=hours("Mon", "09:00-16:00"),
        booked=(Booked("2025-01-06 12:00"),),
        compact=True,
        starts="2025-01-06 09:00 10:00o 11:00 12:00x 13:00 14:00o 15:00",
    ),
    Example(
        "without a compact schedule all are",
        hours=hours("Mon", "09:00-16:00"),
        booked=(Booked("2025-01-06 12:00"),),
        starts="2025-01-06 09:00 10:00 11:00 12:00x 13:00 14:00 15:00",
    ),
    Example(
        "a run of one is offered",
        hours=hours("Mon", "09:00-14:00"),
        booked=(Booked("2025-01-06 10:00"),),
        busy=(busy("2025-01-06 12:00", "2025-01-06 13:00"),),
        compact=True,
        starts="2025-01-06 09:00 10:00x 11:00 12:00x 13:00",
    ),
    Example(
        "an appointment elsewhere makes a day compact",
        booked=(Booked("2025-01-06 20:00", at=AWAY),),
        compact=True,
        starts="2025-01-06 09:00 10:00o 11:00",
    ),
    Example(
        "a break does not end a run",
        hours=hours("Mon", "09:00-15:00"),
        breaks=(pause("11:00-12:00"),),
        booked=(Booked("2025-01-06 20:00"),),
        compact=True,
        starts="2025-01-06 09:00 10:00o 12:00o 13:00o 14:00",
    ),
    Example(
        "travel ends a run",
        hours=hours("Mon", "08:00-15:00"),
        booked=(Booked("2025-01-06 10:30", "2025-01-06 11:30", at=AWAY),),
        travel=(travel(30),),
        compact=True,
        starts="2025-01-06 08:00 09:00 10:00x 11:00x 12:00 13:00o 14:00",
    ),
    Example(
        "each service has its own runs",
        hours=hours("Mon", "09:00-13:00"),
        services=(Service(60), Service(30)),
        booked=(Booked("2025-01-06 10:00", service=0),),
        compact=True,
        service=1,
        starts="2025-01-06 09:00 09:30 10:00x 10:30x 11:00 11:30o 12:00o 12:30",
    ),
    Example(
        "each place has its own runs",
        hours=hours("Mon", "09:00-12:00") + hours("Mon", "12:00-15:00", at=AWAY),
        booked=(Booked("2025-01-06 20:00"),),
        compact=True,
        at=AWAY,
        starts="2025-01-06 12:00 13:00o 14:00",
    ),
    Example(
        "a run ends with the date, and the next date is not compact without an appointment",
        hours=hours("Mon", "20:00-24:00") + hours("Tue", "00:00-03:00"),
        booked=(Booked("2025-01-06 10:00"),),
        compact=True,
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 20:00 21:00o 22:00o 23:00 | 2025-01-07 00:00 01:00 02:00",
    ),
    Example(
        "an appointment over midnight makes both dates compact",
        hours=hours(EVERY_DAY, "09:00-12:00"),
        booked=(Booked("2025-01-06 23:00", "2025-01-07 01:00"),),
        compact=True,
        dates="2025-01-06..2025-01-08",
        starts="2025-01-06 09:00 10:00o 11:00 | 2025-01-07 09:00 10:00o 11:00"
        " | 2025-01-08 09:00 10:00 11:00",
    ),
    Example(
        "compact is the day at the slot's place (21:00 on Monday is 02:00 UTC on Tuesday)",
        zone="America/New_York",
        hours=hours("Mon Tue", "09:00-12:00"),
        booked=(Booked("2025-01-07 02:00"),),
        compact=True,
        dates="2025-01-06..2025-01-07",
        starts="2025-01-06 14:00 15:00o 16:00 | 2025-01-07 14:00 15:00 16:00",
    ),
    Example(
        "a class that someone attends is offered wherever it is in its run",
        hours=hours("Mon", "09:00-14:00"),
        services=(Service(60, seats=3),),
        booked=(Booked("2025-01-06 11:00", service=0),),
        compact=True,
        starts="2025-01-06 09:00 10:00o 11:00 12:00o 13:00",
    ),
    Example(
        "a full class ends a run",
        hours=hours("Mon", "08:00-15:00"),
        services=(Service(60, seats=2),),
        booked=(Booked("2025-01-06 11:00", service=0), Booked("2025-01-06 11:00", service=0)),
        compact=True,
        starts="2025-01-06 08:00 09:00o 10:00 11:00x 12:00 13:00o 14:00",
    ),
    Example(
        "a full day offers not even the ends of runs",
        booked=(Booked("2025-01-06 20:00"),),
        most_per_day=1,
        compact=True,
        starts="2025-01-06 09:00o 10:00o 11:00o",
    ),
    Example(
        "a start without room for it still counts in its run",
        hours=hours("Mon", "20:00-01:00"),
        services=(Service(60, step=30),),
        booked=(Booked("2025-01-06 10:00"), Booked("2025-01-07 12:00"), Booked("2025-01-07 13:00")),
        most_per_day=2,
        compact=True,
        dates="2025-01-06",
        starts="2025-01-06 20:00 20:30o 21:00o 21:30o 22:00o 22:30o 23:00o 23:30o",
    ),
]

EXAMPLES = [
    *WORKING_TIME,
    *BREAKS,
    *EXCEPTIONS,
    *CLOCK_CHANGES,
    *STARTS,
    *FIT_AND_FREE,
    *TRAVEL,
    *DAY_LIMITS,
    *COMPACT,
]

each_example = pytest.mark.parametrize(
    "example", EXAMPLES, ids=[example.sentence for example in EXAMPLES]
)


@each_example
def test_the_independent_calculator_gives_these_starts(example: Example) -> None:
    made_up = example.made_up()
    slots = reference.calculate_slots(
        made_up.calendar, example.of, made_up.from_date, made_up.to_date
    )
    assert _starts(example, slots) == example.starts


@each_example
def test_the_database_gives_these_starts(module_db: psycopg.Connection, example: Example) -> None:
    made_up = example.made_up()
    with module_db.transaction(force_rollback=True):
        insert(module_db, made_up)
        slots = database.calculated_slots(module_db, made_up, [example.of])
    assert _starts(example, slots) == example.starts


def _starts(example: Example, slots: list[reference.GridSlot]) -> str:
    return written(
        slot
        for slot in slots
        if (slot.location_id, slot.shape_id) == (example.at, shape_id(example.service))
    )


@dataclass(frozen=True)
class Bookable:
    """When the slot of that date at 09:00 local time away from home may be booked, three days being
    the horizon."""

    sentence: str
    service: Service
    until: str
    since: str | None = None
    away_zone: str | None = None
    date: str = "2025-01-10"


BOOKABLE = [
    Bookable("until the start", Service(60), until="2025-01-10 09:00"),
    Bookable("until the notice before it", Service(60, notice=90), until="2025-01-10 07:30"),
    Bookable(
        "from whole days of 24 hours before it",
        Service(60, advance_days=2),
        since="2025-01-08 09:00",
        until="2025-01-10 09:00",
    ),
    Bookable(
        "abroad not before the horizon of the place",
        Service(60),
        away_zone="America/New_York",
        since="2025-01-07 05:00",
        until="2025-01-10 14:00",
    ),
    Bookable(
        "abroad from the later of advance and horizon",
        Service(60, advance_days=2),
        away_zone="America/New_York",
        since="2025-01-08 14:00",
        until="2025-01-10 14:00",
    ),
    Bookable(
        "abroad from the first of two midnights (00:00 again at 05:00 UTC)",
        Service(60),
        away_zone="America/Havana",
        date="2025-11-05",
        since="2025-11-02 04:00",
        until="2025-11-05 14:00",
    ),
    Bookable(
        "abroad from the first instant of a date without midnight (01:00 at 05:00 UTC)",
        Service(60),
        away_zone="America/Havana",
        date="2025-03-12",
        since="2025-03-09 05:00",
        until="2025-03-12 13:00",
    ),
    Bookable(
        "elsewhere in the same zone as at home",
        Service(60),
        away_zone="UTC",
        until="2025-01-10 09:00",
    ),
]


def _bookable_example(case: Bookable) -> Example:
    return Example(
        case.sentence,
        at=AWAY,
        away_zone=case.away_zone,
        hours=hours(EVERY_DAY, "09:00-10:00", at=AWAY),
        services=(case.service,),
        dates=case.date,
        horizon_days=3,
        starts="",
    )


@pytest.mark.parametrize("case", BOOKABLE, ids=[case.sentence for case in BOOKABLE])
def test_a_slot_is_bookable(module_db: psycopg.Connection, case: Bookable) -> None:
    made_up = _bookable_example(case).made_up()
    expected = [(None if case.since is None else moment(case.since), moment(case.until))]
    independent = reference.calculate_slots(
        made_up.calendar, ANNA, made_up.from_date, made_up.to_date
    )
    assert [(slot.bookable_from, slot.bookable_until) for slot in independent] == expected
    with module_db.transaction(force_rollback=True):
        insert(module_db, made_up)
        calculated = database.calculated_slots(module_db, made_up, [ANNA])
    assert [(slot.bookable_from, slot.bookable_until) for slot in calculated] == expected


@dataclass(frozen=True)
class Published:
    """One published row of 2025-01-06 and its columns; a class has two seats, the way to the other
    place takes half an hour."""

    sentence: str
    start: str
    seats: int = 2
    booked: tuple[Booked, ...] = ()
    held: tuple[Held, ...] = ()
    most_per_day: int | None = None
    hours: str = "09:00-12:00"
    seats_left: int = 2
    is_available: bool = True
    reserved_until: str | None = None
    reserved_by: str | None = None


def _booked(time: str) -> Booked:
    return Booked(f"2025-01-06 {time}", service=0)


def _held(time: str, expires: str, session: str = "A", at: UUID = HOME) -> Held:
    return Held(f"2025-01-06 {time}", f"2025-01-06 {expires}", session=session, at=at)


PUBLISHED = [
    Published("a free class has all seats", "09:00"),
    Published(
        "attendees and holds take seats",
        "09:00",
        booked=(_booked("09:00"),),
        held=(_held("09:00", "00:10"),),
        seats_left=0,
        reserved_until="00:10",
        reserved_by="A",
    ),
    Published(
        "holds of a class bar nothing while seats are left",
        "09:00",
        held=(_held("09:00", "00:10"),),
        seats_left=1,
        reserved_by="A",
    ),
    Published(
        "a class that holds have filled is free when the first expires",
        "09:00",
        held=(_held("09:00", "00:10"), _held("09:00", "00:05", "B")),
        seats_left=0,
        reserved_until="00:05",
    ),
    Published(
        "a hold of another slot over the class bars it",
        "09:00",
        held=(_held("09:30", "00:10"),),
        reserved_until="00:10",
        reserved_by="A",
    ),
    Published(
        "a slot off the grid is kept for its hold, not available",
        "09:30",
        held=(_held("09:30", "00:10"),),
        seats_left=1,
        is_available=False,
        reserved_by="A",
    ),
    Published(
        "a single slot is barred until the last hold over it expires",
        "10:00",
        seats=1,
        held=(_held("09:30", "00:10"), _held("10:30", "00:05", "B")),
        seats_left=1,
        reserved_until="00:10",
    ),
    Published(
        "a hold that has expired counts until it is deleted",
        "09:00",
        seats=1,
        held=(_held("09:00", "00:00", "B"),),
        seats_left=0,
        reserved_until="00:00",
        reserved_by="B",
    ),
    Published(
        "a single slot off the grid is kept for its appointment",
        "09:30",
        seats=1,
        booked=(_booked("09:30"),),
        seats_left=0,
        is_available=False,
    ),
    Published(
        "a hold elsewhere bars a slot that leaves no time to travel",
        "09:00",
        seats=1,
        held=(_held("10:15", "00:10", at=AWAY),),
        seats_left=1,
        reserved_until="00:10",
        reserved_by="A",
    ),
    Published(
        "a hold elsewhere bars nothing that leaves time to travel",
        "09:00",
        seats=1,
        held=(_held("10:30", "00:10", at=AWAY),),
        seats_left=1,
    ),
    Published(
        "a hold at the same place bars nothing that it touches",
        "09:00",
        seats=1,
        held=(_held("10:00", "00:10"),),
        seats_left=1,
    ),
    Published(
        "a hold elsewhere is in the way of a class and of its own hold's session",
        "09:00",
        held=(_held("09:00", "00:05"), _held("10:15", "00:10", "B", at=AWAY)),
        seats_left=1,
        reserved_until="00:10",
    ),
    Published(
        "the one appointment of a day is held, so that others wait, whoever holds it",
        "09:00",
        seats=1,
        most_per_day=1,
        held=(_held("11:00", "00:10"),),
        seats_left=1,
        reserved_until="00:10",
    ),
    Published(
        "a hold elsewhere fills a day, too",
        "09:00",
        seats=1,
        most_per_day=1,
        held=(_held("20:00", "00:10", at=AWAY),),
        seats_left=1,
        reserved_until="00:10",
    ),
    Published(
        "one hold leaves room on a day of two",
        "09:00",
        seats=1,
        most_per_day=2,
        held=(_held("11:00", "00:10"),),
        seats_left=1,
    ),
    Published(
        "two holds fill a day of two until the first expires",
        "09:00",
        seats=1,
        most_per_day=2,
        held=(_held("10:00", "00:10"), _held("11:00", "00:05", "B")),
        seats_left=1,
        reserved_until="00:05",
    ),
    Published(
        "two holds fill what an appointment has left of a day of two until both expire",
        "09:00",
        seats=1,
        most_per_day=2,
        booked=(Booked("2025-01-06 20:00"),),
        held=(_held("10:00", "00:10"), _held("11:00", "00:05", "B")),
        seats_left=1,
        reserved_until="00:10",
    ),
    Published(
        "a hold bars nothing on a day that appointments have filled",
        "09:00",
        seats=1,
        most_per_day=1,
        booked=(Booked("2025-01-06 20:00"),),
        held=(_held("11:00", "00:10"),),
        seats_left=1,
        is_available=False,
    ),
    Published(
        "holds of another date leave room",
        "09:00",
        seats=1,
        most_per_day=1,
        held=(Held("2025-01-07 00:00", "2025-01-06 00:10"),),
        seats_left=1,
    ),
    Published(
        "holds of one class count once, until the last expires",
        "09:00",
        most_per_day=1,
        held=(_held("10:00", "00:10"), _held("10:00", "00:05", "B")),
        reserved_until="00:10",
    ),
    Published(
        "holds of one class count once, and leave room on a day of two",
        "09:00",
        most_per_day=2,
        held=(_held("10:00", "00:05"), _held("10:00", "00:10", "B")),
    ),
    Published(
        "a slot's own hold does not fill its day",
        "09:00",
        most_per_day=1,
        held=(_held("09:00", "00:10"),),
        seats_left=1,
        reserved_by="A",
    ),
    Published(
        "a class that someone attends takes more, whatever is held that day",
        "09:00",
        most_per_day=2,
        booked=(_booked("09:00"),),
        held=(_held("11:00", "00:10"),),
        seats_left=1,
    ),
    Published(
        "a slot over midnight waits for the holds of both its dates",
        "23:30",
        seats=1,
        most_per_day=1,
        hours="22:30-02:30",
        held=(Held("2025-01-07 00:30", "2025-01-06 00:10"),),
        seats_left=1,
        reserved_until="00:10",
    ),
    Published(
        "a hold over midnight fills both its dates",
        "09:00",
        seats=1,
        most_per_day=1,
        held=(Held("2025-01-05 23:30", "2025-01-06 00:10"),),
        seats_left=1,
        reserved_until="00:10",
    ),
    Published(
        "a kept slot is barred by the same rules",
        "09:30",
        seats=1,
        most_per_day=1,
        held=(_held("09:30", "00:05"), _held("11:00", "00:10", "B")),
        seats_left=0,
        is_available=False,
        reserved_until="00:10",
        reserved_by="A",
    ),
    Published(
        "a full day's slots are published, not available",
        "09:00",
        most_per_day=1,
        booked=(Booked("2025-01-06 20:00"),),
        is_available=False,
    ),
]


each_published = pytest.mark.parametrize(
    "case", PUBLISHED, ids=[case.sentence for case in PUBLISHED]
)


@each_published
def test_the_independent_calculator_publishes_seats_and_holds(case: Published) -> None:
    made_up = _published_example(case).made_up()
    rows = reference.published_slots(
        made_up.calendar, ANNA, made_up.now, made_up.materialized_until
    )
    assert _columns(rows, moment(f"2025-01-06 {case.start}")) == [_expected(case)]


@each_published
def test_the_database_publishes_seats_and_holds(
    module_db: psycopg.Connection, case: Published
) -> None:
    made_up = _published_example(case).made_up()
    with module_db.transaction(force_rollback=True):
        insert(module_db, made_up)
        rows = database.refreshed_slots(module_db, made_up, [ANNA])
    assert _columns(rows, moment(f"2025-01-06 {case.start}")) == [_expected(case)]


def _published_example(case: Published) -> Example:
    return Example(
        case.sentence,
        hours=hours("Mon", case.hours),
        services=(Service(60, seats=case.seats),),
        booked=case.booked,
        held=case.held,
        travel=(travel(30),),
        most_per_day=case.most_per_day,
        now="2025-01-06 00:01",
        starts="",
    )


def _expected(case: Published) -> tuple[object, ...]:
    return (
        case.seats_left,
        case.is_available,
        None if case.reserved_until is None else moment(f"2025-01-06 {case.reserved_until}"),
        None if case.reserved_by is None else case.reserved_by.encode() * 32,
    )


def _columns(slots: list[reference.PublishedSlot], start: datetime) -> list[tuple[object, ...]]:
    return [
        (slot.seats_left, slot.is_available, slot.reserved_until, slot.reserved_by_session)
        for slot in slots
        if slot.start_time == start
    ]


def test_only_a_single_slot_names_its_appointment() -> None:
    for seats, expected in ((1, True), (2, False)):
        made_up = Example(
            "", services=(Service(60, seats=seats),), booked=(_booked("09:00"),), starts=""
        ).made_up()
        rows = reference.published_slots(
            made_up.calendar, ANNA, made_up.now, made_up.materialized_until
        )
        named = [row.start_time for row in rows if row.appointment_id is not None]
        assert named == ([moment("2025-01-06 09:00")] if expected else [])


def test_rows_are_published_from_today_to_the_horizon() -> None:
    made_up = Example(
        "", hours=hours(EVERY_DAY, "09:00-10:00"), now="2025-01-06 12:00", horizon_days=2, starts=""
    ).made_up()
    rows = reference.published_slots(
        made_up.calendar, ANNA, made_up.now, made_up.materialized_until
    )
    assert written(rows) == ("2025-01-06 09:00 | 2025-01-07 09:00 | 2025-01-08 09:00")
    assert all(row.end_time - row.start_time == 60 * MINUTE for row in rows)


def test_later_dates_are_worked_out_up_to_the_horizon_of_each_place() -> None:
    """It is 2025-01-06 20:00 at home, 2025-01-07 05:00 in Tokyo, and there are rows to 01-07."""
    made_up = Example(
        "",
        away_zone="Asia/Tokyo",
        hours=hours(EVERY_DAY, "09:00-10:00") + hours(EVERY_DAY, "09:00-10:00", at=AWAY),
        now="2025-01-06 20:00",
        horizon_days=2,
        starts="",
    ).made_up()
    rows = reference.slots_beyond(
        made_up.calendar, ANNA, made_up.now, moment("2025-01-07 00:00").date()
    )
    assert written(row for row in rows if row.location_id == HOME) == "2025-01-08 09:00"
    assert written(row for row in rows if row.location_id == AWAY) == (
        "2025-01-08 00:00 | 2025-01-09 00:00"
    )


def test_later_dates_show_what_is_booked_and_held_there() -> None:
    made_up = Example(
        "",
        hours=hours(EVERY_DAY, "09:00-11:00"),
        booked=(
            Booked("2025-01-07 09:30", service=0),
            Booked("2025-01-08 09:30", service=0),
        ),
        held=(
            Held("2025-01-09 09:00", expires="2025-01-06 00:10"),
            Held("2025-01-10 09:00", expires="2025-01-06 00:10"),
        ),
        most_per_day=1,
        horizon_days=3,
        starts="",
    ).made_up()
    rows = reference.slots_beyond(
        made_up.calendar, ANNA, made_up.now, moment("2025-01-07 00:00").date()
    )
    assert written(rows) == "2025-01-08 09:00x 09:30x 10:00x | 2025-01-09 09:00 10:00"
    assert {row.start_time for row in rows if row.reserved_until is not None} == {
        moment("2025-01-09 09:00"),
        moment("2025-01-09 10:00"),
    }


def test_published_and_later_dates_are_together_all_dates_to_the_horizon() -> None:
    made_up = Example(
        "",
        hours=hours(EVERY_DAY, "22:00-02:00"),
        booked=(Booked("2025-01-07 23:00", service=0), Booked("2025-01-08 22:30", service=0)),
        held=(Held("2025-01-08 01:00", expires="2025-01-06 00:10"),),
        most_per_day=2,
        compact=True,
        horizon_days=4,
        starts="",
    ).made_up()
    horizon = made_up.materialized_until
    everything = reference.published_slots(made_up.calendar, ANNA, made_up.now, horizon)
    for days in range(6):
        last_day = horizon - days * (24 * 60 * MINUTE)
        published = reference.published_slots(made_up.calendar, ANNA, made_up.now, last_day)
        later = reference.slots_beyond(made_up.calendar, ANNA, made_up.now, last_day)
        assert sorted(published + later, key=lambda row: row.start_time) == everything


@dataclass(frozen=True)
class Settings:
    """The notice that the tenant asks for and what a service asks for itself, and when its slot of
    2025-01-10 09:00 may be booked."""

    sentence: str
    until: str
    since: str | None = None
    of_tenant: int = 120
    notice: int | None = None
    advance_days: int | None = None


SETTINGS = [
    Settings("the tenant's notice where the service has none", until="2025-01-10 07:00"),
    Settings("the service's longer notice", notice=1440, until="2025-01-09 09:00"),
    Settings("the service's shorter notice", notice=30, until="2025-01-10 08:30"),
    Settings("no notice where the service says so", notice=0, until="2025-01-10 09:00"),
    Settings(
        "the service's advance within the tenant's horizon",
        advance_days=2,
        since="2025-01-08 09:00",
        until="2025-01-10 07:00",
    ),
    Settings(
        "advance of no days with notice, which is never",
        advance_days=0,
        notice=1,
        since="2025-01-10 09:00",
        until="2025-01-10 08:59",
    ),
]


@pytest.mark.parametrize("seats", [1, 2])
@pytest.mark.parametrize("case", SETTINGS, ids=[case.sentence for case in SETTINGS])
def test_a_service_is_bookable_by_its_own_settings_before_the_tenants(
    module_db: psycopg.Connection, case: Settings, seats: int
) -> None:
    made_up = Example(
        case.sentence,
        hours=hours(EVERY_DAY, "09:00-10:00"),
        services=(Service(60, seats=seats),),
        dates="2025-01-10",
        starts="",
    ).made_up()
    expected = [(None if case.since is None else moment(case.since), moment(case.until))]
    with module_db.transaction(force_rollback=True):
        insert(module_db, made_up)
        module_db.execute("update booking.tenants set min_notice_minutes = %s", [case.of_tenant])
        module_db.execute(
            "update booking.appointment_types set min_notice_minutes = %s, max_advance_days = %s",
            [case.notice, case.advance_days],
        )
        calendar = reference.load_calendar(
            module_db, made_up.calendar.tenant.id, made_up.from_date, made_up.to_date
        )
        independent = reference.calculate_slots(calendar, ANNA, made_up.from_date, made_up.to_date)
        assert [(row.bookable_from, row.bookable_until) for row in independent] == expected
        calculated = database.calculated_slots(module_db, made_up, [ANNA])
        assert [(row.bookable_from, row.bookable_until) for row in calculated] == expected


def test_travel_times_limits_and_compact_schedules_are_read(module_db: psycopg.Connection) -> None:
    made_up = Example(
        "",
        booked=AWAY_AT_TEN,
        travel=(travel(60), travel(15, AWAY, HOME)),
        most_per_day=2,
        compact=True,
        starts="",
    ).made_up()
    with module_db.transaction(force_rollback=True):
        insert(module_db, made_up)
        calendar = reference.load_calendar(
            module_db, made_up.calendar.tenant.id, made_up.from_date, made_up.to_date
        )
    assert set(calendar.travel_times) == set(made_up.calendar.travel_times)
    assert set(calendar.staff) == set(made_up.calendar.staff)
    assert set(calendar.appointments) == set(made_up.calendar.appointments)


def test_endless_validity_and_the_last_year_are_read(module_db: psycopg.Connection) -> None:
    made_up = Example("", busy=(busy("2025-01-06 10:00", "2025-01-06 11:00"),), starts="").made_up()
    with module_db.transaction(force_rollback=True):
        insert(module_db, made_up)
        module_db.execute("set local session_replication_role = replica")
        module_db.execute(
            "update booking.working_hours set valid_from = '-infinity', valid_until = 'infinity'"
        )
        module_db.execute("update booking.busy_times set end_time = '9999-12-31 00:00+00'")
        calendar = reference.load_calendar(
            module_db, made_up.calendar.tenant.id, made_up.from_date, made_up.to_date
        )
    slots = reference.calculate_slots(calendar, ANNA, made_up.from_date, made_up.to_date)
    assert written(slots) == "2025-01-06 09:00 10:00x 11:00x"
