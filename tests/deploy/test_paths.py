"""Which path reaches which function, and what nginx says itself."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.edge import DEPLOY, Edge, Request, Response, Upstream, rendered, wait_until


def test_nginx_takes_the_shipped_file(nginx: str, tmp_path: Path) -> None:
    configuration = rendered(tmp_path, 8080, "127.0.0.1:3000")
    command = [nginx, "-t", "-c", str(configuration), "-e", str(tmp_path / "error.log")]
    tested = subprocess.run(command, capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr
    assert "warn" not in tested.stderr


def test_compose_changes_a_line_that_is_there() -> None:
    replaced = re.search(r"sed 's/(.*?)/", (DEPLOY / "compose.yaml").read_text())
    assert replaced
    assert (DEPLOY / "nginx.conf").read_text().count(replaced[1]) == 1


def test_what_the_container_runs_is_executable() -> None:
    assert os.access(DEPLOY / "database.sh", os.X_OK)


@pytest.mark.parametrize(
    ("method", "path", "reached"),
    [
        ("GET", "/api/booking/get-available-slots", "/rpc/get_available_slots"),
        ("POST", "/api/booking/get-available-slots", "/rpc/get_available_slots"),
        ("POST", "/api/booking/reserve-slot", "/rpc/reserve_slot"),
        ("POST", "/api/booking/create-appointment", "/rpc/create_appointment"),
        ("POST", "/api/admin/recalculate-availability", "/rpc/recalculate_availability"),
        ("GET", "/rest/v1/availability_slots", "/availability_slots"),
        ("GET", "/rest/v1/rpc/get_tenant", "/rpc/get_tenant"),
        ("GET", "/rest/v1/rpc/get_next_available", "/rpc/get_next_available"),
        ("GET", "/rest/v1/rpc/get_available_times", "/rpc/get_available_times"),
        ("GET", "/rest/v1/appointments", "/appointments"),
        ("PATCH", "/rest/v1/appointments", "/appointments"),
        ("POST", "/rest/v1/rpc/reserve_slot", "/rpc/reserve_slot"),
        ("POST", "/rest/v1/rpc/reserve_time", "/rpc/reserve_time"),
        ("POST", "/rest/v1/rpc/cancel_appointment", "/rpc/cancel_appointment"),
        ("GET", "/rest/v1/", "/"),
    ],
)
def test_a_path_reaches_its_function_with_method_query_and_body(
    edge: Edge, upstream: Upstream, method: str, path: str, reached: str
) -> None:
    query = "?a=eq.%C3%A4%20%26b&order=start_time.asc"
    body = None if method == "GET" else {"a": "ä"}
    assert edge.ask(path + query, method, body).status == 200
    assert (upstream.last.method, upstream.last.path) == (method, reached + query)
    if body:
        assert upstream.last.body.decode() == '{"a": "\\u00e4"}'
        assert upstream.last.headers["content-type"] == "application/json"


def test_tokens_and_profiles_reach_postgrest_where_nothing_is_cached(
    edge: Edge, upstream: Upstream
) -> None:
    edge.post(
        "/api/booking/create-appointment",
        Authorization="Bearer t",
        Content_Profile="api",
        Prefer="count=exact",
        Origin="https://salon.example",
    )
    sent = upstream.last.headers
    assert sent["authorization"] == "Bearer t"
    assert sent["content-profile"] == "api"
    assert sent["prefer"] == "count=exact"
    assert sent["origin"] == "https://salon.example"


@pytest.mark.parametrize("path", ["/", "/rpc/reserve_slot", "/cached/availability_slots", "/api/x"])
def test_nothing_else_is_reached(edge: Edge, upstream: Upstream, path: str) -> None:
    answer = edge.ask(path)
    assert (answer.status, answer.json["code"]) == (404, "not_found")
    assert not upstream.requests


@pytest.mark.parametrize("status", [404, 429, 503])
def test_a_refusal_of_the_functions_passes_as_it_is(
    edge: Edge, upstream: Upstream, status: int
) -> None:
    refusal = Response(status, {"Retry-After": "7"}, b'{"success": false, "code": "own"}')
    upstream.answer = refusal
    for answer in (
        edge.post("/api/booking/create-appointment"),
        edge.ask("/api/booking/get-available-slots"),
    ):
        assert answer.status == status
        assert answer.headers["retry-after"] == "7"
        assert answer.json["code"] == "own"


@pytest.mark.parametrize("path", ["/api/booking/create-appointment", "/rest/v1/appointments"])
def test_a_body_of_more_than_64_kilobytes_is_refused(
    edge: Edge, upstream: Upstream, path: str
) -> None:
    assert edge.post(path, b"x" * 65_536).status == 200
    answer = edge.post(path, b"x" * 65_537)
    assert answer.status == 413
    assert answer.json["success"] is False
    assert answer.json["code"] == "invalid_request"
    assert set(answer.json) == {"success", "code", "message", "details", "hint"}
    assert len(upstream.requests) == 1


def test_without_postgrest_the_answer_is_busy(edge: Edge, upstream: Upstream) -> None:
    def hang_up(request: Request) -> Response:
        raise ConnectionAbortedError

    upstream.answer = hang_up
    answer = edge.post("/api/booking/create-appointment")
    assert (answer.status, answer.json["code"]) == (503, "busy")
    assert int(answer.headers["retry-after"]) > 0


def test_no_post_is_sent_twice(edge: Edge, upstream: Upstream) -> None:
    def hang_up(request: Request) -> Response:
        raise ConnectionAbortedError

    for _ in range(20):
        edge.post("/api/booking/create-appointment")
    upstream.answer = hang_up
    # On connections that were kept open, where nginx might think that it came too late.
    for _ in range(4):
        edge.post("/api/booking/create-appointment")
    assert len(upstream.requests) == 24


def test_the_log_has_neither_query_strings_nor_tokens(edge: Edge, upstream: Upstream) -> None:
    edge.ask("/api/booking/get-available-slots?session_id=hush", Authorization="Bearer hush")
    edge.post("/rest/v1/rpc/get_reservations?x=hush", {"session_id": "hush"}, Cookie="a=hush")
    wait_until(lambda: edge.log().count("\n") == 2)
    assert '"GET /api/booking/get-available-slots" 200' in edge.log()
    assert '"POST /rest/v1/rpc/get_reservations" 200' in edge.log()
    assert "hush" not in edge.log()
