"""A salon of today behind PostgREST, and clients that call it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import jwt
import psycopg

from tests.api import ANON, Caller, customer
from tests.booking.booked import ADAS_DATA, slot_at
from tests.http.server import PostgREST
from tests.salon import Salon, make_salon

BERLIN = ZoneInfo("Europe/Berlin")


def random_address() -> str:
    """An address that no other test calls from; limits count IPv6 by its /64."""
    return f"2001:db8:{random.getrandbits(16):x}:{random.getrandbits(16):x}::1"


@dataclass(frozen=True)
class Shop:
    """A tenant, an address, a session and a customer for each test; `ten` is ten o'clock in Berlin,
    the day after tomorrow."""

    postgrest: PostgREST
    salon: Salon
    ten: datetime
    address: str = field(default_factory=random_address)
    session: str = field(default_factory=lambda: f"session-{uuid4()}")
    customer: Caller = field(default_factory=lambda: customer(uuid4()))

    def token(self, caller: Caller, seconds: float = 3600, secret: str | None = None) -> str:
        """What a caller signs in with; it expires in so many seconds."""
        claims = {"role": caller.role, "exp": int(time.time() + seconds), **caller.claims}
        return jwt.encode(claims, secret or self.postgrest.secret, "HS256")

    def headers(self, caller: Caller = ANON) -> dict[str, str]:
        """The proxy's word of where the call comes from and, unless anonymous, the token."""
        token = {} if caller == ANON else {"Authorization": f"Bearer {self.token(caller)}"}
        return {"X-Forwarded-For": self.address, **token}

    def request(
        self,
        method: str,
        path: str,
        caller: Caller = ANON,
        *,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Any request to PostgREST."""
        return httpx.request(
            method,
            f"{self.postgrest.url}/{path}",
            headers=self.headers(caller) | (headers or {}),
            timeout=30,
            **more,
        )

    def get(self, path: str, caller: Caller = ANON, **parameters: Any) -> httpx.Response:
        """Read, by GET."""
        return self.request("GET", path, caller, params=texts(parameters))

    def call(self, function: str, caller: Caller = ANON, **arguments: Any) -> httpx.Response:
        """Call a function, by POST."""
        return self.request("POST", f"rpc/{function}", caller, json=texts(arguments))

    def slot(self, hours: float = 0) -> UUID:
        """The slot of the cut so many hours after ten."""
        return slot_at(self.salon, self.ten + timedelta(hours=hours))

    def reserve(self, session_id: str | None = None) -> httpx.Response:
        """Hold the slot at ten, or be refused."""
        hold: dict[str, Any] = {"slot_id": self.slot(), "session_id": session_id or self.session}
        return self.call("reserve_slot", **hold, appointment_type="cut")

    def book(self) -> dict[str, Any]:
        """Hold the slot at ten and book it for the customer, which must succeed."""
        slot = self.slot()
        assert self.reserve().is_success
        answer = self.call(
            "create_appointment",
            self.customer,
            slot_id=slot,
            session_id=self.session,
            appointment_type="cut",
            user_data=ADAS_DATA,
        )
        assert answer.is_success, answer.text
        body = answer.json()
        assert isinstance(body, dict)
        return body

    def days(self) -> dict[str, Any]:
        """Arguments of get_available_slots: the day of `ten`, the cut."""
        day = str(self.ten.date())
        return {
            "tenant_id": str(self.salon.tenant),
            "start_date": day,
            "end_date": day,
            "appointment_type": "cut",
        }


def texts(values: dict[str, Any]) -> dict[str, Any]:
    """Ids and times as the texts that JSON and addresses have for them."""
    return {
        name: value.isoformat()
        if isinstance(value, datetime)
        else str(value)
        if isinstance(value, UUID)
        else value
        for name, value in values.items()
    }


def open_shop(postgrest: PostgREST, db: psycopg.Connection[Any]) -> Shop:
    """A new salon whose slots are those of today: PostgREST's sessions have the real clock."""
    salon = make_salon(db)
    db.execute("reset booking.fake_now")
    db.execute("select booking.refresh_horizon(%s, null)", [salon.tenant])
    day = datetime.now(BERLIN) + timedelta(days=2)
    return Shop(postgrest, salon, day.replace(hour=10, minute=0, second=0, microsecond=0))
