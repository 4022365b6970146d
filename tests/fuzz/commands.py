"""Commands, run in one session and a transaction that is taken back; and what may be said of what
they answer."""

from __future__ import annotations

import io
import re
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import FrameType
from typing import Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

from pgbooking import app

# Of processor time: other tests run beside this one. A command that hangs is stopped by the clock.
SECONDS = 10.0
SECONDS_BY_THE_CLOCK = 100.0

LONGEST_LINE = 1200
REFUSALS = (1, 2)

# The exit code after Ctrl-C, or what ends this run: it is to end, and the command is not to blame.
INTERRUPTED = 130

# What a terminal would obey.
CONTROL = re.compile("[\\x00-\\x09\\x0b-\\x1f\\x7f-\\x9f]")


@dataclass(frozen=True)
class Outcome:
    """What a command printed, its exit code (None: an exception came out of it), and how many
    seconds of processor time it took."""

    code: int | None
    out: str
    err: str
    seconds: float
    is_for_people: bool = True

    @property
    def out_for_people(self) -> str:
        """What it printed, unless that is JSON or SQL."""
        return self.out if self.is_for_people else ""

    def fault(self, names: list[str]) -> str | None:
        """What no command may do, whatever its input; a refusal names one of these."""
        if self.seconds > SECONDS:
            return f"took {self.seconds:.1f} s"
        if self.code is None:
            return f"an exception came out: {self.err.strip().splitlines()[-1]}\n{self.err}"
        if "in a way it should not" in self.err or "Traceback" in self.err:
            return self.err
        if found := CONTROL.search(self.out_for_people):
            return f"prints {found[0]!a}: {self.out[max(0, found.start() - 100) :][:120]!a}"
        longest = max((self.out_for_people + self.err).split("\n"), key=len)
        if len(longest) > LONGEST_LINE:
            return f"prints a line of {len(longest)} characters: {longest[:200]!a}"
        if not self.err:
            return None if self.code in (0, 1) else f"says nothing, with exit code {self.code}"
        return self._bad_refusal(names)

    def _bad_refusal(self, names: list[str]) -> str | None:
        if self.code not in REFUSALS:
            return f"exit code {self.code}: {self.err}"
        first, *others = self.err.removesuffix("\n").split("\n")
        if not first.startswith("Error: ") or not first.endswith((".", "…")):
            return f"no sentence: {self.err}"
        if len(others) > 1 or any(not each.startswith("Hint:  ") for each in others):
            return f"more than a sentence and a hint: {self.err}"
        if CONTROL.search(first):
            return f"no readable sentence: {first!a}"
        if not any(name in first for name in names):
            return f"names neither file nor field: {first}"
        return None


class TooLongError(BaseException):
    """No command catches it."""


class Commands:
    """Runs commands in a session of ours, the clock of which stands already."""

    def __init__(self, db: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.db = db

        @contextmanager
        def connected(*_: object, **__: object) -> Iterator[psycopg.Connection[Any]]:
            yield db

        monkeypatch.setattr("pgbooking.connection.connected", connected)

    def run(self, *arguments: object) -> Outcome:
        """One command. Whatever it does must be in a transaction, or the next would fail."""
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        err = io.StringIO()
        code: int | None = None
        began = time.process_time()
        try:
            with limited(), redirect_stdout(out), redirect_stderr(err):
                app.main([str(each) for each in arguments])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else None
        except (Exception, TooLongError):
            err.write(traceback.format_exc())
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        seconds = time.process_time() - began
        printed = out.buffer
        assert isinstance(printed, io.BytesIO)
        is_for_people = "--json" not in arguments and "adopt" not in arguments
        return Outcome(code, printed.getvalue().decode(), err.getvalue(), seconds, is_for_people)

    @property
    def is_broken(self) -> bool:
        """Whether a statement failed that was in no transaction of its own."""
        return self.db.info.transaction_status is TransactionStatus.INERROR

    def state(self) -> dict[str, Any]:
        """Of each table how many rows it has and what they say; and which tables there are."""
        tables = self.db.execute(
            "select c.oid::regclass::text from pg_class c"
            " where c.relkind in ('r', 'p') and c.relnamespace::regnamespace::text like 'booking%'"
            " order by 1"
        ).fetchall()
        query = " union all ".join(
            f"select '{table}', count(*), md5(string_agg(t::text, ' ' order by t::text))"
            f" from {table} t"
            for (table,) in tables
        )
        return {name: rest for name, *rest in self.db.execute(query.encode()).fetchall()}

    def differences(self) -> list[tuple[Any, ...]]:
        """What is published and not calculated, of every tenant."""
        self.db.execute("set constraints all immediate")
        return self.db.execute(
            "select d.kind, d.start_time from booking.tenants t"
            " cross join lateral booking.find_differences(t.id) d"
        ).fetchall()


@contextmanager
def limited() -> Iterator[None]:
    """Raises TooLongError where it takes much longer than it may."""

    def too_long(_number: int, _frame: FrameType | None) -> None:
        raise TooLongError

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, SECONDS_BY_THE_CLOCK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
