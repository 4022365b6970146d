"""Ten holds a minute for an address: the one that our proxy saw, not the ones that callers name."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.http.shop import Shop, random_address
from tests.salon import limit_calls


@pytest.fixture
def flooded(shop: Shop) -> Iterator[Shop]:
    """The limit is as installed, and ten calls have come from the shop's address, within the six
    seconds in which one more is due."""
    shop.salon.db.execute("update booking.settings set reserves_per_minute = default")
    assert [shop.reserve().status_code for _ in range(10)] == [200] * 10
    yield shop
    limit_calls(shop.salon.db, 1_000_000)


def reserve_from(shop: Shop, forwarded_for: str) -> httpx.Response:
    """Hold a slot; proxies say that the call has come this way."""
    return shop.request(
        "POST",
        "rpc/reserve_slot",
        json={"slot_id": str(shop.slot()), "session_id": shop.session},
        headers={"X-Forwarded-For": forwarded_for},
    )


def test_the_eleventh_hold_in_a_minute_is_too_many(flooded: Shop) -> None:
    refused = flooded.reserve()
    assert refused.status_code == 429
    assert refused.json()["code"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 6
    assert flooded.reserve().status_code == 429


def test_another_address_is_free(flooded: Shop) -> None:
    assert reserve_from(flooded, random_address()).status_code == 200


def test_addresses_that_the_caller_names_count_for_nothing(flooded: Shop) -> None:
    for forged in (random_address(), "127.0.0.1", "unknown, 198.51.100.7"):
        assert reserve_from(flooded, f"{forged}, {flooded.address}").status_code == 429


def test_releasing_and_reading_have_limits_of_their_own(flooded: Shop) -> None:
    answer = flooded.call("release_slot", slot_id=flooded.slot(), session_id=flooded.session)
    assert answer.status_code == 200
    assert flooded.get("rpc/get_available_slots", **flooded.days()).status_code == 200
