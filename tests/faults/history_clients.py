"""Clients that write down what they are told, and the harm that comes to them meanwhile.

    make history ARGS="--minutes 30"    runs of three minutes, each with another seed

Each run has another mixture: with PgBouncer in transaction mode or without, on an ordinary day or
across one on which clocks change, with a server that is killed or lives. Backends are terminated
and statements cancelled at random, and calls come with short timeouts.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import errors

from pgbooking import migrate, verify
from pgbooking.connection import connected
from pgbooking.output import progress_bar
from tests.api import ANON, SERVICE, Answer, Api, Caller
from tests.faults.conftest import running_mortal_server
from tests.faults.history import CUT_OFF, NOT_DONE, SUCCESS, Call, Slot, save, violations
from tests.load import ZONE, Shop, half_changes, make_shop, overlaps
from tests.operations.pgbouncer import binary, running_pgbouncer
from tests.postgres import running_server

HOLD_SECONDS = 60.0
# Slots that begin while the run lasts are left alone: they can no longer be booked some time.
AHEAD = timedelta(hours=2)
# The server says that nothing was done.
HARM = (
    errors.QueryCanceled,
    errors.LockNotAvailable,
    errors.SerializationFailure,
    errors.DeadlockDetected,
)


@dataclass(frozen=True)
class Harm:
    """What clients have to put up with: a fault every so many seconds; `starts_at` is what the
    database's clock says at the beginning, where it is not the time."""

    seconds: float = 1.0
    starts_at: datetime | None = None
    kills_every: float = inf
    is_pooled: bool = False


class TimedApi(Api):
    """By a clock that goes, but elsewhere; and in a hurry."""

    offset = timedelta()
    timeout_ms = 0

    def _set_up(self, caller: Caller, method: str, function: str, headers: Any) -> None:
        self.session.execute(
            "select set_config('booking.fake_now', %s, true),"
            " set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)",
            (
                str(datetime.now(UTC) + self.offset) if self.offset else "",
                str(self.timeout_ms),
                str(self.timeout_ms),
            ),
        )
        super()._set_up(caller, method, function, headers)


@dataclass
class Booking:
    """What a customer keeps of it. The key is the appointment's name in the history."""

    key: str
    appointment_id: str
    manage_token: str
    slot: Slot


@dataclass
class Client:
    """One customer: does this and that, one after the other, and writes it down."""

    number: int
    url: str
    shop: Shop
    slots: list[Slot]
    offset: timedelta
    random: random.Random
    session_id: str = field(default_factory=lambda: str(uuid4()))
    calls: list[Call] = field(default_factory=list)
    held: list[Slot] = field(default_factory=list)
    bookings: list[Booking] = field(default_factory=list)
    unanswered: list[tuple[dict[str, Any], Slot, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    connection: psycopg.Connection[Any] | None = None

    def run(self, stop: Event) -> None:
        """Work until told to stop."""
        actions = {
            self.reserve: 30,
            self.book: 14,
            self.release: 5,
            self.move: 8,
            self.cancel: 8,
            self.look: 12,
            self.list_slots: 12,
        }
        while not stop.is_set():
            try:
                if self.connection is None or self.connection.closed:
                    self.connection = psycopg.connect(
                        self.url, autocommit=True, prepare_threshold=None, connect_timeout=5
                    )
                    self.api = TimedApi(self.connection)
                    self.api.offset = self.offset
                    self.ask_again()
                [action] = self.random.choices(list(actions), list(actions.values()))
                action()
            except Exception as error:
                # The server is away, or our session, perhaps in mid-answer: come again.
                is_away = isinstance(error, psycopg.OperationalError) or (
                    isinstance(error, psycopg.Error) and error.sqlstate is None
                )
                if not is_away:
                    self.failures.append(f"{type(error).__name__}: {error}")
                    return
                if self.connection:
                    self.connection.close()
                time.sleep(0.05)
        if self.connection:
            self.connection.close()

    def reserve(self) -> None:
        slot = self.random.choice(self.slots)
        answer = self.call(
            "reserve_slot",
            slot,
            slot_id=slot.id,
            session_id=self.session_id,
            appointment_type=slot.code,
        )
        if answer and answer.success:
            self.take(slot)
            self.held.append(slot)

    def release(self) -> None:
        if self.held:
            slot = self.pop(self.held)
            self.call("release_slot", slot, slot_id=slot.id, session_id=self.session_id)

    def book(self) -> None:
        if not self.held:
            return
        slot = self.pop(self.held)
        arguments = {
            "slot_id": slot.id,
            "session_id": self.session_id,
            "appointment_type": slot.code,
            "user_data": {"name": "Ada Lovelace", "email": "ada@example.org"},
            "idempotency_key": str(uuid4()),
        }
        self._book(arguments, slot, time.time())

    def _book(self, arguments: dict[str, Any], slot: Slot, began: float) -> None:
        key = arguments["idempotency_key"]
        self.unanswered.append((arguments, slot, began))
        answer = self.call(
            "create_appointment", slot, appointment=key, caller=SERVICE, first_began=began,
            **arguments,
        )  # fmt: skip
        self.unanswered.pop()
        if answer is None or answer.code in NOT_DONE:
            self.held.append(slot)
        elif answer.success:
            body = answer.body
            self.bookings.append(Booking(key, body["appointment_id"], body["manage_token"], slot))

    def ask_again(self) -> None:
        """What got no answer, with the same key."""
        waiting, self.unanswered = self.unanswered, []
        for each in waiting:
            self._book(*each)

    def move(self) -> None:
        if not self.bookings:
            return
        booking = self.pop(self.bookings)
        slot = self.random.choice([each for each in self.slots if each.code == booking.slot.code])
        if slot != booking.slot:
            answer = self.call(
                "reschedule_appointment",
                slot,
                appointment=booking.key,
                appointment_id=booking.appointment_id,
                slot_id=slot.id,
                session_id=self.session_id,
                manage_token=booking.manage_token,
            )
            if answer and answer.success:
                booking.slot = slot
                self.take(slot)
        self.bookings.append(booking)

    def cancel(self) -> None:
        if not self.bookings:
            return
        booking = self.pop(self.bookings)
        answer = self.call(
            "cancel_appointment",
            None,
            appointment=booking.key,
            appointment_id=booking.appointment_id,
            manage_token=booking.manage_token,
        )
        if not (answer and answer.success):
            self.bookings.append(booking)

    def look(self) -> None:
        """The view, as an anonymous visitor."""
        assert self.connection
        staff = self.random.choice(self.slots).staff
        with self.recorded("read", staff=staff) as told, self.connection.transaction():
            self.connection.execute("set transaction read only")
            self.api._set_up(ANON, "GET", "availability_slots", {})
            rows = self.connection.execute(
                "select id::text from api.availability_slots where staff_id = %s", (staff,)
            ).fetchall()
            told["shown"] = frozenset(row[0] for row in rows)
            told["outcome"] = SUCCESS

    def list_slots(self) -> None:
        """The function."""
        slot = self.random.choice(self.slots)
        today = (datetime.now(UTC) + self.offset).astimezone(ZONE).date()
        with self.recorded("read", staff=slot.staff, code=slot.code) as told:
            answer = self.api.call(
                "get_available_slots",
                method="GET",
                tenant_id=self.shop.tenant,
                start_date=today,
                end_date=today + timedelta(days=4),
                staff_id=slot.staff,
                appointment_type=slot.code,
            )
            told["outcome"] = answer.code or SUCCESS
            assert "next_page_token" not in answer.body or not answer.body["next_page_token"]
            told["shown"] = frozenset(each["id"] for each in answer.body.get("slots", ()))

    def take(self, slot: Slot) -> None:
        """Own holds that are in the way end."""
        self.held = [each for each in self.held if not slot.replaces(each)]

    def pop(self, items: list[Any]) -> Any:
        """One of them at random, taken out."""
        return items.pop(self.random.randrange(len(items)))

    def call(
        self,
        function: str,
        slot: Slot | None,
        *,
        appointment: str | None = None,
        caller: Caller = ANON,
        first_began: float | None = None,
        **arguments: Any,
    ) -> Answer | None:
        """Its answer, None if it was carried out by nobody."""
        self.api.timeout_ms = self.random.choice([0, 0, 0, 0, 3000, 100, 20])
        with self.recorded(
            function, slot=slot and slot.id, appointment=appointment, first_began=first_began
        ) as told:
            answer = self.api.call(function, caller, **arguments)
            told["outcome"] = answer.code or SUCCESS
            if function == "reserve_slot" and answer.success:
                expires = datetime.fromisoformat(answer.body["reserved_until"]) - self.offset
                told["expires_at"] = expires.timestamp()
            return answer
        return None

    @contextmanager
    def recorded(
        self, function: str, *, first_began: float | None = None, **said: Any
    ) -> Iterator[dict[str, Any]]:
        """Writes the call down however it ends. Without an answer nobody knows what it has done,
        unless the server has said that it was nothing."""
        began = first_began or time.time()
        told: dict[str, Any] = {"outcome": CUT_OFF}
        try:
            yield told
        except HARM:
            assert self.connection
            if self.connection.closed:
                raise
            told["outcome"] = "timeout"
        finally:
            self.calls.append(
                Call(self.number, function, self.session_id, began, time.time(), **said, **told)
            )


@dataclass
class Run:
    """What came of one."""

    slots: list[Slot]
    clients: list[Client]
    done: Counter[str]
    seconds: float
    ended_at: datetime | None

    @property
    def calls(self) -> list[Call]:
        return [call for client in self.clients for call in client.calls]

    def broken(self, db: psycopg.Connection[Any]) -> list[str]:
        """What cannot have been so, in the history and in what the database has kept of it."""
        return [
            *(failure for client in self.clients for failure in client.failures),
            *violations(self.slots, self.calls, HOLD_SECONDS),
            *self.lost(db),
            *(str(row) for row in [*overlaps(db), *half_changes(db)]),
        ]

    def lost(self, db: psycopg.Connection[Any]) -> Iterator[str]:
        """Appointments that are not where they were acknowledged to be."""
        rows = db.execute(
            "select idempotency_key, slot_id::text, status from booking.appointments"
        ).fetchall()
        found = {key: (slot, status) for key, slot, status in rows}
        changes: dict[str, list[Call]] = {}
        for call in sorted(self.calls, key=lambda each: each.began):
            if call.appointment and call.outcome in {SUCCESS, CUT_OFF}:
                changes.setdefault(call.appointment, []).append(call)
        for key, calls in changes.items():
            last = max((n for n, each in enumerate(calls) if each.outcome == SUCCESS), default=-1)
            if key not in found:
                if last >= 0:
                    yield f"{key} was acknowledged and is gone: {calls}"
                continue
            slot, status = found.pop(key)
            possible = {
                "cancelled" if each.function == "cancel_appointment" else each.slot
                for each in calls[max(last, 0) :]
            }
            if ("cancelled" if status == "cancelled" else slot) not in possible:
                yield f"{key} is at {slot} ({status}), against {calls}"
        yield from (f"nobody has booked {key}" for key in found)

    def summary(self) -> str:
        outcomes = Counter((call.function, call.outcome) for call in self.calls)
        lines = [
            f"{self.seconds:.0f} s, {len(self.calls):,} calls, "
            + ", ".join(f"{count} {what}" for what, count in sorted(self.done.items()))
        ]
        lines += [f"  {name} {outcome}: {n:,}" for (name, outcome), n in sorted(outcomes.items())]
        return "\n".join(lines)


def offered(db: psycopg.Connection[Any], shop: Shop, offset: timedelta) -> list[Slot]:
    """Every slot there is that stays bookable."""
    rows = db.execute(
        "select s.id::text, s.staff_id::text, t.code, extract(epoch from s.start_time)::float,"
        " extract(epoch from lower(s.claim))::float, extract(epoch from upper(s.claim))::float,"
        " s.capacity from booking.availability_slots s join booking.appointment_types t"
        " on t.tenant_id = s.tenant_id and t.shape_id = s.shape_id"
        " where s.tenant_id = %s and s.is_available and s.start_time > %s order by s.id",
        (shop.tenant, datetime.now(UTC) + offset + AHEAD),
    ).fetchall()
    return [Slot(*row) for row in rows]


def run(
    url: str,
    harm: Harm,
    seconds: float,
    seed: int,
    *,
    clients: int = 12,
    kill: Callable[[], object] | None = None,
    client_url: str | None = None,
) -> Run:
    """Let clients work on a new shop in that database. `kill` kills the server and starts it again;
    clients come by `client_url`, where that is another."""
    chance = random.Random(seed)
    offset = (harm.starts_at - datetime.now(UTC)) if harm.starts_at else timedelta()
    with psycopg.connect(url, autocommit=True) as db:
        if harm.starts_at:
            db.execute("select set_config('booking.fake_now', %s, false)", (str(harm.starts_at),))
        shop = make_shop(db)
        slots = offered(db, shop, offset)
    working = [
        Client(n, client_url or url, shop, slots, offset, random.Random(f"{seed} {n}"))
        for n in range(clients)
    ]
    stop = Event()
    threads = [Thread(target=each.run, args=[stop]) for each in working]
    done: Counter[str] = Counter()
    began = killed = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        while time.monotonic() < began + seconds and not any(each.failures for each in working):
            time.sleep(chance.uniform(0, 2 * harm.seconds))
            if kill and time.monotonic() > killed + harm.kills_every:
                kill()
                killed = time.monotonic()
                done["kills of the server"] += 1
            else:
                with suppress(psycopg.OperationalError):
                    _hurt(url, chance, done, offset)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    ended_at = datetime.now(UTC) + offset if offset else None
    return Run(slots, working, done, time.monotonic() - began, ended_at)


def _hurt(url: str, chance: random.Random, done: Counter[str], offset: timedelta) -> None:
    """End somebody's session or statement, or do what the jobs do."""
    what = chance.choice(["terminate", "terminate", "cancel", "clean up"])
    with psycopg.connect(url, autocommit=True) as db:
        if what == "clean up":
            now = str(datetime.now(UTC) + offset) if offset else ""
            db.execute("select set_config('booking.fake_now', %s, false)", (now,))
            db.execute("select booking.cleanup_expired_slot_reservations()")
            done["cleanups"] += 1
            return
        rows = db.execute(
            f"select pg_{what}_backend(pid) from pg_stat_activity where pid = ("
            "select pid from pg_stat_activity where datname = current_database()"
            " and backend_type = 'client backend' and pid <> pg_backend_pid() and state <> 'idle'"
            " order by random() limit 1)".encode()
        ).fetchall()
        done["backends terminated" if what == "terminate" else "statements cancelled"] += len(rows)


def main() -> None:
    """Runs by hand, each with another seed and mixture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30, help="in all")
    parser.add_argument("--run-minutes", type=float, default=3, help="each run")
    parser.add_argument("--seed", type=int, default=1, help="of the first run")
    parser.add_argument("--keep", type=Path, help="folder for histories that cannot be true")
    options = parser.parse_args()

    totals: Counter[str] = Counter()
    found = 0
    # Clocks change in Berlin on the days after: forward, and back.
    days = [None, datetime(2026, 3, 28, 9, tzinfo=UTC), datetime(2026, 10, 24, 8, tzinfo=UTC)]
    with running_server() as server:
        for number in range(round(options.minutes / options.run_minutes)):
            seed = options.seed + number
            harm = Harm(
                is_pooled=number % 2 == 1 and binary() is not None,
                kills_every=30 if number % 3 != 1 else inf,
                starts_at=days[number % 3],
            )
            with ExitStack() as stack:
                mortal = stack.enter_context(running_mortal_server(server))
                with psycopg.connect(mortal.url, autocommit=True) as db:
                    db.execute("create database history")
                url = f"{mortal.url.replace('/postgres?', '/history?')}"
                list(migrate.apply(url))

                client_url = (
                    stack.enter_context(running_pgbouncer(url, 8)) if harm.is_pooled else None
                )
                result = run(
                    url,
                    harm,
                    options.run_minutes * 60,
                    seed,
                    kill=mortal.kill_and_start,
                    client_url=client_url,
                )
                with psycopg.connect(url, autocommit=True) as db:
                    broken = result.broken(db)
                with connected(url, now=result.ended_at) as connection, progress_bar() as bar:
                    report = verify.verify(connection, bar, independent=True)
            print(f"seed {seed}, {harm}\n{result.summary()}")
            totals.update(result.done)
            totals["calls"] += len(result.calls)
            totals["seconds"] += round(result.seconds)
            totals["cut off"] += sum(each.outcome == CUT_OFF for each in result.calls)
            totals["differences"] += report.differences
            found += len(broken)
            for each in broken[:20]:
                print(f"  BROKEN {each}")
            if broken:
                folder = options.keep or Path(tempfile.mkdtemp(prefix="history-"))
                folder.mkdir(exist_ok=True)
                save(folder / f"{seed}.jsonl", result.slots, result.calls)
                print(f"  kept in {folder}")
    print(f"{dict(totals)}, broken promises: {found}")
    raise SystemExit(1 if found or totals["differences"] else 0)


if __name__ == "__main__":
    main()
