"""Days that are calculated when asked for (precompute_days below the horizon): nothing of them is
stored, two cannot have one time, and how many days are stored can change under load."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.api import ANON, SERVICE, Api
from tests.api.asking import Slot, ids, listed
from tests.load import ZONE, Shop, make_shop, overlaps
from tests.salon import Salon, set_clock

Session = psycopg.Connection[Any]

HORIZON = 12
STORED = 2
SECONDS = float(os.environ.get("PGBOOKING_LOAD_SECONDS", "6"))
GUEST = {"name": "Ada Lovelace", "email": "ada@example.org"}
FAR = date(2026, 3, 20)


def store(salon: Salon, days: int, horizon: int = 30) -> None:
    """So many days are published, and so many can be booked."""
    salon.db.execute(
        "update booking.tenants set precompute_days = %s, booking_horizon_days = %s where id = %s",
        (days, horizon, salon.tenant),
    )


def rows_of(salon: Salon, table: str) -> int:
    row = salon.db.execute(f"select count(*) from booking.{table}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def naming(slot: Slot) -> dict[str, Any]:
    """What the listing said of a slot, which finds it where it has no row."""
    return {
        "slot_id": slot["id"],
        "staff_id": slot["staff_id"],
        "location_id": slot["location_id"],
        "start_time": slot["start_time"],
    }


@pytest.fixture
def far_slot(salon: Salon) -> Slot:
    """Ten o'clock on 20 March, of which nothing is stored."""
    store(salon, 5)
    (slot,) = [
        slot
        for slot in listed(salon, FAR, appointment_type="cut")
        if slot["start_time"] == "2026-03-20T09:00:00Z"
    ]
    return slot


def test_a_far_day_is_listed_by_get_and_post_alike_and_nothing_is_written(salon: Salon) -> None:
    store(salon, 30)
    stored = listed(salon, FAR)
    store(salon, 5)
    before = rows_of(salon, "availability_slots"), rows_of(salon, "audit_log")
    assert salon.db.execute(
        "select count(*) from booking.availability_slots where start_time >= '2026-03-09'"
    ).fetchone() == (0,)
    assert listed(salon, FAR) == listed(salon, FAR, method="POST") == stored != []
    assert (rows_of(salon, "availability_slots"), rows_of(salon, "audit_log")) == before


def test_a_far_slot_is_reserved_booked_moved_and_cancelled_like_any_other(
    salon: Salon, far_slot: Slot
) -> None:
    api = Api(salon.db)
    mine: dict[str, Any] = {"session_id": "session-of-ada-0123456789"}
    held = api.call("reserve_slot", ANON, tenant_id=salon.tenant, **naming(far_slot), **mine)
    assert held.success
    assert far_slot["id"] not in ids(listed(salon, FAR))
    booked = api.call(
        "create_appointment",
        SERVICE,
        slot_id=far_slot["id"],
        appointment_type="cut",
        user_data=GUEST,
        **mine,
    )
    assert booked.success
    (other,) = [
        slot
        for slot in listed(salon, "2026-03-21", appointment_type="cut")
        if slot["start_time"] == "2026-03-21T09:00:00Z"
    ]
    own = {
        "appointment_id": UUID(booked.body["appointment_id"]),
        "manage_token": booked.body["manage_token"],
    }
    moved = api.call("reschedule_appointment", ANON, **own, **naming(other))
    assert (moved.success, moved.body.get("slot_id")) == (True, other["id"])
    assert far_slot["id"] in ids(listed(salon, FAR))
    assert other["id"] not in ids(listed(salon, "2026-03-21"))

    store(salon, 30)
    published = salon.db.execute(
        "select is_available, appointment_id from booking.availability_slots where id = %s",
        (other["id"],),
    ).fetchone()
    assert published == (False, own["appointment_id"])
    store(salon, 5)
    assert api.call("cancel_appointment", ANON, **own).success
    assert other["id"] in ids(listed(salon, "2026-03-21"))


def test_the_next_available_time_may_be_far(salon: Salon, far_slot: Slot) -> None:
    answer = Api(salon.db).call(
        "get_next_available",
        ANON,
        method="GET",
        tenant_id=salon.tenant,
        appointment_type="cut",
        from_time=far_slot["start_time"],
        max_results=1,
    )
    assert ids(answer.body["slots"]) == [far_slot["id"]]


def test_of_two_who_reserve_a_far_slot_the_second_waits_and_is_refused(
    salon: Salon,
    far_slot: Slot,
    connect: Callable[[], Session],
    wait_until_blocked: Callable[[int], None],
) -> None:
    first, second = connect(), connect()
    for session in (first, second):
        set_clock(session)

    def reserve(session: Session, session_id: str) -> str | None:
        return (
            Api(session)
            .call("reserve_slot", tenant_id=salon.tenant, session_id=session_id, **naming(far_slot))
            .code
        )

    with ThreadPoolExecutor(1) as thread:
        with first.transaction():
            assert reserve(first, "session-of-ada-0123456789") is None
            waiting = thread.submit(reserve, second, "session-of-bob-0123456789")
            wait_until_blocked(second.info.backend_pid)
        assert waiting.result() == "slot_taken"
    assert rows_of(salon, "slot_reservations") == 1


@pytest.mark.parametrize(
    "change",
    [
        {"start_time": "2026-03-20T09:05:00Z"},
        {"start_time": "2026-03-20T03:00:00Z"},
        {"start_time": "2026-05-20T09:00:00Z"},
        {"staff_id": UUID(int=4)},
    ],
    ids=["off the grid", "at night", "after the horizon", "nobody"],
)
def test_a_far_slot_that_is_none_is_refused_without_a_lock(
    salon: Salon, far_slot: Slot, connect: Callable[[], Session], change: dict[str, Any]
) -> None:
    """Somebody writes that calendar all the while."""
    named = naming(far_slot) | change
    (named["slot_id"],) = salon.db.execute(
        "select booking.slot_id(%s, %s, %s, %s, shape_id) from booking.appointment_types"
        " where code = 'cut'",
        (salon.tenant, named["staff_id"], named["location_id"], named["start_time"]),
    ).fetchone() or ("",)
    writer = connect()
    with writer.transaction():
        writer.execute("select * from booking.calendars for update")
        answer = Api(salon.db).call(
            "reserve_slot", tenant_id=salon.tenant, session_id="session-of-ada-01234", **named
        )
    assert answer.code == "slot_taken"


@pytest.fixture
def crowd(salon: Salon) -> Salon:
    """Forty people who are on holiday until 20 April. Nothing is stored of 61 days."""
    salon.db.execute("update booking.tenants set is_active = false")
    for number in range(39):
        salon.add_person(f"Person {number}")
    salon.insert(
        "schedule_exceptions", kind="closed", first_date="2026-03-02", last_date="2026-04-20"
    )
    salon.db.execute(
        "update booking.tenants"
        " set is_active = true, precompute_days = 0, booking_horizon_days = 60"
    )
    salon.db.execute("call booking.drain_refresh_queue()")
    return salon


def test_a_call_calculates_so_many_days_and_its_token_goes_on(crowd: Salon) -> None:
    """50 days of 40 people are more than one call may take."""
    asked: dict[str, Any] = {
        "tenant_id": crowd.tenant,
        "start_date": "2026-03-02",
        "end_date": "2026-04-21",
        "appointment_type": "cut",
    }
    first = Api(crowd.db).call("get_available_slots", method="GET", **asked)
    assert first.body["slots"] == []
    second = Api(crowd.db).call(
        "get_available_slots", method="GET", **asked, page_token=first.body["next_page_token"]
    )
    assert len(second.body["slots"]) == 1000
    assert len(listed(crowd, "2026-03-02", "2026-04-21", appointment_type="cut")) == 40 * 31


def test_the_next_available_says_until_when_it_has_searched(crowd: Salon) -> None:
    asked: dict[str, Any] = {"tenant_id": crowd.tenant, "appointment_type": "cut"}
    first = Api(crowd.db).call("get_next_available", method="GET", **asked)
    assert first.body["slots"] == []
    second = Api(crowd.db).call(
        "get_next_available", method="GET", **asked, from_time=first.body["searched_until"]
    )
    assert {slot["start_time"] for slot in second.body["slots"]} == {"2026-04-21T07:00:00Z"}
    assert "searched_until" not in second.body


def test_times_that_take_too_many_days_to_calculate_are_refused(crowd: Salon) -> None:
    asked: dict[str, Any] = {"tenant_id": crowd.tenant, "appointment_type": "cut"}
    all_days: dict[str, Any] = {"start_date": "2026-03-02", "end_date": "2026-05-01"}
    refused = Api(crowd.db).call("get_available_times", method="GET", **asked, **all_days)
    assert (refused.code, refused.status) == ("range_too_large", 400)
    assert "is too much for one answer: it would go until" in refused.body["message"]
    days: dict[str, Any] = {"start_date": "2026-04-02", "end_date": "2026-04-21"}
    answer = Api(crowd.db).call("get_available_times", method="GET", **asked, **days)
    assert [each["free_staff"] for each in answer.body["times"]] == [40] * 31


def test_only_the_calendar_that_lags_is_calculated(crowd: Salon) -> None:
    """All are published but one, whose night has failed since the first day."""
    store(crowd, 60, 60)
    crowd.db.execute("call booking.drain_refresh_queue()")
    asked: dict[str, Any] = {
        "tenant_id": crowd.tenant,
        "appointment_type": "cut",
        "start_date": "2026-03-02",
        "end_date": "2026-05-01",
    }
    published = Api(crowd.db).call("get_available_times", method="GET", **asked)
    crowd.db.execute(
        "update booking.calendars set materialized_until = '2026-03-02' where staff_id = %s",
        (crowd.person,),
    )
    crowd.db.execute("delete from booking.availability_slots where staff_id = %s", (crowd.person,))
    assert Api(crowd.db).call("get_available_times", method="GET", **asked).body == published.body
    assert {each["free_staff"] for each in published.body["times"]} == {40}


def test_a_far_slot_that_is_published_while_it_is_being_reserved_is_had(
    salon: Salon, far_slot: Slot
) -> None:
    """The slot had no row when it was looked up, and has one when it is asked for."""
    session = "session-of-ada-0123456789"
    named = {key: str(value) for key, value in naming(far_slot).items()}
    request = Jsonb({"tenant_id": str(salon.tenant), "session_id": session, **named})
    salon.db.execute(
        "create temp table looked_up as"
        " select booking.find_slot(%(request)s, sha256(%(session)s)) as slot",
        {"request": request, "session": session.encode()},
    )
    store(salon, 30)
    answer = salon.db.execute(
        "select booking.reserve_slot(l.slot, sha256(%(session)s), %(request)s) ->> 'slot_id'"
        " from looked_up l",
        {"request": request, "session": session.encode()},
    ).fetchone()
    assert answer == (far_slot["id"],)


# Under load


@dataclass
class Booker:
    """Lists some days, takes something of them, books it, and sometimes cancels it again."""

    url: str
    shop: Shop
    random: random.Random
    booked: dict[UUID, tuple[str, str]] = field(default_factory=dict)
    far: int = 0

    def run(self, stop: Event) -> None:
        with psycopg.connect(self.url, autocommit=True) as session:
            self.api = Api(session)
            while not stop.is_set():
                if self.booked and self.random.random() < 0.2:
                    self.cancel()
                else:
                    self.book()

    def book(self) -> None:
        today = datetime.now(ZONE).date()
        day = today + timedelta(days=self.random.randint(0, HORIZON))
        answer = self.api.call(
            "get_available_slots",
            method=self.random.choice(["GET", "POST"]),
            tenant_id=self.shop.tenant,
            start_date=day,
            end_date=day,
            appointment_type="cut",
        )
        assert answer.success
        if not answer.body["slots"]:
            return
        slot = self.random.choice(answer.body["slots"])
        session: dict[str, Any] = {"session_id": str(uuid4())}
        held = self.api.call("reserve_slot", tenant_id=self.shop.tenant, **naming(slot), **session)
        assert held.code in {None, "slot_taken", "busy"}
        if not held.success:
            return
        made = self.api.call(
            "create_appointment",
            SERVICE,
            slot_id=slot["id"],
            appointment_type="cut",
            user_data=GUEST,
            **session,
        )
        assert made.code in {None, "busy"}
        if made.success:
            self.far += (day - today).days > STORED
            self.booked[UUID(made.body["appointment_id"])] = (
                slot["id"],
                made.body["manage_token"],
            )

    def cancel(self) -> None:
        appointment = self.random.choice(list(self.booked))
        _, token = self.booked[appointment]
        answer = self.api.call("cancel_appointment", appointment_id=appointment, manage_token=token)
        assert answer.code in {None, "busy"}
        if answer.success:
            del self.booked[appointment]


@pytest.fixture
def shop(db: Session) -> Shop:
    """Four people, by the real clock, all of their days published."""
    shop = make_shop(db)
    store(shop, HORIZON, HORIZON)
    return shop


def all_ids(shop: Shop) -> list[str]:
    today = datetime.now(ZONE).date()
    return ids(listed(shop, today, today + timedelta(days=HORIZON)))


def test_switching_the_stored_days_under_load_loses_nothing_and_renames_nothing(
    shop: Shop, database_url: str
) -> None:
    bookers = [Booker(database_url, shop, random.Random(number)) for number in range(3)]
    stop = Event()
    switches = 0
    with ThreadPoolExecutor(len(bookers)) as threads:
        running: list[Future[None]] = [threads.submit(booker.run, stop) for booker in bookers]
        ends = time.monotonic() + SECONDS
        try:
            while time.monotonic() < ends and not any(each.done() for each in running):
                store(shop, STORED if switches % 2 == 0 else HORIZON, HORIZON)
                switches += 1
                time.sleep(0.3)
        finally:
            stop.set()
        for each in running:
            each.result()

    live = dict(
        shop.db.execute(
            "select id, slot_id::text from booking.appointments where status <> 'cancelled'"
        ).fetchall()
    )
    kept = {
        appointment: slot for booker in bookers for appointment, (slot, _) in booker.booked.items()
    }
    assert live == kept
    assert len(live) > 10
    assert sum(booker.far for booker in bookers) > 3
    assert switches > 3
    assert overlaps(shop.db) == []

    listings = []
    for days in (STORED, HORIZON, 0, HORIZON):
        store(shop, days, HORIZON)
        assert (
            shop.db.execute("select * from booking.find_differences(%s)", (shop.tenant,)).fetchall()
            == []
        )
        listings.append(all_ids(shop))
    assert listings[0] != []
    assert [each == listings[0] for each in listings] == [True] * 4
