"""What nginx keeps: slots that anybody may read, and nothing else."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.deploy.edge import Edge, Request, Response, Upstream, public, wait_until

SLOTS = "/api/booking/get-available-slots?tenant_id=1"
CACHED = [
    SLOTS,
    "/rest/v1/rpc/get_available_slots?tenant_id=1",
    "/rest/v1/rpc/get_available_times?tenant_id=1",
    "/rest/v1/rpc/get_next_available?tenant_id=1",
    "/rest/v1/rpc/get_tenant?slug=salon",
    "/rest/v1/availability_slots?tenant_id=eq.1",
]


@pytest.mark.parametrize("path", CACHED)
def test_the_same_question_is_asked_once(edge: Edge, upstream: Upstream, path: str) -> None:
    assert edge.ask(path).json == edge.ask(path).json == {"success": True}
    assert edge.ask(path, "HEAD").status == 200
    assert len(upstream.requests) == 1


def test_both_paths_share_an_answer(edge: Edge, upstream: Upstream) -> None:
    edge.ask(CACHED[0])
    edge.ask(CACHED[1])
    assert len(upstream.requests) == 1


def test_however_many_ask_at_once_postgrest_is_asked_once(edge: Edge, upstream: Upstream) -> None:
    go_on = threading.Event()

    def slowly(request: Request) -> Response:
        go_on.wait(10)
        return public(body=b"slots")

    upstream.answer = slowly
    with ThreadPoolExecutor(20) as crowd:
        answers = [crowd.submit(edge.ask, SLOTS) for _ in range(20)]
        wait_until(lambda: len(upstream.requests) > 0)
        time.sleep(0.3)
        go_on.set()
        assert {answer.result().body for answer in answers} == {b"slots"}
    assert len(upstream.requests) == 1


def test_while_an_answer_is_renewed_the_old_one_is_given(edge: Edge, upstream: Upstream) -> None:
    upstream.answer = public(seconds=1, body=b"old")
    assert edge.ask(SLOTS).body == b"old"
    time.sleep(2.1)
    go_on = threading.Event()

    def slowly(request: Request) -> Response:
        go_on.wait(10)
        return public(body=b"new")

    upstream.answer = slowly
    began = time.monotonic()
    assert [edge.ask(SLOTS).body for _ in range(5)] == [b"old"] * 5
    assert time.monotonic() - began < 5, "somebody waited"
    wait_until(lambda: len(upstream.requests) == 2)
    go_on.set()
    wait_until(lambda: edge.ask(SLOTS).body == b"new")
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("status", [500, 503])
def test_while_postgrest_is_down_the_old_answer_is_given(
    edge: Edge, upstream: Upstream, status: int
) -> None:
    upstream.answer = public(seconds=1, body=b"old")
    edge.ask(SLOTS)
    upstream.answer = Response(status)
    time.sleep(2.1)
    for _ in range(3):
        assert edge.ask(SLOTS).body == b"old"


@pytest.mark.parametrize("path", CACHED)
def test_who_asks_for_slots_does_so_as_anybody(edge: Edge, upstream: Upstream, path: str) -> None:
    edge.ask(
        path,
        Authorization="Bearer t",
        apikey="k",
        Cookie="c=1",
        Origin="https://salon.example",
        User_Agent="u",
        Accept="application/json",
        Accept_Profile="api",
    )
    assert set(upstream.last.headers) == {"accept", "accept-profile", "host", "x-forwarded-for"}
    assert edge.ask(path, Accept="application/json", Accept_Profile="api").status == 200
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("origin", ["https://salon.example", ""])
def test_browsers_of_every_origin_may_read_a_cached_answer(edge: Edge, origin: str) -> None:
    for headers in ({"Origin": origin} if origin else {}, {"Origin": "https://other.example"}):
        answer = edge.ask(SLOTS, **headers)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "ETag" in answer.headers["access-control-expose-headers"]


def test_a_post_is_answered_anew_and_with_its_token(edge: Edge, upstream: Upstream) -> None:
    edge.ask(SLOTS)
    for _ in range(2):
        edge.post(SLOTS, {"tenant_id": 1}, Authorization="Bearer t")
        assert upstream.last.headers["authorization"] == "Bearer t"
    assert len(upstream.requests) == 3


@pytest.mark.parametrize("path", ["/rest/v1/appointments", "/rest/v1/staff", "/rest/v1/"])
def test_nothing_but_slots_is_kept(edge: Edge, upstream: Upstream, path: str) -> None:
    edge.ask(path, Authorization="Bearer t")
    assert upstream.last.headers["authorization"] == "Bearer t"
    edge.ask(path)
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, {"Cache-Control": "private, no-cache"}),
        Response(200, {"Cache-Control": "no-store"}),
        Response(200, {"Cache-Control": "public, max-age=0"}),
        Response(200),
        Response(200, {"Cache-Control": "public, s-maxage=60", "Set-Cookie": "a=b"}),
        *(
            Response(status, {"Cache-Control": "public, s-maxage=60"})
            for status in (400, 401, 404, 406, 409, 429, 500, 503)
        ),
    ],
)
def test_a_private_answer_or_a_refusal_is_never_kept(
    edge: Edge, upstream: Upstream, answer: Response
) -> None:
    upstream.answer = answer
    assert edge.ask(SLOTS).status == answer.status
    assert edge.ask(SLOTS).status == answer.status
    assert len(upstream.requests) == 2


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": "text/csv"},
        {"Accept_Profile": "other"},
        {"Prefer": "count=exact"},
        {"Range": "0-9"},
    ],
)
def test_what_changes_the_answer_is_part_of_the_question(
    edge: Edge, upstream: Upstream, headers: dict[str, str]
) -> None:
    for _ in range(2):
        edge.ask(SLOTS)
        edge.ask(SLOTS, **headers)
    assert len(upstream.requests) == 2
    [(name, value)] = headers.items()
    assert upstream.last.headers[name.replace("_", "-").lower()] == value


@pytest.mark.parametrize("path", CACHED)
def test_other_arguments_are_another_question(edge: Edge, upstream: Upstream, path: str) -> None:
    for _ in range(2):
        edge.ask(path)
        edge.ask(f"{path}&staff_id=2")
    assert len(upstream.requests) == 2


def test_a_second_header_of_the_same_name_does_not_slip_in_beside_the_key(
    edge: Edge, upstream: Upstream
) -> None:
    edge.ask(SLOTS, Accept="application/json", accept="text/csv")
    edge.ask(SLOTS, Accept="application/json")
    # Newer versions of nginx join the two, older ones take the first.
    seen = [request.headers["accept"] for request in upstream.requests]
    assert seen in (["application/json"], ["application/json, text/csv", "application/json"])


def test_who_sends_the_keys_separator_is_answered_past_the_cache(
    edge: Edge, upstream: Upstream
) -> None:
    for _ in range(2):
        edge.ask("/rest/v1/availability_slots?a=b|api")
        edge.ask("/rest/v1/availability_slots?a=b", Accept_Profile="api|")
    assert len(upstream.requests) == 4


def test_who_has_the_answer_is_told_so(edge: Edge, upstream: Upstream) -> None:
    upstream.answer = public(ETag='"v1"')
    assert edge.ask(SLOTS).headers["etag"] == '"v1"'
    answer = edge.ask(SLOTS, If_None_Match='"v1"')
    assert (answer.status, answer.body) == (304, b"")
    assert edge.ask(SLOTS, If_None_Match='"v0"').status == 200
    assert len(upstream.requests) == 1


def test_an_old_answer_that_still_holds_is_not_fetched_again(
    edge: Edge, upstream: Upstream
) -> None:
    upstream.answer = public(seconds=1, body=b"v1", ETag='"v1"')
    edge.ask(SLOTS)
    time.sleep(2.1)
    control = {"Cache-Control": "public, max-age=0, s-maxage=60", "ETag": '"v1"'}
    upstream.answer = Response(304, control)
    assert edge.ask(SLOTS).body == b"v1"
    wait_until(lambda: len(upstream.requests) == 2)
    assert upstream.last.headers["if-none-match"] == '"v1"'
    time.sleep(0.1)
    assert edge.ask(SLOTS).body == b"v1"
    assert len(upstream.requests) == 2


def test_a_large_answer_is_compressed_and_still_told_by_its_etag(
    edge: Edge, upstream: Upstream
) -> None:
    upstream.answer = public(body=b"[" + b" " * 5000 + b"]", ETag='"v1"')
    answer = edge.ask(SLOTS, Accept_Encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert len(answer.body) < 500
    again = edge.ask(SLOTS, Accept_Encoding="gzip", If_None_Match=answer.headers["etag"])
    assert again.status == 304
    assert len(edge.ask(SLOTS).body) == 5002
    assert len(upstream.requests) == 1
