"""pgbooking events tail: prints the outbox as lines of JSON, and loses no event."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.cli.conftest import Answer, Run, Start, answer_of, backend_of
from tests.postgres import wait_until_blocked
from tests.salon import NOW, TEN, Salon, insert, set_clock

GATE = 7


@pytest.fixture
def gate(salon: Salon) -> psycopg.Connection:
    """A session that keeps a consumer that has printed the oldest event from marking it."""
    salon.db.execute(
        f"create function gate() returns trigger language plpgsql as"
        f" 'begin perform pg_advisory_xact_lock({GATE}); return new; end'".encode()
    )
    salon.db.execute(
        f"create trigger gate before update on booking.events for each row"
        f" when (old.created_at = '{NOW}') execute function gate()".encode()
    )
    salon.db.execute("select pg_advisory_lock(%s)", [GATE])
    return salon.db


def open_gate(db: psycopg.Connection) -> None:
    """Let consumers mark what they have printed."""
    db.execute("select pg_advisory_unlock(%s)", [GATE])


def test_each_event_is_a_line_of_json_oldest_first(run: Run, salon: Salon) -> None:
    customer = {"name": "Zoë 😀\n", "email": "zoe@example.org"}
    appointment = salon.appointment(customer=Jsonb(customer))
    set_clock(salon.db, "2026-03-02 07:01+01")
    salon.db.execute(
        "update booking.appointments set start_time = %s, end_time = %s",
        [TEN + timedelta(hours=1), TEN + timedelta(hours=2)],
    )
    set_clock(salon.db, "2026-03-02 07:02:30.25+01")
    salon.db.execute("update booking.appointments set status = 'cancelled'")

    answer = run("events", "tail")
    assert answer.code == 0
    booked, moved, cancelled = lines(answer)
    assert list(booked) == [
        "tenant_id",
        "id",
        "kind",
        "appointment_id",
        "created_at",
        "payload",
        "customer",
    ]
    assert [each["kind"] for each in (booked, moved, cancelled)] == ["booked", "moved", "cancelled"]
    assert booked["tenant_id"] == str(salon.tenant)
    assert booked["appointment_id"] == str(appointment)
    assert booked["created_at"] == "2026-03-02T06:00:00Z"
    assert cancelled["created_at"] == "2026-03-02T06:02:30.25Z"
    assert booked["customer"] == customer
    assert booked["payload"]["start_time"] == "2026-03-03T09:00:00Z"
    assert moved["payload"]["start_time"] == "2026-03-03T10:00:00Z"


def test_what_was_printed_is_not_printed_again(run: Run, salon: Salon) -> None:
    book(salon, 3)
    assert len(lines(run("events", "tail", "--limit", 2))) == 3
    assert unprocessed(salon) == 0
    again = run("events", "tail")
    assert (again.code, again.out) == (0, "")


def test_only_events_of_the_tenant_asked_for_are_taken(run: Run, salon: Salon) -> None:
    other = make_other_tenant(salon)
    appointments = book(salon, 2)
    assert [
        each["appointment_id"] for each in lines(run("events", "tail", "--tenant", "other"))
    ] == [str(other)]
    mine = lines(run("events", "tail", "--tenant", salon.tenant))
    assert {each["appointment_id"] for each in mine} == set(map(str, appointments))


def test_what_a_customer_sent_is_handed_on_unchanged(run: Run, salon: Salon) -> None:
    """Nesting and numbers that Python's own parser would refuse or round."""
    nested = "[" * 3000 + "]" * 3000
    salon.appointment()
    salon.db.execute(
        "update booking.appointments set customer = %s::jsonb",
        [f'{{"name": "Ada", "nested": {nested}, "number": 1{"0" * 400}.5}}'],
    )
    answer = run("events", "tail")
    assert answer.code == 0
    assert nested in answer.out
    assert f'"number": 1{"0" * 400}.5}}' in answer.out


def test_an_erased_customer_is_not_written_to(run: Run, salon: Salon) -> None:
    salon.appointment(customer=Jsonb({"name": "Ada", "email": "ada@example.org"}))
    salon.db.execute(
        "select booking.erase_customer(%s, p_email => 'ada@example.org')", [salon.tenant]
    )
    assert [each["customer"] for each in lines(run("events", "tail"))] == [{}]


# Nothing is lost


def test_a_consumer_killed_before_its_commit_leaves_its_events_to_the_next(
    run: Run, start: Start, salon: Salon, gate: psycopg.Connection
) -> None:
    book(salon, 2)
    process = start("events", "tail")
    session = backend_of(gate)
    wait_until_blocked(gate, session)
    process.kill()
    killed, _ = process.communicate(timeout=30)
    open_gate(gate)
    wait_until_gone(gate, session)

    assert unprocessed(salon) == 2
    again = run("events", "tail")
    assert killed.splitlines() == again.out.splitlines()
    assert unprocessed(salon) == 0


def test_a_reader_that_goes_away_leaves_the_batch_to_the_next(
    run: Run, start: Start, salon: Salon
) -> None:
    book(salon, 2)
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    answer = answer_of(start("events", "tail", stdout=writing_end))
    os.close(writing_end)
    assert answer.code == 1
    assert answer.err == (
        "Error: Nobody reads the events any more.\n"
        "Hint:  The last batch was not marked: the next run prints it again.\n"
    )
    assert unprocessed(salon) == 2
    assert len(lines(run("events", "tail"))) == 2


def test_two_consumers_share_the_work(
    run: Run, start: Start, salon: Salon, gate: psycopg.Connection
) -> None:
    book(salon, 5)
    first = start("events", "tail", "--limit", 2)
    wait_until_blocked(gate, backend_of(gate))
    second = lines(run("events", "tail", "--limit", 2))
    assert len(second) == 3
    open_gate(gate)
    both = lines(answer_of(first)) + second
    assert len({each["id"] for each in both}) == len(both) == 5
    assert unprocessed(salon) == 0


# Waiting for more


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_following_prints_what_comes_until_it_is_stopped(
    start: Start, salon: Salon, number: signal.Signals
) -> None:
    process = start("events", "tail", "--follow", "--interval", 0.1)
    for hour in range(2):
        salon.appointment(TEN + timedelta(hours=hour))
        wait_until_processed(salon)
    process.send_signal(number)
    answer = answer_of(process)
    assert answer.code == 0
    assert answer.err == ""
    assert [each["payload"]["start_time"] for each in lines(answer)] == [
        "2026-03-03T09:00:00Z",
        "2026-03-03T10:00:00Z",
    ]


@pytest.mark.parametrize(("options", "code"), [((), 1), (("--follow",), 0)])
def test_asked_to_stop_it_finishes_its_batch_first(
    start: Start, salon: Salon, gate: psycopg.Connection, options: tuple[str, ...], code: int
) -> None:
    """Without --follow some events are left, which is exit code 1."""
    book(salon, 3)
    process = start("events", "tail", "--limit", 2, *options)
    wait_until_blocked(gate, backend_of(gate))
    process.send_signal(signal.SIGTERM)
    with pytest.raises(AssertionError):
        wait_until_processed(salon, seconds=0.3)
    open_gate(gate)
    answer = answer_of(process)
    assert answer.code == code
    assert len(lines(answer)) == 2
    assert unprocessed(salon) == 1


def test_a_second_signal_stops_it_at_once_and_nothing_is_marked(
    start: Start, salon: Salon, gate: psycopg.Connection
) -> None:
    book(salon, 1)
    process = start("events", "tail", "--follow")
    session = backend_of(gate)
    wait_until_blocked(gate, session)
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    assert answer_of(process).code != 0
    open_gate(gate)
    wait_until_gone(gate, session)
    assert unprocessed(salon) == 1


# Only looking


def test_peeking_prints_the_same_and_marks_nothing(run: Run, salon: Salon) -> None:
    make_other_tenant(salon)
    book(salon, 5)
    peeked = run("events", "tail", "--peek", "--limit", 2, "--tenant", salon.tenant)
    assert peeked.code == 0
    assert len(lines(peeked)) == 5
    assert unprocessed(salon) == 6
    assert run("events", "tail", "--tenant", salon.tenant).out == peeked.out


def test_peeking_takes_nothing_from_a_consumer_at_work(run: Run, salon: Salon) -> None:
    book(salon, 2)
    with psycopg.connect(salon.db.info.dsn) as consumer:
        taken = consumer.execute("select id from booking.take_events()").fetchall()
        assert len(lines(run("events", "tail", "--peek"))) == len(taken) == 2


# Usage


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--tenant", "nobody"), "There is no tenant 'nobody'."),
        (("--peek", "--tenant", "nobody"), "There is no tenant 'nobody'."),
        (("--peek", "--follow"), "--peek and --follow exclude each other"),
    ],
)
def test_what_cannot_be_meant_is_exit_code_2(
    run: Run, salon: Salon, options: tuple[str, ...], complaint: str
) -> None:
    book(salon, 1)
    answer = run("events", "tail", *options)
    assert answer.code == 2
    assert complaint in answer.err
    assert unprocessed(salon) == 1


def test_a_role_that_may_not_take_events_is_told_so(
    run: Run, salon: Salon, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "DATABASE_URL", psycopg.conninfo.make_conninfo(database_url, user="authenticator")
    )
    answer = run("events", "tail")
    assert answer.code == 1
    assert "permission denied" in answer.err


def test_a_session_that_is_cut_off_is_exit_code_3_and_loses_nothing(
    start: Start, salon: Salon, gate: psycopg.Connection
) -> None:
    book(salon, 1)
    process = start("events", "tail", "--follow")
    session = backend_of(gate)
    wait_until_blocked(gate, session)
    gate.execute("select pg_terminate_backend(%s)", [session])
    answer = answer_of(process)
    assert answer.code == 3
    assert "The connection to the database was lost" in answer.err
    assert unprocessed(salon) == 1


def book(salon: Salon, number: int) -> list[Any]:
    """So many appointments, an hour and a second of the clock apart."""
    made = []
    for hour in range(number):
        set_clock(salon.db, f"2026-03-02 07:00:{hour:02}+01")
        made.append(salon.appointment(TEN + timedelta(hours=hour)))
    set_clock(salon.db, NOW)
    return made


def make_other_tenant(salon: Salon) -> Any:
    """A second tenant with one appointment, which is returned."""
    tenant = insert(salon.db, "tenants", name="Other", timezone="UTC")
    salon.db.execute(
        "insert into booking.tenant_slugs (slug, tenant_id) values ('other', %s)", [tenant]
    )
    return insert(
        salon.db,
        "appointments",
        tenant_id=tenant,
        staff_id=insert(salon.db, "staff", tenant_id=tenant, display_name="Zoe"),
        location_id=insert(salon.db, "locations", tenant_id=tenant, name="There"),
        appointment_type_id=insert(
            salon.db,
            "appointment_types",
            tenant_id=tenant,
            code="cut",
            name="Cut",
            duration_minutes=30,
        ),
        start_time=TEN,
        end_time=TEN + timedelta(minutes=30),
    )


def lines(answer: Answer) -> list[dict[str, Any]]:
    """What was printed, line by line."""
    return [json.loads(line) for line in answer.out.splitlines()]


def unprocessed(salon: Salon) -> int:
    """How many events wait for a consumer."""
    return salon.db.execute("select from booking.events where processed_at is null").rowcount


def wait_until_processed(salon: Salon, seconds: float = 20) -> None:
    """Return when no event waits; fail where one still does then."""
    deadline = time.monotonic() + seconds
    while unprocessed(salon):
        assert time.monotonic() < deadline, "events were not taken"
        time.sleep(0.02)


def wait_until_gone(db: psycopg.Connection, pid: int) -> None:
    """Return when that session has ended, and its transaction with it."""
    for _ in range(2000):
        if not db.execute("select from pg_catalog.pg_stat_activity where pid = %s", [pid]).rowcount:
            return
        time.sleep(0.01)
    raise AssertionError(f"session {pid} goes on")
