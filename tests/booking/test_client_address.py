"""Where a call comes from: what our outermost proxy wrote, and never the client's own word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.salon import Salon


def value(salon: Salon, query: str, headers: str | None, proxies: int = 1) -> Any:
    """The value of a query in a request with these headers."""
    with salon.db.transaction(force_rollback=True):
        salon.db.execute("update booking.settings set trusted_proxies = %s", (proxies,))
        if headers is not None:
            salon.db.execute("select set_config('request.headers', %s, true)", (headers,))
        row = salon.db.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def address(salon: Salon, forwarded: str, proxies: int = 1) -> str | None:
    """booking.client_address() with that x-forwarded-for."""
    found = value(
        salon,
        "select host(booking.client_address())",
        json.dumps({"x-forwarded-for": forwarded}),
        proxies,
    )
    assert found is None or isinstance(found, str)
    return found


def address_hash(salon: Salon, forwarded: str, proxies: int = 1) -> bytes | None:
    """booking.address_hash() with that x-forwarded-for."""
    found = value(
        salon,
        "select booking.address_hash()",
        json.dumps({"x-forwarded-for": forwarded}),
        proxies,
    )
    assert found is None or isinstance(found, bytes)
    return found


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [
        (0, None),
        (1, "203.0.113.3"),
        (2, "203.0.113.2"),
        (3, "203.0.113.1"),
        (4, "192.0.2.66"),
        (5, None),
        (10, None),
    ],
)
def test_it_is_the_nth_entry_from_the_right(
    shared_salon: Salon, proxies: int, expected: str | None
) -> None:
    forwarded = "192.0.2.66, 203.0.113.1,203.0.113.2 ,  203.0.113.3"
    assert address(shared_salon, forwarded, proxies) == expected


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("999.0.2.1", None),
        ("192.0.2", None),
        ("192.0.2.1.7", None),
        ("192.0.2.1/8", None),
        ("192.0.2.1:port", None),
        ("2001:db8::1::2", None),
        ("[2001:db8::1", None),
        ("2001:db8::1%eth0", None),
        ("for=192.0.2.1", None),
        ("'; drop table booking.settings; --", None),
        ("1" * 10000, None),
    ],
)
def test_ports_are_cut_off_and_rubbish_is_nobody(
    shared_salon: Salon, entry: str, expected: str | None
) -> None:
    assert address(shared_salon, f"198.51.100.9, {entry}") == expected
    assert (address_hash(shared_salon, f"198.51.100.9, {entry}") is None) == (expected is None)


@pytest.mark.parametrize("headers", [None, "", "{}", '{"x-forwarded-for": null}', '{"via": "1.1"}'])
def test_without_the_header_there_is_no_address(shared_salon: Salon, headers: str | None) -> None:
    assert value(shared_salon, "select booking.client_address()", headers) is None
    assert value(shared_salon, "select booking.address_hash()", headers) is None


def test_it_is_kept_as_a_salted_hash(salon: Salon) -> None:
    first = address_hash(salon, "192.0.2.1")
    assert first is not None
    assert len(first) == 32
    assert address_hash(salon, "192.0.2.1") == first
    salon.db.execute("update booking.settings set hash_salt = gen_random_uuid()")
    assert address_hash(salon, "192.0.2.1") != first


def test_each_ipv4_address_is_a_client_of_its_own(shared_salon: Salon) -> None:
    entries = ["192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3", "::ffff:198.51.100.3"]
    assert len({address_hash(shared_salon, entry) for entry in entries}) == 4


def test_one_client_has_one_hash_however_it_is_written(shared_salon: Salon) -> None:
    for one, other in [
        ("192.0.2.1", "192.0.2.1:4711"),
        ("192.0.2.1", "::ffff:192.0.2.1"),
        ("2001:db8::1", "[2001:DB8:0::1]:4711"),
    ]:
        assert address_hash(shared_salon, one) == address_hash(shared_salon, other)


def test_an_ipv6_household_is_one_client_and_its_neighbour_another(shared_salon: Salon) -> None:
    one = address_hash(shared_salon, "2001:db8:0:1::1")
    assert address_hash(shared_salon, "2001:db8:0:1:ffff:ffff:ffff:ffff") == one
    assert address_hash(shared_salon, "2001:db8:0:2::1") != one
