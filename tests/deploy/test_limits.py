"""How often one address may call."""

from __future__ import annotations

import time

import pytest

from tests.deploy.edge import Edge, Response, Upstream

RESERVE = ("/api/booking/reserve-slot", "/rest/v1/rpc/reserve_slot")


def statuses_of_reserving(edge: Edge, times: int, **headers: str) -> list[int]:
    """Reserve so often, by both paths in turn."""
    return [edge.post(RESERVE[i % 2], **headers).status for i in range(times)]


def assert_is_limited(answer: Response, retry_after: int) -> None:
    """The refusal of design: status, envelope, when to come back, readable by browsers."""
    assert answer.status == 429
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["retry-after"] == str(retry_after)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert set(answer.json) == {"success", "code", "message", "details", "hint"}
    assert answer.json["success"] is False
    assert answer.json["code"] == "rate_limited"


def test_the_eleventh_reserve_in_a_minute_is_refused(edge: Edge, upstream: Upstream) -> None:
    assert statuses_of_reserving(edge, 10) == [200] * 10
    assert_is_limited(edge.post("/api/booking/reserve-slot"), retry_after=6)
    assert len(upstream.requests) == 10


def test_reserving_times_and_slots_is_counted_together(edge: Edge, upstream: Upstream) -> None:
    assert statuses_of_reserving(edge, 5) == [200] * 5
    time_path = "/rest/v1/rpc/reserve_time"
    assert [edge.post(time_path).status for _ in range(5)] == [200] * 5
    assert_is_limited(edge.post(time_path), retry_after=6)
    assert_is_limited(edge.post(RESERVE[0]), retry_after=6)
    assert len(upstream.requests) == 10


def test_another_address_and_other_functions_are_free(edge: Edge) -> None:
    assert statuses_of_reserving(edge, 11)[-1] == 429
    assert edge.post("/api/booking/reserve-slot", address="127.0.0.2").status == 200
    assert edge.post("/api/booking/create-appointment").status == 200
    assert edge.ask("/api/booking/get-available-slots").status == 200


def test_a_forged_address_is_counted_with_the_rest(edge: Edge) -> None:
    for number in range(10):
        edge.post(RESERVE[0], X_Forwarded_For=f"192.0.2.{number}", X_Real_IP=f"192.0.2.{number}")
    assert edge.post(RESERVE[0], X_Forwarded_For="192.0.2.99").status == 429


def test_an_unusual_spelling_of_the_path_is_counted_too(edge: Edge) -> None:
    assert statuses_of_reserving(edge, 10) == [200] * 10
    for spelling in ("/rest/v1//rpc/./reserve_slot", "/rest/v1/rpc/reserve%5Fslot?a=b"):
        assert edge.post(spelling).status == 429


def test_after_six_seconds_one_more_is_free(edge: Edge) -> None:
    assert statuses_of_reserving(edge, 11)[-1] == 429
    time.sleep(6.2)
    assert statuses_of_reserving(edge, 2) == [200, 429]


def test_preflights_are_not_counted(edge: Edge, upstream: Upstream) -> None:
    for _ in range(11):
        edge.ask(RESERVE[0], "OPTIONS", Origin="https://salon.example")
    assert len(upstream.requests) == 11
    assert edge.post(RESERVE[0]).status == 200


@pytest.mark.parametrize("path", ["/api/booking/get-available-slots", "/rest/v1/appointments"])
def test_about_a_hundred_reads_a_minute_are_answered(edge: Edge, path: str) -> None:
    began = time.monotonic()
    answered = 0
    while (answer := edge.ask(path)).status == 200 and answered < 1000:
        answered += 1
    # One more each 0.6 seconds.
    assert 100 <= answered <= 101 + (time.monotonic() - began) / 0.6
    assert_is_limited(answer, retry_after=1)


def test_ipv6_addresses_are_counted_by_network(edge_behind_a_proxy: Edge) -> None:
    def reserve(address: str) -> int:
        return edge_behind_a_proxy.post(RESERVE[0], X_Forwarded_For=address).status

    assert [reserve(f"2001:db8:1:a::{number:x}") for number in range(10)] == [200] * 10
    assert reserve("2001:db8:1:a:ffff::1") == 429
    assert reserve("2001:db8:1:b::1") == 200
    assert reserve("192.0.2.1") == 200


def test_ipv4_addresses_are_counted_one_by_one(edge_behind_a_proxy: Edge) -> None:
    for number in range(11):
        answer = edge_behind_a_proxy.post(RESERVE[0], X_Forwarded_For=f"192.0.2.{number}")
        assert answer.status == 200
