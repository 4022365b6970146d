"""Where a call comes from: nginx's word and nobody else's."""

from __future__ import annotations

import pytest

from tests.deploy.edge import Edge, Upstream

FORGED = "203.0.113.9"
PATHS = [
    ("GET", "/api/booking/get-available-slots"),
    ("POST", "/api/booking/reserve-slot"),
    ("POST", "/rest/v1/rpc/cancel_appointment"),
]


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_a_client_cannot_say_where_it_comes_from(
    edge: Edge, upstream: Upstream, method: str, path: str
) -> None:
    edge.ask(
        path,
        method,
        {} if method == "POST" else None,
        X_Forwarded_For=f"{FORGED}, 198.51.100.1",
        X_Forwarded_Host=FORGED,
        X_Forwarded_Proto=FORGED,
        X_Real_IP=FORGED,
        Forwarded=f"for={FORGED}",
        Cookie=f"address={FORGED}",
    )
    assert upstream.last.headers["x-forwarded-for"] == "127.0.0.1"
    assert FORGED not in str(upstream.last.headers)


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_behind_a_trusted_proxy_its_visitor_is_the_caller(
    edge_behind_a_proxy: Edge, upstream: Upstream, method: str, path: str
) -> None:
    edge_behind_a_proxy.ask(
        path,
        method,
        {} if method == "POST" else None,
        X_Forwarded_For=f"{FORGED}, 198.51.100.1",
    )
    assert upstream.last.headers["x-forwarded-for"] == "198.51.100.1"


def test_another_than_the_trusted_proxy_is_not_believed(
    edge_behind_a_proxy: Edge, upstream: Upstream
) -> None:
    edge_behind_a_proxy.post(
        "/api/booking/reserve-slot", address="127.0.0.2", X_Forwarded_For=FORGED
    )
    assert upstream.last.headers["x-forwarded-for"] == "127.0.0.2"


@pytest.mark.parametrize("path", ["/rest/v1/availability_slots", "/rest/v1/appointments"])
@pytest.mark.parametrize("estimate", ["count=planned", "return=minimal, count=estimated"])
def test_nobody_gets_an_estimated_count(
    edge: Edge, upstream: Upstream, path: str, estimate: str
) -> None:
    edge.ask(path, Prefer=estimate)
    assert "prefer" not in upstream.last.headers
    edge.ask(path, Prefer="count=exact")
    assert upstream.last.headers["prefer"] == "count=exact"
