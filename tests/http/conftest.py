"""A PostgREST for the whole run, a salon for each test."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.http import server as postgrest_server
from tests.http.server import PostgREST
from tests.http.shop import Shop, open_shop
from tests.left_out import NO_POSTGREST
from tests.postgres import Server


@pytest.fixture(scope="session")
def postgrest(request: pytest.FixtureRequest) -> Iterator[PostgREST]:
    """The running PostgREST, or one of our own before a new database."""
    if running := postgrest_server.running():
        yield running
    elif postgrest_server.program():
        server: Server = request.getfixturevalue("server")
        with server.database(server.template) as url, postgrest_server.started(url) as own:
            yield own
    else:
        pytest.skip(NO_POSTGREST)


@pytest.fixture
def shop(postgrest: PostgREST) -> Iterator[Shop]:
    """A salon of the test's own, beside those of other tests."""
    with psycopg.connect(postgrest.database_url, autocommit=True) as db:
        yield open_shop(postgrest, db)
