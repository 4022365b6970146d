"""Answers of every function of schema "api", recorded by calling each one: a whole visit, with each
optional key there at least once, and at least one refusal of each function."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

from tests.api import ANON, SERVICE, Answer, Caller
from tests.booking.booked import (
    ADA,
    ADAS_DATA,
    OTHER_SESSION,
    SESSION,
    add_service,
    admin_of,
    call,
    slot_at,
    staff_of,
)
from tests.salon import TEN, Salon

Recorded = tuple[str, Answer]

DAY = TEN.date()


def visit(salon: Salon) -> Iterator[Recorded]:
    """Functions and their answers, in the order in which they were called."""

    def record(function: str, caller: Caller = ANON, **arguments: Any) -> Recorded:
        return function, call(salon, function, caller, **arguments)

    premium = add_service(salon, "premium", price_cents=4500, requires_payment=True)
    salon.db.execute(
        "insert into booking.tenant_slugs (slug, tenant_id) values ('salon', %s)", (salon.tenant,)
    )
    salon.db.execute(
        "update booking.tenants set payment_url_template = 'https://pay.example/{appointment_id}'"
    )
    slot = slot_at(salon, type_id=premium)
    later = slot_at(salon, TEN + timedelta(hours=3), premium)
    hold: dict[str, Any] = {"slot_id": slot, "session_id": SESSION, "appointment_type": "premium"}
    days: dict[str, Any] = {"tenant_id": salon.tenant, "start_date": DAY, "end_date": DAY}
    person = {"tenant_id": salon.tenant, "staff_id": salon.person}

    yield record("get_tenant", slug="salon")
    yield record("get_tenant", slug="nobody")
    yield record("get_available_slots", **days, appointment_type="premium", max_results=2)
    yield record("get_available_slots", **days)
    yield record("get_available_slots", **days | {"end_date": DAY + timedelta(days=90)})
    yield record("get_available_times", **days, appointment_type="premium")
    yield record("get_available_times", **days, appointment_type="massage")
    yield record("get_next_available", tenant_id=salon.tenant, appointment_type="premium")
    yield record("get_next_available", tenant_id=salon.tenant, max_results=0)

    yield record("reserve_slot", **hold)
    yield record("reserve_slot", **hold | {"session_id": OTHER_SESSION})
    yield record("get_reservations", session_id=SESSION)
    yield record("get_reservations", session_id="short")
    yield record("explain_availability", staff_of(salon), **person, at=TEN)
    yield record("release_slot", slot_id=slot, session_id=SESSION)
    yield record("release_slot", slot_id=slot, session_id=SESSION)
    yield record("reserve_slot", slot_id=slot, session_id=SESSION)
    anybody: dict[str, Any] = {
        "tenant_id": salon.tenant,
        "appointment_type": "premium",
        "session_id": OTHER_SESSION,
    }
    yield record("reserve_time", **anybody, start_time=TEN + timedelta(hours=1))
    yield record("reserve_time", **anybody, start_time=TEN)

    yield record("create_appointment", ADA, **hold, user_data={"name": "Ada"})
    _, booked = booking = record("create_appointment", ADA, **hold, user_data=ADAS_DATA)
    yield booking
    mine = {"appointment_id": booked.body["appointment_id"]}
    paid = mine | {"payment_status": "paid", "payment_reference": "pi_123"}
    yield record("record_payment", SERVICE, **paid)
    yield record("record_payment", SERVICE, **paid | {"payment_status": "owed"})
    yield record("reschedule_appointment", ADA, **mine, slot_id=later)
    yield record("reschedule_appointment", ADA, appointment_id=uuid4(), slot_id=later)

    yield record("explain_availability", staff_of(salon), **person, at=TEN + timedelta(hours=3))
    yield record("explain_availability", staff_of(salon), **person, at=TEN + timedelta(hours=9))
    yield record("explain_availability", ADA, **person, at=TEN)
    yield record("cancel_appointment", ADA, **mine)
    yield record("cancel_appointment", ADA, **mine)

    week = [
        {
            "location_id": str(salon.location),
            "weekday": 1,
            "start_time": "9:00",
            "end_time": "24:00",
        }
    ]
    yield record("set_working_hours", admin_of(salon), **person, hours=week)
    week[0]["start_time"] = "09:00"
    yield record("set_working_hours", admin_of(salon), **person, hours=week)
    yield record("set_working_hours", admin_of(salon), **person, hours=week, valid_from=DAY)
    yield record("recalculate_availability", SERVICE, **days)
    yield record("recalculate_availability", SERVICE, **days | {"tenant_id": uuid4()})
