"""Changes bytes: a few at random, or a date, number, zone or cell into one that makes trouble."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence

from tests.rls.hostile import ODD

DATE = re.compile(rb"\d{4}-?\d{2}-?\d{2}|\d{2}/\d{2}/\d{4}")
CLOCK = re.compile(rb"\d{1,2}:\d{2}(?::\d{2})?|(?<=T)\d{6}Z?")
NUMBER = re.compile(rb"-?\d+")
WORD = re.compile(rb"[A-Za-z_][A-Za-z_0-9/]*")
CELL = re.compile(rb"[^,;:=\r\n]+")

DATES = [
    "0001-01-01", "9999-12-31", "10000-01-01", "0000-00-00", "1899-12-31", "1900-01-01",
    "2026-02-29", "2024-02-29", "2026-03-29", "2026-10-25", "00010101", "99991231", "99981231",
    "19000101", "20260329", "20261025", "294276-12-31", "4714-11-24", "2026-W10-2", "2026-061",
    "12/31/9999", "02/30/2026", "infinity", "-infinity", "epoch", "now", "today",
    "2026-03-03T10:00", "20260303T100000Z",
]  # fmt: skip
CLOCKS = [
    "24:00", "24:00:00", "00:00", "23:59:59.999999", "25:00", "-1:00", "9:5", "12:00:60", "02:30",
    "10:00+99:00", "10:00+14:00", "10:00-12:00", "10:00Z", "240000", "000000Z", "235960", "023000",
    "10:00+00:00:01",
]  # fmt: skip
NUMBERS = [
    "0", "-1", "1", "1440", "1441", "32767", "32768", "2147483647", "2147483648",
    "9223372036854775808", "1e400", "1.5", "0x1F", "1_000", "NaN", "inf",
    "999999999999999999999999999999", "-2147483649", "0000000000", "9" * 5000, "\u0661\u0662",
]  # fmt: skip
ZONES = [
    "Europe/Berlin", "Europe/Atlantis", "UTC", "GMT+25", "Pacific/Kiritimati", "Pacific/Apia",
    "EST5EDT", "America/New_York", "Africa/Monrovia", "Antarctica/Troll", "localtime",
    "../../etc/passwd", "W. Europe Standard Time", "Asia/Kathmandu",
]  # fmt: skip
RAW = [
    b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xfe\xff", b"\r", b"\r\n", b"\n",
    b"\n\n\n", b"\x1a", b"\x1b[31m", b"\x85", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\x0b", b"\x1c",
    b'"', b'""', b"'", b"'''", b"\\", b"\\u0000", b"\\ud800", b",", b";", b":", b"=", b"\t", b"%",
    b"$", b"{}", b"[]", b"[[", b"]", b"#", b".", b"--", b"/*",
]  # fmt: skip
ODD_TEXTS = [
    text if isinstance(text, str) else json.dumps(text)
    for text in map(json.loads, (each for each in ODD if "\\u0000" not in each))
]

Change = Callable[[random.Random, bytes], bytes]


def mutated(random_: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """One to four changes; sometimes the rest of another file behind the beginning of this one."""
    for _ in range(random_.choice([1, 1, 1, 2, 3, 4])):
        if random_.random() < 0.07:
            content = _spliced(random_, content, random_.choice(others))
        else:
            content = random_.choice(CHANGES)(random_, content)
    return content


def _spliced(random_: random.Random, content: bytes, other: bytes) -> bytes:
    if random_.random() < 0.5:
        mine, others = content.split(b"\n"), other.split(b"\n")
        cut = random_.randrange(len(mine) + 1)
        return b"\n".join([*mine[:cut], *others[random_.randrange(len(others)) :]])
    return content[: random_.randrange(len(content) + 1)] + other[_place(random_, other) :]


def _place(random_: random.Random, content: bytes) -> int:
    return random_.randrange(len(content) + 1)


def _flip(random_: random.Random, content: bytes) -> bytes:
    if not content:
        return content
    at = random_.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << random_.randrange(8)]) + content[at + 1 :]


def _insert(random_: random.Random, content: bytes) -> bytes:
    at = _place(random_, content)
    added = random_.choice(RAW) if random_.random() < 0.8 else random_.randbytes(3)
    return content[:at] + added + content[at:]


def _at_the_beginning(random_: random.Random, content: bytes) -> bytes:
    return random_.choice(RAW) + content


def _delete(random_: random.Random, content: bytes) -> bytes:
    at = _place(random_, content)
    return content[:at] + content[at + random_.choice([1, 1, 2, 5, 50]) :]


def _cut(random_: random.Random, content: bytes) -> bytes:
    return content[: _place(random_, content)]


def _lines(random_: random.Random, content: bytes) -> bytes:
    """Swap, repeat, drop or move lines."""
    lines = content.split(b"\n")
    one, two = random_.randrange(len(lines)), random_.randrange(len(lines))
    how = random_.random()
    if how < 0.3:
        lines[one], lines[two] = lines[two], lines[one]
    elif how < 0.6:
        lines[one:one] = [lines[two]] * random_.choice([1, 1, 1, 2, 40])
    elif how < 0.9:
        del lines[one : one + random_.choice([1, 1, 3])]
    else:
        random_.shuffle(lines)
    return b"\n".join(lines)


def _line_ends(random_: random.Random, content: bytes) -> bytes:
    was, becomes = random_.choice([(b"\n", b"\r\n"), (b"\r\n", b"\n"), (b"\n", b"\r")])
    return content.replace(was, becomes)


def _lengthen(random_: random.Random, content: bytes) -> bytes:
    """Something, thousands of times."""
    at = _place(random_, content)
    some = content[at : at + random_.choice([1, 2, 20])] or b"x"
    some = random_.choice([some, some, b"x", b"[", b"{a=", b"a.", b" ", b"\n ", b"("])
    return content[:at] + some * random_.choice([300, 2_000, 70_000 // len(some)]) + content[at:]


def _encode(random_: random.Random, content: bytes) -> bytes:
    """As another encoding has it."""
    text = content.decode(errors="replace")
    encoding = random_.choice(["utf-16", "utf-16-le", "utf-7", "utf-8-sig", "cp037"])
    return text.encode(encoding, errors="replace")


def _replacing(pattern: re.Pattern[bytes], texts: Sequence[str]) -> Change:
    """Puts one of the texts in the place of one match."""

    def change(random_: random.Random, content: bytes) -> bytes:
        found = [*pattern.finditer(content)]
        if not found:
            return content
        match = random_.choice(found)
        if texts and random_.random() < 0.9:
            new = random_.choice(texts).encode(errors="surrogatepass")
        else:
            new = random_.choice(found)[0]
        return content[: match.start()] + new + content[match.end() :]

    return change


CHANGES: list[Change] = [
    _flip,
    _insert,
    _insert,
    _at_the_beginning,
    _delete,
    _cut,
    _lines,
    _lines,
    _line_ends,
    _lengthen,
    _encode,
    _replacing(DATE, DATES),
    _replacing(DATE, DATES),
    _replacing(CLOCK, CLOCKS),
    _replacing(CLOCK, CLOCKS),
    _replacing(NUMBER, NUMBERS),
    _replacing(NUMBER, NUMBERS),
    _replacing(WORD, ZONES),
    _replacing(WORD, []),
    _replacing(CELL, ODD_TEXTS),
    _replacing(CELL, []),
]
