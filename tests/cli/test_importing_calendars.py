"""pgbooking import of iCalendar: what the file holds is what the database holds afterwards."""

from __future__ import annotations

import io
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pgbooking import calendar_events
from pgbooking.calendar_events import BadEvent, Events
from pgbooking.calendar_window import Window
from pgbooking.csv_file import Input
from pgbooking.errors import Problem
from tests.cli.conftest import SALON_NOW, Run, Write
from tests.salon import Salon

WINDOW = ("--from", "2026-03-27", "--until", "2026-03-31")  # clocks change on the 29th

LUNCH = """
BEGIN:VEVENT
UID:lunch
SUMMARY:Lunch\\, every day
DTSTART;TZID=Europe/Berlin:20260302T120000
DTEND;TZID=Europe/Berlin:20260302T123000
RRULE:FREQ=DAILY
EXDATE;TZID=Europe/Berlin:20260328T120000
BEGIN:VALARM
TRIGGER:-PT15M
ACTION:DISPLAY
END:VALARM
END:VEVENT
BEGIN:VEVENT
UID:lunch
RECURRENCE-ID;TZID=Europe/Berlin:20260330T120000
DTSTART;TZID=Europe/Berlin:20260330T140000
DTEND;TZID=Europe/Berlin:20260330T150000
END:VEVENT
"""
COURSE = """
BEGIN:VEVENT
UID:course
DTSTART;TZID=America/New_York:20260109T100000
DURATION:PT45M
RRULE:FREQ=WEEKLY;BYDAY=MO,FR
END:VEVENT
"""
AWAY = """
BEGIN:VEVENT
UID:away
DTSTART;VALUE=DATE:20260329
END:VEVENT
"""


def calendar(*events: str) -> str:
    """An iCalendar file of these."""
    return "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", *"".join(events).split("\n"), END])


END = "END:VCALENDAR\r\n"


def event(uid: str, *lines: str) -> str:
    """An event, with its properties."""
    return "\n".join(["", "BEGIN:VEVENT", f"UID:{uid}", *lines, "END:VEVENT", ""])


def busy(salon: Salon) -> list[str]:
    """Every busy time in UTC, as start/end."""
    return [
        f"{start.astimezone(UTC):%d %H:%M}/{end.astimezone(UTC):%d %H:%M}"
        for start, end in salon.db.execute(
            "select start_time, end_time from booking.busy_times order by 1, 2"
        ).fetchall()
    ]


def revisions(salon: Salon) -> list[Any]:
    """The versions of all calendars."""
    return salon.db.execute(
        "select staff_id, revision from booking.calendars order by 1"
    ).fetchall()


def test_recurrences_exceptions_and_whole_days_land_in_the_right_instants(
    run: Run, write: Write, salon: Salon
) -> None:
    file = write("ada.ics", calendar(LUNCH, COURSE, AWAY))
    command = ("import", "busy-times", file, "--tenant", salon.tenant, "--staff", "Ada", *WINDOW)
    report = run(*command, "--now", SALON_NOW, "--json").json
    assert busy(salon) == [
        "27 11:00/27 11:30",  # lunch, an hour later by UTC than after the change
        "27 14:00/27 14:45",  # the course: New York has changed its clocks already
        "28 23:00/29 22:00",  # away, for a day of 23 hours
        "29 10:00/29 10:30",
        "30 12:00/30 13:00",  # lunch, moved; on the 28th there is none
        "30 14:00/30 14:45",
        "31 10:00/31 10:30",
    ]
    assert (report["rows"], report["loaded"], report["rejected"]) == (7, 7, [])
    before = revisions(salon)
    again = run(*command, "--now", SALON_NOW, "--json").json
    assert (again["loaded"], again["already_there"], again["removed"]) == (0, 7, 0)
    assert revisions(salon) == before
    assert run("verify", "--independent", "--now", SALON_NOW).code == 0


def test_what_is_changed_or_vanished_follows_within_the_window_source_and_person(
    run: Run, write: Write, salon: Salon
) -> None:
    ben = salon.add_person("Ben")
    own = {"staff_id": salon.person, "start_time": "2026-03-28 08:00Z"}
    salon.insert("busy_times", **own, end_time="2026-03-28 08:30Z", source="ical")
    salon.insert(
        "busy_times", **own, end_time="2026-03-28 08:40Z", source="ical", external_id="till"
    )
    base = ("import", "busy-times", "--tenant", salon.tenant, "--now", SALON_NOW, "--json")
    ada = (*base, "--staff", "Ada", write("ada.ics", calendar(LUNCH, AWAY)))
    wide = ("--from", "2026-03-26", "--until", "2026-04-01")
    assert run(*ada, *wide).json["loaded"] == 7
    # The same event of another person is another busy time, and so is one of another source.
    for more in (("--staff", ben), ("--staff", "Ada", "--source", "google")):
        report = run(*base, *more, write("away.ics", calendar(AWAY)), *WINDOW).json
        assert (report["loaded"], report["removed"]) == (1, 0)
    # Lunch is later now, only on some days, and nobody is away.
    rule = "RRULE:FREQ=DAILY;UNTIL=20260330T215959Z"
    changed = LUNCH.replace("RRULE:FREQ=DAILY", rule).replace("T123000", "T130000")
    write("ada.ics", calendar(changed))
    report = run(*ada, *WINDOW).json
    counts = ("loaded", "changed", "removed", "already_there")
    assert [report[name] for name in counts] == [0, 2, 2, 1]
    assert busy(salon) == [
        "26 11:00/26 11:30",  # before the window
        "27 11:00/27 12:00",
        "28 08:00/28 08:30",  # not of a file
        "28 08:00/28 08:40",  # not of a calendar
        "28 23:00/29 22:00",  # Ben's
        "28 23:00/29 22:00",  # Ada's, by another source
        "29 10:00/29 11:00",
        "30 12:00/30 13:00",
        "01 10:00/01 10:30",  # after it
    ]
    said = run(*ada[:-3], "--staff", "Ada", write("ada.ics", calendar()), *WINDOW)
    assert said.code == 0
    assert len(busy(salon)) == 6
    assert salon.differences() == []


ODD = [
    event("utc", "DTSTART:20260327T080000Z", "DTEND:20260327T083000Z"),
    event("floating", "DTSTART:20260327T100000", "DURATION:PT30M"),
    event("skipped", "DTSTART:20260329T023000", "DTEND:20260329T040000"),
    event(
        "windows",
        'DTSTART;TZID="W. Europe Standard Time":20260327T110000',
        'DTEND;TZID="W. Europe Standard Time":20260327T113000',
    ),
    event("own", "DTSTART;TZID=Ours:20260327T120000", "DTEND;TZID=Ours:20260327T123000"),
    event("exact", "DTSTART;TZID=Europe/Berlin:20260329T010000", "DURATION:PT3H"),
    event("by the clock", "DTSTART;TZID=Europe/Berlin:20260328T200000", "DURATION:P1D"),
    event(
        "shifted",
        "DTSTART:20260327T150000Z",
        "DTEND:20260327T151000Z",
        "RRULE:FREQ=DAILY;COUNT=4",
        "RDATE;VALUE=PERIOD:20260327T170000Z/PT5M",
    ),
    event(
        "shifted",
        "RECURRENCE-ID;RANGE=THISANDFUTURE:20260329T150000Z",
        "DTSTART:20260329T160000Z",
        "DTEND:20260329T162000Z",
    ),
    event("free", "DTSTART:20260327T200000Z", "DTEND:20260327T210000Z", "TRANSP:TRANSPARENT"),
    event("off", "DTSTART:20260327T200000Z", "DTEND:20260327T210000Z", "STATUS:CANCELLED"),
    event("nothing", "DTSTART:20260327T200000Z", "DTEND:20260327T200000Z"),
    event("", "DTSTART:20260327T220000Z", "DTEND:20260327T221500Z").replace("UID:\n", ""),
    "\nX-WR-TIMEZONE:America/New_York\n",  # floating times are local ones all the same
    "\nBEGIN:VFREEBUSY\nFREEBUSY:20260327T200000Z/PT3H\nEND:VFREEBUSY\n",
]
OUR_ZONE = """
BEGIN:VTIMEZONE
TZID:Ours
BEGIN:STANDARD
DTSTART:19700101T000000
TZOFFSETFROM:-0330
TZOFFSETTO:-0330
END:STANDARD
END:VTIMEZONE
"""


def test_zones_durations_and_what_takes_no_time_are_read_as_they_are_meant(
    run: Run, salon: Salon, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(calendar(*ODD, OUR_ZONE).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    answer = run(
        "import", "busy-times", "-", "--tenant", salon.tenant, "--staff", "Ada", *WINDOW, "--json"
    )
    assert (answer.code, answer.json["file"]) == (0, "standard input")
    assert busy(salon) == [
        "27 08:00/27 08:30",
        "27 09:00/27 09:30",
        "27 10:00/27 10:30",
        "27 15:00/27 15:10",
        "27 15:30/27 16:00",  # of a zone that the file defines, after the event
        "27 17:00/27 17:05",
        "27 22:00/27 22:15",
        "28 15:00/28 15:10",
        "28 19:00/29 18:00",  # a day by the clock, 23 hours
        "29 00:00/29 03:00",  # three hours, by whatever clock
        "29 01:30/29 02:00",  # 02:30 does not exist
        "29 16:00/29 16:20",
        "30 16:00/30 16:20",
    ]
    assert [each["text"] for each in answer.json["notes"]] == [
        "start 2026-03-29T02:30:00 does not exist in Europe/Berlin, where clocks change; taken as "
        "2026-03-29 01:30 UTC",
        "UID 'nothing' takes no time",
        "VFREEBUSY is not read, only VEVENT",
    ]


def test_an_event_that_makes_no_sense_is_listed_the_rest_is_loaded_and_what_it_was_stays(
    run: Run, write: Write, salon: Salon
) -> None:
    command = ("import", "busy-times", "--tenant", salon.tenant, "--staff", "Ada", *WINDOW)
    assert run(*command, write("ada.ics", calendar(LUNCH, AWAY))).code == 0
    before = busy(salon)
    bad = [
        event("before", "DTSTART:20260327T080000Z", "DTEND:20260327T070000Z"),
        event("mars", "DTSTART;TZID=Mars/Sea:20260327T080000", "DTEND:20260327T090000"),
        event("lost", "DTEND:20260327T070000Z"),
        event("when", "DTSTART:yesterday", "DURATION:PT1H"),
        event("mixed", "DTSTART;VALUE=DATE:20260327", "DTEND:20260327T090000Z"),
        event("twice", "DTSTART:20260327T080000Z", "DTSTART:20260328T080000Z"),
        event("rule", "DTSTART:20260327T080000Z", "DURATION:PT1H", "RRULE:FREQ=SOMETIMES"),
        event("clock", "DTSTART:20260329T023000", "DTEND:20260329T030000"),
        event("away", "DTSTART;VALUE=DATE:20260399"),
        event("new", "DTSTART:20260327T080000Z", "DURATION:PT1H"),
        event("new", "DTSTART:20260327T090000Z", "DURATION:PT1H"),
        event("u" * 501, "DTSTART:20260327T080000Z", "DURATION:PT1H"),
    ]
    answer = run(*command, write("ada.ics", calendar(LUNCH, *bad)), "--json")
    assert answer.code == 1
    assert [
        (each["line"], each["value"][:9], each["reason"][:36]) for each in answer.json["rejected"]
    ] == [
        (23, "before", "ends before it starts"),
        (29, "mars", "DTSTART: there is no time zone 'Mars"),
        (35, "lost", "has no DTSTART"),
        (40, "when", "DTSTART cannot be read: Expected dat"),
        (46, "mixed", "DTSTART and DTEND are not of one kin"),
        (52, "twice", "has more than one DTSTART"),
        (58, "rule", "RRULE cannot be read: Expected frequ"),
        (65, "clock", "ends before it starts, for clocks ch"),
        (71, "away", "DTSTART cannot be read: Wrong date f"),
        (82, "new", "line 76 has this UID, too"),
        (88, "uuuuuuuuu", "its UID is longer than 500 character"),
    ]
    assert sorted([*before, "27 08:00/27 09:00"]) == busy(salon)
    shown = run(*command, write("ada.ics", calendar(LUNCH, bad[0])))
    assert "line 23: rejected: UID 'before': ends before it starts" in shown.out


def window(first: str = "2026-03-01", last: str = "2026-03-12") -> Window:
    """Some days in Berlin."""
    days = date.fromisoformat(first), date.fromisoformat(last)
    start, end = (datetime.fromisoformat(f"{day}T00:00+01:00") for day in days)
    return Window("Europe/Berlin", *days, start, end)


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=SECONDLY",
        "FREQ=SECONDLY;COUNT=1000000000",
        "FREQ=MINUTELY;INTERVAL=7",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;INTERVAL=0",
        "FREQ=YEARLY;BYHOUR=" + ",".join(map(str, range(24))) + ";BYYEARDAY=-1;BYMONTH=1",
    ],
)
def test_an_endless_or_absurd_rule_is_bounded_and_the_other_events_count(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendar_events, "MOST_OCCURRENCES", 100)
    times = ("DTSTART:20200302T080000Z", "DURATION:PT1S")
    absurd = event("absurd", *times, f"RRULE:{rule}")
    text = calendar(absurd, LUNCH)
    events = Events(Input("x.ics", text.encode()))
    assert len([*events.occurrences("lunch", window())]) == 12
    monkeypatch.setattr(calendar_events, "RULE_SECONDS", 0.05)
    began = time.process_time()
    (bad,) = events.occurrences("absurd", window())
    assert time.process_time() - began < 2
    assert isinstance(bad, BadEvent)
    assert (bad.line, bad.uid) == (4, "absurd")
    assert bad.reason.startswith("recurs too often")


def test_all_rules_of_a_file_share_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar_events, "MOST_OCCURRENCES", 30)
    events = Events(Input("x.ics", calendar(LUNCH, LUNCH.replace(":lunch", ":tea")).encode()))
    assert len([*events.occurrences("lunch", window())]) == 12
    events.occurrences_left = 5
    (bad,) = events.occurrences("tea", window())
    assert isinstance(bad, BadEvent)
    assert "more than 30 occurrences from 2026-03-01 to 2026-03-12" in bad.reason


BROKEN = {
    "x.ics:1: '', where BEGIN:VCALENDAR": b"",
    "x.ics:1: '<!DOCTYPE html>', where BEGIN:VCALENDAR": b"<!DOCTYPE html>",
    "x.ics:1: '\ufffdPNG', where": b"\x89PNG",
    "x.ics:2: 'just words' is no property": b"BEGIN:VCALENDAR\njust words\nEND:VCALENDAR",
    "x.ics:3: byte 10 of it is not UTF-8": b"BEGIN:VCALENDAR\r\nA:1\r\nSUMMARY:J\xfcrgen\r\n",
    "x.ics:2: there is a zero byte": b"BEGIN:VCALENDAR\nUID:\0\n",
    "x.ics:3: END:VCALENDAR, where END:VEVENT": b"BEGIN:VCALENDAR\nBEGIN:VEVENT\nEND:VCALENDAR",
    "x.ics:4: the file ends within VEVENT, which began on line 2": (
        b"BEGIN:VCALENDAR\nBEGIN:VEVENT\n\nUID:1\n 23\n"
    ),
    "x.ics:3: the file ends within VEVENT": b"BEGIN:VCALENDAR\n" + b"BEGIN:VEVENT\n" * 2,
    "x.ics:3: 'END:VCALENDAR', where BEGIN": b"BEGIN:VCALENDAR\nEND:VCALENDAR\nEND:VCALENDAR",
}


@pytest.mark.parametrize(("complaint", "content"), BROKEN.items())
def test_a_broken_file_names_the_line(complaint: str, content: bytes) -> None:
    with pytest.raises(Problem) as raised:
        Events(Input("x.ics", content))
    assert complaint in raised.value.message
    assert raised.value.exit_code == 2


NASTY = {
    b"\xff\xfe" + "BEGIN:VCALENDAR".encode("utf-16-le"): 2,
    bytes(range(256)) * 40: 2,
    calendar(LUNCH).replace("END:VEVENT", "").encode(): 2,
    ("BEGIN:VCALENDAR\n" + "BEGIN:VEVENT\n" * 20_000).encode(): 2,
    calendar(event("x", "DTSTART:20260303T080000Z", "DTEND:99999999T999999Z")).encode(): 1,
    calendar(event("x", "DTSTART:20260303T080000Z", "DURATION:P99999999999D")).encode(): 1,
    calendar(event("x", "DTSTART:20260303T080000Z", "DURATION:P9999999W")).encode(): 1,
    calendar(event("x", "DTSTART:00010101T000000Z", "DTEND:99991231T235959Z")).encode(): 1,
    calendar(event("x", "DTSTART:18991231T000000Z", "DTEND:20300101T000000Z")).encode(): 1,
    calendar(event("x", "DTSTART:20260101T000000Z", "DTEND:99991231T235959Z")).encode(): 1,
    calendar(
        event("x", "DTSTART;TZID=../../etc/passwd:20260303T080000", "DURATION:PT1H")
    ).encode(): 1,
    calendar(event("x", 'DTSTART;TZID=";":20260303T080000', "DURATION:PT1H", "RDATE:")).encode(): 1,
    calendar(
        event("x", "DTSTART:20260303T080000Z", "DURATION:PT1H", "RRULE:FREQ=DAILY;BYDAY=MOON")
    ).encode(): 1,
    calendar(
        event(
            "x", "DTSTART:20260303T080000Z", "DURATION:PT1S", "RRULE:FREQ=SECONDLY;COUNT=1000000000"
        )
    ).encode(): 1,
    calendar(
        event("x", "DESCRIPTION:" + "x" * 2_000_000, "DTSTART:20260303T080000Z", "DURATION:PT1H")
    ).encode(): 0,
    calendar(event("x" * 1_000_000, "DTSTART:20260303T080000Z", "DURATION:PT1H")).encode(): 1,
}


def test_nasty_files_are_one_sentence_or_one_bad_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calendar_events, "RULE_SECONDS", 0.05)
    for content, code in NASTY.items():
        try:
            events = Events(Input("nasty.ics", content))
        except Problem as problem:
            assert (code, len(problem.message) < 150) == (2, True)
            continue
        found = [
            *events.bad,
            *(each for uid in events.series for each in events.occurrences(uid, window())),
        ]
        assert [isinstance(each, BadEvent) for each in found] == [code == 1]


def test_nasty_files_reach_the_user_without_a_traceback(
    module_run: Run, shared_salon: Salon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendar_events, "RULE_SECONDS", 0.2)
    file = tmp_path / "nasty.ics"
    who = ("--tenant", shared_salon.tenant, "--staff", "Ada", "--now", SALON_NOW)
    for number, code in ((1, 2), (13, 1), (15, 1)):
        file.write_bytes([*NASTY][number])
        answer = module_run("import", "busy-times", file, *who)
        assert answer.code == code
        assert answer.err.count("\n") == int(code == 2)
        assert len(answer.out) < 1500
    assert busy(shared_salon) == []


def test_a_broken_file_changes_nothing_and_what_does_not_fit_is_exit_code_2(
    module_run: Run, shared_salon: Salon, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = busy(shared_salon)
    whole, broken = write("ada.ics", calendar(AWAY)), write("b.ics", calendar(AWAY)[:-5])
    tenant = ("--tenant", shared_salon.tenant)
    for complaint, arguments in {
        "b.ics:9: END:VCALEN, where END:VCALENDAR": ("busy-times", broken, "--staff", "Ada"),
        "need --staff": ("busy-times", whole),
        "busy-times or holidays": ("appointments", whole),
        "no staff member 'Eve'": ("holidays", whole, "--staff", "Eve"),
        "--location 'Nord': there is none": ("holidays", whole, "--location", "Nord"),
        "is before the first": ("holidays", whole, "--until", "2020-01-01"),
        "not between the years 1901": ("holidays", whole, "--from", "0001-01-01"),
        "for iCalendar only": ("staff", write("s.csv", "name\nEve\n"), "--staff", "Ada"),
        "Holidays are read from iCalendar only": ("holidays", write("s.csv", "name\nEve\n")),
    }.items():
        answer = module_run("import", *arguments, *tenant)
        assert (answer.code, complaint in " ".join(answer.err.split())) == (2, True), answer.err
    monkeypatch.setitem(sys.modules, "recurring_ical_events", None)
    answer = module_run("import", "busy-times", whole, "--staff", "Ada", *tenant)
    assert (answer.code, "pip install 'pgbooking[calendars]'" in answer.err) == (2, True)
    assert busy(shared_salon) == before


HOLIDAYS = [
    event("easter", "DTSTART;VALUE=DATE:20260303", "DTEND;VALUE=DATE:20260305", "SUMMARY:Easter"),
    event("fair", "DTSTART:20260305T140000Z", "DTEND:20260305T153030Z", "TRANSP:TRANSPARENT"),
    event("move", "DTSTART:20260306T120000", "DTEND:20260309T100000"),
    event("night", "DTSTART:20260310T220000", "DTEND:20260311T000000"),
    event("off", "DTSTART;VALUE=DATE:20260311", "STATUS:CANCELLED"),
]


def test_holidays_are_closed_days_or_hours_of_everyone_or_of_one_at_one_place(
    run: Run, write: Write, salon: Salon
) -> None:
    command = ("import", "holidays", "--tenant", salon.tenant, "--now", SALON_NOW, "--json")
    file = write("holidays.ics", calendar(*HOLIDAYS))
    assert run(*command, file).json["loaded"] == 6
    one = ("--staff", "Ada", "--location", "Mitte")
    assert run(*command, file, *one).json["loaded"] == 6
    assert closed(salon, "staff_id is null and location_id is null") == [
        ("2026-03-03", "2026-03-04", None, None, "Easter"),
        ("2026-03-05", "2026-03-05", "15:00:00", "16:31:00", None),
        ("2026-03-06", "2026-03-06", "12:00:00", "24:00:00", None),
        ("2026-03-07", "2026-03-08", None, None, None),
        ("2026-03-09", "2026-03-09", "00:00:00", "10:00:00", None),
        ("2026-03-10", "2026-03-10", "22:00:00", "24:00:00", None),
    ]
    before = revisions(salon)
    assert run(*command, file).json["already_there"] == 6
    assert revisions(salon) == before
    write("holidays.ics", calendar(HOLIDAYS[0].replace("Easter", "Spring"), HOLIDAYS[1]))
    report = run(*command, file).json
    assert [report[each] for each in ("changed", "removed", "already_there")] == [1, 4, 1]
    assert [row[-1] for row in closed(salon, "staff_id is null")] == ["Spring", None]
    assert len(closed(salon, "staff_id is not null and location_id is not null")) == 6
    assert run("verify", "--independent", "--now", SALON_NOW).code == 0


def closed(salon: Salon, where: str) -> list[tuple[Any, ...]]:
    """Dates, times and notes of what is closed."""
    return salon.db.execute(
        "select first_date::text, last_date::text, start_time::text, end_time::text, note"
        f" from booking.schedule_exceptions where kind = 'closed' and {where} order by 1".encode()
    ).fetchall()
