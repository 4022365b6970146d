"""iCalendar files (RFC 5545), taken apart into events and time zones with their lines.

Libraries read on from there, but do not know lines, by which whatever is broken must be told. A
damaged file cannot be used at all: what is missing from it would seem to have been taken out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from pgbooking.csv_file import Input
from pgbooking.errors import EXIT_USAGE, Problem

BEGINNING = b"BEGIN:VCALENDAR"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
NAME = re.compile(r"[A-Za-z0-9-]+(?=[;:])")

# What says when an event happens. Everything else of it, alarms and all, is left out.
WHEN = {"DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "SEQUENCE"}
PROPERTIES = WHEN | {"UID", "STATUS", "SUMMARY", "TRANSP"}


def is_calendar(read: Input) -> bool:
    """Whether it is called like an iCalendar file, or begins like one."""
    return read.name.lower().endswith(".ics") or _begins(read)


@dataclass
class Component:
    """What stands between BEGIN and END; `line` is that of BEGIN."""

    name: str
    line: int
    lines: list[str] = field(default_factory=list)

    @property
    def framed(self) -> list[str]:
        """Its lines from BEGIN to END, unfolded."""
        return [f"BEGIN:{self.name}", *self.lines, f"END:{self.name}"]

    @property
    def text(self) -> str:
        """The same as a text."""
        return "\r\n".join([*self.framed, ""])

    @property
    def uid(self) -> str:
        """The event's UID or, where it has none, one of what it says."""
        for line in self.lines:
            name, _, value = line.partition(":")
            if name.partition(";")[0].upper() == "UID" and value.strip():
                return value.strip()
        return hashlib.sha256(self.text.encode()).hexdigest()[:32]


def components(read: Input) -> Iterator[Component]:
    """What a calendar consists of: VEVENT, VTIMEZONE and others.

    Raises Problem (exit code 2) that names the line, where the file is damaged.
    """
    if not _begins(read):
        first = read.content[:24].decode(errors="replace")
        raise _broken(read, 1, f"{first!r}, where BEGIN:VCALENDAR was expected")
    stack: list[Component] = []
    number = 0
    for number, line in _content_lines(read):
        name, _, value = line.partition(":")
        name, value = name.upper(), value.strip().upper()
        if not stack and (name, value) != ("BEGIN", "VCALENDAR"):
            raise _broken(read, number, f"{line[:40]!r}, where BEGIN:VCALENDAR was expected")
        if name == "BEGIN":
            stack.append(Component(value, number))
        elif name == "END":
            ended = stack.pop()
            if value != ended.name:
                raise _broken(
                    read,
                    number,
                    f"END:{value[:40]}, where END:{ended.name} was expected, which began on line "
                    f"{ended.line}",
                )
            if len(stack) == 1:
                yield ended
            elif len(stack) == 2 and stack[-1].name == "VTIMEZONE":
                stack[-1].lines += ended.framed
        elif stack[-1].name != "VEVENT" or _name(line) in PROPERTIES:
            stack[-1].lines.append(line)
    if stack:
        last = stack[-1]
        raise _broken(
            read, number, f"the file ends within {last.name}, which began on line {last.line}"
        )


def _begins(read: Input) -> bool:
    begins = read.content.removeprefix(BYTE_ORDER_MARK).lstrip()[: len(BEGINNING)]
    return begins.upper() == BEGINNING


def _content_lines(read: Input) -> Iterator[tuple[int, str]]:
    """Lines, unfolded: one that begins with a blank goes on where the one before ended."""
    # Folding counts bytes and may cut a letter in two: lines are put together before they are read.
    begun, parts = 0, [b""]
    for number, each in enumerate(read.content.removeprefix(BYTE_ORDER_MARK).split(b"\n"), start=1):
        line = each.removesuffix(b"\r")
        if line[:1] in (b" ", b"\t") and begun:
            parts.append(line[1:])
            continue
        yield from _decoded(read, begun, b"".join(parts))
        begun, parts = number, [line]
    yield from _decoded(read, begun, b"".join(parts))


def _decoded(read: Input, number: int, line: bytes) -> Iterator[tuple[int, str]]:
    if not line.strip():
        return
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise _broken(read, number, f"byte {error.start + 1} of it is not UTF-8") from None
    if "\0" in text:
        raise _broken(read, number, "there is a zero byte in it")
    if not _name(text) or ":" not in text:
        raise _broken(read, number, f"{text[:40]!r} is no property with a value")
    yield number, text


def _name(line: str) -> str | None:
    found = NAME.match(line)
    return found and found[0].upper()


def _broken(read: Input, number: int, what: str) -> Problem:
    return Problem(f"{read.name}:{number}: {what}.", None, EXIT_USAGE)
