"""When the events of an iCalendar file happen, within a window of days.

Each event is read by the library icalendar, and recurrences are worked out by
recurring-ical-events. An event that makes no sense is told, with its line, and the others count.
Rules may be endless or absurd, so the number of occurrences and the time it takes are bounded.
"""

from __future__ import annotations

import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

from pgbooking.calendar_file import Component, components
from pgbooking.calendar_window import Window
from pgbooking.csv_file import Input
from pgbooking.errors import EXIT_USAGE, Problem

Event = Any
"""An icalendar.Event: a property of one is of any of thirty types."""

MOST_OCCURRENCES = 10_000
"""Of a file, within the window. Nobody is as busy, but FREQ=SECONDLY would be."""

RULE_SECONDS = 2.0
ALL_RULES_SECONDS = 20.0
"""Of processor time, for one rule and for all rules of a file."""

FIRST_YEAR, LAST_YEAR = 1900, 9998
"""What the database takes, whatever the time zone."""

LONGEST_UID = 500
"""Characters: it becomes part of a key in an index. RFC 7986 advises 255 at the most."""

DATES = ("DTSTART", "DTEND", "RECURRENCE-ID", "RDATE", "EXDATE")
LISTS = ("RDATE", "EXDATE")
ONCE = ("DTSTART", "DTEND", "DURATION", "RECURRENCE-ID", "SEQUENCE", "STATUS", "TRANSP", "UID")
RECURS = ("RRULE", "RDATE", "RECURRENCE-ID")
LINE = "X-PGBOOKING-LINE"
DURATION = "X-PGBOOKING-DURATION"


@dataclass(frozen=True)
class Occurrence:
    """One time at which an event happens.

    Start and end are both dates, the end exclusive, or both times: local ones where they have no
    time zone. `duration` is given where the file tells one in hours and no end. `id` is the UID
    and, where the event recurs, the occurrence's own start.
    """

    line: int
    uid: str
    id: str
    summary: str
    start: date
    end: date
    duration: timedelta | None
    is_transparent: bool


@dataclass(frozen=True)
class BadEvent:
    """An event that makes no sense or, where `is_harmless`, that takes no time."""

    line: int
    uid: str
    reason: str
    is_harmless: bool = False


class Events:
    """The events of a file. Raises Problem (exit code 2) where it is damaged, with the line.

    `series` has those of one UID together: an event and what replaces one of its occurrences.
    `ignored` has the other things that may take time, by name, with their lines.
    """

    def __init__(self, read: Input) -> None:
        self.bad: list[BadEvent] = []
        self.series: dict[str, list[Event]] = {}
        self.ignored: dict[str, int] = {}
        self.occurrences_left = MOST_OCCURRENCES
        self.seconds_left = ALL_RULES_SECONDS
        need_libraries()
        with warnings.catch_warnings():
            # Of names of time zones that are guessed, and guessed well.
            warnings.simplefilter("ignore")
            self._read([*components(read)])
        for uid, events in self.series.items():
            self._leave_one_original(uid, events)

    def _read(self, parts: list[Component]) -> None:
        import icalendar

        for part in parts:
            if part.name == "VTIMEZONE":
                # Where one cannot be read its name is unknown, and its events say so.
                with suppress(Exception), self._limited():
                    icalendar.Timezone.from_ical(part.text)
            elif part.name != "VEVENT":
                self.ignored.setdefault(part.name, part.line)
        for part in parts:
            if part.name == "VEVENT":
                try:
                    self.series.setdefault(part.uid, []).append(_event(part))
                except _NotUnderstoodError as error:
                    uid = part.uid[:LONGEST_UID]
                    self.bad.append(BadEvent(part.line, uid, str(error), error.is_harmless))

    def _leave_one_original(self, uid: str, events: list[Event]) -> None:
        """Of events that replace nothing the newest counts; of equally new ones the first."""
        originals = [event for event in events if "RECURRENCE-ID" not in event]
        newest = max(originals, key=_sequence, default=None)
        for event in originals:
            if newest is None or event is newest:
                continue
            events[:] = [each for each in events if each is not event]
            if _sequence(event) == _sequence(newest):
                reason = f"line {newest[LINE]} has this UID, too"
                self.bad.append(BadEvent(event[LINE], uid, reason))

    def occurrences(self, uid: str, window: Window) -> Iterator[Occurrence | BadEvent]:
        """When the events of a UID happen in the window, or within a day of it.

        By RRULE, RDATE and EXDATE, and what replaces an occurrence (THISANDFUTURE, too).
        """
        events = self.series[uid]
        if not events:
            return
        line = events[0][LINE]
        try:
            with self._limited():
                found = _expanded(events, window)
        except _TooLongError:
            yield BadEvent(line, uid, "recurs too often: it takes too long to find out when")
            return
        except Exception as error:  # Of what makes no sense, the libraries raise anything.
            yield BadEvent(line, uid, f"cannot be worked out: {error}")
            return
        if len(found) > self.occurrences_left:
            reason = (
                f"recurs too often: with it there would be more than {MOST_OCCURRENCES:,} "
                f"occurrences from {window.first_date} to {window.last_date}"
            )
            yield BadEvent(line, uid, reason)
            return
        self.occurrences_left -= len(found)
        recurs = any(name in event for event in events for name in RECURS)
        for each in found:
            if each["DTSTART"].dt.year < FIRST_YEAR or each["DTEND"].dt.year > LAST_YEAR:
                reason = f"lies outside the years {FIRST_YEAR} to {LAST_YEAR}"
                yield BadEvent(each[LINE], uid, reason)
            elif _text(each, "STATUS") != "CANCELLED":
                yield _occurrence(uid, each, recurs=recurs)

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """Raises _TooLongError after RULE_SECONDS, or when the file has no seconds left.

        A rule that never fits a date is searched until the year 9999, within one call.
        """

        def too_long(_number: int, _frame: FrameType | None) -> None:
            raise _TooLongError

        begun = time.process_time()
        before = signal.signal(signal.SIGVTALRM, too_long)
        signal.setitimer(signal.ITIMER_VIRTUAL, max(0.01, min(RULE_SECONDS, self.seconds_left)))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)
            self.seconds_left -= time.process_time() - begun


class _NotUnderstoodError(Exception):
    def __init__(self, reason: str, *, is_harmless: bool = False) -> None:
        super().__init__(reason)
        self.is_harmless = is_harmless


class _TooLongError(Exception):
    pass


def need_libraries() -> None:
    """Raise Problem (exit code 2) where the extra `calendars` is not installed."""
    try:
        import icalendar  # noqa: F401
        import recurring_ical_events  # noqa: F401
    except ImportError:
        raise Problem(
            "iCalendar needs packages that are not installed.",
            "pip install 'pgbooking[calendars]'",
            EXIT_USAGE,
        ) from None


def _event(part: Component) -> Event:
    """The event, with its line. Raises _NotUnderstoodError."""
    import icalendar

    if len(part.uid) > LONGEST_UID:
        raise _NotUnderstoodError(f"its UID is longer than {LONGEST_UID} characters")
    try:
        event: Event = icalendar.Event.from_ical(part.text)
    except Exception as error:
        raise _NotUnderstoodError(f"cannot be read: {error}") from None
    for name, what in event.errors:
        raise _NotUnderstoodError(f"{name or 'a line'} cannot be read: {what}")
    for name in ONCE:
        if isinstance(event.get(name), list):
            raise _NotUnderstoodError(f"has more than one {name}")
    if "DTSTART" not in event:
        raise _NotUnderstoodError("has no DTSTART")
    for name in DATES:
        _check_kind(event, name, (date, tuple) if name in LISTS else date)
        _check_zone(event, name)
    _check_kind(event, "DURATION", timedelta)
    if not isinstance(event.get("SEQUENCE", 0), int):
        raise _NotUnderstoodError("SEQUENCE is not a number")
    _check_length(event)
    event[LINE] = part.line
    if "DURATION" in event and "DTEND" not in event and event["DURATION"].dt.seconds:
        event[DURATION] = event["DURATION"].dt
    return event


def _check_kind(event: Event, name: str, kind: type | tuple[type, ...]) -> None:
    """The parameter VALUE makes anything of any property."""
    values = event.get(name, [])
    for value in values if isinstance(values, list) else [values]:
        parts = getattr(value, "dts", [value])
        if not all(isinstance(getattr(each, "dt", None), kind) for each in parts):
            what = "a length of time" if kind is timedelta else "a date or a time"
            raise _NotUnderstoodError(f"{name} is not {what}")


def _check_zone(event: Event, name: str) -> None:
    """icalendar takes what is in a zone that it does not know for a local time."""
    values = event.get(name, [])
    for value in values if isinstance(values, list) else [values]:
        zone = value.params.get("TZID")
        times = [each.dt for each in getattr(value, "dts", [value])]
        starts = [each[0] if isinstance(each, tuple) else each for each in times]
        if zone and any(isinstance(each, datetime) and each.tzinfo is None for each in starts):
            raise _NotUnderstoodError(f"{name}: there is no time zone {zone!r}")


def _check_length(event: Event) -> None:
    start = event["DTSTART"].dt
    if "DTEND" in event:
        end = event["DTEND"].dt
        if type(end) is not type(start) or (_zone(end) is None) != (_zone(start) is None):
            raise _NotUnderstoodError("DTSTART and DTEND are not of one kind")
        length = end - start
    elif "DURATION" in event:
        length = event["DURATION"].dt
    else:
        length = timedelta(days=0 if isinstance(start, datetime) else 1)
    if length < timedelta():
        raise _NotUnderstoodError("ends before it starts")
    if not length:
        raise _NotUnderstoodError("takes no time", is_harmless=True)


def _zone(moment: date) -> Any:
    return getattr(moment, "tzinfo", None)


def _sequence(event: Event) -> int:
    return int(event.get("SEQUENCE", 0))


def _text(event: Event, name: str) -> str:
    return str(event.get(name, "")).strip().upper()


def _expanded(events: list[Event], window: Window) -> list[Event]:
    import icalendar
    import recurring_ical_events

    calendar = icalendar.Calendar()
    for event in events:
        calendar.add_component(event)
    # Python reads local times that clock changes make odd otherwise than PostgreSQL does, and
    # other zones have other days: what lies outside after all is left out later.
    zone, day = ZoneInfo(window.time_zone), timedelta(days=1)
    first = datetime.combine(window.first_date - day, datetime.min.time(), zone)
    last = datetime.combine(window.last_date + 2 * day, datetime.min.time(), zone)
    found: list[Event] = recurring_ical_events.of(calendar).between(first, last)
    return found


def _occurrence(uid: str, event: Event, *, recurs: bool) -> Occurrence:
    start, end = event["DTSTART"].dt, event["DTEND"].dt
    # What comes of THISANDFUTURE has, each of it, the RECURRENCE-ID with which that begins.
    replaced = event["RECURRENCE-ID"]
    own_start = start if "RANGE" in replaced.params else replaced.dt
    duration = event.get(DURATION)
    if duration != end - start:  # RDATE may give an occurrence another period.
        duration = None
    return Occurrence(
        line=event[LINE],
        uid=uid,
        id=f"{uid}/{_stamp(own_start)}" if recurs else uid,
        summary=str(event.get("SUMMARY", "")).strip(),
        start=start,
        end=end,
        duration=duration,
        is_transparent=_text(event, "TRANSP") == "TRANSPARENT",
    )


def _stamp(moment: date) -> str:
    """A date or a time on the clocks of its zone, of which an event has but one."""
    if not isinstance(moment, datetime):
        return moment.isoformat()
    is_utc = str(moment.tzinfo) == "UTC"
    return moment.replace(tzinfo=None).isoformat() + ("Z" if is_utc else "")
