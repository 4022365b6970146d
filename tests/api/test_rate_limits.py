"""Rate limits, with the numbers that an installation comes with, a minute and client: 100 reads, 10
reservations, 10 bookings, 6 recalculations. The clock stands still unless a test moves it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from tests.api import ANON, SERVICE, Answer, Api, Caller
from tests.api.asking import listed
from tests.booking.booked import (
    ADA,
    ADAS_DATA,
    BOB,
    SESSION,
    admin_of,
    assert_refused,
    audit_rows,
    changes_since,
    everything,
    holds,
    rows,
    slot_at,
)
from tests.booking.conftest import at
from tests.salon import NOW, Salon, set_clock

Connect = Callable[[], psycopg.Connection]

HOME = "192.0.2.1"
ELSEWHERE = "192.0.2.2"


@pytest.fixture(autouse=True)
def default_limits(salon: Salon) -> None:
    """Take back what make_salon allows."""
    salon.db.execute(
        "update booking.settings set reads_per_minute = default, reserves_per_minute = default,"
        " bookings_per_minute = default, recalculations_per_minute = default"
    )


def call_from(
    salon: Salon,
    address: str,
    function: str,
    caller: Caller = ANON,
    method: str = "POST",
    **arguments: Any,
) -> Answer:
    """Call with that x-forwarded-for."""
    headers = {"x-forwarded-for": address}
    return Api(salon.db).call(function, caller, method=method, headers=headers, **arguments)


def reserve_from(salon: Salon, address: str, caller: Caller = ANON) -> str | None:
    """Ask for what is no slot. Returns the refusal's code: slot_not_found or rate_limited."""
    return call_from(
        salon, address, "reserve_slot", caller, slot_id=uuid4(), session_id=SESSION
    ).code


def read_from(salon: Salon, address: str, method: str = "POST") -> Answer:
    """Ask for somebody unknown."""
    return call_from(salon, address, "get_tenant", method=method, slug="nobody")


def exhaust(salon: Salon, address: str = HOME, caller: Caller = ANON) -> None:
    """Reserve as often as one may."""
    assert [reserve_from(salon, address, caller) for _ in range(10)] == ["slot_not_found"] * 10
    assert reserve_from(salon, address, caller) == "rate_limited"


def later(salon: Salon, seconds: float) -> None:
    """Let the clock stand so much after NOW."""
    set_clock(salon.db, str(datetime.fromisoformat(NOW) + timedelta(seconds=seconds)))


def counts(salon: Salon) -> list[tuple[str, int]]:
    """Bucket and number of refused calls of each client."""
    found = rows(salon, "select bucket, refused from booking.rate_limits order by bucket, refused")
    return [(row["bucket"], row["refused"]) for row in found]


# Reserving, by address


def test_the_eleventh_reservation_in_a_minute_is_429_and_leaves_no_record(salon: Salon) -> None:
    slots = [slot["id"] for slot in listed(salon, duration_minutes=30)][::2]

    def take(number: int) -> Answer:
        return call_from(
            salon,
            HOME,
            "reserve_slot",
            slot_id=slots[number],
            session_id=f"session-number-{number:04}",
        )

    assert all(take(number).success for number in range(10))
    before, recorded = everything(salon), audit_rows(salon)
    assert len(recorded) == 10
    refused = take(10)
    assert_refused(refused, "rate_limited", 429)
    assert refused.headers == {"Retry-After": "6"}
    assert refused.body["message"] == "These are too many calls in a minute."
    assert refused.body["hint"] == "Try again in 6 seconds."
    assert changes_since(salon, before) == []
    assert audit_rows(salon) == recorded


def test_refused_calls_count_like_others(salon: Salon) -> None:
    slot = slot_at(salon)
    exhaust(salon)
    answer = call_from(salon, HOME, "reserve_slot", slot_id=slot, session_id=SESSION)
    assert answer.code == "rate_limited"
    assert holds(salon) == []


def test_another_address_is_free(salon: Salon) -> None:
    exhaust(salon)
    exhaust(salon, ELSEWHERE)


def test_another_session_or_token_at_the_same_address_is_not(salon: Salon) -> None:
    exhaust(salon)
    for caller in (ANON, ADA, BOB, admin_of(salon)):
        assert reserve_from(salon, HOME, caller) == "rate_limited"


def test_releasing_has_a_count_of_its_own(salon: Salon) -> None:
    exhaust(salon)
    codes = [
        call_from(salon, HOME, "release_slot", slot_id=slot_at(salon), session_id=SESSION).code
        for _ in range(11)
    ]
    assert codes == ["not_found"] * 10 + ["rate_limited"]


FORGED = {
    "addresses of one's own to the left": lambda n: f"203.0.113.{n}, {HOME}",
    "many of them": lambda n: ", ".join([f"203.0.113.{n}"] * 50) + f",{HOME}",
    "garbage": lambda n: f"'; --{n}, ,,{HOME}",
    "ports": lambda n: f"{HOME}:{40_000 + n}",
    "as IPv6": lambda n: [HOME, f"::ffff:{HOME}", f"[::ffff:{HOME}]:{n}"][n % 3],
}
NETWORK = {
    "in one /64": lambda n: f"2001:db8:0:1::{n:x}",
    "in one /64, with ports": lambda n: f"[2001:db8:0:1:{n:x}::1]:{40_000 + n}",
    "in one /64, in other spellings": lambda n: f"2001:0DB8:0:1:0:0:{n:x}:0",
}


@pytest.mark.parametrize("way", FORGED | NETWORK)
def test_another_spelling_of_the_address_does_not_help(salon: Salon, way: str) -> None:
    spell = (FORGED | NETWORK)[way]
    codes = [reserve_from(salon, spell(number)) for number in range(1, 12)]
    assert codes == ["slot_not_found"] * 10 + ["rate_limited"]
    plain = HOME if way in FORGED else "2001:db8:0:1::"
    assert reserve_from(salon, plain) == "rate_limited"


def test_the_next_64_is_another_client(salon: Salon) -> None:
    exhaust(salon, "2001:db8:0:1::1")
    exhaust(salon, "2001:db8:0:2::1")


def test_who_waits_as_long_as_told_may_call_once(salon: Salon) -> None:
    exhaust(salon)
    later(salon, 5.9)
    refused = call_from(salon, HOME, "reserve_slot", slot_id=uuid4(), session_id=SESSION)
    assert refused.headers == {"Retry-After": "1"}
    later(salon, 6)
    assert reserve_from(salon, HOME) == "slot_not_found"
    assert reserve_from(salon, HOME) == "rate_limited"
    later(salon, 18)
    assert [reserve_from(salon, HOME) for _ in range(3)] == [
        *["slot_not_found"] * 2,
        "rate_limited",
    ]
    later(salon, 120)
    exhaust(salon)


def test_a_refused_call_does_not_make_one_wait_longer(salon: Salon) -> None:
    exhaust(salon)
    for _ in range(20):
        assert reserve_from(salon, HOME) == "rate_limited"
    later(salon, 6)
    assert reserve_from(salon, HOME) == "slot_not_found"


def test_no_minute_has_more_than_twice_as_many_and_no_hour_more_than_ten_a_minute(
    salon: Salon,
) -> None:
    passed = 0
    for second in range(0, 600, 2):
        later(salon, second)
        passed += reserve_from(salon, HOME) == "slot_not_found"
    assert passed == 109  # ten at once, and one each six seconds up to the 598th


def test_refused_calls_are_counted(salon: Salon) -> None:
    exhaust(salon)
    reserve_from(salon, HOME)
    exhaust(salon, ELSEWHERE)
    assert counts(salon) == [("reserve_slot", 1), ("reserve_slot", 2)]


def test_no_address_can_be_read_from_the_counts(salon: Salon) -> None:
    reserve_from(salon, HOME)
    (row,) = rows(salon, "select * from booking.rate_limits")
    assert len(row["key"]) == 64
    assert HOME not in str(row)


# Reading, by address


def test_the_hundred_and_first_read_in_a_minute_is_429(salon: Salon) -> None:
    # 100 a minute is one in 0.6 seconds.
    reads: list[tuple[str, dict[str, Any]]] = [
        ("get_tenant", {"slug": "nobody"}),
        ("get_next_available", {"tenant_id": salon.tenant, "max_results": 1}),
        ("get_reservations", {"session_id": SESSION}),
    ]
    for number in range(100):
        function, arguments = reads[number % 3]
        assert call_from(salon, HOME, function, **arguments).code in (None, "not_found")
    refused = read_from(salon, HOME)
    assert_refused(refused, "rate_limited", 429)
    assert refused.headers == {"Retry-After": "1"}
    assert read_from(salon, ELSEWHERE).code == "not_found"
    assert reserve_from(salon, HOME) == "slot_not_found"
    assert len(audit_rows(salon)) == 1
    later(salon, 0.6)
    assert [read_from(salon, HOME).code for _ in range(2)] == ["not_found", "rate_limited"]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_by_get_is_not_counted_and_writes_nothing(salon: Salon, method: str) -> None:
    for _ in range(120):
        assert read_from(salon, HOME, method).code == "not_found"
    assert counts(salon) == []
    for _ in range(100):
        read_from(salon, HOME)
    assert read_from(salon, HOME).code == "rate_limited"
    assert read_from(salon, HOME, method).code == "not_found"


# Booking, by user


BOOKINGS: dict[str, Callable[[Salon], dict[str, Any]]] = {
    "create_appointment": lambda salon: {
        "slot_id": slot_at(salon),
        "session_id": SESSION,
        "user_data": ADAS_DATA,
        "appointment_type": "cut",
    },
    "reschedule_appointment": lambda salon: {
        "appointment_id": uuid4(),
        "slot_id": slot_at(salon),
    },
    "cancel_appointment": lambda _: {"appointment_id": uuid4()},
    "set_working_hours": lambda salon: {
        "tenant_id": salon.tenant,
        "staff_id": salon.person,
        "hours": [],
    },
}


@pytest.mark.parametrize("function", BOOKINGS)
def test_a_user_books_ten_times_a_minute_wherever_they_are(salon: Salon, function: str) -> None:
    arguments = BOOKINGS[function](salon)
    for number in range(10):
        answer = call_from(salon, f"192.0.2.{number}", function, ADA, **arguments)
        assert answer.code in ("reservation_expired", "not_found")
    refused = call_from(salon, "192.0.2.10", function, ADA, **arguments)
    assert_refused(refused, "rate_limited", 429)
    assert refused.headers == {"Retry-After": "6"}
    assert len(audit_rows(salon)) == 10
    assert call_from(salon, "192.0.2.0", function, BOB, **arguments).code != "rate_limited"


def test_each_kind_of_booking_has_a_count_of_its_own(salon: Salon) -> None:
    for function, arguments_of in BOOKINGS.items():
        arguments = arguments_of(salon)
        codes = [call_from(salon, HOME, function, ADA, **arguments).code for _ in range(11)]
        assert codes.index("rate_limited") == 10


def test_who_is_not_signed_in_books_by_address(salon: Salon) -> None:
    def cancel(address: str) -> str | None:
        return call_from(salon, address, "cancel_appointment", appointment_id=uuid4()).code

    assert [cancel(HOME) for _ in range(11)] == ["not_authenticated"] * 10 + ["rate_limited"]
    assert cancel(ELSEWHERE) == "not_authenticated"


# The service


def test_the_service_is_not_counted(salon: Salon) -> None:
    for _ in range(30):
        assert reserve_from(salon, HOME, SERVICE) == "slot_not_found"
    assert counts(salon) == []


def recalculate_from(salon: Salon, address: str) -> Answer:
    """Recalculate one day."""
    return call_from(
        salon,
        address,
        "recalculate_availability",
        SERVICE,
        tenant_id=salon.tenant,
        start_date="2026-03-03",
        end_date="2026-03-03",
    )


def test_but_it_recalculates_six_times_a_minute(salon: Salon) -> None:
    assert all(recalculate_from(salon, HOME).success for _ in range(6))
    refused = recalculate_from(salon, HOME)
    assert_refused(refused, "rate_limited", 429)
    assert refused.headers == {"Retry-After": "10"}
    assert recalculate_from(salon, ELSEWHERE).success
    later(salon, 10)
    assert recalculate_from(salon, HOME).success


# Which address counts


def trust(salon: Salon, proxies: int) -> None:
    salon.db.execute("update booking.settings set trusted_proxies = %s", (proxies,))


def test_where_no_proxy_is_trusted_no_address_is_known_and_only_users_are_counted(
    salon: Salon,
) -> None:
    trust(salon, 0)
    for _ in range(30):
        assert reserve_from(salon, HOME) == "slot_not_found"
    assert counts(salon) == []
    arguments = BOOKINGS["cancel_appointment"](salon)
    codes = [call_from(salon, HOME, "cancel_appointment", ADA, **arguments).code for _ in range(11)]
    assert codes == ["not_found"] * 10 + ["rate_limited"]


def test_behind_two_proxies_it_is_the_last_but_one(salon: Salon) -> None:
    trust(salon, 2)
    for number in range(10):
        address = f"203.0.113.{number}, {HOME}, 198.51.100.{number}"
        assert reserve_from(salon, address) == "slot_not_found"
    assert reserve_from(salon, f"{HOME}, 198.51.100.99") == "rate_limited"
    assert reserve_from(salon, f"{HOME}, {ELSEWHERE}, 198.51.100.1") == "slot_not_found"


@pytest.mark.parametrize("header", ["", "unknown", "192.0.2", ", "])
def test_callers_without_an_address_share_one_count(salon: Salon, header: str) -> None:
    for _ in range(10):
        assert reserve_in(salon, {"request.headers": "{}"}) == "slot_not_found"
    assert reserve_from(salon, header) == "rate_limited"
    assert reserve_from(salon, HOME) == "slot_not_found"


def test_who_is_connected_directly_is_not_counted(salon: Salon) -> None:
    for _ in range(20):
        assert reserve_in(salon, {}) == "slot_not_found"
    assert counts(salon) == []


def reserve_in(salon: Salon, settings: dict[str, str]) -> str:
    """Ask for what is no slot, in a transaction with these settings and no others."""
    with salon.db.transaction():
        for name, value in settings.items():
            salon.db.execute("select set_config(%s, %s, true)", (name, value))
        (row,) = rows(
            salon,
            "select api.reserve_slot(slot_id => %s, session_id => %s) ->> 'code' as code",
            *(uuid4(), SESSION),
        )
    return str(row["code"])


# The clock, and many at once


@pytest.mark.parametrize("seconds", [61, 86_400 * 365])
def test_a_clock_that_is_put_back_locks_nobody_out(salon: Salon, seconds: int) -> None:
    later(salon, seconds)
    exhaust(salon)
    later(salon, 0)
    assert reserve_from(salon, HOME) == "slot_not_found"
    codes = [reserve_from(salon, HOME) for _ in range(10)]
    assert codes == ["slot_not_found"] * 9 + ["rate_limited"]


def test_a_call_that_read_the_clock_earlier_and_comes_later_is_counted_too(salon: Salon) -> None:
    later(salon, 1)
    exhaust(salon)
    later(salon, 0)
    assert reserve_from(salon, HOME) == "rate_limited"


@pytest.fixture
def sessions(connect: Connect) -> Iterator[list[psycopg.Connection[Any]]]:
    """Sixty-four sessions whose clocks stand still."""
    opened = [connect() for _ in range(64)]
    for session in opened:
        set_clock(session)
    yield opened


def test_of_sixty_four_at_once_exactly_ten_pass(
    salon: Salon, sessions: list[psycopg.Connection[Any]]
) -> None:
    slots = [
        slot_at(salon, at("09:00", day) + timedelta(minutes=30 * number))
        for day in (3, 4, 5, 6)
        for number in range(16)
    ]
    together = Barrier(len(sessions))

    def take(number: int) -> str | None:
        together.wait()
        answer = Api(sessions[number]).call(
            "reserve_slot",
            headers={"x-forwarded-for": f"203.0.113.{number}, {HOME}"},
            slot_id=slots[number],
            session_id=f"session-number-{number:04}",
        )
        return answer.code

    with ThreadPoolExecutor(len(sessions)) as threads:
        codes = Counter(threads.map(take, range(len(sessions))))
    assert codes == {None: 10, "rate_limited": 54}
    assert len(holds(salon)) == len(audit_rows(salon)) == 10
    assert salon.differences() == []


def test_who_waits_too_long_for_another_call_of_their_own_is_told_to_come_back(
    salon: Salon, connect: Connect
) -> None:
    salon.db.execute("alter function booking.attempt(text, jsonb) set lock_timeout = '20ms'")
    assert reserve_from(salon, HOME) == "slot_not_found"
    recorded = len(audit_rows(salon))
    other = connect()
    with other.transaction():
        other.execute("update booking.rate_limits set refused = refused")
        answer = call_from(salon, HOME, "reserve_slot", slot_id=slot_at(salon), session_id=SESSION)
        assert_refused(answer, "rate_limited", 429)
        assert answer.headers == {"Retry-After": "1"}
        assert reserve_from(salon, ELSEWHERE) == "slot_not_found"
    assert len(audit_rows(salon)) == recorded + 1
    assert holds(salon) == []
