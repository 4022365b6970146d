"""Who is calling: nobody, customers, staff, admins, the service, and tokens that are none."""

from __future__ import annotations

import base64
import json
import time
from uuid import uuid4

import pytest

from tests.api import ANON, SERVICE, Caller, customer
from tests.booking.booked import BOB, admin_of, staff_of
from tests.http.shop import Shop


def test_tokens_that_are_none_are_refused(shop: Shop) -> None:
    claims = {"role": "service_role", "exp": int(time.time()) + 3600}
    unsigned = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
        for part in ({"alg": "none", "typ": "JWT"}, claims)
    )
    tokens = {
        "of another secret": shop.token(SERVICE, secret="another-secret-" * 3),
        "expired": shop.token(SERVICE, seconds=-120),
        "unsigned": f"{unsigned}.",
        "no token": "letmein",
    }
    for name, token in tokens.items():
        answer = shop.request("GET", "staff", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, name
        assert answer.json()["code"].startswith("PGRST30"), name


def test_customers_see_their_own_appointments_and_staff_their_tenants(shop: Shop) -> None:
    appointment = shop.book()["appointment_id"]

    def seen_by(caller: Caller) -> list[str]:
        return [row["id"] for row in shop.get("appointments", caller, select="id").json()]

    assert seen_by(shop.customer) == [appointment]
    assert seen_by(BOB) == []
    assert seen_by(staff_of(shop.salon)) == [appointment]
    assert seen_by(admin_of(shop.salon)) == [appointment]
    assert appointment in seen_by(SERVICE)
    assert shop.get("appointments").status_code == 401


def test_user_metadata_which_users_write_gives_nothing(shop: Shop) -> None:
    shop.book()
    claims = {"tenants": {str(shop.salon.tenant): {"role": "admin"}}}
    liar = Caller("authenticated", {"sub": str(uuid4()), "user_metadata": claims})
    assert shop.get("appointments", liar).json() == []


@pytest.mark.parametrize(
    ("function", "callers"),
    [
        ("create_appointment", {"nobody": 401}),
        ("set_working_hours", {"nobody": 401, "a customer": 404, "an admin": 200, "staff": 200}),
        ("explain_availability", {"nobody": 401, "a customer": 404, "an admin": 200, "staff": 200}),
        ("recalculate_availability", {"nobody": 401, "an admin": 403, "the service": 200}),
        ("record_payment", {"nobody": 401, "a customer": 403, "staff": 403, "the service": 404}),
    ],
)
def test_functions_are_for_those_whom_they_are_for(
    shop: Shop, function: str, callers: dict[str, int]
) -> None:
    day = str(shop.ten.date())
    person = {"tenant_id": shop.salon.tenant, "staff_id": shop.salon.person}
    hours = {
        "location_id": str(shop.salon.location),
        "weekday": 1,
        "start_time": "09:00",
        "end_time": "17:00",
    }
    arguments: dict[str, dict[str, object]] = {
        "create_appointment": {"slot_id": shop.slot(), "user_data": {}, "appointment_type": "cut"},
        "set_working_hours": {**person, "hours": [hours]},
        "explain_availability": {**person, "at": shop.ten},
        "recalculate_availability": {**person, "start_date": day, "end_date": day},
        "record_payment": {
            "appointment_id": uuid4(),
            "payment_status": "paid",
            "payment_reference": "pi_123",
        },
    }
    known = {
        "nobody": ANON,
        "a customer": customer(uuid4()),
        "staff": staff_of(shop.salon),
        "an admin": admin_of(shop.salon),
        "the service": SERVICE,
    }
    given = {
        name: shop.call(function, known[name], **arguments[function]).status_code
        for name in callers
    }
    assert given == callers
